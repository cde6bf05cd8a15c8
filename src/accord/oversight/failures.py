"""Which of a deployed policy's prompts and responses are worth asking people about.

Signals of failure each name the prompts where they are strongest, in turn; what is put to people is
the pair, among a prompt's best responses, whose order the reward model knows least: comparing the
best response with any other taught less than static data where it was measured, the most uncertain
pair of the top taught more. What is mined is a biased sample, so at least a fifth of the items is
drawn at random, before and without a look at any signal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from accord.errors import DataError
from accord.feedback.choice_model import decided_p
from accord.feedback.selection import check_random_share, information
from accord.seeds import generator
from accord.statistics.intervals import Array

Signal = Literal["uncertain", "low_reward", "thumbs_down", "judges_disagree", "lost"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)
MEANING: Mapping[Signal, str] = {
    "uncertain": "the order of its best responses is uncertain: {:.3f} nats expected",
    "low_reward": "its responses score low: {:.3f} below the mean over prompts",
    "thumbs_down": "thumbs down: a share of {:.2f}",
    "judges_disagree": "judges disagree: {:.2f} of the most they can",
    "lost": "lost {:.3f} against the round before",
}
"""What each signal says of a prompt, with its value."""


@dataclass(frozen=True)
class DeployedCase:
    """A prompt with K different responses of the policy. prompt: what makes it the same prompt in
    every round; scores_EK: their scores by E members of the reward model, None before there is one;
    said: what else is known of the prompt (thumbs_down and judges_disagree in [0, 1]; lost in the
    reward's unit), only what was observed."""

    prompt: str
    responses: int
    scores_EK: Array | None = None
    said: Mapping[Signal, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MinedItem:
    """What to ask: case: place in the cases given; pair: places of two of its responses; signal:
    why, "random" for the random arm; value: the signal's, 0 for the random arm."""

    case: int
    pair: tuple[int, int]
    signal: Signal | Literal["random"]
    value: float
    reason: str


def mine(
    cases: Sequence[DeployedCase],
    count: int,
    asked: Collection[str] = (),
    random_share: float = 0.25,
    signals: Sequence[Signal] = SIGNALS,
    top: int = 4,
    seed: int = 0,
) -> list[MinedItem]:
    """`count` items of different prompts, none of them in `asked`, in a mixed order.

    random_share: of the items, rounded up, drawn uniformly over prompts and pairs; which ones does
    not depend on scores or signals. The signals that have something to say take turns for the rest;
    where none has any more, the rest is drawn at random too. top: a mined pair is of a prompt's so
    many best responses. Raises ConfigError for a random share below a fifth, DataError where a
    prompt stands twice, has fewer than two responses, or too few are left to ask.
    """
    check_random_share(random_share)
    _check(cases, top)
    known = set(asked)
    free = [i for i, case in enumerate(cases) if case.prompt not in known]
    if count > len(free):
        raise DataError(
            f"{count:,} items wanted, {len(free):,} of {len(cases):,} prompts were not asked yet",
            "ask for fewer items, or give more prompts",
        )
    rng = generator(seed, "mine")
    drawn = [free[i] for i in rng.permutation(len(free))]
    at_random = int(np.ceil(random_share * count))
    picked = {i: _random_item(i, cases[i], seed) for i in drawn[:at_random]}
    pairs = {i: _known_least(cases[i].scores_EK, top) for i in free}
    queues = _queues(cases, free, pairs, signals)
    while len(picked) < count and any(queues.values()):
        for signal, queue in queues.items():
            while queue and queue[-1][1] in picked:
                queue.pop()
            if queue and len(picked) < count:
                value, i = queue.pop()
                reason = MEANING[signal].format(value)
                found = pairs[i]
                pair = found[0] if found else _random_pair(cases[i], seed)
                picked[i] = MinedItem(i, pair, signal, value, reason)
    for i in drawn:
        if len(picked) < count and i not in picked:
            picked[i] = _random_item(i, cases[i], seed)
    items = list(picked.values())
    return [items[i] for i in rng.permutation(len(items))]


def _check(cases: Sequence[DeployedCase], top: int) -> None:
    if top < 2:
        raise DataError(f"top is {top}: a pair needs two responses", "use 2 or more")
    often = Counter(case.prompt for case in cases)
    if twice := next((prompt for prompt, times in often.items() if times > 1), None):
        raise DataError(f"the prompt {twice!r} stands twice", "give each prompt once")
    for case in cases:
        shape = None if case.scores_EK is None else case.scores_EK.shape
        if case.responses < 2 or (shape and (len(shape) != 2 or shape[1] != case.responses)):
            raise DataError(
                f"the prompt {case.prompt!r} has {case.responses} responses with scores {shape}",
                "two different responses or more, and [members, responses] scores",
            )
        if case.scores_EK is not None and not np.isfinite(case.scores_EK).all():
            raise DataError(f"a score of the prompt {case.prompt!r} is not finite")


def _random_pair(case: DeployedCase, seed: int) -> tuple[int, int]:
    """Drawn by the prompt itself, so that it does not depend on what else there is."""
    first, second = generator(seed, "pair", case.prompt).permutation(case.responses)[:2]
    return int(first), int(second)


def _random_item(i: int, case: DeployedCase, seed: int) -> MinedItem:
    return MinedItem(i, _random_pair(case, seed), "random", 0.0, "drawn at random")


def _known_least(scores_EK: Array | None, top: int) -> tuple[tuple[int, int], float] | None:
    """(the pair of the `top` best responses whose order is known least, nats expected of asking
    it). With one member, whose doubt nobody knows, the two nearest; the value is then that of a
    unit variance. None without scores."""
    if scores_EK is None:
        return None
    best = np.argsort(-scores_EK.mean(0), kind="stable")[:top]
    pairs = list(combinations(best.tolist(), 2))
    margin_EP = np.stack([scores_EK[:, a] - scores_EK[:, b] for a, b in pairs], 1)
    variance_P = margin_EP.var(0, ddof=1) if len(scores_EK) > 1 else np.ones(len(pairs))
    value_P = information(decided_p(margin_EP.mean(0)), variance_P)
    at = int(value_P.argmax())
    return pairs[at], float(value_P[at])


def _queues(
    cases: Sequence[DeployedCase],
    free: Sequence[int],
    pairs: Mapping[int, tuple[tuple[int, int], float] | None],
    signals: Sequence[Signal],
) -> dict[Signal, list[tuple[float, int]]]:
    """(value, case) of each signal, the strongest last; only where it says that something is
    wrong."""
    scored = {i: float(s.mean()) for i in free if (s := cases[i].scores_EK) is not None}
    middle = float(np.mean(list(scored.values()))) if scored else 0.0
    known: dict[Signal, dict[int, float]] = {
        "uncertain": {i: found[1] for i in free if (found := pairs[i]) is not None},
        "low_reward": {i: middle - mean for i, mean in scored.items()},
    }
    for signal in SIGNALS[2:]:
        known[signal] = {i: cases[i].said[signal] for i in free if signal in cases[i].said}
    return {
        signal: sorted(
            ((value, i) for i, value in known[signal].items() if value > 0),
            key=lambda one: (one[0], -one[1]),
        )
        for signal in signals
    }
