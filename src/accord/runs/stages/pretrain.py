"""Pretraining a small language model from scratch, tokenizer included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from accord.learning.settings import PretrainingSettings
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import Texts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult, Value
from accord.runs.stages.settings import TrainingConfig
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM

TOKENS_PER_TEXT = 350
"""Taken for plans only: the text is not tokenised before the tokenizer exists."""


class PretrainConfig(TrainingConfig, PretrainingSettings):
    """Settings of a pretrain stage."""

    kind: Literal["pretrain"]
    data: Texts = Field(description="JSONL with a text per row.")
    heldout: Texts = Field(description="JSONL with a text per row, never trained on.")
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
        return self

    def parameters(self) -> int:
        """Weights of the model."""
        block = 4 * self.hidden**2 + 3 * self.hidden * self.mlp + 2 * self.hidden
        return self.vocab_size * self.hidden + self.layers * block + self.hidden


class Pretrain(Stage):
    """Trains a byte-level BPE and a Llama-architecture causal LM on plain text."""

    kind = "pretrain"
    Config = PretrainConfig
    provides: ClassVar = {"model": "policy"}
    about = "a small Llama from scratch, with its own byte-level BPE"

    def plan(self, config: PretrainConfig, context: StageContext) -> Plan:
        from accord.runs import estimate
        from accord.runs.plan import KnownModel, ModelSize
        from accord.runs.reading import planned_rows, read_texts

        size = ModelSize(config.parameters(), config.layers, config.hidden)
        models = {"model": KnownModel(f"stage:{context.name}", "policy", size=size)}
        rows = planned_rows(config.data, context)
        for setting, spec in (("data", config.data), ("heldout", config.heldout)):
            try:
                with context.about(setting):
                    found = len(read_texts(spec, context))
                rows = found if setting == "data" else rows
            except NotYet:
                continue
        notes = [f"{config.parameters() / 1e6:.2f} M parameters, {config.epochs:g} epochs"]
        if rows is None:
            return Plan(notes=notes, models=models)
        windows = math.ceil(rows * TOKENS_PER_TEXT / config.window)
        return Plan(
            rows=rows,
            tokens=round(rows * TOKENS_PER_TEXT * config.epochs),
            models=models,
            steps=config.max_steps or estimate.updates(windows, config.batch, config.epochs),
            memory_mib=estimate.memory_mib(size, 1, 0, config.micro_batch_tokens),
            notes=[*notes, f"at {TOKENS_PER_TEXT} tokens per text"],
        )

    def run(self, config: PretrainConfig, context: StageContext) -> StageResult:
        from accord.learning.supervised import describe, train_supervised
        from accord.models.loading import Dtype, save_causal_lm
        from accord.runs.reading import read_texts
        from accord.text.corpus import cut_windows, save_tokenizer, train_bpe

        texts, heldout = (read_texts(name, context) for name in (config.data, config.heldout))
        tokenizer = train_bpe(texts, config.vocab_size)
        folder = save_tokenizer(tokenizer, context.folder / "tokenizer", config.context)
        train, held = (cut_windows(tokenizer, t, config.window) for t in (texts, heldout))
        context.say(
            f"{train.tokens:,} tokens in {len(train.groups):,} windows ({train.dropped_tokens:,} in"
            " short tails dropped)"
        )
        model = _new_model(config, folder, context)
        session = context.session(_note, **config.checkpoints.model_dump())
        result = train_supervised(
            model, train.groups, config, session, held.groups, seed=context.seed
        )
        dtype: Dtype = "float16" if config.half else "float32"
        saved = save_causal_lm(model, context.folder / "model", dtype)
        held_text = sum(len(t.encode()) for t in heldout)
        scored = sum(len(r) for g in held.groups for r in g.responses)
        bits = (result.heldout_loss or 0.0) * scored / held_text / 0.6931471805599453
        values: dict[str, Value] = {
            **describe(result),
            "parameters": config.parameters(),
            "bits_per_byte": bits,
            "dropped_tokens": train.dropped_tokens,
        }
        summary = (
            f"{config.parameters() / 1e6:.1f} M parameters; held-out {result.heldout_loss:.3f}"
            f" nats/token, {bits:.3f} bits/byte"
        )
        return StageResult(summary, values, {"model": saved})


def _note(values: Mapping[str, float]) -> str:
    return f"loss {values['loss_tok']:.3f}"


def _new_model(config: PretrainConfig, tokenizer_folder: Path, context: StageContext) -> CausalLM:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from accord.models.causal_lm import CausalLM

    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder), trust_remote_code=False)
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
        return CausalLM(LlamaForCausalLM(shape).to(context.device), tokenizer)  # type: ignore[arg-type]
