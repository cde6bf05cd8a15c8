"""What crowd-kit takes beside ours is measured on the same data, or said to be missing."""

from __future__ import annotations

import pytest
from benchmarks import crowd_kit
from benchmarks.feedback import _votes_between


def test_where_crowd_kit_is_missing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd_kit, "find_spec", lambda name: None)
    found = crowd_kit.against_crowd_kit(lambda rows: None, 10, 10)
    assert found == "crowd-kit is not installed: pip install crowd-kit"
    assert crowd_kit.label_rows(found) == []
    assert crowd_kit.told(found, "fit") == "–"


@pytest.mark.slow
def test_each_cost_that_crowd_kit_has_is_measured() -> None:
    found = crowd_kit.against_crowd_kit(lambda rows: _votes_between(100, rows), 300, 300, 30, 1)
    assert isinstance(found, dict)
    assert {*found} == {"fit", "many_annotators", "csv", *crowd_kit.NAMES}
    for one in found.values():
        assert one["ratio"] == pytest.approx(one["theirs"] / one["ours"], rel=0.2, abs=0.02)
