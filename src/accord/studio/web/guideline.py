"""The guideline with its versions, and the questions about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from accord.studio.errors import FieldError, NotHere
from accord.studio.people import members
from accord.studio.projects import editing
from accord.studio.projects.bodies import GuidelineIn
from accord.studio.queue.bodies import QuestionIn, ReplyIn
from accord.studio.storage.tables import Account, Guideline, Question
from accord.studio.tasks.markup import safe_html
from accord.studio.web.context import (
    Fields,
    Manager,
    Participant,
    ProjectAccess,
    Sent,
    Studio,
    StudioDep,
    Worker,
    go,
    page,
    require,
)
from accord.studio.web.work import ask, newest_guideline

router = APIRouter(prefix="/p/{slug}")
Reviewer = Annotated[ProjectAccess, Depends(require("review"))]


@router.get("/guideline")
def guideline(
    request: Request, studio: StudioDep, access: Participant, version: int | None = None
) -> Response:
    """A version of the guideline, the newest unless asked otherwise."""
    with studio.db.read() as session:
        query = (
            select(Guideline)
            .where(Guideline.project_id == access.project.id)
            .order_by(Guideline.version.desc())
        )
        versions = list(session.scalars(query))
    shown = next((v for v in versions if version in (None, v.version)), None)
    if shown is None:
        raise NotHere("there is no such version")
    must_read = (
        access.member is not None
        and access.may("work")
        and shown is versions[0]
        and (access.member.guideline_read or 0) < shown.version
    )
    return page(
        request,
        "guideline.html.j2",
        access=access,
        shown=shown,
        versions=versions,
        html=safe_html(shown.text),
        must_read=must_read,
        script="read.js",
    )


@router.post("/guideline/read")
def read(studio: StudioDep, access: Worker, form: Fields) -> Response:
    """Say that one has read it; then to work."""
    text = form.get("version", "")
    version = int(text) if text.isdecimal() and len(text) < 9 else 0
    if version != newest_guideline(studio, access.project.id):
        return go(f"/p/{access.project.slug}/guideline", "newer_guideline")
    members.read_guideline(studio.db, access.project.id, access.me.id, version)
    return go(f"/p/{access.project.slug}/work")


@router.post("/guideline")
def publish(studio: StudioDep, access: Manager, form: Sent) -> Response:
    """A new version."""
    text = form.read(GuidelineIn).text
    editing.new_guideline(studio.db, access.project.id, text, access.me.id)
    return go(f"/p/{access.project.slug}/guideline", "published")


# --- questions ------------------------------------------------------------------------------------
@router.get("/questions")
def questions(request: Request, studio: StudioDep, access: Participant) -> Response:
    """Questions and replies, for everybody who works here."""
    return _questions(request, studio, access)


def _questions(
    request: Request, studio: Studio, access: ProjectAccess, error: Exception | None = None
) -> Response:
    with studio.db.read() as session:
        query = select(Question, Account).join(Account, Account.id == Question.account_id)
        query = (
            query.where(Question.project_id == access.project.id)
            .order_by(Question.id.desc())
            .limit(200)
        )
        rows = [
            (
                question,
                account.name if access.may("review") else None,
                safe_html(question.reply or ""),
            )
            for question, account in session.execute(query)
        ]
    status = 400 if error else 200
    return page(
        request,
        "questions.html.j2",
        status,
        access=access,
        rows=rows,
        may_reply=access.may("review"),
        script="read.js",
        error=error,
    )


@router.post("/questions")
def ask_question(request: Request, studio: StudioDep, access: Participant, form: Sent) -> Response:
    """Ask; an auditor only reads."""
    try:
        ask(studio, access, form.read(QuestionIn).text)
    except FieldError as error:
        return _questions(request, studio, access, error)
    return go(f"/p/{access.project.slug}/questions", "asked")


@router.post("/questions/{number}")
def reply(studio: StudioDep, number: int, access: Reviewer, form: Sent) -> Response:
    """Answer a question, for all."""
    text = form.read(ReplyIn).reply

    def work(session: Session) -> None:
        asked = session.get(Question, number)
        if asked is None or asked.project_id != access.project.id:
            raise NotHere("there is no such question")
        asked.reply, asked.replied_by, asked.replied_at = (
            text or None,
            access.me.id,
            studio.db.now(),
        )

    studio.db.transact(work)
    return go(f"/p/{access.project.slug}/questions", "replied")
