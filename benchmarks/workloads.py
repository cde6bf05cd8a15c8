"""The models and token rows that both sides of a benchmark get."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

LONGEST = 256
"""Most tokens of a response, written or sampled."""
FINISH = 1 / 70
"""Probability of EOS at each step of a made model, so that sampled lengths have a long tail."""
SHAPES: dict[str, dict[str, Any]] = {
    "nano": {
        "vocab_size": 4096, "hidden_size": 256, "num_hidden_layers": 6, "intermediate_size": 1024,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 512,
    },
    "smollm2": {
        "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536,
        "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048, "rope_theta": 100_000.0,
    },
    "pico": {
        "vocab_size": 4096, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
    },
}  # fmt: skip
"""Llamas with random weights: 7 M parameters, the shapes of SmolLM2-135M, and one to see in seconds
that a benchmark runs."""


@dataclass(frozen=True)
class Row:
    """A prompt with two responses, in token ids; the responses end with EOS."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def make_model(workload: str, folder: Path) -> str:
    """A directory with the workload's model and the packaged tokenizer: a name in SHAPES, else a
    path."""
    if workload not in SHAPES:
        return workload
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from accord.models.loading import locate_model

    tokenizer = AutoTokenizer.from_pretrained(locate_model("accord:nano-base"))
    torch.manual_seed(0)
    ids = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    model = LlamaForCausalLM(LlamaConfig(**SHAPES[workload], tie_word_embeddings=True, **ids))
    _finish_sometimes(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _finish_sometimes(model: LlamaForCausalLM) -> None:
    """Give EOS the probability FINISH everywhere: dimension 0 of the stream stays constant, and EOS
    reaches further along it than the other tokens."""
    import torch

    constant, eos, vocabulary = 2.0, model.config.eos_token_id, model.config.vocab_size
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[0] = 0
            layer.mlp.down_proj.weight[0] = 0
        model.model.embed_tokens.weight[:, 0] = constant
        hidden = model.model(torch.randint(10, vocabulary, (4, 64))).last_hidden_state
        reach = math.log(FINISH / (1 - FINISH) * (vocabulary - 1)) / float(hidden[..., 0].mean())
        model.model.embed_tokens.weight[eos, 0] = constant + reach


def vocabulary_of(model: str) -> int:
    """Tokens that the model in this directory knows."""
    return int(json.loads((Path(model) / "config.json").read_text())["vocab_size"])


def make_rows(count: int, vocabulary: int, eos: int, seed: int = 0) -> list[Row]:
    """Prompts of 32 to 128 tokens, responses of 16 to 256 with a long tail (log-normal, median
    60)."""
    rng = random.Random(seed)

    def ids(length: int) -> list[int]:
        return [rng.randrange(10, vocabulary - 10) for _ in range(length)]

    def response() -> list[int]:
        return [*ids(min(LONGEST - 1, max(15, round(rng.lognormvariate(4.1, 0.75))))), eos]

    return [Row(ids(rng.randint(32, 128)), response(), response()) for _ in range(count)]


def tokens_of(rows: list[Row], trainer: str) -> int:
    """Real tokens of the data that one epoch stands for: a prompt counts once per response."""
    if trainer in ("sft", "import"):
        return sum(len(r.prompt) + len(r.chosen) for r in rows)
    return sum(2 * len(r.prompt) + len(r.chosen) + len(r.rejected) for r in rows)


PRINCIPLES = 8


def judge_questions(rows: list[Row], trainer: str) -> list[list[int]]:
    """Each pair in both orders as a judge is asked: a head of 12 tokens, the prompt, the responses
    after 6 tokens each, 24 tokens of what is asked; by each of eight principles of 16 tokens for
    the trainer judge-principles."""
    head, between, tail = range(10, 22), range(22, 28), range(28, 52)
    principles: list[list[int]] = [[]]
    if trainer == "judge-principles":
        principles = [list(range(100 + 16 * n, 116 + 16 * n)) for n in range(PRINCIPLES)]
    return [
        [*head, *row.prompt, *between, *first[:-1], *between, *second[:-1], *principle, *tail]
        for row in rows
        for principle in principles
        for first, second in ((row.chosen, row.rejected), (row.rejected, row.chosen))
    ]


def forward_gflop(parameters: int, table: int, tokens: int, told: int) -> float:
    """GFLOP of the products of a forward pass over `tokens` by a model of so many parameters, its
    table of the vocabulary among them, which multiplies the `told` positions alone. Attention
    between positions is not counted."""
    return 2 * ((parameters - table) * tokens + table * told) / 1e9


ANSWERS = (60, 61)
"""What stands for the judge's two answers."""


def score(response: list[int]) -> float:
    """The reward of both sides' sampled responses: the share of even token ids."""
    return sum(1 for token in response if token % 2 == 0) / len(response)


@dataclass(frozen=True)
class Turn:
    """One epoch: real tokens (a prompt once per response), those of them that were sampled, the
    loss of the first step and the GFLOP of the matrix products it needs (both on fixed rows
    and of judges only)."""

    tokens: int
    sampled: int = 0
    loss: float = 0.0
    gflop: float = 0.0
