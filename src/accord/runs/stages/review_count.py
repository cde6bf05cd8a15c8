"""How many of a pile of reviews praise their film? Asked of a reader whose window holds 200 words:
directly, as a tree with a leaf per review, and as a tree whose leaves' errors are corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from accord.oversight.trees import (
    QuestionTree,
    TreeNode,
    catch_probability,
    grown,
    leave_one_out,
    tree_records,
)
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.reviews import read_corpus
from accord.seeds import generator
from accord.statistics.intervals import Array, Index
from accord.statistics.judged_rates import rogan_gladen
from accord.statistics.means import share_mean

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.text.gold import GoldSentiment
    from accord.text.reviews import Review

QUESTION = "How many of the reviews praise their film?"


class ReviewCountConfig(StageConfig):
    """Settings of a review_count stage."""

    kind: Literal["review_count"]
    sizes: list[int] = Field([4, 16, 64], min_length=1, description="Reviews in a pile.")
    piles: int = Field(200, ge=10, description="Piles that are counted, of each size.")
    taught: int = Field(
        300, ge=20, description="Piles with known counts that direct and end-to-end learn from."
    )
    pool: int = Field(
        1500,
        ge=100,
        le=3000,
        description="Reviews that piles are drawn from: so many to"
        " learn from, and so many to count.",
    )
    reader_reviews: int = Field(2400, ge=50, description="Reviews that the reader learned from.")
    window: int = Field(200, ge=10, description="Words that it reads at once.")
    checked: int = Field(
        400,
        ge=20,
        description="Reviews kept aside that its leaves' errors are measured on.",
    )
    lowest: float = Field(
        0.1, ge=0, le=1, description="Piles' shares of praise lie evenly between this"
    )
    highest: float = Field(0.9, ge=0, le=1, description="and this.")
    liars: int = Field(4, ge=1, description="Leaves that lie, where an audit's chance is told.")
    paths: list[int] = Field([8, 16, 32], description="Paths of a tree that an audit looks at.")
    written: int = Field(2, ge=0, description="Trees of the largest size that are written.")

    @model_validator(mode="after")
    def _in_order(self) -> ReviewCountConfig:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest = {self.lowest:g} is not below highest = {self.highest:g}")
        if not 1 <= min(self.sizes) <= max(self.sizes) <= self.pool // 3:
            raise ValueError(
                f"sizes = {self.sizes} are not all in [1, {self.pool // 3}], a third of pool"
            )
        return self


@dataclass(frozen=True)
class ReviewPool:
    """Reviews to draw piles from: what of each fits a window, the whole, its label, and what the
    reader says of that window (log-odds)."""

    texts: list[str]
    whole: list[str]
    label_R: Index
    odds_R: Array

    def piles(
        self, count: int, size: int, config: ReviewCountConfig, rng: np.random.Generator
    ) -> Index:
        """[piles, size]: places of reviews, see `drawn_piles`."""
        return drawn_piles(self.label_R, count, size, (config.lowest, config.highest), rng)


def drawn_piles(
    label_R: Index, count: int, size: int, between: tuple[float, float], rng: np.random.Generator
) -> Index:
    """[piles, size]: places of reviews with these labels, none twice in a pile, as many that praise
    as a coin of the pile's own share says; shares lie evenly between two."""
    by_label = [np.flatnonzero(label_R == label) for label in (0, 1)]
    shares = rng.uniform(*between, count)
    rows = []
    for positive in rng.binomial(size, shares).tolist():
        parts = [
            rng.choice(places, many, replace=False)
            for places, many in zip(by_label, (size - positive, positive), strict=True)
        ]
        rows.append(rng.permutation(np.concatenate(parts)))
    return np.stack(rows)


