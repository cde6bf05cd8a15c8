"""Our trainers against TRL's on the same machine, in the same run: `python -m benchmarks.peers --trainer dpo`.

Each side is a process of its own that trains when it is told to, so the sides take turns (interleaved epochs over the
same token rows) and each has its own peak of memory. What is compared is real tokens of the data per CPU-second, in
fp32, with the same optimiser (AdamW) and the same batches' size. One JSON line per peer setting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TRAINERS = ("sft", "reward", "dpo", "dpo-cached", "dpo-lora")
SIDES = {"ours": "accord", "default": "TRL, its defaults", "best": "TRL, its best same-maths settings"}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", choices=TRAINERS, default="sft")
    parser.add_argument("--workload", default="nano", help="nano (7 M Llama) or the directory of a model")
    parser.add_argument("--rows", type=int, default=64, help="rows per epoch")
    parser.add_argument("--batch", type=int, default=8, help="rows per optimiser step")
    parser.add_argument("--repetitions", type=int, default=5, help="interleaved epochs per side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        from benchmarks.peer_workers import work

        work(options)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Start the sides, let them take turns, print the ratios."""
    from benchmarks.workloads import make_model

    with tempfile.TemporaryDirectory() as folder:
        model = make_model(options.workload, Path(folder) / "model")
        workers = {side: _start(side, model, options) for side in SIDES}
        for worker in workers.values():
            _turn(worker)  # warm-up
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(options.repetitions):
            for side, worker in workers.items():
                found[side].append(_turn(worker))
        for worker in workers.values():
            worker.communicate("stop\n", timeout=60)
    for side in ("default", "best"):
        print(json.dumps(_line(options, side, found["ours"], found[side])), flush=True)


def _start(side: str, model: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "benchmarks.peers", "--side", side, "--model", model, "--trainer", options.trainer,
        "--rows", str(options.rows), "--batch", str(options.batch), "--threads", str(options.threads),
    ]  # fmt: skip
    notes = open(Path(tempfile.gettempdir()) / f"accord-peer-{side}.log", "w")  # noqa: SIM115 (lives with the process)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=notes, text=True, bufsize=1)


def _turn(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """One epoch of one side."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("epoch\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("{"):
            return dict(json.loads(line))
    raise SystemExit(f"a side ended early; its errors are in {tempfile.gettempdir()}/accord-peer-*.log")


def _line(
    options: argparse.Namespace, side: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> dict[str, Any]:
    speeds = [[turn["tokens"] / turn["cpu_seconds"] for turn in turns] for turns in (ours, theirs)]
    ratios = [a / b for a, b in zip(*speeds, strict=True)]
    peaks = [max(turn["peak_mib"] for turn in turns) for turns in (ours, theirs)]
    return {
        "trainer": options.trainer, "workload": Path(options.workload).name, "peer": SIDES[side], "n": len(ratios),
        "threads": options.threads, "tokens_per_epoch": ours[0]["tokens"],
        "ours_tokens_per_cpu_second": round(statistics.median(speeds[0])),
        "peer_tokens_per_cpu_second": round(statistics.median(speeds[1])),
        "ratio": round(statistics.median(ratios), 2), "ratio_low": round(min(ratios), 2), "ratio_high": round(max(ratios), 2),
        "ours_peak_mib": round(peaks[0]), "peer_peak_mib": round(peaks[1]), "memory": round(peaks[0] / peaks[1], 2),
        "ours_first_loss": ours[0]["loss"], "peer_first_loss": theirs[0]["loss"],
        "ours_share_of_matmul_peak": round(statistics.median(t["share_of_peak"] for t in ours), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
