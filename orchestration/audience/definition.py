"""A YAML file read as nodes that keep their lines, with every scalar as its text.

Collects what is wrong instead of stopping at the first problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from orchestration.errors import TandemError
from orchestration.plain_yaml import PlainYamlError, require_plain

MAX_BYTES = 256 * 1024
NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}\Z")


class SpecError(TandemError):
    """A pack's definition cannot be used; `problems` are its `file:line: reason`."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the problems and say them all, one a line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class RefusedError(Exception):
    """One problem; the part of the definition that has it is left out, the rest is read on."""


@dataclass
class Definition:
    """One file, and the problems found in it so far as (line, reason)."""

    path: Path
    problems: list[tuple[int, str]] = field(default_factory=list, kw_only=True)

    def _compose(self) -> yaml.Node:
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise SpecError([f"{self.path}: {error.strerror}"]) from error
        if len(text) > MAX_BYTES:
            raise SpecError([f"{self.path}: larger than {MAX_BYTES // 1024} KiB"])
        try:
            require_plain(text)
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except PlainYamlError as error:
            raise SpecError([f"{self.path}:{error.line}: {error.reason}"]) from error
        except yaml.YAMLError as error:
            # Two documents in one file, which only composing sees.
            raise SpecError([f"{self.path}:1: is no single YAML document"]) from error
        if root is None:
            raise SpecError([f"{self.path}:1: empty"])
        return root

    @contextmanager
    def _collect(self) -> Iterator[None]:
        with suppress(RefusedError):
            yield

    def _note(self, node: yaml.Node, why: str) -> None:
        self.problems.append((node.start_mark.line + 1, why))

    def _refuse(self, node: yaml.Node, why: str) -> RefusedError:
        self._note(node, why)
        return RefusedError()

    def _mapping(self, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._refuse(node, f"{what}: must be names with values")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self._text(key, what)
            if name in found:
                self._note(key, f"{what}: {name} stands here twice")
            found[name] = value
        return found

    def _items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._refuse(node, f"{what}: must be a list")
        return list(node.value)

    def _text(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            raise self._refuse(node, f"{what}: must be a text")
        return str(node.value)

    def _name(self, node: yaml.Node, what: str) -> str:
        text = self._text(node, what)
        if not NAME.match(text):
            raise self._refuse(node, f"{what}: {text!r} is no name of a-z, 0-9 and _")
        return text

    def _number(self, node: yaml.Node, what: str) -> float:
        text = self._text(node, what)
        try:
            number = float(text.replace("_", ""))
        except ValueError:
            raise self._refuse(node, f"{what}: {text!r} is no number") from None
        if number != number or number in (float("inf"), float("-inf")):
            raise self._refuse(node, f"{what}: {text!r} is no number")
        return number

    def _integer(self, node: yaml.Node, what: str, low: int, high: int) -> int:
        number = self._number(node, what)
        if number != int(number) or not low <= number <= high:
            raise self._refuse(node, f"{what}: must be a whole number from {low} to {high}")
        return int(number)

    def _choice(self, node: yaml.Node, what: str, choices: Sequence[str]) -> str:
        text = self._text(node, what)
        if text not in choices:
            raise self._refuse(node, f"{what}: must be one of {', '.join(choices)}")
        return text

    def _title(self, node: yaml.Node) -> str:
        text = self._text(node, "title")
        if len(text) > 120 or not text.isprintable():
            raise self._refuse(node, "title: must be one line of at most 120 characters")
        return text

    def _label(self, node: yaml.Node, what: str) -> str:
        text = self._text(node, what)
        problem = label_problem(text)
        if problem:
            raise self._refuse(node, f"{what}: {text!r} {problem}")
        return text


def label_problem(text: str) -> str | None:
    """Why a text may not be a released value: length, control characters, spreadsheet formulas."""
    if not 0 < len(text) <= 64:
        return "must have 1 to 64 characters"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        return "has control characters"
    # The full-width signs too, which some spreadsheets take for them.
    if text.lstrip()[:1] in tuple("=+-@\uff1d\uff0b\uff0d\uff20"):
        return "would be a formula in a spreadsheet"
    return None
