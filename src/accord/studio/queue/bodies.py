"""What is sent while judging: one model of each body for the page's script and for programs.

The API names the view in its address, the script in the body, beside what only a page can say.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from accord.studio.bodies import Body, FormBody
from accord.studio.queue.assigning import SkipReason
from accord.studio.storage.plain import Reason

LONGEST_NOTE, LONGEST_TURN = 2000, 20_000
Lease = Annotated[str, Field(min_length=1, max_length=64)]
View = Annotated[int, Field(strict=True, description="The view on the screen.")]
Seconds = Annotated[float, Field(ge=0, lt=1e9, strict=True)]


class HeartbeatIn(Body):
    """Still at it."""

    lease: Lease
    active_seconds: Seconds = Field(0, description="Total so far.")


class SubmitIn(Body):
    """An answer."""

    lease: Lease
    key: str = Field(
        min_length=8,
        max_length=64,
        description="The caller's own for this answer; sent again, the same receipt comes back.",
    )
    answer: dict[str, Any] = Field(
        description="By task, options named by their place.",
        examples=[
            {"preferred": "1"},
            {"order": [["2"], ["1", "3"]]},
            {"all_bad": True},
            {"scores": {"helpfulness": 4}},
        ],
    )


class TimedSubmitIn(SubmitIn):
    """An answer, and how long it took."""

    active_seconds: Seconds = 0


class SkipIn(Body):
    """No answer, and why; the item is not served again to the caller."""

    lease: Lease
    reason: SkipReason
    note: str | None = Field(None, max_length=LONGEST_NOTE)


# --- about answers --------------------------------------------------------------------------------
class ExcludeIn(FormBody):
    """Taking an answer out, as a reviewer."""

    reason: Reason


class RetireIn(ExcludeIn):
    """Taking an answer out."""

    state: Literal["withdrawn", "excluded"]


# --- questions ------------------------------------------------------------------------------------
class QuestionIn(FormBody):
    """A question to those who manage the project."""

    text: str = Field(min_length=1, max_length=4000)


class ReplyIn(FormBody):
    """The answer to one, for all; nothing takes it back."""

    reply: str = Field("", max_length=20_000)


# --- from the page --------------------------------------------------------------------------------
class PageHeartbeat(HeartbeatIn):
    """Of a view."""

    view: View


class PageSubmit(SubmitIn):
    """Of a view, with how it was given: see `submission.Timing`."""

    view: View
    timing: dict[str, Any] = Field(default_factory=dict)


class PageSkip(SkipIn):
    """Of a view."""

    view: View


class PageDraft(Body):
    """What was entered so far, as the script keeps it."""

    view: View
    lease: Lease
    state: dict[str, Any]


class PageUndo(Body):
    """The answer to take back."""

    answer: Annotated[str, Field(min_length=1, max_length=64)]


class PageQuestion(QuestionIn):
    """A question, about the item on the screen where there is one."""

    view: View | None = None


class PageClaims(Body):
    """The first look is over. answer: a first one, if one stands; it is not kept."""

    view: View
    lease: Lease
    active_seconds: Seconds = Field(0, description="Total so far.")
    answer: dict[str, Any] | None = None


class PageTurn(Body):
    """A message of a live chat, and how each turn before went on."""

    view: View
    lease: Lease
    user: str = Field(min_length=1, max_length=LONGEST_TURN)
    chosen: list[str]
