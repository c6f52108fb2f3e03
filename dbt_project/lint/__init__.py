"""What sqlfluff's plain Jinja lacks to render the project: stand-ins for dbt's context.

A dispatched macro renders as a call of a function of its name, which is all that style needs; one
that stands where no function may, as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

execute = False
flags = SimpleNamespace(WHICH="compile")
_NO_FUNCTIONS = {"not_materialized"}


def _dispatch(name: str) -> Callable[..., str]:
    if name in _NO_FUNCTIONS:
        return lambda: ""
    return lambda *arguments: f"{name}({', '.join(_shown(value) for value in arguments)})"


def _shown(argument: object) -> str:
    # A macro reads columns of the alias that it is given, which style would take for unused.
    return "parameters.timezone" if argument == "parameters" else str(argument)


adapter = SimpleNamespace(dispatch=_dispatch, quote=lambda name: f'"{name}"')


def return_(value: Any) -> Any:
    """The value; dbt's `return` inside `{{ }}`."""
    return value


globals()["return"] = return_
