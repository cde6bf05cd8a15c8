"""Trackers get every step once, whatever happens to the run, and never stop it."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toy
from accord.errors import ConfigError
from accord.files import AppendLog
from accord.report.sinks import sending
from accord.report.sinks.following import Follower
from accord.report.sinks.sending import Sending, SinkPosition, check_sinks, send_all
from accord.report.sinks.sink import SinkError, without_secrets
from forked import Command


def make_run(folder: Path, rows: int = 5, stages: tuple[str, ...] = ("sft", "ppo")) -> Path:
    """A run directory with metrics."""
    for number, stage in enumerate(stages, 1):
        log = AppendLog(folder / f"stages/{number:02d}-{stage}/metrics.jsonl")
        log.append([row(step) for step in range(1, rows + 1)])
    (folder / "recipe.yaml").write_text("name: toy\nseed: 1\nstages: {sft: {kind: sft}}\n")
    return folder


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "time": 1.7e9 + step, "loss": 1 / step, "tokens": 10.0 * step, **more}


def expected(run_dir: Path) -> dict[tuple[str, int], float]:
    """(tag, step) -> value, of all that the run's files say."""
    found = {}
    for path in run_dir.glob("stages/*/metrics.jsonl"):
        stage = path.parent.name.partition("-")[2]
        for each in map(json.loads, path.read_text().splitlines()):
            for name in set(each) - {"step", "time"}:
                found[f"{stage}/{name}", each["step"]] = each[name]
    return found


# --- following ------------------------------------------------------------------------------------
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("resume"), st.integers(0, 12)),
        st.tuples(st.just("torn"), st.integers(1, 40)),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=20,
)


@given(EVENTS)
def test_each_row_is_followed_once_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]
) -> None:
    """Appends, resumed stages that make the last rows again, half an append that a kill left, and
    a follower that starts anew from what it noted."""
    run_dir = tmp_path_factory.mktemp("run")
    log = AppendLog(run_dir / "stages/01-one/metrics.jsonl")
    follower, seen, longest = Follower(run_dir), [], 0

    def look() -> None:
        for rows in follower.new(most=3):
            seen.extend(each.step for each in rows)
            follower.taken(rows)

    for what, number in events:
        last = len(log.rows)
        if what == "append":
            log.append([row(step) for step in range(last + 1, last + 1 + number)])
        elif what == "resume":
            log = AppendLog(log.path)
            log.keep(lambda each, number=number: each["step"] <= number)
            log = AppendLog(log.path)
        elif what == "torn":
            half = (json.dumps(row(last + 1)) + " \n" + json.dumps(row(last + 2)))[:number]
            with open(log.path, "ab") as handle:
                handle.write(half.encode())
            look()
            log = AppendLog(log.path)
        elif what == "look":
            look()
        else:
            follower = Follower(run_dir, dict(follower.sent))
        longest = max(longest, len(log.rows))
    log.append([row(step) for step in range(len(log.rows) + 1, longest + 2)])
    look()
    assert seen == list(range(1, longest + 2))


def test_members_have_tags_of_their_own_and_other_lines_are_counted(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "stages/01-reward/metrics.jsonl")
    log.append([row(1, member=0.0), row(2, member=1.0, note="text", flag=True)])
    with open(log.path, "a") as handle:
        handle.write('{"loss": 1}\n[1]\n{"step": 3, "loss": NaN, "tokens": 1}\n')
    follower = Follower(tmp_path)
    rows = [each for some in follower.new() for each in some]
    assert "reward/member_1/loss" in rows[0].values
    assert set(rows[1].values) == {f"reward/member_2/{n}" for n in ("loss", "tokens")}
    assert rows[2].values == {"reward/tokens": 1.0}
    assert follower.broken == 2


# --- TensorBoard ----------------------------------------------------------------------------------
def read_tensorboard(run_dir: Path) -> list[tuple[str, int, float]]:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    reader = accumulator.EventAccumulator(str(run_dir / "tensorboard"), {"scalars": 0})
    reader.Reload()
    return [
        (tag, event.step, event.value)
        for tag in reader.Tags()["scalars"]
        for event in reader.Scalars(tag)
    ]


def as_expected(found: list[tuple[str, int, float]], run_dir: Path) -> None:
    wanted = expected(run_dir)
    assert Counter((tag, step) for tag, step, _ in found) == Counter(list(wanted))
    for tag, step, value in found:
        assert math.isclose(value, wanted[tag, step], rel_tol=1e-6)


