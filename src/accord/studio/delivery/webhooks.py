"""Others hear of a project's events: signed deliveries from a table of jobs, tried again, given up
with a word.

Signatures follow Standard Webhooks (github.com/standard-webhooks/standard-webhooks): headers
webhook-id, webhook-timestamp and webhook-signature = "v1," + base64(HMAC-SHA256(secret,
id.timestamp.body)). A delivery tells what happened (kind, subject, time), never the payload: who
wants it asks the API. Addresses inside private networks are refused unless allowed, at delivery
too, and the connection goes to the very address that was checked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import logging
import secrets
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from accord.errors import ConfigError
from accord.network import NO_ANSWER, http_client, post_pinned, why
from accord.studio.errors import FieldError, NotHere
from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Delivery, Event, Project, Webhook

LOG = logging.getLogger("accord.studio")
SECRET_PREFIX = "whsec_"
DELAYS = (5.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 43200.0)
"""Seconds until the next try; after the last one the webhook is disabled."""
TIMEOUT = 10.0
AT_ONCE = 5
HOLD = 3 * TIMEOUT * AT_ONCE + 30.0
"""A delivery under way is nobody else's for so long: connecting, greeting and answering of all that
were taken may time out."""
MOST_PER_PROJECT = 10
Kind = Literal[
    "answer.submitted", "answer.undone", "answer.withdrawn", "answer.excluded", "answer.erased",
    "answers.imported",
    "items.added", "items.prioritised", "guideline.published", "member.added", "member.role",
    "member.quarantined",
    "member.active", "project.changed", "project.paused", "project.resumed", "project.archived",
    "project.exported", "reward.learned", "view.skipped",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Due:
    """A delivery with what it takes to make it."""

    id: int
    url: str
    secret: str
    event: int
    attempts: int
    body: bytes
    message_id: str


@dataclass(frozen=True)
class Made:
    """A new webhook; the secret is shown once."""

    id: int
    secret: str


@dataclass(frozen=True)
class Standing:
    """A webhook and how it goes. waiting: deliveries still to be made; error: what went wrong last
    with them."""

    id: int
    url: str
    kinds: list[str]
    created_at: float
    disabled_at: float | None
    delivered: int
    waiting: int
    error: str | None


# --- addresses ------------------------------------------------------------------------------------
def resolve(url: str, private: bool = False) -> list[str]:
    """The addresses behind a URL; raises ConfigError unless it is https (http for private ones) to
    the outside."""
    if any(not character.isprintable() or character.isspace() for character in url):
        raise ConfigError(
            f"{url[:200]!r} holds a blank, a line break or another control character",
            "leave it out",
        )
    parts = urlsplit(url)
    if (
        parts.scheme not in ("https", "http")
        or not parts.hostname
        or parts.username
        or parts.password
    ):
        raise ConfigError(
            f"{url[:200]!r} is not an address for a webhook",
            "write it like https://example.org/hook",
        )
    if parts.scheme == "http" and not private:
        raise ConfigError(
            "a webhook goes over https: others could read and change it", "use an https address"
        )
    try:
        found = socket.getaddrinfo(
            parts.hostname,
            parts.port or (443 if parts.scheme == "https" else 80),
            type=socket.SOCK_STREAM,
        )
    except (OSError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"{parts.hostname} cannot be found: {error}", "check the address"
        ) from None
    addresses = sorted({str(entry[4][0]) for entry in found})
    inside = [a for a in addresses if not _is_outside(a)]
    if inside and not private:
        raise ConfigError(
            f"{parts.hostname} is {inside[0]}, an address inside a private network",
            "deliver to a public address, or start the studio with --private-webhooks",
        )
    return addresses


def _is_outside(text: str) -> bool:
    address = ipaddress.ip_address(text.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and any(address in network for network in _HOLD_IPV4):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_outside(str(inner))
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


_HOLD_IPV4 = [ipaddress.ip_network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")]
"""IPv6 networks whose addresses end with an IPv4 address: IPv4-compatible ones, NAT64."""


# --- keeping --------------------------------------------------------------------------------------
def add(
    db: Database,
    project_id: int,
    url: str,
    kinds: Sequence[str],
    by: str | None,
    private: bool = False,
) -> Made:
    """A webhook. Raises FieldError for a bad address, ConfigError for one too many."""
    try:
        resolve(url, private)
    except ConfigError as error:
        raise FieldError({"url": error.message}, error.fix) from None
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()

    def work(session: Session) -> int:
        count = session.scalar(select(func.count()).where(Webhook.project_id == project_id)) or 0
        if count >= MOST_PER_PROJECT:
            raise ConfigError(f"a project has at most {MOST_PER_PROJECT} webhooks", "remove one")
        hook = Webhook(
            project_id=project_id,
            url=url,
            secret=secret,
            kinds=sorted(set(kinds)),
            created_at=db.now(),
        )
        session.add(hook)
        session.flush()
        said = {"host": urlsplit(url).hostname, "kinds": sorted(set(kinds))}
        events.append(session, project_id, "webhook.added", "webhooks", by, db.now(), said)
        return hook.id

    return Made(db.transact(work), secret)


def standing(session: Session, project_id: int) -> list[Standing]:
    """A project's webhooks, oldest first."""
    rows = list(
        session.scalars(
            select(Webhook).where(Webhook.project_id == project_id).order_by(Webhook.id)
        )
    )
    waiting = Delivery.delivered_at.is_(None)
    query = select(Delivery.webhook_id, func.count(), func.max(Delivery.error)).group_by(
        Delivery.webhook_id
    )
    query = query.where(Delivery.webhook_id.in_([row.id for row in rows]))
    done = {hook: n for hook, n, _ in session.execute(query.where(~waiting))}
    left = {hook: (n, error) for hook, n, error in session.execute(query.where(waiting))}
    return [
        Standing(
            h.id,
            h.url,
            h.kinds,
            h.created_at,
            h.disabled_at,
            done.get(h.id, 0),
            *left.get(h.id, (0, None)),
        )
        for h in rows
    ]


