"""Scalar models: a decoder trunk with one number per position, read at an explicit index.

Reward members read it at the last response token or at the ends of steps, value models at the state
before each
response token. Never by pad id: with pad = eos that reads the wrong token.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from accord.models.causal_lm import CausalLM
from accord.models.heads import HeadForm, HeadOutput, ScalarHead, VectorHead, combine_steps
from accord.models.loading import LoraSettings, add_lora, copy_causal_lm
from accord.text.packing import PackedStream
from accord.text.steps import decoder, split_ends


class ScalarModel:
    """A trunk and a head; `form` says how the head's outputs become a score."""

    def __init__(
        self, lm: CausalLM, head: ScalarHead | VectorHead, form: HeadForm | None = None
    ) -> None:
        self.lm, self.head, self.form = lm, head, form or HeadForm()
        self._ends: dict[tuple[int, ...], list[int]] = {}

    @classmethod
    def from_causal_lm(
        cls, lm: CausalLM, seed: int, lora: LoraSettings | None = None, form: HeadForm | None = None
    ) -> ScalarModel:
        """Copy the trunk of `lm` (with fresh LoRA layers when asked) and add a new head."""
        trunk = copy_causal_lm(lm)
        if lora is not None:
            trunk = add_lora(trunk, lora, seed)
        elif trunk.adapter is None:
            trunk.hf.requires_grad_(True)
        return cls(trunk, (form or HeadForm()).head(lm.hidden_size, seed).to(lm.device), form)

    def with_new_head(self, seed: int) -> ScalarModel:
        """Another head on the same trunk."""
        return ScalarModel(
            self.lm, self.form.head(self.lm.hidden_size, seed).to(self.lm.device), self.form
        )

    def clone(self) -> ScalarModel:
        """An independent copy with equal weights."""
        return ScalarModel(copy_causal_lm(self.lm), copy.deepcopy(self.head), self.form)

    def scores(self, stream: PackedStream) -> Tensor:
        """Raw score [R] of each response."""
        return self.read(stream).rewards_R

    def read(self, stream: PackedStream, at_P: Tensor | None = None) -> HeadOutput:
        """Scores of all responses, and at the stream positions `at_P`, from one pass."""
        return self.read_hidden(self.lm.hidden(stream), stream, at_P)

    def read_hidden(
        self, hidden_NH: Tensor, stream: PackedStream, at_P: Tensor | None = None
    ) -> HeadOutput:
        """As `read`, from hidden states at hand."""
        points_P = None if at_P is None else self.form.score(self._at(at_P, hidden_NH))
        if self.form.steps != "end":
            ends_P, owner_P = self.steps(stream)
            rewards_R = combine_steps(
                self._at(ends_P, hidden_NH), owner_P, stream.responses, self.form.steps
            )
            return HeadOutput(rewards_R, points_P)
        outputs = self._at(stream.last_R, hidden_NH)
        outputs_RO = outputs if outputs.ndim > 1 else None
        return HeadOutput(self.form.score(outputs), points_P, outputs_RO, self.form)

    def _at(self, at_P: Tensor, hidden_NH: Tensor) -> Tensor:
        return self.head(F.embedding(at_P, hidden_NH))  # type: ignore[no-any-return]

    def values(self, stream: PackedStream) -> Tensor:
        """Value [S] of the state before each response token."""
        return self._at(stream.score_at_S, self.lm.hidden(stream))

    def steps(self, stream: PackedStream) -> tuple[Tensor, Tensor]:
        """(stream index [P] of the last token of each step, response [P] it belongs to), by the
        form's separator."""
        ends, owners = [], []
        for response, (last, length) in enumerate(
            zip(stream.last_R.tolist(), stream.lengths_R.tolist(), strict=True)
        ):
            start = last - length + 1
            for end in self._step_ends(tuple(stream.token_ids_N[start : last + 1].tolist())):
                ends.append(start + end)
                owners.append(response)
        device = stream.last_R.device
        return torch.tensor(ends, device=device), torch.tensor(owners, device=device)

    def _step_ends(self, ids: tuple[int, ...]) -> list[int]:
        if len(self._ends) > 50_000:
            self._ends.clear()  # found again when needed
        if ids not in self._ends:
            self._ends[ids] = split_ends(decoder(self.lm.tokenizer), ids, self.form.separator)
        return self._ends[ids]

    def named_trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Trainable weights by name: the trunk's, then the head's."""
        yield from (
            (f"trunk.{name}", p) for name, p in self.lm.hf.named_parameters() if p.requires_grad
        )
        yield from ((f"head.{name}", p) for name, p in self.head.named_parameters())

    def parameters(self) -> Iterator[nn.Parameter]:
        """Trainable weights."""
        return (p for _, p in self.named_trainable())

    def state(self, trunk: bool = True) -> dict[str, Tensor]:
        """Copies of the trainable weights, for a checkpoint; without `trunk` the head's alone."""
        return {
            n: p.detach().clone()
            for n, p in self.named_trainable()
            if trunk or n.startswith("head.")
        }

    @torch.no_grad()
    def load(self, state: dict[str, Tensor], trunk: bool = True) -> None:
        """Put back `state()`."""
        own = {n: p for n, p in self.named_trainable() if trunk or n.startswith("head.")}
        if own.keys() != state.keys():
            raise ValueError(
                f"other weights than the model's: {sorted(own.keys() ^ state.keys())[:3]}"
            )
        for name, p in own.items():
            p.copy_(state[name])


def score_members(
    members: Sequence[ScalarModel], stream: PackedStream, at: Sequence[Tensor | None] | None = None
) -> list[HeadOutput]:
    """Every member's reading, each at its own further positions `at`; a trunk that several share
    runs once."""
    hidden: dict[int, Tensor] = {}
    found = []
    for member, at_P in zip(members, at or [None] * len(members), strict=True):
        if id(member.lm) not in hidden:
            hidden = {id(member.lm): member.lm.hidden(stream)}
        found.append(member.read_hidden(hidden[id(member.lm)], stream, at_P))
    return found
