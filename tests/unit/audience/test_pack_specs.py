"""A definition compiles, or is refused with its line and reason."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from orchestration.audience.definition import SpecError
from orchestration.audience.features import FEATURES
from orchestration.audience.interface import MISSING, OTHER
from orchestration.audience.policy import AudiencePolicy
from orchestration.audience.spec import (
    band_labels,
    compile_spec,
    find_packs,
    load_pack,
    window_weeks,
)
from tests.unit.audience.pack_world import COUNTS_PACK, ROWS_PACK

POLICY = AudiencePolicy()
TODAY = date(2026, 6, 30)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(text, encoding="utf-8")
    return path


def refusals(folder: Path, text: str, name: str = "seeds", policy: AudiencePolicy = POLICY) -> str:
    path = written(folder, name, text)
    with pytest.raises(SpecError) as caught:
        compile_spec(path, policy, TODAY)
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return str(caught.value).replace(str(path), "seeds.yml")


def test_a_rows_pack_says_what_leaves(tmp_path: Path) -> None:
    spec = compile_spec(written(tmp_path, "seeds", ROWS_PACK), POLICY, TODAY)
    assert spec.quasi_identifiers == ("region", "age_band", "activity")
    assert spec.sensitive == ("topic",)
    vocabularies = {column.name: column.vocabulary for column in spec.columns}
    assert vocabularies["region"] == ("north", "east", "south", "west", OTHER, MISSING)
    assert vocabularies["activity"] == ("<4", "4~11", ">=12", MISSING)
    assert spec.guarantee.delta == 1e-8


def test_a_counts_pack_has_the_whole_weeks_of_its_window(tmp_path: Path) -> None:
    spec = compile_spec(written(tmp_path, "demand", COUNTS_PACK), POLICY, TODAY)
    week = next(column for column in spec.columns if column.name == "week")
    assert week.vocabulary == ("2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22")
    assert (week.role, spec.columns[-1].role) == ("feature", "measure")
    assert [c.name for c in spec.columns][-2:] == ["persons", "channel_days"]
    other = compile_spec(written(tmp_path, "demand", COUNTS_PACK), POLICY, date(2026, 7, 31))
    assert other.sha256 == spec.sha256


@pytest.mark.parametrize(
    ("as_of", "weeks"),
    [
        (date(2026, 6, 28), [date(2026, 6, 1), date(2026, 6, 22)]),
        (date(2026, 6, 27), [date(2026, 6, 1), date(2026, 6, 15)]),
    ],
)
def test_weeks_end_on_sunday(as_of: date, weeks: list[date]) -> None:
    found = window_weeks(as_of, 30)
    assert [found[0], found[-1]] == weeks


def test_bands_are_no_dates_and_no_formulas() -> None:
    assert band_labels((1, 2, 5)) == ("<1", "1", "2~4", ">=5")


def test_every_shipped_pack_compiles() -> None:
    packs = find_packs(POLICY)
    assert set(packs) == {"interest_seeds", "high_value_lookalikes", "channel_region_week"}
    for name in packs:
        spec = load_pack(name, POLICY, TODAY)
        assert set(spec.title) == {"zh", "en"}


def test_layout_does_not_change_the_hash_and_meaning_does(tmp_path: Path) -> None:
    first = compile_spec(written(tmp_path, "seeds", ROWS_PACK), POLICY, TODAY)
    again = compile_spec(written(tmp_path, "seeds", f"# hello\n{ROWS_PACK}"), POLICY, TODAY)
    other = ROWS_PACK.replace("cuts: [4, 12]", "cuts: [4, 13]")
    changed = compile_spec(written(tmp_path, "seeds", other), POLICY, TODAY)
    assert first.sha256 == again.sha256 != changed.sha256


def test_words_stay_words(tmp_path: Path) -> None:
    text = ROWS_PACK.replace("HK", "NO").replace("CN-SC: west", "NO: yes")
    spec = compile_spec(written(tmp_path, "seeds", text), POLICY, TODAY)
    assert ("NO", "yes") in spec.recode[0].mapping


def test_a_seed_gives_a_mapping_and_its_line_in_errors(tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("value,label\nCN-BJ,north\nCN-SH,=east\n", "utf-8")
    a, b = ROWS_PACK.index("{map: {CN-BJ"), ROWS_PACK.index("  age_band")
    text = ROWS_PACK[:a] + "{map: places}\n" + ROWS_PACK[b:]
    assert "seeds.yml:9: places.csv:3: would be a formula in a spreadsheet" in (
        refusals(tmp_path, text)
    )
    (tmp_path / "places.csv").write_text("value,label\nCN-BJ,north\n", "utf-8")
    spec = compile_spec(written(tmp_path, "seeds", text), POLICY, TODAY)
    assert spec.recode[0].mapping == (("CN-BJ", "north"),)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ttl_days: 90", "ttl_days: 90\nsalt: x", ":16: unknown key salt"),
        ("ttl_days: 90", "ttl_days: 0", ":15: ttl_days: must be a whole number from 1 to 365"),
        ("population: community", "population: mine", ":5: population: must be one of community"),
        ("window_days: 30", "window_days: 31", ":7: window_days: must be one of 30, 90"),
        ("unit: person", "unit: account", ":6: unit: must be one of person"),
        ("  age_band: {}", "  person_id: {}", ":10: recode: 'person_id' cannot name a column"),
        ("  age_band: {}", "  x: {column: person_id}", ":10: column: person_id is an id"),
        ("  age_band: {}", "  n: {column: phone}", "'n' cannot name a column"),
        ("  age_band: {}", "  x: {column: phone}", ":10: column: phone is an id"),
        ("  age_band: {}", "  x: {column: display_name}", "display_name is free text"),
        ("  age_band: {}", "  x: {column: avatar_url}", "avatar_url is a URL"),
        ("  age_band: {}", "  x: {column: first_active_date}", "first_active_date is a time"),
        ("  age_band: {}", "  x: {column: shoe}", "no such feature as shoe; there are acq"),
        ("  age_band: {}", "  week: {}", ":10: week: week is of a week; rows are persons"),
        ("cuts: [4, 12]", "cuts: quantile(4)", ":11: activity: cuts must be numbers"),
        ("cuts: [4, 12]", "cuts: [p50%]", ":11: activity: a cut computed from the data"),
        ("cuts: [4, 12]", "quantiles: 4", ":11: activity: unknown key quantiles; a cut computed"),
        ("cuts: [4, 12]", "cuts: [12, 4]", ":11: activity: cuts must grow"),
        ("cuts: [4, 12]", "cuts: [4.5]", "must be a whole number"),
        (", cuts: [4, 12]", "", ":11: activity: active_days is a number; give its cuts"),
        ("age_band: {}", "age_band: {cuts: [1]}", ":10: age_band: age_band is a word"),
        ("age_band: {}", "age_band: {values: [old]}", ":10: age_band: age_band is one of 18_24"),
        ("column: top_topic, values: [c", "column: top_topic, map: [c", ":12: topic: must be nam"),
        ("coding, travel, film]", "coding, travel, =film]", "would be a formula"),
        (
            ", values: [career, reading, fitness, coding, travel, film]",
            "",
            ":12: topic: list the values of top_topic that may leave",
        ),
        ("sensitive: [topic]", "sensitive: [taste]", ":13: sensitive: taste is no column"),
        ("beta: 0.3", "beta: 0.7", ":14: beta: must be above 0 and at most 1 - e^-epsilon = 0.63"),
        ("delta: 1e-8", "delta: 1e-15", "delta: k 50 at epsilon 1 and beta 0.3 reaches 6.6e-14"),
        ("k: 50", "k: 19", ":14: k: under the floor of 20"),
        ("l: 3", "l: 1", "l: under the floor of 2"),
        ("alpha: 0.5", "alpha: 0.6", "alpha: must be above 0 and at most 0.5"),
        ("t: 0.6", "t: 0.7", "t: must be above 0 and at most 0.6"),
        ("epsilon: 1", "epsilon: 2.5", "epsilon: must be above 0 and at most 2"),
        ("epsilon: 1", "epsilon: nan", "epsilon: 'nan' is no number"),
        (", l: 3", "", "guarantee: missing l"),
        ("product: rows", "product: rows\nnoise: laplace", ":3: noise: only a counts pack has it"),
        ("recipients: [growth]", "recipients: []", ":4: recipients: name each team once"),
        ("purpose: coldstart", "purpose: Cold Start", ":3: purpose: 'Cold Start' is no name"),
        ("purpose: coldstart\n", "", ":1: missing: purpose"),
        ("pack: seeds", "pack: seed", ":1: pack: must be the file's name, seeds"),
        ("recode:", "segment: [spend_minor > 0]\nrecode:", ":8: segment: must be names"),
        (
            "recode:",
            "segment:\n  - {column: spend_minor, op: like, value: 1}\nrecode:",
            ":9: op: must be one of",
        ),
        (
            "recode:",
            "segment:\n  - {column: tier, op: '>', value: core}\nrecode:",
            ":9: op: tier is a word",
        ),
        (
            "recode:",
            "segment:\n  - {column: email, op: '=', value: x}\nrecode:",
            ":9: column: email is an id",
        ),
        ("ttl_days: 90", "ttl_days: 90\nttl_days: 30", ":16: the definition: ttl_days stands"),
        ("recipients: [growth]", "recipients: &a [growth]\nx: *a", ":5: no aliases"),
    ],
)
def test_a_refusal_names_line_and_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in ROWS_PACK
    assert reason in refusals(tmp_path, ROWS_PACK.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("noise: laplace\n", "", "missing: noise"),
        ("keys: public", "keys: secret", ":16: keys: must be one of public, thresholded"),
        ("keys: public", "keys: thresholded", ":17: guarantee: missing delta"),
        ("noise: laplace", "noise: gaussian", ":17: guarantee: missing delta"),
        ("epsilon: 0.2", "epsilon: 0.2, k: 50", ":17: guarantee: k is of rows packs"),
        ("epsilon: 0.2", "epsilon: 0.2, delta: 1e-9", ":17: delta: this pack needs none"),
        ("channel_days: [0, 7]", "channel_days: [0]", "needs [lowest, highest]"),
        ("channel_days: [0, 7]", "reads: [0, 7]", "reads is of the person, not of a week"),
        ("channel_days: [0, 7]", "channel: [0, 7]", "channel cannot be added up here"),
        ("max_cells_per_person: 4", "max_cells_per_person: 0", ":14: max_cells_per_person: must"),
    ],
)
def test_a_counts_pack_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in COUNTS_PACK
    assert reason in refusals(tmp_path, COUNTS_PACK.replace(old, new), "demand")


def test_more_than_eight_columns_are_refused(tmp_path: Path) -> None:
    names = ("reads", "groups", "orders", "contributions", "reactions")
    more = "".join(f"  {name}: {{cuts: [1]}}\n" for name in names)
    text = ROWS_PACK.replace("sensitive: [topic]", f"{more}sensitive: [topic]")
    assert "9 released columns; at most 8" in refusals(tmp_path, text)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = ROWS_PACK.replace("k: 50", "k: 5").replace("ttl_days: 90", "ttl_days: x")
    assert len(refusals(tmp_path, text).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "\x00", "pack: seeds"])
def test_what_is_no_definition_is_refused(tmp_path: Path, text: str) -> None:
    refusals(tmp_path, text)


def test_settings_lower_a_floor_and_say_so(tmp_path: Path) -> None:
    policy = AudiencePolicy(min_k=10, max_t=0.5)
    text = ROWS_PACK.replace("k: 50", "k: 19").replace("1e-8", "5e-8")
    assert "k: under" not in refusals(tmp_path, text, policy=policy)
    assert policy.loosened() == {"min_k": (10, 20)}
    assert POLICY.loosened() == {}


def test_no_feature_is_an_id_a_time_or_free_text() -> None:
    assert not {"person_id", "topic_text", "display_name"} & FEATURES.keys()
    assert all(
        feature.vocabulary or feature.kind in ("declared", "integer", "week")
        for feature in FEATURES.values()
    )
