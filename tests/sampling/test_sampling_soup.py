"""Soups of models: the sampled distribution is the normalised product, whatever the slots."""

from __future__ import annotations

import pytest
import torch

from accord.errors import ConfigError
from accord.models.soup import LogitSoup, mixed
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.packing import pack
from tiny import tiny_llama

PROMPTS = [[0, 5, 9], [0], [0, 7, 8, 9, 10, 11, 12]]


def test_a_soup_of_two_optima_is_the_optimum_of_the_blend() -> None:
    """p0 exp(r / beta) and p0 exp(-c / beta): their soup is p0 exp((w r - (1 - w) c) / beta)."""
    draw = torch.Generator().manual_seed(1)
    base, reward, cost = torch.randn(3, 20, 50, dtype=torch.float64, generator=draw)
    beta = 0.3
    for w in (0.0, 0.2, 0.5, 1.0):
        soup = mixed([base + reward / beta, base - cost / beta], [w, 1 - w])
        blend = torch.log_softmax(base + (w * reward - (1 - w) * cost) / beta, dim=-1)
        torch.testing.assert_close(soup, blend, atol=1e-9, rtol=0)
    never = base.masked_fill(base > 0, -torch.inf)
    torch.testing.assert_close(mixed([base, never], [1.0, 0.0]), torch.log_softmax(base, -1))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_what_is_sampled_is_the_product_and_slots_do_not_matter(weight: float) -> None:
    models = [tiny_llama(0), tiny_llama(1)]
    soup = LogitSoup(models, [weight, 1 - weight])
    settings = SamplingSettings(10)
    rollout = BuiltinSampler(soup, 2).sample(PROMPTS, settings, range(9), samples_per_prompt=3)
    wide = BuiltinSampler(soup, 64).sample(PROMPTS, settings, range(9), samples_per_prompt=3)
    assert rollout.responses == wide.responses
    stream = pack(rollout.groups())
    full = [torch.cat([p for _, p in model.full_logprobs(stream)]) for model in models]
    said = torch.log_softmax(weight * full[0] + (1 - weight) * full[1], dim=-1)
    scored = said.gather(1, stream.targets_S[:, None])[:, 0]
    torch.testing.assert_close(torch.cat(rollout.logprobs), scored, atol=1e-5, rtol=1e-5)
    if weight in (0.0, 1.0):
        alone = BuiltinSampler(models[0] if weight else models[1])
        assert (
            alone.sample(PROMPTS, settings, range(9), samples_per_prompt=3).responses
            == rollout.responses
        )


def test_what_cannot_be_mixed_is_refused() -> None:
    one, other = tiny_llama(0), tiny_llama(1, vocab_size=60)
    with pytest.raises(ConfigError, match="another vocabulary than the first: 60 ids beside 64"):
        LogitSoup([one, other], [0.5, 0.5])
    for weights in ([0.5, 0.6], [1.5, -0.5], [1.0]):
        with pytest.raises(ConfigError, match="weights"):
            LogitSoup([one, one], weights)
