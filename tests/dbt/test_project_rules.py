"""Rules over the dbt project as a whole: its manifest, and the words of its SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.contracts import contracts
from orchestration.plan import DBT_PROJECT
from orchestration.transform import DbtSession
from tests.support import test_settings

# What DuckDB and Spark understand differently, or not both; dispatch.sql is where it may stand.
BANNED = {
    "a cast by ::": r"::",
    "qualify": r"\bqualify\b",
    "a double-quoted identifier": r'"',
    "concat()": r"\bconcat\(",
    "log()": r"\blog\(",
    r"\w in a pattern": r"\\w",
    "an array index": r"[\w)]\[",
    "asof": r"\basof\b",
    "hash()": r"\bhash\(",
    "an approximate count": r"\bapprox_",
    "union by name": r"\bby name\b",
    "dayofweek": r"\b(dayofweek|dow)\b",
    "group by all": r"\bgroup by all\b",
    "varchar, which Spark wants a length for": r"\bvarchar\b",
    "a filter on a window function": r"\bfilter\s*\((?:[^()]|\([^()]*\))*\)\s*over\b",
    "// for integers": r"//",
    "ignore nulls": r"\bignore nulls\b",
    "at time zone": r"\bat time zone\b",
    "a struct literal": r"\{''",
    "a lambda": r"->|\blambda\b",
    "a lateral join": r"\blateral\b",
    "similar to": r"\bsimilar to\b",
    "distinct on": r"\bdistinct on\b",
    "a semi or anti join": r"\b(?:semi|anti|positional|natural) join\b",
    "select * with exclude or replace": r"\*\s+(exclude|replace|except)\b",
}
# What both engines know by this name and mean alike, as models use it: measured, row for row, by
# tests/spark. Another function is added here once that lane is green with it.
FUNCTIONS = {
    *("abs", "bool_and", "bool_or", "cast", "coalesce", "count", "date_trunc", "decimal", "exp"),
    *("extract", "first_value", "floor", "greatest", "lag", "lead", "least", "left", "length"),
    *("ln", "max", "max_by", "median", "min", "min_by", "ntile", "nullif", "percentile_cont"),
    *("position", "regexp_replace", "repeat", "replace", "round", "row_number", "sum", "try_cast"),
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
DESCRIPTION = re.compile(r"^(?P<en>.+)\s\|\s(?P<zh>.+)$", re.S)
# Marts about the pipeline itself may look below staging, and so may the live board, which shows
# states that staging's histories do not hold yet; this list may only shrink.
READS_RAW = {"live_board", "reconciliation"}


def _sql_files() -> list[Path]:
    return sorted((DBT_PROJECT / "models").rglob("*.sql"))


def _words(text: str) -> str:
    """The SQL alone: without comments, Jinja and the contents of literals."""
    text = re.sub(r"\{#.*?#\}", " ", text, flags=re.S)
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " jinja ", text, flags=re.S)
    text = re.sub(r"--[^\n]*", " ", text)
    return re.sub(r"'[^']*'", "''", text).lower()


def _functions(text: str) -> list[str]:
    return re.findall(r"\b([a-z_]\w*)\(", _words(text))


def _literals(text: str) -> str:
    text = re.sub(r"\{#.*?#\}", " ", text, flags=re.S)
    return re.sub(r"--[^\n]*", " ", text)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    session = DbtSession(test_settings(tmp_path_factory.mktemp("rules")))
    session.settings.home.mkdir(parents=True, exist_ok=True)
    session.parse()
    return session.manifest


def _models(manifest: Any) -> Iterator[Any]:
    for node in manifest.nodes.values():
        if str(node.resource_type) == "model" and node.package_name == "tandem":
            yield node


def _layer(node: Any) -> str:
    return str(node.fqn[1])


@pytest.mark.parametrize("path", _sql_files(), ids=lambda path: path.stem)
def test_no_banned_dialect(path: Path):
    text = path.read_text("utf-8")
    words = _words(text)
    found = [name for name, pattern in BANNED.items() if re.search(pattern, words)]
    if re.search(BANNED[r"\w in a pattern"], _literals(text)):
        found.append(r"\w in a pattern")
    assert not found


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("select a::date from t", "a cast by ::"),
        ("select * from t qualify row_number() = 1", "qualify"),
        ('select "a" from t', "a double-quoted identifier"),
        ("select concat(a, b)", "concat()"),
        ("select list_value(a)[1]", "an array index"),
        ("select hash(a)", "hash()"),
        ("select approx_count_distinct(a)", "an approximate count"),
        ("select cast(a as varchar)", "varchar, which Spark wants a length for"),
        ("sum(a) filter (where b in (1)) over (order by c)", "a filter on a window function"),
        ("select a // b", "// for integers"),
        ("select {'name': a}", "a struct literal"),
        ("select * replace (1 as a) from t", "select * with exclude or replace"),
    ],
)
def test_the_ban_finds_what_it_bans(text: str, name: str):
    assert re.search(BANNED[name], _words(text))


@pytest.mark.parametrize("path", _sql_files(), ids=lambda path: path.stem)
def test_only_functions_that_both_engines_know(path: Path):
    assert not set(_functions(path.read_text("utf-8"))) - FUNCTIONS


def test_functions_are_found_where_they_are_called():
    text = "select list_sum(a), {{ local_date('b', 'c') }} from t where a in (1) -- epoch(d)"
    assert _functions(text) == ["list_sum"]


def test_the_ban_looks_past_comments_literals_and_jinja():
    text = "{# a::b #} select '::' as a -- qualify\nfrom {{ ref('a[0]') }}"
    assert not [name for name, pattern in BANNED.items() if re.search(pattern, _words(text))]


def test_every_dispatched_macro_is_there_for_both_engines():
    text = (DBT_PROJECT / "macros" / "dispatch.sql").read_text("utf-8")
    dispatched = set(re.findall(r"adapter\.dispatch\('(\w+)'\)", text))
    for engine in ("default", "spark"):
        assert set(re.findall(rf"macro {engine}__(\w+)\(", text)) == dispatched, engine


def test_names_follow_the_layer(manifest: Any):
    stems = {f"stg_{contract.table}" for contract in contracts().values()}
    stems |= {f"stg_{c.table}_history" for c in contracts().values() if c.kind == "entity"}
    wrong = []
    for node in _models(manifest):
        good = {
            "staging": node.name in stems,
            "intermediate": bool(re.fullmatch(r"int(_[a-z0-9]+)+", node.name)),
            "marts": bool(re.fullmatch(r"[a-z][a-z0-9_]*", node.name))
            and not node.name.startswith(("stg_", "int_")),
        }
        if not good.get(_layer(node), False):
            wrong.append(node.unique_id)
    assert not wrong
    assert {node.name for node in _models(manifest) if _layer(node) == "staging"} == stems


def test_layers_build_on_the_layers_before(manifest: Any):
    """Staging reads raw, marts never do, and nothing reads a later layer."""
    order = {"staging": 0, "intermediate": 1, "marts": 2}
    wrong = []
    raw_readers = set()
    for node in _models(manifest):
        for needed in node.depends_on.nodes:
            if needed.startswith("source.tandem.raw.") and _layer(node) != "staging":
                raw_readers.add(node.name)
            above = manifest.nodes.get(needed)
            below = order[_layer(node)]
            if above is not None and order.get(_layer(above), 0) > below:
                wrong.append((node.name, needed))
    assert not wrong
    assert raw_readers == READS_RAW


def test_marts_stand_in_the_schema_of_their_folder(manifest: Any):
    wrong = [
        node.unique_id
        for node in _models(manifest)
        if _layer(node) == "marts" and node.schema != node.fqn[2]
    ]
    assert not wrong


def test_every_model_and_column_is_described_in_both_languages(manifest: Any):
    wrong = []
    for node in _models(manifest):
        texts = {node.name: node.description}
        texts |= {
            f"{node.name}.{column.name}": column.description for column in node.columns.values()
        }
        if not node.columns:
            wrong.append(f"{node.name}: no columns")
        for name, text in texts.items():
            found = DESCRIPTION.match(text.strip())
            if found is None or not CHINESE.search(found["zh"]) or CHINESE.search(found["en"]):
                wrong.append(name)
    assert not wrong


def test_every_mart_has_an_enforced_contract_with_public_types(manifest: Any):
    types = {"date", "timestamp", "bigint", "double", "varchar", "boolean"}
    wrong = []
    for node in _models(manifest):
        if _layer(node) == "marts":
            if not node.config.contract.enforced:
                wrong.append(node.name)
            wrong += [
                f"{node.name}.{column.name}: {column.data_type}"
                for column in node.columns.values()
                if (column.data_type or "").lower() not in types
            ]
    assert not wrong


def test_no_personal_column_reaches_a_mart(manifest: Any):
    personal = {name for contract in contracts().values() for name in contract.pii_fields}
    wrong = []
    for node in _models(manifest):
        for column in node.columns.values():
            is_personal = column.name in personal or column.name.endswith("_token")
            tagged = bool(column.meta.get("pii") or column.config.meta.get("pii"))
            if _layer(node) == "marts" and (is_personal or tagged):
                wrong.append(f"{node.name}.{column.name} is in a mart")
            if _layer(node) != "marts" and is_personal and not tagged:
                wrong.append(f"{node.name}.{column.name} is not tagged")
    assert not wrong


def test_no_mart_reads_what_a_token_stands_for():
    """A mart that selects a token under another name would pass the test of its columns."""
    wrong = [
        path.stem
        for path in sorted((DBT_PROJECT / "models" / "marts").rglob("*.sql"))
        if re.search(r"[a-z]_token\b", _words(path.read_text("utf-8")))
    ]
    assert not wrong


def test_rebuilt_models_have_their_date_column(manifest: Any):
    for node in _models(manifest):
        if node.config.get("incremental_strategy") == "rebuild_dates":
            column = (node.config.meta or {}).get("date_column", "activity_date")
            assert column in node.columns, node.name
            assert any(name.endswith(".int_dirty_dates") for name in node.depends_on.nodes)


def test_rebuilt_models_name_every_log_that_they_read(manifest: Any):
    """A log left out would leave its late records out; one too many rebuilds dates for nothing."""
    (dirty,) = (node for node in _models(manifest) if node.name == "int_dirty_dates")
    dated = set(re.findall(r"'(\w+/\w+)'", dirty.raw_code))
    staged = {
        name: contract.log
        for contract in contracts().values()
        for name in (f"stg_{contract.table}", f"stg_{contract.table}_history")
    }

    def logs_of(node: Any) -> set[str]:
        if node.name in staged:
            return {staged[node.name]} & dated
        parents = [manifest.nodes[name] for name in node.depends_on.nodes if name in manifest.nodes]
        return {log for parent in parents if parent is not dirty for log in logs_of(parent)}

    rebuilt = [
        node
        for node in _models(manifest)
        if node.config.get("incremental_strategy") == "rebuild_dates"
    ]
    assert len(rebuilt) >= 8
    for node in rebuilt:
        assert set(node.config.meta["logs"]) == logs_of(node), node.name
