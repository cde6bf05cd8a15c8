"""Votes on principles: counted by person, grouped, and their consensus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import ConfigError, DataError
from accord.feedback.records import Feedback
from accord.oversight.constitution import Constitution
from accord.oversight.voting import count_votes, opinion_groups, vote_items

THREE = Constitution.model_validate(
    {
        "id": "three",
        "version": "1",
        "principles": [{"id": name, "text": f"It is {name}."} for name in ("a", "b", "c")],
    }
)
UP, DOWN, PASS = {"up": True}, {"up": False}, {"reason": "unsure"}


def vote(annotator: str, principle: str, choice: dict[str, Any], number: int = 0) -> Feedback:
    return Feedback.model_validate(
        {
            "id": f"{annotator}-{principle}-{number}",
            "kind": "skip" if choice is PASS else "thumb",
            "prompt": "Agreed?",
            "options": [{"id": "x", "content": f"It is {principle}.", "shown_at": 0}],
            "choice": choice,
            "annotator": annotator,
        }
    )


@given(
    votes=st.lists(
        st.tuples(
            st.sampled_from("pqrstu"), st.sampled_from("abc"), st.sampled_from([UP, DOWN, PASS])
        ),
        min_size=1,
        max_size=40,
    )
)
def test_consensus_is_the_product_of_the_groups_smoothed_agreement(votes: list[Any]) -> None:
    groups = {name: "one" if name in "pq" else "two" for name in "pqrstu"}
    found = count_votes(THREE, [vote(*one, n) for n, one in enumerate(votes)], groups)
    last = {(annotator, principle): choice for annotator, principle, choice in votes}
    assert sum(found.groups.values()) == len({annotator for annotator, _ in last})
    for principle in "abc":
        expected = 1.0
        for group in found.groups:
            own = [c for (a, p), c in last.items() if p == principle and groups[a] == group]
            expected *= (1 + own.count(UP)) / (2 + len(own))
        assert found.consensus(principle) == pytest.approx(expected)
    values = [found.consensus(name) for name in found.ordered()]
    assert values == sorted(values, reverse=True)
    assert found.left_out.get("earlier votes of the same person", 0) == len(votes) - len(last)


def test_a_small_group_that_rejects_weighs_as_much_as_a_large_one() -> None:
    groups = {f"p{n}": "many" if n < 18 else "few" for n in range(20)}
    records = [vote(name, "a", UP if where == "many" else DOWN) for name, where in groups.items()]
    records += [vote(name, "b", UP if n % 4 else DOWN) for n, name in enumerate(groups)]
    found = count_votes(THREE, records, groups)
    assert found.ordered()[0] == "b"
    assert found.consensus("a") == pytest.approx(19 / 20 * 1 / 4)


def planted(people: int, seed: int, noise: float = 0.1) -> tuple[Any, list[int]]:
    """Two camps that vote opposite ways on half of twelve principles."""
    rng = np.random.default_rng(seed)
    camp_P = rng.permutation(np.arange(people) % 2)
    side_I = np.array([1.0] * 6 + [-1.0] * 6)
    votes_PI = np.where(camp_P[:, None] == 0, 1.0, side_I[None, :])
    votes_PI = np.where(rng.random(votes_PI.shape) < noise, -votes_PI, votes_PI)
    votes_PI[rng.random(votes_PI.shape) < 0.15] = np.nan
    return votes_PI, camp_P.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_planted_camps_are_found_and_nobody_else(seed: int) -> None:
    votes_PI, camp_P = planted(40, seed)
    found_P = opinion_groups(votes_PI, 0).tolist()
    same = [a == camp_P[0] for a in camp_P]
    assert np.mean([(g == found_P[0]) == s for g, s in zip(found_P, same, strict=True)]) > 0.9
    assert found_P == opinion_groups(votes_PI, 0).tolist()
    assert found_P[0] == 0


def test_few_people_and_equal_votes_are_one_group() -> None:
    assert set(opinion_groups(planted(5, 1)[0], 0).tolist()) == {0}
    assert set(opinion_groups(np.ones((30, 8)), 0).tolist()) == {0}


def test_what_is_no_vote_is_counted_and_nothing_is_an_error() -> None:
    other = vote("p", "z", UP)
    found = count_votes(THREE, [other, vote("p", "a", UP)])
    assert found.left_out == {"on texts that are none of these principles": 1}
    assert found.groups == {"group 1": 1}
    with pytest.raises(DataError, match="none of 1 records is a vote"):
        count_votes(THREE, [other])
    with pytest.raises(ConfigError, match="none of the 1 people who voted has a group"):
        count_votes(THREE, [vote("p", "a", UP)], {"q": "one"})
    part = count_votes(THREE, [vote("p", "a", UP), vote("q", "a", DOWN)], {"q": "one"})
    assert part.left_out == {"votes of people without a group": 1}
    assert part.consensus("a") == pytest.approx(1 / 3)


def test_items_name_the_principle_and_the_constitution() -> None:
    items = vote_items(THREE)
    assert [one["options"][0]["content"] for one in items] == ["It is a.", "It is b.", "It is c."]
    assert {one["meta"]["constitution"] for one in items} == {THREE.guideline}
