"""What is saved is what was trained: every kind of model, adapter and type of weights."""

from __future__ import annotations

import ast
import json
import os
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from test_models_packed import GROUPS, SIZES

from accord.errors import ConfigError, RunError
from accord.models import loading, reward_model
from accord.models.adapters import CONFIG, base_model_of
from accord.models.causal_lm import CausalLM
from accord.models.loading import (
    Dtype,
    LoraSettings,
    add_lora,
    load_causal_lm,
    merge_adapter,
    save_causal_lm,
)
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.text.packing import PromptGroup, pack
from tiny import ByteTokenizer, save_tiny, tiny_llama

TARGETS: dict[str, str | tuple[str, ...]] = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
    "embeddings": ("embed_tokens",),
    "head": ("lm_head",),
    "both ends": ("embed_tokens", "lm_head"),
    "head and attention": ("q_proj", "lm_head"),
    "all-linear": "all-linear",
}
BITS = {"float32": 1e-5, "float16": 2e-2, "bfloat16": 2e-1}


def base(folder: Path, kind: str, tied: bool) -> CausalLM:
    """A model of random weights, as a run loads it: in our own layers (llama) or in
    transformers'."""
    made = {"llama": transformers.LlamaConfig, "granite": transformers.GraniteConfig}[kind]
    config = made(**SIZES, num_key_value_heads=2, tie_word_embeddings=tied, initializer_range=0.1)
    torch.manual_seed(0)
    hf = transformers.AutoModelForCausalLM.from_config(config)
    return load_causal_lm(str(save_causal_lm(CausalLM(hf, ByteTokenizer()), folder / "base")))


