"""Arms compared by a judge: every prompt's responses in both orders, win rates corrected by what
people said of some of them, at equal length, and on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.errors import DataError
from accord.examine.judged_wins import length_controlled, ratings
from accord.feedback.formats.reading import read_rows
from accord.feedback.judge_card import decided
from accord.feedback.messages import Message, plain
from accord.feedback.records import Feedback
from accord.runs.judges import AskedJudge
from accord.runs.judging import AskedPair, people_labels
from accord.seeds import generator
from accord.statistics.intervals import Array, Index
from accord.statistics.judged_rates import corrected_share, labelled_share, worth_labels
from accord.statistics.means import Estimate, share_mean

PROMPTS = ("prompt", "instruction", "question", "messages")
RESPONSES = ("response", "output", "completion", "answer")
"""What the columns of an arm's file may be called."""


class JudgedWins(BaseModel):
    """One arm against another, as a judge says. win_rate: ties and contradictions half; flipped:
    share of comparisons whose verdict changes with the order; longer: share in which the arm's
    response is the longer; at_equal_length: `length_controlled`; corrected: by people's labels on
    `labelled` of the comparisons (PPI++), people: what these alone say, worth: how many labels
    would tell as much. skipped: comparisons
    without a verdict. None where there is nothing to measure it on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: str
    against: str
    comparisons: int
    skipped: int
    win_rate: Estimate
    flipped: Estimate
    longer: Estimate
    at_equal_length: Estimate | None
    labelled: int
    people: Estimate | None
    corrected: Estimate | None
    worth: float | None = None


class ComparedArms(BaseModel):
    """wins: per pair of arms that was compared; ratings: Bradley and Terry's log-odds against the
    first arm, empty for two arms or few prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wins: list[JudgedWins]
    ratings: dict[str, Estimate]


@dataclass(frozen=True)
class ComparedPair:
    """Comparisons of two arms: pairs of (prompt, the arm's, the other's), their prompts' places."""

    arm: str
    against: str
    pairs: list[AskedPair]
    prompt_N: Index


def read_arm(path: Path) -> list[tuple[str, str]]:
    """(prompt, response) per row of a file. Raises DataError for rows without them."""
    read, found = read_rows(str(path)), []
    if read.dropped:
        raise DataError(f"{path}: rows that cannot be read: {dict(read.dropped)}", "repair them")
    for number, row in read.rows:
        texts = [_text(row, names) for names in (PROMPTS, RESPONSES)]
        if texts[0] is None or texts[1] is None:
            raise DataError(
                f"{path} row {number} has no {'response' if texts[0] else 'prompt'}: its columns"
                f" are {', '.join(row)}",
                f"call them {' or '.join(PROMPTS)}, and {' or '.join(RESPONSES)}",
            )
        found.append((texts[0], texts[1]))
    return found


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value:
            return plain([Message.model_validate(one) for one in value])
    return None


def pair_arms(
    arms: Mapping[str, Sequence[tuple[str, str]]], all_pairs: bool, limit: int, seed: int
) -> tuple[list[ComparedPair], dict[str, int]]:
    """(comparisons of every arm with the first, or of all with each other; responses that are in
    none, counted per arm). Of a prompt that is there several times the first is compared with the
    first and so on. Raises DataError where two arms share no prompt."""
    by_prompt: dict[str, dict[str, list[str]]] = {}
    for arm, rows in arms.items():
        by_prompt[arm] = {}
        for prompt, response in rows:
            by_prompt[arm].setdefault(prompt, []).append(response)
    shared = [
        prompt for prompt in by_prompt[next(iter(arms))]
        if all(prompt in of_arm for of_arm in by_prompt.values())
    ]  # fmt: skip
    if not shared:
        raise DataError(
            f"the arms {', '.join(arms)} share no prompt", "compare arms on the same prompts"
        )
    drawn = sorted(generator(seed, "prompts judged").permutation(len(shared))[:limit].tolist())
    counts = {p: min(len(by_prompt[arm][shared[p]]) for arm in arms) for p in drawn}
    left_out = {
        arm: len(rows) - sum(counts.values()) for arm, rows in arms.items()
        if len(rows) > sum(counts.values())
    }  # fmt: skip
    names = list(arms)
    chosen = list(combinations(names, 2)) if all_pairs else [(names[0], n) for n in names[1:]]
    found = []
    for against, arm in chosen:
        mine, theirs = by_prompt[arm], by_prompt[against]
        pairs, places = [], []
        for p in drawn:
            prompt = shared[p]
            for k in range(counts[p]):
                pairs.append(AskedPair(prompt, mine[prompt][k], theirs[prompt][k], None))
                places.append(p)
        found.append(ComparedPair(arm, against, pairs, np.array(places)))
    return found, left_out


