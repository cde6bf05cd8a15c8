"""What people think of a constitution's principles, group by group: Polis' group-informed consensus
(Small et al. 2021, "Polis: Scaling deliberation by mapping high dimensional opinion spaces"), which
made a constitution for Huang et al. 2024, "Collective Constitutional AI".

    agreement of group g with principle p:  (1 + agree) / (2 + votes)          passes are votes, too
    consensus on p:                         product over groups

A principle that one group rejects has a low consensus, however large the others are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from accord.errors import ConfigError, DataError
from accord.feedback.messages import plain
from accord.feedback.records import Feedback, Skip, Thumb
from accord.oversight.constitution import Constitution
from accord.seeds import derive_seed
from accord.statistics.intervals import Array, Index

AGREE, DISAGREE, PASS = 1.0, -1.0, 0.0
MOST_GROUPS = 5
FEWEST_PEOPLE = 6
"""Below it people are one group: of fewer, any division fits."""
LEAST_SILHOUETTE = 0.25
"""Of a division into groups (mean over people, from -1 to 1; Rousseeuw 1987): below it, and by the
usual reading, there is no structure to speak of, and all are one group."""
ASKED = "Should responses keep to this principle?"
SHOWN = "A principle that a model may be trained by:"
GUIDELINE = """These are principles that a model may be trained by: {name} {version}.

**Good** says that you agree: responses should keep to it. **Bad** says that you disagree. Skip
where you have no opinion: that counts as a vote, too. There are no right answers.
"""


@dataclass(frozen=True)
class GroupVotes:
    """How a group voted on a principle."""

    agree: int
    disagree: int
    passed: int

    @property
    def votes(self) -> int:
        """All of them."""
        return self.agree + self.disagree + self.passed

    @property
    def agreement(self) -> float:
        """Smoothed share that agrees: one half where nobody voted."""
        return (1 + self.agree) / (2 + self.votes)


@dataclass(frozen=True)
class VotesOnPrinciples:
    """groups: name -> how many people; by_principle: id -> group -> votes; left_out: records that
    are no votes on these principles, by reason."""

    groups: dict[str, int]
    by_principle: dict[str, dict[str, GroupVotes]]
    left_out: dict[str, int]

    def consensus(self, principle: str) -> float:
        """Product of the groups' agreement."""
        return prod(votes.agreement for votes in self.by_principle[principle].values())

    def ordered(self) -> list[str]:
        """Principles, most agreed on first; of equal ones in the constitution's order."""
        return sorted(self.by_principle, key=lambda name: -self.consensus(name))


def vote_items(constitution: Constitution) -> list[dict[str, Any]]:
    """An item of a studio's project per principle."""
    return [
        {
            "prompt": SHOWN,
            "options": [{"id": one.id[:64], "content": one.text}],
            "meta": {"constitution": constitution.guideline, "principle": one.id},
        }
        for one in constitution.principles
    ]


def count_votes(
    constitution: Constitution,
    records: Sequence[Feedback],
    group_of: Mapping[str, str] | None = None,
    seed: int = 0,
) -> VotesOnPrinciples:
    """Thumbs on the principles' texts, and skips, which pass. Of a person's votes on one principle
    the last counts. group_of: annotator -> group; without it groups are found in the votes. Raises
    DataError where there is no vote on any of the principles."""
    votes, left_out = _read(constitution, records)
    if not votes:
        told = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise DataError(
            f"none of {len(records):,} records is a vote on the principles of {constitution.id}"
            f" {constitution.version}{f' ({told})' if told else ''}",
            "export what accord constitution vote asked: accord studio export PROJECT FILE --skips",
        )
    people = sorted({annotator for annotator, _ in votes})
    if group_of is None:
        table_PI = np.full((len(people), len(constitution.principles)), np.nan)
        place = {one.id: n for n, one in enumerate(constitution.principles)}
        row = {annotator: n for n, annotator in enumerate(people)}
        for (annotator, name), vote in votes.items():
            table_PI[row[annotator], place[name]] = vote
        found_P = opinion_groups(table_PI, seed)
        group_of = {a: f"group {n + 1}" for a, n in zip(people, found_P.tolist(), strict=True)}
    unknown = [annotator for annotator in people if annotator not in group_of]
    if len(unknown) == len(people):
        raise ConfigError(
            f"none of the {len(people):,} people who voted has a group",
            "name annotators as the records do",
        )
    if unknown:
        left_out["votes of people without a group"] = sum(a in set(unknown) for a, _ in votes)
    sizes = Counter(group_of[annotator] for annotator in people if annotator in group_of)
    by_principle = {
        one.id: {
            group: _counted(
                [v for (a, name), v in votes.items() if name == one.id and group_of.get(a) == group]
            )
            for group in sorted(sizes)
        }
        for one in constitution.principles
    }
    return VotesOnPrinciples(
        {group: sizes[group] for group in sorted(sizes)}, by_principle, dict(left_out)
    )


def _counted(votes: Sequence[float]) -> GroupVotes:
    return GroupVotes(votes.count(AGREE), votes.count(DISAGREE), votes.count(PASS))


def _read(
    constitution: Constitution, records: Sequence[Feedback]
) -> tuple[dict[tuple[str, str], float], Counter[str]]:
    """((annotator, principle) -> vote, what is none by reason). Principles are known by their
    texts: a vote on another wording is none on this one."""
    by_text = {" ".join(one.text.split()): one.id for one in constitution.principles}
    votes: dict[tuple[str, str], float] = {}
    left_out = Counter[str]()
    for record in records:
        if not isinstance(record.choice, Thumb | Skip) or len(record.options) != 1:
            left_out[f"{record.kind}: no vote"] += 1
            continue
        name = by_text.get(" ".join(plain(record.options[0].content).split()))
        if name is None:
            left_out["on texts that are none of these principles"] += 1
            continue
        key = (record.annotator, name)
        left_out["earlier votes of the same person"] += key in votes
        choice = record.choice
        votes[key] = PASS if isinstance(choice, Skip) else AGREE if choice.up else DISAGREE
    return votes, +left_out


def opinion_groups(table_PI: Array, seed: int) -> Index:
    """Groups of people by how they vote, numbered from 0 by their first member: as in Polis two
    principal components of votes [people, principles] (1, -1, 0 for a pass; not a number where
    nobody was asked: the principle's mean), and k-means with the k of 2 to 5 that the silhouette
    prefers. One group where no division reaches `LEAST_SILHOUETTE`."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    people = len(table_PI)
    one: Index = np.zeros(people, dtype=np.int64)
    if people < FEWEST_PEOPLE:
        return one
    there = np.isfinite(table_PI)
    means_I = np.where(there, table_PI, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    centred_PI = np.where(there, table_PI - means_I, 0.0)
    left, size, _ = np.linalg.svd(centred_PI, full_matrices=False)
    at_P2 = left[:, :2] * size[:2]
    different = len(np.unique(at_P2.round(9), axis=0))
    best, best_score = one, LEAST_SILHOUETTE
    for k in range(2, min(MOST_GROUPS, different - 1, people - 1) + 1):
        means = KMeans(k, n_init=10, random_state=derive_seed(seed, "groups", k) % 2**31)
        labels_P: Index = means.fit_predict(at_P2)
        score = float(silhouette_score(at_P2, labels_P))
        if score > best_score:
            best, best_score = labels_P, score
    return _by_first(best)


def _by_first(labels_P: Index) -> Index:
    order = {label: n for n, label in enumerate(dict.fromkeys(labels_P.tolist()))}
    return np.array([order[label] for label in labels_P.tolist()], dtype=np.int64)
