"""The project's own `table` and `view`: what they replace, and what a failure leaves."""

from __future__ import annotations

import pytest

from orchestration.settings import Settings
from tests.dbt.scratch import Scratch, query
from tests.support import test_settings

MODELS = {
    "schema.yml": """
version: 2
models:
  - name: promised
    config: {contract: {enforced: true}}
    columns:
      - {name: a, data_type: bigint, constraints: [{type: not_null}]}
""",
    "plain.sql": "select cast(1 as bigint) as a",
    "promised.sql": "select cast(1 as bigint) as a",
    "seen.sql": "{{ config(materialized='view') }} select a + 1 as b from {{ ref('plain') }}",
    "learnt.py": """
def model(dbt, session):
    dbt.config(materialized="table")
    return dbt.ref("plain").project("a * 3 as c")
""",
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scratch, Settings]:
    folder = tmp_path_factory.mktemp("materializations")
    settings = test_settings(folder / "home")
    made = Scratch(folder / "project", settings, MODELS)
    made.run(["build"])
    return made, settings


def change(scratch: Scratch, path: str, text: str) -> None:
    (scratch.folder / "models" / path).write_text(text, encoding="utf-8")
    scratch.session.manifest = None


def relations(settings: Settings) -> list[tuple[object, ...]]:
    return query(
        settings,
        "select table_name, table_type from information_schema.tables"
        " where table_schema = 'scratch' order by 1",
    )


def test_each_kind_is_made_and_made_again_with_nothing_left_beside_it(
    scratch: tuple[Scratch, Settings],
) -> None:
    made, settings = scratch
    made.run(["build"])
    assert relations(settings) == [
        ("learnt", "BASE TABLE"),
        ("plain", "BASE TABLE"),
        ("promised", "BASE TABLE"),
        ("seen", "VIEW"),
    ]
    assert query(settings, "select * from scratch.seen, scratch.learnt") == [(2, 3)]


def test_a_view_becomes_a_table_and_a_table_a_view(scratch: tuple[Scratch, Settings]) -> None:
    made, settings = scratch
    change(made, "seen.sql", "select a + 5 as b from {{ ref('plain') }}")
    change(made, "plain.sql", "{{ config(materialized='view') }} select cast(2 as bigint) as a")
    made.run(["build"])
    assert ("seen", "BASE TABLE") in relations(settings)
    assert ("plain", "VIEW") in relations(settings)
    assert query(settings, "select * from scratch.seen, scratch.learnt") == [(7, 6)]


@pytest.mark.parametrize(
    "text",
    [
        "select cast(2 as bigint) as a, 3 as not_promised",
        "select cast(null as bigint) as a",
        "select cast(error('while it runs') as bigint) as a",
    ],
    ids=["against the contract", "against a constraint", "while it runs"],
)
def test_a_failure_leaves_the_old_table(scratch: tuple[Scratch, Settings], text: str) -> None:
    made, settings = scratch
    change(made, "promised.sql", text)
    (outcome,) = made.run(["build", "--select", "promised"], check=False)
    assert outcome.failed
    assert query(settings, "select a from scratch.promised") == [(1,)]
    change(made, "promised.sql", MODELS["promised.sql"])
