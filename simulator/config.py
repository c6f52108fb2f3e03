"""What can be asked of the simulator."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Final, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

REJECT_REASONS: Final = (
    "malformed",
    "missing_required",
    "bad_type",
    "bad_enum",
    "naive_timestamp",
    "out_of_range",
)


class CommunitySource(NamedTuple):
    """One community: the share of persons with an account there, and how much it is used."""

    name: str
    share: float
    intensity: float
    currencies: tuple[str, ...]


class GroupSource(NamedTuple):
    """One group platform; `observes` is what it lets one see, None for everything."""

    name: str
    share: float
    intensity: float
    currencies: tuple[str, ...]
    observes: tuple[str, ...] | None
    industry_groups: int


COMMUNITIES: Final = (
    CommunitySource("plaza", 0.78, 1.0, ("CNY",)),
    CommunitySource("agora", 0.34, 0.7, ("CNY", "USD", "JPY")),
)
PLATFORMS: Final = (
    GroupSource("wecom", 0.50, 1.0, ("CNY",), None, 4),
    GroupSource("telegram", 0.14, 1.2, ("USD", "KWD", "EUR"), ("click", "reaction"), 0),
    GroupSource("guildhall", 0.18, 0.9, ("CNY", "EUR"), ("click", "leave", "reaction"), 0),
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Field(default=0.0, ge=0, le=0.2)


class Dirt(_Model):
    """How unclean the files are, as shares of each log's lines.

    `duplicates` repeat an accepted record, half of them with a later `received_at`; `late`
    records arrive in a file of a later day. Neither is an error. The others, named by the
    contract's reasons, are extra lines in JSON Lines files, broken copies of good records: so
    dirt never changes the set of accepted records.
    """

    duplicates: float = Field(default=0.001, ge=0, le=0.2)
    late: float = Field(default=0.004, ge=0, le=0.2)
    malformed: float = Share
    missing_required: float = Share
    bad_type: float = Share
    bad_enum: float = Share
    naive_timestamp: float = Share
    out_of_range: float = Share

    @classmethod
    def none(cls) -> Dirt:
        """Clean files: nothing repeated, late or broken."""
        return cls(duplicates=0.0, late=0.0)

    @classmethod
    def every_kind(cls, share: float = 0.002) -> Dirt:
        """Each kind of dirt at one share of the lines."""
        return cls(duplicates=share, late=share, **dict.fromkeys(REJECT_REASONS, share))


class SimulatorConfig(_Model):
    """A simulation. Equal configurations give byte-identical files.

    `end_date` is the last simulated local date (Asia/Shanghai); `activity` multiplies the
    number of events, but leaves tiers, groups and orders as they are. With the defaults there
    are about 500,000 records; ten times the persons give ten times the records.

    `persons` are those of the last day. With a `growth` of 1 55 % of them were there before the
    first; with one of g, g times fewer, and all that they do with them. `daily_files` gives a log
    one file a source and local day of arrival, as a nightly upload would.
    """

    persons: int = Field(default=3000, ge=100, le=5_000_000)
    days: int = Field(default=90, ge=14, le=1500)
    seed: int = Field(default=7, ge=0)
    end_date: date = date(2026, 6, 30)
    activity: float = Field(default=1.0, gt=0, le=100)
    growth: float = Field(default=1.0, ge=1, le=10)
    daily_files: bool = False
    dirt: Dirt = Dirt()

    @model_validator(mode="after")
    def _someone_is_there_at_first(self) -> Self:
        if self.growth > 1 and self.persons < 150 * self.growth:
            raise ValueError(f"a growth of {self.growth:g} wants {150 * self.growth:g} persons")
        return self

    @property
    def start_date(self) -> date:
        """The first simulated local date."""
        return self.end_date - timedelta(days=self.days - 1)

    def rng(self, *subject: str | int) -> np.random.Generator:
        """A random stream that depends on the seed and the subject's name alone."""
        text = "/".join(str(part) for part in (self.seed, *subject))
        digest = hashlib.sha256(text.encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
