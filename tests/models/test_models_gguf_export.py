"""A GGUF file says what the model says: read by transformers, imported again, and in llama.cpp."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from gguf_tokenizers import byte_pairs, pieces
from tokenizers import pre_tokenizers
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from accord.errors import ConfigError, RunError
from accord.models import gguf_export
from accord.models.gguf import import_gguf
from accord.models.gguf_export import export_gguf
from accord.models.gguf_forms import FORMS, REFUSED
from accord.models.gguf_tokenizer import SPLITS, TEXTS
from accord.models.loading import load_plain

needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="the package gguf is not installed"
)
needs_llama_cpp = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the package xllamacpp is not installed"
)
SIZES = {
    "vocab_size": 261, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 0,
}  # fmt: skip
WIDTH = {"intermediate_size": 48}
GROUPED = WIDTH | {"num_key_value_heads": 2}
ROUTED = GROUPED | {"num_experts": 4, "num_experts_per_tok": 2}
LINEAR = GROUPED | {
    "head_dim": 32, "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2, "linear_num_value_heads": 6, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": GROUPED | {"tie_word_embeddings": True},
    "llama untied, padded": GROUPED | {"tie_word_embeddings": False, "vocab_size": 300},
    "mistral": GROUPED | {"sliding_window": None},
    "qwen2": GROUPED,
    "qwen2_moe": ROUTED,
    "qwen3": GROUPED | {"head_dim": 128, "tie_word_embeddings": True},
    "qwen3_moe": ROUTED | {"norm_topk_prob": True},
    "qwen3_5_text": LINEAR,
    "qwen3_5_moe_text": LINEAR
    | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 24,
    },
    "minimax_m2": GROUPED
    | {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "rotary_dim": 4},
    "phi3": GROUPED,
    "gemma2": GROUPED | {"head_dim": 256},
    "gemma3_text": GROUPED | {"head_dim": 256},
    "gpt2": {"n_positions": 1024},
    "starcoder2": GROUPED,
    "stablelm": GROUPED,
    "nemotron": GROUPED,
    "falcon": {},
    "bloom": {},
    "mamba": {"intermediate_size": 64},
    "lfm2": GROUPED
    | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
}
NOT_OF = {
    "qwen3_5_moe_text": {"intermediate_size"},
    "gpt2": {"max_position_embeddings"},
    "bloom": {"max_position_embeddings"},
    "mamba": {"max_position_embeddings", "num_attention_heads"},
}
"""Settings that an architecture has not."""


def made(
    folder: Path, kind: str, tokenizer: PreTrainedTokenizerBase | None = None, **changes: Any
) -> str:
    """A directory of a random model with every weight away from 0 and 1."""
    words = tokenizer or (pieces("gemma") if kind.startswith("gemma") else byte_pairs())
    name = kind.split()[0]
    shape = SIZES | {"vocab_size": len(words)} | KINDS[kind] | changes
    config = transformers.AutoConfig.for_model(
        name, **{key: told for key, told in shape.items() if key not in NOT_OF.get(name, ())}
    )
    torch.manual_seed(0)
    hf = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    hf.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def says(source: str, ids: list[int]) -> torch.Tensor:
    """Log-probabilities [T, V] of the tokenizer's ids, by transformers."""
    hf, tokenizer = load_plain(source)
    return torch.log_softmax(hf(torch.tensor([ids])).logits[0, :, : len(tokenizer)].float(), -1)


IDS = torch.randint(0, 261, (40,), generator=torch.Generator().manual_seed(1)).tolist()


def test_every_form_is_tried() -> None:
    assert {kind.split()[0] for kind in KINDS} == {*FORMS}


@needs_gguf
@pytest.mark.parametrize("kind", KINDS)
def test_a_gguf_file_is_the_model(kind: str, tmp_path: Path) -> None:
    """Read by transformers and imported again."""
    source, file = made(tmp_path / "model", kind), tmp_path / "model.gguf"
    told = export_gguf(source, file, "float32")
    assert told.difference < 1e-5
    assert told.notes == []
    imported = import_gguf(str(file), tmp_path / "again").destination
    torch.testing.assert_close(says(str(imported), IDS), says(source, IDS), atol=1e-5, rtol=1e-5)
    mine, theirs = load_plain(source)[1], load_plain(str(imported))[1]
    assert theirs.chat_template == mine.chat_template
    assert (theirs.eos_token, theirs.bos_token) == (mine.eos_token, mine.bos_token)
    for text in (*TEXTS, "<turn>a<eos> b", "<bos>the they<eos> knn  Ann", " a"):
        assert theirs.encode(text) == mine.encode(text)


@needs_gguf
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen3_moe", "mamba"])
def test_weights_are_rounded_as_asked(kind: str, dtype: Any, tmp_path: Path) -> None:
    source = made(tmp_path / "model", kind)
    export_gguf(source, tmp_path / "whole.gguf", "float32")
    told = export_gguf(source, tmp_path / "half.gguf", dtype)
    assert told.difference < 1e-4  # what was rounded is read back as it is
    whole, half = ((tmp_path / f"{name}.gguf").stat().st_size for name in ("whole", "half"))
    assert half < 0.8 * whole


