"""Debates about digits (Irving, Christiano, Amodei 2018): a judge who sees a few lit pixels of an
image, and debaters who see all of it and may show one each turn, as it is.

N images, P pixels, C classes, H hidden units, K turns. A side is 0 or 1, the place of its claim in
claims [N, 2].
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from accord.oversight.games import EvidenceGame, Picks, Shown, Sides, Worth, play, shown
from accord.statistics.intervals import Array, Index

AHEAD = 8
"""Of how many of its best pixels a debater that looks two moves ahead weighs the replies."""


@dataclass(frozen=True)
class SparseJudge:
    """A network with one hidden layer (ReLU) that has learned to tell classes from a few pixels:
    the log-odds are relu(x W + b) V + c."""

    into_PH: Array
    bias_H: Array
    out_HC: Array
    bias_C: Array

    @classmethod
    def fit(
        cls, image_NP: Array, label_N: Index, count: int, views: int, rng: np.random.Generator
    ) -> SparseJudge:
        """Learned from `views` copies of each image, each with `count` of its lit pixels."""
        from sklearn.neural_network import MLPClassifier

        seen_MP = np.concatenate(
            [image_NP * random_pixels(image_NP, count, rng) for _ in range(views)]
        )
        model: Any = MLPClassifier(
            (64,), batch_size=256, learning_rate_init=3e-3, max_iter=15, tol=0.0,
            random_state=int(rng.integers(2**31)),
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stops after so many passes is meant
            model.fit(seen_MP, np.tile(label_N, views))
        (into_PH, out_HC), (bias_H, bias_C) = model.coefs_, model.intercepts_
        return cls(into_PH, bias_H, out_HC, bias_C)

    def hidden(self, seen_NP: Array) -> Array:
        """Before the ReLU: [N, H]."""
        before_NH: Array = seen_NP @ self.into_PH + self.bias_H
        return before_NH

    def odds(self, seen_NP: Array) -> Array:
        """Of each class: [N, C]."""
        odds_NC: Array = np.maximum(self.hidden(seen_NP), 0) @ self.out_HC + self.bias_C
        return odds_NC


def random_pixels(image_NP: Array, count: int, rng: np.random.Generator) -> Shown:
    """`count` of the lit pixels of each, any of them: [N, P]."""
    any_NP = rng.random(image_NP.shape)
    nobody_N = np.zeros(len(image_NP), np.int64)
    picks_NK = play(image_NP > 0, [nobody_N] * count, lambda _, __: any_NP)
    return shown(picks_NK, image_NP.shape[1])


def claims_of(true_N: Index, believed_NC: Array) -> Index:
    """The right class and the most believable wrong one of each image: [N, 2]."""
    wrong_NC = believed_NC.copy()
    np.put_along_axis(wrong_NC, true_N[:, None], -np.inf, 1)
    return np.stack([true_N, wrong_NC.argmax(1)], 1)


def pixel_game(
    image_NP: Array, claims_N2: Index, believed_N: Sides, judge: SparseJudge
) -> EvidenceGame:
    """The truth is side 0. Views: one, both debaters show the pixel that moves the judge most;
    liar, the one who lies weighs the best reply, too; both, each does. A consultant, to whom nobody
    replies, goes by the first."""
    ahead = _ahead(image_NP, claims_N2, judge)
    one = _one_move(image_NP, claims_N2, judge)

    def verdict(picks_NK: Picks) -> Sides:
        seen_NP = image_NP * shown(picks_NK, image_NP.shape[1])
        odds_N2 = np.take_along_axis(judge.odds(seen_NP), claims_N2, 1)
        return (odds_N2[:, 1] > odds_N2[:, 0]).astype(np.int64)

    def liar(shown_NP: Shown, side_N: Sides) -> Array:
        if not side_N.any():
            return one(shown_NP, side_N)
        return np.where(side_N[:, None] == 1, ahead(shown_NP, side_N), one(shown_NP, side_N))

    true_N = np.zeros(len(image_NP), np.int64)
    views: dict[str, Worth] = {"one": one, "liar": liar, "both": ahead}
    return EvidenceGame(image_NP > 0, true_N, believed_N, views, verdict, ("one",))


def _margins(
    before_NH: Array, image_NP: Array, claims_N2: Index, side_N: Sides, judge: SparseJudge
) -> Array:
    """By how much the judge would go for the side's claim if a pixel more were seen: [N, P]."""
    weight_NH = judge.out_HC.T[claims_N2[:, 0]] - judge.out_HC.T[claims_N2[:, 1]]
    bias_N = judge.bias_C[claims_N2[:, 0]] - judge.bias_C[claims_N2[:, 1]]
    after_NPH = np.maximum(before_NH[:, None] + image_NP[..., None] * judge.into_PH, 0)
    margin_NP = np.einsum("nph,nh->np", after_NPH, weight_NH) + bias_N[:, None]
    found: Array = np.where(side_N[:, None] == 0, margin_NP, -margin_NP)
    return found


def _one_move(image_NP: Array, claims_N2: Index, judge: SparseJudge) -> Worth:
    def worth(shown_NP: Shown, side_N: Sides) -> Array:
        before_NH = judge.hidden(image_NP * shown_NP)
        return _margins(before_NH, image_NP, claims_N2, side_N, judge)

    return worth


def _ahead(image_NP: Array, claims_N2: Index, judge: SparseJudge) -> Worth:
    """What is left of a pixel's margin after the other side's best reply; of the AHEAD best
    pixels, the others are worth nothing to it."""

    def worth(shown_NP: Shown, side_N: Sides) -> Array:
        before_NH = judge.hidden(image_NP * shown_NP)
        left_NP = (image_NP > 0) & ~shown_NP
        margin_NP = np.where(
            left_NP, _margins(before_NH, image_NP, claims_N2, side_N, judge), -np.inf
        )
        best_NA = np.argsort(-margin_NP, 1, kind="stable")[:, :AHEAD]
        worth_NP = np.full(image_NP.shape, -1e9)
        for best_N in best_NA.T:
            value_N = np.take_along_axis(image_NP, best_N[:, None], 1)
            next_NH = before_NH + value_N * judge.into_PH[best_N]
            reply_NP = _margins(next_NH, image_NP, claims_N2, 1 - side_N, judge)
            open_NP = left_NP.copy()
            np.put_along_axis(open_NP, best_N[:, None], False, 1)
            answer_N = np.where(open_NP, reply_NP, -np.inf).max(1)
            np.put_along_axis(worth_NP, best_N[:, None], -answer_N[:, None], 1)
        return worth_NP

    return worth


def ten_way(image_NP: Array, true_N: Index, judge: SparseJudge, picks_NK: Picks) -> float:
    """How often the judge names the right one of all classes from these pixels."""
    seen_NP = image_NP * shown(picks_NK, image_NP.shape[1])
    return float(np.mean(judge.odds(seen_NP).argmax(1) == true_N))
