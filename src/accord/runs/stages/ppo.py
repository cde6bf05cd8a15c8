"""On-policy learning against a reward model under a KL penalty: PPO, RLOO, GRPO and their
relatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import DataError
from accord.feedback.formats.source import DataSpec
from accord.learning.on_policy_settings import (
    GrpoSettings,
    OnPolicySettings,
    ReinforceSettings,
    RlooSettings,
)
from accord.runs.context import StageContext
from accord.runs.inputs import Demonstrations, PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import StageConfig, StageResult
from accord.runs.stages.aside import aside_text, kept_back, left_to_train, set_aside
from accord.runs.stages.before_after import BeforeAfter
from accord.runs.stages.costs import CostConfig
from accord.runs.stages.policy import TuningStage, examine_along, load_policy, save_policy
from accord.runs.stages.scoring import RewardSources
from accord.runs.stages.settings import Aside, LengthConfig, Limit, TuningConfig, assumed

if TYPE_CHECKING:
    from accord.learning.on_policy import OnPolicyResult
    from accord.models.causal_lm import CausalLM
    from accord.models.reward_model import RewardModel
    from accord.models.scalar import ScalarModel
    from accord.runs.reading import PromptRow
    from accord.text.language import Language
    from accord.text.packing import PromptGroup

NO_KL = "KL to the reference not measured (measure_kl: false)"


class PpoConfig(RewardSources, TuningConfig, OnPolicySettings):
    """Settings of a ppo stage; defaults follow Ziegler et al. 2019 and Huang et al. 2024."""

    kind: Literal["ppo"]
    reference: PolicyName | None = Field(
        None,
        description=(
            "What the KL is measured from; null: the model that is tuned. A stage that goes on"
            " where another ended names the model which that one started from."
        ),
    )
    prompts: Prompts = Field(description="Prompts to sample from (JSONL).")
    max_prompt_tokens: Limit = Field(
        64,
        description=(
            "Longest prompt, in tokens; longer ones are left out and counted; auto: as 99 % of them"
            " need."
        ),
    )
    value_from: Literal["reward", "policy"] = Field(
        "reward",
        description="What the value model starts from; without a reward model always the policy.",
    )
    centred: bool = Field(
        True,
        description="Subtract the mean score of the reference's samples; a missing EOS counts "
        "relative to that.",
    )
    stop_when_gold_turns: bool = Field(
        False,
        description="Guard: stop when gold falls beyond chance while the proxy rises "
        "(needs evaluate.gold).",
    )
    evaluation: Aside | Prompts | None = Field(
        None,
        description=(
            "Prompts that are answered and scored and not trained on: how many from the end, their"
            " share, or data of their own; null: none."
        ),
    )
    samples: int = Field(
        8,
        ge=0,
        description=(
            "How many of the prompts, of what is kept aside where that is, are answered before and"
            " after the training for people to read."
        ),
    )
    ptx: Demonstrations | None = Field(
        None, description="Demonstrations mixed in (PPO-ptx), JSONL."
    )
    cost: CostConfig | None = Field(
        None,
        description="A limit on what responses cost, kept by Lagrange's multiplier: the policy is"
        " paid (score - multiplier x cost) / (1 + multiplier).",
    )

    @model_validator(mode="before")
    @classmethod
    def _functions_know_better(cls, given: Any) -> Any:
        """What functions say of a response that did not end is kept, unless a score is given."""
        if isinstance(given, dict) and given.get("functions"):
            return {"unfinished_score": None} | given
        return given

    @model_validator(mode="after")
    def _possible(self) -> PpoConfig:
        if self.reference is not None and not self.measure_kl:
            raise ValueError("the KL is measured from reference, and measure_kl is false")
        if self.max_spread and self.reward is None:
            raise ValueError("max_spread compares the members of a reward model, and there is none")
        if self.stop_when_gold_turns and (self.evaluate is None or self.evaluate.gold is None):
            raise ValueError(
                "stop_when_gold_turns examines gold along the way: set evaluate with gold"
            )
        if bool(self.ptx) != bool(self.ptx_weight):
            raise ValueError("ptx and ptx_weight go together: give both or neither")
        if self.cost is not None and (self.keep_best or self.patience):
            raise ValueError(
                "keep_best and patience go by the score, which knows nothing of the limit on cost:"
                " leave them out"
            )
        return self

    def code(self) -> Sequence[str]:
        return [*super().code(), *(self.cost.code() if self.cost else ())]

    def columns_used(self) -> Callable[[str], bool]:
        """Whether a function of the reward or of the cost gets a column of the prompts' rows."""
        used = [super().columns_used(), *([self.cost.columns_used()] if self.cost else [])]
        return lambda column: any(one(column) for one in used)


