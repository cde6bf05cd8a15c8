"""Models for other programs: GGUF files and sequence classifiers say what the models say."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_models_packed import SIZES
from test_models_saving import trained
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from accord.errors import ConfigError, RunError
from accord.models import classifier, gguf_export
from accord.models.causal_lm import CausalLM
from accord.models.classifier import OFFSET, PAD, export_classifier
from accord.models.ensembles import build_members
from accord.models.gguf import import_gguf
from accord.models.gguf_export import SPLITS, export_gguf
from accord.models.heads import HeadForm
from accord.models.loading import (
    LoraSettings,
    load_causal_lm,
    locate_model,
    merge_adapter,
    save_causal_lm,
)
from accord.models.probe import packed_logprobs
from accord.models.reward_model import RewardModel
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup
from tiny import ByteTokenizer, tiny_llama

needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="the package gguf is not installed"
)
GROUPS = [PromptGroup([5, 6, 7], [[8, 9, 10, 11], [12]]), PromptGroup([20], [[21] * 9])]
SPLIT = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}  # fmt: skip


def byte_pairs(split: str = "gpt-2") -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE of 261 tokens, with a turn of chat."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(["<eos>", "<turn>", "<unk>", *letters, "th", "the"])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e")]))
    raw.pre_tokenizer, raw.decoder = SPLIT[split], decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<turn>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<eos>",
        additional_special_tokens=["<turn>"],
        chat_template="{% for m in messages %}<turn>{{ m.content }}<eos>{% endfor %}",
    )


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, {}),
    "llama untied, padded": (transformers.LlamaConfig, {"tie_word_embeddings": False, "vocab_size": 300}),
    "mistral": (transformers.MistralConfig, {"sliding_window": None}),
    "qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 128, "tie_word_embeddings": True}),
}  # fmt: skip


def made(kind: str, **changes: Any) -> CausalLM:
    """Random, with every weight away from 0 and 1."""
    config, more = KINDS[kind]
    more = more | changes
    shape = SIZES | {"num_key_value_heads": 2, "vocab_size": 261, "tie_word_embeddings": True}
    torch.manual_seed(0)
    hf = transformers.AutoModelForCausalLM.from_config(config(**shape | more))
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return CausalLM(hf, byte_pairs())


@needs_gguf
@pytest.mark.parametrize("kind", KINDS)
def test_a_gguf_file_is_the_model(kind: str, tmp_path: Path) -> None:
    """Read by transformers and imported again; in 16 bits but for rounding."""
    model, file = made(kind), tmp_path / "model.gguf"
    assert export_gguf(model, file, "float32") < 1e-5
    imported = import_gguf(str(file), tmp_path / "again")
    again = load_causal_lm(str(imported.destination))
    torch.testing.assert_close(
        packed_logprobs(again, GROUPS), packed_logprobs(model, GROUPS), atol=1e-5, rtol=1e-5
    )
    assert again.tokenizer.chat_template == model.tokenizer.chat_template
    assert (again.tokenizer.eos_token, again.tokenizer.bos_token) == ("<eos>", "<turn>")
    for dtype in ("float16", "bfloat16"):
        small = tmp_path / f"{dtype}.gguf"
        assert export_gguf(model, small, dtype) < 1e-5  # what was rounded is read back exactly
        assert small.stat().st_size < 0.75 * file.stat().st_size


@needs_gguf
@pytest.mark.parametrize("split", SPLIT)
def test_llama_cpp_is_told_how_words_are_split(split: str, tmp_path: Path) -> None:
    from gguf import GGUFReader

    model = CausalLM(made("llama").hf, byte_pairs(split))
    export_gguf(model, tmp_path / "model.gguf")
    reader = GGUFReader(str(tmp_path / "model.gguf"))
    told = {
        name: reader.get_field(f"tokenizer.ggml.{name}").contents()
        for name in ("pre", "tokens", "token_type", "eos_token_id", "add_bos_token")
    }
    assert told["pre"] == split
    assert told["tokens"][:3] == ["<eos>", "<turn>", "<unk>"]
    assert told["token_type"][:4] == [3, 3, 3, 1]
    assert (told["eos_token_id"], told["add_bos_token"]) == (0, False)
    assert set(SPLIT) <= set(SPLITS)


@needs_gguf
def test_what_a_gguf_file_cannot_say_is_refused(tmp_path: Path) -> None:
    rope = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
    file, odd = tmp_path / "model.gguf", byte_pairs()
    odd.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    granite = transformers.GraniteConfig(**SIZES | {"vocab_size": 261, "num_key_value_heads": 2})
    for model, why in (
        (made("llama", rope_parameters=rope), "without its rotary scaling 'linear'"),
        (made("qwen3", head_dim=8), "without its heads of 8 numbers"),
        (made("llama", attention_bias=True), "without its biases"),
        (CausalLM(made("llama").hf, odd), "no name for its way of splitting"),
        (CausalLM(transformers.GraniteForCausalLM(granite), byte_pairs()), "not write 'granite'"),
    ):
        with pytest.raises(ConfigError, match=why):
            export_gguf(model, file)
    with pytest.raises(ConfigError, match=r"does not end with \.gguf"):
        export_gguf(made("llama"), tmp_path / "model")
    assert not list(tmp_path.iterdir())


@needs_gguf
@pytest.mark.parametrize("what", ["weights", "rotation"])
def test_a_gguf_file_that_is_read_otherwise_is_not_kept(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "weights":
        add = gguf_export._add
        monkeypatch.setattr(
            gguf_export, "_add", lambda w, n, t, d: add(w, n, t * (1 + ("ffn_up" in n)), d)
        )
    else:  # the halves of heads left as they are
        monkeypatch.setattr(gguf_export, "_interleaved", lambda weight, heads: weight)
    with pytest.raises(RunError, match=r"otherwise than the model|not the model"):
        export_gguf(made("llama"), tmp_path / "model.gguf")
    assert not list(tmp_path.iterdir())


# --- classifiers ----------------------------------------------------------------------------------
FORMS = {
    "point": HeadForm(),
    "objectives": HeadForm(objectives=(("helpful", 0.7), ("terse", -0.3))),
    "mean": HeadForm("mean_variance"),
}


def reward_model(trunk: Any, form: HeadForm, lm: CausalLM, members: int = 2) -> RewardModel:
    """Random, centred and scaled."""
    lora = LoraSettings(4) if trunk in ("adapters", "lora") else None
    kind = "own" if trunk == "lora" else trunk
    built = build_members(lm, members, 0, kind, lora, form)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for member in built:
            for parameter in member.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return RewardModel(built, torch.tensor([0.5, -0.25])[:members], 1.7)


@torch.no_grad()
def by_transformers(folder: Path, groups: list[PromptGroup], side: str) -> torch.Tensor:
    """Scores of a padded batch, by nothing but transformers."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side=side)
    rows = [{"input_ids": [*g.prompt, *r]} for g in groups for r in g.responses]
    batch = tokenizer.pad(rows, return_tensors="pt")
    assert model.config.num_labels == 1
    offset: float = getattr(model.config, OFFSET)
    return model(**batch).logits[:, 0].float() + offset


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("trunk", ["shared", "own", "adapters", "lora"])
def test_transformers_scores_as_accord_does(form: str, trunk: str, tmp_path: Path) -> None:
    base = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "base")))
    reward = reward_model(trunk, FORMS[form], base)
    member = None if trunk == "shared" else 1
    told = export_classifier(reward, GROUPS, tmp_path / "out", member=member)
    scores = reward.score(GROUPS)
    expected = scores.mean(0) if member is None else scores[member]
    assert told.difference < 1e-4
    for side in ("right", "left"):
        found = by_transformers(tmp_path / "out", GROUPS, side)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
