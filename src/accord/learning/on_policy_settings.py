"""What an on-policy run can be told: every published detail is a field with its paper's default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from accord.errors import ConfigError
from accord.learning import losses
from accord.learning.advantages import GROUPED, Estimator
from accord.learning.settings import OptimizerSettings

LEAST_TO_WHITEN = 8
"""Responses below which a batch's mean and deviation are noise."""


def _ppo_optimizer(learning_rate: float) -> OptimizerSettings:
    return OptimizerSettings(learning_rate=learning_rate, adam_beta2=0.999, adam_eps=1e-5)


@dataclass(frozen=True)
class OnPolicySettings:
    """steps: rollout batches; prompts_per_step x samples_per_prompt responses each; estimator: see
    `advantages.estimate`; aggregation: see `losses.token_weights`; ratio: see `losses.whole_ratio`.

    value_warmup: first steps that train the value model alone; whiten_rewards: divide the rewards
    by their deviation, the mean left alone (Ziegler et al. 2019 did); unfinished_score replaces the
    score of responses without EOS (None: keep); score_clip bounds the score alone, never the KL (0:
    off). kl_target steers the coefficient (None: fixed); kl_in: k1 in the reward (PPO, RLOO) or k3
    in the loss (GRPO);
    kl_unbiased: weight that k3 by the ratio, so that its gradient is that of the reverse KL
    (DeepSeek-V3.2 2025).
    measure_kl False: no reference, and no pass by it, where nothing needs the KL: no coefficient,
    target or budget. The KL metrics are absent then.
    sampler_bound: largest accepted log-probability difference to the sampler, nats per token.
    entropy: measure the policy's exact entropy, at the price of another forward pass. kl_budget,
    min_unique, min_entropy and max_spread are guards (0: off), see `guards.why_stop`.
    """

    steps: int
    prompts_per_step: int = 64
    samples_per_prompt: int = 1
    max_new_tokens: int = 48
    temperature: float = 1.0
    epochs: int = 4
    minibatches: int = 1
    micro_batch_tokens: int = 2048
    estimator: Estimator = "gae"
    aggregation: losses.Aggregation = "token"
    ratio: losses.Ratio = "token"
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    clip_high: float | None = None
    value_clip: float = 0.2
    value_warmup: int = 0
    whiten_rewards: bool = False
    whiten_advantages: bool = True
    kl_coefficient: float = 0.05
    kl_in: Literal["reward", "loss"] = "reward"
    kl_unbiased: bool = True
    kl_target: float | None = None
    kl_horizon: int = 10_000
    measure_kl: bool = True
    score_clip: float = 0.0
    unfinished_score: float | None = -1.0
    ensemble: str = "mean"
    ptx_weight: float = 0.0
    ptx_batch: int = 32
    kl_budget: float = 0.0
    min_unique: float = 0.0
    min_entropy: float = 0.0
    max_spread: float = 0.0
    entropy: bool = False
    sampler_bound: float = 0.02
    seed: int = 0
    policy_optimizer: OptimizerSettings = field(default_factory=lambda: _ppo_optimizer(1e-5))
    value_optimizer: OptimizerSettings = field(default_factory=lambda: _ppo_optimizer(1e-5))

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ConfigError(
                f"temperature is {self.temperature:g}",
                "a policy is tuned on samples: use a temperature above 0",
            )
        if self.estimator in GROUPED and self.samples_per_prompt < 2:
            raise ConfigError(
                f"the estimator {self.estimator} compares the samples of a prompt, and samples_per_prompt is "
                f"{self.samples_per_prompt}",
                "use samples_per_prompt of 2 or more",
            )
        if self.minibatches > self.prompts_per_step:
            raise ConfigError(
                f"minibatches {self.minibatches} exceeds prompts_per_step {self.prompts_per_step}",
                "a minibatch holds whole prompts: use fewer minibatches",
            )
        if (self.whiten_advantages or self.whiten_rewards) and self.responses < LEAST_TO_WHITEN:
            raise ConfigError(
                f"whitening needs at least {LEAST_TO_WHITEN} responses per step, not {self.responses}",
                "raise prompts_per_step, or switch whitening off",
            )
        if self.value_warmup and self.estimator != "gae":
            raise ConfigError(
                f"value_warmup is set, but the estimator {self.estimator} has no value model",
                "leave it out",
            )
        if not self.measure_kl and (
            self.kl_coefficient or self.kl_target is not None or self.kl_budget
        ):
            raise ConfigError(
                "measure_kl is false, but kl_coefficient, kl_target or kl_budget needs the KL",
                "set kl_coefficient: 0 and leave kl_target and kl_budget out, or measure the KL",
            )
        if not 0 <= self.value_warmup < self.steps:
            raise ConfigError(
                f"value_warmup {self.value_warmup} leaves none of {self.steps} steps for the policy",
                "lower it",
            )

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


def fewest_prompts(prompts: int, per_step: int, minibatches: int) -> int:
    """Prompts of the step that ends a pass over `prompts`, `per_step` at a time; raises ConfigError
    when `minibatches` needs more."""
    fewest = prompts % per_step or per_step
    if minibatches > fewest:
        raise ConfigError(
            f"the last step of an epoch over {prompts} prompts has {fewest} of them, for {minibatches} minibatches",
            "change prompts_per_step, minibatches or the number of prompts",
        )
    return fewest
