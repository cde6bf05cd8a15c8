"""Home: one's projects, and the way to new ones."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from accord.studio.people import accounts, rate_limits
from accord.studio.people.accounts import Visitor
from accord.studio.projects import editing, listing
from accord.studio.queue import assigning
from accord.studio.queue.assigning import Progress
from accord.studio.storage.tables import Answer, Project
from accord.studio.web.context import Me, Studio, StudioDep, go, page

router = APIRouter()


@dataclass(frozen=True)
class Card:
    """A project in the list. progress: for who may look at answers; it does not count items with
    known answers, so that a number that stays would tell who works here which those are."""

    project: Project
    role: str
    mine: int
    progress: Progress | None


@router.get("/")
def home(request: Request, studio: StudioDep, me: Me) -> Response:
    """My projects with their progress."""
    with studio.db.read() as session:
        mine = listing.projects_of(session, me, (Project.archived_at.is_not(None), Project.name))
        counts = _answers(session, me)
        refused = (
            rate_limits.refusals(session, studio.db.now() - 86400) if me.role == "owner" else {}
        )
    cards = [
        Card(
            p,
            role,
            counts.get(p.id, 0),
            assigning.progress(studio.db, p.id) if accounts.allowed(role, "look", False) else None,
        )
        for p, role in mine
    ]
    writes = studio.refused_writes if me.role == "owner" else 0
    return page(
        request,
        "home.html.j2",
        cards=cards,
        may_make=accounts.may_make_projects(me),
        refused=refused,
        refused_writes=writes,
    )


def _answers(session: Session, me: Visitor) -> dict[int, int]:
    query = (
        select(Answer.project_id, func.count())
        .where(Answer.account_id == me.id, Answer.state == "live")
        .group_by(Answer.project_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


@router.post("/sample")
def sample(studio: StudioDep, me: Me) -> Response:
    """The sample project, in one click."""
    slug = make_sample(studio, me)
    return go(f"/p/{slug}/guideline")


def make_sample(studio: Studio, me: Visitor) -> str:
    """Make it; raises NotAllowed for who may not make projects."""
    accounts.check_may_make_projects(me)
    project_id = editing.sample_project(studio.db, me.id)
    with studio.db.read() as session:
        return session.get_one(Project, project_id).slug
