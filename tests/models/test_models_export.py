"""Models for other programs: sequence classifiers score as the reward models do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_models_saving import trained

from accord.errors import ConfigError, RunError
from accord.models import classifier
from accord.models.causal_lm import CausalLM
from accord.models.classifier import OFFSET, PAD, export_classifier
from accord.models.ensembles import build_members
from accord.models.heads import HeadForm
from accord.models.loading import (
    LoraSettings,
    load_causal_lm,
    locate_model,
    merge_adapter,
    save_causal_lm,
)
from accord.models.probe import packed_logprobs
from accord.models.reward_model import RewardModel
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup
from tiny import ByteTokenizer, tiny_llama

GROUPS = [PromptGroup([5, 6, 7], [[8, 9, 10, 11], [12]]), PromptGroup([20], [[21] * 9])]
# --- classifiers ----------------------------------------------------------------------------------
FORMS = {
    "point": HeadForm(),
    "objectives": HeadForm(objectives=(("helpful", 0.7), ("terse", -0.3))),
    "mean": HeadForm("mean_variance"),
}


def reward_model(trunk: Any, form: HeadForm, lm: CausalLM, members: int = 2) -> RewardModel:
    """Random, centred and scaled."""
    lora = LoraSettings(4) if trunk in ("adapters", "lora") else None
    kind = "own" if trunk == "lora" else trunk
    built = build_members(lm, members, 0, kind, lora, form)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for member in built:
            for parameter in member.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return RewardModel(built, torch.tensor([0.5, -0.25])[:members], 1.7)


@torch.no_grad()
def by_transformers(folder: Path, groups: list[PromptGroup], side: str) -> torch.Tensor:
    """Scores of a padded batch, by nothing but transformers."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side=side)
    rows = [{"input_ids": [*g.prompt, *r]} for g in groups for r in g.responses]
    batch = tokenizer.pad(rows, return_tensors="pt")
    assert model.config.num_labels == 1
    offset: float = getattr(model.config, OFFSET)
    return model(**batch).logits[:, 0].float() + offset


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("trunk", ["shared", "own", "adapters", "lora"])
def test_transformers_scores_as_accord_does(form: str, trunk: str, tmp_path: Path) -> None:
    base = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "base")))
    reward = reward_model(trunk, FORMS[form], base)
    member = None if trunk == "shared" else 1
    told = export_classifier(reward, GROUPS, tmp_path / "out", member=member)
    scores = reward.score(GROUPS)
    expected = scores.mean(0) if member is None else scores[member]
    assert told.difference < 1e-4
    for side in ("right", "left"):
        found = by_transformers(tmp_path / "out", GROUPS, side)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
def test_weights_are_not_rounded_to_the_type_that_the_base_was_stored_in(
    stored: Any, tmp_path: Path
) -> None:
    base = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "base", stored)))
    reward = reward_model("shared", HeadForm(), base)
    told = export_classifier(reward, GROUPS, tmp_path / "out")
    assert told.difference < 1e-5
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    weights = theirs.model.state_dict()
    for name, weight in reward.members[0].lm.hf.state_dict().items():
        assert weights.get(name.removeprefix("model."), weight).equal(weight), name


def test_plain_text_begins_for_transformers_as_for_accord(tmp_path: Path) -> None:
    """The packaged model: a text with its response and stop token is scored alike by both."""
    reward = reward_model("shared", HeadForm(), load_causal_lm("accord:nano-base"))
    encoder = Encoder(reward.members[0].lm.tokenizer)
    example = encoder.example("A film about bees.\n", "It was lovely, and short.")
    export_classifier(reward, [example.group], tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    found = tokenizer("A film about bees.\nIt was lovely, and short.<eos>").input_ids
    assert found == [*example.prompt_ids, *example.response_ids]
    packaged = transformers.AutoTokenizer.from_pretrained(locate_model("accord:nano-base"))
    assert packaged("It was").input_ids == encoder.prompt("It was")


def test_padding_is_no_token_that_ends_a_text(tmp_path: Path) -> None:
    """With pad = eos transformers reads the score before EOS."""
    lm = tiny_llama()
    lm.tokenizer.pad_token = lm.tokenizer.eos_token
    reward = reward_model("shared", HeadForm(), lm)
    groups = [PromptGroup([5, 6], [[7, 8, 1], [9, 1]])]
    export_classifier(reward, groups, tmp_path / "out", "bfloat16")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert tokenizer.pad_token == PAD
    assert tokenizer.pad_token_id == config["pad_token_id"] == 64
    assert config["dtype"] == "bfloat16"
    found = by_transformers(tmp_path / "out", groups, "right")
    torch.testing.assert_close(found, reward.score(groups).mean(0), atol=0.1, rtol=0.1)


def test_scores_that_no_classifier_can_give_are_refused(tmp_path: Path) -> None:
    lm = tiny_llama()
    for form in (
        HeadForm("categorical"),
        HeadForm("mean_variance", read="quantile", risk=0.1),
        replace(HeadForm(), steps="min"),
    ):
        with pytest.raises(ConfigError, match="not linear"):
            export_classifier(reward_model("shared", form, lm), GROUPS, tmp_path / "out")
    own = reward_model("own", HeadForm(), lm)
    with pytest.raises(ConfigError, match="trunk or an adapter each") as caught:
        export_classifier(own, GROUPS, tmp_path / "out")
    assert "--member" in str(caught.value.fix)
    with pytest.raises(ConfigError, match="no member 2"):
        export_classifier(own, GROUPS, tmp_path / "out", member=2)
    assert not list(tmp_path.iterdir())


def test_a_classifier_that_scores_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = reward_model("shared", HeadForm(), tiny_llama())
    linear = classifier._linear
    monkeypatch.setattr(
        classifier, "_linear", lambda *given: (linear(*given)[0], linear(*given)[1] * 2, 0.0)
    )
    with pytest.raises(RunError, match="off the reward model"):
        export_classifier(reward, GROUPS, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_exported_from_an_adapter_it_is_the_merged_model(tmp_path: Path) -> None:
    base = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "base")))
    policy = trained(base, "all-linear")
    expected = packed_logprobs(policy, GROUPS)
    folder = save_causal_lm(merge_adapter(policy), tmp_path / "merged", "bfloat16")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert theirs.dtype == torch.bfloat16
    found = packed_logprobs(CausalLM(theirs.float(), ByteTokenizer()), GROUPS)
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0.1)
