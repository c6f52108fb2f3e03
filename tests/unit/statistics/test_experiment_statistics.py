"""The statistics of experiments against published figures and other implementations."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any
from unittest import mock

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from orchestration.statistics.allocation import sample_ratio_p
from orchestration.statistics.comparisons import (
    PRODUCTS,
    VARIABLES,
    Arm,
    Moments,
    adjust,
    arm_of_sums,
    cluster_arm,
    compare_means,
    compare_ratios,
    linearise,
)
from orchestration.statistics.experiments import compare_arms, sample_ratios, to_arrow
from orchestration.statistics.multiplicity import Method, adjust_p_values
from orchestration.statistics.sequential import always_valid_margin

# Student (1908), extra hours of sleep under two drugs; R's `t.test(extra ~ group, data = sleep)`.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
# Davison & Hinkley (1997), example 2.9: populations of ten cities in 1920 and 1930.
CITIES_1920 = [138, 93, 61, 179, 48, 37, 29, 23, 30, 2]
CITIES_1930 = [143, 104, 69, 260, 75, 63, 50, 48, 111, 50]
# Benjamini & Hochberg (1995), §4: fifteen p-values of a study of thrombolysis.
THROMBOLYSIS = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
    *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]


def arm(*values: Any) -> Arm:
    return linearise(Moments.from_values(*values))


def test_welch_gives_what_r_gives_for_students_sleep() -> None:
    found = compare_means(arm(SLEEP_2), arm(SLEEP_1))
    assert found.difference / found.std_error == pytest.approx(-1.8608, abs=5e-5)
    assert found.degrees == pytest.approx(17.776, abs=5e-4)
    assert found.p_value == pytest.approx(0.07939, abs=5e-6)
    assert found.low == pytest.approx(-3.3654832, abs=5e-8)
    assert found.high == pytest.approx(0.2054832, abs=5e-8)


def test_a_ratio_has_the_variance_of_the_delta_method() -> None:
    """R's `var.linear(empinf(city, ratio))` is 0.03248701: with n for n − 1, by small steps."""
    found = arm(CITIES_1930, CITIES_1920)
    assert found.mean == pytest.approx(1.520313, abs=1e-6)
    assert found.variance / 10 * 9 / 10 == pytest.approx(0.03248701, abs=1e-6)


def test_the_ratio_test_is_z_on_the_linearised_values() -> None:
    control, treatment = arm([1, 0, 2, 1], [4, 3, 8, 5]), arm([3, 1, 4, 2], [5, 3, 6, 6])
    found = compare_ratios(control, treatment)
    values = [(np.array([3, 1, 4, 2]) - 0.5 * np.array([5, 3, 6, 6])) / 5]
    values.append((np.array([1, 0, 2, 1]) - 0.2 * np.array([4, 3, 8, 5])) / 5)
    error = math.sqrt(sum(np.var(each, ddof=1) / 4 for each in values))
    assert found.difference == pytest.approx(0.5 - 0.2)
    assert found.std_error == pytest.approx(error)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(0.3 / error))
    assert found.high == pytest.approx(0.3 + 1.959963985 * error)


def test_benjamini_hochberg_and_holm_reject_what_their_authors_reject() -> None:
    """Four by the false discovery rate, three by Bonferroni's family (Holm gives no more)."""
    discoveries = adjust_p_values(THROMBOLYSIS, "fdr_bh")
    assert [p <= 0.05 for p in discoveries if p is not None] == [True] * 4 + [False] * 11
    family = adjust_p_values(THROMBOLYSIS, "holm")
    assert [p <= 0.05 for p in family if p is not None] == [True] * 3 + [False] * 12
    assert adjust_p_values([0.01, 0.04, 0.03, 0.005], "holm") == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )


def test_unknown_p_values_are_no_comparisons() -> None:
    assert adjust_p_values([0.02, None, 0.03], "holm") == [
        pytest.approx(0.04), None, pytest.approx(0.04)
    ]  # fmt: skip
    assert adjust_p_values([None], "fdr_bh") == [None]
    assert adjust_p_values([], "holm") == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from(["holm", "fdr_bh"]))
def test_adjusted_p_values_are_those_of_statsmodels(p_values: list[float], method: Method) -> None:
    # statsmodels collects garbage at every call: a third of a second among a test run's objects.
    with mock.patch("gc.collect"):
        expected = list(multipletests(p_values, method=method)[1])
    assert adjust_p_values(p_values, method) == pytest.approx(expected)


def test_the_sample_ratio_of_kohavi_tang_and_xu() -> None:
    """Trustworthy Online Controlled Experiments (2020), ch. 3: 821,588 to 815,482 is 1.8E-6."""
    assert sample_ratio_p([821_588, 815_482], [1, 1]) == pytest.approx(1.8e-6, abs=5e-8)


