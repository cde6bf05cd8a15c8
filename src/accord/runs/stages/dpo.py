"""Direct preference optimisation and its relatives on feedback records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from accord.errors import DataError
from accord.feedback.formats.source import name_of
from accord.learning.settings import PreferenceSettings
from accord.runs.context import StageContext
from accord.runs.inputs import EstimatesName, Judgements
from accord.runs.plan import Plan
from accord.runs.stage import StageResult
from accord.runs.stages.aside import (
    aside_text,
    heldout_text,
    kept_back,
    left_to_train,
    set_aside,
    without_none,
)
from accord.runs.stages.before_after import BeforeAfter
from accord.runs.stages.blending import Blends
from accord.runs.stages.policy import TuningStage, examine_along, load_policy, save_policy
from accord.runs.stages.settings import Aside, LengthConfig, ShowsAnswers, TuningConfig, assumed
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.learning.preference import Pair, PreferenceResult
    from accord.models.causal_lm import CausalLM
    from accord.runs.stages.judged import JudgedData


class DpoConfig(Blends, ShowsAnswers, TuningConfig, PreferenceSettings):
    """Settings of a dpo stage."""

    kind: Literal["dpo"]
    feedback: Judgements = Field(
        description=(
            "Comparisons or rankings: a stage, or a file, directory or Hub id in any known format."
        )
    )
    annotators: EstimatesName | None = Field(
        None,
        description="Annotator estimates: pairs are decided by all votes, weighted by reliability.",
    )
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    limit: int | None = Field(None, ge=1, description="Use only that many pairs, drawn at random.")
    evaluation: Aside | Judgements | None = Field(
        None,
        description=(
            "Pairs that are measured and not trained on: how many from the end (whole prompts),"
            " their share, or data of their own; null: none."
        ),
    )

    @model_validator(mode="after")
    def _possible(self) -> DpoConfig:
        if self.label_smoothing == 0 and self.loss == "robust" and self.annotators is None:
            raise ValueError(
                "robust without label_smoothing or annotators is sigmoid: say how often labels are"
                " wrong"
            )
        return self


class Dpo(TuningStage):
    """Tunes a policy on pairs, without a reward model."""

    kind = "dpo"
    Config = DpoConfig
    about = "direct preference optimisation and its relatives"

    def plan(self, config: DpoConfig, context: StageContext) -> Plan:
        from accord.learning.judged_pairs import preference_pairs
        from accord.runs.estimate import TokenWork, examination, updates
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning
        from accord.runs.stages.blending import check_sources
        from accord.runs.stages.judged import read_judged

        model = planning.look_at_tuned(config, context)
        judged = planning.rehearse(
            lambda lm: read_judged(config.feedback, lm, config.lengths, context), model
        )
        rows, each, shared = planned_rows(config.feedback, context), 0.0, 0.0
        if judged is not None:
            check_sources(judged.annotators, config.blend, context)
            pairs = preference_pairs(judged.groups)
            _check_pairs(len(pairs), config)
            rows = planning.whole(len(pairs), context)
            left_to_train(rows, config.evaluation, "pairs")
            each, shared = _tokens_per_pair(pairs, config)
        elif rows:
            each = shared = config.lengths.most + assumed(config.lengths.max_response_tokens)
        left = None if rows is None else max(0, rows - kept_back(rows, config.evaluation))
        if rows and left is not None:
            rows, left = min(rows, config.limit or rows), min(left, config.limit or left)
        trained = (shared if config.by_prompt else each) * (rows or 0) * config.epochs
        work = TokenWork(trained=round(trained), scored=round(shared * (rows or 0)))
        return planning.training_plan(
            config,
            model,
            context,
            work + examination(config.evaluate),
            planning.least(work, judged),
            frozen=1,
            rows=rows,
            models=planning.tuned(config, model, context),
            steps=config.max_steps or updates(left, config.batch, config.epochs),
            notes=[
                f"{config.loss}, beta {config.strength:g}, {config.epochs:g} epochs in batches of"
                f" {config.batch} pairs, kept aside: {aside_text(config.evaluation)}"
            ],
        )

    def run(self, config: DpoConfig, context: StageContext) -> StageResult:
        policy, reference = load_policy(config, context)
        data = _load(config, policy, context)
        prompts = [pair.prompt for pair in data.heldout or data.pairs]
        shown = BeforeAfter(policy, prompts, config.samples, context)
        result = _train(config, policy, reference, data, context)
        shown.write()
        by_source = _by_source(config, policy, reference, data, context)
        return _save(config, policy, result, data, by_source, context)


@dataclass(frozen=True)
class PairData:
    """What a dpo stage reads: the pairs it trains on and those kept aside, and how many it uses for
    neither, by reason.

    left_out: records that say nothing, by reason; the other counts are of what judgements say;
    shares: each source's share of the weight of the pairs trained on.
    """

    pairs: list[Pair]
    heldout: list[Pair]
    ties: int
    undecided: int
    equal: int
    beyond_limit: int
    left_out: dict[str, int]
    shares: dict[str, float]


def _load(config: DpoConfig, policy: CausalLM, context: StageContext) -> PairData:
    """Judgements as pairs, tokenised, in the order in which a limit takes them."""
    from accord.learning.judged_pairs import (
        decided_pairs,
        equal_pairs,
        preference_pairs,
        without_pair,
    )
    from accord.runs.stages.blending import blended
    from accord.runs.stages.judged import annotator_effects, read_judged

    apart: list[Pair] = []
    if not isinstance(config.evaluation, (int, float, type(None))):
        measured = read_judged(config.evaluation, policy, config.lengths, context)
        apart = preference_pairs(measured.groups, _sources(measured, config, every=False))
    judged = read_judged(config.feedback, policy, config.lengths, context)
    if config.annotators is None:
        pairs, undecided = preference_pairs(judged.groups, _sources(judged, config)), 0
    else:
        effects = annotator_effects(context.path(config.annotators), judged.annotators)
        voted = blended(judged.groups, _sources(judged, config), config.blend)
        pairs, undecided = decided_pairs(voted, effects)
    ties, equal = without_pair(judged.groups), equal_pairs(judged.groups)
    _check_pairs(len(pairs), config)
    pairs, heldout = _split(pairs, config)
    heldout = heldout or apart
    beyond = max(0, len(pairs) - (config.limit or len(pairs)))
    context.say(
        f"{len(pairs):,} pairs, {len(heldout):,} more kept aside; left out: {ties:,} "
        "judgements without a better one (ties), "
        f"{undecided:,} pairs that the annotators together leave undecided, {equal:,} pairs of "
        f"equal responses, {beyond:,} beyond the limit"
    )
    drawn = _blend(config, _drawn(pairs, config.limit, context.seed))
    shares = _say_shares(drawn, context)
    heldout = _blend(config, heldout)
    return PairData(drawn, heldout, ties, undecided, equal, beyond, judged.left_out, shares)


def _sources(judged: JudgedData, config: DpoConfig, every: bool = True) -> list[str]:
    from accord.runs.stages.blending import sources_of

    return sources_of(judged.annotators, config.blend, every)


def _blend(config: DpoConfig, pairs: Sequence[Pair]) -> list[Pair]:
    """With their weights multiplied by their sources'; those decided by all votes together have
    none."""
    return [replace(p, weight=p.weight * config.blend[p.source]) if p.source else p for p in pairs]


def _say_shares(pairs: Sequence[Pair], context: StageContext) -> dict[str, float]:
    """Each source's share of the weight, which is its share of the loss while nothing is
    learned."""
    shares: dict[str, float] = {}
    whole = sum(pair.weight for pair in pairs) or 1.0
    for source in dict.fromkeys(pair.source for pair in pairs if pair.source):
        mine = [pair.weight for pair in pairs if pair.source == source]
        shares[source] = sum(mine) / whole
        context.say(f"source {source}: {len(mine):,} pairs, {shares[source]:.1%} of the weight")
    return shares


def _split(pairs: list[Pair], config: DpoConfig) -> tuple[list[Pair], list[Pair]]:
    """(pairs to train on, pairs kept aside), a prompt on one side."""
    if isinstance(config.evaluation, (int, float)):
        return set_aside(pairs, config.evaluation, lambda pair: tuple(pair.prompt), "pairs")
    return pairs, []


def _drawn(pairs: list[Pair], limit: int | None, seed: int) -> list[Pair]:
    """The pairs in random order, at most `limit` of them."""
    import torch

    generator = torch.Generator().manual_seed(derive_seed(seed, "pairs"))
    order = torch.randperm(len(pairs), generator=generator).tolist()
    return [pairs[i] for i in order[:limit]]


def _train(
    config: DpoConfig,
    policy: CausalLM,
    reference: CausalLM | None,
    data: PairData,
    context: StageContext,
) -> PreferenceResult:
    from accord.learning.preference import train_preference

    on_step = examine_along(config, policy, context)
    session = context.session(_note, **config.checkpoints.model_dump())
    return train_preference(
        policy,
        reference,
        data.pairs,
        config,
        session,
        on_step,
        seed=context.seed,
        heldout=data.heldout,
    )


def _save(
    config: DpoConfig,
    policy: CausalLM,
    result: PreferenceResult,
    data: PairData,
    by_source: dict[str, float],
    context: StageContext,
) -> StageResult:
    """The policy, with how it was trained and what was left out."""
    counts = {"pairs": len(data.pairs), "heldout": len(data.heldout)}
    summary = (
        f"{counts['pairs']:,} pairs, {result.steps} steps; "
        f"loss {result.loss:.3f}, agreement {result.agreement:.1%}"
        f"{heldout_text(result.heldout_loss, result.heldout_agreement)}"
    )
    values = without_none(vars(result)) | vars(data) | counts | by_source
    return StageResult(summary, values, save_policy(config, policy, context))


def _by_source(
    config: DpoConfig,
    policy: CausalLM,
    reference: CausalLM | None,
    data: PairData,
    context: StageContext,
) -> dict[str, float]:
    """The share of pairs kept aside that the policy orders as each source judged, whatever it
    counts."""
    import torch

    from accord.learning.kinds import REFERENCE_FREE
    from accord.learning.preference import preference_evaluation, reference_logprobs

    found: dict[str, float] = {}
    for source in dict.fromkeys(pair.source for pair in data.heldout if pair.source):
        mine = [replace(p, weight=1.0) for p in data.heldout if p.source == source]
        reference_P2 = torch.zeros(len(mine), 2)
        if config.loss not in REFERENCE_FREE:
            reference_P2 = reference_logprobs(policy, reference, mine, config.micro_batch_tokens)
        agreed = preference_evaluation(policy, mine, reference_P2, config)["heldout_agreement"]
        context.say(
            f"held out, source {source}: {agreed:.1%} of {len(mine):,} pairs ordered as judged"
        )
        found[f"accuracy.{source}"] = agreed
    return found


def _tokens_per_pair(pairs: Sequence[Pair], config: DpoConfig) -> tuple[float, float]:
    """Mean tokens of a pair by itself, and where all pairs of a prompt are computed together."""
    from accord.learning.shared_responses import share_responses

    groups = [pair.group for pair in pairs]
    together = share_responses(groups, config.micro_batch_tokens)
    shared = sum(one.group.tokens for one in together)
    return sum(group.tokens for group in groups) / len(pairs), shared / len(pairs)


def _check_pairs(pair_count: int, config: DpoConfig) -> None:
    if not pair_count:
        raise DataError(
            f"{name_of(config.feedback)} says of no two responses which is better",
            "give comparisons with a preferred response, or rankings",
        )


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, agreement {values['preference_agreement']:.0%}"
