"""One side of a comparison: makes an epoch over the rows whenever a line arrives on stdin."""

from __future__ import annotations

import argparse
import json
import sys
import time


def work(options: argparse.Namespace) -> None:
    """Prepare the side and say so, then one epoch per line until "stop"."""
    from accord.runs import environment

    environment.prepare(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    if options.side == "ours" or options.trainer == "ppo-vs-rloo":
        from benchmarks.ours import epoch_of
    else:
        from benchmarks.theirs import epoch_of
    epoch = epoch_of(options)
    print(
        json.dumps({"cpu_seconds": time.process_time(), "mib": environment.peak_mib()}), flush=True
    )
    for line in sys.stdin:
        if line.strip() == "stop":
            return
        before = time.process_time()
        turn = epoch()
        seconds = time.process_time() - before
        said = {
            "loss": round(turn.loss, 5),
            "tokens": turn.tokens,
            "sampled": turn.sampled,
            "cpu_seconds": seconds,
            "mib": environment.peak_mib(),
            "gflop": turn.gflop,
            "share_of_peak": turn.gflop / seconds / _peak() if turn.gflop else 0.0,
        }
        print(json.dumps(said), flush=True)


_measured: list[float] = []


def _peak() -> float:
    if not _measured:
        from accord.models.tuning import product_gflops

        _measured.append(product_gflops())
    return _measured[0]
