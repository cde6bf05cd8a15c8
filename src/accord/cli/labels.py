"""`accord feedback aggregate` and `accord feedback plan`: one label per item out of many, and how
many judgements a question takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.exporting import check_free
from accord.cli.feedback import interval, judgements
from accord.cli.terminal import safe_text
from accord.errors import ConfigError, DataError
from accord.feedback.words import counted

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.feedback.label_table import LabelTable
    from accord.feedback.labels import Labels, Method
    from accord.feedback.planning import JudgementPlan, Pilot, Spread
    from accord.feedback.records import Feedback

SHOWN = 30
"""Annotators that the terminal shows, those with most judgements; the file has all."""


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown; what is in the cells cannot break it."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        cells = (" ".join(safe_text(cell).split()).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


# --- aggregate ------------------------------------------------------------------------------------
def aggregate(source: DataSource, method: Method, out: Path | None, seed: int) -> None:
    """Print annotators and how the labels fall; write every item's label to `out`."""
    from accord.feedback.agreement_kinds import MOST_CATEGORIES
    from accord.feedback.label_table import label_tables
    from accord.feedback.labels import aggregate as aggregated

    if out is not None:
        if out.suffix != ".json":
            raise ConfigError(f"{out.name}: labels are written as JSON", "end the name in .json")
        check_free([out])
    records = judgements(source)
    tables = label_tables(records)
    kept = [table for table in tables if len(table.classes) <= MOST_CATEGORIES]
    for table in tables:
        if len(table.classes) > MOST_CATEGORIES:
            count = counted(len(table.item), "judgement")
            why = f"{len(table.classes)} different values are a scale, not labels"
            click.echo(safe_text(f"left out: {table.what}, {count}: {why}"))
    if not kept:
        raise DataError("nothing is left that has a label", "accord feedback audit shows scales")
    _say_unlabelled(records)
    found = [aggregated(table, method, seed) for table in kept]
    for table, labels in zip(kept, found, strict=True):
        for line in _page(table, labels):
            click.echo(line)
    if out is not None:
        from accord.files import write_json

        write_json(out, [_json(*one, records) for one in zip(kept, found, strict=True)])
        click.echo(f"\n{out}: {counted(sum(len(t.items) for t in kept), 'label')}")


_LABELLED = (
    "comparison", "ranking", "best_worst", "attribute_comparison", "rating", "thumb", "step_labels",
    "flags",
)  # fmt: skip


def _say_unlabelled(records: Sequence[Feedback]) -> None:
    kinds = Counter(r.kind for r in records if r.kind not in _LABELLED and not r.meta.get("flags"))
    for kind, count in kinds.items():
        click.echo(f"left out: {kind}, {counted(count, 'record')}: it has no label")


def _page(table: LabelTable, labels: Labels) -> list[str]:
    items, people, _ = table.sizes
    told = counted(items, "item"), counted(people, "annotator"), counted(len(table.item), "label")
    lines = [
        "",
        safe_text(f"## {labels.what}"),
        "",
        f"{told[0]}, {told[1]}, {told[2]}; {labels.method}",
    ]
    if labels.smoothing is not None:
        lines[-1] += (
            f" (learned pseudo-votes per row: {labels.smoothing:.1f}; that annotators share"
            f" matrices is believed to {labels.communities or 0:.0%})"
        )
    columns = ["label", "by majority"]
    lines.append(
        f"{counted(labels.draws, 'draw')} of the majority; {counted(labels.single, 'item')} with"
        " one annotator"
    )
    if labels.method != "majority":
        columns.append(f"by {labels.method}")
        differ = counted(labels.differ, "item")
        lines[-1] += f"; {differ} on which {labels.method} and a clear majority differ"
    lines += [f"warning: {warning}" for warning in labels.warnings]
    lines += ["", *markdown(columns, [row[: len(columns)] for row in _falls(table, labels)])]
    ordered = sorted(labels.annotators, key=lambda a: (-a.judgements, a.annotator))
    rows = [
        (
            a.annotator,
            f"{a.judgements:,}",
            "never met a clear majority" if a.quality is None else interval(a.quality, 2),
        )
        for a in ordered[:SHOWN]
    ]
    lines += ["", *markdown(("annotator", "judgements", f"{labels.quality} (95 %)"), rows)]
    if len(ordered) > SHOWN:
        lines += ["", f"and {counted(len(ordered) - SHOWN, 'annotator')} more; --out FILE has all"]
    return lines


def _falls(table: LabelTable, labels: Labels) -> list[tuple[str, str, str]]:
    """Items per class by both; draws apart."""
    by_majority = Counter("a draw" if i.draw else i.majority for i in labels.items)
    by_method = Counter(i.label for i in labels.items)
    unit = ("", "the first option", "the second option")
    rows = [
        (_word(table.name(k, unit)), f"{by_majority[k]:,}", f"{by_method[k]:,}")
        for k in range(len(table.classes))
    ]
    return [*rows, ("a draw", f"{by_majority['a draw']:,}", "")] if labels.draws else rows


def _word(name: bool | float | str) -> str:
    if isinstance(name, bool):
        return str(name).lower()
    return f"{name:g}" if isinstance(name, float) else name


