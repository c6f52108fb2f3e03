{#- amount × part × scale / whole, rounded down, for whole > 0 (NULL for 0): the division comes
    before the product, so that no step needs more digits than a wide integer has. -#}
{% macro scaled_share(amount, part, whole, scale) -%}
    (
        {{ floor_divide(amount, whole) }} * {{ wide_integer(part) }} * {{ scale }}
        + {{ floor_divide(
            '(' ~ amount ~ ' - ' ~ floor_divide(amount, whole) ~ ' * ' ~ whole ~ ') * '
            ~ wide_integer(part) ~ ' * ' ~ scale, whole
        ) }}
    )
{%- endmacro %}
