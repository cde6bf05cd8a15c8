"""Policies asked the same, each against the first: question sets, and responses to prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from accord.errors import AccordError, DataError
from accord.examine.behaviour import table
from accord.examine.behaviour.leaks import contaminated
from accord.examine.behaviour.scored import Scored
from accord.examine.behaviour.table import Behaviour, Line
from accord.runs.behaviour.answering import Policy
from accord.runs.behaviour.question_set import QuestionSet
from accord.runs.behaviour.remembering import RememberedPolicy
from accord.runs.behaviour.responses import SET, Responses

Progress = Callable[[str, str], None]


def compare(
    sets: Sequence[QuestionSet],
    policies: Mapping[str, Policy],
    trained_on: Iterable[str] | None = None,
    responses: Responses | None = None,
    progress: Progress = lambda arm, what: None,
    names: Mapping[str, str] | None = None,
    suite: str = "",
) -> Behaviour:
    """Put every set to one policy after the other (the first is what the others are compared with),
    and have each answer the prompts of `responses`. What cannot be asked of a policy is not
    measurable of it; the rest still comes. Raises DataError where nothing can.

    names: what each policy is, for the record; responses need policies that remember.
    """
    arms = list(policies)
    reasons: dict[str, str] = {}
    overlaps = None if trained_on is None else _overlaps(sets, trained_on)
    found: dict[str, dict[str, list[Scored]]] = {one.name: {} for one in sets}
    for arm, policy in policies.items():
        for one in sets:
            progress(arm, one.name)
            try:
                found[one.name][arm] = one.measure(policy)
            except AccordError as error:
                reasons[f"{arm}: {one.name}"] = error.message
        if responses is not None:
            progress(arm, SET)
            _respond(responses, arm, policy, policies[arms[0]], reasons)
        if isinstance(policy, RememberedPolicy) and arm != arms[0]:
            policy.forget()
    lines: list[Line] = []
    for one in sets:
        lines += table.lines(one.name, one.whole, found[one.name], arms)
    if responses is not None and responses.arms:
        measured = responses.measures()
        reasons |= responses.not_measurable
        lines += table.lines(SET, len(responses.asked), measured, list(responses.arms))
    if not lines:
        raise DataError(f"nothing could be measured: {_said(reasons)}", "see each reason")
    lines = table.believed(lines)
    return Behaviour(
        policies=dict(names or {arm: arm for arm in arms}),
        suite=suite,
        lines=lines,
        not_measurable=reasons,
        left_out={one.name: one.left_out for one in sets if one.left_out},
        contamination=overlaps,
        alarms=table.alarms(lines),
    )


def _respond(
    responses: Responses, arm: str, policy: Policy, first: Policy, reasons: dict[str, str]
) -> None:
    assert isinstance(policy, RememberedPolicy)
    assert isinstance(first, RememberedPolicy)
    try:
        responses.ask(arm, policy, first)
    except AccordError as error:
        reasons[f"{arm}: {SET}"] = error.message


def _said(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{what}: {why}" for what, why in reasons.items()) or "nothing was asked"


def _overlaps(sets: Sequence[QuestionSet], trained_on: Iterable[str]) -> dict[str, tuple[int, int]]:
    """All sets in one pass over what was trained on."""
    texts = [one.texts() for one in sets]
    exact, overlapping = map(iter, contaminated([t for own in texts for t in own], trained_on))
    return {
        one.name: (sum(islice(exact, len(own))), sum(islice(overlapping, len(own))))
        for one, own in zip(sets, texts, strict=True)
    }
