"""Supervised fine-tuning on demonstrations; the loss is on the response only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from accord.errors import DataError
from accord.learning.settings import SupervisedSettings
from accord.runs.context import StageContext
from accord.runs.inputs import Demonstrations, PolicyName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult
from accord.runs.stages.aside import aside_text, drawn, kept_back, left_to_train, set_aside
from accord.runs.stages.before_after import BeforeAfter
from accord.runs.stages.policy import load_start
from accord.runs.stages.settings import Aside, LengthConfig, ReadsData, ShowsAnswers, TrainingConfig

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSpec
    from accord.feedback.records import Content, Feedback
    from accord.learning.supervised import SupervisedResult
    from accord.models.causal_lm import CausalLM
    from accord.text.conversations import Turns
    from accord.text.encoding import Example, Prompt, Response
    from accord.text.language import Language
    from accord.text.packing import PromptGroup


class SftConfig(ReadsData, ShowsAnswers, TrainingConfig, SupervisedSettings):
    """Settings of an sft stage."""

    kind: Literal["sft"]
    model: PolicyName = Field(description="The model to start from.")
    data: Demonstrations = Field(
        description="Demonstrations in any known format: file, directory or Hub id."
    )
    turns: Literal["last", "every"] = Field(
        "last", description="Assistant turns of a conversation that are trained."
    )
    preferred: bool = Field(
        False,
        description=(
            "Learn from the preferred answers of comparisons and rankings too, as if they were"
            " demonstrations."
        ),
    )
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    evaluation: Aside | Demonstrations = Field(
        256,
        description=(
            "Demonstrations that are measured and not trained on: how many from the end, their"
            " share, or data of their own."
        ),
    )
    limit: int | None = Field(
        None, ge=2, description="Use only that many demonstrations, drawn at random."
    )


class Sft(Stage):
    """Fine-tunes a causal LM on prompts with responses."""

    kind = "sft"
    Config = SftConfig
    provides: ClassVar = {"model": "policy", "adapter": "policy"}
    about = "supervised fine-tuning on demonstrations, loss on the response only"

    def plan(self, config: SftConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import TokenWork, updates
        from accord.runs.reading import planned_rows
        from accord.runs.stages.planning import look_at_policy, rehearse, training_plan, whole

        model = look_at_policy(config.model, context, config.lora, trains=True, merges=True)
        examples = rehearse(
            lambda language: read_demonstrations(
                config.data, language, config.lengths, context, config.turns, config.preferred
            ),
            model,
        )
        rows, tokens = planned_rows(config.data, context), 0
        if examples is not None:
            found = whole(len(examples), context)
            rows = min(found, config.limit or found)
            left_to_train(rows, config.evaluation, "demonstrations")
            tokens = round(sum(e.group.tokens for e in examples) / len(examples) * rows)
        left = None if rows is None else max(0, rows - kept_back(rows, config.evaluation))
        steps = config.max_steps or updates(left, config.batch, config.epochs)
        work = TokenWork(trained=round(tokens * config.epochs))
        return training_plan(
            config,
            model,
            context,
            work,
            rows=rows,
            steps=steps,
            models={
                name: model.left_by(context.name, adapter=name == "adapter")
                for name in self.provides
            },
            notes=[
                f"{config.epochs:g} epochs in batches of {config.batch}, kept aside:"
                f" {aside_text(config.evaluation)}"
            ],
        )

    def run(self, config: SftConfig, context: StageContext) -> StageResult:
        model = load_start(config, context)
        data = _load(config, model, context)
        prompts = [group.prompt for group in data.heldout]
        shown = BeforeAfter(model, prompts, config.samples, context)
        before, result = _train(config, model, data, context)
        shown.write()
        return _save(config, model, before, result, context)


class SftData(NamedTuple):
    """The demonstrations trained on, and those kept aside."""

    train: list[PromptGroup]
    heldout: list[PromptGroup]


def _load(config: SftConfig, model: CausalLM, context: StageContext) -> SftData:
    """Demonstrations, tokenised."""

    def read(spec: DataSpec) -> list[Example]:
        return read_demonstrations(
            spec, model, config.lengths, context, config.turns, config.preferred
        )

    apart = [] if isinstance(config.evaluation, (int, float)) else read(config.evaluation)
    train, heldout = _split(read(config.data), config, apart, context.seed)
    return SftData([e.group for e in train], [e.group for e in heldout])


def _split(
    examples: list[Example], config: SftConfig, apart: list[Example], seed: int
) -> tuple[list[Example], list[Example]]:
    """(examples to train on, examples kept aside), within the limit."""
    examples = drawn(examples, config.limit, seed)
    if isinstance(config.evaluation, (int, float)):
        return set_aside(examples, config.evaluation, what="demonstrations")
    return examples, apart


def _train(
    config: SftConfig, model: CausalLM, data: SftData, context: StageContext
) -> tuple[float, SupervisedResult]:
    """(held-out loss before the training, what came of it)."""
    from accord.learning.supervised import heldout_loss, train_supervised

    before = heldout_loss(model, data.heldout, config.micro_batch_tokens)
    session = context.session(_note, **config.checkpoints.model_dump())
    return before, train_supervised(
        model, data.train, config, session, data.heldout, seed=context.seed
    )


def _save(
    config: SftConfig,
    model: CausalLM,
    before: float,
    result: SupervisedResult,
    context: StageContext,
) -> StageResult:
    """The model, beside its adapter where one was trained."""
    from accord.learning.supervised import describe
    from accord.models.loading import merge_adapter, save_causal_lm

    artefacts = {"model": context.folder / "model"}
    if config.lora is not None:  # later stages put adapters of their own on the merged model
        artefacts["adapter"] = save_causal_lm(model, context.folder / "adapter")
    save_causal_lm(merge_adapter(model), artefacts["model"])
    values = describe(result) | {"heldout_loss_before": before}
    summary = f"held-out loss {before:.3f} → {result.heldout_loss:.3f} nats/token"
    return StageResult(summary, values, artefacts)


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss_tok']:.3f}"


def read_demonstrations(
    source: DataSpec,
    model: Language,
    lengths: LengthConfig,
    context: StageContext,
    turns: Turns = "last",
    preferred: bool = False,
) -> list[Example]:
    """Tokenise demonstrations of any known format and apply the length policy; each counts by its
    record's weight. `preferred`: the better answers of judgements are demonstrations too."""
    from accord.runs.reading import read_records
    from accord.runs.stages.lengths import apply_lengths
    from accord.runs.stages.usable import usable

    encoder, examples = context.encoder(model), []
    read = read_records(source, context)
    records, silent = usable(read.records)
    shown, others = _demonstrations(records, preferred, context)
    dropped, malformed = Counter(read.dropped) + silent + others, Counter[str]()
    for record, content in shown:
        try:
            turns_of = _turns(record, content, turns)
        except DataError as error:  # one row does not end a run; too many are refused below
            malformed[error.message.removeprefix(f"row {record.id}: ")] += 1
            continue
        if not turns_of:
            dropped["demonstration whose messages have the weight 0"] += 1
        for prompt, response, finished in turns_of:
            example = encoder.example(prompt, response, finished, record.id)
            examples.append(replace(example, weight=example.weight * record.weight))
    _refuse_malformed(malformed, len(shown), source, context)
    dropped += malformed
    if not examples:
        raise _nothing_shown(records, source, read.shape, preferred)
    return apply_lengths(
        examples,
        model,
        lengths,
        context,
        dict(dropped),
        read.left_out,
        unreadable=sum(read.dropped.values()) + malformed.total(),
    )


