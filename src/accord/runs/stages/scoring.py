"""The reward an on-policy stage pays: a reward model, functions (verifiers) and a price per token,
added up."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from accord.errors import ConfigError, RunError
from accord.runs.inputs import RewardName
from accord.runs.stage import StageConfig

if TYPE_CHECKING:
    from torch import Tensor

    from accord.models.reward_model import RewardModel
    from accord.runs.context import StageContext
    from accord.sampling.rollout import Rollout
    from accord.text.chats import Prompt
    from accord.text.encoding import Encoder


class RewardSources(StageConfig):
    """What a score is composed of; a stage's settings inherit this."""

    reward: RewardName | None = Field(
        None, description="The reward model; may be left out where functions score."
    )
    functions: dict[str, float] = Field(
        default_factory=dict,
        description=(
            "Reward functions module:function with their weights, called as f(prompts, responses)."
        ),
    )
    length_penalty: float = Field(0.0, ge=0, description="Taken off the score per response token.")

    @model_validator(mode="after")
    def _something_scores(self) -> RewardSources:
        if self.reward is None and not self.functions:
            raise ValueError("nothing gives a score: name a reward model, functions, or both")
        return self

    def code(self) -> Sequence[str]:
        return list(self.functions)

    def check_functions(self, prompts: Sequence[Prompt], context: StageContext) -> None:
        """Raise ConfigError, before anything runs, for a function that cannot be loaded, called, or
        gives no scores.

        Each is called once, with an ordinary and an empty response to the first of `prompts`.
        """
        for name in self.functions:
            with context.about(f"functions.{name}"):
                probe(name, prompts[0] if prompts else "A question?")

    def load_reward(self, context: StageContext) -> RewardModel | None:
        """The reward model, where there is one."""
        from accord.models.reward_model import RewardModel

        return RewardModel.load(context.path(self.reward), context.device) if self.reward else None


RewardFunction = Callable[["Sequence[Prompt]", Sequence[str]], Sequence[float]]
"""(prompts, responses) -> one number per response; prompts as in the data: text or messages."""


def load_function(name: str) -> RewardFunction:
    """The function of `module:function`; modules of the current directory are found. Raises
    ConfigError."""
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ConfigError(
            f"{name!r} names no function", "write module:function, for example rewards:is_polite"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"cannot load the reward function {name!r}: {error}", "check its module and name"
        ) from error
    if not callable(function):
        raise ConfigError(
            f"{name} is {type(function).__name__}, not a function",
            "it is called as f(prompts, responses)",
        )
    return function  # type: ignore[no-any-return]


def probe(name: str, prompt: Prompt) -> None:
    """Call a reward function as a stage would. Raises ConfigError saying what it did, with the line
    where it failed."""
    function = load_function(name)
    try:
        inspect.signature(function).bind([prompt], ["An answer."])
    except ValueError:  # no signature to be had, as of functions in C
        pass
    except TypeError as error:
        raise ConfigError(
            f"{name}{inspect.signature(function)} cannot be called as f(prompts, responses):"
            f" {error}",
            "take two lists, prompts and responses, and return one number per response",
        ) from error
    responses = ["An answer.", ""]
    try:
        _checked(name, function([prompt, prompt], responses), responses)
    except RunError as error:
        raise ConfigError(error.message, error.fix) from error
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        where = f" ({frames[-1].filename} line {frames[-1].lineno})" if frames else ""
        raise ConfigError(
            f"{name} failed on {responses!r} with {type(error).__name__}: {error}{where}",
            "it must score every response that a policy may sample, the empty one too",
        ) from error


class Scorer:
    """Scores a rollout [E, B]: every member of the reward model plus what functions and length add
    or take."""

    def __init__(
        self,
        sources: RewardSources,
        reward: RewardModel | None,
        prompts: Mapping[tuple[int, ...], Prompt],
        encoder: Encoder,
        micro_batch_tokens: int,
    ) -> None:
        self.reward, self.length_penalty, self.prompts = reward, sources.length_penalty, prompts
        self.functions = [
            (name, load_function(name), weight) for name, weight in sources.functions.items()
        ]
        self.encoder, self.micro_batch_tokens = encoder, micro_batch_tokens

    def __call__(self, rollout: Rollout) -> Tensor:
        import torch

        added_B = -self.length_penalty * torch.tensor([float(len(r)) for r in rollout.responses])
        if self.functions:
            prompts = [self.prompts[tuple(rollout.prompts[p])] for p in rollout.prompt_index]
            responses = [self.encoder.text(r) for r in rollout.responses]
            for name, function, weight in self.functions:
                added_B += weight * torch.tensor(
                    _checked(name, function(prompts, responses), responses)
                )
        if self.reward is None:
            return added_B[None]
        return self.reward.score(rollout.groups(), self.micro_batch_tokens) + added_B


def _checked(name: str, scores: Sequence[float], responses: Sequence[str]) -> list[float]:
    """Raises RunError for a wrong count or a score that is no finite number, naming the
    response."""
    values = [float(score) for score in scores]
    if len(values) != len(responses):
        raise RunError(
            f"{name} gave {len(values)} scores for {len(responses)} responses",
            "return one number per response",
        )
    for score, response in zip(values, responses, strict=True):
        if not math.isfinite(score):
            raise RunError(f"{name} scored {response[:80]!r} as {score}", "return finite numbers")
    return values
