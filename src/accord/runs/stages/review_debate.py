"""Debates about real reviews: a judge who sees a few sentences of a review has to say whether it
praises the film, and those who have read all of it show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from accord.oversight.debate import (
    Claims,
    DebateTurn,
    ProtocolName,
    Transcript,
    debate,
    to_records,
)
from accord.oversight.games import (
    NOTHING,
    EvidenceGame,
    Picks,
    PlayedArm,
    Sides,
    accuracies,
    held,
    linear_worth,
    of_all_pieces,
)
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.planted import sentences
from accord.runs.stages.reviews import read_corpus
from accord.seeds import generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.text.gold import GoldSentiment
    from accord.text.reviews import Review

QUESTION = "Does this review praise the film?"
ANSWERS = ("no", "yes")


class ReviewDebateConfig(StageConfig):
    """Settings of a review_debate stage."""

    kind: Literal["review_debate"]
    reviews: int = Field(1000, ge=10, le=3000, description="Reviews that are argued about.")
    judge_reviews: int = Field(
        600, ge=50, description="Whole reviews that the judge learned from; drawn anew by the seed."
    )
    debater_reviews: int = Field(
        6000, ge=50, description="Whole reviews that the debaters learned from, others than those."
    )
    turns: list[int] = Field(
        [2, 4, 6], min_length=1, description="Sentences that the judge sees; even numbers."
    )
    transcripts: int = Field(
        20, ge=0, description="Reviews whose transcripts are written, of every arm with a debater."
    )


class ReviewDebate(Stage):
    """Plays every arm (see `accord.oversight.games.held`) on the same reviews. The debaters weigh
    sentences by their own model (own) or by the judge's (judge)."""

    kind = "review_debate"
    Config = ReviewDebateConfig
    provides: ClassVar = {"transcripts": None}
    about = "debate, consultancy and their baselines on movie reviews"

    def plan(self, config: ReviewDebateConfig, context: StageContext) -> Plan:
        with context.about("turns"):
            for turns in config.turns:
                debate(ANSWERS, turns)
        cost = 1e-3 * config.reviews * (1 + len(config.turns)) + config.debater_reviews / 1500
        return Plan(rows=config.reviews, seconds=(0.5 * cost, 4 * cost))

    def run(self, config: ReviewDebateConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import write_records

        parts = read_corpus().parts
        context.checkpoint(0, 3, "fitting judge and debaters")
        rng = generator(context.seed, "review debate")
        judge = _fitted(_drawn(parts["base"], config.judge_reviews, rng))
        debater = _debater(config.debater_reviews)
        played = _drawn([*parts["prompts"], *parts["eval"]], config.reviews, rng)
        texts = [_sentences(review.text) for review in played]
        context.checkpoint(1, 3, "arguing")
        game = _game(played, texts, judge, debater)
        arms = held(game, max(config.turns), rng)
        context.checkpoint(2, 3, "judging")
        whole = of_all_pieces(game)
        values = {f"whole.{turns}": whole for turns in config.turns} | {
            f"{arm}.{turns}": accuracy
            for turns in config.turns
            for arm, accuracy in accuracies(game, arms, turns).items()
        }
        values["debater"] = float(np.mean(game.believed_N == game.true_N))
        values["sentences"] = float(np.mean([len(parts) for parts in texts]))
        place = context.folder / "transcripts.jsonl"
        write_records(place, _records(played[: config.transcripts], texts, arms))
        context.checkpoint(3, 3)
        most = max(config.turns)
        told = ", ".join(
            f"{name} {values[f'{arm}.{most}']:.1%}"
            for name, arm in (
                ("random", "random"),
                ("debate", "debate.judge"),
                ("consultancy", "assigned.judge"),
            )
        )
        summary = f"{len(played):,} reviews, judge right with {most} sentences: {told}"
        return StageResult(summary, values, {"transcripts": place})


def _drawn(reviews: Sequence[Review], count: int, rng: np.random.Generator) -> list[Review]:
    """So many of them, or all where there are fewer."""
    places = rng.choice(len(reviews), min(count, len(reviews)), replace=False)
    return [reviews[place] for place in places.tolist()]


def _fitted(reviews: Sequence[Review]) -> GoldSentiment:
    from accord.text.gold import GoldSentiment

    return GoldSentiment.fit([r.text for r in reviews], [r.label for r in reviews])


@cache
def _debater(count: int) -> GoldSentiment:
    """Fitted once for all seeds: it takes as long as everything else of a seed."""
    return _fitted(read_corpus().parts["gold"][:count])


def _sentences(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in sentences(text)]


def _game(
    played: Sequence[Review],
    texts: Sequence[Sequence[str]],
    judge: GoldSentiment,
    debater: GoldSentiment,
) -> EvidenceGame:
    sizes_N = np.array([len(parts) for parts in texts])
    pieces_NP = np.arange(sizes_N.max()) < sizes_N[:, None]

    def values(model: GoldSentiment) -> Array:
        value_NP = np.zeros(pieces_NP.shape)
        value_NP[pieces_NP] = model.score([part for parts in texts for part in parts])
        return value_NP

    def verdict(picks_NK: Picks) -> Sides:
        seen = [
            " ".join(parts[place] for place in row if place != NOTHING)
            for parts, row in zip(texts, picks_NK.tolist(), strict=True)
        ]
        return (judge.score(seen) > 0).astype(np.int64)

    return EvidenceGame(
        pieces_NP,
        np.array([review.label for review in played]),
        (debater.score([review.text for review in played]) > 0).astype(np.int64),
        {"own": linear_worth(values(debater)), "judge": linear_worth(values(judge))},
        verdict,
    )


def _records(
    played: Sequence[Review], texts: Sequence[Sequence[str]], arms: Mapping[str, PlayedArm]
) -> list[Feedback]:
    """Every turn of these reviews in every arm in which somebody argues; quotes are verified."""
    records = []
    for name, arm in arms.items():
        if arm.sides_NK is None:
            continue
        for number, review in enumerate(played):
            sides, picks = arm.sides_NK[number].tolist(), arm.picks_NK[number].tolist()
            protocol: ProtocolName = "debate" if len({*sides}) > 1 else "consultancy"
            transcript = Transcript(Claims(review.text, QUESTION, ANSWERS), protocol)
            for side, place in zip(sides, picks, strict=True):
                if place != NOTHING:
                    quote = texts[number][place]
                    turn = DebateTurn(ANSWERS[side], quote, (quote,), f"debater:{name}")
                    transcript = transcript.with_turn(turn)
            meta = {"arm": name, "true": ANSWERS[review.label]}
            records += [
                record.model_copy(update={"meta": record.meta | meta})
                for record in to_records(transcript)
            ]
    return records
