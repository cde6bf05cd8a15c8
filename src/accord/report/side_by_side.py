"""Several runs on one page: what `accord.runs.compared_runs` found, with curves and samples of each
from its files. `comparison` is a RunComparison as plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.metrics import declared
from accord.report import charts
from accord.report.curves import MOST, Curve, read_curves
from accord.report.render import last_evidence, read_stages, samples_of, write_page
from accord.report.samples import SampleTable

PAGE = "comparison.html"
Values = Mapping[str, Any]


def render(
    path: Path, comparison: Values, quantities: Mapping[str, str], at_work: Sequence[str]
) -> Path:
    """Write the page to `path`. quantities: what is paired, with its unit; at_work: names of the
    runs that are still being written."""
    figures: dict[str, charts.Figure] = {}

    def figure(drawn: charts.Figure | None) -> str | None:
        if drawn is None:
            return None
        figures[f"figure-{len(figures) + 1}"] = drawn
        return f"figure-{len(figures)}"

    runs = comparison["runs"]
    stages = {run["name"]: read_stages(Path(run["folder"])) for run in runs}
    table = SampleTable()
    for name, found in stages.items():
        table.add_run(found, name)
    curves, broken, thinned = _curves(runs)
    evidence = _evidence(runs, stages)
    drawn = [
        (title, figure(charts.against_distance(evidence, key, title)))
        for key, title in (("gold", "Gold reward"), ("proxy", "Proxy reward"))
    ]
    variables: dict[str, Any] = {
        "name": f"{len(runs)} runs",
        "headline": f"{len(runs)} runs side by side",
        "comparison": comparison,
        "fact_names": list(dict.fromkeys(name for run in runs for name in run["facts"])),
        "measures": _measures(runs),
        "quantities": quantities,
        "paired": _paired(comparison["paired"], quantities, figure),
        "at_work": at_work,
        "broken": broken,
        "thinned": thinned,
        "most_points": MOST,
        "curves": [(title, name) for title, name in drawn if name is not None],
        "training": [
            (stage, *([(name, figure(one)) for name, one in group] for group in groups))
            for stage, groups in ((s, charts.training(metrics)) for s, metrics in curves.items())
        ],
        "metric_name": charts.metric_name,
        "meanings": {m.name: m.meaning for m in declared()},
        "figures": figures,
        **samples_of(table),
    }
    return write_page(path, "side_by_side.html.j2", variables)


def _curves(
    runs: Sequence[Values],
) -> tuple[dict[str, dict[str, dict[str, Curve]]], dict[str, int], bool]:
    """Curves by stage, metric and run; broken lines by run; whether any was thinned."""
    curves: dict[str, dict[str, dict[str, Curve]]] = defaultdict(lambda: defaultdict(dict))
    broken, thinned = {}, False
    for run in runs:
        found = read_curves(Path(run["folder"]))
        thinned |= found.thinned
        if found.broken:
            broken[run["name"]] = found.broken
        for stage, metrics in found.stages.items():
            for metric, lines in metrics.items():
                for label, curve in lines.items():
                    name = f"{run['name']}, {label}" if label else run["name"]
                    curves[stage][metric][name] = curve
    return curves, broken, thinned


def _evidence(runs: Sequence[Values], stages: Mapping[str, Any]) -> dict[str, Any]:
    """Arms of all runs whose evidence can be read, under the names of their runs."""
    arms = []
    for run in runs:
        found = None if run["missing"] else last_evidence(stages[run["name"]])
        for arm in (found or {}).get("arms", ()):
            arms.append(arm | {"name": f"{run['name']}: {arm['name']}"})
    return {"arms": arms, "best_of": []}


def _measures(runs: Sequence[Values]) -> list[tuple[str, str, list[str]]]:
    """(name, unit, a text per run)."""
    units = {name: one["unit"] for run in runs for name, one in run["measures"].items()}
    return [
        (name, unit, [_text(run["measures"].get(name)) for run in runs])
        for name, unit in units.items()
    ]


def _text(one: Values | None) -> str:
    if one is None:
        return "–"
    if not charts.has_ends(one):
        return f"{one['value']:.3g}"
    return f"{one['value']:.3g} [{one['low']:.3g}, {one['high']:.3g}]"


def _paired(
    paired: Sequence[Values], quantities: Mapping[str, str], figure: Any
) -> list[tuple[str, str | None, list[Values]]]:
    """(unit, chart, rows) of each quantity."""
    groups = ((key, [one for one in paired if one["quantity"] == key]) for key in quantities)
    return [
        (quantities[key], figure(charts.differences(rows, quantities[key])), rows)
        for key, rows in groups
        if rows
    ]
