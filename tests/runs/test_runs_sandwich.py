"""The studies of sandwiching and of provers and a verifier, small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_runs_label_world import run

from accord.errors import ConfigError

SMALL = {"novices": 5, "reviews": 200, "novice_reviews": 150, "expert_reviews": 1000}


def told(folder: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(
        next(folder.glob("run/stages/*/recovered.json")).read_text()
    )
    return found


def test_a_good_assistant_closes_more_of_the_gap_than_a_poor_one(tmp_path: Path) -> None:
    values = run(tmp_path, "sandwiching", "judge", **SMALL, assistants={"poor": 60, "good": 700})
    novice, expert = values["judge.accuracy.novice"], values["judge.accuracy.expert"]
    assert novice < expert
    assert novice < values["judge.accuracy.assisted_good"]
    good, poor = values["judge.recovered.assisted_good"], values["judge.recovered.assisted_poor"]
    assert good > poor
    gained = (values["judge.accuracy.assisted_good"] - novice) / (expert - novice)
    assert good == pytest.approx(gained)
    assert told(tmp_path)["good"]["suppressed"] == ""


def test_without_a_gap_no_share_of_it_is_told(tmp_path: Path) -> None:
    """Novices who read everything and learned as much as the experts."""
    small = {**SMALL, "sentences": 500, "novice_reviews": 400, "expert_reviews": 100}
    values = run(
        tmp_path, "sandwiching", "judge",
        **small, spread=0, assistants={"poor": 60, "good": 100},
    )  # fmt: skip
    assert not any(name.startswith("judge.recovered") for name in values)
    assert "no gap to recover" in str(told(tmp_path)["good"]["suppressed"])


def test_more_reviews_than_there_are_is_refused_by_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"assistants\.good = 90,000"):
        run(tmp_path, "sandwiching", "judge", **SMALL, assistants={"good": 90_000})


def test_the_game_is_played_beside_one_without_learning(tmp_path: Path) -> None:
    small = {"digits": 5, "problems": 300, "tries": 4}
    values = run(tmp_path, "prover-verifier", "game", **small)
    assert values["game.caught.0"] == values["game.fixed.0"]
    assert values["game.caught.8"] > values["game.fixed.8"] + 0.2
    assert values["game.careful.8"] > values["game.careful.0"]
    assert values["game.long.8"] < values["game.long.0"]
