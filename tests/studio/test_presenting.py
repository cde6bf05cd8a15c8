"""What the browser gets and gives: places instead of ids, masked text, and the way back to the
original."""

from __future__ import annotations

from typing import Any

import pytest

from accord.studio.errors import AnswerError
from accord.studio.projects.settings import ProjectSettings, settings_from
from accord.studio.queue.assigning import Served
from accord.studio.tasks.blinding import note_masks, to_ids, to_original
from accord.studio.tasks.presenting import messages_html, screen

TEXT = "I am ChatGPT. Rome is in 𝔘gly Spain."


def served(
    options: list[dict[str, Any]], order: list[str], draft: dict[str, Any] | None = None
) -> Served:
    return Served(
        view_id=1,
        lease="l",
        expires_at=1.0,
        item="k",
        prompt="Where is Rome?",
        options=options,
        order=order,
        shown={"order": order},
        categories=[],
        guideline=1,
        draft=draft,
        active_seconds=0.0,
        resumed=False,
    )


def project(task: str, **more: Any) -> ProjectSettings:
    return settings_from({"name": "n", "task": task, **more})


def test_places_stand_for_ids_both_ways() -> None:
    order = ["claude-3", "gpt-4", "llama"]
    answer = {"order": [["2"], ["3", "1"]], "critique": "1", "scores": {"3": {"true": 1}}}
    named = to_ids(answer, order, "ranking")
    assert named == {
        "order": [["gpt-4"], ["llama", "claude-3"]],
        "critique": "1",
        "scores": {"llama": {"true": 1}},
    }
    options = [
        {"id": name, "content": f"text {name[-1]}", "producer": name} for name in sorted(order)
    ]
    shown = screen(served(options, order, named), project("ranking", critique="optional"), "/media")
    assert shown["draft"] == {
        "answer": {**answer, "order": [["2"], ["1", "3"]]}
    }  # nothing of the order in the file
    assert "gpt-4" not in str(shown)
    assert [option["id"] for option in shown["options"]] == ["1", "2", "3"]
    assert to_ids({"preferred": "1"}, order, "comparison") == {"preferred": "claude-3"}
    assert to_ids({"text": "1"}, order, "critique") == {"text": "1"}
    assert to_ids("nonsense", order, "comparison") == "nonsense"
    for wrong in (
        {"preferred": "gpt-4"},
        {"preferred": "4"},
        {"preferred": ""},
        {"scores": {"llama": {"true": 1}}},
        {"critique": {"0": "no"}},
    ):
        with pytest.raises(AnswerError, match="options are called by place, 1 to 3"):
            to_ids(wrong, order, "comparison")
    state = {"state": {"main": {"order": [["2"]]}}}
    assert screen(served(options, order, state), project("ranking"), "/media")["draft"] == state


def test_spans_of_masked_text_come_back_to_the_original() -> None:
    settings = project("spans", spans=["error"])
    one = served([{"id": "a", "content": TEXT}], ["a"])
    shown = screen(one, settings, "/media")["options"][0]["text"]
    assert "ChatGPT" not in shown
    start = shown.index("𝔘")
    answer = {"spans": [{"option": "1", "start": start, "end": start + 4, "label": "error"}]}
    moved = to_original(answer, one, settings)["spans"][0]
    assert TEXT[moved["start"] : moved["end"]] == "𝔘gly"
    undone = served(
        one.options,
        ["a"],
        {"spans": [{"option": "a", **{k: moved[k] for k in ("start", "end", "label")}}]},
    )
    again = screen(undone, settings, "/media")["draft"]["answer"]["spans"][0]
    assert (again["start"], again["end"]) == (start, start + 4)
    name = to_original({"spans": [{"start": 5, "end": 9, "label": "error"}]}, one, settings)[
        "spans"
    ][0]
    assert TEXT[name["start"] : name["end"]] == "ChatGPT"  # part of a hidden name is the whole name


def test_an_edit_gets_its_names_back() -> None:
    settings = project("correction")
    one = served([{"id": "a", "content": TEXT}], ["a"])
    shown = screen(one, settings, "/media")["options"][0]["text"]
    edited = to_original({"content": shown.replace("Spain", "Italy")}, one, settings)
    assert edited == {"content": TEXT.replace("Spain", "Italy"), "names": [[5, 12, 1]]}
    undone = screen(served(one.options, ["a"], edited), settings, "/media")["draft"]["answer"][
        "content"
    ]
    assert "ChatGPT" not in undone


def test_what_was_masked_is_noted_with_the_view() -> None:
    options = [
        {"id": "a", "content": TEXT},
        {"id": "b", "content": "Rome is in Italy, says House-7."},
    ]
    noted = note_masks("Where is Rome?", options, project("comparison", mask=["House-7"]))
    assert noted == {"masked": {"a": [[0, 5, 12, 1]], "b": [[0, 23, 30, 1]]}}
    start, end = noted["masked"]["a"][0][1:3]
    assert TEXT[start:end] == "ChatGPT"


def test_messages_keep_their_roles() -> None:
    made = messages_html(
        [{"role": "user", "content": "*hi*"}, {"role": "assistant", "content": "<b>"}], "user"
    )
    assert [(m["role"], [(p["kind"], p["html"]) for p in m["parts"]]) for m in made] == [
        ("user", [("text", "<p><em>hi</em></p>\n")]),
        ("assistant", [("text", "<p>&lt;b&gt;</p>\n")]),
    ]
    assert messages_html("  ", "user") == []
