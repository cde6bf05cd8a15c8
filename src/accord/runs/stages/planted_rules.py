"""Ranked answers by somebody whose weights of rules are known, to see whether they are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from accord.files import write_jsonl
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.seeds import generator
from accord.text.planted_answers import RULES, helpful, write_answer

if TYPE_CHECKING:
    from accord.feedback.records import Feedback


class PlantedRulesConfig(StageConfig):
    """Settings of a planted_rules stage."""

    kind: Literal["planted_rules"]
    prompts: int = Field(300, ge=2, description="Prompts.")
    answers: int = Field(4, ge=2, le=8, description="Answers to each, ranked.")
    weights: dict[str, float] = Field(
        {"thanks": 2.0, "asks": -1.0, "shouts": 0.5},
        description=(
            f"What keeping each rule ({', '.join(RULES)}) is worth, where an answer's helpfulness"
            " has a deviation of about 1.4."
        ),
    )
    noise: float = Field(
        0.3,
        ge=0,
        description="Scale of the Gumbel noise by which who ranks sees an answer's worth.",
    )

    @field_validator("weights")
    @classmethod
    def _rules_there_are(cls, weights: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(weights) - set(RULES)):
            raise ValueError(f"there is no rule {unknown[0]!r}; there are: {', '.join(RULES)}")
        return weights


class PlantedRules(Stage):
    """Writes rankings of answers that keep some of three rules, by helpfulness, weights and
    noise."""

    kind = "planted_rules"
    Config = PlantedRulesConfig
    provides: ClassVar = {"feedback": "judgements"}
    about = "ranked answers with known weights of rules, to see whether they are found"

    def plan(self, config: PlantedRulesConfig, context: StageContext) -> Plan:
        path = context.folder / "feedback.jsonl"
        write_jsonl(path, _rows(config, context))
        return Plan(
            rows=config.prompts,
            seconds=(0.1, 3.0),
            sizes={"feedback": config.prompts},
            files={"feedback": path},
        )

    def run(self, config: PlantedRulesConfig, context: StageContext) -> StageResult:
        path = context.folder / "feedback.jsonl"
        write_jsonl(path, _rows(config, context))
        values = {f"weight.{name}": weight for name, weight in config.weights.items()}
        told = ", ".join(f"{name} {weight:+g}" for name, weight in config.weights.items())
        summary = f"{config.prompts:,} rankings of {config.answers} answers; planted: {told}"
        return StageResult(summary, values, {"feedback": path})


def _rows(config: PlantedRulesConfig, context: StageContext) -> list[dict[str, Any]]:
    return [
        _ranking(number, config, generator(context.seed, "planted rules", number)).model_dump(
            mode="json"
        )
        for number in range(config.prompts)
    ]


def _ranking(number: int, config: PlantedRulesConfig, rng: np.random.Generator) -> Feedback:
    from accord.feedback.records import Feedback

    texts, worth = [], []
    for _ in range(config.answers):
        kept = {name: bool(rng.random() < 0.5) for name in config.weights}
        text = write_answer(kept, rng)
        keeps = sum(weight for name, weight in config.weights.items() if kept[name])
        noise = config.noise * float(rng.gumbel()) if config.noise else 0.0
        texts.append(text)
        worth.append(helpful([""], [text])[0] + keeps + noise)
    names = [chr(ord("a") + place) for place in range(config.answers)]
    order = [[names[place]] for place in np.argsort(-np.array(worth), kind="stable")]
    return Feedback.model_validate(
        {
            "id": f"planted-{number}",
            "kind": "ranking",
            "prompt": f"Question {number}?",
            "options": [
                {"id": name, "content": text, "shown_at": place}
                for place, (name, text) in enumerate(zip(names, texts, strict=True))
            ],
            "choice": {"order": order},
            "annotator": "planted",
        }
    )
