"""Funnels as they are declared: names, windows and steps, checked before any SQL runs.

A step is the name of an event. `first_` before it asks for the first such event of the person's
life; `order:course` asks for orders of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_STEPS = 8
COMMUNITY_STEPS = (
    *("impression", "click", "read", "like", "unlike", "comment", "share", "collect"),
    *("follow", "unfollow", "search", "checkin", "vote", "space_enter", "space_exit"),
)
ORDER_KINDS = ("membership", "column", "tip", "course", "goods", "service")
CAMPAIGN_ACTIONS = ("target", "participate", "invite", "accept", "checkin", "complete")
STEP_KINDS = (
    *COMMUNITY_STEPS,
    *("publish", "group_join", "message", "reaction", "attend", "submit", "consult_question"),
    *("broadcast_delivered", "broadcast_read", "broadcast_click"),
    *(f"campaign_{action}" for action in CAMPAIGN_ACTIONS),
    *("order", *(f"order:{kind}" for kind in ORDER_KINDS)),
)
"""What a step may ask for. `attend` is entering a scene, `order` any paid order."""
FIRST = "first_"

StepRow = tuple[str, int, str, str, bool, int]


class Funnel(BaseModel):
    """One funnel: a person enters at the first event ever of the first step.

    Each later step is the earliest strictly later event, all within `window_days` × 24 h of the
    entry.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    window_days: int = Field(default=7, ge=1, le=366)
    steps: tuple[str, ...]

    @field_validator("steps")
    @classmethod
    def _known_steps(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        if not 2 <= len(steps) <= MAX_STEPS:
            raise ValueError(f"a funnel has 2 to {MAX_STEPS} steps, not {len(steps)}")
        for number, step in enumerate(steps, start=1):
            if step.removeprefix(FIRST) not in STEP_KINDS:
                raise ValueError(f"step {number}, {step!r}, is no known event{_hint(step)}")
        return steps

    @model_validator(mode="after")
    def _first_is_not_the_entry(self) -> Self:
        """The first event that opened the funnel cannot come again."""
        for number, step in enumerate(self.steps[1:], start=2):
            if step.startswith(FIRST) and step.removeprefix(FIRST) == self.steps[0].removeprefix(
                FIRST
            ):
                raise ValueError(
                    f"step {number}, {step!r}, is the entry itself and can never come later"
                )
        return self


DEFAULT_FUNNEL = Funnel(
    name="default",
    window_days=7,
    steps=("impression", "click", "group_join", "first_order"),
)


def complete_funnels(funnels: Sequence[Funnel]) -> tuple[Funnel, ...]:
    """The declared funnels, after the one named `default` unless it is declared itself.

    Raises ValueError for a name that two funnels have.
    """
    names = [funnel.name for funnel in funnels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two funnels are named {', '.join(map(repr, twice))}")
    if DEFAULT_FUNNEL.name in names:
        return tuple(funnels)
    return (DEFAULT_FUNNEL, *funnels)


def step_rows(funnels: Iterable[Funnel]) -> list[StepRow]:
    """The rows of `control.funnel_steps`, one a funnel and step.

    Each is (funnel, step from 1, step_kind as declared, event_kind, is_first, window_days).
    """
    return [
        (
            funnel.name,
            number,
            step,
            step.removeprefix(FIRST),
            step.startswith(FIRST),
            funnel.window_days,
        )
        for funnel in funnels
        for number, step in enumerate(funnel.steps, start=1)
    ]


def _hint(step: Any) -> str:
    known = [*STEP_KINDS, *(FIRST + kind for kind in STEP_KINDS)]
    near = get_close_matches(str(step), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(STEP_KINDS)}"
