"""What the stages that tune a policy share: loading policy and reference, examining along the way,
saving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from accord.runs.context import StageContext

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.runs.stages.settings import EvaluationConfig, LoraConfig


def load_policy(
    model: str, lora: LoraConfig | None, context: StageContext, reference: bool = True
) -> tuple[CausalLM, CausalLM | None]:
    """(policy, reference); with adapters the reference is None: the policy with its adapter
    switched off. Where no `reference` is needed it is None as well."""
    from accord.models.loading import add_lora, freeze, load_causal_lm

    location = context.resolve(model)
    policy = load_causal_lm(location, context.device)
    if lora is not None:
        return add_lora(policy, lora.settings(), context.seed), None
    return policy, freeze(
        load_causal_lm(location, context.device, verify=False)
    ) if reference else None


def examine_along(
    config: EvaluationConfig | None,
    policy: CausalLM,
    context: StageContext,
    stop_when_gold_turns: bool = False,
) -> Callable[[int, int], str | None] | None:
    """A loop's `on_step` that examines the policy at even points of its way, if asked to; with
    `stop_when_gold_turns` it returns a reason to stop when it finds gold falling while the proxy
    rises."""
    if config is None:
        return None
    from accord.runs.stages.evaluation import Examiner, at_points

    examiner = Examiner.load(config, context, policy)
    return at_points(
        config.points,
        context.folder / "points",
        lambda: examiner.rows(policy),
        stop_when_gold_turns,
    )


def save_policy(policy: CausalLM, examined: bool, context: StageContext) -> dict[str, Path]:
    """Write the model; returns the stage's artefacts."""
    from accord.models.loading import save_causal_lm

    artefacts = {"model": save_causal_lm(policy, context.folder / "model")}
    return artefacts | ({"points": context.folder / "points"} if examined else {})
