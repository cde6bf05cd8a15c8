"""Supervised fine-tuning on demonstrations; the loss is on the response only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from accord.errors import DataError
from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageResult
from accord.runs.stages.settings import LengthConfig, TrainingConfig, training_plan

if TYPE_CHECKING:
    from accord.feedback.records import Content, Feedback
    from accord.text.conversations import Turns
    from accord.text.encoding import Example
    from accord.text.language import Language


class SftConfig(TrainingConfig):
    """Settings of an sft stage."""

    kind: Literal["sft"]
    model: str = Field(description="The model to start from.")
    data: str = Field(description="Demonstrations in any known format: file, directory or Hub id.")
    turns: Literal["last", "every"] = Field("last", description="Assistant turns of a conversation that are trained.")
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    epochs: float = Field(1.0, gt=0, description="Passes over the demonstrations.")
    batch: int = Field(48, ge=1, description="Demonstrations per optimiser step.")
    heldout: int = Field(256, ge=1, description="Demonstrations kept aside, from the end.")


class Sft(Stage):
    """Fine-tunes a causal LM on prompts with responses."""

    kind = "sft"
    Config = SftConfig
    provides = ("model", "adapter")
    about = "supervised fine-tuning on demonstrations, loss on the response only"

    def plan(self, config: SftConfig, context: StageContext) -> Plan:
        from accord.runs import estimate

        size, rows = estimate.model_size(config.model, context), estimate.rows_of(config.data, context)
        tokens = estimate.text_tokens(rows, config.lengths)
        work = estimate.Work(trained=round(tokens * config.epochs))
        example = estimate.demonstration(config.data, context)
        return training_plan(
            config, size, work, rows=rows, steps=estimate.updates(rows, config.batch, config.epochs),
            example=estimate.decoded_example(example, config.model, context), model=size, base=config.model,
            notes=[f"{config.epochs:g} epochs in batches of {config.batch}, lengths: {config.lengths.too_long}"],
        )  # fmt: skip

    def run(self, config: SftConfig, context: StageContext) -> StageResult:
        from accord.learning.supervised import SupervisedSettings, describe, heldout_loss, train_supervised
        from accord.models.loading import add_lora, load_causal_lm, merge_adapter, save_causal_lm

        model = load_causal_lm(context.resolve(config.model), context.device)
        if config.lora is not None:
            model = add_lora(model, config.lora.settings(), context.seed)
        examples = read_demonstrations(context.resolve(config.data), model, config.lengths, context, config.turns)
        if len(examples) <= config.heldout:
            raise DataError(
                f"{len(examples)} demonstrations, but {config.heldout} are to be kept aside", "lower heldout"
            )
        groups = [e.group for e in examples]
        train, heldout = groups[: -config.heldout], groups[-config.heldout :]
        before = heldout_loss(model, heldout, config.micro_batch_tokens)
        settings = SupervisedSettings(
            epochs=config.epochs, batch=config.batch, micro_batch_tokens=config.micro_batch_tokens, seed=context.seed,
            optimizer=config.optimizer(),
        )  # fmt: skip
        result = train_supervised(model, train, settings, context.session(_note), heldout)
        artefacts = {"model": context.folder / "model"}
        if config.lora is not None:  # later stages put adapters of their own on the merged model
            artefacts["adapter"] = save_causal_lm(model, context.folder / "adapter")
        save_causal_lm(merge_adapter(model), artefacts["model"])
        values = describe(result) | {"heldout_loss_before": before}
        return StageResult(f"held-out loss {before:.3f} → {result.heldout_loss:.3f} nats/token", values, artefacts)


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss_tok']:.3f}"


def read_demonstrations(
    source: str, model: Language, lengths: LengthConfig, context: StageContext, turns: Turns = "last"
) -> list[Example]:
    """Tokenise demonstrations of any known format and apply the length policy; each counts by its record's weight."""
    from accord.feedback.formats import read_feedback
    from accord.feedback.records import Demonstration
    from accord.runs.stages.lengths import apply_lengths
    from accord.runs.stages.usable import usable

    encoder, examples = context.encoder(model), []
    read = read_feedback(source)
    records, silent = usable(read.records)
    left_out = Counter({**read.dropped, **read.left_out}) + silent
    for record in records:
        if not isinstance(record.choice, Demonstration):
            left_out[f"{record.kind}: no demonstration"] += 1
            continue
        turns_of = _turns(record, record.choice.content, turns)
        if not turns_of:
            left_out["demonstration whose messages have the weight 0"] += 1
        for prompt, response, finished in turns_of:
            example = encoder.example(prompt, response, finished, record.id)
            examples.append(replace(example, weight=example.weight * record.weight))
    if not examples:
        raise DataError(f"{source} ({read.shape}) holds no demonstrations", "name rows with a prompt and a response")
    return apply_lengths(examples, model, lengths, context, dict(left_out))


def _turns(record: Feedback, content: Content, turns: Turns) -> list[tuple[Any, Any, bool]]:
    """(prompt, response, whether it ended) of what is trained, see `split_conversation`; none where all messages have the weight
    0. A text, such as a policy's own, stays as it is, to the letter."""
    from accord.feedback.records import to_json
    from accord.runs.stages.usable import WRITTEN, ended
    from accord.text.conversations import split_conversation

    finished = ended(record, WRITTEN)
    if isinstance(record.prompt, str) or (isinstance(content, str) and turns == "last"):
        return [(record.asked, to_json(content), finished)]
    answer: list[Any] = [{"role": "assistant", "content": content}] if isinstance(content, str) else to_json(content)
    messages = [*to_json(record.prompt), *answer]
    if all(message.get("weight") == 0 for message in messages if message["role"] == "assistant"):
        return []
    whole = {**record.asked, "messages": messages} if isinstance(record.asked, dict) else messages
    *before, (prompt, response) = split_conversation(whole, turns, record.id)
    last = content if isinstance(content, str) and response == answer else response
    return [*((p, r, True) for p, r in before), (prompt, last, finished or response[-1] != answer[-1])]
