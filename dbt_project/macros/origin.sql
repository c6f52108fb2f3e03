{#- Where a content or message comes from: declared, else the platform's label, else unknown. -#}
{% macro origin(declared, label='cast(null as string)') -%}
    coalesce({{ declared }}, {{ label }}, 'unknown')
{%- endmacro %}
