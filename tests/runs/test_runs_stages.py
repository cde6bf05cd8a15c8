"""Stages that the quickstart does not use, each run at toy size through the runner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accord.errors import ConfigError, DataError
from accord.files import read_jsonl
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress

WORDS = ("great", "fine", "slow", "loud", "odd", "new")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"This {a} film", "chosen": f" is a {b} joy.", "rejected": f" is a {b} bore."}
        for a in WORDS
        for b in WORDS
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def thumbs(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"This {a} film", "completion": f" is a {b} {word}.", "label": word == "joy"}
        for a in WORDS
        for b in WORDS
        for word in ("joy", "bore")
    ]
    path = tmp_path / "thumbs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(tmp_path: Path, model: str, stages: str) -> Path:
    """The directory of a run of `stages`, whose MODEL is this one."""
    path = tmp_path / "toy.yaml"
    path.write_text(f"name: toy\nthreads: 1\nstages:\n{stages}".replace("MODEL", model))
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, StageProgress(), {})
    return tmp_path / "run"


@pytest.mark.slow
def test_the_packaged_dpo_recipe_on_a_file_of_ones_own(tmp_path: Path, pairs: Path) -> None:
    model = "model=accord:nano-base"
    given = [f"data={pairs}", model, "limit=16", "epochs=2", "dpo.batch=8"]
    recipe = recipes.load("dpo", given)
    runner.execute(recipe, tmp_path / "run", False, StageProgress(), {})
    record = json.loads((tmp_path / "run/stages/01-dpo/result.json").read_text())
    assert record["artefacts"]["model"]
    assert 0 <= record["values"]["heldout_agreement"] <= 1
    lineage = json.loads((tmp_path / "run/lineage.json").read_text())
    assert lineage["recipe"] == recipe.fingerprint()


def last(run_dir: Path, stage: str) -> dict:
    return json.loads(
        next(run_dir.glob(f"stages/*-{stage}/metrics.jsonl")).read_text().splitlines()[-1]
    )


DATA = "  data: {{kind: preferences, data: {pairs}, evaluation: 4}}\n"
DPO = (
    "  dpo: {{kind: dpo, model: MODEL, feedback: 'stage:data/feedback', learning_rate: 1.0e-3, epochs: 4,"
    " batch: 8, loss: {loss}{more}}}\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "more"), [("simpo", ", gamma: 0.5"), ("orpo", ", nll_weight: 1.0"), ("ipo", "")]
)
def test_objectives_of_the_dpo_stage_learn_the_preference(
    tmp_path: Path, pico: str, pairs: Path, loss: str, more: str
) -> None:
    run_dir = run(tmp_path, pico, DATA.format(pairs=pairs) + DPO.format(loss=loss, more=more))
    assert last(run_dir, "dpo")["preference_agreement"] > 0.9


@pytest.mark.slow
def test_kto_learns_from_thumbs_and_from_comparisons(
    tmp_path: Path, pico: str, pairs: Path, thumbs: Path
) -> None:
    kto = "kind: kto, model: MODEL, learning_rate: 1.0e-3, epochs: 3, batch: 12, desirable_weight: 1.2"
    run_dir = run(
        tmp_path,
        pico,
        DATA.format(pairs=pairs)
        + f"  pairs: {{{kto}, feedback: 'stage:data/feedback'}}\n  thumbs: {{{kto}, feedback: {thumbs}}}\n",
    )
    for stage in ("pairs", "thumbs"):
        values = last(run_dir, stage)
        assert values["desirable_shift"] > values["undesirable_shift"] + 1
    record = json.loads((run_dir / "stages/03-thumbs/result.json").read_text())
    assert record["values"]["desirable"] == 36


@pytest.mark.slow
def test_kto_learns_the_opposite_of_what_somebody_contrary_says(
    tmp_path: Path, pico: str, thumbs: Path
) -> None:
    """With estimates, labels are what all votes on the prompt make probable, as for reward and
    DPO."""
    votes = [
        {
            "id": f"{a}-{b}",
            "kind": "comparison",
            "prompt": f"This {a} film",
            "options": [
                {"id": word, "content": f" is a {b} {word}.", "shown_at": place}
                for place, word in enumerate(("joy", "bore"))
            ],
            "choice": {"preferred": "bore"},
            "annotator": "cho",
        }
        for a in WORDS
        for b in WORDS
    ]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in votes))
    people = [{"annotator": "cho", "rationality": -2.0, "side_bias": 0.0}]
    (tmp_path / "people.json").write_text(json.dumps({"annotators": people, "tie": 0.0}))
    run_dir = run(
        tmp_path,
        pico,
        f"  kto: {{kind: kto, model: MODEL, feedback: {tmp_path}/votes.jsonl,"
        f" annotators: {tmp_path}/people.json, evaluation: {thumbs}, learning_rate: 1.0e-3,"
        " epochs: 3, batch: 12}\n",
    )
    record = json.loads((run_dir / "stages/01-kto/result.json").read_text())
    assert record["values"]["heldout_agreement"] > 0.8


def test_kto_without_thumbs_says_what_it_found(tmp_path: Path, pico: str) -> None:
    (tmp_path / "demos.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")
    kto = f"feedback: {tmp_path}/demos.jsonl, learning_rate: 1.0e-3"
    with pytest.raises(
        DataError, match=r"no thumbs and no comparisons: 1 demonstration: says no good and bad"
    ):
        run(tmp_path, pico, f"  kto: {{kind: kto, model: MODEL, {kto}}}\n")


def mixed_feedback(folder: Path) -> Path:
    """The same wish, said in five ways."""
    from accord.feedback.records import Feedback

    def options(*texts: str) -> list[dict]:
        return [{"id": chr(97 + i), "content": text, "shown_at": i} for i, text in enumerate(texts)]

    records = []
    for i, a in enumerate(WORDS):
        for j, b in enumerate(WORDS):
            good, bad, other = (f" is a {b} {word}." for word in ("joy", "bore", "film"))
            kind, offered, choice = [
                ("comparison", options(good, bad), {"preferred": "a", "strength": 3}),
                ("ranking", options(bad, good, other), {"order": [["b"], ["c"], ["a"]]}),
                ("best_worst", options(bad, other, good), {"best": "c", "worst": "a"}),
                ("correction", options(bad), {"content": good}),
                ("comparison", options(other, bad), {"preferred": "a"}),
            ][(i + j) % 5]
            made = {"prompt": f"This {a} film", "annotator": "one"}
            records.append(
                {"id": f"{i}-{j}", "kind": kind, "options": offered, "choice": choice, **made}
            )
        written = {"kind": "demonstration", "options": [], "choice": {"content": " is a pure joy."}}
        records.append(
            {"id": f"{i}-demo", "prompt": f"This {a} film", "annotator": "one", **written}
        )
    records.append({"id": "alone", "prompt": "Alone", "annotator": "one", **written})
    records.append(
        {
            "id": "critique",
            "kind": "critique",
            "prompt": "x",
            "options": options("y"),
            "choice": {"text": "dull"},
            "annotator": "one",
        }
    )
    path = folder / "mixed.jsonl"
    path.write_text("".join(Feedback.model_validate(r).model_dump_json() + "\n" for r in records))
    return path


@pytest.mark.slow
def test_a_reward_model_learns_from_a_mix_of_feedback(tmp_path: Path, pico: str) -> None:
    lines: list[str] = []

    class Spoken(StageProgress):
        def say(self, text: str) -> None:
            lines.append(text)

    path = tmp_path / "toy.yaml"
    reward = f"kind: reward, model: {pico}, members: 1, learning_rate: 1.0e-3, epochs: 6, batch: 3, centre_samples: 16"
    path.write_text(
        f"name: toy\nthreads: 1\nstages:\n  reward: {{{reward}, feedback: {mixed_feedback(tmp_path)}, margin: 0.2, "
        "ties: rao_kupper, rankings: all_pairs, evaluation: 0.2}\n"
    )
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, Spoken(), {})
    said = "\n".join(lines)
    assert "42 judgements on 6 prompts" in said
    assert "1 critique compares nothing" in said
    assert "1 demonstration without another response to its prompt" in said
    record = json.loads((tmp_path / "run/stages/01-reward/result.json").read_text())
    assert record["values"]["heldout_accuracy"] > 0.85


@pytest.mark.slow
def test_a_round_of_online_dpo_and_of_best_of_n_distillation(
    tmp_path: Path, pico: str, pairs: Path
) -> None:
    scored = "reward: stage:reward, prompts: stage:data/prompts, count: 6, max_new_tokens: 8"
    run_dir = run(
        tmp_path,
        pico,
        DATA.format(pairs=pairs)
        + "  reward: {kind: reward, model: MODEL, feedback: stage:data/feedback, members: 1, learning_rate: 1.0e-3, batch: 4, centre_samples: 16}\n"
        + f"  one: {{kind: score, model: MODEL, {scored}}}\n"
        + "  dpo: {kind: dpo, model: MODEL, feedback: stage:one/feedback, learning_rate: 1.0e-3, batch: 4, epochs: 6}\n"
        + f"  two: {{kind: score, model: stage:dpo, {scored}}}\n"
        + "  best: {kind: sft, model: stage:dpo, data: stage:two/demonstrations, learning_rate: 1.0e-3, batch: 3, evaluation: 1}\n",
    )
    first, second = (
        json.loads((run_dir / f"stages/{n}/result.json").read_text())["values"]
        for n in ("03-one", "05-two")
    )
    assert first["pairs"] + first["flat"] == 6
    assert first["best_score"] > first["score"]
    assert second["score"] > first["score"]  # the policy learned what the reward model pays for
    assert json.loads((run_dir / "stages/06-best/result.json").read_text())["values"]["tokens"] > 0


@pytest.mark.slow
def test_expert_iteration_keeps_what_a_function_accepts(
    tmp_path: Path, pico: str, monkeypatch: pytest.MonkeyPatch, pairs: Path
) -> None:
    (tmp_path / "expert_rewards.py").write_text(
        "def has_the(prompts, responses):\n    return [float(' the' in r) for r in responses]\n"
    )
    monkeypatch.chdir(tmp_path)
    scored = (
        "  score: {kind: score, model: MODEL, functions: {'expert_rewards:has_the': 1.0}, threshold: 1.0, keep: all, "
        "prompts: stage:data/prompts, count: 6, max_new_tokens: 12}\n"
    )
    run_dir = run(tmp_path, pico, DATA.format(pairs=pairs) + scored)
    shown = read_jsonl(run_dir / "stages/02-score/demonstrations.jsonl")
    assert shown
    assert all(" the" in row["choice"]["content"] for row in shown)
    values = json.loads((run_dir / "stages/02-score/result.json").read_text())["values"]
    assert values["demonstrations"] == len(shown)
    assert values["prompts_with_demonstration"] <= 6


FUNCTIONS = """
def lowercase(prompts, responses):
    assert prompts[0].startswith("This")
    return [sum(c.islower() for c in r) / max(1, len(r)) for r in responses]

