"""The studies of debate and decomposition, small: that each finds its cells, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_runs_label_world import run

from accord.errors import ConfigError, DataError
from accord.feedback.records import parse_line
from accord.oversight.debate import from_records


def test_debate_helps_a_judge_of_reviews_and_consultants_do_not(tmp_path: Path) -> None:
    small = {"reviews": 1200, "debater_reviews": 1500, "turns": [2], "transcripts": 3}
    values = run(tmp_path, "debate-reviews", "debate", **small)
    told = {name[7:-2]: value for name, value in values.items() if name.endswith(".2")}
    assert told["whole"] > told["debate.judge"] > told["random"] + 0.03
    assert told["assigned.judge"] < told["assigned.own"] < told["random"] - 0.03
    assert told["lying.judge"] < 0.2 < 0.8 < told["open.judge"]
    lines = next(tmp_path.glob("run/stages/*/transcripts.jsonl")).read_text().splitlines()
    transcripts = from_records([parse_line(line) for line in lines])
    arms = {json.loads(line)["meta"]["arm"] for line in lines}
    assert arms == {
        f"{a}.{v}"
        for a in ("debate", "swapped", "honest", "lying", "open")
        for v in ("own", "judge")
    }
    assert len({one.claims.source for one in transcripts}) == 3


def test_sides_that_do_not_get_equally_many_turns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 turns for 2 sides"):
        run(tmp_path, "debate-reviews", "debate", turns=[3])


def test_most_of_what_debate_gains_on_digits_is_two_answers_for_ten(tmp_path: Path) -> None:
    values = run(tmp_path, "debate-digits", "debate", images=150, turns=[4])
    told = {name[7:-2]: v for name, v in values.items() if name.endswith(".4")}
    assert told["direct"] < 0.5 < told["random"] < told["debate.one"]
    assert told["random"] - told["direct"] > told["debate.one"] - told["random"]
    assert told["lying.one"] < 0.1
    assert told["open.one"] > 0.9


def test_trees_count_what_no_window_holds(tmp_path: Path) -> None:
    small = {"sizes": [64], "piles": 60, "taught": 60, "pool": 300, "reader_reviews": 1000}
    values = run(tmp_path, "count-reviews", "count", **small)
    told = {name.split(".")[2]: v for name, v in values.items() if name.startswith("count.error.")}
    assert told["tree"] < 0.1 < told["end_to_end"] < told["direct"]
    assert told["corrected"] < told["tree"]
    assert abs(told["direct"] - told["constant"]) < 0.05
    assert values["count.catch.16"] == pytest.approx(0.69, abs=0.01)
    lines = next(tmp_path.glob("run/stages/*/nodes.jsonl")).read_text().splitlines()
    records = [parse_line(line) for line in lines]
    assert len(records) == 2 * (64 + 16 + 4 + 1)
    assert {record.kind for record in records} == {"rating"}


def test_reward_models_of_levels_choose_at_nodes(tmp_path: Path) -> None:
    small = {"sizes": [16], "piles": 60, "taught": 150, "comparisons": 120, "pool": 200}
    values = run(
        tmp_path, "count-levels", "levels", **small, reader_reviews=500, vocabulary=50, words=120
    )
    told = {name.removeprefix("levels."): value for name, value in values.items()}
    assert told["leaves.known.16"] > told["leaves.per_level.16"] > told["leaves.first.16"]
    assert told["inner.per_level.16"] > 0.9 > told["inner.commonest.16"] > told["inner.first.16"]
    assert told["error.known.16"] < told["error.per_level.16"] < told["error.first.16"]
    assert (
        told["leaves.per_level.16"] == told["leaves.leaf_only.16"] == told["leaves.leaf_model.16"]
    )
    ordered = [told[f"ordered.{way}.leaves"] for way in ("leaf_model", "per_level", "one_model")]
    assert ordered[0] == ordered[1] != ordered[2]
    assert (told["calls.first.16"], told["calls.per_level.16"]) == (5, 40)
    for name, level in (("leaves", "leaf"), ("inner", "inner-1")):
        lines = next(tmp_path.glob(f"run/stages/*/{name}.jsonl")).read_text().splitlines()
        records = [parse_line(line) for line in lines]
        assert len(records) == 120
        assert {record.meta["node"]["level"] for record in records} == {level}
        assert all(len({str(o.content) for o in record.options}) == 2 for record in records)


def test_piles_that_make_no_tree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sizes has 24"):
        run(tmp_path, "count-levels", "levels", sizes=[24])


@pytest.mark.slow
def test_a_cutter_learns_from_the_count_alone(tmp_path: Path) -> None:
    small = {"piles": 300, "taught": 150, "pool": 250, "reader_texts": 1000, "steps": 60}
    values = run(tmp_path, "cut-reviews", "cut", **small)
    told = {name.split(".")[2]: v for name, v in values.items() if name.startswith("cut.error.")}
    assert told["call_per_text"] < told["learned"] < told["equal_texts"] < told["untrained"]
    assert told["untrained"] < told["one_call"]
    assert values["cut.read.learned"] > values["cut.read.equal_texts"] + 0.03
    assert values["cut.read.call_per_text"] == 1