def test_tensorboard_reads_every_step_once_after_a_kill_in_the_middle(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run")
    send_all(run_dir, ["tensorboard"], print)
    (path,) = (run_dir / "tensorboard").iterdir()
    # Killed after these bytes were written and before they were noted.
    path.write_bytes(path.read_bytes() + path.read_bytes()[-60:] + b"half")
    log = AppendLog(run_dir / "stages/02-ppo/metrics.jsonl")
    log.append([row(6), row(7)])
    assert send_all(run_dir, ["tensorboard"], print) == {"tensorboard": 2}
    as_expected(read_tensorboard(run_dir), run_dir)


def test_tensorboard_writes_over_what_a_failure_left_half_written(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path / "run")
    position = SinkPosition("tensorboard", run_dir, print)
    assert position.send()
    (path,) = (run_dir / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes() + path.read_bytes()[-60:] * 9)
    AppendLog(run_dir / "stages/02-ppo/metrics.jsonl").append([row(6)])
    assert position.send()
    as_expected(read_tensorboard(run_dir), run_dir)


@pytest.mark.parametrize("at", [14])
def test_a_run_that_is_killed_and_resumed_continues_its_curves(tmp_path: Path, at: int) -> None:
    run_dir = tmp_path / "run"
    command = str(run_dir), "log=[tensorboard]"
    killed = Command(toy.main, *command, "--kill-at", str(at))
    killed.ended()
    assert killed.returncode == -signal.SIGKILL
    for _ in range(2):
        done = Command(toy.main, *command, "--resume")
        said = done.ended()
    assert done.returncode == 0, said
    as_expected(read_tensorboard(run_dir), run_dir)


# --- the others -----------------------------------------------------------------------------------
def test_wandb_offline_holds_the_whole_run_in_one_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run_dir = make_run(tmp_path / "run")
    send_all(run_dir, ["wandb"], print)
    AppendLog(run_dir / "stages/02-ppo/metrics.jsonl").append([row(6), row(7)])
    said: list[str] = []
    send_all(run_dir, ["wandb"], said.append)
    (folder,) = (run_dir / "wandb").glob("offline-run-*")
    assert said == [f"wandb: wandb sync {folder}"]
    (path,) = folder.glob("*.wandb")
    for _ in range(100):  # their process writes on after ours has been told that it is done
        if found := list(read_wandb(path)):
            break
        time.sleep(0.2)
    as_expected(found, run_dir)


def read_wandb(path: Path) -> Iterator[tuple[str, int, float]]:
    from wandb.proto import wandb_internal_pb2

    for data in leveldb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            for name, value in items.items():
                if "/" in name and not name.endswith("/step"):
                    yield name, items["stage_step"], value


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Of W&B's transaction log: LevelDB's log format behind seven bytes."""
    place, whole = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole, or its last part
            yield whole
            whole = b""


def test_wandb_without_a_key_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    said: list[str] = []
    with pytest.raises(SinkError):
        send_all(make_run(tmp_path / "run"), ["wandb"], said.append)
    assert "wandb login" in said[0]


def test_trackio_knows_rows_that_are_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = pytest.importorskip("trackio.sqlite_storage", reason="trackio is not installed")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path / "trackio")
    run_dir = make_run(tmp_path / "run")
    send_all(run_dir, ["trackio"], print)
    AppendLog(run_dir / "stages/02-ppo/metrics.jsonl").append([row(6)])
    noted = json.loads((run_dir / "sinks/trackio.json").read_text())
    noted["sent"]["ppo"] = 3  # killed before the last rows were noted
    (run_dir / "sinks/trackio.json").write_text(json.dumps(noted))
    send_all(run_dir, ["trackio"], print)
    logs = storage.SQLiteStorage.get_logs("accord", "run")
    found = [
        (name, each["step"], value) for each in logs for name, value in each.items() if "/" in name
    ]
    as_expected(found, run_dir)


class MlflowServer(BaseHTTPRequestHandler):
    """The few calls that are made, with the answers that MLflow's REST reference describes."""

    runs: ClassVar[dict[str, dict[str, Any]]] = {}
    experiments: ClassVar[dict[str, str]] = {}
    refuses: ClassVar[int] = 0

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.refuses:
            return self.answer(self.refuses, {})
        name = self.path.partition("experiment_name=")[2]
        if name not in self.experiments:
            return self.answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
        return self.answer(200, {"experiment": {"experiment_id": self.experiments[name]}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.path.removeprefix("/api/2.0/mlflow/")
        if call == "experiments/create":
            self.experiments[body["name"]] = "1"
            return self.answer(200, {"experiment_id": "1"})
        if call == "runs/create":
            self.runs["r1"] = {"metrics": set(), "params": {}, "status": "RUNNING"}
            return self.answer(200, {"run": {"info": {"run_id": "r1"}}})
        run = self.runs[body["run_id"]]
        if call == "runs/update":
            run["status"] = body["status"]
        for each in body.get("metrics", []):
            run["metrics"].add((each["key"], each["step"], each["value"], each["timestamp"]))
        for each in body.get("params", []):
            run["params"][each["key"]] = each["value"]
        return self.answer(200, {})


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[MlflowServer]]:
    MlflowServer.runs.clear()
    MlflowServer.experiments.clear()
    monkeypatch.setattr(MlflowServer, "refuses", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), MlflowServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_address[1]}")
    yield MlflowServer
    server.shutdown()


def test_mlflow_gets_one_run(tmp_path: Path, mlflow: type[MlflowServer]) -> None:
    run_dir = make_run(tmp_path / "run", rows=700)
    send_all(run_dir, ["mlflow"], print)
    AppendLog(run_dir / "stages/02-ppo/metrics.jsonl").append([row(701)])
    send_all(run_dir, ["mlflow"], print)
    (run,) = mlflow.runs.values()
    as_expected([each[:3] for each in run["metrics"]], run_dir)
    assert run["params"] == {"name": "toy", "seed": "1", "stages.sft.kind": "sft"}
    assert run["status"] == "FINISHED"


def test_mlflow_is_told_what_of_a_long_setting_is_cut(
    tmp_path: Path, mlflow: type[MlflowServer]
) -> None:
    run_dir = make_run(tmp_path / "run", rows=2)
    recipe = run_dir / "recipe.yaml"
    recipe.write_text(recipe.read_text() + f"about: {'x' * 7000}\n")
    send_all(run_dir, ["mlflow"], print)
    (run,) = mlflow.runs.values()
    assert len(run["params"]["about"]) == 6000
    assert run["params"]["about"].endswith("x … (the first characters of 7,000)")


# --- what fails -----------------------------------------------------------------------------------
def test_a_tracker_that_fails_never_stops_the_run_and_says_so_once(
    tmp_path: Path, mlflow: type[MlflowServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.refuses = 403
    monkeypatch.setattr(sending, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(sending, "AGAIN_SECONDS", 0.0)
    run_dir, said = make_run(tmp_path / "run"), list[str]()
    with Sending(run_dir, ["mlflow", "tensorboard"], said.append):
        threading.Event().wait(0.3)
    assert sum("mlflow is not sent to (the run goes on)" in line for line in said) == 1
    assert "MLFLOW_TRACKING_TOKEN" in "".join(said)
    assert any(line.startswith("tensorboard: ") for line in said)
    mlflow.refuses = 0
    assert send_all(run_dir, ["mlflow"], print) == {"mlflow": 10}


def test_a_tracker_that_came_back_gets_what_it_missed(
    tmp_path: Path, mlflow: type[MlflowServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "AGAIN_SECONDS", 0.0)
    run_dir = make_run(tmp_path / "run")
    position = SinkPosition("mlflow", run_dir, print)
    mlflow.refuses = 500
    assert not position.send()
    mlflow.refuses = 0
    assert position.send()
    (run,) = mlflow.runs.values()
    as_expected([each[:3] for each in run["metrics"]], run_dir)


def test_names_that_are_no_tracker_are_refused() -> None:
    with pytest.raises(ConfigError, match="'tensorbord' is not a tracker"):
        check_sinks(["tensorbord"])


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "local-abcdef123456")
    assert without_secrets("key local-abcdef123456 refused") == "key *** refused"


# --- two senders of one run -----------------------------------------------------------------------
def test_a_second_sender_is_refused_and_takes_over_when_the_first_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    said: list[str] = []
    first = SinkPosition("tensorboard", run, said.append)
    assert first.send()
    second = SinkPosition("tensorboard", run, said.append)
    assert not second.send()
    assert f"another process sends {run} to tensorboard" in said[-1]
    with pytest.raises(SinkError):
        send_all(run, ["tensorboard"], said.append)
    AppendLog(run / "stages/01-sft/metrics.jsonl").append([row(6)])
    assert first.send()
    first.close(finished=True)
    AppendLog(run / "stages/01-sft/metrics.jsonl").append([row(7)])
    assert second.send(now=True)
    assert second.sent == 1  # the position is the first one's
    second.close(finished=True)
    assert send_all(run, ["tensorboard"], said.append) == {"tensorboard": 0}


def test_a_tracker_that_cannot_be_opened_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)

    def broken(*_: Any) -> Any:
        raise SinkError("down", "try later")

    with monkeypatch.context() as patched:
        patched.setitem(sending.SINKS, "tensorboard", broken)
        one = SinkPosition("tensorboard", run, lambda _: None)
        assert not one.send()
    assert send_all(run, ["tensorboard"], lambda _: None) == {"tensorboard": 10}
