"""Every gate has a candidate that is broken in the way it looks for, and goes red on it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestration.audience.attacks import Scene, files
from orchestration.audience.interface import AttackResult, Guarantee, Measure, PackSpec
from tests.integration.attack_world import (
    BAND,
    Flaws,
    counts_spec,
    make_candidate,
    measured,
    rows_spec,
)

LINKAGE = {"linkage_prosecutor", "linkage_journalist", "linkage_marketer"}
CLASSES = {"classes_l", "classes_alpha", "classes_t"}
NO_SAMPLING = {"membership", "differencing", "coins", "randomness"}
COARSE = ("region", "level", "topic")
ALL = 1 - 2**-40


def guaranteed(**changes: float) -> Callable[[PackSpec], PackSpec]:
    return lambda spec: replace(spec, guarantee=replace(spec.guarantee, **changes))


def declared(**changes: object) -> Callable[[PackSpec], PackSpec]:
    return lambda spec: replace(spec, **changes)  # type: ignore[arg-type]


def same(spec: PackSpec) -> PackSpec:
    return spec


@dataclass
class Case:
    """A broken candidate; `before` are flaws of an earlier pack, of these columns."""

    flaws: Flaws
    red: set[str]
    spec: PackSpec = field(default_factory=rows_spec)
    before: Flaws | None = None
    before_spec: PackSpec = field(default_factory=lambda: rows_spec("before"))


ROWS = {
    "the k filter is gone": Case(
        Flaws(built_as=guaranteed(k=1)),
        {
            *("linkage_prosecutor", "linkage_journalist", "singling_out"),
            *("inference", "intersection"),
        },
    ),
    "k holds of the class, not of the whole tuple": Case(
        Flaws(k_of=("region", "level", "band")),
        {"linkage_prosecutor", "linkage_journalist", "singling_out", "inference"},
    ),
    "the filter of l, alpha and t is gone": Case(Flaws(filters=False), CLASSES),
    "nobody tosses a coin": Case(Flaws(built_as=guaranteed(beta=ALL)), NO_SAMPLING),
    "more are sampled than is said": Case(Flaws(built_as=guaranteed(beta=0.4)), {"randomness"}),
    "exact releases, fine after coarse": Case(
        Flaws(built_as=guaranteed(beta=ALL), filters=False),
        NO_SAMPLING | CLASSES | {"margins"},
        before=Flaws(built_as=guaranteed(beta=ALL), filters=False),
        before_spec=rows_spec("before", COARSE),
    ),
    "the coin key is kept": Case(
        Flaws(keeps_coins=b"k" * 32),
        {"coins", "differencing"},
        before=Flaws(keeps_coins=b"k" * 32),
    ),
    "the coin key is published": Case(Flaws(key_in_manifest=True), {"keys"}),
    "bands are quantiles of the data": Case(
        Flaws(
            population="""
                select
                    person_id,
                    region,
                    level,
                    ['<7', '7~13', '14~20', '>=21'][ntile(4) over (order by days, person_id)]
                        as band,
                    topic
                from {source}
            """
        ),
        {"neighbours"},
    ),
    "a pseudonym is published": Case(
        Flaws(pseudonym="sha256('a salt' || phone)"),
        LINKAGE
        | CLASSES
        | {"linkability_packs", "linkability_joins", "singling_out", "intersection"}
        | {"inference", "membership", "vocabulary"},
        before=Flaws(pseudonym="sha256('a salt' || phone)"),
    ),
    "values are published as they are": Case(
        Flaws(
            built_as=guaranteed(k=1),
            filters=False,
            population="""
                select
                    person_id,
                    region || substr(phone, 3, 3) as region,
                    level,
                    cast(days as varchar) as band,
                    topic
                from {source}
            """,
        ),
        LINKAGE
        | CLASSES
        | {"linkability_halves", "singling_out", "intersection", "vocabulary", "inference"}
        | {"canaries"},
    ),
    "a person has two rows": Case(
        Flaws(
            population=f"""
                select person_id, region, level, {BAND} as band, topic
                from (select * from {{source}})
                cross join range(2) as twice (n)
                where n = 0 or days > 20
            """
        ),
        {"contribution"},
    ),
    "minors are among the persons": Case(Flaws(eligibility="true"), {"canaries"}),
    "no canary was planted": Case(Flaws(canaries=0), {"canaries"}),
    "nothing is charged": Case(Flaws(ledger=()), {"repeat_charge"}),
    "rows stand in an order of their own": Case(
        Flaws(shuffles=True), {"repeat_files", "side_channels"}
    ),
}

THREE = ("region", "level", "band")
COUNTS = {
    "half the noise": Case(
        Flaws(noise=0.5),
        {"membership", "differencing", "randomness"},
        counts_spec(columns=THREE),
    ),
    "a quarter of the noise in a small pack": Case(
        Flaws(noise=0.25),
        {"randomness"},
        replace(measured(counts_spec()), max_cells_per_person=4),
    ),
    "a quarter of the Gaussian noise": Case(
        Flaws(noise=0.25),
        {"randomness"},
        replace(counts_spec(), noise="gaussian", guarantee=Guarantee(1.0, 1e-8)),
    ),
    "exact counts after exact coarser ones": Case(
        Flaws(noise=0),
        {"membership", "differencing", "margins", "randomness"},
        counts_spec("thresholded", (*THREE, "week")),
        before=Flaws(noise=0),
        before_spec=counts_spec("thresholded", THREE),
    ),
    "exact counts of a sensitive column": Case(
        Flaws(noise=0),
        {"membership", "differencing", "inference", "randomness"},
        counts_spec(columns=(*THREE, "topic")),
    ),
    "a person has any number of cells": Case(
        Flaws(built_as=declared(max_cells_per_person=9)), {"contribution"}, counts_spec()
    ),
    "the bound is only said": Case(
        Flaws(built_as=declared(max_cells_per_person=9), bounded_as=same),
        {"contribution", "neighbours"},
        counts_spec(),
    ),
    "values are not clamped": Case(
        Flaws(built_as=declared(measures=(Measure("days", "days", 0, 99),))),
        {"contribution"},
        measured(counts_spec()),
    ),
    "which cells stay depends on others": Case(
        Flaws(
            bounded="""
                select person_id, region, week
                from {persons}
                qualify row_number() over (order by person_id, week) % 3 = 1
            """
        ),
        {"contribution", "neighbours"},
        counts_spec(),
    ),
    "keys are published without a threshold": Case(
        Flaws(noise=0, threshold=1),
        {"singling_out", "membership", "differencing", "inference", "randomness"},
        counts_spec("thresholded", (*THREE, "topic", "week")),
    ),
}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two honest packs that went before: the same columns, and fewer."""
    home = tmp_path_factory.mktemp("earlier")
    make_candidate(home / "same", rows_spec("same"))
    make_candidate(home / "coarse", rows_spec("coarse", COARSE))
    return [home / "same", home / "coarse"]


