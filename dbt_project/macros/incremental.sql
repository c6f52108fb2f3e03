{#- The incremental strategy `rebuild_dates` and the filter that goes with it.

    A model with this strategy holds rows by business date (meta.date_column, by default
    activity_date). An incremental run deletes the dirty dates of `int_dirty_dates` and inserts
    what the model's query gives for them, in one transaction: a dirty date without rows ends
    empty. meta.logs names the logs that the query reads, itself or through other models: dates
    that only other logs touch stay as they are; without it every log counts. Where a row of date
    D reads input of the dates D - n … D, set meta.window_before_days to n; where it reads
    D … D + n, set meta.window_after_days to n. -#}

{#- The model's dirty dates as `{'everything': bool, 'dates': [text]}`; widened when told.
    `control.parameters.full_refresh` makes everything dirty. -#}
{% macro _dirty_dates(before=0, after=0) -%}
    {%- set everything = run_query(
        'select coalesce(bool_or(full_refresh), true) from ' ~ source('control', 'parameters')
    ).columns[0].values()[0] -%}
    {%- set dates = [] -%}
    {%- if not everything -%}
        {%- set logs = config.get('meta', {}).get('logs', []) -%}
        {%- set found = run_query(
            'select distinct cast(cast(activity_date + offsets.days as date) as string) as day'
            ~ ' from ' ~ ref('int_dirty_dates')
            ~ ' cross join (' ~ _day_offsets(before, after) ~ ') as offsets'
            ~ (" where log in ('" ~ logs | join("', '") ~ "')" if logs else '')
            ~ ' order by day'
        ) -%}
        {%- for day in found.columns[0].values() -%}{%- do dates.append(day) -%}{%- endfor -%}
    {%- endif -%}
    {{ return({'everything': everything, 'dates': dates}) }}
{%- endmacro %}

{% macro _day_offsets(before, after) -%}
    {%- for days in range(-before, after + 1) -%}
        select cast({{ days }} as integer) as days{{ ' union all ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- The model's own window and date column. -#}
{% macro _rebuild_window() -%}
    {%- set meta = config.get('meta', {}) -%}
    {{ return({
        'date_column': meta.get('date_column', 'activity_date'),
        'before': meta.get('window_before_days', 0),
        'after': meta.get('window_after_days', 0),
    }) }}
{%- endmacro %}

{% macro _date_list(dates) -%}
    {%- for day in dates -%}date '{{ day }}'{{ ', ' if not loop.last }}{%- endfor -%}
{%- endmacro %}

{#- Sorted text dates as UTC spans [from, to), merged where they meet: local dates reach from
    14 h before the UTC date to 12 h after it. More than 50 spans become one, since the engine
    would test every row against each of them. -#}
{% macro _utc_spans(dates) -%}
    {%- set spans = [] -%}
    {%- set day = modules.datetime.timedelta(days=1) -%}
    {%- for text in dates -%}
        {%- set date = modules.datetime.date.fromisoformat(text) -%}
        {%- if spans and spans[-1][1] >= date - day -%}
            {%- do spans.append([spans.pop()[0], date + 2 * day]) -%}
        {%- else -%}
            {%- do spans.append([date - day, date + 2 * day]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if spans | length > 50 -%}
        {{ return([[spans[0][0], spans[-1][1]]]) }}
    {%- endif -%}
    {{ return(spans) }}
{%- endmacro %}

{#- A condition that keeps the input rows which the rebuilt dates read; true in a full build.

    date: the row's business date, an expression. time: a UTC column of the scanned table; given,
    its literal bounds let the engine skip row groups. Call it outside of any `if`, so that dbt
    sees the dependency. -#}
{% macro on_dirty_dates(date, time=none) -%}
    {%- set unused = [ref('int_dirty_dates'), source('control', 'parameters')] -%}
    {%- if not (execute and is_incremental()) -%}
        true
    {%- else -%}
        {%- set window = _rebuild_window() -%}
        {#- A rebuilt date reads its whole window, so the input reaches further than the output. -#}
        {%- set reach = window.before + window.after -%}
        {%- set dirty = _dirty_dates(reach, reach) -%}
        {%- if dirty.everything -%}
            true
        {%- elif not dirty.dates -%}
            false
        {%- else -%}
            (
                {{ date }} in ({{ _date_list(dirty.dates) }})
                {%- if time is not none %}
                and (
                    {%- for first, last in _utc_spans(dirty.dates) %}
                    {{ 'or ' if not loop.first -}}
                    ({{ time }} >= timestamp '{{ first }} 00:00:00' and {{ time }} < timestamp '{{ last }} 00:00:00')
                    {%- endfor %}
                )
                {%- endif %}
            )
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro get_incremental_rebuild_dates_sql(arg_dict) -%}
    {%- set window = _rebuild_window() -%}
    {%- set dirty = _dirty_dates(window.after, window.before) -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- if dirty.everything -%}
        {%- set on_rebuilt_dates = 'true' -%}
    {%- elif dirty.dates -%}
        {%- set on_rebuilt_dates = window.date_column ~ ' in (' ~ _date_list(dirty.dates) ~ ')' -%}
    {%- else -%}
        {%- set on_rebuilt_dates = 'false' -%}
    {%- endif -%}

    delete from {{ arg_dict['target_relation'] }}
    where {{ on_rebuilt_dates }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
    where {{ on_rebuilt_dates }}
{%- endmacro %}
