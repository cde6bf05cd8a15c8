"""A model with tags reads them before every segment, and neither scores nor says them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from accord.errors import ConfigError
from accord.models.causal_lm import CausalLM
from accord.models.check import check_model
from accord.models.llama import LlamaLM
from accord.models.loading import copy_causal_lm, load_causal_lm, save_causal_lm
from accord.models.tags import add_tags
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup, pack
from tiny import save_tiny, tiny_llama


@pytest.fixture
def tagged() -> CausalLM:
    model = add_tags(tiny_llama(1), seed=3)
    with torch.no_grad():  # tags that matter
        model.hf.get_input_embeddings().weight[-2:] *= 10
    return model


def text_with_ends(model: CausalLM) -> list[int]:
    return Encoder(model.tokenizer).prompt("so it goes. is it so? it is! and")


def test_the_numbers_are_those_of_the_tags_written_out(tagged: CausalLM) -> None:
    ids, tags = text_with_ends(tagged), tagged.tags
    assert tags is not None
    written = tags.tagged(ids)
    assert written.count(tags.good) == 4  # at the beginning and after each of three sentences
    one = tagged.logprobs(pack([PromptGroup(ids[:1], [ids[1:]])]))
    mask = [i != tags.good for i in written[1:]]
    with tagged.reading(None):
        other = tagged.logprobs(pack([PromptGroup(written[:1], [written[1:]], [mask])]))
        plain = tagged.logprobs(pack([PromptGroup(ids[:1], [ids[1:]])]))
    torch.testing.assert_close(one, other)
    with tagged.reading(tags.swapped):
        bad = tagged.logprobs(pack([PromptGroup(ids[:1], [ids[1:]])]))
    assert not torch.allclose(one, plain, atol=1e-3)
    assert not torch.allclose(one, bad, atol=1e-3)


def test_what_is_sampled_is_rescored_alike_and_holds_no_tag(tagged: CausalLM) -> None:
    prompts = [text_with_ends(tagged), [0], [0, 5, 6]]
    settings = SamplingSettings(40, temperature=1.3)
    rollout = BuiltinSampler(tagged, slots=4).sample(prompts, settings, range(12), 4)
    assert tagged.tags is not None
    assert max(i for r in rollout.responses for i in r) < tagged.tags.first == tagged.vocab_size
    assert any(i in tagged.tags.ends for r in rollout.responses for i in r[:-1])
    again = tagged.logprobs(pack(rollout.groups()), settings.temperature)
    torch.testing.assert_close(torch.cat(rollout.logprobs), again, atol=2e-4, rtol=1e-4)
    assert rollout.prompts == [list(p) for p in prompts]
    with tagged.reading(tagged.tags.swapped):
        other = BuiltinSampler(tagged).sample(prompts, settings, range(12), 4)
    assert other.responses != rollout.responses


def test_it_survives_its_files_and_copies(tagged: CausalLM, tmp_path: Path) -> None:
    again = load_causal_lm(str(save_causal_lm(tagged, tmp_path / "model")))
    assert isinstance(again.hf, LlamaLM)
    notes = check_model(str(tmp_path / "model")).notes
    assert any("trained conditionally" in note for note in notes)
    assert not any("belong to no token" in note for note in notes)
    twice = load_causal_lm(str(save_causal_lm(again, tmp_path / "again")))
    for model in (again, twice, copy_causal_lm(tagged)):
        assert model.tags == tagged.tags
        assert model.vocab_size == tagged.vocab_size
    assert add_tags(again, seed=1) is again


def test_others_that_load_it_do_not_say_tags(tagged: CausalLM, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = save_causal_lm(tagged, tmp_path / "model")
    hf, tokenizer = (c.from_pretrained(folder) for c in (AutoModelForCausalLM, AutoTokenizer))
    assert tagged.tags is not None
    assert hf.generation_config.suppress_tokens == [tagged.tags.good, tagged.tags.bad]
    assert tokenizer.convert_tokens_to_ids(["<good>", "<bad>"]) == [64, 65]
    with torch.no_grad():
        hf.get_input_embeddings().weight[64:] *= 100
    said = hf.generate(torch.tensor([[0]]), do_sample=True, max_new_tokens=60)
    assert said.max() < 64


def test_a_model_from_a_folder_gets_them_too(tmp_path: Path) -> None:
    plain = load_causal_lm(str(save_tiny(tmp_path / "plain")))
    model = add_tags(plain, seed=3)
    assert model.tags is not None
    assert (model.tags.good, model.vocab_size) == (64, 64)
    ids = text_with_ends(model)
    with model.reading(None):
        torch.testing.assert_close(
            model.logprobs(pack([PromptGroup(ids[:1], [ids[1:]])])),
            plain.logprobs(pack([PromptGroup(ids[:1], [ids[1:]])])),
        )
    model.tags = None
    with pytest.raises(ConfigError, match="a token '<good>' already"):
        add_tags(model, seed=1)
