"""A run that goes on reads what it read before, or is refused with both hashes."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accord.errors import ConfigError
from accord.runs import contents
from accord.runs.context import StageContext
from accord.runs.session import InterruptFlag
from accord.runs.stages.ppo import RlooConfig
from accord.runs.stages.scorers import START, note_scorers, read_scorers
from accord.runs.stages.sft import SftConfig

HASHES = re.compile(r"(\S+) changed since this run read it: sha256:(\w{64}) then, sha256:(\w{64})")
FILES = {
    "demos.jsonl": '{"prompt": "Name a fruit.", "completion": "An apple."}\n',
    "model/config.json": "{}",
    "model/model.safetensors": "weights",
    "adapter/adapter_config.json": '{"base_model_name_or_path": "model"}',
    "adapter/adapter_model.safetensors": "weights",
    "prompts.jsonl": '{"prompt": "Name a fruit."}\n',
    "rewards/__init__.py": "",
    "rewards/score.py": "from .words import GOOD\ndef polite(prompts, completions): ...\n",
    "rewards/words.py": "def later():\n    import deeper\nGOOD = 1\n",
    "deeper.py": "",
    "unrelated.py": "",
}


def write(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)


def config(model: str) -> SftConfig:
    return SftConfig.model_validate({"kind": "sft", "learning_rate": 1e-4, "model": model, "data": "demos.jsonl"})  # fmt: skip


def rloo() -> RlooConfig:
    return RlooConfig.model_validate(
        {
            "kind": "rloo",
            "learning_rate": 1e-4,
            "model": "adapter",
            "prompts": ["prompts.jsonl", "prom*.jsonl"],
            "functions": {"rewards.score:polite": 1},
        }
    )


def context(folder: Path, number: int) -> StageContext:
    stage = folder / "run" / "stages" / f"{number:02d}-x"
    return StageContext(folder / "run", stage, "x", 1, "cpu", {}, InterruptFlag())


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changed=st.sets(st.sampled_from(sorted(FILES))), later=st.booleans())
def test_whatever_was_read_and_changed_is_named_with_both_hashes(
    tmp_path_factory: pytest.TempPathFactory, changed: set[str], later: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("inputs")
        write(folder)
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        stages = [config("model"), rloo()]
        for module in [name for name in sys.modules if name.partition(".")[0] == "rewards"]:
            patch.delitem(sys.modules, module)  # of the example before
        for number, one in enumerate(stages, 1):
            contents.hash_inputs(one, context(folder, number), "recipe")
        for name in changed:
            (folder / name).write_text(FILES[name] + " ")
        read = {
            "demos.jsonl": {"demos.jsonl"},
            "model/config.json": {"model", str(folder / "model")},  # a start, and an adapter's base
            "model/model.safetensors": {"model", str(folder / "model")},
            "adapter/adapter_config.json": {"adapter"},
            "adapter/adapter_model.safetensors": {"adapter"},
            "prompts.jsonl": {"prompts.jsonl"},
            "unrelated.py": set(),
        }
        wanted = {name for file in changed for name in read.get(file, {"rewards.score:polite"})}
        found: set[str] = set()
        for number, one in enumerate(stages, 3 if later else 1):
            try:
                contents.check_unchanged(one, context(folder, number))
                contents.hash_inputs(one, context(folder, number), "recipe")
            except ConfigError as error:
                named = HASHES.findall(error.message)
                assert all(then != now for _, then, now in named)
                found |= {name for name, _, _ in named}
        assert found == wanted


def test_code_that_was_installed_is_its_own_module_alone(tmp_path: Path) -> None:
    assert contents.hash_of_code("sys:exit") == "sys:exit"
    assert contents.hash_of_code("nowhere.at_all:f") == "nowhere.at_all:f"
    assert contents.hash_of_code("json.decoder:JSONDecoder").startswith("sha256:")
    assert contents.hash_of_code("math:sqrt") != contents.hash_of_code("json:loads")


RECIPE = """
name: tiny
stages:
  sft:
    kind: sft
    model: accord:nano-base
    data: demos.jsonl
    evaluation: 2
    batch: 2
    epochs: {epochs}
    learning_rate: 1.0e-4
"""


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_the_hint_is_the_command(tmp_path: Path) -> None:
    rows = ({"prompt": f"Name fruit {n}.", "completion": "An apple."} for n in range(12))
    (tmp_path / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny.yaml").write_text(RECIPE.replace("{epochs}", "400"))
    command = [sys.executable, "-m", "accord.cli"]
    out = tmp_path / "my runs" / "one"
    with subprocess.Popen(
        [*command, "run", "tiny.yaml", "--out", str(out), "threads=1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (out / "stages/01-sft/lengths.json").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(1.0)
        for _ in range(2):  # as `timeout` sends it: to the process and to its group
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert list((out / "stages/01-sft/checkpoints").glob("step-*/state.pt"))
    hint = re.search(r"continue: accord (.*)", said)
    assert hint, said
    again = [*command, *shlex.split(hint[1])]
    assert again[2:] == ["accord.cli", "run", "--resume", str(out)]

    def resumed() -> str:
        done = subprocess.run(
            [*again, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return f"{done.returncode} {done.stderr}"

    assert resumed().startswith("0")
    kept = (tmp_path / "demos.jsonl").read_text()
    (tmp_path / "demos.jsonl").write_text(kept.replace("fruit 3", "fruit 4"))
    assert HASHES.search(resumed())
    (tmp_path / "demos.jsonl").write_text(kept)
    recipe = (out / "recipe.yaml").read_text()
    (out / "recipe.yaml").write_text(recipe.replace("epochs: 400", "epochs: 1"))
    assert "recipe.yaml changed since 01-sft began" in resumed()


def test_checks_of_scorers_that_a_resumed_stage_repeats_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "rewards"]:
        monkeypatch.delitem(sys.modules, name)  # of another test's folder
    here = context(tmp_path, 1)
    for when in (START, "step 1", START, "step 1", "step 2", "step 2"):  # killed twice
        here.inputs = dict(contents.hashes_of(rloo(), here))
        note_scorers(rloo(), here, when)
    watch = read_scorers(here.folder)
    assert watch is not None
    assert (watch.checks, watch.changed) == (3, {})
    (tmp_path / "rewards/score.py").write_text("def polite(prompts, completions): return [1.0]\n")
    note_scorers(rloo(), here, "step 2")
    changed = read_scorers(here.folder)
    assert changed is not None
    assert (changed.checks, changed.changed) == (4, {"rewards.score:polite": "step 2"})
