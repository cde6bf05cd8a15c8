"""Rates from a judge's verdicts and a few labels."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks.coverage.judges import GOOD, WEAK, judged
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from accord.cli.main import main
from accord.feedback.choice_model import decided_p
from accord.seeds import generator
from accord.statistics.judged_rates import (
    corrected_share,
    judged_rate,
    labelled_share,
    rogan_gladen,
    worth_labels,
)
from accord.statistics.means import share_mean


@pytest.mark.parametrize(("judge", "least"), [(WEAK, 100), (GOOD, 180)])
def test_the_corrected_rate_covers_is_no_wider_and_the_judge_alone_never_covers(
    judge: tuple[float, float], least: float
) -> None:
    held, widths, worth = np.zeros(3), np.zeros(2), []
    for number in range(300):
        (alone, labelled, people), truth = judged(100, 0.2, judge)(
            generator(1, "rates", str(judge), number)
        )
        found = judged_rate(alone, labelled, people)
        for place, one in enumerate((found.people, found.corrected, found.judge)):
            held[place] += one.low <= truth <= one.high  # type: ignore[operator]
        widths += [e.high - e.low for e in (found.people, found.corrected)]  # type: ignore[operator]
        worth.append(found.worth)
    assert 0.93 <= held[0] / 300 <= 0.98
    assert 0.93 <= held[1] / 300 <= 0.985
    assert held[2] / 300 < 0.01
    assert widths[1] <= 1.02 * widths[0]
    assert np.mean(worth) > least


P = st.floats(0, 1)


@given(
    people=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=40),
    verdicts=st.lists(P, min_size=41, max_size=60),
)
def test_it_stays_a_share_and_swapping_yes_and_no_mirrors_it(
    people: list[float], verdicts: list[float]
) -> None:
    labels, judge = np.array(people), np.array(verdicts)
    labelled, alone = judge[: len(labels)], judge[len(labels) :]
    found = corrected_share(alone, labelled, labels)
    turned = corrected_share(1 - alone, 1 - labelled, 1 - labels)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert turned.value == pytest.approx(1 - found.value, abs=1e-9)
    assert turned.low == pytest.approx(1 - found.high, abs=1e-9)


def test_a_judge_that_says_nothing_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    people = (rng.random(80) < 0.3).astype(float)
    found = corrected_share(np.full(500, 0.7), np.full(80, 0.7), people)
    alone = labelled_share(people)
    assert found.value == pytest.approx(people.mean())
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.02)  # type: ignore[operator]
    right = corrected_share((rng.random(5000) < 0.3).astype(float), people, people)
    assert (worth_labels(alone, right, 80) or 0) > 400
    with pytest.raises(ValueError, match="two labelled items"):
        corrected_share(np.array([0.5]), np.array([1.0]), np.array([1.0]))
    reversed_judge = judged_rate(1 - people.repeat(5), 1 - people, people)
    assert reversed_judge.turned is None
    assert "no more than chance" in reversed_judge.why_not
    assert reversed_judge.corrected.value == pytest.approx(people.mean())


def test_labels_that_are_all_equal_are_worth_their_number_however_much_is_judged() -> None:
    none = np.zeros(30)
    found = corrected_share((np.arange(5000) % 10 == 0).astype(float), none, none)
    assert found.low == 0
    assert found.high is not None
    assert 0.1 < found.high < 0.2


def test_labels_of_one_prompt_are_not_independent() -> None:
    people = np.repeat([1.0, 0.0, 1.0, 0.0], 10)
    prompts = np.repeat(np.arange(4), 10).tolist()
    together = labelled_share(people, prompts)
    apart = labelled_share(people)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)  # type: ignore[operator]


def test_the_corrected_rate_covers_the_true_one() -> None:
    rng = np.random.default_rng(3)
    truth, sensitivity, specificity, inside = 0.15, 0.9, 0.85, 0
    for _ in range(400):
        refused = rng.random(250) < truth
        seen = np.where(refused, rng.random(250) < sensitivity, rng.random(250) > specificity)
        rate = share_mean(seen.astype(float))
        hits = int(rng.binomial(120, sensitivity)), 120
        passes = int(rng.binomial(150, specificity)), 150
        found = rogan_gladen(rate, hits, passes)
        inside += found.low <= truth <= found.high
    assert 0.92 <= inside / 400 <= 0.99
    with pytest.raises(ValueError, match="no more than chance"):
        rogan_gladen(rate, (50, 100), (45, 100))


def better(prompt: str, first: str, second: str) -> float:
    return float(decided_p(np.array(0.5 * (int(first.split()[1]) - int(second.split()[1])))))


def test_the_command(tmp_path: Path) -> None:
    """From a judge's records and people's records of a quarter of the pairs."""
    rng = np.random.default_rng(2)
    rows, labels = [], []
    for n in range(400):
        worth = rng.permutation(9)[:2]
        options = [
            {"content": f"quality {q}", "producer": name}
            for q, name in zip(worth, ("new", "old"), strict=True)
        ]
        rows.append({"prompt": f"Say {n}.", "options": options})
        if n % 4 == 0:
            won = rng.random() < decided_p(np.array(0.8 * (worth[0] - worth[1])))
            shown = [
                {"id": name, **option, "shown_at": place}
                for place, (name, option) in enumerate(zip("ab", options, strict=True))
            ]
            labels.append(
                {"id": f"l{n}", "kind": "comparison", "prompt": f"Say {n}.", "options": shown}
                | {"choice": {"preferred": "a" if won else "b"}, "annotator": "person"}
            )
    files = {}
    for name, lines in (("rows", rows), ("people", labels)):
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")
    ai, out = tmp_path / "ai.jsonl", tmp_path / "rate.json"

    def call(*given: object) -> str:
        found = CliRunner().invoke(main, list(map(str, given)))
        assert found.exit_code == 0, found.output
        return found.output

    call("ask", files["rows"], ai, "--judge", f"{__name__}:better", "--no-cache")
    said = call("judge", "rate", ai, "--people", files["people"], "--of", "new", "--out", out)
    assert "new preferred: 100 items labelled, 300 more judged" in said
    assert re.search(r"corrected \(PPI\+\+\) +\d+% \[\d+%, \d+%\] +0\.\d+ +\d+ labels", said)
    kept = json.loads(out.read_text(encoding="utf-8"))
    assert kept["worth"] > 110
    assert kept["corrected"]["high"] - kept["corrected"]["low"] < (
        kept["people"]["high"] - kept["people"]["low"]
    )
    for more, error in (
        ((), "the rate of what?"),
        (("--flag", "rude"), "say nothing of: rude"),
        (("--of", "nobody"), "producers: new, old"),
    ):
        given = ["judge", "rate", str(ai), "--people", str(files["people"]), *more]
        found = CliRunner().invoke(main, given)
        assert found.exit_code == 2, found.output
        assert error in found.output
    whole = CliRunner().invoke(main, ["judge", "rate", str(ai), "--people", str(ai), "--of", "new"])
    assert "one must be judged alone" in whole.output
