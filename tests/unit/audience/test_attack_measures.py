"""Risk measures of the attacks against figures worked out by hand."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from orchestration.audience.attacks import Scene, attributes, files, identity, mechanism
from orchestration.audience.attacks.scene import (
    exact_lower,
    exact_upper,
    guessing_bound,
    result,
    up,
    wilson_upper,
)
from orchestration.audience.interface import AttackContext, Column, Guarantee, PackSpec

Rows = Sequence[tuple[str, ...]]
POPULATION = [("a", "x")] * 4 + [("a", "y")] * 3 + [("b", "x")] * 2 + [("b", "z")]
RELEASED = [("a", "x")] * 2 + [("a", "y"), ("b", "x")]


def scene_of(
    folder: Path,
    population: Rows = POPULATION,
    released: Rows = RELEASED,
    *,
    earlier: Rows = (),
    earlier_columns: tuple[str, ...] = ("q", "s"),
    columns: tuple[Column, ...] = (
        Column("q", "VARCHAR", "quasi_identifier", ("a", "b")),
        Column("s", "VARCHAR", "sensitive", ("x", "y", "z")),
    ),
    guarantee: Guarantee = Guarantee(1.0, 0.0, beta=0.5, k=1, l=2, alpha=0.7, t=0.2),  # noqa: B008
    secrets: tuple[bytes, ...] = (),
) -> Scene:
    connection = duckdb.connect(":memory:")
    names = [column.name for column in columns]
    fill(connection, "population", ["person_id", *names], [
        (str(number), *row) for number, row in enumerate(population)
    ])  # fmt: skip
    fill(connection, "released", names, released)
    previous = []
    if earlier:
        previous = [folder / "earlier"]
        previous[0].mkdir()
        fill(connection, "before", earlier_columns, earlier)
        connection.execute(f"copy before to '{previous[0]}/rows.parquet'")
        (previous[0] / "manifest.json").write_text(
            json.dumps({
                "kind": "rows",
                "columns": [{"name": n, "role": "quasi_identifier"} for n in earlier_columns],
                "guarantee": {"epsilon": 1.0, "beta": 0.5},
            })
        )  # fmt: skip
    spec = PackSpec(
        pack="tiny",
        product="rows",
        purpose="p",
        recipients=(),
        population="community",
        window_days=30,
        ttl_days=1,
        segment=(),
        recode=(),
        columns=columns,
        guarantee=guarantee,
        sha256="00",
        path=folder,
    )

    def never(*_: object, **__: object) -> None:
        raise AssertionError("no rebuild expected")

    (folder / "candidate").mkdir()
    return Scene.of(
        AttackContext(
            connection, spec, 1, folder / "candidate", previous, never, never, secrets  # type: ignore[arg-type]
        )
    )  # fmt: skip


def fill(
    connection: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], rows: Rows
) -> None:
    connection.execute(f"create table {table} ({', '.join(f'{n} varchar' for n in names)})")
    if rows:
        marks = ", ".join("?" for _ in names)
        connection.executemany(f"insert into {table} values ({marks})", [list(r) for r in rows])


def values(results: Sequence[object]) -> dict[str, float]:
    return {found.id: found.value for found in results}  # type: ignore[attr-defined]


def test_linkage(tmp_path: Path) -> None:
    found = values(identity.linkage(scene_of(tmp_path)))
    assert found["linkage_prosecutor"] == 1.0
    assert found["linkage_journalist"] == 0.5
    assert found["linkage_marketer"] == up((2 / 4 + 1 / 3 + 1 / 2) / 4) == 0.334


def test_a_row_without_a_person(tmp_path: Path) -> None:
    found = values(identity.linkage(scene_of(tmp_path, released=[("c", "x")] * 9)))
    assert found["linkage_prosecutor"] == up(1 / 9)
    assert found["linkage_journalist"] == found["linkage_marketer"] == 1.0


def test_more_rows_than_persons(tmp_path: Path) -> None:
    found = values(identity.linkage(scene_of(tmp_path, released=[("b", "x")] * 3)))
    assert found["linkage_journalist"] == 1.0


def test_classes(tmp_path: Path) -> None:
    """Class a is x 2, y 1; class b is x 1; the file x 3, y 1: TV 1/12 and 1/4."""
    found = {each.id: each for each in attributes.classes(scene_of(tmp_path))}
    assert [found[f"classes_{name}"].value for name in ("l", "alpha", "t")] == [1, 1, 1]
    assert found["classes_l"].detail == "at least 1 values in a class"
    assert found["classes_alpha"].detail == "greatest share 1.000"
    assert found["classes_t"].detail == "greatest distance 0.250"


def test_ordered_distance(tmp_path: Path) -> None:
    """The salaries of Li, Li, Venkatasubramanian 2007: 0.375 and 0.167; the rest 17/72."""
    salaries = {"low": (3, 4, 5), "wide": (6, 8, 11), "rest": (7, 9, 10)}
    columns = (
        Column("q", "VARCHAR", "quasi_identifier", tuple(salaries)),
        Column("s", "VARCHAR", "sensitive", tuple(map(str, range(3, 12))), ordered=True),
    )
    rows = [(name, str(value)) for name, those in salaries.items() for value in those]
    for allowed, missed in ((0.375, 0), (0.374, 1), (0.23, 2), (0.166, 3)):
        folder = tmp_path / str(allowed)
        folder.mkdir()
        guarantee = Guarantee(1.0, 0.0, beta=0.5, k=1, l=3, alpha=0.4, t=allowed)
        scene = scene_of(folder, rows, rows, columns=columns, guarantee=guarantee)
        found = {each.id: each for each in attributes.classes(scene)}
        assert found["classes_t"].value == missed
        assert found["classes_t"].detail == "greatest distance 0.375"
        assert found["classes_l"].passed
        assert found["classes_alpha"].passed


def test_inference(tmp_path: Path) -> None:
    """Attack (4 + 2) / 10; control: (a, x) falls to 3/4 each, (b, x) to the file's mode, x."""
    (found,) = attributes.inference(scene_of(tmp_path))
    assert found.detail == "attack 0.600, control 0.500"
    assert found.value == pytest.approx(0.2)


