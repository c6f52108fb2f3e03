"""Attacks that look for a person: linkage, singling out, linking files, intersecting packs."""

from __future__ import annotations

import random
from itertools import combinations

from orchestration.audience.attacks.scene import (
    Earlier,
    Scene,
    does_not_apply,
    result,
    wilson_upper,
)
from orchestration.audience.interface import AttackResult
from orchestration.audience.recode import column_list, quoted
from orchestration.warehouse import literal

PREDICATES = 10_000
CONJUNCTIONS = 40
SINGLING_OUT_GATE = 0.002
LINKABILITY_GATE = 0.02
FEW_CANDIDATES = 3
INTERSECTION_GATE = 0.0001
NO_ROWS = "the file has no row of a person"


def linkage(scene: Scene) -> list[AttackResult]:
    """Find a person's row by its whole tuple.

    With f the rows and F the persons of a tuple: prosecutor = max 1/f (the attacker knows that
    the target is in the file), journalist = max 1/F over the file's tuples (he does not),
    marketer = Σ f/F ÷ Σ f (share right when every row is matched). A tuple with more rows than
    persons stands for somebody who should not be in it: journalist and marketer risk 1.

    Source: El Emam and Dankar 2008; El Emam 2013, ch. 16. Gate: 1/k.
    """
    ids = ("linkage_prosecutor", "linkage_journalist", "linkage_marketer")
    gate = 1 / scene.k
    if not scene.is_rows:
        return [does_not_apply(each, gate, NO_ROWS) for each in ids]
    prosecutor, journalist, marketer, cells, unique = scene.one(
        """
        with risks as (
            select
                attack_rows,
                attack_persons,
                case
                    when attack_rows > attack_persons then 1.0
                    else 1.0 / attack_persons
                end as population_risk
            from attack_cells
            where attack_rows > 0
        )

        select
            coalesce(max(1.0 / attack_rows), 0),
            coalesce(max(population_risk), 0),
            coalesce(sum(attack_rows * population_risk) / sum(attack_rows), 0),
            count(*),
            count(*) filter (where attack_persons = 1)
        from risks
        """
    )
    detail = f"{cells} tuples, {unique} of one person in the population"
    return [
        result(each, float(value), gate, detail)
        for each, value in zip(ids, (prosecutor, journalist, marketer), strict=True)
    ]


def singling_out(scene: Scene) -> list[AttackResult]:
    """Write a predicate from the file that is true of exactly one person.

    10,000 predicates: every column's "none of the released values", and a draw from all tuples of
    the file on the whole tuple and on up to 40 sets of 1 to 6 columns, judged on the population.
    A pool smaller than the draw is judged whole, and its share stands for the draw's.

    Formula: upper end of the 95 % Wilson interval of the share that isolates. Source: WP216;
    Cohen and Nissim 2020; Giomi et al. 2023. Gate: 0.002.
    """
    if not scene.is_rows and scene.spec.keys == "public":
        reason = "its keys were declared before the data"
        return [does_not_apply("singling_out", SINGLING_OUT_GATE, reason)]
    sets = _column_sets(scene)
    pool, isolating = scene.one(
        f"""
        with tuples as (
            select
                hash({column_list(scene.columns)}, {literal(scene.spec.sha256)}) as ticket,
                cast(sum(attack_persons) as bigint) as persons
            from attack_cells
            group by grouping sets ({", ".join(f"({column_list(each)})" for each in sets)})
            having sum(attack_rows) > 0
        ),

        drawn as (
            select persons
            from tuples
            order by ticket
            limit {PREDICATES}
        )

        select count(*), count(*) filter (where persons = 1)
        from drawn
        """
    )
    extremes = sum(
        scene.one(
            f"""
            select coalesce(sum(persons), 0) = 1
            from (
                select sum(attack_persons) as persons
                from attack_cells
                group by {quoted(column)}
                having sum(attack_rows) = 0
            )
            """
        )[0]
        for column in scene.columns
    )
    drawn = PREDICATES - len(scene.columns)
    isolated = extremes + (drawn * isolating / pool if pool else 0.0)
    return [
        result(
            "singling_out",
            wilson_upper(isolated, PREDICATES),
            SINGLING_OUT_GATE,
            f"{PREDICATES} predicates over {len(sets)} sets of columns",
        )
    ]


