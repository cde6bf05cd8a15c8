"""Best-of-n: the reference every tuned policy is measured against."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageConfig, StageResult
from accord.runs.stages.settings import EvaluationConfig

CHUNK = 32


class BestOfNConfig(StageConfig):
    """Settings of a best_of_n stage."""

    kind: Literal["best_of_n"]
    model: str = Field(description="The model sampled from.")
    pool: int = Field(32, ge=2, description="Samples per prompt; n goes up to this.")
    evaluate: EvaluationConfig = Field(description="Prompts, reward and gold.")


class BestOfN(Stage):
    """Samples a pool per prompt and scores it; the unbiased curves are computed from it."""

    kind = "best_of_n"
    Config = BestOfNConfig
    provides = ("rows",)
    about = "best-of-n sampling from one model, by the reward model"

    def plan(self, config: BestOfNConfig, context: StageContext) -> Plan:
        from accord.runs import estimate

        rows = config.evaluate.count * config.pool
        tokens = rows * config.evaluate.max_new_tokens
        size, work = estimate.model_size(config.model, context), estimate.Work(sampled=tokens, scored=tokens)
        return Plan(rows=rows, tokens=work.tokens, seconds=work.seconds(size) if size else None)

    def run(self, config: BestOfNConfig, context: StageContext) -> StageResult:
        from dataclasses import replace

        import numpy as np

        from accord.examine.best_of_n import expected_best
        from accord.models.loading import freeze, load_causal_lm
        from accord.runs.stages.evaluation import POOL_SEED, Examiner

        model = freeze(load_causal_lm(context.resolve(config.model), context.device))
        examiner = Examiner.load(config.evaluate, context, model)
        prompts = list(examiner.prompts)
        log = context.log("rows.jsonl")
        done = len(log.rows) // config.pool
        for start in range(done, len(prompts), CHUNK):
            part = replace(examiner, prompts=prompts[start : start + CHUNK], seed=context.seed + start)
            rows = part.rows(model, POOL_SEED, config.pool, distances=False)
            log.append(row | {"prompt_id": row["prompt_id"] + start} for row in rows)
            context.checkpoint(min(start + CHUNK, len(prompts)), len(prompts), "sampling")
        proxy = np.array([np.mean(row["proxy"]) for row in log.rows]).reshape(len(prompts), -1)
        n = min(16, config.pool)
        values = {"pool": config.pool, "prompts": len(prompts), "proxy": float(expected_best(proxy, proxy, n).mean())}
        return StageResult(
            f"{config.pool} samples for each of {len(prompts)} prompts", values, {"rows": context.folder / "rows.jsonl"}
        )
