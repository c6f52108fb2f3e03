"""Plots as SVG text, small enough to read in a diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#2563eb", "#94a3b8", "#d97706", "#059669", "#7c3aed", "#db2777", "#475569")
_WIDTH = 760
_LABEL = 190
_RIGHT = 120


@dataclass(frozen=True)
class Bar:
    """One bar: its median, and the least and the greatest of the rounds as a whisker."""

    label: str
    median: float
    low: float
    high: float
    text: str
    colour: int = 0


def bars(title: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Horizontal bars in named groups, all on one scale from zero."""
    found = [bar for group in groups.values() for bar in group]
    top = max((bar.high for bar in found), default=1.0) or 1.0
    scale = (_WIDTH - _LABEL - _RIGHT) / top
    body, y = [_text(10, 24, title, size=16, weight="bold")], 44.0
    for name, group in groups.items():
        body.append(_text(10, y + 12, name, weight="bold"))
        y += 20
        for bar in group:
            colour = COLOURS[bar.colour % len(COLOURS)]
            middle = y + 8
            body += [
                _text(_LABEL - 8, y + 12, bar.label, anchor="end"),
                f'<rect x="{_LABEL}" y="{y:.0f}" width="{max(bar.median * scale, 1):.1f}" '
                f'height="16" rx="2" fill="{colour}"/>',
                f'<path d="M{_LABEL + bar.low * scale:.1f} {middle:.0f}H'
                f'{_LABEL + bar.high * scale:.1f}" stroke="#0f172a" stroke-width="1.5"/>',
                _text(_LABEL + bar.high * scale + 6, y + 12, bar.text),
            ]
            y += 22
        y += 8
    return _svg(title, y + 4, body)


def lines(title: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines over a number such as the day, from zero upwards; points in order of it."""
    height, left, bottom = 300.0, 70.0, 250.0
    points = [point for line in series.values() for point in line]
    last = max((x for x, _ in points), default=1.0) or 1.0
    top = max((y for _, y in points), default=1.0) * 1.1 or 1.0
    body = [_text(10, 24, title, size=16, weight="bold")]
    for step in range(5):
        value = top * step / 4
        y = bottom - (bottom - 50) * step / 4
        body.append(f'<path d="M{left} {y:.0f}H{_WIDTH - 20}" stroke="#e2e8f0"/>')
        body.append(_text(left - 8, y + 4, f"{value:.3g} {unit}".strip(), anchor="end"))
    for step in range(6):
        x = left + (_WIDTH - 20 - left) * step / 5
        body.append(_text(x, bottom + 18, f"{last * step / 5:.0f}", anchor="middle"))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{left + (_WIDTH - 20 - left) * x / last:.1f},{bottom - (bottom - 50) * y / top:.1f}"
            for x, y in line
        )
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        body.append(
            f'<rect x="{left + 160 * number}" y="278" width="12" height="12" fill="{colour}"/>'
        )
        body.append(_text(left + 18 + 160 * number, 288, name))
    return _svg(title, height, body)


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    inside = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{inside}\n</svg>\n'
    )


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="#0f172a">{escape(words)}</text>'
    )
