"""The SQL that turns features into released columns: the builder's, and `recode.sql`'s.

One generator for both, so that a recipient who runs `recode.sql` bands its own audience exactly
as the pack was banded. Names are checked by `spec`; values are quoted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestration.audience.features import FEATURES
from orchestration.audience.interface import MISSING, OTHER, Condition, PackSpec, Recode
from orchestration.audience.spec import band_labels
from orchestration.warehouse import literal


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def column_list(names: Iterable[str], prefix: str = "") -> str:
    """Names as identifiers with commas between."""
    return ", ".join(f"{prefix}{quoted(name)}" for name in names)


def recoded(recodes: Iterable[Recode], source: str) -> tuple[list[str], list[str]]:
    """The select items of released columns over `source`, and the joins they need."""
    items, joins = [], []
    for recode in recodes:
        item, join = _recoded(recode, source)
        items.append(f"{item} as {quoted(recode.name)}")
        joins += [join] if join else []
    return items, joins


def _recoded(recode: Recode, source: str) -> tuple[str, str]:
    value = f"{source}.{quoted(recode.source)}"
    if recode.cuts:
        labels = band_labels(recode.cuts)
        bands = [
            f"when {value} < {cut} then {literal(label)}"
            for cut, label in zip(recode.cuts, labels, strict=False)
        ]
        words = "\n        ".join(
            [f"when {value} is null then {literal(MISSING)}", *bands, f"else {literal(labels[-1])}"]
        )
        return f"case\n        {words}\n    end", ""
    if FEATURES[recode.source].kind == "week":
        return f"cast({value} as varchar)", ""
    name = quoted(f"map_{recode.name}")
    pairs = ",\n        ".join(f"({literal(a)}, {literal(b)})" for a, b in recode.mapping)
    join = (
        f"left join (\n    values\n        {pairs}\n) as {name} (value, label)\n"
        f"    on {value} = {name}.value"
    )
    expression = (
        f"case when {value} is null then {literal(MISSING)} "
        f"else coalesce({name}.label, {literal(OTHER)}) end"
    )
    return expression, join


def condition_sql(condition: Condition, source: str) -> str:
    """One condition of a segment; NULL selects no one."""
    value = f"{source}.{quoted(condition.column)}"
    if isinstance(condition.value, tuple):
        return f"{value} in ({', '.join(_constant(item) for item in condition.value)})"
    op = "<>" if condition.op == "!=" else condition.op
    return f"{value} {op} {_constant(condition.value)}"


def segment_sql(conditions: Sequence[Condition], source: str) -> str:
    """All conditions of a segment as one; `true` without any."""
    return " and ".join(condition_sql(item, source) for item in conditions) or "true"


def recode_file(spec: PackSpec) -> str:
    """The text of `recode.sql`: how to band one's own audience and join the pack to it."""
    items, joins = recoded(spec.recode, "audience")
    needed = "\n".join(
        f"--   {recode.source} ({'whole number' if recode.cuts else 'text'})"
        for recode in spec.recode
    )
    body = ",\n    ".join(items)
    tail = "".join(f"\n{join}" for join in joins)
    keys = column_list(column.name for column in spec.columns if column.role != "measure")
    return (
        f"-- Bands your own audience as the pack {spec.pack} is banded.\n"
        "-- Give a table or view `audience`, one row a prospect, with the columns\n"
        "--   prospect_id (yours; it stays with you)\n"
        f"{needed}\n"
        "-- and join the result to the pack by those of its columns that you know of prospects:\n"
        f"--   {keys}\n"
        "-- Values that the pack does not name become (other), NULL becomes (none).\n"
        f"select\n    audience.prospect_id,\n    {body}\nfrom audience{tail}\n"
    )


def _constant(value: str | int) -> str:
    return str(value) if isinstance(value, int) else literal(value)
