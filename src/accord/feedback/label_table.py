"""Several annotators' labels of the same items as arrays, from records of any kind that has
labels, and their majority. Suffixes: I items, A annotators, C classes, M votes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from accord.errors import DataError
from accord.feedback.agreement import in_time, pair_votes
from accord.feedback.agreement_kinds import Unit, Votes, scale_votes
from accord.feedback.records import Feedback, Flags
from accord.statistics.intervals import Array, Index

LABEL = "answer "
"""Before the name of a question whose answers are chosen from a list."""


@dataclass(frozen=True)
class LabelTable:
    """Votes as arrays [M] over items, annotators and classes (ascending values). Comparisons: 1
    first, 0 tie, -1 second, the two options in the order of their ids. names: of the classes, where
    they are words."""

    what: str
    items: list[Unit]
    annotators: list[str]
    classes: list[float]
    item: Index
    annotator: Index
    label: Index
    names: list[str] = field(default_factory=list)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Items, annotators, classes."""
        return len(self.items), len(self.annotators), len(self.classes)

    def name(self, place: int, unit: Unit) -> bool | float | str:
        """A class as people know it: the preferred option's id or "tie", true or false, "up" or
        "down", a word, or a number (steps, ratings)."""
        value = self.classes[place]
        if self.names:
            return self.names[place]
        if self.what == "choice" or self.what.startswith("compared by "):
            return {1.0: unit[1], -1.0: unit[2]}.get(value, "tie")
        if self.what == "thumb":
            return "up" if value else "down"
        return bool(value) if self.what.startswith("flag ") else value


def label_tables(records: Sequence[Feedback]) -> list[LabelTable]:
    """One table per thing that was judged: "choice" (comparisons, rankings, best/worst as pairs),
    "thumb", "step", "flag NAME", "rating NAME", "compared by NAME", "answer NAME" (one of a list)
    and "flag NAME: LABEL" (several of a list). Raises DataError when there is none."""
    tables: dict[str, Votes] = {}
    if pairs := pair_votes(records):
        tables["choice"] = {(*key,): votes for key, votes in pairs.items()}
    for (what, level), votes in scale_votes(records).items():
        if level != "interval":  # the same votes again
            tables[what] = votes
    names, chosen = _from_lists(records)
    tables |= chosen
    if not tables:
        raise DataError(
            "nothing was judged that has a label",
            "labels come from choices, ratings, thumbs, steps and flags",
        )
    return [table(what, votes, names.get(what, ())) for what, votes in sorted(tables.items())]


def table(what: str, votes: Votes, names: Sequence[str] = ()) -> LabelTable:
    """Votes (item -> annotator -> value) as arrays. Items, annotators and classes are sorted."""
    items = sorted(votes)
    annotators = sorted({a for given in votes.values() for a in given})
    classes = sorted({v for given in votes.values() for v in given.values()})
    who, which = {a: i for i, a in enumerate(annotators)}, {c: i for i, c in enumerate(classes)}
    rows = [
        (i, who[a], which[v])
        for i, item in enumerate(items)
        for a, v in sorted(votes[item].items())
    ]
    item, annotator, label = np.array(rows, dtype=np.int64).T
    return LabelTable(what, items, annotators, classes, item, annotator, label, list(names))


Lists = dict[Unit, dict[str, str | list[str]]]


def _from_lists(records: Iterable[Feedback]) -> tuple[dict[str, list[str]], dict[str, Votes]]:
    """Answers chosen from a list, per question: names of its classes, and votes for the place of
    each among them. Where somebody may choose several, every label is a question of its own; all
    labels that anybody chose were offered to everybody (one question, one list)."""
    given: dict[str, Lists] = defaultdict(lambda: defaultdict(dict))
    for record in in_time(records):
        if isinstance(record.choice, Flags):
            unit = (repr(record.prompt), *sorted(o.id for o in record.options))
            for question, answer in record.choice.flags.items():
                if not isinstance(answer, bool):
                    given[question][unit][record.annotator] = answer
    names: dict[str, list[str]] = {}
    tables: dict[str, Votes] = {}
    for question, answers in given.items():
        offered = sorted(set(_chosen(answers)))
        if any(isinstance(a, list) for people in answers.values() for a in people.values()):
            for label in offered:
                tables[f"flag {question}: {label}"] = _raised(answers, label)
        else:
            names[LABEL + question] = offered
            tables[LABEL + question] = {
                unit: {who: float(offered.index(str(a))) for who, a in people.items()}
                for unit, people in answers.items()
            }
    return names, tables


def _chosen(answers: Lists) -> Iterator[str]:
    for people in answers.values():
        for answer in people.values():
            yield from [answer] if isinstance(answer, str) else answer


def _raised(answers: Lists, label: str) -> Votes:
    return {
        unit: {who: float(label in ([a] if isinstance(a, str) else a)) for who, a in people.items()}
        for unit, people in answers.items()
    }


def vote_counts(table: LabelTable) -> Array:
    """Votes for each class: [I, C]."""
    items, _, classes = table.sizes
    flat = np.bincount(table.item * classes + table.label, minlength=items * classes)
    return flat.reshape(items, classes).astype(np.float64)


def majority(table: LabelTable) -> Array:
    """Share of votes for each class: [I, C]."""
    counts = vote_counts(table)
    shares: Array = counts / counts.sum(1, keepdims=True)
    return shares
