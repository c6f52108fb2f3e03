{%- set components = connected_components(ref('int_identity_edges'), 'id_key_a', 'id_key_b') -%}

select
    node as id_key,
    component as component_key
from {{ components }}