@needs_gguf
@pytest.mark.parametrize("kind", ["llama", "mistral", "phi3"])
def test_the_name_of_the_file_is_none_of_the_model(kind: str, tmp_path: Path) -> None:
    """transformers takes a general.name "mistral" for an architecture, llama.cpp "phi3" for a
    tokenizer."""
    source = made(tmp_path / "model", kind)
    for name in ("mistral", "phi3", "umt5", "jina"):
        assert export_gguf(source, tmp_path / f"{name}.gguf").difference < 1e-5


# --- tokenizers -----------------------------------------------------------------------------------
@needs_gguf
@pytest.mark.parametrize("split", ["gpt-2", "smollm"])
def test_llama_cpp_is_told_how_words_are_split(split: str, tmp_path: Path) -> None:
    from gguf import GGUFReader

    export_gguf(made(tmp_path / "m", "llama", byte_pairs(split)), tmp_path / "model.gguf")
    reader = GGUFReader(str(tmp_path / "model.gguf"))
    told = {
        name: reader.get_field(f"tokenizer.ggml.{name}").contents()
        for name in ("pre", "tokens", "token_type", "eos_token_id", "add_bos_token")
    }
    assert told["pre"] == split
    assert told["tokens"][:3] == ["<eos>", "<turn>", "<unk>"]
    assert told["token_type"][:4] == [3, 3, 3, 1]
    assert (told["eos_token_id"], told["add_bos_token"]) == (0, False)


def test_ways_to_split_are_those_that_transformers_knows() -> None:
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    for name, parts in SPLITS.items():
        if name not in ("gpt-2", "smollm"):
            assert parts[0]["pattern"]["Regex"] == GGUF_PRE_TOKENIZER_SPLITS[name]


@needs_gguf
def test_of_pieces_with_a_space_before_a_text_there_is_a_note(tmp_path: Path) -> None:
    source = made(tmp_path / "model", "llama", pieces("prepend"))
    told = export_gguf(source, tmp_path / "model.gguf", "float32")
    assert "a space before every text" in told.notes[0]


# --- refusals -------------------------------------------------------------------------------------
def _odd_split() -> PreTrainedTokenizerBase:
    odd = byte_pairs()
    odd.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return odd


def _greedy_mark() -> PreTrainedTokenizerBase:
    from transformers import AddedToken

    words = byte_pairs()
    words.add_tokens([AddedToken("<mark>", rstrip=True, normalized=False)])
    return words


LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}
NOT_WRITTEN: list[tuple[str, dict[str, Any], Any, str]] = [
    ("llama", {"rope_parameters": LINEAR_ROPE}, None, "rope_parameters .* instead of .*'linear'"),
    ("qwen3", {"head_dim": 8}, None, "head_dim 128 instead of 8"),
    ("llama", {"attention_bias": True}, None, "attention_bias False instead of True"),
    ("llama", {"hidden_act": "gelu"}, None, "hidden_act 'silu' instead of 'gelu'"),
    ("qwen3_moe", {"moe_intermediate_size": 16}, None, "moe_intermediate_size 768 instead of 16"),
    ("gemma2", {"head_dim": 8}, None, "takes head_dim for it"),
    ("gemma2", {"attn_logit_softcapping": 20.0}, None, "attn_logit_softcapping 50.0 instead of 20"),
    ("gemma3_text", {"sliding_window_pattern": 2}, None, "instead of"),
    ("falcon", {"new_decoder_architecture": True}, None, "no name for the weight .*ln_attn"),
    ("falcon", {"alibi": True}, None, "alibi False instead of True"),
    ("stablelm", {"qk_layernorm": True}, None, "no name for the weight .*layernorm"),
    ("llama", {}, _odd_split, "no name for its way of splitting"),
    ("llama", {}, _greedy_mark, "'<mark>' has rstrip set"),
    ("llama", {}, lambda: pieces("first"), "before a text that begins with none"),
    ("llama", {}, lambda: pieces("order"), "at another time than its merges do"),
]