def _column_sets(scene: Scene) -> list[tuple[str, ...]]:
    every = [
        each
        for size in range(1, min(6, len(scene.columns) - 1) + 1)
        for each in combinations(scene.columns, size)
    ]
    chooser = random.Random(scene.spec.sha256)
    return [scene.columns, *chooser.sample(every, min(CONJUNCTIONS, len(every)))]


def linkability_halves(scene: Scene) -> list[AttackResult]:
    """Join two sources that each know one half of the columns, through the file.

    A person whose halves match f_A and f_B rows, f of them both, is joined rightly with chance
    f / (f_A · f_B), when in each source the attacker takes one matching row. Mean over the rows,
    the worse of two splits (first half and last half; every other column).

    Source: WP216; Giomi et al. 2023 (here exact instead of sampled). Gate: 0.02.
    """
    if not scene.is_rows:
        return [does_not_apply("linkability_halves", LINKABILITY_GATE, NO_ROWS)]
    columns = scene.columns
    if len(columns) < 2:
        reason = "one column has no halves"
        return [does_not_apply("linkability_halves", LINKABILITY_GATE, reason)]
    middle = (len(columns) + 1) // 2
    splits = ((columns[:middle], columns[middle:]), (columns[::2], columns[1::2]))
    risks = [
        scene.one(
            f"""
            with halves as (
                select
                    attack_rows,
                    sum(attack_rows) over (partition by {column_list(left)}) as left_rows,
                    sum(attack_rows) over (partition by {column_list(right)}) as right_rows
                from attack_cells
                where attack_rows > 0
            )

            select coalesce(
                sum(1.0 * attack_rows * attack_rows / (1.0 * left_rows * right_rows))
                / sum(attack_rows), 0
            )
            from halves
            """
        )[0]
        for left, right in splits
    ]
    detail = f"2 splits of {len(columns)} columns"
    return [result("linkability_halves", float(max(risks)), LINKABILITY_GATE, detail)]


def linkability_packs(scene: Scene) -> list[AttackResult]:
    """Find a person's row of this file in an earlier pack.

    On the columns that both have, a tuple has F persons in the population, f rows here and g there.
    Two independent samples share a person in a pair of rows with chance 1 / F (that they are
    independent is what `coins` attacks); a tuple with more rows than persons counts as these.
    Mean of 1 / max(F, f, g) over this file's rows that have a partner, the worst earlier pack
    counts.

    Source: WP216, linkability; Ganta, Kasiviswanathan, Smith 2008. Gate: 0.02.
    """
    if not scene.is_rows:
        return [does_not_apply("linkability_packs", LINKABILITY_GATE, NO_ROWS)]
    risks = [0.0]
    for earlier in _earlier_rows(scene):
        shared = [c for c in scene.columns if c in earlier.columns]
        if not shared:
            continue
        (risk,) = scene.one(
            f"""
            with here as (
                select
                    {column_list(shared)},
                    sum(attack_rows) as rows_here,
                    sum(attack_persons) as persons_here
                from attack_cells
                group by {column_list(shared)}
                having sum(attack_rows) > 0
            ),

            there as (
                select {column_list(shared)}, sum(attack_rows) as rows_there
                from {earlier.table}
                group by {column_list(shared)}
            )

            select coalesce(
                sum(1.0 * rows_here / greatest(rows_here, rows_there, persons_here))
                / sum(rows_here), 0
            )
            from here
            inner join there using ({column_list(shared)})
            """
        )
        risks.append(float(risk))
    detail = f"{len(risks) - 1} earlier packs with a shared column"
    return [result("linkability_packs", max(risks), LINKABILITY_GATE, detail)]


