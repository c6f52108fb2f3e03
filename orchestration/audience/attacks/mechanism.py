"""Attacks on how the candidate was made: one person's part, noise, coins, differences."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestration.audience.attacks.scene import (
    ERROR,
    Earlier,
    Scene,
    does_not_apply,
    exact_lower,
    exact_upper,
    guessing_bound,
    result,
    texts,
)
from orchestration.audience.interface import AttackResult
from orchestration.audience.recode import column_list, quoted
from orchestration.warehouse import literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 200
REPEATS = 8
TREATED = 1000
ENOUGH_TREATED = 200
COINS_GATE = 0.5
FEWEST_CELLS = 20
_BIAS_SIGMAS = 6.0


def membership(scene: Scene) -> list[AttackResult]:
    """Decide whether a person is in the data, knowing everybody else.

    Rows packs: with F persons of the target's tuple the attacker knows F − 1 and weighs the f
    published rows by the likelihood ratio of Bin(F, β) to Bin(F − 1, β), cut at k; the world
    without the target has one row less with chance f / F. Advantage: the best threshold's true
    minus false positives, over all persons. Counts packs: the person with the greatest part in m
    cells, likelihood ratio of the published noise; 99.999 % lower bound, because it is sampled.

    Source: Yeom et al. 2018; Kairouz, Oh, Viswanath 2015. Gate: (e^ε − 1 + 2δ) / (e^ε + 1).
    """
    guarantee = scene.spec.guarantee
    gate = guessing_bound(guarantee.epsilon, guarantee.delta)
    if scene.is_rows:
        return [result("membership", _rows_advantage(scene), gate, "every person a target")]
    lower, targets = _counts_advantage(scene)
    return [result("membership", lower, gate, f"{targets} sets of cells")]


def _rows_advantage(scene: Scene) -> float:
    import numpy as np
    from scipy.stats import binom

    beta, k = scene.spec.guarantee.beta or 1.0, scene.k
    found = scene.connection.execute(
        """
        select attack_persons, least(attack_rows, attack_persons) as attack_rows, count(*) as cells
        from attack_cells
        where attack_persons > 0
        group by 1, 2
        """
    ).fetchnumpy()
    persons = found["attack_persons"].astype(np.int64)
    rows = found["attack_rows"].astype(np.int64)
    cells = found["cells"].astype(np.int64)

    def ratio(seen: NDArray[np.int64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            published = np.log(persons * (1 - beta) / (persons - seen))
            gone = binom.logcdf(k - 1, persons, beta) - binom.logcdf(k - 1, persons - 1, beta)
        return np.where(seen > 0, published, np.nan_to_num(gone, nan=0.0, neginf=0.0))

    less = np.where(rows - 1 < k, 0, rows - 1)
    weight = (rows * cells)[rows > 0]
    return _best_gap(ratio(rows)[rows > 0], ratio(less)[rows > 0], weight) * float(
        weight.sum() / max(1, (persons * cells).sum())
    )


def _best_gap(
    present: NDArray[np.float64], absent: NDArray[np.float64], weight: NDArray[np.int64]
) -> float:
    """The greatest weighted P(present ≥ τ) − P(absent ≥ τ) over all thresholds τ."""
    import numpy as np

    if not len(weight):
        return 0.0
    values = np.concatenate([present, absent])
    steps = np.concatenate([weight, -weight]).astype(np.float64)
    order = np.argsort(-values, kind="stable")
    gaps = np.cumsum(steps[order])
    last = np.append(values[order][1:] != values[order][:-1], True)
    return float(max(0.0, gaps[last].max()) / weight.sum())


def _residuals(scene: Scene, measure: str) -> NDArray[np.int64]:
    """Published minus exact, of the cells so large that no cut at 0 or at a threshold bent them."""
    import numpy as np

    keys = column_list(scene.columns)
    found = scene.connection.execute(
        f"""
        select
            released.{quoted(measure)} as published,
            coalesce(truth.{quoted(measure)}, 0) as exact
        from released
        left join {scene.truth} as truth using ({keys})
        order by {keys}
        """
    ).fetchnumpy()
    published, exact = found["published"].astype(np.int64), found["exact"].astype(np.int64)
    residuals = published - exact
    if not len(residuals):
        return residuals
    floor = published.min() if scene.spec.keys == "thresholded" and measure == "persons" else 0
    large: NDArray[np.int64] = residuals[exact >= floor + 5 * np.abs(residuals).mean()]
    return large


def _counts_advantage(scene: Scene) -> tuple[float, int]:
    import numpy as np

    cells = scene.spec.max_cells_per_person
    found = {measure: _residuals(scene, measure) for measure in scene.measures}
    usable = {m: noise for m, noise in found.items() if len(noise) >= cells}
    if not usable:
        return 0.0, 0
    targets = min(len(noise) for noise in usable.values()) // cells
    present, absent = np.zeros(targets), np.zeros(targets)
    for measure, noise in usable.items():
        part = scene.measures[measure]
        groups = noise[: targets * cells].reshape(targets, cells).astype(np.float64)
        if scene.spec.noise == "gaussian":
            spread = max(float(np.square(noise).mean()), 1e-9)
            present += ((2 * groups + part) * part / (2 * spread)).sum(axis=1)
            absent += ((2 * groups - part) * part / (2 * spread)).sum(axis=1)
        else:
            spread = max(float(np.abs(noise).mean()), 1e-9)
            present += ((np.abs(groups + part) - np.abs(groups)) / spread).sum(axis=1)
            absent += ((np.abs(groups) - np.abs(groups - part)) / spread).sum(axis=1)
    gap = float((present > 0).mean() - (absent > 0).mean())
    return exact_lower(max(0.0, gap) * targets, targets), targets


def randomness(scene: Scene) -> list[AttackResult]:
    """Estimate from the outcome how random the draw was.

    Rows packs: the sampling rate, rows ÷ persons over the cells so large that k cut none (exact
    lower bound of a share); it must not be above β. Counts packs: the ε that the noise gives,
    from published minus exact values. Laplace: Σ m · c / b over the measures, c a person's
    greatest part, b from the noise's mean size, 1 / sinh(1 / b) for integers. Gaussian: the least
    ε at δ for μ² = Σ m · c² / σ², σ² from its mean square.

    Source: Ghosh, Roughgarden, Sundararajan 2012; Balle and Wang 2018, theorem 8. Gate: β or ε;
    the value is the 99.999 % lower bound.
    """
    if scene.is_rows:
        return [_sampled_share(scene)]
    epsilon, cells = _noise_epsilon(scene)
    detail = f"{cells} values of {len(scene.measures)} measures"
    return [result("randomness", epsilon, scene.spec.guarantee.epsilon, detail)]


def _sampled_share(scene: Scene) -> AttackResult:
    beta = scene.spec.guarantee.beta or 1.0
    by = column_list(scene.shared_columns)
    sampled, persons, cells = scene.one(
        f"""
        with persons as (
            select {texts(scene.shared_columns)}, count(*) as cell_persons
            from population
            group by {by}
        )

        select
            coalesce(sum(cell_rows), 0),
            coalesce(sum(cell_persons), 0),
            count(*)
        from persons
        left join (select {texts(scene.shared_columns)}, cell_rows from {scene.rebuilt})
            using ({by})
        where cell_persons * {beta} - 6 * sqrt(cell_persons * {beta}) >= {scene.k}
        """
    )
    return result("randomness", exact_lower(sampled, persons), beta, f"{cells} large cells")


def _noise_epsilon(scene: Scene) -> tuple[float, int]:
    import numpy as np
    from scipy.optimize import brentq
    from scipy.stats import chi2, gamma, norm

    spec = scene.spec
    values, spent = 0, 0.0
    for measure, part in scene.measures.items():
        noise = _residuals(scene, measure).astype(np.float64)
        if not len(noise):
            continue
        values += len(noise)
        if spec.noise == "laplace":
            sizes = np.abs(noise)
            mean = max(
                sizes.sum() / gamma.ppf(ERROR, len(sizes)),
                sizes.mean() + norm.isf(ERROR) * sizes.std() / math.sqrt(len(sizes)),
            )
            inverse = math.asinh(1 / mean) if mean else math.inf
            spent += spec.max_cells_per_person * part * inverse
        else:
            variance = np.square(noise).sum() / chi2.ppf(ERROR, len(noise))
            spent += spec.max_cells_per_person * part**2 / variance if variance else math.inf
    if spec.noise == "laplace" or not 0 < spent < math.inf:
        return float(spent), values
    mu = math.sqrt(spent)

    def left(epsilon: float) -> float:
        inside = norm.cdf(mu / 2 - epsilon / mu)
        outside = math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)
        return float(inside - outside - spec.guarantee.delta)

    return (float(brentq(left, 0.0, 500.0)) if left(0.0) > 0 else 0.0), values


def contribution(scene: Scene) -> list[AttackResult]:
    """Check the bound on one person's part, from which ε follows.

    Rows packs: persons with more than one row. Counts packs: persons with more than m cells or a
    value outside its clamps; cells whose exact sums are not those of the bounded parts; measures
    whose published values lie off the exact sums by more than 6 standard errors.

    Formula: the number of all these. Source: Dwork and Roth 2014, 3.3. Gate: 0.
    """
    if scene.is_rows:
        (several,) = scene.one("select count(*) - count(distinct person_id) from population")
        return [result("contribution", float(several), 0.0, "one row a person")]
    spec = scene.spec
    outside = [
        f"{quoted(m.name)} is null or {quoted(m.name)} not between {m.low} and {m.high}"
        for m in spec.measures
    ]
    persons = scene.one(
        f"""
        select count(*)
        from (
            select person_id
            from bounded
            group by person_id
            having count(*) > {spec.max_cells_per_person}
                or bool_or({" or ".join(outside) or "false"})
        )
        """
    )[0]
    keys = column_list(spec.key_columns)
    sums = ", ".join(f"sum({quoted(m.name)}) as {quoted(m.name)}" for m in spec.measures)
    values = column_list(["persons", *(m.name for m in spec.measures)])
    cells = scene.one(
        f"""
        with parts as (
            select {keys}, count(*) as persons{", " + sums if sums else ""}
            from bounded
            group by {keys}
        ),

        drawn_from as (
            select {keys}, {values}
            from {scene.truth}
        )

        select count(*)
        from (
            (select {keys}, {values} from parts except all from drawn_from)
            union all
            (from drawn_from except all select {keys}, {values} from parts)
        )
        """
    )[0]
    biased = sum(_is_biased(_residuals(scene, measure)) for measure in scene.measures)
    detail = f"{persons} persons, {cells} cells, {biased} measures beyond the bound"
    return [result("contribution", float(persons + cells + biased), 0.0, detail)]


def _is_biased(noise: NDArray[np.int64]) -> bool:
    if len(noise) < FEWEST_CELLS:
        return False
    error = float(noise.std(ddof=1)) / len(noise) ** 0.5
    return bool(abs(float(noise.mean())) > max(_BIAS_SIGMAS * error, 1e-9))


def differencing(scene: Scene) -> list[AttackResult]:
    """Read a person off the difference of two releases.

    Rows packs: against up to eight rebuilds with fresh coins, each without one person of every
    second tuple: differences of exactly 1 where a person left, against where none did;
    (ε, δ)-DP lets the first be at most e^ε times as frequent. Counts packs: cells published
    exactly; a noisy integer is right with chance at most (e^ε − 1) / (e^ε + 1).

    Formula: cells found beyond that, with Clopper–Pearson bounds of 99.999 %. Source: Dinur and
    Nissim 2003; Ghosh, Roughgarden, Sundararajan 2012. Gate: 0.
    """
    if scene.is_rows:
        return [_rows_differencing(scene)]
    bound = guessing_bound(scene.spec.guarantee.epsilon, scene.spec.guarantee.delta)
    recovered, tried = 0, 0
    for measure in scene.measures:
        noise = _residuals(scene, measure)
        exact = int((noise == 0).sum())
        tried += len(noise)
        recovered += exact if exact_lower(exact, len(noise)) > bound else 0
    detail = f"{tried} published values against their exact ones"
    return [result("differencing", float(recovered), 0.0, detail)]


def _rows_differencing(scene: Scene) -> AttackResult:
    keys = scene.shared_columns
    treated = hits = controls = false_hits = repeat = 0
    while repeat < REPEATS and treated < ENOUGH_TREATED:
        repeat += 1
        left = scene.connection.execute(
            f"""
            with published as (
                select {column_list(keys)}
                from attack_cells
                where attack_rows > 0
                group by {column_list(keys)}
            ),

            treated as (
                select *
                from published
                where hash({column_list(keys)}, {repeat}) % 2 = 0
                order by hash({column_list(keys)}, {repeat}), {column_list(keys)}
                limit {TREATED}
            )

            select min(person_id)
            from (select person_id, {texts(keys)} from population)
            inner join treated using ({column_list(keys)})
            group by {column_list(keys)}
            """
        ).fetchall()
        without = [str(row[0]) for row in left]
        scene.context.redo("attack_again", without=without, coins=secrets.token_bytes(32))
        counts = scene.one(
            f"""
            with left_out as (
                select distinct {texts(keys)}, true as is_treated
                from population
                where person_id in ({", ".join(literal(each) for each in without) or "''"})
            ),

            before as (
                select {column_list(keys)}, sum(attack_rows) as cell_rows
                from attack_cells
                where attack_rows > 0
                group by {column_list(keys)}
            ),

            differences as (
                select
                    coalesce(is_treated, false) as is_treated,
                    before.cell_rows - coalesce(again.cell_rows, 0) = 1 as is_one
                from before
                left join (select {texts(keys)}, cell_rows from attack_again) as again
                    using ({column_list(keys)})
                left join left_out using ({column_list(keys)})
            )

            select
                count(*) filter (where is_treated),
                count(*) filter (where is_treated and is_one),
                count(*) filter (where not is_treated),
                count(*) filter (where not is_treated and is_one)
            from differences
            """
        )
        treated, hits = treated + counts[0], hits + counts[1]
        controls, false_hits = controls + counts[2], false_hits + counts[3]
    guarantee = scene.spec.guarantee
    allowed = math.exp(guarantee.epsilon) * exact_upper(false_hits, controls)
    beyond = exact_lower(hits, treated) - min(1.0, allowed + guarantee.delta)
    recovered = float(int(beyond * treated) + 1) if beyond > 0 else 0.0
    detail = f"{treated} changed cells and {controls} others in {repeat} rebuilds"
    return result("differencing", recovered, 0.0, detail)


def margins(scene: Scene) -> list[AttackResult]:
    """Subtract what this file publishes from an earlier pack's coarser cells.

    Where a coarser cell has exactly one finer cell that is not published, the difference
    estimates it; in rows packs as rows, and scaled by 1 / β. Recovered are the estimates that
    equal the truth, when they are more than noise can be right: a share above
    (e^ε − 1) / (e^ε + 1), ε of the pack of the two that has less, with 99.999 % confidence, in
    one earlier pack or in all together.

    Source: Cox 1980 (complementary suppression); Ghosh, Roughgarden, Sundararajan 2012. Gate: 0.
    """
    epsilon = scene.spec.guarantee.epsilon
    found: list[tuple[float, int, int]] = []
    totals: dict[str, list[int]] = {}
    for earlier in scene.earlier:
        shared = [c for c in scene.columns if c in earlier.columns]
        if earlier.product != scene.spec.product or not shared:
            continue
        bound = guessing_bound(min(epsilon, earlier.epsilon), 0.0)
        for estimate, tried, right in _closures(scene, earlier, shared):
            found.append((bound, tried, right))
            total = totals.setdefault(estimate, [0, 0])
            total[:] = [total[0] + tried, total[1] + right]
    found += [(guessing_bound(epsilon, 0.0), tried, right) for tried, right in totals.values()]
    recovered = max(
        (right for bound, tried, right in found if exact_lower(right, tried) > bound), default=0
    )
    equations = sum(total[0] for total in totals.values())
    detail = f"{equations} equations with one unknown cell over {len(scene.earlier)} earlier packs"
    return [result("margins", float(recovered), 0.0, detail)]


def _closures(scene: Scene, earlier: Earlier, shared: Sequence[str]) -> list[tuple[str, int, int]]:
    """Name, equations and exact solutions of each estimate."""
    by = column_list(shared)
    if scene.is_rows:
        here = """
            select *, attack_rows as attack_published, attack_persons as attack_exact
            from attack_cells
        """
        scale = (1 / (earlier.beta or 1.0), 1 / (scene.spec.guarantee.beta or 1.0))
        return [
            (estimate, *_closure(scene, here, earlier, "attack_rows", by, weights))
            for estimate, weights in (("rows", (1.0, 1.0)), ("persons", scale))
        ]
    keys = column_list(scene.columns)
    found = []
    for measure in scene.measures:
        if measure not in earlier.measures:
            continue
        here = f"""
            select
                {keys},
                coalesce(truth.{quoted(measure)}, 0) as attack_exact,
                released.{quoted(measure)} as attack_published
            from {scene.truth} as truth
            full join released using ({keys})
        """
        solved = _closure(scene, here, earlier, quoted(measure), by, (1.0, 1.0))
        found.append((measure, *solved))
    return found


def _closure(
    scene: Scene, here: str, earlier: Earlier, value: str, by: str, weights: tuple[float, float]
) -> tuple[int, int]:
    tried, right = scene.one(
        f"""
        with here as (
            {here}
        ),

        fine as (
            select
                {by},
                sum(coalesce(attack_published, 0)) as fine_value,
                sum(attack_exact) filter (where coalesce(attack_published, 0) = 0) as hidden_value,
                count(*) filter (where coalesce(attack_published, 0) = 0) as hidden_cells
            from here
            group by {by}
        ),

        coarse as (
            select {by}, sum({value}) as coarse_value
            from {earlier.table}
            group by {by}
        )

        select
            count(*),
            count(*) filter (
                where round({weights[0]} * coarse_value - {weights[1]} * fine_value) = hidden_value
            )
        from fine
        inner join coarse using ({by})
        where hidden_cells = 1 and hidden_value > 0
        """
    )
    return int(tried), int(right)


def neighbours(scene: Scene) -> list[AttackResult]:
    """Build with and without persons, same coins: only their own cells may differ.

    200 persons leave at once: drawn at random, and then, in equal parts, those of each column's
    value that fewest have, so that a cut or an order that follows the data moves. Before l, alpha
    and t, whose reference is the whole file. Rows packs: a cell may lose at most its own persons'
    rows, or fall under k; and a rebuild without any change must be the file. Counts packs: a cell
    must lose exactly its own persons' parts.

    Formula: cells that differ otherwise. Source: the definition of differential privacy (Dwork et
    al. 2006) with Li, Qardaji, Su 2012 for data-independent recoding. Gate: 0.
    """
    table = "population" if scene.is_rows else "bounded"
    columns = scene.shared_columns
    part = max(1, NEIGHBOURS // max(1, len(columns)))
    rarest = [_some(table, _rarest(scene, table, column), part) for column in columns]
    differing = 0
    for chosen in (_some(table, "true", NEIGHBOURS), " union ".join(rarest)):
        found = scene.connection.execute(chosen).fetchall()
        without = sorted(str(row[0]) for row in found)
        scene.context.redo("attack_without", without=without)
        listed = ", ".join(literal(each) for each in without) or "''"
        if scene.is_rows:
            differing += _rows_neighbours(scene, listed)
        else:
            differing += _sums_neighbours(scene, listed)
    if scene.is_rows:
        differing += _not_the_file(scene)
    detail = f"2 times {NEIGHBOURS} persons left out"
    return [result("neighbours", float(differing), 0.0, detail)]


def _some(table: str, condition: str, persons: int) -> str:
    """A query for some persons: the same every time, and otherwise at random."""
    return f"""
        (
            select person_id
            from {table}
            where {condition}
            group by person_id
            order by hash(person_id), person_id
            limit {persons}
        )
    """


def _rarest(scene: Scene, table: str, column: str) -> str:
    """The condition for persons of the value that fewest have, of those that 200 have."""
    found = scene.connection.execute(
        f"""
        select {quoted(column)}
        from {table}
        group by {quoted(column)}
        order by count(*) < {NEIGHBOURS}, count(*), {quoted(column)}
        limit 1
        """
    ).fetchall()
    if not found or found[0][0] is None:
        return f"{quoted(column)} is null"
    return f"{quoted(column)} = {literal(found[0][0])}"


def _rows_neighbours(scene: Scene, listed: str) -> int:
    by = column_list(scene.shared_columns)
    typed = texts(scene.shared_columns)
    (differing,) = scene.one(
        f"""
        with own as (
            select {by}, count(*) as own_rows
            from (select {typed} from population where person_id in ({listed}))
            group by {by}
        ),

        changes as (
            select
                coalesce(before.cell_rows, 0) as rows_before,
                coalesce(after.cell_rows, 0) as rows_after,
                coalesce(own_rows, 0) as own_rows
            from (select {typed}, cell_rows from {scene.rebuilt}) as before
            full join (select {typed}, cell_rows from attack_without) as after using ({by})
            left join own using ({by})
        )

        select count(*)
        from changes
        where rows_after > rows_before
            or (rows_after > 0 and rows_before - rows_after > own_rows)
            or (rows_after = 0 and rows_before - own_rows >= {scene.k})
        """
    )
    return int(differing)


def _not_the_file(scene: Scene) -> int:
    """Cells in which a rebuild without any change is not the file."""
    by = column_list(scene.shared_columns)
    typed = texts(scene.shared_columns)
    scene.context.redo("attack_again", filtered=True)
    (other,) = scene.one(
        f"""
        select count(*)
        from (select {typed}, cell_rows from attack_again) as again
        full join (
            select {by}, sum(attack_rows) as file_rows
            from attack_cells
            where attack_rows > 0
            group by {by}
        ) as file using ({by})
        where cell_rows is distinct from file_rows
        """
    )
    return int(other)


def _sums_neighbours(scene: Scene, listed: str) -> int:
    by = column_list(scene.spec.key_columns)
    measures = [m.name for m in scene.spec.measures]
    own = "".join(f", sum({quoted(m)}) as {quoted(m)}" for m in measures)
    changed = " or ".join(
        f"coalesce(before.{quoted(m)}, 0) - coalesce(after.{quoted(m)}, 0)"
        f" != coalesce(own.{quoted(m)}, 0)"
        for m in ["persons", *measures]
    )
    (differing,) = scene.one(
        f"""
        with own as (
            select {by}, count(*) as persons{own}
            from bounded
            where person_id in ({listed})
            group by {by}
        )

        select count(*)
        from {scene.rebuilt} as before
        full join attack_without as after using ({by})
        full join own using ({by})
        where {changed}
        """
    )
    return int(differing)


def coins(scene: Scene) -> list[AttackResult]:
    """Use a coin key again: who was sampled once is then known for every release.

    A rebuild with a fresh key must be another sample: the share of cells that are equal to those
    with the candidate's key. And against every earlier version with the same columns: the
    correlation of rows less β times persons, over the cells of both; independent coins give 0,
    kept coins near 1.

    Formula: the greater of the two. Source: Li, Qardaji, Su 2012 (fresh, secret sampling).
    Gate: 0.5.
    """
    if not scene.is_rows:
        return [does_not_apply("coins", COINS_GATE, "nothing is sampled")]
    scene.context.redo("attack_again", coins=secrets.token_bytes(32))
    by = column_list(scene.shared_columns)
    (equal,) = scene.one(
        f"""
        select coalesce(avg(cast(
            again.cell_rows is not distinct from other.cell_rows as integer
        )), 0)
        from attack_again as again
        full join {scene.rebuilt} as other using ({by})
        """
    )
    beta = scene.spec.guarantee.beta or 1.0
    correlations = [0.0]
    for earlier in scene.earlier:
        if earlier.product != "rows" or set(earlier.columns) != set(scene.columns):
            continue
        cells, correlation = scene.one(
            f"""
            select
                count(*),
                corr(
                    cells.attack_rows - {beta} * attack_persons,
                    earlier.attack_rows - {beta} * attack_persons
                )
            from attack_cells as cells
            inner join {earlier.table} as earlier using ({column_list(scene.columns)})
            where cells.attack_rows > 0
            """
        )
        if cells >= FEWEST_CELLS and correlation is not None:
            correlations.append(float(correlation))
    detail = f"1 rebuild, {len(correlations) - 1} earlier packs with the same columns"
    return [result("coins", max(float(equal), *correlations), COINS_GATE, detail)]
