"""Examining a policy: sample on fixed prompts, score by gold and proxy, measure KL in three
ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from accord.examine.turning import gold_turned, proxy_gold_point
from accord.feedback.records import Message, asked_fields
from accord.files import write_jsonl
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze, load_causal_lm
from accord.models.reward_model import RewardModel
from accord.runs.distances import Distances, distances
from accord.runs.reading import PromptRow, read_prompts
from accord.runs.sample_rows import SampleRow, read_points
from accord.runs.stages.propositions import RuleReward
from accord.runs.stages.reward_functions import ToScore
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed
from accord.text.encoding import Encoder, Prompt
from accord.text.gold import Gold, load_gold

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.stages.settings import EvaluationConfig

MICRO_BATCH = 4096
TOKEN_KL_DIGITS = 3
"""Decimals that are kept of the KL at each token, which is shown and not computed with."""
Purpose = Literal["baseline", "arm", "pool", "offered", "centre"]
"""What is sampled; each independently of the others."""


def sequence_seeds(seed: int, purpose: Purpose, count: int) -> list[int]:
    """One sampling seed per response."""
    return [derive_seed(seed, "samples", purpose, place) for place in range(count)]


def render(prompt: Prompt) -> str:
    """A prompt as text for people; what was offered beside its messages is not shown."""
    messages = asked_fields(prompt)["prompt"]
    return (
        messages
        if isinstance(messages, str)
        else "\n".join(f"{m['role']}: {Message.model_validate(m).said}" for m in messages)
    )


@dataclass
class Examiner:
    """Everything needed to turn a policy into sample rows.

    `reference` None: the policy's adapter is switched off instead (adapters on one trunk).
    `selectors`: more reward models whose scores are kept; `rules`: what keeping them adds to the
    proxy.
    """

    prompts: Sequence[Prompt]
    encoder: Encoder
    reference: CausalLM | None
    reward: RewardModel
    gold: Gold | None
    settings: SamplingSettings
    seed: int
    selectors: Mapping[str, RewardModel] = field(default_factory=dict)
    rules: RuleReward | None = None

    @classmethod
    def load(cls, config: EvaluationConfig, context: StageContext, policy: CausalLM) -> Examiner:
        """Load what the configuration names, for policies with `policy`'s tokenizer."""
        reward = RewardModel.load(context.path(config.reward), context.device).frozen()
        return cls(
            prompts=read_prompts(config.prompts, context, config.count),
            encoder=context.encoder(policy),
            reference=None
            if policy.adapter is not None
            else freeze(load_causal_lm(context.resolve(config.reference), context.device)),
            reward=reward,
            rules=RuleReward(context.path(config.rules), reward) if config.rules else None,
            gold=load_gold(context.path(config.gold)) if config.gold else None,
            settings=SamplingSettings(config.max_new_tokens, config.temperature),
            seed=context.seed,
        )

    def rows(
        self,
        policy: CausalLM,
        purpose: Purpose = "arm",
        samples_per_prompt: int = 1,
        against: Literal["reference", "itself", "nothing"] = "reference",
    ) -> list[SampleRow]:
        """Sample `policy` on all prompts and measure every response.

        against "itself": the policy is the reference, its KL 0; "nothing": so too, and its entropy
        is not measured, which saves a pass.
        """
        ids = [self.encoder.prompt(p, str(i)) for i, p in enumerate(self.prompts)]
        seeds = sequence_seeds(self.seed, purpose, len(ids) * samples_per_prompt)
        rollout = BuiltinSampler(policy).sample(ids, self.settings, seeds, samples_per_prompt)
        if against == "nothing":
            logp_B = [float(values.sum()) for values in rollout.logprobs]
            far = Distances(logp_B, logp_B, [0.0] * rollout.size, [])
        else:
            reference = policy if against == "itself" else self.reference
            temperature = self.settings.temperature
            far = distances(policy, reference, rollout.groups(), temperature, each_token=True)
        scores_EB = self.reward.score(rollout.groups(), MICRO_BATCH)
        more = {
            name: model.score(rollout.groups(), MICRO_BATCH).t().tolist()
            for name, model in self.selectors.items()
        }
        responses = [self.encoder.text(r) for r in rollout.responses]
        if self.rules is not None:
            asked = [PromptRow(self.prompts[p]) for p in rollout.prompt_index]
            paid_B = self.rules(ToScore(asked, responses, rollout.responses), rollout.groups())
            scores_EB = scores_EB + torch.from_numpy(paid_B).to(scores_EB)
        proxy = scores_EB.t().tolist()
        gold = self.gold_scores([self.prompts[p] for p in rollout.prompt_index], responses)
        rows = [
            SampleRow(
                prompt_id=p,
                prompt=render(self.prompts[p]),
                response=responses[b],
                response_tokens=len(rollout.responses[b]),
                finished=rollout.finished[b],
                gold=gold[b],
                proxy=proxy[b],
                logp=far.logp_B[b],
                ref_logp=far.ref_logp_B[b],
                kl_exact=far.kl_B[b],
            )
            for b, p in enumerate(rollout.prompt_index)
        ]
        for row, entropy in zip(rows, far.entropy_B, strict=False):
            row["entropy"] = entropy
        if against == "reference":
            for row, each, said in zip(rows, far.kl_each_B, rollout.responses, strict=True):
                row["token_kl"] = [round(value, TOKEN_KL_DIGITS) for value in each]
                row["token_ends"] = self.encoder.token_ends(said)
        if self.gold is not None and samples_per_prompt == 1:
            moved = [*self.prompts[1:], self.prompts[0]]
            for row, value in zip(rows, self.gold_scores(moved, responses), strict=True):
                row["gold_elsewhere"] = float(value)  # type: ignore[arg-type]
        if more:
            for b, row in enumerate(rows):
                row["selectors"] = {name: scores[b] for name, scores in more.items()}
        return rows

    def gold_scores(
        self, prompts: Sequence[Prompt], responses: Sequence[str]
    ) -> list[float] | list[None]:
        """Gold reward of prompt and response together; None without gold."""
        if self.gold is None:
            return [None] * len(responses)
        texts = [render(p) + r for p, r in zip(prompts, responses, strict=True)]
        return [float(value) for value in self.gold.score(texts)]


def is_point(step: int, total: int, points: int) -> bool:
    """Whether a step is one of the even places at which a policy is examined."""
    return step in {max(1, round(total * (i + 1) / points)) for i in range(points)}


def at_points(
    points: int,
    folder: Path,
    examine: Callable[[], list[SampleRow]],
    stop_when_gold_turns: bool = False,
) -> Callable[[int, int], str | None]:
    """A loop's `on_step`: examine the policy at `points` even places of its way, always at the end.

    With `stop_when_gold_turns` it returns a reason to stop, see `accord.examine.turning`.
    """

    def on_step(step: int, total: int) -> str | None:
        if not is_point(step, total, points):
            return None
        write_jsonl(folder / f"step-{step:06d}.jsonl", examine())
        if not stop_when_gold_turns or step == total:
            return None
        # Read back from the folder, so that a resumed run sees the points before it; later ones are
        # redone.
        return gold_turned(
            [proxy_gold_point(at, rows) for at, rows in read_points(folder) if at <= step], points
        )

    return on_step
