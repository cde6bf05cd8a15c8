"""Where to cut a pile of reviews and sentences, so that a reader whose window holds 200 words
counts those that praise their film? Learned from the outcome, the error of the whole count, and
compared with cuts by rule at equally many calls of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.reviews import read_corpus
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array, Index

if TYPE_CHECKING:
    from accord.oversight.cutting import Plans
    from accord.text.gold import GoldSentiment
    from accord.text.reviews import Review

HELD = (5, 8, 12, 16, 20, 26, 33, 40, 50, 66, 100, 150, 200)
"""Words of a text that the reader is asked about; a text of which it reads fewer than the first is
not read, and counted as half."""


class ReviewCutsConfig(StageConfig):
    """Settings of a review_cuts stage."""

    kind: Literal["review_cuts"]
    texts: int = Field(24, ge=2, le=200, description="Texts in a pile.")
    parts: int = Field(8, ge=1, description="Parts that it is cut into: calls of the reader.")
    run: float = Field(
        6.0, ge=1, description="Mean number of reviews, and of sentences, in a row of their kind."
    )
    piles: int = Field(600, ge=10, description="Piles that are counted.")
    taught: int = Field(400, ge=10, description="Piles with known counts that cutting learns from.")
    pool: int = Field(
        500,
        ge=50,
        le=2500,
        description="Reviews, and sentences, that piles are drawn from: so many to learn from, and"
        " so many to count.",
    )
    reader_texts: int = Field(
        2400, ge=50, le=3500, description="Reviews, and sentences, that the reader learned from."
    )
    window: int = Field(200, ge=10, le=200, description="Words that it reads at once.")
    steps: int = Field(120, ge=1, description="Updates of the cutter.")
    samples: int = Field(8, ge=2, description="Plans drawn for each pile in an update.")
    learning_rate: float = Field(0.1, gt=0, description="Adam's learning rate.")

    @model_validator(mode="after")
    def _parts_of_texts(self) -> ReviewCutsConfig:
        if self.parts > self.texts:
            raise ValueError(f"{self.texts} texts cannot be cut into {self.parts} parts")
        return self


@dataclass(frozen=True)
class MixedPool:
    """Reviews, then as many sentences: labels, lengths in words (as far as a window reaches), and
    whether the reader takes so many words (HELD) of each for praise."""

    label_R: Index
    words_R: Index
    praise_RH: Array

    def piles(self, count: int, config: ReviewCutsConfig, rng: np.random.Generator) -> Index:
        """[piles, texts]: places of texts, reviews and sentences in runs of their kind, as many
        that praise as a coin of the pile's own share says."""
        half = len(self.label_R) // 2
        by_label = [
            [np.flatnonzero(self.label_R[part] == label) + start for label in (0, 1)]
            for start, part in ((0, slice(half)), (half, slice(half, None)))
        ]
        rows = np.zeros((count, config.texts), dtype=np.int64)
        for row_N, share in zip(rows, rng.uniform(0.1, 0.9, count).tolist(), strict=True):
            kinds, kind = list[int](), int(rng.integers(2))
            while len(kinds) < config.texts:
                kinds += [kind] * int(rng.geometric(1 / config.run))
                kind = 1 - kind
            for place, one in enumerate(kinds[: config.texts]):
                row_N[place] = rng.choice(by_label[one][int(rng.random() < share)])
        return rows

    def answers(self, rows_PN: Index, window: int) -> tuple[Array, Array]:
        """How many praise, and how many words are read, of texts i to j - 1 of a pile by one call,
        which reads them in their order until its window is full: [P, N, N + 1] each."""
        count, texts = rows_PN.shape
        said, read = np.zeros((2, count, texts, texts + 1))
        place_P = np.arange(count)
        for i in range(texts):
            left_P = np.full(count, window)
            for j in range(i, texts):
                text_P = rows_PN[:, j]
                seen_P = np.minimum(self.words_R[text_P], left_P)
                at_P = np.searchsorted(HELD, seen_P, side="right") - 1
                praise_P = np.where(at_P < 0, 0.5, self.praise_RH[text_P, at_P])
                said[place_P, i, j + 1] = said[place_P, i, j] + praise_P
                read[place_P, i, j + 1] = read[place_P, i, j] + seen_P
                left_P = left_P - seen_P
        return said, read


