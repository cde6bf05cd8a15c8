"""A deployed policy's samples, and of them what is worth asking people or judges about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import Field, field_validator

from accord.errors import DataError
from accord.files import read_jsonl
from accord.oversight.failures import SIGNALS, MinedItem, Signal
from accord.runs.context import StageContext
from accord.runs.inputs import Judgements, PolicyName, Prompts, RewardName, SamplesName
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value

if TYPE_CHECKING:
    from accord.feedback.records import Feedback
    from accord.models.reward_model import RewardModel
    from accord.oversight.failures import DeployedCase
    from accord.sampling.rollout import Rollout
    from accord.statistics.intervals import Array
    from accord.text.chats import Prompt
    from accord.text.encoding import Encoder

CHUNK = 64
ITEMS, SAMPLES = "items.jsonl", "deployed.jsonl"
MICRO_BATCH = 4096


class MineConfig(StageConfig):
    """Settings of a mine stage."""

    kind: Literal["mine"]
    model: PolicyName = Field(description="The deployed policy.")
    prompts: Prompts = Field(description="Prompts it is asked (JSONL with a prompt per row).")
    count: int = Field(256, ge=2, description="Prompts sampled, the first that nobody was asked.")
    items: int = Field(64, ge=1, description="Prompts put to people or judges, a pair of each.")
    samples_per_prompt: int = Field(8, ge=2, description="Responses sampled per prompt.")
    max_new_tokens: int = Field(48, ge=1, description="Response limit, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    signals: list[Signal] = Field(
        list(SIGNALS),
        description="What marks a prompt as worth asking about; none: all are drawn at random.",
    )
    random_share: float = Field(
        0.25, description="Share of the items drawn at random, at least a fifth."
    )
    top: int = Field(4, ge=2, description="A mined pair is of a prompt's so many best responses.")
    reward: RewardName | None = Field(
        None, description="Reward model that scores the samples; null: none is there yet."
    )
    before: SamplesName | None = Field(
        None, description="Samples of the round before, against which this one may have lost."
    )
    said: Judgements | None = Field(
        None, description="Thumbs and judges' comparisons about the same prompts."
    )
    asked: Judgements | None = Field(
        None, description="What was asked in earlier rounds: those prompts are not asked again."
    )

    @field_validator("random_share")
    @classmethod
    def _enough_at_random(cls, share: float) -> float:
        from accord.errors import ConfigError
        from accord.feedback.selection import check_random_share

        try:
            check_random_share(share)
        except ConfigError as error:
            raise ValueError(f"{error.message}: {error.fix}") from None
        return share


class Mine(Stage):
    """Samples the policy, scores, and writes items as records that nobody has judged yet."""

    kind = "mine"
    Config = MineConfig
    provides: ClassVar = {"items": "judgements", "samples": "samples"}
    about = "a deployed policy's samples, and which pairs of them are worth asking about"

    def plan(self, config: MineConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import SHORTEST, TokenWork, span
        from accord.runs.stages import planning

        model = planning.look_at_policy(config.model, context)
        planning.prompts_that_fit(
            config.prompts, None, config.max_new_tokens, model, context, "prompts"
        )
        rows = config.count * config.samples_per_prompt
        work = TokenWork(sampled=rows * config.max_new_tokens)
        return Plan(
            rows=config.count,
            tokens=work.tokens,
            seconds=span(work.times(SHORTEST), work, context.speed(model)),
            notes=[f"{config.items:,} of {config.count:,} prompts are put to people or judges"],
            sizes={"items": config.items, "samples": config.count},
        )

    def run(self, config: MineConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import write_records
        from accord.oversight.failures import mine

        asked = _asked(config, context)
        sampled, reward, encoder = _sample(config, context, asked)
        cases = [one.case for one in _with_said(sampled, config, context, reward, encoder)]
        items = mine(
            cases,
            config.items,
            asked,
            config.random_share,
            config.signals,
            config.top,
            context.seed,
        )
        records = [_record(sampled[item.case], item, config.model) for item in items]
        write_records(context.folder / ITEMS, records)
        why = Counter[str](item.signal for item in items)
        scores = [case.scores_EK.mean() for case in cases if case.scores_EK is not None]
        values: dict[str, Value] = {"items": len(items), "prompts": len(cases), "why": dict(why)}
        if scores:
            values["score"] = float(np.mean(scores))
        elif config.signals:
            context.say("no reward model yet: nothing to mine by but what was said")
        told = ", ".join(f"{count} {name}" for name, count in why.most_common())
        return StageResult(
            f"{len(items):,} of {len(cases):,} prompts to ask about: {told}",
            values,
            {"items": context.folder / ITEMS, "samples": context.folder / SAMPLES},
        )


@dataclass(frozen=True)
class _Deployed:
    """A prompt and its different responses, with what is known of them."""

    prompt: Prompt
    responses: list[str]
    finished: list[bool]
    case: DeployedCase


def _key(prompt: Any) -> str:
    """The same for prompts that ask the same, as records call them."""
    from accord.runs.stages.usable import prompt_key

    return prompt_key(_unjudged(prompt, {}, {}, "key"))


def _unjudged(prompt: Any, responses: Mapping[str, str], meta: Mapping[str, Any], name: str,
              producer: str | None = None) -> Feedback:  # fmt: skip
    """A record of responses, by their ids, that nobody has judged yet."""
    from accord.feedback.records import Feedback, asked_fields
    from accord.runs.judge_data import NOBODY

    return Feedback.model_validate(
        {
            "id": name,
            "kind": "skip",
            **asked_fields(prompt),
            "options": [
                {"id": one, "content": content, "producer": producer, "shown_at": place}
                for place, (one, content) in enumerate(responses.items())
            ],
            "choice": {"reason": "to be judged"},
            "annotator": NOBODY,
            "meta": meta,
        }
    )


def _asked(config: MineConfig, context: StageContext) -> set[str]:
    """Prompts that nobody is asked again."""
    from accord.runs.reading import read_records
    from accord.runs.stages.usable import prompt_key

    if config.asked is None:
        return set()
    return {prompt_key(record) for record in read_records(config.asked, context).records}


def _new_prompts(
    config: MineConfig, context: StageContext, asked: Collection[str]
) -> dict[str, Prompt]:
    """The first prompts that nobody was asked, each once, by key. Raises DataError where fewer than
    the items wanted are left."""
    from accord.runs.reading import read_prompts

    rows = read_prompts(config.prompts, context)
    every: dict[str, Prompt] = {}
    for prompt in rows:
        every.setdefault(_key(prompt), prompt)
    new = [key for key in every if key not in asked]
    if len(every) < len(rows):
        context.say(f"{len(rows) - len(every):,} prompts stand there twice: each is asked once")
    if len(new) < config.items:
        raise DataError(
            f"{config.items:,} items wanted, and of {len(every):,} prompts {len(new):,} were not"
            " asked yet",
            "give more prompts, or ask for fewer items",
        )
    return {key: every[key] for key in new[: config.count]}


def _sample(
    config: MineConfig, context: StageContext, asked: Collection[str]
) -> tuple[list[_Deployed], RewardModel | None, Encoder]:
    """Prompts with two different responses or more, scored; what scored them."""
    from accord.models.loading import freeze, load_causal_lm
    from accord.models.reward_model import RewardModel
    from accord.oversight.failures import DeployedCase
    from accord.runs.stages.sampled import sample_in_chunks
    from accord.sampling.rollout import SamplingSettings

    prompts = _new_prompts(config, context, asked)
    model = freeze(load_causal_lm(context.resolve(config.model), context.device))
    reward = None
    if config.reward is not None:
        reward = RewardModel.load(context.path(config.reward), context.device).frozen()

    def score(part: Sequence[Prompt], rollout: Rollout, texts: Sequence[str]) -> list[Any]:
        if reward is None:
            return [None] * rollout.size
        return reward.score(rollout.groups(), MICRO_BATCH).T.tolist()

    rows = sample_in_chunks(
        model,
        list(prompts.values()),
        SamplingSettings(config.max_new_tokens, config.temperature),
        config.samples_per_prompt,
        context,
        CHUNK,
        score,
        SAMPLES,
    )
    found = []
    for key, row in zip(prompts, rows, strict=True):
        first = {text: place for place, text in reversed(list(enumerate(row["responses"])))}
        kept = sorted(first.values())
        if len(kept) < 2:
            continue
        scores_KE = [cast("list[float] | None", row["scores"][i]) for i in kept]
        scores_EK = None if reward is None else np.array(scores_KE, dtype=np.float64).T
        case = DeployedCase(key, len(kept), scores_EK)
        texts = [row["responses"][i] for i in kept]
        found.append(_Deployed(row["prompt"], texts, [row["finished"][i] for i in kept], case))
    if len(found) < len(rows):
        context.say(f"{len(rows) - len(found):,} prompts left out: all their responses are alike")
    return found, reward, context.encoder(model)


# --- what else is known of a prompt ---------------------------------------------------------------
def _with_said(
    sampled: Sequence[_Deployed],
    config: MineConfig,
    context: StageContext,
    reward: RewardModel | None,
    encoder: Encoder,
) -> list[_Deployed]:
    from accord.runs.reading import read_records

    said: dict[str, dict[Signal, float]] = {}
    if config.said is not None:
        said = said_of(read_records(config.said, context).records)
    if config.before is not None and reward is not None:
        scored = {one.case.prompt: one.case.scores_EK for one in sampled}
        for key, lost in _lost(config.before, scored, context, reward, encoder).items():
            said.setdefault(key, {})["lost"] = lost
    return [
        replace(one, case=replace(one.case, said=said.get(one.case.prompt, {}))) for one in sampled
    ]


def said_of(records: Sequence[Feedback]) -> dict[str, dict[Signal, float]]:
    """Of each prompt by key: the share of its thumbs that are down; how far the comparisons of the
    same two responses are from unanimous, 0 (all say the same) to 1 (as many each way), the mean
    over pairs that were compared twice or more."""
    from accord.feedback.records import Comparison, Thumb
    from accord.runs.stages.usable import prompt_key

    thumbs: dict[str, list[bool]] = {}
    votes: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for record in records:
        key, choice = prompt_key(record), record.choice
        if isinstance(choice, Thumb):
            thumbs.setdefault(key, []).append(choice.up)
        elif isinstance(choice, Comparison):
            pair = tuple(sorted(option.id for option in record.options))
            first = 0.5 if choice.preferred is None else float(choice.preferred == pair[0])
            votes.setdefault(key, {}).setdefault(pair, []).append(first)
    found: dict[str, dict[Signal, float]] = {}
    for key, ups in thumbs.items():
        found.setdefault(key, {})["thumbs_down"] = 1 - sum(ups) / len(ups)
    for key, by_pair in votes.items():
        several = [given for given in by_pair.values() if len(given) > 1]
        if several:
            apart = [1 - abs(2 * float(np.mean(given)) - 1) for given in several]
            found.setdefault(key, {})["judges_disagree"] = float(np.mean(apart))
    return found


def _lost(
    before: str,
    scored: Mapping[str, Array | None],
    context: StageContext,
    reward: RewardModel,
    encoder: Encoder,
) -> dict[str, float]:
    """Mean score of the round before less this round's, of prompts that both answered, by the same
    reward model."""
    from accord.runs.stages.judged import response_example
    from accord.runs.stages.usable import Response

    rows = [(key, row) for row in read_jsonl(context.path(before)) if (key := _key(row["prompt"]))
            in scored]  # fmt: skip
    groups = [
        response_example(
            row["prompt"],
            Response("", json.dumps(text), ended, not text.strip()),
            "before",
            encoder,
        ).group
        for _, row in rows
        for text, ended in zip(row["responses"], row["finished"], strict=True)
    ]
    if not groups:
        return {}
    scores_B = reward.score(groups, MICRO_BATCH).mean(0).tolist()
    lost, at = {}, 0
    for key, row in rows:
        now = scored[key]
        then = scores_B[at : at + len(row["responses"])]
        at += len(then)
        if now is not None:
            lost[key] = float(np.mean(then) - now.mean())
    return lost


def _record(one: _Deployed, item: MinedItem, producer: str) -> Feedback:
    from accord.feedback.formats.columns import option_ids

    texts = [one.responses[i] for i in item.pair]
    ids = option_ids(texts)
    meta = {
        "finished": {name: one.finished[i] for name, i in zip(ids, item.pair, strict=True)},
        "selected_by": item.signal,
        "selected_for": item.reason,
    }
    responses = dict(zip(ids, texts, strict=True))
    return _unjudged(one.prompt, responses, meta, f"mined-{one.case.prompt}", producer)
