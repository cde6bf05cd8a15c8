"""Few votes: annotators are estimated, with wide intervals, and nothing overflows on the way."""

from __future__ import annotations

import numpy as np
import pytest

from accord.feedback.annotator_model import estimate
from accord.feedback.records import Feedback
from accord.feedback.simulate import (
    Offered,
    assign,
    judge_comparison,
    judge_ranking,
    simulated_crowd,
)
from accord.seeds import derive_seed

PAIRS = ((0, 1), (2, 3), (1, 2))


def few_votes(prompts: int, overlap: int, scale: float, seed: int) -> list[Feedback]:
    """Rankings and comparisons of rewards that differ by about `scale`."""
    crowd, rng = simulated_crowd(seed, bad=bool(seed % 2)), np.random.default_rng(seed)
    records = []
    for item, who in enumerate(assign(prompts, len(crowd), overlap, seed)):
        rewards = (scale * rng.normal(size=4)).tolist()
        texts = [f"answer {item}.{k}" for k in range(4)]
        options = Offered(f"prompt {item}", texts, rewards, "model", [True] * 4)
        for a in who:
            seeds = [derive_seed(seed, item, a, *pair) for pair in PAIRS]
            if item % 2:
                records.append(judge_ranking(options, crowd[a], seeds[0], "g1"))
            else:
                records += [
                    judge_comparison(options, pair, crowd[a], one, "g1")
                    for pair, one in zip(PAIRS, seeds, strict=True)
                ]
    return records


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("prompts", "overlap", "scale"), [(24, 1, 4.0), (24, 2, 0.3), (6, 2, 1.0)])
def test_a_few_votes_give_wide_intervals(
    prompts: int, overlap: int, scale: float, seed: int
) -> None:
    found = estimate(few_votes(prompts, overlap, scale, seed))
    for one in found.annotators:
        assert np.isfinite([one.rationality_low, one.rationality_high, one.side_bias_error]).all()
        assert one.rationality_low < one.rationality < one.rationality_high
