"""`accord feedback`: judgements in and out of a store, and what they are worth, without a
browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.exporting import ExportOptions, Loaded, check_free, write_export
from accord.cli.terminal import print_table, safe_text
from accord.collector import without_collector
from accord.errors import ConfigError, DataError
from accord.feedback.records import Comparison, Feedback
from accord.feedback.words import counted, kinds_counted

if TYPE_CHECKING:
    from accord.feedback.formats import ReadResult
    from accord.feedback.formats.source import DataSource
    from accord.feedback.ratings import Ratings
    from accord.feedback.redaction import Redactor
    from accord.feedback.use_rows import UseLog
    from accord.feedback.vote_table import VoteTable
    from accord.feedback.votes import Votes
    from accord.statistics.intervals import Interval

SQLITE = (".sqlite", ".sqlite3", ".db")


def load(source: DataSource, quiet: bool = False) -> list[Feedback]:
    """Records of a store or of a file, directory or Hub id in any known format; prints what was
    lost, on stderr if `quiet` (standard output is then a machine's)."""
    return load_all(source, quiet).records


def load_all(source: DataSource, quiet: bool = False) -> Loaded:
    """The same, with what was lost."""
    if Path(source.path).suffix in SQLITE:
        from accord.feedback.store import FeedbackStore

        if options_given := [
            name for name in source.model_fields_set - {"path"} if getattr(source, name) is not None
        ]:
            raise ConfigError(
                f"{source.path} is a store: it has no {options_given[0]} to choose",
                f"leave out --{options_given[0]}",
            )
        if not Path(source.path).is_file():
            raise ConfigError(f"there is no store {source}", "make one with accord feedback import")
        with FeedbackStore(Path(source.path)) as store:
            return Loaded(list(store.records()), {}, {})
    from accord.feedback.formats import read_feedback

    read = read_feedback(source)
    say_dropped(read, quiet)
    for reason, count in read.left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}", err=quiet)
    return Loaded(read.records, read.dropped, read.left_out)


def say_dropped(read: ReadResult | VoteTable | UseLog, quiet: bool) -> None:
    """What people should know of how it was read, and what was dropped."""
    for line in read.messages:
        click.echo(safe_text(line), err=quiet)
    for reason, count in read.dropped.items():
        click.echo(
            f"{count:,} of {read.rows:,} rows dropped: {safe_text(reason)} "
            f"(first at {read.first_dropped[reason]})",
            err=quiet,
        )


def _votes(source: DataSource) -> tuple[Votes, dict[str, int]]:
    """The votes of a source, and what was left out of them, by reason. A table of bare votes is
    counted by column."""
    from accord.feedback.vote_table import read_vote_table
    from accord.feedback.votes import votes_of

    if Path(source.path).suffix not in SQLITE and (table := read_vote_table(source)) is not None:
        say_dropped(table, quiet=False)
        return table.votes, {}
    return votes_of(judgements(source))


def judgements(source: DataSource, quiet: bool = False) -> list[Feedback]:
    """The same records; raises DataError where nobody judged."""
    records = load(source, quiet)
    if not records:
        raise DataError(
            f"{source} holds no judgements", "give a file of judgements, or a store that has some"
        )
    return records


@without_collector()
def import_file(source: DataSource, store: Path, rules: Path | None = None) -> None:
    """Add a file's records to a store, which is made when it is missing; says what personal data
    their texts hold, after they were redacted by `rules`."""
    from accord.feedback.store import FeedbackStore

    if store.suffix not in SQLITE:
        raise ConfigError(
            f"{store} does not look like a store", f"end its name in one of: {', '.join(SQLITE)}"
        )
    redactor = None if rules is None else redactor_of(rules)
    records = load(source)
    if redactor is not None:
        records = redactor.records(records)
        say_redacted(redactor)
    say_personal_data(records)
    with FeedbackStore(store) as opened:
        added = opened.add(records)
        total = len(opened)
    click.echo(f"{store}: {added.new:,} new, {added.repeated:,} already there, {total:,} in all")


