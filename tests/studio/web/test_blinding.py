"""Nothing that an annotator can get says who wrote what, or which answers are known: over every
route of the application's own table.

The same is done in two worlds that differ in what is hidden alone; every answer must be the same,
byte by byte.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from houses import PASSWORD, Client, House, make_house
from sqlalchemy import select
from test_security import flat

from accord.studio.people import api_tokens, members
from accord.studio.people.accounts import Visitor
from accord.studio.projects.settings import TASKS
from accord.studio.queue import assigning
from accord.studio.storage.tables import Account, Item

SECRET = re.compile(r"zqsecret|zqhidden|ChatGPT|Anthropic", re.IGNORECASE)
"""In every id, producer and name of a file below; and a model that names itself."""


@dataclass(frozen=True)
class World:
    """What an annotator must not learn. secret: in ids, producers and names of files; name: how the
    models call themselves; written: when files were, seconds since 1970; backwards: whether
    options stand so in the file (they are shown in one order)."""

    secret: str
    name: str
    written: float
    backwards: bool


WORLDS = (World("zqsecret", "ChatGPT", 1.6e9, False), World("zqhidden", "Anthropic", 1.7e9, True))
EXTRA: dict[str, Any] = {
    "rating": {"attributes": [{"name": "true", "low": 1, "high": 3}]}, "flags": {"flags": ["spam"]}, "spans": {"spans": ["error"]},
}  # fmt: skip
SAID = "I am {}. It rains in Rome, says one."
ANSWERS: dict[str, dict[str, Any]] = {
    "comparison": {"preferred": "1", "scores": {"2": {"true": 3}}, "critique": {"1": "because"}}, "clips": {"preferred": "2"},
    "ranking": {"order": [["2"], ["1", "3"]]}, "best_worst": {"best": "3", "worst": "1"}, "rating": {"scores": {"true": 2}},
    "thumb": {"up": True}, "flags": {"flags": ["spam"]}, "critique": {"text": "Good."}, "demonstration": {"content": "It rains."},
    "correction": {"content": "I am ⟨name 1⟩. It snows."}, "steps": {"labels": [1]},
    "spans": {"spans": [{"start": 5, "end": 13, "label": "error"}]}, "chat": {"turns": [{"preferred": "1"}]},
}  # fmt: skip
BESIDE = {"comparison": {"attributes": EXTRA["rating"]["attributes"], "critique": "optional"}}


def rows(task: str, world: World) -> list[dict[str, Any]]:
    count = {
        "comparison": 2,
        "clips": 2,
        "ranking": 3,
        "best_worst": 3,
        "demonstration": 0,
        "chat": 0,
    }.get(task, 1)
    said, made = SAID.format(world.name), []
    call = {
        "id": f"{world.secret}_call",
        "type": "function",
        "function": {"name": "look", "arguments": {"by": f"I am {world.name}"}},
    }
    for n in range(3):
        contents: list[Any] = [f"{said} ({n}, {k})" for k in range(count)]
        if task == "clips":
            contents = [f"{world.secret}-film-{n}-{k}.png" for k in range(count)]
        elif task == "thumb":
            contents = [
                [
                    {
                        "role": "assistant",
                        "content": None,
                        "reasoning_content": said,
                        "tool_calls": [call],
                    }
                ]
            ]
        options = [
            {"id": f"{world.secret}-id-{k}", "content": c, "producer": f"{world.secret}-by-{k}"}
            for k, c in enumerate(contents)
        ]
        made.append(
            {
                "prompt": [{"role": "user", "content": f"Weather {n}?"}],
                "options": options[::-1] if world.backwards else options,
                "meta": {"model": f"{world.secret}-meta"},
            }
        )
    return made


@pytest.fixture
def houses(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Makes houses in which chance and time go the same way, one after the other."""

    @contextmanager
    def made() -> Iterator[House]:
        numbers, draws = itertools.count(), random.Random(0)
        token = lambda size=32: f"{next(numbers):0{size + 8}x}"  # noqa: E731
        for name in ("token_urlsafe", "token_hex"):
            monkeypatch.setattr(secrets, name, token)
        monkeypatch.setattr(random, "random", draws.random)
        monkeypatch.setattr(assigning, "draw_order", lambda *given: sorted(given[-1]))
        folder = tmp_path / f"house{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        house = make_house(folder, None, empty)
        house.db.clock = lambda: 1.8e9
        yield house
        house.db.close()

    return made


Heard = tuple[str, str, int, str]
"""Method, path, status; text and headers."""


def hearing(heard: list[Heard], guessed: bool = False) -> Any:
    """Keeps what was answered, which must not hold a secret, unless it was guessed."""

    def hear(response: Any) -> Any:
        headers = {k: v for k, v in response.headers.items() if k != "content-security-policy"}
        asked = response.request
        told = re.sub("0{12,}[0-9a-f]+|expires=[^;]+", "…", f"{response.text} {headers}")
        said = (asked.method, asked.url.path, response.status_code, told)
        found = None if guessed else SECRET.search(said[3])
        assert found is None, (*said[:3], said[3][max(0, found.start() - 200) : found.end() + 100])
        heard.append(said)
        return response

    return hear


