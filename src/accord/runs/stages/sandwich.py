"""Sandwiching on movie reviews: what of the gap between novices and experts do novices close whom a
model helps that is itself between the two (Cotra 2021; Bowman et al. 2022, arXiv 2211.03540)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy.special import expit

from accord.errors import ConfigError
from accord.examine.weak_to_strong import recovered_gap
from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.planted import sentences
from accord.runs.stages.reviews import read_corpus
from accord.seeds import generator
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, student_mean

if TYPE_CHECKING:
    from accord.text.gold import GoldSentiment
    from accord.text.reviews import Review

SURE = 4.0
"""Most that an assistant's log-odds count for a novice, either way."""


class SandwichConfig(StageConfig):
    """Settings of a sandwich stage."""

    kind: Literal["sandwich"]
    novices: int = Field(12, ge=2, description="Simulated novices, each beside an expert.")
    reviews: int = Field(500, ge=50, description="Reviews that all of them judge.")
    sentences: int = Field(
        2, ge=1, description="Sentences that a novice reads of a review: 1 to so many, drawn."
    )
    novice_reviews: int = Field(
        300, ge=20, description="Reviews with labels that a novice learned from; drawn for each."
    )
    expert_reviews: int = Field(
        3000, ge=50, description="Those that the experts' model learned from; experts read all."
    )
    assistants: dict[str, int] = Field(
        {"poor": 60, "good": 1000},
        min_length=1,
        description="Name -> reviews that the assistant learned from; it reads all of a review.",
    )
    rationality: float = Field(
        1.5, gt=0, description="How sharply people choose by their own log-odds, in the middle."
    )
    trust: float = Field(
        0.7,
        ge=0,
        description="What an assistant's log-odds count for novices beside their own, in the"
        " middle.",
    )
    spread: float = Field(
        0.4, ge=0, le=3, description="Deviation over people of the logarithm of either."
    )


class Sandwich(Stage):
    """Lets novices judge alone and with each assistant, and experts, all of the same reviews."""

    kind = "sandwich"
    Config = SandwichConfig
    about = "simulated novices alone and helped by models, against experts, on reviews"

    def plan(self, config: SandwichConfig, context: StageContext) -> Plan:
        learned = config.novices * config.novice_reviews + sum(config.assistants.values())
        cost = 1 + (learned + config.expert_reviews) / 1500
        return Plan(rows=config.reviews, seconds=(0.4 * cost, 5 * cost))

    def run(self, config: SandwichConfig, context: StageContext) -> StageResult:
        parts, rng = read_corpus().parts, generator(context.seed, "sandwich")
        drawn = [*parts["prompts"], *parts["eval"]]
        judged = _drawn(drawn, config.reviews, "reviews", rng)
        label_R = np.array([review.label == 1 for review in judged])
        whole = [review.text for review in judged]
        steps = config.novices + len(config.assistants) + 1
        context.checkpoint(0, steps, "experts and assistants")
        expert = _fitted(parts["gold"][: config.expert_reviews])
        expert_R, helper_AR = expert.score(whole), dict[str, Array]()
        for name, count in config.assistants.items():
            model = _fitted(_drawn(parts["base"], count, f"assistants.{name}", rng))
            helper_AR[name] = np.clip(model.score(whole), -SURE, SURE)
            context.checkpoint(len(helper_AR), steps, "assistants")
        right: dict[str, list[float]] = {"novice": [], "expert": []}
        right |= {f"assisted_{name}": [] for name in helper_AR}
        for number in range(config.novices):
            sharp, sharp_expert, trust = np.exp(config.spread * rng.normal(size=3))
            luck_R, luck_expert_R = rng.random((2, config.reviews))
            count = int(rng.integers(1, config.sentences + 1))
            model = _fitted(_drawn(parts["base"], config.novice_reviews, "novice_reviews", rng))
            seen_R = config.rationality * sharp * model.score([_opening(t, count) for t in whole])

            def accuracy(odds_R: Array, luck: Array) -> float:
                return float(((luck < expit(odds_R)) == label_R).mean())

            right["novice"].append(accuracy(seen_R, luck_R))
            sharp_odds_R = config.rationality * sharp_expert * expert_R
            right["expert"].append(accuracy(sharp_odds_R, luck_expert_R))
            for name, odds_R in helper_AR.items():
                helped_R = seen_R + config.rationality * config.trust * trust * odds_R
                right[f"assisted_{name}"].append(accuracy(helped_R, luck_R))
            context.checkpoint(1 + len(helper_AR) + number, steps, "novices")
        alone = {
            name: float(((odds_R > 0) == label_R).mean()) for name, odds_R in helper_AR.items()
        }
        context.checkpoint(steps, steps)
        return _result(right, alone, context)


def _result(
    right: dict[str, list[float]], alone: dict[str, float], context: StageContext
) -> StageResult:
    values: dict[str, Value] = {f"accuracy.{name}": float(np.mean(a)) for name, a in right.items()}
    values |= {f"accuracy.assistant_{name}": value for name, value in alone.items()}
    kept: dict[str, object] = {"accuracy": right, "assistants": alone}
    told = []
    for name, accuracy in alone.items():
        helped = right[f"assisted_{name}"]
        gap = recovered_gap(right["novice"], helped, right["expert"], "novices")
        beyond = student_mean([one - accuracy for one in helped])
        assert beyond is not None
        if gap.recovered is not None:
            values[f"recovered.assisted_{name}"] = gap.recovered.value
        values[f"beyond.assisted_{name}"] = beyond.value
        context.say(
            f"{name}: share of the gap recovered {gap}; uplift {gap.gain}; above the assistant"
            f" alone ({accuracy:.1%}) {beyond}"
        )
        kept[name] = {
            "recovered": _row(gap.recovered), "suppressed": gap.suppressed,
            "uplift": _row(gap.gain), "gap": _row(gap.gap), "beyond": _row(beyond),
        }  # fmt: skip
        told.append(f"{name} {gap}")
    write_json(context.folder / "recovered.json", kept)
    summary = f"novices {values['accuracy.novice']:.1%}, experts {values['accuracy.expert']:.1%};"
    return StageResult(f"{summary} recovered with: {', '.join(told)}", values)


def _row(one: Estimate | None) -> dict[str, object] | None:
    return None if one is None else one.model_dump(mode="json")


def _drawn(
    reviews: Sequence[Review], count: int, setting: str, rng: np.random.Generator
) -> list[Review]:
    if count > len(reviews):
        raise ConfigError(
            f"{setting} = {count:,}; there are {len(reviews):,} reviews for it", "ask for fewer"
        )
    return [reviews[n] for n in rng.choice(len(reviews), count, replace=False).tolist()]


def _fitted(reviews: Sequence[Review]) -> GoldSentiment:
    from accord.text.gold import GoldSentiment

    return GoldSentiment.fit([r.text for r in reviews], [r.label for r in reviews])


def _opening(text: str, count: int) -> str:
    """The first sentences of a review."""
    return " ".join(text[start:end].strip() for start, end in islice(sentences(text), count))
