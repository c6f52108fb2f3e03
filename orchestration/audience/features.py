"""What a pack's definition may use: a closed list, each column with its kind.

A column that is not listed here cannot be released or filtered by, whatever the warehouse holds.
`category` has a fixed vocabulary; the values of `declared` must be listed by the definition, so
that nothing but its own words can leave; `integer` must be cut into bands; `week` is a key of
counts alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["category", "declared", "integer", "week"]

PERSONS = "intermediate.int_audience_features"
"""One row per person that counts and window; says who is eligible."""
WEEKS = "intermediate.int_audience_person_weeks"
"""One row per person, week and channel: what counts packs add up."""
JOINED: Mapping[str, str] = {
    "dim.persons": "select person_id, region, age_band, acquisition_channel from dim.persons",
    "users.tier_history": ("select person_id, tier from users.tier_history where valid_to is null"),
    "users.rfm": "select person_id, segment as rfm_segment from users.rfm",
    "content.creators_28d": ("select person_id, tier as creator_tier from content.creators_28d"),
}
"""Published marts with at most one row a person, joined where a definition uses them."""
WINDOWS = (30, 90)
"""The values of `window_days`: the windows that `int_audience_features` holds."""


@dataclass(frozen=True)
class Feature:
    """One column of the closed list; `table` is where it stands."""

    name: str
    kind: Kind
    table: str
    vocabulary: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def is_weekly(self) -> bool:
        """Whether it is a fact of a person's week rather than of the person."""
        return self.table == WEEKS


_BITS = ("0", "1")
FEATURES: Mapping[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("region", "declared", "dim.persons"),
        Feature(
            "age_band",
            "category",
            "dim.persons",
            ("18_24", "25_34", "35_44", "45_54", "55_plus"),
            ordered=True,
        ),
        Feature("acquisition_channel", "declared", "dim.persons"),
        Feature(
            "tier",
            "category",
            "users.tier_history",
            ("dormant", "lurker", "active", "core"),
            ordered=True,
        ),
        Feature(
            "rfm_segment",
            "category",
            "users.rfm",
            tuple(r + f + m for r in _BITS for f in _BITS for m in _BITS),
        ),
        Feature("creator_tier", "category", "content.creators_28d", ("ordinary", "mid", "head")),
        Feature("top_topic", "declared", PERSONS),
        Feature("top_channel", "declared", PERSONS),
        Feature("tenure_days", "integer", PERSONS),
        Feature("active_days", "integer", PERSONS),
        Feature("community_days", "integer", PERSONS),
        Feature("group_days", "integer", PERSONS),
        Feature("contributions", "integer", PERSONS),
        Feature("reactions", "integer", PERSONS),
        Feature("reads", "integer", PERSONS),
        Feature("groups", "integer", PERSONS),
        Feature("orders", "integer", PERSONS),
        Feature("spend_minor", "integer", PERSONS),
        Feature("week", "week", WEEKS, ordered=True),
        Feature("channel", "declared", WEEKS),
        Feature("channel_days", "integer", WEEKS),
        Feature("channel_reads", "integer", WEEKS),
        Feature("channel_reactions", "integer", WEEKS),
    )
}

_REFUSED = (
    (r"(^|_)(id|ids|token|phone|email|device|account|member|person|openid|unionid)$", "an id"),
    (r"(^|_)(url|uri|link|avatar|image|ip)$", "a URL"),
    (r"(^|_)(at|date|time|timestamp|day|month|hour|year)$", "a time"),
    (r"(^|_)(name|nickname|title|text|query|content|comment|message|bio|note)$", "free text"),
)


def why_refused(name: str) -> str:
    """Why a column that is not in `FEATURES` may not be used, in words for its author."""
    for pattern, kind in _REFUSED:
        if re.search(pattern, name):
            return f"{name} is {kind}: no pack may hold or filter by it"
    return f"no such feature as {name}; there are {', '.join(sorted(FEATURES))}"
