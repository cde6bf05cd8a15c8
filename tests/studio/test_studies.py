"""Studies of assistance in the studio: what is refused, how arms are drawn, what is stored."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from studio_rooms import answer, key, person, project, served

from accord.cli.main import main
from accord.errors import ConfigError
from accord.feedback.assistance import assistance
from accord.feedback.records import Feedback
from accord.studio.errors import AnswerError, NotAllowed
from accord.studio.people.members import settings_of
from accord.studio.projects import editing, studies
from accord.studio.projects.settings import settings_from
from accord.studio.queue import assigning
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.tables import Answer, Event, Item, Project
from accord.studio.tasks import helping, presenting

GOOD = "The mill on the river was opened in 1908 and never burned down at all."


def assisted(count: int, **more: Any) -> list[dict[str, Any]]:
    """Pairs whose first option has a planted flaw, and a wrong claim about the second."""
    made = []
    for n in range(count):
        first = f"The mill {n} was opened in 1912. It **burned** down twice, says ChatGPT."
        at, off = first.index("1912"), GOOD.index("river")
        made.append(
            {"prompt": f"When? {n}", "options": [first, GOOD + f" ({n})"], "claims": [
                {"option": 1, "span": [at, at + 4], "quote": "1912", "text": "Not so, ChatGPT.", "planted": True},
                {"option": 2, "span": [off, off + 5], "quote": "river", "text": "There is none."},
            ], **more}
        )  # fmt: skip
    return made


def study(db: Database, count: int = 8, **more: Any) -> int:
    return project(db, assisted(count), assistance={"look_seconds": 5}, **more)


def open_claims(db: Database, who: int, view: assigning.Served, **more: Any) -> assigning.Served:
    with db.read() as session:
        project_id = session.scalars(select(Project.id)).one()
    return assigning.open_claims(db, project_id, who, view.view_id, view.lease, 4.0, **more)


# --- what is refused ------------------------------------------------------------------------------
def test_claims_outside_the_text_are_refused_by_row(db: Database) -> None:
    made = study(db, 1)
    bad = assisted(3)
    bad[1]["claims"][0]["span"] = [60, 90]
    bad[2]["claims"][1]["quote"] = "lake"
    rows = [{**row, "prompt": f"Other {n}"} for n, row in enumerate(bad)]
    added = editing.add_items(db, made, rows)
    assert added.new == 1
    told = {where: reason for reason, where in added.first_bad.items()}
    assert "claims.1: the span [60, 90] lies outside the text of 70 characters" in told["item 2"]
    assert "claims.2: at [16, 21] stands 'river', not 'lake'" in told["item 3"]
    plain = editing.create_project(db, settings_from({"name": "Plain"}), None)
    assert "setting `assistance`" in next(iter(editing.add_items(db, plain, assisted(1)).bad))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"task": "chat", "assistance": {}}, "assistance is for the tasks comparison"),
        ({"assistance": {"arms": {"none": 0, "placebo": 0}}}, "compares nothing"),
        ({"assistance": {"baseline": 0.9, "uplift": 0.2}}, "share of 1 or more"),
        ({"assistance": {"arm": {}}}, "arms"),
    ],
)  # fmt: skip
def test_studies_that_cannot_be(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings_from({"name": "x", **raw})
    assert said in f"{refused.value} {refused.value.fix}"


# --- arms -----------------------------------------------------------------------------------------
def test_arms_are_balanced_for_everybody_and_stored(db: Database) -> None:
    made = study(db, 12, overlap=2)
    people = [person(db, name, made) for name in ("ada", "ben")]
    for who in people:
        for _ in range(12):
            view = served(db, made, who)
            arm = view.shown["assist"]["arm"]
            shown = presenting.screen(view, settings(db, made), "")
            assert shown["assist"]["claims"] is None
            assert arm not in str({k: v for k, v in shown.items() if k != "options"})
            answer(db, who, view)
    with db.read() as session:
        records = [Feedback.model_validate(a.records[0]) for a in session.scalars(select(Answer))]
        logged = [
            e.payload["arm"]
            for e in session.scalars(select(Event).where(Event.kind == "view.served"))
        ]
    for name in ("p-ada", "p-ben"):
        arms = Counter(r.meta["assist"]["arm"] for r in records if r.annotator == name)
        assert arms == {"none": 4, "critique": 4, "placebo": 4}
    assert Counter(logged) == {"none": 8, "critique": 8, "placebo": 8}
    assert sum(one.unopened for one in assistance(records).arms.values()) == 24


def test_items_without_claims_and_programs_take_no_part(db: Database) -> None:
    made = project(db, None, assistance={})
    who = person(db, "ada", made)
    assert "assist" not in served(db, made, who).shown
    other = study(db, 1)
    view = assigning.next_view(db, other, person(db, "bot", other), assisted=False)
    assert isinstance(view, assigning.Served)
    assert "assist" not in view.shown
    assert helping.help_of(view, settings(db, other)) is None


def settings(db: Database, project_id: int) -> Any:
    with db.read() as session:
        return settings_of(session.get_one(Project, project_id))


# --- a look, then claims --------------------------------------------------------------------------
def in_arm(db: Database, made: int, who: int, arm: str) -> assigning.Served:
    """The annotator's next view in this arm; those before are answered."""
    for _ in range(12):
        view = served(db, made, who)
        if view.shown["assist"]["arm"] == arm:
            return view
        answer(db, who, view)
    raise AssertionError(f"no view in the arm {arm}")


