"""Debates about handwritten digits: a judge who sees a few pixels, debaters who see all."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from accord.oversight.games import accuracies, held, of_all_pieces
from accord.oversight.pixels import SparseJudge, claims_of, pixel_game, ten_way
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import generator


class DigitDebateConfig(StageConfig):
    """Settings of a digit_debate stage."""

    kind: Literal["digit_debate"]
    images: int = Field(
        300, ge=10, le=797, description="Digits that are argued about; the judge learns from 1,000."
    )
    turns: list[int] = Field(
        [4, 6], min_length=1, description="Pixels that the judge sees; even numbers."
    )
    views: int = Field(
        25, ge=1, description="Copies of each digit, each with other pixels, that it learns from."
    )


class DigitDebate(Stage):
    """Plays every arm (see `accord.oversight.games.held`) on the same digits, with a judge for each
    number of pixels. The lie is the wrong digit that looks most like the image."""

    kind = "digit_debate"
    Config = DigitDebateConfig
    about = "debate, consultancy and their baselines on handwritten digits (Irving et al. 2018)"

    def plan(self, config: DigitDebateConfig, context: StageContext) -> Plan:
        from accord.oversight.debate import debate

        with context.about("turns"):
            for turns in config.turns:
                debate(("right", "wrong"), turns)
        cost = len(config.turns) * (0.2 * config.views + 0.005 * config.images)
        return Plan(rows=config.images, seconds=(0.5 * cost, 4 * cost))

    def run(self, config: DigitDebateConfig, context: StageContext) -> StageResult:
        from sklearn.datasets import load_digits
        from sklearn.linear_model import LogisticRegression

        rng = generator(context.seed, "digit debate")
        pixel_NP, label_N = load_digits(return_X_y=True)
        image_NP, order_N = pixel_NP / 16, rng.permutation(len(label_N))
        taught_N, played_N = order_N[:1000], order_N[1000 : 1000 + config.images]
        seer = LogisticRegression(max_iter=500).fit(image_NP[taught_N], label_N[taught_N])
        images_NP, true_N = image_NP[played_N], label_N[played_N]
        believed_NC = seer.decision_function(images_NP)
        claims_N2 = claims_of(true_N, believed_NC)
        odds_N2 = np.take_along_axis(believed_NC, claims_N2, 1)
        believed_N = (odds_N2[:, 1] > odds_N2[:, 0]).astype(np.int64)
        values: dict[str, Value] = {"debater": float(np.mean(believed_N == 0))}
        for place, turns in enumerate(config.turns):
            context.checkpoint(place, len(config.turns), f"{turns} pixels")
            judge = SparseJudge.fit(image_NP[taught_N], label_N[taught_N], turns, config.views, rng)
            game = pixel_game(images_NP, claims_N2, believed_N, judge)
            arms = held(game, turns, rng)
            found = accuracies(game, arms, turns) | {
                "direct": ten_way(images_NP, true_N, judge, arms["random"].picks_NK),
                "whole": of_all_pieces(game),
            }
            values |= {f"{arm}.{turns}": accuracy for arm, accuracy in found.items()}
        context.checkpoint(len(config.turns), len(config.turns))
        most = max(config.turns)
        summary = (
            f"{len(true_N):,} digits, judge right with {most} pixels: of ten"
            f" {values[f'direct.{most}']:.1%}, of two {values[f'random.{most}']:.1%}, debate"
            f" {values[f'debate.one.{most}']:.1%}"
        )
        return StageResult(summary, values)
