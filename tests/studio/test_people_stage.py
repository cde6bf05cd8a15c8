"""A run waits for people: nothing they said is lost, and nothing is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from studio_rooms import answer, person, project, served

from accord.errors import ConfigError, DataError, Interrupted
from accord.feedback.store import write_records
from accord.files import read_jsonl
from accord.runs.context import StageContext, StageProgress
from accord.runs.session import InterruptFlag
from accord.runs.stages.mine import _unjudged
from accord.runs.stages.people import PeopleConfig, WaitForPeople
from accord.studio.storage.database import open_database
from accord.studio.storage.tables import Item


class Judging(StageProgress):
    """Somebody judges an item whenever the stage looks, and stops the run after `stop` of them."""

    def __init__(
        self, place: str, made: int, flag: InterruptFlag, who: list[int], stop: int
    ) -> None:
        self.place, self.made, self.flag, self.who, self.left = place, made, flag, who, stop
        self.seen: list[tuple[int, int]] = []

    def step(self, done: int, total: int, note: str = "") -> None:
        self.seen.append((done, total))
        if not self.left:
            self.flag.asked = True
        elif done < total:
            self.left -= 1
            db = open_database(self.place)
            for one in self.who:
                answer(db, one, served(db, self.made, one))
            db.close()


def test_a_run_waits_for_people_and_goes_on_after_it_was_stopped(tmp_path: Path) -> None:
    place = str(tmp_path / "studio.db")
    db = open_database(place)
    made = project(db, [], overlap=2)
    who = [person(db, name, made) for name in ("ada", "bob")]
    db.close()
    records = [
        _unjudged(f"Question {n}", {"a": f"First {n}", "b": f"Second {n}"},
                  {"selected_by": "uncertain", "finished": {"a": True, "b": False}}, f"item-{n}", "policy")
        for n in range(4)
    ]  # fmt: skip
    write_records(tmp_path / "items.jsonl", records)
    config = PeopleConfig(
        kind="people", items=str(tmp_path / "items.jsonl"), database=place, project="test", each=2,
        every_seconds=0.001,
    )  # fmt: skip

    def run(stop: int) -> tuple[list[tuple[int, int]], Judging]:
        flag = InterruptFlag()
        folder = tmp_path / "people"
        folder.mkdir(exist_ok=True)
        people = Judging(place, made, flag, who, stop)
        context = StageContext(tmp_path, folder, "people", 1, "cpu", {}, flag, people)
        WaitForPeople().plan(config, context)
        WaitForPeople().run(config, context)
        return people.seen, people

    with pytest.raises(Interrupted):
        run(2)
    seen, _ = run(9)
    assert seen[0] == (2, 4)  # what was judged before is there
    assert seen[-1] == (4, 4)
    db = open_database(place)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Item)) == 4
    db.close()
    found = read_jsonl(tmp_path / "people/feedback.jsonl")
    assert len(found) == 8
    assert {row["meta"]["selected_by"] for row in found} == {"uncertain"}
    assert {tuple(row["meta"]["finished"].values()) for row in found} == {(True, False)}
    assert {row["options"][0]["producer"] for row in found} == {"policy"}
    assert {o["id"] for row in found for o in row["options"]} == {"a", "b"}


def test_what_cannot_be_waited_for_is_refused(tmp_path: Path) -> None:
    context = StageContext(tmp_path, tmp_path, "people", 1, "cpu", {}, InterruptFlag())
    items = tmp_path / "items.jsonl"
    write_records(items, [_unjudged("Q", {"a": "A", "b": "B"}, {}, "one")])
    there = str(tmp_path / "studio.db")
    named = {"kind": "people", "items": str(items), "project": "thumbs"}
    with pytest.raises(ConfigError, match="there is no studio"):
        WaitForPeople().plan(PeopleConfig(database=there, **named), context)
    db = open_database(there)
    project(db, [], name="Thumbs", task="thumb")
    db.close()
    with pytest.raises(DataError, match="cannot ask about 1 of 1 items"):
        WaitForPeople().run(PeopleConfig(database=there, **named), context)
