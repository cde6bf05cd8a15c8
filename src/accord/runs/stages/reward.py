"""Training a reward model on feedback records, with its calibration and its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import DataError
from accord.feedback.words import counted
from accord.learning.settings import RewardSettings
from accord.runs.context import StageContext
from accord.runs.inputs import EstimatesName, GoldName, Judgements, PolicyName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult, Value
from accord.runs.stages.aside import left_to_train
from accord.runs.stages.blending import Blends
from accord.runs.stages.rules_said import RuleConfig
from accord.runs.stages.settings import Aside, LengthConfig, ReadsData, TrainingConfig, assumed
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSpec
    from accord.learning.judgements import AnnotatorEffects, JudgedGroup
    from accord.learning.reward import RewardResult
    from accord.models.causal_lm import CausalLM
    from accord.models.heads import HeadForm
    from accord.models.reward_model import RewardModel
    from accord.runs.stages.judged import JudgedData
    from accord.text.language import Language
    from accord.text.packing import PromptGroup

Asked = tuple[int, ...]
"""A prompt's tokens."""


class DistributionConfig(Settings):
    """A head that says a distribution of rewards: what annotators know or want and the feedback
    does not show."""

    kind: Literal["mean_variance", "categorical"] = Field(
        description="A normal distribution, or shares of evenly spaced values."
    )
    atoms: int = Field(10, ge=2, description="Values of a categorical distribution.")
    read: Literal["mean", "quantile", "mean_std"] = Field(
        "mean",
        description=(
            "The score: the mean, a quantile, or the mean minus some deviations (averse to risk)."
        ),
    )
    risk: float = Field(0.0, ge=0, description="The quantile, or the number of deviations.")

    @model_validator(mode="after")
    def _possible(self) -> DistributionConfig:
        if self.read == "quantile" and not 0 < self.risk < 1:
            raise ValueError(
                f"risk is the quantile that is read, between 0 and 1, not {self.risk:g}"
            )
        return self


CENTRED, CENTRED_EACH = 256, 2
"""Samples on which scores are centred where a recipe does not say: as many as fix their mean and
deviation well, but no more of a few judged prompts than training on these costs."""


class RewardConfig(Blends, ReadsData, TrainingConfig, RewardSettings):
    """Settings of a reward stage."""

    kind: Literal["reward"]
    model: PolicyName = Field(
        description="The model the members start from; usually the fine-tuned one."
    )
    feedback: Judgements = Field(
        description=(
            "Comparisons, rankings, best/worst, corrections, demonstrations, ratings, thumbs, step "
            "labels: a stage, or a file, directory or Hub id in any known format."
        )
    )
    annotators: EstimatesName | None = Field(
        None, description="Annotator estimates; without them everybody counts the same."
    )
    gold: GoldName | None = Field(
        None, description="The gold reward, for the card only; never trained on."
    )
    members: int = Field(3, ge=1, description="Ensemble members.")
    trunk: Literal["own", "shared", "adapters"] = Field(
        "own",
        description=(
            "Members with a trunk each, heads on one trunk, or an adapter each (lora) on one frozen"
            " trunk."
        ),
    )
    objectives: dict[str, float] = Field(
        {},
        description=(
            "Attributes that are rated, or compared by, with their weights in the score: a head"
            " each; one name: that attribute alone."
        ),
    )
    rules: dict[str, RuleConfig] = Field(
        {},
        description=(
            "Named rules, a head each that says P(the response keeps it), learned beside the score"
            " from flags, spans, critiques and comparisons by attribute."
        ),
    )
    distribution: DistributionConfig | None = Field(
        None,
        description="Learn a distribution of rewards per response, from choices among responses.",
    )
    margin: float = Field(
        0.0, ge=0, description="Utility asked for per step of a comparison's strength above 1."
    )
    rows: Literal["prompt", "pair"] = Field(
        "prompt",
        description=(
            "What is read at once: a prompt with all its responses, or every strict pair by itself."
        ),
    )
    steps: Literal["end", "min", "product", "last"] = Field(
        "end",
        description=(
            "A response's score: at its end, or of its steps the worst, the product or the last."
        ),
    )
    step_separator: str = Field(
        "\n", min_length=1, description="What divides a response into steps."
    )
    limit: int | None = Field(
        None, ge=2, description="Use only that many judged prompts, from the top."
    )
    evaluation: Aside | Judgements = Field(
        0.1,
        description=(
            "Judged prompts that are measured and not trained on: how many from the end, their"
            " share, or data of their own (whose prompts are never trained on)."
        ),
    )
    centre_samples: int | None = Field(
        None,
        ge=0,
        description="Samples of `model`, at least, on which scores are centred and scaled; null: "
        f"two of each judged prompt, about {CENTRED} in all; 0: on the judged responses.",
    )
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")

    @model_validator(mode="after")
    def _consistent(self) -> RewardConfig:
        if self.trunk == "adapters" and self.lora is None:
            raise ValueError("trunk: adapters gives every member an adapter: set lora")
        heads = {
            "objectives": len(self.objectives) > 1,
            "distribution": self.distribution,
            "steps": self.steps != "end",
        }
        if len(chosen := [name for name, used in heads.items() if used]) > 1:
            raise ValueError(f"{' and '.join(chosen)} are different heads: choose one of them")
        if self.distribution is not None and (
            self.annotators is not None or self.effects == "joint"
        ):
            raise ValueError(
                "a distribution takes annotators as part of the hidden context: leave out"
                " annotators and effects"
            )
        if self.rows == "pair" and (self.objectives or self.rules or self.steps != "end"):
            raise ValueError(
                "rows: pair reads what compares responses only: leave out objectives, rules and"
                " steps"
            )
        if self.rules and (self.distribution is not None or self.steps != "end"):
            raise ValueError(
                "rules stand beside a score at a response's end: leave out distribution and steps"
            )
        if self.distribution is not None and self.margin:
            raise ValueError("a distribution knows no margin: leave it out")
        if self.centre_samples == 1:
            raise ValueError(
                "one sample has no deviation by which scores could be scaled: set centre_samples to"
                " 2 or more, or to 0 for the judged responses"
            )
        return self

    def centred(self, prompts: int) -> int:
        """Samples on which scores are centred, of that many judged prompts."""
        if self.centre_samples is not None:
            return self.centre_samples
        return min(CENTRED, CENTRED_EACH * prompts)

    def head(self) -> HeadForm:
        """The heads' form."""
        from accord.models.heads import HeadForm

        several = tuple(self.objectives.items()) if len(self.objectives) > 1 else ()
        found = self.distribution.model_dump() if self.distribution else {}
        return HeadForm(
            objectives=several,
            steps=self.steps,
            separator=self.step_separator,
            rules=tuple(self.rules),
            **found,
        )


