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
