"""Small charts as SVG made here: no script, no style of their own; colours come from the page's
classes.

Okabe and Ito's colours stay apart for colour-blind readers; every chart also says in words what it
shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from accord.statistics.intervals import Interval

WIDTH = 320


def interval(
    value: Interval | None, low: float, high: float, mark: float | None = None, label: str = ""
) -> Markup:
    """A dot with its 95 % interval on a line from `low` to `high`, cut there; `mark` is a value to
    compare with."""
    if value is None or value.value != value.value:
        return Markup("")

    def x(number: float) -> float:
        share = (min(max(number, low), high) - low) / (high - low)
        return round(6 + share * 148, 1)

    parts = ['<line class="axis" x1="6" x2="154" y1="10" y2="10"/>']
    if mark is not None:
        parts.append(f'<line class="mark" x1="{x(mark)}" x2="{x(mark)}" y1="2" y2="18"/>')
    if value.low == value.low and value.high == value.high:
        parts.append(
            f'<line class="whisker" x1="{x(value.low)}" x2="{x(value.high)}" y1="10" y2="10"/>'
        )
    parts.append(f'<circle class="dot" cx="{x(value.value)}" cy="10" r="4"/>')
    return _svg(160, 20, label, parts, "interval")


def columns(values: Sequence[int], label: str) -> Markup:
    """One column per value, the last one today."""
    top, step = max([*values, 1]), WIDTH / max(1, len(values))
    parts = [f'<line class="axis" x1="0" x2="{WIDTH}" y1="59.5" y2="59.5"/>']
    for place, value in enumerate(values):
        height = round(54 * value / top, 1)
        if value:
            x, width = round(place * step + 2, 1), round(step - 4, 1)
            parts.append(
                f'<rect class="column" x="{x}" y="{round(59 - height, 1)}" width="{width}" '
                f'height="{height}" rx="2"><title>{value}</title></rect>'
            )
    return _svg(WIDTH, 60, label, parts, "columns")


def shares(parts: Sequence[tuple[str, float]], label: str) -> Markup:
    """One bar divided by shares, in order; classes c0, c1, ... give the colours."""
    total, at, drawn = sum(share for _, share in parts) or 1.0, 0.0, []
    for place, (name, share) in enumerate(parts):
        width = WIDTH * share / total
        if share:
            drawn.append(
                f'<rect class="c{place % 5}" x="{at:.1f}" y="0" '
                f'width="{max(width - 1, 0.5):.1f}" height="14">'
                f"<title>{escape(name)}</title></rect>"
            )
        at += width
    return _svg(WIDTH, 14, label, drawn, "shares")


def _svg(width: int, height: int, label: str, parts: Sequence[str], kind: str) -> Markup:
    title = f' role="img" aria-label="{escape(label)}"' if label else ' aria-hidden="true"'
    return Markup(
        f'<svg class="chart {kind}" viewBox="0 0 {width} {height}"{title}>{"".join(parts)}</svg>'
    )
