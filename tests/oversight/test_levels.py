"""Best of several answers at every node of a tree, by reward models that learned from comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.oversight.levels import ABOUT, ComparedAnswers, NodeDrafts, NodeReward, compare
from accord.seeds import generator


def drafts_of(seed: int, nodes: int = 60, answers: int = 5, size: int = 8) -> NodeDrafts:
    """Answers around an evidence that lies around nothing in particular."""
    rng = generator(seed, "drafts")
    said_DC = rng.integers(0, size + 1, (nodes, answers))
    text_DV = rng.normal(size=(nodes, 2))
    return NodeDrafts(said_DC, rng.uniform(0, size, nodes), size, text_DV)


def weighing(**weights: float) -> NodeReward:
    """A reward of these features alone; of the words, the first."""
    words = [weights.pop("word", 0.0), 0.0]
    return NodeReward(np.array([*(weights.get(name, 0.0) for name in ABOUT), *words]))


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_features_mean_what_they_are_called(seed: int) -> None:
    drafts = drafts_of(seed, nodes=6)
    nearest = weighing(distance=-1.0).best(drafts)
    for said_C, evidence, taken, common in zip(
        drafts.said_DC.tolist(), drafts.evidence_D, nearest, drafts.commonest, strict=True
    ):
        assert abs(taken - evidence) == min(abs(said - evidence) for said in said_C)
        assert said_C.count(common) == max(map(said_C.count, said_C))
    text = weighing(word=1.0).best(drafts)
    ends = np.where(drafts.text_DV[:, 0] > 0, drafts.said_DC.max(1), drafts.said_DC.min(1))
    assert text.tolist() == ends.tolist()


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_order_is_told_exactly_and_half_where_it_is_not(seed: int) -> None:
    drafts = drafts_of(seed, nodes=8)
    right_D = np.rint(drafts.evidence_D).astype(int)
    exact = NodeDrafts(drafts.said_DC, right_D.astype(float), drafts.size, drafts.text_DV)
    assert weighing(distance=-1.0).ordered(exact, right_D) == 1.0
    assert weighing(distance=1.0).ordered(exact, right_D) == 0.0
    assert weighing().ordered(exact, right_D) == 0.5
    alike = NodeDrafts(drafts.said_DC[:, :1], exact.evidence_D, drafts.size, drafts.text_DV)
    assert np.isnan(weighing().ordered(alike, right_D))


def test_comparisons_are_of_different_answers_to_different_nodes_by_who_knows_better() -> None:
    drafts = drafts_of(3, nodes=400)
    right_D = np.rint(drafts.evidence_D).astype(int)
    compared, at_P3 = compare(drafts, right_D, 50.0, 300, generator(1, "compare"))
    node_P, first_P, second_P = at_P3.T
    assert len(set(node_P.tolist())) == 300
    said = drafts.said_DC
    assert (said[node_P, first_P] != said[node_P, second_P]).all()
    assert (compared.first_PF == drafts.features[node_P, first_P]).all()
    assert (compared.second_PF == drafts.features[node_P, second_P]).all()
    gain_P = np.abs(said[node_P, second_P] - right_D[node_P]) - np.abs(
        said[node_P, first_P] - right_D[node_P]
    )
    assert (compared.preferred_P[gain_P != 0] == (gain_P > 0)[gain_P != 0]).all()
    with pytest.raises(DataError, match="and 401 comparisons are wanted"):
        compare(drafts, right_D, 1.0, 401, generator(1, "compare"))
    nothing = ComparedAnswers(
        compared.first_PF[:0], compared.second_PF[:0], compared.preferred_P[:0]
    )
    with pytest.raises(DataError, match="no comparisons"):
        NodeReward.learned(nothing, 1e-3)


def test_each_level_has_its_own_reward_where_one_for_both_compromises() -> None:
    """Leaves whose evidence is one too high, inner nodes whose evidence is one too low."""
    rng, parts, nodes = generator(2, "levels"), {}, {}
    for name, bias in (("leaves", 1.0), ("inner", -1.0)):
        drafts, right_D = drafts_of(5, nodes=500), rng.integers(1, 7, 500)
        read = NodeDrafts(drafts.said_DC, right_D + bias, drafts.size, drafts.text_DV)
        nodes[name] = read, right_D
        parts[name], _ = compare(*nodes[name], 3.0, 400, rng)
    both = NodeReward.learned(ComparedAnswers.of(list(parts.values())), 1e-3)
    for name, (drafts, right_D) in nodes.items():
        own = NodeReward.learned(parts[name], 1e-3)
        assert own.ordered(drafts, right_D) > max(0.93, both.ordered(drafts, right_D) + 0.01)
