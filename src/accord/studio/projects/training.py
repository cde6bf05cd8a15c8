"""What is learned of judgements while they are made: told by the trainer, kept in the log."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from accord.studio.storage import events
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Event

LEARNED = "reward.learned"


class RewardLearned(BaseModel):
    """A reward model learned. asked, answered: items so far; judgements: it learned from; steps: of
    the environments so far; held_out: pairs that judgements order which it did not learn from;
    agreement: share of these that it orders so, too, None where there are none."""

    model_config = ConfigDict(extra="forbid")

    asked: int = Field(ge=0)
    answered: int = Field(ge=0)
    judgements: int = Field(ge=0)
    steps: int = Field(ge=0)
    held_out: int = Field(0, ge=0)
    agreement: float | None = Field(None, ge=0, le=1)


def note_learned(db: Database, project_id: int, learned: RewardLearned) -> None:
    """Tell the project, as an event of its log."""

    def work(session: Session) -> None:
        payload = learned.model_dump(mode="json")
        events.append(session, project_id, LEARNED, "reward", None, db.now(), payload)

    db.transact(work)


def learned_so_far(session: Session, project_id: int, most: int = 12) -> list[RewardLearned]:
    """The last of what was told, in order."""
    query = select(Event.payload).where(
        Event.chain == project_id, Event.kind == LEARNED, Event.payload.is_not(None)
    )
    newest = session.scalars(query.order_by(Event.number.desc()).limit(most))
    return [RewardLearned.model_validate(payload) for payload in newest][::-1]
