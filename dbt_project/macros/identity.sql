{#- One text for an id of any kind: different (id_kind, source, id) never give the same text. -#}
{% macro id_key(id_kind, source, id) -%}
    {{ id_kind }} || ':' || cast(length({{ source }}) as string) || ':' || {{ source }} || ':' || {{ id }}
{%- endmacro %}

{#- Connected components of an undirected graph: runs while the model compiles and returns the
    relation (node, component), a temporary table where component is the least node it reaches.

    FastSV (Zhang, Azad, Buluç 2020): in a round every node, and the parent of every node, takes
    the least grandparent that an edge offers. A chain of 200 needs about eight rounds; a graph
    that has not settled after max_rounds is an error, never a wrong answer. -#}
{% macro connected_components(edges, node_a, node_b, max_rounds=200) -%}
    {%- if not (execute and flags.WHICH in ('run', 'build', 'retry')) -%}
        {{ return('(select cast(null as string) as node, cast(null as string) as component)') }}
    {%- else -%}
        {{ return(_settle_components(edges, node_a, node_b, max_rounds)) }}
    {%- endif -%}
{%- endmacro %}

{% macro _settle_components(edges, node_a, node_b, max_rounds) -%}
    {%- do create_scratch_table('component_edges',
        'select ' ~ node_a ~ ' as a, ' ~ node_b ~ ' as b from ' ~ edges
        ~ ' union select ' ~ node_b ~ ' as a, ' ~ node_a ~ ' as b from ' ~ edges) -%}
    {%- do create_scratch_table('component_names',
        'select a as name, row_number() over (order by a asc nulls first) as node'
        ~ ' from (select distinct a from component_edges) as named') -%}
    {%- do create_scratch_table('component_links',
        'select names_a.node as a, names_b.node as b from component_edges as edges'
        ~ ' inner join component_names as names_a on edges.a = names_a.name'
        ~ ' inner join component_names as names_b on edges.b = names_b.name') -%}
    {%- do create_scratch_table('component_labels_0',
        'select node, node as label, node as grand from component_names') -%}
    {%- set state = namespace(labels='component_labels_0', settled=false) -%}
    {%- for round in range(1, max_rounds + 1) if not state.settled -%}
        {%- set candidate = 'component_labels_' ~ (round % 2) -%}
        {%- do create_scratch_table('component_offers', _component_offers(state.labels)) -%}
        {%- do create_scratch_table(candidate,
            'select offers.node, offers.label, parents.label as grand from component_offers as offers'
            ~ ' inner join component_offers as parents on offers.label = parents.node') -%}
        {%- set state.settled = run_query(
            'select count(*) from ' ~ candidate ~ ' as after_round inner join ' ~ state.labels
            ~ ' as before_round on after_round.node = before_round.node'
            ~ ' where after_round.grand != before_round.grand'
            ~ ' or after_round.label != before_round.label'
        ).columns[0].values()[0] == 0 -%}
        {%- set state.labels = candidate -%}
    {%- endfor -%}
    {%- if not state.settled -%}
        {%- do exceptions.raise_compiler_error(
            'connected_components: not settled after ' ~ max_rounds ~ ' rounds'
        ) -%}
    {%- endif -%}
    {%- do create_scratch_table('component_members',
        'select names.name as node, roots.name as component from ' ~ state.labels ~ ' as labels'
        ~ ' inner join component_names as names on labels.node = names.node'
        ~ ' inner join component_names as roots on labels.label = roots.node') -%}
    {{ return('component_members') }}
{%- endmacro %}

{% macro _component_offers(labels) -%}
    select
        node,
        min(offer) as label
    from (
        select node, grand as offer from {{ labels }}
        union all
        select links.a as node, other.grand as offer
        from component_links as links
        inner join {{ labels }} as other on links.b = other.node
        union all
        select own.label as node, other.grand as offer
        from component_links as links
        inner join {{ labels }} as own on links.a = own.node
        inner join {{ labels }} as other on links.b = other.node
    ) as offers
    group by node
{%- endmacro %}
