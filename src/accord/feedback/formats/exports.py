"""Feedback records out, in the shapes others read.

What such a row cannot say (who, when, in which order shown, how many agree) goes beside it as
further columns, which TRL, HH, PRM800K and CSV readers pass over; trees and accord records get a
second file instead. A record that a shape cannot hold is left out and counted with the reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from accord.errors import ConfigError
from accord.feedback.formats.columns import UNKNOWN_ORDER, RowError, bare_reply, flat
from accord.feedback.formats.losses import TABLES, lost_details
from accord.feedback.formats.prm800k import to_prm800k
from accord.feedback.formats.tables import to_pairwise_row, to_rating_row
from accord.feedback.formats.trees import to_trees
from accord.feedback.formats.turns import check_spoken
from accord.feedback.messages import messages_to_json
from accord.feedback.records import (
    Behaviour,
    BestWorst,
    Comparison,
    Content,
    Correction,
    Demonstration,
    Feedback,
    Option,
    Ranking,
    StepLabels,
    Thumb,
    content_id,
    to_json,
)

Pair = tuple[Content, Content]
"""What is better, what is worse; of a tie, in the order of the options."""


@dataclass(frozen=True)
class Exported:
    """rows of `shape`; about: as many dictionaries of further columns (where `has_about_file`: of a
    second file);
    left_out: records that the shape cannot hold, by reason; written: records that it holds; lost:
    details of these that it does not hold."""

    shape: str
    rows: list[dict[str, Any]]
    about: list[dict[str, Any]]
    left_out: dict[str, int]
    written: int
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def has_about_file(self) -> bool:
        """Whether `about` goes into a second file."""
        return self.shape in WITH_ABOUT_FILE

    def full_rows(self) -> list[dict[str, Any]]:
        """The rows, with the further columns where they belong into them."""
        if self.has_about_file:
            return self.rows
        return [{**about, **row} for row, about in zip(self.rows, self.about, strict=True)]


@dataclass(frozen=True)
class ExportedRow:
    """One row of a record: `pair` is what it compares, `places` where they were shown, `options`
    their ids, `contents` the responses in it where the row does not say whether each was a text or
    messages."""

    row: dict[str, Any]
    pair: Pair | None = None
    places: tuple[int, ...] | None = None
    options: tuple[str, ...] = ()
    contents: tuple[Content, ...] = ()


# --- shares of annotators -------------------------------------------------------------------------
@dataclass
class Shares:
    """Share of annotators who prefer one response over another for a prompt, or put a thumb up.
    Every annotator counts once per pair, with the mean of their answers; a tie and "both bad" are
    half a preference."""

    votes: dict[tuple[str, str, str], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    @classmethod
    def of(cls, records: Iterable[Feedback]) -> Shares:
        """Counted over all records."""
        shares = cls()
        for record in records:
            same = {o.id: _same(o) for o in record.options}
            for better, worse, value in _votes(record):
                key, turned = _key(record.prompt, same[better], same[worse])
                shares.votes[key][record.annotator].append(1 - value if turned else value)
            if isinstance(record.choice, Thumb):
                key, _ = _key(record.prompt, *same.values())
                shares.votes[key][record.annotator].append(float(record.choice.up))
        return shares

    def share(self, record: Feedback, options: Sequence[str]) -> tuple[float | None, int]:
        """(share that prefers the first of two of the record's options, or likes the only one;
        number of annotators)."""
        same = {o.id: _same(o) for o in record.options}
        if not options:
            return None, 0
        key, turned = _key(record.prompt, *(same[i] for i in options))
        values_by_annotator = [
            sum(values) / len(values) for values in self.votes.get(key, {}).values()
        ]
        if not values_by_annotator:
            return None, 0
        mean = sum(values_by_annotator) / len(values_by_annotator)
        return round(1 - mean if turned else mean, 6), len(values_by_annotator)


def _same(option: Option) -> str:
    """What makes options of different records the same: their content, or, of options without one,
    their id."""
    return (
        content_id(option.content)
        if isinstance(option.content, Behaviour) or flat(option.content)
        else option.id
    )


def _key(prompt: Content, first: str, second: str = "") -> tuple[tuple[str, str, str], bool]:
    turned = bool(second) and first > second
    return (content_id(prompt), *((second, first) if turned else (first, second))), turned


def _votes(record: Feedback) -> Iterator[tuple[str, str, float]]:
    """All pairs of a comparison or ranking with what was said: 1 the first is better, 0.5
    neither."""
    choice = record.choice
    if isinstance(choice, Comparison) and choice.preferred is None:
        first, second = (o.id for o in record.options)
        yield first, second, 0.5
    elif isinstance(choice, Ranking):
        for group in choice.order:
            for i, one in enumerate(group):
                yield from ((one, other, 0.5) for other in group[i + 1 :])
    yield from ((a, b, 1.0) for a, b in _preferred(record))


def _preferred(record: Feedback) -> Iterator[tuple[str, str]]:
    """Ids of what is better and worse in all decided pairs of a comparison, ranking or best and
    worst."""
    ids, choice = [o.id for o in record.options], record.choice
    if isinstance(choice, Comparison) and choice.preferred is not None:
        yield choice.preferred, next(i for i in ids if i != choice.preferred)
    elif isinstance(choice, Ranking):
        for place, better in enumerate(choice.order):
            for worse in choice.order[place + 1 :]:
                yield from ((b, w) for b in better for w in worse)
    elif isinstance(choice, BestWorst):
        middle = [i for i in ids if i not in (choice.best, choice.worst)]
        yield from ((choice.best, i) for i in [*middle, choice.worst])
        yield from ((i, choice.worst) for i in middle)


# --- rows -----------------------------------------------------------------------------------------
def _pairs(record: Feedback) -> list[ExportedRow]:
    """(better, worse) with the places they were shown at, renumbered 0 and 1; raises RowError when
    there is none."""
    if isinstance(record.choice, Correction):
        return [ExportedRow({}, (record.choice.content, _text(record.options[0])))]
    options, known = {o.id: o for o in record.options}, record.meta.get("shown") != UNKNOWN_ORDER
    pairs = []
    for a, b in _preferred(record):
        places = (0, 1) if options[a].shown_at < options[b].shown_at else (1, 0)
        pairs.append(
            ExportedRow(
                {}, (_text(options[a]), _text(options[b])), places if known else None, (a, b)
            )
        )
    if any(
        not flat(one) and not flat(other)
        for one, other in (part.pair or ("", "") for part in pairs)
    ):
        raise RowError(f"{record.kind}: the responses have no texts (votes between models)")
    if not pairs and isinstance(record.choice, Comparison | Ranking):
        raise RowError(f"{record.kind}: nothing is preferred (tie or both bad)")
    if not pairs:
        raise RowError(f"{record.kind}: compares no two responses")
    return pairs


def _text(option: Option) -> Content:
    """What an option says; raises RowError for clips, which no format of texts holds."""
    if isinstance(option.content, Behaviour):
        raise RowError("the options are clips of episodes")
    return option.content


def _reply(record: Feedback, content: Content) -> Any:
    """Text after a text, messages after messages."""
    if isinstance(record.prompt, str):
        if not isinstance(bare := bare_reply(content), str):
            raise RowError(
                "an answer in messages (tool calls, reasoning, several of them) to a prompt that is"
                " a text"
            )
        return bare
    if isinstance(content, str):
        return [{"role": "assistant", "content": content}]
    return messages_to_json(content)


def _asked(record: Feedback) -> dict[str, Any]:
    """The prompt, and what the model was offered beside it."""
    extras = {"tools": record.tools, "chat_template_kwargs": record.chat_template_kwargs}
    return {
        "prompt": to_json(record.prompt),
        **{name: value for name, value in extras.items() if value},
    }


def _trl_preference(record: Feedback) -> Iterator[ExportedRow]:
    for part in _pairs(record):
        better, worse = part.pair or ("", "")
        row = {
            **_asked(record),
            "chosen": _reply(record, better),
            "rejected": _reply(record, worse),
        }
        yield replace(part, row=row, contents=(better, worse))


def _trl_implicit(record: Feedback) -> Iterator[ExportedRow]:
    for part in _trl_preference(record):
        row = dict(part.row)
        prompt = row.pop("prompt")
        yield replace(
            part, row={**row, **{side: prompt + row[side] for side in ("chosen", "rejected")}}
        )


def _trl_unpaired(record: Feedback) -> Iterator[ExportedRow]:
    if not isinstance(record.choice, Thumb):
        raise RowError(f"{record.kind}: only thumbs are written")
    content = _text(record.options[0])
    row = {**_asked(record), "completion": _reply(record, content), "label": record.choice.up}
    yield ExportedRow(row, (content, ""), (0,), (record.options[0].id,), (content,))


def _trl_completion(record: Feedback) -> Iterator[ExportedRow]:
    if not isinstance(record.choice, Demonstration):
        raise RowError(f"{record.kind}: only demonstrations are written")
    content = record.choice.content
    yield ExportedRow(
        {**_asked(record), "completion": _reply(record, content)}, contents=(content,)
    )


def _trl_stepwise(record: Feedback) -> Iterator[ExportedRow]:
    if not isinstance(record.choice, StepLabels):
        raise RowError(f"{record.kind}: only step labels are written")
    if 0 in record.choice.labels:
        raise RowError("step labels with a neutral step: TRL knows good and bad only")
    if not isinstance(record.prompt, str):
        raise RowError("step labels of a conversation: TRL's stepwise prompts are texts")
    check_spoken("TRL's stepwise format", *(option.content for option in record.options))
    labels = [label == 1 for label in record.choice.labels]
    yield ExportedRow(
        {"prompt": record.prompt, "completions": list(record.choice.steps), "labels": labels},
        None,
        (0,),
    )


_SPEAKERS = {"user": "Human", "assistant": "Assistant"}


def _hh(record: Feedback) -> Iterator[ExportedRow]:
    pairs = _pairs(record)
    if isinstance(record.prompt, str):
        raise RowError(
            "a transcript is of user and assistant: the prompt is a text, or has other roles"
        )
    check_spoken(
        "a transcript", record.prompt, *(content for part in pairs for content in part.pair or ())
    )
    before = _transcript(record.prompt)
    for part in pairs:
        sides = zip(("chosen", "rejected"), part.pair or (), strict=True)
        yield replace(part, row={side: before + _transcript(content) for side, content in sides})


def _transcript(content: Content) -> str:
    """Each message after who speaks; a text is the assistant's."""
    if isinstance(content, str):
        return f"\n\nAssistant: {content}"
    if any(message.role not in _SPEAKERS for message in content):
        raise RowError(
            "a transcript is of user and assistant: the prompt is a text, or has other roles"
        )
    return "".join(f"\n\n{_SPEAKERS[message.role]}: {message.said}" for message in content)