def test_arms_of_weight_0_are_in_no_degrees_of_freedom() -> None:
    with_paused = sample_ratio_p([60, 40, 7], [1, 1, 0])
    assert with_paused == sample_ratio_p([60, 40], [5, 5]) == pytest.approx(stats.chi2.sf(4, 1))
    assert sample_ratio_p([60, 0], [1, 1]) == pytest.approx(stats.chi2.sf(60, 1))
    assert sample_ratio_p([60, 40], [1, 0]) is None
    assert sample_ratio_p([0, 0], [1, 1]) is None
    assert sample_ratio_p([], []) is None


def test_cuped_is_regression_on_the_covariate() -> None:
    """θ pooled within the arms is the slope of an analysis of covariance, exactly."""
    rng = np.random.default_rng(4)
    before = rng.gamma(2, 3, 90)
    treated = np.arange(90) < 40
    after = 0.7 * before + 1.5 * treated + rng.normal(0, 2, 90)
    design = sm.add_constant(np.column_stack([treated, before]))
    slopes = sm.OLS(after, design).fit().params
    control = arm(after[~treated], 1, before[~treated])
    treatment = arm(after[treated], 1, before[treated])
    difference, error = adjust(control, treatment)
    assert difference == pytest.approx(slopes[1], rel=1e-12)
    residuals = after - slopes[2] * before
    parts = [np.var(residuals[each], ddof=1) / each.sum() for each in (treated, ~treated)]
    assert error == pytest.approx(math.sqrt(sum(parts)), rel=1e-12)
    assert error < compare_means(control, treatment).std_error


def test_cuped_of_a_ratio_uses_the_ratio_before() -> None:
    rng = np.random.default_rng(5)
    taste = rng.beta(2, 8, (2, 4000))
    before, after = rng.poisson(20, (2, 2, 4000)) + 1
    clicked_before, clicked = rng.binomial(before, taste), rng.binomial(after, taste)
    arms = [arm(clicked[i], after[i], clicked_before[i], before[i]) for i in (0, 1)]
    plain = compare_ratios(*arms)
    difference, error = adjust(*arms)
    assert error < 0.85 * plain.std_error
    assert abs(difference) < 4 * error
    theta = (plain.difference - difference) / (arms[1].covariate_mean - arms[0].covariate_mean)
    assert 0.3 < theta < 1


def test_without_a_covariate_cuped_changes_nothing() -> None:
    control, treatment = arm([1, 0, 2], [4, 3, 8], 0, 0), arm([3, 1, 4], [5, 3, 6], 0, 0)
    plain = compare_ratios(control, treatment)
    assert adjust(control, treatment) == (plain.difference, pytest.approx(plain.std_error))


