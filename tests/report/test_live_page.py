"""The page of runs as they go: what it is told, who may ask, and what a browser makes of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from browsing import WAIT, violations
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.testclient import TestClient
from test_report import HOSTILE

from accord.cli.local_page import address_of, listen_here, serve_here
from accord.cli.main import main
from accord.cli.watch import _headline, runs_of
from accord.cli.watch_page import page_app
from accord.files import AppendLog, write_jsonl
from accord.report import live_page
from accord.report.live_page import LiveRuns
from forked import forked


def start_run(folder: Path, name: str = "toy") -> Path:
    """Fine-tuned, and in the middle of PPO."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        f"name: {name}\nstages: {{sft: {{kind: sft}}, ppo: {{kind: ppo}}}}\n"
    )
    sft, ppo = folder / "stages/01-sft", folder / "stages/02-ppo"
    AppendLog(sft / "metrics.jsonl").append([{"step": 1, "time": 1.0, "loss_tok": 2.0}])
    (sft / "result.json").write_text('{"summary": "held-out loss fell"}')
    ppo.mkdir()
    (ppo / "config.yaml").write_text("kind: ppo\n")
    go_on(folder, 1, 2)
    return folder


def go_on(folder: Path, *steps: int) -> None:
    log = AppendLog(folder / "stages/02-ppo/metrics.jsonl")
    log.append([{"step": s, "time": 1.0, "score": float(s), "kl_seq": 0.5} for s in steps])
    chat = [{"role": "user", "content": "How is it?"}]
    prompts: dict[int, Any] = {0: "How is it?", 2: chat, 3: {"messages": []}}
    rows = [
        {
            "prompt": prompts.get(n, HOSTILE),
            "response": f"answer {n} of step {steps[-1]}",
            "proxy": [1.0, 2.0],
            "gold": None,
            "kl_exact": 3.0,
        }
        for n in range(20)
    ]
    write_jsonl(folder / f"stages/02-ppo/points/step-{steps[-1]:06d}.jsonl", rows)


def fail(folder: Path) -> None:
    (folder / "stages/02-ppo/failed.json").write_text('{"error": "grad_norm is nan at step 3"}')


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveRuns:
    monkeypatch.setattr(live_page, "FRESH", -1.0)
    start_run(tmp_path / "runs/first")
    return LiveRuns(lambda: runs_of(tmp_path / "runs"), lambda folder: True, _headline)


def test_the_page_is_told_what_the_files_say(runs: LiveRuns, tmp_path: Path) -> None:
    (one,) = runs.state()["runs"]
    assert (one["title"], one["busy"], one["report"]) == ("first (toy)", True, None)
    sft, ppo = one["stages"]
    assert (sft["state"], sft["note"], ppo["state"]) == ("done", "held-out loss fell", "running")
    assert [chart["figure"]["data"][0]["x"] for chart in ppo["charts"]] == [[1, 2], [1, 2]]
    assert one["samples"]["count"] == 20
    assert one["samples"]["rows"][0]["reward"] == 1.5
    go_on(tmp_path / "runs/first", 3, 4)
    (one,) = runs.state()["runs"]
    assert one["samples"]["rows"][2]["prompt"] == "user: How is it?"
    assert one["samples"]["rows"][3]["prompt"] == '{"messages": []}'
    assert one["stages"][1]["charts"][0]["figure"]["data"][0]["x"] == [1, 2, 3, 4]
    assert (one["samples"]["stage"], one["samples"]["step"]) == ("ppo", 4)


def test_runs_that_begin_later_come_to_the_page_and_those_that_go_are_told(
    runs: LiveRuns, tmp_path: Path
) -> None:
    runs.state()
    second = start_run(tmp_path / "runs/second")
    told = runs.state()["runs"]
    assert [one["title"] for one in told] == ["first (toy)", "second (toy)"]
    ids = [c["id"] for one in told for stage in one["stages"] for c in stage["charts"]]
    assert len(set(ids)) == len(ids)
    second.rename(tmp_path / "elsewhere")
    assert runs.state()["runs"][1]["headline"] == f"{second} is gone"
    (tmp_path / "runs/first/recipe.yaml").unlink()
    told = runs.state()
    assert "there is no run in" in told["error"]
    assert len(told["runs"]) == 2


