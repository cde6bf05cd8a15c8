"""What scores the segments of pretraining text: functions, a reward model, or the rows themselves;
and that the verdict on the model has other scorers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from pydantic import Field

from accord.errors import ConfigError, DataError
from accord.files import read_jsonl
from accord.learning.settings import TextFeedbackSettings
from accord.runs.context import StageContext
from accord.runs.inputs import REFERENCE, RewardName, stage_of
from accord.runs.stages.scorers import LOG
from accord.runs.stages.scoring import RewardSources, UsesFunctions

if TYPE_CHECKING:
    from accord.text.packing import PromptGroup
    from accord.text.scored import Document

BEFORE = 400
"""Characters of the text before a segment that a scorer is given as its prompt."""
SPAN = ("start", "end", "score")
CHUNK = 64
"""Documents scored between two writes to disk."""


class FeedbackConfig(UsesFunctions, TextFeedbackSettings):
    """Scores of a pretraining text's segments, and what is made of them. Without reward model and
    functions the rows' own scores count: {text, segments: [{start, end, score}, ...]}, places in
    characters."""

    reward: RewardName | None = Field(None, description="A reward model that scores segments.")

    @property
    def scorers(self) -> list[str]:
        """Names of what scores."""
        return [*([self.reward] if self.reward else []), *self.functions]

    @property
    def by_rows(self) -> bool:
        """Whether the rows bring their scores."""
        return not self.scorers


@dataclass(frozen=True)
class TextRow:
    """A row of text. spans: (start, end, score) of its parts, in characters, where it brings them;
    where: how messages call it."""

    text: str
    where: str
    spans: Sequence[tuple[int, int, float]] = ()


def read_rows_of_text(
    rows: Sequence[tuple[str, str, Mapping[str, Any]]], spans: bool
) -> list[TextRow]:
    """Rows whose text is not blank, with their scores where `spans` are wanted. Raises DataError
    naming a row whose scores are none."""
    return [
        TextRow(text, where, _spans(row, where, len(text)) if spans else ())
        for text, where, row in rows
        if text.strip()
    ]


def _spans(row: Mapping[str, Any], where: str, length: int) -> list[tuple[int, int, float]]:
    fix = (
        "give every row segments: [{start, end, score}, ...] in characters; or name functions or a"
        " reward model that score"
    )
    given = row.get("segments")
    if not isinstance(given, list) or not given:
        raise DataError(f"{where} has no scores: it has {', '.join(row)}", fix)
    found = []
    for one in given:
        values = {k: one.get(k) for k in SPAN} if isinstance(one, dict) else {}
        start, end, score = (values.get(k) for k in SPAN)
        if not (type(start) is int and type(end) is int and _number(score)):
            raise DataError(f"{where}: {str(one)[:80]} is no scored segment", fix)
        if not 0 <= start < end <= length:
            raise DataError(
                f"{where}: a segment from {start} to {end} in a text of {length} characters", fix
            )
        found.append((start, end, float(score)))
    return found


def _number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)


def score_documents(
    documents: Sequence[Document],
    rows: Sequence[TextRow],
    feedback: FeedbackConfig,
    context: StageContext,
    name: str,
) -> list[Document]:
    """The documents with a score per segment; each is asked for once, and kept in a log of that
    name, which a resumed stage continues."""
    if feedback.by_rows:
        return [
            replace(one, scores=_of_spans(one, row))
            for one, row in zip(documents, rows, strict=True)
        ]
    scorer, log = _Scorer(feedback, context), context.log(name)
    for start in range(len(log.rows), len(documents), CHUNK):
        part = slice(start, start + CHUNK)
        pairs = zip(documents[part], rows[part], strict=True)
        log.append([{"scores": scores} for scores in scorer(list(pairs))])
        context.checkpoint(min(start + CHUNK, len(documents)), len(documents), "scoring")
    return [
        replace(one, scores=row["scores"]) for one, row in zip(documents, log.rows, strict=True)
    ]


def _of_spans(document: Document, row: TextRow) -> list[float]:
    """Each segment's score: that of the row's part that it lies in, of several the lowest (a
    segment is as bad as its worst part)."""
    scores, start = [], 0
    for end in document.text_ends:
        found = [s for a, b, s in row.spans if a < max(end, start + 1) and b > start]
        if not found:
            raise DataError(
                f"{row.where}: nothing scores characters {start} to {end}",
                "let the segments cover the text",
            )
        scores.append(min(found))
        start = end
    return scores


class _Scorer:
    """The reward model's score of every segment plus the functions', weighted."""

    def __init__(self, feedback: FeedbackConfig, context: StageContext) -> None:
        from accord.models.reward_model import RewardModel

        self.functions = feedback.load_functions()
        path = feedback.reward and context.path(feedback.reward)
        self.reward = RewardModel.load(path, context.device) if path else None
        if self.reward is not None:
            self.reward.frozen()
            self.encoder = context.encoder(self.reward.members[0].lm)
            self.room = min(member.lm.context for member in self.reward.members)

    def __call__(self, rows: Sequence[tuple[Document, TextRow]]) -> list[list[float]]:
        """Scores of the segments of each document. Raises DataError for one that nothing scores."""
        before, pieces, where = list[str](), list[str](), list[str]()
        for document, row in rows:
            starts = [0, *document.text_ends[:-1]]
            before += [row.text[max(0, start - BEFORE) : start] for start in starts]
            pieces += document.pieces(row.text)
            where += [row.where] * len(starts)
        totals = self._scores(before, pieces, where)
        found, at = [], 0
        for document, _ in rows:
            found.append(totals[at : at + len(document.segments)])
            at += len(document.segments)
        return found

    def _scores(
        self, before: Sequence[str], pieces: Sequence[str], where: Sequence[str]
    ) -> list[float]:
        from accord.runs.reading import PromptRow
        from accord.runs.stages.reward_functions import ToScore

        asked = ToScore([PromptRow(text) for text in before], pieces, [[] for _ in pieces])
        columns = [
            [weight * score for score in function(asked)] for function, weight in self.functions
        ]
        if self.reward is not None:
            groups = list(map(self._group, before, pieces, where))
            columns.append(self.reward.score(groups).mean(0).tolist())
        totals = []
        for number, scores in enumerate(zip(*columns, strict=True)):
            known = [score for score in scores if not math.isnan(score)]
            if not known:
                raise DataError(
                    f"{where[number]}: nothing scores {pieces[number][:80]!r}",
                    "return a number for every segment",
                )
            totals.append(sum(known))
        return totals

    def _group(self, before: str, piece: str, where: str) -> PromptGroup:
        """The segment after as much of the text before it as the reward model has room for."""
        from accord.text.packing import PromptGroup

        example = self.encoder.example(before, piece, finished=False, row=where)
        if not example.response_ids:
            raise DataError(
                f"{where}: the reward model's tokenizer makes nothing of {piece!r}",
                "take that out of the text, or score by functions",
            )
        room = self.room - len(example.response_ids)
        if room < 1:
            raise DataError(
                f"{where}: a segment of {len(example.response_ids):,} tokens is longer than the"
                " reward model's context",
                "break its lines, or score by functions",
            )
        first, *rest = example.prompt_ids
        return PromptGroup([first, *rest[max(0, len(rest) + 1 - room) :]], [example.response_ids])


# --- the verdict has others -----------------------------------------------------------------------
def check_not_shared(model: str, scorers: Sequence[str], taught: Sequence[str]) -> None:
    """Raise ConfigError where what judges `model` also scored the text that it learned from."""
    if shared := sorted(set(scorers) & set(taught)):
        raise ConfigError(
            f"{shared[0]} scored the text that {model} learned from, and would judge it too: a"
            " model that learned to please its scorer would look good",
            "judge it by another function, reward model or by people",
        )


def check_scorers(config: RewardSources, model: str, context: StageContext) -> None:
    """As `check_not_shared` for the model of an earlier stage; reward models by content, too."""
    from accord.runs.contents import hashes_of

    if not model.startswith(REFERENCE):
        context.say(f"not known here: what scored the text that {model} learned from")
        return
    path = context.earlier[stage_of(model)[0]] / LOG
    taught: dict[str, str] = {}
    for row in read_jsonl(path) if path.is_file() else []:
        taught |= row["hashes"]
    mine = [config.reward] if config.reward else []
    found = dict(hashes_of(config, context))
    same = [name for name in mine if found.get(name) in taught.values()]
    check_not_shared(model, [*mine, *config.functions], [*taught, *same])
