"""Rules that hold for every mart, and for the published file: all the marts and nothing else.

The list of marts is the dbt project's, so none can be published without these rules.
"""

from __future__ import annotations

from data_quality.contract_rules import RuleDict, no_rows
from orchestration.contracts import contracts
from orchestration.plan import DBT_PROJECT

WAREHOUSE = "warehouse"
"""The name under which the warehouse stands beside the published file while that is judged."""
CATALOG = "information_schema.tables"
GROWING = frozenset({"quality.validations"})
"""Marts that gain rows once they are published: the verdict on the publication itself."""


def published_tables() -> tuple[str, ...]:
    """`<schema>.<table>` of every mart of the dbt project, sorted."""
    # A model whose table's name another schema has as well begins with its own schema.
    return tuple(
        sorted(
            f"{path.parent.name}.{path.stem.removeprefix(f'{path.parent.name}_')}"
            for path in (DBT_PROJECT / "models" / "marts").glob("*/*.sql")
        )
    )


def private_columns() -> tuple[str, ...]:
    """Names that no published column may have: PII fields, their tokens, and raw text."""
    fields = {name for contract in contracts().values() for name in contract.pii_fields}
    return tuple(sorted(fields | {f"{name}_token" for name in fields} | {"raw_text", "_extra"}))


def published_schemas() -> tuple[str, ...]:
    """Schemas that are published."""
    # Here and not above: publishing reads the verdicts, which know the rules.
    from orchestration.publish.allowlist import PUBLISHED_SCHEMAS

    return PUBLISHED_SCHEMAS


def mart_rules() -> dict[str, list[RuleDict]]:
    """Table to rules: what must hold of every mart, before it is copied anywhere."""
    private = ", ".join(f"'{name}'" for name in private_columns())
    rules = {}
    for name in published_tables():
        schema, table = name.split(".")
        rules[name] = [
            no_rows(
                "no_private_columns",
                f"""
                with batch as (select 1 as one from {{batch}} limit 0)
                select column_name from duckdb_columns()
                where database_name = current_database() and schema_name = '{schema}'
                    and table_name = '{table}' and lower(column_name) in ({private})
                """,
                ("没有个人信息列", "no column is personal data, its token, or raw text"),
                ["pii_let_through"],
            )
        ]
    return rules


def export_rules() -> dict[str, list[RuleDict]]:
    """Table to rules: one suite for the file as a whole, one for each published table."""
    return {CATALOG: _file_rules()} | {name: _table_rules(name) for name in published_tables()}


def _file_rules() -> list[RuleDict]:
    schemas = ", ".join(f"'{name}'" for name in published_schemas())
    private = ", ".join(f"'{name}'" for name in private_columns())
    listing = """
        with batch as (
            select table_catalog, table_schema, table_name, table_type from {batch}
        ),
        published as (
            select table_schema, table_name, table_type from batch
            where table_catalog = current_database()
                and (table_schema, table_name) not in (
                    ('main', '_publish'), ('main', '_publish_tables')
                )
        ),
        marts as (
            select table_schema, table_name from batch
            where table_catalog = 'warehouse' and table_schema in (SCHEMAS)
        )
    """.replace("SCHEMAS", schemas)
    return [
        no_rows(
            "published_schemas_only",
            f"{listing} select table_schema from published where table_schema not in ({schemas})",
            ("没有私有模式", "no private schema is in the file"),
            ["private_schema_published"],
        ),
        no_rows(
            "no_mart_missing",
            f"""
            {listing} select table_name from marts
            where (table_schema, table_name) not in (
                select table_schema, table_name from published
            )
            """,
            ("数仓的每个集市表都已发布", "every mart of the warehouse is in the file"),
            ["mart_not_published", "stale_snapshot"],
        ),
        no_rows(
            "no_other_table",
            f"""
            {listing} select table_name from published
            where table_schema in ({schemas}) and (table_schema, table_name) not in (
                select table_schema, table_name from marts
            )
            """,
            ("没有数仓中不存在的表", "no table is in the file that the warehouse does not have"),
            ["stale_snapshot", "private_table_published"],
        ),
        no_rows(
            "tables_only",
            f"{listing} select table_name from published where table_type <> 'BASE TABLE'",
            ("只有表，没有视图", "tables only: a view would read what is not there"),
            ["view_published"],
        ),
        no_rows(
            "no_private_columns",
            f"""
            with batch as (select 1 as one from {{batch}} limit 0)
            select column_name from duckdb_columns()
            where database_name = current_database() and not internal
                and lower(column_name) in ({private})
            """,
            ("没有个人信息列", "no column is personal data, its token, or raw text"),
            ["pii_let_through"],
        ),
    ]


def _table_rules(name: str) -> list[RuleDict]:
    schema, table = name.split(".")
    columns = f"""
        select column_index, column_name, data_type from duckdb_columns()
        where schema_name = '{schema}' and table_name = '{table}' and database_name =
    """
    return [
        no_rows(
            "same_columns",
            f"""
            with batch as (select 1 as one from {{batch}} limit 0),
            published as ({columns} current_database()),
            mart as ({columns} '{WAREHOUSE}')
            (select * from published except select * from mart)
            union all (select * from mart except select * from published)
            """,
            ("列与数仓相同", "the columns and types are the warehouse's"),
            ["stale_snapshot", "type_change", "column_renamed"],
        ),
        _rows_known(name) if name in GROWING else _same_rows(name),
    ]


def _rows_known(name: str) -> RuleDict:
    return no_rows(
        "rows_known",
        f"select * from {{batch}} except select * from {WAREHOUSE}.{name}",
        ("每一行都在数仓中", "every row is one of the warehouse"),
        ["content_altered"],
    )


def _same_rows(name: str) -> RuleDict:
    # A column of the same name would be hashed in place of the row, hence the odd names.
    return no_rows(
        "same_rows",
        f"""
            with published_row_ as (select * from {{batch}}),
            there as (
                select count(*) as n, sum(cast(hash(published_row_) as hugeint)) as digest
                from published_row_
            ),
            mart_row_ as (select * from {WAREHOUSE}.{name}),
            here as (
                select count(*) as n, sum(cast(hash(mart_row_) as hugeint)) as digest from mart_row_
            )
            select there.n from there, here
            where there.n <> here.n or there.digest is distinct from here.digest
            """,
        ("行数与内容和数仓相同", "as many rows as the warehouse, with equal content"),
        ["stale_snapshot", "half_published", "content_altered"],
    )
