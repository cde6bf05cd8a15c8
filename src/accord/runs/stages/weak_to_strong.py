"""Weak supervisors and a strong student on movie reviews: what the student recovers of the gap
between its supervisor and what it could be (Burns et al. 2023, arXiv 2312.09390)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.examine.weak_to_strong import RecoveredGap

ROUNDS, WARM_UP = 8, 4
"""Times that the confidence loss hardens the student's own labels; after how many its weight has
risen from 0 to `own_weight`."""
STRENGTH = 0.1
"""Inverse of the ridge penalty of every model here."""


class WeakToStrongConfig(StageConfig):
    """Settings of a weak_to_strong stage."""

    kind: Literal["weak_to_strong"]
    supervisors: int = Field(8, ge=2, description="Weak supervisors, each trained on its own draw.")
    weak_words: int = Field(
        100, ge=2, description="Most frequent words, whose presence a weak supervisor sees."
    )
    weak_labels: int = Field(200, ge=10, description="True labels that a weak supervisor learns.")
    components: int = Field(
        100, ge=2, description="Directions of the reviews' TF-IDF that the student sees (SVD)."
    )
    reviews: int = Field(4000, ge=100, description="Reviews that the weak supervisor labels.")
    tested: int = Field(2000, ge=100, description="Reviews on which all are tested.")
    own_weight: float = Field(
        0.75, ge=0, lt=1, description="Weight of the student's own labels in the confidence loss."
    )
    confident: float = Field(
        0.5, gt=0, le=1, description="Share of the labels, the surest, that the filter keeps."
    )


class WeakToStrong(Stage):
    """Trains weak supervisors, students on their labels in three ways, and the ceiling."""

    kind = "weak_to_strong"
    Config = WeakToStrongConfig
    about = "what a strong model learns from weak supervisors' labels of reviews"

    def plan(self, config: WeakToStrongConfig, context: StageContext) -> Plan:
        rows = config.reviews + config.tested
        return Plan(rows=rows, seconds=(1 + 0.2 * config.supervisors, 15 + 2 * config.supervisors))

    def run(self, config: WeakToStrongConfig, context: StageContext) -> StageResult:
        from accord.examine.weak_to_strong import recovered_gap

        world = _read(config, context.seed)
        ceiling = world.right(_fit(world.strong_RF, world.label_R))
        found: dict[str, list[float]] = {"weak": [], **{name: [] for name in STUDENTS}}
        for number in range(config.supervisors):
            weak_R = _weak(world, config, derive_seed(context.seed, "weak", number))
            found["weak"].append(world.right_labels(weak_R))
            for name, student in STUDENTS.items():
                found[name].append(world.right(student(world.strong_RF, weak_R, config)))
            context.checkpoint(number + 1, config.supervisors, "weak supervisors")
        values: dict[str, Value] = {f"accuracy.{n}": float(np.mean(a)) for n, a in found.items()}
        values["accuracy.ceiling"] = ceiling
        gaps = {
            name: recovered_gap(found["weak"], found[name], [ceiling] * config.supervisors)
            for name in STUDENTS
        }
        values |= {f"recovered.{n}": g.recovered.value for n, g in gaps.items() if g.recovered}
        for name, gap in gaps.items():
            context.say(f"{name}: share of the gap recovered {gap}, gain {gap.gain}")
        file = context.folder / "recovered.json"
        write_json(file, {name: _row(found[name], gap) for name, gap in gaps.items()})
        told = ", ".join(f"{name} {gap}" for name, gap in gaps.items())
        summary = f"{config.supervisors} weak supervisors of {np.mean(found['weak']):.1%}"
        summary += f", ceiling {ceiling:.1%}; recovered: {told}"
        return StageResult(summary, values)


def _row(accuracy: Sequence[float], gap: RecoveredGap) -> dict[str, Any]:
    recovered = gap.recovered and gap.recovered.model_dump(mode="json")
    return {"accuracy": accuracy, "recovered": recovered, "suppressed": gap.suppressed}


@dataclass(frozen=True)
class _ReviewWorld:
    """Reviews R to be labelled, then those that are tested: what the strong model and what a weak
    one sees of each, and whether it is positive; tested: the number of the first tested one."""

    strong_NF: Array
    weak_NW: Array
    label_N: NDArray[np.bool_]
    tested: int

    @property
    def strong_RF(self) -> Array:
        return self.strong_NF[: self.tested]

    @property
    def label_R(self) -> Array:
        return self.label_N[: self.tested].astype(np.float64)

    def right(self, model: Any) -> float:
        """Accuracy of a strong model where all are tested."""
        said_T = model.predict(self.strong_NF[self.tested :]) > 0.5
        return float((said_T == self.label_N[self.tested :]).mean())

    def right_labels(self, weak_N: Array) -> float:
        """The same of a weak supervisor's labels, P(positive) of every review."""
        return float(((weak_N > 0.5) == self.label_N)[self.tested :].mean())


