"""Reward learning: an ensemble trained by the likelihood of every judgement, each prompt's K answers read once.

loss = - mean over the batch's judgements of log P(choice | scores, annotator) - log prior(annotators) / all judgements
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from accord.errors import DataError
from accord.learning.annotators import JudgementParameters
from accord.learning.judgements import AnnotatorEffects, Form, JudgedGroup, Scale, strict_pairs
from accord.learning.optimizer import OptimizerSettings
from accord.learning.order import EpochOrder
from accord.learning.session import LocalSession, Session, State
from accord.learning.team import Optimizers, Team
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.text.packing import Group, micro_batches, pack


@dataclass(frozen=True)
class RewardSettings:
    """batch: prompts per optimiser step; bootstrap: train each member on its own resample of the prompts;
    label_smoothing: share of comparisons assumed flipped; form: likelihoods of ties and rankings; effects: keep the
    given rationalities and side biases, or learn them jointly; annotator_rate: peak step size of everything learned about
    annotators and scales; evaluate_every: steps between held-out measures."""

    epochs: float = 1.0
    batch: int = 32
    micro_batch_tokens: int = 8192
    bootstrap: bool = False
    label_smoothing: float = 0.0
    form: Form = field(default_factory=Form)
    effects: Literal["fixed", "joint"] = "fixed"
    annotator_rate: float = 0.03
    evaluate_every: int = 0
    seed: int = 0
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(learning_rate=3e-4))


@dataclass(frozen=True)
class RewardResult:
    """heldout_nll: of the mixture of all members, nats per judgement; agreement: share of strict pairs that the
    ensemble mean orders as judged; learned: `JudgementParameters.values` per member."""

    steps: int
    tokens: int
    train_nll: float
    heldout_nll: float | None
    heldout_agreement: float | None
    learned: tuple[dict[str, Any], ...] = ()


def train_reward(
    model: RewardModel,
    groups: Sequence[JudgedGroup],
    settings: RewardSettings,
    effects: AnnotatorEffects,
    session: Session | None = None,
    heldout: Sequence[JudgedGroup] = (),
    scales: Sequence[Scale] = (),
) -> RewardResult:
    """Train every member of `model` in place, one after the other, each with its own order of prompts.

    `effects`: known effects of annotators, or where to start from; `scales`: those that ratings refer to.
    """
    if not groups:
        raise DataError("there is nothing to learn from: 0 judged prompts", "collect feedback first")
    session = session or LocalSession()
    teams = [
        Team([member], [JudgementParameters(effects, scales, settings.effects == "joint")]) for member in model.members
    ]
    orders = [
        EpochOrder(len(groups), settings.batch, settings.epochs, _member_seed(settings, m)) for m in range(len(teams))
    ]
    per_team, total = orders[0].steps, orders[0].steps * len(teams)
    done, tokens, nll = 0, 0, float("nan")
    optimizers: Optimizers | None = None
    if (saved := session.restore()) is not None:
        for team, weights in zip(teams, saved["teams"], strict=True):
            team.load(weights)
        done, tokens, nll = saved["done"], saved["tokens"], saved["nll"]

    def state() -> State:
        assert optimizers is not None
        return {
            "teams": [team.state() for team in teams], "optimizers": optimizers.state(), "done": done,
            "tokens": tokens, "nll": nll,
        }  # fmt: skip

    for index in range(done // per_team, len(teams)):
        team, chosen = teams[index], _resample(len(groups), settings, index)
        optimizers = Optimizers(team, settings.optimizer, settings.annotator_rate, per_team)
        if saved is not None and done % per_team:
            optimizers.load(saved["optimizers"])
        saved = None
        judgements = sum(groups[row].answers for row in chosen)
        for step in range(done % per_team, per_team):
            rows = [chosen[row] for row in orders[index].rows(step)]
            where = f"(member {index}, prompts {rows[:2]}...)"
            nll, used = team_step(team, [groups[r] for r in rows], settings)
            team.prior(judgements)
            done, tokens = done + 1, tokens + used
            values = {"judgement_nll": nll, "tokens": float(used), "member": float(index)}
            values |= optimizers.step(f"step {done} {where}")
            if heldout and settings.evaluate_every and (step + 1) % settings.evaluate_every == 0:
                alone = RewardModel.untrained(list(team.members))
                values["heldout_agreement"] = agreement(alone, heldout, settings.micro_batch_tokens)
            session.end_step(done, total, values, state, where)
    final_nll, agreed = evaluate(teams, model, heldout, settings) if heldout else (None, None)
    return RewardResult(
        total, tokens, nll, final_nll, agreed, tuple(p.values() for team in teams for p in team.parameters)
    )


def reward_step(
    member: ScalarModel, batch: Sequence[JudgedGroup], settings: RewardSettings, effects: AnnotatorEffects
) -> tuple[float, int]:
    """Accumulate the gradient of the batch's mean judgement loss; returns (loss, tokens processed)."""
    return team_step(Team([member], [JudgementParameters(effects)]), batch, settings)


