"""Every arm of a study of debates between models, judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accord.oversight.arguing import HeldDebate
from accord.oversight.debate_arms import (
    ArmAccuracy,
    DebateQuestion,
    JudgedArm,
    arm_accuracies,
    asked_about,
    asked_direct,
    asked_full,
    asked_two,
    beliefs,
    consulted,
    difference,
    judged,
)
from accord.oversight.hidden_texts import HiddenQuestion
from accord.oversight.judge_answers import JudgeAnswers
from accord.statistics.means import Estimate

HELD = 4
"""Transcripts of a question: two debates, two consultancies."""


class DebateStudy:
    """All verdicts on one set of questions. arms: by name, `assigned` left out, which is made of
    two; by_transcript: the judge's on each transcript, with probabilities of its answers; debater:
    what the debater says who has read the text; accuracies; passage_Q: clusters."""

    def __init__(
        self,
        arms: dict[str, JudgedArm],
        probabilities: list[Sequence[float] | None],
        debater: JudgedArm,
        questions: Sequence[HiddenQuestion],
    ) -> None:
        self.arms, self.probabilities, self.debater = arms, probabilities, debater
        self.passage_Q = np.array([question.passage for question in questions], np.int64)
        self.accuracies: dict[str, ArmAccuracy] = arm_accuracies(arms, self.passage_Q)

    @classmethod
    def of(
        cls,
        questions: Sequence[HiddenQuestion],
        held: Sequence[HeldDebate],
        judge: JudgeAnswers,
        debater: JudgeAnswers,
    ) -> DebateStudy:
        """Ask the judge in every arm, and the debater what it believes."""
        believed, chances = judged(debater, [asked_full(one) for one in questions])
        side_Q, silent = beliefs(chances)
        arms, told = dict[str, JudgedArm](), list[list[Sequence[float] | None]]()
        for name, make in (("direct", asked_direct), ("two", asked_two), ("full", asked_full)):
            arms[name], _ = judged(judge, [make(one) for one in questions])
        consultants = []
        for place in range(HELD):
            of_place = held[place::HELD]
            asked: list[DebateQuestion | str] = [
                asked_about(questions[one.question], one.transcript)
                if one.failed is None
                else f"no transcript: {one.failed}"
                for one in of_place
            ]
            arm, chances = judged(judge, asked)
            told.append([None if p is None else [float(x) for x in p] for p in chances])
            if place < 2:
                arms[("debate", "swapped")[place]] = arm
            else:
                consultants.append(arm)
        right_Q = np.array([one.right for one in questions], np.int64)
        first, second = consultants
        arms["honest"] = consulted(first, second, right_Q, {})
        arms["lying"] = consulted(first, second, 1 - right_Q, {})
        arms["open"] = consulted(first, second, side_Q, silent)
        by_transcript = [one for row in zip(*told, strict=True) for one in row]
        return cls(arms, by_transcript, believed, questions)

    @property
    def consultancy_less(self) -> Estimate | None:
        """Accuracy after a debate less that after an assigned consultant, on the same questions."""
        honest, lying = self.arms["honest"].right_Q, self.arms["lying"].right_Q
        return difference(self.arms["debate"].right_Q, (honest + lying) / 2, self.passage_Q)

    @property
    def failed(self) -> tuple[int, int]:
        """(verdicts that are missing, all)."""
        missing = sum(int(np.isnan(arm.right_Q).sum()) for arm in self.arms.values())
        return missing, len(self.arms) * len(self.passage_Q)