def _own(session: Session, project_id: int, webhook_id: int) -> Webhook:
    found = session.get(Webhook, webhook_id)
    if found is None or found.project_id != project_id:
        raise NotHere("there is no such webhook")
    return found


def remove(db: Database, project_id: int, webhook_id: int, by: str | None) -> None:
    """End a webhook and what was still to be delivered."""

    def work(session: Session) -> None:
        hook = _own(session, project_id, webhook_id)
        session.execute(delete(Delivery).where(Delivery.webhook_id == hook.id))
        session.delete(hook)
        session.flush()
        events.append(
            session,
            project_id,
            "webhook.removed",
            "webhooks",
            by,
            db.now(),
            {"host": urlsplit(hook.url).hostname},
        )

    db.transact(work)


def enable(db: Database, project_id: int, webhook_id: int, by: str | None) -> None:
    """Try again what a disabled webhook missed."""

    def work(session: Session) -> None:
        hook = _own(session, project_id, webhook_id)
        hook.disabled_at = None
        waiting = select(Delivery).where(
            Delivery.webhook_id == hook.id, Delivery.delivered_at.is_(None)
        )
        for job in session.scalars(waiting):
            job.attempts, job.due_at = 0, db.now()
        session.flush()
        said = {"host": urlsplit(hook.url).hostname}
        events.append(session, project_id, "webhook.enabled", "webhooks", by, db.now(), said)

    db.transact(work)


def send_test(db: Database, project_id: int, webhook_id: int, private: bool = False) -> str | None:
    """Deliver a message of the type webhook.test now, once; returns what went wrong, None if it
    arrived. Raises NotHere."""
    with db.read() as session:
        hook = _own(session, project_id, webhook_id)
        slug = session.scalar(select(Project.slug).where(Project.id == project_id))
    at = datetime.fromtimestamp(db.now(), UTC).isoformat()
    body = json.dumps(
        {"type": "webhook.test", "timestamp": at, "data": {"project": slug}}, separators=(",", ":")
    ).encode()
    made = Due(0, hook.url, hook.secret, 0, 1, body, f"msg_{hook.id}_test_{secrets.token_hex(6)}")
    return deliver(made, db.now(), private)


# --- jobs -----------------------------------------------------------------------------------------
def enqueue(db: Database, batch: int = 500) -> int:
    """Make jobs of events that came since; returns how many. UNIQUE(webhook, event) keeps processes
    from doubling them."""

    def work(session: Session) -> int:
        made = 0
        hooks = (
            select(Webhook)
            .where(Webhook.disabled_at.is_(None))
            .order_by(Webhook.id)
            .with_for_update(skip_locked=True)
        )
        for hook in session.scalars(hooks):
            last = (
                session.scalar(
                    select(func.max(Delivery.event_id)).where(Delivery.webhook_id == hook.id)
                )
                or 0
            )
            fresh = (
                select(Event.id)
                .where(
                    Event.chain == hook.project_id,
                    Event.id > last,
                    Event.at >= hook.created_at,
                    Event.kind.in_(hook.kinds),
                )
                .order_by(Event.id)
                .limit(batch)
            )
            for event in session.scalars(fresh):
                session.add(
                    Delivery(webhook_id=hook.id, event_id=event, due_at=db.now(), attempts=0)
                )
                made += 1
        return made

    return db.transact(work)


