"""One typed `Settings`: defaults, then `tandem.toml`, then `TANDEM_*` variables.

An unknown key or variable is an error, not a shrug: a misspelt threshold would change numbers
in silence.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from orchestration import durable, machine
from orchestration.audience.policy import AudiencePolicy, from_json_text
from orchestration.errors import SettingsError
from orchestration.funnels import DEFAULT_FUNNEL, Funnel, complete_funnels

ENV_PREFIX = "TANDEM_"
# Variables with the prefix that are no settings: what dbt's profile and the tests read.
RESERVED_ENV = {
    "TANDEM_WAREHOUSE",
    "TANDEM_CONFIG",
    "TANDEM_TARGET",
    "TANDEM_POSTGRES_DSN",
    "TANDEM_SPARK_MASTER",
    "TANDEM_SPARK_MEMORY",
    "TANDEM_SPARK_PARTITIONS",
    "TANDEM_SPARK_CODEGEN",
    "TANDEM_SPARK_TABLES",
    "TANDEM_SPARK_HOST",
    "TANDEM_SPARK_PORT",
    "TANDEM_SPARK_AUTH",
}
_REASONS, _REASON_CHARACTERS = 10, 400
Engine = Literal["duckdb", "spark", "spark_thrift"]
SCENE_KINDS = (
    *("live_class", "homework", "study_team", "case_review", "weekday_tips", "weekend_social"),
    *("festival", "other"),
)


class MartSettings(BaseModel):
    """What changes the marts' rows. A change of any of these rebuilds every model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str = "Asia/Shanghai"
    reporting_currency: str = Field(default="CNY", pattern=r"^[A-Z]{3}$")
    identity_max_ids: int = Field(default=20, ge=2)
    rfm_recency_days: int = Field(default=30, ge=1)
    rfm_frequency_orders: int = Field(default=2, ge=1)
    rfm_monetary_minor: int = Field(default=10_000, ge=1)
    tier_core_contribution_days: int = Field(default=7, ge=1, le=28)
    tier_active_days: int = Field(default=2, ge=1, le=28)
    creator_head_reads_28d: int = Field(default=1_000, ge=1)
    creator_mid_reads_28d: int = Field(default=100, ge=1)
    morning_from_hour: int = Field(default=6, ge=1, le=23)
    afternoon_from_hour: int = Field(default=12, ge=1, le=23)
    evening_from_hour: int = Field(default=18, ge=1, le=23)
    experiment_pre_days: int = Field(default=28, ge=1, le=365)
    experiment_sequential_units: int = Field(default=500, ge=1)
    experiment_srm_min_p: float = Field(default=0.001, gt=0, lt=1)
    experiment_max_multi_exposed_bps: int = Field(default=100, ge=0, le=10_000)
    experiment_max_contaminated_bps: int = Field(default=500, ge=0, le=10_000)
    ltv_min_buyers: int = Field(default=50, ge=2)
    """Fewer buyers are too few to fit a model of buying to."""
    ltv_min_repeat_buyers: int = Field(default=10, ge=2)
    """The same for buyers with a repeat, and for those with a repeat of known value."""
    ltv_holdout_days: int = Field(default=90, ge=1)
    """Days that predictions are held against; at most a third of the history."""
    group_silent_percent: int = Field(default=3, ge=1, le=100)
    """A group is silent when fewer of its members than this spoke in seven dates."""
    touch_landmark_hours: int = Field(default=48, ge=1, le=720)
    """Scenes count before this hour after the first KOL touch, orders from it on."""
    touch_conversion_days: int = Field(default=7, ge=1, le=90)
    touch_max_scenes: int = Field(default=5, ge=1, le=50)
    touch_scene_kinds: tuple[str, ...] = Field(default=SCENE_KINDS, min_length=1)
    """Kinds of scenes that count as touchpoints; a scene without a record is `other`."""
    loop_supply_days: int = Field(default=14, ge=1, le=90)
    loop_reads_days: int = Field(default=7, ge=1, le=90)
    funnels: tuple[Funnel, ...] = (DEFAULT_FUNNEL,)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no IANA time zone") from error
        return value

    @field_validator("reporting_currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        # Here and not above: `--help` needs no currencies.
        from iso4217 import Currency

        try:
            Currency(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no ISO 4217 currency") from error
        return value

    @field_validator("funnels", "touch_scene_kinds", mode="before")
    @classmethod
    def _from_json_text(cls, value: Any) -> Any:
        """A variable of the environment holds a list as JSON."""
        if isinstance(value, str):
            try:
                return json.loads(value)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"is no JSON: {error}") from error
        return value

    @field_validator("touch_scene_kinds")
    @classmethod
    def _known_scene_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in SCENE_KINDS:
                raise ValueError(
                    f"{kind!r} is no kind of scene; known are {', '.join(SCENE_KINDS)}"
                )
        return tuple(kind for kind in SCENE_KINDS if kind in kinds)

    @field_validator("funnels")
    @classmethod
    def _with_the_default_funnel(cls, funnels: tuple[Funnel, ...]) -> tuple[Funnel, ...]:
        return complete_funnels(funnels)

    @model_validator(mode="after")
    def _creators_in_order(self) -> Self:
        if self.creator_mid_reads_28d > self.creator_head_reads_28d:
            raise ValueError("creator_mid_reads_28d must not exceed creator_head_reads_28d")
        return self

    @model_validator(mode="after")
    def _landmark_before_the_end(self) -> Self:
        if self.touch_landmark_hours >= 24 * self.touch_conversion_days:
            raise ValueError("touch_landmark_hours must end before touch_conversion_days do")
        return self

    @model_validator(mode="after")
    def _bands_in_order(self) -> Self:
        if not self.morning_from_hour < self.afternoon_from_hour < self.evening_from_hour:
            raise ValueError(
                "morning_from_hour, afternoon_from_hour and evening_from_hour must grow"
            )
        return self


class PostgresTarget(BaseModel):
    """Where the marts are pushed to after a publish. The DSN is in the environment alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dsn_env: str = Field(default="TANDEM_POSTGRES_DSN", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The variable that holds the DSN, `postgresql://user:password@host/database`."""
    prefix: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,19})?$")
    """Begins the names of the schemas, as `tandem_` of `tandem_users`."""
    reader_role: str | None = Field(default=None, min_length=1, max_length=63)
    """Given usage and select on the schemas at each swap."""


