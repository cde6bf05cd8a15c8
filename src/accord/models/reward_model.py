"""A reward model: an ensemble of scalar models with centre, scale, temperature and a self-check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from accord.errors import ConfigError, DataError, RunError
from accord.files import write_atomically
from accord.models import precision
from accord.models.ensembles import load_members, save_members
from accord.models.heads import HeadForm, value_head
from accord.models.loading import copy_causal_lm
from accord.models.scalar import ScalarModel, score_members
from accord.text.packing import SCORING_TOKENS, PackedStream, PromptGroup, streams

FILE = "reward.json"
PROBE_BOUND = 1e-3
"""Largest accepted difference of a probe's score between saving and loading."""

OTHER_DEVICE_BOUND = 2e-2
"""The same between a GPU that saves and the CPU that reads it again."""


@dataclass
class RewardModel:
    """E members; score_e = (raw_e - centre_e) / scale.

    centre and scale are fitted on reference-policy samples (mean 0 per member, standard deviation 1
    of the ensemble mean). temperature calibrates preferences: P(i over j) = sigmoid((score_i -
    score_j) / temperature).
    """

    members: list[ScalarModel]
    centre_E: Tensor
    scale: float = 1.0
    temperature: float = 1.0
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def untrained(cls, members: list[ScalarModel]) -> RewardModel:
        """Raw scores: centre 0, scale 1."""
        return cls(members, torch.zeros(len(members)))

    @property
    def size(self) -> int:
        return len(self.members)

    def scores(self, stream: PackedStream) -> Tensor:
        """Centred and scaled scores [E, R]."""
        raw = torch.stack([reading.rewards_R for reading in score_members(self.members, stream)])
        return (raw - self.centre_E.to(raw)[:, None]) / self.scale

    @torch.no_grad()
    def score(
        self, groups: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
    ) -> Tensor:
        """Scores [E, R] of all responses of `groups`, in order, on the CPU. Raises RunError for one
        that is not finite."""
        scores_ER = torch.cat(
            [self.scores(s).cpu() for s in self._streams(groups, micro_batch_tokens)], dim=1
        )
        if not scores_ER.isfinite().all():
            member, response = (int(i) for i in (~scores_ER.isfinite()).nonzero()[0])
            raise RunError(
                f"member {member} scores response {response} as "
                f"{scores_ER[member, response].item()}",
                "its weights are damaged, or its training diverged: train it again with a "
                "lower learning rate",
            )
        return scores_ER

    @torch.no_grad()
    def outputs(
        self, groups: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
    ) -> Tensor:
        """What heads of several outputs say, before weighing and reading: [E, R, O], on the CPU.

        O are the objectives (or the score) and the rules, or the parameters of a distribution (see
        `HeadForm.moments`).
        """
        parts = [score_members(self.members, s) for s in self._streams(groups, micro_batch_tokens)]
        if parts[0][0].outputs_RO is None:
            raise DataError("the heads of this reward model have one output", "use score")
        return torch.cat(
            [
                torch.stack([r.outputs_RO for r in rs if r.outputs_RO is not None]).cpu()
                for rs in parts
            ],
            1,
        )

    def rule_probabilities(
        self, groups: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
    ) -> Tensor:
        """P(the response keeps the rule), of all responses in order and the form's rules: [R, J],
        on the CPU. Raises DataError where no rule was learned."""
        return torch.sigmoid(self.rule_logits(groups, micro_batch_tokens))

    def rule_logits(
        self, groups: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
    ) -> Tensor:
        """The members' mean log-odds that the response keeps the rule, as `rule_probabilities`."""
        if not self.form.rules:
            raise DataError(
                "this reward model has no heads for rules", "train one with rules in its stage"
            )
        logits_ERO = self.outputs(groups, micro_batch_tokens)
        return logits_ERO[..., self.form.first_rule :].mean(0)

    @torch.no_grad()
    def step_scores(
        self, groups: Sequence[PromptGroup], micro_batch_tokens: int = SCORING_TOKENS
    ) -> list[list[tuple[int, float]]]:
        """(index of its last token, mean of the members' scores) of every step of every response,
        in order.

        Steps are what the form's separator divides a response into; a score is the logit of "not
        bad" where labels of steps were learned.
        """
        found: list[list[tuple[int, float]]] = []
        for stream in self._streams(groups, micro_batch_tokens):
            ends_P, owner_P = self.members[0].steps(stream)
            readings = score_members(self.members, stream, [ends_P] * self.size)
            scores_P = torch.stack([r.points_P for r in readings if r.points_P is not None]).mean(0)
            starts_R = stream.last_R - stream.lengths_R + 1
            here: list[list[tuple[int, float]]] = [[] for _ in range(stream.responses)]
            for end, owner, score in zip(
                (ends_P - starts_R[owner_P]).tolist(),
                owner_P.tolist(),
                scores_P.tolist(),
                strict=True,
            ):
                here[owner].append((end, score))
            found += here
        return found

    def _streams(
        self, groups: Sequence[PromptGroup], micro_batch_tokens: int
    ) -> Iterator[PackedStream]:
        if not groups:
            raise DataError("there is nothing to score: 0 prompts")
        device = self.members[0].lm.device
        return (stream.to(device) for stream in streams(groups, micro_batch_tokens))

    @property
    def form(self) -> HeadForm:
        """What the heads' outputs mean and how they are read."""
        return self.members[0].form

    def read_as(self, **changes: Any) -> RewardModel:
        """The same weights read otherwise, for example `read="quantile", risk=0.05` or
        `objectives={"helpful": 1.0}`.

        Centre and scale are those of the earlier reading: fit them again before scores are compared
        with earlier ones. Raises ConfigError for other objectives than were learned.
        """
        if "objectives" in changes:
            known, asked = dict(self.form.objectives), changes["objectives"]
            if unknown := sorted(set(asked) - set(known)):
                raise ConfigError(
                    f"there is no objective {unknown[0]!r}",
                    f"learned were: {', '.join(known) or 'none'}",
                )
            changes["objectives"] = tuple((name, float(asked.get(name, 0.0))) for name in known)
        form = replace(self.form, **changes)
        if form.outputs != self.form.outputs or form.kind != self.form.kind:
            raise ConfigError(
                f"heads of {self.form.kind} cannot be read as {form.kind}", "train with that head"
            )
        members = [ScalarModel(member.lm, member.head, form) for member in self.members]
        return RewardModel(members, self.centre_E, self.scale, self.temperature, self.notes)

    def value_model(self) -> ScalarModel:
        """A trainable copy of the first member whose head says the score, centred and scaled (see
        `value_head`)."""
        first = self.members[0]
        head = value_head(first.head, first.form, float(self.centre_E[0]), self.scale)
        return ScalarModel(copy_causal_lm(first.lm), head)

    # --- files ------------------------------------------------------------------------------------
    def save(self, folder: Path, probes: Sequence[PromptGroup]) -> Path:
        """Write members as Hugging Face directories, heads, settings, and the probes with their
        scores.

        It is read again and scores the probes. The directory is whole or absent; raises RunError
        when what was written scores them otherwise, or the disk is full.
        """
        if not probes:
            raise DataError("a reward model is saved with at least one probe")

        def write(place: Path) -> None:
            self._write(place, probes)
            same = self.members[0].lm.device.type == "cpu"  # a GPU rounds otherwise
            RewardModel.load(place, bound=PROBE_BOUND if same else OTHER_DEVICE_BOUND)

        write_atomically(folder, write)
        return folder

    def _write(self, folder: Path, probes: Sequence[PromptGroup]) -> None:
        folder.mkdir()
        trunk = save_members(self.members, folder)
        record = {
            "members": self.size,
            "trunk": trunk,
            "centre": self.centre_E.tolist(),
            "scale": self.scale,
            "temperature": self.temperature,
            "head": asdict(self.form),
            "notes": self.notes,
            "probes": [
                {"prompt": list(g.prompt), "responses": [list(r) for r in g.responses]}
                for g in probes
            ],
            "probe_scores": _probe_scores(self, probes).tolist(),
        }
        if self.form.rules:
            record["probe_rules"] = _probe_rules(self, probes).tolist()
        (folder / FILE).write_text(json.dumps(record, indent=1))

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", bound: float = PROBE_BOUND) -> RewardModel:
        """Read a saved reward model; raises RunError when its probes score more than `bound` off
        what they did."""
        if not (folder / FILE).is_file():
            raise DataError(
                f"{folder} holds no reward model: {FILE} is missing",
                "name the output of a reward stage",
            )
        record = json.loads((folder / FILE).read_text())
        form = HeadForm.of(record["head"])
        members = load_members(folder, record["trunk"], record["members"], form, device)
        centre = torch.tensor(record["centre"])
        model = cls(members, centre, record["scale"], record["temperature"], record["notes"])
        _check_probes(model, record, folder, bound)
        return model

    def frozen(self) -> RewardModel:
        """The same model with constant weights."""
        for parameter in self._parameters():
            parameter.requires_grad_(False)
        return self

    def _parameters(self) -> Iterator[torch.nn.Parameter]:
        for member in self.members:
            yield from member.lm.hf.parameters()
            yield from member.head.parameters()