def team_step(team: Team, batch: Sequence[JudgedGroup], settings: RewardSettings) -> tuple[float, int]:
    """As `reward_step`, of the members' mean loss."""
    count = sum(g.answers for g in batch)
    loss, tokens = 0.0, 0
    for start, end in micro_batches([g.group for g in batch], settings.micro_batch_tokens):
        stream = pack([g.group for g in batch[start:end]]).to(team.members[0].lm.device)
        logp_EM = team.log_likelihood(stream, batch[start:end], settings.form, settings.label_smoothing)
        part = -logp_EM.sum() / (count * len(team.members))
        part.backward()
        loss += part.item()
        tokens += stream.tokens
    return loss, tokens


@torch.no_grad()
def evaluate(
    teams: Sequence[Team], model: RewardModel, groups: Sequence[JudgedGroup], settings: RewardSettings
) -> tuple[float, float | None]:
    """(mean judgement NLL of the members' mixture, agreement of the ensemble mean with strict pairs, if any)."""
    parts = []
    for start, end in micro_batches([g.group for g in groups], settings.micro_batch_tokens):
        batch = groups[start:end]
        stream = pack([g.group for g in batch]).to(model.members[0].lm.device)
        logp_EM = torch.cat([team.log_likelihood(stream, batch, settings.form) for team in teams])
        parts.append(torch.logsumexp(logp_EM, 0) - math.log(len(logp_EM)))
    scores_R = model.score([g.group for g in groups], settings.micro_batch_tokens).mean(0)
    agreed = pair_agreement(scores_R, groups) if strict_pairs(groups) else None
    return -torch.cat(parts).mean().item(), agreed


def agreement(model: RewardModel, groups: Sequence[JudgedGroup], micro_batch_tokens: int = 8192) -> float:
    """Share of strict pairs the ensemble mean orders as judged."""
    return pair_agreement(model.score([g.group for g in groups], micro_batch_tokens).mean(0), groups)


def pair_agreement(scores_R: Tensor, groups: Sequence[JudgedGroup]) -> float:
    """Share of strict pairs that `scores_R` orders as judged (equal scores count half)."""
    gaps = pair_gaps(scores_R, groups)
    return float(((gaps > 0).double() + 0.5 * (gaps == 0).double()).mean())


def pair_gaps(scores_R: Tensor, groups: Sequence[JudgedGroup]) -> Tensor:
    """Score of the better minus the worse response for every strict pair: [P]."""
    starts = _starts(groups)
    pairs = strict_pairs(groups)
    better = torch.tensor([starts[g] + b for g, b, _ in pairs], dtype=torch.long)
    worse = torch.tensor([starts[g] + w for g, _, w in pairs], dtype=torch.long)
    return scores_R[better] - scores_R[worse]


def fit_centre(model: RewardModel, reference: Sequence[Group], micro_batch_tokens: int = 8192) -> None:
    """Centre each member on samples of the reference policy, scale the ensemble mean to deviation 1."""
    model.centre_E, model.scale = torch.zeros(model.size), 1.0
    raw_ER = model.score(reference, micro_batch_tokens)
    model.centre_E = raw_ER.mean(dim=1)
    model.scale = max(float((raw_ER - model.centre_E[:, None]).mean(0).std()), 1e-6)


def fit_temperature(model: RewardModel, heldout: Sequence[JudgedGroup], micro_batch_tokens: int = 8192) -> float:
    """Set the temperature T that minimises the NLL of sigmoid(gap / T) on held-out strict pairs; returns T."""
    gaps = pair_gaps(model.score([g.group for g in heldout], micro_batch_tokens).mean(0), heldout).double()
    if gaps.numel() == 0:
        raise DataError("no strict pair among the held-out judgements to calibrate on")

    def nll(log_t: float) -> float:
        return float(-torch.nn.functional.logsigmoid(gaps / torch.exp(torch.tensor(log_t))).mean())

    model.temperature = float(torch.exp(torch.tensor(minimize_scalar(nll, bounds=(-4, 4), method="bounded").x)))
    return model.temperature


def aggregate(scores_EB: Tensor, how: str, penalty: float = 0.5) -> Tensor:
    """One score per response from an ensemble: mean, worst-case, or mean - penalty * variance (Coste et al. 2023)."""
    if how == "mean":
        return scores_EB.mean(0)
    if how == "worst":
        return scores_EB.min(0).values
    return scores_EB.mean(0) - penalty * scores_EB.var(0, unbiased=False)


def describe(result: RewardResult) -> dict[str, Any]:
    """The result as plain values for result.json."""
    return {key: value for key, value in vars(result).items() if value is not None and key != "learned"}


def _member_seed(settings: RewardSettings, member: int) -> int:
    return settings.seed * 101 + member


def _resample(count: int, settings: RewardSettings, member: int) -> list[int]:
    if not settings.bootstrap:
        return list(range(count))
    generator = torch.Generator().manual_seed(_member_seed(settings, member) + 7)
    return torch.randint(count, (count,), generator=generator).tolist()


def _starts(groups: Sequence[JudgedGroup]) -> list[int]:
    return list(_running(len(g.group.responses) for g in groups))


def _running(sizes: Iterator[int]) -> Iterator[int]:
    total = 0
    for size in sizes:
        yield total
        total += size
