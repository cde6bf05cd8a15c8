"""The built-in sampler: right distribution, right log-probabilities, independent of its batch."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from accord.errors import ConfigError, DataError
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.models.packed import NAME, KeyValueCache
from accord.sampling import builtin
from accord.sampling.builtin import BuiltinSampler, draw
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.text.encoding import Encoder
from accord.text.packing import PackedStream, PromptGroup, pack
from tiny import tiny_llama

PROMPTS = [[0, 5, 9], [0], [0, 7, 8, 9, 10, 11, 12], [0, 5, 9]]


def test_greedy_equals_transformers_generate() -> None:
    model = tiny_llama()
    ours = BuiltinSampler(model).sample(PROMPTS, SamplingSettings(10, temperature=0), range(4))
    model.hf.config._attn_implementation = "eager"
    for prompt, response in zip(PROMPTS, ours.responses, strict=True):
        theirs = model.hf.generate(torch.tensor([prompt]), max_new_tokens=10, do_sample=False)[
            0, len(prompt) :
        ]
        assert theirs.tolist() == response
    model.hf.config._attn_implementation = NAME


@pytest.mark.parametrize("slots", [1, 3, 64])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_equal_the_trainers_and_slots_do_not_matter(
    slots: int, temperature: float
) -> None:
    model = tiny_llama()
    settings = SamplingSettings(12, temperature)
    rollout = BuiltinSampler(model, slots).sample(
        PROMPTS, settings, range(12), samples_per_prompt=3
    )
    wide = BuiltinSampler(model, 64).sample(PROMPTS, settings, range(12), samples_per_prompt=3)
    assert rollout.responses == wide.responses
    alone = BuiltinSampler(model).sample([PROMPTS[2]], settings, range(6, 9), samples_per_prompt=3)
    assert alone.responses == rollout.responses[6:9]
    scored = model.logprobs(pack(rollout.groups()), temperature)
    torch.testing.assert_close(scored, torch.cat(rollout.logprobs), atol=1e-4, rtol=1e-4)


def test_finished_means_eos_is_the_last_token() -> None:
    rollout = BuiltinSampler(tiny_llama()).sample(
        PROMPTS, SamplingSettings(60), range(80), samples_per_prompt=20
    )
    assert 0 < sum(rollout.finished) < rollout.size
    for response, finished in zip(rollout.responses, rollout.finished, strict=True):
        assert 1 not in response[:-1]
        assert (response[-1] == 1) == finished
        assert finished or len(response) == 60


def test_the_models_own_stop_tokens_end_a_response_too() -> None:
    model = tiny_llama()
    model.hf.generation_config.eos_token_id = [1, 7]
    rollout = BuiltinSampler(model).sample(
        PROMPTS, SamplingSettings(60), range(80), samples_per_prompt=20
    )
    assert {
        response[-1]
        for response, done in zip(rollout.responses, rollout.finished, strict=True)
        if done
    } == {1, 7}
    assert all(not {1, 7} & set(response[:-1]) for response in rollout.responses)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_frequencies_follow_the_distribution(temperature: float) -> None:
    """Of pairs of tokens: the second is drawn independently of the first, given it."""
    model, n = tiny_llama(vocab_size=8), 4000
    rollout = BuiltinSampler(model, 512).sample(
        [[0, 5]], SamplingSettings(2, temperature), range(n), samples_per_prompt=n
    )
    seen = Counter(tuple(response) for response in rollout.responses)
    pairs = [(first, second) for first in range(8) for second in range(8) if first != 1] + [(1,)]
    with torch.no_grad():
        logp = model.logprobs(
            pack([PromptGroup([0, 5], [list(pair) for pair in pairs])]), temperature
        )
    expected = [n * float(p.sum().exp()) for p in logp.split([len(pair) for pair in pairs])]
    assert sum(expected) == pytest.approx(n, rel=1e-4)
    counts = [seen[pair] for pair in pairs]
    chi_square = sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))
    assert chi_square < 100  # 56 degrees of freedom: p < 0.0003 beyond this


def test_a_response_follows_from_its_own_seed() -> None:
    rollout = BuiltinSampler(tiny_llama()).sample(
        [[0, 5]], SamplingSettings(12), [3, 4, 3, 5], samples_per_prompt=4
    )
    first, second, again, other = rollout.responses
    assert first == again
    assert len({tuple(response) for response in (first, second, other)}) == 3


def test_a_number_draws_the_token_whose_share_it_falls_in() -> None:
    """Shares 0, 1/4, 1/2, 1/4, 0: no end of [0, 1) draws what cannot be, not even a number that is
    rounded to 1."""
    logits_V = torch.tensor([0.0, 0.25, 0.5, 0.25, 0.0]).log()
    uniforms = [0.0, 0.24, 0.25, 0.74, 0.76, 0.99, 1 - 1e-9]
    uniform_B = torch.tensor(uniforms, dtype=torch.float64)
    tokens, logprobs = draw(logits_V.expand(7, 5), uniform_B, 1.0)
    assert tokens.tolist() == [1, 1, 2, 2, 3, 3, 3]
    torch.testing.assert_close(logprobs.exp(), torch.tensor([0.25, 0.25, 0.5, 0.5, *[0.25] * 3]))


def test_no_share_of_0_is_drawn_whatever_the_others_sum_to_in_fp32() -> None:
    for size in range(3, 200):
        logits_V = torch.cat([torch.zeros(size), torch.tensor([-torch.inf] * 2)])
        drawn, _ = draw(logits_V[None], torch.tensor([1 - 1e-9], dtype=torch.float64), 1.0)
        assert drawn.tolist() == [size - 1]


def test_temperature_sharpens_and_0_takes_the_best() -> None:
    logits_BV = torch.tensor([[0.25, 0.5, 0.25]]).log() + 3
    # At temperature 1/2 shares are squared: 1/6, 4/6, 1/6; at 2 their roots are taken.
    root = math.sqrt(0.5)
    for temperature, uniform, token, share in (
        (0.5, 0.16, 0, 1 / 6),
        (0.5, 0.17, 1, 4 / 6),
        (0.5, 0.84, 2, 1 / 6),
        (0.0, 0.99, 1, 0.5),
        (1.0, 0.26, 1, 0.5),
        (2.0, 0.29, 0, 0.5 / (1 + root)),
        (2.0, 0.30, 1, root / (1 + root)),
        (2.0, 0.70, 1, root / (1 + root)),
    ):
        drawn = draw(logits_BV, torch.tensor([uniform]), temperature)
        assert drawn[0].tolist() == [token]
        assert float(drawn[1].exp()) == pytest.approx(share)


def test_only_equal_prompts_share_a_prefill() -> None:
    """Neighbours of one length that differ, and tokens as they are streamed."""
    model, prompts = tiny_llama(), [[0, 5, 9], [0, 30, 9], [0, 30, 9], [0, 5, 9]]
    streamed: list[list[int]] = [[] for _ in prompts]
    rollout = BuiltinSampler(model, slots=2).sample(
        prompts,
        SamplingSettings(9),
        range(4),
        on_token=lambda response, token: streamed[response].append(token),
    )
    scored = model.logprobs(pack(rollout.groups()))
    torch.testing.assert_close(scored, torch.cat(rollout.logprobs), atol=1e-4, rtol=1e-4)
    assert streamed == rollout.responses


def test_equal_neighbours_are_prefilled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prefilled = tiny_llama(), []
    prefill = model.prefill

    def counted(stream: PackedStream, cache: KeyValueCache, slots: list[list[int]]) -> None:
        prefilled.extend(slots)
        prefill(stream, cache, slots)

    monkeypatch.setattr(model, "prefill", counted)
    prompts = [[0, 5, 9], [0, 30, 9], [0, 30, 9], [0, 5, 9], [0]]
    BuiltinSampler(model).sample(prompts, SamplingSettings(2), range(10), 2)
    assert prefilled == [[0, 1], [2, 3, 4, 5], [6, 7]]  # one token alone needs none


def test_a_response_may_fill_the_context() -> None:
    sampler = BuiltinSampler(tiny_llama())
    assert sampler.sample([[0] * 120], SamplingSettings(8), [0]).size == 1
    with pytest.raises(DataError, match="prompt 1 has 121 tokens"):
        sampler.sample([[0] * 120, [0] * 121], SamplingSettings(8), [0, 1])


def test_a_stop_token_at_the_limit_is_a_finish() -> None:
    """Cut at the limit is what ends without one, however long."""
    model = tiny_llama()
    lengths = {
        (len(response), done)
        for seed in range(3)
        for rollout in [
            BuiltinSampler(model).sample(
                [[0, 5]], SamplingSettings(6), range(seed * 400, seed * 400 + 400), 400
            )
        ]
        for response, done in zip(rollout.responses, rollout.finished, strict=True)
    }
    assert {(6, True), (6, False)} <= lengths
    assert not any(done is False and length < 6 for length, done in lengths)


def test_responses_of_a_rollout_are_in_prompt_order() -> None:
    logprobs = [torch.zeros(1)] * 2
    with pytest.raises(ValueError, match="prompt order"):
        Rollout([[0], [1]], [1, 0], [[2], [3]], logprobs, [True, True])
    with pytest.raises(ValueError, match="differ in length"):
        Rollout([[0], [1]], [0, 1], [[2], [3]], logprobs, [True])


def test_bad_requests() -> None:
    sampler = BuiltinSampler(tiny_llama())
    with pytest.raises(DataError, match="context of 128"):
        sampler.sample([[0] * 100], SamplingSettings(40), [0])
    with pytest.raises(DataError, match="0 prompts"):
        sampler.sample([], SamplingSettings(4), [])
    with pytest.raises(ConfigError, match="max_new_tokens"):
        SamplingSettings(0)
    with pytest.raises(ConfigError, match="temperature"):
        SamplingSettings(4, -1.0)


@pytest.mark.parametrize("half", [False, True])
def test_a_chat_model_stops_is_rewarded_and_saved_where_its_template_ends_a_reply(
    tmp_path: Path, half: bool
) -> None:
    """Gemma's form: another token than EOS ends a turn. What a sampler writes, training on it and
    reading its reward all end there, and others who load the model stop there too."""
    model = tiny_llama()
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>", "</turn>"]})
    model.hf.resize_token_embeddings(len(model.tokenizer), mean_resizing=False)
    model.tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<turn>{{ m.content }}</turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<turn>{% endif %}"
    )
    turn_end = model.tokenizer.convert_tokens_to_ids("</turn>")
    encoder, ask = Encoder(model.tokenizer), [{"role": "user", "content": "hi"}]
    sampler = BuiltinSampler(model)
    assert sampler.stop_ids == {turn_end, model.tokenizer.eos_token_id}
    for answer in ("yes", [{"role": "assistant", "content": "yes"}]):
        example = encoder.example(ask, answer)
        stops = [i for i, token in enumerate(example.response_ids) if token in sampler.stop_ids]
        assert stops == [len(example.response_ids) - 1]  # sampled, it would end there
        assert example.response_ids[-1] == turn_end
        stream = pack([example.group])
        assert stream.token_ids_N[stream.last_R].tolist() == [turn_end]  # where its reward is read
    saved = save_causal_lm(model, tmp_path / "model", "float16" if half else "float32")
    settings = json.loads((saved / "generation_config.json").read_text())
    assert settings["eos_token_id"] == [model.tokenizer.eos_token_id, turn_end]
    again = load_causal_lm(str(saved))
    assert BuiltinSampler(again).stop_ids == sampler.stop_ids


@pytest.mark.parametrize("slots", [8, 128])
def test_finished_rows_give_their_place_away(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three quarters of the rows decoded at a time are running."""
    streamed: list[int] = []
    steps: list[tuple[int, int]] = []  # rows decoded, tokens streamed so far

    def counted(logits_BV: Tensor, uniform_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        steps.append((len(logits_BV), len(streamed)))
        return draw(logits_BV, uniform_B, temperature)

    monkeypatch.setattr(builtin, "draw", counted)
    model = tiny_llama()
    sampler = BuiltinSampler(model, slots)
    sampler.stop_ids = frozenset(range(model.vocab_size // 5))
    rollout = sampler.sample(
        PROMPTS,
        SamplingSettings(30),
        range(64),
        16,
        lambda _response, token: streamed.append(token),
    )
    assert len(set(map(len, rollout.responses))) > 5
    ends = [said for _, said in steps[1:]] + [len(streamed)]
    running = [end - said for (_, said), end in zip(steps, ends, strict=True)]
    assert steps[0][0] == running[0] == min(slots, 64)
    assert all(here > 0.75 * rows for here, (rows, _) in zip(running, steps, strict=True))
    assert sum(running) == sum(map(len, rollout.responses))
