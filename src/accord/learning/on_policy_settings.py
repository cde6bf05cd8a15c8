"""What an on-policy run can be told: every published detail is a field with its paper's default,
and each relative of PPO a preset of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accord.errors import ConfigError
from accord.learning.kinds import GROUPED, Aggregation, Estimator, Ratio
from accord.learning.settings import (
    OptimizerSettings,
    Share,
    Steps,
    Tokens,
    WatchedSettings,
)
from accord.validation import Unit

LEAST_TO_WHITEN = 8
"""Responses below which a batch's mean and deviation are noise."""
Nats = Annotated[float, Unit("nats per sequence")]
TokenNats = Annotated[float, Unit("nats per token")]
Rewards = Annotated[float, Unit("rewards")]


class OnPolicySettings(WatchedSettings):
    """Settings of PPO for language and its relatives: see `on_policy.OnPolicyTrainer`; defaults
    follow Ziegler et al. 2019 and Huang et al. 2024, but for `adam_beta2` and `warmup`."""

    value_learning_rate: float | None = Field(
        None, gt=0, le=1, description="Step size of the value model; null: the policy's."
    )
    adam_eps: float = Field(1e-5, gt=0, description="Adam's epsilon.")
    steps: Steps = Field(60, ge=1, description="Rollout batches.")
    prompts_per_step: Annotated[int, Unit("prompts")] = Field(
        64, ge=1, description="Prompts per rollout batch."
    )
    samples_per_prompt: Annotated[int, Unit("responses")] = Field(
        1, ge=1, description="Responses per prompt."
    )
    max_new_tokens: Tokens = Field(48, ge=1, description="Response limit.")
    temperature: float = Field(
        1.0, gt=0, description="Sampling temperature, the same for all log-probabilities."
    )
    epochs: Annotated[int, Unit("passes")] = Field(
        4, ge=1, description="Passes over each rollout batch."
    )
    minibatches: Annotated[int, Unit("updates")] = Field(1, ge=1, description="Updates per pass.")
    estimator: Estimator = Field(
        "gae",
        description=(
            "gae: PPO with a value model; the others need none and (but for reinforce) "
            "compare samples of one prompt."
        ),
    )
    aggregation: Aggregation = Field(
        "token",
        description=(
            "What counts the same in the loss: every token, every response, or every token "
            "of a full-length one."
        ),
    )
    ratio: Ratio = Field(
        "token",
        description=(
            "What is clipped: tokens, a response's mean ratio (GSPO), or its whole probability."
        ),
    )
    gamma: float = Field(1.0, gt=0, le=1, description="Discount per token.")
    lam: float = Field(
        0.95, ge=0, le=1, description="GAE's lambda; 1 is Monte Carlo with a baseline."
    )
    clip: float = Field(0.2, gt=0, description="Clip range of the probability ratio.")
    clip_high: float | None = Field(
        None, gt=0, description="Upper clip range, where it differs (DAPO's clip-higher)."
    )
    value_clip: Rewards = Field(0.2, gt=0, description="Clip range of the value.")
    value_warmup: Steps = Field(
        0, ge=0, description="First steps that train the value model alone."
    )
    whiten_rewards: bool = Field(
        False, description="Divide rewards by their deviation, the mean left alone."
    )
    whiten_advantages: bool = Field(
        True, description="Shift and scale advantages over the whole batch."
    )
    kl_coefficient: Annotated[float, Unit("rewards per nat")] = Field(
        0.05, ge=0, description="Weight of the KL penalty per token."
    )
    kl_in: Literal["reward", "loss"] = Field(
        "reward",
        description="Where the penalty acts: k1 in the reward (PPO, RLOO), k3 in the loss (GRPO).",
    )
    kl_unbiased: bool = Field(
        True,
        description=(
            "With kl_in loss: weight k3 by the ratio, for the gradient of the reverse KL "
            "(DeepSeek-V3.2)."
        ),
    )
    kl_target: Nats | None = Field(
        None, gt=0, description="Steer the coefficient to this KL; null: it is fixed."
    )
    kl_horizon: Annotated[int, Unit("responses")] = Field(
        10_000, ge=1, description="Responses over which the steering acts."
    )
    measure_kl: bool = Field(
        True,
        description=(
            "false: no reference is loaded, where neither kl_coefficient nor a target or "
            "budget needs one."
        ),
    )
    score_clip: Rewards = Field(
        0.0, ge=0, description="Bound on the score alone, never the KL; 0: none."
    )
    unfinished_score: Rewards | None = Field(
        -1.0,
        description=(
            "Score of responses without EOS; null: what they scored, which is the default of stages"
            " with functions."
        ),
    )
    ensemble: Literal["mean", "worst", "variance"] = Field(
        "mean", description="How members become one score."
    )
    ptx_weight: float = Field(0.0, ge=0, description="Weight of the demonstrations' loss.")
    ptx_batch: Annotated[int, Unit("demonstrations")] = Field(
        32, ge=1, description="Demonstrations mixed into an update."
    )
    kl_budget: Nats = Field(0.0, ge=0, description="Guard: stop above this KL; 0: off.")
    min_unique: Share = Field(
        0.0, ge=0, le=1, description="Guard: stop below this share of distinct responses; 0: off."
    )
    min_entropy: TokenNats = Field(
        0.0, ge=0, description="Guard: stop below this exact entropy; 0: off."
    )
    max_spread: Rewards = Field(
        0.0,
        ge=0,
        description="Guard: stop when reward members differ by more per response; 0: off.",
    )
    entropy: bool = Field(
        False, description="Measure the policy's exact entropy: one more forward pass per step."
    )
    sampler_bound: TokenNats = Field(
        0.02,
        gt=0,
        description=(
            "Largest accepted difference of the sampler's log-probabilities to the trainer's."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> OnPolicySettings:
        if self.estimator in GROUPED and self.samples_per_prompt < 2:
            raise ConfigError(
                f"the estimator {self.estimator} compares the samples of a prompt, and "
                f"samples_per_prompt is {self.samples_per_prompt}",
                "use samples_per_prompt of 2 or more",
            )
        if self.minibatches > self.prompts_per_step:
            raise ConfigError(
                f"minibatches {self.minibatches} exceeds prompts_per_step {self.prompts_per_step}",
                "a minibatch holds whole prompts: use fewer minibatches",
            )
        if (self.whiten_advantages or self.whiten_rewards) and self.responses < LEAST_TO_WHITEN:
            raise ConfigError(
                f"whitening needs at least {LEAST_TO_WHITEN} responses per step, "
                f"not {self.responses}",
                "raise prompts_per_step, or switch whitening off",
            )
        for name in ("value_warmup", "value_learning_rate"):
            if getattr(self, name) and self.estimator != "gae":
                raise ConfigError(
                    f"{name} is set, but the estimator {self.estimator} has no value model",
                    "leave it out",
                )
        if self.value_warmup >= self.steps:
            raise ConfigError(
                f"value_warmup {self.value_warmup} leaves none of {self.steps} steps for the"
                " policy",
                "lower it",
            )
        if not self.measure_kl and (
            self.kl_coefficient or self.kl_target is not None or self.kl_budget
        ):
            raise ConfigError(
                "measure_kl is false, but kl_coefficient, kl_target or kl_budget needs the KL",
                "set kl_coefficient: 0 and leave kl_target and kl_budget out, or measure the KL",
            )
        return self

    @property
    def responses(self) -> int:
        """Responses per step."""
        return self.prompts_per_step * self.samples_per_prompt

    @property
    def one_pass(self) -> bool:
        """Whether each rollout is learned from in a single pass by the weights that sampled it:
        that pass gives their log-probabilities, the ratio is 1 and its gradient that of log pi."""
        return self.epochs * self.minibatches == 1 and not self.value_warmup

    @property
    def policy_updates(self) -> int:
        """Optimizer steps of the policy in the whole run."""
        return (self.steps - self.value_warmup) * self.epochs * self.minibatches

    @property
    def value_updates(self) -> int:
        """Optimizer steps of the value model in the whole run."""
        return self.steps * self.epochs * self.minibatches

    @property
    def value_optimizer(self) -> OptimizerSettings:
        """The value model's: the policy's, with its own step size where that is given."""
        if self.value_learning_rate is None:
            return self
        return self.changed(learning_rate=self.value_learning_rate)


class RlooSettings(OnPolicySettings):
    """RLOO, with the defaults of Ahmadian et al. 2024: the other samples of a prompt are the
    baseline, whole responses are clipped, and there is no value model."""

    estimator: Literal["rloo"] = Field("rloo", description="Leave-one-out.")
    ratio: Ratio = Field("response", description="What is clipped; see ppo.")
    aggregation: Aggregation = Field("sequence", description="What counts the same; see ppo.")
    prompts_per_step: Annotated[int, Unit("prompts")] = Field(
        16, ge=1, description="Prompts per rollout batch."
    )
    samples_per_prompt: Annotated[int, Unit("responses")] = Field(
        4, ge=2, description="Responses per prompt."
    )
    epochs: Annotated[int, Unit("passes")] = Field(
        1, ge=1, description="Passes over each rollout batch."
    )
    whiten_advantages: bool = Field(
        False, description="Shift and scale advantages over the whole batch."
    )


class GrpoSettings(OnPolicySettings):
    """GRPO, with the defaults of Shao et al. 2024 (dr_grpo: Liu et al. 2025): advantages relative
    to the other samples of a prompt, the KL in the loss, and no value model."""

    estimator: Literal["grpo", "dr_grpo"] = Field(
        "grpo", description="dr_grpo does not divide by the group's deviation."
    )
    aggregation: Aggregation = Field(
        "sequence",
        description=(
            "What counts the same in the loss: token is DAPO's choice, constant that of dr_grpo."
        ),
    )
    prompts_per_step: Annotated[int, Unit("prompts")] = Field(
        8, ge=1, description="Prompts per rollout batch."
    )
    samples_per_prompt: Annotated[int, Unit("responses")] = Field(
        8, ge=2, description="Responses per prompt."
    )
    epochs: Annotated[int, Unit("passes")] = Field(
        1, ge=1, description="Passes over each rollout batch."
    )
    whiten_advantages: bool = Field(
        False, description="Shift and scale advantages over the whole batch."
    )
    kl_in: Literal["reward", "loss"] = Field("loss", description="Where the penalty acts; see ppo.")


class ReinforceSettings(OnPolicySettings):
    """REINFORCE++, with the defaults of Hu 2025: clipped REINFORCE with whitened advantages and no
    value model."""

    estimator: Literal["reinforce", "reinforce_baseline"] = Field(
        "reinforce", description="reinforce_baseline subtracts the mean of a prompt's samples."
    )
    epochs: Annotated[int, Unit("passes")] = Field(
        1, ge=1, description="Passes over each rollout batch."
    )


def fewest_prompts(prompts: int, per_step: int, minibatches: int) -> int:
    """Prompts of the step that ends a pass over `prompts`, `per_step` at a time; raises ConfigError
    when `minibatches` needs more."""
    fewest = prompts % per_step or per_step
    if minibatches > fewest:
        raise ConfigError(
            f"the last step of an epoch over {prompts} prompts has {fewest} of them, "
            f"for {minibatches} minibatches",
            "change prompts_per_step, minibatches or the number of prompts",
        )
    return fewest
