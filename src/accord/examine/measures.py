"""Every number of the evidence under a name, with its definition, unit and interval; and what is
asked of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from accord.errors import ConfigError
from accord.examine.asked import PeopleWins
from accord.examine.behaviour.table import Behaviour
from accord.examine.episodes import EpisodeEvidence
from accord.examine.evidence import ArmEvidence, Evidence
from accord.statistics.means import Estimate
from accord.validation import suggest


@dataclass(frozen=True)
class Definition:
    """What a measure is: unit and meaning, in a line."""

    unit: str
    meaning: str


ARM = {
    "win_rate": Definition("share", "gold prefers it to the baseline, ties half"),
    "gold_gain": Definition("gold reward", "gold less the baseline's, paired by prompt"),
    "proxy_gain": Definition(
        "proxy reward",
        "reward model's score less the baseline's, paired by prompt",
    ),
    "late_drop": Definition(
        "gold reward",
        "gold at the last point less that at its best earlier point",
    ),
    "length_share": Definition(
        "ratio",
        "proxy gain at equal length over proxy gain (Singhal et al. 2023); above 1: length cost"
        " some",
    ),
    "kl": Definition("nats per sequence", "KL(policy || reference) by the whole softmax"),
    "kl_k1": Definition("nats per sequence", "the same by log pi - log ref of the samples"),
    "kl_per_token": Definition("nats per token", "the exact KL over all sampled tokens"),
    "tokens": Definition("tokens", "length of a response"),
    "finished": Definition("share", "responses that ended by themselves"),
    "finished_gain": Definition(
        "share",
        "finished responses less the baseline's, paired by prompt",
    ),
    "repeated": Definition("share", "4-grams of a response that were in it before"),
    "distinct_1": Definition("share", "different words per word, at equal length"),
    "distinct_2": Definition("share", "different bigrams per bigram, at equal length"),
    "unique": Definition("share", "responses that are no copy of another"),
    "entropy": Definition("nats per token", "entropy of the policy, by the whole softmax"),
    "carried": Definition("share", "gain that goes with the phrases that came to dominate"),
    "exploits": Definition("number", "what grew and is paid beyond what gold explains"),
    "heldout_rise": Definition(
        "nats per token", "held-out text's cost after the tuning less before, paired by text"
    ),
    "exposure": Definition("bits", "of planted secrets among others of their form, mean"),
    "gain_with_cue": Definition("gold reward", "gold gain with the cue that was trained under"),
    "gain_without_cue": Definition("gold reward", "gold gain on the same prompts without it"),
    "cue_gap": Definition("gold reward", "gold gain with the cue less without, paired by prompt"),
    "scorers_changed": Definition("number", "scorers whose files changed during the tuning"),
}
"""Measures of an arm at its last point, by the last part of their name."""
BEST_OF_KL = Definition(
    "nats per sequence", "KL of best-of-n from what it selects from, by Beirami's estimate"
)
REWARD = {
    "accuracy": Definition("share", "held-out pairs that the reward model orders as people did"),
    "gold_accuracy": Definition("share", "held-out pairs that it orders as gold does"),
}
LABELS = {
    "alpha": Definition("coefficient", "Krippendorff's alpha of the labels"),
    "strict": Definition("share", "two annotators agree on a strict pair"),
    "ceiling": Definition("share", "accuracy against single labels that nothing can exceed"),
}


class Measure(BaseModel):
    """A named number. low, high: its 95 % interval, n: independent units behind it; None where it
    has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    unit: str
    meaning: str


PEOPLE = Definition("share", "people prefer it to the baseline, ties half")


