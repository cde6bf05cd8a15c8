"""Which responses, or episodes, people should judge so that a verdict can rest on them, and what
follows from their answers for all.

Every evaluation prompt, or start of an episode, has a guess by stand-ins (reward models, gold):
does the arm's response beat the baseline's? Some prompts are drawn for people: half of the chance
is equal, half goes with how far the stand-ins are from agreeing. What people say corrects the
guesses by one over the chance that a prompt was drawn with (active statistical inference: Zrnic and
Candes 2024), so that stand-ins may be wrong in any way. Suffix B: prompts with one response each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.examine.rows import Samples
from accord.examine.winrate import aligned
from accord.feedback.planning import plan_power, spread_of
from accord.seeds import generator
from accord.statistics.clusters import quantile
from accord.statistics.intervals import Array, Index
from accord.statistics.means import Estimate, clustered_mean, share_mean

AT_RANDOM = 0.5
"""Share of the chance to be drawn that is the same for every prompt."""
FEWEST = 10
"""Answers below which nothing is concluded."""
ANSWERED = 0.8
"""Share of a batch that must have been answered for it to count."""
TUNED_ON = "the reward it was tuned on"
Unit = Literal["prompt", "episode"]
"""What a comparison is about: a policy's response to a prompt, or its episode from a start."""
AGREEMENT = 0.75
"""How often two annotators agree, where nobody has measured it: usual for preferences."""


class StandInError(BaseModel):
    """A stand-in against people, on prompts that it has a verdict on. win_rate: what it says alone;
    agrees: how often it takes the side that people take (a tie on either side half); bias: its mean
    less theirs, on the same prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    win_rate: Estimate
    agrees: Estimate
    bias: Estimate


class PeopleWins(BaseModel):
    """The share of all prompts on which people take the arm's response. answered of asked prompts,
    of all there are (unit: whether these are starts of episodes); win_rate: corrected from the
    stand-ins' guesses; weight: how much of these is used, 0 to 1; more: how many further answers
    would probably settle it, None where it is settled or the guess would be a wild one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: str
    unit: Unit = "prompt"
    answered: int
    asked: int
    prompts: int
    win_rate: Estimate
    weight: float
    more: int | None
    stand_ins: list[StandInError]


def stand_ins(policy: Samples, baseline: Samples, others: Mapping[str, Array]) -> dict[str, Array]:
    """Name -> 1, .5 or 0 for every response of the policy against the baseline's to the same
    prompt: members of the tuned-on reward model, gold, and `others`, differences of scores by
    reward models that nothing was tuned on."""
    at = aligned(policy.prompt_id_B, baseline)
    gaps: dict[str, Array] = {}
    if policy.gold_B is not None and baseline.gold_B is not None:
        gaps["gold"] = policy.gold_B - baseline.gold_B[at]
    for name, gap_B in others.items():
        gaps[f"held-out reward model {name}"] = gap_B
    for number, member_B in enumerate(policy.proxy_EB):
        several = f"{TUNED_ON} (member {number + 1})" if len(policy.proxy_EB) > 1 else TUNED_ON
        gaps[several] = member_B - baseline.proxy_EB[number][at]
    return sides(gaps)


def sides(gaps: Mapping[str, Array]) -> dict[str, Array]:
    """Name -> 1, .5 or 0 by the sign of a difference of scores."""
    return {name: (1 + np.sign(gap_B)) / 2 for name, gap_B in gaps.items()}


def guess_of(found: Mapping[str, Array]) -> Array:
    """Share of the stand-ins with a verdict that take the arm's response; a half where none has
    one."""
    wins_SB = np.array(list(found.values()))
    given_B = np.isfinite(wins_SB).sum(0)
    guess_B: Array = (np.nansum(wins_SB, 0) + 0.5 * (given_B == 0)) / np.maximum(given_B, 1)
    return guess_B


def asking_order(guess_B: Array, stand_ins: int, seed: int) -> tuple[Index, Array]:
    """(prompts in the order in which they are asked, how much each counts in the draw). The first n
    are a draw of n with chances in proportion, for every n (sequential Poisson sampling: Ohlsson
    1998), so that a second batch goes on where the first ended."""
    smoothed_B = (guess_B * stand_ins + 0.5) / (stand_ins + 1)
    doubt_B = np.sqrt(smoothed_B * (1 - smoothed_B))
    size_B = AT_RANDOM + (1 - AT_RANDOM) * doubt_B / doubt_B.mean()
    uniform_B = generator(seed, "people are asked").random(len(guess_B))
    return np.argsort(uniform_B / size_B, kind="stable"), size_B


def chances(size_B: Array, count: int) -> Array:
    """P(a prompt is among the first `count`): in proportion to its size, at most 1."""
    chance_B = np.zeros(len(size_B))
    sure_B = np.zeros(len(size_B), dtype=bool)
    for _ in range(len(size_B)):
        left = count - int(sure_B.sum())
        rest = float(size_B[~sure_B].sum())
        chance_B = np.where(sure_B, 1.0, left * size_B / rest if rest else 1.0)
        new_B = (chance_B >= 1) & ~sure_B
        if not new_B.any():
            break
        sure_B |= new_B
    return np.minimum(chance_B, 1.0)


