"""Reward functions of the user's: called as written for accord or TRL, and told what is wrong with
them under their own name, file and line."""

from __future__ import annotations

import asyncio
import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError, ConfigError, RunError
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.runs.reading import PromptRow
from accord.runs.stages.ppo import GrpoConfig
from accord.runs.stages.reward_functions import RewardFunction, ToScore
from accord.runs.stages.scoring import Scorer
from accord.sampling.rollout import Rollout
from accord.text import verifiers

CHAT = [{"role": "user", "content": "2 + 2?"}]
MISTAKES = {
    "raises": "def f(prompts, responses):\n    return 1 / 0\n",
    "raises deep inside json": "import json\ndef f(prompts, responses):\n    return json.loads('{')\n",
    "leaves": "import sys\ndef f(prompts, responses):\n    sys.exit(3)\n",
    "is endless": "def f(prompts, responses):\n    return f(prompts, responses)\n",
    "one number": "def f(prompts, responses):\n    return 1.0\n",
    "nothing": "def f(prompts, responses):\n    pass\n",
    "a text": "def f(prompts, responses):\n    return 'ab'\n",
    "a mapping": "def f(prompts, responses):\n    return {0: 1, 1: 2}\n",
    "a generator": "def f(prompts, responses):\n    return (1 for _ in responses)\n",
    "too few": "def f(prompts, responses):\n    return [1]\n",
    "texts": "def f(prompts, responses):\n    return ['1', '2']\n",
    "pairs": "def f(prompts, responses):\n    return [[1], [2]]\n",
    "infinite": "def f(prompts, responses):\n    return [1e999, 0]\n",
    "not a number": "def f(prompts, responses):\n    return [float('nan'), 0]\n",
    "a complex": "def f(prompts, responses):\n    return [1j, 0]\n",
    "huge": "def f(prompts, responses):\n    return [10**400, 0]\n",
    "async and raises": "async def f(prompts, completions, **kw):\n    raise KeyError('solution')\n",
    "async and cancelled": "import asyncio\nasync def f(prompts, responses):\n    raise asyncio.CancelledError\n",
    "a column that is not there": "def f(prompts, responses, tests):\n    return [1, 2]\n",
    "of one list": "def f(prompt):\n    return [1, 2]\n",
    "no function": "f = 3\n",
    "does not parse": "def f(:\n",
    "fails on import": "import nothing_of_that_name\n",
    "raises on import": "x = {}['key']\n",
    "is not there": "g = 3\n",
}


def asked(*columns: dict[str, Any], prompt: Any = "2 + 2?") -> ToScore:
    rows = [PromptRow(prompt, given) for given in columns or ({}, {})]
    return ToScore(rows, ["4", "5"][: len(rows)], [[1], [2, 3]][: len(rows)])


def write(folder: Path, code: str, name: str) -> str:
    (folder / f"{name}.py").write_text(code)
    return f"{name}:f"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_is_told_with_name_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"mistaken_{abs(hash(mistake))}"
    name = write(tmp_path, MISTAKES[mistake], module)
    with pytest.raises(ConfigError) as error:
        RewardFunction(name).check_call(asked())
    assert name in error.value.message
    if mistake not in ("is not there", "no function"):
        assert re.search(rf"{module}\.py line \d+", error.value.message), error.value.message
    assert error.value.fix


