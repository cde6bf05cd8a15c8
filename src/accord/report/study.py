"""The page and the table of a study: arms compared over seeds. `comparison` is study.json as plain
values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from accord.report import charts
from accord.report.render import REPORT, write_page

Values = Mapping[str, Any]


def render(
    run_dir: Path, comparison: Values, curves: Mapping[str, Sequence[tuple[float, Values]]]
) -> Path:
    """Write report.html of a study; `curves`: label of an arm -> (sqrt(KL), estimate of the gold
    gain)."""
    recipe = (run_dir / "recipe.yaml").read_text(encoding="utf-8")
    header = yaml.safe_load(recipe)
    figures: dict[str, charts.Figure] = {"curves": charts.mean_curves(curves)} if curves else {}
    plane: Sequence[str] = (header.get("study") or {}).get("plane") or ()
    drawn = charts.plane(comparison, *plane) if plane else None
    if drawn is not None:
        figures["plane"] = drawn
    dots: list[tuple[str, str]] = []
    for column, label in comparison["columns"].items():
        figure = charts.dots(comparison, column)
        if figure is not None:
            name = f"dots-{len(dots)}"
            figures[name] = figure
            dots.append((label, name))
    variables: dict[str, Any] = {
        "name": run_dir.name,
        "headline": header["name"],
        "about": header["about"],
        "comparison": comparison,
        "bases": list(dict.fromkeys(comparison["compared"].values())),
        "curves": "curves" if curves else None,
        "plane": [comparison["columns"][column] for column in plane] if drawn else None,
        "dots": dots,
        "recipe": recipe,
        "figures": figures,
        "mean_text": mean_text,
        "difference_text": difference_text,
        "beyond_chance": beyond_chance,
    }
    return write_page(run_dir / REPORT, "study.html.j2", variables)


def markdown(comparison: Values) -> str:
    """The table as Markdown: mean [95 %], and the paired difference to the row it is compared
    with."""
    head = ["", *comparison["columns"].values()]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    for row, label in comparison["rows"].items():
        texts = []
        for cell in (comparison["cells"][row][column] for column in comparison["columns"]):
            difference = difference_text(cell["difference"])
            texts.append(
                mean_text(cell, len(comparison["seeds"]))
                + (f"; {difference}" if difference else "")
            )
        lines.append(f"| {label} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def mean_text(cell: Values, seeds: int) -> str:
    """2.96 [2.64, 3.27]; says how many seeds have the value where not all do."""
    values, mean = cell["values"], cell["mean"]
    if not values:
        return "–"
    if mean is None:
        text = ", ".join(number(v) for v in values.values())
    else:
        text = f"{number(mean['value'])} {_ends(mean)}"
    return text + (f" ({len(values)} of {seeds} seeds)" if len(values) < seeds else "")


def difference_text(difference: Values | None) -> str:
    """Δ +0.41 [+0.12, +0.70]; nothing without a difference."""
    if difference is None:
        return ""
    return f"Δ {number(difference['value'], '+')} {_ends(difference, '+')}"


def _ends(estimate: Values, sign: str = "") -> str:
    """[2.64, 3.27]; seeds that are all equal have none."""
    if not charts.has_ends(estimate):
        return "(all equal: no interval)"
    return f"[{number(estimate['low'], sign)}, {number(estimate['high'], sign)}]"


def beyond_chance(difference: Values) -> bool:
    """The interval of a difference excludes 0."""
    return charts.has_ends(difference) and not difference["low"] <= 0 <= difference["high"]


def number(value: float, sign: str = "") -> str:
    """Two decimals; whole numbers from a thousand on."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.2f}"
