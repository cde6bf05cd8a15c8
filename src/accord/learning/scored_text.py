"""Pretraining on scored text: unlikelihood, reward-weighted and advantage-weighted regression
(Korbak et al. 2023), and how likely scored text is.

    loss = sum over scored tokens of the objective's loss / scored tokens of the whole batch

The loop is that of `supervised`. Conditional training and filtering change the text and not the
loss: see `accord.text.scored`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from accord.errors import DataError
from accord.learning import losses
from accord.learning.parallel import ALONE, World
from accord.learning.rows import Values, train_rows
from accord.learning.session import Session
from accord.learning.settings import PretrainingSettings, TextFeedbackSettings
from accord.learning.supervised import SupervisedResult, heldout_loss
from accord.models.causal_lm import CausalLM
from accord.models.heads import ScalarHead
from accord.seeds import derive_seed
from accord.text.packing import SCORING_TOKENS, micro_batches, pack
from accord.text.scored import ScoredWindow

VALUE_HEAD = "value_head"
"""Name of awr's head among the model's modules while it trains, and in its checkpoints."""


def token_losses(
    logp_S: Tensor, reward_S: Tensor, value_S: Tensor | None, feedback: TextFeedbackSettings
) -> Tensor:
    """The objective's loss of every scored token: [S]."""
    if feedback.objective == "unlikelihood":
        assert feedback.threshold is not None  # the settings see to it
        good_S = reward_S > feedback.threshold
        return losses.unlikelihood(logp_S, good_S, feedback.unlikelihood_weight)
    if feedback.objective == "rwr":
        weight_S = losses.regression_weight(reward_S, feedback.beta, feedback.largest_weight)
        return -weight_S * logp_S
    if feedback.objective == "awr":
        assert value_S is not None
        most = feedback.largest_weight
        return losses.advantage_regression(
            logp_S, value_S, reward_S, feedback.beta, feedback.policy_weight, most
        )
    return -logp_S


def scored_step(
    model: CausalLM,
    batch: Sequence[ScoredWindow],
    feedback: TextFeedbackSettings,
    micro_batch_tokens: int,
    head: ScalarHead | None = None,
    world: World = ALONE,
) -> tuple[Values, int]:
    """Accumulate the gradient of the batch's mean token loss, this process's share of it; returns
    (metrics, tokens processed) of the whole batch."""
    scored = sum(len(window.rewards) for window in batch)
    mine = [batch[i] for i in world.share([window.group.tokens for window in batch])]
    sums = {"loss": 0.0, "loss_tok": 0.0, "tokens": 0.0}
    for start, end in micro_batches([window.group for window in mine], micro_batch_tokens):
        part = mine[start:end]
        stream = pack([window.group for window in part]).to(model.device)
        hidden_NH = model.hidden(stream)
        logp_S = model.logprobs_from_hidden(hidden_NH, stream)
        value_S = None if head is None else head(F.embedding(stream.score_at_S, hidden_NH))
        reward_S = logp_S.new_tensor([r for window in part for r in window.rewards])
        loss = token_losses(logp_S, reward_S, value_S, feedback).sum() / scored
        loss.backward()
        sums["loss"] += loss.item()
        sums["loss_tok"] -= float(logp_S.detach().sum()) / scored
        sums["tokens"] += stream.tokens
    sums = world.totals(sums)
    return {name: sums[name] for name in ("loss", "loss_tok")}, int(sums["tokens"])


def train_scored(
    model: CausalLM,
    windows: Sequence[ScoredWindow],
    settings: PretrainingSettings,
    feedback: TextFeedbackSettings,
    session: Session | None = None,
    heldout: Sequence[ScoredWindow] = (),
    world: World = ALONE,
    seed: int = 0,
) -> SupervisedResult:
    """Minimise the objective over the windows' scored tokens; updates `model` in place. `seed`: of
    the order of the windows, and of awr's head."""
    if not windows:
        raise DataError(
            "there is nothing to train on: 0 windows", "look at what was kept and dropped"
        )
    aside = [window.group for window in heldout]

    def evaluate() -> Values:
        found = heldout_loss(model, aside, settings.micro_batch_tokens, world)
        return {"heldout_loss_tok": found}

    with _value_head(model, seed) if feedback.objective == "awr" else nullcontext() as head:

        def gradient(rows: Sequence[int]) -> tuple[Values, int]:
            batch = [windows[row] for row in rows]
            return scored_step(model, batch, feedback, settings.micro_batch_tokens, head, world)

        nothing = float("nan")
        done = train_rows(
            model,
            len(windows),
            settings,
            session,
            gradient,
            {"loss": nothing, "loss_tok": nothing},
            evaluate=evaluate if aside else None,
            world=world,
            seed=seed,
        )
    return SupervisedResult(
        done.steps, done.tokens, done.values["loss_tok"], done.heldout.get("heldout_loss_tok")
    )


@contextmanager
def _value_head(model: CausalLM, seed: int) -> Iterator[ScalarHead]:
    """A head beside the model's own for as long as it trains: in its checkpoints, not saved."""
    head = ScalarHead(model.hidden_size, derive_seed(seed, "value head")).to(model.device)
    model.hf.add_module(VALUE_HEAD, head)
    try:
        yield head
    finally:
        delattr(model.hf, VALUE_HEAD)


@dataclass(frozen=True)
class TextLosses:
    """Summed negative log-likelihood (nats) of each of W windows, and how many tokens it is of; the
    same of their good tokens alone."""

    nll_W: np.ndarray
    tokens_W: np.ndarray
    good_nll_W: np.ndarray
    good_tokens_W: np.ndarray

    @property
    def mean(self) -> float:
        """Nats per token."""
        return float(self.nll_W.sum() / self.tokens_W.sum())

    @property
    def good_mean(self) -> float | None:
        """Nats per good token; None where there is none."""
        tokens = self.good_tokens_W.sum()
        return float(self.good_nll_W.sum() / tokens) if tokens else None


@torch.no_grad()
def text_losses(
    model: CausalLM,
    windows: Sequence[ScoredWindow],
    threshold: float | None,
    micro_batch_tokens: int = SCORING_TOKENS,
) -> TextLosses:
    """How likely the windows are, as they stand (with the tags that they hold). Tokens that score
    more than `threshold` are good; None: all."""
    nll, good_nll, good_tokens = list[float](), list[float](), list[int]()
    for start, end in micro_batches([window.group for window in windows], micro_batch_tokens):
        part = windows[start:end]
        stream = pack([window.group for window in part]).to(model.device)
        nll_S = -model.logprobs(stream).double()
        reward_S = nll_S.new_tensor([r for window in part for r in window.rewards])
        good_S = torch.ones_like(reward_S) if threshold is None else (reward_S > threshold).double()
        nll += stream.sum_by_response(nll_S).tolist()
        good_nll += stream.sum_by_response(nll_S * good_S).tolist()
        good_tokens += stream.sum_by_response(good_S).tolist()
    tokens = [len(window.rewards) for window in windows]
    return TextLosses(*(np.array(one) for one in (nll, tokens, good_nll, good_tokens)))
