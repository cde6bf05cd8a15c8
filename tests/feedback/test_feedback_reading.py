"""A record says exactly what the file said, or the row is refused: labels, conversations, prompts,
keys."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError, ConfigError, DataError
from accord.feedback.formats import ReadResult, read_feedback
from accord.feedback.formats.columns import COMMON, build, messages
from accord.feedback.formats.hints import meaning_of
from accord.feedback.formats.shapes import SHAPES
from accord.feedback.formats.source import DataSource
from accord.feedback.formats.turns import unread
from accord.feedback.formats.values import RowError, label, number, scheme_of, side, truth, whole
from accord.feedback.records import Feedback, to_json
from feedback.public_rows import EVERY

ASKED = [{"role": "user", "content": "Cold?"}]
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Oslo"}},
}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "3 degrees"}
SAID = {"role": "assistant", "content": "It is 3."}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def read(folder: Path, *rows: dict[str, Any], container: str = "jsonl", **how: Any) -> ReadResult:
    path = folder / f"rows.{container}"
    if container == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(
            {n: json.dumps(v) if isinstance(v, list) else v for n, v in row.items()} for row in rows
        )
        path.write_text(text.getvalue(), encoding="utf-8")
    return read_feedback(DataSource(path=str(path), **how))


def said_of(result: ReadResult) -> list[tuple[str, Any]]:
    """The kind of each record and what was said: up or not, labels of steps."""
    return [
        (r.kind, getattr(r.choice, "up", getattr(r.choice, "labels", None))) for r in result.records
    ]


# --- labels ---------------------------------------------------------------------------------------
GOOD = [
    True,
    1,
    1.0,
    "true",
    "True",
    " TRUE ",
    "yes",
    "1",
    "1.0",
    "👍",
    "thumbs_up",
    "+1",
    np.bool_(True),
    np.int8(1),
    np.float32(1),
]
BAD = [False, "false", "False", "no", "👎", "thumbs-down", np.bool_(False)]
ZERO = [0, 0.0, "0", "0.0", np.int8(0)]
MINUS = [-1, -1.0, "-1", "−1", "-1.0", np.int8(-1)]
NONE = [None, "", "maybe", 2, -2, 0.5, float("nan"), "nan", [], {}, [1], "10", b"1"]


def test_spellings_of_labels() -> None:
    for scheme in ("binary", "signed"):
        assert {label(v, "label", scheme) for v in GOOD} == {1}
        assert {label(v, "label", scheme) for v in BAD} == {-1}
    assert {label(v, "label", "binary") for v in ZERO} == {-1}
    assert {label(v, "label", "signed") for v in ZERO} == {0}
    assert {label(v, "label", "signed") for v in MINUS} == {-1}
    for value in MINUS:
        with pytest.raises(DataError, match="taken to hold 1 and 0, and now holds -1"):
            label(value, "label", "binary")
    for value in NONE:
        with pytest.raises(RowError, match="the column 'label' is"):
            label(value, "label", "signed")
        with pytest.raises(RowError, match="neither true nor false"):
            truth(value, "finished")
    assert all(truth(v, "x") for v in GOOD)
    assert not any(truth(v, "x") for v in (*BAD, *ZERO))
    assert (number(" 2.5 ", "x"), whole("3.0", "x")) == (2.5, 3)
    for value in (True, "inf", None, "x", 10**400):
        with pytest.raises(RowError, match="not a number"):
            number(value, "x")


@given(
    st.lists(st.sampled_from([*GOOD[:9], *BAD[:3], *ZERO, *MINUS]), min_size=1),
    st.sampled_from(["binary", None]),
)
def test_one_scheme_for_a_column(column: list[Any], explained: Any) -> None:
    numbers = [
        float(v)
        for v in column
        if not isinstance(v, bool) and str(v).strip().lstrip("-−+").replace(".", "").isdigit()
        for v in [str(v).replace("−", "-")]
    ]
    words = len(numbers) < len(column)
    if -1 in numbers:
        assert scheme_of(column, "label", explained) == "signed"
    elif 0 in numbers and not words and explained is None:
        with pytest.raises(DataError, match="holds 0 and 1") as asked:
            scheme_of(column, "label", explained)
        assert "labels: binary" in (asked.value.fix or "")
    else:
        assert scheme_of(column, "label", explained) == "binary"
    assert scheme_of(column, "label", explained, "signed") == "signed"


THUMBS = [
    {"prompt": "q", "completion": "a"},
    {"messages": [*ASKED, SAID]},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    {"instruction": "q", "input": "", "output": "a"},
]


@pytest.mark.parametrize("container", ["jsonl", "csv"])
@pytest.mark.parametrize("row", THUMBS)
@pytest.mark.parametrize(
    ("cells", "up"),
    [([1, 0], [True, False]), (["True", "False"], [True, False]), (["yes", "no"], [True, False]), ([1, -1], [True, False]),
     ([0, 0], [False, False]), ([1, -1, 0], [True, False]), ([True, None, "", "perhaps", 7], [True])],
)  # fmt: skip
def test_a_label_makes_a_thumb_or_drops_its_row(
    tmp_path: Path, container: str, row: dict[str, Any], cells: list[Any], up: list[bool]
) -> None:
    column = "kto_tag" if "instruction" in row else "label"
    found = read(tmp_path, *({**row, column: cell} for cell in cells), container=container)
    assert said_of(found) == [("thumb", one) for one in up]
    assert sum(found.dropped.values()) == len(cells) - len(up)
    assert all(column in reason for reason in found.dropped)


def test_rows_without_a_label_beside_rows_with_one_are_no_demonstrations(tmp_path: Path) -> None:
    for row in THUMBS:
        column = "kto_tag" if "instruction" in row else "label"
        found = read(tmp_path, row, {**row, column: False})
        assert (said_of(found), found.dropped) == (
            [("thumb", False)],
            {f"the column {column!r} is empty": 1},
        )


@pytest.mark.parametrize("container", ["jsonl", "csv"])
def test_labels_of_steps(tmp_path: Path, container: str) -> None:
    def steps(*labels: list[Any], **how: Any) -> list[Any]:
        rows = ({"prompt": "q", "completions": ["a", "b"], "labels": one} for one in labels)
        return [r.choice.labels for r in read(tmp_path, *rows, container=container, **how).records]  # type: ignore[union-attr]

    assert steps([1, -1], [1, 0]) == [[1, -1], [1, 0]]
    assert steps([True, False]) == steps(["True", "False"]) == [[1, -1]]
    with pytest.raises(DataError, match="'labels' holds 0 and 1"):
        steps([1, 0], [1, 1])
    assert steps([1, 0], labels="binary") == [[1, -1]]
    assert steps([1, 0], labels="signed") == [[1, 0]]
    with pytest.raises(DataError, match="now holds -1"):
        steps([1, 0], [1, -1], labels="binary")


def test_truth_values_of_responses(tmp_path: Path) -> None:
    row = {"prompt": "p", "completion": "a"}
    found = read(
        tmp_path,
        *({**row, "finished": f} for f in ("false", 1, "maybe", None)),
        {**row, "deleted": "yes"},
    )
    assert [r.meta for r in found.records] == [{"finished": False}, {"finished": True}, {}]
    assert len(found.dropped) == 2
    pair = {
        "prompt": "p",
        "chosen": "a",
        "rejected": "b",
        "finished": ["true", 0],
        "strength": "2",
        "probability": "0.9",
        "margin": "1.5",
    }
    (record,) = read(tmp_path, pair).records
    a, b = (o.id for o in record.options)
    assert record.meta == {"finished": {a: True, b: False}, "margin": 1.5, "shown": "unknown"}
    assert record.choice.model_dump(exclude_defaults=True) == {
        "preferred": a,
        "strength": 2,
        "probability": 0.9,
    }
    assert (
        sum(
            read(
                tmp_path, pair, {**pair, "finished": "yes"}, {**pair, "finished": [True]}
            ).dropped.values()
        )
        == 2
    )


def test_sides_are_words_or_count_from_one(tmp_path: Path) -> None:
    assert [side(v, "w") for v in ("A", "response_a", 1, "1.0", "Both bad", "model_b", 2.0)] == [
        0,
        0,
        0,
        0,
        "both_bad",
        1,
        1,
    ]
    table = {"prompt": "p", "response_a": "x", "response_b": "y"}
    with pytest.raises(DataError, match="'winner' holds 0"):
        read(tmp_path, *({**table, "winner": w} for w in (0, 1)))
    assert len(read(tmp_path, *({**table, "winner": w} for w in (1, 2, "tie", True))).records) == 3


# --- conversations --------------------------------------------------------------------------------
def test_conversations_as_they_are_today(tmp_path: Path) -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        *ASKED,
        CALLING,
        RESULT,
        {**SAID, "reasoning_content": "hm", "weight": 0.5},
    ]
    row = {"messages": turns, "tools": TOOLS, "chat_template_kwargs": {"enable_thinking": False}}
    (record,) = read(tmp_path, row).records
    assert [*to_json(record.prompt), *to_json(record.choice.content)] == turns  # type: ignore[union-attr]
    assert (record.tools, record.chat_template_kwargs, record.meta) == (
        TOOLS,
        {"enable_thinking": False},
        {},
    )
    (told,) = read(
        tmp_path, row | {"tools": json.dumps(TOOLS), "messages": json.dumps(turns)}
    ).records
    assert told.model_dump() == record.model_dump()


def test_calls_have_their_own_arguments_in_a_columnar_file(tmp_path: Path) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    names = {"weather": {"city": "Oslo"}, "clock": {"zone": 1}}
    calls = [
        {"function": {"name": name, "arguments": arguments}} for name, arguments in names.items()
    ]
    tools = [
        {"name": name, "parameters": {key: {"type": "string"} for key in arguments}}
        for name, arguments in names.items()
    ]
    row = {
        "prompt": [*ASKED],
        "completion": [{"role": "assistant", "content": "Both.", "tool_calls": calls}],
        "tools": tools,
    }
    parquet.write_table(arrow.Table.from_pylist([row]), tmp_path / "rows.parquet")
    told = read_feedback(tmp_path / "rows.parquet").records
    assert (told, told[0].tools) == (read(tmp_path, row).records, tools)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"from": "human", "value": "q"}, {"role": "user", "content": "q"}),
        ({"role": "model", "content": "q"}, {"role": "assistant", "content": "q"}),
        ({"from": "observation", "value": "3"}, {"role": "tool", "content": "3"}),
        ({"role": "ipython", "content": "3"}, {"role": "tool", "content": "3"}),
        ({"role": "function", "name": "f", "content": "3"}, {"role": "tool", "content": "3", "name": "f"}),
        ({"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
         {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]}),
        ({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
         {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
        ({"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])}, {**CALLING, "content": ""}),
        ({"role": "assistant", "content": "a", "thinking": "hm", "train": False}, {"role": "assistant", "content": "a", "reasoning_content": "hm", "weight": 0.0}),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]},
         {"role": "assistant", "content": [{"type": "text", "text": "a"}], "reasoning_content": "hm"}),
        ({"role": "user", "content": ["a", {"type": "text", "text": "b", "image": None}], "train": 0, "tool_calls": [], "reasoning": ""},
         {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
    ],
)  # fmt: skip
def test_a_message_under_other_names(turn: dict[str, Any], message: dict[str, Any]) -> None:
    (found,) = messages([turn])
    assert found.model_dump() == message
    assert list(unread([turn])) == []


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "text only"),
        ({"role": "user", "content": "<image>", "images": ["a.png"]}, "text only"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "text only"),
        ({"role": "narrator", "content": "x"}, "the role 'narrator'"),
        ({"role": "user", "content": {"a": 1}}, "neither text nor parts"),
        ({"role": "user", "content": None}, "no content"),
        ({"role": "user", "content": "x", "weight": 1}, "only what an assistant says is trained"),
        ({"role": "assistant", "content": "x", "weight": -1}, "weight"),
        ({"role": "assistant", "content": "x", "train": "perhaps"}, "neither true nor false"),
        ({"role": "assistant", "content": "x", "train": True, "weight": 0}, "differ"),
        ({"role": "assistant", "content": "x", "thinking": "a", "reasoning": "b"}, "differ"),
        ({"role": "assistant", "content": "x", "label": 0}, "a label belongs to a row"),
        ({"role": "assistant", "content": None, "refusal": "No."}, "refusal"),
        ({"role": "assistant", "content": None, "tool_calls": "f()"}, "not JSON"),
        ({"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}, "arguments"),
        ({"role": "assistant", "content": None, "tool_calls": [{"type": "retrieval", "function": {"name": "f"}}]}, "type"),
        ({"from": "function_call", "value": "call f"}, "not JSON"),
        ("hello", "not an object"),
    ],
)  # fmt: skip
def test_a_message_that_no_record_holds_is_refused(turn: Any, why: str) -> None:
    with pytest.raises(RowError, match=why):
        messages([turn])


def test_system_and_history_stand_before_the_prompt(tmp_path: Path) -> None:
    system, earlier = (
        {"role": "system", "content": "Be brief."},
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    )
    for row in (
        {"instruction": "Cold?", "output": "Yes.", "system": "Be brief.", "history": [["a", "b"]]},
        {
            "prompt": "Cold?",
            "completion": "Yes.",
            "system_prompt": "Be brief.",
            "history": json.dumps([["a", "b"]]),
        },
        {
            "messages": [*ASKED, {"role": "assistant", "content": "Yes."}],
            "system": "Be brief.",
            "history": earlier,
        },
        {
            "messages": [system, *ASKED, {"role": "assistant", "content": "Yes."}],
            "system": "Be brief.",
            "history": earlier,
        },
        {
            "prompt": "Cold?",
            "chosen": "Yes.",
            "rejected": "No.",
            "system": "Be brief.",
            "history": [["a", "b"]],
        },
    ):
        (record,) = read(tmp_path, row).records
        assert to_json(record.prompt) == [system, *earlier, *ASKED], row
        assert record.meta.get("columns") is None
    bad = [
        {"system": "Be rude."},
        {"system": 3},
        {"system": "Be brief.", "system_prompt": "Be rude."},
        {"history": "once"},
        {"history": [["a"]]},
    ]
    row = {"messages": [system, *ASKED, SAID]}
    assert sum(read(tmp_path, row, *({**row, **one} for one in bad)).dropped.values()) == len(bad)
    assert read(tmp_path, {"prompt": "Cold?", "system": "Be brief."}).prompts == [[system, *ASKED]]


def test_a_setting_that_changes_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for row, said in (
        ({"prompt": "q", "completion": "a"}, 1),
        ({"prompt": "q", "completion": "a", "label": 1}, 0),
    ):
        path.write_text(json.dumps(row) + "\n")
        assert len(read_feedback(DataSource(path=str(path), labels="binary")).messages) == said


@pytest.mark.parametrize(("prompt", "held"), [
    ("Cold?", True), (" Cold? ", True), ("Human: Cold?", True), ("system: Be brief.\n\nuser: Cold?", True), ("Cold", True),
    ("It is May. Cold?", False), ("Warm?", False), ("Be brief. It is May. Cold?", False),
])  # fmt: skip
def test_a_prompt_beside_conversations_says_nothing_that_they_do_not(
    tmp_path: Path, prompt: str, held: bool
) -> None:
    asked = [{"role": "system", "content": "Be brief."}, *ASKED]
    sides = {
        side: [*asked, {"role": "assistant", "content": side}] for side in ("chosen", "rejected")
    }
    fine = {"prompt": "Cold?", **sides}
    got = read(tmp_path, fine, {"prompt": prompt, **sides})
    assert len(got.records) == 1 + held
    assert all(to_json(r.prompt) == asked for r in got.records)


def test_pairs_whose_earlier_turns_differ(tmp_path: Path) -> None:
    one, two, again = (
        {"role": "assistant", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And?"},
    )
    cases = [
        ([*ASKED, one], [*ASKED, two], 1),
        ([*ASKED, one, again, one], [*ASKED, one, again, two], 3),
        ([*ASKED, one, again, one], [*ASKED, two, again, one], 1),
        ([*ASKED, one, again, one], [*ASKED, one, {"role": "user", "content": "Why?"}, one], 1),
        ([*ASKED, one], [*ASKED, one, again, two], 1),
        ([*ASKED, CALLING, RESULT, SAID], [*ASKED, {**CALLING, "content": "x"}, RESULT, SAID], 1),
    ]
    for chosen, rejected, shared in cases:
        for row in (
            {"chosen": chosen, "rejected": rejected},
            {"prompt": "Cold?", "chosen": chosen, "rejected": rejected},
            {"prompt": ASKED, "chosen": chosen, "rejected": rejected},
        ):
            (record,) = read(tmp_path, row).records
            by_id = {o.id: to_json(o.content) for o in record.options}
            better = by_id.pop(record.choice.preferred)  # type: ignore[union-attr, arg-type]
            assert (to_json(record.prompt), better, *by_id.values()) == (
                chosen[:shared],
                chosen[shared:],
                rejected[shared:],
            )
    row = {"chosen": cases[0][0], "rejected": cases[0][1]}
    refused = [
        {"chosen": [again, one]},
        {"prompt": "Something else."},
        {"rejected": [two]},
        {"chosen": [one], "rejected": [two]},
        {
            "chosen": [*ASKED, again, one],
            "rejected": [*ASKED, {"role": "user", "content": "Why?"}, one],
        },
    ]
    for change in refused:
        with pytest.raises(DataError, match=r"prompt|begin"):
            read(tmp_path, row | change)


def test_options_that_differ_only_in_a_call_differ(tmp_path: Path) -> None:
    other = {
        **CALLING,
        "tool_calls": [{**CALL, "function": {"name": "weather", "arguments": {"city": "Rome"}}}],
    }
    row = {"prompt": ASKED, "chosen": [CALLING], "rejected": [other], "tools": TOOLS}
    (record,) = read(tmp_path, row).records
    assert len({o.id for o in record.options}) == 2
    with pytest.raises(DataError, match="the same"):
        read(tmp_path, row | {"rejected": [CALLING]})
    with pytest.raises(DataError, match="the same"):
        read(
            tmp_path,
            {
                "prompt": ASKED,
                "chosen": "Yes.",
                "rejected": [{"role": "assistant", "content": "Yes."}],
            },
        )


def test_texts_stay_texts_and_messages_stay_messages(tmp_path: Path) -> None:
    (pair,) = read(tmp_path, {"prompt": ASKED, "chosen": "Yes.", "rejected": [SAID]}).records
    assert [type(o.content) for o in pair.options] == [str, list]
    (shown,) = read(tmp_path, {"prompt": ASKED, "completion": [SAID]}).records
    assert isinstance(shown.choice.content, list)  # type: ignore[union-attr]


# --- guessing -------------------------------------------------------------------------------------
PAIR = {"chosen": "The answer is 4.", "rejected": "The answer is 5."}


@pytest.mark.parametrize(
    ("others", "guessed"),
    [
        ({}, True),
        ({"source": "forum", "id": "a-17", "score": 3.5, "model": "gpt 4 turbo", "split_name": "x"}, True),
        ({"annotator": "A person", "weight": 1, "comment": None}, True),
        ({"ask": "2+2?"}, False), ({"body": "What is 2 and 2?"}, False), ({"context": "x"}, False),
        ({"path": [{"from": "user", "value": "2+2?"}]}, False), ({"note": "天气好吗"}, False),
    ],
)  # fmt: skip
def test_no_prompt_is_guessed_beside_a_text_that_is_not_understood(
    tmp_path: Path, others: Any, guessed: bool
) -> None:
    if guessed:
        assert read(tmp_path, PAIR | others).records[0].prompt == "The answer is"
        return
    with pytest.raises(DataError, match="not to be guessed") as refused:
        read(tmp_path, PAIR | others)
    assert next(iter(others)) in refused.value.message
    assert "--columns prompt=" in (refused.value.fix or "")


def test_short_texts_that_repeat_are_names(tmp_path: Path) -> None:
    names = [PAIR | {"made with": ("Model One", "Model Two")[i % 2]} for i in range(8)]
    assert len(read(tmp_path, *names).records) == 8
    texts = [PAIR | {"made with": f"Question number {i}?"} for i in range(8)]
    with pytest.raises(DataError, match="not to be guessed"):
        read(tmp_path, *texts)
    assert len(read(tmp_path, *texts, columns={"meta.made": "made with"}).records) == 8
    assert (
        read(tmp_path, *texts, columns={"prompt": "made with"}).records[3].prompt
        == "Question number 3?"
    )


def test_columns_under_other_names(tmp_path: Path) -> None:
    row = {"frage": "2+2?", "gut": "4", "schlecht": "5", "prompt": ""}
    (record,) = read(
        tmp_path, row, columns={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}
    ).records
    assert (record.prompt, [o.content for o in record.options]) == ("2+2?", ["4", "5"])
    swapped = read(
        tmp_path, {"prompt": "p", **PAIR}, columns={"chosen": "rejected", "rejected": "chosen"}
    ).records[0]
    assert swapped.options[0].content == PAIR["rejected"]
    for columns, error in (
        ({"prompt": "question"}, ConfigError),
        ({"promt": "frage"}, ConfigError),
        ({"chosen": "gut", "rejected": "gut2"}, ConfigError),
    ):
        with pytest.raises(error, match="columns: no"):
            read(tmp_path, row, columns=columns)
    with pytest.raises(DataError, match="which the file has too"):
        read(tmp_path, row | {"prompt": "x"}, columns={"prompt": "frage"})


@pytest.mark.parametrize(
    ("names", "said", "never"),
    [
        (["query", "reply"], "columns: {prompt: query, response: reply}", "instruction"),
        (["instruction", "input", "output_1", "output_2", "verdict"], "response_b: output_2", "output: output_2"),
        (["prompt", "response_0", "response_1", "verdict"], "response_a: response_0, response_b: response_1", "response: response"),
        (["prompt", "choosen", "rejected"], "{chosen: choosen}", "rejected:"),
        (["flour", "butter"], "say what the columns are", "looks like"),
        (["prompt", "answers"], "say what the columns are", "answer:"),
    ],
)  # fmt: skip
def test_hints_go_by_meaning(tmp_path: Path, names: list[str], said: str, never: str) -> None:
    with pytest.raises(DataError, match="not a known shape") as refused:
        read(tmp_path, dict.fromkeys(names, "some text"))
    assert said in (refused.value.fix or "")
    assert never not in (refused.value.fix or "")


def test_no_slip_of_the_pen_crosses_meanings() -> None:
    assert meaning_of("promt") == "prompt"
    assert [
        meaning_of(n)
        for n in ("output_2", "output_3", "deleted", "rejections", "price", "response_id")
    ] == [
        "response_b",
        *[None] * 5,
    ]


# --- every key ------------------------------------------------------------------------------------
words = st.sampled_from(["Oslo is cold.", "It is 3.", "So it is.", "x"])
turn_extras = st.dictionaries(
    st.sampled_from(["index", "ts", "annotations", "refusal", "images", "label", "note"]),
    st.sampled_from([None, "", [], 0, "v", ["w"]]),
    max_size=2,
)
row_extras = st.dictionaries(
    st.sampled_from(["label", "labels", "weight", "tools", "thinking", "system", "history", "finished", "images", "deleted", "kto_tag",
                     "source", "tags", "score", "chat_template_kwargs", "train", "nested", "annotator", "text"]),
    st.sampled_from([None, "", [], {}, 0, 1, 0.5, True, "v", "false", ["w"], {"k": 1}, [["a", "b"]], TOOLS, float("inf"), "\ud800", "\ufdd0"]),
    max_size=4,
)  # fmt: skip


likely_extras = st.fixed_dictionaries({}, optional={
    "weight": st.sampled_from([0, 0.5, 2]), "tools": st.sampled_from([TOOLS, []]), "system": st.sampled_from(["v", ""]), "history": st.just([["a", "b"]]),
    "finished": st.sampled_from([True, "false"]), "deleted": st.sampled_from([False, "no"]), "label": st.sampled_from([0, "true", 1.0, "?"]),
    "source": st.just("forum"), "tags": st.just(["w"]), "annotator": st.sampled_from(["ann", 7.0]), "chat_template_kwargs": st.just({"k": 1}),
})  # fmt: skip


@st.composite
def any_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row of any public shape of pairs, answers or thumbs, with keys that its shape may not
    know."""
    asked, better = (
        {"role": "user", "content": draw(words)} | draw(turn_extras),
        {"role": "assistant", "content": draw(words)} | draw(turn_extras),
    )
    text, other, worse = draw(words), draw(words), {"role": "assistant", "content": draw(words)}
    return draw(
        st.sampled_from(
            [
                {"prompt": text, "chosen": other, "rejected": "No."},
                {"prompt": [asked], "chosen": [better], "rejected": [worse]},
                {"chosen": [asked, better], "rejected": [asked, worse]},
                {"prompt": text, "completion": other},
                {"prompt": [asked], "completion": [better]},
                {"messages": [asked, better]},
                {
                    "conversations": [
                        {"from": "human", "value": text},
                        {"from": "gpt", "value": other},
                    ]
                },
                {"instruction": text, "input": "", "output": other},
                {"prompt": text, "response": other},
                {"prompt": text},
                {"prompt": text, "response_a": other, "response_b": "No.", "winner": "a"},
                {"prompt": text, "response": other, "rating_good": 3},
                {"prompt": [asked], "response_a": [better], "response_b": [worse], "winner": "b"},
                {"prompt": [asked], "response": [better], "rating": 3},
                {"prompt": text, "completions": [other, "b"], "labels": [True, False]},
                {"model_a": "m", "model_b": "n", "winner": "tie"},
                {
                    "chosen": "\n\nHuman: Hi\n\nAssistant: a",
                    "rejected": "\n\nHuman: Hi\n\nAssistant: b",
                },
            ]
        )
    ) | draw(st.one_of(row_extras, likely_extras))


