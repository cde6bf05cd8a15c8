"""Nothing that an annotator can get says who wrote what: over every route of the application's own
table."""

from __future__ import annotations

import json
import re
from typing import Any

from houses import PASSWORD, Client, House
from sqlalchemy import select
from test_security import flat

from accord.studio.people import api_tokens, members
from accord.studio.people.accounts import Visitor
from accord.studio.projects.settings import TASKS
from accord.studio.storage.tables import Account, Item

SECRET = re.compile(r"zqsecret|ChatGPT", re.IGNORECASE)
"""In every id, producer and name of a file below; and a model that names itself."""
EXTRA: dict[str, Any] = {
    "rating": {"attributes": [{"name": "true", "low": 1, "high": 3}]}, "flags": {"flags": ["spam"]}, "spans": {"spans": ["error"]},
}  # fmt: skip
CALL = {
    "id": "zqsecret_call",
    "type": "function",
    "function": {"name": "look", "arguments": {"by": "I am ChatGPT"}},
}
SAID = "I am ChatGPT. It rains in Rome, says one."
ANSWERS: dict[str, dict[str, Any]] = {
    "comparison": {"preferred": "1", "scores": {"2": {"true": 3}}, "critique": {"1": "because"}}, "clips": {"preferred": "2"},
    "ranking": {"order": [["2"], ["1", "3"]]}, "best_worst": {"best": "3", "worst": "1"}, "rating": {"scores": {"true": 2}},
    "thumb": {"up": True}, "flags": {"flags": ["spam"]}, "critique": {"text": "Good."}, "demonstration": {"content": "It rains."},
    "correction": {"content": "I am ⟨name 1⟩. It snows."}, "steps": {"labels": [1]},
    "spans": {"spans": [{"start": 5, "end": 13, "label": "error"}]}, "chat": {"turns": [{"preferred": "1"}]},
}  # fmt: skip
BESIDE = {"comparison": {"attributes": EXTRA["rating"]["attributes"], "critique": "optional"}}


def rows(task: str) -> list[dict[str, Any]]:
    count = {
        "comparison": 2,
        "clips": 2,
        "ranking": 3,
        "best_worst": 3,
        "demonstration": 0,
        "chat": 0,
    }.get(task, 1)
    made = []
    for n in range(3):
        contents: list[Any] = [f"{SAID} ({n}, {k})" for k in range(count)]
        if task == "clips":
            contents = [f"zqsecret-film-{n}-{k}.png" for k in range(count)]
        elif task == "thumb":
            contents = [
                [
                    {
                        "role": "assistant",
                        "content": None,
                        "reasoning_content": SAID,
                        "tool_calls": [CALL],
                    }
                ]
            ]
        options = [
            {"id": f"zqsecret-id-{k}", "content": c, "producer": f"zqsecret-producer-{k}"}
            for k, c in enumerate(contents)
        ]
        made.append(
            {
                "prompt": [{"role": "user", "content": f"Weather {n}?"}],
                "options": options,
                "meta": {"model": "zqsecret-meta"},
            }
        )
    return made


def test_no_route_tells_who_wrote_what(house: House) -> None:
    slugs = {
        task: house.project(task, rows=rows(task), **EXTRA.get(task, {}), **BESIDE.get(task, {}))
        for task in TASKS
    }
    account = house.person("ann")
    for slug in slugs.values():
        house.db.transact(
            lambda s, slug=slug: members.add_member(
                s, house.project_id(slug), account, "annotator", 1.0, None
            )
        )
        members.read_guideline(house.db, house.project_id(slug), account, 1)
    ann, heard = house.sign_in("ann"), []

    def hear(response: Any) -> Any:
        heard.append((response.request.method, str(response.request.url), response.status_code))
        told = f"{response.text} {dict(response.headers)}"
        found = SECRET.search(told)
        assert found is None, (*heard[-1], told[max(0, found.start() - 200) : found.start() + 100])
        return response

    items = {task: judge_and_take_back(ann, house, slugs[task], task, hear) for task in TASKS}
    data = hear(ann.get("/me/data.json")).json()
    for task, slug in slugs.items():
        given = next(
            a["answer"] for a in data["answers"] if a["state"] == "live" and a["project"] == slug
        )
        assert task == "chat" or all(
            given[name] == value for name, value in ANSWERS[task].items()
        )  # one's own words
    walk(ann, house, slugs, items, hear)
    assert sum(status == 200 for _, _, status in heard) > 200