def test_cluster_robust_errors_are_those_of_statsmodels() -> None:
    """`cov_type="cluster"` without its correction; ours has G / (G − 1) an arm."""
    rng = np.random.default_rng(6)
    sizes = rng.integers(5, 40, 24)
    cluster = np.repeat(np.arange(24), sizes)
    treated = cluster < 10
    y = rng.normal(0, 1, len(cluster)) + rng.normal(0, 1, 24)[cluster] + 0.3 * treated
    fit = sm.OLS(y, sm.add_constant(treated.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": False}
    )
    totals = np.bincount(cluster, y)
    treatment, control = cluster_arm(totals[:10], sizes[:10]), cluster_arm(totals[10:], sizes[10:])
    found = compare_means(control, treatment)
    assert found.difference == pytest.approx(fit.params[1], rel=1e-12)
    uncorrected = math.sqrt(treatment.variance / 10 * (9 / 10) + control.variance / 14 * (13 / 14))
    assert uncorrected == pytest.approx(fit.bse[1], rel=1e-12)


def test_the_always_valid_margin_is_the_normal_mixture() -> None:
    """As `std_conjmix_margin` of the authors' R package drconfseq has it, for σ = 1."""
    times = np.array([2.0, 40.0, 500.0, 1e5])
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 500
    expected = np.sqrt(
        2 * (times * rho2 + 1) * np.log(np.sqrt(times * rho2 + 1) / 0.05) / (times**2 * rho2)
    )
    found = always_valid_margin(1 / np.sqrt(times), times, 500)
    assert found == pytest.approx(expected, rel=1e-12)
    relative = found * np.sqrt(times)
    assert relative[2] == pytest.approx(3.03, abs=0.01)
    assert relative.min() > 1.96
    assert np.isnan(always_valid_margin(0.0, 10, 500))


@pytest.mark.parametrize(("units", "confidence"), [(0, 0.95), (500, 1.0), (500, 0.0)])
def test_a_margin_without_sense_is_refused(units: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="tightest_units"):
        always_valid_margin(1.0, 10, units, confidence)


VALUES = st.lists(
    st.tuples(*(st.integers(-(10**9), 10**9) for _ in VARIABLES)), min_size=2, max_size=12
)


def sums_of(rows: list[tuple[int, ...]]) -> dict[str, int]:
    columns = dict(zip(VARIABLES, zip(*rows, strict=True), strict=True))
    sums = {name: sum(column) for name, column in columns.items()}
    for pair in PRODUCTS:
        sums[pair] = sum(a * b for a, b in zip(columns[pair[0]], columns[pair[1]], strict=True))
    return sums


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_exact_sums_give_the_arm_of_the_values(rows: list[tuple[int, ...]]) -> None:
    rows = [(y, abs(x) + 1, u, abs(w) + 1) for y, x, u, w in rows]
    found = arm_of_sums(len(rows), sums_of(rows))
    values = arm(*(np.array(column, np.float64) for column in zip(*rows, strict=True)))
    scale = max(values.variance, 1.0) * max(values.covariate_variance, 1.0)
    for name in ("units", "mean", "variance", "covariate_mean", "covariate_variance", "covariance"):
        exact, rounded = getattr(found, name), getattr(values, name)
        assert exact == pytest.approx(rounded, rel=1e-6, abs=1e-6 * scale), name


def test_a_ratio_that_does_not_vary_has_variance_0_and_no_p_value() -> None:
    """Five clicks in 25 impressions of each unit, and 3 in 5: a tenth is no binary fraction."""
    for pairs in ([(5, 25)] * 3, [(3, 5), (3, 5), (6, 10)], [(7, 10), (14, 20), (21, 30)]):
        rows = [(clicks, shown, 0, 0) for clicks, shown in pairs]
        assert arm_of_sums(3, sums_of(rows)).variance == 0
    control = moments_row("a", [(1, 10, 0, 0), (3, 30, 0, 0), (7, 70, 0, 0)], metric="ctr")
    treatment = moments_row("b", [(7, 10, 0, 0), (14, 20, 0, 0), (21, 30, 0, 0)], metric="ctr")
    found = compare_arms([control, treatment], 500)[1]
    assert (found["difference"], found["std_error"]) == (pytest.approx(0.6), 0.0)
    assert found["p_value"] is found["ci_low"] is found["sequential_low"] is found["p_bh"] is None


def test_no_discovery_rate_is_above_the_family_rate() -> None:
    rows = [moments_row("a", A, metric=f"m{number}") for number in range(40)]
    rows += [
        moments_row("b", [(6 + number, 1, 2, 1), (9 + 7 * number, 1, 3, 1)], metric=f"m{number}")
        for number in range(40)
    ]
    compared = [row for row in compare_arms(rows, 500) if row["p_value"] is not None]
    assert all(row["p_value"] <= row["p_bh"] <= row["p_holm"] for row in compared)


@settings(max_examples=50, deadline=None)
@given(VALUES, VALUES)
def test_arms_change_places_with_the_sign(
    first: list[tuple[int, ...]], second: list[tuple[int, ...]]
) -> None:
    arms = [
        arm(*(np.array(column, float) for column in (y, np.ones(len(y)), u)))
        for y, _, u, _ in (tuple(zip(*rows, strict=True)) for rows in (first, second))
    ]
    there, back = compare_means(*arms), compare_means(*reversed(arms))
    assert there.difference == -back.difference
    assert there.std_error == pytest.approx(back.std_error)
    if there.std_error > 0:
        assert there.p_value == pytest.approx(back.p_value)
        assert there.low <= there.difference <= there.high


def moments_row(variant: str, rows: list[tuple[int, ...]], **more: Any) -> dict[str, Any]:
    base = {"source": "s", "experiment_id": "x", "metric": "reads", "variant": variant}
    sums = {f"sum_{name}": Decimal(value) for name, value in sums_of(rows).items()}
    return base | {"is_control": variant == "a", "units": len(rows)} | sums | more


A = [(3, 1, 1, 1), (5, 1, 2, 1), (4, 1, 3, 1)]
B = [(6, 1, 2, 1), (9, 1, 3, 1)]


def test_rows_compare_with_the_control_by_hand() -> None:
    """Means 4 and 7.5, variances 1 and 4.5; error √(1/3 + 4.5/2)."""
    control, treatment = compare_arms([moments_row("b", B), moments_row("a", A)], 500)
    assert (control["variant"], control["mean"], control["variance"]) == ("a", 4.0, 1.0)
    assert {name for name, value in control.items() if value is not None} == {
        "source", "experiment_id", "metric", "variant", "units", "mean", "variance"
    }  # fmt: skip
    error = math.sqrt(1 / 3 + 4.5 / 2)
    assert treatment["control_mean"] == 4.0
    assert treatment["difference"] == 3.5
    assert treatment["std_error"] == pytest.approx(error)
    known = stats.ttest_ind([6, 9], [3, 5, 4], equal_var=False)
    interval = known.confidence_interval(0.95)
    assert treatment["p_value"] == treatment["p_holm"] == pytest.approx(known.pvalue)
    assert (treatment["ci_low"], treatment["ci_high"]) == pytest.approx(tuple(interval))
    # Within the arms Σ(u−ū)² = 2 + 0.5 and Σ(y−ȳ)(u−ū) = 1 + 1.5, so θ is 1; ū are 2 and 2.5.
    assert treatment["difference_cuped"] == pytest.approx(3.0)
    assert treatment["sequential_low"] < treatment["ci_low"]
    table = to_arrow([control, treatment])
    assert table.num_rows == 2
    assert str(table.schema.field("control_mean").type) == "double"


def test_p_values_are_adjusted_over_metrics_and_variants() -> None:
    rows = [
        moments_row(variant, values, metric=metric)
        for metric in ("reads", "revenue")
        for variant, values in (("a", A), ("b", B), ("c", [(8, 1, 1, 1), (8, 1, 2, 1)]))
    ]
    found = [row for row in compare_arms(rows, 500) if row["p_value"] is not None]
    p_values = [row["p_value"] for row in found]
    assert len(found) == 4
    assert [row["p_holm"] for row in found] == pytest.approx(adjust_p_values(p_values, "holm"))
    assert [row["p_bh"] for row in found] == pytest.approx(adjust_p_values(p_values, "fdr_bh"))


@pytest.mark.parametrize(
    ("rows", "known"),
    [
        ([moments_row("b", B)], {"mean", "variance"}),
        (
            [moments_row("a", A), moments_row("b", B[:1])],
            {"mean", "control_mean", "difference"},
        ),
        (
            [moments_row("a", A), moments_row("b", B, sum_yy=None)],
            {"control_mean"},
        ),
        (
            [moments_row("a", [(1, 0, 0, 0)] * 2), moments_row("b", [(1, 0, 0, 0)] * 2)],
            set(),
        ),
        (
            [moments_row("a", [(1, 1, 0, 1)] * 2), moments_row("b", [(2, 1, 0, 1)] * 2)],
            {
                *("mean", "variance", "control_mean", "difference", "std_error"),
                *("difference_cuped", "std_error_cuped"),
            },
        ),
    ],
    ids=["no control", "one unit", "sums too great", "denominator 0", "nothing varies"],
)
def test_what_is_not_defined_is_null(rows: list[dict[str, Any]], known: set[str]) -> None:
    found = compare_arms(rows, 500)[-1]
    keys = {"source", "experiment_id", "metric", "variant", "units"}
    assert {name for name, value in found.items() if value is not None} - keys == known


def test_groups_have_a_figure_per_member() -> None:
    """Totals 30 and 10 over 3 + 1 members against 8 and 12 over 2 + 2: 10 less 5."""
    sizes = {"a": [(8, 2, 0, 2), (12, 2, 0, 2)], "b": [(30, 3, 0, 3), (10, 1, 0, 1)]}
    rows = [
        moments_row(variant, values, metric="revenue_per_member")
        for variant, values in sizes.items()
    ]
    rows += [
        moments_row(variant, [(y, 1, 0, 1) for y, *_ in values], metric="revenue")
        for variant, values in sizes.items()
    ]
    control, treatment = compare_arms(rows, 500)
    assert {row["metric"] for row in (control, treatment)} == {"revenue"}
    assert treatment["difference"] == 10
    assert treatment["difference_per_member"] == 5
    # Linearised: control ((8, 12) − 5·2) / 2 = (−1, 1); treatment all 0.
    assert treatment["std_error_per_member"] == pytest.approx(1.0)
    assert control["difference_per_member"] is None


def test_sample_ratios_are_one_row_an_experiment() -> None:
    arms = [("x", "a", 1.0, 60), ("x", "b", 1.0, 40), ("y", "a", 1.0, 9), ("x", "c", 0.0, 5)]
    rows = [
        {"source": "s", "experiment_id": x, "variant": variant, "weight": weight, "units": units}
        for x, variant, weight, units in arms
    ]
    first, second = sample_ratios(rows)
    assert first == {
        "source": "s", "experiment_id": "x", "srm_p": pytest.approx(stats.chi2.sf(4, 1))
    }  # fmt: skip
    assert second["srm_p"] is None
