"""Responses of several policies, sampled once, scored in every way, kept, and judged."""

from __future__ import annotations

import gc
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accord.cli.main import main
from accord.errors import DataError, RunError
from accord.runs.behaviour import overlaps
from accord.runs.behaviour.answering import LocalPolicy, SampledAnswer
from accord.runs.behaviour.remembering import Cache, Kept, RememberedPolicy
from accord.runs.behaviour.responses import ArmResponses, Responses, read_file
from accord.runs.distances import Distances, distances
from accord.sampling.rollout import SamplingSettings
from accord.statistics.intervals import Array
from scripted import scripted
from tiny import save_tiny, tiny_llama

FUNCTIONS = """
def longer(prompts, responses):
    return [float(len(r)) for r in responses]
def judge(prompt, first, second):
    return "first" if len(first) > len(second) else "second" if len(second) > len(first) else "tie"
def toxic(texts):
    return [float("a" in text) for text in texts]
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examined")
    for seed, name in enumerate(("base", "tuned")):
        save_tiny(folder / name, seed)
    rows = [
        {"prompt": word}
        for word in ["this", "that", "once", "what", "where", "who", "some", "many"]
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "scorers_of_examining.py").write_text(FUNCTIONS)
    return folder


def asked(models: Path, *more: str) -> Result:
    line = ["examine", "--base", str(models / "base"), "--prompts", str(models / "prompts.jsonl")]
    line += ["--suite", "quick", "--max-new-tokens", "12", "--cache", str(models / "kept"), *more]
    return CliRunner().invoke(main, line)


def lines_of(out: Path) -> dict[str, Any]:
    told = json.loads((out / "evidence.json").read_text(encoding="utf-8"))["behaviour"]
    return {line["measure"]: line for line in told["lines"]}


def test_everything_is_measured_of_the_same_responses(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(models))
    scorer = "scorers_of_examining"
    more = ["--policy", str(models / "tuned"), "--out", str(tmp_path / "out")]
    more += ["--reward", f"{scorer}:longer", "--judge", f"{scorer}:judge"]
    first = asked(models, *more, "--toxicity", f"{scorer}:toxic")
    assert first.exit_code == 0, first.output
    found = lines_of(tmp_path / "out")
    said = [json.loads(row) for row in (tmp_path / "out/responses.jsonl").open(encoding="utf-8")]
    proxy = {
        arm: np.mean([len(row["response"]) for row in said if row["arm"] == arm])
        for arm in ("base", "policy")
    }
    for arm, mean in proxy.items():
        assert found["proxy"]["arms"][arm]["value"] == pytest.approx(mean)
    assert found["kl"]["arms"]["policy"]["value"] > 0
    assert list(found["kl"]["arms"]) == ["policy"]
    assert 0 < found["entropy"]["arms"]["base"]["value"] <= np.log(64)
    assert found["wins"]["chance"] == 0.5
    assert {"toxic", "toxicity_max", "vendi_per_input", "self_bleu_across"} <= set(found)
    evidence = json.loads((tmp_path / "out/evidence.json").read_text(encoding="utf-8"))
    (arm,) = evidence["arms"]
    assert arm["points"][-1]["kl"]["exact"]["value"] > 0
    met = CliRunner().invoke(
        main, ["verdict", str(tmp_path / "out"), "--require", "policy.kl >= 0", "--json"]
    )
    assert met.exit_code == 0, met.output
    again = asked(models, *more)
    assert re.search(r"(\d+) answers were known", again.output), again.output
    repeated = lines_of(tmp_path / "out")
    assert repeated["proxy"] == found["proxy"]
    assert repeated["kl"] == found["kl"]


def test_a_policy_of_another_vocabulary_has_no_kl(models: Path, tmp_path: Path) -> None:
    from accord.models.loading import save_causal_lm

    other = save_causal_lm(tiny_llama(2, vocab_size=48), tmp_path / "other")
    found = asked(models, "--policy", str(other), "--out", str(tmp_path / "out"))
    assert found.exit_code == 0, found.output
    assert "another vocabulary" in found.output
    lines = lines_of(tmp_path / "out")
    assert "kl" not in lines
    assert set(lines["entropy"]["arms"]) == {"base", "policy"}
    assert "only its behaviour is known" in found.output


def test_an_endpoint_answers_and_tells_no_probabilities(models: Path, tmp_path: Path) -> None:
    row = {"question": "?", "choices": ["x", "y"], "answer": 0}
    questions = tmp_path / "own.jsonl"
    questions.write_text((json.dumps(row) + "\n") * 3)
    with scripted(lambda request, number: f"answer {request['seed'] % 7} to it") as server:
        more = ["--policy", f"{server.url}#m", "--out", str(tmp_path / "out")]
        more += ["--set", f"multiple_choice={questions}"]
        refused = asked(models, *more)
        assert (refused.exit_code, len(server.asked)) == (1, 0), "nobody said yes"
        assert "0 kept answers, 16 to ask" in refused.output
        del refused  # its traceback holds the cache, and so the lock, as the next one's does
        gc.collect()
        over = asked(models, *more, "--yes", "--budget-calls", "15")
        assert "16 calls, 15 are allowed" in over.output
        del over
        gc.collect()
        assert not server.asked
        found = asked(models, *more, "--yes")
        assert found.exit_code == 0, found.output
        assert len(server.asked) == 16  # two samples of each of eight prompts
        again = asked(models, *more)
        assert len(server.asked) == 16, again.output
    lines = lines_of(tmp_path / "out")
    assert list(lines["accuracy"]["arms"]) == ["base"]
    assert set(lines["length"]["arms"]) == {"base", "policy"}
    assert list(lines["entropy"]["arms"]) == ["base"]
    assert found.output.count("an endpoint") == 2, found.output


def test_an_endpoint_that_fails_leaves_the_others(models: Path, tmp_path: Path) -> None:
    with scripted(lambda request, number: (403, {}, "no")) as server:
        found = asked(
            models, "--policy", f"{server.url}#m", "--yes", "--out", str(tmp_path / "out")
        )
    assert found.exit_code == 0, found.output
    assert "policy: responses: not measurable" in found.output
    assert list(lines_of(tmp_path / "out")["length"]["arms"]) == ["base"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--reward", "nowhere"], "there is no directory 'nowhere'"),
        (["--reward", "{base}"], "is no reward model: reward.json is missing"),
        (["--set", "xstest"], "write --set xstest=FILE"),
        (["--set", "xstest="], "names no set"),
        (["--set", "instructions=x"], "the set instructions is generated"),
        (["--set", "a=x", "--set", "a=y"], "is named twice"),
        (["--cache", "x", "--no-cache"], "contradict each other"),
        (["--toxicity", "nowhere:f"], "cannot load the classifier"),
    ],
)
def test_what_cannot_be_asked_is_refused(models: Path, more: list[str], said: str) -> None:
    found = asked(models, *(part.format(base=models / "base") for part in more))
    assert found.exit_code == 2, found.output
    assert said in found.output
    nothing = CliRunner().invoke(main, ["examine", "--base", "x"])
    assert "there is nothing to ask" in nothing.output
    unread = CliRunner().invoke(main, ["examine", "--base", "x", "--set", "a=b", "--judge", "j"])
    assert "no prompts are answered" in unread.output


def test_a_plan_loads_no_model(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("accord.runs.behaviour.remembering.open_policy", refuse)
    found = asked(models, "--policy", str(models / "tuned"), "--dry-run")
    assert found.exit_code == 0, found.output
    assert re.search(r"responses +8 +8 +0 +16 ", found.output), found.output
    assert "hours for each policy" in found.output


def test_prompts_are_drawn_once_each(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{n % 6}"}) + "\n" for n in range(12)))
    said: list[str] = []
    assert sorted(read_file(str(path), 10, 0, said.append)) == [f"p{n}" for n in range(6)]
    assert said == [f"{path}: 6 of 12 prompts, 6 of them twice"]
    assert len(read_file(str(path), 4, 0)) == 4
    path.write_text("")
    with pytest.raises(DataError, match="empty"):
        read_file(str(path), 4, 0)
    path.write_text(json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"}) + "\n")
    with pytest.raises(DataError, match="holds judgements"):
        read_file(str(path), 4, 0)


def panel(samples: int, *texts: list[str]) -> Responses:
    """Two arms that said so, without models."""
    prompts = [f"p{n}" for n in range(len(texts[0]) // samples)]
    found = Responses(prompts, samples, SamplingSettings(8), 0)
    for arm, own in zip(("base", "policy"), texts, strict=False):
        answers = [SampledAnswer(text, True, [1, 2]) for text in own]
        zeros = [0.0] * len(own)
        found.arms[arm] = ArmResponses(answers, Distances(zeros, zeros, zeros, zeros))
    return found


class Says:
    """A judge that says the same of every pair."""

    def __init__(self, verdict: float) -> None:
        self.verdict, self.no_verdict, self.later = verdict, Counter[str](), 0

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        return np.full(len(asked), self.verdict)


def test_one_prompt_and_all_ties_are_said_not_guessed() -> None:
    one = panel(1, ["a b c d e"], ["a b c d e"])
    one.judge = Says(0.5)
    found = {scored.name: scored for scored in one.measures()["policy"]}
    assert found["wins"].estimate().low is None
    assert one.not_measurable["responses: variety across inputs"] == "there is one prompt"
    assert one.not_measurable["responses: variety per input"] == "one sample of each prompt"
    ties = panel(2, ["a b c d e"] * 8, ["a b c d e"] * 8)
    ties.judge = Says(0.5)
    wins = {scored.name: scored for scored in ties.measures()["policy"]}["wins"]
    assert wins.estimate().value == 0.5


def test_a_judge_that_sees_the_place_only_never_wins() -> None:
    biased = panel(1, [f"a b c {n}" for n in range(6)], [f"x y z {n}" for n in range(6)])
    biased.judge = Says(1.0)
    wins = {scored.name: scored for scored in biased.measures()["policy"]}["wins"]
    assert set(wins.rows_IX[:, 0]) == {0.5}


# --- answers that are kept ------------------------------------------------------------------------
def test_answers_are_kept_by_what_was_asked(tmp_path: Path) -> None:
    calls: list[list[int]] = []

    def find(places: list[int]) -> list[str]:
        calls.append(places)
        return [f"v{n}" for n in places]

    kept = Kept(tmp_path / "one.jsonl")
    assert kept.all(["a", "b", "a"], find, chunk=1) == ["v0", "v1", "v0"]
    assert calls == [[0], [1]]
    with pytest.raises(RunError, match="another examination"):
        Kept(tmp_path / "one.jsonl")
    del kept
    again = Kept(tmp_path / "one.jsonl")
    assert again.all(["b", "c"], find) == ["v1", "v1"]
    assert calls[2:] == [[1]]
    assert again.reused == 1


def test_a_policy_that_remembers_says_what_the_policy_says(models: Path, tmp_path: Path) -> None:
    itself = LocalPolicy(str(models / "base"))
    turns, options = [["who?"], ["what?", "a b", "sure?"]], [["yes", "no it is"], ["a", "b c"]]
    for _ in range(2):  # asked, then from disk
        remembers = RememberedPolicy(str(models / "base"), Cache(tmp_path))
        for mine, theirs in zip(
            remembers.choice_logps(turns, options), itself.choice_logps(turns, options), strict=True
        ):
            assert mine == pytest.approx(theirs, abs=1e-5)
        assert remembers.answers(turns, 8, 1.0, 3) == itself.answers(turns, 8, 1.0, 3)
        assert remembers.text_logps(["a b"]) == pytest.approx(itself.text_logps(["a b"]), abs=1e-5)
        del remembers
    changed = RememberedPolicy(str(models / "tuned"), Cache(tmp_path))
    assert changed.answers(turns, 8, 1.0, 3) != itself.answers(turns, 8, 1.0, 3)


def test_entropy_and_kl_are_those_of_whole_distributions() -> None:
    import torch

    from accord.text.packing import PromptGroup

    policy, reference = tiny_llama(0), tiny_llama(1)
    groups = [PromptGroup([0, 5, 6], [[7, 8], [9, 1]])]
    found = distances(policy, reference, groups, 0.7, each_token=True)
    alone = distances(policy, policy, groups, 0.7)
    with torch.no_grad():
        for b, response in enumerate(([7, 8], [9, 1])):
            ids = torch.tensor([[0, 5, 6, *response]])
            logits = []
            for model in (policy, reference):
                with model.native_forward() as hf:
                    logits.append((hf(ids).logits[0, 2:4] / 0.7).log_softmax(-1))
            p, q = logits
            entropy, kl = float(-(p.exp() * p).sum()), float((p.exp() * (p - q)).sum())
            each = (p.exp() * (p - q)).sum(-1).tolist()
            assert found.kl_each_B[b] == pytest.approx(each, abs=1e-4)
            assert found.entropy_B[b] == pytest.approx(entropy, abs=1e-4)
            assert found.kl_B[b] == pytest.approx(kl, abs=1e-4)
            assert alone.entropy_B[b] == pytest.approx(entropy, abs=1e-4)
    assert alone.kl_B == [0.0, 0.0]
    assert alone.kl_each_B == []
    assert alone.ref_logp_B == alone.logp_B


# --- what was trained on --------------------------------------------------------------------------
def test_prompts_that_were_trained_on_are_counted(tmp_path: Path) -> None:
    long = " ".join(f"w{n}" for n in range(20))
    prompts = [
        "Who wrote Faust?",
        [{"role": "user", "content": "Hello"}, {"role": "user", "content": long}],
        {"messages": [{"role": "user", "content": "Something nobody trained on at all"}]},
    ]
    rows = [{"prompt": [{"role": "user", "content": "who wrote FAUST"}]}, {"text": f"x {long} y"}]
    path = tmp_path / "trained.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "[1]\n", encoding="utf-8")
    told: list[str] = []
    trained = list(overlaps.texts_of(str(path), told.append))
    assert overlaps.seen([overlaps.last_said(p) for p in prompts], trained) == (1, 2)
    assert len(told) == 1
    assert "1 rows not looked at" in told[0]
