"""A saved tokenizer reads plain text as accord read it in training, in any program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from gguf_tokenizers import byte_pairs, pieces
from test_models_packed import SIZES
from tokenizers import pre_tokenizers, processors

from accord.models.causal_lm import CausalLM
from accord.models.loading import LoraSettings, add_lora, load_causal_lm, save_causal_lm
from accord.text.encoding import Encoder

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
WORDS = {token: i for i, token in enumerate(["<|endoftext|>", "<s>", *LETTERS, "th"])}
PAIRS: dict[str, Any] = {"vocab": WORDS, "merges": [("t", "h")]}
TEXTS = ("Ann and th", "", " a\n", "a<s> th")


def plain(name: str | None, **changes: Any) -> Any:
    """A fast tokenizer without a chat template; `name`: of its BOS."""
    tokenizer = byte_pairs()
    tokenizer.chat_template, tokenizer.bos_token = None, name
    return tokenizer


def ending() -> Any:
    """It ends every text with EOS, and has no BOS."""
    tokenizer = plain(None)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", tokenizer.eos_token_id)]
    )
    return tokenizer


def _pieces(made: Any, form: str, **settings: Any) -> Any:
    return made(vocab=pieces(form).get_vocab(), merges=[], **settings)


FAMILIES: dict[str, Callable[[], Any]] = {
    "fast": lambda: plain("<turn>"),
    "fast, no BOS": lambda: plain(None),
    "fast, ends with EOS": ending,
    "gpt2": lambda: transformers.GPT2Tokenizer(**PAIRS),
    "gpt2, BOS of its own": lambda: transformers.GPT2Tokenizer(**PAIRS, bos_token="<s>"),
    "gpt2, told not to": lambda: transformers.GPT2Tokenizer(**PAIRS, add_bos_token=False),
    "qwen2": lambda: transformers.Qwen2Tokenizer(**PAIRS, eos_token="<|endoftext|>"),
    "qwen2, BOS": lambda: transformers.Qwen2Tokenizer(
        **PAIRS, bos_token="<s>", eos_token="<|endoftext|>"
    ),
    "llama": lambda: _pieces(transformers.LlamaTokenizer, "first"),
    "llama, told not to": lambda: _pieces(
        transformers.LlamaTokenizer, "first", add_bos_token=False
    ),
    "llama, ends with EOS": lambda: _pieces(
        transformers.LlamaTokenizer, "first", add_bos_token=True, add_eos_token=True
    ),
    "gemma": lambda: _pieces(transformers.GemmaTokenizer, "gemma"),
    "pieces": lambda: pieces("prepend"),
    "packaged": lambda: load_causal_lm("accord:nano-base").tokenizer,
}


def model_of(tokenizer: Any) -> CausalLM:
    shape = SIZES | {"vocab_size": 1 + max(tokenizer.get_vocab().values())}
    hf = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape, num_key_value_heads=2))
    return CausalLM(hf, tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adapter", [False, True])
def test_plain_text_is_read_as_in_training(family: str, adapter: bool, tmp_path: Path) -> None:
    tokenizer = FAMILIES[family]()
    encoder = Encoder(tokenizer)
    model = model_of(tokenizer)
    if adapter:
        base = load_causal_lm(str(save_causal_lm(model, tmp_path / "base")))
        model = add_lora(base, LoraSettings(2), seed=0)
    save_causal_lm(model, tmp_path / "saved")
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    for text in TEXTS:
        if text or tokenizer.bos_token is not None:
            assert read(text).input_ids == encoder.prompt(text), text
    again = Encoder(load_causal_lm(str(tmp_path / "saved")).tokenizer)
    assert again.prompt(TEXTS[0]) == encoder.prompt(TEXTS[0])


def test_a_chat_tokenizer_stays_as_it_is(tmp_path: Path) -> None:
    """Its template writes BOS where it belongs; another would stand before it."""
    tokenizer = byte_pairs()
    save_causal_lm(model_of(tokenizer), tmp_path / "saved")
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert read("Ann").input_ids == tokenizer("Ann").input_ids
    assert read.chat_template == tokenizer.chat_template
