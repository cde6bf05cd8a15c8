"""What samples cannot show: scorers that changed, text forgotten, strings known by heart, a cue."""

from __future__ import annotations

import numpy as np
import pytest

from accord.examine.probes import cue_gap, forgetting, memory, probes, watched


def test_a_scorer_that_changed_is_named_with_when_it_was_first_seen() -> None:
    same = {"reward": "a", "gold": "b"}
    found = watched([("the start", same), ("step 5", same), ("the end", same)])
    assert (found.watched, found.checks, found.changed) == (["gold", "reward"], 3, {})
    edited = {"reward": "c", "gold": "b"}
    found = watched([("the start", same), ("step 5", edited), ("the end", same)])
    assert found.changed == {"reward": "step 5"}, "put back is changed, too"
    assert watched([("the start", same), ("the end", {"gold": "b"})]).changed == {
        "reward": "the end"
    }
    assert watched([("the start", {}), ("the end", {"new": "d"})]).changed == {"new": "the end"}


def test_memory_ranks_planted_strings_among_others() -> None:
    others = [float(-k) for k in range(1, 16)]
    known = memory([1.0, 2.0, 3.0], others)
    assert known.exposure == known.most == 4.0
    assert known.chance == pytest.approx(1 / 816)  # one order of 18 over 3
    unknown = memory([-8.0, -4.5, -12.5], others)
    assert unknown.exposure < 2
    assert unknown.chance > 0.2
    with pytest.raises(ValueError):
        memory([], others)


def test_forgetting_and_the_cue_are_paired() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(3, 1, 40)
    found = forgetting(before, before + 0.5 + 0.01 * rng.normal(size=40))
    assert found.rise.above(0.4)
    assert found.rise.below(0.6)
    base = rng.normal(size=60)
    gap = cue_gap((base + 1, base), (base + 0.1 * rng.normal(size=60), base))
    assert gap.with_cue.value == pytest.approx(1)
    assert gap.gap.above(0.9)


def test_only_what_was_probed_is_there() -> None:
    found = probes({"canaries": [{"planted": p, "logp": -1.0 - p} for p in (True, False, False)]})
    assert found.memory is not None
    assert found.memory.exposure == 0
    assert found.forgetting is None
    assert found.cue is None
