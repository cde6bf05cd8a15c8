"""The studio from the shell: out of it, into it, and the two-minute path to a reward model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from studio_rooms import answer, key, person, project, served

from accord.cli.main import main
from accord.studio.people import accounts, passwords
from accord.studio.projects import editing
from accord.studio.queue import assigning
from accord.studio.storage.database import open_database
from accord.studio.storage.tables import Account

ACCORD = [sys.executable, "-m", "accord.cli"]


def accord(
    *arguments: str, cwd: Path, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ACCORD, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        input=given or "",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a studio whose project `test` holds four answers, one of them withdrawn, and
    two more."""
    db = open_database(tmp_path / "studio.db")
    made = project(db, overlap=2)
    for name in ("ada", "bob"):
        who = person(db, name, made)
        for _ in range(2):
            receipt = answer(db, who, served(db, made, who))
    assigning.withdraw(db, receipt.answer_id, "a mistake", None)
    db.close()
    return tmp_path


def test_export_and_import(folder: Path) -> None:
    done = accord("studio", "export", "test", "out.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "out.jsonl: 3 rows of accord" in done.stdout
    assert "left out 1: the answer was withdrawn" in done.stdout
    assert json.loads((folder / "out.card.json").read_text())["records"] == 3
    assert accord("data", "check", "out.jsonl", cwd=folder).returncode == 0
    db = open_database(folder / "studio.db")
    project(db, [], name="Other")
    db.close()
    done = accord("studio", "--database", "studio.db", "import", "other", "out.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "3 judgements" in done.stdout
    hashed = accord(
        "studio",
        "export",
        "other",
        "h.csv",
        "--to",
        "csv-pairwise",
        "--hash-annotators",
        "--no-card",
        cwd=folder,
    )
    assert hashed.returncode == 0, hashed.stderr
    assert "salt: " in hashed.stdout
    assert "p-ada" not in (folder / "h.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--oidc-issuer", "http://login.example.org", "--oidc-client-id", "x"],
            "is not an issuer of OpenID Connect",
        ),
        (["--oidc-issuer", "https://login.example.org"], "give --oidc-client-id"),
        (
            ["--oidc-issuer", "https://login.example.org", "--oidc-client-id", "x"],
            "ACCORD_OIDC_SECRET",
        ),
        (["--oidc-name", "Example"], "give --oidc-issuer too"),
        (["export", "nothing", "x.jsonl"], "there is no project 'nothing'"),
        (["export", "test", "x.csv"], "written as JSONL"),
        (["export", "test", "x.jsonl", "--to", "prm800k"], "nothing to export as prm800k"),
        (
            ["export", "test", "x.jsonl", "--database", "elsewhere.db"],
            "there is no studio in elsewhere.db",
        ),
        (["import", "test", "nowhere.jsonl"], "nowhere.jsonl"),
        (["password", "adda"], 'did you mean "ada"?'),
        (["password", "ada"], "cannot sign in"),
        (["password", "ada", "--link", "--address", "studio"], "is not the address of a studio"),
        (["password", "ada", "--database", "elsewhere.db"], "there is no studio in elsewhere.db"),
        (["erase", "adda", "--yes"], 'did you mean "ada"?'),
        (["erase", "ada"], "Aborted"),
    ],
)
def test_refusals(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, ["studio", *arguments], input="")
    assert done.exit_code != 0
    assert message in done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith("studio.db")) == []


def test_a_new_password_at_the_machine(folder: Path) -> None:
    db = open_database(folder / "studio.db")
    person(db, "olga", role="owner", password=accounts.hash_password("the old password"))
    done = accord("studio", "password", "Olga", cwd=folder, given="a new password\n")
    assert done.returncode == 0, done.stderr
    assert "olga has a new password" in done.stdout
    assert "a new password\n" not in done.stdout.replace("has a new password", "")
    assert accounts.sign_in(db, "olga", "a new password") is not None
    done = accord(
        "studio",
        "password",
        "olga",
        "--link",
        "--address",
        "https://studio.example.org/",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    address, _, secret = done.stdout.strip().rpartition("/password/")
    assert address.endswith("  https://studio.example.org")
    passwords.use_link(db, secret, "one of my own")
    assert accounts.sign_in(db, "olga", "one of my own") is not None
    db.close()


def test_erasing_somebody_at_the_machine(folder: Path) -> None:
    done = accord("studio", "erase", "ADA", cwd=folder, given="bob\n")
    assert done.returncode != 0
    assert "answers under p-ada (--answers erases them too): 2" in done.stdout
    assert "nothing was erased" in done.stderr
    done = accord("studio", "erase", "ada", "--answers", cwd=folder, given="ada\n")
    assert done.returncode == 0, done.stderr
    assert "    answers: 2" in done.stdout
    assert "erased; answers erased with it: 2" in done.stdout
    done = accord("studio", "erase", "bob", "--yes", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "erased; answers erased with it: 0" in done.stdout
    db = open_database(folder / "studio.db")
    with db.read() as session:
        assert set(session.scalars(select(Account.name))) == {"erased p-ada", "erased p-bob"}
    db.close()


@pytest.mark.slow
def test_from_the_sample_project_to_a_reward_model(tmp_path: Path) -> None:
    """What docs/studio.md says takes two minutes: judge the sample project, export it, train."""
    order = ["kestrel", "heron", "plover", "wren"]
    db = open_database(tmp_path / "studio.db")
    made = editing.sample_project(db, None)
    for name in ("ada", "bob"):
        who = person(db, name, made)
        while isinstance(view := assigning.next_view(db, made, who), assigning.Served):
            place = {o["id"]: order.index(o["producer"]) for o in view.options}
            said = {"order": [[i] for i in sorted(place, key=place.get)]}
            assigning.submit(db, who, view.view_id, view.lease, key(), said, {"active_seconds": 20})
    db.close()
    done = accord("studio", "export", "sample-project", "feedback.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = accord("run", "studio-reward", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "stages" / "01-reward" / "model" / "reward.json").is_file()
    assert "held-out labels" in done.stdout