def differing(one: list[Heard], other: list[Heard]) -> list[Any]:
    """Where two worlds tell another thing."""
    assert len(one) == len(other) > 60
    found = []
    for a, b in zip(one, other, strict=True):
        if a[2:] != b[2:]:
            place = next((n for n, (x, y) in enumerate(zip(a[3], b[3], strict=False)) if x != y), 0)
            low, high = max(0, place - 80), place + 80
            found.append((*a[:3], a[3][low:high], *b[1:3], b[3][low:high]))
    return found


@pytest.mark.slow
def test_no_route_tells_who_wrote_what(houses: Callable[[], Any]) -> None:
    told: list[list[Heard]] = []
    for world in WORLDS:
        told.append([])
        with houses() as house:
            everything_an_annotator_gets(house, world, told[-1])
        assert sum(status == 200 for _, _, status, _ in told[-1]) > 230
    assert differing(*told) == []


def test_trying_tells_nothing(houses: Callable[[], Any]) -> None:
    told: list[list[Heard]] = [[], []]
    for world, heard in zip(WORLDS, told, strict=True):
        with houses() as house:
            slugs = furnished(house, world)
            for slug in slugs.values():
                take_part(house, "bea", slug)
            bea = house.sign_in("bea")
            for task in TASKS:
                guess(bea, slugs, task, hearing(heard, guessed=True))
    assert differing(*told) == []


def everything_an_annotator_gets(house: House, world: World, heard: list[Heard]) -> None:
    """All tasks judged, and then every route there is."""
    hear, slugs = hearing(heard), furnished(house, world)
    for slug in slugs.values():
        take_part(house, "ann", slug)
    ann = house.sign_in("ann")
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


def furnished(house: House, world: World) -> dict[str, str]:
    """A project of every task, with its clips; task -> slug."""
    slugs = {
        task: house.project(
            task, rows=rows(task, world), overlap=2, **EXTRA.get(task, {}), **BESIDE.get(task, {})
        )
        for task in TASKS
    }
    (house.media / slugs["clips"]).mkdir()
    for n, k in itertools.product(range(3), range(2)):
        file = house.media / slugs["clips"] / f"{world.secret}-film-{n}-{k}.png"
        file.write_bytes(bytes([n, k]))
        os.utime(file, (world.written + k, world.written + k))
    return slugs


def take_part(house: House, name: str, slug: str) -> None:
    """As an annotator who has read the guideline."""
    account, project = house.people.get(name) or house.person(name), house.project_id(slug)
    house.db.transact(lambda s: members.add_member(s, project, account, "annotator", 1.0, None))
    members.read_guideline(house.db, project, account, 1)


GUESSES: dict[str, list[dict[str, Any]]] = {
    "comparison": [{"critique": {"1": 7, "2": 7}}, {"scores": {"1": {"true": 9}, "2": {"true": 9}}}, {"scores": {"zqsecret-id-0": {"true": 9}}}, {"critique": {"zqsecret-id-0": "x"}}],
    "ranking": [{"order": [["zqsecret-id-0"], ["2", "3"]]}, {"order": [["1"]]}, {"order": [["1", "1", "2", "3"]]}, {"order": ["1", "2", "3"]}],
    "best_worst": [{"best": "zqsecret-id-0", "worst": "zqsecret-id-0"}, {"best": "1", "worst": "1"}],
    "spans": [{"spans": [{"start": start, "end": end, "label": "error", **option}]} for option in ({}, {"option": "zqsecret-id-0"}, {"option": "2"}) for start, end in ((0, 10**9), (0, 51), ("x", 2), (0, 48))],
    "correction": [{"content": "⟨name 1⟩" * 14_000}, {"content": "⟨name 1⟩" * 12_000, "names": [[0, 1, 1]]}],
    "steps": [{"labels": [1, 1]}], "rating": [{"scores": {"zqsecret-id-0": {"true": 1}}}],
}  # fmt: skip
OWN_WORDS = [
    SAID.format("ChatGPT") + " ({}, 0)", "I am ⟨name 1⟩, not ChatGPT, not Anthropic.", "⟨name 1⟩" * 12_000, "⟨name 1⟩⟨name 1⟩ ⟨name 2⟩", "⟨name " + "9" * 5_000 + "⟩",
]  # fmt: skip
"""A corrector's: right in one world."""


