"""Figures of the report, as plain Plotly dictionaries without colours of their own for text or
background.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; arms also differ by dash and
marker.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from accord.metrics import declared
from accord.report.curves import Curve
from accord.statistics.intervals import Z95

Figure = dict[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
BEST_OF, GREY = "#009E73", "#8a8f98"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "cross", "x")


def _turn(marks: Sequence[str], index: int) -> str:
    """The mark of a curve: one whose colour was there before has another."""
    return marks[(index + index // len(COLOURS)) % len(marks)]


def plain(text: str) -> str:
    """A name from data as Plotly shows it letter by letter: tags, links and entities in it are
    text. Plotly knows no &quot;, so quotes stay."""
    return html.escape(text, quote=False)


def _layout(x: str, y: str, **more: Any) -> Figure:
    return {
        "margin": {"l": 56, "r": 12, "t": 8, "b": 44},
        "height": 320,
        "hovermode": "closest",
        "xaxis": {"title": {"text": x}, "zeroline": False, "automargin": True},
        "yaxis": {"title": {"text": y}, "zeroline": False, "automargin": True},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        **more,
    }


def _band(x: Sequence[float], estimates: Sequence[Mapping[str, Any]], colour: str) -> Figure:
    """The 95 % interval around a curve, where its points have one: a strip between every two
    neighbours. A curve may step back, so that one outline around all would cross itself."""
    known = [(at, e["low"], e["high"]) for at, e in zip(x, estimates, strict=True) if has_ends(e)]
    strip_x: list[float | None] = []
    strip_y: list[float | None] = []
    for one, other in pairwise(known):
        (x0, low0, high0), (x1, low1, high1) = sorted((one, other))  # all turn the same way
        strip_x += [x0, x1, x1, x0, x0, None]
        strip_y += [high0, high1, low1, low0, high0, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": strip_x[:-1],
        "y": strip_y[:-1],
        "fill": "toself",
        "fillcolor": f"{colour}22",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def has_ends(estimate: Mapping[str, Any]) -> bool:
    """Whether an interval could be given (not of one prompt, say)."""
    return estimate["low"] is not None and estimate["high"] is not None


def _whiskers(estimates: Sequence[Mapping[str, Any]]) -> Figure:
    """Error bars; none at an estimate without an interval."""
    return {
        "type": "data",
        "symmetric": False,
        "color": GREY,
        "array": [e["high"] - e["value"] if has_ends(e) else None for e in estimates],
        "arrayminus": [e["value"] - e["low"] if has_ends(e) else None for e in estimates],
    }


def _curve(
    name: str,
    x: Sequence[float],
    estimates: Sequence[Mapping[str, Any]],
    texts: Sequence[str],
    index: int,
    colour: str,
) -> Figure:
    alone = {"error_y": _whiskers(estimates)} if len(estimates) == 1 else {}
    return alone | {
        "type": "scatter",
        "mode": "lines+markers" if len(estimates) > 1 else "markers",
        "name": plain(name),
        "x": list(x),
        "y": [e["value"] for e in estimates],
        "text": [plain(f"{text}{_ends(e)}") for text, e in zip(texts, estimates, strict=True)],
        "hovertemplate": "√KL %{x:.2f}: %{y:.3f}<br>%{text}<extra></extra>",
        "line": {"color": colour, "dash": _turn(DASHES, index), "width": 2},
        "marker": {"symbol": _turn(SYMBOLS, index), "size": 7, "color": colour},
    }


def _ends(estimate: Mapping[str, Any]) -> str:
    if not has_ends(estimate):
        return ""
    return f", 95 % from {estimate['low']:.3f} to {estimate['high']:.3f}"


def against_distance(evidence: Mapping[str, Any], key: str, title: str) -> Figure | None:
    """`key` ("gold" or "proxy") of all arms against sqrt(KL), with 95 % bands."""
    traces: list[Figure] = []
    for index, arm in enumerate(evidence["arms"]):
        points = [p for p in arm["points"] if p[key] is not None]
        if points:
            x, estimates = [p["kl"]["root"] for p in points], [p[key] for p in points]
            texts = [f"{arm['name']}, step {p['step']}" for p in points]
            colour = COLOURS[index % len(COLOURS)]
            traces += [
                _band(x, estimates, colour),
                _curve(arm["name"], x, estimates, texts, index, colour),
            ]
    best = [p for p in evidence["best_of"] if p[key] is not None]
    if best:
        x, estimates = [p["root_kl"] for p in best], [p[key] for p in best]
        texts = [f"best of {p['n']}" for p in best]
        traces += [
            _band(x, estimates, BEST_OF),
            _curve("best of n", x, estimates, texts, 3, BEST_OF),
        ]
    if not traces:
        return None
    return {
        "data": traces,
        "layout": _layout("√KL (√nats per sequence)", title),
    }


def mean_curves(curves: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]]) -> Figure:
    """Gold gain of every arm against sqrt(KL), mean over seeds with 95 % bands; curves beyond five
    repeat colours."""
    traces: list[Figure] = []
    for index, (name, curve) in enumerate(curves.items()):
        x, estimates = [root for root, _ in curve], [e for _, e in curve]
        colour = COLOURS[index % len(COLOURS)]
        line = _curve(
            name, x, estimates, [f"{name}, {e['n']} seeds" for e in estimates], index, colour
        )
        line |= {
            "mode": "lines" if len(estimates) > 1 else "markers",
            "line": {"color": colour, "dash": DASHES[(index // len(COLOURS)) % 5], "width": 2},
        }
        traces += [
            _band(x, estimates, colour) | {"legendgroup": str(index)},
            line | {"legendgroup": str(index)},
        ]
    layout = _layout("√KL (√nats per sequence)", "gold gain", height=460)
    return {"data": traces, "layout": layout}


def dots(comparison: Mapping[str, Any], column: str) -> Figure | None:
    """One row per arm: each seed's value, the mean and its 95 % interval; a line at what they are
    compared with."""
    names, points, means = [], [], []
    for row, label in comparison["rows"].items():
        cell, name = comparison["cells"][row][column], plain(label)
        points += [(name, value) for value in cell["values"].values()]
        names.append(name)
        if cell["mean"] is not None:
            means.append((name, cell["mean"]))
    if not points:
        return None
    seeds = {
        "type": "scatter",
        "mode": "markers",
        "x": [v for _, v in points],
        "y": [n for n, _ in points],
        "name": "seeds",
        "marker": {"color": GREY, "size": 5, "opacity": 0.6},
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }
    mean = {
        "type": "scatter",
        "mode": "markers",
        "x": [e["value"] for _, e in means],
        "y": [n for n, _ in means],
        "name": "mean",
        "marker": {"color": COLOURS[0], "size": 9},
        "error_x": _whiskers([e for _, e in means]),
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }
    shapes = []
    bases = dict.fromkeys(comparison["compared"].values())
    for base in (comparison["cells"][row][column]["mean"] for row in bases):
        if base is None:
            continue
        at = {"x0": base["value"], "x1": base["value"], "yref": "paper", "y0": 0, "y1": 1}
        shapes.append({"type": "line", **at, "line": {"dash": "dot", "color": GREY}})
    layout = _layout("", "", shapes=shapes, height=90 + 34 * len(names), showlegend=False)
    wrapped = [textwrap.wrap(label, 30) for label in comparison["rows"].values()]
    labels = ["<br>".join(map(plain, lines)) for lines in wrapped]
    layout["yaxis"] |= {
        "autorange": "reversed",
        "categoryorder": "array",
        "categoryarray": names,
        "tickvals": names,
        "ticktext": labels,
    }
    return {"data": [seeds, mean], "layout": layout}


def plane(comparison: Mapping[str, Any], x: str, y: str) -> Figure | None:
    """Every row's mean of column y over that of column x, with both intervals; None where no row
    has two seeds of both."""
    traces: list[Figure] = []
    for row, label in comparison["rows"].items():
        across, up = (comparison["cells"][row][column]["mean"] for column in (x, y))
        if across is None or up is None:
            continue
        index, name = len(traces), plain(label)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [across["value"]],
                "y": [up["value"]],
                "error_x": _whiskers([across]),
                "error_y": _whiskers([up]),
                "marker": {
                    "color": COLOURS[index % len(COLOURS)],
                    "symbol": _turn(SYMBOLS, index),
                    "size": 10,
                },
                "hovertemplate": f"{name}: %{{x:.3f}}, %{{y:.3f}}<extra></extra>",
            }
        )
    if not traces:
        return None
    legend = {"orientation": "v", "x": 1.02, "y": 1, "xanchor": "left", "yanchor": "top"}
    titles = (plain(comparison["columns"][column]) for column in (x, y))
    return {"data": traces, "layout": _layout(*titles, height=460, legend=legend)}


def win_rates(evidence: Mapping[str, Any]) -> Figure | None:
    """Gold win rate against the baseline at the end of each arm, with 95 % intervals."""
    found = [
        (arm["name"], COLOURS[index % len(COLOURS)], arm["points"][-1]["win_rate"])
        for index, arm in enumerate(evidence["arms"])
    ]
    found += [
        (f"best of {p['n']}", BEST_OF, p["win_rate"])
        for p in evidence["best_of"]
        if p["n"] in (4, 16)
    ]
    rows = [(name, colour, estimate) for name, colour, estimate in found if estimate is not None]
    if not rows:
        return None
    names, colours = [plain(name) for name, _, _ in rows], [colour for _, colour, _ in rows]
    values = [estimate["value"] for _, _, estimate in rows]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "y": names,
        "x": values,
        "marker": {"color": colours, "size": 11},
        "error_x": _whiskers([estimate for _, _, estimate in rows]),
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
    }
    chance = {
        "type": "line",
        "x0": 0.5,
        "x1": 0.5,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"dash": "dot", "color": GREY},
    }
    layout = _layout(
        "preferred by gold to the untuned (chance 50 %)",
        "",
        shapes=[chance],
        height=90 + 34 * len(rows),
        showlegend=False,
    )
    layout["xaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    layout["yaxis"] |= {"autorange": "reversed"}
    return {"data": [dots], "layout": layout}


def annotators(rows: Sequence[Mapping[str, Any]], key: str, title: str) -> Figure | None:
    """Estimates of `key` ("rationality" or "side_bias") with 95 % intervals, and the truth where it
    is known."""
    if not rows:
        return None
    names = [plain(row["annotator"]) for row in rows]
    traces: list[Figure] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "estimate",
            "x": names,
            "y": [row[key] for row in rows],
            "error_y": _whiskers([_estimated(row, key) for row in rows]),
            "marker": {
                "color": ["#D55E00" if row["flag"] != "ok" else "#0072B2" for row in rows],
                "size": 9,
            },
            "hovertemplate": "%{x}: %{y:.2f}<extra></extra>",
        }
    ]
    if rows[0].get(f"true_{key}") is not None:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "truth",
                "x": names,
                "y": [row[f"true_{key}"] for row in rows],
                "marker": {
                    "symbol": "line-ew-open",
                    "size": 16,
                    "color": GREY,
                    "line": {"width": 2, "color": GREY},
                },
                "hovertemplate": "truth %{y:.2f}<extra></extra>",
            }
        )
    return {"data": traces, "layout": _layout("", title, height=280)}


def _estimated(row: Mapping[str, Any], key: str) -> dict[str, float]:
    """An annotator's value with its 95 % interval."""
    value = row[key]
    if f"{key}_low" in row:
        return {"value": value, "low": row[f"{key}_low"], "high": row[f"{key}_high"]}
    half = Z95 * row[f"{key}_error"]
    return {"value": value, "low": value - half, "high": value + half}


