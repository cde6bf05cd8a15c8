"""Decomposition: a question about more than anybody reads at once, as a tree of smaller ones (Wu et
al. 2021; Christiano et al. 2018). A leaf is answered from what it reads, an inner node from its
children's answers alone.

Whoever checks a node reads that node and nothing else. What a node is worth is told by itself or
by what the root loses without it; what was answered wrongly on purpose is looked for along random
paths from the root to a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from math import comb
from typing import Generic, TypeVar

import numpy as np

from accord.errors import DataError
from accord.feedback.records import Feedback, Option, Rating, content_id

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class TreeNode(Generic[Answer]):
    """One question. inputs: what a leaf reads (an inner node reads its children's answers);
    children: ids; answer: None until somebody, the producer, gave it; cost: what that took, in
    whatever unit, the same for all nodes."""

    id: str
    question: str
    inputs: str = ""
    children: tuple[str, ...] = ()
    answer: Answer | None = None
    producer: str | None = None
    cost: float = 0.0


Solver = Callable[[TreeNode[Answer], Sequence[Answer]], Answer]
"""(a node, the answers of its children) -> its answer."""


@dataclass(frozen=True)
class QuestionTree(Generic[Answer]):
    """Nodes by id. Raises DataError for a cycle, a child that is not there or has two parents, for
    more or less than one root and an inner node with inputs."""

    nodes: Mapping[str, TreeNode[Answer]]

    def __post_init__(self) -> None:
        named = [child for node in self.nodes.values() for child in node.children]
        for node in self.nodes.values():
            if missing := [child for child in node.children if child not in self.nodes]:
                raise DataError(
                    f"node {node.id}: its child {missing[0]!r} is not there",
                    f"the nodes are {', '.join(list(self.nodes)[:8])}",
                )
            if node.children and node.inputs:
                raise DataError(
                    f"node {node.id}: it has inputs and children",
                    "put what is to be read into leaves",
                )
        try:
            TopologicalSorter({n.id: n.children for n in self.nodes.values()}).prepare()
        except CycleError as error:
            raise DataError(
                f"the questions go round in a circle: {' -> '.join(reversed(error.args[1]))}",
                "a node is answered from its children, never from itself",
            ) from None
        if twice := [child for child in dict.fromkeys(named) if named.count(child) > 1]:
            raise DataError(f"node {twice[0]}: it has two parents", "ask it twice, by two nodes")
        roots = [name for name in self.nodes if name not in {*named}]
        if len(roots) != 1:
            raise DataError(
                f"a tree has one root, this one has {len(roots)}: {', '.join(roots[:8])}",
                "make one node ask for the whole",
            )

    @property
    def root(self) -> TreeNode[Answer]:
        """The question as it was asked."""
        inner = {child for node in self.nodes.values() for child in node.children}
        return next(node for name, node in self.nodes.items() if name not in inner)

    @property
    def leaves(self) -> list[TreeNode[Answer]]:
        """The nodes without children, from left to right."""
        return [node for node in self.below(self.root.id) if not node.children]

    def below(self, name: str) -> list[TreeNode[Answer]]:
        """A node and all under it, each before its children, from left to right."""
        found, open_ = list[TreeNode[Answer]](), [name]
        while open_:
            node = self.nodes[open_.pop()]
            found.append(node)
            open_ += reversed(node.children)
        return found

    def path(self, leaf: str) -> list[TreeNode[Answer]]:
        """From the root down to a node."""
        parents = {child: node for node in self.nodes.values() for child in node.children}
        way = [self.nodes[leaf]]
        while way[-1].id in parents:
            way.append(parents[way[-1].id])
        return way[::-1]

    @property
    def cost(self) -> float:
        """Of all answers."""
        return sum(node.cost for node in self.nodes.values())

    def answered(
        self,
        solve: Solver[Answer],
        producer: str,
        cost: Callable[[TreeNode[Answer]], float] = lambda _: 1.0,
        given: Mapping[str, Answer] | None = None,
    ) -> QuestionTree[Answer]:
        """The tree with every node answered anew, leaves first; `given` answers stand, by id, and
        what is below them is not asked."""
        given, done = given or {}, dict(self.nodes)
        kept = {node.id for name in given for node in self.below(name)}
        for node in reversed(self.below(self.root.id)):
            if node.id in given:
                done[node.id] = replace(node, answer=given[node.id])
            elif node.id not in kept:
                below = [_answer(done[child]) for child in node.children]
                answer = solve(node, below)
                done[node.id] = replace(node, answer=answer, producer=producer, cost=cost(node))
        return QuestionTree(done)


def _answer(node: TreeNode[Answer]) -> Answer:
    if node.answer is None:
        raise DataError(f"node {node.id} has no answer", "answer the tree first")
    return node.answer


def grown(
    inputs: Sequence[str], question: str, part: Callable[[int], str], branches: int = 4
) -> QuestionTree[Answer]:
    """A tree over these texts, a leaf each, with up to `branches` children per node. question: the
    root's and a leaf's; part: that of an inner node over so many leaves. Raises DataError where
    there is nothing to read."""
    if not inputs or branches < 2:
        raise DataError(
            f"{len(inputs)} texts, {branches} branches make no tree", "give 1 text, 2 branches"
        )
    nodes = {
        f"leaf-{place}": TreeNode[Answer](f"leaf-{place}", part(1), text)
        for place, text in enumerate(inputs)
    }
    level, depth = [(name, 1) for name in nodes], 0
    while len(level) > 1:
        groups = [level[at : at + branches] for at in range(0, len(level), branches)]
        level, depth = [], depth + 1
        for place, group in enumerate(groups):
            name, size = f"level-{depth}-{place}", sum(count for _, count in group)
            nodes[name] = TreeNode(name, part(size), children=tuple(child for child, _ in group))
            level.append((name, size))
    root = level[0][0]
    nodes[root] = replace(nodes[root], question=question)
    return QuestionTree(nodes)


# --- credit ---------------------------------------------------------------------------------------
def leave_one_out(
    tree: QuestionTree[Answer],
    solve: Solver[Answer],
    reward: Callable[[Answer], float],
    instead: Callable[[TreeNode[Answer]], Answer],
) -> dict[str, float]:
    """What the root's reward loses if a node's answer is `instead`, and those above it are solved
    anew; by id."""
    held, worth = {node.id: _answer(node) for node in tree.nodes.values()}, _answer(tree.root)
    credit = {}
    for name, node in tree.nodes.items():
        above = {one.id for one in tree.path(name)}
        given = {n: answer for n, answer in held.items() if n not in above}
        other = tree.answered(solve, "leave one out", given=given | {name: instead(node)})
        credit[name] = reward(worth) - reward(_answer(other.root))
    return credit


def tree_records(
    tree: QuestionTree[Answer], credit: Mapping[str, float], annotator: str, low: float, high: float
) -> list[Feedback]:
    """Every node as a prompt (what is read, then the question) with its answer as the one option,
    rated by its credit on [low, high]. Raises DataError for a node without credit or answer."""
    session, records = content_id(*(_prompt(tree, node) for node in tree.nodes.values())), []
    for name, node in tree.nodes.items():
        if name not in credit:
            raise DataError(f"node {name} has no credit", "give one number per node")
        if not low <= credit[name] <= high:
            raise DataError(
                f"node {name}: credit {credit[name]:g} is outside [{low:g}, {high:g}]",
                "give the range of your reward",
            )
        option = Option(id="a", content=str(_answer(node)), producer=node.producer, shown_at=0)
        records.append(
            Feedback(
                id=f"{session}-{name}",
                kind="rating",
                prompt=_prompt(tree, node),
                options=[option],
                choice=Rating(scores={"credit": credit[name]}, low=low, high=high),
                annotator=annotator,
                session=session,
                meta={"node": {"id": name, "children": list(node.children), "cost": node.cost}},
            )
        )
    return records


def _prompt(tree: QuestionTree[Answer], node: TreeNode[Answer]) -> str:
    below = [tree.nodes[child] for child in node.children]
    read = "\n".join(f"{child.question} {_answer(child)}" for child in below) or node.inputs
    return f"{read}\n\n{node.question}"


# --- audits ---------------------------------------------------------------------------------------
def catch_probability(leaves: int, liars: int, paths: int) -> float:
    """That at least one of `liars` among the leaves lies on so many different paths, drawn by
    chance (hypergeometric). Raises DataError for more liars or paths than leaves."""
    if not (0 <= liars <= leaves and 0 <= paths <= leaves):
        raise DataError(
            f"{liars} liars, {paths} paths of {leaves} leaves", "give no more than there are leaves"
        )
    return 1 - comb(leaves - liars, paths) / comb(leaves, paths)


def audit(
    tree: QuestionTree[Answer],
    paths: int,
    wrong: Callable[[TreeNode[Answer], Sequence[Answer]], bool],
    rng: np.random.Generator,
) -> list[str]:
    """The nodes found wrong on paths from the root to different random leaves, in the order met.
    wrong: whether a node's answer is, given its children's; each node is looked at once."""
    leaves = tree.leaves
    catch_probability(len(leaves), 0, paths)  # no more paths than leaves
    drawn = rng.choice(len(leaves), paths, replace=False).tolist()
    met = {node.id: node for place in drawn for node in tree.path(leaves[place].id)}
    return [
        name
        for name, node in met.items()
        if wrong(node, [_answer(tree.nodes[child]) for child in node.children])
    ]
