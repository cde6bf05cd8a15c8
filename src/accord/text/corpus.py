"""Pretraining text: a byte-level BPE, and documents cut into windows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from accord.errors import DataError
from accord.text.packing import PromptGroup
from accord.text.tokenizer import begin_with_bos

BOS, EOS, PAD = "<bos>", "<eos>", "<pad>"
MIN_WINDOW = 16
"""A document's tail shorter than this many tokens is not worth a window; it is counted as
dropped."""


@dataclass(frozen=True)
class Windows:
    """Training windows, with the tokens they hold and the tokens of tails too short to keep."""

    groups: list[PromptGroup]
    tokens: int
    dropped_tokens: int


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE with <bos>, <eos> and a <pad> of its own. Same texts, same tokenizer."""
    if vocab_size < 300:
        raise DataError(f"a byte-level vocabulary needs at least 300 entries, not {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS, PAD],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> Path:
    """Write a directory that transformers loads as a fast tokenizer, which begins text with
    <bos>."""
    folder.mkdir(parents=True, exist_ok=True)
    written = Tokenizer.from_str(tokenizer.to_str())
    begin_with_bos(written, BOS)
    written.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    return folder


def cut_windows(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    length: int,
    begin: int | None = None,
    end: int | None = None,
) -> Windows:
    """Cut every document (<bos> text <eos>) into windows of `length` tokens; `begin`, `end`: ids in
    place of <bos> and <eos>, for a tokenizer that has others.

    A window's first token is its given context, all others are scored. Later windows of a document
    start in its middle, without a <bos>.
    """
    if length < MIN_WINDOW:
        raise DataError(f"windows of {length} tokens are too short", f"use at least {MIN_WINDOW}")
    bos = tokenizer.token_to_id(BOS) if begin is None else begin
    eos = tokenizer.token_to_id(EOS) if end is None else end
    if bos is None or eos is None:
        raise DataError(f"the tokenizer has no {BOS} or no {EOS}", "train it with train_bpe")
    groups: list[PromptGroup] = []
    tokens = dropped = 0
    for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
        ids = [bos, *encoding.ids, eos]
        for start in range(0, len(ids), length):
            window = ids[start : start + length]
            if len(window) < MIN_WINDOW and start:
                dropped += len(window)
            else:
                groups.append(PromptGroup(window[:1], [window[1:]]))
                tokens += len(window)
    return Windows(groups, tokens, dropped)
