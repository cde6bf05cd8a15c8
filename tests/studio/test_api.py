"""The REST API and its client, against a server that runs; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner
from sqlalchemy import update
from studio_rooms import Clock, Receiver, pairs, person

from accord.cli.main import main
from accord.feedback.records import parse_line
from accord.studio.api.base import Limiter, cursor
from accord.studio.client import ApiError, Client
from accord.studio.delivery import webhooks
from accord.studio.people import api_tokens, members, rate_limits
from accord.studio.people.accounts import Visitor
from accord.studio.people.rate_limits import TooMany
from accord.studio.projects import editing
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Account, Event
from accord.studio.web.app import StudioConfig, create_app
from listening import listening

SETTINGS = {"name": "Summaries", "task": "comparison", "overlap": 2}
ALL = api_tokens.SCOPES


@dataclass
class Studio:
    """A studio behind an address."""

    db: Database
    url: str

    def client(
        self, name: str, role: str = "annotator", scopes: tuple[str, ...] = ALL, **more: Any
    ) -> Client:
        """An account of the house with a token."""
        return Client(self.url, self.token(person(self.db, name, role=role), scopes), **more)

    def token(self, account: int, scopes: tuple[str, ...] = ALL) -> str:
        with self.db.read() as session:
            a = session.get_one(Account, account)
        return api_tokens.issue_token(
            self.db, Visitor(a.id, a.public, a.name, a.role, "en", "", ""), "test", scopes, None
        )


@pytest.fixture
def studio(db: Database) -> Iterator[Studio]:
    with listening(create_app(StudioConfig(db, private_webhooks=True))) as there:
        yield Studio(db, there.url)


def raw(
    studio: Studio, path: str, token: str | None = None, body: bytes | None = None, **headers: str
) -> tuple[int, Any, Any]:
    """A call without the client: (status, JSON, headers)."""
    sent = {
        "Content-Type": "application/json",
        **({"Authorization": f"Bearer {token}"} if token else {}),
        **headers,
    }
    try:
        with urlopen(Request(f"{studio.url}/api/v1{path}", body, sent)) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def test_from_a_project_to_records(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    assert boss.me()["scopes"] == sorted(ALL)
    made = boss.create_project(SETTINGS)
    assert (made["slug"], made["role"], made["state"]) == ("summaries", "owner", "open")
    assert boss.add_items("summaries", pairs(3))["new"] == 3
    assert boss.add_items("summaries", pairs(4)) == {"new": 1, "duplicates": 3, "bad": {}}
    assert boss.add_items("summaries", [{"prompt": "x", "options": ["one"]}])["bad"] == {
        "the task comparison needs 2 options, here are 1": 1
    }
    for name in ("judge-1", "judge-2"):
        bot = Client(studio.url, boss.make_bot("summaries", name)["token"])
        assert (
            bot.judge(
                "summaries", lambda item: {"preferred": "1"} if "3" not in item["prompt"] else None
            )
            == 3
        )
        assert bot.next_item("summaries")["reason"] == "done"
    answers = list(boss.answers("summaries"))
    assert len(answers) == 6
    assert all(a["records"][0]["meta"]["interface"] == "api-v1" for a in answers)
    assert all(
        r["choice"]["preferred"] == next(o["id"] for o in r["options"] if o["shown_at"] == 0)
        for a in answers
        for r in a["records"]
    )
    records = [parse_line(line) for line in boss.export("summaries").splitlines()]
    assert {r.id for r in records} == {a["id"] for a in answers}
    assert boss.card("summaries")["card"]["records"] == 6
    assert boss.project("summaries")["progress"]["filled"] == 6
    kinds = {e["kind"] for e in boss.events("summaries")}
    assert {"items.added", "answer.submitted", "view.skipped", "project.exported"} <= kinds
    assert boss.verify("summaries")["whole"] is True


def test_silent_responses_of_a_log_are_asked_about_and_come_back(
    studio: Studio, tmp_path: Path
) -> None:
    log, items, answers = (tmp_path / f"{name}.jsonl" for name in ("log", "items", "answers"))
    ask = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Rome?"}]
    rows = [
        {"prompt": ask, "response": f"Sunny {n}", "thumb": None if n else "down", "policy": "v1"}
        for n in range(15)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    deployment = ["feedback", "deployment", str(log)]
    drawn = CliRunner().invoke(main, [*deployment, "--call", "12", "--out", str(items)])
    assert drawn.exit_code == 0, drawn.output
    boss = studio.client("boss", "manager")
    boss.create_project({"name": "Users", "task": "thumb"})
    asked = [json.loads(line) for line in items.read_text(encoding="utf-8").splitlines()]
    assert boss.add_items("users", asked) == {"new": 12, "duplicates": 0, "bad": {}}
    bot = Client(studio.url, boss.make_bot("users", "judge")["token"])
    assert bot.judge("users", lambda _: {"up": True}) == 12
    answers.write_text(boss.export("users"), encoding="utf-8")
    found = CliRunner().invoke(main, [*deployment, "--called", str(answers), "--json"])
    whole = json.loads(found.stdout)["whole"]
    assert whole["called"] == 12
    assert whole["corrected"]["estimate"]["value"] == pytest.approx(14 / 15)


def test_programs_bring_and_judge_conversations_with_tools(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project(SETTINGS)
    call = {
        "id": "toolu_7",
        "type": "function",
        "function": {"name": "search", "arguments": '{"by": "ChatGPT"}'},
    }
    said = [
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]}
    ]
    item = {
        "prompt": [
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": "Rome?"},
        ],
        "options": [{"content": said, "producer": "x"}, {"role": "assistant", "content": "Sunny."}],
        "weight": 0.5,
        "tools": [{"type": "function", "function": {"name": "search"}}],
        "chat_template_kwargs": {"enable_thinking": True},
    }
    assert boss.add_items("summaries", [item]) == {"new": 1, "duplicates": 0, "bad": {}}
    kept = next(boss.items("summaries"))
    assert all(
        kept[name] == item[name] for name in ("prompt", "tools", "chat_template_kwargs", "weight")
    )
    assert [option["content"] for option in kept["options"]] == [said, [item["options"][1]]]
    shown = boss.next_item("summaries")["item"]
    assert (shown["tools"], shown["chat_template_kwargs"]) == (
        item["tools"],
        item["chat_template_kwargs"],
    )
    with_call = next(o["content"] for o in shown["options"] if o["content"][0].get("tool_calls"))
    assert with_call[0]["tool_calls"][0] == {
        **call,
        "id": "call_1",
        "function": {"name": "search", "arguments": '{"by": "⟨name 1⟩"}'},
    }
    boss.submit("summaries", shown, {"preferred": "1"})
    record = parse_line(boss.export("summaries").splitlines()[0]).model_dump(mode="json")
    assert all(
        record[name] == item[name] for name in ("prompt", "tools", "chat_template_kwargs", "weight")
    )
    assert [option["content"] for option in record["options"]] == [said, [item["options"][1]]]


def test_lists_come_in_pages_and_miss_nothing(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project({**SETTINGS, "overlap": 1})
    boss.add_items("summaries", pairs(7))
    token = boss._token
    seen, after, pages = [], "", 0
    while True:
        status, page, _ = raw(studio, f"/projects/summaries/items?limit=3{after}", token)
        assert status == 200
        seen += [item["key"] for item in page["data"]]
        pages += 1
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert (len(seen), len(set(seen)), pages) == (7, 7, 3)
    boss.judge("summaries", lambda _: {"tie": True})
    assert len(list(boss.answers("summaries"))) == 7
    numbers = [event["number"] for event in boss.events("summaries")]
    assert numbers == list(range(1, len(numbers) + 1))
    status, problem, _ = raw(studio, "/projects/summaries/items?after=abc", token)
    assert (status, "not a cursor" in problem["detail"]) == (400, True)


def test_sending_again_is_harmless(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    assert (
        boss.create_project(SETTINGS, "the-same-key")["slug"]
        == boss.create_project(SETTINGS, "the-same-key")["slug"]
    )
    with ThreadPoolExecutor(4) as pool:
        slugs = list(
            pool.map(lambda _: boss.create_project(SETTINGS, "another-key")["slug"], range(4))
        )
    assert len(set(slugs)) == 1
    assert len(list(boss.projects())) == 2
    assert boss.create_project(SETTINGS)["slug"] == "summaries-3"
    boss.add_items("summaries", pairs(1))
    item = boss.next_item("summaries")["item"]
    first, again = (boss.submit("summaries", item, {"preferred": "2"}) for _ in range(2))
    assert (first["repeated"], again["repeated"], again["answer_id"]) == (
        False,
        True,
        first["answer_id"],
    )
    assert (
        boss.set_guideline("summaries", "Be fair.")["version"]
        == boss.set_guideline("summaries", "Be fair.")["version"]
        == 2
    )


def test_mistakes_say_field_and_fix(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(1))
    item = boss.next_item("summaries")["item"]
    with pytest.raises(ApiError) as caught:
        boss.submit("summaries", item, {"preferred": "7"})
    assert (caught.value.status, caught.value.field) == (400, "preferred")
    with pytest.raises(ApiError, match="tusk: Extra"):
        boss.create_project({"name": "x", "tusk": "comparison"})
    with pytest.raises(ApiError) as caught:
        boss.project("nothing")
    assert (caught.value.status, caught.value.fix) == (
        404,
        "GET /projects lists those you take part in",
    )
    status, problem, headers = raw(studio, "/nowhere", boss._token)
    assert (status, headers["Content-Type"], problem["status"]) == (
        404,
        "application/problem+json",
        404,
    )
    status, _, headers = raw(studio, "/me", boss._token, b"{}")
    assert (status, headers["Allow"]) == (405, "GET")
    status, problem, _ = raw(studio, "/projects/summaries/items", boss._token, b"{broken")
    assert (status, problem["title"]) == (400, "Wrong request")


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("read", {"look"}), ("annotate", {"work"}), ("manage", {"change"}), ("export", {"export"})],
)
def test_a_token_may_only_what_its_scopes_say(
    studio: Studio, scope: str, allowed: set[str]
) -> None:
    boss = studio.client("boss", "owner")
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(1))
    boss.judge("summaries", lambda _: {"tie": True}, 1)
    narrow = studio.client("narrow", "owner", (scope,), retries=0)
    with studio.db.write() as session:
        account = editing.members(session, editing.find_project(session, "summaries").id)
        assert account
        narrow_id = session.query(Account.id).filter(Account.name == "narrow").scalar()
        members.add_member(
            session, editing.find_project(session, "summaries").id, narrow_id, "owner", 0.0, None
        )
    calls = {
        "look": lambda: list(narrow.answers("summaries")),
        "work": lambda: narrow.next_item("summaries"),
        "change": lambda: narrow.set_guideline("summaries", "x"),
        "export": lambda: narrow.export("summaries"),
    }
    for name, call in calls.items():
        if name in allowed:
            call()
            continue
        with pytest.raises(ApiError, match="lacks the scope") as caught:
            call()
        assert caught.value.status == 403


def test_roles_hold_for_tokens_too(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project({**SETTINGS, "gold_rate": 0.5})
    gold = [
        {"prompt": f"Known {n}", "options": ["right", "wrong"], "gold": {"preferred": 1}}
        for n in range(5)
    ]
    boss.add_items(
        "summaries", [*gold, *pairs(40)]
    )  # enough work for chance to draw all of the gold
    bot = Client(studio.url, boss.make_bot("summaries", "judge-1")["token"], retries=0)
    for call in (bot.items, bot.answers, bot.events):
        with pytest.raises(ApiError) as caught:
            list(call("summaries"))
        assert caught.value.status == 403
    assert bot.project("summaries")["settings"] is None
    shown = []
    bot.judge("summaries", lambda item: shown.append(item) or {"tie": True})
    assert len(shown) == 45
    assert not any(word in json.dumps(shown) for word in ("gold", "producer", "purpose"))
    stranger = studio.client("stranger", retries=0)
    with pytest.raises(ApiError) as caught:
        stranger.project("summaries")
    assert caught.value.status == 404
    auditor = studio.client("auditor", "auditor", retries=0)
    assert len(list(auditor.items("summaries"))) == 45
    with pytest.raises(ApiError) as caught:
        auditor.set_guideline("summaries", "mine")
    assert caught.value.status == 403
    with pytest.raises(ApiError) as caught:
        auditor.next_item("summaries")
    assert caught.value.status == 403


def test_no_token_no_entry(studio: Studio) -> None:
    status, problem, headers = raw(studio, "/me")
    assert (status, headers["WWW-Authenticate"], problem["title"]) == (
        401,
        "Bearer",
        "Not signed in",
    )
    for _ in range(rate_limits.LIMITS["token"][0]):
        status, _, _ = raw(studio, "/me", "accord_guess")
        assert status == 401
    status, _, headers = raw(studio, "/me", "accord_guess")
    assert status == 429
    assert int(headers["Retry-After"]) > 0
    token = studio.token(person(studio.db, "late"))
    assert raw(studio, "/me", token)[0] == 200  # who has a token is not shut out by those who guess
    with studio.db.write() as session:
        session.execute(update(Account).where(Account.name == "late").values(disabled_at=1.0))
    assert raw(studio, "/me", token)[0] in (401, 429)


def test_a_changed_log_is_found(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(2))
    with studio.db.write() as session:
        session.execute(
            update(Event)
            .where(Event.kind == "items.added")
            .values(payload={"items": 1, "keys": []})
        )
    found = boss.verify("summaries")
    assert found["whole"] is False
    assert "payload was changed" in found["broken"]


def test_judgements_from_elsewhere_and_out_again(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(1))
    item = next(iter(boss.items("summaries")))
    record = {
        "id": "r1",
        "kind": "comparison",
        "prompt": item["prompt"],
        "annotator": "crowd-7",
        "choice": {"tie": True},
        "options": [
            {"id": o["id"], "content": o["content"], "shown_at": n}
            for n, o in enumerate(item["options"])
        ],
    }
    assert boss.add_judgements("summaries", [record])["stored"] == 1
    assert boss.add_judgements("summaries", [record])["repeated"] == 1
    (answer,) = boss.answers("summaries", state="live")
    body = json.dumps({"state": "excluded", "reason": "not theirs"}).encode()
    request = Request(
        f"{studio.url}/api/v1/projects/summaries/answers/{answer['id']}/state",
        body,
        method="PUT",
        headers={"Authorization": f"Bearer {boss._token}", "Content-Type": "application/json"},
    )
    with urlopen(request) as response:
        assert json.loads(response.read())["state"] == "excluded"
    assert list(boss.answers("summaries", state="live")) == []


def test_quality_comes_with_intervals(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(12))
    for name in ("judge-1", "judge-2"):
        bot = Client(studio.url, boss.make_bot("summaries", name)["token"])
        bot.judge(
            "summaries",
            lambda item: {"preferred": "1" if "First" in item["options"][0]["content"] else "2"},
        )
    found = boss.quality("summaries")
    for _ in range(100):
        if found["annotators"] is not None:
            break
        time.sleep(0.2)
        found = boss.quality("summaries")
    assert found["overview"]["agreement"]["value"]["strict"]["value"] == 1.0
    assert found["overview"]["agreement"]["value"]["alpha"] is not None
    assert found["progress"]["filled"] == found["answers"] == 24
    assert {row["name"] for row in found["annotators"]} == {"judge-1", "judge-2"}


def test_webhooks_are_managed_by_programs_too(studio: Studio, receiver: Receiver) -> None:
    boss = studio.client("boss", "manager", retries=0)
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(1))
    made = boss.add_webhook("summaries", receiver.url, ["answer.submitted", "project.paused"])
    assert made["secret"].startswith("whsec_")
    assert boss.test_webhook("summaries", made["id"]) == {"delivered": True, "error": None}
    headers, body = receiver.got[-1]
    assert json.loads(body)["type"] == "webhook.test"
    assert json.loads(body)["data"] == {"project": "summaries"}
    told = headers["webhook-id"], int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == webhooks.signature(made["secret"], *told, body)
    receiver.status = 500
    assert boss.test_webhook("summaries", made["id"]) == {"delivered": False, "error": "HTTP 500"}
    boss.judge("summaries", lambda _: {"tie": True})

    def hook_when(name: str, value: Any) -> Any:
        """The studio's own thread delivers as well."""
        for _ in range(200):
            webhooks.work_once(studio.db, private=True)
            (found,) = boss.webhooks("summaries")
            if found[name] == value:
                return found
            time.sleep(0.05)
        raise AssertionError(found)

    hook = hook_when("error", "HTTP 500")
    assert (hook["url"], hook["delivered"], hook["waiting"]) == (receiver.url, 0, 1)
    assert made["secret"] not in json.dumps(hook)
    receiver.status = 204
    assert (
        boss.enable_webhook("summaries", made["id"])[0]["disabled_at"] is None
    )  # due again at once
    assert hook_when("delivered", 1)["error"] is None
    assert boss.remove_webhook("summaries", made["id"]) == []
    for call in (boss.test_webhook, boss.enable_webhook, boss.remove_webhook):
        with pytest.raises(ApiError) as caught:
            call("summaries", made["id"])
        assert caught.value.status == 404
    with pytest.raises(ApiError, match=r"kinds\.0: Input should be"):
        boss.add_webhook("summaries", receiver.url, ["everything"])
    kinds = [e["kind"] for e in boss.events("summaries")]
    assert [k for k in kinds if k.startswith("webhook.")] == [
        "webhook.added",
        "webhook.enabled",
        "webhook.removed",
    ]
    bot = Client(studio.url, boss.make_bot("summaries", "judge-1")["token"], retries=0)
    narrow = Client(
        studio.url,
        studio.token(person(studio.db, "narrow", role="owner"), ("read", "export")),
        retries=0,
    )
    for nosy in (bot, narrow):
        with pytest.raises(ApiError) as caught:
            nosy.webhooks("summaries")
        assert caught.value.status == 403
    auditor = studio.client("auditor", "auditor", retries=0)
    assert auditor.webhooks("summaries") == []
    with pytest.raises(ApiError) as caught:
        auditor.add_webhook("summaries", receiver.url)
    assert caught.value.status == 403


