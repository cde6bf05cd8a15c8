"""A reward model: an ensemble of scalar models with centre, scale, temperature and a self-check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from accord.errors import DataError, RunError
from accord.files import write_atomically
from accord.models import precision
from accord.models.heads import HeadForm, ScalarHead
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.models.scalar import ScalarModel
from accord.text.packing import Group, PackedStream, micro_batches, pack

FILE = "reward.json"
PROBE_BOUND = 1e-3
"""Largest accepted difference of a probe's score between saving and loading."""


@dataclass
class RewardModel:
    """E members; score_e = (raw_e - centre_e) / scale.

    centre and scale are fitted on reference-policy samples (mean 0 per member, standard deviation 1 of the
    ensemble mean). temperature calibrates preferences: P(i over j) = sigmoid((score_i - score_j) / temperature).
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
        raw = torch.stack([member.scores(stream) for member in self.members])
        return (raw - self.centre_E.to(raw)[:, None]) / self.scale

    @torch.no_grad()
    def score(self, groups: Sequence[Group], micro_batch_tokens: int = 8192) -> Tensor:
        """Scores [E, R] of all responses of `groups`, in order, on the CPU."""
        if not groups:
            raise DataError("there is nothing to score: 0 prompts")
        device = self.members[0].lm.device
        parts = [
            self.scores(pack(groups[start:end]).to(device)).cpu()
            for start, end in micro_batches(groups, micro_batch_tokens)
        ]
        return torch.cat(parts, dim=1)

    # --- files -------------------------------------------------------------------------------------------
    def save(self, folder: Path, probes: Sequence[Group]) -> Path:
        """Write members as Hugging Face directories, heads, settings, and the probes with their scores.

        The directory is whole or absent; raises RunError when the disk is full.
        """
        if not probes:
            raise DataError("a reward model is saved with at least one probe")
        write_atomically(folder, lambda place: self._write(place, probes))
        return folder

    def _write(self, folder: Path, probes: Sequence[Group]) -> None:
        folder.mkdir()
        for index, member in enumerate(self.members):
            save_causal_lm(member.lm, folder / f"member-{index}")
        save_file(
            {
                f"{i}.{name}": t.contiguous()
                for i, m in enumerate(self.members)
                for name, t in m.head.state_dict().items()
            },
            str(folder / "heads.safetensors"),
        )
        record = {
            "members": self.size, "centre": self.centre_E.tolist(), "scale": self.scale,
            "temperature": self.temperature, "head": asdict(self.members[0].form), "notes": self.notes,
            "probes": [{"prompt": list(g.prompt), "responses": [list(r) for r in g.responses]} for g in probes],
            "probe_scores": _probe_scores(self, probes).tolist(),
        }  # fmt: skip
        (folder / FILE).write_text(json.dumps(record, indent=1))

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> RewardModel:
        """Read a saved reward model; raises RunError when its probes do not score as they did."""
        if not (folder / FILE).is_file():
            raise DataError(f"{folder} holds no reward model: {FILE} is missing", "name the output of a reward stage")
        record = json.loads((folder / FILE).read_text())
        heads = load_file(str(folder / "heads.safetensors"), device=device)
        members = []
        for index in range(record["members"]):
            lm = load_causal_lm(str(folder / f"member-{index}"), device, verify=False)
            head = ScalarHead(lm.hidden_size, 0).to(device)
            head.load_state_dict({name: heads[f"{index}.{name}"] for name in ("weight", "bias")})
            members.append(ScalarModel(lm, head, HeadForm(**record["head"])))
        centre = torch.tensor(record["centre"])
        model = cls(members, centre, record["scale"], record["temperature"], record["notes"])
        _check_probes(model, record, folder)
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
def _probe_scores(model: RewardModel, probes: Sequence[Group]) -> Tensor:
    """In fp32, so that a model saved by a bf16 run checks out everywhere."""
    return model.score(probes)


def _check_probes(model: RewardModel, record: dict[str, Any], folder: Path) -> None:
    probes = [Group(p["prompt"], p["responses"]) for p in record["probes"]]
    worst = float((_probe_scores(model, probes) - torch.tensor(record["probe_scores"])).abs().max())
    if not worst <= PROBE_BOUND:
        raise RunError(
            f"the reward model in {folder} scores its own probes {worst:.3g} off what was saved",
            "its head or trunk was lost or changed (a head outside the adapter file is the usual cause): "
            "save it again from the run that trained it",
        )
