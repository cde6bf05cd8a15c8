"""A tiny Llama and a tokenizer that make tests fast and exact."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from accord.models.causal_lm import CausalLM


def ByteTokenizer(vocab_size: int = 64) -> PreTrainedTokenizerFast:
    """A real fast tokenizer: one token per byte of a small alphabet; bos 0, eos 1, pad 2. What the
    alphabet leaves of `vocab_size` are tokens that no text has."""
    alphabet = [*"abcdefghijklmnopqrstuvwxyz.,!?'0123456789", "Ġ"]
    vocab = {"<bos>": 0, "<eos>": 1, "<pad>": 2, "<unk>": 3}
    for letter in alphabet[: vocab_size - len(vocab)]:
        vocab[letter] = len(vocab)
    for index in range(len(vocab), vocab_size):
        vocab[f"<{index}>"] = index
    raw = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def tiny_llama(seed: int = 0, vocab_size: int = 64, hidden: int = 32, layers: int = 2) -> CausalLM:
    """A random Llama with a few thousand weights; equal seeds give equal weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=hidden,
            num_hidden_layers=layers,
            intermediate_size=48,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            initializer_range=0.1,
        )
        return CausalLM(LlamaForCausalLM(config), ByteTokenizer(vocab_size))


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """Write a tiny model to `folder` as a Hugging Face directory."""
    from accord.models.loading import save_causal_lm

    return save_causal_lm(tiny_llama(seed), folder)
