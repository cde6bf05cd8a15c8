"""The work page and what its script asks for: one item at a time, kept, sent, taken back."""

from __future__ import annotations

import logging
import mimetypes
import secrets
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import FileResponse, JSONResponse, Response

from accord.studio.bodies import read
from accord.studio.errors import AnswerError
from accord.studio.people import members, self_service, wellbeing
from accord.studio.projects import listing
from accord.studio.queue import assigning, workload
from accord.studio.queue.assigning import SKIP_REASONS, Nothing
from accord.studio.queue.bodies import (
    PageClaims,
    PageDraft,
    PageHeartbeat,
    PageQuestion,
    PageSkip,
    PageSubmit,
    PageTurn,
    PageUndo,
)
from accord.studio.storage.tables import Account, Question, View
from accord.studio.tasks import blinding, helping, presenting
from accord.studio.tasks.chat import ChatError
from accord.studio.tasks.clips import clip_file, clip_headers
from accord.studio.tasks.markup import safe_html
from accord.studio.web.context import (
    Json,
    Participant,
    ProjectAccess,
    Studio,
    StudioDep,
    Worker,
    go,
    page,
    words_for,
)

router = APIRouter(prefix="/p/{slug}")
M = TypeVar("M", bound=BaseModel)
LOG = logging.getLogger("accord.studio")


def newest_guideline(studio: Studio, project_id: int) -> int:
    """Number of the guideline's current version."""
    with studio.db.read() as session:
        return listing.newest_version(session, project_id)


@router.get("/work")
def work(request: Request, studio: StudioDep, access: Worker) -> Response:
    """The page; its script fetches the items. The guideline is read first."""
    if access.member is None:
        return page(request, "no_member.html.j2", 403, access=access)
    version = newest_guideline(studio, access.project.id)
    if (access.member.guideline_read or 0) < version:
        return go(f"/p/{access.project.slug}/guideline")
    with studio.db.read() as session:
        account = session.get_one(Account, access.me.id)
    t = words_for(request)
    config = {
        "base": f"/p/{access.project.slug}/work",
        "settings": access.settings.model_dump(
            mode="json", exclude={"guideline", "mask", "gold_rate", "qualification", "assistance"}
        ),
        "preferences": {
            name: account.preferences.get(name)
            for name in ("blur", "break_minutes", "send_at_once")
        },
        "texts": t.starting("task.", "key.", "work.", "skip."),
        "skips": list(SKIP_REASONS),
        "idle_seconds": wellbeing.IDLE_SECONDS,
        "person": access.me.public,
        "interface": f"web-{studio.static.rpartition('/')[2]}",
    }
    return page(request, "work.html.j2", access=access, config=config, script="work.js")


@router.post("/work/join")
def join(studio: StudioDep, access: Worker) -> Response:
    """Let an owner of the house take part, who may invite anybody: projects that a run opened have
    no people yet."""
    if access.member is None:

        def work(session: Session) -> None:
            me = access.me
            members.add_member(
                session, access.project.id, me.id, access.role, studio.db.now(), me.public
            )

        studio.db.transact(work)
    return go(f"/p/{access.project.slug}/work")


@router.get("/work/clips/{view}/{name}")
def clip(studio: StudioDep, access: Participant, view: int, name: str) -> Response:
    """A clip of one's own view, from the studio's media folder."""
    file = clip_file(studio.db, studio.media, access.project, access.me.id, view, name)
    headers = {"Cache-Control": "private, max-age=3600", **clip_headers(view, name)}
    return FileResponse(file, media_type=mimetypes.guess_type(name)[0], headers=headers)


# --- what the script asks for ---------------------------------------------------------------------
def body_of(model: type[M]) -> Callable[[dict[str, Any]], M]:
    """A dependency: the request's JSON as a model; raises FieldError."""

    def parsed(body: Json) -> M:
        return read(model, body)

    return parsed


@router.post("/work/next")
def next_item(studio: StudioDep, access: Worker) -> Any:
    """The item to judge now, or why there is none. One's own cap on minutes counts all projects."""
    own_cap = _own_cap(studio, access)
    served = own_cap or assigning.next_view(
        studio.db, access.project.id, access.me.id, present=blinding.note_masks
    )
    where = workload.workload(studio.db, access.project.id, access.me.id)
    if isinstance(served, Nothing):
        why = access.member.reason if access.member is not None else None
        if served.reason in (
            "done",
            "not_qualified",
        ):  # known answers are left that nobody asks for
            where = replace(where, left=0, more=False)
        return {"nothing": {**asdict(served), "why": why}, "standing": asdict(where)}
    shown = presenting.screen(served, access.settings, f"/p/{access.project.slug}/work/clips")
    return {"item": shown, "standing": asdict(where), "now": studio.db.now()}


def _own_cap(studio: Studio, access: ProjectAccess) -> Nothing | None:
    with studio.db.read() as session:
        account = session.get_one(Account, access.me.id)
        cap = account.preferences.get("daily_minutes")
        if cap is None or self_service.minutes_used(session, account, studio.db.now()) < cap:
            return None
        return Nothing(
            "cap",
            "Your own minutes for today are used up.",
            wellbeing.day_start(account, studio.db.now()) + 86400,
        )


@router.get("/work/guideline")
def guideline(studio: StudioDep, access: Worker) -> Any:
    """The guideline, to look at beside the work."""
    with studio.db.read() as session:
        newest = listing.guideline(session, access.project.id)
    return {"version": newest.version, "html": safe_html(newest.text)}


