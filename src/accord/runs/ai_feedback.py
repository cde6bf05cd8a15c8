"""AI judges as annotators: responses in, feedback records out (Lee et al. 2023, "RLAIF").

Everything that was answered is kept, so that a second run asks nothing, and a change of template,
principles, model or temperature asks again exactly what it touches. What fails is a skip record
with its reason; where more than `max_failed` of the items fail, asking stops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator
from scipy.special import logit

from accord.errors import ConfigError, RunError
from accord.feedback.records import Feedback
from accord.oversight.ai_judge import (
    LEAST,
    AiJudge,
    JudgedItem,
    Softening,
    criteria_of,
    panel_of,
    reasons_of,
)
from accord.oversight.constitution import Constitution, read_constitution
from accord.oversight.judge_answers import EndpointAnswers, JudgeAnswers
from accord.oversight.judge_questions import JudgeForm, JudgeTemplate, read_template, usual_template
from accord.oversight.judge_records import JudgeItem, records_of
from accord.oversight.local_answers import LocalAnswers
from accord.runs.contents import hash_of_model
from accord.runs.judge_functions import FunctionAnswers
from accord.runs.judges import is_function
from accord.runs.judging import people_labels
from accord.sampling.addresses import is_remote, open_askers
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import AskingPlan, AskingSettings
from accord.statistics.calibration import temperature_of
from accord.statistics.means import Estimate
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.runs.behaviour.answering import LocalPolicy

CHUNK = 2048
"""Questions between two looks at how many fail."""
FEWEST_PEOPLE = 10
"""Pairs that people decided, below which no temperature is fitted."""


class AiJudgeSettings(Settings):
    """What AI judges are asked, and what becomes of their answers."""

    form: JudgeForm = Field(
        "pairwise",
        description="pairwise: which of two is better; pointwise: a score; rubric: each principle"
        " met or not.",
    )
    template: str | None = Field(None, description="A text file with the question; null: ours.")
    constitution: str | None = Field(
        None, description="Principles that are asked one by one: a file, or accord:NAME."
    )
    low: int = Field(1, ge=0, le=8, description="Worst score of pointwise judges.")
    high: int = Field(5, ge=1, le=9, description="Best score of pointwise judges.")
    panel: bool = Field(
        False, description="One record for all judges, of their mean; else one for each judge."
    )
    reasoning_tokens: int = Field(
        0, ge=0, description="Longest reasoning before an answer, in tokens; 0: none."
    )
    samples: int = Field(
        1,
        ge=1,
        le=64,
        description="Answers drawn where an endpoint gives no log-probabilities.",
    )
    temperature: float = Field(
        0.0, ge=0, le=2, description="Sampling temperature of judges; 0: the likeliest."
    )
    answer_tokens: int = Field(16, ge=1, description="Longest answer of an endpoint, in tokens.")
    clamp: float = Field(
        1.0, gt=0.5, le=1, description="Probabilities stay in [1 - clamp, clamp]; 1: as they are."
    )
    max_failed: float = Field(
        0.02, ge=0, le=1, description="Share of items that may get no verdict."
    )
    seed: int = Field(0, ge=0, description="Of sampled answers and reasoning.")

    @model_validator(mode="after")
    def _possible(self) -> AiJudgeSettings:
        if self.samples > 1 and not self.temperature:
            raise ValueError("samples at temperature 0 are all the same: set temperature, too")
        return self

    @property
    def answering(self) -> Answering:
        """The part of it that is about answers."""
        return Answering(
            self.answer_tokens, self.temperature, self.samples, self.reasoning_tokens, self.seed
        )

    def read(self) -> tuple[Constitution | None, JudgeTemplate]:
        """Constitution and template. Raises ConfigError, DataError."""
        found = None if self.constitution is None else read_constitution(self.constitution)
        scale, by_principle = (self.low, self.high), found is not None
        if self.template is None:
            return found, usual_template(self.form, by_principle, scale)
        return found, read_template(Path(self.template), self.form, by_principle, scale)


@dataclass
class AiFeedback:
    """records: as they come; failed: items without a verdict, by reason; read: items, by how their
    answers were read; masses: of the allowed answers; temperatures: fitted on people's labels, by
    judge."""

    records: list[Feedback] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    masses: list[float] = field(default_factory=list)
    temperatures: dict[str, Estimate] = field(default_factory=dict)

    def add(self, judged: JudgedItem, records: Sequence[Feedback]) -> None:
        """One more item of one judge."""
        self.records += records
        if judged.reason is not None:
            self.failed[judged.reason] += 1
        else:
            self.read[" and ".join(judged.how)] += 1
        if judged.mass is not None:
            self.masses.append(judged.mass)


def open_ai_judges(
    names: Sequence[str],
    settings: AiJudgeSettings,
    kept: AnswerCache,
    asking: AskingSettings,
    resolve: Callable[[str], str] = str,
) -> list[AiJudge]:
    """A judge per name: an address `https://host/v1#model`, a function `module:function`, or a
    model (directory, adapter, accord:NAME, Hub id). No model is loaded yet. Raises ConfigError."""
    if len(set(names)) < len(names):
        raise ConfigError("a judge is named twice", "an annotator answers once: name it once")
    constitution, template = settings.read()
    criteria = criteria_of(constitution, settings.form)
    answers = open_answers(names, settings.answering, kept, asking, resolve)
    return [AiJudge(name, one, template, criteria) for name, one in answers.items()]


@dataclass(frozen=True)
class Answering:
    """How judges answer: see `AiJudgeSettings`."""

    answer_tokens: int = 16
    temperature: float = 0.0
    samples: int = 1
    reasoning_tokens: int = 0
    seed: int = 0


def open_answers(
    names: Sequence[str],
    how: Answering,
    kept: AnswerCache,
    asking: AskingSettings,
    resolve: Callable[[str], str] = str,
) -> dict[str, JudgeAnswers]:
    """Who answers a judge's questions, by name, see `open_ai_judges`. Raises ConfigError."""
    askers = open_askers([name for name in names if is_remote(name)], asking, kept)
    found: dict[str, JudgeAnswers] = {}
    for name in names:
        if name in askers:
            found[name] = EndpointAnswers(
                askers[name],
                how.answer_tokens,
                how.temperature,
                how.samples,
                how.reasoning_tokens,
                how.seed,
            )
        elif is_function(name):
            found[name] = FunctionAnswers(name)
        else:
            reference = resolve(name)
            found[name] = LocalAnswers(
                partial(_load, reference),
                hash_of_model(reference),
                kept,
                how.reasoning_tokens,
                how.temperature,
                how.seed,
            )
    return found


