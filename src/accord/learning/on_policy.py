"""On-policy learning: PPO for language as one loop.

    for each step:  sample responses  ->  score them
                    ->  log-probabilities of policy and reference, values
                    ->  reward per token = -kl_coefficient * k1, plus the score at the last token
                    ->  advantages (GAE, or leave-one-out)
                    ->  epochs x minibatches of clipped updates

Details follow Ziegler et al. 2019, Stiennon et al. 2020 and Huang et al. 2024; each is a field of
`OnPolicySettings` with its paper's default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from accord.errors import ConfigError, DataError, RunError
from accord.learning import advantages as adv
from accord.learning import losses
from accord.learning.cost_limit import CostLimit
from accord.learning.guards import why_stop
from accord.learning.kl_control import KLController
from accord.learning.on_policy_batch import (
    Experience,
    check_ratio,
    check_rollout,
    check_sampler,
    check_scores,
    kl_metrics,
    minibatch_shuffle,
    minibatches,
    rollout_metrics,
)
from accord.learning.on_policy_settings import OnPolicySettings, fewest_prompts
from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.order import EpochOrder
from accord.learning.parallel import ALONE, World
from accord.learning.session import LocalSession, Session, State
from accord.learning.supervised import supervised_step
from accord.learning.watching import Watch
from accord.models.causal_lm import CausalLM
from accord.models.scalar import ScalarModel
from accord.sampling.rollout import Rollout, Sampler, SamplingSettings
from accord.seeds import derive_seed
from accord.text.packing import PackedStream, PromptGroup, micro_batches, pack, streams

POLICY_SUMS = ["policy_loss", "clip_share", "ratio_mean", "update_kl_tok"]
VALUE_SUMS = ["value_loss", "value_clip_share"]
HELDOUT = "heldout_score"
LAST = ("score", "kl_seq", "finished_share", "cost_bound", "harmful_share", "cost_multiplier")
"""Metrics of the last step that the result holds."""
Score = Callable[[Rollout], Tensor]
"""Scores a rollout: [E, B], one row per reward-model member (or a single row)."""


@dataclass(frozen=True)
class OnPolicyResult:
    """Counts (responses: sampled in all), the last step's mean score, share of finished responses
    and KL (nats per sequence; None: not measured), and the guard that stopped it, if one did.

    heldout_score: of the weights that were kept (None: nothing was kept aside); best_step: after
    which they were found, where keep_best chose them. cost_bound, harmful_share: of the last
    step's responses, cost_multiplier: what a unit of cost was worth in it (None: no limit on cost).
    """

    steps: int
    optimizer_steps: int
    responses: int
    tokens: int
    score: float
    kl_seq: float | None
    kl_coefficient: float
    finished_share: float
    guard: str | None = None
    heldout_score: float | None = None
    best_step: int | None = None
    cost_bound: float | None = None
    harmful_share: float | None = None
    cost_multiplier: float | None = None


class OnPolicyTrainer:
    """Holds policy, reference and value model; `train` runs the loop.

    `reference` None means the policy's adapter is switched off for the reference; without
    `measure_kl` neither is used. `value` is needed for the estimator "gae" only; it starts as a
    copy of the reward model. `ptx` are supervised examples mixed in. `heldout` are prompts that are
    answered and scored, never learned from; to `score` their rows follow those of `prompts`.
    `limit` takes what its multiplier says off the scores of responses that cost something. With
    several processes (`world`) each samples and scores its share of the prompts.
    `seed`: of the order of prompts and minibatches, the samples and the demonstrations.
    """

    def __init__(
        self,
        policy: CausalLM,
        reference: CausalLM | None,
        value: ScalarModel | None,
        sampler: Sampler,
        score: Score,
        prompts: Sequence[Sequence[int]],
        settings: OnPolicySettings,
        ptx: Sequence[PromptGroup] = (),
        world: World = ALONE,
        seed: int = 0,
        heldout: Sequence[Sequence[int]] = (),
        limit: CostLimit | None = None,
    ) -> None:
        settings.need_heldout(bool(heldout))
        if limit is not None and (settings.keep_best or settings.patience):
            raise ConfigError(
                "keep_best and patience go by the score, which knows nothing of the limit on cost",
                "leave them out: the last weights are those that the multiplier led to",
            )
        if not prompts:
            raise DataError("there is nothing to sample from: 0 prompts")
        if settings.estimator == "gae" and value is None:
            raise ValueError("the estimator 'gae' needs a value model")
        self.policy, self.reference, self.value = policy, reference, value
        self.sampler, self.score, self.prompts, self.settings, self.ptx = (
            sampler,
            score,
            prompts,
            settings,
            ptx,
        )
        self.world, self.seed, self.heldout, self.limit = world, seed, heldout, limit
        self.watch = Watch(
            settings,
            partial(trainable_state, policy.hf),
            partial(load_trainable, policy.hf),
            highest=True,
        )
        self.kl = KLController(settings.kl_coefficient, settings.kl_target, settings.kl_horizon)
        self.policy_optimizer = Optimizer(
            policy.parameters(), settings, settings.policy_updates, world
        )
        self.value_optimizer = (
            Optimizer(value.parameters(), settings.value_optimizer, settings.value_updates, world)
            if value
            else None
        )
        fewest = fewest_prompts(len(prompts), settings.prompts_per_step, settings.minibatches)
        fewest = min(fewest, len(heldout) or fewest)
        if world.size > fewest:
            raise ConfigError(
                f"{world.size} processes share {fewest} prompts",
                "use at least one prompt per process and step, and one kept aside",
            )
        per_epoch = -(-len(prompts) // settings.prompts_per_step)
        self.order = EpochOrder(
            len(prompts), settings.prompts_per_step, settings.steps / per_epoch, seed
        )
        self.done = self.tokens = 0
        self.last = {"score": float("nan"), "finished_share": float("nan")}
        self.stopped: str | None = None

    # --- the algorithm ----------------------------------------------------------------------------
    def train(
        self,
        session: Session | None = None,
        on_step: Callable[[int, int], str | None] | None = None,
    ) -> OnPolicyResult:
        """Run all steps, or until a guard stops the training (see the result's `guard`).

        `on_step(step, total)` is called after each update; a guard's last call has step = total. It
        may return a reason to stop, in words, and is a guard itself then.
        """
        session, s = session or LocalSession(), self.settings
        if (saved := session.restore()) is not None:
            self.load(saved)
        for step in range(self.done, s.steps):
            if self.stopped or self.watch.stops:
                break
            rollout = self.rollout(step)
            batch = self.experience(rollout)
            metrics = {"kl_coefficient": self.kl.coefficient} | self.update(rollout, batch, step)
            metrics = (
                rollout_metrics(rollout, batch, self.world)
                | kl_metrics(batch, self.world)
                | metrics
            )
            if self.limit is not None and batch.cost_B is not None:
                metrics |= self.limit.update(batch.cost_B, self.world)
            if s.measure_kl:
                self.kl.update(metrics["kl_seq"], len(self.order.rows(step)) * s.samples_per_prompt)
            self.done, self.tokens = step + 1, self.tokens + int(metrics["tokens"])
            self.last = {name: metrics[name] for name in LAST if name in metrics}
            self.stopped = why_stop(metrics, s, step + 1)
            metrics |= self._measured(step + 1)
            ends = self.stopped or self.watch.stops
            if on_step is not None:  # before the checkpoint: a kill in between repeats it
                asked = on_step(step + 1, step + 1 if ends else s.steps)
                self.stopped = self.stopped or asked or None
            if self.world.total(float(self.stopped is not None)):
                self.stopped = self.stopped or "another process asked to stop"
            ends = self.stopped or self.watch.stops
            if self.stopped:
                self.watch.put_back()
            session.end_step(step + 1, step + 1 if ends else s.steps, metrics, self.state)
        steps, score, kl_seq = (
            self.policy_optimizer.steps,
            self.last["score"],
            self.last.get("kl_seq"),
        )
        responses = self.order.visited(self.done) * s.samples_per_prompt
        return OnPolicyResult(
            self.done,
            steps,
            responses,
            self.tokens,
            score,
            kl_seq,
            self.kl.coefficient,
            self.last["finished_share"],
            self.stopped,
            self.watch.kept.get(HELDOUT),
            self.watch.best_step if s.keep_best else None,
            self.last.get("cost_bound"),
            self.last.get("harmful_share"),
            self.last.get("cost_multiplier"),
        )

    def _measured(self, done: int) -> dict[str, float]:
        """Held-out measures where they are due after `done` steps; the training's end gives the
        policy the weights that are to be kept."""
        ends, found = done == self.settings.steps or self.stopped, dict[str, float]()
        if self.heldout and (ends or self.watch.due(done)):
            found = self.evaluate()
            self.watch.see(done, found)
        if ends or self.watch.stops:
            self.watch.put_back()
        return found

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean score of a response to each held-out prompt, as the policy is paid less the KL and
        what cost takes off it, the share that finished, and where there is a limit their mean cost
        and the share with one above 0. Every evaluation samples with the same seeds, so that they
        differ by the policy alone."""
        s = self.settings
        mine = self.world.share([len(ids) + s.max_new_tokens for ids in self.heldout])
        sampled = self.sampler.sample(
            [self.heldout[i] for i in mine],
            SamplingSettings(s.max_new_tokens, s.temperature),
            [derive_seed(self.seed, "heldout", place) for place in mine],
            1,
        )
        rollout = replace(sampled, rows=[len(self.prompts) + i for i in mine])
        check_rollout(rollout, 1)
        scores_EB = self.score(rollout)
        check_scores(scores_EB, rollout, 0.0)
        found = {
            HELDOUT: float(self.final_score(scores_EB, rollout).double().sum()),
            "heldout_finished_share": float(sum(rollout.finished)),
        }
        if self.limit is not None:
            cost_B = self.limit.costs(rollout)
            found["heldout_cost"] = float(cost_B.sum())
            found["heldout_harmful_share"] = float((cost_B > 0).sum())
        sums = self.world.totals(found)
        return {name: value / len(self.heldout) for name, value in sums.items()}

    def rollout(self, step: int) -> Rollout:
        """Sample this process's share of the step's responses; the seed of a response derives from
        (seed, step, place, sample), so neither a resumed run nor another number of processes
        changes it."""
        s, rows = self.settings, self.order.rows(step)
        mine = self.share(step)
        seeds = [
            derive_seed(self.seed, "rollout", step, place, k)
            for place in mine
            for k in range(s.samples_per_prompt)
        ]
        settings = SamplingSettings(s.max_new_tokens, s.temperature)
        asked = [rows[i] for i in mine]
        sampled = self.sampler.sample(
            [self.prompts[row] for row in asked], settings, seeds, s.samples_per_prompt
        )
        return replace(sampled, rows=asked)

    def share(self, step: int) -> list[int]:
        """Which of the step's prompts are this process's."""
        return self.world.share(
            [len(self.prompts[row]) + self.settings.max_new_tokens for row in self.order.rows(step)]
        )

    @torch.no_grad()
    def experience(self, rollout: Rollout) -> Experience:
        """Score the rollout and compute everything the update needs, once, with the weights that
        sampled it. Where the update's first pass is the only one, it finds the policy's
        log-probabilities itself: NaN until then, and a KL in the reward is that of the sampler's,
        which the update compares with its own before any weight moves."""
        check_rollout(rollout, self.settings.samples_per_prompt)
        s, groups = self.settings, rollout.groups()
        scores_EB = self.score(rollout)
        check_scores(scores_EB, rollout, s.max_spread)
        lengths_B = torch.tensor([len(r) for r in rollout.responses], device=self.policy.device)
        if s.one_pass:
            logp_S = torch.full((int(lengths_B.sum()),), torch.nan, device=self.policy.device)
        else:
            logp_S = self._per_token(
                groups, lambda stream: self.policy.logprobs(stream, s.temperature)
            )
        ref_S = self._reference(groups) if s.measure_kl else None
        values_S = (
            self._per_token(groups, self.value.values) if self.value else torch.zeros_like(logp_S)
        )
        score_B = self.final_score(scores_EB, rollout).to(logp_S)
        cost_B = None if self.limit is None else self.limit.costs(rollout)
        if self.limit is not None and cost_B is not None:
            score_B = self.limit.paid(score_B, cost_B, self.world)
        paid = self.kl.coefficient if s.kl_in == "reward" else 0.0
        sampled_S = torch.cat(rollout.logprobs).to(logp_S) if s.one_pass else logp_S
        kl_S = (
            losses.kl_k1(sampled_S, ref_S)
            if paid and ref_S is not None
            else torch.zeros_like(logp_S)
        )
        rewards_S = adv.token_rewards(kl_S, score_B, lengths_B, paid)
        advantages_S, returns_S = self.advantages(rewards_S, values_S, lengths_B)
        entropy_S = self._per_token(groups, self._entropy) if s.entropy or s.min_entropy else None
        return Experience(
            groups,
            lengths_B,
            logp_S,
            ref_S,
            values_S,
            advantages_S,
            returns_S,
            score_B,
            scores_EB,
            entropy_S,
            cost_B,
        )

    def final_score(self, scores_EB: Tensor, rollout: Rollout) -> Tensor:
        """One score per response: ensemble aggregate, clipped, with the fixed score where EOS is
        missing: [B]."""
        from accord.learning.reward import aggregate

        s = self.settings
        score_B = aggregate(scores_EB, s.ensemble)
        if s.score_clip:
            score_B = score_B.clamp(-s.score_clip, s.score_clip)
        if s.unfinished_score is not None:
            finished = torch.tensor(rollout.finished, device=score_B.device)
            score_B = torch.where(finished, score_B, score_B.new_tensor(s.unfinished_score))
        return score_B

    def advantages(
        self, rewards_S: Tensor, values_S: Tensor, lengths_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(advantages, returns) per token, advantages whitened over the whole batch, before it is
        cut."""
        s = self.settings
        if s.whiten_rewards:
            rewards_S = adv.whiten(rewards_S, self.world.sum, shift=False)
        advantages_S, returns_S = adv.estimate(
            s.estimator, rewards_S, values_S, lengths_B, s.samples_per_prompt, s.gamma, s.lam
        )
        return (
            adv.whiten(advantages_S, self.world.sum) if s.whiten_advantages else advantages_S
        ), returns_S

    def update(self, rollout: Rollout, batch: Experience, step: int) -> dict[str, float]:
        """epochs x minibatches clipped updates; returns the mean of their metrics."""
        s, found = self.settings, dict[str, float]()
        before, rows = self.policy_optimizer.steps, list[dict[str, float]]()
        places, total = self.share(step), len(self.order.rows(step))

        def check(worst: float) -> None:
            found["sampler_gap"] = check_sampler(
                rollout, batch, s.sampler_bound, s.temperature, self.world
            )
            check_ratio(worst, step)

        for epoch in range(s.epochs):
            shuffle = minibatch_shuffle(self.seed, step, epoch)
            for part in (
                [batch] if s.one_pass else minibatches(batch, s.minibatches, shuffle, places, total)
            ):
                rows.append(self.minibatch(part, step, None if rows else check))
        expected = 0 if step < s.value_warmup else s.epochs * s.minibatches
        if self.policy_optimizer.steps - before != expected:
            raise RunError(
                f"step {step + 1} made {self.policy_optimizer.steps - before} updates instead of "
                f"{s.epochs} epochs x {s.minibatches} minibatches",
                f"use at least {s.minibatches} prompts per step",
            )
        metrics = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        return (
            found
            | metrics
            | {name: rows[-1][name] for name in ("learning_rate", "optimizer_steps")}
            | {"tokens": float(sum(row["tokens"] for row in rows))}
        )

    def minibatch(
        self, part: Experience, step: int, check: Callable[[float], None] | None
    ) -> dict[str, float]:
        """One update of value model and policy (its warm-up: value model alone), accumulated over
        micro-batches and divided by the minibatch's token count. `check` gets the largest |log
        ratio| before any weight moves."""
        s, where = self.settings, f"step {step + 1}"
        total, responses = (int(self.world.total(x.numel())) for x in (part.logp_S, part.lengths_B))
        names = [
            *POLICY_SUMS * (step >= s.value_warmup),
            *VALUE_SUMS * (self.value is not None),
            "tokens",
        ]
        sums, worst, done = dict.fromkeys(names, 0.0), part.logp_S.new_zeros(()), 0
        cut = part.cut(s.micro_batch_tokens)
        if step >= s.value_warmup:
            self.policy_optimizer.ready()
        if self.value_optimizer is not None:
            self.value_optimizer.ready()
        for start, end in micro_batches(cut.groups, s.micro_batch_tokens):
            micro = cut.slice(start, end)
            stream = pack(micro.groups).to(self.policy.device)
            sums["tokens"] += stream.tokens
            if step >= s.value_warmup:
                logp_S = self.policy.logprobs(stream, s.temperature)
                if s.one_pass:  # the policy that sampled is this one
                    micro = replace(micro, logp_S=logp_S.detach())
                    part.logp_S[done : done + logp_S.numel()] = micro.logp_S
                    done += logp_S.numel()
                loss = self.policy_loss(logp_S, micro, total, responses)
                loss.backward()
                sums["policy_loss"] += loss.item()
                _add(sums, self._moved(logp_S.detach(), micro), total)
                worst = torch.maximum(worst, (logp_S.detach() - micro.logp_S).abs().max())
            if self.value is not None:
                values_S = self.value.values(stream)
                loss = (
                    losses.ppo_value(values_S, micro.values_S, micro.returns_S, s.value_clip).sum()
                    / total
                )
                loss.backward()
                sums["value_loss"] += loss.item()
                moved_S = (values_S.detach() - micro.values_S).abs() > s.value_clip
                sums["value_clip_share"] += float(moved_S.sum()) / total
        sums = self.world.totals(sums)
        if check is not None:
            check(float(self.world.gather(worst[None]).max()))
        if step < s.value_warmup:
            sums |= {"optimizer_steps": float(self.policy_optimizer.steps), "learning_rate": 0.0}
        else:
            if s.ptx_weight and self.ptx:
                sums["ptx_loss_tok"] = self._ptx()
            sums |= self.policy_optimizer.step(where)
        if self.value_optimizer is not None:
            sums["value_grad_norm"] = self.value_optimizer.step(f"{where} (value model)")[
                "grad_norm"
            ]
        return sums

    def log_ratio(self, logp_S: Tensor, micro: Experience) -> Tensor:
        """log pi/pi_old of what is clipped: each token, or its whole response: [S]."""
        log_ratio_S, s = logp_S - micro.logp_S, self.settings
        if s.ratio == "token":
            return log_ratio_S
        return losses.whole_ratio(log_ratio_S, micro.lengths_B, mean=s.ratio == "sequence")

    def _moved(self, logp_S: Tensor, micro: Experience) -> dict[str, Tensor]:
        """How far the policy moved from the one that sampled, per token."""
        s, log_ratio_S = self.settings, self.log_ratio(logp_S, micro)
        change_S, high = torch.expm1(log_ratio_S), s.clip if s.clip_high is None else s.clip_high
        token_S = logp_S - micro.logp_S
        return {
            "clip_share": (change_S > high) | (change_S < -s.clip),
            "ratio_mean": change_S + 1,
            "update_kl_tok": torch.expm1(token_S) - token_S,
        }

    def policy_loss(self, logp_S: Tensor, micro: Experience, tokens: int, responses: int) -> Tensor:
        """The micro-batch's share of the loss of a minibatch with `responses` of `tokens` in
        all."""
        s = self.settings
        loss_S = losses.ppo_policy(
            self.log_ratio(logp_S, micro), micro.advantages_S, s.clip, s.clip_high
        )
        if s.kl_in == "loss" and micro.ref_S is not None:
            kl_S = losses.kl_k3(logp_S, micro.ref_S)
            if s.kl_unbiased:
                kl_S = kl_S * torch.exp(logp_S - micro.logp_S)
            loss_S = loss_S + self.kl.coefficient * kl_S
        if s.aggregation == "token":
            return loss_S.sum() / tokens
        weight_S = losses.token_weights(micro.lengths_B, s.aggregation, responses, s.max_new_tokens)
        return (weight_S * loss_S).sum()

    # --- helpers ----------------------------------------------------------------------------------
    def _per_token(
        self, groups: Sequence[PromptGroup], function: Callable[[PackedStream], Tensor]
    ) -> Tensor:
        found = streams(groups, self.settings.micro_batch_tokens)
        return torch.cat([function(stream.to(self.policy.device)) for stream in found])

    def _reference(self, groups: Sequence[PromptGroup]) -> Tensor:
        """The reference's log-probability of every scored token: [S]."""
        model = self.reference or self.policy
        with model.reference():
            return self._per_token(
                groups, lambda stream: model.logprobs(stream, self.settings.temperature)
            )

    def _ptx(self) -> float:
        """Add the gradient of the pretraining mix (InstructGPT eq. 2), scaled by its weight."""
        s = self.settings
        generator = torch.Generator().manual_seed(
            derive_seed(self.seed, "ptx", self.policy_optimizer.steps)
        )
        rows = torch.randint(len(self.ptx), (s.ptx_batch,), generator=generator).tolist()
        return supervised_step(
            self.policy, [self.ptx[r] for r in rows], s.micro_batch_tokens, s.ptx_weight, self.world
        )[0]

    def _entropy(self, stream: PackedStream) -> Tensor:
        """Exact entropy of the policy at every scored position: [S]."""
        parts = self.policy.full_logprobs(stream, self.settings.temperature)
        return torch.cat([torch.special.entr(logp_SV.exp()).sum(-1) for _, logp_SV in parts])

    def state(self) -> State:
        """Everything a bit-identical continuation needs."""
        return {
            "policy": trainable_state(self.policy.hf),
            "policy_optimizer": self.policy_optimizer.state(),
            "value": self.value.state() if self.value else None,
            "value_optimizer": self.value_optimizer.state() if self.value_optimizer else None,
            "kl": self.kl.state(),
            "limit": None if self.limit is None else self.limit.state(),
            "done": self.done,
            "tokens": self.tokens,
            "last": self.last,
            "stopped": self.stopped,
            "watch": self.watch.state(),
        }

    def load(self, state: State) -> None:
        """Continue from `state()`."""
        load_trainable(self.policy.hf, state["policy"])
        self.policy_optimizer.load(state["policy_optimizer"])
        if self.value is not None and self.value_optimizer is not None:
            self.value.load(state["value"])
            self.value_optimizer.load(state["value_optimizer"])
        self.kl.load(state["kl"])
        if self.limit is not None:
            self.limit.load(state["limit"])
        self.done, self.tokens, self.last = state["done"], state["tokens"], state["last"]
        self.stopped = state["stopped"]
        self.watch.load(state["watch"])


def _add(sums: dict[str, float], values: dict[str, Tensor], total: int) -> None:
    for name, value_S in values.items():
        sums[name] += float(value_S.sum()) / total
