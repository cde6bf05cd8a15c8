"""The record's fields, version 2: messages as they are today, soft labels, weights, clips; version
1 is read as it was meant."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.feedback.messages import Message, plain, to_json
from accord.feedback.records import CHOICES, VERSION, Feedback, Kind, dump_line, parse_line

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
BODY: dict[str, Any] = {
    "id": "r", "kind": "comparison", "prompt": [{"role": "user", "content": "Cold?"}], "annotator": "u",
    "options": [{"id": "a", "content": "Yes.", "shown_at": 0}, {"id": "b", "content": "No.", "shown_at": 1}],
    "choice": {"preferred": "a"},
}  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
calls = st.builds(
    lambda name, arguments, own: {"function": {"name": name, "arguments": arguments}} | ({"id": own} if own else {}),
    st.text("abc", min_size=1), st.one_of(texts, st.dictionaries(texts, texts | st.integers() | st.none())), st.text("xyz"),
)  # fmt: skip
parts = st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, texts), min_size=1, max_size=3
)
messages = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content},
              st.sampled_from(["system", "developer", "user", "assistant"]), texts | parts),
    st.builds(lambda content, own, name: {"role": "tool", "content": content, "tool_call_id": own, "name": name}, texts, texts, texts),
    st.builds(lambda made, thought: {"role": "assistant", "content": None, "tool_calls": made, "reasoning_content": thought},
              st.lists(calls, min_size=1, max_size=2), texts),
    st.builds(lambda weight, content: {"role": "assistant", "content": content, "weight": weight}, st.sampled_from([0.0, 0.5, 1.0]), texts),
)  # fmt: skip


def test_every_kind_has_its_choice() -> None:
    assert set(get_args(Kind)) == set(CHOICES)
    assert all(choice.most is None or choice.fewest <= choice.most for choice in CHOICES.values())


@given(st.lists(messages, min_size=1, max_size=4), st.lists(messages, min_size=1, max_size=2))
def test_messages_come_back_to_the_letter(
    prompt: list[dict[str, Any]], reply: list[dict[str, Any]]
) -> None:
    options = [
        {"id": "a", "content": reply, "shown_at": 0},
        {"id": "b", "content": "No.", "shown_at": 1},
    ]
    record = Feedback.model_validate({**BODY, "prompt": prompt, "tools": TOOLS, "options": options})
    assert parse_line(dump_line(record)) == record
    assert parse_line(dump_line(record)).asked["tools"] == TOOLS
    for message, given_ in zip(to_json(record.prompt), prompt, strict=True):
        for name, value in given_.items():
            if name == "tool_calls":
                found = [(call.get("id"), call["function"]) for call in message[name]]
                assert found == [(call.get("id"), call["function"]) for call in value]
            else:
                assert message.get(name) == value


def test_everything_a_message_says_can_be_read() -> None:
    message = Message.model_validate(
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}],
            "reasoning_content": "hm",
            "tool_calls": [CALL],
        }
    )
    shown = plain([message])
    assert all(word in shown for word in ("hm", "one two", "weather", "Oslo"))
    assert plain([Message(role="user", content="a"), message]).startswith(
        "user: a\n\nassistant: hm"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": [{"role": "user", "content": None}]}, "no content and calls no tool"),
        ({"prompt": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "only an assistant's message has tool_calls"),
        ({"prompt": [{"role": "user", "content": "x", "tool_call_id": "c1"}]}, "only a tool's message has tool_call_id"),
        ({"prompt": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}, "prompt"),
        ({"prompt": [{"role": "user", "content": "x", "picture": "y"}]}, "Extra inputs are not permitted"),
        ({"weight": -1.0}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"choice": {"preferred": "a", "probability": 0.3}}, "probability"),
        ({"choice": {"tie": True, "probability": 0.6}}, "name it"),
        ({"prompt": "Cold?", "tools": TOOLS}, "the prompt is a text"),
        ({"meta": {"finished": {"a": "false"}}}, "meta.finished is true or false"),
        ({"meta": {"finished": "false"}}, "meta.finished is true or false"),
        ({"meta": {"margin": "3"}}, "meta.margin"),
        ({"meta": {"parent": 3}}, "meta.parent"),
        ({"meta": {"judge": {"template": "t"}}}, "meta.judge.model"),
        ({"meta": {"assist": {"arm": "other"}}}, "meta.assist.arm"),
        ({"version": 3}, "a record of version 3"),
    ],
)  # fmt: skip
def test_what_a_record_cannot_say_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as error:
        parse_line(json.dumps({**BODY, **change}), "x.jsonl line 1")
    assert "x.jsonl line 1" in str(error.value)
    assert said in str(error.value)


def test_records_of_version_1_are_read_as_they_were_meant() -> None:
    old = {**BODY, "meta": {"weight": 2.5, "item": "i"}}
    record = parse_line(json.dumps(old))
    assert (record.version, record.weight, record.meta) == (VERSION, 2.5, {"item": "i"})
    assert json.loads(dump_line(record))["version"] == VERSION


def test_debates_critiques_clips_and_soft_labels() -> None:
    clips = [
        {"id": i, "content": {"episode": "e", "start": s, "stop": s + 9}, "shown_at": s}
        for s, i in enumerate("ab")
    ]
    soft = parse_line(
        json.dumps(
            {
                **BODY,
                "prompt": "",
                "options": clips,
                "choice": {"preferred": "b", "probability": 0.9},
            }
        )
    )
    assert soft.choice.probability == 0.9  # type: ignore[union-attr]
    assert parse_line(dump_line(soft)) == soft
    turn = {
        **BODY,
        "kind": "argument",
        "choice": {"side": "b", "text": "Look.", "quotes": ["Cold"], "round": 2},
    }
    assert parse_line(json.dumps(turn)).choice.named() == ["b"]
    spans = [{"start": 0, "end": 3}]
    critique = {
        **BODY,
        "kind": "critique",
        "options": BODY["options"][:1],
        "choice": {"text": "Too short.", "principle": "complete", "spans": spans},
    }
    assert parse_line(json.dumps(critique)).choice.principle == "complete"  # type: ignore[union-attr]
    for wrong in (
        {**turn, "choice": {"side": "c", "text": "x"}},
        {**critique, "options": BODY["options"]},
        {**critique, "choice": {"text": "x", "spans": [{"start": 2, "end": 9}]}},
        {
            **BODY,
            "options": [{**clips[0], "content": {"episode": "e", "start": 3, "stop": 3}}, clips[1]],
        },
    ):
        with pytest.raises(DataError):
            parse_line(json.dumps(wrong))
