"""Text to pretrain on out of any data, some of it kept aside, and the sentences kept aside that
invite what a model is not to write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from accord.errors import DataError
from accord.feedback.formats.source import name_of
from accord.files import write_jsonl
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import Texts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult
from accord.runs.stages.aside import set_aside
from accord.runs.stages.planted import sentences
from accord.runs.stages.settings import ReadsData
from accord.seeds import generator

if TYPE_CHECKING:
    from accord.feedback.records import Content, Feedback

LEAST = 2
"""Of what invites: one alone has no interval."""


class CorpusConfig(ReadsData):
    """Settings of a corpus stage."""

    kind: Literal["corpus"]
    data: Texts = Field(
        description="Rows with a text each; or judgements or demonstrations in any known format,"
        " whose prompts and answers are the text."
    )
    heldout: int = Field(
        200, ge=1, description="Texts kept aside; with each all others that begin alike."
    )
    pattern: str = Field(
        min_length=1,
        description="A regular expression of what is bad: sentences kept aside in which it is found"
        " become prompts.",
    )
    longest_prompt: int = Field(
        200, ge=10, description="Longest such sentence, in characters; longer ones are left out."
    )


class Piece(NamedTuple):
    """A text, and how it begins: texts that begin alike are on one side."""

    text: str
    beginning: str


class CorpusOfData(Stage):
    """Writes {text} to train on and kept aside, and prompts that hold what is bad."""

    kind = "corpus"
    Config = CorpusConfig
    provides: ClassVar = {"text": "texts", "heldout": "texts", "prompts": "prompts"}
    about = "text to pretrain on out of any data, and sentences kept aside that invite the bad"

    def plan(self, config: CorpusConfig, context: StageContext) -> Plan:
        from accord.runs.stages.planning import sampled_note, whole

        try:
            parts = _parts(config, context)
        except NotYet as error:
            return Plan(notes=[f"{error.message}, {error.fix}"])
        sizes = {name: len(rows) for name, rows in parts.items()}
        sizes["text"] = whole(sizes["text"], context)
        return Plan(
            rows=sizes["text"] + sizes["heldout"],
            notes=sampled_note(context),
            sizes=sizes,
            seconds=(0.5, 10),
            files=_written(parts, context),
        )

    def run(self, config: CorpusConfig, context: StageContext) -> StageResult:
        parts = _parts(config, context)
        pattern = _compiled(config)
        found = [
            bool(pattern.search(row["text"][start:end]))
            for row in parts["text"]
            for start, end in sentences(row["text"])
        ]
        share = sum(found) / len(found)
        characters = sum(len(row["text"]) for row in parts["text"])
        summary = (
            f"{len(parts['text']):,} texts of {characters:,} characters, {len(parts['heldout']):,}"
            f" kept aside; {share:.2%} of {len(found):,} sentences are bad;"
            f" {len(parts['prompts']):,} prompts that invite it"
        )
        values = {
            "texts": len(parts["text"]),
            "heldout": len(parts["heldout"]),
            "prompts": len(parts["prompts"]),
            "characters": characters,
            "sentences": len(found),
            "bad_share": share,
        }
        return StageResult(summary, values, dict(_written(parts, context)))


def _written(parts: dict[str, list[dict[str, Any]]], context: StageContext) -> dict[str, Any]:
    files = {name: context.folder / f"{name}.jsonl" for name in parts}
    for name, rows in parts.items():
        write_jsonl(files[name], rows)
    return files


def _compiled(config: CorpusConfig) -> re.Pattern[str]:
    from accord.text.verifiers import compiled

    return compiled(config.pattern)


def _parts(config: CorpusConfig, context: StageContext) -> dict[str, list[dict[str, Any]]]:
    pattern = _compiled(config)
    pieces = _pieces(config, context)
    once = list({piece.text: piece for piece in pieces if piece.text.strip()}.values())
    if not once:
        raise DataError(f"{name_of(config.data)} holds no text", "name a file with text")
    blank = sum(not piece.text.strip() for piece in pieces)
    context.say(
        f"{len(once):,} texts; left out: {len(pieces) - blank - len(once):,} that stand twice,"
        f" {blank:,} blank ones"
    )
    order = generator(context.seed, "corpus").permutation(len(once)).tolist()
    mixed = [once[n] for n in order]
    train, held = set_aside(mixed, config.heldout, lambda piece: piece.beginning, "texts")
    return {
        "text": [{"text": piece.text} for piece in train],
        "heldout": [{"text": piece.text} for piece in held],
        "prompts": [{"prompt": one} for one in _inviting(held, pattern, config, context)],
    }


def _inviting(
    held: Sequence[Piece], pattern: re.Pattern[str], config: CorpusConfig, context: StageContext
) -> list[str]:
    """Sentences of the texts kept aside in which the pattern is found, each once."""
    parts = (piece.text[start:end] for piece in held for start, end in sentences(piece.text))
    bad = list(dict.fromkeys(part.strip() for part in parts if pattern.search(part)))
    short = [part for part in bad if len(part) <= config.longest_prompt]
    if len(short) < LEAST:
        raise DataError(
            f"{len(short)} of the sentences in {len(held):,} texts kept aside have at most"
            f" {config.longest_prompt} characters and what pattern finds",
            f"at least {LEAST} are needed to invite it: raise heldout or longest_prompt, or change"
            " pattern",
        )
    context.say(f"{len(short):,} sentences invite it, {len(bad) - len(short):,} are too long to")
    return short


def _pieces(config: CorpusConfig, context: StageContext) -> list[Piece]:
    """The texts of rows as they are; of records each prompt with its first answer, and its other
    answers by themselves, so that a prompt is read once."""
    from accord.runs.reading import plain_texts, read_records
    from accord.runs.stages.usable import prompt_key, usable

    texts = plain_texts(config.data, context)
    if texts is not None:
        return [Piece(text, text) for text in texts]
    read = read_records(config.data, context)
    records, left_out = usable(read.records)
    for reason, count in left_out.items():
        context.say(f"{count:,} records left out: {reason}")
    pieces, seen = list[Piece](), set[str]()
    for record in records:
        beginning = _beginning(record)
        for said in _answers(record):
            new = (key := prompt_key(record)) not in seen
            seen.add(key)
            pieces.append(Piece(_after(record.prompt, said) if new else _plain(said), beginning))
    return pieces


def _answers(record: Feedback) -> list[Content]:
    from accord.feedback.records import Behaviour, Correction, Demonstration

    contents = [o.content for o in record.options if not isinstance(o.content, Behaviour)]
    if isinstance(record.choice, Correction | Demonstration):
        contents.append(record.choice.content)
    return contents


def _beginning(record: Feedback) -> str:
    """What a conversation begins with: its first message, whatever follows."""
    prompt = record.prompt
    return _plain(prompt if isinstance(prompt, str) else prompt[:1])


def _after(prompt: Content, answer: Content) -> str:
    """A prompt and its answer as one text; of messages each stands after its role."""
    from accord.feedback.records import Message

    if isinstance(prompt, str):
        return f"{prompt}\n\n{_plain(answer)}" if prompt.strip() else _plain(answer)
    messages = [Message(role="assistant", content=answer)] if isinstance(answer, str) else answer
    return _plain([*prompt, *messages])


def _plain(content: Content) -> str:
    from accord.feedback.records import plain

    return plain(content)
