"""Feedback from use: the log, who is silent, and what another policy would be worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.coverage.silence import two_policies
from benchmarks.deployment import policies, rates
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from accord.cli.main import main
from accord.errors import DataError
from accord.feedback.deployment import deployment
from accord.feedback.formats import read_feedback
from accord.feedback.formats.source import DataSource
from accord.feedback.use_rows import called_back, new_policy, read_log, silent_items
from accord.feedback.vote_table import read_vote_table
from accord.runs.judge_data import read_to_judge
from accord.seeds import generator
from accord.statistics.double_sampling import Answered, double_sampled, pseudo_values
from accord.statistics.off_policy import (
    direct_model,
    doubly_robust,
    effective_share,
    ips,
    snips,
)
from accord.studio.projects.incoming import items_from
from accord.studio.projects.settings import ProjectSettings

ROW = {"prompt": "Hi", "response": "Hello", "thumb": "up", "user": "ada"}


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def log_rows(n: int = 60) -> list[dict[str, Any]]:
    """Every third rated, every other of these down; users of three responses each."""
    return [
        {
            "id": i, "prompt": f"Q{i}", "response": f"A{i}", "user": f"u{i // 3}", "policy": "v1",
            "thumb": None if i % 3 else ("up", "down")[i // 3 % 2], "propensity": 0.5,
            "long": i % 2, "team": "ab"[i // 3 % 2],
        }
        for i in range(n)
    ]  # fmt: skip


# --- the format -----------------------------------------------------------------------------------
def test_a_log_becomes_thumbs_corrections_and_only_stated_comparisons(tmp_path: Path) -> None:
    rows = [
        ROW | {"policy": "v1", "propensity": 0.25, "regenerate": "no", "team": "red"},
        ROW | {"thumb": "👎", "edit": "Hello!", "copy": True, "time": 1_700_000_000},
        ROW | {"thumb": None, "regenerated_from": "Oi", "regenerated_is": "worse"},
        ROW | {"thumb": "none", "regenerated_from": "Oi"},
        ROW | {"thumb": ""},
        ROW | {"thumb": "meh"},
        ROW | {"consent": False},
        ROW | {"propensity": 1.5},
        ROW | {"regenerated_is": "better"},
        ROW | {"edit": "Hello", "thumb": None},
    ]
    read = read_feedback(str(written(tmp_path / "log.jsonl", rows)))
    up, down, edit, other = read.records
    assert [r.kind for r in read.records] == ["thumb", "thumb", "correction", "comparison"]
    assert up.choice.up
    assert not down.choice.up
    assert {r.annotator for r in read.records} == {"ada"}
    assert up.options[0].producer == "v1"
    assert up.meta["use"] == {"log_propensity": pytest.approx(np.log(0.25)), "regenerate": False}
    assert up.meta["columns"] == {"team": "red"}
    assert down.meta["use"] == {"copy": True}
    assert down.created_at == "2023-11-14T22:13:20+00:00"
    assert edit.choice.content == "Hello!"  # type: ignore[union-attr]
    preferred = next(o for o in other.options if o.id == other.choice.preferred)  # type: ignore[union-attr]
    assert preferred.content == "Oi"
    assert sum(read.dropped.values()) == 4
    assert any("'meh'" in reason for reason in read.dropped)
    assert any("consent" in reason for reason in read.dropped)
    assert read.left_out == {
        "response before a regenerated one: the log does not say which is better": 1,
        "response of a log of use that nobody judged": 3,
        "edit of a log of use that changes nothing": 1,
    }


def test_rows_without_consent_are_left_out_of_votes_items_and_questions(tmp_path: Path) -> None:
    votes = [
        {"model_a": "x", "model_b": "y", "winner": "model_a", "consent": c} for c in (True, False)
    ]
    table = read_vote_table(DataSource(path=str(written(tmp_path / "votes.jsonl", votes))))
    assert table is None  # read record by record, which drops the row
    assert len(read_feedback(str(tmp_path / "votes.jsonl")).records) == 1
    rows = [{"prompt": "p", "responses": ["a", "b"], "consent": c} for c in ("yes", "no")]
    path = written(tmp_path / "rows.jsonl", rows)
    records, lines = read_to_judge(str(path))
    assert len(records) == 1
    assert any("no consent" in line for line in lines)
    found = items_from(path, ProjectSettings(name="p", task="comparison"))
    assert len(found.items) == 1
    assert any("no consent" in reason for reason in found.dropped)


def test_zeros_are_not_taken_for_thumbs_down_without_being_told(tmp_path: Path) -> None:
    for thumbs in ([1, 0, None], ["up", 0, "down"]):
        path = written(tmp_path / "log.jsonl", [ROW | {"thumb": thumb} for thumb in thumbs])
        with pytest.raises(DataError, match="0 and 1"):
            read_log(DataSource(path=str(path)))
        signed = read_log(DataSource(path=str(path), labels="signed"))
        assert [use.thumb for use in signed.uses].count(None) == 1 + (None in thumbs)
    binary = read_log(DataSource(path=str(path), labels="binary"))
    assert [use.thumb for use in binary.uses] == [True, False, False]


def test_a_log_without_a_needed_column_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", [{"prompt": "a", "response": "b", "rating": 1}])
    with pytest.raises(DataError, match="'thumb'") as error:
        read_log(DataSource(path=str(path)))
    assert "--columns thumb=NAME" in str(error.value.fix)


# --- double sampling ------------------------------------------------------------------------------
STATES = st.lists(
    st.tuples(st.sampled_from("rrscc"), st.booleans(), st.integers(0, 5)), min_size=8, max_size=40
).filter(lambda rows: sum(r[0] == "c" for r in rows) > 1 and len({r[2] for r in rows}) > 1)


@given(STATES)
def test_the_corrected_rate_is_a_share_mirrors_and_reads_no_unknown_outcome(
    rows: list[tuple[str, bool, int]],
) -> None:
    state, happy, user = (np.array(part) for part in zip(*rows, strict=True))
    seen = Answered(state == "r", state == "c", user)
    share_N = np.where(state == "s", np.nan, happy.astype(float))
    found, other = double_sampled(share_N, seen), double_sampled(1 - share_N, seen)
    r, raters = seen.rated_N.mean(), share_N[seen.rated_N]
    theta = r * (raters.mean() if len(raters) else 0) + (1 - r) * share_N[seen.called_N].mean()
    assert found.value == pytest.approx(theta)
    assert 0 <= found.low <= found.value <= found.high <= 1  # type: ignore[operator]
    assert other.value == pytest.approx(1 - found.value)
    assert other.low == pytest.approx(1 - found.high)  # type: ignore[operator]


def test_the_variance_is_that_of_hansen_and_hurwitz() -> None:
    rng = generator(0, "variance")
    n, calls = 400, 60
    state = np.array(["r"] * 100 + ["c"] * calls + ["s"] * (n - 100 - calls))
    y_N = rng.random(n) < np.where(state == "r", 0.2, 0.7)
    seen = Answered(state == "r", state == "c", np.arange(n))
    raters, called = y_N[:100].astype(float), y_N[100:160].astype(float)
    r, theta = 0.25, 0.25 * raters.mean() + 0.75 * called.mean()
    between = r * (raters.mean() - theta) ** 2 + (1 - r) * (called.mean() - theta) ** 2
    variance = (r * raters.var() + between) / n + (1 - r) ** 2 * called.var() / calls
    values_N = pseudo_values(y_N.astype(float), seen)
    assert values_N.var(ddof=1) / n == pytest.approx(variance * n / (n - 1))
    assert double_sampled(y_N.astype(float), seen).error == pytest.approx(variance**0.5, rel=0.02)


def test_silent_users_who_are_asked_take_the_bias_out() -> None:
    (_, _, raw_bias, _, _), (_, _, bias, _, covers) = rates(1000, 150, 0.5, 150)
    assert float(raw_bias.split()[0]) < -0.25
    assert abs(float(bias.split()[0])) <= 0.01
    assert 0.9 <= float(covers) <= 0.99


# --- another policy -------------------------------------------------------------------------------
def test_equal_policies_leave_the_raw_rate_and_the_whole_log() -> None:
    (outcome_N, weight_N, seen, good, _), _ = two_policies(200, None)(generator(0, "equal"))
    same_N = np.zeros_like(weight_N)
    assert effective_share(same_N) == pytest.approx(1)
    model = direct_model(outcome_N, good[0], good[0], seen, generator(0, "folds"))
    for found in (ips(outcome_N, same_N, seen), snips(outcome_N, same_N, seen),
                  doubly_robust(outcome_N, same_N, model, seen)):  # fmt: skip
        assert found.value == pytest.approx(outcome_N.mean())
    shifted = snips(outcome_N, weight_N + 3.0, seen)
    assert shifted.value == pytest.approx(snips(outcome_N, weight_N, seen).value)


def test_doubly_robust_is_as_good_as_the_better_in_both_cases() -> None:
    rows, _ = policies(None, 100)
    bias, error = ({row[1]: row[place] for row in rows} for place in (2, 3))
    for model in ("right", "wrong"):
        better = min(float(error["IPS"]), float(error[f"direct, {model} model"]))
        assert float(error[f"doubly robust, {model} model"]) <= 1.1 * better
    assert float(bias["direct, wrong model"].split()[0]) < -0.04
    for name in ("IPS", "SNIPS", "doubly robust, wrong model"):
        assert abs(float(bias[name].split()[0])) <= 0.01


def test_the_model_never_saw_the_users_that_it_predicts_for() -> None:
    rng = generator(0, "noise")
    features_NX, outcome_N = rng.normal(size=(80, 60)), rng.integers(0, 2, 80).astype(float)
    seen = Answered(np.ones(80, bool), np.zeros(80, bool), np.arange(80))
    model = direct_model(outcome_N, features_NX, features_NX, seen, rng)
    assert np.corrcoef(model.shown_N, outcome_N)[0, 1] < 0.4  # .9 where it saw them
    assert model.shown_N == pytest.approx(model.new_N)


def scored(tmp_path: Path, rows: list[dict[str, Any]], shift: float) -> Path:
    new = [{"id": row["id"], "logprob": min(0.0, np.log(0.5) + shift * (row["id"] == 0)),
            "long": 0.5} for row in rows]  # fmt: skip
    return written(tmp_path / "new.jsonl", new)


def test_too_few_effective_responses_are_refused_with_the_reason(tmp_path: Path) -> None:
    rows = log_rows(90)
    log = read_log(DataSource(path=str(written(tmp_path / "log.jsonl", rows))))
    new = [{"id": r["id"], "logprob": -0.01 if r["id"] == 0 else -9.0} for r in rows]
    path = written(tmp_path / "new.jsonl", new)
    found = deployment(log, policy=new_policy(log, DataSource(path=str(path)), ())).other
    assert found is not None
    assert found.effective < 0.05
    assert all(told.estimate is None and "5%" in told.why_not for told in found.values.values())


def test_a_new_policy_is_joined_by_id_or_text_and_gaps_are_refused(tmp_path: Path) -> None:
    rows = log_rows()
    log = read_log(DataSource(path=str(written(tmp_path / "log.jsonl", rows))))
    texts = [
        {"prompt": r["prompt"], "response": r["response"], "propensity": 0.25} for r in rows[::-1]
    ]
    source = DataSource(path=str(written(tmp_path / "new.jsonl", texts)))
    assert new_policy(log, source, ()).log_weight_N == pytest.approx(np.log([0.5] * len(rows)))
    written(tmp_path / "new.jsonl", texts[1:])
    with pytest.raises(DataError, match="1 of 60"):
        new_policy(log, source, ())
    written(tmp_path / "new.jsonl", [*texts, texts[0] | {"propensity": 0.5}])
    with pytest.raises(DataError, match="differently"):
        new_policy(log, source, ())


# --- the command ----------------------------------------------------------------------------------
def test_silent_responses_are_drawn_once_and_a_second_call_goes_on(tmp_path: Path) -> None:
    log = read_log(DataSource(path=str(written(tmp_path / "log.jsonl", log_rows()))))
    first = silent_items(log, 15, 0, {})
    prompts = {item["prompt"] for item in first}
    assert len(prompts) == 15
    assert not prompts & {f"Q{i}" for i in range(0, 60, 3)}
    answered = {(item["prompt"], item["options"][0]["content"]): 1.0 for item in first}
    second = {item["prompt"] for item in silent_items(log, 25, 0, answered)}
    assert not second & prompts
    assert len(second) == 25
    with pytest.raises(DataError, match="25 different responses"):
        silent_items(log, 26, 0, answered)
    drawing = ["feedback", "deployment", str(tmp_path / "log.jsonl"), "--call", "5", "--by", "team"]
    refused = CliRunner().invoke(main, [*drawing, "--out", str(tmp_path / "items.jsonl")])
    assert refused.exit_code == 2
    assert "--by" in refused.output
    counts = np.zeros(60)
    for seed in range(300):
        for item in silent_items(log, 10, seed, {}):
            counts[int(item["prompt"][1:])] += 1
    drawn = counts[counts > 0]
    assert len(drawn) == 40
    assert drawn.min() > 40
    assert drawn.max() < 115


def test_the_command_from_the_call_to_the_corrected_rate(tmp_path: Path) -> None:
    rows = [*log_rows(), ROW | {"thumb": "meh"}]
    log, items = written(tmp_path / "log.jsonl", rows), tmp_path / "items.jsonl"
    run = CliRunner()
    told = run.invoke(
        main, ["feedback", "deployment", str(log), "--call", "20", "--out", str(items)]
    )
    assert told.exit_code == 0, told.output
    answers = [
        {"prompt": one["prompt"], "response": one["options"][0]["content"], "thumb": "up"}
        for one in map(json.loads, items.read_text().splitlines())
    ]
    called = written(tmp_path / "answers.jsonl", [*answers, ROW])
    new = scored(tmp_path, log_rows(), 0.0)
    arguments = ["feedback", "deployment", str(log), "--called", str(called)]
    with_policy = [*arguments, "--policy", str(new), "--feature", "long"]
    shown = run.invoke(main, [*with_policy, "--by", "team"])
    assert shown.exit_code == 0, shown.output
    assert "1 of 61 rows dropped" in shown.output
    assert "'meh'" in shown.output
    assert "1 answers are about no silent response" in shown.output
    raw = run.invoke(main, [*with_policy, "--json"])
    data = json.loads(raw.stdout)
    assert data["whole"]["corrected"]["estimate"]["value"] == pytest.approx(1 / 3 * 0.5 + 2 / 3)
    assert data["other_policy"]["effective"] == pytest.approx(1)
    assert data["other_policy"]["values"]["snips"]["estimate"]["value"] == pytest.approx(5 / 6)
    bare = [{k: v for k, v in row.items() if k != "propensity"} for row in log_rows()]
    written(log, bare)
    without = json.loads(run.invoke(main, [*with_policy, "--json"]).stdout)
    assert "60 of 60 rows" in without["no_other_policy"]
    assert without["other_policy"] is None
    assert without["whole"]["corrected"]["estimate"] is not None


def test_answers_that_are_no_thumbs_are_counted(tmp_path: Path) -> None:
    records = read_feedback(str(written(tmp_path / "a.jsonl", [ROW | {"edit": "Hello!"}]))).records
    found = called_back(records)
    assert found.share == {("Hi", "Hello"): 1.0}
    assert found.left_out == {"a correction": 1}
    with pytest.raises(DataError, match="no thumb"):
        called_back(records[1:])
