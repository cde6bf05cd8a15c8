"""What must not matter: micro-batches, the order of rows, packing, shared prompts, the padding
token, the padding side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
import transformers
from objectives import OBJECTIVES, Outcome, Variant
from torch import Tensor

from accord.learning import on_policy, supervised, unpaired
from accord.learning import preference as preference_module
from accord.learning import reward as reward_module
from accord.models.causal_lm import CausalLM
from accord.models.gradients import preallocate_gradients
from accord.text.packing import PackedStream, pack
from tiny import ByteTokenizer, tiny_llama


def equal(one: Outcome, other: Outcome, atol: float = 1e-5) -> None:
    """Values and gradients agree to single precision."""
    assert one[0] == pytest.approx(other[0], abs=atol, rel=1e-4)
    for a, b in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=1e-3)
    assert max(float(g.abs().max()) for g in one[1]) > 1e-3, "there is no gradient to compare"


@pytest.fixture(scope="module")
def plain() -> dict[str, Outcome]:
    """Each objective on the rows as they are, in one stream."""
    return {name: run(Variant()) for name, run in OBJECTIVES.items()}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("budget", [1, 40])
def test_micro_batches_and_packing(name: str, budget: int, plain: dict[str, Outcome]) -> None:
    """Budget 1: every prompt in a stream of its own; 40: a few together; else all in one stream."""
    equal(OBJECTIVES[name](Variant(budget=budget)), plain[name])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_order_of_rows(name: str, plain: dict[str, Outcome]) -> None:
    """KTO pairs each prompt with the row before it, so that its reference point survives turning
    the rows round only."""
    turned = (
        (lambda rows: [*rows[4:], *rows[:4]]) if name == "kto" else (lambda rows: list(rows)[::-1])
    )
    equal(OBJECTIVES[name](Variant(order=turned, budget=40)), plain[name])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_sharing_the_prompt_of_several_responses(
    name: str, plain: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt stored once for all its responses, or once for each."""
    for module in (on_policy, preference_module, reward_module, supervised, unpaired):
        monkeypatch.setattr(module, "pack", partial(pack, share_prefix=False))
    equal(OBJECTIVES[name](Variant()), plain[name])


def pad_is_eos(seed: int) -> CausalLM:
    model = tiny_llama(seed)
    model.tokenizer.pad_token_id = model.hf.config.pad_token_id = 1
    return model


@pytest.mark.parametrize("name", OBJECTIVES)
def test_padding_with_eos(name: str, plain: dict[str, Outcome]) -> None:
    values, grads = OBJECTIVES[name](Variant(pad_is_eos))
    assert values == plain[name][0]
    assert all(torch.equal(a, b) for a, b in zip(grads, plain[name][1], strict=True))


def with_preallocated_gradients(seed: int) -> CausalLM:
    model = tiny_llama(seed)
    preallocate_gradients(model.parameters())
    return model


@pytest.mark.parametrize("name", OBJECTIVES)
def test_room_made_for_gradients_before(name: str, plain: dict[str, Outcome]) -> None:
    equal(OBJECTIVES[name](Variant(with_preallocated_gradients, budget=40)), plain[name])


# --- the oracle: transformers' own padded forward pass --------------------------------------------
class Padded(CausalLM):
    """A stream taken apart into rows, padded on one side and run as any other program would run
    them."""

    side = "right"

    def _rows(self, stream: PackedStream) -> list[list[int]]:
        """Stream indices of each sequence's tokens, its prompt included."""
        starts = torch.tensor([0, *(s.length for s in stream.segments)]).cumsum(0).tolist()
        spans = [list(range(a, b)) for a, b in pairwise(starts)]
        shared = {s.prefix for s in stream.segments}
        return [
            [*(spans[s.prefix] if s.prefix is not None else []), *spans[i]]
            for i, s in enumerate(stream.segments)
            if i not in shared
        ]

    def _outputs(self, stream: PackedStream, outputs_of: Callable[[Any], Tensor]) -> Tensor:
        """Per stream position what the padded model gives there: [N, ...]."""
        rows = self._rows(stream)
        width = max(map(len, rows)) + 3
        ids, mask = (
            torch.full((len(rows), width), 1),
            torch.zeros(len(rows), width, dtype=torch.long),
        )
        places = []
        for b, row in enumerate(rows):
            at = slice(0, len(row)) if self.side == "right" else slice(width - len(row), width)
            ids[b, at], mask[b, at] = stream.token_ids_N[row], 1
            places.append(range(*at.indices(width)))
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        }
        self.hf.config._attn_implementation = "eager"
        padded = outputs_of(inputs)
        found: dict[int, Tensor] = {}
        for b, row in enumerate(rows):
            found |= {n: padded[b, at] for n, at in zip(row, places[b], strict=True)}
        return torch.stack([found[n] for n in range(stream.tokens)])

    def hidden(self, stream: PackedStream) -> Tensor:
        return self._outputs(stream, lambda inputs: self.hf.base_model(**inputs).last_hidden_state)

    def logprobs(self, stream: PackedStream, temperature: float = 1.0) -> Tensor:
        logits = self._outputs(stream, lambda inputs: self.hf(**inputs).logits)[stream.score_at_S]
        return torch.log_softmax(logits / temperature, -1).gather(1, stream.targets_S[:, None])[
            :, 0
        ]


class PaddedLeft(Padded):
    side = "left"


SIZES = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4,
    "max_position_embeddings": 128, "initializer_range": 0.1,
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, {"num_key_value_heads": 2}),
    "qwen2": (transformers.Qwen2Config, {"num_key_value_heads": 2}),
    "qwen3": (transformers.Qwen3Config, {"num_key_value_heads": 2, "head_dim": 8}),
    "gemma": (transformers.GemmaConfig, {"num_key_value_heads": 1, "head_dim": 8}),
    "gpt2": (transformers.GPT2Config, {"n_inner": 48}),
    "gpt-neox": (transformers.GPTNeoXConfig, {}),
}


def family(name: str, kind: type[CausalLM]) -> Callable[[int], CausalLM]:
    def build(seed: int) -> CausalLM:
        config_class, extra = FAMILIES[name]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            config = config_class(
                **{**SIZES, **extra, "pad_token_id": 1, "eos_token_id": 1, "bos_token_id": 0}
            )
            return kind(transformers.AutoModelForCausalLM.from_config(config), ByteTokenizer())

    return build


@pytest.mark.parametrize("architecture", FAMILIES)
@pytest.mark.parametrize(
    "name", ["sft", "sigmoid", "simpo", "kto", "reward", "ppo", "rloo", "grpo", "reinforce"]
)
def test_a_plain_padded_forward_pass_gives_the_same(architecture: str, name: str) -> None:
    """transformers' eager attention on padded batches, padding on either side, the padding token
    equal to EOS."""
    ours = OBJECTIVES[name](Variant(family(architecture, CausalLM)))
    for oracle in (Padded, PaddedLeft):
        equal(OBJECTIVES[name](Variant(family(architecture, oracle))), ours, atol=5e-5)
