"""A policy that judges its own words: how likely it finds them, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from accord.errors import ConfigError
from accord.files import read_jsonl
from accord.models.loading import save_causal_lm
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.stages.score import ScoreConfig, mean_logps
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from tiny import tiny_llama


def test_the_mean_log_probability_is_that_of_the_sampled_tokens() -> None:
    """However responses are packed."""
    model = tiny_llama()
    prompts = [[0, 5, 9], [0, 7]]
    rollout = BuiltinSampler(model).sample(prompts, SamplingSettings(6), list(range(6)), 3)
    wanted = torch.stack([logps.mean() for logps in rollout.logprobs])
    for micro_batch in (1, 4096):
        torch.testing.assert_close(
            mean_logps(model, rollout, micro_batch), wanted, atol=1e-4, rtol=1e-4
        )
    other = mean_logps(tiny_llama(3), rollout, 4096)
    assert not torch.allclose(other, wanted, atol=1e-2)


def scored(folder: Path, settings: str) -> Path:
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{n} a"}) + "\n" for n in range(4)))
    save_causal_lm(tiny_llama(), folder / "policy")
    path = folder / "toy.yaml"
    path.write_text(
        f"name: toy\nthreads: 1\nstages:\n  one: {{kind: score, model: {folder}/policy, prompts: {prompts}, "
        f"max_new_tokens: 5, samples_per_prompt: 3, unfinished: keep, {settings}}}\n"
    )
    runner.execute(recipes.load(str(path), []), folder / "run", False, StageProgress(), {})
    return folder / "run" / "stages" / "01-one"


def test_its_likeliest_words_are_its_best(tmp_path: Path) -> None:
    place = scored(tmp_path, f"likelihood: {tmp_path}/policy")
    rows = read_jsonl(place / "sampled.jsonl")
    assert all(score < 0 for row in rows for score in row["scores"])
    for record, row in zip(read_jsonl(place / "feedback.jsonl"), rows, strict=True):
        texts = {option["id"]: option["content"] for option in record["options"]}
        scores = dict(zip(row["responses"], row["scores"], strict=True))
        assert scores[texts["best"]] == max(row["scores"])
        assert scores[texts["worst"]] == min(row["scores"])


def test_who_judges_has_the_policys_words(tmp_path: Path) -> None:
    save_causal_lm(tiny_llama(vocab_size=72), tmp_path / "other")
    with pytest.raises(ConfigError, match="likelihood: the model has another vocabulary"):
        scored(tmp_path, f"likelihood: {tmp_path}/other")
    with pytest.raises(ValidationError, match="nothing gives a score"):
        ScoreConfig(kind="score", model="m", prompts="p.jsonl")


SMALL = [
    "threads=1", "prompts=24", "samples=4", "evaluation=16", "data.prompts=40", "data.evaluation=16",
    "data.gold_reviews=1000", "reward.epochs=1", "reward.centre_samples=8", "examine.evaluate.max_new_tokens=12",
    *(f"judge_{n}.max_new_tokens=12" for n in (1, 2, 3)),
    *(f"round_{n}.{one}" for n in (1, 2, 3) for one in ("batch=8", "learning_rate=3.0e-3", "evaluate.max_new_tokens=12")),
]  # fmt: skip


@pytest.mark.slow
def test_what_it_says_of_itself_rises_round_by_round(tmp_path: Path) -> None:
    """The packaged recipe at a small size: each round's policy finds its own words likelier."""
    pytest.importorskip("sklearn")
    recipe = recipes.load("self-rewarding", SMALL)
    runner.execute(recipe, tmp_path / "run", False, StageProgress(), {})
    values = {
        path.parent.name[3:]: json.loads(path.read_text())["values"]
        for path in (tmp_path / "run" / "stages").glob("*/result.json")
    }
    first, second, third = (values[f"judge_{n}"]["score"] for n in (1, 2, 3))
    assert first < second < third, (first, second, third)
    assert first + 0.3 < third
    assert values["examine"]["round_3.kl"] > values["examine"]["round_1.kl"] > 0.1
    assert json.loads((tmp_path / "run" / "verdict.json").read_text())["outcome"] in (
        "gamed",
        "collapsed",
        "inconclusive",
    )
