"""Supervised learning: pretraining and fine-tuning are one loop.

    loss = - sum over scored tokens log p(token | before) / number of scored tokens in the whole batch

The normaliser is the batch's, never the micro-batch's, so `micro_batch_tokens` changes memory only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from accord.errors import DataError
from accord.learning.optimizer import Optimizer, OptimizerSettings, load_trainable, trainable_state
from accord.learning.order import EpochOrder
from accord.learning.session import LocalSession, Session, State
from accord.models.causal_lm import CausalLM
from accord.text.packing import Group, micro_batches, pack


@dataclass(frozen=True)
class SupervisedSettings:
    """batch: sequences per optimiser step; micro_batch_tokens: memory knob; evaluate_every: steps between
    held-out losses (0: only at the end)."""

    epochs: float = 1.0
    batch: int = 32
    micro_batch_tokens: int = 8192
    evaluate_every: int = 0
    seed: int = 0
    optimizer: OptimizerSettings = field(default_factory=lambda: OptimizerSettings(learning_rate=1e-3))


@dataclass(frozen=True)
class SupervisedResult:
    """Losses in nats per scored token; tokens counts every real token processed in training."""

    steps: int
    tokens: int
    train_loss: float
    heldout_loss: float | None


def heldout_loss(model: CausalLM, examples: Sequence[Group], micro_batch_tokens: int = 8192) -> float:
    """Mean negative log-likelihood (nats per scored token) over all `examples`."""
    total = count = 0.0
    with torch.no_grad():
        for start, end in micro_batches(examples, micro_batch_tokens):
            logp_S = model.logprobs(pack(examples[start:end]).to(model.device))
            total -= float(logp_S.double().sum())
            count += logp_S.numel()
    return total / count


def train_supervised(
    model: CausalLM,
    examples: Sequence[Group],
    settings: SupervisedSettings,
    session: Session | None = None,
    heldout: Sequence[Group] = (),
) -> SupervisedResult:
    """Minimise the negative log-likelihood of the responses in `examples`; updates `model` in place."""
    if not examples:
        raise DataError("there is nothing to train on: 0 examples", "look at the table of kept and dropped rows")
    session = session or LocalSession()
    order = EpochOrder(len(examples), settings.batch, settings.epochs, settings.seed)
    optimizer = Optimizer(model.parameters(), settings.optimizer, order.steps)
    tokens, last_loss = 0, float("nan")
    if (saved := session.restore()) is not None:
        load_trainable(model.hf, saved["weights"])
        optimizer.load(saved["optimizer"])
        tokens, last_loss = saved["tokens"], saved["loss"]

    def state() -> State:
        return {
            "weights": trainable_state(model.hf), "optimizer": optimizer.state(), "tokens": tokens, "loss": last_loss,
        }  # fmt: skip

    for step in range(optimizer.steps, order.steps):
        rows = order.rows(step)
        batch = [examples[row] for row in rows]
        where = f"(rows {rows[0]}, {rows[1]}, ...)" if len(rows) > 1 else f"(row {rows[0]})"
        last_loss, used = supervised_step(model, batch, settings.micro_batch_tokens)
        tokens += used
        values = {"loss_tok": last_loss, "tokens": float(used), **optimizer.step(f"step {step + 1} {where}")}
        if heldout and settings.evaluate_every and (step + 1) % settings.evaluate_every == 0:
            values["heldout_loss_tok"] = heldout_loss(model, heldout, settings.micro_batch_tokens)
        session.end_step(step + 1, order.steps, values, state, where)
    final = heldout_loss(model, heldout, settings.micro_batch_tokens) if heldout else None
    return SupervisedResult(order.steps, tokens, last_loss, final)


def supervised_step(model: CausalLM, batch: Sequence[Group], micro_batch_tokens: int) -> tuple[float, int]:
    """Accumulate the gradient of the batch's mean token loss; returns (loss, tokens processed)."""
    scored = sum(len(response) for group in batch for response in group.responses)
    loss, tokens = 0.0, 0
    for start, end in micro_batches(batch, micro_batch_tokens):
        stream = pack(batch[start:end]).to(model.device)
        part = -model.logprobs(stream).sum() / scored
        part.backward()
        loss += part.item()
        tokens += stream.tokens
    return loss, tokens


def describe(result: SupervisedResult) -> dict[str, Any]:
    """The result as plain values for result.json."""
    values: dict[str, Any] = {"steps": result.steps, "tokens": result.tokens, "train_loss": result.train_loss}
    if result.heldout_loss is not None:
        values["heldout_loss"] = result.heldout_loss
    return values