class RlooConfig(RlooSettings, PpoConfig):
    """Settings of an rloo stage: as ppo, with RLOO's defaults."""

    kind: Literal["rloo"]  # type: ignore[assignment]


class GrpoConfig(GrpoSettings, PpoConfig):
    """Settings of a grpo stage: as ppo, with GRPO's defaults."""

    kind: Literal["grpo"]  # type: ignore[assignment]


class ReinforceConfig(ReinforceSettings, PpoConfig):
    """Settings of a reinforce stage: as ppo, with REINFORCE++'s defaults."""

    kind: Literal["reinforce"]  # type: ignore[assignment]


class Ppo(TuningStage):
    """Tunes a policy against a reward model."""

    kind = "ppo"
    Config: ClassVar[type[StageConfig]] = PpoConfig
    about = "PPO against a reward model under a KL penalty; other estimators by name"

    def plan(self, config: PpoConfig, context: StageContext) -> Plan:
        from accord.learning.on_policy_settings import fewest_prompts
        from accord.learning.order import EpochOrder, smaller_steps
        from accord.runs.estimate import SHORTEST, TokenWork, examination
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        model = planning.look_at_tuned(config, context)
        planning.check_reference(config.reference, context)
        found = planning.rehearse(lambda lm: _prompts(config, config.prompts, lm, context), model)
        own = planning.rehearse(lambda lm: _own_heldout(config, lm, context), model)
        config.check_functions([row for _, row in found or ()], context)
        if config.cost is not None:
            config.cost.check([row for _, row in found or ()], context)
        if config.ptx is not None:
            planning.rehearse(lambda lm: _ptx(config, lm, context), model)
        prompts = planned_rows(config.prompts, context) or config.steps * config.prompts_per_step
        if found is not None:
            prompts = planning.whole(len(found), context)
        apart = len(own or ()) or kept_back(prompts, config.evaluation)
        prompts = left_to_train(prompts, config.evaluation, "prompts")
        fewest_prompts(prompts, config.prompts_per_step, config.minibatches)
        visited = EpochOrder(prompts, config.prompts_per_step, 1, 0).visited(config.steps)
        fewer = smaller_steps(prompts, config.prompts_per_step, config.steps)
        responses = visited * config.samples_per_prompt
        updates = config.steps * config.epochs * config.minibatches
        notes = [
            f"{config.steps} rollouts, {updates} updates",
            fewer,
            None if config.measure_kl else NO_KL,
            f"kept aside: {aside_text(config.evaluation)}",
            None if config.cost is None else f"limit on cost: {config.cost.told}",
        ]
        sampled = responses * config.max_new_tokens
        each = float(assumed(config.max_prompt_tokens))
        if found:
            each = planning.lengths_of([ids for ids, _ in found]) / len(found)
        asked = round(responses * each)
        evaluations = apart * (config.steps // (config.evaluate_every or config.steps) + 1)
        models, references = 2 if config.estimator == "gae" else 1, int(config.measure_kl)

        def work(share: float) -> TokenWork:
            seen = round(asked + share * sampled)
            scored = (1 + references + models) * seen
            here = TokenWork(
                trained=models * config.epochs * seen, scored=scored, sampled=round(share * sampled)
            )
            answered = share * config.max_new_tokens
            aside = TokenWork(
                scored=round(evaluations * (each + answered)), sampled=round(evaluations * answered)
            )
            return here + aside + examination(config.evaluate).times(share)

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
            models=planning.tuned(config, model, context),
            notes=list(filter(None, notes)),
        )

    def run(self, config: PpoConfig, context: StageContext) -> StageResult:
        models = _load(config, context)
        data = _load_prompts(config, models.policy, context)
        asked = [ids for ids, _ in data.heldout or data.prompts]
        shown = BeforeAfter(models.policy, asked, config.samples, context)
        result = _train(config, models, data, context)
        shown.write()
        return _save(config, models.policy, result, data, context)


