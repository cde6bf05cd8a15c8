"""Ids that no token has are neither sampled nor scored: vocabularies are often filled up to a round
number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from test_models_packed import GROUPS, SIZES

from accord.models.causal_lm import CausalLM
from accord.models.check import check_model
from accord.models.decoding import LlamaDecoder
from accord.models.gradients import preallocate_gradients
from accord.models.llama import LlamaLM
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.models.probe import decoded_logprobs, packed_logprobs
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.packing import PromptGroup, pack
from tiny import ByteTokenizer

TOKENS, ROWS = 48, 64
MADE = {
    "plain": (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    "untied": (transformers.LlamaConfig, {"tie_word_embeddings": False}),
    "scaled": (transformers.GraniteConfig, {"logits_scaling": 3.0}),
    "ours": (transformers.LlamaConfig, {"tie_word_embeddings": False}),
}


def padded(kind: str, folder: Path) -> CausalLM:
    """16 rows more than tokens, and those are the likeliest of all."""
    made, more = MADE[kind]
    torch.manual_seed(0)
    config = made(**SIZES, num_key_value_heads=2, **more)
    hf = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        hf.get_output_embeddings().weight[TOKENS:] *= 100
    model = CausalLM(hf, ByteTokenizer(TOKENS))
    if kind != "ours":
        return model
    model = load_causal_lm(str(save_causal_lm(model, folder / "ours")))
    assert isinstance(model.hf, LlamaLM)
    return model


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_no_id_beyond_the_tokenizer_is_sampled(
    kind: str, temperature: float, tmp_path: Path
) -> None:
    """And what is sampled is rescored as it was."""
    model = padded(kind, tmp_path)
    settings = SamplingSettings(max_new_tokens=20, temperature=temperature)
    rollout = BuiltinSampler(model).sample([[5, 6], [7]], settings, range(16), 8)
    assert max(max(ids) for ids in rollout.responses) < TOKENS == model.vocab_size
    if temperature == 1.0:
        torch.testing.assert_close(
            torch.cat(list(rollout.logprobs)),
            packed_logprobs(model, rollout.groups()),
            atol=1e-4,
            rtol=1e-4,
        )


@pytest.mark.parametrize("kind", MADE)
def test_chances_are_over_the_tokens(kind: str, tmp_path: Path) -> None:
    """In training, as whole distributions, and token by token: the same, and they sum to 1."""
    model, ids = padded(kind, tmp_path), [5, 6, 7, 8]
    assert isinstance(model.decoder(1), LlamaDecoder) == (kind != "scaled")
    with torch.no_grad(), model.native_forward() as hf:
        logits_TV = hf(input_ids=torch.tensor([ids])).logits[0, :-1, :TOKENS].float()
    expected = torch.log_softmax(logits_TV, -1)
    groups = [PromptGroup(ids[:1], [ids[1:]])]
    ((_, whole),) = model.full_logprobs(pack(groups))
    torch.testing.assert_close(whole, expected, atol=2e-5, rtol=1e-4)
    own = expected.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    for found in (packed_logprobs(model, groups), decoded_logprobs(model, groups)):
        torch.testing.assert_close(found, own, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("laid_out", [False, True])
def test_rows_without_a_token_learn_nothing(laid_out: bool, tmp_path: Path) -> None:
    model, native = padded("untied", tmp_path), padded("untied", tmp_path)
    if laid_out:
        preallocate_gradients(model.hf.parameters())
    model.logprobs(pack(GROUPS)).sum().backward()
    for group in GROUPS:
        for response in group.responses:
            ids = torch.tensor([*group.prompt, *response])
            with native.native_forward() as hf:
                logits = hf(input_ids=ids[None]).logits[0, len(group.prompt) - 1 : -1, :TOKENS]
            logp = torch.log_softmax(logits, -1).gather(1, ids[len(group.prompt) :, None])
            logp.sum().backward()
    grad = model.hf.lm_head.weight.grad
    torch.testing.assert_close(grad, native.hf.lm_head.weight.grad, atol=1e-4, rtol=1e-3)
    assert not grad[TOKENS:].any()
    assert grad[:TOKENS].any()


def test_the_check_of_models_says_so(tmp_path: Path) -> None:
    save_causal_lm(padded("plain", tmp_path), tmp_path / "model")
    report = check_model(str(tmp_path / "model"))
    assert report.vocabulary == TOKENS
    assert any(note.startswith("16 rows of its vocabulary") for note in report.notes)