def _read(config: WeakToStrongConfig, seed: int) -> _ReviewWorld:
    """A draw of reviews. What the strong model sees is learned from the reviews to be labelled,
    without a label."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    from accord.errors import ConfigError
    from accord.runs.stages.reviews import read_corpus

    rows, wanted = read_corpus().parts["base"], config.reviews + config.tested
    if wanted > len(rows):
        raise ConfigError(
            f"reviews + tested = {wanted:,}; there are {len(rows):,} reviews", "ask for fewer"
        )
    drawn = generator(seed, "reviews").permutation(len(rows))[:wanted]
    texts, cut = [rows[i].text for i in drawn], config.reviews
    terms = TfidfVectorizer(sublinear_tf=True, min_df=3, dtype=np.float32).fit(texts[:cut])
    counted_NV = terms.transform(texts)
    svd = TruncatedSVD(config.components, random_state=derive_seed(seed, "svd") % 2**32)
    strong_NF = svd.fit(counted_NV[:cut]).transform(counted_NV).astype(np.float64)
    strong_NF = (strong_NF - strong_NF[:cut].mean(0)) / strong_NF[:cut].std(0)
    words = CountVectorizer(max_features=config.weak_words, binary=True).fit(texts[:cut])
    weak_NW = words.transform(texts).toarray().astype(np.float64)
    label_N = np.array([rows[i].label == 1 for i in drawn])
    return _ReviewWorld(strong_NF, weak_NW, label_N, cut)


def _weak(world: _ReviewWorld, config: WeakToStrongConfig, seed: int) -> Array:
    """P(positive) of every review by a weak supervisor that learned few true labels of its own."""
    drawn = generator(seed).permutation(world.tested)[: config.weak_labels]
    model = _fit(world.weak_NW[drawn], world.label_R[drawn])
    said_N: Array = model.predict_proba(world.weak_NW)[:, 1]
    return said_N


# --- ways to learn from weak labels ---------------------------------------------------------------
def _fit(seen_RF: Array, share_R: Array) -> Any:
    """Logistic regression on labels that are shares: -q log p - (1 - q) log (1 - p)."""
    from sklearn.linear_model import LogisticRegression

    positive_N = np.repeat([1, 0], len(share_R))
    weight_N = np.concatenate([share_R, 1 - share_R])
    twice_NF, counts = np.concatenate([seen_RF, seen_RF]), weight_N > 0
    model = LogisticRegression(C=STRENGTH, max_iter=300)
    return model.fit(twice_NF[counts], positive_N[counts], sample_weight=weight_N[counts])


def _naive(seen_RF: Array, weak_N: Array, config: WeakToStrongConfig) -> Any:
    """On the weak labels as they are."""
    return _fit(seen_RF, weak_N[: len(seen_RF)])


def _confident(seen_RF: Array, weak_N: Array, config: WeakToStrongConfig) -> Any:
    """On the labels alone of which the weak supervisor is surest."""
    weak_R = weak_N[: len(seen_RF)]
    sure_R = np.abs(weak_R - 0.5)
    kept_R = sure_R >= np.quantile(sure_R, 1 - config.confident)
    return _fit(seen_RF[kept_R], weak_R[kept_R])


def _confidence_loss(seen_RF: Array, weak_N: Array, config: WeakToStrongConfig) -> Any:
    """(1 - a) CE(weak label) + a CE(the student's own, hardened at its median), a rising from 0
    (Burns et al. 2023, section 4.3 and appendix A.4)."""
    weak_R = weak_N[: len(seen_RF)]
    model = _fit(seen_RF, weak_R)
    for number in range(1, ROUNDS + 1):
        own_R = model.predict_proba(seen_RF)[:, 1]
        hard_R = (own_R > np.median(own_R)).astype(np.float64)
        share = config.own_weight * min(1.0, number / WARM_UP)
        model = _fit(seen_RF, (1 - share) * weak_R + share * hard_R)
    return model


STUDENTS: dict[str, Callable[[Array, Array, WeakToStrongConfig], Any]] = {
    "naive": _naive,
    "confident": _confident,
    "confidence_loss": _confidence_loss,
}
"""(what the student sees, the weak labels, settings) -> the student."""
