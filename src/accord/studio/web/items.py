"""Items for those who may look: a list with filters, and one item with who said what and why."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import ColumnElement, String, cast, func, or_, select
from starlette.responses import Response

from accord.feedback.records import (
    Correction,
    Critique,
    Demonstration,
    Feedback,
    Rating,
    to_json,
)
from accord.studio.api.base import cursor, position
from accord.studio.errors import FieldError
from accord.studio.projects import editing, listing
from accord.studio.projects.bodies import ItemPauseIn
from accord.studio.queue import submission
from accord.studio.queue.bodies import ExcludeIn
from accord.studio.storage.tables import Account, Answer, Item, Membership, View
from accord.studio.tasks import contents, presenting
from accord.studio.tasks.markup import json_html, visible
from accord.studio.tasks.presenting import Shown, Text
from accord.studio.web.context import Manager, ProjectAccess, Sent, Studio, StudioDep, go, require
from accord.studio.web.quality import shown, stats_cache_of

router = APIRouter(prefix="/p/{slug}")
Looker = Depends(require("look"))
Reviewer = Depends(require("review"))
PAGE = 50


@dataclass(frozen=True)
class Opinion:
    """One answer to an item. verdict: the choice in words; words: what was written, where writing
    is the judgement; why: critique, rationale, flags; group: of taste, from 1."""

    id: str
    name: str
    public: str
    state: str
    member: str
    verdict: str
    words: list[Shown]
    why: list[str]
    seconds: float
    group: int | None
    correct: bool | None
    reason: str | None
    extra: bool


# --- the list -------------------------------------------------------------------------------------
@router.get("/items")
def items(request: Request, studio: StudioDep, access: ProjectAccess = Looker) -> Response:
    """Filters: state, purpose, words; the highest priority first."""
    wanted = {
        name: request.query_params.get(name, "").strip()[:100]
        for name in ("state", "purpose", "words", "after")
    }
    answered = (
        select(func.count())
        .select_from(Answer)
        .where(Answer.item_id == Item.id, Answer.state == "live")
        .scalar_subquery()
    )
    query = listing.items(
        access.project.id,
        wanted["state"] or None,
        wanted["purpose"] or None,
        position(wanted["after"] or None, float, float, int),
        PAGE + 1,
    ).add_columns(answered)
    if wanted["words"]:
        query = query.where(_says(wanted["words"]))
    with studio.db.read() as session:
        rows = [(item, count) for item, count in session.execute(query)]
    more = cursor(*listing.item_place(rows[PAGE - 1][0])) if len(rows) > PAGE else None
    texts = {item.key: _beginning(contents.plain(item.prompt), 200) for item, _ in rows[:PAGE]}
    return shown(
        request, "items.html.j2", access, rows=rows[:PAGE], more=more, wanted=wanted, texts=texts
    )


def _says(words: str) -> ColumnElement[bool]:
    """Prompt, options or tools hold these words, as JSON spells them (with escapes, or without)."""
    spelt = {words, json.dumps(words)[1:-1], json.dumps(words, ensure_ascii=False)[1:-1]}
    columns = [cast(column, String) for column in (Item.prompt, Item.options, Item.tools)]
    return or_(
        *(
            column.icontains(spelling, autoescape=True)
            for column in columns
            for spelling in sorted(spelt)
        )
    )


# --- one item -------------------------------------------------------------------------------------
@router.get("/items/{key}")
def item(request: Request, studio: StudioDep, key: str, access: ProjectAccess = Looker) -> Response:
    """Who disagrees, and why."""
    return _item(request, studio, access, key)


def _item(
    request: Request,
    studio: Studio,
    access: ProjectAccess,
    key: str,
    error: Exception | None = None,
) -> Response:
    with studio.db.read() as session:
        item = listing.item(session, access.project.id, key)
        query = (
            select(Answer, Account, Membership.state)
            .join(Account, Account.id == Answer.account_id)
            .outerjoin(
                Membership,
                (Membership.project_id == Answer.project_id)
                & (Membership.account_id == Account.id),
            )
            .where(Answer.item_id == item.id)
            .order_by(Answer.created_at)
        )
        given = [(answer, account, member) for answer, account, member in session.execute(query)]
        skips = [
            (view.skip_reason, visible(view.skip_note or ""), name)
            for view, name in session.execute(
                select(View, Account.name)
                .join(Account, Account.id == View.account_id)
                .where(View.item_id == item.id, View.state == "skipped")
            )
        ]
    group_of = _groups(request, access)
    letters = {str(option["id"]): chr(ord("A") + n) for n, option in enumerate(item.options)}
    opinions = [
        _opinion(answer, account, member, letters, group_of, access.settings.text)
        for answer, account, member in given
    ]
    counted = [o for o in opinions if o.state == "live" and o.member != "quarantined"]
    soft = Counter(o.verdict for o in counted).most_common()
    by_group: dict[int, Counter[str]] = {}
    for opinion in counted:
        if opinion.group is not None:
            by_group.setdefault(opinion.group, Counter())[opinion.verdict] += 1
    options = [
        (
            letters[str(o["id"])],
            o.get("producer"),
            presenting.messages_html(_told(o["content"]), "assistant", access.settings.text),
        )
        for o in item.options
    ]
    return shown(
        request,
        "item.html.j2",
        access,
        400 if error else 200,
        item=item,
        options=options,
        opinions=opinions,
        soft=soft,
        by_group={group: counts.most_common() for group, counts in sorted(by_group.items())},
        skips=skips,
        error=error,
        script="read.js",
        prompt=presenting.messages_html(item.prompt, "user", access.settings.text),
        tools=presenting.tools_html(item.tools),
        chat_template=json_html(item.chat_template_kwargs) if item.chat_template_kwargs else None,
    )


def _told(content: Any) -> Any:
    """A clip of an episode is told by its place there."""
    return contents.plain(content) if isinstance(content, dict) else content


def _beginning(text: str, most: int) -> str:
    """Of a text of which the whole stands elsewhere."""
    return visible(text if len(text) <= most else f"{text[:most]}…")


def _groups(request: Request, access: ProjectAccess) -> dict[str, int]:
    """Annotator -> most likely group of taste, where there are several; only if that is known
    already."""
    numbers = stats_cache_of(request).get(access.project.id, "groups").value
    if numbers is None or numbers.value is None or len(numbers.value.groups) < 2:
        return {}
    return {who: n for n, group in enumerate(numbers.value.groups, 1) for who in group.members}


def _opinion(
    answer: Answer,
    account: Account,
    member: str | None,
    letters: dict[str, str],
    group_of: dict[str, int],
    how: Text,
) -> Opinion:
    records = [Feedback.model_validate(record) for record in answer.records]
    return Opinion(
        answer.id,
        account.name,
        account.public,
        answer.state,
        member or "removed",
        verdict(records, letters) if records else "",
        _words(records, how) if records else [],
        reasons(records, letters),
        answer.active_seconds,
        group_of.get(account.public),
        answer.correct,
        answer.reason,
        answer.extra,
    )


def verdict(records: list[Feedback], letters: dict[str, str]) -> str:
    """What the main record says, options called A, B, ..."""
    choice: dict[str, Any] = records[0].choice.model_dump()
    kind = records[0].kind
    if kind == "comparison":
        better = choice["preferred"]
        strength = "+" * ((choice["strength"] or 1) - 1)
        return (
            "both bad"
            if choice["both_bad"]
            else "="
            if choice["tie"]
            else f"{letters.get(better, '?')}{strength}"
        )
    if kind == "ranking":
        order = " > ".join(
            " = ".join(letters.get(i, "?") for i in group) for group in choice["order"]
        )
        bare = choice["all_bad"] and len(choice["order"]) == 1
        return "all bad" if bare else f"{order} (all bad)" if choice["all_bad"] else order
    if kind == "best_worst":
        return f"{letters.get(choice['best'], '?')} … {letters.get(choice['worst'], '?')}"
    if kind == "rating":
        scores = {
            name: score
            for r in records
            if isinstance(r.choice, Rating)
            for name, score in r.choice.scores.items()
        }
        return ", ".join(f"{name} {score:g}" for name, score in scores.items())
    if kind == "thumb":
        return "+" if choice["up"] else "–"
    if kind == "step_labels":
        return " ".join({1: "+", 0: "0", -1: "–"}[label] for label in choice["labels"])
    if kind == "flags":
        return ", ".join(name for name, raised in choice["flags"].items() if raised) or "–"
    if kind == "spans":
        return ", ".join(f"{s['label']} {s['start']}–{s['end']}" for s in choice["spans"])
    text = choice.get("text") or contents.plain(choice.get("content") or "")
    return _beginning(str(text), 80)


def reasons(records: list[Feedback], letters: dict[str, str]) -> list[str]:
    """Words and flags beside a judgement."""
    texts = []
    for record in records:
        if record.meta.get("rationale"):
            texts.append(str(record.meta["rationale"]))
        flags = record.meta.get("flags")
        if isinstance(flags, dict) and any(flags.values()):
            texts.append("⚑ " + ", ".join(name for name, raised in flags.items() if raised))
        if isinstance(record.choice, Critique) and record is not records[0]:
            about = letters.get(record.options[0].id, "") if len(record.options) == 1 else ""
            texts.append(f"{about}: {record.choice.text}" if about else record.choice.text)
    return [visible(text) for text in texts]


def _words(records: list[Feedback], how: Text) -> list[Shown]:
    """What was written where writing is the judgement; all of it."""
    choice = records[0].choice
    if isinstance(choice, (Correction, Demonstration)):
        return presenting.messages_html(to_json(choice.content), "assistant", how)
    return (
        presenting.messages_html(choice.text, "user", how) if isinstance(choice, Critique) else []
    )


@router.post("/items/{key}/exclude/{answer}")
def exclude(
    request: Request,
    studio: StudioDep,
    key: str,
    answer: str,
    form: Sent,
    access: ProjectAccess = Reviewer,
) -> Response:
    """Take one answer out, with a reason; its slot opens for others."""
    try:
        wanted = form.read(ExcludeIn)
    except FieldError as error:
        return _item(request, studio, access, key, error)
    submission.exclude(
        studio.db,
        answer,
        wanted.reason,
        access.me.public,
        Item.project_id == access.project.id,
        Item.key == key,
    )
    return go(f"/p/{access.project.slug}/items/{key}", "saved")


@router.post("/items/{key}/pause")
def pause(studio: StudioDep, key: str, form: Sent, access: Manager) -> Response:
    """Out of the queue, or back in."""
    editing.pause_items(
        studio.db, access.project.id, [key], form.read(ItemPauseIn).paused, access.me.id
    )
    return go(f"/p/{access.project.slug}/items/{key}", "saved")
