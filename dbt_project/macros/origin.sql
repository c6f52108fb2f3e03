{#- Where a content or message comes from: declared, else the platform's label, else unknown. -#}
{% macro origin(declared, label='cast(null as varchar)') -%}
    coalesce({{ declared }}, {{ label }}, 'unknown')
{%- endmacro %}
