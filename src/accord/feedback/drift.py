"""Does an annotator change over time? A CUSUM against the annotator's own beginning, for four
signals.

The first 30 % of an annotator's judgements are the first baseline; from there on

    S_t = max(0, S_{t-1} + log P(x_t | shifted) - log P(x_t | baseline))        (Page 1954)

with the baseline estimated anew from all judgements before every eighth (a baseline left at 90 of
300 judgements costs a third of the speed), and, as shift: 30 % more answers turned round
(agreement, gold), three quarters of a standard deviation of log active time, a quarter of the
answers moved to or from the first place. An alarm is a maximum of S that fewer than 5 % of random
orders of the same judgements reach, those in a row on one prompt kept together (they are alike, and
apart would make any order look calm), the baseline taken anew in each, and over all annotators so
few that the false discoveries stay below 5 %. No curve of fatigue is assumed (on 8.9 million
annotations most people did not tire: Hata et al. 2017), and whoever judged unlike the others from
the start does not alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from accord.errors import DataError
from accord.feedback.choice_model import FIRST, TIE, decided_p
from accord.feedback.leaving_out import FitsToOthers
from accord.feedback.ratings import RatingSettings, fit
from accord.feedback.records import Feedback
from accord.feedback.votes import (
    Objects,
    Votes,
    object_name,
    order_known,
    vote_rows,
    votes_of,
)
from accord.seeds import generator
from accord.statistics.clusters import by_cluster, clustered_share
from accord.statistics.intervals import Array, Index, Interval, without_ends
from accord.statistics.means import clustered_mean
from accord.statistics.significance import discoveries

BASELINE = 0.3
LEAST = 40
"""Judgements below which a signal is not watched."""
EVERY = 8
"""Judgements after which the baseline is estimated anew."""
ORDERS = 400
"""Random orders at least. Of many annotators a single one must stand out further, which takes more
of them to see."""
ENOUGH = 20
"""Orders that reach the maximum after which no more are drawn: p is known well enough then."""
AT_ONCE = 50
LEVEL = 0.05
GRID = np.linspace(0.0, 1.0, 41)
TURNED = np.linspace(0.0, 0.8, 33)
SHIFT = 12  # .3 on TURNED
SIDE_SHIFT = 10  # .25 on GRID
TIME = np.linspace(-4.0, 4.0, 65)
TIME_SHIFT = 6  # .75 standard deviations
TIME_NAME = "active time"


@dataclass(frozen=True)
class Channel:
    """One signal of one annotator: log P(x_t | parameter) for each judgement in order and each
    value of a grid [T, G], the shift looked for in grid steps, whether to either side; plain [T]:
    what is shown (agreed, error, log seconds, first); prompt [T]: by number (None: each its
    own)."""

    name: str
    table_TG: Array
    shift: int
    two_sided: bool
    plain: Array
    at: Index
    prompt: Index | None = None

    @property
    def prompt_T(self) -> Index:
        return np.arange(len(self.plain)) if self.prompt is None else self.prompt

    @property
    def runs(self) -> tuple[int, ...]:
        """How many judgements in a row are on one prompt: they stay together in random orders."""
        ends = np.flatnonzero(np.diff(self.prompt_T)) + 1
        return tuple(np.diff([0, *ends.tolist(), len(self.plain)]).tolist())


@dataclass(frozen=True)
class Signal:
    """p_value: share of random orders with as large a maximum; alarm: p <= .05; detected_at: number
    of the annotator's judgements after which S passed the threshold, changed_at: the most likely
    number of the first changed one; before, after: mean of the plain signal on either side of it
    (of active time the geometric mean, in seconds)."""

    name: str
    judgements: int
    p_value: float
    alarm: bool
    detected_at: int | None
    changed_at: int | None
    before: Interval | None
    after: Interval | None


@dataclass(frozen=True)
class AnnotatorDrift:
    """All signals of one annotator; p_value: the smallest, times their number; alarm: after
    counting all annotators (false discoveries at most 5 %)."""

    annotator: str
    judgements: int
    signals: list[Signal]
    p_value: float
    alarm: bool


@dataclass(frozen=True)
class DriftReport:
    """annotators with enough judgements; not_watched: with too few; order: what time was read
    from."""

    annotators: list[AnnotatorDrift]
    not_watched: int
    order: str


def cusum(increments: Array) -> Array:
    """S_t of Page's CUSUM, along the last axis: [..., T]."""
    total = np.cumsum(increments, axis=-1)
    path: Array = total - np.minimum(np.minimum.accumulate(total, axis=-1), 0.0)
    return path