def test_the_forms_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = {
        "plain": "def f(prompts, responses):\n    return [float(p == q[0]) for p, q in zip(responses, ['4', '4'])]\n",
        "others": "def f(a, b):\n    return [float(x) for x in b]\n",
        "columns": "def f(prompts, responses, solution):\n    return [float(r == s) for r, s in zip(responses, solution)]\n",
        "trl": "def f(completions, solution, **kwargs):\n    assert kwargs['prompts'] and len(kwargs['completion_ids']) == 2\n"
        "    return [1.0 if c[0]['content'] == s else None for c, s in zip(completions, solution)]\n",
        "trl, all of it": "def f(prompts, completions, completion_ids, solution, trainer_state=None, log_metric=None, **kwargs):\n"
        "    return [float(p[-1]['content'] == s) for p, s in zip(prompts, solution)]\n",
        "asynchronous": "import asyncio\nasync def f(completions, solution, **kwargs):\n    await asyncio.sleep(0)\n    return [1, 0]\n",
        "an array": "import numpy\ndef f(prompts, responses):\n    return numpy.array([1, 2])\n",
        "a default": "def f(prompts, responses, solution=None, scale=2):\n    return [scale, scale]\n",
        "a class": "class f:\n    def __new__(cls, prompts, responses):\n        return [3, 4]\n",
    }
    rows = asked({"solution": "4"}, {"solution": "4", "other": 1}, prompt=CHAT)
    found = {}
    for number, (form, text) in enumerate(code.items()):
        name = write(tmp_path, text, f"form_{number}")
        function = RewardFunction(name, {"scale": 5} if form == "a default" else {})
        function.check_call(rows)
        found[form] = function(rows)
    assert found["plain"] == [1.0, 0.0]
    assert found["others"] == [4.0, 5.0]
    assert found["columns"] == [1.0, 0.0]
    assert found["trl"][0] == 1.0
    assert math.isnan(found["trl"][1])
    assert found["trl, all of it"] == [0.0, 0.0]
    assert found["asynchronous"] == [1.0, 0.0]
    assert found["an array"] == [1.0, 2.0]
    assert found["a default"] == [5.0, 5.0]
    assert found["a class"] == [3.0, 4.0]

    async def in_a_notebook() -> list[float]:
        return RewardFunction("form_5:f")(rows)

    with ThreadPoolExecutor(1) as pool:  # a browser's test may have left a loop in this thread
        assert pool.submit(asyncio.run, in_a_notebook()).result() == [1.0, 0.0]
    with pytest.raises(ConfigError, match="has no argument 'speed'"):
        RewardFunction("form_7:f", {"speed": 1})
    with pytest.raises(ConfigError, match=r"length .*needs longest: neither a column") as needs:
        RewardFunction("accord:length").check_call(rows)
    assert '"accord:length": {weight: 1, arguments: {longest: VALUE}}' in str(needs.value.fix)
    of_trl = "def f(completions, trainer_state, log_metric=None, **kwargs):\n    return [1, 2]\n"
    with pytest.raises(ConfigError, match="needs trainer_state, which TRL's trainer") as theirs:
        RewardFunction(write(tmp_path, of_trl, "of_trl")).check_call(rows)
    assert "trainer_state=None" in str(theirs.value.fix)
    with pytest.raises(ConfigError, match='did you mean "math"'):
        RewardFunction("accord:maths")


@given(st.lists(st.lists(st.sampled_from([None, 0.0, 1.0, 2.5]), min_size=3, max_size=3), min_size=1, max_size=4))  # fmt: skip
def test_none_pulls_nowhere(scores: list[list[float | None]]) -> None:
    flat = [one for prompt in scores for one in prompt]

    class Fixed(RewardFunction):
        def __init__(self) -> None:
            self.name = "fixed:f"

        def __call__(self, asked: ToScore) -> list[float]:
            return [math.nan if one is None else one for one in flat]

    class Texts:
        def text(self, ids: list[int]) -> str:
            return str(ids)

    config = GrpoConfig.model_validate(
        {
            "kind": "grpo",
            "learning_rate": 1,
            "model": "m",
            "prompts": "p",
            "functions": {"accord:exact": 1},
        }
    )
    scorer = Scorer(config, None, [PromptRow("q")] * len(scores), Texts(), 100)  # type: ignore[arg-type]
    scorer.functions = [(Fixed(), 2.0)]
    index = [p for p in range(len(scores)) for _ in range(3)]
    rollout = Rollout([[1]] * len(scores), index, [[1]] * len(flat), [torch.zeros(1)] * len(flat), [True] * len(flat), list(range(len(scores))))  # fmt: skip
    if all(one is None for one in flat):
        with pytest.raises(RunError, match="fixed:f scored none of"):
            scorer(rollout)
        return
    found = scorer(rollout)[0].view(-1, 3)
    for row, given_scores in zip(found.tolist(), scores, strict=True):
        known = [2 * one for one in given_scores if one is not None]
        for one, score in zip(row, given_scores, strict=True):
            if score is not None:
                assert one == 2 * score
            elif known:
                assert one == pytest.approx(sum(known) / len(known))
    assert scorer.unscored["fixed:f"] == flat.count(None)


