"""Weights of rules from ranked answers: what keeping each is worth beside a helpful reward."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from accord.errors import DataError, by_reason
from accord.feedback.formats.source import name_of
from accord.files import write_json
from accord.learning.rule_weights import HelpfulScale, RuleWeights, fit_rule_weights
from accord.runs.context import StageContext
from accord.runs.inputs import Judgements, RewardName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult, Value
from accord.runs.stages.aside import set_aside
from accord.runs.stages.propositions import Proposition, Propositions, check_phi, written
from accord.runs.stages.scoring import UsesFunctions
from accord.runs.stages.settings import Aside, ReadsData
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.models.reward_model import RewardModel
    from accord.text.encoding import Prompt
    from accord.text.packing import PromptGroup


class RulesConfig(UsesFunctions, ReadsData):
    """Settings of a rules stage."""

    kind: Literal["rules"]
    feedback: Judgements = Field(
        description="Ranked answers: comparisons, rankings, best/worst, corrections."
    )
    reward: RewardName | None = Field(
        None, description="The reward model of helpfulness; functions add to it or stand alone."
    )
    propositions: dict[str, Proposition] = Field(
        min_length=1,
        description=(
            "Rules by name, each a function (module:function), {head: NAME} of the reward model, or"
            " {said: {flag: ..., broken: ...}}, answers in the feedback."
        ),
    )
    scale: HelpfulScale = Field(
        "fitted",
        description=(
            "fitted: helpfulness has a coefficient of its own, and the weights are in its unit;"
            " fixed: its coefficient is 1 and better answers are to win by the margin."
        ),
    )
    margin: float = Field(
        1.0, gt=0, description="By how much the better answer is to win, in helpfulness's unit."
    )
    ridge: float = Field(
        1e-3, gt=0, description="Pull of the weights towards 0; the more, the fewer the answers."
    )
    evaluation: Aside = Field(
        0.2, description="Prompts that are measured and not fitted on: how many, or their share."
    )

    def code(self) -> Sequence[str]:
        """See `StageConfig.code`."""
        named = (one.function for one in self.propositions.values())
        return [*super().code(), *(name for name in named if name is not None)]

    @model_validator(mode="after")
    def _something_helps(self) -> RulesConfig:
        if self.reward is None and not self.functions:
            raise ValueError(
                "nothing says what is helpful: name a reward model, functions, or both"
            )
        return self


class Rules(Stage):
    """Fits the weights by a hinge on ranked answers, and measures the order with and without
    them."""

    kind = "rules"
    Config = RulesConfig
    provides: ClassVar = {"rules": "rules"}
    about = "weights of named rules beside a helpful reward, fitted on ranked answers"

    def plan(self, config: RulesConfig, context: StageContext) -> Plan:
        from accord.runs.context import NotYet
        from accord.runs.reading import read_records

        config.check_functions([], context)
        Propositions({n: p for n, p in config.propositions.items() if p.head is None}, None)
        try:
            records = read_records(config.feedback, context).records
        except NotYet as error:
            return Plan(notes=[f"{error.message}, {error.fix}"])
        return Plan(rows=len(records), seconds=(0.5, 30.0), sizes={"rules": 1})

    def run(self, config: RulesConfig, context: StageContext) -> StageResult:
        from accord.runs.reading import read_records

        records = read_records(config.feedback, context).records
        left_out, pairs = Counter[str](), list[RankedPair]()
        for record in records:
            pairs += _ranked(record, left_out)
        reward = _load_reward(config, context)
        scored = _Answers.of(pairs, records, config, reward, context)
        pairs = scored.complete(pairs, left_out)
        if not pairs:
            raise DataError(
                f"{name_of(config.feedback)}: no two answers are ranked: {by_reason(left_out)}",
                "give comparisons or rankings",
            )
        train, heldout = set_aside(
            pairs, config.evaluation, lambda pair: pair.better.prompt, "pairs"
        )
        context.say(
            f"{len(train):,} ranked pairs, {len(heldout):,} more kept aside; left out:"
            f" {by_reason(left_out) or 0}"
        )
        names = list(config.propositions)
        helpful_P, phi_PJ, weight_P = scored.differences(train)
        check_phi(phi_PJ, names)
        fitted = fit_rule_weights(
            helpful_P, phi_PJ, weight_P, config.margin, config.ridge, config.scale
        )
        return _result(fitted, scored, heldout, names, config, left_out, context)


class RankedAnswer(NamedTuple):
    """The key of its prompt, its text, whether it ends there."""

    prompt: str
    text: str
    finished: bool


@dataclass(frozen=True)
class RankedPair:
    """Two answers to a prompt, the better one first, and what the pair counts."""

    better: RankedAnswer
    worse: RankedAnswer
    asked: Prompt
    weight: float


def _ranked(record: Feedback, left_out: Counter[str]) -> list[RankedPair]:
    """The pairs that a record orders; counts why there are none. A soft label p counts 2p - 1, as
    the difference of what its two answers expect."""
    from accord.feedback.records import BestWorst, Comparison, Correction, Ranking
    from accord.learning.said import choice_of
    from accord.runs.reward_reports import answer_text
    from accord.runs.stages.usable import prompt_key, responses, usable

    kept, why = usable([record])
    if not kept:
        left_out.update(why)
        return []
    if not isinstance(record.choice, Comparison | Ranking | BestWorst | Correction):
        left_out[f"{record.kind} ranks nothing"] += 1
        return []
    named = responses(record)
    key, answers = prompt_key(record), list[RankedAnswer]()
    for one in named.values():
        if (text := answer_text(one.content)) is None:
            left_out["a response of several messages"] += 1
            return []
        answers.append(RankedAnswer(key, text, one.finished))
    said = choice_of(record, {name: n for n, name in enumerate(named)}, 0)
    pairs = [(a, b) for a, b in said.pairs if answers[a].text != answers[b].text]
    if not pairs:
        left_out["a tie, or equal answers"] += 1
    weight = record.weight * (1 - 2 * (said.doubt or 0.0)) / max(1, len(said.pairs))
    return [RankedPair(answers[a], answers[b], record.asked, weight) for a, b in pairs]


def _load_reward(config: RulesConfig, context: StageContext) -> RewardModel | None:
    from accord.models.reward_model import RewardModel

    if config.reward is None:
        return None
    return RewardModel.load(context.path(config.reward), context.device).frozen()


@dataclass(frozen=True)
class _Answers:
    """Of each answer: its helpful reward, and phi [J] of its rules; NaN where not known."""

    helpful: dict[RankedAnswer, float]
    phi: dict[RankedAnswer, Array]

    @classmethod
    def of(
        cls,
        pairs: Sequence[RankedPair],
        records: Sequence[Feedback],
        config: RulesConfig,
        reward: RewardModel | None,
        context: StageContext,
    ) -> _Answers:
        """Every answer asked once; those that the reward model has no room for are not known."""
        from accord.runs.reading import PromptRow
        from accord.runs.stages.reward_functions import ToScore

        asked = {at: p.asked for p in pairs for at in (p.better, p.worse)}
        groups: list[PromptGroup] = []
        if reward is not None:
            tokens = _tokens(asked, reward, context)
            asked = {at: prompt for at, prompt in asked.items() if at in tokens}
            groups = list(tokens.values())
        if not asked:
            return cls({}, {})
        rows = [PromptRow(prompt) for prompt in asked.values()]
        to_score = ToScore(rows, [at.text for at in asked], [[] for _ in asked])
        helpful_B = np.zeros(len(asked))
        if reward is not None:
            helpful_B += reward.score(groups).mean(0).double().numpy()
        for function, weight in config.load_functions():
            helpful_B += weight * np.array(function(to_score))
        phi_BJ = Propositions(config.propositions, reward)(to_score, groups)
        for column, one in enumerate(config.propositions.values()):
            if one.said is not None:
                told = _said(records, one)
                phi_BJ[:, column] = [told.get(at[:2], np.nan) for at in asked]
        return cls(
            dict(zip(asked, helpful_B.tolist(), strict=True)),
            dict(zip(asked, phi_BJ, strict=True)),
        )

    def complete(self, pairs: Sequence[RankedPair], left_out: Counter[str]) -> list[RankedPair]:
        """The pairs of which everything is known; the others are counted."""
        kept = []
        for pair in pairs:
            both = (pair.better, pair.worse)
            if not all(at in self.helpful for at in both):
                left_out["pair with an answer too long for the reward model"] += 1
            elif not all(np.isfinite(self.helpful[at]) for at in both):
                left_out["pair with an answer that helpfulness does not score"] += 1
            elif not all(np.isfinite(self.phi[at]).all() for at in both):
                left_out["pair with an answer of which a rule is not known"] += 1
            elif pair.weight:
                kept.append(pair)
        return kept

    def differences(self, pairs: Sequence[RankedPair]) -> tuple[Array, Array, Array]:
        """Better less worse: (helpful [P], phi [P, J], weights [P])."""
        helpful = np.array([self.helpful[p.better] - self.helpful[p.worse] for p in pairs])
        phi = np.stack([self.phi[p.better] - self.phi[p.worse] for p in pairs])
        return helpful, phi, np.array([p.weight for p in pairs])


def _tokens(
    asked: Mapping[RankedAnswer, Prompt], reward: RewardModel, context: StageContext
) -> dict[RankedAnswer, PromptGroup]:
    """Of the answers that fit into the model's context."""
    from accord.runs.stages.judged import response_example
    from accord.runs.stages.usable import Response

    lm = reward.members[0].lm
    encoder = context.encoder(lm)
    found: dict[RankedAnswer, PromptGroup] = {}
    for n, (at, prompt) in enumerate(asked.items()):
        said = Response("", json.dumps(at.text), at.finished, not at.text.strip())
        group = response_example(prompt, said, f"answer {n}", encoder).group
        if group.tokens <= lm.context:
            found[at] = group
    return found


