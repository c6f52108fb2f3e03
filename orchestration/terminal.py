"""Text as a terminal may show it: what it holds of the data moves no cursor and forges no line."""

from __future__ import annotations

import re

# Control characters of ASCII and Latin-1, line and paragraph separators, what turns the direction
# of reading, and halves of characters.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shown(text: str) -> str:
    """One line: every character that a terminal would act on stands as its escape."""
    return _ODD.sub(_escape, text)


def shown_lines(text: str) -> str:
    """Several lines, of which only the first begins at the margin."""
    return "\n  ".join(shown(line) for line in text.split("\n"))


def is_broken(text: str) -> bool:
    """Whether the text came from bytes that are no UTF-8, which no other program would take."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
