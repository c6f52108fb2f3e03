"""YAML that a person wrote, without the parts of YAML that can harm: bounded before it is built.

No aliases, by which a few lines stand for gigabytes; no depth that ends Python's stack.
"""

from __future__ import annotations

import yaml

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50


class PlainYamlError(ValueError):
    """The text is no YAML that is read here; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        """Keep the place and the reason."""
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def require_plain(text: bytes | str) -> None:
    """Raise PlainYamlError unless the text is well-formed, small, flat and free of aliases."""
    if len(text) > MAX_BYTES:
        raise PlainYamlError(1, f"larger than {MAX_BYTES // 1024} KiB")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise PlainYamlError(line, "no aliases: write it out")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise PlainYamlError(line, f"nested deeper than {MAX_DEPTH} levels")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "no YAML"
        raise PlainYamlError(mark.line + 1 if mark else 1, str(reason)[:200]) from error
