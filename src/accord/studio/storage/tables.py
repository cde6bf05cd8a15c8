"""What the studio keeps. Times are seconds since 1970, UTC; JSON columns hold plain lists and
mappings.

What must never happen is a constraint here, not a check elsewhere: an item has its slots before
anyone asks for one, a slot has at most one answer, an annotator sees an item at most once, a view
has at most one live answer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""


_NULLABLE = JSON(none_as_null=True)
"""JSON where None is the database's NULL."""


def _key() -> Mapped[int]:
    return mapped_column(Integer, primary_key=True, autoincrement=True)


# --- people ---------------------------------------------------------------------------------------
class Account(Base):
    """A person. `public` stands for them in records; attributes are what they chose to say about
    themselves."""

    __tablename__ = "account"

    id: Mapped[int] = _key()
    public: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password: Mapped[str | None] = mapped_column(String(200))  # argon2id; None: signs in elsewhere
    subject: Mapped[str | None] = mapped_column(
        String(255), unique=True
    )  # issuer and subject of OpenID Connect
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(Float)
    disabled_at: Mapped[float | None] = mapped_column(Float)
    erased_at: Mapped[float | None] = mapped_column(Float)
    language: Mapped[str] = mapped_column(String(12), default="en")
    preferences: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class Login(Base):
    """A server-side session; the cookie holds the token whose SHA-256 is the key."""

    __tablename__ = "login"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    session: Mapped[str] = mapped_column(String(32), unique=True)  # names the sitting in records
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float)


class ApiToken(Base):
    """A program's key: only its SHA-256 is kept."""

    __tablename__ = "api_token"

    id: Mapped[int] = _key()
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float | None] = mapped_column(Float)
    used_at: Mapped[float | None] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float)


class Invitation(Base):
    """A link that makes an account, or a member of a project, up to `uses` times."""

    __tablename__ = "invitation"

    id: Mapped[int] = _key()
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("project.id"))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float)
    uses: Mapped[int] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(Integer, default=0)


class PasswordLink(Base):
    """A link with which somebody sets a new password: one per account, gone once it was used."""

    __tablename__ = "password_link"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256 of its secret
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), unique=True)
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float)


class Attempt(Base):
    """Tries at something that is limited in rate (signing in, joining), by a hash of who tries."""

    __tablename__ = "attempt"

    id: Mapped[int] = _key()
    subject: Mapped[str] = mapped_column(String(80), index=True)
    at: Mapped[float] = mapped_column(Float, index=True)


class SignInUnderWay(Base):
    """Somebody is at the provider of OpenID Connect and will come back; see identities.py. Gone
    once they did."""

    __tablename__ = "sign_in_under_way"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256 of the state
    browser: Mapped[str] = mapped_column(String(64))  # SHA-256 of the cookie it was begun with
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(64))
    goal: Mapped[str] = mapped_column(String(16))
    destination: Mapped[str] = mapped_column(Text)
    invitation: Mapped[str | None] = mapped_column(String(64))  # hash of the link
    name: Mapped[str | None] = mapped_column(String(80))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    expires_at: Mapped[float] = mapped_column(Float, index=True)


# --- projects -------------------------------------------------------------------------------------
class Project(Base):
    """Something to be judged; `settings` is a validated `ProjectSettings`."""

    __tablename__ = "project"

    id: Mapped[int] = _key()
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    seed: Mapped[int] = mapped_column(Integer)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[float] = mapped_column(Float)
    paused_at: Mapped[float | None] = mapped_column(Float)
    archived_at: Mapped[float | None] = mapped_column(Float)


class Guideline(Base):
    """What annotators are asked to judge by; never changed, only followed by a new version."""

    __tablename__ = "guideline"
    __table_args__ = (UniqueConstraint("project_id", "version"),)

    id: Mapped[int] = _key()
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    version: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[float] = mapped_column(Float)


class Membership(Base):
    """Somebody's part in a project. Its row is what one annotator's requests queue up behind.

    state: active, paused (by a manager), quarantined (by an alarm; answers kept, not exported),
    removed.
    """

    __tablename__ = "membership"

    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default="active")
    reason: Mapped[str | None] = mapped_column(Text)
    trusted: Mapped[bool] = mapped_column(Boolean, default=False)  # belongs to the reference set
    guideline_read: Mapped[int | None] = mapped_column(Integer)  # version
    qualified_at: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[float] = mapped_column(Float)


class Item(Base):
    """A prompt with the options to be judged: [{id, content, producer}], in canonical order.

    tools, chat_template_kwargs, weight: as in a feedback record, into which they go.
    purpose: "work", "gold" (the right answer is known) or "screening" (gold, before the work);
    `draw` in [0, 1) breaks ties of priority; `state` is active, paused, or full (every slot of the
    work is filled: the queue need not look).
    """

    __tablename__ = "item"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        Index("item_by_priority", "project_id", "purpose", "state", "priority", "draw"),
    )

    id: Mapped[int] = _key()
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    key: Mapped[str] = mapped_column(String(64))
    prompt: Mapped[Any] = mapped_column(JSON)
    options: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    tools: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list, server_default="[]")
    chat_template_kwargs: Mapped[dict[str, Any]] = mapped_column(
        JSON, default=dict, server_default="{}"
    )
    weight: Mapped[float] = mapped_column(Float, default=1.0, server_default="1")
    purpose: Mapped[str] = mapped_column(String(16), default="work")
    gold: Mapped[dict[str, Any] | None] = mapped_column(
        _NULLABLE
    )  # the expected answer, in the browser's form
    assistance: Mapped[dict[str, Any] | None] = mapped_column(
        _NULLABLE
    )  # of a study: claims, placebo, flaws; see projects/studies.py
    categories: Mapped[list[str]] = mapped_column(JSON, default=list)
    priority: Mapped[float] = mapped_column(Float, default=0.0)
    draw: Mapped[float] = mapped_column(Float)
    selected_by: Mapped[str] = mapped_column(
        String(24), default="random"
    )  # the arm that asked for it
    state: Mapped[str] = mapped_column(String(16), default="active")
    meta: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