def take(db: Database, count: int = AT_ONCE) -> list[Due]:
    """Due deliveries, held for this process (row locks; the due time moves on meanwhile)."""

    def work(session: Session) -> list[Due]:
        now = db.now()
        query = (
            select(Delivery, Webhook, Event, Project.slug)
            .join(Webhook, Webhook.id == Delivery.webhook_id)
            .join(Event, Event.id == Delivery.event_id)
            .join(Project, Project.id == Webhook.project_id)
            .where(
                Delivery.delivered_at.is_(None),
                Delivery.due_at <= now,
                Webhook.disabled_at.is_(None),
            )
            .order_by(Delivery.due_at)
            .limit(count)
            .with_for_update(of=Delivery, skip_locked=True)
        )
        found = []
        for job, hook, event, slug in session.execute(query):
            job.due_at, job.attempts = now + HOLD, job.attempts + 1
            at = datetime.fromtimestamp(event.at, UTC).isoformat()
            said = {
                "type": event.kind,
                "timestamp": at,
                "data": {
                    "project": slug,
                    "subject": event.subject,
                    "number": event.number,
                    "actor": event.actor,
                },
            }
            body = json.dumps(said, separators=(",", ":")).encode()
            found.append(
                Due(
                    job.id,
                    hook.url,
                    hook.secret,
                    event.id,
                    job.attempts,
                    body,
                    f"msg_{hook.id}_{event.id}",
                )
            )
        return found

    return db.transact(work)


def settle(db: Database, due: Due, error: str | None) -> None:
    """Note how a delivery went: done, again later, or given up and the webhook disabled."""

    def work(session: Session) -> None:
        job = session.get(Delivery, due.id, with_for_update=True)
        if job is None:
            return  # the webhook was removed meanwhile
        if error is None:
            job.delivered_at, job.error = db.now(), None
            return
        job.error = error[:500]
        if due.attempts <= len(DELAYS):
            job.due_at = db.now() + DELAYS[due.attempts - 1]
            return
        hook = session.get_one(Webhook, job.webhook_id)
        hook.disabled_at = db.now()
        session.flush()
        said = {"host": urlsplit(hook.url).hostname, "attempts": due.attempts}
        events.append(
            session, hook.project_id, "webhook.disabled", "webhooks", None, db.now(), said
        )
        LOG.warning("webhook %d disabled after %d tries: %s", hook.id, due.attempts, error)

    db.transact(work)


# --- delivering -----------------------------------------------------------------------------------
def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """As receivers compute it again: base64 HMAC-SHA256 of "id.timestamp.body" under the decoded
    secret."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def deliver(due: Due, now: float, private: bool = False) -> str | None:
    """Send one; returns what went wrong, None for a 2xx answer. Redirects are not followed."""
    try:
        address = resolve(due.url, private)[0]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": due.message_id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signature(due.secret, due.message_id, int(now), due.body),
        }
        with http_client(TIMEOUT, "accord-studio", proxies=False) as client:
            status = post_pinned(client, due.url, address, due.body, headers)
    except ConfigError as error:
        return error.message
    except (*NO_ANSWER, ValueError) as error:
        return f"{type(error).__name__}: {why(error)}"
    return None if 200 <= status < 300 else f"HTTP {status}"


def work_once(db: Database, private: bool = False) -> int:
    """Enqueue, take and deliver what is due now; returns how many were tried."""
    with db.read() as session:
        if session.scalar(select(Webhook.id).where(Webhook.disabled_at.is_(None)).limit(1)) is None:
            return 0  # nobody listens: nothing is written
    enqueue(db)
    jobs = take(db)
    for due in jobs:
        settle(db, due, deliver(due, db.now(), private))
    return len(jobs)


class Worker:
    """A thread that delivers; one per process, any number of processes."""

    def __init__(self, db: Database, private: bool = False, every: float = 2.0) -> None:
        self.db, self.private, self.every = db, private, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="accord-webhooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the delivery under way."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT + 1)

    def _run(self) -> None:
        while not self._end.wait(self.every):
            try:
                while work_once(self.db, self.private) and not self._end.is_set():
                    pass
            except Exception:  # a database that is away for a while must not end the deliveries
                LOG.exception("webhooks: will try again")
