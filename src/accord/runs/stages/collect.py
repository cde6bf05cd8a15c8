"""Collecting feedback: sample K responses per prompt, have a simulated crowd judge them, look at
the judges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import DataError
from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.inputs import GoldName, Judgements, PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import derive_seed

if TYPE_CHECKING:
    from accord.feedback.agreement import Agreement
    from accord.feedback.annotator_model import CrowdEstimate
    from accord.feedback.records import Feedback
    from accord.feedback.simulate import Offered, SimulatedAnnotator
    from accord.text.chats import Prompt

Row = tuple[Any, list[str], list[bool]]
"""A prompt, its responses, whether each ended."""
CHUNK = 64
GUIDELINE = "sentiment-1"


class CollectConfig(StageConfig):
    """Settings of a collect stage."""

    kind: Literal["collect"]
    model: PolicyName | None = Field(None, description="The policy whose responses are judged.")
    prompts: Prompts | None = Field(None, description="Prompts (JSONL with a prompt per row).")
    items: Judgements | None = Field(
        None, description="Pairs to judge (of a mine stage), in place of model and prompts."
    )
    gold: GoldName = Field(description="The gold reward the simulated annotators vote by.")
    count: int = Field(1200, ge=8, description="Prompts used, from the top.")
    samples_per_prompt: int = Field(
        4, ge=2, le=9, description="K, the responses offered per prompt."
    )
    overlap: int = Field(3, ge=2, description="Annotators per prompt.")
    ranking_share: float = Field(
        0.6, ge=0, le=1, description="Share of prompts judged by rankings of K, the rest by pairs."
    )
    pairs_per_prompt: int = Field(
        3, ge=1, description="Pairs judged where prompts are judged by pairs."
    )
    max_new_tokens: int = Field(48, ge=1, description="Response limit, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    gold_unit: float | None = Field(
        None,
        gt=0,
        description="Gold that the annotators' rationality counts in; null: its deviation over the"
        " responses. Rounds that are compared need the same.",
    )
    crowd: Literal["default", "honest"] = Field(
        "default",
        description=(
            "default: six honest annotators, one left-sider, one contrarian; honest: the six."
        ),
    )
    flipped: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Share of the judgements turned round, as label noise (rankings reversed).",
    )

    @property
    def annotators(self) -> int:
        """Size of the crowd."""
        return 8 if self.crowd == "default" else 6

    @model_validator(mode="after")
    def _possible(self) -> CollectConfig:
        if self.items is None and (self.model is None or self.prompts is None):
            raise ValueError("nothing is judged: name model and prompts, or items")
        if self.items is not None and (self.model is not None or self.prompts is not None):
            raise ValueError("items hold the responses: leave out model and prompts")
        if self.overlap > self.annotators:
            raise ValueError(
                f"overlap is {self.overlap}, the crowd has {self.annotators} annotators"
            )
        most = self.samples_per_prompt * (self.samples_per_prompt - 1) // 2
        if self.pairs_per_prompt > most:
            raise ValueError(
                f"pairs_per_prompt is {self.pairs_per_prompt}, {self.samples_per_prompt} responses"
                f" make {most}"
            )
        return self


class Collect(Stage):
    """Writes judgements to the feedback store and estimates every annotator from the records
    alone."""

    kind = "collect"
    Config = CollectConfig
    provides: ClassVar = {"feedback": "judgements", "annotators": "annotator estimates"}
    about = "sampled responses judged by a simulated crowd, with agreement and annotator estimates"

    def plan(self, config: CollectConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import SHORTEST, TokenWork, span
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        who = f"each prompt judged by {config.overlap} of {config.annotators} annotators"
        if config.model is None or config.prompts is None:
            rows = planned_rows(config.items, context) if config.items is not None else None
            sizes = {"feedback": rows * config.overlap} if rows else {}
            return Plan(rows=rows, notes=[who], sizes=sizes)
        model = planning.look_at_policy(config.model, context)
        planning.prompts_that_fit(
            config.prompts, config.count, config.max_new_tokens, model, context, "prompts"
        )
        work = TokenWork(sampled=config.count * config.samples_per_prompt * config.max_new_tokens)
        return Plan(
            rows=config.count,
            tokens=work.tokens,
            seconds=span(work.times(SHORTEST), work, context.speed(model)),
            notes=[who],
            sizes={
                "feedback": config.count * config.samples_per_prompt,
                "prompts": config.count,
                "responses": config.count * config.samples_per_prompt,
            },
        )

    def run(self, config: CollectConfig, context: StageContext) -> StageResult:
        from accord.feedback import agreement, annotator_model
        from accord.feedback.simulate import simulated_crowd
        from accord.feedback.store import FeedbackStore, write_records

        offered, mined = self._offer(config, context)
        crowd = simulated_crowd(context.seed, bad=config.crowd == "default")
        records = list(_judge(config, offered, crowd, context.seed, mined))
        exported = context.folder / "feedback.jsonl"
        write_records(exported, records)  # this stage's; the store keeps those of all stages
        with FeedbackStore(context.run_dir / "feedback" / "feedback.sqlite") as store:
            store.add(records)
            store.export_jsonl(context.run_dir / "feedback" / "feedback.jsonl")
        context.checkpoint(1, 3, "estimating annotators")
        estimate = annotator_model.estimate(records)
        agreed = agreement.measure(records)
        write_json(context.folder / "agreement.json", _plain(agreed))
        write_json(
            context.folder / "annotators.json", _annotators(estimate, crowd, _spread(offered))
        )
        flagged = {a.annotator for a in estimate.annotators if a.flag != "ok"}
        bad = {a.id for a in crowd if a.rationality <= 0}
        measured = {
            "agreement_strict": agreed.strict,
            "alpha": agreed.alpha,
            "ceiling": agreed.ceiling,
        }
        values: dict[str, Value] = {
            name: x.value for name, x in measured.items() if math.isfinite(x.value)
        }
        values |= {
            "records": len(records),
            "flagged": ", ".join(sorted(flagged)),
            "bad_found": len(flagged & bad),
            "bad": len(bad),
            "honest_flagged": len(flagged - bad),
            "ties": _tie_share(records),
        }
        how_far = f"agreement {agreed.strict.value:.1%}, ceiling {agreed.ceiling.value:.1%}"
        if "strict" in agreed.not_measurable:
            how_far = f"agreement not measurable ({agreed.not_measurable['strict']})"
        summary = (
            f"{len(records):,} judgements; {how_far}; flagged"
            f" {', '.join(sorted(flagged)) or 'nobody'} ({len(flagged & bad)} of {len(bad)} bad"
            " ones)"
        )
        return StageResult(
            summary,
            values,
            {"feedback": exported, "annotators": context.folder / "annotators.json"},
        )

    def _offer(
        self, config: CollectConfig, context: StageContext
    ) -> tuple[list[Offered], list[Feedback]]:
        """All responses scored by gold, in its unit; and the items, where these are judged."""
        from accord.feedback.simulate import Offered
        from accord.runs.stages.evaluation import render
        from accord.text.gold import load_gold

        gold = load_gold(context.path(config.gold))

        def score(prompt: Prompt, texts: Sequence[str]) -> list[float]:
            return gold.score([render(prompt) + text for text in texts]).tolist()  # type: ignore[no-any-return]

        rows, producers, mined = self._rows(config, context)
        scored = [score(prompt, texts) for prompt, texts, _ in rows]
        unit = config.gold_unit or _deviation([value for values in scored for value in values])
        offered = [
            Offered(prompt, texts, [value / unit for value in values], by, ended, context.name)
            for (prompt, texts, ended), values, by in zip(rows, scored, producers, strict=True)
        ]
        return offered, mined

    def _rows(
        self, config: CollectConfig, context: StageContext
    ) -> tuple[list[Row], list[str], list[Feedback]]:
        """(prompt, responses, whether each ended) of what is judged; who wrote it; the items."""
        from accord.models.loading import load_causal_lm
        from accord.runs.reading import read_prompts
        from accord.runs.stages.sampled import sample_in_chunks
        from accord.sampling.rollout import SamplingSettings

        if config.model is None or config.prompts is None:
            return _of_items(config, context)
        prompts = read_prompts(config.prompts, context, config.count)
        model = load_causal_lm(context.resolve(config.model), context.device)
        settings = SamplingSettings(config.max_new_tokens, config.temperature)
        sampled = sample_in_chunks(
            model, prompts, settings, config.samples_per_prompt, context, CHUNK,
            lambda _, __, texts: [None] * len(texts),
        )  # fmt: skip
        rows = [(row["prompt"], row["responses"], row["finished"]) for row in sampled]
        return rows, [config.model] * len(rows), []


def _of_items(
    config: CollectConfig, context: StageContext
) -> tuple[list[Row], list[str], list[Feedback]]:
    """Pairs that a mine stage, or anybody, wrote as records. Raises DataError for other records."""
    from accord.feedback.records import plain
    from accord.runs.reading import read_records
    from accord.runs.stages.usable import ended

    assert config.items is not None  # see the settings' check
    items = read_records(config.items, context).records
    rows: list[Row] = []
    for item in items:
        if len(item.options) != 2:
            raise DataError(
                f"row {item.id} has {len(item.options)} responses, and a pair is judged",
                "name the items of a mine stage",
            )
        texts = [plain(option.content) for option in item.options]
        rows.append((item.asked, texts, [ended(item, option.id) for option in item.options]))
    return rows, [item.options[0].producer or "unknown" for item in items], items


def _deviation(values: Sequence[float]) -> float:
    import numpy as np

    return max(float(np.std(values)), 1e-9)


def _spread(offered: Sequence[Offered]) -> float:
    """Root mean variance of the reward within a prompt: the unit of the estimated rationality."""
    import numpy as np

    return float(np.sqrt(np.mean([np.var(o.rewards, ddof=1) for o in offered])))


def _judge(
    config: CollectConfig,
    offered: Sequence[Offered],
    crowd: Sequence[SimulatedAnnotator],
    seed: int,
    mined: Sequence[Feedback] = (),
) -> Iterator[Feedback]:
    """All judgements; each has a seed of its own, so it does not depend on the others."""
    from accord.feedback.simulate import assign, flip, judge_comparison, judge_ranking

    if mined:
        for item, annotators in enumerate(assign(len(offered), len(crowd), config.overlap, seed)):
            chosen = {name: mined[item].meta.get(name) for name in ("selected_by", "selected_for")}
            for who in annotators:
                own = derive_seed(seed, "judgement", mined[item].id, who)
                record = judge_comparison(offered[item], (0, 1), crowd[who], own, GUIDELINE)
                record = record.model_copy(update={"meta": record.meta | chosen})
                yield flip(record, config.flipped, own)
        return
    pairs = list(combinations(range(config.samples_per_prompt), 2))
    for item, annotators in enumerate(assign(len(offered), len(crowd), config.overlap, seed)):
        ranked = (item * config.ranking_share) % 1 + config.ranking_share >= 1
        for who in annotators:
            if ranked:
                own = derive_seed(seed, "judgement", item, who)
                record = judge_ranking(offered[item], crowd[who], own, GUIDELINE)
                yield flip(record, config.flipped, own)
                continue
            for number in range(config.pairs_per_prompt):
                pair = pairs[
                    (item + number) % len(pairs)
                ]  # the same pairs for all annotators of the prompt
                own = derive_seed(seed, "judgement", item, who, number)
                record = judge_comparison(offered[item], pair, crowd[who], own, GUIDELINE)
                yield flip(record, config.flipped, own)


def _tie_share(records: Sequence[Feedback]) -> float:
    from accord.feedback.records import Comparison

    compared = [r.choice for r in records if isinstance(r.choice, Comparison)]
    return sum(choice.tie for choice in compared) / len(compared) if compared else 0.0


def _plain(agreed: Agreement) -> dict[str, Any]:
    """As JSON: intervals as [value, low, high], None for what is not a number."""
    from accord.statistics.intervals import Interval

    return {
        name: (
            [x if math.isfinite(x) else None for x in astuple(value)]
            if isinstance(value, Interval)
            else value
        )
        for name, value in vars(agreed).items()
    }


def _annotators(
    estimate: CrowdEstimate, crowd: Sequence[SimulatedAnnotator], spread: float
) -> dict[str, Any]:
    """Estimates beside the truth, in the same unit (per standard deviation of reward within a
    prompt)."""
    truth = {a.id: a for a in crowd}
    rows = [
        asdict(a)
        | {
            "true_rationality": truth[a.annotator].rationality * spread,
            "true_side_bias": truth[a.annotator].side_bias,
        }
        for a in estimate.annotators
    ]
    return {"annotators": rows, "tie": estimate.tie, "true_tie": crowd[0].tie}
