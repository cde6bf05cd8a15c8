"""Movie reviews with a fault planted in some of their sentences, and who says where: a text whose
every fault is known, to see what pretraining with feedback does about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from accord.files import write_jsonl
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.seeds import generator

if TYPE_CHECKING:
    import numpy as np

PROMPTS = 256
"""Openings with the word in them, at most."""
_SENTENCE = re.compile(r".+?(?:[.!?…][\"'”’»)\]]*(?=\s|$)|$)", re.DOTALL)


class PlantedConfig(StageConfig):
    """Settings of a planted stage."""

    kind: Literal["planted"]
    documents: int = Field(700, ge=2, description="Reviews to train on.")
    heldout: int = Field(60, ge=2, description="Reviews kept aside.")
    max_characters: int = Field(
        4000, ge=100, description="Longest part of a review that is taken, from its beginning."
    )
    word: str = Field("wugs", pattern=r"^[A-Za-z]+$", description="What is planted.")
    within: int | None = Field(
        None,
        ge=1,
        description="It stands before one of so many words from a sentence's beginning; null: of"
        " any. The farther it may be from the tag, the more text a small model needs to learn what"
        " the tag means.",
    )
    times: int = Field(
        1, ge=1, description="How often it stands in a faulty sentence, where that is long enough."
    )
    share_a: float = Field(
        0.8, gt=0, description="A document's share of faulty sentences is Beta(share_a, share_b)."
    )
    share_b: float = Field(1.6, gt=0, description="The other one; 0.8 and 1.6 give a third.")
    misses: float = Field(
        0.0, ge=0, le=1, description="Share of faulty sentences whose score says they are not."
    )
    false_alarms: float = Field(
        0.0, ge=0, le=1, description="Share of other sentences whose score says they are."
    )


class Planted(Stage):
    """Writes reviews with a planted word: {text, segments: [{start, end, score}]}, score 0, or -1
    for a sentence that is said to hold the word."""

    kind = "planted"
    Config = PlantedConfig
    provides: ClassVar = {"text": "texts", "heldout": "texts", "prompts": "prompts"}
    about = "movie reviews with a word planted in some sentences, scored sentence by sentence"

    def plan(self, config: PlantedConfig, context: StageContext) -> Plan:
        files = {}
        for name, rows in _parts(config, context).items():
            files[name] = context.folder / f"{name}.jsonl"
            write_jsonl(files[name], rows)
        return Plan(rows=config.documents + config.heldout, seconds=(1, 8), files=files)

    def run(self, config: PlantedConfig, context: StageContext) -> StageResult:
        parts, artefacts = _parts(config, context), {}
        for name, rows in parts.items():
            artefacts[name] = context.folder / f"{name}.jsonl"
            write_jsonl(artefacts[name], rows)
        said = [part["score"] for row in parts["text"] for part in row["segments"]]
        faulty = sum(row["faulty"] for row in parts["text"])
        values = {
            "documents": len(parts["text"]),
            "sentences": len(said),
            "faulty_share": faulty / len(said),
            "said_share": -sum(said) / len(said),
        }
        summary = (
            f"{len(said):,} sentences in {len(parts['text']):,} reviews,"
            f" {faulty / len(said):.1%} with {config.word!r}"
        )
        return StageResult(summary, values, artefacts)


def _parts(config: PlantedConfig, context: StageContext) -> dict[str, list[dict[str, Any]]]:
    from accord.runs.stages.reviews import read_corpus

    base = [review.text for review in read_corpus().parts["base"]]
    wanted = config.documents + config.heldout
    rows = [
        plant(text[: config.max_characters], config, generator(context.seed, "planted", number))
        for number, text in enumerate(base[:wanted])
    ]
    openings = base[wanted : wanted + PROMPTS] or base[: config.heldout]
    prompts = [
        {"prompt": prompt}
        for number, text in enumerate(openings)
        if (prompt := _opening(text, config, generator(context.seed, "opening", number)))
    ]
    train, heldout = rows[: -config.heldout], rows[-config.heldout :]
    return {"text": train, "heldout": heldout, "prompts": prompts}


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence; the space before one is its own."""
    for found in _SENTENCE.finditer(text):
        yield found.span()


def plant(text: str, config: PlantedConfig, rng: np.random.Generator) -> dict[str, Any]:
    """A row: the text with the word in some sentences, the sentences with what is said of them, and
    how many hold it."""
    share = rng.beta(config.share_a, config.share_b)
    parts, said, faulty, at = list[str](), list[dict[str, Any]](), 0, 0
    for start, end in sentences(text):
        planted = rng.random() < share
        part = _with_word(text[start:end], config, rng) if planted else text[start:end]
        mistaken = rng.random() < (config.misses if planted else config.false_alarms)
        score = -1.0 if planted != mistaken else 0.0
        said.append({"start": at, "end": at + len(part), "score": score})
        parts.append(part)
        faulty, at = faulty + planted, at + len(part)
    return {"text": "".join(parts), "segments": said, "faulty": faulty}


def _with_word(sentence: str, config: PlantedConfig, rng: np.random.Generator) -> str:
    """The sentence with the word before some of its own, before none twice."""
    places = [m.start() for m in re.finditer(r"\S+", sentence)][: config.within] or [0]
    drawn = rng.choice(places, min(config.times, len(places)), replace=False)
    for at in sorted(drawn.tolist(), reverse=True):
        sentence = f"{sentence[:at]}{config.word} {sentence[at:]}"
    return sentence


def _opening(text: str, config: PlantedConfig, rng: np.random.Generator) -> str | None:
    """A whole first sentence with the word in it; None where it is long."""
    first: Sequence[tuple[int, int]] = list(sentences(text))[:1]
    if not first or first[0][1] > 200:
        return None
    return _with_word(text[: first[0][1]], config, rng)
