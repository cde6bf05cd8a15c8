"""Pretraining a small language model from scratch, tokenizer included, or going on with a model's
pretraining; on text as it is, or with feedback on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from accord.errors import ConfigError, DataError
from accord.learning.settings import PretrainingSettings
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import PolicyName, Texts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult, Value
from accord.runs.stages.settings import TrainingConfig
from accord.runs.stages.text_scores import FeedbackConfig, TextRow, read_rows_of_text
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSpec
    from accord.models.causal_lm import CausalLM
    from accord.runs.plan import KnownModel

TOKENS_PER_TEXT = 350
"""Taken for plans only: the text is not tokenised before the tokenizer exists."""
SHAPE = ("vocab_size", "hidden", "layers", "heads", "mlp", "context")
"""Settings of a new model."""


class PretrainConfig(TrainingConfig, PretrainingSettings):
    """Settings of a pretrain stage."""

    kind: Literal["pretrain"]
    data: Texts = Field(description="JSONL with a text per row.")
    heldout: Texts = Field(description="JSONL with a text per row, never trained on.")
    model: PolicyName | None = Field(
        None,
        description="A model whose pretraining goes on, with its own tokenizer and shape; null: a"
        " new one.",
    )
    feedback: FeedbackConfig | None = Field(
        None, description="Pretraining with feedback: scores of the text, and what they change."
    )
    vocab_size: int = Field(4096, ge=300, description="Entries of the byte-level BPE.")
    hidden: int = Field(256, ge=16, description="Width of the model.")
    layers: int = Field(4, ge=1, description="Depth of the model.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    mlp: int = Field(704, ge=16, description="Width of the feed-forward layers.")
    context: int = Field(
        512, ge=32, description="Longest sequence the model is made for, in tokens."
    )
    window: int = Field(128, ge=16, description="Tokens per training window.")
    half: bool = Field(True, description="Store weights in fp16 (half the size).")

    @model_validator(mode="after")
    def _fits(self) -> PretrainConfig:
        if self.window > self.context:
            raise ValueError(f"window {self.window} is longer than the context {self.context}")
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        if self.model is None and self.lora is not None:
            raise ValueError("lora adapts a model, and a new one is made: set model or no lora")
        fields = type(self).model_fields  # a recipe as it was run names all settings
        given = [name for name in SHAPE if getattr(self, name) != fields[name].default]
        if self.model is not None and given:
            raise ValueError(f"{given[0]} is the shape of a new model, and model has its own")
        if self.lora is not None and self.feedback and self.feedback.objective == "conditional":
            raise ValueError("conditional training adds tags, which lora would freeze")
        return self

    def code(self) -> Sequence[str]:
        return self.feedback.code() if self.feedback else ()

    def parameters(self) -> int:
        """Weights of the model."""
        block = 4 * self.hidden**2 + 3 * self.hidden * self.mlp + 2 * self.hidden
        return self.vocab_size * self.hidden + self.layers * block + self.hidden


class Pretrain(Stage):
    """Trains a byte-level BPE and a Llama-architecture causal LM on text, or a given causal LM
    further."""

    kind = "pretrain"
    Config = PretrainConfig
    provides: ClassVar = {"model": "policy"}
    about = "a small Llama from scratch, or a model further, on text with or without feedback on it"

    def plan(self, config: PretrainConfig, context: StageContext) -> Plan:
        from accord.runs import estimate
        from accord.runs.reading import planned_rows

        model = _planned_model(config, context)
        scorers = config.feedback.scorers if config.feedback else []
        rows = planned_rows(config.data, context)
        for setting, spec in (("data", config.data), ("heldout", config.heldout)):
            try:
                with context.about(setting):
                    found = len(_read(spec, config, context))
                rows = found if setting == "data" else rows
            except NotYet:
                continue
        if config.feedback is not None:
            with context.about("feedback"):
                _check_scorers(config.feedback, context)
        size = model.size
        notes = [] if size is None else [f"{size.parameters / 1e6:.2f} M parameters"]
        notes.append(f"{config.epochs:g} epochs" if not config.max_steps else "")
        if config.feedback is not None:
            notes.append(f"objective {config.feedback.objective}")
        known = {"models": {"model": model}, "scorers": scorers}
        if rows is None:
            return Plan(notes=[n for n in notes if n], **known)  # type: ignore[arg-type]
        windows = math.ceil(rows * TOKENS_PER_TEXT / config.window)
        steps = config.max_steps or estimate.updates(windows, config.batch, config.epochs)
        read = config.max_steps and config.max_steps * config.batch * config.window
        memory = (
            None if size is None else estimate.memory_mib(size, 1, 0, config.micro_batch_tokens)
        )
        return Plan(
            rows=rows,
            tokens=read or round(rows * TOKENS_PER_TEXT * config.epochs),
            models=known["models"],  # type: ignore[arg-type]
            scorers=scorers,
            steps=steps,
            memory_mib=memory,
            notes=[*(n for n in notes if n), f"at {TOKENS_PER_TEXT} tokens per text"],
        )

    def run(self, config: PretrainConfig, context: StageContext) -> StageResult:
        from accord.models.loading import Dtype, save_causal_lm

        rows, heldout = (_read(name, config, context) for name in (config.data, config.heldout))
        model = _model(config, [row.text for row in rows], context)
        if config.window > model.context:
            raise ConfigError(
                f"window {config.window} is longer than the model's context of {model.context}",
                "lower window",
            )
        learn = _learn if config.feedback is None else _learn_with_feedback
        learnt = learn(model, rows, heldout, config, context)
        dtype: Dtype = "float16" if config.half else "float32"
        saved = save_causal_lm(model, context.folder / "model", dtype)
        bits = learnt.heldout_nll / sum(len(row.text.encode()) for row in heldout) / math.log(2)
        parameters = sum(p.numel() for p in model.hf.parameters())
        values: dict[str, Value] = {
            **learnt.values,
            "parameters": parameters,
            "bits_per_byte": bits,
        }
        summary = (
            f"{parameters / 1e6:.1f} M parameters; held-out {learnt.values['heldout_loss']:.3f}"
            f" nats/token, {bits:.3f} bits/byte{learnt.told}"
        )
        return StageResult(summary, values, {"model": saved})


class Learnt(NamedTuple):
    """What a training on text gave: values for result.json, nats of all held-out tokens, and what
    else the summary tells."""

    values: dict[str, float]
    heldout_nll: float
    told: str = ""


def _read(spec: DataSpec, config: PretrainConfig, context: StageContext) -> list[TextRow]:
    from accord.feedback.formats.source import name_of
    from accord.runs.reading import read_text_rows

    rows = read_text_rows(spec, context)
    found = read_rows_of_text(rows, config.feedback is not None and config.feedback.by_rows)
    if not found:
        raise DataError(f"{name_of(spec)} holds no text", "name a file with a text per row")
    if len(found) < len(rows):
        context.say(f"{name_of(spec)}: {len(rows) - len(found):,} rows with a blank text left out")
    return found


def _check_scorers(feedback: FeedbackConfig, context: StageContext) -> None:
    """Raise ConfigError for functions or a reward model that cannot score."""
    from accord.runs.known import known_model

    feedback.check_functions([], context)
    if feedback.reward is not None:
        known_model(feedback.reward, "reward model", context)


def _learn(
    model: CausalLM,
    rows: Sequence[TextRow],
    heldout: Sequence[TextRow],
    config: PretrainConfig,
    context: StageContext,
) -> Learnt:
    """Text as it is."""
    from accord.learning.supervised import describe, train_supervised
    from accord.models.loading import raw_tokenizer
    from accord.text.corpus import cut_windows

    begin, end = document_ids(model)
    train, held = (
        cut_windows(raw_tokenizer(model), [row.text for row in part], config.window, begin, end)
        for part in (rows, heldout)
    )
    context.say(
        f"{train.tokens:,} tokens in {len(train.groups):,} windows ({train.dropped_tokens:,} in"
        " short tails dropped)"
    )
    session = context.session(_note, **config.checkpoints.model_dump())
    result = train_supervised(model, train.groups, config, session, held.groups, seed=context.seed)
    scored = sum(len(r) for g in held.groups for r in g.responses)
    values = {**describe(result), "dropped_tokens": float(train.dropped_tokens)}
    return Learnt(values, (result.heldout_loss or 0.0) * scored)


def _learn_with_feedback(
    model: CausalLM,
    rows: Sequence[TextRow],
    heldout: Sequence[TextRow],
    config: PretrainConfig,
    context: StageContext,
) -> Learnt:
    from accord.runs.stages.scorers import END, START, note_scorers
    from accord.runs.stages.text_feedback import TextFeedback

    assert config.feedback is not None
    note_scorers(config, context, START)
    text = TextFeedback(model, config, config.window, config.feedback, document_ids(model), context)
    train, held = text.train(rows), text.heldout(heldout)
    session = context.session(_note, **config.checkpoints.model_dump())
    learnt = Learnt(*text.learn(train, held, session))
    note_scorers(config, context, END)
    return learnt


def document_ids(model: CausalLM) -> tuple[int, int]:
    """(id before a document, id after it); a model without BOS has EOS on both sides."""
    bos, eos = model.tokenizer.bos_token_id, model.tokenizer.eos_token_id
    if eos is None:
        raise ConfigError("the tokenizer has no EOS token", "set eos_token: documents must end")
    return eos if bos is None else bos, eos


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss_tok']:.3f}"


# --- the model ------------------------------------------------------------------------------------
def _planned_model(config: PretrainConfig, context: StageContext) -> KnownModel:
    from accord.runs.plan import KnownModel, ModelSize
    from accord.runs.stages.planning import look_at_policy

    if config.model is None:
        size = ModelSize(config.parameters(), config.layers, config.hidden)
        return KnownModel(f"stage:{context.name}", "policy", size=size)
    model = look_at_policy(config.model, context, config.lora, trains=True)
    return model.left_by(context.name, adapter=model.adapter or config.lora is not None)


def _model(config: PretrainConfig, texts: Sequence[str], context: StageContext) -> CausalLM:
    """The model at the start, with tags where it is trained conditionally."""
    from accord.models.tags import add_tags

    model = _new_model(config, texts, context) if config.model is None else _given(config, context)
    if config.feedback is not None and config.feedback.objective == "conditional":
        model = add_tags(model, context.seed)
    return model


def _given(config: PretrainConfig, context: StageContext) -> CausalLM:
    from accord.models.loading import add_lora, load_causal_lm

    assert config.model is not None
    bits = config.lora.bits if config.lora else None
    model = load_causal_lm(context.resolve(config.model), context.device, bits=bits)
    return add_lora(model, config.lora.settings(), context.seed) if config.lora else model


def _new_model(config: PretrainConfig, texts: Sequence[str], context: StageContext) -> CausalLM:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from accord.models.causal_lm import CausalLM
    from accord.text.corpus import save_tokenizer, train_bpe

    made = train_bpe(texts, config.vocab_size)
    folder = save_tokenizer(made, context.folder / "tokenizer", config.context)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        intermediate_size=config.mlp,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(context.seed, "weights"))
        return CausalLM(LlamaForCausalLM(shape).to(context.device), tokenizer)