@precision.exact()
def _probe_scores(model: RewardModel, probes: Sequence[PromptGroup]) -> Tensor:
    """In fp32, so that a model saved by a bf16 run checks out everywhere."""
    return model.score(probes)


@precision.exact()
def _probe_rules(model: RewardModel, probes: Sequence[PromptGroup]) -> Tensor:
    return model.rule_probabilities(probes)


def read_probes(folder: Path) -> list[PromptGroup]:
    """What a saved reward model scored when it was saved."""
    return _probes(json.loads((folder / FILE).read_text()))


def _probes(record: dict[str, Any]) -> list[PromptGroup]:
    return [PromptGroup(p["prompt"], p["responses"]) for p in record["probes"]]


def _check_probes(model: RewardModel, record: dict[str, Any], folder: Path, bound: float) -> None:
    probes = _probes(record)
    off = [_probe_scores(model, probes) - torch.tensor(record["probe_scores"])]
    if model.form.rules:
        off.append(_probe_rules(model, probes) - torch.tensor(record["probe_rules"]))
    worst = float(torch.cat([part.flatten() for part in off]).abs().max())
    if not worst <= bound:
        raise RunError(
            f"the reward model in {folder} scores its own probes {worst:.3g} off what was saved",
            "its head or trunk was lost or changed (a head outside the adapter file is the "
            "usual cause): "
            "save it again from the run that trained it",
        )