@router.post("/work/heartbeat")
def heartbeat(
    studio: StudioDep,
    access: Worker,
    sent: Annotated[PageHeartbeat, Depends(body_of(PageHeartbeat))],
) -> Any:
    """Still at it: keep the lease."""
    return asdict(
        assigning.heartbeat(
            studio.db, access.project.id, access.me.id, sent.view, sent.lease, sent.active_seconds
        )
    )


@router.post("/work/draft")
def draft(
    studio: StudioDep, access: Worker, sent: Annotated[PageDraft, Depends(body_of(PageDraft))]
) -> Any:
    """Keep what was entered so far."""
    assigning.save_draft(
        studio.db, access.project.id, access.me.id, sent.view, sent.lease, {"state": sent.state}
    )
    return {"kept": True}


@router.post("/work/claims")
def claims(
    studio: StudioDep, access: Worker, sent: Annotated[PageClaims, Depends(body_of(PageClaims))]
) -> Any:
    """After a first look: what a critic says, if anything."""
    served = assigning.peek(studio.db, access.project.id, access.me.id, sent.view)
    answer = sent.answer and blinding.received(sent.answer, served, access.settings)
    opened = assigning.open_claims(
        studio.db, access.project.id, access.me.id, sent.view, sent.lease, sent.active_seconds,
        answer or None,
    )  # fmt: skip
    return {"claims": helping.claims_html(opened, access.settings)}


@router.post("/work/submit")
def submit(
    studio: StudioDep, access: Worker, sent: Annotated[PageSubmit, Depends(body_of(PageSubmit))]
) -> Any:
    """Store an answer; the receipt comes after the commit."""
    served = assigning.peek(studio.db, access.project.id, access.me.id, sent.view)
    answer = blinding.received(sent.answer, served, access.settings)
    receipt = assigning.submit(
        studio.db,
        access.me.id,
        sent.view,
        sent.lease,
        sent.key,
        answer,
        sent.timing,
        access.me.session,
    )
    return {**asdict(receipt), "undo_seconds": max(0.0, receipt.undo_until - studio.db.now())}


@router.post("/work/skip")
def skip(
    studio: StudioDep, access: Worker, sent: Annotated[PageSkip, Depends(body_of(PageSkip))]
) -> Any:
    """Give the item back, with a reason."""
    assigning.skip(
        studio.db,
        access.project.id,
        access.me.id,
        sent.view,
        sent.lease,
        sent.reason,
        sent.note or None,
    )
    return {"skipped": True}


@router.post("/work/undo")
def undo(
    studio: StudioDep, access: Worker, sent: Annotated[PageUndo, Depends(body_of(PageUndo))]
) -> Any:
    """Take the last answer back; it is served again by the next `next`."""
    return {"view": assigning.undo(studio.db, access.me.id, sent.answer, access.project.id)}


@router.post("/work/question")
def question(
    studio: StudioDep,
    access: Worker,
    sent: Annotated[PageQuestion, Depends(body_of(PageQuestion))],
) -> Any:
    """Ask about the guideline, or about the item on the screen."""
    ask(studio, access, sent.text, sent.view)
    return {"asked": True}


def ask(studio: Studio, access: ProjectAccess, text: str, view_id: int | None = None) -> None:
    """Store a question."""

    def work(session: Session) -> None:
        item = None
        if view_id is not None:
            item = session.scalar(
                select(View.item_id).where(View.id == view_id, View.account_id == access.me.id)
            )
        session.add(
            Question(
                project_id=access.project.id,
                item_id=item,
                account_id=access.me.id,
                text=text,
                created_at=studio.db.now(),
            )
        )

    studio.db.transact(work)


@router.post("/work/turn")
def turn(
    request: Request,
    studio: StudioDep,
    access: Worker,
    sent: Annotated[PageTurn, Depends(body_of(PageTurn))],
) -> Any:
    """One turn of a live chat: a message, and two answers to compare."""
    if studio.sampler is None or access.settings.task != "chat":
        return JSONResponse({"error": words_for(request)("work.no_model")}, 503)
    served = assigning.peek(studio.db, access.project.id, access.me.id, sent.view)
    turns = served.shown.get("turns", [])
    if len(sent.chosen) != len(turns):
        raise AnswerError("chosen", "say how each turn went on")
    messages = conversation(served.prompt, turns, sent.chosen)
    try:
        replies = studio.sampler.reply(
            [*messages, {"role": "user", "content": sent.user}], 2, secrets.randbelow(2**31)
        )
    except ChatError as error:
        LOG.warning("chat: %s", error)
        return JSONResponse({"error": words_for(request)(f"work.model_{error.why}")}, 503)
    secrets.SystemRandom().shuffle(replies)
    options = [
        {"id": str(n), "content": r.content, "producer": r.producer}
        | ({} if r.finished else {"finished": False})
        for n, r in enumerate(replies, 1)
    ]
    assigning.add_turn(
        studio.db, access.project.id, access.me.id, sent.view, sent.lease, sent.user, options
    )
    return presenting.turn_html({"user": sent.user, "options": options}, access.settings)


def conversation(
    prompt: Any, turns: list[dict[str, Any]], chosen: list[Any]
) -> list[dict[str, Any]]:
    """What the model is given: the item's prompt (a text stands for the system's), then the turns
    as they went on."""
    messages = list(prompt) if isinstance(prompt, list) else []
    if isinstance(prompt, str) and prompt.strip():
        messages = [{"role": "system", "content": prompt}]
    for one, went_on in zip(turns, chosen, strict=True):
        contents_chosen = [
            option["content"] for option in one["options"] if option["id"] == went_on
        ]
        if not contents_chosen:
            raise AnswerError("chosen", "say which answer the conversation went on with")
        messages += [
            {"role": "user", "content": one["user"]},
            {"role": "assistant", "content": contents_chosen[0]},
        ]
    return messages
