"""The loop of every objective on fixed rows: batches in a resumable order, one update each,
checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from accord.learning.optimizer import Optimizer, load_trainable, trainable_state
from accord.learning.order import EpochOrder
from accord.learning.parallel import ALONE, World
from accord.learning.session import LocalSession, Session, State
from accord.learning.settings import RowSettings
from accord.learning.shared_responses import rows_of, share_responses, values_by_row
from accord.learning.watching import Watch
from accord.models.causal_lm import CausalLM
from accord.text.packing import PromptGroup, streams

Values = dict[str, float]


@dataclass(frozen=True)
class Trained:
    """Updates made, tokens processed, the metrics of the last update, and the held-out measures of
    the weights that were kept (empty without any)."""

    steps: int
    tokens: int
    values: Values
    heldout: Values


def train_rows(
    model: CausalLM,
    count: int,
    settings: RowSettings,
    session: Session | None,
    gradient: Callable[[Sequence[int]], tuple[Values, int]],
    start: Values,
    on_step: Callable[[int, int], object] | None = None,
    evaluate: Callable[[], Values] | None = None,
    world: World = ALONE,
    seed: int = 0,
    blocks: Sequence[Hashable] | None = None,
) -> Trained:
    """Make epochs x count / batch updates of `model` (or `max_steps`), continuing where `session`
    was interrupted.

    gradient(rows) accumulates the gradient of a batch, or of this process's share of it, and
    returns (metrics, tokens processed) of the whole batch. evaluate() measures the model on rows
    kept aside, the deciding loss first: at the end, and where the settings say. After each update
    on_step(step, total) is called; where the training stops early, its last call has step = total.
    `start`: metrics before the first update. `blocks`: see `EpochOrder`.
    """
    settings.need_heldout(evaluate is not None)
    session = session or LocalSession()
    order = EpochOrder(count, settings.batch, settings.epochs, seed, blocks)
    total = settings.max_steps or order.steps
    watch = Watch(settings, partial(trainable_state, model.hf), partial(load_trainable, model.hf))
    optimizer = Optimizer(model.parameters(), settings, total, world)
    tokens, values = 0, start
    if (saved := session.restore()) is not None:
        load_trainable(model.hf, saved["weights"])
        optimizer.load(saved["optimizer"])
        tokens, values = saved["tokens"], saved["values"]
        watch.load(saved["watch"])

    def state() -> State:
        return {
            "weights": trainable_state(model.hf),
            "optimizer": optimizer.state(),
            "tokens": tokens,
            "values": values,
            "watch": watch.state(),
        }

    for step in range(optimizer.steps + 1, total + 1):
        if watch.stops:
            break
        rows = order.rows(step - 1)
        where = f"(rows {', '.join(map(str, rows[:3]))}{', ...' if len(rows) > 3 else ''})"
        optimizer.ready()
        values, used = gradient(rows)
        tokens += used
        values |= {"tokens": float(used), **optimizer.step(f"step {step} {where}")}
        if evaluate is not None and (step == total or watch.due(step)):
            measured = evaluate()
            values |= measured
            watch.see(step, measured)
        last = step if watch.stops else total
        if step == last:
            watch.put_back()
        if on_step is not None:  # before the checkpoint: a kill in between repeats it
            on_step(step, last)
        session.end_step(step, last, values, state, where)
    return Trained(optimizer.steps, tokens, values, watch.kept)


def rows_visited(
    count: int, settings: RowSettings, seed: int, blocks: Sequence[Hashable] | None = None
) -> list[int]:
    """Those of `count` rows that `train_rows` comes to, ascending: all of them, unless `max_steps`
    or part of an epoch ends it before."""
    order = EpochOrder(count, settings.batch, settings.epochs, seed, blocks)
    steps = min(settings.max_steps or order.steps, order.per_epoch)
    if steps == order.per_epoch:
        return list(range(count))
    return sorted({row for step in range(steps) for row in order.rows(step)})


def at_rows(rows: Sequence[int], values: Tensor, count: int) -> Tensor:
    """Values of these rows at their places among `count`, zeros at the others: [n, ...] -> [count,
    ...]."""
    placed = values.new_zeros(count, *values.shape[1:])
    placed[list(rows)] = values
    return placed


@torch.no_grad()
def logprob_sums(
    model: CausalLM,
    groups: Sequence[PromptGroup],
    micro_batch_tokens: int,
    world: World = ALONE,
    as_reference: bool = False,
) -> Tensor:
    """Summed log-probability (nats) of every response, for groups of K responses each: [groups, K].

    What several groups have in common is computed once. as_reference: with the adapter switched
    off. Each process computes its share and gets all of them.
    """
    shared = share_responses(groups, micro_batch_tokens)
    mine = [shared[i] for i in world.share([one.group.tokens for one in shared])]
    sums = [torch.zeros(0, device=model.device, dtype=model.hf.dtype)]
    with model.reference() if as_reference else nullcontext():
        for stream in streams([one.group for one in mine], micro_batch_tokens):
            here = stream.to(model.device)
            sums.append(here.sum_by_response(model.logprobs(here)))
    rows, k = rows_of(mine), len(groups[0].responses)
    found = values_by_row(mine, torch.cat(sums)).view(-1, k)
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return world.place(sorted(rows), found[order], len(groups))
