"""The files that say again what the contracts and two libraries say, written from them.

`python -m orchestration.dbt_sources` writes dbt's sources, the YAML of the staging models,
docs/contracts.md, and the seeds of the Chinese calendar and the ISO 4217 currencies; with
`--check` it only tells which of them are stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from chinese_calendar import constants as calendar
from iso4217 import Currency

from orchestration.contracts import CORES, LogContract, LogField, Words, contracts
from orchestration.ingest.tables import CONTROL_TABLES, parameter_columns
from orchestration.plan import DBT_PROJECT

ROOT = DBT_PROJECT.parent
SEEDS = DBT_PROJECT / "seeds"
STAGING = DBT_PROJECT / "models" / "staging"
HEADER = (
    "# Written by `python -m orchestration.dbt_sources` from orchestration/contracts: edit those.\n"
)

CONTROL_DESCRIPTIONS: Mapping[str, Words] = {
    "files": Words(zh="文件台账，按 (log, sha256)", en="File ledger, keyed by (log, sha256)"),
    "paths": Words(
        zh="见过的路径，未变则不再计算哈希", en="Every path seen, not hashed again while unchanged"
    ),
    "batches": Words(zh="有收录的每次入库一行", en="One row per ingest that took something"),
    "replaced": Words(zh="被后到记录替换的事件行", en="Event rows that a later arrival replaced"),
    "schema_drift": Words(zh="契约未列出的字段", en="Fields that no contract names"),
    "window_dates": Words(
        zh="回填要求重建的业务日期", en="Business dates that a backfill asks to rebuild"
    ),
    "funnel_steps": Words(zh="漏斗的每一步，来自设置", en="One row per step of a declared funnel"),
    "scene_kinds": Words(
        zh="计为触点的场景类型，来自设置", en="Kinds of scenes that count as touchpoints"
    ),
    "builds": Words(zh="每次构建及其水位", en="Every build and its watermark"),
    "payout_ledger": Words(
        zh="分成流水的正本，只追加", en="The payout ledger of record, append-only"
    ),
    "payout_payees": Words(
        zh="流水中每个收款人当时的 ID", en="The ids that each payee of the ledger had"
    ),
    "tombstones": Words(
        zh="被删除的 ID：只存不可逆的摘要与替代 ID",
        en="Ids that were erased: an irreversible digest, and the id in their place",
    ),
    "validations": Words(zh="质量门的裁定", en="Verdicts of the gates"),
    "release_ledger": Words(
        zh="人群包发布账本：只追加、逐行哈希相连",
        en="Release ledger of audience packs: append-only, each row hashes the one before",
    ),
    "audience_packs": Words(zh="每个人群包版本一行", en="One row per version of an audience pack"),
    "audience_rows": Words(
        zh="在用 rows 包文件的长表：每个单元与列一行",
        en="Files of live rows packs in long form, one row per cell and column",
    ),
    "audience_counts": Words(
        zh="在用 counts 包文件的长表：每个单元与度量一行",
        en="Files of live counts packs in long form, one row per cell and measure",
    ),
    "audience_attacks": Words(
        zh="对每个候选包的攻击结果", en="What each attack reached on each candidate"
    ),
    "parameters": Words(zh="单行：本次运行的参数", en="One row: the parameters of this run"),
    "lines": Words(zh="被拒收的行及原因", en="Every rejected line and its reason"),
}
"""Tables that models may read; what ingestion keeps for itself is no source."""


class Indented(yaml.SafeDumper):
    """Indents lists below their key, as yamllint wants them, and repeats in place of anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Never indentless."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """No anchors."""
        return True


def describe(words: Words) -> str:
    """The house's one form of a description: `English. | 中文。`."""
    return f"{words.en[:1].upper()}{words.en[1:].rstrip('.')}. | {words.zh.rstrip('。')}。"


def sources() -> dict[str, Any]:
    """The dbt sources `raw`, `control` and `quarantine`, one table a log."""
    return {
        "version": 2,
        "sources": [
            {
                "name": "raw",
                "schema": "raw",
                "description": describe(
                    Words(
                        zh="入库的记录，按契约类型，未填默认值",
                        en="Accepted records, typed, defaults not filled",
                    )
                ),
                "tables": [_raw_table(contract) for contract in contracts().values()],
            },
            _control_source(
                "control",
                Words(zh="入库、计划与质量门的台账", en="Ledgers of ingest, plan and gates"),
            ),
            _control_source("quarantine", Words(zh="被拒收的行", en="Rejected lines")),
        ],
    }


