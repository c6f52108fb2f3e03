"""Attacks that look for a fact of a person who is known: homogeneous classes, inference."""

from __future__ import annotations

from orchestration.audience.attacks.scene import Scene, does_not_apply, result
from orchestration.audience.interface import AttackResult, Column
from orchestration.audience.recode import column_list, quoted
from orchestration.warehouse import literal

INFERENCE_GATE = 0.01


def classes(scene: Scene) -> list[AttackResult]:
    """Read a sensitive value off a class, the rows that agree on all columns but the sensitive.

    A class misses l when it has fewer distinct values (Machanavajjhala et al. 2007), alpha when
    one value has a greater share (Wong et al. 2006), t when its distribution is further from the
    file's: total variation, or for ordered values the earth mover's distance
    Σ_i |Σ_{j≤i} (p_j − q_j)| / (m − 1) over the vocabulary's m values (Li, Li,
    Venkatasubramanian 2007).

    Gate: 0 classes miss.
    """
    ids = ("classes_l", "classes_alpha", "classes_t")
    if not scene.is_rows:
        return [does_not_apply(each, 0.0, "the file has no row of a person") for each in ids]
    if not scene.sensitive:
        return [does_not_apply(each, 0.0, "the file has no sensitive column") for each in ids]
    guarantee = scene.spec.guarantee
    furthest_allowed = 1.0 if guarantee.t is None else guarantee.t
    missed = [0, 0, 0]
    fewest, greatest, furthest = [], [], []
    ordered = {c.name: c for c in scene.spec.columns if c.ordered}
    for target in scene.sensitive:
        _class_measures(scene, target, ordered.get(target))
        row = scene.one(
            f"""
            select
                count(*) filter (where distinct_values < {guarantee.l or 1}),
                count(*) filter (where greatest_share > {guarantee.alpha or 1.0} + 1e-9),
                count(*) filter (where distance > {furthest_allowed} + 1e-9),
                coalesce(min(distinct_values), 0),
                coalesce(max(greatest_share), 0),
                coalesce(max(distance), 0)
            from attack_classes
            """
        )
        missed = [before + int(now) for before, now in zip(missed, row[:3], strict=True)]
        fewest.append(int(row[3]))
        greatest.append(float(row[4]))
        furthest.append(float(row[5]))
    details = (
        f"at least {min(fewest)} values in a class",
        f"greatest share {max(greatest):.3f}",
        f"greatest distance {max(furthest):.3f}",
    )
    return [
        result(each, float(count), 0.0, detail)
        for each, count, detail in zip(ids, missed, details, strict=True)
    ]


def _class_measures(scene: Scene, target: str, ordered: Column | None) -> None:
    """Write `attack_classes`: one row a class with its three measures of `target`."""
    known = [c for c in scene.columns if c not in scene.sensitive]
    whole = column_list(known) if known else "1"
    scene.connection.execute(
        f"""
        create or replace temp table attack_class_values as
        with counted as (
            select
                dense_rank() over (order by {whole}) as class,
                {quoted(target)} as value,
                attack_rows
            from attack_cells
            where attack_rows > 0
        )

        select class, value, cast(sum(attack_rows) as bigint) as value_rows
        from counted
        group by class, value
        """
    )
    scene.connection.execute(
        f"""
        create or replace temp table attack_file_values as
        with places as (
            select value, row_number() over () as place
            from (select unnest({_list(ordered.vocabulary if ordered else ())}) as value)
        ),

        counted as (
            select value, sum(value_rows) as value_rows
            from attack_class_values
            group by value
        )

        select
            value,
            row_number() over (order by place nulls last, value) as place,
            coalesce(value_rows, 0) / (select sum(value_rows) from counted) as file_share
        from places
        full join counted using (value)
        """
    )
    scene.connection.execute(
        f"""
        create or replace temp table attack_classes as
        with shares as (
            select
                class,
                value,
                value_rows / sum(value_rows) over (partition by class) as class_share
            from attack_class_values
        ),

        basic as (
            select
                class,
                count(*) as distinct_values,
                max(class_share) as greatest_share,
                sum(greatest(class_share - file_share, 0)) as variation
            from shares
            inner join attack_file_values using (value)
            group by class
        ),

        {_moved_sql() if ordered else "moved as (select class, variation as distance from basic)"}

        select basic.class, distinct_values, greatest_share, coalesce(distance, 0) as distance
        from basic
        inner join moved on basic.class = moved.class
        """
    )


def _moved_sql() -> str:
    return """
        gaps as (
            select
                basic.class,
                place,
                coalesce(class_share, 0) - file_share as gap
            from basic
            cross join attack_file_values
            left join shares
                on basic.class = shares.class and attack_file_values.value = shares.value
        ),

        running as (
            select class, abs(sum(gap) over (partition by class order by place)) as moved
            from gaps
        ),

        moved as (
            select
                class,
                sum(moved) / nullif((select count(*) from attack_file_values) - 1, 0) as distance
            from running
            group by class
        )
    """


def _list(values: tuple[str, ...]) -> str:
    return "cast([" + ", ".join(literal(value) for value in values) + "] as varchar[])"