def batch_of(order_B: Index, people_B: Array) -> int:
    """Of how many prompts the answers are: the longest beginning of the order that ends with an
    answer, and of which at least four in five were answered."""
    given_B = np.isfinite(people_B[order_B])
    share_B = np.cumsum(given_B) / np.arange(1, len(order_B) + 1)
    enough = np.flatnonzero(given_B & (share_B >= ANSWERED))
    return int(enough[-1]) + 1 if len(enough) else 0


def people_wins(
    arm: str,
    found: Mapping[str, Array],
    people_B: Array,
    prompt_B: Sequence[int],
    seed: int,
    unit: Unit = "prompt",
) -> PeopleWins | None:
    """people_B: share of people for the arm's response, not a number where nobody was asked. What
    was asked and not answered counts as missing by chance. None for fewer than 10 answers."""
    guess_B = guess_of(found)
    order_B, size_B = asking_order(guess_B, len(found), seed)
    batch = batch_of(order_B, people_B)
    drawn_B = np.zeros(len(guess_B), dtype=bool)
    drawn_B[order_B[:batch]] = True
    drawn_B &= np.isfinite(people_B)
    answered = int(drawn_B.sum())
    if answered < FEWEST:
        return None
    weight_B = drawn_B / (chances(size_B, batch) * answered / batch)
    said_B = np.where(drawn_B, people_B, 0.5)
    win_rate, used = _corrected(guess_B, said_B, weight_B, prompt_B, answered)
    return PeopleWins(
        arm=arm,
        unit=unit,
        answered=answered,
        asked=batch,
        prompts=len(guess_B),
        win_rate=win_rate,
        weight=used,
        more=_more(win_rate, answered),
        stand_ins=[
            _error(name, win_B, said_B, weight_B, drawn_B, prompt_B)
            for name, win_B in found.items()
        ],
    )


def _corrected(
    guess_B: Array, said_B: Array, weight_B: Array, prompt_B: Sequence[int], answered: int
) -> tuple[Estimate, float]:
    """Mean of l g + w (y - l g) around .5, w one over the chance for what was drawn, with the l in
    [0, 1] that makes its variance smallest. Where all were asked and answered nothing is left to
    guess, and the interval is that of a plain share."""
    if np.allclose(weight_B, 1):
        return share_mean(said_B, prompt_B), 0.0
    centred_B = guess_B - 0.5
    from_guess_B = centred_B * (1 - weight_B)
    from_people_B = (said_B - 0.5) * weight_B
    spread = float(np.var(from_guess_B))
    shared = float(np.cov(from_guess_B, from_people_B)[0, 1])
    used = float(np.clip(-shared / spread, 0.0, 1.0)) if spread > 0 else 0.0
    return _bounded(0.5 + used * from_guess_B + from_people_B, prompt_B, answered), used


def _bounded(value_B: Array, prompt_B: Sequence[int], answered: int) -> Estimate:
    """Mean of a share, with Student's t of as many as were answered, within [0, 1]; where all are
    equal, the exact interval of as many answers."""
    mean = clustered_mean(value_B, prompt_B)
    if not mean.error:
        return share_mean(np.full(answered, mean.value))
    half = quantile(answered - 1.0) * mean.error
    value = float(np.clip(mean.value, 0.0, 1.0))
    return Estimate(
        value=value,
        error=mean.error,
        low=max(0.0, mean.value - half),
        high=min(1.0, mean.value + half),
        n=answered,
    )


def _error(
    name: str,
    win_B: Array,
    said_B: Array,
    weight_B: Array,
    drawn_B: Array,
    prompt_B: Sequence[int],
) -> StandInError:
    given_B = np.isfinite(win_B)
    win_B, said_B, weight_B = win_B[given_B], said_B[given_B], weight_B[given_B]
    prompts = np.asarray(prompt_B)[given_B].tolist()
    side_B = np.sign(said_B - 0.5) * np.sign(win_B - 0.5)
    answered = max(2, int(drawn_B[given_B].sum()))
    return StandInError(
        name=name,
        win_rate=share_mean(win_B, prompts),
        agrees=_bounded(0.5 + side_B / 2 * weight_B, prompts, answered),
        bias=clustered_mean((win_B - said_B) * weight_B, prompts),
    )


def _more(win_rate: Estimate, answered: int) -> int | None:
    """Widths fall with the root of the answers: as many as bring the nearer end to .5 if the win
    rate stays; None from 20 times as many on."""
    away = abs(win_rate.value - 0.5)
    if win_rate.low is None or win_rate.high is None or win_rate.above(0.5) or win_rate.below(0.5):
        return None
    half = (win_rate.high - win_rate.low) / 2
    factor = (half / away) ** 2 if away else np.inf
    return int(np.ceil(answered * (factor - 1))) if factor <= 20 else None


def judgements_for(win_rates: Sequence[float], power: float = 0.8) -> dict[float, int]:
    """True win rate -> judgements, one a prompt, whose interval leaves out .5 with this power, by
    people alone, where two annotators agree in 75 %. Stand-ins that are right lower it."""
    found = {}
    for rate in win_rates:
        agreed = max(AGREEMENT, rate**2 + (1 - rate) ** 2)
        found[rate] = plan_power(spread_of(rate, agreed), power, (1,))[0].items
    return found