def _prm800k(record: Feedback) -> Iterator[ExportedRow]:
    yield ExportedRow(to_prm800k(record), None, (0,))


def _pairwise(record: Feedback) -> Iterator[ExportedRow]:
    row = to_pairwise_row(record)
    first, second = record.in_order
    yield ExportedRow(row, (_text(first), _text(second)), None, (first.id, second.id))


def _ratings(record: Feedback) -> Iterator[ExportedRow]:
    yield ExportedRow(to_rating_row(record))


_BY_RECORD: dict[str, Callable[[Feedback], Iterator[ExportedRow]]] = {
    "trl-preference": _trl_preference, "trl-preference-implicit": _trl_implicit, "trl-unpaired": _trl_unpaired,  # noqa: E501
    "trl-completion": _trl_completion, "trl-stepwise": _trl_stepwise, "hh": _hh, "prm800k": _prm800k,  # noqa: E501
    "csv-pairwise": _pairwise, "csv-ratings": _ratings,
}  # fmt: skip
EXPORTS = ("accord", "trl-prompt", *_BY_RECORD, "oasst")
WITH_ABOUT_FILE = ("accord", "oasst")
"""Shapes that hold no further columns."""


def export(records: Sequence[Feedback], shape: str) -> Exported:
    """Records as rows of `shape` (one of EXPORTS). Rankings become all their pairs where a shape
    holds pairs only."""
    if shape not in EXPORTS:
        raise ConfigError(f"there is no export {shape!r}", f"use one of: {', '.join(EXPORTS)}")
    shares = Shares.of(records)
    if shape == "trl-prompt":
        prompts = {content_id(record.asked): _asked(record) for record in records}
        judged = Counter(content_id(record.asked) for record in records)
        return Exported(
            shape,
            list(prompts.values()),
            [{"records": judged[k]} for k in prompts],
            {},
            len(records),
        )
    if shape == "accord":
        rows = [record.model_dump(mode="json") for record in records]
        return Exported(
            shape, rows, [a for r in records for a in _about_rows(r, shares)], {}, len(records)
        )
    if shape == "oasst":
        rows, left = to_trees(records)
        homeless = {id(record) for record, _ in left}
        held = [record for record in records if id(record) not in homeless]
        about = [a for r in held for a in _about_rows(r, shares)]
        return Exported(
            shape,
            rows,
            about,
            dict(Counter(why for _, why in left)),
            len(held),
            lost_details(held, shape),
        )
    return _by_record(records, shape, shares)