MEANT = {
    "label",
    "labels",
    "weight",
    "tools",
    "thinking",
    "system",
    "history",
    "finished",
    "images",
    "deleted",
    "kto_tag",
    "train",
}


@settings(max_examples=400, deadline=None)
@given(any_rows())
def test_every_key_is_used_kept_or_counted(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        found = read(folder, row)
    except AccordError:
        return
    shape = next(shape for shape in SHAPES if shape.name == found.shape)
    known = {*shape.fields, *shape.optional, *COMMON}
    for record in found.records:
        assert not MEANT & record.meta.get("columns", {}).keys()
        json.dumps(record.model_dump(mode="json"), allow_nan=False)
        check_used(
            record, {name: value for name, value in row.items() if value not in (None, "", [], {})}
        )
    for name, value in row.items():
        if value is None or value in ("", [], {}) or name in known or name.startswith("rating"):
            continue
        kept = all(name in record.meta.get("columns", {}) for record in found.records) and bool(
            found.records
        )
        assert kept or any(repr(name) in reason for reason in found.left_out), (found.shape, name)
    turns = [
        turn
        for value in row.values()
        if isinstance(value, list)
        for turn in value
        if isinstance(turn, dict) and "role" in turn
    ]
    extra = Counter(
        key
        for turn in turns
        for key, value in turn.items()
        if key not in ("role", "content") and value not in (None, "", [])
    )
    for key, count in extra.items():
        assert found.left_out[f"key {key!r} of a message"] == count


def check_used(record: Feedback, row: dict[str, Any]) -> None:
    """What every shape understands stands in the record."""
    turns = [] if isinstance(record.prompt, str) else [(m.role, m.text) for m in record.prompt]
    assert record.weight == float(row.get("weight", 1))
    assert record.tools == row.get("tools", [])
    assert record.chat_template_kwargs == row.get("chat_template_kwargs", {})
    assert "system" not in row or turns[0] == ("system", row["system"])
    assert "history" not in row or {("user", "a"), ("assistant", "b")} <= {*turns}
    assert record.annotator == str(row.get("annotator", "dataset")).removesuffix(".0")
    if "finished" in row:
        told = record.meta["finished"]
        assert {*(told.values() if isinstance(told, dict) else [told])} == {
            truth(row["finished"], "finished")
        }
    if "label" in row or "kto_tag" in row:
        assert (record.kind, record.choice.up) == (
            "thumb",
            label(row.get("label", row.get("kto_tag")), "label", "binary") == 1,
        )  # type: ignore[union-attr]


ADDED = [
    ("weight", 0.5), ("tools", TOOLS), ("system", "Be brief."), ("history", [["a", "b"]]), ("finished", False), ("deleted", "true"), ("label", 0),
    ("labels", [1]), ("kto_tag", False), ("thinking", "hm"), ("images", ["a.png"]), ("chat_template_kwargs", {"k": 1}), ("train", False),
    ("note", "Some words."), ("score", 2.5), ("tags", ["w"]), ("nested", {"k": "v"}), ("annotator", "ann"), ("guideline", "v3"), ("session", "s9"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "row"), [*EVERY, *(("", {**row, "label": True}) for row in THUMBS[:3])]
)
def test_what_is_added_to_a_public_row_is_used_kept_or_counted(
    tmp_path: Path, shape: str, row: dict[str, Any]
) -> None:
    def told(result: ReadResult) -> list[Any]:
        """All that the records say, but for what is kept of columns that nobody knows."""
        meta = [
            {k: v for k, v in r.meta.items() if k not in ("columns", "prm800k", "source")}
            for r in result.records
        ]
        return [
            (r.model_dump(exclude={"id", "meta"}), m)
            for r, m in zip(result.records, meta, strict=True)
        ]

    silent = []
    before = read(tmp_path, row)
    for name, value in ADDED:
        if name in row:
            continue
        try:
            after = read(tmp_path, row | {name: value})
        except DataError as error:
            silent += [] if name in error.message else [(name, error.message)]
            continue
        kept = name not in MEANT and all(name in json.dumps(r.meta) for r in after.records)
        counted = any(repr(name) in reason for reason in after.left_out)
        if not (kept or counted or told(after) != told(before) or after.shape != before.shape):
            silent.append((name, "said nothing"))
    assert not silent, silent


def test_what_no_record_can_hold_is_refused_by_name(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    row = {"prompt": "p", "completion": "a"}
    bad = [
        {"completion": "a\ud800"},
        {"completion": "\ufdd0"},
        {"note": "\U0001ffff"},
        {"note": 10**100},
        {"note": deep},
        {"\udc00": 1},
    ]
    found = read(tmp_path, row, *({**row, **one} for one in bad))
    assert (len(found.records), sum(found.dropped.values())) == (1, len(bad))
    assert sum("an unpaired surrogate" in reason for reason in found.dropped) == 2
    assert any("nested too deeply" in reason for reason in found.dropped)
    assert any("holds an integer of more" in reason for reason in found.dropped)


@pytest.mark.parametrize(
    ("when", "said"),
    [(1721800000, "2024-07-24T05:46:40+00:00"), (1721800000123, "2024-07-24T05:46:40.123000+00:00"),
     ("1721800000123", "2024-07-24T05:46:40.123000+00:00"), ("2024-07-24", "2024-07-24")],
)  # fmt: skip
def test_times_and_names(when: Any, said: str) -> None:
    record: Feedback = build(
        "demonstration", "p", [], {"content": "a"}, {"created_at": when, "annotator": 7.0}
    )
    assert (record.created_at, record.annotator) == (said, "7")


def test_a_number_that_is_no_time_in_any_unit_is_refused() -> None:
    def made(when: Any) -> str | None:
        return build("demonstration", "p", [], {"content": "a"}, {"created_at": when}).created_at

    assert {made(1721800000 * unit) for unit in (1, 10**3, 10**6, 10**9)} == {
        "2024-07-24T05:46:40+00:00"
    }
    for when in (1e30, 10**99, -1e30, float("inf")):
        with pytest.raises(RowError):
            made(when)


@pytest.mark.parametrize("name", ["thumbs_up", "liked", "is_good", "is_correct", "vote", "Label"])
@pytest.mark.parametrize(
    ("good", "bad"), [(True, False), ("True", "False"), (1, 0), (1, -1), ("👍", "👎")]
)
@pytest.mark.parametrize(
    "rest",
    [
        {"prompt": "p", "response": "r"},
        {"prompt": "p", "completion": "r"},
        {"instruction": "p", "output": "r"},
    ],
)
def test_a_judged_answer_is_never_a_demonstration(
    tmp_path: Path, name: str, good: Any, bad: Any, rest: dict[str, str]
) -> None:
    rows, ours = (
        [{**rest, name: value} for value in (good, bad, good)],
        "kto_tag" if "output" in rest else "label",
    )
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if name != "Label":  # which is read as `label` anyway
        with pytest.raises(DataError, match=f"--columns {ours}={name},"):
            read_feedback(path)
        assert (
            len(read_feedback(DataSource(path=str(path), columns={f"meta.{name}": name})).records)
            == 3
        )
    got = read_feedback(DataSource(path=str(path), columns={ours: name}))
    assert [(r.kind, r.choice.up) for r in got.records] == [
        ("thumb", True),
        ("thumb", False),
        ("thumb", True),
    ]


@pytest.mark.parametrize(
    "scale", [[1, 2, 3, 4, 5], [0, 0.5, 1], ["1", "2", "3"], [-1, 0, 1, 2], [0.0, 0.1, 1.0]]
)
@pytest.mark.parametrize("told", [None, "binary", "signed"])
def test_a_scale_is_no_column_of_labels(tmp_path: Path, scale: list[Any], told: Any) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "p", "completion": f"r{i}", "label": value} for i, value in enumerate(scale)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match="a rating or a probability, no label") as error:
        read_feedback(DataSource(path=str(path), labels=told))
    assert "rating_overall=label" in str(error.value)


@pytest.mark.parametrize("name", ["is_bad", "thumbs_down", "Toxic"])
@pytest.mark.parametrize("value", [True, "True", 1])
def test_a_fault_is_neither_a_label_nor_a_demonstration(
    tmp_path: Path, name: str, value: Any
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps({"prompt": "p", "response": "r", name: value}) + "\n", encoding="utf-8"
    )
    with pytest.raises(DataError, match="judges the answer") as error:
        read_feedback(path)
    assert "--columns label=" not in str(error.value)
    aside = read_feedback(DataSource(path=str(path), columns={f"meta.{name}": name}))
    assert [r.kind for r in aside.records] == ["demonstration"]


def test_columns_that_no_record_keeps_are_named_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"nested_{letter}" for letter in "ghfaebdc"]
    row = {"prompt": "p", "chosen": "a", "rejected": "b", **{name: [{"x": 1}] for name in names}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    read = read_feedback(str(tmp_path / "a.jsonl"))
    assert list(read.left_out) == [f"column {name!r}" for name in names]
