"""Who takes part: members, invitations, bots with tokens of their own, erasing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from accord.studio.api.base import ApiDep, Looker, Manager, Route, Who
from accord.studio.bodies import Body
from accord.studio.errors import NotAllowed
from accord.studio.people import accounts, api_tokens, erasing, invitations, members, passwords
from accord.studio.people.accounts import Visitor
from accord.studio.people.bodies import BotIn, InvitationIn, MemberIn

router = APIRouter(tags=["people"], route_class=Route)


class Myself(BaseModel):
    """Who the token stands for."""

    account: str = Field(description="Public id, as in records.")
    name: str
    role: str = Field(description="In the house.")
    scopes: list[str]


class MemberOut(BaseModel):
    """Somebody's part in a project."""

    account: str = Field(description="Public id, as in records.")
    name: str
    role: str
    state: str = Field(
        description="active, paused, quarantined (answers are kept, not exported) or removed."
    )
    reason: str | None
    trusted: bool = Field(description="Belongs to the reference set that others are compared with.")
    qualified: bool
    guideline_read: int | None = Field(description="Version of the guideline they read last.")


class InvitationOut(BaseModel):
    """Shown once."""

    path: str = Field(description="Of the link on this studio.", examples=["/join/…"])


class BotOut(BaseModel):
    """Shown once."""

    account: str
    token: str = Field(description="With the scopes read and annotate.")


class AccountOut(BaseModel):
    """Somebody in the house."""

    account: str = Field(description="Public id, as in records.")
    name: str
    role: str = Field(description="In the house.")
    signs_in: Literal["password", "openid", "none", "closed"] = Field(
        description="How: none for programs and people whose judgements were imported, closed "
        "without entry."
    )


class FootprintOut(BaseModel):
    """What erasing somebody would meet: what goes in any case, what goes if asked for, what
    stays."""

    account: str
    name: str
    goes: dict[str, int] = Field(
        description="Beside name, password, other sign-in, preferences and what they said about "
        "themselves: sessions, tokens, invitations (open ones they made), drafts, notes (of "
        "skips, in the log too), questions (their texts)."
    )
    answers: int = Field(description="Stay under the public id alone, or go with `answers: true`.")
    stays: dict[str, int] = Field(description="replies and guidelines, which were for all.")


class ErasureIn(Body):
    """For good: nothing brings it back."""

    name: str = Field(description="The account's name, so that nobody else is erased by mistake.")
    answers: bool = Field(
        description="Whether whatever they answered goes too, in the log as well."
    )


class ErasureOut(BaseModel):
    """What was done."""

    account: str
    answers: int = Field(description="How many were erased.")


@router.get("/me", response_model=Myself, summary="Who am I?")
def me(who: Who) -> Any:
    """The account and the scopes behind the token."""
    visitor = who.visitor
    return {
        "account": visitor.public,
        "name": visitor.name,
        "role": visitor.role,
        "scopes": sorted(who.scopes),
    }


@router.get("/projects/{slug}/members", response_model=list[MemberOut], summary="Members")
def list_members(api: ApiDep, access: Looker) -> Any:
    """Everybody who takes part, by name."""
    with api.db.read() as session:
        rows = members.members(session, access.project.id)
    return [
        {
            "account": account.public,
            "name": account.name,
            "role": member.role,
            "state": member.state,
            "reason": member.reason,
            "trusted": member.trusted,
            "qualified": member.qualified_at is not None,
            "guideline_read": member.guideline_read,
        }
        for member, account in rows
    ]


@router.put(
    "/projects/{slug}/members/{account}",
    response_model=list[MemberOut],
    summary="Role and state: quarantine, restore, …",
)
def put_member(api: ApiDep, access: Manager, account: str, wanted: MemberIn) -> Any:
    """Change a member's role, or their state, with a reason that goes into the log."""
    project_id, changes = access.project.id, wanted.model_dump()
    members.change(api.db, project_id, account, access.me, access.role, **changes)
    return list_members(api, access)


@router.post(
    "/projects/{slug}/invitations", response_model=InvitationOut, status_code=201, summary="Invite"
)
def invite(api: ApiDep, access: Manager, wanted: InvitationIn) -> Any:
    """A link, shown once. Not idempotent: every call makes another."""
    members.check_may_give(wanted.role, access.role)
    secret = invitations.invite(
        api.db, access.me, wanted.role, access.project.id, wanted.days, wanted.uses
    )
    return {"path": f"/join/{secret}"}


@router.post(
    "/projects/{slug}/bots",
    response_model=BotOut,
    status_code=201,
    summary="An account for a program",
)
def make_bot(api: ApiDep, access: Manager, wanted: BotIn) -> Any:
    """An annotator of this project that is a program: an AI judge, a rule, a script."""

    def work(session: Session) -> Visitor:
        account = accounts.create_account(
            session, wanted.name, None, "annotator", api.db.now(), access.me.public
        )
        account.attributes = {"kind": "program"}
        members.add_member(
            session, access.project.id, account.id, "annotator", api.db.now(), access.me.public
        )
        return Visitor(
            account.id, account.public, account.name, account.role, account.language, "", ""
        )

    bot = api.db.transact(work)
    token = api_tokens.issue_token(
        api.db, bot, "made with the account", ["read", "annotate"], wanted.days
    )
    return {"account": bot.public, "token": token}


# --- the house ------------------------------------------------------------------------------------
def owner(who: Who) -> Visitor:
    """Only for owners of the house, by a token with the scope manage."""
    who.need("manage")
    if who.visitor.role != "owner":
        raise NotAllowed("only owners of the house may do that", "ask one")
    return who.visitor


Owner = Annotated[Visitor, Depends(owner)]


@router.get("/people", response_model=list[AccountOut], summary="Everybody in the house")
def list_people(api: ApiDep, me: Owner) -> Any:
    """All accounts by name, for owners of the house."""
    with api.db.read() as session:
        return [
            {
                "account": account.public,
                "name": account.name,
                "role": account.role,
                "signs_in": passwords.way_in(account),
            }
            for account in accounts.everybody(session)
        ]


@router.get(
    "/people/{account}/erasure", response_model=FootprintOut, summary="What erasing would do"
)
def get_erasure(api: ApiDep, me: Owner, account: str) -> Any:
    """What goes and what stays, before it happens."""
    with api.db.read() as session:
        person = accounts.by_public(session, account)
        footprint = asdict(erasing.footprint(session, person.id, api.db.now()))
    goes = ("sessions", "tokens", "invitations", "drafts", "notes", "questions")
    return {
        "account": account,
        "name": person.name,
        "goes": {name: footprint[name] for name in goes},
        "answers": footprint["answers"],
        "stays": {name: footprint[name] for name in ("replies", "guidelines")},
    }


@router.post("/people/{account}/erasure", response_model=ErasureOut, summary="Erase somebody")
def post_erasure(api: ApiDep, me: Owner, account: str, wanted: ErasureIn) -> Any:
    """Erase a person who asked for it, as they could on their own page. Once; broken off, call it
    again."""
    erasing.check_named(api.db, account, wanted.name, me.public)
    return {
        "account": account,
        "answers": erasing.erase(api.db, account, wanted.answers, me.public),
    }