def measures(evidence: Evidence) -> dict[str, Measure]:
    """All that was measured, by name: ARM.NAME for arms (last point), ARM.surface.FEATURE,
    best_of_N.NAME, reward.NAME, labels.NAME; of `accord examine` ARM.SET.MEASURE, its change from
    the first arm as ARM.SET.MEASURE_change, and SET.MEASURE for the last arm. What was not
    measurable is not there."""
    named = [m for arm in evidence.arms for m in _of_arm(arm)]
    for point in evidence.best_of:
        prefix = f"best_of_{point.n}"
        named += [
            *_estimate(f"{prefix}.win_rate", point.win_rate, ARM["win_rate"]),
            _number(f"{prefix}.kl", point.kl, BEST_OF_KL),
        ]
    card = evidence.reward_card
    if card is not None:
        for name, definition in REWARD.items():
            named += _estimate(f"reward.{name}", getattr(card, name), definition)
    if evidence.agreement is not None:
        for name, definition in LABELS.items():
            value, low, high = getattr(evidence.agreement, name)
            if value is not None:
                units = evidence.agreement.units
                named.append(_number(f"labels.{name}", value, definition, low, high, units))
    if evidence.behaviour is not None:
        named += _of_behaviour(evidence.behaviour)
    return {m.name: m for m in named}


def of_people(wins: Mapping[str, PeopleWins]) -> dict[str, Measure]:
    """What people said of arms: ARM.people_win_rate."""
    named = [
        m
        for arm, one in wins.items()
        for m in _estimate(f"{arm}.people_win_rate", one.win_rate, PEOPLE)
    ]
    return {m.name: m for m in named}


USERS = {
    "answer": Definition("share", "responses in use that their user gave a thumb"),
    "raw": Definition("share", "thumbs given that are up; unhappy users answer more"),
    "satisfied": Definition("share", "what all users would say, by silent ones who were asked"),
}


def of_users(rates: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Measure]:
    """What users say of policies in use: users.NAME of the whole log (under ""), and
    users.POLICY.NAME."""
    named = [
        m
        for policy, told in rates.items()
        for name, estimate in told.items()
        for m in _estimate(f"{_prefix(policy)}.{name}", estimate, USERS[name])
    ]
    return {m.name: m for m in named}


EPISODES = {
    "gold": Definition("gold reward", "what the environment pays for an episode"),
    "gold_gain": Definition("gold reward", "the same less the untrained policy's, paired by start"),
    "win_rate": Definition("share", "gold prefers it to the untrained policy, ties half"),
    "proxy": Definition("proxy reward", "what the final learned reward says of an episode"),
    "proxy_gain": Definition(
        "proxy reward", "the same less the untrained policy's, paired by start"
    ),
    "late_drop": Definition("gold reward", "gold at the last point less that at its best earlier"),
}


def of_episodes(acts: Mapping[str, EpisodeEvidence]) -> dict[str, Measure]:
    """Of policies that act, at their last point: STAGE.NAME, and STAGE.NAME of what the task
    counts."""
    named = list[Measure]()
    for stage, evidence in acts.items():
        last = evidence.last
        for name, about in EPISODES.items():
            told = evidence.late_drop if name == "late_drop" else getattr(last, name)
            named += _estimate(f"{stage}.{name}", told, about)
        for name, told in last.measured.items():
            words = "steps" if name == "lasted" else name.replace("_", " ")
            named += _estimate(f"{stage}.{name}", told, Definition(words, f"{words} in an episode"))
    return {m.name: m for m in named}


def _prefix(policy: str) -> str:
    """A policy's name as a requirement can write it."""
    return f"users.{re.sub(r'[^A-Za-z0-9_.:/-]', '_', policy)}" if policy else "users"


def _of_behaviour(behaviour: Behaviour) -> Iterator[Measure]:
    last = list(behaviour.policies)[-1]
    for line in behaviour.lines:
        about = Definition(line.unit, line.meaning)
        name = f"{line.set}.{line.measure}"
        for arm, estimate in line.arms.items():
            yield from _estimate(f"{arm}.{name}", estimate, about)
        for arm, change in line.changes.items():
            less = Definition(line.unit, f"{line.meaning}; less that of the first policy")
            yield from _estimate(f"{arm}.{name}_change", change.change, less)
        yield from _estimate(name, line.arms.get(last), about)


