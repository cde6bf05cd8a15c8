"""The benchmarks run at small size, and both sides of a comparison do the same work."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import peers
from benchmarks.limits import WORKLOADS, count, shares
from benchmarks.peers import say, sides_of
from benchmarks.report import make_run

from accord.report.render import render
from accord.statistics.means import student_mean
from forked import forked

ROOT = Path(__file__).resolve().parents[1]


Compare = Callable[..., list[dict[str, Any]]]
LONGEST = 16
"""Tokens of a sampled response here."""


class Side:
    """A side of a comparison, as `peers` holds one, forked from where its libraries are imported."""

    def __init__(self, side: str, model: str, options: argparse.Namespace) -> None:
        here, there = socket.socketpair()
        given = argparse.Namespace(**{**vars(options), "side": side, "model": model})
        self._process = forked(_work, given, there)
        there.close()
        self.stdin, self.stdout = here.makefile("w"), here.makefile("r")

    def communicate(self, said: str, timeout: float) -> None:
        """Its last line; waits until it has ended."""
        self.stdin.write(said)
        self.stdin.flush()
        self._process.join(timeout)
        assert self._process.exitcode == 0


def _work(options: argparse.Namespace, there: socket.socket) -> None:
    for stream in (0, 1):
        os.dup2(there.fileno(), stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (lives with the process)
    from benchmarks.peer_workers import work

    work(options)


@pytest.fixture
def compare(
    pico: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Compare:
    """The lines that one comparison prints. How sides are started otherwise is tested by
    `test_import`."""

    def lines(*options: str, start: Callable[..., Any] = Side) -> list[dict[str, Any]]:
        small = ["--workload", pico, "--repetitions", "1", "--longest", str(LONGEST)]
        monkeypatch.setattr(sys, "argv", ["peers", *options, *small, "--json"])
        monkeypatch.setattr(peers, "_start", start)
        peers.main()
        return [json.loads(row) for row in capsys.readouterr().out.splitlines() if row[:1] == "{"]

    return lines


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "against"), [("sft", "best"), ("dpo-cached", "best")])
def test_against_trl(trainer: str, against: str, compare: Compare) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    lines = compare("--trainer", trainer, "--against", against, "--rows", "4", "--batch", "4")
    assert len(lines) == len(sides_of(trainer, against)) - 1
    for line in lines:
        assert line["ratio"] > 0
        assert line["ours_first_loss"] == pytest.approx(line["peer_first_loss"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["judge", "judge-principles"])
def test_judges_against_transformers(trainer: str, compare: Compare) -> None:
    (line,) = compare("--trainer", trainer, "--rows", "2", "--against", "best")
    assert line["ratio"] > 0
    assert line["ours_mean_logp"] == pytest.approx(line["peer_mean_logp"], abs=1e-3)
    assert line["ratio_of_products"] > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trainer", "against", "rows", "responses"),
    [("grpo", "best", 1, 8), ("online-dpo", "default", 1, 2)],
)
def test_sampling_trainers_against_trl(
    trainer: str, against: str, rows: int, responses: int, compare: Compare
) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    size = ("--rows", str(rows), "--batch", str(rows))
    (line,) = compare("--trainer", trainer, "--against", against, *size)
    assert line["sampled_ratio"] > 0
    for side in ("ours", "peer"):
        assert responses <= line[f"{side}_sampled_per_epoch"] <= responses * LONGEST


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["sample", "ppo-vs-rloo"])
def test_sampling_alone_and_ppo(trainer: str, compare: Compare) -> None:
    (line,) = compare("--trainer", trainer, "--rows", "4")
    assert line["sampled_ratio"] > 0
    assert line["ours_peak_mib"] > line["ours_mib_before"] > 50


def test_one_side_can_be_asked_for() -> None:
    assert list(sides_of("sft")) == ["ours", "default", "best"]
    assert list(sides_of("sft", "best")) == ["ours", "best"]
    with pytest.raises(SystemExit, match="has no side 'best': choose from default"):
        sides_of("sample", "best")


@pytest.mark.slow
def test_import(capsys: pytest.CaptureFixture[str], compare: Compare) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    (line,) = compare("--trainer", "import", "--rows", "8", start=peers._start)
    assert line["ratio"] > 0
    say(line, as_json=False)
    text = capsys.readouterr().out
    assert text.startswith("import, model, against TRL, its defaults: ")
    assert (
        f"{line['ours_cpu_seconds']} against {line['peer_cpu_seconds']}; memory {line['ours_mib_before']}"
        in text
    )


@pytest.mark.slow
def test_made_models_finish_with_the_stated_probability(tmp_path: Path) -> None:
    import torch
    from benchmarks.workloads import FINISH, make_model, vocabulary_of

    from accord.models.loading import load_causal_lm
    from accord.text.packing import PromptGroup, pack

    folder = make_model("nano", tmp_path / "model")
    model = load_causal_lm(folder)
    ids = torch.randint(
        10, vocabulary_of(folder), (200,), generator=torch.Generator().manual_seed(1)
    ).tolist()
    logits = model.logits(model.hidden(pack([PromptGroup(ids[:1], [ids[1:]])])))
    chance = torch.softmax(logits, -1)[:, model.tokenizer.eos_token_id]
    assert chance.mean().item() == pytest.approx(FINISH, rel=0.2)
    assert FINISH / 2 < chance.min() < chance.max() < 2 * FINISH


@pytest.mark.slow
def test_limits_of_a_step(pico: str) -> None:
    some = {"sft", "rloo", "sample"}
    small = ["--workload", pico, "--rows", "4", "--batch", "2", "--longest", str(LONGEST)]
    trainers = [part for trainer in some for part in ("--trainer", trainer)]
    command = [sys.executable, "-m", "benchmarks.limits", *small, *trainers, "--json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=400
    )
    lines = {line["trainer"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(lines) == some < set(WORKLOADS)
    for line in lines.values():
        assert line["gflop"] > 0
        assert line["gigabytes"] > 0
        assert sum(
            line[kind] for kind in ("products", "attention", "optimizer", "other", "python")
        ) == pytest.approx(1, abs=0.03)
    assert lines["sample"]["optimizer"] == 0 < lines["sft"]["optimizer"]


def test_operations_and_bytes_are_counted() -> None:
    import torch

    a, b, row = torch.ones(3, 4), torch.ones(4, 5), torch.ones(1, 5)
    found = count(lambda: torch.addmm(row, a, b.t().t()))  # views move nothing
    assert found == {"flop": 2 * 3 * 4 * 5, "bytes": 4 * (5 + 12 + 20 + 15), "operations": 1}
    assert count(lambda: row.expand(100, 5).sum())["bytes"] == 4 * (5 + 1)
    layer, x = torch.nn.Linear(8, 6), torch.ones(2, 3, 8)
    assert count(lambda: layer(x).sum().backward())["flop"] == 2 * 2 * (
        6 * 8 * 6
    )  # forward, and the weight's gradient
    times = shares(
        [
            ("aten::mm", 1.0),
            ("aten::bmm", 2.0),
            ("aten::_fused_adamw_", 3.0),
            ("aten::add", 4.0),
            ("x", 1.0),
        ]
    )
    assert times == {"products": 1.0, "attention": 2.0, "optimizer": 3.0, "other": 5.0}


@pytest.mark.slow
def test_what_people_bring_is_read_whole() -> None:
    """No traceback, no word lost on the way from a row to what a model sees, no label taken for a
    demonstration."""
    pytest.importorskip("trl", reason="TRL, whose chat templates are read, is not installed")
    command = [
        sys.executable,
        "-m",
        "benchmarks.reading",
        "--rows",
        "4300",
        "--encoded",
        "2",
        "--json",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
    )
    line = json.loads(done.stdout)
    faults = {name: line[name] for name in line if name not in ("rows", "responses", "round_trips")}
    assert set(faults.values()) == {0}, faults
    assert line["rows"] >= 4300
    assert line["responses"] > 500
    assert line["round_trips"] == line["responses"]
    assert done.returncode == 0


def test_the_page_of_a_run_that_was_made_up_holds_all_of_it(tmp_path: Path) -> None:
    make_run(tmp_path, 200, 3000)
    page = render(tmp_path).read_text(encoding="utf-8")
    assert "To keep the page small" not in page
    assert "every extreme is here" in page
    assert "Loss" in page


@pytest.mark.slow
def test_a_large_page_is_opened_searched_and_sorted() -> None:
    pytest.importorskip("playwright", reason="playwright is not installed")
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("no Chromium at hand; apt-get install chromium")
    small = ["--samples", "1000", "--rows", "100", "--rounds", "1", "--json"]
    command = [sys.executable, "-m", "benchmarks.report", *small]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
    )
    found = json.loads(done.stdout)
    assert found["notes of what is left out"] == 0
    assert all(found[f"{name}, s"] > 0 for name in ("ready", "searched", "sorted"))


def test_mining_finds_what_random_pairs_do_not() -> None:
    from benchmarks.loop import measure, table

    found = measure(range(1, 7))
    assert student_mean(np.subtract(found["targeted"], found["static"]).tolist()).above(0)
    assert student_mean(np.subtract(found["oracle"], found["targeted"]).tolist()).below(0.25)
    assert "6 seeds" in table(found)
