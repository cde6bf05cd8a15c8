"""A world of features in which an AI judge's labels can be held against the truth: hard, soft and
clamped ones, by one principle or several, and beside people's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import Measured, means, over_worlds
from accord.seeds import generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.learning.judgements import JudgedGroup

CLAMP = (0.4, 0.6)
"""Where Bai et al. 2022 keep the probabilities of a judge that reasons first."""
RIDGE, TESTED = 0.02, 4000
"""Pull of the learned weights towards 0; pairs on which each reward is measured."""


class LabelWorldConfig(StageConfig):
    """Settings of a label_world stage."""

    kind: Literal["label_world"]
    worlds: int = Field(20, ge=1, description="Worlds, of which the mean is told.")
    features: int = Field(30, ge=2, description="Features of a response.")
    labels: int = Field(100, ge=4, description="Pairs that the judge labels, and that people do.")
    principles: list[int] = Field(
        [1, 8], min_length=1, description="How many principles a label is the mean of."
    )
    noise: float = Field(
        2.0, ge=0, description="Deviation of a principle's error, where that of the truth is 1."
    )
    overconfidence: float = Field(
        6.0, gt=0, description="What the judge multiplies the log-odds by that it has reason for."
    )
    people: int = Field(
        50, ge=4, description="People's labels that the judge's temperature is fitted on."
    )
    conflict: float = Field(
        -0.3, gt=-1, lt=1, description="Correlation of what is helpful and what is harmless."
    )


class LabelWorld(Stage):
    """Learns linear rewards from each kind of label, and from people's labels with a judge's."""

    kind = "label_world"
    Config = LabelWorldConfig
    about = "what rewards learn from hard, soft and clamped labels of a simulated AI judge"

    def plan(self, config: LabelWorldConfig, context: StageContext) -> Plan:
        fits = 4 * len(config.principles) + len(BLENDS)
        return Plan(rows=config.worlds, seconds=(0.01 * fits * config.worlds, 1.0 * config.worlds))

    def run(self, config: LabelWorldConfig, context: StageContext) -> StageResult:
        def measure(world: int) -> Measured:
            rng = generator(context.seed, "label world", world)
            return (_labels(config, rng) | _blended(config, rng)).items()

        values = means(over_worlds(config.worlds, measure, context))
        most = max(config.principles)
        told = ", ".join(f"{form} {values[f'accuracy.{form}.{most}']:.1%}" for form in FORMS)
        summary = f"{config.worlds} worlds, {config.labels} labels of {most} principles: {told}"
        return StageResult(summary, values)


FORMS = ("hard", "soft", "clamped", "tempered")


def _unit(size: int, rng: np.random.Generator) -> Array:
    direction = rng.normal(size=size)
    unit: Array = direction / np.linalg.norm(direction)
    return unit


def _judge(
    gap_P: Array, principles: int, config: LabelWorldConfig, rng: np.random.Generator
) -> Array:
    """The log-odds by which each principle prefers the first of every pair: [K, P]. Each sees the
    truth with an error of its own, and makes too much of what it sees."""
    seen_KP = gap_P + config.noise * rng.normal(size=(principles, len(gap_P)))
    odds: Array = config.overconfidence * seen_KP
    return odds


def _sigmoid(odds: Array) -> Array:
    share: Array = 1 / (1 + np.exp(-odds))
    return share


def _temperature(odds_P: Array, first_P: NDArray[np.bool_]) -> float:
    """That makes one principle's log-odds probabilities, by labels of people."""
    from accord.statistics.calibration import best_temperature

    return best_temperature(np.where(first_P, odds_P, -odds_P))


