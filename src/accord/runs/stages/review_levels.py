"""Which answer goes on at a node? A pile of reviews is counted as a tree; at every node several
answers are written, by a reader with a small window at leaves and by somebody who adds and errs
above them, and reward models that learned from comparisons choose: one per level, one for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from accord.oversight.levels import ABOUT, ComparedAnswers, NodeDrafts, NodeReward, compare
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.review_count import drawn_piles
from accord.runs.stages.reviews import read_corpus
from accord.seeds import generator
from accord.statistics.intervals import Array, Index

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.text.reviews import Review

BY_MODEL = {
    "leaf_model": ("leaves", "leaves"),
    "one_model": ("both", "both"),
    "per_level": ("leaves", "inner"),
}
"""Ways to choose by reward models at every node: of what the one for leaves and the one for inner
nodes learned."""
Chooser = Callable[[NodeDrafts, Index], Index]
"""(answers written at nodes, the right ones) -> the answer that goes on at each: [D]."""


class ReviewLevelsConfig(StageConfig):
    """Settings of a review_levels stage."""

    kind: Literal["review_levels"]
    sizes: list[int] = Field(
        [16, 64], min_length=1, description="Reviews in a pile: branches, squared, cubed, ..."
    )
    branches: int = Field(
        4, ge=2, le=16, description="Reviews of a leaf, and children of an inner node."
    )
    piles: int = Field(200, ge=10, description="Piles that are counted, of each size.")
    taught: int = Field(
        400, ge=10, description="Piles of the largest size whose nodes are compared."
    )
    comparisons: int = Field(
        1500, ge=10, description="Comparisons of leaf answers, and as many of inner nodes' answers."
    )
    rationality: float = Field(
        2.0,
        gt=0,
        description="Of who compares: log-odds per review that the worse answer errs more.",
    )
    answers: int = Field(8, ge=2, description="Answers written at every node.")
    words: int = Field(50, ge=5, description="Words of each review that the reader reads.")
    vocabulary: int = Field(
        400, ge=10, description="Words that reward models know: the commonest of the reviews."
    )
    reader_reviews: int = Field(2400, ge=50, description="Reviews that the reader learned from.")
    pool: int = Field(
        1500,
        ge=100,
        le=3000,
        description="Reviews that piles are drawn from: so many to learn from, as many to count.",
    )
    forgets: float = Field(
        0.15, ge=0, lt=1, description="Chance that who adds leaves a child's answer out."
    )
    slips: float = Field(0.2, ge=0, le=1, description="Chance that who adds is one off.")
    lowest: float = Field(
        0.1, ge=0, le=1, description="Piles' shares of praise lie evenly between this"
    )
    highest: float = Field(0.9, ge=0, le=1, description="and this.")
    ridge: float = Field(2e-3, gt=0, description="Weight of the squared weights of a reward.")

    @model_validator(mode="after")
    def _possible(self) -> ReviewLevelsConfig:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest = {self.lowest:g} is not below highest = {self.highest:g}")
        powers = [self.branches**depth for depth in range(2, 8)]
        if odd := [size for size in self.sizes if size not in powers or size > self.pool // 3]:
            raise ValueError(
                f"sizes has {odd[0]}: a pile is {self.branches} squared, cubed and so on, and at"
                f" most {self.pool // 3}, a third of pool"
            )
        return self


@dataclass(frozen=True)
class LevelPool:
    """Reviews that piles are drawn from: what the reader reads of each, its label, the probability
    that it gives to praise, and TF-IDF of the words that reward models know."""

    texts: Sequence[str]
    label_R: Index
    praise_R: Array
    words_RV: Array


@dataclass(frozen=True)
class Piles:
    """Trees over P piles of N reviews, and what chance has in store for them, the same for every
    way to choose. rows_PN: places of reviews; draw_PNC: uniform numbers of the reader; forgets,
    slips: of the adder, per level above the leaves: [P, nodes, C, branches] and [P, nodes, C]."""

    pool: LevelPool
    rows_PN: Index
    draw_PNC: Array
    forgets: Sequence[Index]
    slips: Sequence[Index]

    @property
    def share_P(self) -> Array:
        """The share of each pile's reviews that praise."""
        shares: Array = self.pool.label_R[self.rows_PN].mean(1)
        return shares

    def leaves(self, branches: int) -> tuple[NodeDrafts, Index]:
        """(answers to the leaves of all piles, left to right, and the right ones)."""
        praise_PN = self.pool.praise_R[self.rows_PN]
        said_PNC = self.draw_PNC < praise_PN[:, :, None]
        answers = said_PNC.shape[2]
        said_DC = said_PNC.reshape(-1, branches, answers).sum(1)
        rows_DB = self.rows_PN.reshape(-1, branches)
        right_D: Index = self.pool.label_R[rows_DB].sum(1)
        text_DV = self.pool.words_RV[rows_DB].sum(1)
        evidence_D = self.pool.praise_R[rows_DB].sum(1)
        return NodeDrafts(said_DC, evidence_D, branches, text_DV), right_D

    def inner(self, level: int, below_D: Index, branches: int) -> tuple[NodeDrafts, Index]:
        """The same of the nodes so many levels above the leaves, from what went on below them: the
        right answer adds that up."""
        size = branches ** (level + 1)
        children_DB = below_D.reshape(-1, branches)
        forgets_DCB = self.forgets[level - 1].reshape(len(children_DB), -1, branches)
        slips_DC = self.slips[level - 1].reshape(len(children_DB), -1)
        said_DC = (children_DB[:, None] * (1 - forgets_DCB)).sum(2) + slips_DC
        right_D: Index = children_DB.sum(1)
        text_DV = np.zeros((len(right_D), self.pool.words_RV.shape[1]))
        return NodeDrafts(np.clip(said_DC, 0, size), right_D.astype(float), size, text_DV), right_D


