"""KTO: learning from thumbs, without pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from accord.errors import DataError, by_reason
from accord.learning.settings import UnpairedSettings
from accord.runs.context import StageContext
from accord.runs.inputs import Judgements
from accord.runs.plan import Plan
from accord.runs.stage import StageResult
from accord.runs.stages.policy import TuningStage, examine_along, load_policy, save_policy
from accord.runs.stages.settings import LengthConfig, TuningConfig

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSpec
    from accord.feedback.records import Feedback
    from accord.learning.unpaired import ThumbExample, UnpairedResult
    from accord.models.causal_lm import CausalLM
    from accord.text.encoding import Example
    from accord.text.language import Language


class KtoConfig(TuningConfig, UnpairedSettings):
    """Settings of a kto stage."""

    kind: Literal["kto"]
    feedback: Judgements = Field(
        description=(
            "Thumbs (a stage, or a file, directory or Hub id in any known format); a comparison"
            " counts as a desirable and an undesirable response, a ranking called all bad as"
            " undesirable ones."
        )
    )
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")


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
            rows = planning.whole(len(thumbs), context)
            tokens = planning.whole(sum(len(t.prompt) + len(t.response) for t in thumbs), context)
        elif rows:
            tokens = rows * config.lengths.most
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
            steps=updates(rows, config.batch, config.epochs),
            notes=[
                f"beta {config.beta:g}, {config.epochs:g} epochs in batches of {config.batch}"
                " responses"
            ],
        )

    def run(self, config: KtoConfig, context: StageContext) -> StageResult:
        policy, reference = load_policy(config, context)
        thumbs = read_thumbs(config.feedback, policy, config.lengths, context)
        result = _train(config, policy, reference, thumbs, context)
        return _save(config, policy, result, thumbs, context)


def _train(
    config: KtoConfig,
    policy: CausalLM,
    reference: CausalLM | None,
    thumbs: Sequence[ThumbExample],
    context: StageContext,
) -> UnpairedResult:
    from accord.learning.unpaired import train_unpaired

    on_step = examine_along(config, policy, context)
    session = context.session(_note)
    return train_unpaired(policy, reference, thumbs, config, session, on_step, seed=context.seed)


def _save(
    config: KtoConfig,
    policy: CausalLM,
    result: UnpairedResult,
    thumbs: Sequence[ThumbExample],
    context: StageContext,
) -> StageResult:
    good = sum(t.desirable for t in thumbs)
    summary = (
        f"{good:,} desirable, {len(thumbs) - good:,} undesirable responses, "
        f"{result.steps} steps; loss {result.loss:.3f}"
    )
    values = vars(result) | {"desirable": good, "rows": len(thumbs)}
    return StageResult(summary, values, save_policy(config, policy, context))


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss']:.3f}, reference point {values['reference_point']:.2f}"


class Mark(NamedTuple):
    """What a record says of one of its responses: its name there, whether it is desirable, how much
    that counts."""

    response: str
    desirable: bool
    weight: float


def read_thumbs(
    reference: DataSpec, model: Language, lengths: LengthConfig, context: StageContext
) -> list[ThumbExample]:
    """Tokenised thumbs, with what was left out counted. Raises DataError when nothing can be
    used."""
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
    for number, record in enumerate(records):
        marked, named = _marked(record), responses(record)
        if not marked:
            left_out[
                "tie" if record.kind == "comparison" else f"{record.kind}: says no good and bad"
            ] += 1
        for mark in marked:
            response = named[mark.response]
            if response.blank:
                left_out["empty response"] += 1
                continue
            row = row_name(record, mark.response, marks)
            examples.append(encoder.example(record.asked, response.content, response.finished, row))
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
    from accord.runs.stages.answers import bad

    choice = record.choice
    if isinstance(choice, Thumb):
        return [Mark(record.options[0].id, choice.up, record.weight)]
    if isinstance(choice, Comparison) and choice.preferred is not None:
        sure = 1.0 if choice.probability is None else 2 * choice.probability - 1
        return [
            Mark(o.id, o.id == choice.preferred, record.weight * sure / 2)
            for o in record.options
            if sure
        ]
    if bad(record):
        return [
            Mark(option.id, False, record.weight / len(record.options)) for option in record.options
        ]
    return []
