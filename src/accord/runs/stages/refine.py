"""Feedback in words turned into corrections: responses are refined by it, and of the refinements
one is chosen to learn from (imitation learning from language feedback: Scheurer et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import RunError, by_reason
from accord.oversight.code_tests import CodeLimits
from accord.oversight.refining import Refiner, WordedFeedback
from accord.oversight.revisers import RevisionRules
from accord.oversight.selecting import ByChoice, ByScore, BySimilarity, ByTests, Selector
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import Judgements, PolicyName, RewardName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.asking import AskingConfig, check_askable
from accord.sampling.addresses import is_remote

if TYPE_CHECKING:
    from accord.oversight.refining import FunctionRefiner

CHUNK = 16
"""Responses whose refinements are on disk together."""
LOG = "refined.jsonl"


class RefineConfig(StageConfig):
    """Settings of a refine stage."""

    kind: Literal["refine"]
    data: Judgements = Field(description="Critiques, of one response each.")
    reviser: str | None = Field(
        None, description="The model that rewrites: an address, or a model on this machine."
    )
    function: str | None = Field(
        None,
        description="In its place module:function, called as f(prompt, response, feedback), which"
        " gives a text or a list of texts.",
    )
    written: Judgements | None = Field(
        None,
        description="In its place corrections that people wrote, each naming its critique's id in"
        " meta.critique.",
    )
    refinements: int = Field(4, ge=1, le=256, description="Refinements that the reviser writes.")
    select: Literal["tests", "scorer", "choice", "similarity"] = Field(
        description=(
            "What chooses: tests of the critique's record (meta.tests, meta.entry); a scorer; a"
            " model's answer to whether the feedback was used; likeness of words to the feedback."
        )
    )
    scorer: RewardName | None = Field(None, description="The reward model, for select: scorer.")
    scorer_function: str | None = Field(
        None, description="In its place module:function, called as f(prompts, responses)."
    )
    chooser: PolicyName | None = Field(
        None, description="The model on this machine that is asked, for select: choice."
    )
    tests: CodeLimits = Field(CodeLimits(), description="What a program under test may use.")
    tokens: int = Field(512, ge=1, description="Limit of a refinement, in tokens.")
    temperature: float = Field(1.0, ge=0, description="Of the reviser.")
    rules: RevisionRules = Field(
        RevisionRules(), description="Which texts of a reviser count as refinements."
    )
    asking: AskingConfig = Field(AskingConfig(), description="What an endpoint may cost.")

    @model_validator(mode="after")
    def _who_and_by_what(self) -> RefineConfig:
        given = [one for one in (self.reviser, self.function, self.written) if one is not None]
        if len(given) != 1:
            raise ValueError("name one that refines: reviser, function, or written")
        scorers = [one for one in (self.scorer, self.scorer_function) if one is not None]
        if len(scorers) != (self.select == "scorer"):
            raise ValueError("select: scorer goes with one of scorer and scorer_function")
        if (self.chooser is not None) != (self.select == "choice"):
            raise ValueError("select: choice goes with chooser, a model on this machine")
        if self.chooser is not None and is_remote(self.chooser):
            raise ValueError("chooser: probabilities of answers need a model on this machine")
        return self

    def code(self) -> Sequence[str]:
        return [one for one in (self.function, self.scorer_function) if one is not None]


class Refine(Stage):
    """Has responses refined by feedback in words, and leaves the chosen refinements as corrections
    and demonstrations, and the responses they are of beside them."""

    kind = "refine"
    Config = RefineConfig
    provides: ClassVar = {
        "feedback": "judgements",
        "demonstrations": "demonstrations",
        "unrefined": "demonstrations",
    }
    about = "responses refined by feedback in words; tests, a scorer or a model choose"

    def plan(self, config: RefineConfig, context: StageContext) -> Plan:
        check_askable([name for name in (config.reviser, config.chooser) if name], context)
        if config.function is not None:
            _function(config.function)
        try:
            rows = len(_read(config, context))
        except NotYet:
            return Plan()
        sizes = dict.fromkeys(self.provides, rows)
        notes = [f"{rows:,} responses; chosen by {config.select}"]
        if config.reviser is not None:
            notes.append(f"at most {rows * config.refinements:,} refinements of {config.reviser}")
        return Plan(rows=rows, sizes=sizes, notes=notes)

    def run(self, config: RefineConfig, context: StageContext) -> StageResult:
        from accord.runs.stages.refined import leave_refined

        asked = _read(config, context)
        with config.asking.within_budget(context):
            _run(asked, config, context)
        return leave_refined(asked, context.log(LOG).rows, config.select, context)


def _read(config: RefineConfig, context: StageContext) -> list[WordedFeedback]:
    """Critiques to refine by. Raises RunError where there is none."""
    from collections import Counter

    from accord.oversight.refining import worded
    from accord.runs.reading import read_records

    with context.about("data"):
        records = read_records(config.data, context).records
        found = [worded(record, row) for row, record in enumerate(records)]
        asked = [one for one in found if isinstance(one, WordedFeedback)]
        for one in asked if config.select == "tests" else ():
            one.tests()
    left_out = Counter(one.reason for one in found if not isinstance(one, WordedFeedback))
    if left_out:
        context.say(f"left out: {by_reason(dict(left_out))}")
    if not asked:
        raise RunError(
            f"no critique of one response among {len(records):,} records",
            "name records of kind critique: data",
        )
    twice = [name for name, n in Counter(one.record.id for one in asked).items() if n > 1]
    if twice:
        raise RunError(f"two critiques have the id {twice[0]}", "give each an id of its own")
    return asked


def _run(asked: Sequence[WordedFeedback], config: RefineConfig, context: StageContext) -> None:
    """Refine and choose; after each chunk it is on disk."""
    from accord.oversight.drafts import WrittenText
    from accord.seeds import derive_seed

    refiner, selector, log = _refiner(config, context), _selector(config, context), context.log(LOG)
    for start in range(len(log.rows), len(asked), CHUNK):
        part, rows = asked[start : start + CHUNK], []
        seeds = [derive_seed(context.seed, "refine", one.record.id) for one in part]
        for one, found in zip(part, refiner.refine(part, seeds), strict=True):
            there = [f for f in found if isinstance(f, WrittenText)]
            new = [f for f in there if f.text.strip() != one.draft.text.strip()]
            unusable = [f.reason for f in found if not isinstance(f, WrittenText)]
            chosen = selector.choose(one, [f.text for f in new]) if new else None
            place = chosen.place if chosen else None
            rows.append(
                {
                    "critique": one.record.id,
                    "refiner": refiner.name,
                    "written": len(found),
                    "copies": len(there) - len(new),
                    "unusable": unusable,
                    "text": None if place is None else new[place].text,
                    "finished": None if place is None else new[place].finished,
                    "reason": chosen.reason if chosen else _nothing(len(there), unusable),
                    "hidden": chosen.hidden if chosen else None,
                    "meta": chosen.meta if chosen else {},
                }
            )
        log.append(rows)
        context.checkpoint(start + len(part), len(asked), "refining")


def _nothing(copies: int, unusable: Sequence[str]) -> str:
    if copies:
        return "every refinement is the response itself"
    return unusable[0] if unusable else "there is no refinement"


# --- who refines, and what chooses ----------------------------------------------------------------
def _refiner(config: RefineConfig, context: StageContext) -> Refiner:
    from accord.oversight.refining import RevisingRefiner, WrittenRefiner
    from accord.oversight.revisers import ModelReviser
    from accord.runs.reading import read_records

    if config.function is not None:
        return _function(config.function)
    if config.written is not None:
        with context.about("written"):
            people = WrittenRefiner(read_records(config.written, context).records, "written")
        if people.unnamed:
            context.say(f"written: {people.unnamed:,} records are no corrections of a critique")
        return people
    assert config.reviser is not None  # the settings see to it
    writer = config.asking.writers([config.reviser], config.temperature, context)
    reviser = ModelReviser(writer(config.reviser, config.tokens))
    return RevisingRefiner(reviser, config.refinements, config.rules)


def _function(name: str) -> FunctionRefiner:
    """The user's function; what it raises is a RunError under its name, file and line."""
    from accord.oversight.refining import FunctionRefiner
    from accord.runs.inputs import about
    from accord.user_code import defined_at, load_function, told

    with about("function"):
        function: Callable[..., Any] = load_function(name, "refiner")
    who = f"the refiner {name}{defined_at(function)}"

    def called(prompt: Any, response: str, feedback: str) -> Any:
        try:
            return function(prompt, response, feedback)
        except (Exception, SystemExit) as error:
            raise RunError(
                f"{who} failed with {told(error)}", "it is called as f(prompt, response, feedback)"
            ) from error

    return FunctionRefiner(called, name)


def _selector(config: RefineConfig, context: StageContext) -> Selector:
    if config.select == "tests":
        return ByTests(config.tests, context.seed)
    if config.select == "similarity":
        return BySimilarity()
    if config.chooser is not None:
        return ByChoice(_answers(config.chooser, context), config.chooser)
    from accord.runs.reward_scorers import load_scorer

    name = config.scorer_function or context.resolve(config.scorer or "")
    scorer = load_scorer(name)
    return ByScore(lambda rows: scorer.score(rows).mean(0).tolist(), name)


def _answers(name: str, context: StageContext) -> Callable[[Sequence[str]], list[float]]:
    """P(Yes) against No, of a model on this machine."""
    import numpy as np

    from accord.runs.behaviour.answering import LocalPolicy

    policy = LocalPolicy(context.resolve(name), context.device)

    def answers(questions: Sequence[str]) -> list[float]:
        found = policy.choice_logps([[one] for one in questions], [["Yes", "No"]] * len(questions))
        return [float(1 / (1 + np.exp(no - yes))) for yes, no in found]

    return answers