def _load(reference: str) -> LocalPolicy:
    from accord.runs.behaviour.answering import LocalPolicy

    return LocalPolicy(reference)


def plan_of(judge: AiJudge, items: Sequence[JudgeItem]) -> AskingPlan | None:
    """What asking an endpoint about these takes; None for other judges. A judge that reasons is
    asked as many times again."""
    if not isinstance(judge.answers, EndpointAnswers):
        return None
    questions = [q for item in items for q in judge.questions(*item.shown)]
    asked = judge.answers.chat_questions(questions)
    later = len(questions) if judge.answers.reasoning_tokens else 0
    return judge.answers.asker.plan(asked, later)


def ask_judges(
    judges: Sequence[AiJudge],
    items: Sequence[JudgeItem],
    settings: AiJudgeSettings,
    found: AiFeedback,
    people: Sequence[Feedback] = (),
    step: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Put what judges say into `found`, which holds what was judged if this ends early. people:
    comparisons by which the judges' temperature is fitted. Raises RunError where too many items
    fail, and what asking raises (a budget that is used up, an endpoint that is gone)."""
    voices = 1 if settings.panel else len(judges)
    limit = settings.max_failed * len(items) * voices
    asked = len(items) * len(judges)
    said, failed = list[list[JudgedItem]](), 0
    write = _writer(judges, settings, found, people)
    size = max(1, CHUNK // sum(judge.questions_per_item for judge in judges))
    for start in range(0, len(items), size):
        part = items[start : start + size]
        rest = len(items) - start - len(part)
        shown = [item.shown for item in part]
        by_judge = [judge.judge(shown, rest * judge.questions_per_item) for judge in judges]
        rows = [list(row) for row in zip(*by_judge, strict=True)]
        if settings.panel:
            rows = [[panel_of(row)] for row in rows]
        said += rows
        if not people:
            write(part, rows)
        failed += sum(one.value is None for row in rows for one in row)
        step((start + len(part)) * len(judges), asked)
        if failed > limit:
            reasons = reasons_of([one for row in said for one in row])
            raise _too_many(failed, len(said) * voices, settings.max_failed, reasons)
    if people:
        write(items, said)


Rows = Sequence[Sequence[JudgedItem]]


def _writer(
    judges: Sequence[AiJudge],
    settings: AiJudgeSettings,
    found: AiFeedback,
    people: Sequence[Feedback],
) -> Callable[[Sequence[JudgeItem], Rows], None]:
    constitution, _ = settings.read()
    guideline = None if constitution is None else constitution.guideline
    voices = list(judges)
    if settings.panel:
        name = "panel: " + " + ".join(judge.name for judge in judges)
        voices = [AiJudge(name, judges[0].answers, judges[0].template, judges[0].criteria)]
    labels = people_labels(people)

    def write(items: Sequence[JudgeItem], rows: Rows) -> None:
        for place, judge in enumerate(voices):
            of_judge = [row[place] for row in rows]
            soften = Softening(1.0, settings.clamp)
            if people:
                fitted = fitted_temperature(items, of_judge, labels)
                found.temperatures[judge.name] = fitted
                soften = Softening(fitted.value, settings.clamp)
            for item, judged in zip(items, of_judge, strict=True):
                found.add(judged, records_of(item, judged, judge, guideline, soften))

    return write


def fitted_temperature(
    items: Sequence[JudgeItem],
    judged: Sequence[JudgedItem],
    labels: Mapping[tuple[str, str, str], float],
) -> Estimate:
    """The temperature at which a judge's probabilities of pairs are as right as they are sure, by
    what people say of some of them. Raises ConfigError for fewer than `FEWEST_PEOPLE`."""
    gaps, prompts = [], []
    for item, one in zip(items, judged, strict=True):
        prompt, (first, second) = item.shown
        people = labels.get((prompt, first, second), 0.5)
        if one.value is not None and people != 0.5:
            odds = float(logit(np.clip(one.value, LEAST, 1 - LEAST)))
            gaps.append(odds if people > 0.5 else -odds)
            prompts.append(prompt)
    if len(gaps) < FEWEST_PEOPLE:
        raise ConfigError(
            f"people decided {len(gaps)} of the {len(items)} pairs that are judged, and a"
            f" temperature takes {FEWEST_PEOPLE}",
            "name comparisons by people of these very responses, or leave the temperature",
        )
    places = np.unique(np.array(prompts), return_inverse=True)[1]
    return temperature_of(np.array(gaps), places.tolist())


def _too_many(failed: int, asked: int, allowed: float, reasons: Counter[str]) -> RunError:
    told = "; ".join(f"{count:,} times {reason}" for reason, count in reasons.most_common(3))
    return RunError(
        f"{failed:,} of {asked:,} items got no verdict, more than {allowed:.0%} of all are allowed:"
        f" {told}",
        "see what the judge answers (--limit 20 --show), or allow more (--max-failed)",
    )
