"""Conversations with tools and reasoning, from the file to the screen and out again."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from conversations import WORDS, answers, conversations, items, texts_of
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from studio_rooms import answer, key, person, project, served

from accord.feedback.records import Feedback
from accord.studio.delivery import exporting
from accord.studio.delivery.exporting import Wanted
from accord.studio.projects import editing, importing
from accord.studio.projects.incoming import BadItem, checked
from accord.studio.projects.settings import ProjectSettings, settings_from
from accord.studio.queue import assigning
from accord.studio.queue.assigning import Served
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Item
from accord.studio.tasks import blinding, contents, presenting
from accord.studio.tasks.markup import spread_json

COMPARISON = settings_from({"name": "n"})
QUICK = limits(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
CALL = {
    "id": "toolu_01",
    "type": "function",
    "function": {"name": "search", "arguments": {"city": "Rome"}},
}
ASKED = [{"role": "user", "content": "What is the weather in Rome?"}]
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]


def shown_text(value: Any) -> str:
    """All that stands in the HTML of a screen, and the names beside it."""
    if isinstance(value, dict):
        return " ".join(shown_text(inner) for inner in value.values())
    if isinstance(value, list):
        return " ".join(shown_text(inner) for inner in value)
    return unescape(re.sub(r"<[^>]*>", "", value)) if isinstance(value, str) else ""


def view(item: dict[str, Any], settings: ProjectSettings = COMPARISON) -> Served:
    row = checked(item, settings)
    order = [option["id"] for option in row["options"]]
    return Served(
        1,
        "l",
        1.0,
        "k",
        row["prompt"],
        row["options"],
        order,
        {"order": order},
        [],
        1,
        None,
        0.0,
        False,
        row["tools"],
        row["chat_template_kwargs"],
    )


# --- stored and exported --------------------------------------------------------------------------
def test_what_comes_in_goes_out_again(db: Database, tmp_path: Path) -> None:
    made: list[dict[str, Any]] = []

    @given(items())
    @limits(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def collect(item: dict[str, Any]) -> None:
        made.append(item)

    collect()
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in made), encoding="utf-8")
    project_id = project(db, [])
    found = importing.import_file(db, project_id, path)
    assert not found.left_out, found
    assert not found.items.bad, found
    who = person(db, "ann", project_id)
    for _ in range(found.items.new):
        answer(db, who, served(db, project_id, who))
    text = exporting.bundle(exporting.collect(db, project_id), Wanted(), "n").data
    records = [Feedback.model_validate_json(line) for line in text.splitlines()]

    def told(item: dict[str, Any]) -> str:
        said = [
            item["prompt"],
            item.get("tools", []),
            item.get("chat_template_kwargs", {}),
            item.get("weight", 1.0),
        ]
        return json.dumps(
            [*said, sorted(json.dumps(o["content"], sort_keys=True) for o in item["options"])],
            sort_keys=True,
        )

    assert {told(r.model_dump(mode="json")) for r in records} == {told(item) for item in made}


@given(answers(), st.data())
@QUICK
def test_responses_that_differ_anywhere_differ(one: dict[str, Any], data: st.DataObject) -> None:
    other = data.draw(answers())
    item = {"prompt": ASKED, "options": [one, other]}
    if one == other:
        with pytest.raises(BadItem, match="two options have the same text"):
            checked(item, COMPARISON)
        return
    row = checked(item, COMPARISON)
    assert row["options"][0]["id"] != row["options"][1]["id"]
    assert row["key"] == checked({"prompt": ASKED, "options": [other, one]}, COMPARISON)["key"]
    assert row["key"] != checked({**item, "tools": TOOLS}, COMPARISON)["key"]
    assert (
        row["key"]
        != checked({**item, "chat_template_kwargs": {"enable_thinking": False}}, COMPARISON)["key"]
    )


def test_what_has_no_use_is_refused_by_name() -> None:
    for item, task, why in (
        (
            {"prompt": "Hi", "tools": TOOLS, "options": ["a", "b"]},
            "comparison",
            "tools go with a prompt of messages",
        ),
        (
            {"prompt": ASKED, "tools": TOOLS},
            "chat",
            "tools: the model that raters chat with is not given any",
        ),
        (
            {"prompt": ASKED, "options": [{"role": "assistant", "content": None}, "b"]},
            "comparison",
            "no content and calls no tool",
        ),
        (
            {
                "prompt": ASKED,
                "options": [{"role": "assistant", "content": [{"type": "image_url"}]}, "b"],
            },
            "comparison",
            "options.0.content",
        ),
        (
            {
                "prompt": ASKED,
                "options": [{"content": {"episode": "e7", "start": 0, "stop": 9}}, "b"],
            },
            "clips",
            "a clip of the episode 'e7'",
        ),
        (
            {"prompt": ASKED, "options": [{"content": [*ASKED]}, "b"]},
            "clips",
            "a clip is the name of a film",
        ),
        (
            {
                "prompt": ASKED,
                "options": [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
            },
            "correction",
            "edits text",
        ),
        (
            {"prompt": ASKED, "options": ["a", "b"], "weight": -1},
            "comparison",
            "weight: Input should be greater",
        ),
    ):
        with pytest.raises(BadItem) as error:
            checked(item, settings_from({"name": "n", "task": task}))
        assert why in error.value.message, error.value.message


def test_tables_and_other_columns(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "prompt,option_1,option_2,weight,source,tools\nQ,A,B,0.5,web,\nR,A,B,1,web,{\nS,A,B,much,web,\n"
    )
    found = importing.import_file(db, project(db, []), path)
    assert found.items.new == 1
    assert found.left_out == {"tools: '{' is not JSON": 1, "weight: 'much' is not a number": 1}
    with db.read() as session:
        item = session.query(Item).one()
    assert (item.weight, item.meta) == (0.5, {"source": "web"})


def test_the_record_has_what_the_item_has(db: Database) -> None:
    cut = {
        "content": [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
        "finished": False,
    }
    item = {
        "prompt": ASKED,
        "tools": TOOLS,
        "weight": 0.5,
        "options": [cut, "It rains."],
        "meta": {"source": "web"},
    }
    project_id = project(db, [item])
    who = person(db, "ann", project_id)
    one = served(db, project_id, who)
    assert one.tools == TOOLS
    answer(db, who, one)
    record = exporting.collect(db, project_id).records[0]
    assert (record.weight, record.tools, record.meta["columns"]) == (0.5, TOOLS, {"source": "web"})
    assert record.asked == {"messages": ASKED, "tools": TOOLS}
    assert list(record.meta["finished"].values()) == [False]


def test_a_skip_and_a_judgement_from_elsewhere_keep_it_too(db: Database) -> None:
    item = {
        "prompt": ASKED,
        "tools": TOOLS,
        "options": [{"role": "assistant", "content": None, "tool_calls": [CALL]}, "No."],
    }
    project_id = project(db, [item], overlap=2)
    who = person(db, "ann", project_id)
    one = served(db, project_id, who)
    assigning.skip(db, project_id, who, one.view_id, one.lease, "unsure")
    skipped = exporting.collect(db, project_id, skips=True).records[0]
    assert (skipped.kind, skipped.tools) == ("skip", TOOLS)
    judged = {
        **skipped.model_dump(mode="json"),
        "id": "else",
        "kind": "comparison",
        "annotator": "bob",
    }
    judged["options"] = [
        {**option, "id": f"model-{n}"} for n, option in enumerate(judged["options"])
    ]
    judged["choice"] = {"preferred": "model-0"}
    assert importing.import_judgements(db, project_id, [Feedback.model_validate(judged)]) == (
        1,
        0,
        0,
        {},
    )


# --- on the screen --------------------------------------------------------------------------------
@given(conversations(), st.lists(answers(), min_size=1, max_size=2))
@QUICK
def test_every_call_result_and_reasoning_is_on_the_screen(
    prompt: list[dict[str, Any]], said: list[dict[str, Any]]
) -> None:
    item = {
        "prompt": prompt,
        "options": [{"content": said}, "other"],
        "tools": TOOLS,
        "chat_template_kwargs": {"x1": "y2"},
    }
    made = presenting.screen(view(item), COMPARISON, "/media")
    for shown, content in ((made["prompt"], prompt), (made["options"][0]["messages"], said)):
        assert [m["role"] for m in shown] == [m["role"] for m in content]
        letters = re.findall(r"\w", shown_text(shown))
        wanted = [letter for text in texts_of(content) for letter in re.findall(r"[a-zäß東]", text)]
        missing = [
            letter for letter in sorted(set(wanted)) if wanted.count(letter) > letters.count(letter)
        ]
        assert not missing, (missing, shown_text(shown))
    assert "search" in shown_text(made["tools"])
    assert "y2" in made["template"]
    assert "toolu_" not in str(made) or "toolu_" in str(texts_of([*prompt, *said]))


@given(
    st.recursive(
        WORDS | st.integers() | st.floats(allow_nan=False),
        lambda i: st.lists(i) | st.dictionaries(WORDS, i),
    )
)
@QUICK
def test_json_over_lines_is_the_same_json(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=3)):
        spread = spread_json(text)
        assert (spread is not None) == isinstance(value, (dict, list))
        if spread is not None:
            assert json.loads(spread) == value
            assert (
                spread == json.dumps(value, ensure_ascii=False, indent=2) or "e" in spread
            )  # 1e3 stays 1e3


def test_json_keeps_its_spelling() -> None:
    assert (
        spread_json('{"a": 1.00, "a": [], "b": "\\u6771"}')
        == '{\n  "a": 1.00,\n  "a": [],\n  "b": "東"\n}'
    )
    assert spread_json("{nothing}") is None
    assert spread_json("[" * 60 + "]" * 60) is None


def test_names_are_hidden_wherever_they_stand() -> None:
    told = {
        "role": "assistant",
        "content": [{"type": "text", "text": "I am ChatGPT."}],
        "reasoning_content": "As ChatGPT I think.",
        "tool_calls": [
            {**CALL, "function": {"name": "search", "arguments": {"ChatGPT": "made by OpenAI"}}}
        ],
    }
    item = {"prompt": ASKED, "options": [told, "It rains."], "tools": TOOLS}
    one = view(item)
    for task in ("comparison", "spans", "steps", "correction"):
        settings = settings_from(
            {"name": "n", "task": task, **({"spans": ["error"]} if task == "spans" else {})}
        )
        made = presenting.screen(one, settings, "/media")
        for secret in ("ChatGPT", "OpenAI", "toolu_01"):
            assert secret not in str(made), (task, secret)
        assert "search" in shown_text(
            made["options"]
        )  # the tool's name stands in the schema: it is the topic
    noted = blinding.note_masks(ASKED, one.options, COMPARISON, TOOLS)["masked"][
        one.options[0]["id"]
    ]
    assert [row[0] for row in noted] == [
        0,
        1,
        3,
        3,
    ]  # reasoning, text, (the call's name), its arguments


@given(st.lists(answers(), min_size=1, max_size=2), st.data())
@QUICK
def test_passages_are_places_in_all_that_was_said(
    said: list[dict[str, Any]], data: st.DataObject
) -> None:
    settings = settings_from({"name": "n", "task": "spans", "spans": ["error"]})
    one = view({"prompt": ASKED, "options": [{"content": said}]}, settings)
    whole, shown = (
        contents.plain(one.options[0]["content"]),
        presenting.screen(one, settings, "/m")["options"][0]["text"],
    )
    start = data.draw(st.integers(0, len(shown) - 1))
    span = {"start": start, "end": data.draw(st.integers(start + 1, len(shown))), "label": "error"}
    moved = blinding.to_original({"spans": [span]}, one, settings)["spans"][0]
    assert 0 <= moved["start"] < moved["end"] <= len(whole)
    if "⟨name" not in shown:
        assert whole == shown
        assert whole[moved["start"] : moved["end"]] == shown[span["start"] : span["end"]]


def test_a_correction_keeps_reasoning_and_calls(db: Database) -> None:
    said = [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "It reigns."}],
            "reasoning_content": "Hm.",
            "tool_calls": [CALL],
        }
    ]
    project_id = project(db, [{"prompt": ASKED, "options": [{"content": said}]}], task="correction")
    who = person(db, "ann", project_id)
    one = served(db, project_id, who)
    assigning.submit(db, who, one.view_id, one.lease, key(), {"content": "It rains."})
    record = exporting.collect(db, project_id).records[0].model_dump(mode="json")
    assert record["choice"]["content"] == [{**said[0], "content": "It rains."}]


def test_words_are_found_in_prompt_options_and_tools(db: Database) -> None:
    from sqlalchemy import select

    from accord.studio.web.items import _says

    answer_with_call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {"q": "Zürich"}}}],
    }
    project(
        db,
        [
            {"prompt": [{"role": "user", "content": 'Grüße "x"'}], "options": ["a", "b"]},
            {"prompt": ASKED, "options": [answer_with_call, "b"]},
            {"prompt": ASKED, "options": ["c", "d"], "tools": TOOLS},
        ],
    )
    with db.read() as session:
        for words, count in (
            ("Grüße", 1),
            ('"x"', 1),
            ("Zürich", 1),
            ("Rome", 2),
            ("parameters", 1),
            ("%", 0),
        ):
            assert len(session.scalars(select(Item.id).where(_says(words))).all()) == count, words


def test_gold_and_projects_with_tools(db: Database) -> None:
    project_id = project(db, [{"prompt": ASKED, "options": ["a", "b"], "tools": TOOLS}])
    with db.read() as session:
        item = session.query(Item).one()
    editing.set_gold(db, project_id, item.key, {"preferred": item.options[0]["id"]}, None)