def test_a_verifier_is_not_overruled_and_rows_with_one_prompt_keep_their_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's own example of a reward function, unchanged, on prompts that differ in a column only;
    responses cut at their limit keep its score, and the line says that they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trl_rewards.py").write_text(
        "seen = []\n"
        "def reward_func(completions, ground_truth, **kwargs):\n"
        "    seen.extend(ground_truth)\n"
        "    return [None if gt == 'x' else float(len(c)) for c, gt in zip(completions, ground_truth)]\n"
    )
    rows = [{"prompt": "This film", "ground_truth": one} for one in "abcx"]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(
        "name: toy\nthreads: 1\nstages:\n  rl: {kind: grpo, model: 'accord:nano-base', learning_rate: 1.0e-4,"
        " max_new_tokens: 3, steps: 1, prompts_per_step: 4, samples_per_prompt: 2, prompts: p.jsonl,"
        " functions: {'trl_rewards:reward_func': 1}}\n"
    )
    recipe = recipes.load("r.yaml")
    assert recipe.stages["rl"][1].unfinished_score is None  # type: ignore[attr-defined]
    said: list[str] = []

    class Listening(StageProgress):
        def say(self, text: str) -> None:
            said.append(text)

        def step(self, done: int, total: int, note: str = "") -> None:
            said.append(note)

    runner.execute(recipe, tmp_path / "run", False, Listening(), {})
    import trl_rewards  # type: ignore[import-not-found]

    assert sorted(trl_rewards.seen[2:]) == sorted("abcx" * 2)
    result = json.loads((tmp_path / "run/stages/01-rl/result.json").read_text())
    assert result["values"]["score"] > 1
    assert "(100% unfinished)" in result["summary"]
    assert any("unfinished" in line for line in said)
    assert any("left 2 of 8 responses unscored (None)" in line for line in said)


@pytest.mark.parametrize(
    ("response", "answer", "score"),
    [
        ("3 + 4 = 7, so 2 * 7 = $14", "…so #### 14", 1),
        (r"thus \boxed{\frac{1}{2}}", "0.5", 1),
        (r"thus \boxed{\text{x}^{2}+1}", "^{2} + 1", 1),
        ("The answer is 1,234.", "1234", 1),
        ("the answer is 50%", "50", 1),
        ("the answer is 50%", "0.5", 1),
        ("the answer is 0.5", "50", 0),
        ("answer: Paris", "Paris", 1),
        ("it is -3", "3", 0),
        ("no idea", "7", 0),
        (r"\boxed{1e999999999}", "7", 0),
        ("7/0", "7", 0),
        ("seven", None, None),
    ],
)
def test_final_answers(response: str, answer: str | None, score: float | None) -> None:
    assert verifiers.math([response], [answer]) == [score]


@given(st.text(), st.text())
def test_verifiers_take_any_text(response: str, answer: str) -> None:
    assert verifiers.math([response], [answer])[0] in (0.0, 1.0, None)
    assert verifiers.exact([response], [response]) == [1.0]
    for check in (verifiers.exact, verifiers.math):
        assert check([response] * 3, answer) == check([response] * 3, [answer] * 3)
    assert verifiers.format_([f"<think>{response.replace('<', '')}</think> {answer}"]) == [1.0]
    assert verifiers.format_([f"{answer.replace('<', '')} <think>"]) == [0.0]


def test_faults_are_counted() -> None:
    assert verifiers.count(["a wug, two wugs", "none"], pattern=r"\bwugs?\b") == [2.0, 0.0]
    with pytest.raises(ConfigError, match="no regular expression"):
        verifiers.count(["x"], pattern="(")


def test_the_soft_overlong_punishment() -> None:
    ids = [[0] * n for n in (1, 8, 9, 10, 11)]
    assert verifiers.length([""] * 5, ids, longest=10, margin=2) == [0, 0, -0.5, -1, -1]
    for bad in ({"longest": 2, "margin": 2}, {"longest": 0}):
        with pytest.raises(AccordError, match="below the longest"):
            verifiers.length([""], [[1]], **bad)