def _by_record(records: Sequence[Feedback], shape: str, shares: Shares) -> Exported:
    rows: list[dict[str, Any]] = []
    about: list[dict[str, Any]] = []
    owners: list[Feedback] = []
    left_out: Counter[str] = Counter()
    for record in records:
        try:
            parts = list(_BY_RECORD[shape](record))
        except RowError as error:
            left_out[str(error)] += 1
            continue
        for number, part in enumerate(parts):
            rows.append(part.row)
            owners.append(record)
            line = _about(record, part, number, len(parts), shares)
            about.append({k: v for k, v in line.items() if shape not in TABLES or k not in _SOME})
    for name in () if shape in TABLES else _SOME:  # tables say it in their own columns
        if any(name in line for line in about):  # all rows have the same columns
            about = [{**line, name: line.get(name)} for line in about]
    lost = _margins(owners, about) if shape.startswith("trl-preference") else {}
    lost |= lost_details(list({id(owner): owner for owner in owners}.values()), shape)
    return Exported(shape, rows, about, dict(left_out), len(records) - left_out.total(), lost)


_SOME = (
    "strength",
    "probability",
    "finished",
    "written_as",
    "chosen_model",
    "rejected_model",
    "completion_model",
)
"""Further columns that are there where records have them."""


def _margins(owners: Sequence[Feedback], about: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Add the column `margin`, which TRL's reward trainer reads of all rows or of none; returns
    what was lost.

    owners: the record of each row.
    """
    margins = [record.meta["margin"] for record in owners if "margin" in record.meta]
    if len(margins) < len(about):
        return {"margin (all rows must have one)": len(margins)} if margins else {}
    for line, margin in zip(about, margins, strict=True):
        line["margin"] = margin
    return {}


def _about(
    record: Feedback, part: ExportedRow, number: int, count: int, shares: Shares
) -> dict[str, Any]:
    """Further columns of a row. The weights of a record's rows add up to the record's own (1 if it
    has none)."""
    share, votes = shares.share(record, part.options if part.pair is not None else ())
    choice = record.choice if isinstance(record.choice, Comparison) else None
    how = {} if choice is None else {"strength": choice.strength, "probability": choice.probability}
    return {
        "record_id": record.id if count == 1 else f"{record.id}#{number}",
        **_common(record),
        "shown_at": None if part.places is None else list(part.places),
        "weight": record.weight / count,
        "soft_label": share,
        "votes": votes,
        **{name: value for name, value in how.items() if value is not None},
        **_finished(record, part.options),
        **_producers(record, part.options),
        **_written_as(record, part),
    }


def _producers(record: Feedback, options: Sequence[str]) -> dict[str, Any]:
    """Who wrote the row's responses, where the record says so."""
    wrote = {option.id: option.producer for option in record.options}
    names = ("chosen_model", "rejected_model") if len(options) == 2 else ("completion_model",)
    return {name: wrote[i] for name, i in zip(names, options, strict=False) if wrote[i] is not None}


def _written_as(record: Feedback, part: ExportedRow) -> dict[str, Any]:
    """Which responses were texts, to the letter, and which messages, where the row itself does not
    say it."""
    kinds = ["text" if isinstance(content, str) else "messages" for content in part.contents]
    usual = "text" if isinstance(record.prompt, str) else "messages"
    return {"written_as": kinds} if any(kind != usual for kind in kinds) else {}


def _finished(record: Feedback, options: Sequence[str]) -> dict[str, Any]:
    """Whether the row's responses ended or were cut off, where the record says so."""
    finished = record.meta.get("finished")
    if isinstance(finished, dict) and options and all(i in finished for i in options):
        return {"finished": [finished[i] for i in options]}
    return (
        {"finished": finished}
        if isinstance(finished, bool) and record.kind == "demonstration"
        else {}
    )


def _common(record: Feedback) -> dict[str, Any]:
    return {
        "annotator": record.annotator,
        "session": record.session,
        "guideline": record.guideline,
        "created_at": record.created_at,
        "active_seconds": record.active_seconds,
    }


def _about_rows(record: Feedback, shares: Shares) -> Iterator[dict[str, Any]]:
    """Lines of the second file: one per pair of options that a record compares, or one for a
    thumb."""
    if isinstance(record.choice, Thumb) or (
        isinstance(record.choice, Comparison) and record.choice.preferred is None
    ):
        lines = [tuple(o.id for o in record.options)]
    else:
        lines = list(_preferred(record))
    for options in lines:
        share, votes = shares.share(record, options)
        yield {
            "record_id": record.id,
            **_common(record),
            "options": list(options),
            "shown": record.shown,
            "weight": record.weight / len(lines),
            "soft_label": share,
            "votes": votes,
        }


def export_rows(records: Iterable[Feedback], shape: str) -> tuple[list[dict[str, Any]], int]:
    """Bare rows of `shape` and the number of records it cannot hold."""
    exported = export(list(records), shape)
    return exported.rows, sum(exported.left_out.values())
