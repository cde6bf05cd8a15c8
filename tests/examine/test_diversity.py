"""Variety of texts: equal to reference implementations, and to what follows from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.examine import diversity
from accord.statistics.means import paired_difference, share_mean

LINES = (
    "the cat sat on the mat near the door",
    "the cat sat on a mat near the window today",
    "a dog barked at the cat",
)
TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=8), min_size=2, max_size=6)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_self_bleu_is_that_of_nltk(texts: list[list[str]]) -> None:
    bleu = pytest.importorskip("nltk.translate.bleu_score", reason="nltk is the reference")
    smooth = bleu.SmoothingFunction().method1
    wanted = [
        bleu.sentence_bleu(
            [other for j, other in enumerate(texts) if j != k], own, smoothing_function=smooth
        )
        if own
        else 0.0
        for k, own in enumerate(texts)
    ]
    assert diversity.self_bleu(texts) == pytest.approx(np.mean(wanted), abs=1e-12)


def test_vendi_counts_different_texts() -> None:
    """Blocks of equal texts: exp of the entropy of the blocks' shares."""
    kernel = np.kron(np.eye(3), np.ones((1, 1)))
    assert diversity.vendi(kernel) == pytest.approx(3)
    assert diversity.vendi(np.ones((5, 5))) == pytest.approx(1)
    blocks = np.zeros((6, 6))
    blocks[:4, :4], blocks[4:, 4:] = 1, 1
    shares = np.array([4, 2]) / 6
    assert diversity.vendi(blocks) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    with pytest.raises(ValueError, match="diagonal"):
        diversity.vendi(np.zeros((2, 2)))


PUBLISHED = 2.385180778454421


def test_vendi_of_ngrams_is_that_of_its_authors() -> None:
    """vendi_score 0.0.3, text_utils.ngram_vendi_score(LINES, ns=[1, 2]), words split at spaces."""
    assert diversity.vendi(
        diversity.ngram_kernel([line.split() for line in LINES])
    ) == pytest.approx(PUBLISHED, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_vendi_lies_between_one_and_all(texts: list[list[str]]) -> None:
    found = diversity.vendi(diversity.ngram_kernel(texts))
    assert 1 - 1e-9 <= found <= len(texts) + 1e-9
    shuffled = [text[:] for text in texts[::-1]]
    assert diversity.vendi(diversity.ngram_kernel(shuffled)) == pytest.approx(found)
    doubled = diversity.vendi(diversity.ngram_kernel([*texts, *texts]))
    same_when_empty = [text for text in texts if len(text) > 1]
    if len(same_when_empty) == len(texts):
        assert doubled == pytest.approx(found)


def test_arms_are_compared_at_equal_length_and_number() -> None:
    """A policy that is only longer, or has one response too short, is not less varied."""
    rng = np.random.default_rng(0)
    short = [[" ".join(rng.choice(list("abcdefgh"), 12)) for _ in range(4)] for _ in range(20)]
    longer = [[f"{text} {text}" for text in group] for group in short]
    longer[3][2] = "a b"
    found = diversity.measure({"base": short, "policy": longer}, 10, "per_input", "samples")
    names = [one.name for one in found.scored["base"]]
    assert names[:4] == [f"{key}_per_input" for key in list(diversity.MEANINGS)[:4]]
    for base, policy in zip(*found.scored.values(), strict=True):
        same = base.rows_IX == policy.rows_IX
        assert same.sum() >= 19  # of group 3 other texts remain, as many
    assert (found.groups, found.left_out) == (20, 0)
    nothing = diversity.measure({"base": [["a", "b"]], "policy": [["a", "b"]]}, 4, "x", "samples")
    assert (nothing.groups, nothing.left_out, nothing.scored["base"]) == (0, 1, [])


def test_a_collapse_is_told_from_a_policy_with_half_of_its_variety() -> None:
    rng = np.random.default_rng(1)
    base = [[" ".join(rng.choice(list("abcdefghij"), 10)) for _ in range(4)] for _ in range(30)]
    same = [[group[0]] * 4 for group in base]
    found = diversity.measure({"base": base, "policy": same}, 8, "per_input", "samples").scored
    at = [one.name for one in found["base"]].index("vendi_per_input")
    before, after = (found[arm][at].rows_IX[:, 0] for arm in ("base", "policy"))
    assert after.max() < 1e-9
    assert diversity.lost(share_mean(before), paired_difference(after, before))
    assert not diversity.lost(share_mean(before), paired_difference(0.7 * before, before))


def test_groups_across_prompts_are_the_same_for_every_arm() -> None:
    one = diversity.across([f"a{i}" for i in range(21)], 8, 0)
    other = diversity.across([f"b{i}" for i in range(21)], 8, 0)
    assert [[t[1:] for t in group] for group in one] == [[t[1:] for t in g] for g in other]
    assert sorted(map(len, one)) == [10, 11]
    assert len({text for group in one for text in group}) == 21
    with pytest.raises(ValueError, match="two or more"):
        diversity.across(["a"], 8, 0)
