{#- Everything that differs between engines stands in this file, behind adapter.dispatch, so that
    a second engine is added here and in no model. -#}

{% macro local_date(ts, timezone) -%}
    {{ return(adapter.dispatch('local_date')(ts, timezone)) }}
{%- endmacro %}

{% macro default__local_date(ts, timezone) -%}
    cast(timezone({{ timezone }}, timezone('UTC', {{ ts }})) as date)
{%- endmacro %}

{% macro sha256_hex(text) -%}
    {{ return(adapter.dispatch('sha256_hex')(text)) }}
{%- endmacro %}

{% macro default__sha256_hex(text) -%}
    sha256({{ text }})
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