class ReviewCount(Stage):
    """Counts every pile in each way, and tells the mean error of the share."""

    kind = "review_count"
    Config = ReviewCountConfig
    provides: ClassVar = {"nodes": "judgements"}
    about = "counting reviews that praise: in one window, end to end, as a tree, corrected"

    def plan(self, config: ReviewCountConfig, context: StageContext) -> Plan:
        for paths in config.paths:
            catch_probability(max(config.sizes), config.liars, paths)
        cost = 3 + 2e-4 * sum(config.sizes) * (config.piles + config.taught)
        return Plan(rows=config.piles * len(config.sizes), seconds=(0.5 * cost, 5 * cost))

    def run(self, config: ReviewCountConfig, context: StageContext) -> StageResult:
        from accord.feedback.records import Feedback
        from accord.feedback.store import write_records
        from accord.text.gold import GoldSentiment

        parts, rng = read_corpus().parts, generator(context.seed, "review count")
        base = [parts["base"][n] for n in rng.permutation(len(parts["base"])).tolist()]
        rest = [*parts["prompts"], *parts["eval"]]
        others = [rest[n] for n in rng.permutation(len(rest)).tolist()]
        known = base[config.pool + config.checked :][: config.reader_reviews]
        kept = base[config.pool : config.pool + config.checked]
        context.checkpoint(0, 1 + len(config.sizes), "reading")
        reader = GoldSentiment.fit([r.text for r in known], [r.label for r in known])
        taught, asked, checked = (
            _pool(reviews, reader, config)
            for reviews in (base[: config.pool], others[: config.pool], kept)
        )
        counter = ReviewCounter(config.window, reader, taught, asked, _counts(checked))
        (found, positive), (passed, negative) = counter.right
        values: dict[str, Value] = {
            "reader": float(np.mean((asked.odds_R > 0) == asked.label_R)),
            "sensitivity": found / positive,
            "specificity": passed / negative,
        }
        nodes, most = list[Feedback](), max(config.sizes)
        for place, size in enumerate(config.sizes, 1):
            context.checkpoint(place, 1 + len(config.sizes), f"piles of {size}")
            rows_PN, known_PN = (
                pool.piles(count, size, config, rng)
                for pool, count in ((asked, config.piles), (taught, config.taught))
            )
            true_P = asked.label_R[rows_PN].mean(1)
            trees = [_tree(asked, row_N) for row_N in rows_PN]
            for name, share_P in counter.shares(trees, rows_PN, known_PN).items():
                values[f"error.{name}.{size}"] = float(np.abs(share_P - true_P).mean())
            values[f"words.tree.{size}"] = float(np.mean([tree.cost for tree in trees]))
            if size == most:
                nodes = list(_written(trees, true_P, config.written))
        for paths in config.paths:
            values[f"catch.{paths}"] = catch_probability(most, config.liars, paths)
        chances = ", ".join(f"{values[f'catch.{paths}']:.0%} by {paths}" for paths in config.paths)
        context.say(f"audits find one of {config.liars} lying leaves of {most}: {chances} paths")
        written = context.folder / "nodes.jsonl"
        write_records(written, nodes)
        context.checkpoint(1 + len(config.sizes), 1 + len(config.sizes))
        told = ", ".join(
            f"{name} {values[f'error.{name}.{most}']:.3f}"
            for name in ("direct", "tree", "corrected")
        )
        summary = f"error of the share in piles of {most}: {told}"
        return StageResult(summary, values, {"nodes": written})


