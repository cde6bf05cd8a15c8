"""Sampling a policy and scoring it: a round of online DPO, best-of-n distillation, or expert
iteration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from accord.errors import RunError
from accord.runs.context import StageContext
from accord.runs.inputs import PolicyName, Prompts
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageResult
from accord.runs.stages.scoring import RewardSources

if TYPE_CHECKING:
    from torch import Tensor

    from accord.feedback.records import Feedback
    from accord.models.causal_lm import CausalLM
    from accord.models.reward_model import RewardModel
    from accord.runs.stages.sampled import SampledRow
    from accord.sampling.rollout import Rollout
    from accord.text.chats import Prompt
    from accord.text.encoding import Encoder

CHUNK = 32
ANNOTATOR = "reward"


class ScoreConfig(RewardSources):
    """Settings of a score stage."""

    kind: Literal["score"]
    model: PolicyName = Field(description="The policy to sample.")
    prompts: Prompts = Field(description="Prompts (JSONL with a prompt per row).")
    count: int | None = Field(None, ge=2, description="Prompts used, from the top; null: all.")
    samples_per_prompt: int = Field(4, ge=2, description="Responses per prompt.")
    max_new_tokens: int = Field(48, ge=1, description="Response limit, in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    ensemble: Literal["mean", "worst", "variance"] = Field(
        "mean", description="How members become one score."
    )
    unfinished: Literal["keep", "last"] = Field(
        "last",
        description="last: responses that hit the limit are only chosen where none finished.",
    )
    threshold: float | None = Field(
        None, description="Only responses that score as much become demonstrations."
    )
    keep: Literal["best", "all"] = Field(
        "best",
        description=(
            "Demonstrations per prompt: the best response, or all different ones above the"
            " threshold."
        ),
    )
    micro_batch_tokens: int = Field(
        4096, ge=16, description="Tokens per scoring pass: a memory knob only."
    )
    likelihood: PolicyName | None = Field(
        None,
        description="A model whose mean log-probability per token of a response is added to its"
        " score: with the policy itself, what it thinks of its own words.",
    )

    @property
    def scored(self) -> bool:
        return self.likelihood is not None or super().scored

    @model_validator(mode="after")
    def _possible(self) -> ScoreConfig:
        if self.keep == "all" and self.threshold is None:
            raise ValueError("keep: all needs a threshold")
        return self


class Score(Stage):
    """Writes, per prompt, the best response over the worst as a comparison, and the best ones as
    demonstrations."""

    kind = "score"
    Config = ScoreConfig
    provides: ClassVar = {"feedback": "judgements", "demonstrations": "demonstrations"}
    about = (
        "a policy's own samples scored: for online DPO, best-of-n distillation and expert iteration"
    )

    def plan(self, config: ScoreConfig, context: StageContext) -> Plan:
        from accord.runs.estimate import SHORTEST, TokenWork, span
        from accord.runs.reading import planned_rows
        from accord.runs.stages import planning

        model = planning.look_at_policy(config.model, context)
        fitting = planning.prompts_that_fit(
            config.prompts,
            config.count,
            config.max_new_tokens,
            model,
            context,
            "prompts",
            config.columns_used(),
        )
        config.check_functions([row for _, row in fitting or ()], context)
        rows = len(fitting) if fitting is not None else planned_rows(config.prompts, context)
        prompts = min(filter(None, (rows, config.count)), default=0)
        tokens = prompts * config.samples_per_prompt * config.max_new_tokens
        work = TokenWork(sampled=tokens, scored=tokens)
        return Plan(
            rows=prompts or None,
            tokens=tokens or None,
            seconds=span(work.times(SHORTEST), work, context.speed(model)),
            sizes={"feedback": prompts, "demonstrations": prompts} if prompts else {},
            notes=[f"the best and the worst of {config.samples_per_prompt}"],
        )

    def run(self, config: ScoreConfig, context: StageContext) -> StageResult:
        from accord.feedback.store import write_records
        from accord.runs.stages.usable import prompt_key

        rows, reward, encoder = self._samples(config, context)
        shown: list[Feedback] = []
        records, flat = [], 0
        for number, row in enumerate(rows):
            order = _order(row, config.unfinished)
            shown += _demonstrations(row, order, config, number)
            if row["scores"][order[0]] == row["scores"][order[-1]]:
                flat += 1  # nothing to learn from: all samples score the same
            else:
                records.append(_record(row, order[0], order[-1], config.model, number))
        if not records and not shown:
            raise RunError(
                "the samples of every prompt score the same, and none reaches the threshold"
                f" {config.threshold}",
                "raise the temperature, or lower the threshold",
            )
        feedback, demonstrations = (
            context.folder / "feedback.jsonl",
            context.folder / "demonstrations.jsonl",
        )
        write_records(feedback, records)
        write_records(demonstrations, shown)
        mean = sum(sum(row["scores"]) for row in rows) / sum(len(row["scores"]) for row in rows)
        top = sum(max(row["scores"]) for row in rows) / len(rows)
        solved = len({prompt_key(record) for record in shown})
        values = {
            "prompts": len(rows),
            "pairs": len(records),
            "flat": flat,
            "demonstrations": len(shown),
            "score": mean,
            "best_score": top,
            "prompts_with_demonstration": solved,
        }
        if reward is not None and reward.form.rules:
            values |= _rules_kept(rows, reward, encoder, config, context)
        summary = (
            f"{len(records):,} pairs, {flat:,} prompts whose samples score the same; {len(shown):,}"
            f" demonstrations for {solved:,} of {len(rows):,} prompts; mean score {mean:.2f}, best"
            f" {top:.2f}"
        )
        return StageResult(
            summary, values, {"feedback": feedback, "demonstrations": demonstrations}
        )

    def _samples(
        self, config: ScoreConfig, context: StageContext
    ) -> tuple[list[SampledRow], RewardModel | None, Encoder]:
        """Responses with their scores, one row per prompt; and what scored them."""
        import torch

        from accord.learning.reward import aggregate
        from accord.models.loading import freeze, load_causal_lm
        from accord.runs.reading import read_prompt_rows
        from accord.runs.stages.sampled import sample_in_chunks
        from accord.runs.stages.scoring import Scorer
        from accord.sampling.rollout import SamplingSettings

        prompts = read_prompt_rows(config.prompts, context, config.count, config.columns_used())
        model = freeze(load_causal_lm(context.resolve(config.model), context.device))
        reward, encoder = config.load_reward(context), context.encoder(model)
        if reward is not None:
            reward.frozen()

        rules = config.load_rules(reward, context)
        scorer = Scorer(config, reward, prompts, encoder, config.micro_batch_tokens, rules)
        likely = _judge(config, model, context)

        def score(_: Sequence[Prompt], rollout: Rollout, __: Sequence[str]) -> list[float | None]:
            scores_EB, scored_B = scorer.score(rollout)
            if likely is not None:
                scores_EB = scores_EB + mean_logps(likely, rollout, config.micro_batch_tokens)
                scored_B = torch.ones_like(scored_B)
            scores = aggregate(scores_EB, config.ensemble).tolist()
            return [s if told else None for s, told in zip(scores, scored_B.tolist(), strict=True)]

        settings, asked = (
            SamplingSettings(config.max_new_tokens, config.temperature),
            [row.prompt for row in prompts],
        )
        rows = sample_in_chunks(
            model, asked, settings, config.samples_per_prompt, context, CHUNK, score
        )
        for line in scorer.told():
            context.say(line)
        return _scored(rows, context), reward, encoder


def _judge(config: ScoreConfig, model: CausalLM, context: StageContext) -> CausalLM | None:
    """The model whose log-probabilities count, where one does. Raises ConfigError for one of
    another vocabulary."""
    from accord.models.loading import freeze, load_causal_lm
    from accord.models.soup import check_one_vocabulary

    if config.likelihood is None or config.likelihood == config.model:
        return model if config.likelihood else None
    found = freeze(load_causal_lm(context.resolve(config.likelihood), context.device))
    check_one_vocabulary(model, found, "likelihood: the model", "score by one of the same base")
    return found


def mean_logps(model: CausalLM, rollout: Rollout, micro_batch_tokens: int) -> Tensor:
    """The mean log-probability per token of every response, nats: [B], on the CPU."""
    import torch

    from accord.learning.advantages import per_response
    from accord.text.packing import streams

    with torch.no_grad():
        parts = [
            model.logprobs(stream.to(model.device)).cpu()
            for stream in streams(rollout.groups(), micro_batch_tokens)
        ]
    lengths_B = torch.tensor([len(response) for response in rollout.responses])
    return per_response(torch.cat(parts), lengths_B) / lengths_B


def _rules_kept(
    rows: Sequence[SampledRow],
    reward: RewardModel,
    encoder: Encoder,
    config: ScoreConfig,
    context: StageContext,
) -> dict[str, float]:
    """Mean P(kept) of each rule that the reward model knows, of the best responses and of the first
    samples: what choosing by the score does to the rules."""
    from accord.runs.stages.judged import response_example
    from accord.runs.stages.usable import Response

    values: dict[str, float] = {}
    for what in ("best", "first"):
        groups = []
        for row in rows:
            n = _order(row, config.unfinished)[0] if what == "best" else 0
            text = row["responses"][n]
            said = Response("", json.dumps(text), row["finished"][n], not text.strip())
            groups.append(response_example(row["prompt"], said, f"{what} sample", encoder).group)
        kept_J = reward.rule_probabilities(groups, config.micro_batch_tokens).mean(0).tolist()
        values |= {
            f"rule.{name}.{what}": p for name, p in zip(reward.form.rules, kept_J, strict=True)
        }
    for name in reward.form.rules:
        best, first = (values[f"rule.{name}.{what}"] for what in ("best", "first"))
        context.say(f"rule {name}: kept with P {best:.3f} by the best samples, {first:.3f} by any")
    return values


def _scored(rows: Sequence[SampledRow], context: StageContext) -> list[SampledRow]:
    """The rows with the responses that were scored; prompts without any are left out, and said."""
    kept: list[SampledRow] = []
    for row in rows:
        places = [i for i, score in enumerate(row["scores"]) if score is not None]
        if places:
            kept.append(
                {
                    "prompt": row["prompt"],
                    "responses": [row["responses"][i] for i in places],
                    "finished": [row["finished"][i] for i in places],
                    "scores": [row["scores"][i] for i in places],
                }
            )
    if len(kept) < len(rows):
        context.say(f"{len(rows) - len(kept):,} prompts left out: no response of theirs is scored")
    if not kept:
        raise RunError("no response was scored", "return numbers for those that can be judged")
    return kept


def _order(row: SampledRow, unfinished: str) -> list[int]:
    """Responses from best to worst."""
    finished = row["finished"] if unfinished == "last" else [True] * len(row["scores"])
    return sorted(range(len(row["scores"])), key=lambda i: (not finished[i], -row["scores"][i]))


def _demonstrations(
    row: SampledRow, order: Sequence[int], config: ScoreConfig, number: int
) -> list[Feedback]:
    """The responses to learn from: not empty, scored as much as the threshold asks for, and each
    once.

    One that hit the limit says so: fine-tuning would otherwise teach to stop in mid-sentence.
    """
    from accord.feedback.records import Feedback, asked_fields

    first_place: dict[str, int] = {}
    for i in order[:1] if config.keep == "best" else order:
        if row["responses"][i].strip() and (
            config.threshold is None or row["scores"][i] >= config.threshold
        ):
            first_place.setdefault(row["responses"][i], i)
    return [
        Feedback.model_validate(
            {
                "id": f"best-{number}-{i}",
                "kind": "demonstration",
                **asked_fields(row["prompt"]),
                "options": [],
                "choice": {"content": response},
                "annotator": ANNOTATOR,
                "meta": {"finished": row["finished"][i]},
            }
        )
        for response, i in first_place.items()
    ]


def _record(row: SampledRow, best: int, worst: int, producer: str, number: int) -> Feedback:
    from accord.feedback.records import Feedback, asked_fields

    picked = {"best": best, "worst": worst}
    options = [
        {"id": name, "content": row["responses"][i], "producer": producer, "shown_at": place}
        for place, (name, i) in enumerate(picked.items())
    ]
    meta = {
        "finished": {name: row["finished"][i] for name, i in picked.items()},
        "scores": {name: row["scores"][i] for name, i in picked.items()},
    }
    return Feedback.model_validate(
        {
            "id": f"score-{number}",
            "kind": "comparison",
            **asked_fields(row["prompt"]),
            "options": options,
            "choice": {"preferred": "best"},
            "annotator": ANNOTATOR,
            "meta": meta,
        }
    )
