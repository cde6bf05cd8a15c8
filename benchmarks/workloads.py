"""The models and token rows that both sides of a benchmark get."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A prompt with two responses, in token ids; the responses end with EOS."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def make_model(workload: str, folder: Path) -> str:
    """A directory with the workload's model: "nano" is a 7 M Llama with the packaged tokenizer, else a path."""
    if workload != "nano":
        return workload
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from accord.models.loading import locate_model

    tokenizer = AutoTokenizer.from_pretrained(locate_model("accord:nano-base"))
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=4096, hidden_size=256, num_hidden_layers=6, intermediate_size=1024, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_rows(count: int, vocabulary: int, eos: int, seed: int = 0) -> list[Row]:
    """Prompts of 32 to 128 tokens, responses of 16 to 256 with a long tail (log-normal, median 60)."""
    rng = random.Random(seed)

    def ids(length: int) -> list[int]:
        return [rng.randrange(10, vocabulary - 10) for _ in range(length)]

    def response() -> list[int]:
        return [*ids(min(255, max(15, round(rng.lognormvariate(4.1, 0.75))))), eos]

    return [Row(ids(rng.randint(32, 128)), response(), response()) for _ in range(count)]


def tokens_of(rows: list[Row], trainer: str) -> int:
    """Real tokens of the data that one epoch stands for: a prompt counts once per response."""
    if trainer == "sft":
        return sum(len(r.prompt) + len(r.chosen) for r in rows)
    return sum(2 * len(r.prompt) + len(r.chosen) + len(r.rejected) for r in rows)
