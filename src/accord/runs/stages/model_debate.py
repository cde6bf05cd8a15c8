"""Debates and consultancies held and judged by language models, about questions on texts that the
judge does not read (QuALITY and the like)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from accord.errors import DataError, RunError, by_reason
from accord.oversight.arguing import HeldDebate, hold_all
from accord.oversight.debate import Transcript, debate
from accord.oversight.debate_study import HELD, DebateStudy
from accord.oversight.hidden_texts import HiddenQuestion, hidden_questions
from accord.runs.context import NotYet, StageContext
from accord.runs.inputs import Names
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.asking import AskingConfig, check_askable
from accord.sampling.addresses import is_remote
from accord.sampling.budget import AROUND, BYTES_PER_TOKEN, Cost
from accord.seeds import derive_seed

REQUEST = 1200
"""Characters of a request beside text, question, answers and what was said, roughly."""


class ModelDebateConfig(StageConfig):
    """Settings of a model_debate stage."""

    kind: Literal["model_debate"]
    data: Annotated[str, Names("texts")] = Field(
        description="Rows with passage, question, options and answer (and lie, a wrong option), or"
        " QuALITY's rows."
    )
    debater: str = Field(
        description="Who argues and has read the text: an address https://host/v1#model, or a model"
        " on this machine."
    )
    judge: str = Field(description="Who judges and has not: an address or a model, too.")
    limit: int | None = Field(None, ge=1, description="Questions used, from the top; null: all.")
    turns: int = Field(
        4, ge=2, le=32, description="Speeches of a debate or consultancy; an even number."
    )
    words: int = Field(150, ge=10, description="Longest speech that debaters are asked for.")
    speech_tokens: int = Field(
        600, ge=8, description="Limit of a speech, in tokens; one that is cut there counts as none."
    )
    temperature: float = Field(0.7, ge=0, le=2, description="Of speeches.")
    reasoning_tokens: int = Field(
        0, ge=0, description="Longest reasoning of the judge before its answer, in tokens; 0: none."
    )
    most_failed: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of verdicts that may fail: speeches cut, refused or not given, and"
        " answers that are none.",
    )
    asking: AskingConfig = Field(AskingConfig(), description="What endpoints may cost.")

    @field_validator("turns")
    @classmethod
    def _as_many_for_each(cls, turns: int) -> int:
        try:
            debate(("one", "other"), turns)
        except DataError as error:
            raise ValueError(f"{error.message}; {error.fix}") from None
        return turns

    @property
    def models(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys([self.debater, self.judge]))


class ModelDebate(Stage):
    """Holds every transcript, has every arm judged, and leaves transcripts, verdicts and items for
    people; a resumed try asks endpoints nothing twice."""

    kind = "model_debate"
    Config = ModelDebateConfig
    provides: ClassVar = {"transcripts": None, "feedback": "judgements", "items": None}
    about = "debates and consultancies between models about texts that a judge does not read"

    def plan(self, config: ModelDebateConfig, context: StageContext) -> Plan:
        check_askable(config.models, context)
        try:
            questions = _questions(config, context)
        except NotYet:
            return Plan(notes=["what it costs is known once the questions are"])
        most = {name: _cost(config, questions, name) for name in filter(is_remote, config.models)}
        return Plan(rows=len(questions), notes=config.asking.notes(most))

    def run(self, config: ModelDebateConfig, context: StageContext) -> StageResult:
        from accord.runs.stages.debates_left import leave

        questions = _questions(config, context)
        shared = config.asking.settings(context)
        with config.asking.within_budget(context):
            writer = config.asking.writers([config.debater], config.temperature, context, shared)(
                config.debater, config.speech_tokens
            )
            answers = config.asking.judges(config.models, context, shared, config.reasoning_tokens)
            context.checkpoint(0, config.turns + 2, "speeches")
            held = hold_all(
                _begun(questions, config.turns),
                questions,
                writer,
                config.words,
                derive_seed(context.seed, "model debate"),
                lambda done, _: context.checkpoint(done, config.turns + 2, "speeches"),
            )
            study = DebateStudy.of(questions, held, answers[config.judge], answers[config.debater])
        context.checkpoint(config.turns + 1, config.turns + 2, "verdicts")
        result = leave(study, questions, held, config.judge, context)
        _refuse(study, config)
        context.checkpoint(config.turns + 2, config.turns + 2)
        return result


def _questions(config: ModelDebateConfig, context: StageContext) -> list[HiddenQuestion]:
    from accord.feedback.formats.reading import read_rows

    with context.about("data"):
        read = read_rows(context.resolve(config.data))
        found, unused = hidden_questions(read.rows, context.seed)
    if not context.planning:
        for line in read.messages:
            context.say(line)
        if read.dropped:
            context.say(f"rows left out: {by_reason(read.dropped)}")
        if unused:
            context.say(f"columns that nothing is made of: {', '.join(sorted(unused))}")
    return found[: config.limit]


def _begun(questions: Sequence[HiddenQuestion], turns: int) -> list[HeldDebate]:
    """Of each question the debate, the debate with sides swapped, and a consultancy for each
    answer, in this order."""
    orders = {
        "debate": [(0, 1) * (turns // 2), (1, 0) * (turns // 2)],
        "consultancy": [(0,) * turns, (1,) * turns],
    }
    return [
        HeldDebate(number, protocol, order, Transcript(question.claims, protocol))
        for number, question in enumerate(questions)
        for protocol in ("debate", "consultancy")
        for order in orders[protocol]
    ]


def _refuse(study: DebateStudy, config: ModelDebateConfig) -> None:
    missing, every = study.failed
    if missing > config.most_failed * every:
        reasons = sum((arm.reasons for arm in study.arms.values()), Counter[str]())
        told = "; ".join(f"{count:,} times {why}" for why, count in reasons.most_common(3))
        raise RunError(
            f"{missing:,} of {every:,} verdicts are missing, more than {config.most_failed:.0%} are"
            f" allowed: {told}",
            "see transcripts.jsonl in the stage's folder; raise speech_tokens or most_failed",
        )


def _cost(config: ModelDebateConfig, questions: Sequence[HiddenQuestion], name: str) -> Cost:
    """What an endpoint is asked, where every speech is as long as is allowed: as the debater a
    speech per turn of each transcript and twice what it believes, as the judge every arm twice."""
    cost, answer = Cost(), 16
    for one in questions:
        asked = (REQUEST + len(one.claims.question) + sum(map(len, one.options))) / BYTES_PER_TOKEN
        asked += AROUND
        text = len(one.claims.source.encode()) / BYTES_PER_TOKEN
        said = config.speech_tokens * config.turns
        if name == config.debater:
            before = said * (config.turns - 1) / 2
            spoken = HELD * config.turns
            cost += Cost(spoken, spoken * (asked + text) + HELD * before, HELD * said)
            cost += Cost(2, 2 * (asked + text), 2 * answer)
        if name == config.judge:
            read = 2 * (7 * asked + text + HELD * said)
            cost += Cost(14, read, 14 * answer)
            if config.reasoning_tokens:
                thought = 14 * config.reasoning_tokens
                cost += Cost(14, read + thought, thought)
    return cost
