"""Supervised learning: pretraining and fine-tuning are one loop.

    loss = - sum over scored tokens w log p(token | before) / sum of w over the scored tokens of the
    whole batch

w is the weight of the token's example (1: it counts like the others). The normaliser is the
batch's, never the micro-batch's, so `micro_batch_tokens` changes memory only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from accord.errors import DataError
from accord.learning.parallel import ALONE, World
from accord.learning.rows import Values, train_rows
from accord.learning.session import Session
from accord.learning.settings import SupervisedSettings
from accord.learning.weights import counting, total
from accord.models.causal_lm import CausalLM
from accord.text.packing import SCORING_TOKENS, PackedStream, PromptGroup, micro_batches, pack


@dataclass(frozen=True)
class SupervisedResult:
    """Losses in nats per scored token (weighted means); tokens counts every real token processed in
    training."""

    steps: int
    tokens: int
    train_loss: float
    heldout_loss: float | None


def heldout_loss(
    model: CausalLM,
    examples: Sequence[PromptGroup],
    micro_batch_tokens: int = SCORING_TOKENS,
    world: World = ALONE,
) -> float:
    """Weighted mean negative log-likelihood (nats per scored token) over all `examples`."""
    sums = {"nll": 0.0, "tokens": 0.0}
    mine = [examples[i] for i in world.share([group.tokens for group in examples])]
    with torch.no_grad():
        for start, end in micro_batches(mine, micro_batch_tokens):
            stream = pack(mine[start:end]).to(model.device)
            logp_S = model.logprobs(stream).double()
            weight_S = token_weights(mine[start:end], stream, logp_S)
            sums["nll"] -= float((weight_S * logp_S).sum())
            sums["tokens"] += float(weight_S.sum())
    sums = world.totals(sums)
    return sums["nll"] / sums["tokens"]


def token_weights(groups: Sequence[PromptGroup], stream: PackedStream, like: Tensor) -> Tensor:
    """The weight of every scored token of the packed `groups`, that of its example, as numbers like
    those: [S]."""
    return like.new_tensor([group.weight for group in groups for _ in group.responses])[
        stream.owners_S
    ]


def train_supervised(
    model: CausalLM,
    examples: Sequence[PromptGroup],
    settings: SupervisedSettings,
    session: Session | None = None,
    heldout: Sequence[PromptGroup] = (),
    world: World = ALONE,
    seed: int = 0,
) -> SupervisedResult:
    """Minimise the negative log-likelihood of the responses in those of the `examples` that count;
    updates `model` in place. `seed`: of the order of the examples."""
    examples, heldout = counting(examples), counting(heldout)
    if not examples:
        raise DataError(
            "there is nothing to train on: 0 examples", "look at the table of kept and dropped rows"
        )

    def gradient(rows: Sequence[int]) -> tuple[Values, int]:
        loss, used = supervised_step(
            model, [examples[row] for row in rows], settings.micro_batch_tokens, world=world
        )
        return {"loss_tok": loss}, used

    def evaluate() -> Values:
        return {
            "heldout_loss_tok": heldout_loss(model, heldout, settings.micro_batch_tokens, world)
        }

    start = {"loss_tok": float("nan")}
    done = train_rows(
        model,
        len(examples),
        settings,
        session,
        gradient,
        start,
        evaluate=evaluate if heldout else None,
        world=world,
        seed=seed,
    )
    return SupervisedResult(
        done.steps, done.tokens, done.values["loss_tok"], done.heldout.get("heldout_loss_tok")
    )


def supervised_step(
    model: CausalLM,
    batch: Sequence[PromptGroup],
    micro_batch_tokens: int,
    weight: float = 1.0,
    world: World = ALONE,
) -> tuple[float, int]:
    """Accumulate `weight` times the gradient of the batch's weighted mean token loss, this
    process's share of it; returns (loss, tokens processed) of the whole batch."""
    scored = total(group.weight * sum(group.scored) for group in batch)
    mine = [batch[i] for i in world.share([group.tokens for group in batch])]
    sums = {"loss": 0.0, "tokens": 0.0}
    for start, end in micro_batches(mine, micro_batch_tokens):
        stream = pack(mine[start:end]).to(model.device)
        logp_S = model.logprobs(stream)
        part = -(token_weights(mine[start:end], stream, logp_S) * logp_S).sum() / scored
        (weight * part).backward()
        sums["loss"] += part.item()
        sums["tokens"] += stream.tokens
    sums = world.totals(sums)
    return sums["loss"], int(sums["tokens"])


def describe(result: SupervisedResult) -> dict[str, float]:
    """The result as plain values for result.json."""
    values: dict[str, float] = {
        "steps": result.steps,
        "tokens": result.tokens,
        "train_loss": result.train_loss,
    }
    if result.heldout_loss is not None:
        values["heldout_loss"] = result.heldout_loss
    return values
