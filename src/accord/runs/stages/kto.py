"""KTO: learning from thumbs, without pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from accord.errors import DataError, by_reason
from accord.learning.settings import UnpairedSettings
from accord.runs.context import StageContext
from accord.runs.inputs import EstimatesName, Judgements
from accord.runs.plan import Plan
from accord.runs.stage import StageResult
from accord.runs.stages.aside import (
    aside_text,
    drawn,
    heldout_text,
    kept_back,
    left_to_train,
    set_aside,
    without_none,
)
from accord.runs.stages.before_after import BeforeAfter
from accord.runs.stages.policy import TuningStage, examine_along, load_policy, save_policy
from accord.runs.stages.settings import Aside, LengthConfig, ShowsAnswers, TuningConfig

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSpec
    from accord.feedback.records import Feedback
    from accord.learning.judgements import Judgement
    from accord.learning.unpaired import ThumbExample, UnpairedResult
    from accord.models.causal_lm import CausalLM
    from accord.text.encoding import Example
    from accord.text.language import Language


class KtoConfig(ShowsAnswers, TuningConfig, UnpairedSettings):
    """Settings of a kto stage."""

    kind: Literal["kto"]
    feedback: Judgements = Field(
        description=(
            "Thumbs (a stage, or a file, directory or Hub id in any known format); a comparison"
            " counts as a desirable and an undesirable response, a ranking called all bad as"
            " undesirable ones."
        )
    )
    annotators: EstimatesName | None = Field(
        None,
        description=(
            "Annotator estimates: compared responses are told apart by all votes on the prompt,"
            " weighted by reliability; thumbs count as they are."
        ),
    )
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    limit: int | None = Field(
        None, ge=2, description="Use only that many responses, drawn at random."
    )
    evaluation: Aside | Judgements | None = Field(
        None,
        description=(
            "Responses that are measured and not trained on: how many from the end (whole prompts),"
            " their share, or data of their own; null: none."
        ),
    )


class Kto(TuningStage):
    """Tunes a policy on responses marked desirable or not."""

    kind = "kto"
    Config = KtoConfig
    about = "Kahneman-Tversky optimisation on thumbs, without pairs"

    def plan(self, config: KtoConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import TokenWork, examination, updates
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        model = planning.look_at_tuned(config, context)
        thumbs = planning.rehearse(
            lambda lm: read_thumbs(config.feedback, lm, config.lengths, context), model
        )
        rows, tokens = planned_rows(config.feedback, context), 0
        if thumbs is not None:
            found = planning.whole(len(thumbs), context)
            rows = min(found, config.limit or found)
            left_to_train(rows, config.evaluation, "responses")
            each = sum(len(t.prompt) + len(t.response) for t in thumbs) / max(1, len(thumbs))
            tokens = round(each * rows)
        elif rows:
            tokens = rows * config.lengths.most
        left = None if rows is None else max(0, rows - kept_back(rows, config.evaluation))
        work = TokenWork(
            trained=round(tokens * config.epochs), scored=round(tokens * (1 + 2 * config.epochs))
        )
        return planning.training_plan(
            config,
            model,
            context,
            work + examination(config.evaluate),
            planning.least(work, thumbs),
            frozen=1,
            rows=rows,
            models=planning.tuned(config, model, context),
            steps=config.max_steps or updates(left, config.batch, config.epochs),
            notes=[
                f"beta {config.beta:g}, {config.epochs:g} epochs in batches of {config.batch}"
                f" responses, kept aside: {aside_text(config.evaluation)}"
            ],
        )

    def run(self, config: KtoConfig, context: StageContext) -> StageResult:
        policy, reference = load_policy(config, context)
        data = _load(config, policy, context)
        prompts = [thumb.prompt for thumb in data.heldout or data.train]
        shown = BeforeAfter(policy, prompts, config.samples, context)
        result = _train(config, policy, reference, data, context)
        shown.write()
        return _save(config, policy, result, data, context)


class ThumbData(NamedTuple):
    """The responses trained on, and those kept aside."""

    train: list[ThumbExample]
    heldout: list[ThumbExample]


def _load(config: KtoConfig, policy: CausalLM, context: StageContext) -> ThumbData:
    estimates = context.path(config.annotators) if config.annotators else None

    def read(spec: DataSpec) -> list[ThumbExample]:
        return read_thumbs(spec, policy, config.lengths, context, estimates)

    apart = []
    if not isinstance(config.evaluation, (int, float, type(None))):
        apart = read(config.evaluation)
    train, heldout = _split(read(config.feedback), config, context.seed)
    return ThumbData(train, heldout or apart)


def _split(
    thumbs: list[ThumbExample], config: KtoConfig, seed: int
) -> tuple[list[ThumbExample], list[ThumbExample]]:
    """(responses to train on, responses kept aside), a prompt on one side, within the limit."""
    thumbs = drawn(thumbs, config.limit, seed)
    if isinstance(config.evaluation, (int, float)):
        return set_aside(thumbs, config.evaluation, lambda one: tuple(one.prompt), "responses")
    return thumbs, []


def _train(
    config: KtoConfig,
    policy: CausalLM,
    reference: CausalLM | None,
    data: ThumbData,
    context: StageContext,
) -> UnpairedResult:
    from accord.learning.unpaired import train_unpaired

    on_step = examine_along(config, policy, context)
    session = context.session(_note, **config.checkpoints.model_dump())
    return train_unpaired(
        policy,
        reference,
        data.train,
        config,
        session,
        on_step,
        seed=context.seed,
        heldout=data.heldout,
    )


def _save(
    config: KtoConfig,
    policy: CausalLM,
    result: UnpairedResult,
    data: ThumbData,
    context: StageContext,
) -> StageResult:
    good, rows = sum(t.desirable for t in data.train), len(data.train)
    summary = (
        f"{good:,} desirable, {rows - good:,} undesirable responses, "
        f"{result.steps} steps; loss {result.loss:.3f}"
        f"{heldout_text(result.heldout_loss, result.heldout_agreement)}"
    )
    counts = {"desirable": good, "rows": rows, "heldout": len(data.heldout)}
    values = without_none(vars(result)) | counts
    return StageResult(summary, values, save_policy(config, policy, context))


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, reference point {values['reference_point']:.2f}"


class Mark(NamedTuple):
    """What is said of one of a record's responses: its name there, whether it is desirable, how
    much that counts."""

    record: Feedback
    response: str
    desirable: bool
    weight: float


def read_thumbs(
    reference: DataSpec,
    model: Language,
    lengths: LengthConfig,
    context: StageContext,
    estimates: Path | None = None,
) -> list[ThumbExample]:
    """Tokenised thumbs, with what was left out counted. estimates: of annotators, by which the
    responses of a prompt that were compared are told apart. Raises DataError when nothing can be
    used, or an annotator who compares has no estimate."""
    from accord.feedback.formats.source import name_of
    from accord.learning.unpaired import ThumbExample
    from accord.runs.stages.judged import load_records
    from accord.runs.stages.lengths import apply_lengths
    from accord.runs.stages.usable import responses, row_name, usable

    encoder = context.encoder(model)
    read = load_records(reference, context)
    dropped = Counter(read.dropped)
    records, left_out = usable(read.records)
    marks: dict[str, tuple[Mark, int]] = {}
    examples = []
    for number, marked in enumerate(_said(records, estimates, left_out, context)):
        for mark in marked:
            response = responses(mark.record)[mark.response]
            if response.blank:
                left_out["empty response"] += 1
                continue
            row = row_name(mark.record, mark.response, marks)
            asked = mark.record.asked
            examples.append(encoder.example(asked, response.content, response.finished, row))
            marks[row] = mark, number
    if not examples:
        raise DataError(
            f"{name_of(reference)} holds no thumbs and no comparisons: {by_reason(left_out)}",
            "KTO learns from responses marked good or bad",
        )
    fitting = apply_lengths(
        examples,
        model,
        lengths,
        context,
        dict(dropped + left_out),
        read.left_out,
        unreadable=dropped.total(),
    )
    both = _good_and_bad(fitting, marks)
    if both:
        context.say(
            f"{len(both):,} responses left out: cut as they are, one text is both good and bad in a"
            " record"
        )
    return [
        ThumbExample(
            e.prompt_ids,
            e.response_ids,
            marks[e.row][0].desirable,
            e.row,
            marks[e.row][0].weight,
            e.mask,
        )
        for e in fitting
        if e.row not in both
    ]


def _said(
    records: Sequence[Feedback],
    estimates: Path | None,
    left_out: Counter[str],
    context: StageContext,
) -> list[list[Mark]]:
    """What each record marks; with estimates, instead of each comparison, every two responses that
    the votes on their prompt tell apart. What marks nothing is counted."""
    from accord.feedback.records import Comparison
    from accord.learning.answers import bad

    said, compared = [], []
    for record in records:
        votes = estimates is not None and isinstance(record.choice, Comparison)
        if votes:
            compared.append(record)
        if votes and not bad(record):
            continue
        said.append(_marked(record))
        if not said[-1]:
            kind = "tie" if record.kind == "comparison" else f"{record.kind}: says no good and bad"
            left_out[kind] += 1
    if estimates is None or not compared:
        return said
    pairs, undecided = _decided(compared, estimates)
    ties = sum(r.choice.preferred is None for r in compared if isinstance(r.choice, Comparison))
    context.say(
        f"{len(compared):,} comparisons by all annotators together: {len(pairs):,} pairs of"
        f" responses, {undecided:,} left undecided; {ties:,} ties count as votes"
    )
    if undecided:
        left_out["pair that the annotators together leave undecided"] += undecided
    return said + pairs


def _decided(records: Sequence[Feedback], estimates: Path) -> tuple[list[list[Mark]], int]:
    """(the marks of each two responses that the comparisons of their prompt tell apart, how many
    they do not). A pair with doubt e counts 1 - 2e, as a soft label does."""
    from accord.learning.judged_pairs import decided, labels_of
    from accord.learning.said import choice_of
    from accord.runs.stages.judged import annotator_effects
    from accord.runs.stages.usable import Response, prompt_key, responses

    names = sorted({record.annotator for record in records})
    effects, who = annotator_effects(estimates, names), {name: n for n, name in enumerate(names)}
    numbers: dict[str, dict[Response, int]] = {}
    first: dict[tuple[str, int], tuple[Feedback, str]] = {}
    judgements: dict[str, list[Judgement]] = {}
    for record in records:
        key, places = prompt_key(record), {}
        known = numbers.setdefault(key, {})
        for name, response in responses(record).items():
            places[name] = known.setdefault(response, len(known))
            first.setdefault((key, places[name]), (record, name))
        judged = choice_of(record, places, who[record.annotator])
        judgements.setdefault(key, []).append(replace(judged, weight=record.weight))
    labels = labels_of(list(judgements.values()), [len(numbers[k]) for k in judgements], effects)
    marks, undecided = [], 0
    for (key, of_prompt), p_KK in zip(judgements.items(), labels, strict=True):
        for pair in decided(of_prompt, p_KK):
            if not pair.clear():
                undecided += 1
                continue
            weight = pair.weight * (1 - 2 * pair.doubt) / 2
            ends = ((pair.better, True), (pair.worse, False))
            marks.append([Mark(*first[key, n], good, weight) for n, good in ends])
    return marks, undecided


def _good_and_bad(examples: Sequence[Example], marks: Mapping[str, tuple[Mark, int]]) -> set[str]:
    """Rows of the responses that one record calls good and bad, since nothing of what made them
    differ is left."""
    by_response: dict[tuple[int, tuple[int, ...]], list[Example]] = {}
    for example in examples:
        tokens = (*example.prompt_ids, *example.response_ids)
        by_response.setdefault((marks[example.row][1], tokens), []).append(example)
    contrary = (
        rows for rows in by_response.values() if len({marks[e.row][0].desirable for e in rows}) == 2
    )
    return {example.row for rows in contrary for example in rows}


def _marked(record: Feedback) -> list[Mark]:
    """What a record marks; a ranking says which is better, not which is good, unless all are bad. A
    record's marks share its weight, as the rows of an exported one do.

    A comparison's soft label p counts 2p - 1: KTO's loss is linear in the value of a response, so
    that this is the gradient of the loss expected under the label, sigma(x) being 1 - sigma(-x).
    """
    from accord.feedback.records import Comparison, Thumb
    from accord.learning.answers import bad

    choice = record.choice
    if isinstance(choice, Thumb):
        return [Mark(record, record.options[0].id, choice.up, record.weight)]
    if isinstance(choice, Comparison) and choice.preferred is not None:
        sure = 1.0 if choice.probability is None else 2 * choice.probability - 1
        return [
            Mark(record, o.id, o.id == choice.preferred, record.weight * sure / 2)
            for o in record.options
            if sure
        ]
    if bad(record):
        return [
            Mark(record, option.id, False, record.weight / len(record.options))
            for option in record.options
        ]
    return []