def redactor_of(rules: Path) -> Redactor:
    """Of a file of rules."""
    from accord.feedback.redaction import read_rules

    return read_rules(rules)


def say_redacted(redactor: Redactor, quiet: bool = False) -> None:
    """What was replaced, and what was left out."""
    for line in redactor.lines():
        click.echo(safe_text(line), err=quiet)


def say_personal_data(records: Sequence[Feedback]) -> None:
    """What of personal data, and of keys, the records' texts and annotators' names hold."""
    from accord.feedback.personal_data import PersonalData, texts_of

    click.echo(f"personal data: {PersonalData.of(t for r in records for t in texts_of(r))}")
    names = PersonalData.of({record.annotator for record in records})
    if names.by_kind:
        click.echo(
            f"annotators' names: {names}; they tell people apart and stay: give others, or export"
            " with --hash-annotators"
        )


def export_file(source: DataSource, destination: Path, shape: str, options: ExportOptions) -> None:
    """Write records in a format; what it cannot hold is counted."""
    check_free([destination])
    write_export(load_all(source), destination, shape, options)


def agreement(source: DataSource, pairs: bool = False) -> None:
    """Print agreement with intervals and the ceiling it sets, for every kind of judgement; with
    `pairs` every two annotators too."""
    from accord.feedback.agreement import ONE_ANSWER
    from accord.feedback.agreement_kinds import measure_all

    records = judgements(source)
    report = measure_all(records)
    people = counted(len({r.annotator for r in records}), "annotator")
    click.echo(f"{counted(len(records), 'record')} by {people}: {kinds_counted(records)}")
    if report.choices is None and not report.scales:
        reasons = "; ".join(
            f"{reason} ({count:,})" for reason, count in report.not_measured.items()
        )
        fix = (
            "collect with an overlap of 2 or more"
            if any("two annotators" in reason for reason in report.not_measured)
            else "agreement is measured of choices, ratings, thumbs, steps and yes-or-no flags; of"
            " labels from a list, accord feedback aggregate --method majority says how often each"
            " annotator agrees with the others"
        )
        raise DataError(f"there is nothing to measure agreement on: {reasons}", fix)
    if report.choices is not None:
        click.echo(
            f"{counted(report.choices.units, 'pair')} of options judged by two annotators or more, "
            f"{counted(report.choices.judgements, 'judgement')} on them; values with their 95 % "
            "intervals"
        )
        for part, name, meaning in (
            ("alpha", "Krippendorff's α", "nominal, ties are a category of their own"),
            ("with_ties", "agreement", "two annotators of the same pair, ties count"),
            ("strict", "agreement, strict", "pairs on which both decided"),
            ("ceiling", "ceiling", "the most a reward model can reach on single labels"),
        ):
            why = report.choices.not_measurable.get(part)
            interval_text = (
                f"not measurable: {why}"
                if why
                else f"{interval(getattr(report.choices, part))}  {meaning}"
            )
            click.echo(f"  {name:18} {interval_text}")
        for kind, alone in report.by_kind.items() if len(report.by_kind) > 1 else ():
            click.echo(
                f"  {kind + ' alone':18} α {interval(alone.alpha)}, strict {interval(alone.strict)}"
            )
    for scale in report.scales:
        click.echo(
            f"{safe_text(scale.what)} ({scale.level}): {counted(scale.units, 'response')} judged "
            "by two annotators or more, "
            f"{counted(scale.judgements, 'judgement')}"
        )
        alpha = interval(scale.alpha) if scale.alpha else f"not measurable: {ONE_ANSWER}"
        top = f", ceiling {interval(scale.ceiling)}" if scale.ceiling else ""
        click.echo(f"  α {alpha}, same value {interval(scale.same)}{top}")
    for reason, count in report.not_measured.items():
        click.echo(f"not measured: {safe_text(reason)}, {counted(count, 'record')}")
    if pairs:
        pairs_of_annotators(records)


MOST_PAIRS = 40
"""Pairs of annotators that are printed, those that agree least first."""


