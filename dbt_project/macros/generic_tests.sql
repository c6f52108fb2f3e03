{#- Generic data tests. Each returns the rows that break it; none returns a whole row, since the
    rows of failed tests may be stored. -#}

{#- No two rows share the columns' values; NULLs are values here. -#}
{% test unique_combination(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{#- None of the columns is ever null: one scan for all of them. -#}
{% test never_null(model, columns) %}
select 1 as broken
from {{ model }}
where {% for column in columns %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}

{#- The expression is true for every row; NULL breaks it. -#}
{% test expression_is_true(model, expression, column_name=none) %}
select 1 as broken
from {{ model }}
where not coalesce({{ expression }}, false)
{% endtest %}

{#- Every non-null value lies within the inclusive bounds. -#}
{% test accepted_range(model, column_name, min_value=none, max_value=none) %}
select 1 as broken
from {{ model }}
where
    false
    {% if min_value is not none %}or {{ column_name }} < {{ min_value }}{% endif %}
    {% if max_value is not none %}or {{ column_name }} > {{ max_value }}{% endif %}
{% endtest %}

{#- Every row whose columns are all non-null has a partner in `to` with equal values; the way to
    test ids that are scoped by source. `to_columns` defaults to the same names. -#}
{% test relationships_on(model, to, columns, to_columns=none) %}
{%- set partner_columns = to_columns or columns %}
select 1 as broken
from {{ model }} as child
where
    {% for column in columns -%}
    child.{{ column }} is not null and
    {% endfor -%}
    not exists (
        select 1 from {{ to }} as parent
        where
            {% for column in columns -%}
            {{ 'and ' if not loop.first }}parent.{{ partner_columns[loop.index0] }} = child.{{ column }}
            {% endfor %}
    )
{% endtest %}

{#- Both relations have the same number of rows. -#}
{% test equal_row_count(model, compare_to) %}
select
    here.row_count as rows_here,
    there.row_count as rows_there
from (select count(*) as row_count from {{ model }}) as here
cross join (select count(*) as row_count from {{ compare_to }}) as there
where here.row_count != there.row_count
{% endtest %}

{#- The sum of the column equals the sum of another relation's column; NULL sums are 0. -#}
{% test equal_sum(model, column_name, compare_to, compare_column) %}
select
    here.total as total_here,
    there.total as total_there
from (select coalesce(sum({{ column_name }}), 0) as total from {{ model }}) as here
cross join (
    select coalesce(sum({{ compare_column }}), 0) as total from {{ compare_to }}
) as there
where here.total != there.total
{% endtest %}
