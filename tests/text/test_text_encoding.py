"""Prompts and responses to ids: the border, EOS, BOS and hostile text, whatever the template."""

from __future__ import annotations

from typing import Any

import pytest
from chat_tokenizers import chat_tokenizer, sentencepiece_like
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.text.conversations import drop_oldest_turn, split_conversation
from accord.text.encoding import Encoder

CHAT = ["chatml", "llama3", "gemma", "llama2"]
SPECIAL = ["<|im_end|>", "<|im_start|>", "<bos>", "<eos>", "<|eot|>", "</turn>", "<pad>"]
# Text with special tokens spelled in it, as a hostile user or a hacked policy would.
letters = st.characters(codec="utf-8", exclude_characters="\ufdd0\ufdd1\ufdd2")
pieces = st.one_of(st.text(letters, max_size=12), st.sampled_from(SPECIAL))
texts = st.lists(pieces, min_size=1, max_size=5).map("".join).filter(str.strip)


def bare(tokenizer: Any, text: str) -> str:
    """The text without stop tokens written at its end."""
    names = tuple(tokenizer.convert_ids_to_tokens(Encoder(tokenizer).stop_ids))
    while text.rstrip().endswith(names):
        text = next(text.rstrip().removesuffix(name) for name in names if text.rstrip().endswith(name))
    return text


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


@settings(max_examples=60, deadline=None)
@given(question=texts, answer=texts, name=st.sampled_from(CHAT), finished=st.booleans())
def test_chat_examples_hold_prompt_and_reply_and_one_stop(
    question: str, answer: str, name: str, finished: bool
) -> None:
    tokenizer = chat_tokenizer(name)
    encoder = Encoder(tokenizer)
    answer = bare(tokenizer, answer)
    if not answer.strip():
        return
    example = encoder.example(user(question), answer, finished)
    assert example.prompt_ids == encoder.prompt(user(question))
    stop = encoder.stop_id(user(question))
    own = example.response_ids[:-1] if finished else example.response_ids
    assert (example.response_ids[-1] == stop) == finished
    assert not set(own) & set(encoder.stop_ids)  # a sampler that writes this stops where training ends
    assert tokenizer.bos_token_id not in own
    assert example.prompt_ids[:2].count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(own) == encoder.text(example.response_ids) == answer  # to the letter
    assert encoder.round_trips(example)
    assert question.strip() in tokenizer.decode(example.prompt_ids)


@settings(max_examples=60, deadline=None)
@given(prompt=texts, response=texts, finished=st.booleans(), name=st.sampled_from(["plain", "without-bos"]))
def test_plain_examples_decode_to_what_was_written(prompt: str, response: str, finished: bool, name: str) -> None:
    tokenizer = chat_tokenizer(name)
    encoder = Encoder(tokenizer)
    response = bare(tokenizer, response)
    if not response.strip() or prompt.startswith("<bos>"):
        return
    example = encoder.example(prompt, response, finished)
    own = example.response_ids[:-1] if finished else example.response_ids
    assert tokenizer.decode(own) == response
    assert tokenizer.eos_token_id not in own
    assert (example.prompt_ids[0] == tokenizer.bos_token_id) == (name == "plain")


@pytest.mark.parametrize("name", CHAT)
def test_chat_prompt_is_what_the_template_writes_for_generation(name: str) -> None:
    tokenizer = chat_tokenizer(name)
    messages = [*user("Hi"), {"role": "assistant", "content": "Hello."}, *user("Capital of France?")]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert Encoder(tokenizer).prompt(messages) == tokenizer.encode(rendered, add_special_tokens=False)


def test_reply_of_each_template() -> None:
    endings = {"chatml": "<|im_end|>", "llama3": "<|eot|>", "gemma": "</turn>", "llama2": "<eos>"}
    for name, ending in endings.items():
        tokenizer = chat_tokenizer(name)
        encoder = Encoder(tokenizer)
        said = [{"role": "assistant", "content": "Paris."}]
        written = encoder.example(user("Capital?"), "Paris.").response_ids
        part = encoder.example(user("Capital?"), "Paris.", finished=False).response_ids
        rendered = encoder.example(user("Capital?"), said).response_ids
        assert tokenizer.decode(written) == "Paris." + ending
        assert tokenizer.decode(part) == "Paris."
        assert tokenizer.decode(rendered) == (" Paris. <eos>" if name == "llama2" else "Paris." + ending)


def test_default_system_prompt_is_the_same_everywhere() -> None:
    tokenizer = chat_tokenizer("chatml")
    encoder = Encoder(tokenizer)
    assert "named SmolLM" in tokenizer.decode(encoder.prompt(user("Hi")))
    assert encoder.prompt(user("Hi")) == encoder.example(user("Hi"), "Hello.").prompt_ids


