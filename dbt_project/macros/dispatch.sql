{#- Everything that differs between engines stands in this file, behind adapter.dispatch, so that
    no model knows which one runs it: default__ is DuckDB, spark__ is Spark. -#}

{#- The business date of a UTC time. `parameters` is the alias of `control.parameters`, or of a
    relation with its timezone, utc_offset_least and utc_offset_greatest. -#}
{% macro local_date(ts, parameters) -%}
    {{ return(adapter.dispatch('local_date')(ts, parameters)) }}
{%- endmacro %}

{#- Where the zone's least and greatest offsets since 2000 give one date, so does every offset
    between them. Asking the calendar of the zone takes six times as long. -#}
{% macro default__local_date(ts, parameters) -%}
    {%- set early -%}
        cast({{ ts }} + to_seconds({{ parameters }}.utc_offset_least) as date)
    {%- endset -%}
    {%- set late -%}
        cast({{ ts }} + to_seconds({{ parameters }}.utc_offset_greatest) as date)
    {%- endset -%}
    case
        when {{ early }} = {{ late }} and {{ ts }} >= timestamp '2000-01-01' then {{ early }}
        else cast({{ _wall_clock(ts, parameters) }} as date)
    end
{%- endmacro %}

{#- A UTC time on the zone's clocks. The plain way from a timestamp to an instant, timezone('UTC',
    …), asks the calendar too. -#}
{% macro _wall_clock(ts, parameters) -%}
    timezone({{ parameters }}.timezone, make_timestamptz(epoch_us({{ ts }})))
{%- endmacro %}

{% macro spark__local_date(ts, parameters) -%}
    cast(from_utc_timestamp({{ ts }}, {{ parameters }}.timezone) as date)
{%- endmacro %}

{#- Stands before the bracket of a CTE that several others read, to have it planned into each of
    them: DuckDB would write its rows down first, Spark never does. -#}
{% macro not_materialized() -%}
    {{ return(adapter.dispatch('not_materialized')()) }}
{%- endmacro %}

{% macro default__not_materialized() -%}
    not materialized
{%- endmacro %}

{% macro spark__not_materialized() -%}
{%- endmacro %}

{% macro sha256_hex(text) -%}
    {{ return(adapter.dispatch('sha256_hex')(text)) }}
{%- endmacro %}

{% macro default__sha256_hex(text) -%}
    sha256({{ text }})
{%- endmacro %}

{% macro spark__sha256_hex(text) -%}
    sha2({{ text }}, 256)
{%- endmacro %}

{% macro tokenise(text) -%}
    {{ return(adapter.dispatch('tokenise')(text)) }}
{%- endmacro %}

{#- HMAC-SHA256 (RFC 2104) in SQL; NULL stays NULL, and a session without the key fails. -#}
{% macro default__tokenise(text) -%}
    case
        when {{ text }} is null then null
        when getvariable('tandem_ipad') is null or getvariable('tandem_opad') is null
            then error('this session has no tokenisation key')
        else sha256(
            getvariable('tandem_opad')
            || unhex(sha256(getvariable('tandem_ipad') || encode({{ text }})))
        )
    end
{%- endmacro %}

{#- The same with Spark's session variables; one that is not declared fails the query. -#}
{% macro spark__tokenise(text) -%}
    sha2(concat(
        tandem_opad, unhex(sha2(concat(tandem_ipad, encode({{ text }}, 'UTF-8')), 256))
    ), 256)
{%- endmacro %}

{% macro normalise_phone(phone) -%}
    {{ return(adapter.dispatch('normalise_phone')(phone)) }}
{%- endmacro %}

{#- Digits only, full-width ones folded; a leading 00 goes, then 86 when 13 digits remain; fewer
    than 7 digits are NULL. Engines differ in the 'g' flag and in how a group is named. -#}
{% macro default__normalise_phone(phone) -%}
    nullif(regexp_extract(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    translate({{ phone }}, '０１２３４５６７８９', '0123456789'), '[^0-9]', '', 'g'
                ),
                '^00', ''
            ),
            '^86([0-9]{11})$', '\1'
        ),
        '^[0-9]{7,}$', 0
    ), '')
{%- endmacro %}

{% macro spark__normalise_phone(phone) -%}
    nullif(regexp_extract(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    translate({{ phone }}, '０１２３４５６７８９', '0123456789'), '[^0-9]', ''
                ),
                '^00', ''
            ),
            '^86([0-9]{11})$', '$1'
        ),
        '^[0-9]{7,}$', 0
    ), '')
{%- endmacro %}

{% macro sorted_join(text, separator) -%}
    {{ return(adapter.dispatch('sorted_join')(text, separator)) }}
{%- endmacro %}

{#- An aggregate: the group's values in code point order, joined. -#}
{% macro default__sorted_join(text, separator) -%}
    string_agg({{ text }}, {{ separator }} order by {{ text }})
{%- endmacro %}

{% macro spark__sorted_join(text, separator) -%}
    case when count({{ text }}) > 0 then array_join(array_sort(collect_list({{ text }})), {{ separator }}) end
{%- endmacro %}

{% macro json_list_contains(list, value) -%}
    {{ return(adapter.dispatch('json_list_contains')(list, value)) }}
{%- endmacro %}

{#- Whether a JSON list of texts, itself text, holds the value; NULL for a NULL list. -#}
{% macro default__json_list_contains(list, value) -%}
    list_contains(from_json({{ list }}, '["VARCHAR"]'), {{ value }})
{%- endmacro %}

{% macro spark__json_list_contains(list, value) -%}
    array_contains(from_json({{ list }}, 'array<string>'), {{ value }})
{%- endmacro %}

{% macro json_object_members(object) -%}
    {{ return(adapter.dispatch('json_object_members')(object)) }}
{%- endmacro %}

{#- A select list item that makes one row a member of a JSON object of numbers, itself text: a
    struct of place (from 1, as written), name and value (a double). -#}
{% macro default__json_object_members(object) -%}
    unnest(list_transform(
        json_keys({{ object }}),
        lambda name, place: {
            'place': place,
            'name': name,
            'value': try_cast(json_extract({{ object }}, '$.*')[place] as double)
        }
    ))
{%- endmacro %}

{% macro spark__json_object_members(object) -%}
    explode(transform(
        json_object_keys({{ object }}),
        (name, place) -> named_struct(
            'place', place + 1,
            'name', name,
            'value', try_cast(from_json({{ object }}, 'map<string, string>')[name] as double)
        )
    ))
{%- endmacro %}

{% macro date_spine(first_date, last_date) -%}
    {{ return(adapter.dispatch('date_spine')(first_date, last_date)) }}
{%- endmacro %}

{#- A select list item that makes one row a date, both ends included; no row for a NULL end. -#}
{% macro default__date_spine(first_date, last_date) -%}
    cast(unnest(generate_series({{ first_date }}, {{ last_date }}, interval 1 day)) as date)
{%- endmacro %}

{% macro spark__date_spine(first_date, last_date) -%}
    explode(case
        when cast({{ first_date }} as date) <= cast({{ last_date }} as date)
            then sequence(cast({{ first_date }} as date), cast({{ last_date }} as date), interval 1 day)
    end)
{%- endmacro %}

{% macro local_midnight(date, timezone) -%}
    {{ return(adapter.dispatch('local_midnight')(date, timezone)) }}
{%- endmacro %}

{#- The UTC instant at which a local date begins. -#}
{% macro default__local_midnight(date, timezone) -%}
    timezone('UTC', timezone({{ timezone }}, cast({{ date }} as timestamp)))
{%- endmacro %}

{% macro spark__local_midnight(date, timezone) -%}
    cast(to_utc_timestamp(cast({{ date }} as timestamp), {{ timezone }}) as timestamp)
{%- endmacro %}

{% macro micros_between(earlier, later) -%}
    {{ return(adapter.dispatch('micros_between')(earlier, later)) }}
{%- endmacro %}

{#- Microseconds from one UTC time to another, a bigint. -#}
{% macro default__micros_between(earlier, later) -%}
    (epoch_us({{ later }}) - epoch_us({{ earlier }}))
{%- endmacro %}

{% macro spark__micros_between(earlier, later) -%}
    (
        unix_micros(cast({{ later }} as timestamp_ltz))
        - unix_micros(cast({{ earlier }} as timestamp_ltz))
    )
{%- endmacro %}

{% macro seconds_between(earlier, later) -%}
    {{ return(adapter.dispatch('seconds_between')(earlier, later)) }}
{%- endmacro %}

{#- Whole seconds from one timestamp to a later one, rounded down. -#}
{% macro default__seconds_between(earlier, later) -%}
    cast(floor(date_diff('microsecond', {{ earlier }}, {{ later }}) / 1000000.0) as bigint)
{%- endmacro %}

{% macro spark__seconds_between(earlier, later) -%}
    cast(floor({{ spark__micros_between(earlier, later) }} / 1000000.0) as bigint)
{%- endmacro %}

{% macro wide_integer(number) -%}
    {{ return(adapter.dispatch('wide_integer')(number)) }}
{%- endmacro %}

{#- The number as an integer of at least 38 digits, for exact products of money and weights. -#}
{% macro default__wide_integer(number) -%}
    cast({{ number }} as hugeint)
{%- endmacro %}

{% macro spark__wide_integer(number) -%}
    cast({{ number }} as decimal(38, 0))
{%- endmacro %}

{% macro floor_divide(numerator, denominator) -%}
    {{ return(adapter.dispatch('floor_divide')(numerator, denominator)) }}
{%- endmacro %}

{#- Integers, denominator > 0: the quotient rounded down, below zero too; NULL for denominator 0. -#}
{% macro default__floor_divide(numerator, denominator) -%}
    (
        (({{ numerator }}) // nullif({{ denominator }}, 0))
        - case when ({{ numerator }}) % nullif({{ denominator }}, 0) < 0 then 1 else 0 end
    )
{%- endmacro %}

{#- What is divided is a multiple of the denominator, so that no digit is rounded; a quotient has at
    most 32 digits, since a division keeps six decimal places free. -#}
{% macro spark__floor_divide(numerator, denominator) -%}
    cast((
        cast({{ numerator }} as decimal(38, 0))
        - pmod(cast({{ numerator }} as decimal(38, 0)), nullif(cast({{ denominator }} as decimal(38, 0)), 0))
    ) / nullif(cast({{ denominator }} as decimal(38, 0)), 0) as decimal(38, 0))
{%- endmacro %}

{% macro reporting_minor(amount, numerator, denominator) -%}
    {{ return(adapter.dispatch('reporting_minor')(amount, numerator, denominator)) }}
{%- endmacro %}

{#- amount × numerator / denominator, half away from zero, for amounts >= 0. Exact in 128-bit
    integers; NULL without a rate, and where the product needs more than 38 digits. -#}
{% macro default__reporting_minor(amount, numerator, denominator) -%}
    try(cast(
        (
            2 * cast({{ amount }} as hugeint) * cast({{ numerator }} as hugeint)
            + cast({{ denominator }} as hugeint)
        ) // (2 * cast({{ denominator }} as hugeint))
        as bigint
    ))
{%- endmacro %}

{% macro spark__reporting_minor(amount, numerator, denominator) -%}
    try_cast({{ spark__floor_divide(
        '(2 * ' ~ spark__wide_integer(amount) ~ ' * ' ~ spark__wide_integer(numerator)
        ~ ' + ' ~ spark__wide_integer(denominator) ~ ')',
        '(2 * ' ~ spark__wide_integer(denominator) ~ ')'
    ) }} as bigint)
{%- endmacro %}

{% macro local_hour(ts, parameters) -%}
    {{ return(adapter.dispatch('local_hour')(ts, parameters)) }}
{%- endmacro %}

{#- The hour 0 … 23 of the local wall clock, a bigint; `parameters` as for `local_date`. -#}
{% macro default__local_hour(ts, parameters) -%}
    extract(hour from case
        when
            {{ parameters }}.utc_offset_least = {{ parameters }}.utc_offset_greatest
            and {{ ts }} >= timestamp '2000-01-01'
            then {{ ts }} + to_seconds({{ parameters }}.utc_offset_least)
        else {{ _wall_clock(ts, parameters) }}
    end)
{%- endmacro %}

{% macro spark__local_hour(ts, parameters) -%}
    cast(extract(hour from from_utc_timestamp({{ ts }}, {{ parameters }}.timezone)) as bigint)
{%- endmacro %}

{% macro five_minute_start(ts) -%}
    {{ return(adapter.dispatch('five_minute_start')(ts)) }}
{%- endmacro %}

{#- The start of the five minutes, counted from the full hour, that hold a UTC time. -#}
{% macro default__five_minute_start(ts) -%}
    time_bucket(interval 5 minute, {{ ts }})
{%- endmacro %}

{% macro spark__five_minute_start(ts) -%}
    cast(timestamp_micros(
        unix_micros(cast({{ ts }} as timestamp_ltz)) div 300000000 * 300000000
    ) as timestamp)
{%- endmacro %}

{% macro five_minute_spine(starts_at, ends_at) -%}
    {{ return(adapter.dispatch('five_minute_spine')(starts_at, ends_at)) }}
{%- endmacro %}

{#- A select list item that makes one row per five minutes of [starts_at, ends_at). -#}
{% macro default__five_minute_spine(starts_at, ends_at) -%}
    unnest(range({{ starts_at }}, {{ ends_at }}, interval 5 minute))
{%- endmacro %}

{% macro spark__five_minute_spine(starts_at, ends_at) -%}
    explode(case
        when {{ starts_at }} < {{ ends_at }}
            then sequence({{ starts_at }}, {{ ends_at }} - interval 1 microsecond, interval 5 minute)
    end)
{%- endmacro %}

{% macro create_scratch_table(name, query) -%}
    {{ return(adapter.dispatch('create_scratch_table')(name, query)) }}
{%- endmacro %}

{#- Runs the query while the model compiles, and keeps its rows as a table for the run. -#}
{% macro default__create_scratch_table(name, query) -%}
    {%- do run_query('create or replace temporary table ' ~ name ~ ' as ' ~ query) -%}
{%- endmacro %}

{#- Spark has temporary views alone, which would run every round of a loop again. -#}
{% macro spark__create_scratch_table(name, query) -%}
    {%- do run_query('drop table if exists ' ~ name) -%}
    {%- do run_query(
        'create table ' ~ name ~ ' using parquet location '
        ~ spark_folder(env_var('TANDEM_SPARK_TABLES') ~ '/scratch/' ~ name) ~ ' as ' ~ query
    ) -%}
{%- endmacro %}

{% macro private_view() -%}
    {{ return(adapter.dispatch('private_view')()) }}
{%- endmacro %}

{#- The materialisation of what only staging tokenises: a view, where a view may read the key. -#}
{% macro default__private_view() -%}
    {{ return('view') }}
{%- endmacro %}

{#- Spark lets no stored view read a session variable, and the key stands nowhere else. -#}
{% macro spark__private_view() -%}
    {{ return('table') }}
{%- endmacro %}

{% macro days_between(earlier, later) -%}
    {{ return(adapter.dispatch('days_between')(earlier, later)) }}
{%- endmacro %}

{#- Days from one date to another, a bigint. -#}
{% macro default__days_between(earlier, later) -%}
    ({{ later }} - {{ earlier }})
{%- endmacro %}

{% macro spark__days_between(earlier, later) -%}
    cast(datediff({{ later }}, {{ earlier }}) as bigint)
{%- endmacro %}
