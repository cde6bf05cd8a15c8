"""The data card of an export: what it holds, who judged, how far they agree, what was left out and
why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from accord.feedback.agreement_kinds import AgreementReport, measure_all
from accord.feedback.formats.columns import UNKNOWN_ORDER
from accord.feedback.formats.exports import Exported, Shares
from accord.feedback.records import Feedback, Skip, content_id
from accord.feedback.words import counted
from accord.statistics.intervals import Interval

LICENCE = "(state under which terms this data may be used)"


def data_card(
    records: Sequence[Feedback],
    exported: Exported,
    *,
    dropped: Mapping[str, int],
    not_read: Mapping[str, int],
    name: Callable[[str], str] = str,
) -> dict[str, Any]:
    """The card as JSON. dropped, not_read: rows, and parts of rows, that importing the source lost,
    by reason;
    name: how annotators are called (a pseudonym, or as they are)."""
    judged = Counter(record.annotator for record in records)
    known = [r for r in records if len(r.options) > 1]
    return {
        "shape": exported.shape,
        "rows": len(exported.rows),
        "records": len(records),
        "records_written": exported.written,
        "kinds": dict(Counter(r.kind for r in records).most_common()),
        "guidelines": dict(Counter(r.guideline or "(none named)" for r in records).most_common()),
        "annotators": {
            "count": len(judged),
            "judgements": _spread(list(judged.values())),
            "each": {name(who): n for who, n in judged.most_common()},
        },
        "coverage": _coverage(records),
        "order_shown": {
            "known": sum(r.meta.get("shown") != UNKNOWN_ORDER for r in known),
            "unknown": sum(r.meta.get("shown") == UNKNOWN_ORDER for r in known),
        },
        "agreement": _agreement(records),
        "time": _time(records),
        "left_out": {
            "records this shape cannot hold": dict(exported.left_out),
            "details this shape cannot hold": dict(exported.lost),
            "rows dropped while reading": dict(dropped),
            "parts of rows not read": dict(not_read),
            "skipped by annotators": dict(
                Counter(r.choice.reason for r in records if isinstance(r.choice, Skip))
            ),
        },
        "licence": LICENCE,
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    return {"least": min(values), "median": median(values), "most": max(values)} if values else None


def _coverage(records: Sequence[Feedback]) -> dict[str, Any]:
    """Prompts, and how many annotators judged each pair of options."""
    votes = [len(by) for (_, _, second), by in Shares.of(records).votes.items() if second]
    return {
        "prompts": len({content_id(r.prompt) for r in records}),
        "pairs": len(votes),
        "judged_once": votes.count(1),
        "judged_twice": votes.count(2),
        "judged_more": sum(n > 2 for n in votes),
        "mean_annotators_per_pair": round(sum(votes) / len(votes), 3) if votes else None,
    }


def _agreement(records: Sequence[Feedback]) -> dict[str, Any]:
    """On choices between options, and on every scale; else the reasons why not."""
    report = measure_all(records)
    chosen, scales = _choices(report), _scales(report)
    if not chosen and not scales:
        why = "; ".join(f"{reason} ({count:,})" for reason, count in report.not_measured.items())
        return {"not measured": why or "there are no judgements"}
    return {**chosen, **({"scales": scales} if scales else {})}


def _choices(report: AgreementReport) -> dict[str, Any]:
    choices = report.choices
    if choices is None:
        return {}
    named = {
        "alpha": choices.alpha,
        "agreement": choices.with_ties,
        "agreement_strict": choices.strict,
        "ceiling": choices.ceiling,
    }
    return {
        **{key: _interval(value) for key, value in named.items()},
        "pairs": choices.units,
        "judgements": choices.judgements,
    }


def _scales(report: AgreementReport) -> list[dict[str, Any]]:
    return [
        {
            "what": s.what,
            "level": s.level,
            "alpha": None if s.alpha is None else _interval(s.alpha),
            "same": _interval(s.same),
            "units": s.units,
            "judgements": s.judgements,
        }
        for s in report.scales
    ]


def _interval(value: Interval) -> dict[str, float | None]:
    """Numbers that JSON holds: what is undefined is null."""
    parts = {"value": value.value, "low": value.low, "high": value.high}
    return {key: round(part, 4) if part == part else None for key, part in parts.items()}


def _time(records: Sequence[Feedback]) -> dict[str, Any]:
    seconds = [r.active_seconds for r in records if r.active_seconds is not None]
    dates = sorted(r.created_at for r in records if r.created_at)
    return {
        "hours": round(sum(seconds) / 3600, 2),
        "median_seconds": median(seconds) if seconds else None,
        "records_without": len(records) - len(seconds),
        "first": dates[0] if dates else None,
        "last": dates[-1] if dates else None,
    }


# --- as a page ------------------------------------------------------------------------------------
def card_text(card: Mapping[str, Any], title: str) -> str:
    """The card as Markdown. Names and reasons come from data: they are shown as code."""
    who, cover, time = card["annotators"], card["coverage"], card["time"]
    spread = who["judgements"] or {"least": 0, "median": 0, "most": 0}
    lines = [
        f"# {title}",
        "",
        (
            f"{card['rows']:,} rows of `{card['shape']}` from {card['records_written']:,} of"
            f" {card['records']:,} records."
        ),
        "",
        "| kind | records |",
        "|---|---|",
        *_rows(card["kinds"]),
        "",
        "| guideline | records |",
        "|---|---|",
        *_rows(card["guidelines"]),
        "",
        "## Who judged",
        "",
        f"{counted(who['count'], 'annotator')}, {_each(spread)}.",
        _time_line(time),
        "",
        "## Coverage and agreement",
        "",
        (
            f"{cover['prompts']:,} prompts; {cover['pairs']:,} pairs of responses, judged by one"
            f" annotator: {cover['judged_once']:,}, by two: {cover['judged_twice']:,}, by more:"
            f" {cover['judged_more']:,}."
        ),
        (
            f"Order shown: known for {card['order_shown']['known']:,} records, unknown for"
            f" {card['order_shown']['unknown']:,}."
        ),
        "",
        *_agreement_lines(card["agreement"]),
        "",
        "## Left out",
        "",
        *_left_out(card["left_out"]),
        "",
        "## Columns",
        "",
        (
            "`weight` is the share of a judgement that a row stands for; `soft_label` the share of"
            " annotators who prefer what is chosen, in tables response_a (ties count half), among"
            " the `votes` who judged the same pair; `shown_at` the places at which the responses"
            " were shown, empty where that is not known."
        ),
        "",
        "## Licence",
        "",
        card["licence"],
        "",
    ]
    return "\n".join(lines)


def _each(spread: Mapping[str, float]) -> str:
    if spread["least"] == spread["most"]:
        return f"{counted(int(spread['most']), 'judgement')} each"
    return (
        f"{spread['least']:,} to {spread['most']:,} judgements each (median {spread['median']:,g})"
    )


def _time_line(time: Mapping[str, Any]) -> str:
    if time["median_seconds"] is None:
        spent = "The time they took is not known."
    else:
        spent = (
            f"Time: {time['hours']:,} hours in all, {_or(time['median_seconds'])} s per judgement"
            f" in the median; {counted(time['records_without'], 'judgement')} without a time."
        )
    return (
        spent
        if time["first"] is None
        else f"{spent} From {_or(time['first'])} to {_or(time['last'])}."
    )


def _or(value: Any) -> str:
    return "unknown" if value is None else _code(value) if isinstance(value, str) else f"{value:,g}"


def _code(text: object) -> str:
    """Text that cannot become markup."""
    return "`" + " ".join(str(text).split()).replace("`", "'").replace("|", "¦") + "`"


def _rows(counts: Mapping[str, int]) -> list[str]:
    return [f"| {_code(name)} | {n:,} |" for name, n in counts.items()]


def _agreement_lines(agreement: Mapping[str, Any]) -> list[str]:
    if "not measured" in agreement:
        return [f"Agreement was not measured: {agreement['not measured']}."]
    names = {
        "alpha": "Krippendorff's α (nominal, ties a category)",
        "agreement": "two annotators agree, ties count",
        "agreement_strict": "two annotators agree where both decided",
        "ceiling": "best accuracy on single labels",
    }
    head, lines = ["", "| measure | value | 95 % |", "|---|---|---|"], []
    if "pairs" in agreement:
        rows = [_measure(label, agreement[key]) for key, label in names.items()]
        lines += [f"On {agreement['pairs']:,} pairs judged at least twice:", *head, *rows]
    for scale in agreement.get("scales", ()):
        rows = (
            [_measure(f"Krippendorff's α ({scale['level']})", scale["alpha"])]
            if scale["alpha"]
            else []
        )
        heading = (
            f"{_code(scale['what'])}, {counted(scale['units'], 'response')} judged at least twice:"
        )
        lines += [
            *([""] if lines else []),
            heading,
            *head,
            *rows,
            _measure("two annotators gave the same value", scale["same"]),
        ]
    return lines


def _measure(label: str, estimate: Mapping[str, float | None]) -> str:
    ends = "" if estimate["low"] is None else f"{_or(estimate['low'])} to {_or(estimate['high'])}"
    return f"| {label} | {_or(estimate['value'])} | {ends} |"


def _left_out(groups: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = [
        f"- {what}: {_code(why)} ({n:,})"
        for what, reasons in groups.items()
        for why, n in reasons.items()
    ]
    return lines or ["Nothing."]


def card_paths(destination: Path) -> tuple[Path, Path]:
    """Where the card of an export lies: (Markdown, JSON)."""
    return destination.with_suffix(".card.md"), destination.with_suffix(".card.json")