def calibration(card: Mapping[str, Any]) -> Figure:
    """Reliability diagram of the reward model before and after temperature."""
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [0.5, 1],
        "y": [0.5, 1],
        "line": {"dash": "dot", "color": GREY},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    traces: list[Figure] = [line]
    for index, (key, name) in enumerate((("before", "as trained"), ("after", "with temperature"))):
        bins = card[key]["bins"]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{name} (ECE {card[key]['ece']['value']:.3f})",
                "x": [b["confidence"] for b in bins],
                "y": [b["accuracy"]["value"] for b in bins],
                "error_y": _whiskers([b["accuracy"] for b in bins]),
                "text": [f"{b['pairs']} pairs" for b in bins],
                "hovertemplate": "says %{x:.0%}, right %{y:.0%}<br>%{text}<extra></extra>",
                "line": {"color": COLOURS[index], "dash": DASHES[index]},
                "marker": {"symbol": SYMBOLS[index], "size": 7},
            }
        )
    layout = _layout("confidence", "share right")
    layout["xaxis"] |= {"tickformat": ".0%", "range": [0.48, 1.02]}
    layout["yaxis"] |= {"tickformat": ".0%"}
    return {"data": traces, "layout": layout}


METRICS = {
    "score": "Score",
    "kl_seq": "Distance from the start (KL)",
    "entropy_tok": "Entropy",
    "response_tokens": "Length of responses",
    "finished_share": "Responses that end by themselves",
    "loss_tok": "Loss per token",
    "judgement_nll": "Loss per judgement",
    "loss": "Loss",
    "preference_agreement": "Pairs ordered as judged",
    "heldout_loss_tok": "Loss per token, held out",
    "heldout_loss": "Loss, held out",
    "heldout_agreement": "Pairs ordered as judged, held out",
    "heldout_pairs": "Pairs held out",
    "heldout_score": "Score, held out",
}
"""Metrics that are looked at first, in this order, by the names that people use."""