def test_inference_through_k(tmp_path: Path) -> None:
    """With k 2 the two rows of (a, x) fall together: x 2 against y 3, then x 0."""
    population = [("a", "x")] * 2 + [("a", "y")] * 2
    guarantee = Guarantee(1.0, 0.0, beta=0.5, k=2, l=1, alpha=1.0, t=1.0)
    (found,) = attributes.inference(
        scene_of(tmp_path, population, [("a", "x")] * 2, guarantee=guarantee)
    )
    assert found.detail == "attack 0.500, control 0.500"
    assert found.value == 0.0


def test_linkability(tmp_path: Path) -> None:
    (found,) = identity.linkability_halves(scene_of(tmp_path))
    assert found.value == up((4 / 9 + 1 / 3 + 1 / 3) / 4) == 0.278


def test_linkability_of_packs(tmp_path: Path) -> None:
    """On q: a has 7 persons, 3 rows here, 2 there; b has 3, 1 and 5."""
    scene = scene_of(tmp_path, earlier=[("a",)] * 2 + [("b",)] * 5, earlier_columns=("q",))
    (found,) = identity.linkability_packs(scene)
    assert found.value == up((3 / 7 + 1 / 5) / 4) == 0.158


def test_joins(tmp_path: Path) -> None:
    scene = scene_of(
        tmp_path,
        [(f"p{number}", "x") for number in range(9)],
        [("p1", "x"), ("p2", "x"), ("p3", "x"), ("p4", "x")],
        earlier=[("p1",), ("p2",), ("p3",), ("p3",), ("p9",)],
        earlier_columns=("token",),
    )
    (found,) = identity.linkability_joins(scene)
    assert found.value == 2.0