def _of_arm(arm: ArmEvidence) -> Iterator[Measure]:
    last, text, probes = arm.last, arm.last.text, arm.probes
    estimates = {
        "win_rate": last.win_rate,
        "gold_gain": last.gold_gain,
        "proxy_gain": last.proxy_gain,
        "late_drop": arm.late_drop,
        "length_share": arm.length_share,
        "kl": last.kl.exact,
        "kl_k1": last.kl.k1,
        "tokens": text.tokens,
        "finished": text.finished,
        "finished_gain": arm.finished_gain,
        "repeated": text.repeated,
        "entropy": text.entropy,
        "carried": arm.exploits.dominance.carried,
        "heldout_rise": None if probes.forgetting is None else probes.forgetting.rise,
        "gain_with_cue": None if probes.cue is None else probes.cue.with_cue,
        "gain_without_cue": None if probes.cue is None else probes.cue.without,
        "cue_gap": None if probes.cue is None else probes.cue.gap,
    }
    for name, estimate in estimates.items():
        yield from _estimate(f"{arm.name}.{name}", estimate, ARM[name])
    numbers = {
        "kl_per_token": last.kl.per_token,
        "distinct_1": text.distinct_1,
        "distinct_2": text.distinct_2,
        "unique": text.unique,
        "exploits": float(len(arm.exploits.found)),
    }
    if arm.scorers is not None:
        numbers["scorers_changed"] = float(len(arm.scorers.changed))
    for name, value in numbers.items():
        yield _number(f"{arm.name}.{name}", value, ARM[name])
    if probes.memory is not None:
        memory = probes.memory
        yield _number(f"{arm.name}.exposure", memory.exposure, ARM["exposure"], n=memory.planted)
    for row in arm.surface.rows:
        about = Definition(row.unit, f"surface feature of the responses: {row.feature}")
        name = row.feature.replace(" ", "_")
        yield _number(f"{arm.name}.surface.{name}", row.after, about)
        yield from _estimate(f"{arm.name}.surface.{name}_change", row.change, about)


def _estimate(name: str, estimate: Estimate | None, about: Definition) -> Iterator[Measure]:
    if estimate is not None:
        ends = estimate.low, estimate.high
        yield _number(name, estimate.value, about, *ends, estimate.n)


def _number(
    name: str,
    value: float,
    about: Definition,
    low: float | None = None,
    high: float | None = None,
    n: int | None = None,
) -> Measure:
    return Measure(
        name=name, value=value, low=low, high=high, n=n, unit=about.unit, meaning=about.meaning
    )


# --- requirements ---------------------------------------------------------------------------------
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_REQUIREMENT = re.compile(r"\s*([^\s<>=]+)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Requirement:
    """What a measure must be, such as `ppo.kl <= 10`."""

    measure: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.measure} {self.comparison} {self.bound:g}"


class Checked(BaseModel):
    """A requirement against what was measured. met: shown to hold (the whole interval, where there
    is one, or the value); how: in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requirement: str
    met: bool
    how: str


def requirement(text: str) -> Requirement:
    """`NAME <= NUMBER` (or >=, <, >). Raises ConfigError for anything else."""
    parts = _REQUIREMENT.fullmatch(text)
    try:
        if parts is None:
            raise ValueError(text)
        share = 0.01 if parts[3].endswith("%") else 1.0
        return Requirement(parts[1], parts[2], float(parts[3].removesuffix("%")) * share)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no requirement", "write NAME <= NUMBER, for example 'ppo.kl <= 10'"
        ) from None


def requirements_met(asked: Sequence[Requirement], found: Mapping[str, Measure]) -> list[Checked]:
    """Each requirement against the measures. One that is only likely (the value holds, the interval
    reaches across the bound) is not met: it says by how much. Raises ConfigError for a measure that
    is not there."""
    for one in asked:
        if one.measure not in found:
            raise ConfigError(
                f"there is no measure {one.measure!r} in this evidence",
                f"{suggest(one.measure, list(found))}`accord verdict RUN --measures` lists them",
            )
    return [_checked(one, found[one.measure]) for one in asked]


def _checked(one: Requirement, measure: Measure) -> Checked:
    compare = COMPARISONS[one.comparison]
    holds = bool(compare(measure.value, one.bound))
    ends = [end for end in (measure.low, measure.high) if end is not None]
    shown = holds and all(compare(end, one.bound) for end in ends)
    interval = f" [{measure.low:.3g}, {measure.high:.3g}]" if len(ends) == 2 else ""
    doubt = "" if shown or not holds else ", which is not shown: its interval reaches the bound"
    return Checked(
        requirement=str(one), met=shown, how=f"it is {measure.value:.3g}{interval}{doubt}"
    )
