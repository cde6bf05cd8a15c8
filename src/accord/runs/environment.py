"""Threads, devices and versions: what a run's numbers depend on besides its recipe."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from accord.errors import ConfigError

PACKAGES = (
    "accord",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "numpy",
    "scipy",
    "scikit-learn",
    "sqlalchemy",
    "pydantic",
)


def prepare(threads: int | str = "auto") -> int:
    """Fix the thread count and nearly passive waiting; must run before torch is imported. Returns
    the count. Raises ConfigError for more than the machine has cores.

    OpenMP's default is to spin at barriers for long, which is up to ten times slower on a shared
    machine.
    """
    cores = os.cpu_count() or 1
    count = min(4, len(os.sched_getaffinity(0))) if threads == "auto" else int(threads)
    if not 1 <= count <= cores:
        raise ConfigError(
            f"threads = {threads}: this machine has {cores} cores",
            f"threads: auto, or a number from 1 to {cores}",
        )
    os.environ["OMP_NUM_THREADS"] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault(
        "GOMP_SPINCOUNT", "1000"
    )  # a blink before sleeping: 1.2x alone, 0.87x on a shared machine
    for cache in (
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
        "LRU_CACHE_CAPACITY",
    ):  # oneDNN's own, and torch's around it
        os.environ.setdefault(
            cache, "256"
        )  # kernels are kept per shape; 1024, the default of both, take 0.5 GB
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    return count


def choose_device(wish: str) -> str:
    """ "auto" is cuda where there is one, else cpu."""
    if wish != "auto":
        return wish
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def describe(tuned: dict[str, Any]) -> dict[str, Any]:
    """Versions and machine for environment.json."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": versions,
        **tuned,
    }


def processor() -> str:
    """Name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpu_seconds() -> float:
    """CPU time of this process so far, its threads and its ended children with it."""
    return sum(os.times()[:4])


def peak_mib() -> float:
    """Peak resident memory of this process so far, in MiB. Where Linux tells, without that of the
    process which started it, which getrusage counts for it until then."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        status = ""
    if told := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
        return int(told[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def free_mib(folder: Path) -> float:
    """Free disk space where `folder` is or will be, in MiB."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**20
