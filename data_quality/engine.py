"""Loads Great Expectations, without what its charts and its tests of distributions need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_RARELY_USED = ("altair", "scipy.stats")
"""Modules that its expectations about distributions import: a third of the seconds it takes."""


def load() -> None:
    """Import Great Expectations; the modules that it rarely uses, it imports when it does."""
    if "great_expectations" not in sys.modules:
        with _deferred(_RARELY_USED):
            import_module("great_expectations")


@contextmanager
def _deferred(names: tuple[str, ...]) -> Iterator[None]:
    """Who imports these modules now gets a stand-in; who does afterwards, the module."""
    stands_in = {name: _stand_in(name) for name in names if name not in sys.modules}
    sys.modules.update(stands_in)
    try:
        yield
    finally:
        for name, module in stands_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _stand_in(name: str) -> ModuleType:
    module = ModuleType(name)

    def attribute(wanted: str) -> Any:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), wanted)

    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module
