"""Supervised fine-tuning on demonstrations; the loss is on the response only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from accord.errors import DataError
from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageResult
from accord.runs.stages.settings import LengthConfig, TrainingConfig

if TYPE_CHECKING:
    from accord.text.encoding import Encoder, Example


class SftConfig(TrainingConfig):
    """Settings of an sft stage."""

    kind: Literal["sft"]
    model: str = Field(description="The model to start from.")
    data: str = Field(description="Demonstrations in any known format: file, directory or Hub id.")
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
        return Plan(notes=[f"{config.epochs:g} epochs in batches of {config.batch}, lengths: {config.lengths.too_long}"])

    def run(self, config: SftConfig, context: StageContext) -> StageResult:
        from accord.learning.supervised import SupervisedSettings, describe, heldout_loss, train_supervised
        from accord.models.loading import add_lora, load_causal_lm, merge_adapter, save_causal_lm
        from accord.text.encoding import Encoder

        model = load_causal_lm(context.resolve(config.model), context.device)
        if config.lora is not None:
            model = add_lora(model, config.lora.settings(), context.seed)
        examples = read_demonstrations(context.resolve(config.data), Encoder(model.tokenizer), config.lengths, context)
        if len(examples) <= config.heldout:
            raise DataError(f"{len(examples)} demonstrations, but {config.heldout} are to be kept aside", "lower heldout")
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


def read_demonstrations(source: str, encoder: Encoder, lengths: LengthConfig, context: StageContext) -> list[Example]:
    """Tokenise demonstrations of any known format and apply the length policy.

    The table of what was kept, cut and dropped is shown and stored.
    """
    from accord.feedback.formats import plain, read_feedback
    from accord.text.lengths import fit_lengths

    examples: list[Example] = []
    read = read_feedback(source)
    for record in read.records:
        if record.kind == "demonstration":
            prompt = record.prompt if isinstance(record.prompt, str) else [m.model_dump() for m in record.prompt]
            examples.append(encoder.example(prompt, plain(record.choice.content), row=record.id))
    if not examples:
        raise DataError(f"{source} ({read.shape}) holds no demonstrations", "name rows with a prompt and a response")
    kept, table = fit_lengths(examples, encoder, lengths.max_prompt_tokens, lengths.max_response_tokens, lengths.too_long, read.dropped)
    for line in table.lines():
        context.say(line)
    write_lengths(context, "lengths", table.values())
    return kept


def write_lengths(context: StageContext, name: str, values: dict[str, Any]) -> None:
    """Keep the table of kept, cut and dropped rows with the stage."""
    write_json(context.folder / f"{name}.json", values)