def broken(prompts, responses):
    return [float("nan")] * len(responses)

def short(prompts, responses):
    return [1.0]

constant = 3
"""


def with_functions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pairs: Path,
    pico: str,
    kind: str,
    settings: str,
) -> Path:
    (tmp_path / "my_rewards.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    common = "model: MODEL, prompts: stage:data/prompts, max_new_tokens: 8, samples_per_prompt: 8, unfinished_score: null"
    return run(
        tmp_path, pico, DATA.format(pairs=pairs) + f"  rl: {{kind: {kind}, {common}, {settings}}}\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grpo", "rloo", "reinforce", "ppo"])
def test_policies_learn_from_a_function_without_a_reward_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: Path, pico: str, kind: str
) -> None:
    # The value model of PPO starts from nothing.
    settings = "steps: 10, epochs: 2, minibatches: 2, learning_rate: 2.0e-2, kl_coefficient: 0.0, functions: {'my_rewards:lowercase': 2.0}, length_penalty: 0.01, prompts_per_step: 6"
    run_dir = with_functions(tmp_path, monkeypatch, pairs, pico, kind, settings)
    rows = [
        json.loads(line)
        for line in (run_dir / "stages/02-rl/metrics.jsonl").read_text().splitlines()
    ]
    assert rows[-1]["score"] > rows[0]["score"] + 0.1


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (
            "my_rewards:broken",
            ConfigError,
            r"my_rewards:broken .*my_rewards.py line \d+\) scored .* as nan",
        ),
        ("my_rewards:short", ConfigError, "gave 1 scores for 2 responses"),
        ("my_rewards:nothing", ConfigError, "cannot load the reward function"),
        ("my_rewards:constant", ConfigError, "is int, not a function"),
        ("my_rewards", ConfigError, "names no function"),
    ],
)
def test_reward_functions_that_cannot_be_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pairs: Path,
    pico: str,
    function: str,
    error: type[Exception],
    message: str,
) -> None:
    settings = f"steps: 1, learning_rate: 1.0e-3, functions: {{'{function}': 1.0}}"
    with pytest.raises(error, match=message):
        with_functions(tmp_path, monkeypatch, pairs, pico, "reinforce", settings)
