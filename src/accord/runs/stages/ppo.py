"""On-policy learning against a reward model under a KL penalty: PPO, RLOO, GRPO and their
relatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import DataError
from accord.runs.context import StageContext
from accord.runs.inputs import Demonstrations, PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.policy import examine_along, load_policy, save_policy
from accord.runs.stages.scoring import RewardSources
from accord.runs.stages.settings import EvaluationConfig, ReadsData, TrainingConfig

if TYPE_CHECKING:
    from accord.models.reward_model import RewardModel
    from accord.models.scalar import ScalarModel
    from accord.text.language import Language

NO_KL = "KL to the reference not measured (measure_kl: false)"


class PpoConfig(RewardSources, ReadsData, TrainingConfig):
    """Settings of a ppo stage; defaults follow Ziegler et al. 2019 and Huang et al. 2024."""

    kind: Literal["ppo"]
    model: PolicyName = Field(description="The model to tune; also the reference.")
    prompts: Prompts = Field(description="Prompts to sample from (JSONL).")
    estimator: Literal["gae", "rloo", "grpo", "dr_grpo", "reinforce", "reinforce_baseline"] = Field(
        "gae",
        description="gae: PPO with a value model; the others need none and (but for reinforce) compare samples of one prompt.",
    )
    aggregation: Literal["token", "sequence", "constant"] = Field(
        "token",
        description="What counts the same in the loss: every token, every response, or every token of a full-length one.",
    )
    ratio: Literal["token", "sequence", "response"] = Field(
        "token",
        description="What is clipped: tokens, a response's mean ratio (GSPO), or its whole probability.",
    )
    steps: int = Field(60, ge=1, description="Rollout batches.")
    prompts_per_step: int = Field(64, ge=1, description="Prompts per rollout batch.")
    samples_per_prompt: int = Field(1, ge=1, description="Responses per prompt.")
    max_new_tokens: int = Field(48, ge=1, description="Response limit, in tokens.")
    max_prompt_tokens: int = Field(
        64, ge=1, description="Longest prompt; longer ones are left out and counted."
    )
    temperature: float = Field(
        1.0, gt=0, description="Sampling temperature, the same for all log-probabilities."
    )
    epochs: int = Field(4, ge=1, description="Passes over each rollout batch.")
    minibatches: int = Field(1, ge=1, description="Updates per pass.")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount.")
    lam: float = Field(
        0.95, ge=0, le=1, description="GAE's lambda; 1 is Monte Carlo with a baseline."
    )
    clip: float = Field(0.2, gt=0, description="Clip range of the probability ratio.")
    clip_high: float | None = Field(
        None, gt=0, description="Upper clip range, where it differs (DAPO's clip-higher)."
    )
    value_clip: float = Field(0.2, gt=0, description="Clip range of the value.")
    value_learning_rate: float | None = Field(
        None, gt=0, le=1, description="Step size of the value model."
    )
    value_from: Literal["reward", "policy"] = Field(
        "reward",
        description="What the value model starts from; without a reward model always the policy.",
    )
    adam_eps: float = Field(1e-5, gt=0, description="Adam's epsilon.")
    value_warmup: int = Field(0, ge=0, description="First steps that train the value model alone.")
    whiten_rewards: bool = Field(
        False, description="Divide rewards by their deviation, the mean left alone."
    )
    whiten_advantages: bool = Field(
        True, description="Shift and scale advantages over the whole batch."
    )
    entropy: bool = Field(
        False, description="Measure the policy's exact entropy: one more forward pass per step."
    )
    kl_coefficient: float = Field(0.05, ge=0, description="Weight of the KL penalty per token.")
    kl_in: Literal["reward", "loss"] = Field(
        "reward", description="Where the penalty acts: k1 in the reward, k3 in the loss."
    )
    kl_unbiased: bool = Field(
        True,
        description="With kl_in loss: weight k3 by the ratio, for the gradient of the reverse KL.",
    )
    kl_target: float | None = Field(
        None, gt=0, description="Steer the coefficient to this KL, nats per sequence."
    )
    kl_horizon: int = Field(10_000, ge=1, description="Episodes over which the steering acts.")
    measure_kl: bool = Field(
        True,
        description="false: no reference is loaded, where neither kl_coefficient nor a target or budget needs one.",
    )
    centred: bool = Field(
        True,
        description="Subtract the mean score of the reference's samples; a missing EOS counts relative to that.",
    )
    score_clip: float = Field(0.0, ge=0, description="Bound on the score; 0: none.")
    unfinished_score: float | None = Field(
        -1.0, description="Score of responses without EOS; null: the model's."
    )
    ensemble: Literal["mean", "worst", "variance"] = Field(
        "mean", description="How members become one score."
    )
    kl_budget: float = Field(
        0.0, ge=0, description="Guard: stop above this KL, nats per sequence; 0: off."
    )
    min_unique: float = Field(
        0.0, ge=0, le=1, description="Guard: stop below this share of distinct responses."
    )
    min_entropy: float = Field(
        0.0, ge=0, description="Guard: stop below this exact entropy, nats per token; 0: off."
    )
    max_spread: float = Field(
        0.0,
        ge=0,
        description="Guard: stop when reward members differ by more per response (rewards); 0: off.",
    )
    stop_when_gold_turns: bool = Field(
        False,
        description="Guard: stop when gold falls beyond chance while the proxy rises (needs evaluate.gold).",
    )
    ptx: Demonstrations | None = Field(
        None, description="Demonstrations mixed in (PPO-ptx), JSONL."
    )
    ptx_weight: float = Field(0.0, ge=0, description="Weight of the demonstrations' loss.")
    evaluate: EvaluationConfig | None = Field(None, description="Examine the policy along its way.")

    @model_validator(mode="after")
    def _possible(self) -> PpoConfig:
        if self.estimator not in ("gae", "reinforce") and self.samples_per_prompt < 2:
            raise ValueError(
                f"the estimator {self.estimator} needs samples_per_prompt of 2 or more"
            )
        if self.value_learning_rate is not None and self.estimator != "gae":
            raise ValueError(
                f"value_learning_rate is set, but the estimator {self.estimator} has no value model"
            )
        if not self.measure_kl and (
            self.kl_coefficient or self.kl_target is not None or self.kl_budget
        ):
            raise ValueError(
                "measure_kl is false, but kl_coefficient, kl_target or kl_budget needs the KL"
            )
        if self.max_spread and self.reward is None:
            raise ValueError("max_spread compares the members of a reward model, and there is none")
        if self.stop_when_gold_turns and (self.evaluate is None or self.evaluate.gold is None):
            raise ValueError(
                "stop_when_gold_turns examines gold along the way: set evaluate with gold"
            )
        if self.minibatches > self.prompts_per_step:
            raise ValueError(
                f"minibatches {self.minibatches} exceeds prompts_per_step {self.prompts_per_step}"
            )
        if self.value_warmup and self.estimator != "gae":
            raise ValueError(
                f"value_warmup is set, but the estimator {self.estimator} has no value model"
            )
        if self.value_warmup >= self.steps:
            raise ValueError(
                f"value_warmup {self.value_warmup} leaves none of {self.steps} steps for the policy"
            )
        if (
            self.whiten_advantages or self.whiten_rewards
        ) and self.prompts_per_step * self.samples_per_prompt < 8:
            raise ValueError("whitening needs at least 8 responses per step")
        if bool(self.ptx) != bool(self.ptx_weight):
            raise ValueError("ptx and ptx_weight go together: give both or neither")
        return self


class RlooConfig(PpoConfig):
    """Settings of an rloo stage: as ppo, with the defaults of Ahmadian et al. 2024."""

    kind: Literal["rloo"]  # type: ignore[assignment]
    estimator: Literal["rloo"] = Field("rloo", description="Leave-one-out.")
    ratio: Literal["token", "sequence", "response"] = Field(
        "response", description="What is clipped; see ppo."
    )
    aggregation: Literal["token", "sequence", "constant"] = Field(
        "sequence", description="What counts the same; see ppo."
    )
    prompts_per_step: int = Field(16, ge=1, description="Prompts per rollout batch.")
    samples_per_prompt: int = Field(4, ge=2, description="Responses per prompt.")
    epochs: int = Field(1, ge=1, description="Passes over each rollout batch.")
    whiten_advantages: bool = Field(
        False, description="Shift and scale advantages over the whole batch."
    )


class GrpoConfig(PpoConfig):
    """Settings of a grpo stage: as ppo, with the defaults of Shao et al. 2024 (dr_grpo: Liu et al.
    2025)."""

    kind: Literal["grpo"]  # type: ignore[assignment]
    estimator: Literal["grpo", "dr_grpo"] = Field(
        "grpo", description="dr_grpo does not divide by the group's deviation."
    )
    aggregation: Literal["token", "sequence", "constant"] = Field(
        "sequence",
        description="What counts the same in the loss: token is DAPO's choice, constant that of dr_grpo.",
    )
    prompts_per_step: int = Field(8, ge=1, description="Prompts per rollout batch.")
    samples_per_prompt: int = Field(8, ge=2, description="Responses per prompt.")
    epochs: int = Field(1, ge=1, description="Passes over each rollout batch.")
    whiten_advantages: bool = Field(
        False, description="Shift and scale advantages over the whole batch."
    )
    kl_in: Literal["reward", "loss"] = Field("loss", description="Where the penalty acts; see ppo.")


class ReinforceConfig(PpoConfig):
    """Settings of a reinforce stage: as ppo, with the defaults of REINFORCE++ (Hu 2025)."""

    kind: Literal["reinforce"]  # type: ignore[assignment]
    estimator: Literal["reinforce", "reinforce_baseline"] = Field(
        "reinforce", description="reinforce_baseline subtracts the mean of a prompt's samples."
    )
    epochs: int = Field(1, ge=1, description="Passes over each rollout batch.")


class Ppo(Stage):
    """Tunes a policy against a reward model."""

    kind = "ppo"
    Config: ClassVar[type[StageConfig]] = PpoConfig
    provides: ClassVar = {"model": "policy", "points": "points of a policy"}
    about = "PPO against a reward model under a KL penalty; other estimators by name"

    def plan(self, config: PpoConfig, context: StageContext) -> Plan:
        from accord.learning.on_policy_settings import fewest_prompts
        from accord.learning.order import EpochOrder, smaller_steps
        from accord.runs.estimate import SHORTEST, Work, examination
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        model = planning.look_at_policy(config.model, context, config.lora, trains=True)
        planning.check_evaluation(config.evaluate, model, context)
        found = planning.rehearse(lambda lm: _prompts(config, lm, context), model)
        config.check_functions([prompt for _, prompt in found or ()], context)
        if config.ptx is not None:
            planning.rehearse(lambda lm: _ptx(config, lm, context), model)
        prompts = planned_rows(config.prompts, context) or config.steps * config.prompts_per_step
        if found is not None:
            prompts = planning.whole(len(found), context)
        fewest_prompts(prompts, config.prompts_per_step, config.minibatches)
        visited = EpochOrder(prompts, config.prompts_per_step, 1, 0).visited(config.steps)
        fewer = smaller_steps(prompts, config.prompts_per_step, config.steps)
        responses = visited * config.samples_per_prompt
        updates = config.steps * config.epochs * config.minibatches
        notes = [
            f"{config.steps} rollouts, {updates} updates",
            fewer,
            None if config.measure_kl else NO_KL,
        ]
        sampled = responses * config.max_new_tokens
        asked = responses * config.max_prompt_tokens
        if found:
            asked = round(responses * planning.lengths_of([ids for ids, _ in found]) / len(found))
        models, references = 2 if config.estimator == "gae" else 1, int(config.measure_kl)

        def work(share: float) -> Work:
            seen = round(asked + share * sampled)
            scored = (1 + references + models) * seen
            here = Work(
                trained=models * config.epochs * seen, scored=scored, sampled=round(share * sampled)
            )
            return here + examination(config.evaluate).times(share)

        return planning.training_plan(
            config,
            model,
            context,
            work(1),
            work(SHORTEST),
            trained=models,
            frozen=1 + references,
            rows=responses,
            steps=updates,
            models={
                "model": model.left_by(
                    context.name, adapter=model.adapter or config.lora is not None
                )
            },
            notes=list(filter(None, notes)),
        )

    def run(self, config: PpoConfig, context: StageContext) -> StageResult:
        from accord.learning.on_policy import OnPolicyTrainer
        from accord.learning.order import smaller_steps
        from accord.runs.stages.scoring import Scorer
        from accord.sampling.builtin import BuiltinSampler

        policy, reference = load_policy(config.model, config.lora, context, config.measure_kl)
        reward = config.load_reward(context)
        if reward is not None and not config.centred:
            reward.centre_E.zero_()
        value = _value(config, policy, reward, context) if config.estimator == "gae" else None
        if reward is not None:
            reward.frozen()
        prompts = _prompts(config, policy, context)
        score = Scorer(
            reward,
            config.functions,
            config.length_penalty,
            {tuple(ids): raw for ids, raw in prompts},
            context.encoder(policy),
            config.micro_batch_tokens,
        )
        trainer = OnPolicyTrainer(
            policy,
            reference,
            value,
            BuiltinSampler(policy),
            score,
            [ids for ids, _ in prompts],
            _settings(config, context.seed),
            _ptx(config, policy, context),
        )
        on_step = examine_along(config.evaluate, policy, context, config.stop_when_gold_turns)
        result = trainer.train(context.session(_note), on_step)
        artefacts = save_policy(policy, config.evaluate is not None, context)
        distance = (
            f"; {NO_KL}" if result.kl_seq is None else f" at {result.kl_seq:.1f} nats/sequence"
        )
        summary = f"{result.steps} steps, {result.optimizer_steps} updates; score {result.score:.2f}{distance}"
        values = {
            name: value
            for name, value in vars(result).items()
            if name != "guard" and value is not None
        }
        if fewer := smaller_steps(len(prompts), config.prompts_per_step, result.steps):
            summary += f"; {fewer}"
        if result.guard:
            summary += f"; stopped by a guard: {result.guard}"
        return StageResult(summary, values, artefacts, result.guard)


def _note(values: Mapping[str, float]) -> str:
    return f"score {values['score']:.2f}" + (
        f", KL {values['kl_seq']:.1f}" if "kl_seq" in values else ""
    )


def _settings(config: PpoConfig, seed: int) -> Any:
    from accord.learning.on_policy_settings import OnPolicySettings

    names = (
        "steps",
        "prompts_per_step",
        "samples_per_prompt",
        "max_new_tokens",
        "temperature",
        "epochs",
        "minibatches",
        "micro_batch_tokens",
        "estimator",
        "aggregation",
        "ratio",
        "gamma",
        "lam",
        "clip",
        "clip_high",
        "value_clip",
        "value_warmup",
        "whiten_rewards",
        "whiten_advantages",
        "entropy",
        "kl_coefficient",
        "kl_in",
        "kl_unbiased",
        "kl_target",
        "kl_horizon",
        "measure_kl",
        "score_clip",
        "unfinished_score",
        "ensemble",
        "ptx_weight",
        "kl_budget",
        "min_unique",
        "min_entropy",
        "max_spread",
    )
    return OnPolicySettings(
        **{name: getattr(config, name) for name in names},
        seed=seed,
        policy_optimizer=config,
        value_optimizer=config.changed(
            learning_rate=config.value_learning_rate or config.learning_rate
        ),
    )


def _value(
    config: PpoConfig, policy: Any, reward: RewardModel | None, context: StageContext
) -> ScalarModel:
    """From the reward model where there is one (and `value_from` says so), else a copy of the
    policy with a new head."""
    if reward is not None and config.value_from == "reward":
        return reward.value_model()
    from accord.models.loading import load_causal_lm
    from accord.models.scalar import ScalarModel

    if not config.value_warmup:
        context.say("the value model's head is new, not a reward model's: consider value_warmup")
    lora = config.lora.settings() if config.lora else None
    return ScalarModel.from_causal_lm(
        load_causal_lm(context.resolve(config.model), context.device), context.seed, lora
    )


def _prompts(
    config: PpoConfig, model: Language, context: StageContext
) -> list[tuple[list[int], Any]]:
    """(token ids, prompt as in the data) of all prompts within the limit."""
    from accord.runs.dropping import refuse_dropping
    from accord.runs.reading import read_prompts
    from accord.runs.stages.planning import check_room
    from accord.text.dropping import Need

    encoder = context.encoder(model)
    ids = [
        (encoder.prompt(p, str(i)), p)
        for i, p in enumerate(read_prompts(config.prompts, context), 1)
    ]
    kept = [(tokens, p) for tokens, p in ids if len(tokens) <= config.max_prompt_tokens]
    needs = [Need(len(tokens)) for tokens, _ in ids]
    limits = {"max_prompt_tokens": config.max_prompt_tokens, "max_new_tokens": None}
    refuse_dropping(
        [n for n in needs if n.prompt > config.max_prompt_tokens], needs, limits, context
    )
    if not kept:
        raise DataError(
            f"no prompt has at most {config.max_prompt_tokens} tokens", "raise max_prompt_tokens"
        )
    check_room(
        ((str(number), len(tokens)) for number, (tokens, _) in enumerate(kept, 1)),
        config.max_new_tokens,
        model.context,
    )
    context.say(
        f"{len(kept):,} prompts, {len(ids) - len(kept):,} left out as longer than {config.max_prompt_tokens} tokens"
    )
    return kept


def _ptx(config: PpoConfig, model: Language, context: StageContext) -> list[Any]:
    if config.ptx is None:
        return []
    from accord.runs.stages.settings import LengthConfig
    from accord.runs.stages.sft import read_demonstrations

    lengths = LengthConfig(
        max_prompt_tokens=config.max_prompt_tokens,
        max_response_tokens=config.max_new_tokens,
        too_long="drop",
    )
    return [e.group for e in read_demonstrations(config.ptx, model, lengths, context)]


class Rloo(Ppo):
    """Tunes a policy with the leave-one-out estimator; no value model."""

    kind = "rloo"
    Config = RlooConfig
    about = "RLOO: REINFORCE with the other samples of a prompt as baseline"


class Grpo(Ppo):
    """Tunes a policy with group-relative advantages; no value model."""

    kind = "grpo"
    Config = GrpoConfig
    about = "GRPO: advantages relative to the other samples of a prompt, KL in the loss"


class Reinforce(Ppo):
    """Tunes a policy with whitened returns; no value model."""

    kind = "reinforce"
    Config = ReinforceConfig
    about = "REINFORCE++: clipped REINFORCE with advantages whitened over the batch"
