{#- Tables over Parquet that is there already, run as an operation before the models of a target of
    Spark. folders: {schema: {table: folder}}. Dropping such a table leaves its files. -#}
{% macro register_tables(folders) -%}
    {%- for schema, tables in folders.items() -%}
        {%- do run_query('create schema if not exists ' ~ schema) -%}
        {%- for table, folder in tables.items() -%}
            {%- set name = schema ~ '.' ~ table -%}
            {%- do run_query('drop table if exists ' ~ name) -%}
            {%- do run_query(
                'create table ' ~ name ~ ' using parquet location ' ~ spark_folder(folder)
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- A folder that this machine and Spark's share, as a literal: a cluster may take a bare path for
    one of its own file system. -#}
{% macro spark_folder(path) -%}
    'file://{{ path | replace("\\", "\\\\") | replace("'", "\\'") }}'
{%- endmacro %}

{#- Whether a cluster can do this client's work, run as an operation before anything is written.

    client: the version of its pyspark; probe: a Parquet file in a folder that must be shared. -#}
{% macro check_cluster(client, probe) -%}
    {%- set server = run_query('select version()').columns[0].values()[0] -%}
    {%- set server = server.split(' ')[0] -%}
    {%- if server.split('.')[:2] != client.split('.')[:2] -%}
        {%- do exceptions.raise_compiler_error(
            'it is version ' ~ server ~ ' and this client has pyspark ' ~ client
            ~ ': install the pyspark of the cluster, or another cluster'
        ) -%}
    {%- endif -%}
    {%- do run_query('select count(*) from parquet.`file://' ~ probe | replace('`', '``') ~ '`') -%}
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

{#- Where a model's Parquet goes. Dropping such a table leaves its files, which a warehouse may still
    read; making it again replaces them. -#}
{% macro spark__location_clause() -%}
    location {{ spark_folder(
        env_var('TANDEM_SPARK_TABLES') ~ '/' ~ model['schema'] ~ '.db/' ~ model['alias']
    ) }}
{%- endmacro %}
