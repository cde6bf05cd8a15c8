"""Prompts and responses to ids: the border, EOS, BOS and hostile text, whatever the template."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.text.conversations import drop_oldest_turn, split_conversation
from accord.text.encoding import Encoder
from accord.text.lengths import fit_lengths
from chat_tokenizers import chat_tokenizer, sentencepiece_like

CHAT = ["chatml", "llama3", "gemma", "llama2"]
SPECIAL = [
    "\ufdd00\ufdd1",
    "\ufdd20\ufdd2",
    "\ufdd0",
    "<|im_end|>",
    "<|im_start|>",
    "<bos>",
    "<eos>",
    "<|eot|>",
    "</turn>",
    "<pad>",
]
# Text with special tokens spelled in it, as a hostile user or a hacked policy would.
letters = st.characters(codec="utf-8")
pieces = st.one_of(st.text(letters, max_size=12), st.sampled_from(SPECIAL))
texts = st.lists(pieces, min_size=1, max_size=5).map("".join).filter(str.strip)


def bare(tokenizer: Any, text: str) -> str:
    """The text without stop tokens written at its end."""
    names = tuple(tokenizer.convert_ids_to_tokens(Encoder(tokenizer).stop_ids))
    while text.rstrip().endswith(names):
        text = next(
            text.rstrip().removesuffix(name) for name in names if text.rstrip().endswith(name)
        )
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
    assert not set(own) & set(
        encoder.stop_ids
    )  # a sampler that writes this stops where training ends
    assert tokenizer.bos_token_id not in own
    assert example.prompt_ids[:2].count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(own) == encoder.text(example.response_ids) == answer  # to the letter
    assert encoder.round_trips(example)
    assert question.strip() in tokenizer.decode(example.prompt_ids)


@settings(max_examples=60, deadline=None)
@given(
    prompt=texts,
    response=texts,
    finished=st.booleans(),
    name=st.sampled_from(["plain", "without-bos"]),
)
def test_plain_examples_decode_to_what_was_written(
    prompt: str, response: str, finished: bool, name: str
) -> None:
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
    messages = [
        *user("Hi"),
        {"role": "assistant", "content": "Hello."},
        *user("Capital of France?"),
    ]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert Encoder(tokenizer).prompt(messages) == tokenizer.encode(
        rendered, add_special_tokens=False
    )


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
        assert tokenizer.decode(rendered) == (
            " Paris. <eos>" if name == "llama2" else "Paris." + ending
        )


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


def called(name: str) -> dict[str, object]:
    call = {"id": name, "type": "function", "function": {"name": "f", "arguments": {}}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def result(name: str | None) -> dict[str, object]:
    return {"role": "tool", "content": "r", "tool_call_id": name}


def test_a_turn_holds_its_calls_and_results_and_weights_choose_what_is_trained() -> None:
    first = [called("1"), result("1"), turn("assistant", "b")]
    talk = [
        turn("developer", "d"),
        turn("user", "a"),
        *first,
        turn("user", "c"),
        turn("assistant", "e"),
    ]
    tooled = {"messages": talk, "tools": [{"name": "f"}]}
    (prompt, response), (later, last) = split_conversation(tooled, "every")
    assert (prompt["messages"], response, prompt["tools"]) == (talk[:2], first, tooled["tools"])
    assert (later["messages"], last) == (talk[:-1], talk[-1:])
    silent = [*talk[:-1], turn("assistant", "e") | {"weight": 0}]
    assert split_conversation(silent) == [(talk[:2], first)]
    short = [turn("user", "a"), turn("assistant", "b") | {"weight": 0}]
    with pytest.raises(DataError, match="weight 0"):
        split_conversation(short)


def test_a_stop_token_set_behind_a_reply_is_trained_as_the_reply_is() -> None:
    """A template may write none behind the last reply; a silent reply's is not trained either."""
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}"
        "{% if not loop.last and m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    encoder = Encoder(chat_tokenizer("plain"), template)
    said = [turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")]
    loud = encoder.example([turn("user", "a")], said)
    silent = encoder.example([turn("user", "a")], [*said[:-1], said[-1] | {"weight": 0}])
    assert loud.response_ids == silent.response_ids
    assert loud.response_ids[-1] == encoder.tokenizer.eos_token_id
    ends = [example.mask[-1] for example in (loud, silent) if example.mask is not None]
    assert ends == [True, False]
    assert loud.text == silent.text == "b<eos>user: cassistant: d<eos>"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["user", "assistant", "call", "late"]), min_size=1, max_size=9))
