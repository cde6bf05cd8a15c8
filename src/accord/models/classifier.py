"""A reward model as a plain sequence classifier, for whoever scores with transformers alone.

`AutoModelForSequenceClassification` multiplies the hidden state at the last token that is not
padding with one vector. So the classifier has a padding token that no text ends with, and whatever
of a score is not linear in that state cannot be exported. Its tokenizer begins plain text with BOS
as accord does.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from accord.errors import ConfigError, RunError
from accord.files import write_atomically
from accord.models import precision
from accord.models.causal_lm import CausalLM
from accord.models.heads import value_head
from accord.models.huggingface import in_transformers
from accord.models.loading import Dtype, copy_causal_lm, generation_stops, merge_adapter
from accord.models.probe import TEXT, rows_of
from accord.models.reward_model import PROBE_BOUND, RewardModel
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup
from accord.text.tokenizer import write_tokenizer

PAD = "<|pad|>"
"""Added to tokenizers without a padding token of their own."""
OFFSET = "score_offset"
"""In config.json: add it to the classifier's logit for accord's score. These classifiers have no
bias, and a centred score has one."""


@dataclass(frozen=True)
class ClassifierExport:
    """offset: see OFFSET; difference: the largest between the reward model's scores of the probes
    and logit + offset, in fp32."""

    folder: Path
    offset: float
    difference: float


def export_classifier(
    reward: RewardModel,
    probes: Sequence[PromptGroup],
    folder: Path,
    dtype: Dtype = "float32",
    member: int | None = None,
) -> ClassifierExport:
    """Write a reward model, or one `member` (from 0) of several, as a sequence classifier with one
    label.

    Its logit is the score less a constant, for batches padded on either side. Raises ConfigError
    for a score that is not linear in the last hidden state, RunError where the classifier scores
    the `probes` otherwise.
    """
    lm, weight_H, offset = _linear(reward, member)
    chosen = reward if member is None else _only(reward, member)
    found: list[float] = []

    def write(place: Path) -> None:
        tokenizer, pad = _tokenizer(lm, place)
        made = _classifier(lm, weight_H, len(tokenizer), pad, offset)
        tokenizer.save_pretrained(str(place))
        found.append(_gap(made, probes, chosen, offset, pad))
        made.to(getattr(torch, dtype)).save_pretrained(str(place))
        _check_written(made, place)
        _check_tokenizer(lm, place)

    write_atomically(folder, write)
    return ClassifierExport(folder, offset, found[0])


def _only(reward: RewardModel, member: int) -> RewardModel:
    return RewardModel([reward.members[member]], reward.centre_E[[member]], reward.scale)


def _linear(reward: RewardModel, member: int | None) -> tuple[CausalLM, Tensor, float]:
    """(trunk, w, offset): the score is w h + offset."""
    form = reward.form
    if form.kind == "categorical" or form.read != "mean" or form.steps != "end":
        raise ConfigError(
            "this reward model's score is not linear in its last hidden state (it reads "
            f"{form.kind} by {form.read}, steps by {form.steps}): a sequence classifier cannot say "
            "it",
            "train a reward model with a plain head, or load this one with accord",
        )
    if member is not None and not 0 <= member < reward.size:
        raise ConfigError(f"there is no member {member}", f"it has 0 to {reward.size - 1}")
    members = reward.members if member is None else [reward.members[member]]
    centres = reward.centre_E if member is None else reward.centre_E[[member]]
    if any(m.lm is not members[0].lm for m in members):
        raise ConfigError(
            f"the {reward.size} members have a trunk or an adapter each, a classifier has one",
            f"--member 0 (to {reward.size - 1}) exports one of them",
        )
    heads = [
        value_head(m.head, form, float(centre), reward.scale)
        for m, centre in zip(members, centres, strict=True)
    ]
    weight_H = torch.stack([head.weight.detach() for head in heads]).mean(0)
    offset = float(torch.stack([head.bias.detach() for head in heads]).mean())
    lm = members[0].lm
    return (lm if lm.adapter is None else merge_adapter(copy_causal_lm(lm))), weight_H, offset


def _tokenizer(lm: CausalLM, place: Path) -> tuple[Any, int]:
    """transformers' tokenizer that begins as ours does, and the id of a padding token that ends no
    text."""
    from transformers import AutoTokenizer

    write_tokenizer(lm.tokenizer, place)
    tokenizer: Any = AutoTokenizer.from_pretrained(str(place), trust_remote_code=False)
    ends = {*Encoder(lm.tokenizer).stop_ids, *generation_stops(lm.hf), tokenizer.eos_token_id}
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in ends:
        tokenizer.add_special_tokens({"pad_token": PAD})
    return tokenizer, int(tokenizer.pad_token_id)


def _classifier(lm: CausalLM, weight_H: Tensor, tokens: int, pad: int, offset: float) -> Any:
    from transformers import AutoModelForSequenceClassification

    hf = copy.deepcopy(in_transformers(lm).hf).cpu().float()
    config = copy.deepcopy(hf.config)
    config.num_labels = 1
    setattr(config, OFFSET, offset)
    config._attn_implementation = "eager"
    try:
        made: Any = AutoModelForSequenceClassification.from_config(
            config,
            dtype=torch.float32,  # not the config's, in which weights would be rounded
            trust_remote_code=False,
        )
    except ValueError as error:
        raise ConfigError(
            f"transformers has no sequence classifier of {config.model_type!r} models",
            "load the reward model with accord",
        ) from error
    state = {"score.weight": weight_H[None].cpu().float(), **hf.state_dict()}
    own = made.state_dict()
    if missing := sorted(set(own) - set(state)):
        raise ConfigError(
            f"transformers' classifier of {config.model_type!r} models is built otherwise (it has "
            f"{missing[0]})",
            "load the reward model with accord",
        )
    made.load_state_dict({name: state[name] for name in own})
    if tokens > made.get_input_embeddings().weight.shape[0]:
        made.resize_token_embeddings(tokens, mean_resizing=False)
    made.config.pad_token_id = pad
    return made.eval()


@precision.exact()
@torch.no_grad()
def _gap(
    made: Any, probes: Sequence[PromptGroup], reward: RewardModel, offset: float, pad: int
) -> float:
    """Of a batch padded on the right, and one on the left."""
    rows = [ids for _, ids in rows_of(probes)]
    width, expected = max(map(len, rows)) + 2, reward.score(probes).mean(0)
    worst = 0.0
    for side in ("right", "left"):
        spare = [[pad] * (width - len(ids)) for ids in rows]
        right = side == "right"
        ids_BT, mask_BT = (
            torch.tensor([own + more if right else more + own for own, more in pairs])
            for pairs in (
                list(zip(rows, spare, strict=True)),
                [([1] * len(ids), [0] * (width - len(ids))) for ids in rows],
            )
        )
        logits = made(input_ids=ids_BT, attention_mask=mask_BT).logits[:, 0].float()
        worst = max(worst, float((logits + offset - expected).abs().max()))
    if not worst <= PROBE_BOUND * max(1.0, float(expected.abs().max())):
        raise RunError(
            f"transformers' classifier scores the probes {worst:.3g} off the reward model",
            "its architecture is built otherwise there: load the reward model with accord",
        )
    return worst


def _check_written(made: Any, place: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    again: Any = AutoModelForSequenceClassification.from_pretrained(
        str(place), dtype=made.dtype, use_safetensors=True, trust_remote_code=False
    )
    one, two = made.state_dict(), again.state_dict()
    if one.keys() != two.keys() or not all(one[name].equal(two[name]) for name in one):
        raise RunError(f"what was written to {place.name} is read otherwise", "report this model")


def _check_tokenizer(lm: CausalLM, place: Path) -> None:
    """Plain text must begin for others as it does here; chats begin as their template says."""
    from transformers import AutoTokenizer

    again: Any = AutoTokenizer.from_pretrained(str(place), trust_remote_code=False)
    if lm.tokenizer.chat_template is not None:
        return
    ours, theirs = Encoder(lm.tokenizer).prompt(TEXT), again(TEXT).input_ids
    if ours != theirs:
        raise RunError(
            f"transformers' tokenizer reads {TEXT!r} as {theirs}, accord as {ours}",
            "this kind of tokenizer cannot be exported: load the reward model with accord",
        )
