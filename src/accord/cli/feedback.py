"""`accord feedback`: judgements in and out of a store, and what they are worth, without a browser."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.exporting import ExportOptions, Loaded, check_free, write_export
from accord.cli.terminal import safe_text
from accord.errors import ConfigError, DataError
from accord.feedback.records import Feedback

if TYPE_CHECKING:
    from accord.feedback.intervals import Interval

SQLITE = (".sqlite", ".sqlite3", ".db")


def load(source: Path, quiet: bool = False) -> list[Feedback]:
    """Records of a store or of a file, directory or Hub id in any known format; prints what was lost, on stderr if `quiet`
    (standard output is then a machine's)."""
    return load_all(source, quiet).records


def load_all(source: Path, quiet: bool = False) -> Loaded:
    """The same, with what was lost."""
    if source.suffix in SQLITE:
        from accord.feedback.store import FeedbackStore

        if not source.is_file():
            raise ConfigError(f"there is no store {source}", "make one with accord feedback import")
        with FeedbackStore(source) as store:
            return Loaded(list(store.records()), {}, {})
    from accord.feedback.formats import read_feedback

    read = read_feedback(source)
    for reason, count in read.dropped.items():
        click.echo(
            f"{count:,} of {read.rows:,} rows dropped: {safe_text(reason)} (first at {read.first_dropped[reason]})",
            err=quiet,
        )
    for reason, count in read.left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}", err=quiet)
    return Loaded(read.records, read.dropped, read.left_out)


def import_file(source: Path, store: Path) -> None:
    """Add a file's records to a store, which is made when it is missing."""
    from accord.feedback.store import FeedbackStore

    if store.suffix not in SQLITE:
        raise ConfigError(f"{store} does not look like a store", f"end its name in one of: {', '.join(SQLITE)}")
    records = load(source)
    with FeedbackStore(store) as opened:
        added = opened.add(records)
        total = len(opened)
    click.echo(f"{store}: {added.new:,} new, {added.repeated:,} already there, {total:,} in all")


def export_file(source: Path, destination: Path, shape: str, options: ExportOptions) -> None:
    """Write records in a format; what it cannot hold is counted."""
    check_free([destination])
    write_export(load_all(source), destination, shape, options)


def agreement(source: Path) -> None:
    """Print agreement with intervals and the ceiling it sets, for every kind of judgement."""
    from accord.feedback.agreement import ONE_ANSWER
    from accord.feedback.agreement_kinds import measure_all

    records = load(source)
    found = measure_all(records)
    kinds = Counter(record.kind for record in records)
    click.echo(f"{len(records):,} records: {', '.join(f'{n:,} {kind}s' for kind, n in kinds.items())}")
    if found.choices is None and not found.scales:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in found.not_measured.items())
        raise DataError(f"there is nothing to measure agreement on: {reasons}", "collect with an overlap of 2 or more")
    if found.choices is not None:
        click.echo(f"{found.choices.units:,} pairs of options judged at least twice, {found.choices.judgements:,} judgements on them")  # fmt: skip
        for part, name, meaning in (
            ("alpha", "Krippendorff's α", "nominal, ties are a category of their own"),
            ("with_ties", "agreement", "two annotators of the same pair, ties count"),
            ("strict", "agreement, strict", "pairs on which both decided"),
            ("ceiling", "ceiling", "the most a reward model can reach on single labels"),
        ):
            why = found.choices.not_measurable.get(part)
            said = f"not measurable: {why}" if why else f"{interval(getattr(found.choices, part))}  {meaning}"
            click.echo(f"  {name:18} {said}")
        for kind, alone in found.by_kind.items() if len(found.by_kind) > 1 else ():
            click.echo(f"  {kind + ' alone':18} α {interval(alone.alpha)}, strict {interval(alone.strict)}")
    for scale in found.scales:
        click.echo(f"{safe_text(scale.what)} ({scale.level}): {scale.units:,} judged at least twice, {scale.judgements:,} judgements")  # fmt: skip
        alpha = interval(scale.alpha) if scale.alpha else f"not measurable: {ONE_ANSWER}"
        top = f", ceiling {interval(scale.ceiling)}" if scale.ceiling else ""
        click.echo(f"  α {alpha}, same value {interval(scale.same)}{top}")
    for reason, count in found.not_measured.items():
        click.echo(f"not measured: {safe_text(reason)}, {count:,} records")


