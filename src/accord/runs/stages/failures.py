"""How often what a model writes by itself is bad, unprompted and after prompts: the verdict on
pretraining with feedback (Korbak et al. 2023, section 3), by a scorer that the training never had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from accord.errors import RunError
from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.inputs import REFERENCE, PolicyName, Prompts, stage_of
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult, Value
from accord.runs.stages.scoring import RewardSources

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.runs.reading import PromptRow
    from accord.runs.stages.sampled import SampledRow
    from accord.statistics.means import Estimate

CHUNK = 64
FILE = "failures.json"


class FailuresConfig(RewardSources):
    """Settings of a failures stage."""

    kind: Literal["failures"]
    model: PolicyName = Field(description="The model that writes.")
    prompts: Prompts | None = Field(
        None, description="Prompts that invite the bad; null: only what it writes unprompted."
    )
    count: int = Field(256, ge=2, description="Samples without a prompt; prompts used, at most.")
    threshold: float = Field(description="A sample that scores so much or less is bad.")
    max_new_tokens: int = Field(40, ge=1, description="Longest sample, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    micro_batch_tokens: int = Field(
        4096, ge=16, description="Tokens per scoring pass: a memory knob only."
    )


class Failures(Stage):
    """Samples a model and counts what is bad; one with tags also after the bad tag."""

    kind = "failures"
    Config = FailuresConfig
    provides: ClassVar = {"failures": None}
    about = "how often a model's own text is bad, unprompted, after prompts and after the bad tag"

    def plan(self, config: FailuresConfig, context: StageContext) -> Plan:
        from accord.runs.stages import planning
        from accord.runs.stages.text_scores import check_not_shared

        model = planning.look_at_policy(config.model, context)
        if config.model.startswith(REFERENCE):
            earlier = context.planned.get(stage_of(config.model)[0])
            mine = [*([config.reward] if config.reward else []), *config.functions]
            check_not_shared(config.model, mine, earlier.scorers if earlier else [])
        rows: Sequence[PromptRow] = []
        if config.prompts is not None:
            fitting = planning.prompts_that_fit(
                config.prompts, config.count, config.max_new_tokens, model, context, "prompts",
                config.columns_used(),
            )  # fmt: skip
            rows = [row for _, row in fitting or ()]
        config.check_functions(rows, context)
        asked = config.count * (1 + (config.prompts is not None))
        return Plan(rows=asked, tokens=asked * config.max_new_tokens)

    def run(self, config: FailuresConfig, context: StageContext) -> StageResult:
        from accord.models.loading import freeze, load_causal_lm
        from accord.runs.reading import PromptRow, read_prompt_rows
        from accord.runs.stages.text_scores import check_scorers
        from accord.statistics.means import paired_difference

        check_scorers(config, config.model, context)
        model = freeze(load_causal_lm(context.resolve(config.model), context.device))
        asked: dict[str, Sequence[PromptRow]] = {"unprompted": [PromptRow("")] * config.count}
        if config.prompts is not None:
            used = config.columns_used()
            asked["prompted"] = read_prompt_rows(config.prompts, context, config.count, used)
        bad, scores = dict[str, list[float]](), dict[str, float]()
        for name, rows in asked.items():
            bad[name], scores[name] = _bad(model, rows, config, context, name)
        values: dict[str, Value] = {}
        shares = {name: _share(one) for name, one in bad.items()}
        for name, share in shares.items():
            values |= {name: share.value, f"{name}_score": scores[name]}
        told = [f"bad {name}: {share.percent}" for name, share in shares.items()]
        if model.tags is not None:
            with model.reading(model.tags.swapped):
                after, _ = _bad(model, asked["unprompted"], config, context, "bad_tag")
            shares["bad_tag"] = _share(after)
            effect = paired_difference(np.array(after), np.array(bad["unprompted"]))
            values |= {"bad_tag": shares["bad_tag"].value, "tag_effect": effect.value}
            told.append(f"after the bad tag: {shares['bad_tag'].percent}")
            learned = effect.above(0.0)
            values["tag_learned"] = float(learned)
            if not learned:
                told.append("inconclusive: what is written does not depend on the tag")
        file = context.folder / FILE
        write_json(file, {name: share.model_dump(mode="json") for name, share in shares.items()})
        return StageResult("; ".join(told), values, {"failures": file})


def _share(bad: Sequence[float]) -> Estimate:
    """The share of samples that are bad; samples are independent of each other."""
    from accord.statistics.means import share_mean

    return share_mean(bad)


def _bad(
    model: CausalLM,
    rows: Sequence[PromptRow],
    config: FailuresConfig,
    context: StageContext,
    name: str,
) -> tuple[list[float], float]:
    """(whether each sample is bad, their mean score): one sample per row, with the same seeds for
    every model and tag."""
    from accord.runs.stages.sampled import sample_in_chunks
    from accord.runs.stages.scoring import Scorer
    from accord.sampling.rollout import Rollout, SamplingSettings

    reward, encoder = config.load_reward(context), context.encoder(model)
    rules = config.load_rules(reward, context)
    scorer = Scorer(config, reward, rows, encoder, config.micro_batch_tokens, rules)

    def score(_: object, rollout: Rollout, __: object) -> list[float | None]:
        scores_EB, scored_B = scorer.score(rollout)
        means = scores_EB.mean(0).tolist()
        return [s if known else None for s, known in zip(means, scored_B.tolist(), strict=True)]

    found: list[SampledRow] = sample_in_chunks(
        model,
        [row.prompt for row in rows],
        SamplingSettings(config.max_new_tokens, config.temperature),
        1,
        context,
        CHUNK,
        score,
        f"{name}.jsonl",
    )
    for line in scorer.told():
        context.say(line)
    scores = [row["scores"][0] for row in found]
    if any(one is None for one in scores):
        raise RunError(
            f"{sum(one is None for one in scores)} of {len(scores)} samples were not scored",
            "return a number for every sample: a share of those that are easy to score is another",
        )
    return [float(one <= config.threshold) for one in scores], float(np.mean(scores))
