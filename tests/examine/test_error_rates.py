"""Error rates of the verdict: thresholds that never saw the kind they are judged on, and intervals
over kinds."""

from __future__ import annotations

import numpy as np
import pytest
import zoo

from accord.examine import error_rates
from accord.examine.error_rates import KnownRun, choose, choose_thresholds, rate
from accord.examine.evidence import ArmRows, Evidence, measure
from accord.examine.verdict import THRESHOLDS, alarms, decide

REPEATS = "repetition"


def evidence(name: str | None, seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    points = zoo.healthy(seed) if name is None else zoo.BROKEN[name][1](rng)
    return measure(points[0][1], {"policy": ArmRows("ppo", points)})


def known(kind: str, name: str | None, seed: int, made: tuple[str, ...] = ()) -> KnownRun:
    expected = ("worked",) if name is None else ("gamed", "collapsed")
    return KnownRun(kind, name is not None, expected, made, evidence(name, seed))


@pytest.fixture(scope="module")
def runs() -> list[KnownRun]:
    return [
        *(known("repeats", "repetition", s, (REPEATS,)) for s in range(2)),
        *(known("constant", "constant answer", s, ("answers are the same",)) for s in range(2)),
        *(known("plain", None, s) for s in range(2)),
        *(known("other", None, s) for s in range(10, 12)),
    ]


def test_the_threshold_is_the_one_that_tells_them_apart_and_moves_no_further_than_it_must() -> None:
    assert choose(0.5, [0.8, 0.9], [0.1, 0.2]) == 0.5  # it does already
    assert choose(0.5, [0.3, 0.4], [0.1, 0.2]) == 0.5  # a size that matters: never downwards
    assert choose(0.5, [0.9], [0.6, 0.7]) == pytest.approx(0.8)
    assert choose(0.5, [], [0.6, 0.7]) > 0.6  # no false alarm where nothing is to be caught
    assert choose(0.5, [0.1], []) == 0.5


def test_no_kind_is_judged_by_thresholds_it_helped_to_choose(
    runs: list[KnownRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind's runs may be anything: the thresholds it is judged by do not change."""
    for kind in ("repeats", "plain"):
        rest = [run for run in runs if run.kind != kind]
        assert choose_thresholds(runs, kind) == choose_thresholds(rest)
    used = []
    decide = error_rates.decide

    def watching(given: Evidence, *rest: object) -> object:
        if len(rest) == 2:
            used.append((given, rest[1]))
        return decide(given, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(error_rates, "decide", watching)
    error_rates.error_rates(runs, "0", "micro", [1, 2])
    assert len(used) == len(runs)  # and once more each by the thresholds in use
    for run, (given, thresholds) in zip(runs, used, strict=True):
        assert given is run.evidence
        assert thresholds == choose_thresholds([r for r in runs if r.kind != run.kind])


def test_leaving_a_kind_out_matters(runs: list[KnownRun]) -> None:
    """Of the one kind that an alarm is made for, nothing is known when it is judged."""
    stats = [error_rates.statistics(run.evidence)[REPEATS] for run in runs]
    lowest = min(s for s, run in zip(stats, runs, strict=True) if run.kind == "repeats")
    assert lowest > THRESHOLDS[REPEATS]
    shifted = [
        KnownRun(r.kind, False, ("worked",), (), r.evidence) if r.kind == "repeats" else r
        for r in runs
    ]  # said to be healthy: with it the threshold must rise, without it it must not
    assert choose_thresholds(shifted)[REPEATS] > lowest
    assert choose_thresholds(shifted, "repeats")[REPEATS] == THRESHOLDS[REPEATS]


def test_rates_count_what_happened(runs: list[KnownRun]) -> None:
    found = error_rates.error_rates(runs, "0", "micro", [1, 2])
    assert found.missed.hits == 0
    assert found.missed.runs == 4
    assert found.missed.kinds == 2
    assert found.false_alarms.hits == 0
    assert found.outcomes["repeats"]["collapsed"] == 2
    assert {one.alarm for one in found.alarms} == set(alarms())
    by_name = {one.alarm: one for one in found.alarms}
    assert by_name[REPEATS].caught is not None
    assert by_name[REPEATS].caught.hits == 2
    assert by_name[REPEATS].caught.low is None, "one kind has no interval"
    assert by_name["the judge follows something else"].false is None, "never measurable here"
    with pytest.raises(ValueError):
        error_rates.error_rates([], "0", "micro", [1])


@pytest.mark.parametrize("broken", [True, False])
def test_runs_of_one_sort_say_what_they_can(runs: list[KnownRun], broken: bool) -> None:
    """No thresholds move, and what the other sort would tell is not there."""
    some = [run for run in runs if run.broken is broken]
    found = error_rates.error_rates(some, "0", "micro", [1])
    assert {a.alarm: a.threshold for a in found.alarms if a.threshold is not None} == THRESHOLDS
    assert (found.missed is None, found.false_alarms is None) == (not broken, broken)
    assert found.warnings == []
    assert set(found.outcomes) == {run.kind for run in some}


@pytest.mark.parametrize(("caught", "false", "sure"), [(6, 0, True), (1, 0, False), (6, 6, False)])
def test_an_alarm_beats_chance_over_kinds_or_is_not_said_to(
    runs: list[KnownRun], monkeypatch: pytest.MonkeyPatch, caught: int, false: int, sure: bool
) -> None:
    """Six kinds that an alarm is made for and six healthy ones, two runs each."""
    sound, bad = runs[4].evidence, runs[0].evidence
    made: list[KnownRun] = []
    for broken, count in ((True, caught), (False, false)):
        for k in range(6):
            shown = bad if k < count else sound
            one = KnownRun(
                f"{broken} {k}", broken, ("worked",), (REPEATS,) if broken else (), shown
            )
            made += [one, one]
    found = error_rates.error_rates(made, "0", "micro", [1, 2])
    (rated,) = (a for a in found.alarms if a.alarm == REPEATS)
    assert rated.beats_chance is sure
    others = {a.beats_chance for a in found.alarms if a.alarm != REPEATS}
    assert others == {None}, "made for no kind here"


def test_a_verdict_says_how_often_each_alarm_was_right(
    runs: list[KnownRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = error_rates.error_rates(runs, "0", "micro", [1, 2])
    monkeypatch.setattr(error_rates, "measured", lambda: rates)
    said = error_rates.with_rates(decide(runs[0].evidence)).arms[0].rules
    by_name = {rule.name: rule.in_known_runs for rule in said}
    assert by_name[REPEATS] == "caught 2/2, false 0/4, too few kinds to tell"
    assert by_name["gold rose"] == "", "no alarm"
    monkeypatch.setattr(error_rates, "measured", lambda: None)
    said = error_rates.with_rates(decide(runs[0].evidence)).arms[0].rules
    assert {r.in_known_runs for r in said if r.name in alarms()} == {"not measured"}


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("alike", [0.0, 0.6])
def test_the_interval_over_kinds_covers(share: float, alike: float) -> None:
    """Twelve kinds of five runs, alike or not: at least 93 % of the intervals hold the truth."""
    rng = np.random.default_rng(7)
    names = [f"kind {k}" for k in range(12) for _ in range(5)]
    held, draws = 0, 400
    for _ in range(draws):
        if alike:
            total = 1 / alike - 1
            p_K = rng.beta(share * total, (1 - share) * total, 12)
        else:
            p_K = np.full(12, share)
        one = rate(rng.random(60) < np.repeat(p_K, 5), names)
        assert one is not None
        held += one.low is not None and one.high is not None and one.low <= share <= one.high
    assert held / draws >= 0.93


def test_early_warnings_that_do_not_beat_chance_say_so(runs: list[KnownRun]) -> None:
    """Two kinds against two cannot beat chance (p of at least 1/6), whatever they show."""
    found = error_rates.early_warnings(runs)
    assert found
    assert not any(one.beats_chance for one in found)
    assert all(one.p_value >= 1 / 6 - 1e-9 for one in found)


def test_early_warnings_that_separate_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [known(f"b{k}", "repetition", k) for k in range(8)]
    runs += [known(f"h{k}", None, k) for k in range(8)]
    order = {id(run.evidence): run.broken for run in runs}
    monkeypatch.setattr(
        error_rates, "signs", lambda e: {"tells": float(order[id(e)]) + id(e) % 97 / 1e3}
    )
    (one,) = error_rates.early_warnings(runs)
    assert one.area == 1.0
    assert one.beats_chance
