"""Judgements about a prompt's responses: what the reward and preference loops learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from accord.learning.likelihoods import MOST_TIED
from accord.learning.weights import check_doubt, check_weight, counting
from accord.text.packing import PromptGroup

JudgementKind = Literal["order", "tie", "choice", "best_worst", "rating", "steps"]


@dataclass(frozen=True)
class Judgement:
    """One choice: among a group's responses, or of a level on a scale for one of them.

    options: indices into the group's responses. What their order says depends on `kind`:
    - order:      best first (two options: a comparison); `tied` are the sizes of tied groups (none:
                  strict)
    - tie:        two options, neither better
    - choice:     the first was chosen (or written) over the others, which are not compared
    - best_worst: the first is the best, the last the worst, those between are not compared
    - rating:     one option, answered by `level` (0 is the lowest) on the scale numbered `scale`
    - steps:      parts of one option, the last token of each in `ends`, answered by `levels` on
                  that scale
    facet: which output of the head it is about (an objective, a rule); None: the reward as a whole.
    shown_at: the display position of each; None: not shown beside each other (a correction, a
    demonstration), so that no side bias acts. annotator: index into the annotators' parameters.
    margin: how much better, in utility, the first of a comparison must be (0: any). weight: how
    much the judgement counts beside the others. doubt: of a comparison that says a probability
    (a soft label), that of the second being the better one, at most one half (then it says nothing
    of which is): the answer to "which is better?" of somebody who could not call a tie. None: no
    probability was said.
    """

    options: tuple[int, ...]
    shown_at: tuple[int, ...] | None
    annotator: int = 0
    kind: JudgementKind = "order"
    margin: float = 0.0
    level: int = 0
    scale: int = 0
    facet: int | None = None
    ends: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    tied: tuple[int, ...] = ()
    weight: float = 1.0
    doubt: float | None = None

    def __post_init__(self) -> None:
        check_weight(self.weight, "a judgement")
        check_doubt(self.doubt or 0.0, "a judgement")
        if self.doubt is not None and (self.kind != "order" or len(self.options) != 2):
            raise ValueError("doubt belongs to a comparison with a preferred option")
        if self.kind in ("rating", "steps"):
            if len(self.options) != 1 or min(self.level, self.scale, *self.levels, *self.ends) < 0:
                raise ValueError(
                    f"a rating is of one option, by a level and a scale from 0, not {self}"
                )
            if (self.kind == "steps") != bool(self.ends) or len(self.ends) != len(self.levels):
                raise ValueError(
                    f"step labels need an end and a level for each of one or more steps, not {self}"
                )
            return
        if len(self.options) < 2 or len(set(self.options)) != len(self.options):
            raise ValueError(
                f"a judgement needs at least two different options, not {self.options}"
            )
        if self.kind == "tie" and len(self.options) != 2:
            raise ValueError(
                "ties are between two options; a ranking of more names its `tied` groups"
            )
        if self.kind == "best_worst" and len(self.options) < 3:
            raise ValueError("best and worst of two is an order")
        if self.tied:
            if (
                self.kind != "order"
                or len(self.options) < 3
                or sum(self.tied) != len(self.options)
                or min(self.tied) < 1
            ):
                raise ValueError(
                    f"tied groups of {self.tied} do not make a ranking of {len(self.options)}"
                    " options"
                )
            if len(self.tied) < 2 or max(self.tied) > MOST_TIED:
                raise ValueError(
                    f"tied groups of {self.tied}: all are tied, or more than {MOST_TIED}"
                )
        if self.margin and (self.kind != "order" or len(self.options) != 2):
            raise ValueError("a margin belongs to a comparison with a preferred option")
        if self.shown_at is not None and sorted(self.shown_at) != list(range(len(self.options))):
            raise ValueError(
                f"shown_at {self.shown_at} is not an order of {len(self.options)} options"
            )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(better, worse) for every two options it says something about; none where it is about one
        facet of them."""
        if self.kind in ("tie", "rating", "steps") or self.doubt == 0.5 or self.facet is not None:
            return []
        places = ordered_pairs(self.kind, len(self.options), self.tied)
        return [(self.options[better], self.options[worse]) for better, worse in places]


