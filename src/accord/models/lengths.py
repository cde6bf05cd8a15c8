"""How long a sequence may be for a model to say the same of it alone, in a pack and token by token.

Beyond a length some architectures compute the beginning of a sequence otherwise than they did when
it was shorter: what was sampled would be scored with other numbers. There accord stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accord.errors import DataError


@dataclass(frozen=True)
class LengthLimit:
    """tokens: the longest sequence; why: what changes beyond it."""

    tokens: int
    why: str

    def check(self, tokens: int, kind: str) -> None:
        """Raise DataError for a sequence of more `tokens`."""
        if tokens > self.tokens:
            raise DataError(
                f"a sequence of {tokens:,} tokens, but {self.why} of this {kind!r} model changes "
                f"what it says of a sequence's beginning when it gets longer than {self.tokens:,}",
                f"keep prompt and response together within {self.tokens:,} tokens",
            )


def length_limit(config: Any) -> LengthLimit | None:
    """The shortest limit that `config` (of the text model) sets; None where there is none."""
    found = [*_of_rope(config), *_of_chunks(config)]
    return min(found, key=lambda limit: limit.tokens) if found else None


def context_of(config: Any) -> int:
    """Longest sequence, in tokens: what the model was made for, or less where it has a limit."""
    text = config.get_text_config()
    made_for, limit = int(text.max_position_embeddings), length_limit(text)
    return made_for if limit is None else min(made_for, limit.tokens)


def _of_rope(config: Any) -> list[LengthLimit]:
    """Rotary frequencies that depend on the longest sequence of a batch (Peng et al. 2023's dynamic
    scaling, Ding et al. 2024's LongRoPE)."""
    given = getattr(config, "rope_parameters", None) or {}
    parts = list(given.values()) if all(isinstance(v, dict) for v in given.values()) else [given]
    found = []
    for part in parts:
        kind = str((part or {}).get("rope_type", "default"))
        if "dynamic" in kind:
            found.append(LengthLimit(config.max_position_embeddings, f"rotary scaling {kind!r}"))
        elif kind == "longrope":
            tokens = part.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", config.max_position_embeddings
            )
            found.append(LengthLimit(int(tokens), f"rotary scaling {kind!r}"))
    return found


def _of_chunks(config: Any) -> list[LengthLimit]:
    """Attention within chunks (Llama 4): packed attention knows whole sequences and windows."""
    chunk = getattr(config, "attention_chunk_size", None)
    chunked = "chunked_attention" in (getattr(config, "layer_types", None) or [])
    return [LengthLimit(int(chunk), "attention in chunks")] if chunk and chunked else []