def pairs_of_annotators(records: Sequence[Feedback]) -> None:
    """Print Cohen's kappa of every two annotators that share enough, and who says "tie" more."""
    from accord.feedback.rater_pairs import rater_pairs

    found = rater_pairs(records)
    named = len({row.what for row in found.pairs}) > 1
    cells = [
        (
            f"{row.first}, {row.second}" + (f" ({row.what})" if named else ""),
            f"{row.items:,}",
            interval(row.kappa, 2),
            interval(row.same, 2),
            ""
            if row.p_value is None
            else f"{row.first_marked} : {row.second_marked} (p = {row.p_value:.3f})"
            + (" *" if row.differ else ""),
        )
        for row in found.pairs[:MOST_PAIRS]
    ]
    few = (
        f"{counted(found.too_few, 'pair')} of annotators share fewer than {found.fewest} items"
        if found.too_few
        else ""
    )
    if not cells:
        click.echo(f"no two annotators share {found.fewest} items" + (f"; {few}" if few else ""))
        return
    columns = ("annotators", "items", "Cohen's κ", "same answer", "more ties (or yes)")
    print_table(columns, cells, right=columns[1:])
    click.echo(
        "more ties (or yes): prompts on which the first alone says tie, or the higher of two "
        "values, against "
        "the second alone (McNemar, exact); * beyond chance, false discoveries at most 5 %"
    )
    if len(found.pairs) > MOST_PAIRS:
        more = counted(len(found.pairs) - MOST_PAIRS, "further pair")
        click.echo(f"{more} with a higher κ not shown")
    if few:
        click.echo(f"{few}, not compared")


def interval(value: Interval, digits: int = 3) -> str:
    """0.291 [0.270, 0.312], as far as it can be measured."""
    if value.value != value.value:
        return "not measurable"
    if value.low != value.low:
        return f"{value.value:.{digits}f} (one prompt: no interval)"
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def annotators(source: DataSource) -> None:
    """Print every annotator's rationality and side bias; of models compared across prompts,
    reliability and side."""
    import numpy as np

    from accord.feedback.annotator_model import TooManyOptions, estimate

    records = judgements(source)
    try:
        model = estimate(records)
    except TooManyOptions as error:
        _across_prompts(records, error)
        return
    rows = sorted(model.annotators, key=lambda a: (a.flag == "ok", -a.judgements))
    cells = [
        (
            row.annotator,
            f"{row.judgements:,}",
            *(UNTOLD if told is None else interval(told, 2) for told in row.told()),
            row.reason if row.flag != "ok" else "",
        )
        for row in rows
    ]
    columns = ("annotator", "judgements", "rationality", "side bias", "finding")
    print_table(columns, cells, right=columns[1:4])
    flagged = sum(a.flag != "ok" for a in model.annotators)
    ties = f"; ties: ν = {model.tie:.2f} (Davidson)" if any(_tied(r) for r in records) else ""
    click.echo(
        f"{counted(model.records, 'judgement')} by {counted(len(rows), 'annotator')}, {flagged} "
        f"flagged; with 95 % intervals{ties}"
    )
    votes, power = (
        float(np.median([getattr(a, of) for a in rows])) for of in ("judgements", "power")
    )
    click.echo(
        f"of random clickers with {votes:,.0f} judgements, as the median has, {power:.0%} would be "
        "flagged "
        "(false discoveries at most 5 %)"
    )
    if any(UNTOLD in row for row in cells):
        click.echo(f"{UNTOLD}: too few judgements on prompts that others judged as well")
    _say_left_out(model.left_out)


UNTOLD = "cannot be told"


def _tied(record: Feedback) -> bool:
    return isinstance(record.choice, Comparison) and record.choice.preferred is None