def guess(ann: Client, slugs: dict[str, str], task: str, hear: Any) -> None:
    """Whatever somebody could find out by trying: wrong answers; those of another task, of another
    project; words of one's own that are taken back."""
    work = f"/p/{slugs[task]}/work"
    item = hear(ann.ask(f"{work}/next")).json()["item"]
    at, number = {"view": item["view"], "lease": item["lease"]}, itertools.count()
    for answer in GUESSES.get(task, []):
        sent = {**at, "key": f"guess-{next(number):06}", "answer": {**ANSWERS[task], **answer}}
        hear(ann.ask(f"{work}/submit", sent))
    for other, slug in slugs.items():
        answer = {**ANSWERS[task], "preferred": "zqsecret-id-0"}
        sent = {**at, "key": f"other-{next(number):06}", "answer": answer}
        if other != task:
            assert hear(ann.ask(f"/p/{slug}/work/submit", sent)).status_code == 404
    if task != "correction":
        return
    shown = item["options"][0]["text"]
    which = re.search(r"\((\d), 0\)", shown)
    assert which is not None
    unchanged = {**at, "key": "unchanged", "answer": {"content": shown}}
    assert "nothing was changed" in hear(ann.ask(f"{work}/submit", unchanged)).text
    for words in OWN_WORDS:
        written = {"content": words.format(which[1])}
        sent = {**at, "key": f"words-{next(number):06}", "answer": written}
        receipt = ann.ask(f"{work}/submit", sent)
        assert receipt.status_code == 200, receipt.text
        ann.ask(f"{work}/undo", {"answer": receipt.json()["answer_id"]})
        again = ann.ask(f"{work}/next").json()["item"]
        assert again["draft"] == {"answer": written}  # one's own words, neither more nor less
        at = {"view": again["view"], "lease": again["lease"]}


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
        {"id": str(k), "content": f"I am ChatGPT. {k}", "producer": f"zqsecret-by-{k}"}
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
    last = (  # these end the token, the session, the account
        "/me/tokens/{number}",
        "/me/erase",
        "/me/password",
        "/logout",
    )

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


# --- which answers are known ----------------------------------------------------------------------
def test_no_route_tells_which_item_is_gold(
    houses: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same item, once as work and once with a known answer: looked at before and after it is
    answered."""
    told: list[list[Heard]] = []
    for gold in (False, True):
        told.append([])
        with houses() as house:
            known = {"gold": {"preferred": 1}, "purpose": "gold"} if gold else {}
            texts = [{"prompt": f"p{n}", "options": ["a", "b"]} for n in range(3)]
            slug = house.project(rows=[{**texts[0], **known, "priority": 9}, *texts[1:]], overlap=3)
            take_part(house, "ann", slug)
            ann = house.sign_in("ann")
            with monkeypatch.context() as chance:
                chance.setattr(
                    assigning, "_purpose", lambda *_, drawn=gold: "gold" if drawn else "work"
                )
                shown = ann.ask(f"/p/{slug}/work/next")
            assert "p0" in shown.text
            judged(house, ann, slug, shown.json()["item"], hearing(told[-1]))
    assert differing(*told) == []


def judged(house: House, ann: Client, slug: str, item: dict[str, Any], hear: Any) -> None:
    """An item judged, everything looked at before and after."""
    with house.db.read() as session:
        account = session.get_one(Account, house.people["ann"])
    visitor = Visitor(account.id, account.public, account.name, account.role, "en", "", "")
    token = api_tokens.issue_token(house.db, visitor, "all", api_tokens.SCOPES, None)
    at, work = {"view": item["view"], "lease": item["lease"]}, f"/p/{slug}/work"
    values = {"slug": slug, "view": item["view"], "public": account.public, "number": 1}
    answer = {**at, "key": "answer-0001", "answer": {"preferred": "2"}}
    acts = [
        ("next", {}), ("heartbeat", at), ("draft", {**at, "state": {}}), ("submit", answer), ("next", {}),
    ]  # fmt: skip
    for act, body in [("", {}), *acts]:
        said = hear(ann.ask(f"{work}/{act}", body)) if act else None
        for root, path in gets(house):
            where = re.sub(r"\{(\w+)(:\w+)?\}", lambda f: str(values.get(f[1], "x")), root + path)
            headers = {"Authorization": f"Bearer {token}"} if root else {}
            hear(ann.get(where, headers=headers, follow_redirects=False))
    assert said is not None


def gets(house: House) -> list[tuple[str, str]]:
    """(root, path) of all that can be looked at."""
    inner = next(route.app for route in house.app.routes if getattr(route, "path", "") == "/api/v1")
    inner.state.api.limiter.burst = 1e6
    both = [("", flat(house.app.routes)), ("/api/v1", flat(inner.routes))]
    return [(root, r.path) for root, found in both for r in found if "GET" in r.methods]


def test_gold_never_comes_after_the_last_of_the_work(house: House) -> None:
    """Who asks again and again would know what comes then."""
    known = {"gold": {"preferred": 1}, "purpose": "gold"}
    texts = [{"prompt": f"p{n}", "options": ["a", "b"]} for n in range(40)]
    rows = [texts[0], *({**row, **known} for row in texts[1:])]
    slug = house.project(rows=rows, gold_rate=0.5)
    take_part(house, "ann", slug)
    ann = house.sign_in("ann")
    heard = []
    while (said := ann.ask(f"/p/{slug}/work/next").json()).get("item"):
        at = {"view": said["item"]["view"], "lease": said["item"]["lease"]}
        ann.ask(f"/p/{slug}/work/skip", {**at, "reason": "unsure"})
        heard.append(at)
    assert heard
    for _ in range(20):
        said = ann.ask(f"/p/{slug}/work/next").json()
        assert (said["nothing"]["reason"], said["standing"]["left"]) == ("done", 0)
