"""Foreign files: recognised, read without loss, refused by name and line."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError, ConfigError, DataError
from accord.feedback.formats import (
    EXPORTS,
    arena,
    check_file,
    export_rows,
    open_webui,
    plain,
    read_feedback,
)
from accord.feedback.formats.values import RowError
from accord.feedback.records import Feedback

PAIR = {"prompt": "Name a colour.", "chosen": " Blue.", "rejected": " Seven."}
CHAT = [{"role": "user", "content": "Name a colour."}]
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Go away.",
}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def say(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


@pytest.mark.parametrize(
    ("content", "message", "fix"),
    [
        (b"", "rows.jsonl is empty", "at least one row"),
        (b"\n\n", "rows.jsonl is empty", "at least one row"),
        (b'{"prompt": "a", "choosen": "b", "rejected": "c"}\n', "columns prompt, choosen, rejected", "'choosen' looks like chosen; columns: {chosen: choosen}"),
        (b'{"prompt": \n', "the line is not valid JSON: Expecting value (first at rows.jsonl line 1 column 11)", "repair"),
        (b'[1, 2]\n', "the row is list, not an object with named fields (first at rows.jsonl line 1)", "repair"),
        (json.dumps(PAIR).encode() + b'\n{"messages": []}\n', "mixed shapes: rows.jsonl line 1 is TRL preference, rows.jsonl line 2", "one shape"),
        (json.dumps(PAIR).encode() + b'\n{"other": 1}\n', "unknown columns other", "one shape"),
        (b'{"prompt": "a", "completion": "caf\xe9"}\n', "not UTF-8: byte 34 (line 1) is 0xe9", "iconv"),
        (b'{"prompt": "a", "completion": ""}\n', "the response is empty (first at rows.jsonl line 1)", "prompt-completion"),
        (b'{"prompt": "a", "completion": null}\n', "completion: the text is missing", "prompt-completion"),
        (json.dumps(PAIR | {"rejected": " Blue."}).encode() + b"\n", "chosen and rejected are the same", "TRL preference"),
        (json.dumps(PAIR | {"chosen": "\ud800"}).encode() + b"\n", "unpaired surrogate", "repair"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, content: bytes, message: str, fix: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_feedback(path)
    assert message in caught.value.message
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize(
    "name", ["rows.jsonl.gz", "rows.xlsx", "nowhere.jsonl", "broken.jsonl.gz", "comma.csv", "empty"]
)
def test_files_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    contents = {
        "rows.jsonl.gz": b"plain text",
        "rows.xlsx": b"PK",
        "broken.jsonl.gz": gzip.compress(b"x" * 1000)[:12] + b"\xff" * 8,
        "comma.csv": b"prompt,completion\na,b,c\n",
    }
    if name in contents:
        path.write_bytes(contents[name])
    elif name == "empty":
        path.mkdir()
    with pytest.raises(
        AccordError, match=r"cannot read|not known|no file|fields than the header|no data file"
    ):
        read_feedback(path)


def test_unusable_rows_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    rows = [
        PAIR,
        PAIR | {"chosen": ""},
        PAIR | {"prompt": 3},
        PAIR | {"rejected": " "},
        PAIR | {"prompt": "Another."},
    ]
    report = check_file(write(tmp_path / "rows.jsonl", rows))
    assert len(report.result.records) == 2
    assert sum(report.result.dropped.values()) == 3
    text = "\n".join(report.lines())
    assert "5 rows: 2 kept, 3 dropped; 2 comparisons" in text
    assert "dropped 1: chosen is empty (first at rows.jsonl line 2)" in text
    assert "Name a colour." in text


STEPS = {
    "steps": [
        {"completions": [{"text": "1+1=2", "rating": 1}], "chosen_completion": 0},
        {"completions": [{"text": "so 3", "rating": -1}], "chosen_completion": None},
    ]
}
SHAPES = [
    ("TRL preference", PAIR, {"comparison": 1}),
    ("TRL preference", {"prompt": CHAT, "chosen": [say("assistant", "Blue.")], "rejected": [say("assistant", "7")]}, {"comparison": 1}),
    ("TRL preference", {"prompt": "Name a colour.", "chosen": [*CHAT, say("assistant", "Blue.")], "rejected": [*CHAT, say("assistant", "7")]}, {"comparison": 1}),
    ("TRL preference, implicit prompt", {"chosen": "The sky is blue.", "rejected": "The sky is seven."}, {"comparison": 1}),
    ("TRL preference, implicit prompt", {"chosen": [*CHAT, say("assistant", "Blue.")], "rejected": [*CHAT, say("assistant", "7")]}, {"comparison": 1}),
    ("TRL prompt-completion", {"prompt": "a", "completion": "b"}, {"demonstration": 1}),
    ("TRL prompt-completion", {"prompt": CHAT, "completion": [say("assistant", "b")]}, {"demonstration": 1}),
    ("TRL prompt-completion", {"prompt": "a", "completion": "b", "label": False}, {"thumb": 1}),
    ("TRL conversational", {"messages": [*CHAT, say("assistant", "Blue.")]}, {"demonstration": 1}),
    ("TRL stepwise", {"prompt": "1+1", "completions": ["one", "two"], "labels": [True, False]}, {"step_labels": 1}),
    ("TRL prompt-only", {"prompt": "a"}, {}),
    ("Anthropic HH", HH, {"comparison": 1}),
    ("Alpaca", {"instruction": "a", "input": "b", "output": "c"}, {"demonstration": 1}),
    ("prompt-response", {"prompt": "a", "response": "b"}, {"demonstration": 1}),
    ("LLaMA-Factory / ShareGPT", {"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "gpt", "value": "b"}, "rejected": {"from": "gpt", "value": "c"}}, {"comparison": 1}),
    ("table of labels", {"item": 7, "annotator": "b", "label": "cat"}, {"flags": 1}),
    ("table of labels", {"task": "a", "worker": 3, "label": ["x", "y"]}, {"flags": 1}),
    ("PRM800K", {"question": {"problem": "1+1"}, "label": STEPS}, {"step_labels": 1}),
    ("UltraFeedback", {"instruction": "a", "completions": [{"response": "b", "overall_score": 7}, {"response": "c", "overall_score": None}]}, {"rating": 1}),
    ("HelpSteer", {"prompt": "a", "response": "b", "helpfulness": 3, "correctness": 3, "coherence": 4, "complexity": 1, "verbosity": 2}, {"rating": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "row", "kinds"), SHAPES)
def test_every_shape_is_recognised(
    tmp_path: Path, shape: str, row: dict[str, Any], kinds: dict[str, int]
) -> None:
    for path in (write(tmp_path / "rows.jsonl", [row]), tmp_path / "rows.json"):
        if path.suffix == ".json":
            path.write_text(json.dumps([row]), encoding="utf-8")
        result = read_feedback(path)
        assert result.shape == shape
        assert Counter(r.kind for r in result.records) == kinds
        assert result.dropped == {}


def test_ultrafeedback_aspects_are_a_rating_of_their_own(tmp_path: Path) -> None:
    aspects = {"honesty": {"Rating": "4", "Rationale": "r"}, "helpfulness": {"Rating": "N/A"}}
    answer = {
        "response": "b",
        "overall_score": 7,
        "model": "m",
        "critique": "Too short.",
        "annotations": aspects,
    }
    got = read_feedback(
        write(tmp_path / "rows.jsonl", [{"instruction": "a", "completions": [answer]}])
    )
    assert [(r.kind, r.options[0].producer) for r in got.records] == [
        ("rating", "m"),
        ("rating", "m"),
        ("critique", "m"),
    ]
    assert got.records[1].choice.model_dump() == {
        "scores": {"honesty": 4.0},
        "low": 1.0,
        "high": 5.0,
    }
    assert got.records[1].meta["source"] == {
        "aspects": {"honesty": {"Rationale": "r"}, "helpfulness": {"Rating": "N/A"}}
    }
    assert got.left_out == {"UltraFeedback's helpfulness without a rating from 1 to 5": 1}


def test_words_and_refinements_of_people(data: Callable[[str], Path]) -> None:
    got = read_feedback(data("language-feedback/surge_annotations.jsonl"))
    assert Counter(r.kind for r in got.records) == {"critique": 195, "correction": 195}
    assert (got.dropped, got.left_out) == ({}, {})
    critique, correction = got.records[:2]
    assert critique.options[0].content == correction.options[0].content
    assert isinstance(critique.prompt, str)
    assert not any(plain(r.options[0].content).startswith(r.prompt) for r in got.records)
    assert sum(r.annotator == "dataset" for r in got.records) == 2 * 54  # rows that name no worker
    own, lost = export_rows(got.records, "accord")
    assert (len(own), lost) == (390, 0)
    pairs, left = export_rows(got.records, "trl-preference")
    assert (len(pairs), left) == (195, 195)


def test_columns_that_a_shape_does_not_know_are_kept_or_counted(tmp_path: Path) -> None:
    row = PAIR | {
        "score": 0.5,
        "source": "forum",
        "tags": ["a"],
        "empty": None,
        "annotator": "ann",
        "id": 3,
    }
    got = read_feedback(write(tmp_path / "rows.jsonl", [row, row | {"source": "book"}]))
    assert [r.meta["columns"] for r in got.records] == [
        {"score": 0.5, "source": "forum", "id": 3},
        {"score": 0.5, "source": "book", "id": 3},
    ]
    assert len({r.id for r in got.records}) == 2
    assert got.left_out == {"column 'tags'": 2}
    lines = check_file(tmp_path / "rows.jsonl").lines()
    assert "  left out 2: column 'tags'" in lines
    (said,) = [line for line in lines if "does not know" in line]
    assert said.startswith("  columns this format does not know, kept in meta: ")


def test_csv_with_a_byte_order_mark_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('\ufeffprompt,chosen,rejected\n"two\nlines","a, b",c\n'.encode())
    (record,) = read_feedback(path).records
    assert record.prompt == "two\nlines"
    assert [o.content for o in record.options] == ["a, b", "c"]


text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=30
).filter(lambda t: bool(t.strip()))


@given(prompt=text, chosen=text, rejected=text)
def test_preferences_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, chosen: str, rejected: str
) -> None:
    if chosen == rejected:
        return
    folder = tmp_path_factory.mktemp("trip")
    row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    records = read_feedback(write(folder / "a.jsonl", [row])).records
    assert export_rows(records, "trl-preference") == ([row], 0)
    own, lost = export_rows(records, "accord")
    assert lost == 0
    assert read_feedback(write(folder / "b.jsonl", own)).records == records


@pytest.mark.parametrize(
    ("shape", "row"),
    [
        ("hh", HH),
        (
            "trl-preference",
            {
                "prompt": CHAT,
                "chosen": [say("assistant", "b")],
                "rejected": [say("assistant", "c")],
            },
        ),
        ("trl-unpaired", {"prompt": CHAT, "completion": [say("assistant", "b")], "label": True}),
        ("trl-completion", {"prompt": "a", "completion": "b"}),
        ("trl-stepwise", {"prompt": "1+1", "completions": ["one", "two"], "labels": [True, False]}),
    ],
)
def test_rows_come_out_as_they_went_in(tmp_path: Path, shape: str, row: dict[str, Any]) -> None:
    assert export_rows(read_feedback(write(tmp_path / "rows.jsonl", [row])).records, shape) == (
        [row],
        0,
    )


def test_what_a_shape_cannot_hold_is_counted(tmp_path: Path) -> None:
    records = read_feedback(write(tmp_path / "rows.jsonl", [PAIR])).records
    assert export_rows(records, "trl-unpaired") == ([], 1)
    assert export_rows(records, "hh") == ([], 1)  # a plain text prompt is no conversation
    with pytest.raises(ConfigError, match="no export"):
        export_rows(records, "excel")
    assert "accord" in EXPORTS


def test_hh_transcripts_round_trip(data: Callable[[str], Path]) -> None:
    path = data("hh-rlhf/harmless-base-test.jsonl.gz")
    result = read_feedback(path)
    assert (result.rows, len(result.records)) == (2312, 2308)
    assert result.dropped == {"chosen is empty": 4}
    parted = [
        r for r in result.records if isinstance(r.options[0].content, list)
    ]  # at an earlier turn than the last
    assert len(parted) == 5
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    rows = [r for r in rows if r["chosen"].rsplit("Assistant:", 1)[1].strip()]
    exported = {
        r["chosen"].strip(): r["rejected"].strip() for r in export_rows(result.records, "hh")[0]
    }
    exact = sum(exported.get(r["chosen"].strip()) == r["rejected"].strip() for r in rows)
    # All but those with other blanks around the turns come back to the letter.
    assert exact >= 0.97 * len(result.records)


def _replies(record: Feedback) -> list[str]:
    by_id = {o.id: plain(o.content) for o in record.options}
    return [by_id[i] for tier in record.choice.order for i in tier]  # type: ignore[union-attr]


def test_open_assistant_rankings_are_those_of_the_trees(data: Callable[[str], Path]) -> None:
    folder = data("open-assistant")
    result = read_feedback(folder)
    assert result.rows == 100
    # 45 replies by people stand alone; one reply beside ranked ones has no rank.
    assert Counter(r.kind for r in result.records) == {"ranking": 212, "demonstration": 46}
    assert result.left_out == {}
    found = {(len(r.prompt), *_replies(r)) for r in result.records if r.kind == "ranking"}
    expected = set()

    def visit(node: dict[str, Any], depth: int) -> None:
        ranked = [
            r for r in node["replies"] if r["role"] == "assistant" and r.get("rank") is not None
        ]
        if len(ranked) >= 2:
            expected.add((depth, *(r["text"] for r in sorted(ranked, key=lambda r: r["rank"]))))
        for reply in node["replies"]:
            visit(reply, depth + 1)

    for line in next(folder.glob("*.jsonl")).read_text(encoding="utf-8").splitlines():
        visit(json.loads(line)["prompt"], 1)
    assert found == expected


@pytest.mark.parametrize(
    ("name", "shape", "kinds"),
    [
        ("alpaca_en_demo.json", "Alpaca", {"demonstration": 999}),
        ("dpo_en_demo.json.gz", "LLaMA-Factory / ShareGPT", {"comparison": 300}),
        ("kto_en_demo.json", "TRL conversational", {"thumb": 300}),
    ],
)
def test_llama_factory_files(
    data: Callable[[str], Path], name: str, shape: str, kinds: dict[str, int]
) -> None:
    result = read_feedback(data(f"llama-factory-demos/{name}"))
    assert result.shape == shape
    assert Counter(r.kind for r in result.records) == kinds
    assert result.dropped == {}


@pytest.mark.parametrize(
    ("prompt", "reply", "missing"),
    [(["q", None], ["a", "b"], "prompt"), (["q", "r"], ["a", None], "response_b")],
)
def test_a_missing_turn_of_an_arena_battle_is_named(
    prompt: list[Any], reply: list[Any], missing: str
) -> None:
    with pytest.raises(RowError, match=f"^a turn of {missing} is missing$"):
        arena._interleaved(prompt, reply, "response_b")


@pytest.mark.parametrize(
    "row", [{}, {"snapshot": {}}, {"snapshot": None}, {"snapshot": {"chat": {"chat": []}}}]
)
def test_a_chat_without_its_snapshot_is_said(row: dict[str, Any]) -> None:
    with pytest.raises(RowError, match="no snapshot of the chat"):
        open_webui._chat(row)


def test_the_messages_of_a_snapshot_are_by_their_ids() -> None:
    def row(messages: Any) -> dict[str, Any]:
        return {"snapshot": {"chat": {"chat": {"history": {"messages": messages}}}}}

    assert open_webui._chat(row({"m": {"role": "user"}})) == {"m": {"role": "user"}}
    with pytest.raises(RowError, match="not an object that maps ids"):
        open_webui._chat(row([{"role": "user"}]))
