"""What was answered, what happened, how good it is, and taking it out."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select, tuple_
from starlette.responses import Response

from accord.feedback.records import Feedback
from accord.studio.api.base import (
    After,
    ApiDep,
    Exporter,
    Limit,
    Looker,
    Manager,
    Page,
    Reviewer,
    Route,
    paged,
    position,
)  # fmt: skip
from accord.studio.bodies import Body
from accord.studio.delivery import exporting
from accord.studio.delivery.exporting import Wanted
from accord.studio.projects import importing
from accord.studio.queue import assigning
from accord.studio.queue.bodies import RetireIn
from accord.studio.storage import events
from accord.studio.storage.tables import Account, Answer, Event, Item

router = APIRouter(tags=["data"], route_class=Route)
Shape = Literal[exporting.SHAPES]  # type: ignore[valid-type]
TYPES = {".jsonl": "application/x-ndjson", ".csv": "text/csv; charset=utf-8"}


class AnswerOut(BaseModel):
    """An answer with its records."""

    id: str
    item: str
    account: str = Field(description="Public id of its author.")
    state: str = Field(description="live, undone, withdrawn, excluded or erased.")
    reason: str | None
    extra: bool
    correct: bool | None = Field(description="Of a gold item.")
    created_at: float
    active_seconds: float
    answer: dict[str, Any] | None
    records: list[dict[str, Any]] = Field(description="Feedback records, as an export has them.")


class EventOut(BaseModel):
    """Something that happened. payload null: erased."""

    number: int
    at: float
    actor: str | None
    kind: str
    subject: str
    payload: dict[str, Any] | None
    payload_hash: str
    previous: str
    hash: str = Field(
        description="SHA-256 over previous, number, at, actor, kind, subject and payload_hash."
    )


class VerifiedOut(BaseModel):
    """The log, computed again."""

    whole: bool
    broken: str | None = Field(description="What is wrong first.")
    events: int
    erased: int
    head: dict[str, Any] = Field(
        description="Number and hash of the last event; keep it elsewhere."
    )


class JudgementsIn(Body):
    """Judgements made elsewhere, as feedback records, about items of the project."""

    records: list[Feedback] = Field(min_length=1, max_length=2000)


class ImportedOut(BaseModel):
    """What became of them."""

    stored: int
    extra: int = Field(description="Of these, beyond the overlap.")
    repeated: int = Field(description="There before.")
    left_out: dict[str, int]


class QualityOut(BaseModel):
    """What the dashboard and the page of annotators show. Intervals are 95 %; null with a reason
    where nothing can be said."""

    progress: dict[str, int]
    computed_at: float | None = Field(description="Null: being computed, ask again.")
    answers: int = Field(description="From how many.")
    stale: bool = Field(description="More came since; new numbers are on their way.")
    overview: dict[str, Any] | None
    annotators: list[dict[str, Any]] | None


class CardOut(BaseModel):
    """The data card of an export, as data and as Markdown."""

    card: dict[str, Any]
    text: str


_ANSWERS = (
    select(Answer, Item.key, Account.public)
    .join(Item, Item.id == Answer.item_id)
    .join(Account, Account.id == Answer.account_id)
)


# --- answers --------------------------------------------------------------------------------------
@router.get("/projects/{slug}/answers", response_model=Page[AnswerOut], summary="Answers")
def list_answers(
    api: ApiDep,
    access: Looker,
    limit: Limit = 100,
    after: After = None,
    state: Annotated[
        Literal["live", "undone", "withdrawn", "excluded", "erased"] | None, Query()
    ] = None,
    account: Annotated[str | None, Query(max_length=32, description="Of one author.")] = None,
    item: Annotated[str | None, Query(max_length=64, description="To one item.")] = None,
) -> Any:
    """In the order they were given."""
    last = position(after, float, str)
    query = (
        _ANSWERS.where(Answer.project_id == access.project.id)
        .order_by(Answer.created_at, Answer.id)
        .limit(limit + 1)
    )
    if last is not None:
        query = query.where(tuple_(Answer.created_at, Answer.id) > tuple_(*last))
    for column, value in ((Answer.state, state), (Account.public, account), (Item.key, item)):
        if value is not None:
            query = query.where(column == value)
    with api.db.read() as session:
        rows: list[tuple[Any, ...]] = [tuple(row) for row in session.execute(query)]
    return paged(rows, limit, lambda row: (row[0].created_at, row[0].id), _answer)


def _answer(row: tuple[Any, ...]) -> dict[str, Any]:
    answer, item, account = row
    own = set(AnswerOut.model_fields) - {"item", "account"}
    return {"item": item, "account": account, **{name: getattr(answer, name) for name in own}}


@router.put(
    "/projects/{slug}/answers/{answer}/state",
    response_model=AnswerOut,
    summary="Take an answer out",
)
def retire(api: ApiDep, access: Reviewer, answer: str, wanted: RetireIn) -> Any:
    """Kept with the reason, never exported; its slot opens for others. Sent again, nothing
    changes."""
    take_out = assigning.withdraw if wanted.state == "withdrawn" else assigning.exclude
    theirs = Answer.project_id == access.project.id
    take_out(api.db, answer, wanted.reason, access.me.public, theirs)
    with api.db.read() as session:
        return _answer(tuple(session.execute(_ANSWERS.where(Answer.id == answer)).one()))


@router.post(
    "/projects/{slug}/judgements", response_model=ImportedOut, summary="Judgements from elsewhere"
)
def judgements(api: ApiDep, access: Manager, sent: JudgementsIn) -> Any:
    """Up to 2,000 records about items of the project. They are known by their ids: sending them
    again is harmless."""
    done = importing.import_judgements(api.db, access.project.id, sent.records, access.me.id)
    return dict(zip(ImportedOut.model_fields, done, strict=True))


# --- the log --------------------------------------------------------------------------------------
@router.get("/projects/{slug}/events", response_model=Page[EventOut], summary="The log")
def list_events(
    api: ApiDep,
    access: Looker,
    limit: Limit = 100,
    after: After = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
) -> Any:
    """Everything that happened, first to last, with the hashes that chain it."""
    last = position(after, int)
    query = (
        select(Event)
        .where(Event.chain == access.project.id)
        .order_by(Event.number)
        .limit(limit + 1)
    )
    if last is not None:
        query = query.where(Event.number > last[0])
    if kind is not None:
        query = query.where(Event.kind == kind)
    with api.db.read() as session:
        rows = list(session.scalars(query))
    return paged(
        rows,
        limit,
        lambda e: (e.number,),
        lambda e: {n: getattr(e, n) for n in EventOut.model_fields},
    )


@router.get("/projects/{slug}/events/verify", response_model=VerifiedOut, summary="Verify the log")
def verify(api: ApiDep, access: Looker) -> Any:
    """Compute every hash again; names the first event that was changed."""
    with api.db.read() as session:
        verified = events.verify(session, access.project.id)
    return {**asdict(verified), "whole": verified.broken is None}


# --- quality --------------------------------------------------------------------------------------
@router.get("/projects/{slug}/quality", response_model=QualityOut, summary="Quality")
def quality(api: ApiDep, access: Looker) -> Any:
    """Progress, agreement with the ceiling it sets for a reward model, position bias, gold, and
    every annotator's model."""
    overview, people = (
        api.stats_cache.get(access.project.id, part) for part in ("overview", "people")
    )
    report = {
        "progress": asdict(assigning.progress(api.db, access.project.id)),
        "computed_at": overview.at,
        "answers": overview.answers,
        "stale": overview.stale or people.stale,
        "overview": None if overview.value is None else asdict(overview.value),
        "annotators": None if people.value is None else [asdict(row) for row in people.value.rows],
    }
    return finite(report)


