"""A logit soup: one distribution out of several models, p1^w1 p2^w2 ... normalised at every token.

Of two policies that are the optima of a helpful and of a harmless reward from one base, it is the
optimum of the blended reward for one choice, whatever the weight, so that how much each counts is
set when a reply is written. (A response of many tokens is many choices: the product is normalised
at each, which is the blend's optimum only where the models' normalisers say the same after all
prefixes.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from accord.errors import ConfigError
from accord.models.causal_lm import CausalLM
from accord.models.decoding import Decoder
from accord.models.packed import KeyValueCache
from accord.text.packing import PackedStream


def mixed(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """log of the normalised product of p_i^w_i, p_i = softmax(logits_i): [..., V]. A weight of 0
    leaves its model out, also where that says 0."""
    parts = [
        weight * torch.log_softmax(one, dim=-1)
        for one, weight in zip(logits, weights, strict=True)
        if weight
    ]
    return torch.log_softmax(torch.stack(parts).sum(0), dim=-1)


def check_one_vocabulary(first: CausalLM, other: CausalLM, said: str, fix: str) -> None:
    """Raise ConfigError, calling the other one as `said`, unless both have the same tokens under
    the same ids."""
    mine, its = first.tokenizer.get_vocab(), other.tokenizer.get_vocab()
    if mine != its or first.vocab_size != other.vocab_size:
        apart = sum(mine.get(token) != at for token, at in its.items())
        raise ConfigError(
            f"{said} has another vocabulary than the first: {other.vocab_size} ids beside "
            f"{first.vocab_size}, {apart} tokens with another id or none",
            fix,
        )


class LogitSoup:
    """M models of one vocabulary with weights of 0 or more that sum to 1, for the sampler.

    The first one's tokenizer and chat template are used. Each model is held by itself: two adapters
    of one base take its memory twice. Raises ConfigError for models that cannot be mixed.
    """

    tags = None

    def __init__(self, models: Sequence[CausalLM], weights: Sequence[float]) -> None:
        sums = abs(sum(weights) - 1) < 1e-9
        if len(models) != len(weights) or not models or not sums or min(weights) < 0:
            raise ConfigError(
                f"weights {list(weights)} of {len(models)} models",
                "give each model a weight of 0 or more; together they are 1",
            )
        self.models, self.weights = list(models), list(weights)
        for number, other in enumerate(self.models):
            self._check(other, number)

    def _check(self, other: CausalLM, number: int) -> None:
        first, said = self.models[0], f"model {number + 1} of the soup"
        if other.tags is not None:
            raise ConfigError(
                f"{said} was trained conditionally and reads tags between segments",
                "mix models that read texts as they stand",
            )
        check_one_vocabulary(
            first,
            other,
            said,
            "mix models tuned from one base: probabilities of other tokens have no product",
        )
        if other.tokenizer.eos_token_id != first.tokenizer.eos_token_id:
            raise ConfigError(f"{said} ends texts with another token", "mix models of one base")

    @property
    def tokenizer(self) -> Any:
        return self.models[0].tokenizer

    @property
    def device(self) -> torch.device:
        return self.models[0].device

    @property
    def context(self) -> int:
        """That of the model with the shortest."""
        return min(model.context for model in self.models)

    def cache(self, rows: int, length: int) -> SoupCache:
        """Keys and values of every model."""
        return SoupCache([model.cache(rows, length) for model in self.models])

    def prefill(self, stream: PackedStream, cache: SoupCache, rows: list[list[int]]) -> None:
        """Run prompts through every model: see `CausalLM.prefill`."""
        for model, part in zip(self.models, cache.parts, strict=True):
            model.prefill(stream, part, rows)

    def decoder(self, rows: int) -> SoupDecoder:
        """See `CausalLM.decoder`."""
        return SoupDecoder([model.decoder(rows) for model in self.models], self.weights)


@dataclass
class SoupCache:
    """One cache for every model of a soup."""

    parts: list[KeyValueCache]

    def keep(self, rows: Sequence[int], filled: Sequence[int]) -> None:
        """See `KeyValueCache.keep`."""
        for part in self.parts:
            part.keep(rows, filled)


class SoupDecoder:
    """One more token per row by every model; hidden states are those of all, [M, ...]."""

    def __init__(self, decoders: Sequence[Decoder], weights: Sequence[float]) -> None:
        self.decoders, self.weights = decoders, weights

    def decode(self, token_ids_B: Tensor, at_B: Tensor, cache: SoupCache) -> list[Tensor]:
        """See `Decoder.decode`."""
        return [
            decoder.decode(token_ids_B, at_B, part)
            for decoder, part in zip(self.decoders, cache.parts, strict=True)
        ]

    def logits(self, hidden: list[Tensor]) -> Tensor:
        """Log-probabilities of the mixture of logits [..., V]."""
        each = [decoder.logits(h) for decoder, h in zip(self.decoders, hidden, strict=True)]
        return mixed(each, self.weights)