def test_intersection(tmp_path: Path) -> None:
    """Now a may be x or y, before x or z: x alone is left, by one person's own row."""
    scene = scene_of(
        tmp_path,
        [("a", "x"), ("a", "y"), ("a", "z"), ("b", "x")],
        [("a", "x"), ("a", "y"), ("b", "x"), ("b", "x")],
        earlier=[("a", "x"), ("a", "z"), ("b", "x"), ("b", "x")],
    )
    (found,) = identity.intersection(scene)
    assert found.value == 0.25
    assert not found.passed


def test_singling_out(tmp_path: Path) -> None:
    """No tuple on {q}, {s} or {q, s} of the file is one person's; "neither x nor y" is."""
    (found,) = identity.singling_out(scene_of(tmp_path))
    assert found.value == up(wilson_upper(1, 10_000)) == 0.001


def test_singling_out_of_a_third(tmp_path: Path) -> None:
    """Of the 6 tuples of the file z and (b, z) are one person's."""
    scene = scene_of(tmp_path, [("a", "x"), *POPULATION], [("a", "x"), ("b", "z")])
    (found,) = identity.singling_out(scene)
    assert found.value == up(wilson_upper(9_998 * 2 / 6, 10_000))
    assert not found.passed


def test_membership(tmp_path: Path) -> None:
    """Tuples of one person: their row shows that they are in; nothing shows that they are not."""
    scene = scene_of(tmp_path, [("a", "x"), ("b", "z")], [("a", "x")])
    (found,) = mechanism.membership(scene)
    assert found.value == 0.5
    assert found.gate == pytest.approx(0.46211715726)
    assert not found.passed


def test_bounds() -> None:
    assert wilson_upper(0, 10_000) == pytest.approx(3.841458821 / 10_003.841458821)
    assert wilson_upper(5, 10) == pytest.approx(0.763407, abs=1e-6)
    assert exact_lower(10, 10) == pytest.approx(1e-5**0.1)
    assert exact_upper(0, 10) == pytest.approx(1 - 1e-5**0.1)
    assert guessing_bound(2.0, 0.0) == pytest.approx(0.761594, abs=1e-6)


def test_values_are_rounded_up() -> None:
    assert up(0.0201) == 0.021
    assert up(0.02) == 0.02
    assert result("a", 1 / 22, 1 / 22, "").value == 1 / 22
    assert result("a", 0.00005, 0.0001, "").value == 0.0001
    assert not result("a", 0.00011, 0.0001, "").passed


def digests(known: str, secret: bytes) -> dict[str, str]:
    text = known.encode()
    return {
        "plain": known,
        "md5": hashlib.md5(text).hexdigest(),
        "sha1": hashlib.sha1(text).hexdigest().upper(),
        "sha256": hashlib.sha256(text).hexdigest(),
        "cut": hashlib.sha256(text).hexdigest()[:12],
        "base64": base64.b64encode(hashlib.md5(text).digest()).decode(),
        "salted": hashlib.sha256(secret + text).hexdigest(),
        "keyed": hmac.new(secret, text, hashlib.sha256).hexdigest(),
        "keyed, cut": hmac.new(secret, text, hashlib.sha256).hexdigest()[:32],
    }


@pytest.mark.parametrize("form", digests("", b""))
def test_dictionary(tmp_path: Path, form: str) -> None:
    value = digests("13912345678", b"an old key")[form]
    other = hashlib.sha256(b"nobody").hexdigest()
    scene = scene_of(tmp_path, released=[(value, "x"), (other, "y")], secrets=(b"an old key",))
    fill(scene.connection, "known_ids", ("kind", "id"), [("phone", "13912345678")])
    (found,) = files.dictionary(scene)
    assert found.value == 1.0


def test_dictionary_of_texts(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    (scene.context.folder / "card.md").write_text("Ask 13912345678, not sunshine.")
    known = [("phone", "13912345678"), ("display_name", "sunshine"), ("display_name", "a")]
    fill(scene.connection, "known_ids", ("kind", "id"), known)
    (found,) = files.dictionary(scene)
    assert found.value == 1.0
