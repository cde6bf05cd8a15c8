"""Judging as a program: the same queue, leases and blinding as in the browser."""

from __future__ import annotations

import mimetypes
from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import FileResponse

from accord.studio.api.base import ApiDep, Route, Who, Worker
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue import assigning
from accord.studio.queue.assigning import Nothing, Served
from accord.studio.queue.bodies import HeartbeatIn, SkipIn, TimedSubmitIn
from accord.studio.tasks import blinding, contents
from accord.studio.tasks.clips import clip_file, clip_headers, clip_name
from accord.studio.tasks.parts import steps_of

router = APIRouter(tags=["work"], route_class=Route)


class OptionOut(BaseModel):
    """A response to judge, called by its place; who wrote it is not told, and where the text says
    so it is masked; calls of tools have numbers instead of ids."""

    id: str = Field(description="Its place: 1 for the first.", examples=["1"])
    content: Any = Field(
        description="Text, or messages; of a clip where to get its film, or {drawing}: its poses."
    )
    steps: list[str] | None = None


class ItemShown(BaseModel):
    """An item to judge, leased to the caller."""

    view: int
    lease: str = Field(description="Send it back with whatever concerns this view.")
    expires_at: float = Field(description="When others may get it, unless a heartbeat comes first.")
    task: str
    question: str
    prompt: Any
    tools: list[dict[str, Any]] = Field(description="Offered to the model, as JSON schemas.")
    chat_template_kwargs: dict[str, Any] = Field(description="Settings of the chat template.")
    options: list[OptionOut]
    guideline: int = Field(description="Version to judge by: GET …/guideline.")
    categories: list[str]


class NextOut(BaseModel):
    """An item, or why there is none."""

    item: ItemShown | None = None
    reason: Literal["done", "cap", "paused", "not_qualified", "all_leased"] | None = None
    detail: str | None = None
    retry_at: float | None = Field(None, description="When it is worth asking again.")


class BeatOut(BaseModel):
    """Whether the slot is still kept. If not, the answer is taken all the same."""

    held: bool
    expires_at: float


class ReceiptOut(BaseModel):
    """The answer is stored."""

    answer_id: str
    state: str
    extra: bool = Field(description="Every slot was filled; the answer is kept beyond them.")
    repeated: bool
    undo_until: float


class Done(BaseModel):
    """It was done."""

    done: bool = True


class UndoOut(BaseModel):
    """The view that is served again."""

    view: int


@router.post("/projects/{slug}/work/next", response_model=NextOut, summary="The next item")
def next_item(api: ApiDep, access: Worker) -> Any:
    """The item the caller holds, or the best free one; asking twice gives the same."""
    served = assigning.next_view(
        api.db, access.project.id, access.me.id, present=blinding.note_masks, assisted=False
    )
    if isinstance(served, Nothing):
        return asdict(served)
    return {
        "item": shown(
            served,
            access.settings,
            f"/api/v1/projects/{access.project.slug}/work/{served.view_id}/clips",
        )
    }


def shown(served: Served, settings: ProjectSettings, clips: str) -> dict[str, Any]:
    """A view for a program: masked texts by place; no ids, no producers, nothing about gold. clips:
    where they are."""
    by_id = {option["id"]: option for option in served.options}
    topic, options = contents.topic(served.prompt, served.tools), []
    for number, name in enumerate(served.order, 1):
        content = shown = by_id[name]["content"]
        if settings.task == "spans":  # passages are counted in all that it says
            shown = blinding.mask_whole(content, topic, settings.mask).text
        elif by_id[name].get("drawing"):
            shown = {"drawing": by_id[name]["drawing"]}
        elif settings.task == "clips":
            shown = f"{clips}/{clip_name(content, number)}"
        else:
            masked, _ = blinding.mask_content(content, topic, settings.mask)
            shown = blinding.with_numbers(masked, blinding.call_numbers(served.prompt, content))
        option: dict[str, Any] = {"id": str(number), "content": shown}
        if settings.task == "steps":
            option["steps"] = blinding.mask_steps(
                steps_of(by_id[name]), content, topic, settings.mask
            )
        options.append(option)
    prompt = blinding.with_numbers(served.prompt, blinding.call_numbers(served.prompt))
    return {
        "view": served.view_id,
        "lease": served.lease,
        "expires_at": served.expires_at,
        "task": settings.task,
        "question": settings.question,
        "prompt": prompt,
        "tools": served.tools,
        "chat_template_kwargs": served.chat_template_kwargs,
        "options": options,
        "guideline": served.guideline,
        "categories": served.categories,
    }


@router.get(
    "/projects/{slug}/work/{view}/clips/{name}", summary="A clip", response_class=FileResponse
)
def clip(api: ApiDep, access: Worker, view: int, name: str) -> Any:
    """The film or picture of an option of one's own view."""
    file = clip_file(api.db, api.media, access.project, access.me.id, view, name)
    kind = mimetypes.guess_type(name)[0]
    return FileResponse(file, media_type=kind, headers=clip_headers(view, name))


@router.post(
    "/projects/{slug}/work/{view}/heartbeat", response_model=BeatOut, summary="Keep the lease"
)
def heartbeat(api: ApiDep, access: Worker, view: int, sent: HeartbeatIn) -> Any:
    """Extends the lease while it is held."""
    return asdict(
        assigning.heartbeat(
            api.db, access.project.id, access.me.id, view, sent.lease, sent.active_seconds
        )
    )


@router.post(
    "/projects/{slug}/work/{view}/submit", response_model=ReceiptOut, summary="Send an answer"
)
def submit(api: ApiDep, access: Worker, view: int, sent: TimedSubmitIn) -> Any:
    """Stored when the receipt comes. Late answers are never refused."""
    served = assigning.peek(api.db, access.project.id, access.me.id, view)
    answer = blinding.received(sent.answer, served, access.settings)
    timing = {"active_seconds": sent.active_seconds, "interface": "api-v1"}
    return asdict(
        assigning.submit(
            api.db, access.me.id, view, sent.lease, sent.key, answer, timing, access.me.session
        )
    )


@router.post("/projects/{slug}/work/{view}/skip", response_model=Done, summary="Give an item back")
def skip(api: ApiDep, access: Worker, view: int, sent: SkipIn) -> Any:
    """With a reason; others may judge it."""
    assigning.skip(
        api.db, access.project.id, access.me.id, view, sent.lease, sent.reason, sent.note
    )
    return {"done": True}


@router.post("/answers/{answer}/undo", response_model=UndoOut, summary="Take an answer back")
def undo(api: ApiDep, who: Who, answer: str) -> Any:
    """One's own, within a minute."""
    who.need("annotate")
    return {"view": assigning.undo(api.db, who.visitor.id, answer)}