def _json(table: LabelTable, labels: Labels, records: Sequence[Feedback]) -> dict[str, Any]:
    """Everything as JSON; items as their prompt, ids of their options, and the place of a step."""
    from accord.feedback.records import to_json

    prompts = {repr(r.prompt): to_json(r.prompt) for r in records}
    rows = []
    for item in labels.items:
        unsettled = item.draw and labels.method == "majority"
        row = {
            "item": prompts[item.item[0]],
            "options": list(item.item[1:-2] if table.what == "step" else item.item[1:]),
            "votes": item.votes,
            "majority": None if item.draw else table.name(item.majority, item.item),
            "majority_share": item.majority_share,
            "draw": item.draw,
            "label": None if unsettled else table.name(item.label, item.item),
            "probability": item.probability,
            "probabilities": _named(table, item.item, item.soft),
        }
        rows.append(row | ({"step": int(item.item[-2])} if table.what == "step" else {}))
    unit = ("", "first", "second")
    classes = [_word(table.name(k, unit)) for k in range(len(table.classes))]
    return {
        **{
            k: v
            for k, v in asdict(replace(labels, items=[])).items()
            if k not in ("items", "classes")
        },
        "classes": classes,
        "items": rows,
    }


def _named(table: LabelTable, unit: tuple[str, ...], values: Sequence[float]) -> dict[str, float]:
    return {_word(table.name(k, unit)): value for k, value in enumerate(values)}


# --- plan -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Assumed:
    """What is known before: a pilot, or numbers; see the command's help."""

    pilot: DataSource | None
    win_rate: float | None
    agreement: float | None
    accuracy: float | None
    spread: float | None


def plan(
    assumed: Assumed,
    width: float | None,
    power: float | None,
    per_item: Sequence[int],
    as_json: bool,
) -> None:
    """Print how many items and judgements the question takes, by answers per item."""
    from accord.feedback.planning import PER_ITEM, plan_power, plan_width

    if (width is None) == (power is None):
        given = "both --half-width and --power are" if width is not None else "no goal is"
        raise ConfigError(
            f"{given} given: a plan is for an interval so wide, or for a test of such power",
            "give one of --half-width and --power, such as --half-width 0.03 or --power 0.8",
        )
    pilot, spread = _known(assumed, quiet=as_json)
    answers = tuple(per_item) or PER_ITEM
    plans = (
        plan_power(spread, power, answers)
        if power is not None
        else plan_width(spread, width or 0.0, answers)
    )
    if as_json:
        whole = {
            "share": spread.share,
            "between": spread.between,
            "within": spread.within,
            "pilot": None if pilot is None else asdict(pilot),
            "plans": [asdict(one) for one in plans],
        }
        click.echo(json.dumps(whole))
        return
    for line in _plan_page(pilot, spread, plans, width, power):
        click.echo(line)


def _known(assumed: Assumed, quiet: bool) -> tuple[Pilot | None, Spread]:
    from accord.feedback.planning import agreement_of, spread_between, spread_of

    names = ("pilot", "agreement", "accuracy", "spread")
    given: Mapping[str, Any] = {
        n: getattr(assumed, n) for n in names if getattr(assumed, n) is not None
    }
    if len(given) != 1:
        many = " and ".join(f"--{name}" for name in given)
        raise ConfigError(
            f"{many} are given, which say the same"
            if given
            else "nothing says how far two annotators agree on one item",
            "give one of --pilot FILE, --agreement, --accuracy and --spread, such as"
            " --agreement 0.73",
        )
    if assumed.pilot is not None:
        if assumed.win_rate is not None:
            raise ConfigError(
                "--pilot and --win-rate", "the pilot says the win rate: leave one out"
            )
        pilot = _pilot(assumed.pilot, quiet)
        return pilot, pilot.spread
    share = 0.5 if assumed.win_rate is None else assumed.win_rate
    if assumed.spread is not None:
        return None, spread_between(share, assumed.spread)
    known = assumed.agreement if assumed.accuracy is None else agreement_of(assumed.accuracy)
    return None, spread_of(share, known or 0)


def _pilot(source: DataSource, quiet: bool) -> Pilot:
    from accord.feedback.label_table import label_tables
    from accord.feedback.planning import pilot_of, shares_of

    records = judgements(source, quiet)
    tables = label_tables(records)
    if len(tables) != 1:
        raise DataError(
            f"the pilot asks {len(tables)} questions: "
            f"{safe_text(', '.join(t.what for t in tables))}",
            "give a file with one of them",
        )
    (table,) = tables
    producers = None
    if table.what == "choice":
        wrote = {(repr(r.prompt), o.id): o.producer for r in records for o in r.options}
        producers = [(wrote[p, a], wrote[p, b]) for p, a, b in table.items]
    return pilot_of(shares_of(table, producers), table.item)


def _plan_page(
    pilot: Pilot | None,
    spread: Spread,
    plans: Sequence[JudgementPlan],
    width: float | None,
    power: float | None,
) -> list[str]:
    lines = []
    if pilot is not None:
        lines += [
            f"pilot: {counted(pilot.answers, 'answer')} on {counted(pilot.items, 'item')}, "
            f"{pilot.twice:,} of them answered twice or more",
            f"share {interval(pilot.share)}, agreement {interval(pilot.agreement)}",
        ]
        if pilot.clipped:
            lines.append(
                "items differ by less than chance in the pilot: planned as if they did not differ"
            )
    goal = (
        f"a 95 % interval of ± {width:g}" if width else f"a power of {power:g} to tell it from .5"
    )
    lines += [
        f"for {goal}, at a share of {spread.share:.3f}: variance between items "
        f"{spread.between:.4f}, "
        f"within one {spread.within:.4f} (annotators agree in {spread.agreement:.1%})",
        "variance of the mean = (between + within / answers per item) / items",
        "",
    ]
    rows = [
        (
            f"{p.per_item}", f"{p.items:,}", f"{p.judgements:,}", f"± {p.half_width:.3f}",
            f"{p.majority:.1%}",
        )
        for p in plans
    ]  # fmt: skip
    head = (
        "answers per item",
        "items",
        "judgements",
        "95 % interval",
        "majority is the item's own answer",
    )
    return lines + markdown(head, rows)
