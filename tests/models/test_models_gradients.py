"""What is laid out, made again or left out on the way back changes memory, not gradients."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
import transformers
from torch import Tensor, nn

from accord.learning.optimizer import Optimizer
from accord.learning.settings import OptimizerSettings
from accord.models.causal_lm import CausalLM
from accord.models.fused import recompute_in_backward
from accord.models.gradients import drop_unused_gradients, embedding_lookup, preallocate_gradients
from accord.models.logprob import token_logprobs
from accord.text.packing import PromptGroup, pack
from tiny import ByteTokenizer, tiny_llama

STREAM = [
    PromptGroup([5, 6, 7, 8, 9], [[10, 11, 12], [13, 0, 14]]),
    PromptGroup([0], [[2, 3, 4, 5, 6, 0, 8]]),
]


def untied(seed: int) -> CausalLM:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    return CausalLM(transformers.LlamaForCausalLM(config), ByteTokenizer())


def gradient(model: CausalLM, laid: bool, passes: int = 2) -> dict[str, Tensor]:
    if laid:
        preallocate_gradients(model.parameters())
    for _ in range(passes):
        model.logprobs(pack(STREAM)).sum().backward()
    return {name: p.grad for name, p in model.hf.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("make", [tiny_llama, untied])
def test_gradients_that_are_laid_out_are_the_same(make: object) -> None:
    """Tied and untied tables, a row for padding, several passes."""
    one, other = gradient(make(1), False), gradient(make(1), True)  # type: ignore[operator]
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name])
    if make is untied:
        assert not other["model.embed_tokens.weight"][0].any(), "padding learns nothing"
        assert other["model.embed_tokens.weight"][5].any()


@pytest.mark.parametrize("make", [tiny_llama, untied])
def test_tables_get_nothing_of_their_own_size_from_autograd(make: object) -> None:
    """A hook on a weight sees what autograd hands over; None stands for nothing."""
    model, seen = make(1), []  # type: ignore[operator]
    for weight in (model.hf.get_input_embeddings().weight, model.head_weight):
        weight.register_hook(lambda grad: None if grad is None else seen.append(grad.shape))
    gradient(model, True)
    assert seen == []
    model.hf.zero_grad(set_to_none=True)
    gradient(model, False, 1)
    assert seen


def test_autograd_collects_where_nothing_is_laid_out() -> None:
    model = untied(1)
    weights = [model.hf.get_input_embeddings().weight, model.head_weight]
    found = torch.autograd.grad(model.logprobs(pack(STREAM)).sum(), weights)
    again = gradient(untied(1), True, 1)
    torch.testing.assert_close(found[0], again["model.embed_tokens.weight"])
    torch.testing.assert_close(found[1], again["lm_head.weight"])
    assert all(w.grad is None for w in weights)


def test_embeddings_of_other_kinds_are_left_alone() -> None:
    ids = torch.tensor([1, 2, 1])
    for table in (nn.Embedding(5, 3, scale_grad_by_freq=True), nn.Embedding(5, 3, max_norm=0.1)):
        expected = copy.deepcopy(table)(
            ids
        )  # max_norm scales the rows of its own table at every look-up
        assert torch.equal(embedding_lookup(table, ids), expected)
        embedding_lookup(table, ids).sum().backward()
        assert table.weight.grad is not None


def test_a_parameter_that_no_loss_reached_is_not_moved() -> None:
    """With momentum, a gradient of zeros would move it."""
    used, idle = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = Optimizer(
        [used, idle], OptimizerSettings(learning_rate=0.1, warmup=0.0, weight_decay=0.5), 10
    )
    for reach in (True, False):
        optimizer.ready()
        optimizer.ready()  # twice is once
        (used.sum() + (idle.sum() if reach else 0.0)).backward()
        before = idle.detach().clone()
        optimizer.step("test")
        assert torch.equal(idle, before) != reach
        assert idle.grad is None


def test_a_gradient_that_came_otherwise_stays() -> None:
    weight = nn.Parameter(torch.ones(2))
    laid = preallocate_gradients([weight])
    weight.grad = torch.zeros(2)  # zeros by somebody's will
    drop_unused_gradients(laid)
    assert weight.grad is not None


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_frozen_head_has_the_same_gradient(temperature: float) -> None:
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(9, 6), torch.randn(40, 6), torch.randint(40, (9,))
    scale, found = torch.randn(9), []
    for frozen in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_(not frozen)
        loss = (token_logprobs(h, w, targets, temperature) * scale).sum()
        loss.backward(retain_graph=True)
        loss.backward()  # a second time
        found.append(h.grad)
    h = hidden.clone().requires_grad_()
    logp = torch.log_softmax(h @ weight.t() / temperature, -1).gather(1, targets[:, None])[:, 0]
    (2 * logp * scale).sum().backward()
    for one in found:
        torch.testing.assert_close(one, h.grad)


def test_a_frozen_head_keeps_a_slope_per_row() -> None:
    sizes: list[int] = []

    def pack_size(kept: Tensor) -> Tensor:
        sizes.append(kept.numel())
        return kept

    hidden, weight = torch.randn(200, 6, requires_grad=True), torch.randn(400, 6)
    with torch.autograd.graph.saved_tensors_hooks(pack_size, lambda kept: kept):
        token_logprobs(hidden, weight, torch.randint(400, (200,)))
    assert max(sizes) <= 256 * 6, "neither probabilities nor the table"


def test_what_is_made_again_is_not_kept() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    made = []

    def make() -> Tensor:
        made.append(1)
        return (x * 2).detach()

    doubled = x * 2
    with recompute_in_backward(doubled, make):
        outs = [doubled @ w.t() for w in weights]
    storage = weakref.ref(doubled)
    del doubled
    gc.collect()
    assert storage() is None, "something keeps it"
    sum(out.square().sum() for out in outs).backward(retain_graph=True)
    assert len(made) == 1, "once for all who want it"
    found = [p.grad.clone() for p in (x, *weights)]
    sum(out.square().sum() for out in outs).backward()
    assert len(made) == 2
    for p, g in zip((x, *weights), found, strict=True):
        torch.testing.assert_close(p.grad, 2 * g)
    plain = torch.autograd.grad(
        sum(((x * 2) @ w.t()).square().sum() for w in weights), (x, *weights)
    )
    for a, b in zip(plain, found, strict=True):
        torch.testing.assert_close(a, b)