def linkability_joins(scene: Scene) -> list[AttackResult]:
    """Join this file to an earlier pack on a value that names one row in each: a pseudonym.

    Formula: over all pairs of columns, the values with one row here and one row there. Source:
    WP216, linkability. Gate: 0 joins.
    """
    if not scene.is_rows:
        return [does_not_apply("linkability_joins", 0.0, NO_ROWS)]
    joined = 0
    pairs = 0
    single = """
        select {column} as value
        from {table}
        where attack_rows > 0
        group by {column}
        having sum(attack_rows) = 1
    """
    for earlier in _earlier_rows(scene):
        for column in scene.columns:
            here = single.format(column=quoted(column), table="attack_cells")
            if not scene.one(f"select exists ({here})")[0]:
                pairs += len(earlier.columns)
                continue
            for other in earlier.columns:
                there = single.format(column=quoted(other), table=earlier.table)
                pairs += 1
                joined += scene.one(
                    f"select count(*) from ({here}) as here inner join ({there}) using (value)"
                )[0]
    return [result("linkability_joins", float(joined), 0.0, f"{pairs} pairs of columns")]


def intersection(scene: Scene) -> list[AttackResult]:
    """Narrow a person's sensitive value by what all packs leave possible together.

    A person's candidates in one pack are the sensitive values of the rows that agree on the other
    columns; over the packs they are intersected. Counted is who has at most 3 candidates, the
    true one among them, and owes that to the own row: in some pack it is the only row of its
    tuple, so that without the person the truth would have gone.

    Formula: such persons ÷ persons. Source: Ganta, Kasiviswanathan, Smith 2008; Xiao and Tao
    2007. Gate: 0.0001 of the persons.
    """
    if not scene.is_rows:
        return [does_not_apply("intersection", INTERSECTION_GATE, NO_ROWS)]
    if not scene.sensitive:
        reason = "the file has no sensitive column"
        return [does_not_apply("intersection", INTERSECTION_GATE, reason)]
    shares = [_narrowed(scene, target) for target in scene.sensitive]
    detail = f"{len(list(_earlier_rows(scene))) + 1} packs, {len(shares)} sensitive columns"
    return [result("intersection", max(shares), INTERSECTION_GATE, detail)]


def _narrowed(scene: Scene, target: str) -> float:
    others = [c for c in scene.columns if c not in scene.sensitive]
    packs = [("attack_cells", others)]
    for earlier in _earlier_rows(scene):
        shared = [c for c in others if c in earlier.columns]
        if target in earlier.columns and shared:
            packs.append((earlier.table, shared))
    if not others:
        return 0.0
    joins = []
    for number, (table, known) in enumerate(packs):
        scene.connection.execute(
            f"""
            create or replace temp table attack_candidates_{number} as
            select
                {column_list([*known, target])},
                cast(sum(attack_rows) as bigint) as attack_rows_{number}
            from {table}
            where attack_rows > 0
            group by {column_list([*known, target])}
            """
        )
        joins.append(
            f"""
            left join attack_candidates_{number} using ({column_list([*known, target])})
            left join (
                select distinct {column_list(known)}, true as attack_has_{number}
                from attack_candidates_{number}
            ) as class_{number} using ({column_list(known)})
            """
        )
    every = range(len(packs))
    owned = " + ".join(f"coalesce(cast(attack_rows_{n} = 1 as integer), 0)" for n in every)
    seen = " or ".join(f"attack_has_{n}" for n in every)
    left = " and ".join(f"(attack_rows_{n} is not null or attack_has_{n} is null)" for n in every)
    (share,) = scene.one(
        f"""
        with tuples as (
            select {column_list([*others, target])}, sum(attack_persons) as attack_persons
            from attack_cells
            group by {column_list([*others, target])}
        ),

        possible as (
            select
                attack_persons,
                {owned} as attack_own,
                count(*) over (partition by {column_list(others)}) as attack_candidates
            from tuples
            {" ".join(joins)}
            where ({seen}) and {left}
        )

        select coalesce(
            sum(
                case
                    when attack_candidates <= {FEW_CANDIDATES}
                        then least(attack_own, attack_persons)
                    else 0
                end
            ) / nullif((select sum(attack_persons) from attack_cells), 0), 0
        )
        from possible
        """
    )
    return float(share)


def _earlier_rows(scene: Scene) -> list[Earlier]:
    return [earlier for earlier in scene.earlier if earlier.product == "rows"]
