"""The byte-level BPE and the cutting of documents into windows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.text.corpus import BOS, EOS, MIN_WINDOW, PAD, cut_windows, save_tokenizer, train_bpe

TEXTS = [
    "The film was good, the cast was better.",
    "A bad film: nothing was good about it!",
    "naïve café 電影 🎬",
] * 4
TOKENIZER = train_bpe(TEXTS, 320)


def test_same_texts_same_tokenizer() -> None:
    assert train_bpe(TEXTS, 320).to_str() == TOKENIZER.to_str()


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_survives_the_tokenizer(text: str) -> None:
    if any(special in text for special in (BOS, EOS, PAD)):
        return
    assert (
        TOKENIZER.decode(
            TOKENIZER.encode(text, add_special_tokens=False).ids, skip_special_tokens=False
        )
        == text
    )


def test_the_directory_loads_in_transformers_with_pad_distinct_from_eos(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(
        str(save_tokenizer(TOKENIZER, tmp_path / "t", context=128))
    )
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == (BOS, EOS, PAD)
    assert loaded.model_max_length == 128
    assert loaded.encode(TEXTS[2], add_special_tokens=False) == TOKENIZER.encode(TEXTS[2]).ids
    assert loaded.encode(TEXTS[2]) == [loaded.bos_token_id, *TOKENIZER.encode(TEXTS[2]).ids]
    assert loaded.decode(loaded.encode(TEXTS[2], add_special_tokens=False)) == TEXTS[2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 120), min_size=1, max_size=6), st.integers(MIN_WINDOW, 40))
def test_windows_hold_every_token_or_count_it(words: list[int], length: int) -> None:
    texts = ["good film " * count for count in words]
    bos, eos = TOKENIZER.token_to_id(BOS), TOKENIZER.token_to_id(EOS)
    documents = [[bos, *TOKENIZER.encode(text).ids, eos] for text in texts]
    windows = cut_windows(TOKENIZER, texts, length)
    assert windows.tokens + windows.dropped_tokens == sum(map(len, documents))
    assert windows.tokens == sum(group.tokens for group in windows.groups)
    rows = [[*group.prompt, *group.responses[0]] for group in windows.groups]
    assert all(len(row) <= length for row in rows)
    expected = []
    for document in documents:
        parts = [document[i : i + length] for i in range(0, len(document), length)]
        expected += [part for i, part in enumerate(parts) if i == 0 or len(part) >= MIN_WINDOW]
    assert rows == expected
    assert sum(row[0] == bos for row in rows) == sum(row.count(bos) for row in rows) == len(texts)


def test_sizes_that_cannot_work() -> None:
    with pytest.raises(DataError, match="at least 300"):
        train_bpe(TEXTS, 200)
    with pytest.raises(DataError, match="too short"):
        cut_windows(TOKENIZER, TEXTS, MIN_WINDOW - 1)