def trained(model: CausalLM, targets: str | tuple[str, ...]) -> CausalLM:
    """With an adapter that has learned something at all its places."""
    policy = add_lora(model, LoraSettings(rank=4, alpha=8.0, targets=targets), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return policy


@torch.no_grad()
def says(model: CausalLM) -> torch.Tensor:
    """Log-probabilities of a batch."""
    return model.logprobs(pack(GROUPS))


@pytest.mark.parametrize(
    ("kind", "tied", "targets"),
    [
        *product(["llama"], (True, False), TARGETS),
        *product(["granite"], (True, False), ("both ends", "all-linear")),
    ],
)
def test_what_is_saved_is_what_was_trained(
    kind: str, tied: bool, targets: str, tmp_path: Path
) -> None:
    policy = trained(base(tmp_path, kind, tied), TARGETS[targets])
    expected, before = says(policy), says(load_causal_lm(str(tmp_path / "base")))
    assert (expected - before).abs().max() > 1e-2
    again = load_causal_lm(str(save_causal_lm(policy, tmp_path / "adapter")))
    torch.testing.assert_close(says(again), expected, atol=1e-5, rtol=1e-5)
    merged = merge_adapter(policy)
    torch.testing.assert_close(says(merged), expected, atol=1e-5, rtol=1e-5)
    for dtype in get_args(Dtype):
        folder = save_causal_lm(merged, tmp_path / dtype, dtype)
        torch.testing.assert_close(
            says(load_causal_lm(str(folder))), expected, atol=BITS[dtype], rtol=0
        )
        if dtype == "float16":
            continue
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
        assert theirs.dtype == getattr(torch, dtype)
        torch.testing.assert_close(
            says(CausalLM(theirs.float(), ByteTokenizer())), expected, atol=BITS[dtype], rtol=0
        )
        assert says(merged).equal(says(merge_adapter(merged)))  # saving changed nothing


@pytest.mark.parametrize("adapter", [False, True])
def test_nothing_is_kept_of_a_model_that_was_saved_otherwise(
    adapter: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that writes other weights than it was given."""
    model = base(tmp_path, "llama", tied=True)
    policy = trained(model, ("q_proj",)) if adapter else model
    write = loading.write_probe if adapter else loading._write

    def damaged(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        (file,) = Path(str(given[1])).glob("*model.safetensors")
        weights = load_file(file)
        name = sorted(weights)[-1]
        weights[name] = weights[name] + 0.5
        save_file(weights, file, metadata={"format": "pt"})

    monkeypatch.setattr(loading, "write_probe" if adapter else "_write", damaged)
    with pytest.raises(RunError, match="what was saved is not the model that was trained"):
        save_causal_lm(policy, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_lost_tokenizer_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama()
    monkeypatch.setattr(
        model.tokenizer, "save_pretrained", lambda f: ByteTokenizer(20).save_pretrained(f)
    )
    with pytest.raises(RunError, match="tokenizer reads"):
        save_causal_lm(model, tmp_path / "saved")


def test_a_reward_model_is_scored_again_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = RewardModel.untrained([ScalarModel.from_causal_lm(tiny_llama(), seed=1)])
    wrong = reward_model.save_members

    def lose_the_head(members: list[ScalarModel], folder: Path) -> object:
        with torch.no_grad():
            members[0].head.weight.add_(1.0)
            kind = wrong(members, folder)
            members[0].head.weight.sub_(1.0)
        return kind

    monkeypatch.setattr(reward_model, "save_members", lose_the_head)
    with pytest.raises(RunError, match="scores its own probes"):
        model.save(tmp_path / "rm", [PromptGroup([5, 6], [[7, 8]])])
    assert not (tmp_path / "rm").exists()


def test_models_are_written_in_one_place_that_reads_them_again() -> None:
    """Every trainer saves through `save_causal_lm` or `RewardModel.save`."""
    writers = set()
    for file in (Path(__file__).parents[2] / "src/accord").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "save_pretrained":
                writers.add((file.name, ast.unparse(node.func.value)))  # type: ignore[attr-defined]
    assert writers == {
        ("loading.py", "model.adapter"), ("loading.py", "hf"), ("tokenizer.py", "tokenizer"),
        ("gguf.py", "model"), ("gguf.py", "tokenizer"),
        ("classifier.py", "made.to(getattr(torch, dtype))"), ("classifier.py", "tokenizer"),
    }  # fmt: skip


# --- an adapter's base ----------------------------------------------------------------------------
def test_an_adapter_loads_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its base was named by a relative path that looks like a model of the Hub."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    save_tiny(Path("models/base"))
    policy = trained(load_causal_lm("models/base"), ("q_proj",))
    save_causal_lm(policy, Path("adapter"))
    expected = says(policy)
    monkeypatch.chdir("/")
    again = load_causal_lm(str(tmp_path / "there/adapter"))
    torch.testing.assert_close(says(again), expected)
    save_causal_lm(again, tmp_path / "again")
    for folder in (tmp_path / "again", tmp_path / "there/adapter"):
        assert base_model_of(folder) == str(tmp_path / "there/models/base")
        assert os.path.isabs(_base_as_written(folder))


def _base_as_written(folder: Path) -> str:
    return str(json.loads((folder / CONFIG).read_text())["base_model_name_or_path"])


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("owner/name", "owner/name"),
        ("gpt2", "gpt2"),
        ("beside", "{here}/beside"),
        ("../adapter/beside", "{here}/beside"),
        ("runs/a/model", None),
        ("./base", None),
        ("/nowhere/base", None),
        ("", None),
        (None, None),
    ],
)
def test_how_the_base_of_an_adapter_is_found(
    named: str | None, found: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    (folder / "beside").mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps({"base_model_name_or_path": named}))
    if found is not None:
        assert base_model_of(folder) == found.format(here=folder)
        return
    with pytest.raises(ConfigError, match=r"is not there|names no base") as caught:
        base_model_of(folder)
    assert "base_model_name_or_path" in str(caught.value.fix)


def test_one_weight_too_many_is_named(tmp_path: Path) -> None:
    """A single weight without counterpart is an error about this weight."""
    save_tiny(tmp_path / "base")
    save_causal_lm(trained(load_causal_lm(str(tmp_path / "base")), ("q_proj",)), tmp_path / "ad")
    file = tmp_path / "ad" / "adapter_model.safetensors"
    weights = load_file(file)
    spare = {"base_model.model.spare.lora_A.weight": torch.zeros(4, 4)}
    save_file(weights | spare, file, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"1 weights have no counterpart, e\.g\. .*spare"):
        load_causal_lm(str(tmp_path / "ad"))
