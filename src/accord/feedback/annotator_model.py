"""How reliable each annotator is, estimated from the records alone.

Model: option scores theta within each prompt have mean 0, variance 1 and tails of unknown weight
(normal, or Tukey's h of .1 to .3; averaged over); annotator a sees utility
u = beta_a * theta + gamma_a * (1/2 - place), without the last where the order shown is not known;
comparisons follow Davidson's model, rankings Plackett-Luce's, best/worst: the best by exp(u), then
the worst of the rest by exp(-u) (Marley and Louviere 2005). The unknown scores are integrated out
on quasi-random points. beta (rationality, per standard deviation of reward within a prompt) and
gamma (side bias, > 0 favours what is shown first) are drawn from the crowd's: asinh beta and gamma
are normal with learned means and widths (`statistics/populations.py`), so that few votes make
nobody infinitely rational. Records count by their weight, a comparison's soft label p
as p answers one way and 1 - p the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from accord.errors import DataError
from accord.feedback.choice_model import place_of
from accord.feedback.clickers import Clickers, find_clickers
from accord.feedback.crowd_likelihood import (
    LOG_NU_NONE,
    CrowdJudgement,
    distinct_judgements,
    fit_crowd,
)
from accord.feedback.judge_orders import in_each_order
from accord.feedback.records import BestWorst, Comparison, Feedback, Ranking
from accord.feedback.votes import doubt_of, order_known, relative_weights
from accord.statistics.intervals import Z95, Array, Interval, around

MAX_OPTIONS = 16
"""Options per prompt beyond which a quasi-random integral over their scores is no longer one."""
TOO_WIDE = 20.0
"""Length of a 95 % interval beyond which pages say "too few answers" instead."""


class TooManyOptions(DataError):
    """A prompt has more than MAX_OPTIONS different options."""


@dataclass(frozen=True)
class AnnotatorEstimate:
    """One annotator's parameters (posterior medians), the 95 % interval of rationality (longer on
    the far side of 0), the standard error of side bias, and what they amount to.

    flag: "side" (the place decides more than the content), "contrary" (votes against the others),
    "random" (answers as at random, see `clickers`), "ok". clicker: probability of that; power: the
    chance that somebody who does, with as many votes on the same prompts, would be flagged.
    """

    annotator: str
    judgements: int
    rationality: float
    rationality_low: float
    rationality_high: float
    side_bias: float
    side_bias_error: float
    clicker: float
    power: float
    flag: Literal["ok", "side", "contrary", "random"]
    reason: str

    def told(self) -> tuple[Interval | None, Interval | None]:
        """Rationality and side bias with 95 % intervals, None where they are too wide to say
        anything."""
        both = (
            Interval(self.rationality, self.rationality_low, self.rationality_high),
            around(self.side_bias, self.side_bias_error),
        )
        rationality, side = (i if i.high - i.low < TOO_WIDE else None for i in both)
        return rationality, side


@dataclass(frozen=True)
class CrowdEstimate:
    """All annotators, Davidson's tie parameter nu, the weight of the tails of rewards (Tukey's h,
    its mean), what the crowd's rationalities (asinh) and side biases spread by, and the
    log-likelihood (nats) of the records used; left_out: what the model cannot use, by reason, and
    how many."""

    annotators: list[AnnotatorEstimate]
    tie: float
    tail: float
    rationality_width: Interval
    side_bias_width: Interval
    log_likelihood: float
    records: int
    left_out: dict[str, int] = field(default_factory=dict)

    def effects(self) -> dict[str, tuple[float, float]]:
        """(rationality, side bias) per annotator id."""
        return {a.annotator: (a.rationality, a.side_bias) for a in self.annotators}


def estimate(records: Sequence[Feedback]) -> CrowdEstimate:
    """Estimate every annotator from comparisons (with ties), strict rankings and best/worst
    choices.

    An AI judge that was asked about a pair in both orders gave two answers (`judge_orders`). Other
    kinds are left out of this model and counted; raises DataError when there is nothing it can use.
    """
    records = in_each_order(records)
    left_out = Counter(reason for r in records if (reason := _unused(r)))
    usable = [r for r in records if not _unused(r)]
    if strengths := sum(
        isinstance(r.choice, Comparison) and r.choice.strength is not None for r in usable
    ):
        left_out["strength of a preference (the preference counts)"] = strengths
    if not usable:
        raise DataError(
            "there is no comparison or strict ranking to estimate annotators from",
            "collect choices between options; ratings: accord feedback audit shows their scales",
        )
    names = sorted({r.annotator for r in usable})
    rows, counts, prompt_of, prompts, width = _rows(usable, names)
    if width > MAX_OPTIONS:
        raise TooManyOptions(
            f"a prompt has {width} different options; rationality within prompts is estimated for"
            f" up to {MAX_OPTIONS}",
            "for models compared across prompts fit their scores: accord feedback ratings",
        )
    data = distinct_judgements(rows, prompt_of, prompts, len(names), counts)
    found, tail = fit_crowd(data, width)
    log_nu = found.x[-1] if data.ties else LOG_NU_NONE
    beta, gamma = np.sinh(found.x[: len(names)]), found.x[len(names) : 2 * len(names)]
    x = np.concatenate([beta, gamma, [log_nu]])
    clickers = find_clickers(data, x, tail, width)
    people = _verdicts(names, Counter(r.annotator for r in usable), found.x, found.errors, clickers)
    return CrowdEstimate(
        people,
        float(np.exp(found.x[-1])) if data.ties else 0.0,
        tail,
        found.widths["rationality"],
        found.widths["side bias"],
        found.log_likelihood,
        len(usable),
        dict(left_out),
    )


def _unused(record: Feedback) -> str:
    """Why the model cannot use a record; empty when it can."""
    choice = record.choice
    if not record.weight:
        return "record of weight 0"
    if not isinstance(choice, (Comparison, Ranking, BestWorst)):
        return f"{record.kind} is not a choice between options"
    tied = isinstance(choice, Ranking) and any(len(group) > 1 for group in choice.order)
    return "ranking with ties" if tied else ""


def _rows(
    records: Sequence[Feedback], names: list[str]
) -> tuple[list[CrowdJudgement], list[float], list[int], int, int]:
    """(judgements, how often each counts, the prompt of each, number of prompts, most options of
    one). Numbering by sorted ids makes the order of records irrelevant."""
    keys = [repr(record.asked) for record in records]
    options: dict[str, set[str]] = {}
    for key, record in zip(keys, records, strict=True):
        options.setdefault(key, set()).update(o.id for o in record.options)
    prompt_of = {key: number for number, key in enumerate(sorted(options))}
    option_of = {
        key: {i: number for number, i in enumerate(sorted(ids))} for key, ids in options.items()
    }
    who = {name: a for a, name in enumerate(names)}
    rows, counts, prompts = [], [], []
    for key, record, weight in zip(keys, records, relative_weights(records), strict=True):
        places = {
            o.id: float(place_of(o.shown_at, len(record.options))) if order_known(record) else 0.0
            for o in record.options
        }
        order, tied = _order(record)
        doubt = doubt_of(record)
        for ordered, share in ((order, 1 - doubt), (order[::-1], doubt)):
            if not share:
                continue
            rows.append(
                CrowdJudgement(
                    tuple(option_of[key][i] for i in ordered),
                    tuple(places[i] for i in ordered),
                    tied,
                    who[record.annotator],
                    isinstance(record.choice, BestWorst),
                )
            )
            counts.append(weight * share)
            prompts.append(prompt_of[key])
    return rows, counts, prompts, len(prompt_of), max(map(len, option_of.values()))


def _order(record: Feedback) -> tuple[list[str], bool]:
    """Option ids best first (as shown for a tie), and whether they are tied."""
    choice = record.choice
    if isinstance(choice, Ranking):
        return [group[0] for group in choice.order], False
    if isinstance(choice, BestWorst):
        rank = {choice.best: 0, choice.worst: 2}
        return sorted(record.shown, key=lambda i: rank.get(i, 1)), False
    preferred = choice.preferred if isinstance(choice, Comparison) else None
    if preferred is None:
        return record.shown, True
    return sorted(record.shown, key=lambda i: i != preferred), False


def _verdicts(
    names: list[str], counts: Mapping[str, int], x: Array, error: Array, clickers: Clickers
) -> list[AnnotatorEstimate]:
    n = len(names)
    result = []
    for i, name in enumerate(names):
        gamma, gamma_error = x[n + i], error[n + i]
        beta = around(x[i], error[i]).mapped(np.sinh)
        flag, reason = _flag(beta, gamma, gamma_error, clickers, i)
        values: dict[str, Any] = {
            "rationality": beta.value,
            "rationality_low": beta.low,
            "rationality_high": beta.high,
            "side_bias": float(gamma),
            "side_bias_error": float(gamma_error),
            "clicker": float(clickers.clicker_A[i]),
            "power": float(clickers.power_A[i]),
        }
        result.append(AnnotatorEstimate(name, counts[name], **values, flag=flag, reason=reason))
    return result


def _flag(
    beta: Interval, gamma: float, gamma_error: float, clickers: Clickers, number: int
) -> tuple[Literal["ok", "side", "contrary", "random"], str]:
    said = f"{beta.value:.2f} [{beta.low:.2f}, {beta.high:.2f}]"
    if beta.high < 0:
        return "contrary", f"votes against the others: rationality {said}"
    if abs(gamma) - Z95 * gamma_error > max(0.5, 2 * abs(beta.value)):
        side = "first" if gamma > 0 else "last"
        return (
            "side",
            f"prefers what is shown {side}: side bias {gamma:.2f} ± {Z95 * gamma_error:.2f}",
        )
    if clickers.named_A[number]:
        sure = clickers.clicker_A[number]
        return "random", f"answers as at random (probability {sure:.2f}): rationality {said}"
    return "ok", f"rationality {beta.value:.2f}, side bias {gamma:.2f}"
