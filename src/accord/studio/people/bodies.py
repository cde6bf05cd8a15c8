"""What is sent about people: for pages and programs alike."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from accord.studio.bodies import FormBody
from accord.studio.i18n import LANGUAGES, PSEUDO
from accord.studio.people.accounts import HouseRole
from accord.studio.people.api_tokens import Scope
from accord.studio.people.members import MemberState, Role
from accord.studio.storage.plain import Reason

Days = Annotated[float, Field(gt=0, le=90)]
Uses = Annotated[int, Field(ge=1, le=1000)]


class InvitationIn(FormBody):
    """A link into the project."""

    role: Role = "annotator"
    days: Days = 7
    uses: Uses = 1


class HouseInvitationIn(FormBody):
    """A link into the house."""

    role: HouseRole
    days: Days = 7
    uses: Uses = 1


class MemberIn(FormBody):
    """Another role or state of a member; what is left out stays."""

    role: Role | None = None
    state: MemberState | None = None
    reason: Reason | None = Field(None, description="Of the state; a new state needs one.")


class StandingIn(FormBody):
    """Set a member's answers aside or take them back, with a reason; or whether they belong to the
    reference set."""

    do: Literal["quarantine", "restore", "trust", "distrust"]
    reason: Reason | None = None


class HouseMemberIn(FormBody):
    """Another role in the house, or no entry any more."""

    role: HouseRole
    disabled: bool = False


class TokenIn(FormBody):
    """A program's key."""

    name: str = Field(min_length=1, max_length=80)
    scopes: list[Scope] = Field(min_length=1)


class BotIn(FormBody):
    """An account for a program: it has a token, no password."""

    name: str = Field(examples=["judge-1"])
    days: float | None = Field(
        None, gt=0, le=3650, description="How long the token works; for good unless given."
    )


def _known_language(language: str) -> str:
    if language not in (*LANGUAGES, PSEUDO):
        raise ValueError(f"there is no language {language!r} here, only {', '.join(LANGUAGES)}")
    return language


def _known_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"there is no time zone {zone!r}; write it like Europe/Berlin")
    return zone


Category = Annotated[str, Field(max_length=64)]


class PreferencesIn(FormBody):
    """How somebody wants to work; what is left out is off."""

    language: Annotated[str, Field(max_length=64), AfterValidator(_known_language)] = "en"
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_known_zone)] = "UTC"
    break_minutes: int | None = Field(None, ge=5, le=480)
    daily_minutes: int | None = Field(None, ge=1, le=1440)
    send_at_once: bool = False
    blur: list[Category] = Field(default_factory=list, max_length=200)
    opted_out: list[Category] = Field(default_factory=list, max_length=200)


Own = Annotated[str | None, Field(max_length=200)]


class AttributesIn(FormBody):
    """What people say about themselves, in their own words: see `settings.ATTRIBUTES`."""

    age: Own = None
    gender: Own = None
    languages: Own = None
    country: Own = None
    education: Own = None
    expertise: Own = None
    background: Own = None
