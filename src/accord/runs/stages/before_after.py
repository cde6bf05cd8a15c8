"""The same prompts answered before and after a training, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from accord.files import write_jsonl
from accord.sampling.rollout import SamplingSettings

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.runs.context import StageContext

SAMPLES = "samples.jsonl"
LONGEST = 128
"""Tokens of an answer at most."""


class BeforeAfter:
    """Answers of a policy, greedy, to the first `count` different of `prompts` (token ids) that
    leave room for one; made again after the training and written to samples.jsonl."""

    def __init__(
        self,
        policy: CausalLM,
        prompts: Sequence[Sequence[int]],
        count: int,
        context: StageContext,
    ) -> None:
        self.policy, self.context = policy, context
        fitting = [p for p in dict.fromkeys(map(tuple, prompts)) if len(p) < policy.context]
        self.prompts = fitting[:count]
        self.before = self._answers()

    def write(self) -> None:
        """Answer again, and write both."""
        if not self.prompts:
            return
        decode = self.policy.tokenizer.decode
        rows = [
            {"prompt": decode(list(prompt)), "before": before, "after": after}
            for prompt, before, after in zip(
                self.prompts, self.before, self._answers(), strict=True
            )
        ]
        write_jsonl(self.context.folder / SAMPLES, rows)
        same = sum(row["before"] == row["after"] for row in rows)
        self.context.say(
            f"{len(rows)} prompts answered before and after in {SAMPLES}; {same} answers are the"
            " same"
        )

    def _answers(self) -> list[str]:
        from accord.sampling.builtin import BuiltinSampler

        if not self.prompts:
            return []
        room = self.policy.context - max(map(len, self.prompts))
        settings = SamplingSettings(min(LONGEST, room), temperature=0.0)
        prompts = [list(prompt) for prompt in self.prompts]
        rollout = BuiltinSampler(self.policy).sample(prompts, settings, [0] * len(prompts))
        encoder = self.context.encoder(self.policy)
        return [encoder.text(response) for response in rollout.responses]