def finite(value: Any) -> Any:
    """JSON knows no NaN: what is undefined is null."""
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- exports --------------------------------------------------------------------------------------
@router.get("/projects/{slug}/export", summary="Export", response_class=Response)
def export(
    api: ApiDep,
    access: Exporter,
    shape: Annotated[Shape, Query()] = "accord",
    gold: Annotated[bool, Query(description="Items with known answers too.")] = False,
    skips: Annotated[bool, Query(description="Who skipped what, as records.")] = False,
    columns: Annotated[
        bool, Query(description="Who, when, order shown, weight and soft label beside each row.")
    ] = True,
    hash_annotators: Annotated[
        bool, Query(description="Annotators, sittings and record ids under a keyed hash.")
    ] = False,
) -> Response:
    """The data as JSON lines (tables: CSV). What stays behind is counted in the header
    `X-Accord-Left-Out` and the card."""
    wanted = Wanted(shape, gold, skips, columns, hash_annotators)
    bundle = exporting.bundle(
        exporting.collect(api.db, access.project.id, gold, skips), wanted, access.project.slug
    )
    exporting.note_export(api.db, access.project.id, bundle, access.me.public)
    name = f"{access.project.slug}-{shape}{bundle.suffix}"
    left_out = sum(bundle.collected.left_out.values()) + sum(bundle.exported.left_out.values())
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Accord-Left-Out": str(left_out),
    }
    if bundle.salt is not None:
        headers["X-Accord-Salt"] = bundle.salt
    return Response(bundle.data, media_type=TYPES[bundle.suffix], headers=headers)


@router.get("/projects/{slug}/export/card", response_model=CardOut, summary="The data card")
def card(
    api: ApiDep, access: Exporter, shape: Annotated[Shape, Query()] = "accord", gold: bool = False
) -> Any:
    """What an export would hold: kinds, annotators, coverage, agreement, what is left out and why,
    the log's head."""
    bundle = exporting.bundle(
        exporting.collect(api.db, access.project.id, gold), Wanted(shape, gold), access.project.slug
    )
    return {"card": bundle.card_json, "text": bundle.card}
