{#- Tables over the mirrored Parquet of orchestration/engines/mirror.py, run as an operation before
    the models of a Spark target.

    root: the folder; tables: {schema: [name]}. Dropping such a table leaves its files. -#}
{% macro register_mirror(root, tables) -%}
    {%- for schema, names in tables.items() -%}
        {%- do run_query('create schema if not exists ' ~ schema) -%}
        {%- for name in names -%}
            {%- do run_query('drop table if exists ' ~ schema ~ '.' ~ name) -%}
            {%- do run_query(
                'create table ' ~ schema ~ '.' ~ name ~ " using parquet location '"
                ~ root | replace("'", "\\'") ~ '/' ~ schema ~ '/' ~ name ~ "'"
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- dbt's own macros that Spark needs otherwise: a contract's `varchar` is Spark's `string`. -#}
{% macro spark__get_empty_schema_sql(columns) -%}
    select
    {%- for column in columns.values() %}
        cast(null as {{ 'string' if column.data_type == 'varchar' else column.data_type }})
        as {{ adapter.quote(column.name) }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- dbt-spark knows four strategies, and `rebuild_dates` is none of them. -#}
{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) -%}
    {%- if raw_strategy != 'rebuild_dates' -%}
        {%- do exceptions.raise_compiler_error(
            'Tandem has no incremental strategy ' ~ raw_strategy ~ ' on Spark, only rebuild_dates'
        ) -%}
    {%- endif -%}
    {%- if load_relation(this) is not none and not should_full_refresh() -%}
        {%- do exceptions.raise_compiler_error(
            this ~ ' is rebuilt whole on Spark: run dbt with --full-refresh'
        ) -%}
    {%- endif -%}
    {{ return(raw_strategy) }}
{%- endmacro %}

{#- A Parquet table has no constraints, so a model with not_null columns is looked through once. -#}
{% macro spark__persist_constraints(relation, model) -%}
    {%- set columns = [] -%}
    {%- for column in model.columns.values() -%}
        {%- for constraint in column.constraints if constraint.type == 'not_null' -%}
            {%- do columns.append(adapter.quote(column.name)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if columns and config.get('contract').enforced -%}
        {%- set broken = run_query(
            'select 1 as broken from ' ~ relation ~ ' where ' ~ columns | join(' is null or ')
            ~ ' is null limit 1'
        ) -%}
        {%- if broken.rows | length > 0 -%}
            {%- do exceptions.raise_compiler_error(
                relation ~ ': a null in one of ' ~ columns | join(', ')
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Where a model's Parquet goes: into the folder of this build, if it has one, else into Spark's
    warehouse. Dropping such a table leaves its files, which the warehouse may still read. -#}
{% macro spark__location_clause() -%}
    {%- set folder = env_var('TANDEM_SPARK_TABLES', '') -%}
    {%- if folder -%}
        location '{{ folder | replace("'", "\\'") }}/{{ model['schema'] }}.db/{{ model['alias'] }}'
    {%- endif -%}
{%- endmacro %}