def _labels(config: LabelWorldConfig, rng: np.random.Generator) -> dict[str, float]:
    """Accuracy, against the truth on fresh pairs, of a reward from each form of label."""
    truth_F = _unit(config.features, rng)
    people_PF = rng.normal(size=(config.people, config.features))
    told_P = rng.random(config.people) < _sigmoid(people_PF @ truth_F)
    temperature = _temperature(_judge(people_PF @ truth_F, 1, config, rng)[0], told_P)
    pairs_PF = rng.normal(size=(config.labels, config.features))
    tested_TF, found = rng.normal(size=(TESTED, config.features)), dict[str, float]()
    for count in config.principles:
        odds_KP = _judge(pairs_PF @ truth_F, count, config, rng)
        mean_P = _sigmoid(odds_KP).mean(0)
        shares = {
            "hard": mean_P,
            "soft": mean_P,
            "clamped": np.clip(mean_P, *CLAMP),
            "tempered": _sigmoid(odds_KP / temperature).mean(0),
        }
        for form, share_P in shares.items():
            weight_F = _fit(pairs_PF, share_P, form != "hard")
            right = (tested_TF @ weight_F) * (tested_TF @ truth_F) > 0
            found[f"accuracy.{form}.{count}"] = float(right.mean())
    return found


BLENDS: dict[str, tuple[float, bool]] = {
    "helpful_only": (0.0, True),
    "blended": (1.0, True),
    "half": (0.5, True),
    "one_for_both": (1.0, False),
}
"""What a judge's label counts beside a person's, and whether the reward can tell their prompts
apart."""


def _blended(config: LabelWorldConfig, rng: np.random.Generator) -> dict[str, float]:
    """Accuracy on helpfulness and on harmlessness of rewards from people's choices of helpful
    answers and the judge's of harmless ones, to other prompts."""
    helpful_F, other_F = _unit(config.features, rng), _unit(config.features, rng)
    other_F -= (other_F @ helpful_F) * helpful_F
    other_F /= np.linalg.norm(other_F)
    harmless_F = config.conflict * helpful_F + np.sqrt(1 - config.conflict**2) * other_F
    people_PF, judged_PF = rng.normal(size=(2, config.labels, config.features))
    chosen_P = (rng.random(config.labels) < _sigmoid(4 * people_PF @ helpful_F)).astype(float)
    count = max(config.principles)
    share_P = _sigmoid(_judge(judged_PF @ harmless_F, count, config, rng)).mean(0)
    tested_TF = rng.normal(size=(TESTED, config.features))
    truth = {"helpful": helpful_F, "harmless": harmless_F}
    found: dict[str, float] = {}
    for name, (weight, tells) in BLENDS.items():
        prompts_P = np.repeat([0.0, 1.0], config.labels)
        both_PF = _features(np.concatenate([people_PF, judged_PF]), prompts_P, tells)
        weights = np.repeat([1.0, weight], config.labels)
        learned_F = _fit(both_PF, np.concatenate([chosen_P, share_P]), True, weights)
        for kind, of_prompt in (("helpful", 0.0), ("harmless", 1.0)):
            seen_TF = _features(tested_TF, np.full(TESTED, of_prompt), tells)
            right = (seen_TF @ learned_F) * (tested_TF @ truth[kind]) > 0
            found[f"{kind}.{name}"] = float(right.mean())
    return found


def _features(response_PF: Array, prompt_P: Array, tells: bool) -> Array:
    """Of responses; where the reward tells prompts apart also of responses to the second kind
    alone."""
    return (
        np.concatenate([response_PF, prompt_P[:, None] * response_PF], 1) if tells else response_PF
    )


def _fit(
    pairs_PF: Array, share_P: Array, soft: bool, weight_P: Sequence[float] | Array | None = None
) -> Array:
    """Weights of a linear reward learned from pairs with these differences of features, the first
    better with this share."""
    import torch

    from accord.learning.linear_reward import fit_linear_reward, soft_pair

    weights = np.ones(len(share_P)) if weight_P is None else np.asarray(weight_P)
    kept = np.flatnonzero(weights)
    groups: list[JudgedGroup] = [
        soft_pair(float(share_P[n]), soft, float(weights[n])) for n in kept.tolist()
    ]
    first_PF = torch.tensor(pairs_PF[kept])
    features_RF = torch.stack([first_PF, torch.zeros_like(first_PF)], 1).flatten(0, 1)
    found: Array = fit_linear_reward(features_RF, groups, RIDGE).numpy()
    return found
