"""Projects and what comes in: items from rows and files, counted; settings that change; the
sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from studio_rooms import answer, pairs, person, project, served

from accord.errors import ConfigError, DataError
from accord.studio.errors import NotHere
from accord.studio.people import members
from accord.studio.projects import editing, importing
from accord.studio.projects.incoming import BadItem, checked, items_from
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Event, Guideline, Item, Membership, Project, Slot

COMPARISON = ProjectSettings(name="T")


# --- items ----------------------------------------------------------------------------------------
CLIP = {"episode": "e0", "start": 0, "stop": 9}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"prompt": "Q", "options": ["A"]}, "needs 2 options, here are 1"),
        ({"prompt": "Q", "options": ["A", "A"]}, "same text"),
        ({"prompt": "Q", "options": ["A", " "]}, "option 2 is empty"),
        (
            {"prompt": "Q", "options": [{"id": "x", "content": "A"}, {"id": "x", "content": "B"}]},
            "same id",
        ),
        ({"prompt": "Q", "options": ["A", "B"], "answer": 1}, "answer"),
        ({"prompt": "Q", "options": ["A", "B\0"]}, "NUL"),
        ({"prompt": "Q", "options": ["A", "B"], "meta": {"x": ["\ud800"]}}, "unpaired surrogate"),
        ({"prompt": "Q", "options": ["A", "B"], "categories": ["sad"]}, "none of the project's"),
        (
            {"prompt": "Q", "options": ["A", "B"], "gold": {"preferred": 3}},
            "gold.preferred: there is no option 3",
        ),
        ({"prompt": "Q", "options": ["A", "B"], "purpose": "gold"}, "needs the right answer"),
        (
            {"prompt": "Q", "options": ["A", "B"], "gold": {"preferred": 1}, "purpose": "work"},
            "not for work",
        ),
        ({"prompt": "Q", "options": ["A", "B"], "priority": float("nan")}, "priority"),
        ({"prompt": 5, "options": ["A", "B"]}, "prompt"),
        (
            {"prompt": "Q", "options": [{"content": {"clips": [CLIP]}}, {"content": CLIP}]},
            "the option stands for several clips: the studio shows one for each",
        ),
    ],
)
def test_items_that_cannot_be_judged(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(BadItem, match=said):
        checked(raw, COMPARISON)


def test_judgements_of_options_that_stand_for_several_clips_are_counted(
    db: Database, tmp_path: Path
) -> None:
    options = [
        {"id": name, "content": {"clips": [CLIP | {"episode": name}]}, "shown_at": place}
        for place, name in enumerate("abc")
    ]
    record = {
        "id": "r", "kind": "ranking", "prompt": "Q", "options": options, "annotator": "ann",
        "choice": {"order": [["a"], ["b", "c"]]}, "meta": {"grounds": "words"},
    }  # fmt: skip
    made = project(db, [], task="ranking")
    done = importing.import_file(db, made, write(tmp_path / "said.jsonl", [record]))
    assert (done.items.new, done.answers) == (0, 0)
    for reasons in (done.items.bad, done.left_out):
        ((reason, count),) = reasons.items()
        assert "stands for several clips" in reason
        assert count == 1


def test_equal_content_is_one_item_whatever_the_order() -> None:
    one, other = ({"prompt": "Q", "options": texts} for texts in (["A", "B"], ["B", "A"]))
    assert checked(one, COMPARISON)["key"] == checked(other, COMPARISON)["key"]
    assert (
        checked({"prompt": "R", "options": ["A", "B"]}, COMPARISON)["key"]
        != checked(one, COMPARISON)["key"]
    )


def test_gold_names_options_by_place_or_id() -> None:
    raw = {"prompt": "Q", "options": ["A", "B", "C"], "gold": {"order": [2, [1, 3]]}}
    row = checked(
        raw, ProjectSettings(name="T", task="ranking", critique="required", flags=["spam"])
    )
    ids = [option["id"] for option in row["options"]]
    assert row["gold"] == {"order": [[ids[1]], [ids[0], ids[2]]], "all_bad": False}
    assert row["purpose"] == "gold"
    rated = checked(
        {"prompt": "Q", "options": ["A"], "gold": {"scores": {"h": 3}, "within": 0}},
        ProjectSettings.model_validate(
            {"name": "T", "task": "rating", "attributes": [{"name": "h"}, {"name": "z"}]}
        ),
    )
    assert rated["gold"] == {"scores": {"h": 3}, "within": 0.0}
    with pytest.raises(BadItem, match="words"):
        checked(
            {"prompt": "Q", "gold": {"content": "x"}},
            ProjectSettings(name="T", task="demonstration"),
        )


def test_items_are_counted(db: Database) -> None:
    made = project(db, [], overlap=3)
    rows = [
        *pairs(3),
        pairs(1)[0],
        {"prompt": "Q", "options": ["A"]},
        {"prompt": "R", "options": ["A"]},
    ]
    added = editing.add_items(db, made, rows)
    assert (added.new, added.duplicates, sum(added.bad.values()), len(added.bad)) == (3, 1, 2, 1)
    assert list(added.first_bad.values()) == ["item 5"]
    again = editing.add_items(db, made, pairs(4))
    assert (again.new, again.duplicates) == (1, 3)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Slot)) == 12
        assert len(set(session.scalars(select(Item.draw)))) == 4
        assert events.verify(session, made).broken is None
    with pytest.raises(NotHere):
        editing.add_items(db, 99, pairs(1))


# --- files ----------------------------------------------------------------------------------------
def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rows_of_ones_own(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Q", "responses": [{"content": "A", "producer": "m"}, "B"], "priority": 2},
        {"prompt": [{"role": "user", "content": "Hi"}], "options": ["A", "B"], "meta": {"n": 1}},
    ]
    found = items_from(write(tmp_path / "items.jsonl", rows), COMPARISON)
    made = [checked(item, COMPARISON) for item in found.items]
    assert made[0]["options"][0]["producer"] == "m"
    assert made[0]["priority"] == 2
    assert made[1]["prompt"] == [{"role": "user", "content": "Hi"}]


def test_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(
        'prompt,response_1,response_2,categories,priority\nQ,"A, too",B,"sad; grim",1.5\nR,C,D,,soon\n'
    )
    found = items_from(path, COMPARISON)
    assert found.items == [
        {"prompt": "Q", "options": ["A, too", "B"], "categories": ["sad", "grim"], "priority": 1.5}
    ]
    assert found.dropped == {"priority: 'soon' is not a number": 1}


def test_feedback_of_other_tools_brings_items_and_judgements(tmp_path: Path) -> None:
    path = write(tmp_path / "trl.jsonl", [{"prompt": "Q", "chosen": "A", "rejected": "B"}] * 2)
    found = items_from(path, COMPARISON)
    assert len(found.items) == 1
    assert len(found.judgements) == 2
    checked(found.items[0], COMPARISON)
    alone = items_from(path, ProjectSettings(name="T", task="thumb"))
    assert [len(item["options"]) for item in alone.items] == [1, 1]
    assert alone.judgements == []
    asked = items_from(path, ProjectSettings(name="T", task="demonstration"))
    assert [item["options"] for item in asked.items] == [[]]
    prompts = items_from(
        write(tmp_path / "p.jsonl", [{"prompt": "Q"}, {"prompt": "R"}]),
        ProjectSettings(name="T", task="chat"),
    )
    assert len(prompts.items) == 2


def test_steps_stay_as_they_were(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        [{"prompt": "1+1", "completions": ["one\n\n", "two"], "labels": [True, False]}],
    )
    steps = ProjectSettings(name="T", task="steps")
    (item,) = items_from(path, steps).items
    assert checked(item, steps)["options"][0]["steps"] == ["one\n\n", "two"]


def test_a_file_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a known shape"):
        items_from(write(tmp_path / "x.jsonl", [{"a": 1}]), COMPARISON)


# --- projects -------------------------------------------------------------------------------------
def test_slugs_are_told_apart_and_the_maker_owns_it(db: Database) -> None:
    ann = person(db, "ann")
    first, second = (
        editing.create_project(db, ProjectSettings(name="Help desk"), ann) for _ in range(2)
    )
    with db.read() as session:
        assert [session.get_one(Project, p).slug for p in (first, second)] == [
            "help-desk",
            "help-desk-2",
        ]
        assert session.get_one(Membership, (first, ann)).role == "owner"
        assert editing.find_project(session, "help-desk-2").id == second
        with pytest.raises(NotHere):
            editing.find_project(session, "nowhere")
        assert session.get_one(Project, first).seed != session.get_one(Project, second).seed


def test_a_task_cannot_change(db: Database) -> None:
    made = project(db)
    with pytest.raises(ConfigError, match="task"):
        editing.update_settings(db, made, ProjectSettings(name="Test", task="ranking"), None)


def test_guidelines_have_versions_and_answers_name_theirs(db: Database) -> None:
    made = project(db, guideline="one")
    ann = person(db, "ann", made)
    assert served(db, made, ann).guideline == 1
    assert editing.new_guideline(db, made, "two", None) == 2
    editing.update_settings(db, made, ProjectSettings(name="Test", guideline="three"), None)
    with db.read() as session:
        assert list(session.scalars(select(Guideline.text).order_by(Guideline.version))) == [
            "one",
            "two",
            "three",
        ]
    answer(db, ann, served(db, made, ann))
    assert served(db, made, ann).guideline == 3
    members.read_guideline(db, made, ann, 3)
    members.read_guideline(db, made, ann, 3)
    with db.read() as session:
        assert session.get_one(Membership, (made, ann)).guideline_read == 3
        assert len(session.scalars(select(Event).where(Event.kind == "guideline.read")).all()) == 1
    with pytest.raises(NotHere):
        members.read_guideline(db, made, ann, 9)


def test_archived_projects_serve_nothing_until_resumed(db: Database) -> None:
    made = project(db)
    ann = person(db, "ann", made)
    editing.archive(db, made, None)
    assert isinstance(assigning.next_view(db, made, ann), assigning.Nothing)
    editing.resume(db, made, None)
    served(db, made, ann)


def test_an_item_becomes_gold(db: Database) -> None:
    made = project(db, pairs(2), qualification={"items": 1})
    with db.write() as session:
        one = session.scalars(select(Item)).first()
        assert one is not None
        key = one.key
    editing.set_gold(db, made, key, {"preferred": 1}, None, "screening")
    ann = person(db, "ann", made)
    view = served(db, made, ann)
    assert view.item == key
    assert not answer(db, ann, view, {"preferred": view.options[0]["id"]}).extra
    with db.read() as session:
        other = session.scalars(select(Item.key).where(Item.key != view.item)).one()
    editing.set_gold(db, made, other, {"preferred": 2}, None)
    with db.read() as session:
        item = session.scalars(select(Item).where(Item.key == other)).one()
        assert (item.purpose, item.gold) == (
            "gold",
            {"preferred": item.options[1]["id"], "tie": False, "both_bad": False, "strength": None},
        )
    with pytest.raises(BadItem, match="shown to somebody"):
        editing.set_gold(db, made, view.item, {"preferred": 1}, None)
    with pytest.raises(BadItem, match="no option"):
        editing.set_gold(db, made, other, {"preferred": 7}, None)
    with pytest.raises(NotHere):
        editing.set_gold(db, made, "nowhere", {"preferred": 1}, None)


def test_the_random_arm_cannot_be_switched_off(db: Database) -> None:
    made = project(db)
    with pytest.raises(ConfigError, match="random_share"):
        editing.prioritise(db, made, {}, "infogain", random_share=0.0)


def test_the_sample_project(db: Database) -> None:
    ann = person(db, "ann")
    made = editing.sample_project(db, ann)
    with db.read() as session:
        items = list(session.scalars(select(Item).where(Item.project_id == made)))
    assert len(items) == 12
    assert sum(item.gold is not None for item in items) == 3
    seen = 0
    while isinstance(view := assigning.next_view(db, made, ann), assigning.Served):
        answer(db, ann, view, {"order": [[i] for i in view.order]})
        seen += 1
    assert 9 <= seen <= 12


def test_members_are_looked_up_and_trusted(db: Database) -> None:
    made = project(db)
    person(db, "ann", made)
    with db.write() as session:
        with pytest.raises(NotHere):
            editing.add_member(session, made, 99, "annotator", db.now(), None)
        editing.set_trusted(session, made, "p-ann", True, db.now(), None)
    with db.read() as session:
        assert [(m.trusted, a.name) for m, a in editing.members(session, made)] == [(True, "ann")]
