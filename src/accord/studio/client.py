"""The studio from Python: `Client(url, token)`. Retries what is harmless to repeat.

studio = Client("http://127.0.0.1:8600", "accord_…")
studio.add_items("summaries", [{"prompt": "…", "options": ["…", "…"]}])
studio.judge("summaries", lambda item: {"preferred": "1"})
open("feedback.jsonl", "w").write(studio.export("summaries"))
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from httpx2 import Response

from accord.errors import AccordError, ConfigError
from accord.network import NO_ANSWER, http_client, why

Json = dict[str, Any]
AGAIN = (429, 502, 503, 504)
"""Answers after which a call that may be repeated is repeated."""
BATCH = 1000


class ApiError(AccordError):
    """What the studio refused: `status` as in HTTP (0: no answer came), `field` at fault if one
    is."""

    def __init__(
        self, status: int, message: str, fix: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message, fix)
        self.status, self.field = status, field
        self.wait: float | None = None


class Client:
    """A studio, as one account sees it. Every method raises ApiError with what was wrong and what
    to do."""

    def __init__(self, url: str, token: str, timeout: float = 30.0, retries: int = 4) -> None:
        """url: where the studio's home page is; timeout: seconds per call; retries: of calls that
        may be repeated."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(
                f"{url!r} is not the address of a studio", "write it like http://127.0.0.1:8600"
            )
        self.base = f"{url.rstrip('/')}/api/v1"
        if not token.isascii():
            raise ConfigError("the token holds characters that no token has", "copy it again")
        self.retries, self._token = retries, token
        self._client = http_client(timeout, "accord")
        self._client.headers |= {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def __repr__(self) -> str:
        return f"Client({self.base.removesuffix('/api/v1')!r})"  # never the token

    # --- projects ---------------------------------------------------------------------------------
    def me(self) -> Json:
        """Who the token stands for: {account, name, role, scopes}."""
        return self._json("GET", "/me")

    def projects(self) -> Iterator[Json]:
        """Projects the account takes part in."""
        return self._pages("/projects")

    def project(self, slug: str) -> Json:
        """Settings and progress."""
        return self._json("GET", _path(slug))

    def create_project(self, settings: Mapping[str, Any], key: str | None = None) -> Json:
        """Make a project. key: the same key, the same project; one is drawn unless given."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._json("POST", "/projects", settings, headers=headers)

    def guideline(self, slug: str) -> Json:
        """The newest version: {version, text, created_at}."""
        return self._json("GET", _path(slug, "guideline"))

    def set_guideline(self, slug: str, text: str) -> Json:
        """Publish a version, unless the text is the newest one's."""
        return self._json("PUT", _path(slug, "guideline"), {"text": text})

    def add_items(self, slug: str, items: Sequence[Mapping[str, Any]]) -> Json:
        """Add items, in batches: {new, duplicates, bad: {reason: count}}. Items that are there
        already stay single."""
        total: Json = {"new": 0, "duplicates": 0, "bad": {}}
        for start in range(0, len(items), BATCH):
            done = self._json(
                "POST", _path(slug, "items"), {"items": list(items[start : start + BATCH])}
            )
            total["new"] += done["new"]
            total["duplicates"] += done["duplicates"]
            for reason, count in done["bad"].items():
                total["bad"][reason] = total["bad"].get(reason, 0) + count
        return total

    def items(self, slug: str, **filters: str) -> Iterator[Json]:
        """Items as managers see them; filters: state, purpose."""
        return self._pages(_path(slug, "items"), filters)

    def set_priorities(
        self, slug: str, priorities: Mapping[str, float], arm: str, random_share: float = 0.2
    ) -> Json:
        """What comes first, beside an arm of chance; returns items per arm."""
        body = {"priorities": dict(priorities), "arm": arm, "random_share": random_share}
        return self._json("PUT", _path(slug, "items", "priorities"), body)

    def make_bot(self, slug: str, name: str) -> Json:
        """An annotator that is a program: {account, token}. The token is shown once."""
        return self._json("POST", _path(slug, "bots"), {"name": name}, repeat=False)

    # --- people -----------------------------------------------------------------------------------
    def people(self) -> list[Json]:
        """Everybody in the house: [{account, name, role, signs_in}]; for its owners."""
        return self._list("GET", "/people")

    def erasure(self, account: str) -> Json:
        """What erasing somebody would do: {account, name, goes, answers, stays}."""
        return self._json("GET", f"/people/{quote(account, safe='')}/erasure")

    def erase(self, account: str, name: str, answers: bool) -> Json:
        """Erase somebody who asked for it, for good: {account, answers}. name: theirs, as a
        check; answers: whatever they answered goes too."""
        body = {"name": name, "answers": answers}
        path = f"/people/{quote(account, safe='')}/erasure"
        return self._json("POST", path, body, repeat=False)

    # --- judging ----------------------------------------------------------------------------------
    def next_item(self, slug: str) -> Json:
        """{item} to judge, or {reason, detail, retry_at}; asking twice gives the same item."""
        return self._json("POST", _path(slug, "work", "next"), {})

    def submit(
        self,
        slug: str,
        item: Mapping[str, Any],
        answer: Mapping[str, Any],
        active_seconds: float = 0,
    ) -> Json:
        """Send an answer; options are named by place. The receipt comes once it is stored; repeated
        calls store it once."""
        key = f"{item['view']}-{item['lease']}"[:64]  # one answer per showing
        body = {
            "lease": item["lease"],
            "key": key,
            "answer": dict(answer),
            "active_seconds": active_seconds,
        }
        return self._json("POST", _path(slug, "work", str(item["view"]), "submit"), body)

    def skip(
        self, slug: str, item: Mapping[str, Any], reason: str, note: str | None = None
    ) -> Json:
        """Give an item back for others."""
        body = {"lease": item["lease"], "reason": reason, "note": note}
        return self._json(
            "POST", _path(slug, "work", str(item["view"]), "skip"), body, repeat=False
        )

    def undo(self, answer_id: str) -> Json:
        """Take one's own answer back, within a minute."""
        return self._json("POST", f"/answers/{quote(answer_id, safe='')}/undo", {}, repeat=False)

    def judge(
        self, slug: str, answer: Callable[[Json], Mapping[str, Any] | None], most: int | None = None
    ) -> int:
        """Answer items until there are none (or `most`); returns how many. `answer` gets an item
        and returns the answer, None to skip as unsure."""
        done = 0
        while most is None or done < most:
            item = self.next_item(slug)["item"]
            if item is None:
                break
            began = time.monotonic()
            judgement = answer(item)
            if judgement is None:
                self.skip(slug, item, "unsure")
            else:
                self.submit(slug, item, judgement, time.monotonic() - began)
                done += 1
        return done

    # --- results ----------------------------------------------------------------------------------
    def answers(self, slug: str, **filters: str) -> Iterator[Json]:
        """Answers with their records; filters: state, account, item."""
        return self._pages(_path(slug, "answers"), filters)

    def events(self, slug: str, **filters: str) -> Iterator[Json]:
        """The log; filters: kind."""
        return self._pages(_path(slug, "events"), filters)

    def verify(self, slug: str) -> Json:
        """Whether the log is whole: {whole, broken, events, erased, head}."""
        return self._json("GET", _path(slug, "events", "verify"))

    def quality(self, slug: str) -> Json:
        """Progress, agreement, annotators, alarms, as the dashboard shows them."""
        return self._json("GET", _path(slug, "quality"))

    def add_judgements(self, slug: str, records: Sequence[Mapping[str, Any]]) -> Json:
        """Judgements made elsewhere, as feedback records: {stored, extra, repeated, left_out}."""
        total: Json = {"stored": 0, "extra": 0, "repeated": 0, "left_out": {}}
        for start in range(0, len(records), BATCH):
            done = self._json(
                "POST", _path(slug, "judgements"), {"records": list(records[start : start + BATCH])}
            )
            for name in ("stored", "extra", "repeated"):
                total[name] += done[name]
            for reason, count in done["left_out"].items():
                total["left_out"][reason] = total["left_out"].get(reason, 0) + count
        return total

    def export(self, slug: str, shape: str = "accord", **wanted: bool) -> str:
        """The data as text: JSON lines, or CSV for tables. wanted: gold, skips, columns,
        hash_annotators."""
        asked = {"shape": shape, **wanted}
        return self._text("GET", _path(slug, "export"), params=asked)

    def card(self, slug: str, shape: str = "accord") -> Json:
        """The data card of an export: {card, text}."""
        return self._json("GET", _path(slug, "export", "card"), params={"shape": shape})

    # --- webhooks ---------------------------------------------------------------------------------
    def webhooks(self, slug: str) -> list[Json]:
        """Who hears of the project's events: [{id, url, kinds, delivered, waiting, error, …}];
        needs the scope manage."""
        return self._list("GET", _path(slug, "webhooks"))

    def add_webhook(
        self, slug: str, url: str, kinds: Sequence[str] = ("answer.submitted",)
    ) -> Json:
        """Add one: {id, secret}. The secret is shown once."""
        return self._json(
            "POST", _path(slug, "webhooks"), {"url": url, "kinds": list(kinds)}, repeat=False
        )

    def test_webhook(self, slug: str, webhook: int) -> Json:
        """Deliver a test now: {delivered, error}."""
        return self._json("POST", _path(slug, "webhooks", str(webhook), "test"), {})

    def enable_webhook(self, slug: str, webhook: int) -> list[Json]:
        """Deliver again after it was given up, what was missed as well; returns all."""
        return self._list("POST", _path(slug, "webhooks", str(webhook), "enable"))

    def remove_webhook(self, slug: str, webhook: int) -> list[Json]:
        """End one; returns those that are left."""
        return self._list("DELETE", _path(slug, "webhooks", str(webhook)), repeat=False)

    # --- how --------------------------------------------------------------------------------------
    def _pages(self, path: str, filters: Mapping[str, str] | None = None) -> Iterator[Json]:
        after: str | None = None
        while True:
            asked = {**(filters or {}), "limit": "200", **({"after": after} if after else {})}
            page = self._json("GET", path, params=asked)
            yield from page["data"]
            after = page["next"]
            if after is None:
                return

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = True,
        params: Mapping[str, Any] | None = None,
    ) -> Json:
        reply: Json = json.loads(self._text(method, path, body, headers, repeat, params))
        return reply

    def _list(self, method: str, path: str, repeat: bool = True) -> list[Json]:
        reply: list[Json] = json.loads(
            self._text(method, path, None if method != "POST" else {}, None, repeat)
        )
        return reply

    def _text(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = True,
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Call, and call again after failures that may pass: at once after a second, then twice as
        late, or when told."""
        for attempt in range(self.retries + 1):
            try:
                return self._once(method, path, body, headers, params)
            except ApiError as error:
                refused = error.status == 429  # nothing was done: any call may be repeated
                passing = error.status in (0, *AGAIN)
                if attempt == self.retries or not passing or not (repeat or refused):
                    raise
                time.sleep(error.wait or min(30.0, 2**attempt * random.uniform(0.5, 1.0)))
        raise AssertionError("unreachable")

    def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        params: Mapping[str, Any] | None,
    ) -> str:
        sent = dict(headers or {}) | ({} if body is None else {"Content-Type": "application/json"})
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = self._client.request(
                method, f"{self.base}{path}", content=data, headers=sent, params=params
            )
        except NO_ANSWER as error:
            raise ApiError(
                0, f"no answer from {self.base}: {why(error)}", "is the studio running there?"
            ) from None
        if not answer.is_success:
            raise _refusal(answer)
        return answer.content.decode()


def _path(slug: str, *parts: str) -> str:
    return "/".join(["/projects", *(quote(part, safe="") for part in (slug, *parts))])


def _refusal(answer: Response) -> ApiError:
    """The studio's problem+json as an exception."""
    status = answer.status_code
    try:
        problem = answer.json()
        refusal = ApiError(status, problem["detail"], problem.get("fix"), problem.get("field"))
    except (ValueError, KeyError, TypeError):
        refusal = ApiError(
            status,
            f"HTTP {status} {answer.reason_phrase}",
            "is this the address of an accord studio?",
        )
    wait = answer.headers.get("Retry-After", "")
    if wait.isdigit():
        refusal.wait = min(60.0, float(wait))
    return refusal
