"""Webhooks: signed, tried again, given up with a word, never into a private network; on SQLite and
PostgreSQL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from studio_rooms import Clock, Receiver, answer, person, project, served

from accord.errors import ConfigError
from accord.studio.delivery import webhooks
from accord.studio.queue import assigning
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Delivery, Event, Webhook


def test_what_happens_is_heard_once_and_signed(db: Database, receiver: Receiver) -> None:
    made = project(db)
    ada = person(db, "ada", made)
    secret = webhooks.add(db, made, receiver.url, ["answer.submitted"], None, private=True).secret
    receipt = answer(db, ada, served(db, made, ada))
    assert webhooks.work_once(db, private=True) == 1
    assert webhooks.work_once(db, private=True) == 0
    ((headers, body),) = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(
        base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256
    ).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    said = json.loads(body)
    assert (said["type"], said["data"]["subject"], said["data"]["project"]) == (
        "answer.submitted",
        receipt.answer_id,
        "test",
    )
    assert b"preferred" not in body  # what was said is not told


def test_a_reference_signature() -> None:
    """The example of the Standard Webhooks specification's libraries."""
    body, at = b'{"test": 2432232314}', 1614265330
    signed = webhooks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_failures_are_tried_later_and_given_up_with_an_event(
    db: Database, clock: Clock, receiver: Receiver
) -> None:
    made = project(db)
    ada = person(db, "ada", made)
    webhooks.add(db, made, receiver.url, ["answer.submitted"], None, private=True)
    answer(db, ada, served(db, made, ada))
    receiver.status = 302  # not followed
    waits = []
    for _ in range(len(webhooks.DELAYS) + 1):
        assert webhooks.work_once(db, private=True) == 1
        with db.read() as session:
            job = session.scalars(select(Delivery)).one()
        waits.append(job.due_at - clock.now)
        assert webhooks.work_once(db, private=True) == 0
        clock.now += max(waits[-1], 0) + 1
    assert waits[:-1] == list(webhooks.DELAYS)
    assert len(receiver.got) == len(webhooks.DELAYS) + 1
    with db.read() as session:
        hook = session.scalars(select(Webhook)).one()
        assert hook.disabled_at is not None
        assert session.scalars(select(Delivery)).one().error == "HTTP 302"
        assert (
            session.scalar(select(Event.kind).where(Event.kind == "webhook.disabled")) is not None
        )
    receiver.status = 200
    webhooks.enable(db, made, hook.id, None)
    assert webhooks.work_once(db, private=True) == 1
    with db.read() as session:
        assert session.scalars(select(Delivery)).one().delivered_at is not None


def test_two_processes_deliver_nothing_twice(db: Database, receiver: Receiver) -> None:
    made = project(db)
    webhooks.add(db, made, receiver.url, ["answer.submitted"], None, private=True)
    for name in ("ada", "bob"):
        who = person(db, name, made)
        while isinstance(view := assigning.next_view(db, made, who), assigning.Served):
            answer(db, who, view)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: webhooks.work_once(db, private=True), range(4)))
    webhooks.work_once(db, private=True)
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 4


def test_a_removed_webhook_hears_no_more(db: Database, receiver: Receiver) -> None:
    made = project(db)
    webhooks.add(db, made, receiver.url, ["answer.submitted"], None, private=True)
    ada = person(db, "ada", made)
    answer(db, ada, served(db, made, ada))
    webhooks.enqueue(db)
    with db.read() as session:
        hook = session.scalars(select(Webhook.id)).one()
    webhooks.remove(db, made, hook, None)
    assert webhooks.work_once(db, private=True) == 0
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://169.254.169.254/latest",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fd00::1]/", "https://192.168.1.1:8443/x", "ftp://example.org/",
        "https://user:word@example.org/", "https://0.0.0.0/", "https://100.64.0.1/", "https://2130706433/", "https://[2002:7f00:1::]/",
        "https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b:1::10.0.0.1]/", "https://[::127.0.0.1]/", "https://[::192.168.0.1]/",
        "https://[fec0::1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://93.184.216.34/\r\nHost: inside", "https://93.184.216.34/a b", "https://93.184.216.34\n/",
    ],
)  # fmt: skip
def test_private_and_odd_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        webhooks.resolve(url)


def test_addresses_outside_are_taken() -> None:
    for host in ("93.184.216.34", "[2606:4700::1111]", "[64:ff9b::93.184.216.34]"):
        assert webhooks.resolve(f"https://{host}/hook?x=%0A")


def test_a_name_that_turns_private_is_refused_at_delivery(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    port = int(receiver.url.split(":")[2].split("/")[0])
    due = webhooks.Due(1, f"https://rebind.example:{port}/", "whsec_AAAA", 1, 1, b"{}", "msg_1")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))])
    assert "inside a private network" in str(webhooks.deliver(due, time.time()))
    assert receiver.got == []


def test_the_thread_delivers_by_itself(db: Database, receiver: Receiver) -> None:
    made = project(db)
    webhooks.add(db, made, receiver.url, ["answer.submitted"], None, private=True)
    worker = webhooks.Worker(db, private=True, every=0.02)
    worker.start()
    ada = person(db, "ada", made)
    answer(db, ada, served(db, made, ada))
    end = time.monotonic() + 20
    while not receiver.got and time.monotonic() < end:
        time.sleep(0.02)
    worker.stop()
    assert len(receiver.got) == 1
