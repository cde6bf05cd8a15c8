"""Debates and consultancies about a source that the judge does not read: who speaks when, what was
said, and whether its quotes are there.

In a debate two debaters argue for two answers, turn by turn; in a consultancy one argues for one
(Irving et al. 2018; Michael et al. 2023). What a debater makes of the source is its own affair; a
quote is the source's to the letter, and the one thing that a judge can rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from accord.errors import DataError
from accord.feedback.messages import plain
from accord.feedback.records import Argument, Feedback, Option, content_id

ProtocolName = Literal["debate", "consultancy"]
_META = "debate"


@dataclass(frozen=True)
class Claims:
    """What is argued about: the source, a question about it and the answers, in the order shown.

    Raises DataError for fewer than two answers, or two that are the same.
    """

    source: str
    question: str
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.answers) < 2 or len(set(self.answers)) < len(self.answers):
            raise DataError(
                f"answers = {list(self.answers)!r}: nothing to argue about",
                "give two different answers or more",
            )


@dataclass(frozen=True)
class DebateTurn:
    """What one debater says at once for the answer `side`; quotes: parts of the source; refused:
    what it gave for quotes and stands in no source, which the text does not hold."""

    side: str
    text: str
    quotes: tuple[str, ...]
    speaker: str
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """The turns of one debate or consultancy, first to last. protocol: which of them."""

    claims: Claims
    protocol: ProtocolName
    turns: tuple[DebateTurn, ...] = ()

    def with_turn(self, turn: DebateTurn) -> Transcript:
        """The transcript gone on by a turn. Raises DataError for a side that is no answer and a
        quote that does not stand in the source."""
        where = f"turn {len(self.turns) + 1}, by {turn.speaker}"
        if turn.side not in self.claims.answers:
            raise DataError(
                f"{where}: it argues for {turn.side!r}",
                f"argue for one of: {', '.join(self.claims.answers)}",
            )
        if self.protocol == "consultancy" and self.turns and turn.side != self.turns[0].side:
            raise DataError(
                f"{where}: a consultant changes sides, from {self.turns[0].side!r} to"
                f" {turn.side!r}",
                "argue for one answer throughout, or make it a debate",
            )
        check_quotes(turn.quotes, self.claims.source, where)
        return replace(self, turns=(*self.turns, turn))

    @property
    def quotes(self) -> tuple[str, ...]:
        """All quotes, in the order in which they were said."""
        return tuple(quote for turn in self.turns for quote in turn.quotes)


class Debater(Protocol):
    """Reads the whole source. name: the annotator in its records."""

    name: str

    def argue(self, side: str, so_far: Transcript) -> tuple[str, Sequence[str]]:
        """What it says for `side`, and the quotes in it."""
        ...


# --- protocols ------------------------------------------------------------------------------------
def debate(answers: Sequence[str], turns: int, swapped: bool = False) -> tuple[str, ...]:
    """Who speaks when: the answers take turns, the first one begins, swapped the last one. Raises
    DataError where they do not get equally many."""
    order = tuple(reversed(answers)) if swapped else tuple(answers)
    if turns < 1 or turns % len(order):
        raise DataError(
            f"{turns} turns for {len(order)} sides",
            f"give each as many: a multiple of {len(order)}",
        )
    return order * (turns // len(order))


def consultancy(side: str, turns: int) -> tuple[str, ...]:
    """Who speaks when: one side, all the time."""
    return (side,) * turns


def hold(
    claims: Claims, protocol: ProtocolName, order: Sequence[str], debaters: dict[str, Debater]
) -> Transcript:
    """Let the debaters, by side, speak in this order."""
    transcript = Transcript(claims, protocol)
    for side in order:
        text, quotes = debaters[side].argue(side, transcript)
        turn = DebateTurn(side, text, tuple(quotes), debaters[side].name)
        transcript = transcript.with_turn(turn)
    return transcript


# --- quotes and records ---------------------------------------------------------------------------
def check_quotes(quotes: Sequence[str], source: str, where: str) -> None:
    """Raises DataError for a quote that is empty or does not stand in the source, to the letter."""
    for quote in quotes:
        if not quote.strip() or quote not in source:
            raise DataError(
                f"{where}: the quote {quote[:80]!r} does not stand in the source",
                "copy quotes letter by letter; say in the text what is no quote",
            )


def to_records(transcript: Transcript) -> list[Feedback]:
    """A record of kind `argument` per turn, tied by their session. The prompt is the source and,
    below it, the question."""
    claims = transcript.claims
    prompt = f"{claims.source}\n\n{claims.question}"
    turns = [[turn.speaker, turn.side, turn.text] for turn in transcript.turns]
    session = content_id(prompt, claims.answers, transcript.protocol, turns)
    options = [
        Option(id=str(place), content=answer, shown_at=place)
        for place, answer in enumerate(claims.answers)
    ]
    return [
        Feedback(
            id=f"{session}-{number}",
            kind="argument",
            prompt=prompt,
            options=options,
            choice=Argument(
                side=str(claims.answers.index(turn.side)),
                text=turn.text,
                quotes=list(turn.quotes),
                round=number,
            ),
            annotator=turn.speaker,
            session=session,
            meta={
                _META: {"protocol": transcript.protocol, "question": claims.question}
                | ({"refused": list(turn.refused)} if turn.refused else {})
            },
        )
        for number, turn in enumerate(transcript.turns, 1)
    ]


def from_records(records: Sequence[Feedback]) -> list[Transcript]:
    """The transcripts that `to_records` wrote, in the order of their first turns; turns may come in
    any order. Raises DataError, naming the record, for one that is no turn, for turns that are
    missing or double, and for quotes that are not in the source."""
    found: dict[str, dict[int, Feedback]] = {}
    for record in records:
        if not isinstance(record.choice, Argument) or record.session is None:
            raise DataError(
                f"record {record.id}: a {record.kind} is no turn of a debate",
                "give records of kind argument with a session",
            )
        turns = found.setdefault(record.session, {})
        if record.choice.round in turns:
            raise DataError(
                f"record {record.id}: round {record.choice.round} of session {record.session}"
                f" stands in record {turns[record.choice.round].id}, too",
                "give each turn a round of its own",
            )
        turns[record.choice.round] = record
    return [_transcript([turns[n] for n in sorted(turns)], name) for name, turns in found.items()]


def _transcript(records: Sequence[Feedback], session: str) -> Transcript:
    first = records[0]
    about, prompt = first.meta.get(_META), plain(first.prompt)
    about = about if isinstance(about, dict) else {}
    protocol, ending = about.get("protocol"), f"\n\n{about.get('question')}"
    if protocol not in ("debate", "consultancy") or not prompt.endswith(ending):
        raise DataError(
            f"record {first.id}: it does not say how it was argued",
            'meta.debate holds {"protocol": "debate" or "consultancy", "question": ...}, and the'
            " prompt ends with the question",
        )
    answers = {option.id: plain(option.content) for option in first.in_order}
    claims = Claims(prompt[: len(prompt) - len(ending)], ending[2:], tuple(answers.values()))
    transcript = Transcript(claims, protocol)
    for number, record in enumerate(records, 1):
        choice = record.choice
        assert isinstance(choice, Argument)
        if choice.round != number or record.prompt != first.prompt:
            raise DataError(
                f"record {record.id}: session {session} lacks round {number}"
                if choice.round != number
                else f"record {record.id}: session {session} is about another prompt",
                "give all turns of a session, from round 1",
            )
        turn = DebateTurn(
            answers[choice.side],
            choice.text,
            tuple(choice.quotes),
            record.annotator,
            _refused(record),
        )
        try:
            transcript = transcript.with_turn(turn)
        except DataError as error:
            raise DataError(f"record {record.id}: {error.message}", error.fix) from None
    return transcript


def _refused(record: Feedback) -> tuple[str, ...]:
    about = record.meta.get(_META)
    refused = about.get("refused", []) if isinstance(about, dict) else []
    if not isinstance(refused, list) or not all(isinstance(one, str) for one in refused):
        raise DataError(
            f"record {record.id}: meta.debate.refused is {refused!r:.80}", "give a list of texts"
        )
    return tuple(refused)
