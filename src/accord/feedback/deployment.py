"""What users think of a policy in use, from a log in which most of them say nothing.

Who answers is not chance: unhappy users answer more, and no covariate tells it, since it is the
answer itself that makes them. Asking a random part of the silent ones mends it
(`statistics.double_sampling`); weights by propensities then say what another policy would have been
worth (`statistics.off_policy`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from accord.feedback.formats.values import empty, shown
from accord.feedback.representation import SMALLEST, UNKNOWN, groups_shown
from accord.feedback.use_rows import CalledBack, NewPolicy, UseLog, clusters_of
from accord.seeds import generator
from accord.statistics import off_policy
from accord.statistics.double_sampling import FEWEST_CALLED, Answered, double_sampled
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, share_mean


@dataclass(frozen=True)
class Told:
    """An estimate, or why there is none."""

    estimate: Estimate | None
    why_not: str = ""

    def row(self) -> dict[str, Any]:
        """For JSON."""
        found = None if self.estimate is None else self.estimate.model_dump()
        return {"estimate": found, "why_not": self.why_not}


@dataclass(frozen=True)
class Rates:
    """Of the log or of a group of it. answer: share of responses with a thumb; raw: of thumbs that
    are up; corrected: what all users would say, by double sampling; called: responses about which
    silent users were asked."""

    responses: int
    users: int
    rated: int
    called: int
    answer: Estimate
    raw: Told
    corrected: Told

    @property
    def told(self) -> dict[str, Estimate]:
        """What is known, by name; satisfied: the raw rate where everybody answers."""
        best = self.raw if self.rated == self.responses else self.corrected
        known = {"raw": self.raw.estimate, "satisfied": best.estimate}
        return {"answer": self.answer, **{k: v for k, v in known.items() if v is not None}}


@dataclass(frozen=True)
class OtherPolicy:
    """effective: share of the log that the weights leave; spread: of the log-weights, nats; of_all:
    the values are of all users (else of those who answer); values: estimator -> value; direct: the
    model's value alone."""

    effective: float
    spread: float
    of_all: bool
    values: dict[str, Told]
    direct: float | None


@dataclass(frozen=True)
class Deployment:
    """whole: the log; groups: by a column's value; hidden: users in groups too small to show;
    signals: share of responses that were asked for anew, copied, edited, where the log says;
    no_other: why there is no value of another policy; unmatched: responses that were asked about
    and are none of the log's silent ones."""

    whole: Rates
    signals: dict[str, Estimate]
    groups: dict[str, Rates] = field(default_factory=dict)
    hidden: int = 0
    other: OtherPolicy | None = None
    no_other: str = ""
    unmatched: int = 0

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "whole": _rates_row(self.whole),
            "signals": {name: one.model_dump() for name, one in self.signals.items()},
            "groups": {name: _rates_row(one) for name, one in self.groups.items()},
            "hidden_users": self.hidden,
            "answers_about_no_silent_response": self.unmatched,
            "no_other_policy": self.no_other,
            "other_policy": None
            if self.other is None
            else {
                **asdict(self.other),
                "values": {name: one.row() for name, one in self.other.values.items()},
            },
        }


def _rates_row(rates: Rates) -> dict[str, Any]:
    return {
        **{name: getattr(rates, name) for name in ("responses", "users", "rated", "called")},
        "answer": rates.answer.model_dump(),
        "raw": rates.raw.row(),
        "corrected": rates.corrected.row(),
    }


def deployment(
    log: UseLog,
    called: CalledBack | None = None,
    policy: NewPolicy | None = None,
    by: str | None = None,
    seed: int = 0,
    no_other: str = "",
) -> Deployment:
    """All that the log can say; no_other is handed on. Raises ConfigError for a column `by` that
    the log does not have."""
    share_N, answered = _outcomes(log, called)
    matched = {key for key, is_called in zip(log.keys, answered.called_N, strict=True) if is_called}
    groups, hidden = {}, 0
    if by is not None:
        names = [UNKNOWN if empty(v) else v if type(v) is str else shown(v) for v in log.values(by)]
        places = np.array(names, dtype=object)
        people = Counter(
            {name: len(np.unique(answered.cluster_N[places == name])) for name in set(names)}
        )
        visible, small = groups_shown(people, SMALLEST)
        hidden = sum(people[name] for name in small)
        for name in sorted(visible, key=lambda one: (-people[one], one)):
            groups[name] = _rates(share_N, answered, places == name)
    return Deployment(
        _rates(share_N, answered, np.ones(len(share_N), bool)),
        _signals(log, answered),
        groups,
        hidden,
        None if policy is None else _other(share_N, answered, policy, seed),
        no_other,
        0 if called is None else len(called.share.keys() - matched),
    )


