"""Our trainers against TRL's on the same machine, in the same run: `python -m benchmarks.peers
--trainer dpo`.

Each side is a process of its own that trains when it is told to, so the sides take turns
(interleaved epochs over the same token rows) and each has its own peak of memory. What is compared
is real tokens of the data per CPU-second, in fp32, with the same optimiser (AdamW) and the same
batches' size. Where responses are sampled, generation is included, each side samples its own, and
lengths follow the same distribution. One line per peer setting; `--json` for machines.
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

from benchmarks.workloads import LONGEST

FIXED = ("sft", "reward", "dpo", "dpo-cached", "dpo-lora")
ONLINE = ("grpo", "rloo", "online-dpo")
JUDGES = ("judge", "judge-principles")
"""Pairs in both orders, by one question or by eight principles each."""
TRAINERS = (*FIXED, *ONLINE, "sample", *JUDGES, "ppo-vs-rloo", "import")
SIDES = {
    "ours": "accord",
    "default": "TRL, its defaults",
    "best": "TRL, its best same-maths settings",
}
_JUDGING = {
    "ours": "accord, packed",
    "default": "transformers, one question at a time",
    "best": "transformers, length-sorted padded batches of 16",
}
OTHER_SIDES = {
    "sample": {"ours": "accord", "default": "transformers, generate"},
    **dict.fromkeys(JUDGES, _JUDGING),
    "ppo-vs-rloo": {"ours": "accord, PPO", "rloo": "accord, RLOO with as many rollouts"},
    "import": {"ours": "accord", "default": "TRL, its defaults"},
}


def sides_of(trainer: str, against: str = "all") -> dict[str, str]:
    """The sides of a comparison with their names; ours comes first. against: "all" or the one other
    side wanted."""
    sides = OTHER_SIDES.get(trainer, SIDES)
    if against != "all" and against not in sides:
        raise SystemExit(
            f"--trainer {trainer} has no side {against!r}: choose from {', '.join(list(sides)[1:])}"
        )
    return {
        side: name for side, name in sides.items() if against in ("all", side) or side == "ours"
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trainer", choices=TRAINERS, default="sft")
    parser.add_argument(
        "--workload",
        default="nano",
        help="nano (7 M Llama), smollm2 (its shapes), pico (to see that it runs) or the directory of a model",
    )
    parser.add_argument(
        "--rows", type=int, default=64, help="rows per epoch; prompts where responses are sampled"
    )
    parser.add_argument("--batch", type=int, default=8, help="rows per optimiser step")
    parser.add_argument(
        "--rollouts", type=int, default=8, help="sampled responses per optimiser step (grpo, rloo)"
    )
    parser.add_argument(
        "--longest", type=int, default=LONGEST, help="most tokens of a sampled response"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="interleaved epochs per side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--micro-batch-tokens",
        type=int,
        default=2048,
        help="our tokens per pass: memory against speed",
    )
    parser.add_argument(
        "--against",
        choices=("all", "default", "best"),
        default="all",
        help="one peer setting only: each side keeps its memory while it waits, and three large models may not fit",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON line per peer setting, with all that was measured",
    )
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        from benchmarks.peer_workers import work

        work(options)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Start the sides, let them take turns, print the ratios."""
    sides = sides_of(options.trainer, options.against)
    with tempfile.TemporaryDirectory() as folder:
        model = _make_model(options.workload, Path(folder) / "model")
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        if options.trainer == "import":
            for _ in range(options.repetitions):
                for side in sides:
                    worker = _start(side, model, options)
                    found[side].append(_next(worker))
                    worker.communicate("stop\n", timeout=60)
            say(_import_line(options, found["ours"], found["default"]), options.json)
            return
        workers = {side: _start(side, model, options) for side in sides}
        ready = {side: _next(worker) for side, worker in workers.items()}
        for worker in workers.values():
            _turn(worker)  # warm-up
        for _ in range(options.repetitions):
            for side, worker in workers.items():
                found[side].append(_turn(worker))
        for worker in workers.values():
            worker.communicate("stop\n", timeout=60)
    for side in list(sides)[1:]:
        line = _line(options, sides[side], found["ours"], found[side])
        line |= {
            "ours_mib_before": round(ready["ours"]["mib"]),
            "peer_mib_before": round(ready[side]["mib"]),
        }
        say(line, options.json)


def say(line: dict[str, Any], as_json: bool) -> None:
    """Print a comparison, for people or machines."""
    if as_json:
        print(json.dumps(line), flush=True)
        return
    ratio = f"{line['ratio']}x [{line['ratio_low']}, {line['ratio_high']}], n = {line['n']}"
    if line["trainer"] == "import":
        what, memory = "CPU seconds until the first step", "mib_before"
        numbers = f"{line['ours_cpu_seconds']} against {line['peer_cpu_seconds']}"
    else:
        what, memory = "tokens per CPU-second", "peak_mib"
        numbers = (
            f"{line['ours_tokens_per_cpu_second']:,} against {line['peer_tokens_per_cpu_second']:,}"
        )
    mib = [line[f"{side}_{memory}"] for side in ("ours", "peer")]
    of_products = line.get("ratio_of_products")
    print(
        f"{line['trainer']}, {line['workload']}, against {line['peer']}: {ratio}; {what} {numbers}; "
        f"memory {mib[0]:,} / {mib[1]:,} MiB = {mib[0] / mib[1]:.2f}"
        + (f"; matrix products {of_products}x" if of_products else ""),
        flush=True,
    )