def test_bodies_are_bounded(studio: Studio) -> None:
    boss = studio.client("boss", "manager")
    boss.create_project(SETTINGS)
    status, problem, _ = raw(
        studio, "/projects", boss._token, json.dumps({"name": "x" * 2**21}).encode()
    )
    assert (status, problem["title"]) == (413, "Too large")
    big = [{"prompt": "y" * 2**20, "options": [f"a{n}", "b"]} for n in range(2)]
    assert boss.add_items("summaries", big)["new"] == 2  # files of items may be larger


HOSTILE = ["\\u0000", "a\\u0000b", "\\ud800", "x\\udfffx", "\\uffff"]
"""As JSON writes them: PostgreSQL stores no NUL, nobody stores an unpaired surrogate."""
HUGE = ["0", "-1", "2147483648", "9223372036854775808", "9" * 40]


@pytest.mark.slow
def test_hostile_requests_are_refused_never_a_mistake_of_ours(studio: Studio) -> None:
    boss = studio.client("boss", "owner")
    boss.create_project(SETTINGS)
    boss.add_items("summaries", pairs(2))
    item = boss.next_item("summaries")["item"]
    token, at = boss._token, "/projects/summaries"
    bodies = [
        ("POST", "/projects", '{"name": "%s", "task": "comparison"}'),
        ("PUT", f"{at}/guideline", '{"text": "be %s fair"}'),
        (
            "PUT",
            f"{at}/settings",
            '{"name": "N", "task": "comparison", "overlap": 2, "question": "w%sw"}',
        ),
        ("POST", f"{at}/items", '{"items": [{"prompt": "p%s", "options": ["a", "b"]}]}'),
        (
            "POST",
            f"{at}/items",
            '{"items": [{"prompt": "p", "options": ["a", "b"], "meta": {"k%s": "v"}}]}',
        ),
        ("POST", f"{at}/items/pause", '{"keys": ["k%s"]}'),
        ("PUT", f"{at}/items/priorities", '{"priorities": {"k%s": 1}, "arm": "a"}'),
        ("POST", f"{at}/bots", '{"name": "bot %s"}'),
        ("PUT", f"{at}/members/p-boss/state", '{"state": "paused", "reason": "why %s"}'),
        (
            "POST",
            f"{at}/webhooks",
            '{"url": "https://example.org/%s", "kinds": ["answer.submitted"]}',
        ),
        ("POST", f"{at}/work/{item['view']}/skip", '{"lease": "%s", "reason": "unsure"}'),
        (
            "POST",
            f"{at}/work/{item['view']}/skip",
            '{"lease": "LEASE", "reason": "other", "note": "n%s"}',
        ),
        (
            "POST",
            f"{at}/work/{item['view']}/submit",
            '{"lease": "LEASE", "key": "12345678%s", "answer": {"tie": true}}',
        ),
        (
            "POST",
            f"{at}/work/{item['view']}/submit",
            '{"lease": "LEASE", "key": "12345678", "answer": {"preferred": "%s"}}',
        ),
        (
            "POST",
            f"{at}/judgements",
            '{"records": [{"id": "r%s", "kind": "thumb", "prompt": "p", "annotator": "a", "options": [{"id": "1", "content": "c", "shown_at": 0}], "choice": {"up": true}}]}',
        ),
    ]
    for method, path, body in bodies:
        for text in HOSTILE:
            sent = (body % text).replace("LEASE", item["lease"]).encode()
            assert status_of(studio, method, path, token, sent) < 500, (method, path, text)
    for where in ("%00", "a%00b", "%ff", "%ed%a0%80", "%F0%9F%98%80"):
        for path in (
            f"/projects/{where}",
            f"{at}/items/{where}",
            f"{at}/items?after={where}",
            f"{at}/answers?account={where}",
            f"{at}/answers?item={where}",
            f"{at}/events?kind={where}",
            f"{at}/export?shape={where}",
        ):
            assert status_of(studio, "GET", path, token) < 500, path
        assert status_of(studio, "POST", f"/answers/{where}/undo", token, b"{}") < 500
    for number in HUGE:
        for path in (
            f"{at}/guideline?version={number}",
            f"{at}/items?limit={number}",
            f"{at}/events?after={cursor(int(number))}",
        ):
            assert status_of(studio, "GET", path, token) < 500, path
        for path in (f"{at}/items?after={cursor(1.0, 0.5, int(number))}",):
            assert status_of(studio, "GET", path, token) < 500, path
        assert status_of(studio, "DELETE", f"{at}/webhooks/{number}", token) < 500
        for what in ("heartbeat", "skip", "submit"):
            sent = b'{"lease": "x", "reason": "unsure", "key": "12345678", "answer": {"tie": true}}'
            needed = {
                "heartbeat": b'{"lease": "x"}',
                "skip": b'{"lease": "x", "reason": "unsure"}',
            }.get(what, sent.replace(b'"reason": "unsure", ', b""))
            assert status_of(studio, "POST", f"{at}/work/{number}/{what}", token, needed) < 500, (
                number,
                what,
            )
    assert boss.verify("summaries")["whole"] is True