class Settings(MartSettings):
    """Everything that can be set.

    Raises SettingsError from `load_settings` for unknown keys, bad values and unreadable files.
    """

    home: Path = Path(".tandem")
    landing: Path | None = None
    as_of_date: date | None = None
    key: SecretStr | None = None
    now: datetime | None = None
    """The moment of loading, for tests and replays; by default the clock's."""
    engine: Engine = "duckdb"
    """What runs the models. Everything else, the gates and publishing too, is DuckDB's."""
    threads: int = Field(default_factory=machine.usable_cores, ge=1)
    memory_limit: str = Field(
        default_factory=lambda given: machine.memory_limit(
            given.get("threads", 1), machine.usable_memory()
        ),
        pattern=r"^\d+(\.\d+)?\s?(MB|MiB|GB|GiB)$",
    )
    """Of DuckDB; by default what `machine.memory_limit` says of these threads and this memory."""
    raw_storage: Literal["warehouse", "parquet"] = "warehouse"
    """Where accepted records lie: in tables of the warehouse, or as Parquet under `landed`."""
    landed: Path | None = None
    """The folder of landed Parquet, by default `<home>/landed`."""
    land_workers: int = Field(default=1, ge=1, le=64)
    """Processes of this machine that take files side by side; for raw_storage = "parquet"."""
    lock_wait_seconds: float = Field(default=30.0, ge=0)
    snapshots_kept: int = Field(default=3, ge=1)
    max_line_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    max_expansion: int = Field(default=250, ge=2)
    """How many times its size a compressed landing file may expand to."""
    audience: AudiencePolicy = AudiencePolicy()
    postgres: PostgresTarget | None = None
    """Pushed to after each build's publish, where it is set."""

    @field_validator("postgres", mode="before")
    @classmethod
    def _postgres_from_json_text(cls, value: Any) -> Any:
        return from_json_text(value)

    @field_validator("audience", mode="before")
    @classmethod
    def _audience_from_json_text(cls, value: Any) -> Any:
        return from_json_text(value)

    @field_validator("now")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("needs an offset, as in 2026-01-31T00:00:00Z")
        return value

    @property
    def landing_path(self) -> Path:
        """The landing zone's root folder."""
        return self.landing if self.landing is not None else self.home / "landing"

    @property
    def warehouse_path(self) -> Path:
        """The private warehouse file (mode 0600)."""
        return self.home / "warehouse.duckdb"

    @property
    def serving_path(self) -> Path:
        """The published file that BI tools open."""
        return self.home / "serving" / "marts.duckdb"

    @property
    def key_path(self) -> Path:
        """The key file (mode 0600) used when `TANDEM_KEY` is not set."""
        return self.home / "key"

    def mart_settings(self) -> dict[str, Any]:
        """The settings that the marts depend on, without secrets and paths."""
        return {name: getattr(self, name) for name in MartSettings.model_fields}

    def fingerprint(self) -> str:
        """Equal means equal marts: SHA-256 over `mart_settings`, a hyphen, and one of the key."""
        text = json.dumps(self.mart_settings(), sort_keys=True, default=str)
        key_digest = hashlib.sha256(b"fingerprint|" + self.secret_key()).hexdigest()
        return f"{hashlib.sha256(text.encode()).hexdigest()}-{key_digest[:32]}"

    def secret_key(self) -> bytes:
        """The HMAC key's bytes: `TANDEM_KEY`, else the key file, made on first use.

        Raises SettingsError when the key file can be read by others or is too short.
        """
        if self.key is not None:
            value = self.key.get_secret_value().encode()
            if len(value) < 16:
                raise SettingsError("TANDEM_KEY must have at least 16 characters")
            return value
        return _key_from_file(self.key_path)


