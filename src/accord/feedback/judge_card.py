"""A judge's card: what decides its verdicts beside the answers, and how far they are people's.

A pair is asked in both orders. The judge's probability that option a is better, with a shown first
and with a shown second, is all that is measured here. Suffix P: pairs, N: pairs without people's
labels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import logit

from accord.feedback.choice_model import decided_log_p
from accord.statistics.calibration import temperature_of
from accord.statistics.cohen import kappa
from accord.statistics.intervals import Array, Index, Interval
from accord.statistics.means import Estimate, paired_difference, positive_mean, share_mean

LEAST = 1e-4
"""Probabilities nearer to 0 or 1 are taken for this, for their log-odds."""


@dataclass(frozen=True)
class JudgedPairs:
    """P pairs. prompt_P: which share a prompt; first_P, second_P: P(a better), a shown first and
    second, not a number where the judge gave no verdict; people_P: share of people's labels for a,
    not a number where there is none (a tie: .5); longer_P: +1 where a is the longer, -1 where b is,
    0 where neither; own_P: +1 where a is the judge's own answer, -1 where b is, 0 otherwise;
    injected_P, padded_P: P(the loser is better) once a sentence is added to it that asks for that,
    and one as long that says nothing, both orders averaged; not a number where not tried."""

    prompt_P: Index
    first_P: Array
    second_P: Array
    people_P: Array
    longer_P: Array
    own_P: Array
    injected_P: Array
    padded_P: Array

    @property
    def verdict_P(self) -> Array:
        """P(a better), both orders averaged."""
        return (self.first_P + self.second_P) / 2

    @property
    def decided_P(self) -> Array:
        """1 for a, 0 for b, .5 where the orders contradict each other or the judge is undecided;
        not a number where it gave no verdict in one of them."""
        return decided(self.first_P, self.second_P)


def decided(first_P: Array, second_P: Array) -> Array:
    """Verdicts of P(a better), a shown first and second: `JudgedPairs.decided_P`."""
    votes = [np.sign(p - 0.5) for p in (first_P, second_P)]
    verdict_P = np.where(votes[0] == votes[1], (votes[0] + 1) / 2, 0.5)
    return np.where(np.isfinite(first_P + second_P), verdict_P, np.nan)


class Pull(BaseModel):
    """How often the judge takes one side, how often people do on the same pairs, and the
    difference; people None without their labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    judge: Estimate
    people: Estimate | None
    excess: Estimate | None


class JudgeCard(BaseModel):
    """pairs: with a verdict in both orders; skipped: without, which count for nothing else;
    labelled: of them with people's labels. flipped: verdicts that change with the
    order, of pairs decided in both; first_place: of all decided verdicts those for what was shown
    first (.5 without a pull); longer, own: pulls of length and of the judge's own answers; turned:
    verdicts that turn to the losing option once a sentence in it asks for that, less those that
    turn for a sentence that asks for nothing; agreement, kappa:
    with people on pairs that both decide; temperature, log_loss (nats): of its probabilities
    against what people decide, a temperature above 1 says that it is too sure; label_worth: how
    many labels one is worth for a win rate, beside many judged pairs (PPI++, see
    `statistics/judged_rates.py`): 1 / (1 - r^2), r the correlation of verdicts and labels. None
    where there is nothing to measure it on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: int
    skipped: int
    labelled: int
    undecided: Estimate
    flipped: Estimate | None
    first_place: Estimate | None
    longer: Pull | None
    own: Pull | None
    turned: Estimate | None
    agreement: Estimate | None
    kappa: tuple[float, float, float] | None
    temperature: Estimate | None
    log_loss: Estimate | None
    label_worth: float | None = None


def judge_card(pairs: JudgedPairs) -> JudgeCard:
    """Everything that can be measured of these pairs; raises ValueError where none was judged."""
    given_P = np.isfinite(pairs.first_P + pairs.second_P)
    skipped = int((~given_P).sum())
    pairs = JudgedPairs(**{f.name: getattr(pairs, f.name)[given_P] for f in fields(pairs)})
    labelled_P = np.isfinite(pairs.people_P)
    decided_P = pairs.decided_P
    sides = np.stack([np.sign(pairs.first_P - 0.5), np.sign(pairs.second_P - 0.5)])
    both_P = (sides != 0).all(0)
    temperature, log_loss = _calibration(pairs, labelled_P)
    return JudgeCard(
        pairs=len(pairs.first_P),
        skipped=skipped,
        labelled=int(labelled_P.sum()),
        undecided=share_mean((sides == 0).all(0).astype(float), list(pairs.prompt_P)),
        flipped=_share((sides[0] != sides[1])[both_P], pairs.prompt_P[both_P]),
        first_place=_first_place(sides, pairs.prompt_P),
        longer=_pull(pairs, pairs.longer_P),
        own=_pull(pairs, pairs.own_P),
        turned=_turned(pairs, decided_P),
        agreement=_agreement(pairs, decided_P, labelled_P),
        kappa=_kappa(pairs, decided_P, labelled_P),
        temperature=temperature,
        log_loss=log_loss,
        label_worth=_label_worth(pairs, labelled_P),
    )


def _label_worth(pairs: JudgedPairs, labelled_P: NDArray[np.bool_]) -> float | None:
    """Which of a pair is a means nothing, so that both are centred at one half."""
    if labelled_P.sum() < 2:
        return None
    judge_P, people_P = (x[labelled_P] - 0.5 for x in (pairs.verdict_P, pairs.people_P))
    squares = float((judge_P**2).sum() * (people_P**2).sum())
    if not squares:
        return 1.0
    alike = max(0.0, float((judge_P * people_P).sum())) ** 2 / squares
    return 1 / (1 - alike) if alike < 1 else None


def _share(values: Array, prompts: Index) -> Estimate | None:
    return share_mean(values.astype(np.float64), list(prompts)) if len(values) else None


def _first_place(sides: Array, prompt_P: Index) -> Estimate | None:
    """Of verdicts in either order; both of a pair belong to its prompt's cluster."""
    taken = np.concatenate([sides[0] > 0, sides[1] < 0])
    decided = np.concatenate([sides[0] != 0, sides[1] != 0])
    return _share(taken[decided], np.concatenate([prompt_P, prompt_P])[decided])


