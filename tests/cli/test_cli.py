"""The command line: quick to answer, clear when refused, safe to print."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from accord.cli.terminal import safe_text

ACCORD = [sys.executable, "-m", "accord.cli"]


def accord(
    *arguments: str, cwd: Path | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ACCORD, *arguments], capture_output=True, text=True, check=False, cwd=cwd, input=text
    )


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = accord("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "accord run quickstart" in shown.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.4
    code = "import sys, accord.cli.main; print([m for m in ('torch', 'transformers', 'rich', 'pydantic', 'numpy') if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "quikstart"], 2, 'did you mean "quickstart"'),
        (["run", "quickstart", "ppo.step=3"], 2, 'did you mean "steps"'),
        (["run", "--resume", "runs/none"], 2, "there is no run to resume in runs/none"),
        (["run", "quickstart", "--resume", "runs/x"], 2, "leave out quickstart"),
        (["run", "--out", "x", "--resume", "runs/x"], 2, "leave out --out"),
        (["run"], 2, "name a RECIPE"),
        (["recipes", "show", "nothing"], 2, "there is no recipe"),
        (["models", "check", "nowhere"], 2, "cannot load a causal LM"),
        (["models", "check", "accord:nothing"], 2, "no packaged model"),
        (["models", "import", "nowhere.gguf", "out"], 2, "nowhere.gguf"),
        (["data", "check", "nowhere.jsonl"], 2, "nowhere.jsonl"),
        (["data", "check", ""], 2, "an empty path names nothing"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_refusals(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = accord(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_recipes_and_dry_run(tmp_path: Path) -> None:
    assert "quickstart" in accord("recipes").stdout
    assert "kind: ppo" in accord("recipes", "show", "quickstart").stdout
    plan = accord("run", "quickstart", "--dry-run", "ppo.steps=7", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    shown = " ".join(plan.stdout.split())
    assert "7 rollouts" in shown
    assert "looked at 256 of 3,000 rows" in shown
    assert "⟦" in shown  # a decoded example, its trained part marked
    assert re.search(r"(s|min) to \S+ .*in all, from a step measured on this machine", shown)
    assert "MiB" in shown
    assert not list(tmp_path.iterdir())


def test_dry_run_without_data_and_model_says_what_it_cannot_tell(tmp_path: Path) -> None:
    plan = accord("run", "smollm2-hh", "--dry-run", "sft.model=nobody/nothing", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    shown = " ".join(plan.stdout.split())
    assert "cannot be told before the run has the data and the model" in shown
    assert "nobody/nothing is not on this disk" in shown


def test_data_check_counts_tokens_and_converts(tmp_path: Path) -> None:
    rows = [
        {"prompt": "This film", "chosen": " is good.", "rejected": f" is bad{' and bad' * n}."}
        for n in (0, 50)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = accord(
        "data",
        "check",
        "rows.jsonl",
        "--model",
        "accord:nano-base",
        "--max-response",
        "20",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "TRL preference" in done.stdout
    assert "4 rows: 3 kept (0 of them cut), dropped: 1 too long" in done.stdout
    assert "⟦ is good.<eos>⟧" in done.stdout
    cut = accord(
        "data",
        "check",
        "rows.jsonl",
        "--model",
        "accord:nano-base",
        "--too-long",
        "cut",
        cwd=tmp_path,
    )
    assert "4 kept (1 of them cut)" in cut.stdout
    done = accord("data", "convert", "rows.jsonl", "records.jsonl", cwd=tmp_path)
    assert "2 rows of accord; 0 records left out" in done.stdout
    assert (
        accord(
            "data", "convert", "records.jsonl", "back.jsonl", "--to", "trl-preference", cwd=tmp_path
        ).returncode
        == 0
    )
    assert [json.loads(line) for line in (tmp_path / "back.jsonl").read_text().splitlines()] == rows
    again = accord("data", "convert", "rows.jsonl", "back.jsonl", cwd=tmp_path)
    assert (again.returncode, "back.jsonl exists" in again.stderr) == (2, True)
    none = accord("data", "convert", "rows.jsonl", "x.jsonl", "--to", "trl-unpaired", cwd=tmp_path)
    assert (none.returncode, "can be written as trl-unpaired" in none.stderr) == (2, True)


def test_completion_scripts() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_ACCORD_COMPLETE" in accord("completion", shell).stdout


def test_doctor_tells_the_machine() -> None:
    shown = accord("doctor").stdout
    assert "GFLOP/s" in shown
    assert "torch 2" in shown


def test_chat_streams_and_is_repeatable() -> None:
    first = accord("chat", "accord:nano-base", "--max-new-tokens", "12", text="This movie was\n")
    again = accord("chat", "accord:nano-base", "--max-new-tokens", "12", text="This movie was\n")
    assert first.returncode == 0, first.stderr
    assert len(first.stdout.strip()) > 3
    assert first.stdout == again.stdout
    itself = ("--soup", "accord:nano-base", "--weight", "0.3", "--max-new-tokens", "12")
    assert accord("chat", "accord:nano-base", *itself, text="This movie was\n").stdout == (
        first.stdout
    )


def test_model_text_cannot_take_over_the_terminal() -> None:
    hostile = "a\x1b[2Jb\x07c\u202ed\r\ne"
    assert safe_text(hostile) == "a�[2Jb�c�d\ne"


def test_the_help_of_a_recipe_tells_its_parameters() -> None:
    shown = accord("run", "dpo", "--help").stdout
    assert "Direct preference optimisation" in shown
    assert re.search(r"learning_rate +float +5\.0e-05 +dpo\.learning_rate", shown)
    assert "learning_rate" not in accord("run", "--help").stdout
    assert "packaged: " in accord("run", "no-such-recipe", "--help").stdout
