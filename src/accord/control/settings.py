"""What learning from judgements of clips can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accord.control.acquisition import Acquisition
from accord.control.asked_kinds import QUESTIONS
from accord.control.gym_batch import PATIENCE
from accord.control.timetable import TimetableSettings
from accord.learning.settings import Share
from accord.validation import Unit


class ClipLearningSettings(TimetableSettings):
    """A reward learned from what is said of clips while a policy learns from it."""

    learn_from: Literal["comparisons", "reward"] = Field(
        "comparisons",
        description=(
            "What the policy learns from; comparisons: what is said of clips, as `asks` says;"
            " reward: the environment's own, to compare with."
        ),
    )
    horizon: Literal["floor", "fixed", "absorb"] = Field(
        "floor",
        description=(
            "How the end of an episode pays nothing by itself; floor: rewards are told above what"
            " the steps that end one are worth; fixed: nothing ends before its time; absorb: what"
            " ended (an environment of Gymnasium's) stays as it is until its time is over."
        ),
    )
    zero_first: float = Field(
        1.0,
        ge=-1,
        le=1,
        description=(
            "Where the zero of learned rewards lies at first, on the line from what it is worth to"
            " stay as an episode begins (0) to the floor (1); below 0: to stay costs. With the"
            " floor alone, to stay may pay more than all that a policy tries."
        ),
    )
    zero_until: Share | None = Field(
        0.5,
        gt=0,
        lt=1,
        description=(
            "Share of the steps over which it moves to the floor, where it stays; none: it stays"
            " where it is at first."
        ),
    )
    ending_costs: float = Field(
        0.0,
        ge=0,
        description=(
            "What a step costs the policy in which the task ends an episode (not its time), in"
            " deviations of the learned reward, or in units of the environment's own: a hint that"
            " to fall is bad, so that landing is worth learning before anything follows it."
        ),
    )
    question: str = Field(
        "", description="What is asked; empty: what suits the kind of answer (`asks`)."
    )
    acquisition: Acquisition = Field(
        "variance",
        description=(
            "What is asked: clips at random, those on which the members' probabilities of the"
            " answers vary most, or whose answer is expected to tell most (information)."
        ),
    )
    keep: Literal["last", "best"] = Field(
        "last",
        description=(
            "Which of the policy's lives, with anew, the run leaves; last: the one it ends with;"
            " best: the one whose episodes, as it was at its end, pay most by the reward as it is"
            " at the end of the run."
        ),
    )
    patience: Annotated[float, Unit("seconds")] = Field(
        PATIENCE,
        gt=0,
        description="Longest that a step or a reset of an environment of Gymnasium's may take.",
    )
    points: Annotated[int, Unit("evaluations")] = Field(
        6, ge=1, description="Evaluations along the way, the last at the end."
    )
    evaluation: Annotated[int, Unit("episodes")] = Field(
        32, ge=2, description="Episodes of an evaluation."
    )

    @model_validator(mode="after")
    def _fits(self) -> ClipLearningSettings:
        if self.first_asked and self.learn_from == "reward":
            raise ValueError("learn_from: reward explores nothing: leave sac.explore at 0")
        if self.learn_from == "reward" and self.asks != "comparison":
            raise ValueError(f"asks: {self.asks} with learn_from: reward, which asks nothing")
        if self.ending_costs and self.horizon != "floor":
            raise ValueError(
                f"ending_costs {self.ending_costs:g} with horizon: {self.horizon}, where nothing"
                " ends: set horizon: floor, or ending_costs: 0"
            )
        if self.keep == "best" and not self.anew:
            raise ValueError(
                "keep: best with anew: [], where the policy has one life: name shares under anew,"
                " or leave keep at last"
            )
        if self.clip > self.learning.rollout:
            raise ValueError(
                f"a clip of {self.clip} steps is longer than a rollout of {self.learning.rollout}"
            )
        if self.episode_steps is not None and self.clip > self.episode_steps:
            raise ValueError(
                f"a clip of {self.clip} steps is longer than an episode of {self.episode_steps}"
            )
        return self

    @property
    def wording(self) -> str:
        """The question as it is put."""
        return self.question or QUESTIONS[self.asks]

    def parts(self, number: int) -> list[int]:
        """Steps of each environment in the parts of a rollout, after each of which the policy
        learns; one part until the first answers, since there is nothing to learn from yet."""
        untold = self.learn_from == "comparisons" and number <= self.first_asked
        whole = self.learning.rollout
        each = self.sac.update_every if self.learner == "sac" and not untold else whole
        return [min(each, whole - done) for done in range(0, whole, each)]

    def floor_share(self, number: int) -> float:
        """Where the zero of this rollout's rewards lies, on the line that `zero_first` is on."""
        if self.zero_until is None:
            return self.zero_first
        last = number == self.rollouts - 1
        moved = 1.0 if last else min(1.0, number / (self.zero_until * self.rollouts))
        return self.zero_first + (1 - self.zero_first) * moved
