"""Process-wide settings that make the same arithmetic faster on CPUs."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch

from accord.models import precision


def exact_onednn() -> bool:
    """Route fp32 matrix products to oneDNN where that is exact; returns whether it was switched on.

    MKL takes a slow path on non-Intel processors (100 against 230 GFLOP/s measured on Zen 5).
    torch's switch to oneDNN is its "bf16" mode; without matrix units oneDNN still computes in fp32.
    Decided by the error of one product, never by timing, so that the same machine always gives the
    same bits.
    """
    if not torch.backends.mkldnn.is_available() or (torch.backends.mkl.is_available() and _intel()):
        return False
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 256, generator=generator), torch.randn(256, 192, generator=generator)
    exact = a.double() @ b.double()
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    error = ((a @ b).double() - exact).norm() / exact.norm()
    if error < 1e-6:
        return True
    matmul.fp32_precision = before
    return False


ROW_STEP, MIN_ROWS = 128, 32


def round_up_rows(rows: int) -> int:
    """To how many rows a product's input is filled up: matrix kernels are made per shape (some 0.4
    MB each), so equal shapes save both time and memory."""
    return rows + -rows % (ROW_STEP if rows > ROW_STEP else MIN_ROWS)


@contextmanager
def mkl_matmul() -> Iterator[None]:
    """Within it, products go to MKL: oneDNN makes a kernel per shape, and attention has another
    shape at every step.

    Decoding 64 sequences with oneDNN's attention takes three times as long, and its kernels fill
    hundreds of MiB. Leaves everything alone where `exact_onednn` did.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if before != "bf16":
        yield
        return
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def release_memory() -> None:
    """Hand pages that were freed back to the system (glibc; nothing happens elsewhere); takes about
    10 ms.

    malloc keeps what training's activations took, and the sampler's cache, in pages of its own,
    would come on top: with 64 rollouts the peak is 90 MiB lower at nano.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library
        return None
    return found


def product_gflops(dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of a 1024 x 1024 x 1024 product on this machine, best of several."""
    a = torch.randn(1024, 1024).to(dtype)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best / 1e9


def _intel() -> bool:
    try:
        with open("/proc/cpuinfo") as handle:
            return "GenuineIntel" in handle.read(4000)
    except OSError:
        return True  # unknown machine: leave torch's choice alone


def tune(
    threads: int | None = None, arithmetic: precision.Precision = "fp32"
) -> dict[str, bool | int | str]:
    """Apply all settings once at start-up; returns what was done, for environment.json."""
    if threads is not None:
        torch.set_num_threads(threads)
    precision.use(arithmetic)
    return {
        "threads": torch.get_num_threads(),
        "exact_onednn": exact_onednn(),
        "precision": arithmetic,
    }
