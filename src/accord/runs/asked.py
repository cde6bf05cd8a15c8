"""Responses of a run, or episodes, that people are to judge, as a file that the studio takes, and
their answers read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from accord.errors import ConfigError
from accord.examine import asked
from accord.examine.asked_groups import GroupsOf, PersonsAnswer, group_wins
from accord.feedback.messages import plain
from accord.feedback.records import Comparison, Feedback
from accord.seeds import generator
from accord.statistics.intervals import Array, Index


@dataclass(frozen=True)
class AskedArm:
    """An arm's last responses, the baseline's to the same prompts, both as `plain` has them, and
    what stands in for people: name -> 1, .5 or 0 for every response."""

    unit: ClassVar[asked.Unit] = "prompt"
    name: str
    prompts: list[str]
    ids: list[int]
    mine: list[str]
    against: list[str]
    stand_ins: dict[str, Array]

    def shown(self, place: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """What people see of the arm and of the baseline, as options of an item."""
        return {"content": self.mine[place]}, {"content": self.against[place]}


def items_to_ask(
    arm: AskedArm, count: int, seed: int, records: Sequence[Feedback] = ()
) -> tuple[list[dict[str, Any]], int]:
    """(the next `count` comparisons in the order of `asked.asking_order`, as rows of items that a
    studio takes; how many there are no more). Those that `records` answer are not asked again; two
    that are the same are a tie that nobody is asked about. Which stands first is drawn.
    """
    people_B = people_of(arm, records)
    left = [int(n) for n in _order(arm, seed) if not np.isfinite(people_B[n])]
    rng, rows = generator(seed, "sides", arm.name), []
    turned_B = rng.random(len(people_B)) < 0.5
    for n in left[:count]:
        mine, theirs = arm.shown(n)
        options = [mine | {"producer": arm.name}, theirs | {"producer": "baseline"}]
        rows.append(
            {
                "prompt": arm.prompts[n],
                "options": options[::-1] if turned_B[n] else options,
                "meta": {f"{arm.unit}_id": arm.ids[n]},
            }
        )
    return rows, max(0, count - len(left))


def _order(arm: AskedArm, seed: int) -> Index:
    """Places in the order in which they are asked."""
    return asked.asking_order(asked.guess_of(arm.stand_ins), len(arm.stand_ins), seed)[0]


@dataclass(frozen=True)
class _Heard:
    """Comparisons by (prompt, one, another): record and share for the one, in both orders; others:
    records that are none, by kind."""

    votes: dict[tuple[str, str, str], list[tuple[Feedback, float]]]
    others: Counter[str]

    @classmethod
    def of(cls, records: Sequence[Feedback]) -> _Heard:
        found = cls({}, Counter())
        for record in records:
            if not isinstance(record.choice, Comparison):
                found.others[record.kind] += 1
                continue
            contents = {option.id: plain(option.content) for option in record.options}
            preferred = record.choice.preferred
            first, second = contents.values()
            share = 0.5 if preferred is None else float(contents[preferred] == first)
            prompt = plain(record.prompt)
            found.votes.setdefault((prompt, first, second), []).append((record, share))
            found.votes.setdefault((prompt, second, first), []).append((record, 1 - share))
        return found

    def about(self, arm: AskedArm) -> Iterator[tuple[int, list[tuple[Feedback, float]]]]:
        """(place, answers) of the arm's comparisons that have some."""
        for place, pair in enumerate(zip(arm.prompts, arm.mine, arm.against, strict=True)):
            if pair[1] != pair[2] and pair in self.votes:
                yield place, self.votes[pair]


def said_of(arm: AskedArm, records: Sequence[Feedback]) -> list[PersonsAnswer]:
    """Everybody's answer to each comparison of the arm with the baseline; what one annotator said
    several times counts once, as the mean. The prompt of an answer is its place in the arm."""
    found = []
    for place, votes in _Heard.of(records).about(arm):
        of_one: dict[str, list[float]] = {}
        for record, share in votes:
            of_one.setdefault(record.annotator, []).append(share)
        found += [PersonsAnswer(place, who, float(np.mean(s))) for who, s in of_one.items()]
    return found


def people_of(arm: AskedArm, records: Sequence[Feedback]) -> Array:
    """Share of people's answers for the arm's response, a tie half, as two equal responses are; not
    a number where there are none."""
    said: dict[int, list[float]] = {}
    for one in said_of(arm, records):
        said.setdefault(one.prompt, []).append(one.share)
    return np.array(
        [
            0.5 if mine == theirs else float(np.mean(said.get(place, [np.nan])))
            for place, (mine, theirs) in enumerate(zip(arm.mine, arm.against, strict=True))
        ]
    )


def not_counted(arms: Sequence[AskedArm], records: Sequence[Feedback]) -> dict[str, int]:
    """Reason -> answers that say nothing of the arms, or nothing of their own."""
    answers, about, again = _Heard.of(records), set[int](), 0
    for arm in arms:
        for _, votes in answers.about(arm):
            about |= {id(record) for record, _ in votes}
            again += len(votes) - len({record.annotator for record, _ in votes})
    others = sum(answers.others.values())
    found = {f"of the kind {kind}, no comparison": n for kind, n in answers.others.items()}
    found["about other comparisons than this run's"] = len(records) - others - len(about)
    found["by somebody who had answered the same: they count once"] = again
    return {reason: count for reason, count in found.items() if count}


def too_late(
    arms: Sequence[AskedArm],
    records: Sequence[Feedback],
    wins: Mapping[str, asked.PeopleWins],
    seed: int,
) -> dict[str, int]:
    """Reason -> comparisons that were answered and do not count, since too many that were asked
    before them are not."""
    answers, found = _Heard.of(records), {}
    for arm in arms:
        if arm.name in wins:
            after = set(_order(arm, seed)[wins[arm.name].asked :].tolist())
            found[f"of {arm.name}, asked after too many that nobody answered"] = sum(
                place in after for place, _ in answers.about(arm)
            )
    return {reason: count for reason, count in found.items() if count}


def answers_of(
    arms: Sequence[AskedArm], records: Sequence[Feedback], seed: int
) -> dict[str, asked.PeopleWins]:
    """Arm -> what people's answers say. Raises ConfigError where no arm has enough of them."""
    found = {}
    for arm in arms:
        wins = asked.people_wins(
            arm.name,
            arm.stand_ins,
            people_of(arm, records),
            arm.ids,
            seed,
            arm.unit,
        )
        if wins is not None:
            found[arm.name] = wins
    if not found:
        counts = [f"{arm.name} {int(np.isfinite(people_of(arm, records)).sum())}" for arm in arms]
        raise ConfigError(
            f"of what was asked too little is answered ({', '.join(counts)}):"
            f" {asked.FEWEST} answers and {asked.ANSWERED:.0%} of a batch are needed",
            "name the file of answers to what --ask wrote, with the same --seed",
        )
    return found


def groups_of(
    arms: Sequence[AskedArm],
    records: Sequence[Feedback],
    attributes: Mapping[str, Mapping[str, str]],
) -> dict[str, list[GroupsOf]]:
    """Arm -> what groups of annotators say of it. Raises ConfigError where no annotator is
    described."""
    found = {}
    for arm in arms:
        if said := said_of(arm, records):
            if not {one.annotator for one in said} & set(attributes):
                raise ConfigError(
                    f"none of the {len({one.annotator for one in said})} annotators who answered"
                    " is described",
                    "name annotators as the answers do",
                )
            found[arm.name] = group_wins(arm.name, said, attributes)
    return found
