{#- The band of a local hour 0 … 23; the bounds are settings. -#}
{% macro hour_band(hour, parameters) -%}
    case
        when {{ hour }} >= {{ parameters }}.evening_from_hour then 'evening'
        when {{ hour }} >= {{ parameters }}.afternoon_from_hour then 'afternoon'
        when {{ hour }} >= {{ parameters }}.morning_from_hour then 'morning'
        else 'night'
    end
{%- endmacro %}
