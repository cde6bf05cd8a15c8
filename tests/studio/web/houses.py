"""Studios for tests: people, projects of every task, and a client that behaves like a browser."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from starlette.testclient import TestClient

from accord.studio.people import accounts, members
from accord.studio.projects import editing
from accord.studio.projects.settings import settings_from
from accord.studio.storage.database import Database, open_database
from accord.studio.storage.tables import Answer, Project
from accord.studio.web.app import StudioConfig, create_app

COSTLY = accounts._hasher()
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
accounts._hasher = lambda: CHEAP  # what passwords cost is a test of its own (test_security)
PASSWORD = "correct horse battery"
HASH = accounts.hash_password(PASSWORD)
LONG = "First this.\n\nThen **that**, with `code`:\n\n```python\nprint('hello')\n```\n\nAnd $x_1 * y_2$ stays."


class Client(TestClient):
    """Keeps cookies, sends the token of the last page with every form, follows nothing by
    itself."""

    token: str = ""

    def page(self, path: str, **more: Any) -> Any:
        """Get a page and remember its token."""
        response = self.get(path, follow_redirects=False, **more)
        found = re.search(r'<meta name="csrf" content="([^"]+)"', response.text)
        if found:
            self.token = found[1]
        return response

    def fill(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        """Post a form with the token."""
        return self.post(
            path, data={"csrf": self.token, **(data or {})}, follow_redirects=False, **more
        )

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Post JSON as the work page's script does."""
        headers = {"X-CSRF-Token": self.token, "Accept": "application/json"}
        return self.post(path, json=body or {}, headers=headers, follow_redirects=False)


@dataclass
class House:
    """A studio's database and the people in it."""

    db: Database
    folder: Path
    sampler: Any
    media: Path
    app: Any
    people: dict[str, int] = field(default_factory=dict)

    def client(self) -> Client:
        return Client(self.app, base_url="http://studio.test")

    def person(
        self,
        name: str,
        role: str = "annotator",
        project: int | None = None,
        part: str | None = None,
    ) -> int:
        """An account, and a part in a project."""

        def work(session: Any) -> int:
            account = accounts.create_account(session, name, HASH, role, self.db.now(), None)
            if project is not None:
                members.add_member(
                    session, project, account.id, part or "annotator", self.db.now(), None
                )
            return account.id

        self.people[name] = self.db.transact(work)
        return self.people[name]

    def session(self, name: str) -> str:
        """The secret of a new session's cookie."""

        def work(session: Any) -> str:
            account = accounts.find_account(session, name)
            assert account is not None
            return accounts.begin_session(session, account, self.db.now())

        return self.db.transact(work)

    def sign_in(self, name: str) -> Client:
        """A signed-in client (the page that does it has tests of its own)."""
        client = self.client()
        client.cookies.set("accord_session", self.session(name), domain="studio.test")
        client.page("/")
        assert client.token
        return client

    def project(
        self,
        task: str = "comparison",
        count: int = 2,
        read: tuple[str, ...] = ("olga",),
        rows: list[dict[str, Any]] | None = None,
        **settings: Any,
    ) -> str:
        """A project of a task with items (`rows`, or `count` made up), whose guideline the people
        in `read` have read; returns its slug."""
        raw = {
            "name": f"Test {task}",
            "task": task,
            "guideline": "# Judge\n\nBe **fair**.",
            **EXTRA.get(task, {}),
            **settings,
        }
        project_id = editing.create_project(self.db, settings_from(raw), self.people["olga"])
        rows = items(task, count) if rows is None else rows
        added = editing.add_items(self.db, project_id, rows)
        assert added.new == len(rows), added
        for name in read:
            members.read_guideline(self.db, project_id, self.people[name], 1)
        with self.db.read() as session:
            return session.get_one(Project, project_id).slug

    def project_id(self, slug: str) -> int:
        with self.db.read() as session:
            return editing.find_project(session, slug).id

    def answers(self) -> list[Answer]:
        """All answers, oldest first."""
        from sqlalchemy import select

        with self.db.read() as session:
            return list(session.scalars(select(Answer).order_by(Answer.created_at)))


EXTRA: dict[str, dict[str, Any]] = {
    "rating": {"attributes": [
        {"name": "helpful", "low": 1, "high": 5, "labels": {1: "not at all", 5: "very"}}, {"name": "true", "low": 0, "high": 4},
    ]},
    "flags": {"flags": ["spam", "rude", "wrong"]}, "spans": {"spans": ["error", "good"]},
}  # fmt: skip


def items(task: str, count: int) -> list[dict[str, Any]]:
    """Items that can be judged as the task asks."""
    made = []
    for n in range(count):
        texts = [f"Response {letter} to item {n}. {LONG}" for letter in "αβγδε"]
        prompt: Any = [{"role": "user", "content": f"What about item {n}?"}]
        options: list[Any] = [
            {"id": f"secret-model-{i}", "content": text, "producer": f"model-{i}"}
            for i, text in enumerate(texts)
        ]
        wanted = {
            "comparison": 2,
            "clips": 2,
            "ranking": 5,
            "best_worst": 4,
            "demonstration": 0,
            "chat": 0,
        }.get(task, 1)
        options = options[:wanted]
        if task == "clips":
            options = [
                {"id": f"m{i}", "content": f"{letter}{n % 1}.png", "producer": f"policy-{i}"}
                for i, letter in enumerate("ab")
            ]
        if task == "steps":
            options[0] |= {
                "steps": ["Two and two", "make **four**.", "Four and four make nine.", "So nine."]
            }
        if task in ("spans", "correction"):
            options[0]["content"] = (
                f"I am ChatGPT. The capital of item {n} is Rome, and it rains 𝔘pwards there."
            )
        if task == "chat":
            prompt = f"You are in test {n}."
        if task == "clips":
            prompt = f"Which walks better? ({n})"
        made.append({"prompt": prompt, "options": options})
    return made


def make_house(
    folder: Path, sampler: Any = None, template: Path | None = None, url: str | None = None
) -> House:
    """A studio with an owner, olga. template: an empty studio's database, to be copied; url: one
    elsewhere, to be used."""
    if template is not None:
        shutil.copy(template, folder / "studio.db")
    db = open_database(url or folder / "studio.db", upgrade=template is None)
    media = folder / "media"
    media.mkdir()
    app = create_app(StudioConfig(db, media, sampler))
    house = House(db, folder, sampler, media, app)
    house.person("olga", "owner")
    return house