def test_padding_equal_to_eos_changes_nothing() -> None:
    tokenizer = chat_tokenizer("chatml")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert Encoder(tokenizer).example(user("Hi"), "Yes.").response_ids[-1] == tokenizer.eos_token_id


def test_an_eos_written_in_the_data_is_not_doubled() -> None:
    for name, response in (("plain", " fine.<eos>"), ("chatml", "fine.<|im_end|>\n")):
        tokenizer = chat_tokenizer(name)
        prompt = "All is" if name == "plain" else user("How?")
        ids = Encoder(tokenizer).example(prompt, response).response_ids
        assert ids.count(tokenizer.eos_token_id) == 1
        assert ids == Encoder(tokenizer).example(prompt, response.split("<")[0]).response_ids


def test_a_rendered_conversation_as_plain_prompt_keeps_its_special_tokens() -> None:
    tokenizer = chat_tokenizer("gemma")
    ids = Encoder(tokenizer).prompt("<turn>user\nHi</turn>\n<turn>assistant\n")
    assert ids.count(tokenizer.convert_tokens_to_ids("<turn>")) == 2


def test_no_space_sneaks_in_where_a_tokenizer_adds_one_to_every_text() -> None:
    tokenizer = sentencepiece_like()
    example = Encoder(tokenizer).example("The capital", " is Paris.", finished=False)
    joint = tokenizer.encode("The capital is Paris.", add_special_tokens=False)
    assert example.prompt_ids + example.response_ids == [tokenizer.bos_token_id, *joint]


@pytest.mark.parametrize(
    ("name", "prompt", "response", "message"),
    [
        ("plain", "Hi", "  ", "row r7: the response is empty"),
        ("plain", "Hi", "<eos>", "row r7: the response is empty"),
        ("plain", "<bos>Hi", "yes", "two BOS"),
        ("without-bos", "", "yes", "row r7: the prompt is empty"),
        ("plain", user("Hi"), "yes", "no chat template"),
        ("unsteady", user("Hi"), [{"role": "assistant", "content": "yes"}], "writes the prompt differently"),
        ("llama2", [*user("Hi"), *user("Hi")], "yes", "refuses the messages (user, user"),
        ("chatml", [], "yes", "holds no messages"),
        ("chatml", [*user("Hi"), {"role": "assistant", "content": "Yo"}], "yes", "ends with an assistant message"),
        ("chatml", [{"role": "user", "content": None}], "yes", "needs a role and a content"),
    ],
)  # fmt: skip
def test_what_cannot_be_tokenised_names_the_row_and_the_fix(
    name: str, prompt: object, response: str, message: str
) -> None:
    with pytest.raises(DataError) as error:
        Encoder(chat_tokenizer(name)).example(prompt, response, row="r7")  # type: ignore[arg-type]
    assert message in error.value.message
    assert "row r7" in error.value.message
    assert error.value.fix


def test_a_tokenizer_without_eos_is_refused() -> None:
    tokenizer = sentencepiece_like()
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="no EOS"):
        Encoder(tokenizer)


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


TALK = [
    turn("system", "s"),
    turn("user", "a"),
    turn("assistant", "b"),
    turn("user", "c"),
    turn("assistant", "d"),
    turn("user", "e"),
]


def test_conversations_split_into_the_last_or_every_answer() -> None:
    assert split_conversation(TALK) == [(TALK[:4], TALK[4:5])]
    assert split_conversation(TALK, "every") == [(TALK[:2], TALK[2:3]), (TALK[:4], TALK[4:5])]
    opening = [turn("assistant", "Welcome."), *TALK[1:3]]
    assert split_conversation(opening, "every") == [(opening[:2], opening[2:])]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "no messages"),
        ([turn("user", "a")], "no assistant message answers"),
        (
            [turn("user", "a"), turn("assistant", "b"), turn("assistant", "c")],
            "messages 2 and 3 are both",
        ),
        ([turn("user", "a"), turn("system", "b")], "message 2 is a system message in the middle"),
        ([{"role": "user"}], "message 1 needs a role and a content"),
    ],
)
def test_malformed_conversations_are_refused(messages: list[dict[str, str]], message: str) -> None:
    with pytest.raises(DataError, match="row 3: ") as error:
        split_conversation(messages, row="3")  # type: ignore[arg-type]
    assert message in error.value.message


def test_oldest_turn_is_dropped_whole_and_the_system_message_stays() -> None:
    shorter = drop_oldest_turn(TALK)
    assert shorter == [TALK[0], *TALK[3:]]
    assert drop_oldest_turn(shorter) == [TALK[0], TALK[5]]
    assert drop_oldest_turn([TALK[0], TALK[5]]) is None