Encoded = list[tuple[list[int], "PromptRow"]]
"""Token ids of prompts, and the prompts as in the data with the columns that functions use."""


@dataclass(frozen=True)
class PromptData:
    """What an on-policy stage samples from, and what it only measures on."""

    prompts: Encoded
    heldout: Encoded


@dataclass(frozen=True)
class PpoModels:
    """What a ppo stage trains and reads: the reference is None where the policy is its own, with
    its adapter off, or where the KL is not measured; the reward where functions alone score; the
    value where no estimator needs one."""

    policy: CausalLM
    reference: CausalLM | None
    reward: RewardModel | None
    value: ScalarModel | None


def _load(config: PpoConfig, context: StageContext) -> PpoModels:
    policy, reference = load_policy(config, context, config.measure_kl, config.reference)
    reward = config.load_reward(context)
    if reward is not None and not config.centred:
        reward.centre_E.zero_()
    value = _value(config, reward, context) if config.estimator == "gae" else None
    return PpoModels(policy, reference, None if reward is None else reward.frozen(), value)


def _train(
    config: PpoConfig,
    models: PpoModels,
    data: PromptData,
    context: StageContext,
) -> OnPolicyResult:
    from accord.learning.on_policy import OnPolicyTrainer
    from accord.runs.stages.costs import cost_limit
    from accord.runs.stages.scoring import Scorer
    from accord.sampling.builtin import BuiltinSampler

    policy, encoder = models.policy, context.encoder(models.policy)
    rows = [row for _, row in (*data.prompts, *data.heldout)]
    rules = config.load_rules(models.reward, context)
    scorer = Scorer(config, models.reward, rows, encoder, config.micro_batch_tokens, rules)
    limit = None
    if config.cost is not None:
        model = models.reward if config.cost.reward == config.reward else None
        limit = cost_limit(config.cost, model, rows, encoder, config.micro_batch_tokens, context)
    trainer = OnPolicyTrainer(
        policy,
        models.reference,
        models.value,
        BuiltinSampler(policy),
        scorer,
        [ids for ids, _ in data.prompts],
        config,
        _ptx(config, policy, context),
        seed=context.seed,
        heldout=[ids for ids, _ in data.heldout],
        limit=limit,
    )
    on_step = examine_along(config, policy, context, config.stop_when_gold_turns)
    result = trainer.train(context.session(_note, **config.checkpoints.model_dump()), on_step)
    for line in scorer.told():
        context.say(line)
    return result


def _save(
    config: PpoConfig,
    policy: CausalLM,
    result: OnPolicyResult,
    data: PromptData,
    context: StageContext,
) -> StageResult:
    """The policy, with how far it went and why it stopped, if a guard stopped it."""
    from accord.learning.order import smaller_steps

    artefacts = save_policy(config, policy, context)
    values = {
        name: value for name, value in vars(result).items() if name != "guard" and value is not None
    }
    distance = f"; {NO_KL}" if result.kl_seq is None else f" at {result.kl_seq:.1f} nats/sequence"
    summary = (
        f"{result.steps} steps, {result.optimizer_steps} updates; "
        f"score {result.score:.2f}{_unfinished(result.finished_share)}{distance}"
    )
    if result.heldout_score is not None:
        values |= {"heldout": len(data.heldout)}
        summary += f"; held out: score {result.heldout_score:.2f}"
    if config.cost is not None:
        summary += f"; cost: {result.cost_bound:.3g} of at most {config.cost.limit:g}"
        summary += f", multiplier {result.cost_multiplier:.3g}"
    if result.best_step is not None:
        summary += f", the best, of step {result.best_step}, kept"
    if fewer := smaller_steps(len(data.prompts), config.prompts_per_step, result.steps):
        summary += f"; {fewer}"
    if result.guard:
        summary += f"; stopped by a guard: {result.guard}"
    return StageResult(summary, values, artefacts, result.guard)


