"""Where the real data of tests lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_data(name: str) -> Path:
    """The folder or file `name` of the shared test data; skips the test where it is absent."""
    base = Path(os.environ.get("ACCORD_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = base / name
    if not path.exists():
        pytest.skip(f"test data {name!r} is not at hand (looked in {base}; set ACCORD_TEST_DATA)")
    return path
