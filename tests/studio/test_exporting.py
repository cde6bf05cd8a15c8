"""What leaves the studio, and judgements that come in from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import event, select
from studio_rooms import answer, pairs, person, project, served

from accord.errors import ConfigError
from accord.feedback.formats import check_file, read_feedback
from accord.feedback.records import Feedback
from accord.studio.delivery import exporting
from accord.studio.delivery.exporting import Wanted, bundle, collect
from accord.studio.people import members
from accord.studio.projects import importing
from accord.studio.queue import assigning
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Answer, Event, Item, Slot, View


def labelled(db: Database, **settings: object) -> tuple[int, list[int]]:
    """A project of four pairs that two people judged whole."""
    made = project(db, overlap=2, **settings)
    people = [person(db, name, made) for name in ("ada", "bob")]
    for who in people:
        for _ in range(4):
            answer(db, who, served(db, made, who))
    return made, people


def ids(db: Database, account: int) -> list[str]:
    with db.read() as session:
        return list(
            session.scalars(
                select(Answer.id).where(Answer.account_id == account).order_by(Answer.created_at)
            )
        )


def test_only_what_stands_leaves_and_the_rest_is_counted(db: Database) -> None:
    made, (ada, bob) = labelled(db)
    first, second, third, _ = ids(db, ada)
    assigning.undo(db, ada, first)
    assigning.withdraw(db, second, "a mistake", "p-ada")
    assigning.exclude(db, third, "read too fast", "p-boss")
    found = collect(db, made)
    assert found.left_out == {
        "the answer was undone": 1,
        "the answer was withdrawn": 1,
        "the answer was excluded": 1,
    }
    assert len(found.records) == 5
    with db.write() as session:
        members.set_member_state(
            session, made, bob, "quarantined", "clicks at random", db.now(), "p-boss"
        )
    found = collect(db, made)
    assert found.left_out["its annotator is quarantined"] == 4
    assert {r.annotator for r in found.records} == {"p-ada"}


def test_gold_stays_unless_asked_for(db: Database) -> None:
    gold = [{**item, "gold": {"preferred": 1}} for item in pairs(2, 100)]
    made = project(db, pairs(40) + gold, gold_rate=0.5)  # enough work for chance to draw gold
    ada = person(db, "ada", made)
    while isinstance(view := assigning.next_view(db, made, ada), assigning.Served):
        answer(db, ada, view)
    known = sum(r.meta.get("gold", False) for r in collect(db, made, gold=True).records)
    assert known
    without = collect(db, made)
    assert without.left_out == {"to an item with a known answer": known}
    assert not any(r.meta.get("gold") for r in without.records)


def test_skips_can_be_exported(db: Database) -> None:
    made = project(db)
    ada = person(db, "ada", made)
    view = served(db, made, ada)
    assigning.skip(db, made, ada, view.view_id, view.lease, "distressing", None)
    assert collect(db, made).records == []
    (record,) = collect(db, made, skips=True).records
    assert (record.kind, record.choice.reason, record.shown) == ("skip", "distressing", view.order)


@pytest.mark.parametrize("shape", ["accord", "trl-preference", "csv-pairwise"])
def test_an_export_is_read_back(db: Database, tmp_path: Path, shape: str) -> None:
    made, _ = labelled(db)
    out = bundle(collect(db, made), Wanted(shape), "Test")
    file = tmp_path / f"out{out.suffix}"
    file.write_text(out.data, encoding="utf-8")
    read = read_feedback(file)
    assert len(read.records) == 8
    assert read.dropped == {}
    assert check_file(file).lines()
    if shape == "accord":
        assert read.records == collect(db, made).records


def test_the_card_carries_the_head_of_the_log(db: Database) -> None:
    made, _ = labelled(db)
    out = bundle(collect(db, made), Wanted(), "Test")
    with db.read() as session:
        last = session.scalars(
            select(Event).where(Event.chain == made).order_by(Event.number.desc()).limit(1)
        ).one()
    assert out.card_json["studio"]["log"] == {"events": last.number, "hash": last.hash}
    assert last.hash in out.card
    assert "8 rows" in out.card


def test_hashed_annotators_leave_no_names(db: Database) -> None:
    made, _ = labelled(db)
    found = collect(db, made)
    out = bundle(found, Wanted(hash_annotators=True), "Test")
    everything = out.data + (out.about or "") + out.card + json.dumps(out.card_json)
    assert out.salt
    assert not any(
        word in everything for word in ("p-ada", "p-bob", *(r.id for r in found.records))
    )
    again = bundle(found, Wanted(hash_annotators=True, salt=out.salt), "Test")
    assert (again.data, again.salt) == (out.data, None)
    with pytest.raises(ConfigError, match="salt without"):
        bundle(found, Wanted(salt="12345678"), "Test")


def test_nothing_to_export_says_why(db: Database) -> None:
    made = project(db)
    with pytest.raises(ConfigError, match="nobody answered yet"):
        bundle(collect(db, made), Wanted(), "Test")
    ada = person(db, "ada", made)
    answer(db, ada, served(db, made, ada))
    with pytest.raises(ConfigError, match="nothing to export as prm800k"):
        bundle(collect(db, made), Wanted("prm800k"), "Test")


def test_judgements_from_elsewhere_fill_slots_once(db: Database, tmp_path: Path) -> None:
    made, _ = labelled(db)
    there = collect(db, made).records
    file = tmp_path / "records.jsonl"
    file.write_text(bundle(collect(db, made), Wanted(), "Test").data, encoding="utf-8")
    other = project(db, [], overlap=1)
    done = importing.import_file(db, other, file)
    assert (done.items.new, done.answers, done.extra, done.repeated, done.left_out) == (
        4,
        8,
        4,
        0,
        {},
    )
    assert sorted(collect(db, other).records, key=lambda r: r.id) == sorted(
        there, key=lambda r: r.id
    )
    assert assigning.progress(db, other).filled == 4
    again = importing.import_file(db, other, file)
    assert (again.answers, again.repeated, again.items.new) == (0, 8, 0)
    with db.read() as session:
        strangers = [a for a in session.scalars(select(Account)) if a.subject]
        assert len(strangers) == 2
        assert all(a.disabled_at and a.password is None for a in strangers)
        filled = session.scalars(
            select(Slot).where(Slot.project_id == other, Slot.answer_id.is_not(None))
        )
        assert len(list(filled)) == 4


@pytest.mark.parametrize("shape", ["accord", "oasst"])
def test_rankings_in_which_all_are_bad_go_out_and_come_in(
    db: Database, tmp_path: Path, shape: str
) -> None:
    prompts = [[{"role": "user", "content": f"Question {n}"}] for n in range(2)]
    items = [{"prompt": prompt, "options": ["First", "Second", "Third"]} for prompt in prompts]
    made = project(db, items, task="ranking")
    who = person(db, "ada", made)
    view = served(db, made, who)
    answer(db, who, view, {"all_bad": True})
    answer(
        db,
        who,
        served(db, made, who),
        {"order": [[i] for i in view.order], "all_bad": shape == "accord"},
    )
    there = collect(db, made).records
    assert sorted((len(r.choice.order), r.choice.all_bad) for r in there) == [
        (1, True),
        (3, shape == "accord"),
    ]
    out = bundle(collect(db, made), Wanted(shape), "Test")
    file = tmp_path / f"out{out.suffix}"
    file.write_text(out.data, encoding="utf-8")
    other = project(db, [], task="ranking")
    done = importing.import_file(db, other, file)
    assert (done.answers, done.left_out) == (2, {})
    back = {str(r.prompt): r.choice for r in collect(db, other).records}
    assert [back[str(r.prompt)].all_bad for r in there] == [r.choice.all_bad for r in there]
    if shape == "accord":
        assert [back[str(r.prompt)] for r in there] == [r.choice for r in there]


def test_option_ids_follow_the_project(db: Database) -> None:
    made = project(db, pairs(1))
    foreign = Feedback.model_validate(
        {
            "id": "r1",
            "kind": "comparison",
            "prompt": "Question 0",
            "annotator": "w/1",
            "options": [
                {"id": "x", "content": "Second answer 0", "shown_at": 0},
                {"id": "y", "content": "First answer 0", "shown_at": 1},
            ],
            "choice": {"preferred": "y"},
        }
    )
    stranger = foreign.model_copy(update={"id": "r2", "prompt": "Somewhere else"})
    stored, extra, repeated, left_out = importing.import_judgements(db, made, [foreign, stranger])
    assert (stored, extra, repeated) == (1, 0, 0)
    assert left_out == {"its item is not in the project": 1}
    (record,) = collect(db, made).records
    chosen = next(o for o in record.options if o.id == record.choice.preferred)
    assert (chosen.content, record.shown[0] != chosen.id) == ("First answer 0", True)
    with db.read() as session:
        item_ids = {o["id"] for o in session.scalars(select(assigning.Item)).one().options}
    assert {o.id for o in record.options} == item_ids


def test_every_import_of_a_judgement_can_be_taken_out(db: Database) -> None:
    made = project(db, pairs(1))
    record = {
        "id": "r1",
        "kind": "comparison",
        "prompt": "Question 0",
        "annotator": "w1",
        "choice": {"tie": True},
        "options": [
            {"id": "x", "content": "First answer 0", "shown_at": 0},
            {"id": "y", "content": "Second answer 0", "shown_at": 1},
        ],
    }
    importing.import_judgements(db, made, [Feedback.model_validate(record)])
    with db.read() as session:
        (answer_id,) = session.scalars(select(Answer.id))
    assigning.withdraw(db, answer_id, "not ours", None, erase=True)
    assert collect(db, made).left_out == {"the answer was erased": 1}
    assert exporting.reason_to_stay("live", "work", None, False) is None


def test_what_an_import_costs_does_not_grow_with_each_judgement(db: Database) -> None:
    made = project(db, pairs(60), overlap=2)
    records = [
        Feedback.model_validate(
            {
                "id": f"{k}-{who}",
                "kind": "comparison",
                "prompt": item["prompt"],
                "annotator": f"ann{who}",
                "options": [
                    {"id": "xy"[n], "content": text, "shown_at": n}
                    for n, text in enumerate(item["options"])
                ],
                "choice": {"preferred": "x"},
            }
        )
        for k, item in enumerate(pairs(60))
        for who in range(3)
    ]
    importing.import_judgements(db, made, records[:3])  # the annotators are there now
    statements: list[str] = []
    with db.write() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    assert importing.import_judgements(db, made, records) == (177, 59, 3, {})
    assert len(statements) < 60
    with db.read() as session:
        assert set(session.scalars(select(Item.state))) == {"full"}
        filled = session.execute(
            select(Slot.answer_id, View.id).join(View, View.slot_id == Slot.id)
        ).all()
        assert len(filled) == 120
        assert all(session.get_one(Answer, answer).view_id == view for answer, view in filled), (
            "the slot, its view and its answer belong together"
        )
        assert events.verify(session, made).broken is None


def test_a_judgement_with_text_no_database_keeps_is_counted(db: Database) -> None:
    made = project(db, pairs(1))
    record = {
        "id": "r1",
        "kind": "comparison",
        "prompt": "Question 0",
        "annotator": "w1",
        "choice": {"tie": True},
        "options": [
            {"id": "x", "content": "First answer 0", "shown_at": 0},
            {"id": "y", "content": "Second answer 0", "shown_at": 1},
        ],
        "meta": {"note": "cut \0 off"},
    }
    stored, _, _, left_out = importing.import_judgements(
        db, made, [Feedback.model_validate(record)]
    )
    assert stored == 0
    assert list(left_out.values()) == [1]
    assert "contains NUL" in next(iter(left_out))