def _note(values: Mapping[str, float]) -> str:
    distance = f", KL {values['kl_seq']:.1f}" if "kl_seq" in values else ""
    return f"score {values['score']:.2f}{_unfinished(values['finished_share'])}{distance}"


def _unfinished(finished_share: float) -> str:
    """Said beside a score where most responses did not end by themselves."""
    return f" ({1 - finished_share:.0%} unfinished)" if finished_share < 0.5 else ""


def _value(config: PpoConfig, reward: RewardModel | None, context: StageContext) -> ScalarModel:
    """From the reward model where there is one (and `value_from` says so), else a copy of the
    policy with a new head."""
    if reward is not None and config.value_from == "reward":
        return reward.value_model()
    from accord.models.loading import load_causal_lm
    from accord.models.scalar import ScalarModel

    if not config.value_warmup:
        context.say("the value model's head is new, not a reward model's: consider value_warmup")
    lora = config.lora.settings() if config.lora else None
    bits = config.lora.bits if config.lora else None
    trunk = load_causal_lm(context.resolve(config.model), context.device, bits=bits)
    return ScalarModel.from_causal_lm(trunk, context.seed, lora)


def _load_prompts(config: PpoConfig, model: Language, context: StageContext) -> PromptData:
    """Prompts to sample from and prompts kept aside, a prompt on one side."""
    apart = _own_heldout(config, model, context)
    prompts = _prompts(config, config.prompts, model, context)
    if isinstance(config.evaluation, (int, float)):
        prompts, apart = set_aside(prompts, config.evaluation, lambda one: tuple(one[0]), "prompts")
        context.say(f"{len(prompts):,} prompts to train on, {len(apart):,} more kept aside")
    return PromptData(prompts, apart)


def _own_heldout(config: PpoConfig, model: Language, context: StageContext) -> Encoded:
    """Prompts to measure on, where they are data of their own."""
    if config.evaluation is None or isinstance(config.evaluation, (int, float)):
        return []
    with context.about("evaluation"):
        return _prompts(config, config.evaluation, model, context)


def _prompts(config: PpoConfig, spec: DataSpec, model: Language, context: StageContext) -> Encoded:
    """All prompts of some data within the limit."""
    from accord.runs.dropping import refuse_dropping
    from accord.runs.reading import read_prompt_rows
    from accord.runs.stages.lengths import found_limits
    from accord.runs.stages.planning import check_room
    from accord.text.dropping import Need

    encoder = context.encoder(model)
    rows = read_prompt_rows(spec, context, used=config.columns_used())
    ids = [(encoder.prompt(row.prompt, str(i)), row) for i, row in enumerate(rows, 1)]
    needs = [Need(len(tokens)) for tokens, _ in ids]
    lengths = LengthConfig(
        max_prompt_tokens=config.max_prompt_tokens,
        max_response_tokens=config.max_new_tokens,
        too_long="drop",
    )
    longest, _ = found_limits(lengths, needs, model.context, context)
    kept = [(tokens, p) for tokens, p in ids if len(tokens) <= longest]
    limits = {"max_prompt_tokens": longest, "max_new_tokens": None}
    refuse_dropping([n for n in needs if n.prompt > longest], needs, limits, context)
    if not kept:
        raise DataError(f"no prompt has at most {longest} tokens", "raise max_prompt_tokens")
    check_room(
        ((str(number), len(tokens)) for number, (tokens, _) in enumerate(kept, 1)),
        config.max_new_tokens,
        model.context,
    )
    context.say(
        f"{len(kept):,} prompts, {len(ids) - len(kept):,} left out as longer than {longest} tokens"
    )
    return kept


def _ptx(config: PpoConfig, model: Language, context: StageContext) -> list[PromptGroup]:
    if config.ptx is None:
        return []
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
