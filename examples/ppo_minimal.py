"""PPO for language on one page: from prompts to an update, on the library's own parts.

    sample responses -> score them -> log-probabilities of policy and reference, values
    -> reward per token = -kl_coefficient * KL, plus the score at the last token
    -> advantages (GAE), whitened -> epochs x minibatches of clipped updates

This is what `accord.learning.on_policy.OnPolicyTrainer` does with its checks, metrics, memory limits,
processes, resuming and other estimators left out; a test holds its numbers to the trainer's.

Run it: python examples/ppo_minimal.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from accord.learning import losses
from accord.learning.advantages import gae, token_rewards, whiten
from accord.learning.kl_control import KLController
from accord.learning.on_policy_batch import minibatch_shuffle
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.optimizer import Optimizer
from accord.learning.order import EpochOrder
from accord.models.causal_lm import CausalLM
from accord.models.loading import copy_causal_lm, freeze, load_causal_lm
from accord.models.scalar import ScalarModel
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.seeds import derive_seed
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup, pack


@dataclass
class Batch:
    """What the update needs; per-token arrays hold the responses one after another (S tokens)."""

    groups: list[PromptGroup]
    lengths_B: Tensor
    logp_S: Tensor
    values_S: Tensor
    advantages_S: Tensor
    returns_S: Tensor

    def select(self, rows: list[int]) -> Batch:
        """The part of these responses."""

        def take(x_S: Tensor) -> Tensor:
            parts = x_S.split(self.lengths_B.tolist())
            return torch.cat([parts[row] for row in rows])

        per_token = (self.logp_S, self.values_S, self.advantages_S, self.returns_S)
        groups = [self.groups[row] for row in rows]
        return Batch(groups, self.lengths_B[rows], *map(take, per_token))


def ppo(
    policy: CausalLM,
    reference: CausalLM,
    value: ScalarModel,
    score: Callable[[Rollout], Tensor],
    prompts: Sequence[Sequence[int]],
    s: OnPolicySettings,
    seed: int = 0,
) -> Iterator[dict[str, float]]:
    """Tune `policy` on `prompts` by the `score` [B] of a rollout; yields each step's numbers."""
    sampler, kl = BuiltinSampler(policy), KLController(s.kl_coefficient, s.kl_target, s.kl_horizon)
    policy_optimizer = Optimizer(policy.parameters(), s, s.policy_updates)
    value_optimizer = Optimizer(value.parameters(), s.value_optimizer, s.value_updates)
    passes = s.steps / -(-len(prompts) // s.prompts_per_step)
    order = EpochOrder(len(prompts), s.prompts_per_step, passes, seed)

    for step in range(s.steps):
        # 1. Sample a response to each prompt, every one with a seed of its own, and score it.
        rows = order.rows(step)
        seeds = [derive_seed(seed, "rollout", step, place, 0) for place in range(len(rows))]
        sampling = SamplingSettings(s.max_new_tokens, s.temperature)
        rollout = sampler.sample([prompts[row] for row in rows], sampling, seeds)
        score_B = score(rollout)
        if s.unfinished_score is not None:  # no EOS: a fixed score
            unfinished_B = ~torch.tensor(rollout.finished)
            score_B = score_B.masked_fill(unfinished_B, s.unfinished_score)

        # 2. What policy, reference and value model say about every token, before any update.
        groups = rollout.groups()
        stream = pack(groups)
        lengths_B = torch.tensor([len(response) for response in rollout.responses])
        with torch.no_grad():
            logp_S = policy.logprobs(stream, s.temperature)
            ref_S = reference.logprobs(stream, s.temperature)
            values_S = value.values(stream)

        # 3. The reward of each token, and how much better it was than expected.
        kl_S = losses.kl_k1(logp_S, ref_S)
        rewards_S = token_rewards(kl_S, score_B, lengths_B, kl.coefficient)
        advantages_S, returns_S = gae(rewards_S, values_S, lengths_B, s.gamma, s.lam)
        if s.whiten_advantages:
            advantages_S = whiten(advantages_S)
        batch = Batch(groups, lengths_B, logp_S, values_S, advantages_S, returns_S)

        # 4. Several passes over the batch, shuffled anew and cut into minibatches of clipped updates.
        policy_losses, value_losses = [], []
        for epoch in range(s.epochs):
            shuffle = minibatch_shuffle(seed, step, epoch)
            shuffled = torch.randperm(len(groups), generator=shuffle)
            for part in torch.tensor_split(shuffled, s.minibatches):
                mini = batch.select(part.tolist())
                stream = pack(mini.groups)

                log_ratio_S = policy.logprobs(stream, s.temperature) - mini.logp_S
                policy_loss = losses.ppo_policy(log_ratio_S, mini.advantages_S, s.clip).mean()
                policy_loss.backward()
                policy_optimizer.step(f"step {step + 1}")

                value_S = value.values(stream)
                value_loss = losses.ppo_value(
                    value_S, mini.values_S, mini.returns_S, s.value_clip
                ).mean()
                value_loss.backward()
                value_optimizer.step(f"step {step + 1} (value model)")

                policy_losses.append(policy_loss.item())
                value_losses.append(value_loss.item())

        # 5. Steer the KL coefficient towards its target, where there is one.
        kl_seq = float(kl_S.sum()) / len(groups)
        yield {
            "score": float(score_B.mean()),
            "kl_seq": kl_seq,
            "kl_coefficient": kl.coefficient,
            "policy_loss": sum(policy_losses) / len(policy_losses),
            "value_loss": sum(value_losses) / len(value_losses),
        }
        kl.update(kl_seq, len(groups))


def main() -> None:
    """Teach a small model of movie reviews to write the letter e."""
    model = load_causal_lm("accord:nano-base")
    encoder = Encoder(model.tokenizer)
    prompts = [encoder.prompt(f"This {word} was") for word in ("movie", "film", "plot", "scene")]
    s = OnPolicySettings(
        steps=10, prompts_per_step=16, max_new_tokens=16, learning_rate=3e-4, unfinished_score=None
    )

    def score(rollout: Rollout) -> Tensor:
        texts = [model.tokenizer.decode(response) for response in rollout.responses]
        return torch.tensor([text.count("e") / max(1, len(text)) for text in texts])

    reference, value = freeze(copy_causal_lm(model)), ScalarModel.from_causal_lm(model, seed=1)
    for step, numbers in enumerate(ppo(model, reference, value, score, prompts * 4, s), 1):
        print(step, {name: round(number, 4) for name, number in numbers.items()})


if __name__ == "__main__":
    main()
