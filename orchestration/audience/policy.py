"""Floors and caps that hold for every pack: settings, which no pack's file can change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class AudiencePolicy(BaseModel):
    """The table `[audience]` of `tandem.toml`, or TANDEM_AUDIENCE as JSON.

    A floor below its default, or a cap above it, is a reviewed change: every card then begins
    by saying so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    packs: tuple[Path, ...] = ()
    """More folders of definitions, beside those that Tandem ships."""
    population: str = Field(default="community", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    """The one account of the ledger: a second name would be a second budget for one person."""
    min_k: int = Field(default=20, ge=2)
    min_l: int = Field(default=2, ge=1)
    max_alpha: float = Field(default=0.5, gt=0, le=1)
    max_t: float = Field(default=0.6, gt=0, le=1)
    min_eligible: int = Field(default=10_000, ge=1)
    epsilon_cap: float = Field(default=4.0, gt=0)
    """Over `window_days`, of all packs of the population and all recipients together."""
    delta_cap: float = Field(default=1e-7, gt=0, lt=1)
    purpose_epsilon_cap: float = Field(default=2.0, gt=0)
    window_days: int = Field(default=90, ge=1)

    @field_validator("packs", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, (str, Path)) else value

    def loosened(self) -> dict[str, tuple[float, float]]:
        """Each floor or cap that protects less than by default → (it, its default)."""
        lower_is_looser = {"min_k", "min_l", "min_eligible", "window_days"}
        higher_is_looser = {
            *("max_alpha", "max_t"),
            *("epsilon_cap", "delta_cap", "purpose_epsilon_cap"),
        }
        found = {}
        for name in sorted(lower_is_looser | higher_is_looser):
            value, usual = getattr(self, name), type(self).model_fields[name].default
            if value < usual if name in lower_is_looser else value > usual:
                found[name] = (value, usual)
        return found


def from_json_text(value: Any) -> Any:
    """A variable of the environment holds the policy as JSON.

    Raises ValueError for text that is no JSON.
    """
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from error
    return value