def red(found: dict[str, AttackResult]) -> set[str]:
    return {name for name, each in found.items() if not each.passed}


def test_honest_rows(tmp_path: Path, earlier: list[Path]) -> None:
    candidate = make_candidate(tmp_path / "v", rows_spec(), Flaws(previous=earlier))
    found = candidate.attack()
    assert red(found) == set()
    assert not [each.id for each in found.values() if "does not apply" in each.detail]
    assert all(0 <= each.value <= each.gate for each in found.values())


@pytest.mark.parametrize("name", ROWS)
def test_broken_rows(tmp_path: Path, earlier: list[Path], name: str) -> None:
    check(tmp_path, ROWS[name], earlier)


@pytest.mark.parametrize("name", COUNTS)
def test_broken_counts(tmp_path: Path, name: str) -> None:
    check(tmp_path, COUNTS[name], [])


def check(tmp_path: Path, case: Case, earlier: list[Path]) -> None:
    if case.before is not None:
        make_candidate(tmp_path / "before", case.before_spec, case.before)
        earlier = [*earlier, tmp_path / "before"]
    candidate = make_candidate(tmp_path / "v", case.spec, replace(case.flaws, previous=earlier))
    assert red(candidate.attack()) == case.red


@pytest.mark.parametrize(
    "spec",
    [
        counts_spec(),
        measured(counts_spec()),
        counts_spec("thresholded", (*THREE, "week")),
        counts_spec(columns=("level", "topic")),
        replace(counts_spec(), noise="gaussian", guarantee=Guarantee(1.0, 1e-8)),
    ],
    ids=["public", "measured", "thresholded", "sensitive", "gaussian"],
)
def test_honest_counts(tmp_path: Path, spec: PackSpec) -> None:
    found = make_candidate(tmp_path / "v", spec).attack()
    assert red(found) == set()
    rows_only = LINKAGE | CLASSES | {"coins", "intersection", "linkability_joins"}
    assert all("does not apply" in found[name].detail for name in rows_only)


def test_ledgers(tmp_path: Path) -> None:
    candidate = make_candidate(tmp_path / "v", counts_spec())
    scene = Scene.of(candidate.context)

    def passes() -> bool:
        return files.repeat_charge(scene)[0].passed

    assert passes()
    for broken in (
        "delete from ledger where status = 'charged'",
        "insert into ledger select * from ledger where status = 'charged'",
        "update ledger set epsilon = 0.5",
        "update ledger set status = 'refunded' where status = 'candidate'",
        "insert into ledger select * replace ('released' as status, 9 as entry, 9 as version) "
        "from ledger where status = 'charged'",
        "update ledger set version = 2",
    ):
        scene.connection.execute("begin")
        scene.connection.execute(broken)
        assert not passes(), broken
        scene.connection.execute("rollback")


MD5_LIST = Flaws(
    built_as=guaranteed(k=1, beta=ALL),
    filters=False,
    pseudonym="md5(phone)",
    eligibility="true",
    ledger=(),
    shuffles=True,
    population="""
        select person_id, region || substr(phone, 3, 3) as region, level, cast(days as varchar)
            as band, topic
        from {source}
    """,
)


def test_list_of_hashed_phones(tmp_path: Path) -> None:
    """What many teams send: MD5 of the phone, and the columns as they are."""
    make_candidate(tmp_path / "last_week", rows_spec(), MD5_LIST)
    flaws = replace(MD5_LIST, previous=[tmp_path / "last_week"])
    candidate = make_candidate(tmp_path / "v", rows_spec(), flaws)
    found = candidate.attack()
    withstood = {"contribution", "neighbours", "keys", "margins", "randomness"}
    assert set(found) - red(found) == withstood
    assert found["linkage_prosecutor"].value == 1.0
    assert found["singling_out"].value > 0.9
    assert found["linkability_halves"].value > 0.02
    assert found["linkability_packs"].value == 1.0
    assert found["linkability_joins"].value >= 20_000
    assert found["dictionary"].value >= 20_000
    assert found["inference"].value > 0.99
