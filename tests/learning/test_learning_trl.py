"""Golden equality with TRL's own trainers on the same tokens: loss and gradients in fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from accord.learning.preference import Pair, PreferenceSettings, preference_step, reference_logprobs
from accord.learning.supervised import supervised_step
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze, load_causal_lm, save_causal_lm
from accord.text.packing import Group
from tiny import tiny_llama

trl = pytest.importorskip("trl", reason="TRL is not installed")
datasets = pytest.importorskip("datasets", reason="datasets is not installed")
pytestmark = pytest.mark.slow

PAIRS = [("ab c", "de f", "ghi"), ("k", "lmno p", "q"), ("xyz ab", "cd", "efg hij")]


def arguments(kind: Any, folder: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(folder), report_to=[], bf16=False, use_cpu=True, gradient_checkpointing=False, max_length=64,
        per_device_train_batch_size=len(PAIRS), learning_rate=0.0, max_steps=1, disable_tqdm=True, **more,
    )  # fmt: skip


def native(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def ids(model: CausalLM, text: str) -> list[int]:
    return model.tokenizer.encode(text, add_special_tokens=False)


def compare(ours: CausalLM, theirs: Any) -> None:
    for (name, p), q in zip(ours.hf.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-4, rtol=1e-3, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("kind", ["sigmoid", "hinge"])  # TRL's IPO averages over tokens, the paper's does not
def test_dpo(tmp_path: Path, kind: str) -> None:
    policy_dir = save_causal_lm(tiny_llama(1), tmp_path / "policy")
    reference_dir = save_causal_lm(tiny_llama(2), tmp_path / "reference")
    rows = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in PAIRS]
    ours = load_causal_lm(str(policy_dir))
    trainer = trl.DPOTrainer(
        model=native(policy_dir), ref_model=native(reference_dir), processing_class=ours.tokenizer,
        args=arguments(trl.DPOConfig, tmp_path, loss_type=[kind], beta=0.3), train_dataset=datasets.Dataset.from_list(rows),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_loss.backward()
    pairs = [Pair(ids(ours, p), [*ids(ours, c), 1], [*ids(ours, r), 1]) for p, c, r in PAIRS]
    cached = reference_logprobs(ours, freeze(load_causal_lm(str(reference_dir))), pairs, 10_000)
    values, _ = preference_step(ours, pairs, cached, PreferenceSettings(loss=kind, beta=0.3))
    assert values["loss"] == pytest.approx(float(their_loss), abs=1e-5)
    compare(ours, trainer.model)


def test_sft(tmp_path: Path) -> None:
    folder = save_causal_lm(tiny_llama(1), tmp_path / "model")
    rows = [{"prompt": p, "completion": c} for p, c, _ in PAIRS]
    ours = load_causal_lm(str(folder))
    trainer = trl.SFTTrainer(
        model=native(folder), processing_class=ours.tokenizer, args=arguments(trl.SFTConfig, tmp_path),
        train_dataset=datasets.Dataset.from_list(rows),
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_loss.backward()
    groups = [Group(ids(ours, p), [[*ids(ours, c), 1]]) for p, c, _ in PAIRS]
    loss, _ = supervised_step(ours, groups, 10_000)
    assert loss == pytest.approx(float(their_loss), abs=1e-5)
    compare(ours, trainer.model)