def _across_prompts(records: list[Feedback], why: DataError) -> None:
    """Reliability from a fit of the producers' scores, and each annotator's share of the first
    place. Raises `why` where the options have no producers."""
    from collections import Counter

    from accord.feedback.audit import UNRELIABLE, reliability, scored_objects
    from accord.feedback.position import annotator_sides

    if scored_objects(records) != "producer":
        raise why
    counts, sides = (
        Counter(r.annotator for r in records),
        {s.annotator: s for s in annotator_sides(records)},
    )
    cells, flagged = [], 0
    for row in sorted(reliability(records), key=lambda r: -counts[r.annotator]):
        r, side = row.times_typical, sides.get(row.annotator)
        findings = [f"below {UNRELIABLE:g} times the typical"] if r.high < UNRELIABLE else []
        if side is not None and side.alarm:
            findings.append(
                f"prefers the {'first' if side.first_share.value > 0.5 else 'second'} place"
            )
        flagged += bool(findings)
        first = "no decided pair" if side is None else interval(side.first_share, 2)
        cells.append(
            (
                row.annotator,
                f"{counts[row.annotator]:,}",
                interval(r, 2),
                first,
                "; ".join(findings),
            )
        )
    cells.sort(key=lambda row: not row[-1])
    columns = ("annotator", "judgements", "reliability", "first place", "finding")
    print_table(columns, cells, right=columns[1:4])
    click.echo(
        f"{counted(len(records), 'judgement')} by {counted(len(cells), 'annotator')}, {flagged} "
        "flagged; with 95 % intervals. "
        "reliability: over the producers' scores, 1 is the typical annotator's; first place: share "
        "of decided pairs"
    )


def _say_left_out(reasons: Mapping[str, int]) -> None:
    for reason, count in reasons.items():
        click.echo(f"left out: {safe_text(reason)}, {count:,}")


def ratings(source: DataSource, style: dict[str, Any]) -> None:
    """Print the producers' scores with intervals, and the pull of the side."""
    from accord.feedback.ratings import RatingSettings, fit
    from accord.statistics.intervals import Z95

    votes, left_out = _votes(source)
    ratings_fit = fit(votes, RatingSettings(**style))
    ranks, cells = ratings_fit.rank_intervals(), []
    for i in sorted(range(len(ratings_fit.producers)), key=lambda i: -ratings_fit.score_P[i]):
        score, half = ratings_fit.score_P[i], Z95 * ratings_fit.score_error_P[i]
        place = f"{ranks[i][0]}–{ranks[i][1]}" if ranks[i][0] < ranks[i][1] else f"{ranks[i][0]}"
        cells.append(
            (
                place,
                ratings_fit.producers[i],
                f"{score:+.2f}",
                f"[{score - half:+.2f}, {score + half:+.2f}]",
            )
        )
    print_table(("rank", "producer", "score", "95 %"), cells, right=("rank", "score", "95 %"))
    click.echo(
        f"{counted(ratings_fit.votes, 'vote')} by "
        f"{counted(len(ratings_fit.annotators), 'annotator')}; scores in logits, ranks and scores "
        f"with 95 % intervals. {ratings_fit.widths}"
    )
    _say_left_out(left_out)
    if style["side"]:
        click.echo(f"what is shown first gains {_side(ratings_fit)}")
    if style["reliability"] and len(ratings_fit.annotators) > 1:
        from accord.feedback.audit import reliability_of

        ordered = sorted(
            (r.times_typical for r in reliability_of(ratings_fit)), key=lambda r: r.value
        )
        click.echo(
            f"reliability of annotators: {interval(ordered[0], 2)} to {interval(ordered[-1], 2)} "
            "times the typical one's"
        )


def _side(fitted: Ratings) -> str:
    """The pull of the first place with its interval, or why it is not known."""
    from accord.feedback.position import UNTOLD as MOST
    from accord.statistics.intervals import Z95

    if not fitted.side_error:
        return "an unknown amount: no record says in which order its options were shown"
    if fitted.side_error > MOST:
        return "an unknown amount: these votes cannot tell it from what the producers are worth"
    alarm = "beyond chance" if abs(fitted.side_z) > Z95 else "within chance"
    half = Z95 * fitted.side_error
    return f"{fitted.side:+.3f} ± {half:.3f} logits (z = {fitted.side_z:.1f}, {alarm})"