@needs_gguf
@pytest.mark.parametrize(("kind", "changes", "words", "why"), NOT_WRITTEN)
def test_what_a_gguf_file_cannot_say_is_refused(
    kind: str, changes: Mapping[str, Any], words: Any, why: str, tmp_path: Path
) -> None:
    source = made(tmp_path / "model", kind, words() if words else None, **changes)
    with pytest.raises(ConfigError, match=why):
        export_gguf(source, tmp_path / "model.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@needs_gguf
@pytest.mark.parametrize("kind", REFUSED)
def test_an_architecture_that_is_not_written_is_refused_with_the_reason(kind: str) -> None:
    from types import SimpleNamespace

    with pytest.raises(ConfigError, match=f"'{kind}' models as GGUF: {re.escape(REFUSED[kind])}"):
        gguf_export._form(SimpleNamespace(config=SimpleNamespace(model_type=kind)))


def test_all_that_transformers_reads_is_written_or_refused() -> None:
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    named = {"gemma3": "gemma3_text", "gemma4": "gemma4_text", "qwen35": "qwen3_5_text"}
    named |= {"qwen35moe": "qwen3_5_moe_text"}
    read = {*GGUF_SUPPORTED_ARCHITECTURES, *GGUF_CONFIG_ARCHS} - {"general", "tokenizer"}
    assert {named.get(name, name) for name in read} == {*FORMS, *REFUSED}


def test_the_page_lists_what_is_written_and_what_is_not() -> None:
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    listed = page.split("<!-- gguf -->")[1].split("<!-- end -->")[0]
    assert re.findall(r"`(\w+)`", listed) == [*FORMS]
    for kind, why in REFUSED.items():
        assert re.search(rf"`{kind}`[^|]*\| {re.escape(why)}", page), kind


@needs_gguf
@pytest.mark.parametrize("what", ["weights", "rotation", "norms"])
def test_a_gguf_file_that_is_read_otherwise_is_not_kept(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "weights":
        add = gguf_export._add
        monkeypatch.setattr(
            gguf_export, "_add", lambda w, n, t, d: add(w, n, t * (1 + ("ffn_up" in n)), d)
        )
    changes = FORMS["gemma2" if what == "norms" else "llama"].changes
    for name in {"rotation": ["attn_q.weight"], "norms": ["ffn_norm.weight"]}.get(what, []):
        monkeypatch.setitem(changes, name, lambda weight, config: weight)  # type: ignore[call-overload]
    source = made(tmp_path / "model", "gemma2" if what == "norms" else "llama")
    with pytest.raises(RunError, match=r"otherwise than the model"):
        export_gguf(source, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


# --- llama.cpp ------------------------------------------------------------------------------------
class LlamaCpp:
    """llama.cpp's server on a file, in this process."""

    def __init__(self, file: Path) -> None:
        import xllamacpp

        asked = xllamacpp.CommonParams()
        asked.model.path, asked.n_ctx, asked.n_parallel = str(file), 128, 1
        asked.warmup, asked.cpuparams.n_threads, asked.cpuparams_batch.n_threads = False, 1, 1
        asked.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        for cache in ("cache_type_k", "cache_type_v"):
            setattr(asked, cache, xllamacpp.ggml_type.GGML_TYPE_F32)
        self.server = xllamacpp.Server(asked)

    def says(self, prompt: str | list[int], top: int) -> dict[int, float]:
        """Log-probabilities of the `top` likeliest next tokens."""
        for seed in range(50):  # a token that is half a letter comes without any
            asked = {
                "prompt": prompt, "n_predict": 1, "n_probs": top, "temperature": 1.0,
                "samplers": [], "cache_prompt": False, "seed": seed,
            }  # fmt: skip
            told: Any = self.server.handle_completions(asked)
            told = json.loads(told) if isinstance(told, str) else told
            if found := told["choices"][0].get("logprobs"):
                return {t["id"]: t["logprob"] for t in found["content"][0]["top_logprobs"]}
        raise AssertionError("llama.cpp told no log-probabilities")


@needs_gguf
@needs_llama_cpp
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_says_what_the_model_says(kind: str, tmp_path: Path) -> None:
    """Its GELU is a table of 16 bits, which is all the difference of models that have one."""
    source, file = made(tmp_path / "model", kind), tmp_path / "model.gguf"
    export_gguf(source, file, "float32")
    expected = says(source, IDS)[-1]
    found = LlamaCpp(file).says(IDS, len(expected))
    assert len(found) == len(expected)
    gelu = ("gemma", "gpt2", "bloom", "falcon", "starcoder2")
    bound = 2e-3 if kind.startswith(gelu) else 1e-5
    assert max(abs(float(expected[i]) - told) for i, told in found.items()) < bound


def _texts(marks: str) -> Iterator[str]:
    yield from TEXTS
    yield from (" a", "  a\n\n b", "the they know another knn  Ann  own")
    yield f"{marks}Ann{marks} Ann{marks}\nthe"


@needs_gguf
@needs_llama_cpp
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "words"),
    [("llama", "prepend"), ("gemma2", "gemma"), ("llama", "gpt-2"), ("llama", "smollm")],
)
def test_llama_cpp_splits_a_text_as_the_tokenizer_does(
    kind: str, words: str, tmp_path: Path
) -> None:
    """Words and their ids are continued alike."""
    tokenizer = byte_pairs(words) if words in SPLITS else pieces(words)
    source = made(tmp_path / "model", kind, tokenizer)
    export_gguf(source, tmp_path / "model.gguf", "float32")
    asked = LlamaCpp(tmp_path / "model.gguf")
    for text in _texts(tokenizer.eos_token):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert asked.says(text, 5) == asked.says(ids, 5), text