def test_what_is_read_is_kept_for_a_moment(
    runs: LiveRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "FRESH", 60.0)
    before = runs.state()
    go_on(tmp_path / "runs/first", 3)
    assert runs.state() is before


def test_only_this_machine_is_answered(runs: LiveRuns, tmp_path: Path) -> None:
    asked = TestClient(page_app(runs, "toy"), base_url="http://localhost:7870")
    assert "Runs as they go" in asked.get("/").text
    assert asked.get("/state").json()["runs"][0]["title"] == "first (toy)"
    assert asked.get("/state", headers={"host": "evil.example"}).status_code == 400
    assert asked.get("/runs/0/report.html").status_code == 404
    (tmp_path / "runs/first/report.html").write_text("the report")
    assert asked.get("/runs/0/report.html").text == "the report"
    for number in (-1, 1):
        assert asked.get(f"/runs/{number}/report.html").status_code == 404


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    def watch(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["watch", *arguments])
        assert done.exit_code == 2
        return done.output

    run = str(start_run(tmp_path / "run"))
    assert "--port is of --page" in watch(run, "--port", "1")
    assert "leave out --to and --once" in watch(run, "--page", "--once")
    (tmp_path / "empty").mkdir()
    assert "empty" in watch(str(tmp_path / "empty"), "--page")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be used" in watch(run, "--page", "--port", str(port))


def serve_until_ctrl_c() -> None:
    """In a process of its own: a browser's loop may be at work in the tests'."""
    with listen_here(None) as listening:

        def end() -> None:
            httpx2.get(address_of(listening), timeout=60)  # answered once it serves
            os.kill(os.getpid(), signal.SIGINT)

        ending = threading.Thread(target=end)
        ending.start()
        try:
            serve_here(FastAPI(), listening)
        except KeyboardInterrupt:
            raise SystemExit("it was reported as an interruption") from None
        ending.join(30)


def test_ctrl_c_ends_a_page_and_is_no_error() -> None:
    serving = forked(serve_until_ctrl_c)
    serving.join(120)
    assert serving.exitcode == 0


@pytest.fixture
def page(browser: Any, runs: LiveRuns) -> Iterator[Any]:
    """The page in a browser, served by a server that can be ended."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(page_app(runs, "toy"), log_level="error"))
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        serving.start()
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        opened.wait_for_selector("table", timeout=WAIT)
        opened.server = server
        yield opened
        assert not errors
        assert opened.evaluate("window.hacked") is None
        opened.close()
        server.should_exit = True
        serving.join(10)


@pytest.mark.slow
def test_the_page_follows_a_run_through_failure_and_restart(page: Any, tmp_path: Path) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    run = tmp_path / "runs/first"
    score = page.get_by_role("img", name="Score of ppo over steps")
    expect(score.locator("path.js-line")).to_have_count(1, timeout=WAIT)
    expect(page.locator(".samples")).to_contain_text("answer 0 of step 2", timeout=WAIT)
    assert page.locator(".samples .prompt").nth(1).text_content() == HOSTILE
    page.get_by_text("Latest samples").click()  # closed by hand, it stays closed
    fail(run)
    expect(page.locator("table")).to_contain_text("grad_norm is nan", timeout=WAIT)
    (run / "stages/02-ppo/failed.json").unlink()  # resumed
    go_on(run, 3, 4)
    expect(page.locator(".samples")).to_contain_text("answer 0 of step 4", timeout=WAIT)
    assert not page.locator(".samples").is_visible()
    steps = "p => Array.from(p.data[0].x)"
    assert score.evaluate(steps) == [1, 2, 3, 4]
    start_run(tmp_path / "runs/second")
    expect(page.locator("h2")).to_have_count(2, timeout=WAIT)
    assert not violations(page)
    page.server.should_exit = True
    expect(page.locator("#news")).to_contain_text("does not answer", timeout=WAIT)