def test_no_result_loses_its_call_when_a_conversation_is_cut(kinds: list[str]) -> None:
    """`late`: a result that comes after the user spoke again."""
    talk: list[dict[str, object]] = [dict(turn("system", "s")), dict(turn("user", "q"))]
    for number, kind in enumerate(kinds):
        name = str(number)
        if kind == "call":
            talk += [called(name), result(name)]
        elif kind == "late":
            talk += [called(name), dict(turn("user", "wait")), result(name)]
        else:
            talk.append(dict(turn(kind, "x")))
    talk.append(dict(turn("user", "last")))
    while (shorter := drop_oldest_turn(talk)) is not None:
        assert shorter[0] == talk[0]
        assert shorter[1]["role"] == "user"
        assert len(shorter) < len(talk)
        calls = [c["id"] for m in shorter for c in m.get("tool_calls", ())]
        assert all(m["tool_call_id"] in calls for m in shorter if m["role"] == "tool")
        talk = shorter


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([turn("user", "a"), result("1"), turn("assistant", "b")], "no tool was called"),
        (
            [turn("user", "a"), called("1"), result("2"), turn("assistant", "b")],
            "answers the tool call '2'",
        ),
        ([turn("user", "a"), turn("observation", "x")], "has the role 'observation'"),
        ([turn("user", "a"), turn("developer", "x")], "developer message in the middle"),
    ],
)
def test_tool_conversations_that_cannot_be(messages: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_conversation(messages, row="3")


def test_texts_that_tokens_do_not_give_back_are_counted_with_an_example() -> None:
    tokenizer = chat_tokenizer("plain")
    encoder = Encoder(tokenizer)
    good = encoder.example("a", "b c", row="1")
    lossy = dataclasses.replace(encoder.example("a", "b c", row="2"), text="b  c<eos>")
    kept, table = fit_lengths([good, lossy], encoder, 9, 9, "error")
    assert table.round_trip == 0.5
    assert any("gives back 50.0%" in line and "row 2" in line for line in table.lines())
    assert fit_lengths(kept[:1], encoder, 9, 9, "error")[1].round_trip == 1


def test_a_leading_space_survives_a_decoder_that_drops_it() -> None:
    encoder = Encoder(sentencepiece_like())
    for text in (" is Paris.", "is Paris."):
        example = encoder.example("The capital", text)
        assert encoder.text(example.response_ids) == text
        assert encoder.round_trips(example)


def test_parts_of_a_response_are_text_or_refused() -> None:
    """To the letter where it is cut: none of its parts is lost."""
    encoder = Encoder(chat_tokenizer("chatml"))
    text = encoder.example(user("Hi"), "Ho there", finished=False)
    parts = [{"type": "text", "text": "Ho"}, {"type": "text", "text": " there"}]
    for content in (parts, tuple(parts)):
        answer = [{"role": "assistant", "content": content}]
        assert encoder.example(user("Hi"), answer, finished=False).response_ids == text.response_ids
    seen = [{"role": "assistant", "content": [*parts, {"type": "image", "url": "x"}]}]
    for finished in (True, False):
        with pytest.raises(DataError, match="row r7: a message needs a role and a content, both"):
            encoder.example(user("Hi"), seen, finished, "r7")
    with pytest.raises(DataError, match="row r7: "):
        Encoder(chat_tokenizer("plain")).example("Hi", seen, row="r7")


@settings(max_examples=60, deadline=None)
@given(text=texts, name=st.sampled_from([*CHAT, "spaces"]), cut=st.integers(0, 3))
def test_tokens_end_in_order_and_the_last_where_the_text_does(
    text: str, name: str, cut: int
) -> None:
    tokenizer = sentencepiece_like() if name == "spaces" else chat_tokenizer(name)
    encoder = Encoder(tokenizer)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = ids[: len(ids) - cut]  # through a character, perhaps
    ends = encoder.token_ends(ids)
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    if ids:
        assert ends[-1] == len(encoder.text(ids))
    for place, end in enumerate(ends):  # what stands before a token's end is what was said so far
        said = encoder.text(ids[: place + 1])
        if not said.endswith("\ufffd"):
            assert encoder.text(ids)[:end] == said
