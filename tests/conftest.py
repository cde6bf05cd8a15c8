"""Shared fixtures: where real data lies, one thread, no hub."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)  # how fast an example runs says nothing on a busy machine
settings.load_profile("house")

# Small nets are fastest on one thread, and bit-identical results need a fixed count.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

ROOT = Path(__file__).resolve().parents[1]


def shared_data(name: str) -> Path:
    """The folder or file `name` of the shared test data; skips the test where it is absent."""
    base = Path(os.environ.get("ACCORD_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = base / name
    if not path.exists():
        pytest.skip(f"test data {name!r} is not at hand (looked in {base}; set ACCORD_TEST_DATA)")
    return path


@pytest.fixture
def data() -> object:
    """`data("hh-rlhf/...")` gives the path of shared test data or skips."""
    return shared_data
