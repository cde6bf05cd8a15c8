"""What limits a step: `python -m benchmarks.limits --workload nano`.

Each trainer and the sampler run one epoch of the peer comparison's rows three times: once to be
timed, once under torch's profiler (where the CPU time goes), once with every operation's sizes
counted (floating-point operations of the products, and
the bytes its inputs and outputs have: what would move if nothing stayed in a cache). Beside them
stand this machine's speeds: a large product, and a large copy. A step near the first is bound by
arithmetic, near the second by memory, near neither by small operations and Python between them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.runs import environment
from benchmarks.workloads import LONGEST

if TYPE_CHECKING:
    from benchmarks.workloads import Turn

WORKLOADS = ("sft", "reward", "dpo", "dpo-lora", "rloo", "sample")
PRODUCTS = ("mm", "addmm", "linear", "_linear_pointwise", "mkldnn_linear", "mv", "addmv", "dot")
ATTENTION = (
    "bmm",
    "baddbmm",
    "_softmax",
    "masked_fill",
    "_scaled_dot_product",
)  # what its names begin with
OPTIMIZER = ("_fused_adamw_", "_foreach_add_")
SPENT_ON = ("products", "attention", "optimizer", "other")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--workload", default="nano", help="nano, smollm2, pico or the directory of a model"
    )
    parser.add_argument(
        "--trainer",
        choices=WORKLOADS,
        action="append",
        help="only this one; may be given several times",
    )
    parser.add_argument(
        "--rows", type=int, default=16, help="rows per epoch; prompts where responses are sampled"
    )
    parser.add_argument("--batch", type=int, default=8, help="rows per optimiser step")
    parser.add_argument(
        "--rollouts", type=int, default=8, help="sampled responses per optimiser step (rloo)"
    )
    parser.add_argument(
        "--longest", type=int, default=LONGEST, help="most tokens of a sampled response"
    )
    parser.add_argument("--micro-batch-tokens", type=int, default=2048)
    parser.add_argument("--json", action="store_true", help="one JSON line per trainer")
    options = parser.parse_args()
    options.threads = environment.prepare(1)
    options.side = "ours"
    with tempfile.TemporaryDirectory() as folder:
        from benchmarks.workloads import make_model

        options.model = make_model(options.workload, Path(folder) / "model")
        _measure(options)


def _measure(options: argparse.Namespace) -> None:
    from accord.models.tuning import product_gflops, tune

    tune(1)
    peak, bandwidth = product_gflops(), copy_gigabytes()
    if not options.json:
        print(
            f"{Path(options.workload).name}: a large product {peak:.0f} GFLOP/s, a large copy {bandwidth:.1f} GB/s\n"
        )
        print(
            "| | ms per 1,000 tokens | of the product's peak | of the copy's | products | attention | optimizer | other | Python |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
    for trainer in options.trainer or WORKLOADS:
        options.trainer = trainer
        line = limits_of(options, peak, bandwidth)
        print(json.dumps(line) if options.json else _row(line), flush=True)


def limits_of(options: argparse.Namespace, peak: float, bandwidth: float) -> dict[str, Any]:
    """Measure `options.trainer`; peak: GFLOP/s of a product, bandwidth: GB/s of a copy."""
    turn, seconds = _timed(_warm(options))
    spent, whole = _profiled(_warm(options))
    counted = count(_warm(options))
    return {
        "trainer": options.trainer,
        "workload": Path(options.workload).name,
        "tokens": turn.tokens,
        "ms_per_1000_tokens": round(1e6 * seconds / turn.tokens),
        "gflop": round(counted["flop"] / 1e9, 1),
        "gigabytes": round(counted["bytes"] / 1e9, 2),
        "share_of_product_peak": round(counted["flop"] / 1e9 / seconds / peak, 2),
        "share_of_copy_bandwidth": round(counted["bytes"] / 1e9 / seconds / bandwidth, 2),
        "operations": counted["operations"],
        **{name: round(spent[name] / whole, 3) for name in SPENT_ON},
        "python": round(1 - sum(spent.values()) / whole, 3),
    }


def _warm(options: argparse.Namespace) -> Callable[[], Turn]:
    """The second epoch of a fresh start: kernels are made, and responses are the same every
    time."""
    from benchmarks.ours import epoch_of

    epoch = epoch_of(options)
    epoch()
    return epoch


def _timed(epoch: Callable[[], Turn]) -> tuple[Turn, float]:
    start = time.process_time()
    turn = epoch()
    return turn, time.process_time() - start


def _profiled(epoch: Callable[[], Turn]) -> tuple[Counter[str], float]:
    """(seconds per kind of operation, all seconds, the profiler's own work included)."""
    import torch

    with (
        _silence(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
    ):
        _, whole = _timed(epoch)
    spent = shares((event.key, event.self_cpu_time_total / 1e6) for event in profile.key_averages())
    return spent, max(whole, sum(spent.values()))


@contextmanager
def _silence() -> Iterator[None]:
    """The profiler's library tells the standard error when it starts and stops."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _row(line: dict[str, Any]) -> str:
    names = ("share_of_product_peak", "share_of_copy_bandwidth", *SPENT_ON, "python")
    shares = " | ".join(f"{100 * line[name]:.0f} %" for name in names)
    return f"| {line['trainer']} | {line['ms_per_1000_tokens']:,} | {shares} |"


def shares(timed: Iterable[tuple[str, float]]) -> Counter[str]:
    """Seconds per kind of operation, from (operator's name, its own seconds)."""
    found: Counter[str] = Counter()
    for key, seconds in timed:
        found[_kind(key.rpartition("::")[2])] += seconds
    return found


def _kind(name: str) -> str:
    if name in PRODUCTS:
        return "products"
    if name in OPTIMIZER:
        return "optimizer"
    return "attention" if name.startswith(ATTENTION) else "other"


def count(run: Any) -> Counter[str]:
    """Floating-point operations of the products, bytes of all operations' inputs and outputs, and
    how many there are."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    found: Counter[str] = Counter()

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if not func.is_view:
                found["bytes"] += sum(map(_bytes, tree_leaves((args, kwargs, out))))
                found["flop"] += flop(func.name().partition("::")[2].partition(".")[0], args)
                found["operations"] += 1
            return out

    with Counting():
        run()
    return found


def flop(name: str, args: Any) -> int:
    """Multiplications and additions of a product; 0 for anything else."""
    a, b = {"addmm": (1, 2), "baddbmm": (1, 2)}.get(name, (0, 1))
    if name in ("mm", "addmm", "bmm", "baddbmm"):
        return 2 * args[a].numel() * int(args[b].shape[-1])
    if name in ("linear", "_linear_pointwise"):
        return 2 * args[a].numel() * int(args[b].shape[0])
    return 0


def _bytes(x: Any) -> int:
    import torch

    if not isinstance(x, torch.Tensor):
        return 0
    whole = x.numel() * x.element_size()
    return (
        whole if x.is_mkldnn else min(whole, x.untyped_storage().nbytes())
    )  # what is expanded is there once


def copy_gigabytes() -> float:
    """GB/s, read and written, of a copy of 256 MB; best of several."""
    import torch

    source, target = torch.ones(2**26), torch.empty(2**26)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * 4 * source.numel() / best / 1e9


if __name__ == "__main__":
    main()
