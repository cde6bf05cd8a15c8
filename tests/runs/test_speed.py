"""What a plan says of time is of this machine, whatever else it does meanwhile."""

from __future__ import annotations

import time

from accord.runs.speed import _best


def test_waiting_for_others_is_not_counted() -> None:
    def step() -> int:
        time.sleep(0.2)
        return 1

    assert _best(step, "cpu") < 0.1
