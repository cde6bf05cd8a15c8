"""Studies of assistance: what an item has for one, which arm a view is drawn into, and whether
there are judgements enough to show anything.

An item's part is {claims, placebo, flaws}, passages by option id (`feedback.meta`); flaws is None
where they are not known. A view's part stands in `View.shown["assist"]`: {arm, opened}, the active
seconds after which the claims were asked for; annotators are never told the arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accord.feedback.assistance_plan import ENOUGH, plan_uplift, uplift_power
from accord.feedback.assisting import (
    BLOCK,
    ClaimGiven,
    FlawGiven,
    checked_claims,
    draw_placebo,
    next_arm,
)
from accord.feedback.meta import Arm, Assist, Said
from accord.feedback.records import content_id
from accord.seeds import derive_seed
from accord.studio.errors import AnswerError
from accord.studio.people.members import Person
from accord.studio.projects.settings import AssistanceStudy, ProjectSettings
from accord.studio.storage.tables import Item, View
from accord.studio.tasks import contents


# --- items ----------------------------------------------------------------------------------------
def part_of(
    claims: Sequence[ClaimGiven],
    flaws: Sequence[FlawGiven] | None,
    options: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What an item keeps. Raises DataError, see `checked_claims` and `draw_placebo`."""
    texts = {option["id"]: contents.plain(option["content"]) for option in options}
    made, known = checked_claims(claims, flaws, texts)
    seed = derive_seed(0, "placebos", content_id(*texts.values()))  # the same file, the same
    placebo = draw_placebo(made, known or [], texts, seed)
    return {
        "claims": [one.model_dump() for one in made],
        "placebo": [one.model_dump() for one in placebo],
        "flaws": None if known is None else [one.model_dump() for one in known],
    }


# --- views ----------------------------------------------------------------------------------------
def weights(study: AssistanceStudy) -> dict[Arm, int]:
    """Of the arms."""
    arms = study.arms
    return {"none": arms.none, "critique": arms.critique, "placebo": arms.placebo}


_ARM = View.shown["assist"]["arm"].as_string()


def drawn(session: Session, person: Person, item: Any) -> dict[str, Any]:
    """What is stored with a new view of an item: {assist: {arm, opened}}, nothing outside a study.
    The membership is locked, so that an annotator's views come one after the other."""
    study = person.settings.assistance
    if study is None or item.assistance is None:
        return {}
    shares = weights(study)
    own = (View.account_id == person.account_id, View.project_id == person.project_id)
    assisted = (*own, _ARM.is_not(None))
    count = session.scalar(select(func.count()).where(*assisted)) or 0
    begun = count % (BLOCK * sum(shares.values()))
    latest = select(_ARM).where(*assisted).order_by(View.id.desc()).limit(begun)
    earlier: list[Any] = list(session.scalars(latest)) if begun else []
    seed = derive_seed(person.seed, "assistance", item.key, item.draw.hex(), person.public)
    return {"assist": {"arm": next_arm(earlier, shares, seed), "opened": None}}


def taken(view: View, item: Item, given: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """(the answer without what it says of claims, that). Raises AnswerError where it does not fit
    what was shown."""
    assist = view.shown.get("assist")
    if assist is None or not isinstance(given, dict) or "claims" not in given:
        return given, []
    said = given["claims"]
    count = len(shown_claims(item, assist["arm"])) if assist["opened"] is not None else 0
    if not isinstance(said, list) or len(said) not in (0, count):
        raise AnswerError("claims", f"{count} claims are shown: say something, or null, of each")
    for number, one in enumerate(said, 1):
        if one not in (*Said.__args__, None):  # type: ignore[attr-defined]
            raise AnswerError(f"claims.{number}", "a claim is confirmed, rejected or useless")
    return {name: value for name, value in given.items() if name != "claims"}, said


def shown_claims(item: Any, arm: str) -> list[dict[str, Any]]:
    """The claims of an arm, as stored."""
    kept: dict[str, Any] = item.assistance or {}
    return list(kept.get({"critique": "claims", "placebo": "placebo"}.get(arm, ""), []))


def record_of(view: View, item: Item, said: list[Any], correct: bool | None) -> dict[str, Any]:
    """{assist: ...} as a record's meta has it; nothing outside a study."""
    assist, kept = view.shown.get("assist"), item.assistance
    if assist is None or kept is None:
        return {}
    whole = Assist(
        arm=assist["arm"],
        critic=kept["claims"],
        placebo=kept["placebo"] if assist["arm"] == "placebo" else [],
        said=said,
        flaws=kept["flaws"],
        opened_seconds=assist["opened"],
        correct=correct,
    )
    return {"assist": whole.model_dump(mode="json", exclude={"critique"})}


# --- power ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class StudyPower:
    """items: of the work, with claims; judgements: these times the overlap; power: to show the
    uplift that the settings expect; needed: items for a power of .8; None where no arm is without
    help."""

    items: int
    judgements: int
    power: float | None
    needed: int | None

    @property
    def enough(self) -> bool:
        return self.power is not None and self.power >= ENOUGH


def study_power(session: Session, project_id: int, settings: ProjectSettings) -> StudyPower | None:
    """None where the project is no study."""
    study = settings.assistance
    if study is None:
        return None
    part = (Item.project_id == project_id, Item.purpose == "work", Item.assistance.is_not(None))
    items = session.scalar(select(func.count()).select_from(Item).where(*part)) or 0
    judgements = items * settings.overlap
    if not study.arms.none:
        return StudyPower(items, judgements, None, None)
    asked = (study.baseline, study.uplift)
    (plan,) = plan_uplift(*asked, ENOUGH, weights(study), [settings.overlap])
    power = uplift_power(*asked, weights(study), judgements)
    return StudyPower(items, judgements, power, plan.items)