def _said(records: Sequence[Feedback], one: Proposition) -> dict[tuple[str, str], float]:
    """The share of answers, by response, that say a rule is kept."""
    from accord.runs.reward_reports import answer_text
    from accord.runs.stages.rules_said import RuleBook
    from accord.runs.stages.usable import prompt_key, responses

    assert one.said is not None
    book, found = RuleBook({"rule": one.said}), dict[tuple[str, str], list[float]]()
    for record in records:
        if record.weight and book.about(record):
            for _, kept in book.read(record).answers:
                (response,) = responses(record).values()
                if (text := answer_text(response.content)) is not None:
                    found.setdefault((prompt_key(record), text), []).append(float(kept))
    return {at: sum(values) / len(values) for at, values in found.items()}


def _result(
    fitted: RuleWeights,
    scored: _Answers,
    heldout: Sequence[RankedPair],
    names: Sequence[str],
    config: RulesConfig,
    left_out: Counter[str],
    context: StageContext,
) -> StageResult:
    """The weights, and what they are worth on pairs kept aside."""
    from accord.statistics.means import share_mean

    helpful_P, phi_PJ, _ = scored.differences(heldout)
    prompts = np.unique([pair.better.prompt for pair in heldout], return_inverse=True)[1].tolist()
    ways = {"helpful": helpful_P, "rules": fitted.total(helpful_P, phi_PJ)}
    right = {name: share_mean((gap > 0) + 0.5 * (gap == 0), prompts) for name, gap in ways.items()}
    for name, weight in zip(names, fitted.weight_J, strict=True):
        context.say(f"rule {name}: weight {weight:+.3f}")
    context.say(
        f"held out: {right['helpful'].percent} of {len(heldout):,} pairs in order by helpfulness"
        f" alone, {right['rules'].percent} with the rules"
    )
    path = context.folder / "rules.json"
    write_json(
        path,
        {
            "rules": written(config.propositions, fitted.weight_J.tolist()),
            "scale": config.scale,
            "margin": config.margin,
            "ridge": config.ridge,
        },
    )
    weights = {f"weight.{n}": float(w) for n, w in zip(names, fitted.weight_J, strict=True)}
    values: dict[str, Value] = {
        "hinge": fitted.hinge,
        "helpful": fitted.helpful,
        "heldout": len(heldout),
        "left_out": dict(left_out),
        **{f"accuracy.{name}": one.value for name, one in right.items()},
    }
    told = ", ".join(f"{n} {w:+.2f}" for n, w in zip(names, fitted.weight_J, strict=True))
    summary = (
        f"{told}; {right['rules'].value:.1%} of held-out pairs in order, by helpfulness alone"
        f" {right['helpful'].value:.1%}"
    )
    return StageResult(summary, values | weights, {"rules": path})
