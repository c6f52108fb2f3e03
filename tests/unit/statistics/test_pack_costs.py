"""The cost of a member by arm: by hand, by numpy on the groups themselves, and at the edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestration.statistics.packs import acquisition_costs, to_arrow

Groups = list[tuple[int, int]]


def arm(name: str, groups: Groups, pack_spend: int = 0) -> dict[str, Any]:
    """A row of `int_pack_arms` for groups of (spend, new members)."""
    return {
        "source": "s",
        "pack_id": "k",
        "arm": name,
        "groups": len(groups),
        "pack_spend_minor": pack_spend,
        "group_spend_minor": sum(spend for spend, _ in groups),
        "new_members": sum(members for _, members in groups),
        "spend_squares": str(sum(spend * spend for spend, _ in groups)),
        "spend_members": str(sum(spend * members for spend, members in groups)),
        "member_squares": str(sum(members * members for _, members in groups)),
    }


def test_two_arms_by_hand() -> None:
    """Pack: 150 and 250 for 4 and 6 members: R = 40, residuals ∓10, so the variance is 2·200/100.

    Hold-out: 200 each for 1, 2, 3: R = 100, residuals 100, 0, −100, variance 1.5·20000/36.
    """
    holdout, pack = acquisition_costs(
        [arm("pack", [(100, 4), (200, 6)], 100), arm("holdout", [(200, 1), (200, 2), (200, 3)])]
    )
    assert (pack["cac"], holdout["cac"]) == (40.0, 100.0)
    assert pack["ci_high"] - 40 == pytest.approx(12.7062047 * 2)
    assert holdout["ci_high"] - 100 == pytest.approx(4.30265273 * math.sqrt(2500 / 3))
    assert pack["cac_difference"] == -60
    # Satterthwaite: (4 + 833.3)² / (4² / 1 + 833.3² / 2) = 2.0191 degrees of freedom.
    margin = stats.t.ppf(0.975, 2.01910) * math.sqrt(4 + 2500 / 3)
    assert pack["difference_ci_low"] == pytest.approx(-60 - margin, rel=1e-4)
    assert holdout["cac_difference"] is None


def test_what_cannot_be_known_is_none() -> None:
    holdout, pack = acquisition_costs([arm("pack", [(5, 2)]), arm("holdout", [(5, 0), (6, 0)])])
    assert (pack["cac"], pack["ci_low"], pack["cac_difference"]) == (2.5, None, None)
    assert holdout["cac"] is None
    holdout, pack = acquisition_costs([arm("pack", []), arm("holdout", [(0, 1), (0, 1)])])
    assert pack["cac"] is None
    assert (holdout["cac"], holdout["ci_low"], holdout["ci_high"]) == (0, 0, 0)
    assert to_arrow([holdout, pack]).num_rows == 2


groups_of = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(1, 10**4)), min_size=2, max_size=12
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(groups=groups_of, pack_spend=st.integers(0, 10**9))
def test_sums_give_what_the_groups_give(groups: Groups, pack_spend: int) -> None:
    [found] = acquisition_costs([arm("pack", groups, pack_spend)])
    spend = np.array([y for y, _ in groups]) + pack_spend / len(groups)
    members = np.array([x for _, x in groups])
    ratio = spend.sum() / members.sum()
    count = len(groups)
    variance = count / (count - 1) * ((spend - ratio * members) ** 2).sum() / members.sum() ** 2
    margin = stats.t.ppf(0.975, count - 1) * math.sqrt(variance)
    assert found["cac"] == pytest.approx(ratio)
    assert found["ci_high"] == pytest.approx(ratio + margin, rel=1e-6, abs=1e-6)
    assert found["ci_low"] == pytest.approx(ratio - margin, rel=1e-6, abs=1e-3)