def test_weights_are_not_rounded_to_the_type_that_the_base_was_stored_in(
    stored: Any, tmp_path: Path
) -> None:
    base = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "base", stored)))
    reward = reward_model("shared", HeadForm(), base)
    told = export_classifier(reward, GROUPS, tmp_path / "out")
    assert told.difference < 1e-5
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    weights = theirs.model.state_dict()
    for name, weight in reward.members[0].lm.hf.state_dict().items():
        assert weights.get(name.removeprefix("model."), weight).equal(weight), name


def test_plain_text_begins_for_transformers_as_for_accord(tmp_path: Path) -> None:
    """The packaged model: a text with its response and stop token is scored alike by both."""
    reward = reward_model("shared", HeadForm(), load_causal_lm("accord:nano-base"))
    encoder = Encoder(reward.members[0].lm.tokenizer)
    example = encoder.example("A film about bees.\n", "It was lovely, and short.")
    export_classifier(reward, [example.group], tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    found = tokenizer("A film about bees.\nIt was lovely, and short.<eos>").input_ids
    assert found == [*example.prompt_ids, *example.response_ids]
    packaged = transformers.AutoTokenizer.from_pretrained(locate_model("accord:nano-base"))
    assert packaged("It was").input_ids == encoder.prompt("It was")


def test_padding_is_no_token_that_ends_a_text(tmp_path: Path) -> None:
    """With pad = eos transformers reads the score before EOS."""
    lm = tiny_llama()
    lm.tokenizer.pad_token = lm.tokenizer.eos_token
    reward = reward_model("shared", HeadForm(), lm)
    groups = [PromptGroup([5, 6], [[7, 8, 1], [9, 1]])]
    export_classifier(reward, groups, tmp_path / "out", "bfloat16")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert tokenizer.pad_token == PAD
    assert tokenizer.pad_token_id == config["pad_token_id"] == 64
    assert config["dtype"] == "bfloat16"
    found = by_transformers(tmp_path / "out", groups, "right")
    torch.testing.assert_close(found, reward.score(groups).mean(0), atol=0.1, rtol=0.1)


def test_scores_that_no_classifier_can_give_are_refused(tmp_path: Path) -> None:
    lm = tiny_llama()
    for form in (
        HeadForm("categorical"),
        HeadForm("mean_variance", read="quantile", risk=0.1),
        replace(HeadForm(), steps="min"),
    ):
        with pytest.raises(ConfigError, match="not linear"):
            export_classifier(reward_model("shared", form, lm), GROUPS, tmp_path / "out")
    own = reward_model("own", HeadForm(), lm)
    with pytest.raises(ConfigError, match="trunk or an adapter each") as caught:
        export_classifier(own, GROUPS, tmp_path / "out")
    assert "--member" in str(caught.value.fix)
    with pytest.raises(ConfigError, match="no member 2"):
        export_classifier(own, GROUPS, tmp_path / "out", member=2)
    assert not list(tmp_path.iterdir())


def test_a_classifier_that_scores_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = reward_model("shared", HeadForm(), tiny_llama())
    linear = classifier._linear
    monkeypatch.setattr(
        classifier, "_linear", lambda *given: (linear(*given)[0], linear(*given)[1] * 2, 0.0)
    )
    with pytest.raises(RunError, match="off the reward model"):
        export_classifier(reward, GROUPS, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_exported_from_an_adapter_it_is_the_merged_model(tmp_path: Path) -> None:
    base = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "base")))
    policy = trained(base, "all-linear")
    expected = packed_logprobs(policy, GROUPS)
    folder = save_causal_lm(merge_adapter(policy), tmp_path / "merged", "bfloat16")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert theirs.dtype == torch.bfloat16
    found = packed_logprobs(CausalLM(theirs.float(), ByteTokenizer()), GROUPS)
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0.1)