def _demonstrations(
    records: Sequence[Feedback], preferred: bool, context: StageContext
) -> tuple[list[tuple[Feedback, Content]], Counter[str]]:
    """(demonstrations with what they show, how many other records there are by kind); with
    `preferred` the better answers of judgements are demonstrations too."""
    from accord.feedback.records import Demonstration
    from accord.runs.stages.preferred import ORDERING, preferred_answers

    found: list[tuple[Feedback, Content]] = []
    others, answers = Counter[str](), 0
    for record in records:
        here = [record]
        if preferred and record.kind in ORDERING:
            here = list(preferred_answers(record))
            answers += len(here)
            others[f"{record.kind}: no better answer, or a blank one"] += not here
        for one in here:
            if isinstance(one.choice, Demonstration):
                found.append((one, one.choice.content))
            else:
                others[f"{record.kind}: no demonstration"] += 1
    if answers:
        context.say(f"{answers:,} preferred answers of judgements are learned from")
    return found, +others


def _refuse_malformed(
    malformed: Counter[str], rows: int, source: DataSpec, context: StageContext
) -> None:
    """Raise DataError where more conversations than allowed are none."""
    from accord.errors import by_reason
    from accord.feedback.formats.source import name_of
    from accord.runs.dropping import allowing, rounded_up

    if malformed.total() > context.allow_dropped * rows:
        raise DataError(
            f"{malformed.total():,} of {rows:,} demonstrations in {name_of(source)} are no"
            f" conversations: {by_reason(malformed)}",
            f"repair them; {allowing(rounded_up(malformed.total(), rows), context)} goes on without"
            " them",
        )


def _nothing_shown(
    records: Sequence[Feedback], source: DataSpec, shape: str, preferred: bool
) -> DataError:
    from accord.feedback.formats.source import name_of
    from accord.runs.stages.preferred import ORDERING

    held, fix = "no demonstrations", "name rows with a prompt and a response"
    if any(record.kind in ORDERING for record in records):
        if preferred:
            held += ", and its comparisons and rankings name no better answer"
        else:
            fix = "preferred: true learns from the better answers of its comparisons and rankings"
    return DataError(f"{name_of(source)} ({shape}) holds {held}", fix)


def _turns(record: Feedback, content: Content, turns: Turns) -> list[tuple[Prompt, Response, bool]]:
    """(prompt, response, whether it ended) of what is trained, see `split_conversation`; none where
    all messages have the weight
    0. A text, such as a policy's own, stays as it is, to the letter."""
    from accord.feedback.records import WRITTEN, to_json
    from accord.runs.stages.usable import ended
    from accord.text.conversations import split_conversation

    finished = ended(record, WRITTEN)
    if isinstance(record.prompt, str) or (isinstance(content, str) and turns == "last"):
        return [(record.asked, to_json(content), finished)]
    answer: list[Any] = (
        [{"role": "assistant", "content": content}]
        if isinstance(content, str)
        else to_json(content)
    )
    messages = [*to_json(record.prompt), *answer]
    if all(message.get("weight") == 0 for message in messages if message["role"] == "assistant"):
        return []
    whole = {**record.asked, "messages": messages} if isinstance(record.asked, dict) else messages
    *before, (prompt, response) = split_conversation(whole, turns, record.id)
    last = content if isinstance(content, str) and response == answer else response
    return [
        *((p, r, True) for p, r in before),
        (prompt, last, finished or response[-1] != answer[-1]),
    ]