def _outcomes(log: UseLog, called: CalledBack | None) -> tuple[Array, Answered]:
    """Share of yes about each response (not a number where unknown), and how it is known."""
    told: Mapping[Any, float] = {} if called is None else called.share
    rated_N = np.array([use.thumb is not None for use in log.uses])
    share_N = np.array(
        [
            told.get(key, np.nan) if use.thumb is None else float(use.thumb)
            for use, key in zip(log.uses, log.keys, strict=True)
        ]
    )
    called_N = ~rated_N & np.isfinite(share_N)
    return share_N, Answered(rated_N, called_N, clusters_of(log, called_N))


def _part(answered: Answered, of_N: Any) -> Answered:
    return Answered(answered.rated_N[of_N], answered.called_N[of_N], answered.cluster_N[of_N])


def _rates(share_N: Array, answered: Answered, of_N: Any) -> Rates:
    share_N, answered = share_N[of_N], _part(answered, of_N)
    rated_N, called = answered.rated_N, int(answered.called_N.sum())
    raw = Told(None, "nobody rated a response")
    if rated_N.any():
        raw = Told(share_mean(share_N[rated_N], answered.cluster_N[rated_N].tolist()))
    if rated_N.all():
        corrected = Told(None, "everybody answers: there is nothing to correct")
    elif called < FEWEST_CALLED:
        corrected = Told(None, f"{called:,} silent responses asked about, {FEWEST_CALLED} needed")
    else:
        corrected = Told(double_sampled(share_N, answered))
    return Rates(
        len(share_N),
        len(np.unique(answered.cluster_N)),
        int(rated_N.sum()),
        called,
        share_mean(rated_N.astype(float), answered.cluster_N.tolist()),
        raw,
        corrected,
    )


def _signals(log: UseLog, answered: Answered) -> dict[str, Estimate]:
    found = {}
    for name in ("regenerate", "copy"):
        told = [getattr(use, name) for use in log.uses]
        said_N = np.array([one is not None for one in told])
        if said_N.any():
            values_N = np.array([float(bool(one)) for one in told])[said_N]
            found[name] = share_mean(values_N, answered.cluster_N[said_N].tolist())
    edited_N = np.array([use.edit is not None for use in log.uses], float)
    if edited_N.any():
        found["edit"] = share_mean(edited_N, answered.cluster_N.tolist())
    return found


def _other(share_N: Array, answered: Answered, policy: NewPolicy, seed: int) -> OtherPolicy:
    """Over all users where the silent were asked, else over those who answer."""
    of_all = bool(answered.rated_N.all() or answered.called_N.sum() >= FEWEST_CALLED)
    of_N = np.ones(len(share_N), bool) if of_all else answered.rated_N
    if not of_N.any():
        return OtherPolicy(0.0, 0.0, False, {"ips": Told(None, "nobody rated a response")}, None)
    weight_N, share_N, answered = policy.log_weight_N[of_N], share_N[of_N], _part(answered, of_N)
    effective, spread = off_policy.effective_share(weight_N), off_policy.spread(weight_N)
    values: dict[str, Told] = {}
    direct = None
    if effective < off_policy.LEAST_EFFECTIVE:
        why = (
            f"the weights leave {effective:.1%} of the log, {off_policy.LEAST_EFFECTIVE:.0%} is"
            " the least: the policies are too far apart"
        )
        return OtherPolicy(
            effective, spread, of_all, {name: Told(None, why) for name in ESTIMATORS}, None
        )
    values["ips"] = Told(off_policy.ips(share_N, weight_N, answered))
    values["snips"] = Told(off_policy.snips(share_N, weight_N, answered))
    values["doubly robust"] = Told(None, "no features for a direct model are given (--feature)")
    if policy.features is not None:
        shown_NX, new_NX = (part[of_N] for part in policy.features)
        rng = generator(seed, "folds of a direct model")
        try:
            model = off_policy.direct_model(share_N, shown_NX, new_NX, answered, rng)
        except ValueError as error:
            values["doubly robust"] = Told(None, str(error))
        else:
            direct = model.value
            robust = off_policy.doubly_robust(share_N, weight_N, model, answered)
            values["doubly robust"] = Told(robust)
    return OtherPolicy(effective, spread, of_all, values, direct)


ESTIMATORS = ("ips", "snips", "doubly robust")
