"""Reward learning: an ensemble trained by the likelihood of every judgement, each prompt's K
answers read once.

loss = - weighted mean over the batch's judgements of log P(choice | scores, annotator) - log
prior(annotators) / all judgements
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning.annotators import JudgementParameters, LearnedValues, check_reward_sign
from accord.learning.calibration import concordance, pair_agreement
from accord.learning.choices import Terms, answer_utilities, log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    RatingScale,
    strict_pairs,
    that_count,
)
from accord.learning.order import EpochOrder
from accord.learning.parallel import ALONE, World
from accord.learning.session import LocalSession, Session, State
from accord.learning.settings import RewardSettings
from accord.learning.team import Optimizers, Team
from accord.learning.watching import Watch
from accord.learning.weights import effective
from accord.models.ensembles import trunk_kind
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.seeds import derive_seed
from accord.text.packing import micro_batches, pack


@dataclass(frozen=True)
class RewardResult:
    """heldout_nll: of the mixture of all members, nats per judgement (weighted mean); agreement:
    share of strict pairs that the ensemble mean orders as judged; concordance: the same for answers
    on each scale; learned: `JudgementParameters.values` per member."""

    steps: int
    tokens: int
    train_nll: float
    heldout_nll: float | None
    heldout_agreement: float | None
    heldout_concordance: dict[str, float]
    learned: tuple[LearnedValues, ...] = ()


def train_reward(
    model: RewardModel,
    groups: Sequence[JudgedGroup],
    settings: RewardSettings,
    effects: AnnotatorEffects,
    session: Session | None = None,
    heldout: Sequence[JudgedGroup] = (),
    scales: Sequence[RatingScale] = (),
    world: World = ALONE,
    seed: int = 0,
) -> RewardResult:
    """Train every member of `model` in place, one after the other, each with its own order of
    prompts; the heads of a shared trunk all at once.

    Judgements of weight 0 are left out. `effects`: known effects of annotators, or where to start
    from; `scales`: those that ratings refer to. Raises RunError when most annotators come out
    contrary to the reward learned with them.
    """
    groups, heldout = that_count(groups), that_count(heldout)
    settings.need_heldout(bool(heldout))
    if not groups:
        raise DataError(
            "there is nothing to learn from: 0 judged prompts", "collect feedback first"
        )
    data, session = JudgedBatch.of(groups), session or LocalSession()
    learned = [
        JudgementParameters(effects, scales, settings.effects == "joint") for _ in model.members
    ]
    shared = trunk_kind(model.members) == "shared"
    teams = (
        [Team(model.members, learned)]
        if shared
        else [Team([m], [p]) for m, p in zip(model.members, learned, strict=True)]
    )
    drawn = [
        _resample(len(groups), settings, derive_seed(seed, "member", m)) for m in range(model.size)
    ]
    times = [torch.bincount(torch.tensor(rows), minlength=len(groups)) for rows in drawn]
    # A trunk of one member reads each draw by itself, a shared one all that any of its heads drew.
    visited = [torch.stack(times).sum(0).nonzero()[:, 0].tolist()] if shared else drawn
    orders = [
        EpochOrder(len(rows), settings.batch, settings.epochs, derive_seed(seed, "member", m))
        for m, rows in enumerate(visited)
    ]
    per_team = settings.max_steps or orders[0].steps
    total = per_team * len(teams)
    done, made, tokens, nll = 0, 0, 0, float("nan")
    optimizers: Optimizers | None = None
    if (saved := session.restore()) is not None:
        for team, weights in zip(teams, saved["teams"], strict=True):
            team.load(weights)
        done, made, tokens, nll = (saved[name] for name in ("done", "made", "tokens", "nll"))

    def state() -> State:
        assert optimizers is not None
        return {
            "teams": [team.state() for team in teams],
            "optimizers": optimizers.state(),
            "done": done,
            "made": made,
            "tokens": tokens,
            "nll": nll,
            "watch": watch.state(),
        }

    for index in range(done // per_team, len(teams)):
        team = teams[index]
        optimizers = Optimizers(team, settings, settings.annotator_rate, per_team, world)
        watch = Watch(settings, team.state, team.load)
        if saved is not None and done % per_team:
            optimizers.load(saved["optimizers"])
            watch.load(saved["watch"])
        saved = None
        judgements = effective(data.select(visited[index]).weight_M.tolist())
        for step in range(done % per_team, per_team):
            rows = [visited[index][row] for row in orders[index].rows(step)]
            where = f"(member {index}, prompts {rows[:2]}...)"
            batch = data.select(rows)
            versions = (
                [batch.repeated(count_G[rows].tolist()) for count_G in times]
                if shared and settings.bootstrap
                else None
            )
            optimizers.ready()
            nll, used = team_step(team, batch, settings, versions, world)
            if world.rank == 0:  # gradients are added up, and the prior is there once
                team.prior(judgements)
            done, made, tokens = done + 1, made + 1, tokens + used
            values = {"judgement_nll": nll, "tokens": float(used), "member": float(index)}
            values |= optimizers.step(f"step {done} {where}")
            if heldout and _due(step + 1, per_team, settings):
                measured = _heldout(team, heldout, settings)
                values |= measured
                watch.see(step + 1, measured)
            if watch.stops:
                done = (index + 1) * per_team
            if done % per_team == 0:
                watch.put_back()
            session.end_step(done, total, values, state, where)
            if watch.stops:
                break
    check_reward_sign(learned)
    nll_heldout, agreed, ordered = (
        evaluate(teams, heldout, settings) if heldout else (None, None, {})
    )
    return RewardResult(
        made, tokens, nll, nll_heldout, agreed, ordered, tuple(p.values() for p in learned)
    )


def _due(step: int, last: int, settings: RewardSettings) -> bool:
    """Whether a member is measured after its `step`: where asked for, and, for the best weights to
    be among them, at the end."""
    every = settings.evaluate_every
    return bool(every) and (step % every == 0 or (step == last and settings.keep_best))


def _heldout(
    team: Team, groups: Sequence[JudgedGroup], settings: RewardSettings
) -> dict[str, float]:
    nll, agreed, _ = evaluate([team], groups, settings)
    return {"heldout_loss": nll} | ({} if agreed is None else {"heldout_agreement": agreed})


def reward_step(
    member: ScalarModel,
    batch: JudgedBatch,
    settings: RewardSettings,
    effects: AnnotatorEffects,
    world: World = ALONE,
) -> tuple[float, int]:
    """Accumulate the gradient of the batch's weighted mean judgement loss, this process's share of
    it; returns (loss, tokens processed) of the whole batch."""
    return team_step(Team([member], [JudgementParameters(effects)]), batch, settings, world=world)


def team_step(
    team: Team,
    batch: JudgedBatch,
    settings: RewardSettings,
    versions: Sequence[JudgedBatch] | None = None,
    world: World = ALONE,
) -> tuple[float, int]:
    """As `reward_step`, of the members' mean loss; `versions`: what each member learns from instead
    about the same responses."""
    whole = versions or [batch]
    mine = world.share([group.tokens for group in batch.groups])
    parts = [version.select(mine) for version in whole]
    groups, sums = parts[0].groups, {"loss": 0.0, "tokens": 0.0}
    for start, end in micro_batches(groups, settings.micro_batch_tokens):
        said = [part.select(range(start, end)) for part in parts]
        if not any(said):
            continue
        stream = pack(groups[start:end]).to(team.members[0].lm.device)
        part, nll = team.loss(stream, team.each(said), team.each(whole), settings)
        part.backward()
        sums["loss"] += nll
        sums["tokens"] += stream.tokens
    sums = world.totals(sums)
    return sums["loss"], int(sums["tokens"])


@torch.no_grad()
def evaluate(
    teams: Sequence[Team], groups: Sequence[JudgedGroup], settings: RewardSettings
) -> tuple[float, float | None, dict[str, float]]:
    """(weighted mean judgement NLL of the members' mixture, agreement of their mean with strict
    pairs if there are any, `concordance` of their mean utility with the answers on each scale)."""
    data, effects = JudgedBatch.of(groups), [p.effects() for team in teams for p in team.parameters]
    logps, weights, scores, answers = [], [], [], dict[int, list[Tensor]]()
    for start, end in micro_batches(data.groups, settings.micro_batch_tokens):
        batch = data.select(range(start, end))
        stream = pack(batch.groups).to(teams[0].members[0].lm.device)
        readings = [r for team in teams for r in team.read(stream, team.each([batch]))]
        each = list(zip(readings, effects, strict=True))
        members = [log_likelihood(r, batch, e, form=settings) for r, e in each]
        logps.append(mixture(torch.stack([m.logp_M for m in members])))
        weights.append(members[0].weight_M)
        scores.append(torch.stack([r.rewards_R for r in readings]).mean(0))
        found = [answer_utilities(r, batch, e) for r, e in each]
        for table, *utilities in zip(batch.answers, *found, strict=True):
            mean_M = torch.stack(utilities).mean(0)
            answers.setdefault(table.scale, []).append(
                torch.stack([mean_M, table.level_M.to(mean_M)])
            )
    agreed = pair_agreement(torch.cat(scores).cpu(), groups) if strict_pairs(groups) else None
    scales = teams[0].parameters[0].scales
    ordered = {
        scales[scale].name: concordance(*torch.cat(rows, 1).cpu())
        for scale, rows in sorted(answers.items())
    }
    nll = -Terms(torch.cat(logps), torch.cat(weights)).mean.item()
    return nll, agreed, {name: c for name, c in ordered.items() if c is not None}


def mixture(logp_EM: Tensor) -> Tensor:
    """log of the members' mean probability of each judgement: [E, M] -> [M]."""
    return torch.logsumexp(logp_EM, 0) - math.log(len(logp_EM))


def aggregate(scores_EB: Tensor, how: str, penalty: float = 0.5) -> Tensor:
    """One score per response from an ensemble: mean, worst-case, or mean - penalty * variance
    (Coste et al. 2023)."""
    if how == "mean":
        return scores_EB.mean(0)
    if how == "worst":
        return scores_EB.min(0).values
    return scores_EB.mean(0) - penalty * scores_EB.var(0, unbiased=False)


def describe(result: RewardResult) -> dict[str, Any]:
    """The result as plain values for result.json."""
    return {
        key: value for key, value in vars(result).items() if value is not None and key != "learned"
    }


def _resample(count: int, settings: RewardSettings, seed: int) -> list[int]:
    """The prompts a member learns from."""
    if not settings.bootstrap:
        return list(range(count))
    generator = torch.Generator().manual_seed(derive_seed(seed, "resample"))
    return torch.randint(count, (count,), generator=generator).tolist()
