"""What was said about a batch of responses, as tensors: built once from the judgements, then cut
into batches and micro-batches by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal, TypeVar

import torch
from torch import Tensor

from accord.learning.judgements import JudgedGroup, Judgement, ordered_pairs
from accord.learning.weights import total
from accord.text.packing import PackedStream, PromptGroup, response_offsets

Likelihood = Literal["comparison", "decided", "ranking", "choice", "best_worst"]


@dataclass(frozen=True)
class _JudgementRows:
    """Rows of a table, in the order of the prompts they are about; columns are tensors of M rows.

    group_M: the prompt's number in the batch, never falling. annotator_M: an index into the
    annotators' parameters. weight_M: how much each row counts.
    """

    group_M: Tensor
    annotator_M: Tensor
    weight_M: Tensor

    def __len__(self) -> int:
        return self.group_M.numel()

    @cached_property
    def in_turn(self) -> bool:
        """Whether the first rows are about the first prompts, one about each."""
        return bool((self.group_M == torch.arange(len(self))).all())


@dataclass(frozen=True)
class Choices(_JudgementRows):
    """Choices among K responses each, all with one likelihood.

    likelihood: comparison (first over second, shown together, or a tie), decided (first over
    second, where a tie was no answer: soft labels, edits), ranking (best first; `tied` are the
    sizes of its tied groups, none: strict), choice (the first over the others), best_worst (the
    first is the best, the last the worst).
    options_MK: numbers of the responses within their group; shown_MK: the places they were shown
    at, the middle where they were not shown together; objective_M: the head's output that is
    compared (-1: the reward as a whole); undecided_M: which comparisons are ties; margin_M,
    doubt_M: see `Judgement` (no doubt: 0).
    """

    likelihood: Likelihood
    tied: tuple[int, ...]
    options_MK: Tensor
    shown_MK: Tensor
    objective_M: Tensor
    undecided_M: Tensor
    margin_M: Tensor
    doubt_M: Tensor

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(better, worse) for every two options that these choices order, by their columns."""
        kind = self.likelihood if self.likelihood in ("choice", "best_worst") else "order"
        return ordered_pairs(kind, self.options_MK.shape[1], self.tied)


@dataclass(frozen=True)
class Answers(_JudgementRows):
    """Levels given on one scale, to responses or to steps of them.

    response_M: number of the response within its group; end_M: index of the step's last token in
    the response (-1: the answer is about the whole response); objective_M: which one was rated (-1:
    the reward as a whole).
    """

    scale: int
    response_M: Tensor
    end_M: Tensor
    objective_M: Tensor
    level_M: Tensor


Rows = TypeVar("Rows", bound=_JudgementRows)


@dataclass(frozen=True)
class JudgedBatch:
    """Prompts with their responses, and tables of what was said about them.

    The terms of the likelihood are in the order of the tables: one per choice, one per answer (of
    labelled steps one per step).
    """

    groups: tuple[PromptGroup, ...]
    choices: tuple[Choices, ...]
    answers: tuple[Answers, ...]

    @classmethod
    def of(cls, groups: Sequence[JudgedGroup]) -> JudgedBatch:
        """Everything said about these groups."""
        choices: dict[tuple[int, Likelihood, tuple[int, ...]], list[tuple[int, Judgement]]] = {}
        answers: dict[int, list[tuple[int, Judgement]]] = {}
        for number, group in enumerate(groups):
            for j in group.judgements:
                if j.kind in ("rating", "steps"):
                    answers.setdefault(j.scale, []).append((number, j))
                else:
                    key = len(j.options), _likelihood(j), j.tied
                    choices.setdefault(key, []).append((number, j))
        return cls(
            tuple(g.group for g in groups),
            tuple(_choices(key[1], rows) for key, rows in sorted(choices.items())),
            tuple(_answers(scale, rows) for scale, rows in sorted(answers.items())),
        )

    def select(self, prompts: Sequence[int], times: Sequence[int] | None = None) -> JudgedBatch:
        """These prompts, in this order; `times`: how often each one's judgements count there (its
        responses stay there once)."""
        if times is None and list(prompts) == [*range(len(self.groups))]:
            return self
        wanted_B = torch.tensor(prompts, dtype=torch.long)
        times_B = None if times is None else torch.tensor(times, dtype=torch.long)
        found = [_select(table, len(self.groups), wanted_B, times_B) for table in self.choices]
        answered = [_select(table, len(self.groups), wanted_B, times_B) for table in self.answers]
        return JudgedBatch(
            tuple(self.groups[i] for i in prompts),
            tuple(table for table in found if len(table)),
            tuple(table for table in answered if len(table)),
        )

    def repeated(self, times: Sequence[int]) -> JudgedBatch:
        """The same prompts, with their judgements as often as `times` says of each."""
        return self.select(range(len(self.groups)), times)

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self.choices or self.answers)

    @cached_property
    def weight_M(self) -> Tensor:
        """The weight of every term of the likelihood: [M], float64."""
        tables = (*self.choices, *self.answers)
        return torch.cat([table.weight_M for table in tables]) if tables else torch.zeros(0)

    @cached_property
    def weight(self) -> float:
        """All terms' weights together."""
        return total(self.weight_M.tolist())

    @cached_property
    def compared_weight(self) -> float:
        """Those of the choices by the reward as a whole together."""
        return total(
            w for table in self.choices for w in table.weight_M[table.objective_M < 0].tolist()
        )

    @cached_property
    def first_response_G(self) -> Tensor:
        """Number, in packing order, of each prompt's first response."""
        return torch.tensor(response_offsets(self.groups)[:-1], dtype=torch.long)

    def responses(self, table: Choices) -> Tensor:
        """The options of choices by their numbers in packing order: [M, K]."""
        return self.first_response_G[table.group_M, None] + table.options_MK

    def response(self, table: Answers) -> Tensor:
        """What was answered about, by its number in packing order: [M]."""
        return self.first_response_G[table.group_M] + table.response_M

    def step_ends(self, stream: PackedStream) -> Tensor | None:
        """Stream index of every labelled step's last token, in the order of the answers: [P]; None
        without any."""
        start_R = (stream.last_R - stream.lengths_R + 1).cpu()
        ends = [
            (start_R[self.response(table)] + table.end_M)[table.end_M >= 0]
            for table in self.answers
        ]
        at_P = torch.cat(ends) if ends else torch.zeros(0)
        return at_P.to(stream.last_R.device) if len(at_P) else None


