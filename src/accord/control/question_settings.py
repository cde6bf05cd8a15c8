"""What asking about clips can be told, whatever becomes of the answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from accord.control.asked_kinds import AskedKind
from accord.control.clip_reward import ClipRewardSettings
from accord.feedback.selection import LEAST_RANDOM
from accord.learning.settings import Share, Steps
from accord.validation import Settings, Unit

Answers = Annotated[int, Unit("answers")]


class ClipQuestionSettings(Settings):
    """What is asked about clips, of whom, and how the reward learns from it."""

    environment: str = Field(
        description=(
            "accord:NAME (Backflip, WrittenBackflip, Hopper, HalfCheetah), an id of Gymnasium's, or"
            " module:EnvId."
        )
    )
    episode_steps: Steps | None = Field(
        None, ge=1, description="Steps of an episode; none: the environment's own."
    )
    asks: AskedKind = Field(
        "comparison",
        description=(
            "How it is answered; comparison: of two clips; ranking, best_worst: of four; rating,"
            " thumb: of one."
        ),
    )
    comparisons: Answers = Field(
        900, ge=1, description="Answers in all: comparisons, or what `asks` names."
    )
    first_comparisons: Answers | None = Field(
        None, ge=1, description="Of these, before the policy learns; none: a third of them."
    )
    rounds: Annotated[int, Unit("rounds")] = Field(
        12, ge=0, description="Times that more are asked, as many each time."
    )
    clip: Steps = Field(60, ge=1, description="Steps of a clip.")
    candidates: Annotated[int, Unit("sets per answer")] = Field(
        10, ge=1, description="Sets of clips (pairs, fours, single ones) that one is chosen from."
    )
    diversity: Annotated[int, Unit("questions per answer")] = Field(
        1,
        ge=1,
        description=(
            "Of so many times as many of the most telling questions, those are asked that lie"
            " furthest apart; 1: the most telling."
        ),
    )
    random_share: Share = Field(
        0.25, ge=LEAST_RANDOM, le=1, description="Of the chosen, those drawn at random."
    )
    rationality: float = Field(
        1.0, gt=0, description="Of the simulated watcher: log-odds per unit of what it likes."
    )
    mistakes: Share = Field(
        0.0, ge=0, lt=0.5, description="Answers of the simulated watcher that are wrong."
    )
    memory: Share = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "Of the simulated watcher: what a step counts beside the one after it; below 1 the end"
            " of a clip decides."
        ),
    )
    skips: Share = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Questions of a round that the simulated watcher skips: those whose best clip it likes"
            " least."
        ),
    )
    equal: Share = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Of the other comparisons of a round, those the simulated watcher calls equal: the ones"
            " that differ least to it."
        ),
    )
    reward: ClipRewardSettings = Field(
        default_factory=ClipRewardSettings, description="The reward model."
    )

    @model_validator(mode="after")
    def _has_more_to_choose_from(self) -> ClipQuestionSettings:
        if self.diversity > self.candidates:
            raise ValueError(
                f"diversity {self.diversity} is more than {self.candidates} candidates an answer"
            )
        return self

    @model_validator(mode="after")
    def _can_be_equal(self) -> ClipQuestionSettings:
        if self.equal and self.asks != "comparison":
            raise ValueError(f"equal {self.equal:g} with asks: {self.asks}: leave it at 0")
        return self

    @model_validator(mode="after")
    def _in_rounds(self) -> ClipQuestionSettings:
        later = self.comparisons - self.first_answers
        if later < 0:
            raise ValueError(
                f"first_comparisons {self.first_comparisons} are more than all {self.comparisons}"
            )
        if later and not self.rounds:
            raise ValueError(f"{later} comparisons are left for 0 rounds: set rounds")
        if self.rounds > later:
            raise ValueError(f"{later} comparisons cannot be spread over {self.rounds} rounds")
        return self

    @property
    def first_answers(self) -> int:
        """Asked for before the policy learns."""
        return self.first_comparisons or max(1, round(self.comparisons / 3))

    def counts(self) -> list[int]:
        """Answers that are asked for at first, and in each round."""
        later, rounds = self.comparisons - self.first_answers, self.rounds
        return [
            self.first_answers,
            *(later * (n + 1) // rounds - later * n // rounds for n in range(rounds)),
        ]