@dataclass(frozen=True)
class ReviewCounter:
    """taught: with known counts, to learn from; asked: to count; right: (found, of) the reviews
    that praise and (passed, of) the others, on leaves kept aside."""

    window: int
    reader: GoldSentiment
    taught: ReviewPool
    asked: ReviewPool
    right: tuple[tuple[int, int], tuple[int, int]]

    def shares(
        self, trees: Sequence[QuestionTree[int]], rows_PN: Index, known_PN: Index
    ) -> dict[str, Array]:
        """Each pile's share of praise by each way: [P]."""
        size, goals_P = rows_PN.shape[1], self.taught.label_R[known_PN].mean(1)
        said_P = np.array([float(tree.root.answer or 0) for tree in trees]) / size
        shares = {
            "constant": np.full(len(rows_PN), goals_P.mean()),
            "tree": said_P,
            "corrected": np.array([self._corrected(said, size) for said in said_P.tolist()]),
            "end_to_end": _ridge(
                _means(self.words[0], known_PN), goals_P, _means(self.words[1], rows_PN)
            ),
        }
        for name, each in (("direct", self.window), ("spread", max(1, self.window // size))):
            taught_P, asked_P = (
                self.reader.score(_windows(pool, rows, each, self.window))
                for pool, rows in ((self.taught, known_PN), (self.asked, rows_PN))
            )
            shares[name] = _line(taught_P, asked_P, goals_P)
        return shares

    @cached_property
    def words(self) -> tuple[Any, Any]:
        """TF-IDF of the reviews to learn from and of those to count: [R, V], sparse."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
        return vectorizer.fit_transform(self.taught.whole), vectorizer.transform(self.asked.whole)

    def _corrected(self, said: float, size: int) -> float:
        """Of a tree's share, by what its leaves get wrong (Rogan and Gladen)."""
        praised = round(said * size)
        rate = share_mean(np.repeat([1.0, 0.0], [praised, size - praised]))
        return rogan_gladen(rate, *self.right).value


def _pool(
    reviews: Sequence[Review], reader: GoldSentiment, config: ReviewCountConfig
) -> ReviewPool:
    texts = [" ".join(review.text.split(" ")[: config.window]) for review in reviews]
    whole = [review.text for review in reviews]
    return ReviewPool(texts, whole, np.array([r.label for r in reviews]), reader.score(texts))


def _counts(pool: ReviewPool) -> tuple[tuple[int, int], tuple[int, int]]:
    """(found, of) the reviews that praise, (passed, of) the others, on leaves kept aside."""
    said_R, true_R = pool.odds_R > 0, pool.label_R == 1
    return (
        (int((said_R & true_R).sum()), int(true_R.sum())),
        (int((~said_R & ~true_R).sum()), int((~true_R).sum())),
    )


# --- a tree ---------------------------------------------------------------------------------------
def _tree(pool: ReviewPool, row_N: Index) -> QuestionTree[int]:
    """Of a pile, answered: a leaf reads its review, an inner node adds."""
    said = {
        f"leaf-{place}": int(pool.odds_R[review] > 0) for place, review in enumerate(row_N.tolist())
    }

    def solve(node: TreeNode[int], below: Sequence[int]) -> int:
        return sum(below) if node.children else said[node.id]

    texts = [pool.texts[review] for review in row_N.tolist()]
    tree: QuestionTree[int] = grown(
        texts, QUESTION, lambda size: f"How many of {size} reviews praise?" if size > 1 else "1?"
    )
    return tree.answered(solve, "reader", lambda node: float(len(node.inputs.split())))


def _written(trees: Sequence[QuestionTree[int]], true_P: Array, count: int) -> Iterator[Feedback]:
    """Nodes of the first trees as records, rated by what the root's share loses without each."""
    for tree, true in zip(trees[:count], true_P.tolist(), strict=False):
        size = len(tree.leaves)
        credit = leave_one_out(
            tree,
            lambda _, below: sum(below),
            lambda answer, size=size, true=true: -abs(answer / size - true),  # type: ignore[misc]
            lambda node: 0,
        )
        yield from tree_records(tree, credit, "leave-one-out", -1.0, 1.0)


# --- without a tree -------------------------------------------------------------------------------
def _windows(pool: ReviewPool, rows_PN: Index, each: int, window: int) -> list[str]:
    """The first `window` words of each pile, of which `each` words per review are laid out."""
    return [
        " ".join([word for n in row for word in pool.texts[n].split(" ")[:each]][:window])
        for row in rows_PN.tolist()
    ]


def _line(taught_P: Array, asked_P: Array, goals_P: Array) -> Array:
    """The share by the straight line in the reader's log-odds that fits the piles learned from."""
    slope, start = np.polyfit(taught_P, goals_P, 1)
    found: Array = np.clip(slope * asked_P + start, 0, 1)
    return found


def _means(features_RV: Any, rows_PN: Index) -> Any:
    """The mean of a pile's reviews, of length 1: [P, V], sparse."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    piles, size = rows_PN.shape
    places = (np.repeat(np.arange(piles), size), rows_PN.ravel())
    holds_PR = csr_matrix((np.ones(piles * size), places), shape=(piles, features_RV.shape[0]))
    return normalize(holds_PR @ features_RV)


def _ridge(taught_PV: Any, goals_P: Array, asked_PV: Any) -> Array:
    """The share by a ridge regression on words, its strength chosen on the piles learned from."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=np.logspace(-2, 2, 9)).fit(taught_PV, goals_P)
    found: Array = np.clip(model.predict(asked_PV), 0, 1)
    return found