def _key_from_file(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(secrets.token_hex(32))
        durable.sync(temporary)
        try:
            # A hard link fails where a rename would replace another process's new key.
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        # A key that is lost with the power would make strangers of all who were stored with it.
        durable.sync(path.parent)
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} can be read by others: run chmod 600 on it")
    value = path.read_bytes().strip()
    if len(value) < 16:
        raise SettingsError(f"{path} must hold at least 16 characters")
    return value


def load_settings(**overrides: Any) -> Settings:
    """Settings from `tandem.toml` (or the file that TANDEM_CONFIG names) and the environment.

    `overrides` win over both. Raises SettingsError with the file or variable and the reason.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    config = os.environ.get("TANDEM_CONFIG")
    path = Path(config) if config else Path("tandem.toml")
    if path.exists():
        try:
            with path.open("rb") as handle:
                loaded = tomllib.load(handle)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{path}: {str(error)[:_REASON_CHARACTERS]}") from error
        if "key" in loaded:
            raise SettingsError(f"{path}: a key belongs into TANDEM_KEY or the key file")
        values.update(loaded)
        origins.update({name: f"{path}: {name}" for name in loaded})
    elif config:
        raise SettingsError(f"TANDEM_CONFIG names {path}, which does not exist")
    for variable, text in os.environ.items():
        if variable.startswith(ENV_PREFIX) and variable not in RESERVED_ENV:
            name = variable.removeprefix(ENV_PREFIX).lower()
            values[name] = text
            origins[name] = variable
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_input=False, include_url=False):
            if item["type"] == "default_factory_not_called":
                # A default that follows another setting, which is what is wrong.
                continue
            name = str(item["loc"][0]) if item["loc"] else ""
            reason = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                reason = "no such setting"
            place = origins.get(name, name) + _place_within(values.get(name), item["loc"][1:])
            problem = f"{place}: {reason}" if name else reason
            problems.append(problem[:_REASON_CHARACTERS])
        raise SettingsError("; ".join(problems[:_REASONS])) from None


def _place_within(value: Any, path: tuple[int | str, ...]) -> str:
    """Where in a nested setting: an item by its name where it has one, else by its number."""
    words = []
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
            name = value.get("name") if isinstance(value, dict) else None
            words.append(repr(name) if isinstance(name, str) else str(step + 1))
        else:
            value = value.get(step) if isinstance(value, dict) else None
            words.append(f", {step}")
    return "".join(word if word.startswith(",") else f" {word}" for word in words)