def interval(value: Interval) -> str:
    """0.291 [0.270, 0.312], as far as it can be measured."""
    if value.value != value.value:
        return "not measurable"
    if value.low != value.low:
        return f"{value.value:.3f} (one prompt: no interval)"
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def annotators(source: Path) -> None:
    """Print every annotator's estimated rationality and side bias."""
    from rich.console import Console
    from rich.table import Table

    from accord.feedback.annotator_model import estimate

    found = estimate(load(source))
    table = Table(box=None, header_style="bold")
    for column in ("annotator", "judgements", "rationality", "side bias", "finding"):
        table.add_column(column, justify="left" if column in ("annotator", "finding") else "right")
    for row in sorted(found.annotators, key=lambda a: (a.flag == "ok", -a.judgements)):
        table.add_row(
            safe_text(row.annotator), f"{row.judgements:,}", _known(row.rationality, row.rationality_error),
            _known(row.side_bias, row.side_bias_error, "+"), safe_text(row.reason) if row.flag != "ok" else "",
        )  # fmt: skip
    Console(markup=False, highlight=False).print(table)
    flagged = sum(a.flag != "ok" for a in found.annotators)
    click.echo(
        f"{found.records:,} judgements by {len(found.annotators)} annotators, {flagged} flagged; ties: ν = {found.tie:.2f}"
    )
    for reason, count in found.left_out.items():
        click.echo(f"left out: {safe_text(reason)}, {count:,}")


def _known(value: float, error: float, sign: str = "") -> str:
    """The estimate with its 95 % half-width, unless that is wider than what people can differ by."""
    from accord.feedback.annotator_model import TOO_WIDE, Z95

    return f"{value:{sign}.2f} ± {Z95 * error:.2f}" if error < TOO_WIDE else "too few judgements"


def ratings(source: Path, style: dict[str, Any]) -> None:
    """Print the producers' scores with intervals, and the pull of the side."""
    from rich.console import Console
    from rich.table import Table

    from accord.feedback.ratings import Z95, RatingSettings, fit, votes_of

    votes, left_out = votes_of(load(source))
    found = fit(votes, RatingSettings(**style))
    table = Table(box=None, header_style="bold")
    for column in ("rank", "producer", "score", "95 %"):
        table.add_column(column, justify="left" if column == "producer" else "right")
    ranks = found.rank_intervals()
    for i in sorted(range(len(found.producers)), key=lambda i: -found.score_P[i]):
        score, half = found.score_P[i], Z95 * found.score_error_P[i]
        table.add_row(
            f"{ranks[i][0]}–{ranks[i][1]}",
            safe_text(found.producers[i]),
            f"{score:+.2f}",
            f"[{score - half:+.2f}, {score + half:+.2f}]",
        )
    Console(markup=False, highlight=False).print(table)
    click.echo(f"{found.votes:,} votes by {len(found.annotators)} annotators; left out: {left_out or 0}")
    if style["side"]:
        alarm = "beyond chance" if abs(found.side_z) > Z95 else "within chance"
        click.echo(
            f"what is shown first gains {found.side:+.3f} ± {Z95 * found.side_error:.3f} logits (z = {found.side_z:.1f}, {alarm})"
        )
    if style["reliability"]:
        spread = sorted(float(x) for x in found.log_reliability_A)
        import math

        click.echo(
            f"reliability of annotators: {math.exp(spread[0]):.2f} to {math.exp(spread[-1]):.2f} times the typical one"
        )