def status_of(studio: Studio, method: str, path: str, token: str, body: bytes | None = None) -> int:
    """The status of a call as it is on the wire; never too fast."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    while True:
        try:
            with urlopen(
                Request(f"{studio.url}/api/v1{path}", body, headers, method=method)
            ) as answer:
                return int(answer.status)
        except HTTPError as error:
            if error.code != 429:
                return error.code
        studio.db.clock.now += 60


def test_openapi_describes_everything(studio: Studio) -> None:
    with urlopen(f"{studio.url}/api/v1/openapi.json") as answer:
        described = json.loads(answer.read())
    assert described["info"]["description"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            assert operation["responses"].keys() >= {"401", "403", "429"}, (method, path)
            assert operation.get("security"), (method, path)
            assert "422" not in operation["responses"]
            assert list(operation["responses"]["400"]["content"]) == ["application/problem+json"]
    for name, schema in described["components"]["schemas"].items():
        if not name.startswith("Page_"):
            assert schema.get("description"), name


def test_an_owner_erases_somebody_by_program(studio: Studio) -> None:
    boss, mia = studio.client("boss", "owner"), studio.client("mia", "manager")
    narrow = studio.client("second", "owner", ("read", "annotate", "export"))
    made = boss.create_project(SETTINGS)["slug"]
    boss.add_items(made, pairs(2))
    bot = boss.make_bot(made, "Annabel")
    judge = Client(studio.url, bot["token"])
    judge.judge(made, lambda item: {"preferred": "1"})
    who = bot["account"]
    assert {
        "account": who,
        "name": "Annabel",
        "role": "annotator",
        "signs_in": "none",
    } in boss.people()
    for client in (mia, narrow, judge):
        for call in (
            client.people,
            lambda client=client: client.erasure(who),
            lambda client=client: client.erase(who, "Annabel", True),
        ):
            with pytest.raises(ApiError) as refused:
                call()
            assert refused.value.status == 403
    told = boss.erasure(who)
    assert (told["name"], told["answers"], told["goes"]["tokens"]) == ("Annabel", 2, 1)
    assert told["stays"] == {"replies": 0, "guidelines": 0}
    for account, name, status in ((who, "Anna", 409), ("p-boss", "boss", 409), ("a-x", "x", 404)):
        with pytest.raises(ApiError) as refused:
            boss.erase(account, name, True)
        assert refused.value.status == status
        assert refused.value.fix
    assert boss.erase(who, "Annabel", True) == {"account": who, "answers": 2}
    assert "Annabel" not in str(boss.people())
    with pytest.raises(ApiError) as refused:
        judge.me()
    assert refused.value.status == 401
    assert [answer["state"] for answer in boss.answers(made)] == ["erased", "erased"]
    assert boss.verify(made)["whole"]


# --- without a database ---------------------------------------------------------------------------
def test_the_limiter_refuses_and_recovers() -> None:
    clock, limiter = Clock(), Limiter(per_minute=60, burst=3)
    for _ in range(3):
        limiter.take("a", clock.now)
    with pytest.raises(TooMany) as caught:
        limiter.take("a", clock.now)
    assert caught.value.retry_at == pytest.approx(clock.now + 1)
    limiter.take("b", clock.now)
    clock.now += 1
    limiter.take("a", clock.now)
    assert limiter.refused == 1


class Flaky(BaseHTTPRequestHandler):
    """Answers 503 twice, then; or sends away."""

    calls: list[str]

    def do_GET(self) -> None:
        self.calls.append(self.headers["Authorization"])
        status = 302 if "away" in self.path else 503 if len(self.calls) < 3 else 200
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/api/v1/me")
        self.end_headers()
        self.wfile.write(b'{"name": "ada"}')

    do_POST = do_GET

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def flaky() -> Iterator[tuple[str, list[str]]]:
    Flaky.calls = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Flaky.calls
        server.shutdown()


def test_the_client_tries_again_where_that_is_harmless(
    flaky: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, calls = flaky
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert Client(url, "t").me() == {"name": "ada"}
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(ApiError) as caught:
        Client(url, "t").make_bot("p", "bot")
    assert (caught.value.status, len(calls)) == (503, 1)


def test_the_client_takes_its_token_nowhere_else(flaky: tuple[str, list[str]]) -> None:
    url, calls = flaky
    with pytest.raises(ApiError) as caught:
        Client(url, "secret", retries=0).project("away")
    assert (caught.value.status, len(calls)) == (302, 1)
    assert "secret" not in repr(Client(url, "secret"))
    with pytest.raises(ApiError, match="no answer"):
        Client("http://127.0.0.1:9", "t", retries=0).me()
