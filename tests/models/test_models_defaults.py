"""How members share their weights, what is taken where nothing is said, and the machine."""

from __future__ import annotations

from types import SimpleNamespace as Of
from typing import Any

import pytest
import torch

from accord.models import ensembles, tuning
from accord.models.adapters import _other_base
from accord.models.loading import LoraSettings
from accord.models.reward_model import RewardModel


def trunk(weight: object) -> Any:
    """A language model with these input embeddings."""
    return Of(hf=Of(get_input_embeddings=lambda: Of(weight=weight)))


def test_the_kind_of_trunk_is_seen_from_what_members_share() -> None:
    one, base = trunk(object()), object()
    adapters, own = [trunk(base), trunk(base)], [trunk(object()), trunk(object())]
    for models, kind in (
        ([one], "own"),
        ([one, one], "shared"),
        ([one, one, one], "shared"),
        (adapters, "adapters"),
        (own, "own"),
        ([one, one, own[0]], "own"),
        ([*adapters, own[0]], "own"),
    ):
        assert ensembles.trunk_kind([Of(lm=model) for model in models]) == kind  # type: ignore[misc]
    assert ensembles._folders("shared", 3) == ["trunk"]
    assert ensembles._folders("own", 2) == ["member-0", "member-1"]


def test_a_machine_that_says_nothing_of_itself_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    told = tmp_path / "cpuinfo"
    real = open
    monkeypatch.setattr("builtins.open", lambda *_, **__: real(told))
    assert tuning._intel()  # no such file
    told.write_text("vendor_id : GenuineIntel\n", "utf-8")
    assert tuning._intel()
    told.write_text("vendor_id : AuthenticAMD\n", "utf-8")
    assert not tuning._intel()


def test_another_base_is_said_with_where_to_name_the_right_one(tmp_path: Any) -> None:
    error = _other_base(tmp_path, "there/base", "the vocabularies differ")
    assert error.message.endswith(
        "not trained on its base model there/base: the vocabularies differ"
    )
    assert error.fix is not None
    assert error.fix.endswith("adapter_config.json")


@pytest.mark.parametrize(
    ("before", "within"), [("bf16", "ieee"), ("none", "none"), ("ieee", "ieee")]
)
def test_products_go_to_mkl_only_where_onednn_would_shorten_them(before: str, within: str) -> None:
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    kept = matmul.fp32_precision
    try:
        matmul.fp32_precision = before
        with tuning.mkl_matmul():
            assert matmul.fp32_precision == within
        assert matmul.fp32_precision == before
    finally:
        matmul.fp32_precision = kept


def test_what_is_not_said_of_an_adapter_or_a_reward_model() -> None:
    lora = LoraSettings()
    assert (lora.rank, lora.alpha / lora.rank, lora.targets) == (16, 2.0, "all-linear")
    model = RewardModel.untrained([Of(), Of()])  # type: ignore[list-item]
    assert model.centre_E.tolist() == [0.0, 0.0]
    assert (model.scale, model.temperature, model.notes, model.size) == (1.0, 1.0, {}, 2)