def compare_arms(
    judge: AskedJudge,
    compared: Sequence[ComparedPair],
    people: Sequence[Feedback] = (),
    seed: int = 0,
) -> ComparedArms:
    """Ask about all of them at once, both orders, and measure. people: comparisons of some of
    the very same responses."""
    labels = people_labels(people)
    asked = [(p.prompt, p.a, p.b) for one in compared for p in one.pairs]
    different = [row for row in asked if row[1] != row[2]]
    said = judge([*different, *((prompt, b, a) for prompt, a, b in different)])
    count = len(different)
    both = dict(zip(different, zip(said[:count], 1 - said[count:], strict=True), strict=True))
    wins, arms_N, share_N, prompt_N = [], [], [], []
    names = list(dict.fromkeys(name for one in compared for name in (one.against, one.arm)))
    for one in compared:
        rows = [both.get((p.prompt, p.a, p.b), (0.5, 0.5)) for p in one.pairs]
        first_N, second_N = np.array(rows).T
        share = decided(first_N, second_N)
        wins.append(_wins(one, share, first_N, second_N, labels, seed))
        given = np.isfinite(share)
        arms_N += [(names.index(one.arm), names.index(one.against))] * int(given.sum())
        share_N.append(share[given])
        prompt_N += one.prompt_N[given].tolist()
    rated = None
    if len(names) > 2:
        rated = ratings(arms_N, np.concatenate(share_N), prompt_N, len(names), seed)
    return ComparedArms(wins=wins, ratings=dict(zip(names, rated or [], strict=False)))


def judged_win_rate(
    judge: AskedJudge,
    prompts: Sequence[str],
    responses: Sequence[str],
    baseline: Sequence[str],
    seed: int = 0,
) -> JudgedWins:
    """A policy's responses against a baseline's on the same prompts: B of each."""
    pairs = [AskedPair(*row, None) for row in zip(prompts, responses, baseline, strict=True)]
    place_B = np.unique(np.asarray(prompts), return_inverse=True)[1]
    return compare_arms(judge, [ComparedPair("policy", "baseline", pairs, place_B)], (), seed).wins[
        0
    ]


def _wins(
    one: ComparedPair,
    share_N: Array,
    first_N: Array,
    second_N: Array,
    labels: Mapping[tuple[str, str, str], float],
    seed: int,
) -> JudgedWins:
    given = np.isfinite(share_N)
    if not given.any():
        raise DataError(
            f"the judge gave no verdict on any of {len(share_N)} comparisons of {one.arm} with"
            f" {one.against}",
            "see what it answers; a judge that reasons first needs more tokens for an answer",
        )
    prompts = one.prompt_N[given].tolist()
    length_N = np.array([len(p.a) - len(p.b) for p in one.pairs], dtype=np.float64)[given]
    people_N = np.array([labels.get((p.prompt, p.a, p.b), np.nan) for p in one.pairs])[given]
    share, flips = share_N[given], np.sign(first_N - 0.5) != np.sign(second_N - 0.5)
    known = np.isfinite(people_N)
    place = one.prompt_N[given]
    people = share_mean(people_N[known], list(place[known])) if known.any() else None
    corrected = worth = None
    if known.sum() > 1 and not known.all():
        said = people_N[known]
        corrected = corrected_share(share[~known], share[known], said, place[known])
        worth = worth_labels(labelled_share(said, place[known]), corrected, len(said))
    return JudgedWins(
        arm=one.arm,
        against=one.against,
        comparisons=int(given.sum()),
        skipped=int((~given).sum()),
        win_rate=share_mean(share, prompts),
        flipped=share_mean(flips[given].astype(float), prompts),
        longer=share_mean((1 + np.sign(length_N)) / 2, prompts),
        at_equal_length=length_controlled(share, length_N, prompts, seed),
        labelled=int(known.sum()),
        people=people,
        corrected=corrected,
        worth=worth,
    )
