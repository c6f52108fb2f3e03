{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- The contract names the schemas, so a model's schema is used as it stands. -#}
    {{ custom_schema_name if custom_schema_name is not none else target.schema }}
{%- endmacro %}
