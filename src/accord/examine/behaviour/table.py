"""All measures of all arms in one table: estimates, paired differences from the first arm, and
which of them to believe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from accord.examine import diversity
from accord.examine.behaviour.scored import Scored
from accord.statistics.means import Estimate, minimal_detectable
from accord.statistics.significance import discoveries


class _TableModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_TableModel):
    """An arm less the first one on the same items. p_value: of none, by `test`; believed: when all
    changes are asked (false discoveries at most 5 %); visible: the smallest change that 80 % of
    such examinations would see, None where none can be told."""

    change: Estimate
    p_value: float
    test: str
    believed: bool
    visible: float | None

    @property
    def told(self) -> str:
        """Risen, fallen, or inconclusive with the smallest change that could have been seen."""
        if self.believed:
            return "risen" if self.change.value > 0 else "fallen"
        if self.visible is None:
            return "inconclusive"
        return f"inconclusive: a change below {self.visible:.2g} could not have been seen"


class Line(_TableModel):
    """One measure of one set, for every arm that has it. items: asked, of `whole` that there are;
    chance: what guessing gets; control: a rule that does not read the question, and what it
    gets."""

    set: str
    measure: str
    unit: str
    meaning: str
    items: int
    whole: int
    chance: float | None
    control: tuple[str, float] | None
    arms: dict[str, Estimate]
    changes: dict[str, Change]


CANNOT_SHOW = (
    "It shows how these policies behave on these prompts and under these cues; how they behave"
    " under cues that nobody tested is not shown, and nothing here is evidence about what a model"
    " wants."
)


class Behaviour(_TableModel):
    """All that was measured of policies. policies: arm -> what it is, the first is what the others
    are compared with; suite: which sizes; not_measurable: set or measure -> why; left_out: set ->
    reason -> items; contamination: set -> (items that were trained on word by word, items that
    share a long run of words with it), None where nobody said what was trained on; alarms: in
    words."""

    policies: dict[str, str]
    suite: str
    lines: list[Line]
    not_measurable: dict[str, str]
    left_out: dict[str, dict[str, int]]
    contamination: dict[str, tuple[int, int]] | None
    alarms: list[str]
    cannot_show: str = CANNOT_SHOW


def lines(
    name: str, whole: int, scored: Mapping[str, Sequence[Scored]], arms: Sequence[str]
) -> list[Line]:
    """A line per measure that any arm has (of one whose items depend on the first answers, such as
    flips when right, the items that both have are compared)."""
    first, found = arms[0], []
    for measure in dict.fromkeys(one.name for arm in arms for one in scored.get(arm, ())):
        have = {arm: one for arm in arms for one in scored.get(arm, ()) if one.name == measure}
        about = next(iter(have.values()))
        found.append(
            Line(
                set=name,
                measure=measure,
                unit=about.unit,
                meaning=about.meaning,
                items=about.items,
                whole=whole,
                chance=about.chance,
                control=about.control,
                arms={arm: one.estimate() for arm, one in have.items()},
                changes={
                    arm: _change(one, have[first])
                    for arm, one in have.items()
                    if arm != first and first in have
                },
            )
        )
    return found


def _change(mine: Scored, base: Scored) -> Change:
    if list(mine.cluster_I) != list(base.cluster_I):
        mine, base = mine.common(base)
    if not mine.items:
        return _nothing()
    difference = mine.difference(base)
    return Change(
        change=difference.change,
        p_value=difference.p_value,
        test=difference.test,
        believed=False,
        visible=minimal_detectable(difference.change),
    )


def _nothing() -> Change:
    """No item that both arms have."""
    empty = Estimate(value=0.0, error=None, low=None, high=None, n=0)
    return Change(change=empty, p_value=1.0, test="none", believed=False, visible=None)


def believed(table: Sequence[Line]) -> list[Line]:
    """With what to believe of all changes together (Benjamini and Hochberg 1995)."""
    places = [(n, arm) for n, line in enumerate(table) for arm in line.changes]
    sure = discoveries([table[n].changes[arm].p_value for n, arm in places])
    told = dict(zip(places, sure, strict=True))
    return [
        line.model_copy(
            update={
                "changes": {
                    arm: change.model_copy(update={"believed": told[n, arm]})
                    for arm, change in line.changes.items()
                }
            }
        )
        for n, line in enumerate(table)
    ]


VARIETIES = ("vendi_per_input", "vendi_across", "unique_per_input")


def alarms(table: Sequence[Line]) -> list[str]:
    """Arms that lost more than half of a variety, beyond chance."""
    return [
        f"{arm} lost {-change.change.value / line.arms[first].value:.0%} of {line.measure}"
        for line in table
        if line.measure in VARIETIES and line.changes
        for first in [next(iter(line.arms))]
        for arm, change in line.changes.items()
        if diversity.lost(line.arms[first], change.change)
    ]