def _paths(channel: Channel, orders_OT: Index) -> Array:
    """S after the first baseline with the judgements in these orders, the larger of both sides: [O,
    T - B]."""
    table, shift, (number, count) = channel.table_TG, channel.shift, orders_OT.shape
    start = max(1, int(BASELINE * count))
    first = np.zeros((number, count))
    np.put_along_axis(first, orders_OT[:, :start], 1.0, axis=1)
    parts = -(-(count - start) // EVERY)
    known = np.empty(
        (number, parts, table.shape[1])
    )  # log-likelihood of all judgements before each part
    known[:, 0] = first @ table
    whole = orders_OT[:, start : start + EVERY * (parts - 1)].reshape(number, parts - 1, EVERY)
    known[:, 1:] = table[whole[:, :, 0]]
    for place in range(1, EVERY):
        known[:, 1:] += table[whole[:, :, place]]
    np.cumsum(known, axis=1, out=known)
    low = shift if channel.two_sided else 0
    g_OP = low + known[:, :, low : table.shape[1] - shift].argmax(2)
    g_OR = np.repeat(g_OP, EVERY, axis=1)[:, : count - start]
    rest = orders_OT[:, start:]
    usual = table[rest, g_OR]
    paths = cusum(table[rest, g_OR + shift] - usual)
    return (
        np.maximum(paths, cusum(table[rest, g_OR - shift] - usual)) if channel.two_sided else paths
    )


@lru_cache(maxsize=2 * ORDERS // AT_ONCE)
def _orders(runs: tuple[int, ...], seed: int, part: int, orders: int) -> Index:
    """Some of the random orders of judgements that come in such runs: [O, T]. All signals of an
    annotator are put in the same ones."""
    rng = generator(seed, "drift", part)
    drawn: Index = rng.permuted(np.tile(np.arange(len(runs)), (orders, 1)), axis=1)
    if len(runs) == sum(runs):
        return drawn
    place = np.argsort(drawn, axis=1)  # of each run
    of_judgement = np.repeat(place, runs, axis=1)
    return np.argsort(of_judgement, axis=1, kind="stable")


def watch(channel: Channel, seed: int = 0, orders: int = ORDERS) -> Signal:
    """Test one signal against random orders of itself; ends when ENOUGH of them have reached its
    maximum, with p = ENOUGH / their number (Besag and Clifford 1991), or after `orders`."""
    count = len(channel.table_TG)
    path = _paths(channel, np.arange(count)[None])[0]
    maxima = np.zeros(0)
    for start in range(0, orders, AT_ONCE):
        drawn = _orders(channel.runs, seed, start, min(AT_ONCE, orders - start))
        maxima = np.concatenate([maxima, _paths(channel, drawn).max(1)])
        at = np.flatnonzero(maxima >= path.max())
        if len(at) >= ENOUGH:
            break
    p = ENOUGH / (int(at[ENOUGH - 1]) + 1) if len(at) >= ENOUGH else (1 + len(at)) / (1 + orders)
    if p > LEVEL:
        return Signal(channel.name, count, p, False, None, None, None, None)
    start = count - len(path)
    crossed = int(np.argmax(path > np.quantile(maxima, 1 - LEVEL)))
    change = _change(channel)
    before, after = (_mean(channel, part) for part in (slice(change), slice(change, None)))
    return Signal(
        channel.name,
        count,
        p,
        True,
        int(channel.at[start + crossed]) + 1,
        int(channel.at[change]),
        before,
        after,
    )


def _change(channel: Channel) -> int:
    """Where one parameter before and another after fit best, at least five judgements from either
    end; of a signal that is watched to one side, where it rises."""
    before = np.cumsum(channel.table_TG, axis=0)
    after = before[-1] - before
    gain = before.max(1) + after.max(1)
    if not channel.two_sided:
        gain = np.where(after.argmax(1) > before.argmax(1), gain, -np.inf)
    return 5 + int(gain[4:-5].argmax())


def _mean(channel: Channel, part: slice) -> Interval:
    """Over prompts. Of a share the exact interval, which neither leaves [0, 1] nor shrinks to
    nothing when all are alike."""
    values, prompt = channel.plain[part], channel.prompt_T[part]
    if channel.name != TIME_NAME:
        place = np.unique(prompt, return_inverse=True)[1]
        rows_PX = np.stack([values, np.ones_like(values)], axis=1)
        return clustered_share(*by_cluster(rows_PX, place, int(place.max()) + 1).T)
    mean = clustered_mean(values, prompt.tolist())
    if mean.low is None or mean.high is None:
        return without_ends(float(np.exp(mean.value)))
    return Interval(mean.value, mean.low, mean.high).mapped(np.exp)


def agreement_channel(terms: Sequence[Sequence[tuple[float, float]]], at: Index) -> Channel:
    """terms: per judgement the pairs it decided, (P(this answer) as the others see it, weight)."""
    owner = np.repeat(np.arange(len(terms)), [len(pairs) for pairs in terms])
    p, weight = np.array([pair for pairs in terms for pair in pairs]).T
    each = weight[:, None] * np.log(np.outer(p, 1 - TURNED) + np.outer(1 - p, TURNED))
    starts = np.searchsorted(owner, np.arange(len(terms)))
    table = np.add.reduceat(each, starts, axis=0)
    plain = np.bincount(owner, p > 0.5) / np.bincount(owner)
    return Channel("agreement", table, SHIFT, False, plain, at)


def error_channel(errors: Sequence[bool], at: Index) -> Channel:
    """Errors on gold items."""
    rate = np.clip(TURNED, 0.01, 0.99)
    wrong = np.array(errors, dtype=bool)
    table = np.where(wrong[:, None], np.log(rate), np.log(1 - rate))
    return Channel("gold errors", table, SHIFT, False, wrong.astype(np.float64), at)


def side_channel(first: Sequence[bool], at: Index) -> Channel:
    """Whether what was shown first won."""
    rate = np.clip(GRID, 0.01, 0.99)
    won = np.array(first, dtype=bool)
    table = np.where(won[:, None], np.log(rate), np.log(1 - rate))
    return Channel("first place", table, SIDE_SHIFT, True, won.astype(np.float64), at)


def time_channel(seconds: Sequence[float], at: Index) -> Channel:
    """Active time; its logarithm in robust standard deviations (median absolute deviation)."""
    log = np.log(np.maximum(np.asarray(seconds, dtype=np.float64), 0.1))
    spread = 1.4826 * float(np.median(np.abs(log - np.median(log)))) or 1.0
    z = np.clip((log - np.median(log)) / spread, -4, 4)  # one coffee break is no drift
    return Channel(TIME_NAME, -((z[:, None] - TIME) ** 2) / 2, TIME_SHIFT, True, log, at)


def drift(
    records: Sequence[Feedback],
    objects: Objects = "producer",
    gold: Mapping[str, bool] | None = None,
    seed: int = 0,
    votes: Callable[[], Votes] | None = None,
) -> DriftReport:
    """Watch every annotator. gold: record id -> passed, of gold items. Time is `created_at` where
    all records have it, else the order of the records. votes: the records' unweighted ones, where
    they were counted before."""
    dated = all(r.created_at for r in records)
    ordered = sorted(records, key=lambda r: r.created_at or "") if dated else list(records)
    mine: dict[str, list[int]] = {}
    for number, record in enumerate(ordered):
        mine.setdefault(record.annotator, []).append(number)
    watched = {name: numbers for name, numbers in mine.items() if len(numbers) >= LEAST}
    count = votes or (lambda: votes_of(records, objects, weighted=False)[0])
    terms, firsts = _answers(ordered, set(watched), objects, count)
    tested = []
    channels_of = {
        name: _channels(ordered, watched[name], terms, firsts, gold or {})
        for name in sorted(watched)
    }
    # one annotator alone must be able to reach LEVEL divided by their number
    most = max(map(len, channels_of.values()), default=0)
    orders = max(ORDERS, math.ceil(len(watched) * most / LEVEL))
    for name, numbers in sorted(watched.items()):
        signals = [watch(channel, seed, orders) for channel in channels_of[name]]
        p = min(1.0, len(signals) * min(s.p_value for s in signals)) if signals else 1.0
        tested.append((name, len(numbers), signals, p))
    alarms = discoveries([p for *_, p in tested], LEVEL)
    rows = [AnnotatorDrift(*row, alarm) for row, alarm in zip(tested, alarms, strict=True)]
    rows.sort(key=lambda row: row.p_value)
    return DriftReport(
        rows, len(mine) - len(watched), "created_at" if dated else "the order of the records"
    )


def _channels(
    records: Sequence[Feedback],
    numbers: Sequence[int],
    terms: Mapping[int, list[tuple[float, float]]],
    firsts: Mapping[int, bool],
    gold: Mapping[str, bool],
) -> list[Channel]:
    def pick(usable: list[bool]) -> Index:
        return np.nonzero(np.array(usable))[0]

    channels: list[Channel] = []
    at = pick([n in terms for n in numbers])
    if len(at) >= LEAST:
        channels.append(agreement_channel([terms[numbers[t]] for t in at], at))
    at = pick([records[n].id in gold for n in numbers])
    if len(at) >= LEAST:
        channels.append(error_channel([not gold[records[numbers[t]].id] for t in at], at))
    at = pick([bool(records[n].active_seconds) for n in numbers])
    if len(at) >= LEAST:
        channels.append(time_channel([records[numbers[t]].active_seconds or 0.0 for t in at], at))
    at = pick([n in firsts for n in numbers])
    if len(at) >= LEAST:
        channels.append(side_channel([firsts[numbers[t]] for t in at], at))
    known: dict[str, int] = {}
    prompt_T = np.array([known.setdefault(repr(records[n].asked), len(known)) for n in numbers])
    return [replace(channel, prompt=prompt_T[channel.at]) for channel in channels]


def _answers(
    records: Sequence[Feedback],
    annotators: set[str],
    objects: Objects,
    count: Callable[[], Votes],
) -> tuple[dict[int, list[tuple[float, float]]], dict[int, bool]]:
    """Per record of these annotators: what it decided with P by the others' votes, and whether the
    first place won."""
    rows = list(vote_rows(records))
    firsts = {
        r.record: r.outcome == FIRST
        for r in rows
        if r.outcome != TIE
        and records[r.record].kind == "comparison"
        and order_known(records[r.record])
    }
    try:
        votes = count()
        others = FitsToOthers(votes, fit(votes, RatingSettings(ties=False, reliability=False)))
    except DataError:  # nothing to score across records: the other signals can still be watched
        return {}, firsts
    place = {name: i for i, name in enumerate(votes.producers)}
    numbers = {name: i for i, name in enumerate(votes.annotators)}
    answers: dict[str, list[tuple[int, int, int, float]]] = {}
    for row in rows:
        record = records[row.record]
        if row.outcome == TIE or record.annotator not in annotators:
            continue
        pair = (row.first, row.second) if row.outcome == FIRST else (row.second, row.first)
        won, lost = (place.get(object_name(record, o, objects) or "") for o in pair)
        if won is not None and lost is not None and won != lost:
            answers.setdefault(record.annotator, []).append((row.record, won, lost, row.weight))
    terms: dict[int, list[tuple[float, float]]] = {}
    for name, given in answers.items():
        score_P, (_, won_M, lost_M, _) = others.near(numbers[name]).score_P, np.array(given).T
        p_M = decided_p(score_P[won_M.astype(int)] - score_P[lost_M.astype(int)])
        for (number, *_, weight), p in zip(given, p_M.tolist(), strict=True):
            terms.setdefault(number, []).append((p, weight))
    return terms, firsts
