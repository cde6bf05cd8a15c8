"""Ensembles: members with trunks of their own, heads on one trunk, or adapters on one frozen base;
their files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from safetensors.torch import load_file, save_file

from accord.errors import ConfigError
from accord.models.causal_lm import CausalLM
from accord.models.heads import HeadForm
from accord.models.loading import (
    LoraSettings,
    add_lora,
    load_base,
    load_causal_lm,
    save_causal_lm,
    with_adapter,
)
from accord.models.scalar import ScalarModel
from accord.seeds import derive_seed

Trunk = Literal["own", "shared", "adapters"]
HEADS = "heads.safetensors"


def build_members(
    lm: CausalLM,
    count: int,
    seed: int,
    trunk: Trunk = "own",
    lora: LoraSettings | None = None,
    form: HeadForm | None = None,
) -> list[ScalarModel]:
    """`count` new members on copies of `lm`.

    own: a trunk each. shared: heads on one trunk, trained together. adapters: one frozen trunk in
    memory with a low-rank adapter per member; raises ConfigError without `lora`.
    """
    seeds = [derive_seed(seed, "member", m) for m in range(count)]
    if trunk == "own":
        return [ScalarModel.from_causal_lm(lm, own, lora, form) for own in seeds]
    if trunk == "shared":
        first = ScalarModel.from_causal_lm(lm, seeds[0], lora, form)
        return [first, *(first.with_new_head(own) for own in seeds[1:])]
    if lora is None:
        raise ConfigError(
            "members on adapters need an adapter each", "set lora, or trunk: own or shared"
        )
    form = form or HeadForm()
    return [
        ScalarModel(
            add_lora(share_weights(lm), lora, own),
            form.head(lm.hidden_size, own).to(lm.device),
            form,
        )
        for own in seeds
    ]


def share_weights(lm: CausalLM) -> CausalLM:
    """A model of its own with the very weights of `lm`: adapters added to it are not added to
    `lm`."""
    same = {id(t): t for t in (*lm.hf.parameters(), *lm.hf.buffers())}
    return CausalLM(copy.deepcopy(lm.hf, same), lm.tokenizer)


def trunk_kind(members: Sequence[ScalarModel]) -> Trunk:
    """How these members are built."""
    if len(members) > 1 and all(m.lm is members[0].lm for m in members):
        return "shared"
    weights = {id(m.lm.hf.get_input_embeddings().weight) for m in members}
    return "adapters" if len(members) > 1 and len(weights) == 1 else "own"


def save_members(members: Sequence[ScalarModel], folder: Path) -> Trunk:
    """Write trunks as Hugging Face directories (adapters in PEFT format) and all heads; returns the
    kind. What the caller does with the members says whether they were written well."""
    kind = trunk_kind(members)
    for name, member in zip(_folders(kind, len(members)), members, strict=False):
        save_causal_lm(member.lm, folder / name, verify=False)
    named = ((i, name, t) for i, m in enumerate(members) for name, t in m.head.state_dict().items())
    save_file({f"{i}.{name}": t.contiguous() for i, name, t in named}, str(folder / HEADS))
    return kind


def load_members(
    folder: Path, kind: Trunk, count: int, form: HeadForm, device: str
) -> list[ScalarModel]:
    """Read back what `save_members` wrote. Raises ConfigError for an adapter that was trained on
    another base model."""
    heads = load_file(str(folder / HEADS), device=device)
    trunks = _load_trunks(folder, kind, count, device)
    members = []
    for index, lm in enumerate(trunks):
        head = form.head(lm.hidden_size, 0).to(device)
        head.load_state_dict({name: heads[f"{index}.{name}"] for name in ("weight", "bias")})
        members.append(ScalarModel(lm, head, form))
    return members


def _load_trunks(folder: Path, kind: Trunk, count: int, device: str) -> list[CausalLM]:
    places = [folder / name for name in _folders(kind, count)]
    if kind == "own":
        return [load_causal_lm(str(place), device, verify=False) for place in places]
    if kind == "shared":
        return [load_causal_lm(str(places[0]), device, verify=False)] * count
    base = load_base(places[0], device, verify=False)
    return [with_adapter(share_weights(base), place) for place in places]


def _folders(kind: Trunk, count: int) -> list[str]:
    return ["trunk"] if kind == "shared" else [f"member-{i}" for i in range(count)]
