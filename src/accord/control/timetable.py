"""When what happens in a run that learns from judgements of clips: rollouts, lives of the policy,
rounds of questions."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from accord.control.learners import LearnerName
from accord.control.ppo import VectorPpoSettings
from accord.control.question_settings import ClipQuestionSettings
from accord.control.sac import SacSettings
from accord.learning.settings import Share, Steps
from accord.validation import Unit


class TimetableSettings(ClipQuestionSettings):
    """What learns in how many steps, when its policy begins anew, and when questions are asked."""

    steps: Steps = Field(
        1_000_000,
        ge=1,
        description=(
            "Steps of all environments together that the policy learns from; clips for the first"
            " comparisons may take some more, which are counted."
        ),
    )
    asked_until: Share = Field(
        0.6, gt=0, le=1, description="Share of the steps after which nothing is asked any more."
    )
    anew: list[Share] = Field(
        [],
        description=(
            "Shares of the steps after which the policy begins anew, and forgets what it learned"
            " from a reward that was poor (Nikishin et al. 2022); the reward, all comparisons and,"
            " with sac, the steps it remembers stay."
        ),
    )
    elsewhere_first: Share = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Share of the steps in which all episodes begin elsewhere; where the policy begins"
            " anew, of the steps of each of its lives."
        ),
    )
    elsewhere: Share = Field(
        0.0, ge=0, le=1, description="Episodes that begin elsewhere after that."
    )
    ahead: Annotated[int, Unit("rounds")] = Field(
        1,
        ge=0,
        description=(
            "Rounds of answers that people may be behind before the policy waits for them; the"
            " first ones are always waited for."
        ),
    )
    learner: LearnerName = Field(
        "ppo",
        description=(
            "How the policy learns: ppo, from each rollout once (settings under policy); sac, from"
            " all it remembers, by fewer steps and more arithmetic (settings under sac)."
        ),
    )
    policy: VectorPpoSettings = Field(
        default_factory=VectorPpoSettings, description="Proximal policy optimisation."
    )
    sac: SacSettings = Field(default_factory=SacSettings, description="Soft actor-critic.")

    @model_validator(mode="after")
    def _in_time(self) -> TimetableSettings:
        self._check_learner()
        left = self.asked_in - self.first_asked
        if self.rounds and left < self.rounds:
            raise ValueError(
                f"{self.rounds} rounds in {max(0, left)} rollouts of {self.per_rollout:,} steps"
                f" (asked_until {self.asked_until:g} of {self.steps:,} steps): use fewer rounds,"
                " more steps or shorter rollouts"
            )
        self._check_lives()
        return self

    def _check_learner(self) -> None:
        """Raise ValueError for settings of the learner that does not learn, or that it cannot
        follow."""
        if self.learner == "ppo" and self.sac != SacSettings():
            raise ValueError("settings under sac with learner: ppo: set learner: sac")
        if self.learner == "sac" and self.policy != VectorPpoSettings():
            raise ValueError("settings under policy with learner: sac: its own are under sac")
        if self.learner == "sac" and self.sac.random_steps >= self.steps:
            raise ValueError(
                f"sac.random_steps {self.sac.random_steps:,} leave none of {self.steps:,} to learn"
            )
        if self.first_asked >= self.rollouts:
            raise ValueError(
                f"{self.sac.explore:,} steps of exploring leave none of {self.steps:,} to learn in"
            )

    def _check_lives(self) -> None:
        outside = [share for share in self.anew if not 0 < share < 1]
        if outside or self.anew != sorted(self.anew):
            raise ValueError(f"anew {self.anew}: name shares between 0 and 1, in order")
        if self.reward.anew_steps and not self.anew:
            raise ValueError(
                f"reward.anew_steps {self.reward.anew_steps} with anew: [], where nothing begins"
                " anew: name shares under anew, or set reward.anew_steps: 0"
            )
        if 0 in map(len, self.lives):
            raise ValueError(
                f"anew {self.anew} begins twice in one of {self.rollouts} rollouts"
                f" ({self.steps:,} steps): use shares further apart, or more steps"
            )
        if len(self.lives[0]) <= self.first_asked:
            raise ValueError(
                f"anew {self.anew}: {self.sac.explore:,} of {self.steps:,} steps explore, and the"
                " policy begins anew before anything is asked: use later shares"
            )

    @property
    def learning(self) -> VectorPpoSettings | SacSettings:
        """Of the policy's learner."""
        return self.sac if self.learner == "sac" else self.policy

    @property
    def per_rollout(self) -> int:
        """Steps of all environments in a rollout."""
        return self.learning.rollout * self.learning.environments

    @property
    def lives(self) -> list[range]:
        """Rollouts of each of the policy's lives, of which `anew` begins another."""
        begins = [0, *(round(share * self.rollouts) for share in self.anew), self.rollouts]
        return [range(*two) for two in pairwise(begins)]

    def life(self, rollout: int) -> int:
        """Number of the life that a rollout lies in."""
        return sum(rollout >= life.start for life in self.lives) - 1

    def begins_elsewhere(self, rollout: int) -> float:
        """Share of the episodes of a rollout that begin elsewhere."""
        life = self.lives[self.life(rollout)]
        early = rollout - life.start < self.elsewhere_first * len(life)
        return 1.0 if early else self.elsewhere

    @property
    def rollouts(self) -> int:
        """Of the whole run, before whose last step the policy learns."""
        return max(1, self.steps // self.per_rollout)

    @property
    def first_asked(self) -> int:
        """Rollout after which the first comparisons are asked; those before it explore."""
        return self.sac.explore // self.per_rollout if self.learner == "sac" else 0

    @property
    def recent(self) -> int:
        """Latest rollouts that clips are cut from, of those since the last question."""
        return self.sac.recent if self.learner == "sac" else 1

    @property
    def asked_in(self) -> int:
        """Rollouts in which something may be asked after the first comparisons."""
        return int(self.asked_until * self.rollouts)

    def schedule(self) -> dict[int, int]:
        """Rollout -> answers asked about its clips: the first before the policy learns, the others
        evenly spread."""
        first = self.first_asked
        asked_in, rounds = self.asked_in - first, max(1, self.rounds)
        return {
            first + round(number * asked_in / rounds): count
            for number, count in enumerate(self.counts())
        }

    def due(self, rollout: int) -> int:
        """Questions that people must have settled before the policy learns from a rollout: the
        first ones, and all rounds so far but the last `ahead`."""
        asked, first = self.schedule(), self.first_asked
        later = [number for number in sorted(asked) if first < number <= rollout]
        waited = later[: max(0, len(later) - self.ahead)]
        return asked[first] + sum(asked[number] for number in waited)
