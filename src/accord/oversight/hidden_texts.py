"""Questions about texts that a judge does not read: what debates with models are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accord.errors import DataError
from accord.oversight.debate import Claims
from accord.seeds import generator

FORMS = (
    'write {"passage": ..., "question": ..., "options": [...], "answer": the right option}, and'
    ' "lie": a wrong one, where it is known; or rows of QuALITY (article, questions)'
)
MOST_OPTIONS = 10
"""An endpoint tells the probabilities of twenty answers at most, of every option spelled twice."""
DISTRACTOR = "untimed_best_distractor"
"""What an annotator of QuALITY found the most tempting wrong option, numbered from 1."""


@dataclass(frozen=True)
class HiddenQuestion:
    """claims: the passage, the question and the two answers that are argued for, in the order in
    which they are named; right: the place of the right one, 0 or 1; options: all answers that the
    question came with; passage: the number of its text, which others may share."""

    claims: Claims
    right: int
    options: tuple[str, ...]
    passage: int

    @property
    def answer(self) -> str:
        """The right one."""
        return self.claims.answers[self.right]


def hidden_questions(
    rows: Iterable[tuple[str, Mapping[str, Any]]], seed: int
) -> tuple[list[HiddenQuestion], Counter[str]]:
    """(questions of rows with their places, names of columns that nothing was made of, counted).

    The lie is the row's own, of QuALITY the distractor that most annotators named, else a wrong
    option by chance; which of the two comes first is drawn, too. Both depend on the seed and the
    question alone. Raises DataError, naming the row, for what is missing or is no text, for fewer
    than two different options and for an answer that is none of them.
    """
    found, unused, passages = list[HiddenQuestion](), Counter[str](), dict[str, int]()
    for place, row in rows:
        for passage, asked in _asked(place, row, unused):
            number = passages.setdefault(passage, len(passages))
            found.append(_question(place, passage, asked, number, seed))
    return found, unused


@dataclass(frozen=True)
class _Asked:
    question: str
    options: tuple[str, ...]
    right: int
    lie: int | None


def _asked(
    place: str, row: Mapping[str, Any], unused: Counter[str]
) -> Iterable[tuple[str, _Asked]]:
    if "article" in row and "questions" in row:
        unused.update(row.keys() - {"article", "questions"})
        passage, questions = _text(row, "article", place), row["questions"]
        if not isinstance(questions, list) or not questions:
            raise DataError(f"{place}: questions is {questions!r:.80}", "give a list of questions")
        for number, one in enumerate(questions, 1):
            yield passage, _of_quality(one, f"{place}, question {number}", unused)
        return
    unused.update(row.keys() - {"passage", "question", "options", "answer", "lie"})
    passage, question = _text(row, "passage", place), _text(row, "question", place)
    options = _options(row, place)
    right = _among(row, "answer", options, place)
    lie = None if row.get("lie") is None else _among(row, "lie", options, place)
    if lie == right:
        raise DataError(f"{place}: the lie is the answer", "name another option, or leave it out")
    yield passage, _Asked(question, options, right, lie)


def _of_quality(one: Any, place: str, unused: Counter[str]) -> _Asked:
    if not isinstance(one, Mapping):
        raise DataError(f"{place} is {one!r:.80}", FORMS)
    unused.update(one.keys() - {"question", "options", "gold_label", "validation"})
    options, label = _options(one, place), one.get("gold_label")
    if not isinstance(label, int) or not 1 <= label <= len(options):
        raise DataError(
            f"{place}: gold_label is {label!r}",
            f"give the right option's number, 1 to {len(options)}; sets for tests have none",
        )
    votes = Counter[int]()
    for vote in one.get("validation") or ():
        named = vote.get(DISTRACTOR) if isinstance(vote, Mapping) else None
        if isinstance(named, int) and 1 <= named <= len(options) and named != label:
            votes[named] += 1
    lie = min(votes, key=lambda number: (-votes[number], number)) - 1 if votes else None
    return _Asked(_text(one, "question", place), options, label - 1, lie)


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        said = "there is no" if name not in row else f"{value!r:.60} is no text for"
        raise DataError(f"{place}: {said} {name}", FORMS)
    return value


def _options(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    options = row.get("options")
    if not isinstance(options, list) or not all(isinstance(o, str) and o.strip() for o in options):
        raise DataError(f"{place}: options is {options!r:.80}", "give a list of texts")
    stripped = tuple(option.strip() for option in options)
    if not 2 <= len(stripped) <= MOST_OPTIONS or len(set(stripped)) < len(stripped):
        raise DataError(
            f"{place}: options are {list(stripped)!r:.120}",
            f"give 2 to {MOST_OPTIONS}, all different",
        )
    return stripped


def _among(row: Mapping[str, Any], name: str, options: tuple[str, ...], place: str) -> int:
    value = _text(row, name, place).strip()
    if value not in options:
        raise DataError(
            f"{place}: the {name} {value[:60]!r} is none of the options",
            f"write it as it stands there: {', '.join(repr(o[:40]) for o in options)}",
        )
    return options.index(value)


def _question(place: str, passage: str, asked: _Asked, number: int, seed: int) -> HiddenQuestion:
    rng = generator(seed, "hidden question", passage, asked.question)
    wrong = [n for n in range(len(asked.options)) if n != asked.right]
    drawn, right = int(rng.choice(wrong)), int(rng.integers(2))
    pair = [asked.options[asked.right], asked.options[drawn if asked.lie is None else asked.lie]]
    answers = tuple(pair if right == 0 else pair[::-1])
    try:
        claims = Claims(passage, asked.question, answers)
    except DataError as error:
        raise DataError(f"{place}: {error.message}", error.fix) from None
    return HiddenQuestion(claims, right, asked.options, number)