def _make_model(workload: str, folder: Path) -> str:
    """In a process of its own: this one stays small and waits."""
    code = (
        "import sys, pathlib; from benchmarks.workloads import make_model; "
        "print(make_model(sys.argv[1], pathlib.Path(sys.argv[2])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, workload, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def _start(side: str, model: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    named = ("trainer", "rows", "batch", "rollouts", "longest", "threads", "micro_batch_tokens")
    more = [word for n in named for word in ("--" + n.replace("_", "-"), str(getattr(options, n)))]
    command = [sys.executable, "-m", "benchmarks.peers", "--side", side, "--model", model, *more]
    notes = open(Path(tempfile.gettempdir()) / f"accord-peer-{side}.log", "w")  # noqa: SIM115 (lives with the process)
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=notes, text=True, bufsize=1
    )


def _turn(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """One epoch of one side."""
    assert worker.stdin is not None
    worker.stdin.write("epoch\n")
    worker.stdin.flush()
    return _next(worker)


def _next(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """What the side has to say next."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith("{"):
            return dict(json.loads(line))
    raise SystemExit(
        f"a side ended early; its errors are in {tempfile.gettempdir()}/accord-peer-*.log"
    )


def _line(
    options: argparse.Namespace, peer: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> dict[str, Any]:
    speeds = [[turn["tokens"] / turn["cpu_seconds"] for turn in turns] for turns in (ours, theirs)]
    ratios = [a / b for a, b in zip(*speeds, strict=True)]
    peaks = [max(turn["mib"] for turn in turns) for turns in (ours, theirs)]
    line: dict[str, Any] = {
        "trainer": options.trainer,
        "workload": Path(options.workload).name,
        "peer": peer,
        "n": len(ratios),
        "threads": options.threads,
        "micro_batch_tokens": options.micro_batch_tokens,
        "tokens_per_epoch": ours[0]["tokens"],
        "ours_tokens_per_cpu_second": round(statistics.median(speeds[0])),
        "peer_tokens_per_cpu_second": round(statistics.median(speeds[1])),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_low": round(min(ratios), 2),
        "ratio_high": round(max(ratios), 2),
        "ours_peak_mib": round(peaks[0]),
        "peer_peak_mib": round(peaks[1]),
        "memory": round(peaks[0] / peaks[1], 2),
    }
    if options.trainer in FIXED:
        line |= {
            "ours_first_loss": ours[0]["loss"],
            "peer_first_loss": theirs[0]["loss"],
            "ours_share_of_matmul_peak": round(
                statistics.median(t["share_of_peak"] for t in ours), 3
            ),
        }
    if options.trainer in JUDGES:
        line |= {
            "ours_mean_logp": ours[0]["loss"],
            "peer_mean_logp": theirs[0]["loss"],
            "ratio_of_products": round(theirs[0]["gflop"] / ours[0]["gflop"], 2),
        }
    if ours[0]["sampled"]:
        sampled = [
            [turn["sampled"] / turn["cpu_seconds"] for turn in turns] for turns in (ours, theirs)
        ]
        ratios = [a / b for a, b in zip(*sampled, strict=True)]
        line |= {
            "rollouts": options.rollouts,
            "ours_sampled_tokens_per_cpu_second": round(statistics.median(sampled[0])),
            "peer_sampled_tokens_per_cpu_second": round(statistics.median(sampled[1])),
            "sampled_ratio": round(statistics.median(ratios), 2),
            "ours_sampled_per_epoch": round(statistics.mean(turn["sampled"] for turn in ours)),
            "peer_sampled_per_epoch": round(statistics.mean(turn["sampled"] for turn in theirs)),
        }
    return line


def _import_line(
    options: argparse.Namespace, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> dict[str, Any]:
    """CPU seconds and memory of a process from its start until the first step could begin."""
    ratios = [b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(ours, theirs, strict=True)]
    return {
        "trainer": "import",
        "workload": Path(options.workload).name,
        "peer": OTHER_SIDES["import"]["default"],
        "n": len(ratios),
        "threads": options.threads,
        "ours_cpu_seconds": round(statistics.median(turn["cpu_seconds"] for turn in ours), 2),
        "peer_cpu_seconds": round(statistics.median(turn["cpu_seconds"] for turn in theirs), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_low": round(min(ratios), 2),
        "ratio_high": round(max(ratios), 2),
        "ours_mib_before": round(max(turn["mib"] for turn in ours)),
        "peer_mib_before": round(max(turn["mib"] for turn in theirs)),
    }


if __name__ == "__main__":
    main()