def staging_models(contract: LogContract) -> dict[str, dict[str, Any]]:
    """Model name to YAML of the log's staging models: one, and for an entity its history too.

    Columns stand in the order of the SQL.
    """
    stem = f"stg_{contract.table}"
    title = contract.title
    if contract.kind == "event":
        grain = Words(
            zh=f"{title.zh}：每个 (source, {contract.key}) 一行",
            en=f"{title.en}: one row per (source, {contract.key})",
        )
        return {stem: _model(stem, grain, _staged_columns(contract), ["source", contract.key])}
    current = Words(
        zh=f"{title.zh}的当前状态：每个 (source, {contract.key}) 一行",
        en=f"{title.en}, current state: one row per (source, {contract.key})",
    )
    history = Words(
        zh=f"{title.zh}的全部状态：每个 (source, {contract.key}, version) 一行",
        en=f"{title.en}, every state: one row per (source, {contract.key}, version)",
    )
    spans = [
        _column("valid_from", Words(zh="状态起始时间（含）", en="time this state began")),
        _column(
            "valid_to",
            Words(
                zh="状态结束时间（不含），当前状态为空；同一时刻被覆盖的状态起止相等",
                en="time the next state began, null for the current one; "
                "equal to valid_from where a state of the same moment won",
            ),
        ),
        _column("version", Words(zh="状态序号，从 1 起", en="number of the state, from 1")),
    ]
    columns = _staged_columns(contract)
    key = ["source", contract.key]
    return {
        stem: _model(stem, current, columns, key),
        f"{stem}_history": _model(f"{stem}_history", history, columns + spans, [*key, "version"]),
    }


def contracts_page() -> str:
    """docs/contracts.md: every log and field in words."""
    lines = [
        "# Raw log contracts",
        "",
        "Written by `python -m orchestration.dbt_sources` from `orchestration/contracts/logs`: "
        "edit those.",
        "",
        "Every record also carries `source` (required) and may carry `received_at`. "
        "**Bold** fields are required.",
    ]
    for core in CORES:
        lines += ["", f"## {core}"]
        for contract in contracts().values():
            if contract.core == core:
                lines += _page_of(contract)
    return "\n".join(lines) + "\n"


def calendar_seed() -> str:
    """CSV of the dates of chinesecalendar that differ from plain weekdays and weekends.

    `day_type` is `holiday` (any day off of a statutory holiday) or `makeup_workday`. The library
    knows the whole years from the first date to the last.
    """
    days = {day: ("holiday", name) for day, name in calendar.holidays.items()}
    days |= {day: ("makeup_workday", name) for day, name in calendar.workdays.items()}
    lines = [f"{day.isoformat()},{kind},{name}" for day, (kind, name) in sorted(days.items())]
    return "\n".join(["date,day_type,holiday", *lines]) + "\n"


def currency_seed() -> str:
    """CSV of the ISO 4217 codes; codes without a minor unit (metals) have exponent 0."""
    rows = sorted((currency.code, str(currency.exponent or 0)) for currency in Currency)
    return "\n".join(["currency,exponent", *(",".join(row) for row in rows)]) + "\n"


def files() -> dict[Path, str]:
    """Every generated file and its text."""
    wanted = {STAGING / "_sources.yml": _dump(sources())}
    for contract in contracts().values():
        for stem, model in staging_models(contract).items():
            wanted[STAGING / contract.core / f"{stem}.yml"] = _dump(model)
    wanted[ROOT / "docs" / "contracts.md"] = contracts_page()
    wanted[SEEDS / "cn_calendar.csv"] = calendar_seed()
    wanted[SEEDS / "currencies.csv"] = currency_seed()
    return wanted


def stale_files() -> list[Path]:
    """Generated files that are missing or differ from what the contracts say."""
    return [
        path
        for path, text in files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is stale (exit 0); with `--check` name it (exit 1 if there is any)."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestration.dbt_sources", description=__doc__
    )
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    options = parser.parse_args(arguments)
    stale = stale_files()
    texts = files()
    for path in stale:
        sys.stdout.write(f"{'stale' if options.check else 'wrote'} {path.relative_to(ROOT)}\n")
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
    return int(options.check and bool(stale))


def _raw_table(contract: LogContract) -> dict[str, Any]:
    columns = [
        _column(field.name, field.description, field.duckdb_type, pii=field.pii)
        for field in contract.all_fields
    ]
    columns += [
        _column(
            "_extra",
            Words(zh="契约外字段的 JSON", en="fields that no contract names, as JSON"),
            "VARCHAR",
            pii=True,
        ),
        _column("_file_id", Words(zh="来源文件", en="file of control.files"), "BIGINT"),
        _column("_batch_id", Words(zh="入库批次", en="batch that accepted the row"), "BIGINT"),
    ]
    if contract.kind == "entity":
        columns.append(
            _column(
                "_state_sha256",
                Words(zh="状态规范 JSON 的 SHA-256", en="SHA-256 of the state's canonical JSON"),
                "VARCHAR",
                pii=bool(contract.pii_fields),
            )
        )
    return {
        "name": contract.table,
        "description": describe(contract.title),
        "config": {"meta": {"dagster": {"asset_key": ["raw", contract.table]}}},
        "columns": columns,
    }