@pytest.mark.parametrize("arm", ["critique", "placebo", "none"])
def test_claims_come_after_a_look_and_what_is_said_is_kept(
    db: Database, clock: Any, arm: str
) -> None:
    made = study(db, 12)
    who = person(db, "ada", made)
    view = in_arm(db, made, who, arm)
    with pytest.raises(NotAllowed, match="first look of 5 seconds"):
        open_claims(db, who, view)
    with pytest.raises(AnswerError):
        open_claims(db, who, view, answer={"preferred": None})
    with pytest.raises(AnswerError, match="0 claims are shown"):
        answer(db, who, view, {"preferred": view.order[0], "claims": ["confirm", None]})
    clock.now += 5
    opened = open_claims(db, who, view)
    claims = helping.claims_html(opened, settings(db, made))
    assert [one["option"] for one in claims] == (["1", "2"] if arm != "none" else [])
    first = str(view.order.index(view.options[0]["id"]) + 1)
    if arm == "critique":
        planted = next(one for one in claims if one["quote"] == "1912")
        assert (planted["option"], planted["n"], planted["before"]) == (first, 0, 0)
        assert planted["text"] == "Not so, ⟨name 1⟩."  # who wrote it is hidden here, too
    if arm == "placebo":
        assert not {one["quote"] for one in claims} & {"1912", "river"}
    assert not any("planted" in one or "arm" in one for one in claims)
    said = [None] * len(claims)
    if said:
        said[0] = "confirm"
    for wrong in (["confirm"], ["agree", None], "confirm"):
        with pytest.raises(AnswerError, match="claim"):
            answer(db, who, view, {"preferred": view.order[0], "claims": wrong})
    receipt = answer(db, who, view, {"preferred": view.order[0], "claims": said})
    with db.read() as session:
        kept = session.get_one(Answer, receipt.answer_id)
    assist = kept.records[0]["meta"]["assist"]
    assert (assist["arm"], assist["said"], assist["opened_seconds"]) == (arm, said, 4.0)
    assert assist["flaws"] == [
        {
            "option": view.options[0]["id"],
            "start": assist["critic"][0]["start"],
            "end": assist["critic"][0]["end"],
        }
    ]
    assert bool(assist["placebo"]) == (arm == "placebo")
    assert kept.answer.get("claims", []) == said
    assigning.undo(db, who, receipt.answer_id)
    again = served(db, made, who)
    assert again.shown["assist"]["opened"] == 4.0
    assert again.draft.get("claims", []) == said


def test_a_first_answer_is_a_first_look(db: Database) -> None:
    made = study(db, 2)
    who = person(db, "ada", made)
    view = served(db, made, who)
    opened = open_claims(db, who, view, answer={"preferred": view.order[1]})
    assert opened.shown["assist"]["opened"] == 0.0
    assert opened.draft is None


# --- power ----------------------------------------------------------------------------------------
def test_an_under_powered_study_is_called_so(db: Database) -> None:
    made = study(db, 4, overlap=2)
    with db.read() as session:
        found = studies.study_power(session, made, settings(db, made))
        assert session.scalars(select(Item.assistance)).first()["placebo"]
    assert (found.items, found.judgements, found.needed) == (4, 8, 250)
    assert not found.enough
    with db.read() as session:
        assert studies.study_power(session, made, settings_from({"name": "x"})) is None


def test_what_is_sent_twice_is_the_same_answer(db: Database) -> None:
    made = study(db, 2)
    who = person(db, "ada", made)
    view, same = served(db, made, who), key()
    open_claims(db, who, view, answer={"preferred": view.order[0]})
    one = answer(db, who, view, key=same)
    assert answer(db, who, view, key=same).answer_id == one.answer_id


def test_the_import_says_which_row_is_wrong_and_what_the_study_can_show(tmp_path: Path) -> None:
    file, rows = tmp_path / "items.jsonl", assisted(2)
    rows[1]["claims"][0]["span"] = [60, 900]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    db = open_database(tmp_path / "studio.db")
    editing.create_project(db, settings_from({"name": "Study", "assistance": {}}), None)
    db.close()
    command = ["studio", "import", "study", str(file), "--database", str(tmp_path / "studio.db")]
    printed = CliRunner().invoke(main, command)
    assert printed.exit_code == 0, printed.output
    assert "the span [60, 900] lies outside the text of 70 characters" in printed.output
    assert "(first: item 2)" in printed.output
    assert "study: 1 item with claims, 1 judgement" in printed.output
    assert "under-powered (below 80%): it takes about 500 items" in printed.output