def _likelihood(judgement: Judgement) -> Likelihood:
    """Which one applies: a comparison may tie (no place acts on a tie of two that were not shown
    together); of two in an order that were not shown together, or of which a probability is said,
    one is simply better."""
    if judgement.kind == "tie":
        return "comparison"
    if judgement.kind == "order" and len(judgement.options) == 2:
        may_tie = judgement.shown_at is not None and judgement.doubt is None
        return "comparison" if may_tie else "decided"
    if judgement.kind in ("choice", "best_worst"):
        return judgement.kind
    return "ranking"


def _choices(likelihood: Likelihood, rows: Sequence[tuple[int, Judgement]]) -> Choices:
    size = len(rows[0][1].options)
    middle = ((size - 1) / 2,) * size  # not shown side by side: no side bias
    return Choices(
        **_common(rows),
        likelihood=likelihood,
        tied=rows[0][1].tied,
        options_MK=torch.tensor([j.options for _, j in rows]),
        shown_MK=torch.tensor([j.shown_at or middle for _, j in rows], dtype=torch.float64),
        objective_M=_objectives([j for _, j in rows]),
        undecided_M=torch.tensor([j.kind == "tie" for _, j in rows]),
        margin_M=torch.tensor([j.margin for _, j in rows], dtype=torch.float64),
        doubt_M=torch.tensor([j.doubt or 0.0 for _, j in rows], dtype=torch.float64),
    )


def _answers(scale: int, rows: Sequence[tuple[int, Judgement]]) -> Answers:
    each = [
        ((number, j), end, level)
        for number, j in rows
        for end, level in (zip(j.ends, j.levels, strict=True) if j.ends else [(-1, j.level)])
    ]
    return Answers(
        **_common([row for row, _, _ in each]),
        scale=scale,
        response_M=torch.tensor([j.options[0] for (_, j), _, _ in each]),
        end_M=torch.tensor([end for _, end, _ in each]),
        objective_M=_objectives([j for (_, j), _, _ in each]),
        level_M=torch.tensor([level for _, _, level in each]),
    )


def _objectives(judgements: Sequence[Judgement]) -> Tensor:
    return torch.tensor([-1 if j.facet is None else j.facet for j in judgements])


def _common(rows: Sequence[tuple[int, Judgement]]) -> dict[str, Tensor]:
    return {
        "group_M": torch.tensor([number for number, _ in rows]),
        "annotator_M": torch.tensor([j.annotator for _, j in rows]),
        "weight_M": torch.tensor([j.weight for _, j in rows], dtype=torch.float64),
    }


def _select(table: Rows, prompts: int, wanted_B: Tensor, times_B: Tensor | None) -> Rows:
    """The rows of the wanted prompts, those of a prompt as often as it counts, one after the
    other."""
    group_V = torch.arange(len(wanted_B))
    if times_B is not None:
        group_V = group_V.repeat_interleave(times_B)  # V visits of prompts
    if len(table) == prompts and table.in_turn:
        row_M, group_M = wanted_B[group_V], group_V
    else:
        first_V = torch.searchsorted(table.group_M, wanted_B[group_V])
        rows_V = torch.searchsorted(table.group_M, wanted_B[group_V], right=True) - first_V
        moved_V = first_V - (rows_V.cumsum(0) - rows_V)  # from a row's new place to the one it has
        row_M = torch.arange(int(rows_V.sum())) + moved_V.repeat_interleave(rows_V)
        group_M = group_V.repeat_interleave(rows_V)
    columns = {
        field.name: column[row_M]
        for field in fields(table)
        if isinstance(column := getattr(table, field.name), Tensor)
    }
    return replace(table, **columns | {"group_M": group_M})