def _control_source(schema: str, words: Words) -> dict[str, Any]:
    tables = {
        name.split(".")[1]: [column.split()[:2] for column in ddl.split(",")]
        for name, ddl in CONTROL_TABLES.items()
        if name.startswith(f"{schema}.") and name.split(".")[1] in CONTROL_DESCRIPTIONS
    }
    if schema == "control":
        tables["parameters"] = [[name, kind] for name, kind in parameter_columns().items()]
    return {
        "name": schema,
        "schema": schema,
        "description": describe(words),
        "tables": [
            {
                "name": name,
                "description": describe(CONTROL_DESCRIPTIONS[name]),
                "columns": [
                    {"name": column, "data_type": kind}
                    | ({"config": {"meta": {"pii": True}}} if column == "raw_text" else {})
                    for column, kind in columns
                ],
            }
            for name, columns in tables.items()
        ],
    }


def _staged_columns(contract: LogContract) -> list[dict[str, Any]]:
    columns = [_staged_column(field) for field in contract.all_fields]
    batch = Words(zh="入库批次", en="batch of control.batches that accepted the row")
    return [*columns, _column("batch_id", batch)]


def _staged_column(field: LogField) -> dict[str, Any]:
    if not field.pii:
        return _column(field.name, field.description)
    normalised = (" (normalised)", "（规范化后）") if field.name == "phone" else ("", "")
    words = Words(
        zh=f"{field.description.zh}{normalised[1]}的令牌 (HMAC-SHA256)",
        en=f"HMAC-SHA256 token of the {field.description.en}{normalised[0]}",
    )
    return _column(f"{field.name}_token", words, pii=True)


def _column(
    name: str, words: Words, kind: str | None = None, *, pii: bool = False
) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "description": describe(words)}
    if kind is not None:
        column["data_type"] = kind.lower()
    if pii:
        column["config"] = {"meta": {"pii": True}}
    return column


def _model(
    name: str, grain: Words, columns: list[dict[str, Any]], key: list[str]
) -> dict[str, Any]:
    return {
        "version": 2,
        "models": [
            {
                "name": name,
                "description": describe(grain),
                "config": {"meta": {"grain": key}},
                "columns": columns,
            }
        ],
    }


def _page_of(contract: LogContract) -> list[str]:
    kind = (
        f"Entity: states of `(source, {contract.key})`, the greatest `updated_at` is current."
        if contract.kind == "entity"
        else f"Event: one record per `(source, {contract.key})`, placed in time by "
        f"`{contract.time}`."
    )
    lines = ["", f"### {contract.log}", "", describe(contract.title), "", kind, ""]
    for rule in contract.rules:
        if rule.at_least_one_of is not None:
            lines += [f"At least one of {', '.join(f'`{n}`' for n in rule.at_least_one_of)}.", ""]
        if rule.required_unless is not None:
            unless = rule.required_unless
            lines += [
                f"`{unless.require}` is required unless `{unless.field}` is `{unless.equals}`.",
                "",
            ]
    lines += ["| field | type | PII | description | 说明 |", "|---|---|---|---|---|"]
    for field in contract.fields:
        name = f"**{field.name}**" if field.required else field.name
        lines.append(
            f"| {name} | {_type_words(field)} | {'yes' if field.pii else ''} "
            f"| {field.description.en} | {field.description.zh} |"
        )
    return lines


def _type_words(field: LogField) -> str:
    words: str = field.type
    if field.enum is not None:
        words = ", ".join(f"`{value}`" for value in field.enum)
    if field.items is not None and field.items.enum is not None:
        words += " of " + ", ".join(f"`{value}`" for value in field.items.enum)
    bounds = [
        f"{sign} {bound}"
        for sign, bound in ((">=", field.min), ("<=", field.max), (">", field.exclusive_min))
        if bound is not None
    ]
    if bounds:
        words += f" ({', '.join(bounds)})"
    if field.default is not None:
        words += f" (default {str(field.default).lower()})"
    if field.may_be_future:
        words += " (may lie in the future)"
    return words


def _dump(content: dict[str, Any]) -> str:
    text = yaml.dump(content, Dumper=Indented, allow_unicode=True, sort_keys=False, width=100)
    return HEADER + "\n" + text


if __name__ == "__main__":
    sys.exit(main())
