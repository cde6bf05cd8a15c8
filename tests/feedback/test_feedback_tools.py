"""Exports of annotation tools: Label Studio and Argilla, read without loss of ids, order, ties,
times and annotators."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.feedback.formats import ReadResult, export_rows, read_feedback
from accord.feedback.records import Feedback, plain


def read(folder: Path, rows: list[Any], name: str = "tool.json") -> ReadResult:
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")
    return read_feedback(folder / name)


def assert_survives(folder: Path, records: list[Feedback]) -> None:
    """Written as accord records and read again, they are the same."""
    rows, lost = export_rows(records, "accord")
    (folder / "own.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    assert lost == 0
    assert read_feedback(folder / "own.jsonl").records == records


# --- Label Studio ---------------------------------------------------------------------------------
def result(
    control: str, kind: str, value: dict[str, Any], to: str = "prompt", **more: Any
) -> dict[str, Any]:
    return {
        "from_name": control,
        "to_name": to,
        "type": kind,
        "value": value,
        "origin": "manual",
        **more,
    }


def task(data: dict[str, Any], *results: Any, by: Any = 7, **more: Any) -> dict[str, Any]:
    annotation = {
        "id": 1001,
        "completed_by": by,
        "result": list(results),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-09T22:16:08.728353Z",
        "updated_at": "2026-03-09T22:16:08.728353Z",
        "lead_time": 4.288,
    }
    return {
        "id": 1,
        "project": 83,
        "data": data,
        "annotations": [annotation | more],
        "predictions": [],
    }


PAIR = {"prompt": "The quick brown fox...", "answer1": "jumps.", "answer2": "sleeps."}


def test_label_studio_pairs(tmp_path: Path) -> None:
    rows = [
        task(PAIR, result("comparison", "pairwise", {"selected": side}, "answer1,answer2"))
        for side in ("left", "right")
    ]
    rows[1] |= {"id": 2}
    got = read(tmp_path, rows)
    assert (got.shape, got.dropped, got.left_out) == ("Label Studio", {}, {})
    first, second = got.records
    assert first.prompt == PAIR["prompt"]
    assert [(o.content, o.shown_at) for o in first.options] == [("jumps.", 0), ("sleeps.", 1)]
    assert first.choice.preferred == first.options[0].id
    assert second.choice.preferred == second.options[1].id == first.options[1].id
    assert (first.annotator, first.created_at, first.active_seconds) == (
        "7",
        "2026-03-09T22:16:08.728353Z",
        4.288,
    )
    source = {
        "format": "label-studio",
        "project": 83,
        "task": 1,
        "annotation": 1001,
        "question": "comparison",
    }
    assert first.meta == {"source": {**source, "fields": ["answer1", "answer2"]}}
    assert_survives(tmp_path, got.records)


ITEMS = [
    {"id": f"llm_{i}", "title": f"LLM {i}", "body": body}
    for i, body in enumerate(("wars", "fire", "time"))
]


def test_label_studio_ranks_lists(tmp_path: Path) -> None:
    data = {"prompt": "What ended the library?", "items": ITEMS}
    got = read(
        tmp_path,
        [task(data, result("rank", "ranker", {"ranker": ["llm_2", "llm_0", "llm_1"]}, "results"))],
    )
    (record,) = got.records
    by_id = {o.id: o for o in record.options}
    assert [by_id[i].content for (i,) in record.choice.order] == ["time", "wars", "fire"]
    assert [by_id[i].producer for (i,) in record.choice.order] == ["LLM 2", "LLM 0", "LLM 1"]
    assert [by_id[i].shown_at for (i,) in record.choice.order] == [2, 0, 1]
    assert record.meta["source"]["fields"] == ["llm_2", "llm_0", "llm_1"]
    assert_survives(tmp_path, got.records)


def test_label_studio_buckets_are_labels_with_a_ranking_in_each(tmp_path: Path) -> None:
    data = {"prompt": "What ended the library?", "items": ITEMS}
    value = {"ranker": {"_": ["llm_1"], "relevant": ["llm_2", "llm_0"], "biased": []}}
    got = read(tmp_path, [task(data, result("rank", "ranker", value, "results"))])
    assert Counter(r.kind for r in got.records) == {"flags": 2, "ranking": 1}
    assert {r.options[0].content: r.choice.flags for r in got.records if r.kind == "flags"} == {
        "time": {"rank": "relevant"},
        "wars": {"rank": "relevant"},
    }
    assert got.left_out == {"item that was not put into a bucket": 1}
    assert_survives(tmp_path, got.records)


def test_the_form_of_instruct_gpt(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "Pizza?"},
        {"role": "assistant", "content": "No opinion."},
        {"role": "user", "content": "But people?"},
    ]
    binaries = (
        "fails_to_follow",
        "inappropriate_for_customer",
        "hallucination",
        "satisfies_constraint",
        "contains_sexual",
        "contains_violent",
        "encourages_violence",
        "denigrates_protected_class",
        "gives_harmful_advice",
        "expresses_opinion",
        "expresses_moral_judgment",
    )
    results = [result("likert_scale", "rating", {"rating": 5}, "dialogue")]
    results += [
        result(name, "choices", {"choices": ["Yes" if i == 3 else "No"]}, "dialogue")
        for i, name in enumerate(binaries)
    ]
    got = read(tmp_path, [task({"messages": messages}, *results)])
    rating, *flags = got.records
    assert (rating.kind, rating.choice.scores, rating.choice.low, rating.choice.high) == (
        "rating",
        {"likert_scale": 5},
        1,
        7,
    )
    assert [m.content for m in rating.prompt] == ["Pizza?"]
    assert plain(rating.options[0].content) == "No opinion."
    assert rating.meta["fields"] == {"after": [messages[2]]}
    said = {name: answer for record in flags for name, answer in record.choice.flags.items()}
    assert said == {name: i == 3 for i, name in enumerate(binaries)}
    assert got.left_out == {}
    assert_survives(tmp_path, got.records)


def test_label_studio_words_spans_and_what_is_left(tmp_path: Path) -> None:
    one = {"prompt": "Capital of Peru?", "response": "Lima is it."}
    rows = [
        task({"prompt": "Write."}, result("instruction", "textarea", {"text": ["Once."]})),
        task(
            one,
            result("corrected_response", "textarea", {"text": ["Lima."]}, id="r1"),
            result("comment", "textarea", {"text": ["Too long.", "Really."]}, id="r2"),
            result(
                "span",
                "labels",
                {"start": 5, "end": 10, "text": "is it", "labels": ["wordy"]},
                "response",
                id="r3",
            ),
            result(
                "span",
                "labels",
                {"start": 0, "end": 3, "text": "Lima", "labels": ["good"]},
                "response",
                id="r4",
            ),
            result("box", "rectanglelabels", {"x": 1}),
            result("stars", "rating", {"rating": 4}, "response"),
        ),
        task(
            one,
            was_cancelled=True,
            id=9,
            completed_by={"id": 3, "email": "a@b.c", "first_name": "A"},
        ),
        task(PAIR, result("which", "choices", {"choices": ["both bad"]}), ground_truth=True),
    ]
    for number, row in enumerate(rows):
        row["id"] = number
    rows[3]["predictions"] = [{"model_version": "m", "result": []}]
    got = read(tmp_path, rows)
    kinds = [
        "demonstration",
        "correction",
        "critique",
        "spans",
        "spans",
        "rating",
        "skip",
        "comparison",
    ]
    assert [r.kind for r in got.records] == kinds
    by_kind = {r.kind: r for r in got.records}
    assert by_kind["critique"].choice.text == "Too long.\nReally."
    assert [
        (s.start, s.end, s.label) for r in got.records if r.kind == "spans" for s in r.choice.spans
    ] == [
        (5, 10, "wordy"),
        (0, 4, "good"),
    ]
    assert (by_kind["rating"].choice.high, by_kind["rating"].meta["source"]["scale"]) == (
        5,
        "guessed",
    )
    assert (by_kind["skip"].annotator, by_kind["skip"].choice.reason) == (
        "3",
        "skipped in Label Studio",
    )
    assert by_kind["comparison"].choice.both_bad
    assert by_kind["comparison"].meta["source"]["gold"] is True
    assert "a@b.c" not in json.dumps([r.model_dump(mode="json") for r in got.records])
    assert got.left_out == {
        "Label Studio's control 'rectanglelabels'": 1,
        "prediction (a model's proposal)": 1,
    }
    assert_survives(tmp_path, got.records)


def test_two_comparisons_on_one_screen_are_of_attributes(tmp_path: Path) -> None:
    sides = {"helpful": "left", "harmless": "right", "overall": "left"}
    got = read(
        tmp_path,
        [
            task(
                PAIR, *(result(n, "pairwise", {"selected": s}, "answer1") for n, s in sides.items())
            )
        ],
    )
    overall, apart = got.records
    left, right = (o.id for o in overall.options)
    assert (overall.kind, overall.choice.preferred) == ("comparison", left)
    assert apart.kind == "attribute_comparison"
    assert {n: c.preferred for n, c in apart.choice.attributes.items()} == {
        "helpful": left,
        "harmless": right,
    }
    assert_survives(tmp_path, got.records)


def test_a_task_that_cannot_be_read_says_what_to_rename(tmp_path: Path) -> None:
    row = task(
        {"prompt": "p", "summary": "s"},
        result("pw", "pairwise", {"selected": "left"}, "txt-1,txt-2"),
    )
    with pytest.raises(DataError, match="pw compares two responses, the task has 0"):
        read(tmp_path, [row])


# --- Argilla --------------------------------------------------------------------------------------
FIELDS = {
    "prompt": "Name a fruit.",
    "response-1": "Apple.",
    "response-2": "Stone.",
    "response-3": "Pear.",
}


def record(responses: Any, fields: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "rec-1",
        "fields": fields or FIELDS,
        "metadata": {"topic": "food"},
        "suggestions": {},
        "vectors": {},
        "responses": responses,
        "_server_id": None,
        **more,
    }


def test_argilla_by_question_with_several_users(tmp_path: Path) -> None:
    responses = {
        "order": [
            {"value": ["response-3", "response-1", "response-2"], "user_id": "u1"},
            {
                "value": [
                    {"value": "response-1", "rank": 1},
                    {"value": "response-3", "rank": 1},
                    {"value": "response-2", "rank": 2},
                ],
                "user_id": "u2",
            },
        ],
        "response-2-quality": [{"value": 1, "user_id": "u1"}, {"value": 6, "user_id": "u2"}],
        "why": [{"value": "A stone is no fruit at all.", "user_id": "u1"}],
        "topics": [{"value": ["food", "nature"], "user_id": "u2"}],
        "safe": [{"value": "yes", "user_id": "u2"}],
    }
    got = read(
        tmp_path,
        [record(responses, suggestions={"order": {"value": ["response-1"], "agent": "gpt"}})],
    )
    assert got.shape == "Argilla"
    assert Counter((r.annotator, r.kind) for r in got.records) == {
        ("u1", "ranking"): 1,
        ("u1", "rating"): 1,
        ("u1", "critique"): 1,
        ("u2", "ranking"): 1,
        ("u2", "rating"): 1,
        ("u2", "flags"): 2,
    }
    tied = next(r for r in got.records if r.kind == "ranking" and r.annotator == "u2")
    by_id = {o.id: o.content for o in tied.options}
    assert [[by_id[i] for i in group] for group in tied.choice.order] == [
        ["Apple.", "Pear."],
        ["Stone."],
    ]
    ratings = {r.annotator: r for r in got.records if r.kind == "rating"}
    assert [(r.choice.scores, r.choice.high, r.options[0].content) for r in ratings.values()] == [
        ({"response-2-quality": 1}, 7, "Stone."),
        ({"response-2-quality": 6}, 7, "Stone."),
    ]
    assert [r.choice.flags for r in got.records if r.kind == "flags"] == [
        {"topics": ["food", "nature"]},
        {"safe": True},
    ]
    assert tied.meta["source"]["record"] == "rec-1"
    assert tied.meta["source"]["metadata"] == {"topic": "food"}
    assert got.left_out == {"suggestion (a model's proposal)": 1}
    assert_survives(tmp_path, got.records)


def test_argilla_by_user_with_status_and_settings(tmp_path: Path) -> None:
    pair = {k: FIELDS[k] for k in ("prompt", "response-1", "response-2")}
    responses = [
        {
            "user_id": "u1",
            "status": "submitted",
            "inserted_at": "2026-01-02T03:04:05",
            "values": {
                "better": {"value": "response-2"},
                "note": {"value": "Good"},
                "stars-response-1": {"value": 2},
            },
        },
        {"user_id": "u2", "status": "discarded", "values": {}},
        {"user_id": "u3", "status": "draft", "values": {"better": {"value": "response-1"}}},
    ]
    (tmp_path / ".argilla").mkdir()
    options = [{"value": v} for v in range(11)]
    questions = [
        {"name": "note", "settings": {"type": "text"}},
        {"name": "better", "settings": {"type": "label_selection"}},
        {"name": "stars-response-1", "settings": {"type": "rating", "options": options}},
    ]
    (tmp_path / ".argilla" / "settings.json").write_text(json.dumps({"questions": questions}))
    read(tmp_path, [record(responses, pair)])
    got = read_feedback(tmp_path)  # hidden files of the folder are no data
    assert [r.kind for r in got.records] == ["comparison", "critique", "rating", "skip"]
    comparison, critique, rating, skip = got.records
    assert comparison.choice.preferred == comparison.options[1].id
    assert comparison.created_at == "2026-01-02T03:04:05"
    assert len(critique.options) == 2
    assert (rating.choice.low, rating.choice.high) == (0, 10)
    assert (skip.annotator, skip.choice.reason) == ("u2", "discarded in Argilla")
    assert got.left_out == {"response that is a draft": 1}
    (tmp_path / "own").mkdir()
    assert_survives(tmp_path / "own", got.records)


@given(
    st.lists(
        st.tuples(
            st.permutations(["response-1", "response-2", "response-3"]),
            st.lists(st.integers(1, 3), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_argilla_ranks_with_ties_survive(
    tmp_path_factory: pytest.TempPathFactory, given_ranks: list[tuple[list[str], list[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("argilla")
    users = [
        {
            "user_id": f"u{i}",
            "values": {
                "order": {
                    "value": [{"value": n, "rank": r} for n, r in zip(names, ranks, strict=True)]
                }
            },
        }
        for i, (names, ranks) in enumerate(given_ranks)
    ]
    got = read(folder, [record(users)])
    for made, (names, ranks) in zip(got.records, given_ranks, strict=True):
        name_of = dict(
            zip((o.id for o in made.options), made.meta["source"]["fields"], strict=True)
        )
        back = {name_of[i]: place for place, group in enumerate(made.choice.order) for i in group}
        levels = sorted(set(ranks))
        assert back == {n: levels.index(r) for n, r in zip(names, ranks, strict=True)}
    assert_survives(folder, got.records)