def metric_name(metric: str) -> str:
    """What people call a metric."""
    return METRICS.get(metric) or metric.replace("_", " ").capitalize()


def training(
    metrics: Mapping[str, Mapping[str, Curve]],
) -> tuple[list[tuple[str, Figure]], list[tuple[str, Figure]]]:
    """(metric, chart) of a stage: those to look at first, and the others. Lines by label, such as
    the members of a reward model; a single point is a point."""
    first = [name for name in METRICS if name in metrics]
    others = sorted(set(metrics) - set(first))
    drawn = {name: metric_chart(name, metrics[name]) for name in [*first, *others]}
    return [(name, drawn[name]) for name in first], [(name, drawn[name]) for name in others]


def metric_chart(metric: str, curves: Mapping[str, Curve]) -> Figure:
    """A line per label; a single point is a point."""
    traces = []
    for index, (label, (steps, values)) in enumerate(curves.items()):
        colour, dash = COLOURS[index % 5], DASHES[(index // len(COLOURS)) % len(DASHES)]
        before = f"{plain(label)}, " if label else ""
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(steps) > 1 else "markers",
                "name": plain(label),
                "x": steps,
                "y": [float(f"{value:.6g}") for value in values],
                "line": {"color": colour, "dash": dash, "width": 1.5},
                "marker": {"color": colour, "symbol": SYMBOLS[index % 5]},
                "hovertemplate": f"{before}step %{{x}}: %{{y:.4g}}<extra></extra>",
            }
        )
    unit = next((one.unit for one in declared() if one.name == metric), "")
    layout = _layout("step", plain(unit), height=220, showlegend=len(traces) > 1)
    if unit == "share":
        layout["yaxis"] |= {"tickformat": ".0%"}
        known = {value for _, values in curves.values() for value in values}
        if len(known) == 1:  # one value would be drawn between its own less 100 % and plus 100 %
            (value,) = known
            layout["yaxis"] |= {"range": [max(value - 0.1, -0.02), min(value + 0.1, 1.02)]}
    return {"data": traces, "layout": layout}


def differences(pairs: Sequence[Mapping[str, Any]], unit: str) -> Figure | None:
    """Paired differences of several runs from the first, with 95 % intervals, and a line at 0."""
    known = [pair for pair in pairs if pair["difference"] is not None]
    if not known:
        return None
    names = [plain(f"{pair['run']}, {pair['arm']}") for pair in known]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [pair["difference"]["value"] for pair in known],
        "y": names,
        "error_x": _whiskers([pair["difference"] for pair in known]),
        "marker": {"color": COLOURS[0], "size": 9},
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }
    nought = {"x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}
    shapes = [{"type": "line", **nought, "line": {"dash": "dot", "color": GREY}}]
    layout = _layout(plain(unit), "", shapes=shapes, height=90 + 34 * len(names), showlegend=False)
    layout["yaxis"] |= {"autorange": "reversed"}
    return {"data": [dots], "layout": layout}
