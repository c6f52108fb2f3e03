"""Connected components in SQL against union-find in Python, on many graphs at once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from orchestration.errors import TandemError
from orchestration.warehouse import open_warehouse
from tests.dbt.scratch import Scratch, query
from tests.support import test_settings

Edge = tuple[str, str]
SOURCES = """
version: 2
sources:
  - name: given
    schema: given
    tables: [{name: edges}]
"""
MODEL = """
{%- set components = connected_components(source('given', 'edges'), 'a', 'b', max_rounds=__) -%}
select node, component from {{ components }}
"""


def _chain(names: list[str]) -> list[Edge]:
    return list(itertools.pairwise(names))


def _graphs(draw: random.Random) -> Iterator[list[Edge]]:
    for length in (2, 3, 10, 200, 200, 1000):
        names = [f"{number:05d}" for number in range(length)]
        yield _chain(names)
        yield _chain(names[::-1])
        draw.shuffle(names)
        yield _chain(names)
    names = [f"{number:05d}" for number in range(300)]
    yield [(names[-1], name) for name in names[:-1]]
    yield [(names[0], name) for name in names[1:]]
    yield [*_chain(names), (names[-1], names[0])]
    # Combs: every tooth hangs on a spine whose nodes come late in the order.
    yield [*_chain(names[150:]), *zip(names[:150], names[150:], strict=True)]
    # Alternating low and high names: the worst order for taking the least neighbour.
    yield _chain([name for pair in zip(names[:150], names[:149:-1], strict=True) for name in pair])
    yield [("x", "x")]
    for _ in range(150):
        size = draw.randint(2, 40)
        edges = draw.randint(1, size + size // 4)
        yield [(f"{draw.randrange(size):03d}", f"{draw.randrange(size):03d}") for _ in range(edges)]


def _union_find(edges: list[Edge]) -> dict[str, str]:
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return {node: root(node) for node in list(parent)}


@pytest.fixture(scope="module")
def edges() -> list[Edge]:
    graphs = enumerate(_graphs(random.Random(20260131)))
    return [(f"{graph}/{a}", f"{graph}/{b}") for graph, pairs in graphs for a, b in pairs]


def _scratch(tmp_path_factory: pytest.TempPathFactory, edges: list[Edge], rounds: int) -> Scratch:
    folder = tmp_path_factory.mktemp("components")
    settings = test_settings(folder / "home")
    with open_warehouse(settings) as connection:
        connection.execute("create schema given; create table given.edges (a varchar, b varchar)")
        if edges:
            connection.execute(
                "insert into given.edges select unnest(?), unnest(?)",
                [[a for a, _ in edges], [b for _, b in edges]],
            )
    models = {"components.sql": MODEL.replace("__", str(rounds)), "sources.yml": SOURCES}
    return Scratch(folder / "project", settings, models)


def test_components_are_those_of_union_find(
    tmp_path_factory: pytest.TempPathFactory, edges: list[Edge]
):
    scratch = _scratch(tmp_path_factory, edges, 200)
    scratch.run(["run"])
    found = query(scratch.session.settings, "select node, component from scratch.components")
    assert len(found) == len(dict(found))
    assert dict(found) == _union_find(edges)


def test_no_edges_give_no_components(tmp_path_factory: pytest.TempPathFactory):
    scratch = _scratch(tmp_path_factory, [], 200)
    scratch.run(["run"])
    assert query(scratch.session.settings, "select * from scratch.components") == []


def test_a_graph_that_has_not_settled_is_an_error(tmp_path_factory: pytest.TempPathFactory):
    scratch = _scratch(tmp_path_factory, _chain([f"{n:04d}" for n in range(500)]), 2)
    with pytest.raises(TandemError, match="not settled after 2 rounds"):
        scratch.run(["run"])
