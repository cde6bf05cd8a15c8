"""Figures of the report, as plain Plotly dictionaries without colours of their own for text or
background.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; arms also differ by dash and
marker.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from accord.statistics.intervals import Z95

Figure = dict[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
BEST_OF, GREY = "#009E73", "#8a8f98"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "cross", "x")


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
    """The 95 % interval around a curve, where its points have one."""
    known = [(at, e["low"], e["high"]) for at, e in zip(x, estimates, strict=True) if has_ends(e)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [at for at, _, _ in known] + [at for at, _, _ in reversed(known)],
        "y": [high for _, _, high in known] + [low for _, low, _ in reversed(known)],
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
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(name),
        "x": list(x),
        "y": [e["value"] for e in estimates],
        "text": [plain(text) for text in texts],
        "hovertemplate": "%{text}<br>√KL %{x:.2f}<br>%{y:.3f}<extra></extra>",
        "line": {"color": colour, "dash": DASHES[index % 5], "width": 2},
        "marker": {"symbol": SYMBOLS[index % 5], "size": 7, "color": colour},
    }


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
        "layout": _layout("√KL to the untuned model (√nats per sequence)", title),
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
            "mode": "lines",
            "line": {"color": colour, "dash": DASHES[(index // len(COLOURS)) % 5], "width": 2},
        }
        traces += [
            _band(x, estimates, colour) | {"legendgroup": str(index)},
            line | {"legendgroup": str(index)},
        ]
    layout = _layout("√KL to the untuned model (√nats per sequence)", "gold gain", height=460)
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


def win_rates(evidence: Mapping[str, Any]) -> Figure | None:
    """Gold win rate against the baseline at the end of each arm, with 95 % intervals."""
    rows = [(arm["name"], arm["points"][-1]["win_rate"]) for arm in evidence["arms"]]
    rows += [(f"best of {p['n']}", p["win_rate"]) for p in evidence["best_of"] if p["n"] in (4, 16)]
    rows = [(name, estimate) for name, estimate in rows if estimate is not None]
    if not rows:
        return None
    names, values = [plain(name) for name, _ in rows], [e["value"] for _, e in rows]
    colours = [*COLOURS[: len(evidence["arms"])], *[BEST_OF] * len(rows)][: len(rows)]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": values,
        "marker": {"color": colours},
        "error_x": _whiskers([e for _, e in rows]),
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
        height=70 + 46 * len(rows),
    )
    layout["xaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    layout["yaxis"] |= {"autorange": "reversed"}
    return {"data": [bar], "layout": layout}


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


SHOWN = (
    "loss_tok",
    "judgement_nll",
    "loss",
    "preference_agreement",
    "heldout_loss_tok",
    "heldout_loss",
    "heldout_agreement",
    "score",
    "kl_seq",
    "response_tokens",
    "finished_share",
)


def training(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, Figure]]:
    """One small chart per main metric of a training loop."""
    figures = []
    known = {name for row in metrics for name in row}
    for index, name in enumerate(n for n in SHOWN if n in known):
        rows = [m for m in metrics if name in m]  # held-out measures are not of every step
        trace = {
            "type": "scatter",
            "mode": "lines" if len(rows) > 1 else "markers",
            "x": [m["step"] for m in rows],
            "y": [m[name] for m in rows],
            "line": {"color": COLOURS[index % 5], "width": 1.5},
            "hovertemplate": "step %{x}: %{y:.4g}<extra></extra>",
        }
        figures.append(
            (name, {"data": [trace], "layout": _layout("step", name, height=200, showlegend=False)})
        )
    return figures
