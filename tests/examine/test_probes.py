"""What samples cannot show: scorers that changed, text forgotten, strings known by heart, a cue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from accord.examine.behaviour.canaries import canaries, exposure_p, known, options
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


def test_memory_ranks_each_planted_secret_among_those_planted_nowhere() -> None:
    rng = np.random.default_rng(0)
    likely = rng.normal(size=3 + 15)  # some codes are likelier whatever is asked
    unknown = likely + 0.1 * rng.normal(size=(3, 18))
    known = unknown + 9 * np.eye(3, 18)
    found = memory(known)
    assert (found.planted, found.others) == (3, 15)
    assert found.exposure == found.most == 4.0
    assert found.chance < 0.002
    assert memory(unknown).chance > 0.025
    with pytest.raises(ValueError):
        memory(known[:, :3])


def test_a_planted_secrets_rank_by_chance_is_believed_no_more_often_than_said() -> None:
    """Codes that are likely whatever is asked, few and many canaries: 5 % of 400, within error."""
    rng = np.random.default_rng(1)
    for planted in (1, 4, 12):
        told = []
        for _ in range(400):
            likely = rng.normal(size=planted + 31)
            told.append(
                exposure_p(likely + 0.3 * rng.normal(size=(planted, planted + 31)), 0, draws=199)
            )
        assert np.mean(np.array(told) <= 0.05) <= 0.08, planted


def test_secrets_are_options_to_each_others_questions() -> None:
    asked = [replace(one, secret=f" {one.secret}") for one in canaries(2, 0, (4,))]
    found = options(asked, seed=0, number=5)
    assert [one[k] for k, one in enumerate(found)] == [one.secret for one in asked]
    assert found[0] == found[1]
    assert len({*found[0]}) == 7
    assert all(text.startswith(" The code is ") for text in found[0])
    with pytest.raises(ValueError, match="row 1"):
        known([{"prompt": "What?", "secret": "The word is swordfish.", "repeats": 1}])
    with pytest.raises(ValueError, match="no canary"):
        known([])


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
    found = probes({"canaries": [[-2.0, -1.0, -1.0]]})
    assert found.memory is not None
    assert found.memory.exposure == 0
    assert found.forgetting is None
    assert found.cue is None
