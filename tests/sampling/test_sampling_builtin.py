"""The built-in sampler: right distribution, right log-probabilities, independent of its batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from accord.errors import ConfigError, DataError
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.models.packed import NAME
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.encoding import Encoder
from accord.text.packing import Group, pack
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


def test_frequencies_follow_the_distribution() -> None:
    model = tiny_llama()
    n = 4000
    rollout = BuiltinSampler(model, 512).sample(
        [[0, 5]], SamplingSettings(1), range(n), samples_per_prompt=n
    )
    counts = torch.bincount(torch.tensor([r[0] for r in rollout.responses]), minlength=64).double()
    hidden = model.hidden(pack([Group([0, 5], [[0]])])).detach()
    expected = torch.softmax(model.logits(hidden[1]).detach(), -1).double() * n
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 110  # 63 degrees of freedom: p < 0.0003 beyond this


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
    saved = save_causal_lm(model, tmp_path / "model", half)
    settings = json.loads((saved / "generation_config.json").read_text())
    assert settings["eos_token_id"] == [model.tokenizer.eos_token_id, turn_end]
    again = load_causal_lm(str(saved))
    assert BuiltinSampler(again).stop_ids == sampler.stop_ids
