"""Best-of-n: the reference every tuned policy is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field, model_validator

from accord.runs.context import StageContext
from accord.runs.inputs import PolicyName, RewardName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.settings import EvaluationConfig
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.runs.sample_rows import SampleRow

CHUNK = 32


class BestOfNConfig(StageConfig):
    """Settings of a best_of_n stage."""

    kind: Literal["best_of_n"]
    model: PolicyName = Field(description="The model sampled from.")
    pool: int = Field(32, ge=2, description="Samples per prompt; n goes up to this.")
    selectors: dict[str, RewardName] = Field(
        default_factory=dict,
        description="More reward models to select by, from the same pool: name -> reward model.",
    )
    sizes: list[int] = Field(
        default_factory=list, description="n at which gold is given for every way to select."
    )
    evaluate: EvaluationConfig = Field(description="Prompts, reward and gold.")

    @model_validator(mode="after")
    def _possible(self) -> BestOfNConfig:
        if not all(1 <= n <= self.pool for n in self.sizes):
            raise ValueError(f"sizes {self.sizes} must lie between 1 and the pool of {self.pool}")
        if bool(self.selectors) > bool(self.sizes) or (self.sizes and self.evaluate.gold is None):
            raise ValueError(
                "selectors are compared by gold at sizes: give sizes, and gold in evaluate"
            )
        return self


class BestOfN(Stage):
    """Samples a pool per prompt and scores it; the unbiased curves are computed from it."""

    kind = "best_of_n"
    Config = BestOfNConfig
    provides: ClassVar = {"rows": "samples"}
    about = "best-of-n sampling from one model, by the reward model"

    def plan(self, config: BestOfNConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import SHORTEST, TokenWork, span
        from accord.runs.stages import planning

        model = planning.look_at_policy(config.model, context)
        planning.check_evaluation(config.evaluate, model, context)
        rows = config.evaluate.count * config.pool
        tokens = rows * config.evaluate.max_new_tokens
        work = TokenWork(sampled=tokens, scored=tokens)
        seconds = span(work.times(SHORTEST), work, context.speed(model))
        return Plan(
            rows=rows, tokens=work.tokens, seconds=seconds, notes=planning.sampled_note(context)
        )

    def run(self, config: BestOfNConfig, context: StageContext) -> StageResult:
        from dataclasses import replace

        import numpy as np

        from accord.examine.best_of_n import expected_best
        from accord.models.loading import freeze, load_causal_lm
        from accord.models.reward_model import RewardModel
        from accord.runs.stages.evaluation import Examiner

        model = freeze(load_causal_lm(context.resolve(config.model), context.device))
        selectors = {
            name: RewardModel.load(context.path(where), context.device).frozen()
            for name, where in config.selectors.items()
        }
        examiner = replace(Examiner.load(config.evaluate, context, model), selectors=selectors)
        prompts = list(examiner.prompts)
        log = context.log("rows.jsonl")
        done = len(log.rows) // config.pool
        for start in range(done, len(prompts), CHUNK):
            part = replace(
                examiner,
                prompts=prompts[start : start + CHUNK],
                seed=derive_seed(context.seed, "chunk", start),
            )
            rows = part.rows(model, "pool", config.pool, "nothing")
            log.append(row | {"prompt_id": row["prompt_id"] + start} for row in rows)
            context.checkpoint(min(start + CHUNK, len(prompts)), len(prompts), "sampling")
        proxy = np.array([np.mean(row["proxy"]) for row in log.rows]).reshape(len(prompts), -1)
        n = min(16, config.pool)
        values: dict[str, Value] = {
            "pool": config.pool,
            "prompts": len(prompts),
            "proxy": float(expected_best(proxy, proxy, n).mean()),
        }
        if config.sizes:
            values |= _by_way(cast("list[SampleRow]", log.rows), len(prompts), config)
        return StageResult(
            f"{config.pool} samples for each of {len(prompts)} prompts",
            values,
            {"rows": context.folder / "rows.jsonl"},
        )


def _by_way(rows: Sequence[SampleRow], prompts: int, config: BestOfNConfig) -> dict[str, float]:
    """Gain in gold over one random sample, at each n, for every reward model and way to make one
    score of its members.

    Keys are NAME.WAY.gold_N; NAME is `reward` for the examination's reward model; `single` is the
    mean over members, each selecting alone.
    """
    import numpy as np
    import torch

    from accord.examine.best_of_n import expected_best
    from accord.learning.reward import aggregate

    gold = np.array([row["gold"] for row in rows]).reshape(prompts, -1)
    values = {}
    for name in ("reward", *config.selectors):
        scores_EB = torch.tensor(
            [row["proxy"] if name == "reward" else row["selectors"][name] for row in rows]
        ).T
        ways = {way: aggregate(scores_EB, way)[None] for way in ("mean", "worst", "variance")} | {
            "single": scores_EB
        }
        for way, several in ways.items():
            for n in config.sizes:
                best = [
                    expected_best(one.reshape(prompts, -1).double().numpy(), gold, n).mean()
                    for one in several
                ]
                values[f"{name}.{way}.gold_{n}"] = float(np.mean(best) - gold.mean())
    return values