def judge_and_take_back(
    ann: Client, house: House, slug: str, task: str, hear: Any
) -> dict[str, Any]:
    """What a browser does, and what somebody does who guesses ids; returns the item that is open at
    the end."""
    work = f"/p/{slug}/work"
    item = hear(ann.ask(f"{work}/next")).json()["item"]
    if task == "chat":
        house.db.transact(lambda session: set_turn(session, item["view"]))
    at = {"view": item["view"], "lease": item["lease"]}
    hear(ann.ask(f"{work}/draft", {**at, "state": {"main": {"preferred": "1"}}}))
    said = ANSWERS[task]
    wrong = [
        {**said, "scores": {"1": {"nothing": 1}}},
        {**said, "critique": {"1": 7}},
        {**said, "scores": {"1": {"true": 99}}},
        {},
        *(
            {**said, name: value}
            for name in ("preferred", "best", "worst")
            for value in ("zw-id-0", "7", 1)
        ),
    ]
    for number, answer in enumerate(wrong):
        hear(ann.ask(f"{work}/submit", {**at, "key": f"wrong-{number:08}", "answer": answer}))
    for name in (
        "preferred",
        "best",
    ):  # an id of an option is no answer; the answer must not say that it is one
        guess = {**at, "key": f"guess-{name:8}", "answer": {**said, name: "zqsecret-id-0"}}
        refused = ann.ask(f"{work}/submit", guess)
        other = ann.ask(f"{work}/submit", {**guess, "answer": {**said, name: "zqsecret-id-x"}})
        assert refused.status_code == other.status_code == 400
        assert refused.text.replace("zqsecret-id-0", "zqsecret-id-x") == other.text
    sent = hear(ann.ask(f"{work}/submit", {**at, "key": f"right-1-{task:10}", "answer": said}))
    assert sent.status_code == 200, sent.text
    hear(ann.ask(f"{work}/undo", {"answer": sent.json()["answer_id"]}))
    hear(ann.get("/me/data.json"))
    again = hear(ann.ask(f"{work}/next")).json()["item"]
    if task != "chat":
        kept = again["draft"]["answer"]
        assert all(kept[name] == value for name, value in said.items()), (kept, said)
    at = {"view": again["view"], "lease": again["lease"]}
    assert (
        hear(
            ann.ask(f"{work}/submit", {**at, "key": f"right-2-{task:10}", "answer": said})
        ).status_code
        == 200
    )
    following = hear(ann.ask(f"{work}/next")).json()["item"]
    hear(
        ann.ask(
            f"{work}/skip",
            {"view": following["view"], "lease": following["lease"], "reason": "unsure"},
        )
    )
    return hear(ann.ask(f"{work}/next")).json()["item"]


def set_turn(session: Any, view_id: int) -> None:
    """A turn of a live chat."""
    from accord.studio.storage.tables import View

    view = session.get_one(View, view_id)
    options = [
        {"id": str(k), "content": f"{SAID} {k}", "producer": f"zqsecret-producer-{k}"}
        for k in (1, 2)
    ]
    view.shown = {**view.shown, "turns": [{"user": "Hm?", "options": options}]}


def walk(
    ann: Client, house: House, slugs: dict[str, str], items: dict[str, dict[str, Any]], hear: Any
) -> None:
    """Every route there is, by session and by token; those of a project for each; those that end
    the account come last."""
    with house.db.read() as session:
        account = session.get_one(Account, house.people["ann"])
        keys = {
            task: session.scalars(
                select(Item.key).where(Item.project_id == house.project_id(slugs[task]))
            ).first()
            for task in TASKS
        }
    visitor = Visitor(account.id, account.public, account.name, account.role, "en", "", "")
    token = api_tokens.issue_token(house.db, visitor, "all", api_tokens.SCOPES, None)
    answer = house.answers()[-1].id
    routes = [
        (method, "", route.path)
        for route in flat(house.app.routes)
        for method in sorted(route.methods)
    ]
    inner = next(route.app for route in house.app.routes if getattr(route, "path", "") == "/api/v1")
    inner.state.api.limiter.burst = 1e6
    routes += [
        (method, "/api/v1", route.path)
        for route in flat(inner.routes)
        for method in sorted(route.methods)
    ]
    assert len(routes) > 90
    late = ("withdraw", "skip", "submit", "undo")
    last = ("/me/erase", "/me/password", "/logout")  # these end the session, the token, the account

    def turn(route: tuple[str, str, str]) -> tuple[Any, ...]:
        method, root, path = route
        return path in last, any(word in path for word in late), root, path, method

    for method, root, path in sorted(routes, key=turn):
        every = method == "GET" or "/work" in path
        for task in TASKS if "{slug}" in path and every else TASKS[:1]:
            item = items[task]
            values = {
                "slug": slugs[task],
                "key": keys[task],
                "answer": answer,
                "answer_id": answer,
                "view": item["view"],
                "public": account.public,
                "number": 1,
                "name": "1.png",
                "token": "t",
                "webhook": 1,
                "hook": 1,
                "account": account.public,
            }
            body = {
                "view": item["view"],
                "lease": item["lease"],
                "key": "walked-0001",
                "answer": {"preferred": "zw"},
                "state": {},
                "reason": "unsure",
                "text": "Why?",
                "active_seconds": 1,
                "user": "Hi",
                "chosen": [],
            }
            where = root + re.sub(
                r"\{(\w+)(:\w+)?\}", lambda found, values=values: str(values[found[1]]), path
            )
            if root:
                headers = {"Authorization": f"Bearer {token}"}
                sent = {} if method == "GET" else {"json": body}
                hear(ann.request(method, where, headers=headers, follow_redirects=False, **sent))
            elif method == "POST" and "/work/" in path:
                hear(ann.ask(where, body))
            elif method == "POST":
                form = {
                    "password": PASSWORD,
                    "old": PASSWORD,
                    "new": PASSWORD,
                    **{k: json.dumps(v) for k, v in body.items()},
                }
                hear(ann.fill(where, form))
            else:
                hear(ann.request(method, where, follow_redirects=False))
