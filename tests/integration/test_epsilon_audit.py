"""What the mechanisms really leak, measured on neighbouring tables: never more than is claimed.

The 40,000 runs of a mechanism are 40,000 cells of one draw, each over the same few persons.
"""

import math
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from orchestration.audience import counts, rows
from orchestration.audience.interface import Column, Guarantee, PackSpec

RUNS = 40_000
Outcomes = NDArray[np.int64]


def lower_bound(inside: Outcomes, outside: Outcomes) -> float:
    """The ε that the outcomes prove with 99.9 % confidence (Jagielski et al. 2020).

    The event, an outcome at least or at most some threshold, in one world or in the other, is
    chosen on one half of the runs and judged on the other half.
    """
    (chosen_in, judged_in), (chosen_out, judged_out) = np.split(inside, 2), np.split(outside, 2)
    events = [
        (sign, int(threshold), turn)
        for threshold in np.unique(np.concatenate([chosen_in, chosen_out]))
        for sign in (1, -1)
        for turn in (1, -1)
    ]
    best = max(events, key=lambda event: proved(event, chosen_in, chosen_out))
    return proved(best, judged_in, judged_out)


def proved(event: tuple[int, int, int], inside: Outcomes, outside: Outcomes) -> float:
    """ln(P[inside] / P[outside]) of an event, the one at least and the other at most that."""
    sign, threshold, turn = event
    held = [int((sign * each >= sign * threshold).sum()) for each in (inside, outside)]
    likely, unlikely = held[::turn]
    low = proportion_confint(likely, len(inside), alpha=0.002, method="beta")[0]
    high = proportion_confint(unlikely, len(inside), alpha=0.002, method="beta")[1]
    return math.log(low / high) if low > 0 else 0.0


def noisy(persons: int, epsilon: float, factor: float = 1.0) -> Outcomes:
    """Published counts of 200 × 200 cells that each have so many persons."""
    halves = tuple(str(number) for number in range(200))
    spec = PackSpec(
        pack="audit",
        product="counts",
        purpose="audit",
        recipients=(),
        population="community",
        window_days=30,
        ttl_days=1,
        segment=(),
        recode=(),
        columns=(
            Column("a", "VARCHAR", "quasi_identifier", halves),
            Column("b", "VARCHAR", "quasi_identifier", halves),
            Column("persons", "BIGINT", "measure"),
        ),
        guarantee=Guarantee(epsilon, 0.0),
        sha256="00",
        path=Path("audit.yml"),
    )
    connection = duckdb.connect(":memory:")
    connection.execute(
        f"""
        create table cells as
        select
            cast(a as varchar) as a,
            cast(b as varchar) as b,
            cast({persons} as bigint) as persons
        from range(200) as one (a) cross join range(200) as two (b)
        """
    )
    plan = counts.plan_noise(spec)
    plan = replace(plan, scales={name: scale * factor for name, scale in plan.scales.items()})
    counts.draw(connection, spec, "cells", "drawn", plan)
    drawn = connection.execute("select persons from drawn").fetchnumpy()["persons"]
    return drawn.astype(np.int64)


@pytest.fixture(scope="module")
def hundred() -> Outcomes:
    return noisy(100, 1.0)


def test_noise_keeps_its_promise(hundred: Outcomes) -> None:
    bound = lower_bound(noisy(101, 1.0), hundred)
    assert 0.85 < bound <= 1.0


def test_half_the_noise_is_caught() -> None:
    assert lower_bound(noisy(101, 1.0, 0.5), noisy(100, 1.0, 0.5)) > 1.5


def test_an_unbounded_person_is_caught() -> None:
    # About 2.85, and in few draws less than 2.5: the event that proves most is a rare one.
    assert any(lower_bound(noisy(103, 1.0), noisy(100, 1.0)) > 2.5 for _ in range(4))


def published(persons: int, beta: float, k: int) -> Outcomes:
    """Published rows of 40,000 cells that each have so many persons."""
    spec = PackSpec(
        pack="audit",
        product="rows",
        purpose="audit",
        recipients=(),
        population="community",
        window_days=30,
        ttl_days=1,
        segment=(),
        recode=(),
        columns=(Column("run", "BIGINT", "quasi_identifier"),),
        guarantee=Guarantee(1.0, 0.0, beta=beta, k=k),
        sha256="00",
        path=Path("audit.yml"),
    )
    connection = duckdb.connect(":memory:")
    connection.execute(
        f"""
        create view population as
        select run || '/' || person as person_id, run
        from range({RUNS}) as runs (run) cross join range({persons}) as persons (person)
        """
    )
    rows.build_cells(connection, spec, "cells", f"{persons} persons".encode())
    found = connection.execute("select cell_rows from cells").fetchnumpy()["cell_rows"]
    return np.concatenate([found.astype(np.int64), np.zeros(RUNS - len(found), np.int64)])


def shuffled(outcomes: Outcomes) -> Outcomes:
    return np.random.default_rng(1).permutation(outcomes)


def test_sampling_keeps_its_promise() -> None:
    """Around k 5, where a row more decides whether a cell is published; δ is given away."""
    inside, outside = shuffled(published(12, 0.3, 5)), shuffled(published(11, 0.3, 5))
    assert 0.1 < lower_bound(inside, outside) <= 1.0


def test_sampling_too_many_is_caught() -> None:
    """β 0.9 where 1 − e^−1 = 0.63 is the most that ε 1 allows."""
    inside, outside = shuffled(published(12, 0.9, 12)), shuffled(published(11, 0.9, 12))
    assert lower_bound(inside, outside) > 3.0
