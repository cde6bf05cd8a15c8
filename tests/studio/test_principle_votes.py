"""A constitution's principles voted on through the studio's service layer, and their consensus."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner
from sqlalchemy import select
from studio_rooms import answer, person, served

from accord.cli.main import main
from accord.oversight.constitution import read_constitution
from accord.studio.people import members
from accord.studio.queue import assigning
from accord.studio.storage.database import open_database
from accord.studio.storage.tables import Project


def test_from_a_constitution_through_the_studio_to_its_consensus(tmp_path: Path) -> None:
    """Three people vote on all principles by the studio's queue, one passes; what comes out is what
    they said."""
    database, file = str(tmp_path / "s.db"), "accord:plain-dealing"
    run = CliRunner().invoke
    made = run(main, ["constitution", "vote", file, "--project", "Ours", "--database", database])
    assert made.exit_code == 0, made.output
    assert "ours: 5 principles of plain-dealing 1, 100 votes wanted on each" in made.output
    again = run(main, ["constitution", "vote", file, "--project", "ours", "--database", database])
    assert again.exit_code == 2
    assert "there is a project 'ours'" in again.output
    constitution = read_constitution(file)
    said = {"answers": True, "truthful": True, "no-harm": None, "fair": False, "own-choice": True}
    names = {" ".join(one.text.split()): one.id for one in constitution.principles}
    with closing(open_database(database)) as db:
        with db.read() as session:
            project = session.scalars(select(Project.id)).one()
        for who in ("olga", "piet", "quin"):
            account = person(db, who, project)
            members.read_guideline(db, project, account, 1)
            for _ in range(5):
                view = served(db, project, account)
                up = said[names[" ".join(view.options[0]["content"].split())]]
                if up is None:
                    assigning.skip(db, project, account, view.view_id, view.lease, "unsure")
                else:
                    answer(db, account, view, {"up": up})
    records = tmp_path / "votes.jsonl"
    export = ["studio", "--database", database, "export", "ours", str(records), "--skips"]
    done = run(main, export)
    assert done.exit_code == 0, done.output
    shown = run(main, ["constitution", "show", file, "--votes", str(records)])
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    table = {line[0]: line[1] for line in lines if line and line[0] in said}
    assert table == {
        "answers": "0.800", "truthful": "0.800", "own-choice": "0.800", "no-harm": "0.200",
        "fair": "0.200",
    }  # fmt: skip
    people = tmp_path / "people.json"
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    voters = sorted({row["annotator"] for row in rows})
    people.write_text(json.dumps({who: {"side": str(n % 2)} for n, who in enumerate(voters)}))
    by_side = ["--attributes", str(people), "--group", "side"]
    grouped = run(main, ["constitution", "show", file, "--votes", str(records), *by_side])
    assert "people: 0: 2, 1: 1" in grouped.output
    assert "0.500" in grouped.output  # 3/4 * 2/3
    odd = run(main, ["constitution", "show", file, "--votes", str(records), *by_side[:3], "sid"])
    assert 'did you mean "side"' in odd.output