# --- work -----------------------------------------------------------------------------------------
class Slot(Base):
    """Room for one answer to an item: free, leased by a view until `expires_at`, or filled by an
    answer."""

    __tablename__ = "slot"
    __table_args__ = (
        UniqueConstraint("item_id", "number"),
        Index("slot_open", "project_id", "answer_id", "expires_at"),
        Index("slot_of_item", "item_id", "answer_id"),
    )

    id: Mapped[int] = _key()
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    number: Mapped[int] = mapped_column(Integer)
    view_id: Mapped[int | None] = mapped_column(
        ForeignKey("view.id", use_alter=True, name="slot_view")
    )
    expires_at: Mapped[float | None] = mapped_column(Float)
    answer_id: Mapped[str | None] = mapped_column(String(32), unique=True)


class View(Base):
    """An item as shown to one annotator: `shown` holds option ids in order and what was masked.

    state: served, answered or skipped. `lease` changes whenever the view is served anew.
    """

    __tablename__ = "view"
    __table_args__ = (
        UniqueConstraint("item_id", "account_id"),
        Index("view_of", "account_id", "project_id", "state"),
    )

    id: Mapped[int] = _key()
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    slot_id: Mapped[int | None] = mapped_column(ForeignKey("slot.id"), index=True)
    lease: Mapped[str] = mapped_column(String(32), unique=True)
    expires_at: Mapped[float] = mapped_column(Float)
    served_at: Mapped[float] = mapped_column(Float)
    guideline: Mapped[int] = mapped_column(Integer)
    shown: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), default="served")
    skip_reason: Mapped[str | None] = mapped_column(String(24))
    skip_note: Mapped[str | None] = mapped_column(Text)
    draft: Mapped[dict[str, Any] | None] = mapped_column(_NULLABLE)
    active_seconds: Mapped[float] = mapped_column(Float, default=0.0)


class Answer(Base):
    """What somebody answered: `records` are the feedback records it became.

    state: live, undone (by its author, at once), withdrawn, excluded (by a reviewer, with a
    reason), erased. `extra` came when every slot was filled. `live_view_id` repeats `view_id` while
    the answer is live.
    """

    __tablename__ = "answer"
    __table_args__ = (
        UniqueConstraint("account_id", "key"),
        Index("answer_of_project", "project_id", "state", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    view_id: Mapped[int] = mapped_column(ForeignKey("view.id"), index=True)
    live_view_id: Mapped[int | None] = mapped_column(Integer, unique=True)
    key: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any] | None] = mapped_column(_NULLABLE)
    records: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    extra: Mapped[bool] = mapped_column(Boolean, default=False)
    correct: Mapped[bool | None] = mapped_column(Boolean)  # of a gold item
    state: Mapped[str] = mapped_column(String(16), default="live")
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float)
    active_seconds: Mapped[float] = mapped_column(Float)


class Question(Base):
    """Asked about the guideline or an item, and answered for all."""

    __tablename__ = "question"

    id: Mapped[int] = _key()
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    item_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float)
    reply: Mapped[str | None] = mapped_column(Text)
    replied_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    replied_at: Mapped[float | None] = mapped_column(Float)


# --- the log and what leaves the house ------------------------------------------------------------
class Chain(Base):
    """The head of a hash chain of events: one per project, 0 for the house. Its row is what appends
    queue up behind."""

    __tablename__ = "chain"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, default=0)
    hash: Mapped[str] = mapped_column(String(64))


class Event(Base):
    """Something that happened; never changed. Erasing takes payload and salt away, the chain still
    holds."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("chain", "number"),
        Index("event_subject", "chain", "subject"),
    )

    id: Mapped[int] = _key()
    chain: Mapped[int] = mapped_column(ForeignKey("chain.id"))
    number: Mapped[int] = mapped_column(Integer)
    at: Mapped[float] = mapped_column(Float)
    actor: Mapped[str | None] = mapped_column(String(32))  # an account's public id
    kind: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(80))
    payload: Mapped[dict[str, Any] | None] = mapped_column(_NULLABLE)
    salt: Mapped[str | None] = mapped_column(String(32))
    payload_hash: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class Webhook(Base):
    """Somebody else's address that hears of a project's events."""

    __tablename__ = "webhook"

    id: Mapped[int] = _key()
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), index=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(80))
    kinds: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Float)
    disabled_at: Mapped[float | None] = mapped_column(Float)


class Delivery(Base):
    """One event on its way to a webhook: a job that any worker may take."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id"),
        Index("delivery_due", "delivered_at", "due_at"),
    )

    id: Mapped[int] = _key()
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"))
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"))
    due_at: Mapped[float] = mapped_column(Float)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    delivered_at: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