class ReviewLevels(Stage):
    """Learns reward models from comparisons at each level, and tells the error of the share by
    each way to choose."""

    kind = "review_levels"
    Config = ReviewLevelsConfig
    provides: ClassVar = {"leaves": "judgements", "inner": "judgements"}
    about = "counting reviews as a tree, the best of several answers going on at each node"

    def plan(self, config: ReviewLevelsConfig, context: StageContext) -> Plan:
        cost = 3 + 3e-5 * config.answers * sum(config.sizes) * config.piles
        return Plan(rows=config.piles * len(config.sizes), seconds=(0.5 * cost, 5 * cost))

    def run(self, config: ReviewLevelsConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import write_records

        rng = generator(context.seed, "review levels")
        context.checkpoint(0, 3, "reading")
        taught, asked = _pools(config, rng)
        context.checkpoint(1, 3, "learning from comparisons")
        piles = _piles(taught, config.taught, max(config.sizes), config, rng)
        compared, records = _compared(piles, config, rng)
        artefacts = {}
        for name, some in records.items():
            artefacts[name] = context.folder / f"{name}.jsonl"
            write_records(artefacts[name], some)
        models = _models(compared, config, context)
        context.checkpoint(2, 3, "counting")
        values: dict[str, Value] = {
            "reader": float(np.mean((asked.praise_R > 0.5) == asked.label_R)),
            **{f"compared.{name}": len(some.preferred_P) for name, some in compared.items()},
        }
        for size in config.sizes:
            piles = _piles(asked, config.piles, size, config, rng)
            for name, (choose, answers) in _ways(models, config).items():
                measured = _measured(piles, choose, config.branches)
                nodes = sum(config.branches**n for n in range(_depth(size, config.branches)))
                values |= {f"{m}.{name}.{size}": value for m, value in measured.items()}
                values[f"calls.{name}.{size}"] = nodes * answers
            if size == max(config.sizes):
                values |= _ordered(piles, models, config.branches)
        context.checkpoint(3, 3)
        most = max(config.sizes)
        told = ", ".join(
            f"{name.replace('_', ' ')} {values[f'error.{name}.{most}']:.3f}"
            for name in ("first", "commonest", "one_model", "per_level")
        )
        return StageResult(f"error of the share in piles of {most}: {told}", values, artefacts)


# --- the piles ------------------------------------------------------------------------------------
def _depth(size: int, branches: int) -> int:
    """Levels of a tree over so many reviews, the leaves' counted."""
    return round(math.log(size, branches))


def _pools(config: ReviewLevelsConfig, rng: np.random.Generator) -> tuple[LevelPool, LevelPool]:
    """What piles to learn from and piles to count are drawn from; the reader learned from
    neither."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    from accord.text.gold import GoldSentiment

    base = read_corpus().parts["base"]
    some = [base[n] for n in rng.permutation(len(base)).tolist()]
    known, rest = some[: config.reader_reviews], some[config.reader_reviews :]
    reader = GoldSentiment.fit([_read(r, config) for r in known], [r.label for r in known])
    taught, asked = rest[: config.pool], rest[config.pool : 2 * config.pool]
    words = TfidfVectorizer(sublinear_tf=True, max_features=config.vocabulary)
    words.fit([_read(review, config) for review in taught])

    def pool(reviews: Sequence[Review]) -> LevelPool:
        texts = [_read(review, config) for review in reviews]
        label_R = np.array([review.label for review in reviews])
        praise_R = 1 / (1 + np.exp(-reader.score(texts)))
        return LevelPool(texts, label_R, praise_R, words.transform(texts).toarray())

    return pool(taught), pool(asked)


def _read(review: Review, config: ReviewLevelsConfig) -> str:
    """What is read of a review."""
    return " ".join(review.text.split(" ")[: config.words])


def _piles(
    pool: LevelPool, count: int, size: int, config: ReviewLevelsConfig, rng: np.random.Generator
) -> Piles:
    rows_PN = drawn_piles(pool.label_R, count, size, (config.lowest, config.highest), rng)
    forgets, slips = list[Index](), list[Index]()
    for level in range(1, _depth(size, config.branches)):
        nodes = size // config.branches ** (level + 1)
        shape = (count, nodes, config.answers)
        forgets.append((rng.random((*shape, config.branches)) < config.forgets).astype(np.int64))
        slipped = rng.random(shape) < config.slips
        slips.append(np.where(slipped, rng.choice([-1, 1], shape), 0))
    draw_PNC = rng.random((count, size, config.answers))
    return Piles(pool, rows_PN, draw_PNC, forgets, slips)


# --- learning -------------------------------------------------------------------------------------
def _compared(
    piles: Piles, config: ReviewLevelsConfig, rng: np.random.Generator
) -> tuple[dict[str, ComparedAnswers], dict[str, list[Feedback]]]:
    """Comparisons of leaves, and of inner nodes, of each level as many as it has of their nodes,
    whose children's answers are the commonest; and both as records."""
    drafts, right_D = piles.leaves(config.branches)
    leaves, at_P3 = compare(drafts, right_D, config.rationality, config.comparisons, rng)
    texts = [
        "\n\n".join(piles.pool.texts[n] for n in row)
        for row in piles.rows_PN.reshape(-1, config.branches)[at_P3[:, 0]].tolist()
    ]
    records = {"leaves": _records("leaf", texts, drafts, leaves, at_P3)}
    below_D, found, inner = drafts.commonest, list[ComparedAnswers](), list["Feedback"]()
    left, levels = config.comparisons, len(piles.forgets)
    for level in range(1, levels + 1):
        children_DB = below_D.reshape(-1, config.branches)
        drafts, right_D = piles.inner(level, below_D, config.branches)
        below_D = drafts.commonest
        nodes_above = sum(config.branches**n for n in range(levels - level + 1))
        count = round(left * config.branches ** (levels - level) / nodes_above)
        some, at_P3 = compare(drafts, right_D, config.rationality, count, rng)
        left -= count
        found.append(some)
        texts = ["\n".join(map(str, children_DB[node].tolist())) for node in at_P3[:, 0].tolist()]
        inner += _records(f"inner-{level}", texts, drafts, some, at_P3)
    return {"leaves": leaves, "inner": ComparedAnswers.of(found)}, records | {"inner": inner}


def _records(
    level: str, texts: Sequence[str], drafts: NodeDrafts, compared: ComparedAnswers, at_P3: Index
) -> list[Feedback]:
    """Comparisons as records: a node's text and question, and two answers to it."""
    from accord.feedback.records import Comparison, Feedback, Option

    question = f"How many of these {drafts.size} reviews praise their film?"
    if level != "leaf":
        question = f"These are counts of parts of {drafts.size} reviews. How many praise in all?"
    records = []
    for place, (text, (node, *pair)) in enumerate(zip(texts, at_P3.tolist(), strict=True)):
        options = [
            Option(id=name, content=str(drafts.said_DC[node, one]), producer=level, shown_at=at)
            for at, (name, one) in enumerate(zip("ab", pair, strict=True))
        ]
        records.append(
            Feedback(
                id=f"{level}-{place}",
                kind="comparison",
                prompt=f"{text}\n\n{question}",
                options=options,
                choice=Comparison(preferred="a" if compared.preferred_P[place] else "b"),
                annotator="simulated",
                meta={"node": {"level": level, "size": drafts.size}},
            )
        )
    return records


def _models(
    compared: Mapping[str, ComparedAnswers], config: ReviewLevelsConfig, context: StageContext
) -> dict[str, NodeReward]:
    """Of leaves, of inner nodes, and of both together."""
    both = {**compared, "both": ComparedAnswers.of(list(compared.values()))}
    models = {name: NodeReward.learned(some, config.ridge) for name, some in both.items()}
    for name, model in models.items():
        weights = zip(ABOUT, model.weight_F.tolist(), strict=False)
        context.say(f"reward of {name}: " + ", ".join(f"{n} {w:+.2f}" for n, w in weights))
    return models


def _ways(
    models: Mapping[str, NodeReward], config: ReviewLevelsConfig
) -> dict[str, tuple[Chooser, int]]:
    """Ways to choose, by name, and how many answers each has written at a node."""

    def by(name: str) -> Chooser:
        return lambda drafts, _: models[name].best(drafts)

    def at(leaf: Chooser, inner: Chooser) -> Chooser:
        return lambda drafts, right_D: (leaf if drafts.size == config.branches else inner)(
            drafts, right_D
        )

    def commonest(drafts: NodeDrafts, _: Index) -> Index:
        return drafts.commonest

    return {
        "first": (lambda drafts, _: drafts.said_DC[:, 0], 1),
        "commonest": (commonest, config.answers),
        **{
            way: (at(by(leaf), by(above)), config.answers)
            for way, (leaf, above) in BY_MODEL.items()
        },
        "leaf_only": (at(by("leaves"), commonest), config.answers),
        "inner_only": (at(commonest, by("inner")), config.answers),
        "known": (_nearest, config.answers),
    }


def _nearest(drafts: NodeDrafts, right_D: Index) -> Index:
    """What is nearest to the right answer of each node, as who knows it would choose."""
    return drafts.taken(np.abs(drafts.said_DC - right_D[:, None]).argmin(1))


# --- counting -------------------------------------------------------------------------------------
def _measured(piles: Piles, choose: Chooser, branches: int) -> dict[str, float]:
    """Error of the share, and how many leaves and inner nodes are right of what they read."""
    drafts, right_D = piles.leaves(branches)
    below_D = choose(drafts, right_D)
    leaves, inner = below_D == right_D, list[Array]()
    for level in range(1, len(piles.forgets) + 1):
        drafts, right_D = piles.inner(level, below_D, branches)
        below_D = choose(drafts, right_D)
        inner.append(below_D == right_D)
    error_P = np.abs(below_D / piles.rows_PN.shape[1] - piles.share_P)
    return {
        "error": float(error_P.mean()),
        "leaves": float(leaves.mean()),
        "inner": float(np.concatenate(inner).mean()),
    }


def _ordered(piles: Piles, models: Mapping[str, NodeReward], branches: int) -> dict[str, Value]:
    """How often reward models put two answers to a leaf, and to a node over leaves, in order."""
    leaves, leaf_right_D = piles.leaves(branches)
    inner, inner_right_D = piles.inner(1, leaves.commonest, branches)
    found: dict[str, Value] = {}
    for way, (leaf, above) in BY_MODEL.items():
        found[f"ordered.{way}.leaves"] = models[leaf].ordered(leaves, leaf_right_D)
        found[f"ordered.{way}.inner"] = models[above].ordered(inner, inner_right_D)
    return found
