"""Shared fixtures: where real data lies, one thread, no hub."""

from __future__ import annotations

import gc
import os
import random
import secrets
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from real_data import shared_data

# How fast an example runs says nothing on a busy machine. The same examples every time, so that a
# red run can be repeated; new ones are tried by `pytest --hypothesis-profile=explore`.
settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("house")

# Small nets are fastest on one thread, and bit-identical results need a fixed count.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


SLOW = 40
"""Other tests that a slow one takes as long as, about."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: processes that take files in turn then end at about the
    same time."""
    long = Counter(item.path for item in items)
    for item in items:
        if item.get_closest_marker("slow"):
            long[item.path] += SLOW
    items.sort(key=lambda item: -long[item.path])


def pytest_collection_finish() -> None:
    """What was imported stays: else every full garbage collection walks through torch and the rest
    again, a third of a second each, and there are many."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test computes as a new process does, whatever a command left behind before it: sums over
    other threads, or by other kernels, differ in their last bits, and small training runs by more."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        if threads := os.environ.get("OMP_NUM_THREADS"):
            torch.set_num_threads(int(threads))
        torch.backends.mkldnn.matmul.fp32_precision = "none"
    if "accord.models.precision" in sys.modules:
        sys.modules["accord.models.precision"].use("fp32")


@pytest.fixture(autouse=True)
def _same_chance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws without a seed of its own, keys and tokens too, draws the same in every run."""
    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    # By the test's name: databases that tests share never get the same token twice.
    drawn = random.Random(request.node.nodeid)
    monkeypatch.setattr(secrets, "_sysrand", drawn)
    monkeypatch.setattr(secrets, "SystemRandom", lambda: drawn)


@pytest.fixture
def data() -> object:
    """`data("hh-rlhf/...")` gives the path of shared test data or skips."""
    return shared_data


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of a random Llama of two layers with the packaged tokenizer, which ends its
    answers now and then: for runs whose models need not be able to do anything."""
    from benchmarks.workloads import make_model

    return make_model("pico", tmp_path_factory.mktemp("pico") / "model")


@pytest.fixture
def pico_here(pico: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """./pico is that model; the working directory is the test's own."""
    (tmp_path / "pico").symlink_to(pico)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Debian's Chromium under Playwright; skips the test where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium at hand; apt-get install chromium")
    with sync.sync_playwright() as playwright:
        flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-sync",
        ]
        running = playwright.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()
