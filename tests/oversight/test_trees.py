"""Trees of questions: what is no tree, answering, credit, audits and their chance to catch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.feedback.records import dump_line, parse_line
from accord.oversight.trees import (
    QuestionTree,
    TreeNode,
    audit,
    catch_probability,
    grown,
    leave_one_out,
    tree_records,
)


def add(node: TreeNode[int], below: Sequence[int]) -> int:
    """A leaf's text is its number; a node's answer the sum of its children's."""
    return sum(below) if node.children else int(node.inputs)


def summed(numbers: Sequence[int], branches: int = 4) -> QuestionTree[int]:
    tree: QuestionTree[int] = grown(
        [str(n) for n in numbers], "All?", lambda size: f"Of {size}?", branches
    )
    return tree.answered(add, "adder", lambda node: float(len(node.inputs)))


NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=30)


@settings(max_examples=60)
@given(NUMBERS, st.integers(2, 5))
def test_a_tree_answers_what_its_leaves_say(numbers: list[int], branches: int) -> None:
    tree = summed(numbers, branches)
    assert tree.root.answer == sum(numbers)
    assert tree.root.question == "All?"
    assert [leaf.inputs for leaf in tree.leaves] == [str(n) for n in numbers]
    assert tree.cost == len(numbers)
    assert all(len(node.children) <= branches for node in tree.nodes.values())
    for leaf in tree.leaves:
        path = tree.path(leaf.id)
        assert path[0] == tree.root
        assert path[-1] == leaf
        assert all(low.id in high.children for high, low in pairwise(path))
    credit = leave_one_out(tree, add, float, lambda node: 0)  # what a sum loses without it
    assert credit == {name: float(node.answer or 0) for name, node in tree.nodes.items()}
    records = tree_records(tree, credit, "credit", 0, 300)
    again = [parse_line(dump_line(record)) for record in records]
    assert again == records
    assert sum(r.choice.scores["credit"] for r in records if not r.meta["node"]["children"]) == sum(
        numbers
    )
    shown = {r.meta["node"]["id"]: str(r.prompt) for r in records}
    for name, node in tree.nodes.items():
        for child in node.children:
            assert f"{tree.nodes[child].question} {tree.nodes[child].answer}" in shown[name]


@given(st.integers(2, 9), st.data())
def test_a_circle_is_told(size: int, data: st.DataObject) -> None:
    """A chain of nodes, its last one with one of them as a child."""
    back = data.draw(st.integers(1, size - 1))
    nodes = {
        str(n): TreeNode[int](str(n), "?", children=(str(n + 1) if n < size else str(back),))
        for n in range(size + 1)
    }
    with pytest.raises(DataError, match=rf"in a circle: .*\b{back}\b"):
        QuestionTree(nodes)


def test_what_is_no_tree_is_told() -> None:
    leaf = TreeNode[int]("leaf", "?", "1")
    one, two = (TreeNode[int](name, "?", children=("leaf",)) for name in ("one", "two"))
    for nodes, message in (
        ([one], "child 'leaf' is not there"),
        ([one, two, leaf], "leaf: it has two parents"),
        ([one, leaf, TreeNode[int]("other", "?", "2")], "has 2: one, other"),
        ([TreeNode[int]("one", "?", "text", ("leaf",)), leaf], "inputs and children"),
    ):
        with pytest.raises(DataError, match=message):
            QuestionTree({node.id: node for node in nodes})
    with pytest.raises(DataError, match="make no tree"):
        grown([], "?", str)
    with pytest.raises(DataError, match="has no answer"):
        tree_records(QuestionTree({"leaf": leaf}), {"leaf": 0.0}, "me", 0, 1)
    with pytest.raises(DataError, match=r"credit 2 is outside \[0, 1\]"):
        tree_records(summed([2]), {"leaf-0": 2.0}, "me", 0, 1)


@pytest.mark.parametrize(("liars", "paths"), [(4, 8), (4, 16), (4, 32), (1, 64), (0, 9)])
def test_audits_catch_as_often_as_is_said(liars: int, paths: int) -> None:
    """Of 64 leaves; by 20,000 draws within .01, and by whole audits of a tree within 4 errors."""
    chance = catch_probability(64, liars, paths)
    assert chance == pytest.approx(
        {(4, 8): 0.42, (4, 16): 0.69, (4, 32): 0.94}.get((liars, paths), chance), abs=0.01
    )
    rng = np.random.default_rng(5)
    drawn_SP = rng.random((20_000, 64)).argsort(1)[:, :paths]
    assert float((drawn_SP < liars).any(1).mean()) == pytest.approx(chance, abs=0.01)
    tree = summed([1] * 64)

    def wrong(node: TreeNode[int], below: Sequence[int]) -> bool:
        return not below and int(node.id.split("-")[1]) < liars

    caught = [bool(audit(tree, paths, wrong, rng)) for _ in range(100)]
    assert abs(float(np.mean(caught)) - chance) <= 4 * np.sqrt(chance * (1 - chance) / 100) + 1e-9
    with pytest.raises(DataError, match="65 paths of 64 leaves"):
        audit(tree, 65, wrong, rng)


def test_an_audit_meets_inner_nodes_with_their_children() -> None:
    tree = summed([1] * 16)
    forged = QuestionTree(
        {
            **tree.nodes,
            "level-1-2": TreeNode(
                "level-1-2", "?", children=tree.nodes["level-1-2"].children, answer=9
            ),
        }
    )
    found = audit(
        forged, 16, lambda node, below: node.answer != add(node, below), np.random.default_rng(1)
    )
    assert found == [forged.root.id, "level-1-2"] or found == ["level-1-2", forged.root.id]


@pytest.mark.parametrize("size", [4, 8, 32])
def test_errors_of_pairwise_sums_add_up(size: int) -> None:
    """The last digit of a sum by an adder of two that is right in 97 %: .97^(N-1)."""
    rng = np.random.default_rng(7)

    def adder(node: TreeNode[int], below: Sequence[int]) -> int:
        if not node.children:
            return int(node.inputs)
        slip = int(rng.integers(1, 10)) if rng.random() < 0.03 else 0
        return (sum(below) + slip) % 10

    right = 0
    for _ in range(800):
        digits = rng.integers(0, 10, size).tolist()
        tree = grown([str(d) for d in digits], "?", str, branches=2)
        right += tree.answered(adder, "adder").root.answer == sum(digits) % 10
    exact = 0.1 + 0.9 * (1 - 0.03 * 10 / 9) ** (size - 1)  # two slips may cancel each other
    assert abs(exact - 0.97 ** (size - 1)) < 0.03
    assert right / 800 == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 800))
