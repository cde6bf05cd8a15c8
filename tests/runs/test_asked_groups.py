"""Groups of annotators, and whether they take a policy's responses alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_asked import run_of, verdict

from accord.examine.asked_groups import DIFFER, PersonsAnswer, group_wins, with_groups
from accord.examine.verdict import ArmVerdict, Verdict

LANGUAGES = {f"{side}{n}": {"language": side} for side in ("en", "de") for n in range(6)}


def answers(
    likes: dict[str, float], prompts: int, seed: int, spread: float = 0.0
) -> list[PersonsAnswer]:
    """Every annotator answers half of the prompts; a prompt's own pull is shared by all."""
    rng = np.random.default_rng(seed)
    pull = rng.normal(scale=spread, size=prompts)
    return [
        PersonsAnswer(prompt, name, float(rng.random() < np.clip(likes[given["language"]] + pull[prompt], 0, 1)))
        for name, given in LANGUAGES.items()
        for prompt in np.flatnonzero(rng.random(prompts) < 0.5).tolist()
    ]  # fmt: skip


def test_groups_that_say_the_opposite_are_told() -> None:
    said = answers({"en": 0.8, "de": 0.2}, 40, 0)
    (found,) = group_wins("ppo", said, LANGUAGES)
    rows = {one.group: one for one in found.groups}
    assert set(rows) == {"en", "de"}
    for group, likes in (("en", 0.8), ("de", 0.2)):
        own = [one.share for one in said if LANGUAGES[one.annotator]["language"] == group]
        assert rows[group].takes_it[0] == pytest.approx(np.mean(own))
        assert rows[group].answers == len(own)
        _, low, high = rows[group].takes_it
        assert low is not None
        assert high is not None
        assert low < likes < high
        assert rows[group].differs
    assert rows["en"].apart is not None
    assert rows["de"].apart is not None
    assert rows["en"].apart[0] == pytest.approx(-rows["de"].apart[0])
    arm = ArmVerdict(arm="ppo", outcome="worked", reason="", rules=[])
    told = with_groups(
        Verdict(outcome="worked", reason="", arms=[arm], stopped_by_guard=None), {"ppo": [found]}
    )
    assert told.outcome == "worked"
    assert (told.arms[0].rules[0].name, told.arms[0].rules[0].fired) == (DIFFER, True)
    assert "language en takes ppo on" in told.arms[0].rules[0].statement


def test_groups_alike_are_said_to_differ_as_rarely_as_chance_allows() -> None:
    fired = sum(
        any(one.differs for one in group_wins("x", answers({"en": 0.7, "de": 0.7}, 25, s, 0.2), LANGUAGES)[0].groups)
        for s in range(300)
    )  # fmt: skip
    assert fired <= 26  # 5 % of 300 are 15; more than 26 have p < .005


def test_small_groups_are_not_shown() -> None:
    few = {**LANGUAGES, "fr0": {"language": "fr"}, "fr1": {"language": "fr"}}
    said = [
        *answers({"en": 0.5, "de": 0.5}, 20, 0),
        PersonsAnswer(0, "fr0", 1.0),
        PersonsAnswer(1, "fr1", 1.0),
    ]
    (found,) = group_wins("x", said, few)
    assert "fr" not in {one.group for one in found.groups}
    assert found.hidden_annotators >= 5  # two alone could be read off the total


def test_the_command_shows_what_groups_say(tmp_path: Path) -> None:
    run, to = run_of(tmp_path / "run"), tmp_path / "ask.jsonl"
    verdict(run, "--ask", 30, "--to", to)
    records = []
    for n, line in enumerate(to.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        options = [{"id": "ab"[k], "shown_at": k, **one} for k, one in enumerate(row["options"])]
        ids = {one["producer"]: one["id"] for one in options}
        for name, given in LANGUAGES.items():
            likes = ids["ppo" if given["language"] == "en" else "baseline"]
            record = {"id": f"{n}-{name}", "kind": "comparison", "prompt": row["prompt"]}
            records.append(
                {**record, "options": options, "choice": {"preferred": likes}, "annotator": name}
            )
    told, described = tmp_path / "answers.jsonl", tmp_path / "people.json"
    told.write_text("".join(json.dumps(record) + "\n" for record in records))
    described.write_text(json.dumps(LANGUAGES))
    found = verdict(run, "--answers", told, "--attributes", described)
    assert "inconclusive" in found.output.partition("\n")[0]
    assert "groups of annotators differ" in found.output
    assert "100% [" in found.output
    said = json.loads(verdict(run, "--answers", told, "--attributes", described, "--json").stdout)
    assert {one["group"] for one in said["groups"]["ppo"][0]["groups"]} == {"en", "de"}
    described.write_text(json.dumps({"somebody": {"language": "en"}}))
    other = verdict(run, "--answers", told, "--attributes", described)
    assert other.exit_code == 2
    assert "none of the 12 annotators who answered is described" in other.output
    assert verdict(run, "--attributes", described).exit_code == 2
