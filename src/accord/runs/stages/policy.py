"""What the stages that tune a policy share: loading policy and reference, examining along the way,
saving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from accord.runs.context import StageContext
from accord.runs.stage import Stage

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.runs.stages.settings import LoraConfig, TuningConfig


class Starts(Protocol):
    """Settings of a stage that trains a model it starts from."""

    @property
    def model(self) -> str: ...
    @property
    def lora(self) -> LoraConfig | None: ...


class TuningStage(Stage):
    """A stage that tunes a policy: it loads, trains and saves."""

    provides: ClassVar = {"model": "policy", "points": "points of a policy"}


def load_start(config: Starts, context: StageContext) -> CausalLM:
    """The model that a stage trains, with a new adapter where adapters are trained."""
    from accord.models.loading import add_lora, load_causal_lm

    bits = config.lora.bits if config.lora else None
    model = load_causal_lm(context.resolve(config.model), context.device, bits=bits)
    return add_lora(model, config.lora.settings(), context.seed) if config.lora else model


def load_policy(
    config: TuningConfig,
    context: StageContext,
    reference: bool = True,
    instead: str | None = None,
) -> tuple[CausalLM, CausalLM | None]:
    """(policy, reference); with adapters the reference is None: the policy with its adapter
    switched off. Where no `reference` is needed it is None as well. instead: the reference, where
    it is not the model that is tuned, a plain model. Raises ConfigError for one of another
    vocabulary."""
    from accord.models.loading import freeze, load_causal_lm
    from accord.models.soup import check_one_vocabulary

    policy = load_start(config, context)
    if not reference or (config.lora is not None and instead is None):
        return policy, None
    if instead is None:
        location = context.resolve(config.model)
        return policy, freeze(load_causal_lm(location, context.device, verify=False))
    with context.about("reference"):
        found = freeze(load_causal_lm(context.resolve(instead), context.device))
        check_one_vocabulary(policy, found, "the reference", "name one of the same base")
    return policy, found


def examine_along(
    config: TuningConfig,
    policy: CausalLM,
    context: StageContext,
    stop_when_gold_turns: bool = False,
) -> Callable[[int, int], str | None] | None:
    """A loop's `on_step` that examines the policy at even points of its way, if asked to; with
    `stop_when_gold_turns` it returns a reason to stop when it finds gold falling while the proxy
    rises."""
    from accord.runs.stages.scorers import START, note_scorers

    note_scorers(config, context, START)
    evaluate = config.evaluate
    if evaluate is None:
        return None
    from accord.runs.stages.evaluation import Examiner, at_points, is_point

    examiner = Examiner.load(evaluate, context, policy)
    at_point = at_points(
        evaluate.points,
        context.folder / "points",
        lambda: examiner.rows(policy),
        stop_when_gold_turns,
    )

    def on_step(step: int, total: int) -> str | None:
        if is_point(step, total, evaluate.points):
            note_scorers(config, context, f"step {step}")
        return at_point(step, total)

    return on_step


def save_policy(config: TuningConfig, policy: CausalLM, context: StageContext) -> dict[str, Path]:
    """Write the model; returns the stage's artefacts."""
    from accord.models.loading import save_causal_lm
    from accord.runs.stages.scorers import END, note_scorers

    note_scorers(config, context, END)
    artefacts = {"model": save_causal_lm(policy, context.folder / "model")}
    if config.evaluate is not None:
        artefacts["points"] = context.folder / "points"
    return artefacts
