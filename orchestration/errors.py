"""Errors that a person can act on. Their text never holds PII or a secret."""

from __future__ import annotations

from collections.abc import Sequence


class TandemError(Exception):
    """Base of all errors that the CLI prints as one message, without a traceback.

    `exit_code` is the process's exit status: 1 for a failed run, 2 for wrong use or settings,
    3 for a blocked gate, 4 for a locked warehouse.
    """

    exit_code = 1


class SettingsError(TandemError):
    """A setting is unknown, missing or out of its bounds."""

    exit_code = 2


class GateError(TandemError):
    """A blocking gate did not pass, so nothing was published."""

    exit_code = 3


class LockedError(TandemError):
    """Another process holds the warehouse."""

    exit_code = 4


def first_of(texts: Sequence[str], most: int, joint: str = "; ", last: str = " and") -> str:
    """The first texts, and how many more there are."""
    more = f"{last} {len(texts) - most} more" if len(texts) > most else ""
    return joint.join(texts[:most]) + more


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