def _pull(pairs: JudgedPairs, side_P: Array) -> Pull | None:
    """How often verdicts take a's side where side_P is +1, b's where it is -1; a contradiction
    counts half."""
    asked = side_P != 0
    if not asked.any():
        return None
    takes_P = np.where(side_P > 0, pairs.decided_P, 1 - pairs.decided_P)
    people_P = np.where(side_P > 0, pairs.people_P, 1 - pairs.people_P)
    judge = share_mean(takes_P[asked], list(pairs.prompt_P[asked]))
    known = asked & np.isfinite(people_P)
    if not known.any():
        return Pull(judge=judge, people=None, excess=None)
    clusters = list(pairs.prompt_P[known])
    return Pull(
        judge=judge,
        people=share_mean(people_P[known], clusters),
        excess=paired_difference(takes_P[known], people_P[known], clusters),
    )


def _turned(pairs: JudgedPairs, decided_P: Array) -> Estimate | None:
    tried = np.isfinite(pairs.injected_P) & np.isfinite(pairs.padded_P) & (decided_P != 0.5)
    if not tried.any():
        return None
    asked, padded = (p[tried] > 0.5 for p in (pairs.injected_P, pairs.padded_P))
    clusters = list(pairs.prompt_P[tried])
    return paired_difference(asked.astype(float), padded.astype(float), clusters)


def _agreement(pairs: JudgedPairs, decided_P: Array, labelled_P: Array) -> Estimate | None:
    """On pairs that people and judge decide."""
    kept = labelled_P & (decided_P != 0.5) & (pairs.people_P != 0.5)
    return _share((decided_P[kept] > 0.5) == (pairs.people_P[kept] > 0.5), pairs.prompt_P[kept])


def _kappa(
    pairs: JudgedPairs, decided_P: Array, labelled_P: Array
) -> tuple[float, float, float] | None:
    """Cohen's, of a, tie and b, with its interval over prompts."""
    if not labelled_P.any():
        return None
    place_P = np.unique(pairs.prompt_P[labelled_P], return_inverse=True)[1]
    tables = np.zeros((int(place_P.max()) + 1, 3, 3))
    categories = [_category(decided_P[labelled_P]), _category(pairs.people_P[labelled_P])]
    np.add.at(tables, (place_P, *categories), 1.0)
    found: Interval = kappa(tables)
    return found.value, found.low, found.high


def _category(share_P: Array) -> Index:
    """0 for b, 1 for a tie, 2 for a."""
    return (1 + np.sign(share_P - 0.5)).astype(np.int64)


def _calibration(pairs: JudgedPairs, labelled_P: Array) -> tuple[Estimate | None, Estimate | None]:
    """(temperature, log-loss) of the averaged probabilities, on pairs that people decide."""
    kept = labelled_P & (pairs.people_P != 0.5)
    if not kept.any():
        return None, None
    odds_P = logit(np.clip(pairs.verdict_P[kept], LEAST, 1 - LEAST))
    gap_P = np.where(pairs.people_P[kept] > 0.5, odds_P, -odds_P)
    clusters = pairs.prompt_P[kept].tolist()
    return temperature_of(gap_P, clusters), positive_mean(-decided_log_p(gap_P), clusters)
