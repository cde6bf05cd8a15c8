"""Steps end at the token that completes them, whatever the tokenizer merges or splits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from accord.text.steps import split_ends, step_ends
from chat_tokenizers import chat_tokenizer

steps = st.lists(
    st.text("ab é😀.1\t", min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=6
)


def merging() -> Tokenizer:
    """Byte-level, and merges across the end of a step: ".\\n" and "\\na" are single tokens."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(["a.\nab.\nb.\n\na.\na" * 20], trainer)
    return raw


RAW = merging()


@settings(max_examples=150)
@given(steps, st.sampled_from(["\n", "\n\n", " ки "]))
def test_a_step_ends_with_the_first_token_that_completes_it(
    parts: list[str], separator: str
) -> None:
    ids = RAW.encode(separator.join(parts)).ids
    found = step_ends(RAW.decode, ids, parts)
    assert len(found) == len(parts)
    text, ends = separator.join(parts), list(accumulate(len(p) + len(separator) for p in parts))
    for part, end, token in zip(parts, ends, found, strict=True):
        complete = text[: end - len(separator)].rstrip()
        assert complete.endswith(part.strip())
        assert RAW.decode(ids[: token + 1]).startswith(complete)
        assert token == 0 or not RAW.decode(ids[:token]).startswith(complete)


def test_a_separator_may_share_a_token_with_the_step() -> None:
    ids = RAW.encode("ab.\nab.\nb.").ids
    shared = [i for i, token in enumerate(ids) if ".\n" in RAW.decode([token])]
    assert shared  # otherwise this test shows nothing
    assert split_ends(RAW.decode, ids, "\n")[:2] == shared[:2]


def test_what_is_cut_blank_or_missing() -> None:
    ids = RAW.encode("one\ntwo\nthree").ids
    whole = step_ends(RAW.decode, ids, ["one", "two", "three"])
    assert whole[-1] == len(ids) - 1
    assert step_ends(RAW.decode, ids[: whole[1] + 2], ["one", "two", "three"]) == whole[:2]
    assert step_ends(RAW.decode, ids, ["two", "one"]) == whole[1:2]  # not in this order
    assert split_ends(RAW.decode, RAW.encode("\n\n").ids, "\n") == [len(RAW.encode("\n\n").ids) - 1]
    assert split_ends(RAW.decode, RAW.encode("one\n\n\ntwo\n").ids, "\n") == [
        whole[0],
        whole[1] + 2,
    ]
    with pytest.raises(ValueError, match="a step is blank"):
        step_ends(RAW.decode, ids, ["one", " "])


def test_special_tokens_are_not_text() -> None:
    tokenizer = chat_tokenizer("plain")

    def decode(ids: Sequence[int]) -> str:
        return tokenizer.decode(list(ids), skip_special_tokens=True)

    ids = [*tokenizer.encode("Ann paid.\nParis.", add_special_tokens=False), tokenizer.eos_token_id]
    assert split_ends(decode, ids, "\n")[-1] == len(ids) - 2
