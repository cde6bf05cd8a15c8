"""The length policy: nothing is lost silently, EOS is never invented."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.text.encoding import Encoder, Example
from accord.text.lengths import fit_lengths
from chat_tokenizers import chat_tokenizer

PLAIN = Encoder(chat_tokenizer("plain"))
CHAT = Encoder(chat_tokenizer("chatml"))
BOS, EOS = PLAIN.tokenizer.bos_token_id, PLAIN.tokenizer.eos_token_id

lengths = st.tuples(st.integers(0, 12), st.integers(1, 12), st.booleans())
limits = st.integers(1, 10)


def example(prompt: int, response: int, finished: bool, row: str = "") -> Example:
    """An example of `prompt` tokens after the BOS and `response` tokens, EOS included."""
    own = list(range(50, 50 + response - finished))
    return Example(
        [BOS, *range(100, 100 + prompt)], [*own, EOS] if finished else own, finished, row
    )  # type: ignore[list-item]


def examples_of(sizes: list[tuple[int, int, bool]]) -> list[Example]:
    return [example(p, r + f, f, str(i)) for i, (p, r, f) in enumerate(sizes)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(lengths, min_size=1, max_size=8),
    st.integers(1, 10),
    st.integers(1, 10),
    st.sampled_from(["drop", "cut"]),
)
def test_every_row_is_accounted_for(
    sizes: list[Any], max_prompt: int, max_response: int, policy: Any
) -> None:
    examples = [example(0, 1, False, "short"), *examples_of(sizes)]
    kept, table = fit_lengths(examples, PLAIN, max_prompt, max_response, policy)
    assert table.rows == len(examples) == table.kept + sum(table.dropped.values())
    assert table.kept == len(kept)
    originals = {e.row: e for e in examples}
    for e in kept:
        before = originals[e.row]
        assert len(e.prompt_ids) <= max_prompt
        assert len(e.response_ids) <= max_response
        assert e.prompt_ids[0] == BOS
        assert (
            e.prompt_ids[1:] == before.prompt_ids[len(before.prompt_ids) - len(e.prompt_ids) + 1 :]
        )
        assert e.response_ids == before.response_ids[: len(e.response_ids)]
        assert (
            e.finished
            == (e.response_ids[-1] == EOS)
            == (before.finished and e.response_ids == before.response_ids)
        )
    assert table.cut == sum(e != originals[e.row] for e in kept)
    assert table.eos_trained == sum(e.finished for e in kept) / len(kept)


def test_error_names_row_tokens_limit_and_fix() -> None:
    with pytest.raises(DataError) as error:
        fit_lengths([example(2, 3, True, "a:1"), example(9, 3, True, "a:2")], PLAIN, 5, 5, "error")
    assert error.value.message == "row a:2: the prompt has 10 tokens, the limit is 5"
    assert error.value.fix is not None
    assert "max_prompt_tokens" in error.value.fix
    with pytest.raises(DataError, match="row a:1: the response has 7 tokens, the limit is 5"):
        fit_lengths([example(2, 7, True, "a:1")], PLAIN, 5, 5, "error")


def test_nothing_left_is_an_error_that_says_why() -> None:
    with pytest.raises(DataError, match=r"none of 1 rows is left: 1 too long"):
        fit_lengths([example(9, 3, True)], PLAIN, 5, 5, "drop")


@pytest.mark.parametrize("policy", ["error", "drop", "cut"])
def test_nothing_exceeds_the_context_whatever_the_policy(policy: Any) -> None:
    examples = [example(6, 5, True, "r1")]
    fit_lengths(examples, PLAIN, 8, 8, policy, context=12)
    with pytest.raises(
        DataError, match="row r1: 7 prompt and 5 response tokens exceed the model's context of 11"
    ):
        fit_lengths(examples, PLAIN, 8, 8, policy, context=11)


def test_the_table_shows_one_example_with_its_mask_and_is_json() -> None:
    rows = [
        PLAIN.example("The capital", " is Paris."),
        PLAIN.example("The capital", " is", finished=False),
    ]
    kept, table = fit_lengths(rows, PLAIN, 30, 30, "error", dropped={"no response": 3})
    assert table.example == "<bos>The capital⟦ is Paris.<eos>⟧"
    assert (len(kept), table.rows, table.dropped, table.eos_trained) == (
        2,
        5,
        {"no response": 3},
        0.5,
    )
    assert json.loads(json.dumps(table.values()))["kept"] == 2
    text = "\n".join(table.lines())
    assert "5 rows: 2 kept (0 of them cut), dropped: 3 no response" in text
    assert "EOS trained on 50%" in text


def test_conversations_are_cut_between_turns_and_keep_their_system_message() -> None:
    talk = [{"role": "system", "content": "Be kind."}]
    for i in range(4):
        talk += [
            {"role": "user", "content": f"question {i}"},
            {"role": "assistant", "content": f"answer {i}"},
        ]
    long = CHAT.example([*talk, {"role": "user", "content": "the last"}], "Yes.", row="t")
    limit = len(long.prompt_ids) - 5
    [kept], table = fit_lengths([long], CHAT, limit, 30, "cut")
    assert kept.prompt_ids == CHAT.prompt(
        [talk[0], *talk[3:], {"role": "user", "content": "the last"}]
    )
    assert (kept.response_ids, kept.finished, table.cut) == (long.response_ids, True, 1)


def test_a_conversation_whose_last_message_is_too_long_is_dropped_and_counted() -> None:
    long = CHAT.example([{"role": "user", "content": "far too long " * 20}], "Yes.")
    short = CHAT.example([{"role": "user", "content": "ok"}], "Yes.")
    kept, table = fit_lengths([long, short], CHAT, len(short.prompt_ids), 30, "cut")
    assert kept == [short]
    assert table.dropped == {"last message alone too long": 1}