class ReviewCuts(Stage):
    """Trains a cutter, and tells the mean error of the share by each way to cut."""

    kind = "review_cuts"
    Config = ReviewCutsConfig
    about = "where to cut a pile for a reader with a small window: learned from the whole's answer"

    def plan(self, config: ReviewCutsConfig, context: StageContext) -> Plan:
        cost = 8 + 5e-5 * config.taught * config.samples * config.steps / 8
        return Plan(rows=config.piles, seconds=(0.5 * cost, 5 * cost))

    def run(self, config: ReviewCutsConfig, context: StageContext) -> StageResult:
        from accord.oversight.cutting import (
            FEATURES,
            Cutter,
            equal_lengths,
            equal_texts,
            totals,
            train_cutter,
        )

        rng = generator(context.seed, "review cuts")
        context.checkpoint(0, 3, "reading")
        taught, asked = _pools(config, rng)
        rows_PN = taught.piles(config.taught, config, rng)
        said_PNN, _ = taught.answers(rows_PN, config.window)
        true_P = taught.label_R[rows_PN].sum(1)

        def reward(plan_BN: Plans, row_B: Index) -> Array:
            loss_B: Array = np.abs(totals(said_PNN, row_B, plan_BN) - true_P[row_B])
            return -loss_B / config.texts

        context.checkpoint(1, 3, "learning to cut")
        cutter, told = train_cutter(
            taught.words_R[rows_PN] / config.window,
            config.parts,
            reward,
            derive_seed(context.seed, "cutter"),
            config.steps,
            config.samples,
            config.learning_rate,
        )
        context.checkpoint(2, 3, "counting")
        rows_PN = asked.piles(config.piles, config, rng)
        said_PNN, read_PNN = asked.answers(rows_PN, config.window)
        true_P, all_P = asked.label_R[rows_PN].sum(1), np.arange(config.piles)
        lengths_PN = asked.words_R[rows_PN] / config.window
        drawn = derive_seed(context.seed, "untrained")
        plans = {
            "untrained": Cutter.untrained(config.parts).sampled(lengths_PN, drawn),
            "equal_texts": equal_texts(config.piles, config.texts, config.parts),
            "equal_words": equal_lengths(lengths_PN, config.parts),
            "learned": cutter.plan(lengths_PN),
            "one_call": np.zeros((config.piles, config.texts - 1), dtype=bool),
            "call_per_text": np.ones((config.piles, config.texts - 1), dtype=bool),
        }
        values: dict[str, Value] = {}
        for name, plan_PN in plans.items():
            error_P = np.abs(totals(said_PNN, all_P, plan_PN) - true_P) / config.texts
            read_P = totals(read_PNN, all_P, plan_PN) / asked.words_R[rows_PN].sum(1)
            values[f"error.{name}"] = float(error_P.mean())
            values[f"read.{name}"] = float(read_P.mean())
        weights = dict(zip(FEATURES, cutter.weights.tolist(), strict=True))
        context.say(
            f"reward of sampled plans {told[0]:.3f} → {told[-1]:.3f}; weights: "
            + ", ".join(f"{name} {weight:+.2f}" for name, weight in weights.items())
        )
        context.checkpoint(3, 3)
        shown = ("equal_texts", "equal_words", "learned")
        parts = ", ".join(f"{n.replace('_', ' ')} {values[f'error.{n}']:.3f}" for n in shown)
        return StageResult(f"error of the share by {config.parts} calls: {parts}", values, {})


def _pools(config: ReviewCutsConfig, rng: np.random.Generator) -> tuple[MixedPool, MixedPool]:
    """What piles to learn from and piles to count are drawn from; the reader learned from
    neither."""
    from accord.text.gold import GoldSentiment

    corpus = read_corpus()
    shuffled = [
        [found[n] for n in rng.permutation(len(found)).tolist()]
        for found in (corpus.parts["base"], corpus.sentences)
    ]
    known = [one for found in shuffled for one in found[: config.reader_texts]]
    reader = GoldSentiment.fit([one.text for one in known], [one.label for one in known])
    starts = (config.reader_texts, config.reader_texts + config.pool)
    taught, asked = (
        _pool([one for found in shuffled for one in found[s : s + config.pool]], reader, config)
        for s in starts
    )
    return taught, asked


def _pool(texts: Sequence[Review], reader: GoldSentiment, config: ReviewCutsConfig) -> MixedPool:
    words = [one.text.split(" ") for one in texts]
    praise_HR = [reader.score([" ".join(some[:count]) for some in words]) > 0 for count in HELD]
    return MixedPool(
        np.array([one.label for one in texts]),
        np.array([min(config.window, len(some)) for some in words]),
        np.stack(praise_HR, 1).astype(np.float64),
    )