class Reward(Stage):
    """An ensemble trained by the choice likelihood; centred, scaled, calibrated, saved with
    probes."""

    kind = "reward"
    Config = RewardConfig
    provides: ClassVar = {
        "model": "reward model",
        "card": "card of a reward model",
        "annotators": "annotator estimates",
    }
    about = "a reward-model ensemble trained by the likelihood of every judgement"

    def plan(self, config: RewardConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import TokenWork, updates
        from accord.runs.stages import planning
        from accord.runs.stages.blending import check_sources

        model = planning.look_at_policy(config.model, context, config.lora, trains=True)
        judged = planning.rehearse(lambda lm: _judged(config, lm, context), model)
        if judged is not None:
            groups = judged.groups
            check_sources(judged.annotators, config.blend, context)
            _check_scored(judged)
            if isinstance(config.evaluation, (int, float)):
                train, heldout = _split(judged, config, set())
                groups = [*train, *heldout]
            rows = planning.whole(len(groups), context)
            tokens = planning.whole(sum(g.group.tokens for g in groups), context)
        else:
            rows, tokens = planning.judged_prompts(
                config.feedback, config.limit, config.lengths, context
            )
        steps = config.max_steps or updates(rows, config.batch, config.epochs)
        passes = 1 if config.trunk == "shared" else config.members
        # Samples alone would pass for the whole work where nothing is known of the judgements.
        samples = config.centred(rows) if tokens else 0
        work = TokenWork(
            trained=round(tokens * config.epochs * passes),
            scored=passes * samples * config.lengths.most,
            sampled=samples * assumed(config.lengths.max_response_tokens),
        )
        return planning.training_plan(
            config,
            model,
            context,
            work,
            planning.least(work, judged),
            trained=config.members if config.trunk == "own" else 1,
            rows=rows or None,
            steps=passes * steps if steps else None,
            models={"model": model.left_by(context.name, "reward model")},
            notes=[
                f"{counted(config.members, 'member')} ({config.trunk} trunk) x {config.epochs:g}"
                f" epochs in batches of {config.batch} prompts"
            ],
        )

    def run(self, config: RewardConfig, context: StageContext) -> StageResult:
        from accord.models.loading import load_causal_lm

        bits = config.lora.bits if config.lora else None
        trunk = load_causal_lm(context.resolve(config.model), context.device, bits=bits)
        data = _load(config, trunk, context)
        model, result = _train(config, trunk, data, context)
        return _save(config, model, result, data, context)


@dataclass(frozen=True)
class RewardData:
    """What a reward stage reads: everything judged, the groups it trains on and those kept aside,
    as their sources count (unblended: as they stand in the records), the effects of annotators,
    the source of each, and the sources' shares of the weight."""

    judged: JudgedData
    train: list[JudgedGroup]
    heldout: list[JudgedGroup]
    effects: AnnotatorEffects
    unblended: list[JudgedGroup]
    sources: list[str]
    shares: dict[str, Value]


def _load(config: RewardConfig, trunk: CausalLM, context: StageContext) -> RewardData:
    """Records as judged groups, tokenised."""
    from accord.runs.stages.blending import blended, say_shares, sources_of
    from accord.runs.stages.judged import annotator_effects

    judged = _judged(config, trunk, context)
    train, heldout = _split(judged, config, _asked_apart(config, trunk, context))
    if config.rows == "pair":
        train = _pairs(train, context)
    estimates = context.path(config.annotators) if config.annotators else None
    effects = annotator_effects(estimates, judged.annotators, judged.comparing)
    _check_steps(judged, config.head(), trunk, context)
    _check_scored(judged)
    sources = sources_of(judged.annotators, config.blend)
    both = [blended(groups, sources, config.blend) for groups in (train, heldout)]
    shares = say_shares(both[0], sources, context) if sources else {}
    return RewardData(judged, both[0], both[1], effects, heldout, sources, shares)


def _train(
    config: RewardConfig, trunk: CausalLM, data: RewardData, context: StageContext
) -> tuple[RewardModel, RewardResult]:
    """A reward model trained by the likelihood of what was judged, then centred and scaled."""
    from accord.learning.calibration import fit_centre, fit_temperature
    from accord.learning.judgements import strict_pairs
    from accord.learning.reward import train_reward
    from accord.learning.rule_heads import rule_answers, settle_rules, start_rules
    from accord.models.ensembles import build_members
    from accord.models.reward_model import RewardModel
    from accord.runs.stages.costs import note_zeros

    reference = _reference_samples(config, trunk, data, context)
    lora = config.lora.settings() if config.lora else None
    model = RewardModel.untrained(
        build_members(trunk, config.members, context.seed, config.trunk, lora, config.head())
    )
    start_rules(model, [count.share for count in data.judged.rules.counts])
    result = train_reward(
        model,
        data.train,
        config,
        data.effects,
        context.session(_note, **config.checkpoints.model_dump()),
        data.heldout,
        data.judged.scales,
        seed=context.seed,
    )
    settle_rules(model, result.learned, rule_answers(data.train, model.form.first_rule))
    model.notes["rules"] = {name: rule.model_dump() for name, rule in config.rules.items()}
    note_zeros(model, data.heldout, config.micro_batch_tokens, context)
    fit_centre(model, reference, config.micro_batch_tokens)
    if strict_pairs(data.heldout):
        fit_temperature(model, data.heldout, config.micro_batch_tokens)
    return model, result


def _reference_samples(
    config: RewardConfig, policy: CausalLM, data: RewardData, context: StageContext
) -> list[PromptGroup]:
    """What the model that the members start from answers to training prompts: what policies tuned
    on the scores start from as well. The judged responses where none are asked for."""
    from accord.runs.stages.evaluation import sequence_seeds
    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings

    groups = [group.group for group in data.train]
    prompts = list(dict.fromkeys(tuple(group.prompt) for group in groups))
    if not (samples := config.centred(len(prompts))):
        return groups
    prompts = prompts[:samples]
    each = -(-samples // len(prompts))
    seeds = sequence_seeds(context.seed, "centre", len(prompts) * each)
    room = policy.context - max(map(len, prompts))
    limit = config.lengths.max_response_tokens
    longest = max(len(response) for group in groups for response in group.responses)
    settings = SamplingSettings(min(limit if isinstance(limit, int) else longest, room))
    context.say(
        f"centring on {len(seeds):,} samples of {config.model}, {each} of each of "
        f"{len(prompts):,} prompts (centre_samples)"
    )
    return BuiltinSampler(policy).sample(prompts, settings, seeds, each).groups()


def _save(
    config: RewardConfig,
    model: RewardModel,
    result: RewardResult,
    data: RewardData,
    context: StageContext,
) -> StageResult:
    """The model with its probes, its card, and what was learned about annotators."""
    from accord.runs.stages.blending import source_accuracy
    from accord.runs.stages.reward_report import report

    saved = model.save(context.folder / "model", [g.group for g in data.train[:3]])
    gold = context.path(config.gold) if config.gold else None
    summary, values, artefacts = report(
        model, result, data.judged, data.heldout, config, gold, context
    )
    if config.blend:
        values |= data.shares | source_accuracy(
            model, data.unblended, data.sources, config.blend, config.micro_batch_tokens, context
        )
    return StageResult(summary, values, {"model": saved, **artefacts})


def _pairs(groups: list[JudgedGroup], context: StageContext) -> list[JudgedGroup]:
    """Every strict pair as a group of its own; says what is left out."""
    from accord.learning.judged_pairs import equal_pairs, one_pair_per_row, without_pair

    silent, equal, pairs = without_pair(groups), equal_pairs(groups), one_pair_per_row(groups)
    context.say(
        f"{len(pairs):,} strict pairs, one per row; left out: {silent:,} judgements without one "
        f"(ties), {equal:,} pairs of equal responses"
    )
    return pairs


def _judged(config: RewardConfig, model: Language, context: StageContext) -> JudgedData:
    """What is trained on and what is measured on: annotators and rating scales are those of
    both."""
    spec = config.feedback
    if not isinstance(config.evaluation, (int, float)):
        both = (config.feedback, config.evaluation)
        spec = [one for part in both for one in (part if isinstance(part, list) else [part])]
    return _read(config, spec, model, context)


def _read(
    config: RewardConfig, spec: DataSpec, model: Language, context: StageContext
) -> JudgedData:
    from accord.runs.stages.judged import read_judged

    return read_judged(
        spec,
        model,
        config.lengths,
        context,
        config.margin,
        objectives=list(config.objectives),
        rules=config.rules,
        ratings=config.distribution is None and config.rows == "prompt",
    )


def _asked_apart(config: RewardConfig, model: Language, context: StageContext) -> set[Asked]:
    """Prompts of evaluation data of its own."""
    if isinstance(config.evaluation, (int, float)):
        return set()
    apart = _read(config, config.evaluation, model, context).groups
    return {tuple(group.group.prompt) for group in apart}


def _split(
    judged: JudgedData, config: RewardConfig, asked: set[Asked]
) -> tuple[list[JudgedGroup], list[JudgedGroup]]:
    """(train, held out): the last `evaluation` of the prompts, or that share, at least one, is kept
    aside; or those that are `asked` in data of its own, whoever judged them. Raises DataError where
    none would be left to train on."""
    groups = judged.groups
    if asked:
        apart = [tuple(group.group.prompt) in asked for group in groups]
        train = [group for group, held in zip(groups, apart, strict=True) if not held]
        if not train:
            raise DataError(
                "every judged prompt is among those of the evaluation data",
                "give feedback on other prompts",
            )
        return train[: config.limit], [g for g, held in zip(groups, apart, strict=True) if held]
    groups = groups[: config.limit]
    if len(groups) < 2:
        raise DataError(
            "all usable feedback is about one prompt, so none can be kept aside",
            "give judgements on two or more prompts",
        )
    if isinstance(config.evaluation, int):
        cut = left_to_train(len(groups), config.evaluation, "judged prompts")
    else:
        assert isinstance(config.evaluation, float)
        cut = min(len(groups) - 1, max(1, round(len(groups) * (1 - config.evaluation))))
    return groups[:cut], groups[cut:]


def _check_steps(
    judged: JudgedData, head: HeadForm, trunk: CausalLM, context: StageContext
) -> None:
    """Raises DataError when only steps are labelled but scores are read elsewhere; says where steps
    are split otherwise."""
    from accord.text.steps import decoder, split_ends

    said = [(g, j) for g in judged.groups for j in g.judgements]
    labelled = [(g.group.responses[j.options[0]], j.ends) for g, j in said if j.kind == "steps"]
    if head.steps == "end":
        if labelled and len(labelled) == len(said):
            raise DataError(
                "all feedback is about steps, so nothing teaches the score at a response's end",
                "set steps: min, product or last",
            )
        return
    decode = decoder(trunk.tokenizer)
    other = sum(tuple(split_ends(decode, ids, head.separator)) != ends for ids, ends in labelled)
    if other:
        context.say(
            f"{other:,} of {len(labelled):,} labelled responses have other steps than"
            f" {head.separator!r} divides them into, which is how steps are found at use"
        )


def _check_scored(judged: JudgedData) -> None:
    """Raises DataError when everything said is of rules, which do not teach the score."""
    first = judged.rules.first_facet
    facets = {j.facet for g in judged.groups for j in g.judgements}
    if facets and all(facet is not None and facet >= first for facet in facets):
        raise DataError(
            "all feedback is about rules, so nothing teaches the score",
            "give comparisons, rankings, ratings or thumbs, too",
        )


def _note(values: Mapping[str, float]) -> str:
    return f"member {values['member'] + 1:.0f}, judgement nll {values['judgement_nll']:.3f}"