def inference(scene: Scene) -> list[AttackResult]:
    """Guess a sensitive value of a person whose other columns are known, from the file.

    The guess is the most frequent value among the rows that agree on all other columns (ties by
    lot; the file's most frequent value where no row agrees). Control: the same guess after the
    target's own row is taken out; a tuple of a rows pack that falls under k goes. Who of a
    tuple's F persons has one of its f rows is not known, so each has one with chance f / F. In
    a counts pack the own part is taken out of the published cell.

    Formula: (attack − control) / (1 − control), over all persons, the worst column. Source: Li,
    Qardaji, Su 2012; Giomi et al. 2023 with a leave-one-out control. Gate: 0.01.
    """
    if not scene.sensitive:
        reason = "the file has no sensitive column"
        return [does_not_apply("inference", INFERENCE_GATE, reason)]
    if len(scene.columns) < 2:
        reason = "nothing else is known"
        return [does_not_apply("inference", INFERENCE_GATE, reason)]
    reached = []
    for target in scene.sensitive:
        if scene.is_rows:
            reached.append(_inferred(scene, target))
        else:
            reached += [_inferred(scene, target, measure) for measure in scene.measures]
    risks = [
        (max(0.0, (attack - control) / (1 - control)) if control < 1 else 0.0, attack, control)
        for attack, control in reached
    ]
    risk, attack, control = max(risks, default=(0.0, 0.0, 0.0))
    detail = f"attack {attack:.3f}, control {control:.3f}"
    return [result("inference", risk, INFERENCE_GATE, detail)]


def _inferred(scene: Scene, target: str, measure: str | None = None) -> tuple[float, float]:
    """Shares of right guesses with and without the own row."""
    _number_cells(scene, target, measure)
    targets = (
        f"""
            select
                attack_cell as cell,
                attack_persons as persons,
                least(1.0 * attack_rows / attack_persons, 1.0) as own_share,
                case when attack_rows - 1 < {scene.k} then 0 else attack_rows - 1 end as left_over
            from attack_numbered
            where attack_persons > 0
        """
        if measure is None
        else """
            select
                cell,
                count(*) as persons,
                1.0 as own_share,
                any_value(weight) - part as left_over
            from attack_parts
            group by cell, part
        """
    )
    attack, control = scene.one(
        f"""
        with cells as (
            select
                attack_cell as cell,
                attack_class as class,
                attack_weight as weight,
                attack_is_prior as is_prior,
                max(attack_weight) over (partition by attack_class) as top
            from attack_numbered
        ),

        places as (
            select
                *,
                coalesce(max(case when weight < top then weight end) over classes, 0) as next,
                sum(cast(weight = top as integer)) over classes as top_ties
            from cells
            window classes as (partition by class)
        ),

        ties as (
            select
                *,
                sum(cast(weight = next as integer)) over (partition by class) as next_ties
            from places
        ),

        targets as (
            {targets}
        ),

        outcomes as (
            select
                persons,
                own_share,
                case
                    when top <= 0 then is_prior
                    when weight = top then 1.0 / top_ties
                    else 0
                end as with_own,
                case
                    when top <= 0 then is_prior
                    when weight < top or top_ties > 1 then 0
                    when left_over > next then 1
                    when left_over = next and left_over > 0 then 1.0 / (1 + next_ties)
                    when left_over <= 0 and next <= 0 then is_prior
                    else 0
                end as without_own
            from targets
            inner join ties using (cell)
        )

        select
            coalesce(sum(persons * with_own) / sum(persons), 0),
            coalesce(
                sum(persons * (own_share * without_own + (1 - own_share) * with_own))
                / sum(persons), 0
            )
        from outcomes
        """
    )
    return float(attack), float(control)


def _number_cells(scene: Scene, target: str, measure: str | None) -> None:
    """Write `attack_numbered`: `attack_cells`, each with its class, weight and prior guess.

    The weight is what the file says of the cell, 0 where it says nothing. For a measure further
    `attack_parts`: a row a person and cell, with what the person's part of it is.
    """
    every = column_list(scene.columns)
    known = column_list(c for c in scene.columns if c != target)
    weight = "attack_rows" if measure is None else f"coalesce(attack_said.{quoted(measure)}, 0)"
    said = "" if measure is None else f"left join released as attack_said using ({every})"
    scene.connection.execute(
        f"""
        create or replace temp table attack_numbered as
        with weighed as (
            select attack_cells.*, {weight} as attack_weight
            from attack_cells
            {said}
        ),

        prior as (
            select {quoted(target)} as attack_value
            from weighed
            group by {quoted(target)}
            order by sum(attack_weight) desc, {quoted(target)}
            limit 1
        )

        select
            weighed.*,
            row_number() over (order by {every}) as attack_cell,
            dense_rank() over (order by {known}) as attack_class,
            cast(weighed.{quoted(target)} = prior.attack_value as integer) as attack_is_prior
        from weighed
        cross join prior
        """
    )
    if measure is None:
        return
    own = "1" if measure == "persons" else f"bounded.{quoted(measure)}"
    scene.connection.execute(
        f"""
        create or replace temp table attack_parts as
        select attack_cell as cell, attack_weight as weight, {own} as part
        from bounded
        inner join attack_numbered using ({every})
        """
    )
