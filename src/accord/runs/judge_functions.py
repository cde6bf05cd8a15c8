"""Judges that are Python functions of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from accord import user_code
from accord.errors import RunError
from accord.oversight.judge_answers import JudgeAnswer, NoAnswer
from accord.oversight.judge_questions import JudgeQuestion

WORDS = {"first": 1.0, "second": 0.0, "tie": 0.5}
"""What a judge of two may say, as a probability of the first."""
ANSWERED_NONE = "it answered None"


class FunctionAnswers:
    """A function `module:name`, called with (prompt, first, second), or (prompt, response) where
    one response is judged, and with a principle's text as the last argument where it is judged by
    one. Of two it answers with a probability that the first is better, "first", "second" or "tie";
    of one by a criterion with true, false or a probability; else with a score of the scale; None:
    no verdict."""

    def __init__(self, named: str) -> None:
        self.named = named
        self.function = user_code.load_function(named, "judge")
        self.where = user_code.defined_at(self.function)

    def ask(
        self, questions: Sequence[JudgeQuestion], later: int = 0
    ) -> list[JudgeAnswer | NoAnswer]:
        """An answer to each. Raises RunError where the function fails or answers something else."""
        return [self._one(question) for question in questions]

    def _one(self, question: JudgeQuestion) -> JudgeAnswer | NoAnswer:
        given = [question.prompt, *question.responses]
        if question.criterion is not None:
            given.append(question.criterion.text)
        pair, scale = len(question.responses) == 2, question.allowed[0].isdigit()
        try:
            said = self.function(*given)
        except (Exception, SystemExit) as error:
            raise RunError(
                f"the judge {self.named}{self.where} failed: {user_code.told(error)}",
                _called(pair, question.criterion is not None),
            ) from error
        if said is None:
            return NoAnswer(ANSWERED_NONE)
        value = WORDS.get(said) if isinstance(said, str) and pair else said
        if isinstance(value, bool) and not pair and not scale:
            value = float(value)
        low, high = (float(question.allowed[0]), float(question.allowed[-1])) if scale else (0, 1)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return JudgeAnswer(_shares(float(value), question.allowed, scale), "function")
        raise RunError(
            f"the judge {self.named}{self.where} answered {said!r}", _fix(pair, scale, low, high)
        )


def _called(pair: bool, by_principle: bool) -> str:
    names = ["prompt", *(("first", "second") if pair else ("response",))]
    names += ["principle"] if by_principle else []
    count = ("two", "three", "four")[len(names) - 2]
    return f"it is called with ({', '.join(names)}), {count} texts"


def _fix(pair: bool, scale: bool, low: float, high: float) -> str:
    if pair:
        return 'answer "first", "second", "tie", a probability of the first, or None'
    if scale:
        return f"answer with a score from {low:g} to {high:g}, or None"
    return "answer true, false, a probability that the criterion is met, or None"


def _shares(value: float, allowed: Sequence[str], scale: bool) -> tuple[float, ...]:
    """Probabilities of the allowed answers: a score between two of them is shared by these."""
    if not scale:
        return (value, 1 - value)
    at = value - float(allowed[0])
    below, p = min(floor(at), len(allowed) - 2), [0.0] * len(allowed)
    p[below], p[below + 1] = below + 1 - at, at - below
    return tuple(p)
