"""The attacks that every candidate of an audience pack must withstand before it is released.

Each attack is a function from the `Scene` to its results; its docstring gives formula, source and
gate. An attack that a product has nothing for says so in its result. docs/privacy-attacks.md has
the table, with the mutation that turns each one red.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestration.audience.attacks import attributes, files, identity, mechanism
from orchestration.audience.attacks.scene import Scene
from orchestration.audience.interface import AttackContext, AttackResult

ATTACKS: tuple[Callable[[Scene], list[AttackResult]], ...] = (
    identity.linkage,
    attributes.classes,
    identity.singling_out,
    identity.linkability_halves,
    identity.linkability_packs,
    identity.linkability_joins,
    attributes.inference,
    mechanism.membership,
    mechanism.randomness,
    mechanism.contribution,
    mechanism.differencing,
    mechanism.margins,
    identity.intersection,
    mechanism.neighbours,
    mechanism.coins,
    files.vocabulary,
    files.dictionary,
    files.canaries,
    files.keys,
    files.repeat_files,
    files.repeat_charge,
    files.side_channels,
)


def run_attacks(context: AttackContext) -> list[AttackResult]:
    """Run every attack on a candidate; it may be released when all results passed.

    Writes tables named `attack_…` into the context's connection. An attack that cannot run
    raises: the candidate then has no verdict, and is not released.
    """
    scene = Scene.of(context)
    return [found for attack in ATTACKS for found in attack(scene)]


__all__ = ["ATTACKS", "Scene", "run_attacks"]