def ordered_pairs(
    kind: JudgementKind, options: int, tied: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """(place of the better, place of the worse) of every two among the `options` of an order, a
    choice or a best_worst that it says something about."""
    first, last, between = 0, options - 1, range(1, options - 1)
    if kind == "order":
        sizes = enumerate(tied or (1,) * options)
        rank = [number for number, size in sizes for _ in range(size)]
        return [(a, b) for a, b in combinations(range(options), 2) if rank[a] != rank[b]]
    if kind == "choice":
        return [(first, other) for other in range(1, options)]
    return [
        (first, last),
        *((first, other) for other in between),
        *((other, last) for other in between),
    ]


@dataclass(frozen=True)
class JudgedGroup:
    """A prompt, its responses, and what was said about them. `row` names it in messages."""

    group: PromptGroup
    judgements: tuple[Judgement, ...]
    row: str = ""

    def same(self, one: int, other: int) -> bool:
        """Whether two responses have the same tokens, so that none is better (cutting can make them
        equal)."""
        return [*self.group.responses[one]] == [*self.group.responses[other]]


@dataclass(frozen=True)
class RatingScale:
    """An ordered scale of answers. levels: what the answers say, ascending (for a thumb 0 and 1).

    shares: how often each level was given; the thresholds start where these shares put them.
    anchored: the lowest threshold is 0 for good, so that a score is itself the logit of "not the
    lowest level" (for labels of steps).
    """

    name: str
    levels: tuple[float, ...]
    shares: tuple[float, ...]
    anchored: bool = False

    def __post_init__(self) -> None:
        if len(self.levels) < 2 or len(self.shares) != len(self.levels):
            raise ValueError(
                f"the scale {self.name!r} needs at least two levels, and a share for each"
            )


@dataclass(frozen=True)
class AnnotatorEffects:
    """What turns rewards into the utilities and answers of each annotator (index a).

    rationality_A, side_bias_A: beta and gamma among options; log_nu: log tie parameter; doubt_A:
    standard deviation of asinh beta where it was estimated (None: known); tail: of the rewards that
    beta is per standard deviation of.
    sharpness_A, offset_A: kappa and o in the utility kappa * r + o that is compared with a scale's
    thresholds; thresholds: ascending [L]
    per scale. lapse: the share of choices and levels taken to fall on any of the possible ones
    alike, everybody's or [A]. Everybody equal and unbiased: `AnnotatorEffects.none(A)`.
    """

    rationality_A: Tensor
    side_bias_A: Tensor
    log_nu: float | Tensor = -1.0
    sharpness_A: Tensor | None = None
    offset_A: Tensor | None = None
    thresholds: tuple[Tensor, ...] = field(default=())
    doubt_A: Tensor | None = None
    tail: float = 0.0
    lapse: float | Tensor = 0.0

    @classmethod
    def none(cls, annotators: int = 1, log_nu: float = -1.0) -> AnnotatorEffects:
        """Rationality 1, no side bias."""
        return cls(torch.ones(annotators), torch.zeros(annotators), log_nu)


class StrictPair(NamedTuple):
    """That of a group's responses one is better than another; `doubt`: the probability that it is
    not.

    weight: the judgement's, which all pairs that it orders share; of two ratings the smaller one.
    annotator: who said so, by number.
    """

    group: int
    better: int
    worse: int
    weight: float
    doubt: float
    annotator: int


def pairs_said(groups: Sequence[JudgedGroup]) -> list[StrictPair]:
    """All strict pairs said by the judgements that count, those of ratings by `rated_pairs`.

    Two responses with the same tokens are no pair, whatever was said of them (cutting can make them
    equal).
    """
    return [
        StrictPair(index, *pair)
        for index, g in enumerate(groups)
        for pair in _said(g)
        if not g.same(pair[0], pair[1])
    ]


def _said(g: JudgedGroup) -> Iterator[tuple[int, int, float, float, int]]:
    """(better, worse, weight, doubt, annotator)."""
    judgements = counting(g.judgements)
    for j in judgements:
        pairs, doubt = j.pairs, j.doubt or 0.0
        yield from ((*pair, j.weight / len(pairs), doubt, j.annotator) for pair in pairs)
    yield from (
        (a.options[0], b.options[0], min(a.weight, b.weight), 0.0, a.annotator)
        for a, b in rated_pairs(judgements)
    )


def strict_pairs(groups: Sequence[JudgedGroup]) -> list[tuple[int, int, int]]:
    """(group, better response, worse response) of `pairs_said`."""
    return [pair[:3] for pair in pairs_said(groups)]


def that_count(groups: Sequence[JudgedGroup]) -> list[JudgedGroup]:
    """The groups without judgements of weight 0, and without those of which nothing is left."""
    kept = [replace(g, judgements=tuple(counting(g.judgements))) for g in groups]
    return [g for g in kept if g.judgements]


def contradictions(groups: Sequence[JudgedGroup]) -> tuple[int, int]:
    """(pairs of responses judged both ways, those judged both ways by one annotator). All votes
    count in the likelihood: disagreement lowers the difference that is learned."""
    both = same = 0
    for g in groups:
        votes: dict[tuple[int, int], set[int]] = {}
        for j in g.judgements:
            for pair in j.pairs:
                votes.setdefault(pair, set()).add(j.annotator)
        for (better, worse), voters in votes.items():
            against = votes.get((worse, better), set()) if better < worse else set()
            both += bool(against)
            same += bool(against & voters)
    return both, same


def rated_pairs(judgements: Sequence[Judgement]) -> list[tuple[Judgement, Judgement]]:
    """(of the better, of the worse) for every two responses that an annotator put on different
    levels of the same scale.

    Ratings of one objective among several do not say which response is better.
    """
    rated = [j for j in judgements if j.kind == "rating" and j.facet is None]
    return [
        (a, b) if a.level > b.level else (b, a)
        for a, b in combinations(rated, 2)
        if (a.annotator, a.scale) == (b.annotator, b.scale)
        and a.level != b.level
        and a.options != b.options
    ]
