"""A causal language model as accord uses it: a decoder behind packed streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.models import precision
from accord.models.decoding import Decoder, LlamaDecoder, can_prepare
from accord.models.lengths import context_of, length_limit
from accord.models.llama import LlamaLM
from accord.models.logprob import CHUNK, token_logprobs
from accord.models.packed import (
    NAME,
    KeyValueCache,
    decode_forward,
    packed_forward,
    register_with_transformers,
)
from accord.text.packing import PackedStream
from accord.text.segments import Tags
from accord.text.tokenizer import id_count

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from accord.text.tokenizer import FileTokenizer


class CausalLM:
    """A decoder with its tokenizer.

    `hf` is a Llama-like model of ours or a transformers model, both with transformers' names (with
    LoRA layers injected when `adapter` is set; `adapter` is then the PEFT wrapper that saves and
    switches them). `tags`: of a model that was trained conditionally; each text is read with the
    good one before its segments, and tags are neither scored nor sampled. Dropout is off
    for good: with dropout the probability ratio of a policy differs from 1 before any update.
    """

    def __init__(
        self,
        hf: PreTrainedModel | LlamaLM,
        tokenizer: PreTrainedTokenizerBase | FileTokenizer,
        adapter: Any = None,
    ) -> None:
        self.hf: Any = hf.eval()
        if not isinstance(self.hf, LlamaLM):
            register_with_transformers()
            self.hf.config._attn_implementation = NAME
        self.tokenizer: Any = tokenizer
        self.adapter = adapter
        self.tags = self._known_tags = Tags.of(self.hf.config)
        self._plain_head = _has_plain_head(hf)
        self.limit = length_limit(self.hf.config.get_text_config())

    @property
    def body(self) -> nn.Module:
        """The decoder without its vocabulary head."""
        body: nn.Module = self.hf.base_model if self.hf.base_model is not self.hf else self.hf.model
        return body

    @property
    def hidden_size(self) -> int:
        return int(self.hf.config.get_text_config().hidden_size)

    @cached_property
    def vocab_size(self) -> int:
        """Ids from 0 that the tokenizer has a token for. Models often have more rows, to fill up a
        matrix: those are neither sampled nor scored, here as in the sampler; nor are tags."""
        ids = min(int(self.head_weight.shape[0]), id_count(self.tokenizer))
        return ids if self._known_tags is None else min(ids, self._known_tags.first)

    @property
    def head_weight(self) -> Tensor:
        """Vocabulary projection, one row per id, and perhaps some that no token has."""
        weight: Tensor = self.hf.get_output_embeddings().weight
        return weight

    @property
    def device(self) -> torch.device:
        device: torch.device = self.hf.device
        return device

    @property
    def context(self) -> int:
        """Longest sequence the model was made for and that accord can rescore, in tokens."""
        return context_of(self.hf.config)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trainable parameters (the adapter's when there is one)."""
        return (p for p in self.hf.parameters() if p.requires_grad)

    def reference(self) -> AbstractContextManager[Any]:
        """Within this context the adapter is off: the model is its own frozen reference."""
        return self.adapter.disable_adapter() if self.adapter is not None else nullcontext()

    @contextmanager
    def reading(self, tags: Tags | None) -> Iterator[None]:
        """Within it, texts are read with these tags (None: as they stand)."""
        before, self.tags = self.tags, tags
        try:
            yield
        finally:
            self.tags = before

    @contextmanager
    def native_forward(self) -> Iterator[Any]:
        """Within it, `hf` called with whole sequences runs the architecture's own forward pass."""
        if isinstance(self.hf, LlamaLM):
            yield self.hf
            return
        self.hf.config._attn_implementation = "eager"
        try:
            yield self.hf
        finally:
            self.hf.config._attn_implementation = NAME

    # --- forward ----------------------------------------------------------------------------------
    def hidden(self, stream: PackedStream) -> Tensor:
        """Final hidden states [N, H] of a packed stream; of a token that a tag follows, the tag's
        (it says what comes next)."""
        read, at_N = (stream, None) if self.tags is None else self.tags.insert(stream)
        self._check_length(read.positions_N)
        with precision.scope(self.device.type):
            hidden = _wide(packed_forward(self.body, read))
        return hidden if at_N is None else F.embedding(at_N, hidden)

    def _check_length(self, positions: Tensor) -> None:
        if self.limit is not None:
            self.limit.check(int(positions.max()) + 1, self.hf.config.model_type)

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits in fp32 [..., V], with the architecture's own scaling or
        soft-capping."""
        config = self.hf.config.get_text_config()
        logits: Tensor = self.hf.get_output_embeddings()(hidden)[..., : self.vocab_size].float()
        if scaling := getattr(config, "logits_scaling", None):
            logits = logits / scaling
        if scale := getattr(config, "logit_scale", None):
            logits = logits * scale
        if cap := getattr(config, "final_logit_softcapping", None):
            logits = torch.tanh(logits / cap) * cap
        return logits

    def logprobs(self, stream: PackedStream, temperature: float = 1.0) -> Tensor:
        """Log-probability [S] (nats) of every scored token under the tempered distribution."""
        return self.logprobs_from_hidden(self.hidden(stream), stream, temperature)

    def logprobs_from_hidden(
        self, hidden_NH: Tensor, stream: PackedStream, temperature: float = 1.0
    ) -> Tensor:
        """As `logprobs`, from hidden states at hand."""
        hidden_SH = F.embedding(
            stream.score_at_S, hidden_NH
        )  # a gather with a cheap deterministic backward
        if self._plain_head:
            return token_logprobs(
                hidden_SH, self.head_weight, stream.targets_S, temperature, self.vocab_size
            )
        parts = zip(hidden_SH.split(CHUNK), stream.targets_S.split(CHUNK), strict=True)
        return torch.cat(
            [
                F.log_softmax(self.logits(h) / temperature, dim=-1).gather(1, target[:, None])[:, 0]
                for h, target in parts
            ]
        )

    @torch.no_grad()
    def full_logprobs(
        self, stream: PackedStream, temperature: float = 1.0
    ) -> Iterator[tuple[slice, Tensor]]:
        """Whole log-distributions [chunk, V] at the scored positions, chunk by chunk (for exact KL,
        entropy)."""
        hidden_SH = self.hidden(stream)[stream.score_at_S]
        for start in range(0, hidden_SH.shape[0], CHUNK):
            part = slice(start, min(start + CHUNK, hidden_SH.shape[0]))
            yield part, F.log_softmax(self.logits(hidden_SH[part]) / temperature, dim=-1)

    def cache(self, rows: int, length: int) -> KeyValueCache:
        """Room for the keys and values of `rows` sequences of at most `length` tokens."""
        return KeyValueCache(rows, length)

    def prefill(self, stream: PackedStream, cache: KeyValueCache, rows: list[list[int]]) -> Tensor:
        """Run prompts, storing segment i in cache rows `rows[i]`: hidden states [N, H]."""
        self._check_length(stream.positions_N)
        with precision.scope(self.device.type):
            return _wide(packed_forward(self.body, stream, cache, rows))

    def decode(self, token_ids_B: Tensor, at_B: Tensor, cache: KeyValueCache) -> Tensor:
        """One more token per row: hidden states [B, H]."""
        self._check_length(at_B)
        with precision.scope(self.device.type):
            return _wide(decode_forward(self.body, token_ids_B, at_B, cache))

    def decoder(self, rows: int) -> Decoder:
        """Decodes about `rows` sequences at a time with the weights as they are now; make a new one
        when they change."""
        prepared = self._plain_head and self.limit is None and can_prepare(self.hf)
        return LlamaDecoder(self.hf, rows, self.vocab_size) if prepared else self


def _has_plain_head(hf: Any) -> bool:
    config, head = hf.config.get_text_config(), hf.get_output_embeddings()
    special = ("logits_scaling", "logit_scale", "final_logit_softcapping")
    plain = type(head) is nn.Linear and head.bias is None
    return plain and not any(getattr(config, name, None) for name in special)


def _wide(hidden: Tensor) -> Tensor:
    """bf16 as fp32; a model in double precision stays that."""
    return hidden.float() if hidden.dtype == torch.bfloat16 else hidden
