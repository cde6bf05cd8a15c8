"""Golden equality with TRL's own trainers on the same tokens: loss and gradients in fp32."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import processors

from accord.learning import advantages, losses
from accord.learning.annotators import JudgementParameters
from accord.learning.on_policy import OnPolicyTrainer
from accord.learning.on_policy_batch import Experience
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.preference import Pair, PreferenceSettings, preference_step, reference_logprobs
from accord.learning.supervised import supervised_step
from accord.learning.unpaired import ThumbExample, UnpairedSettings, reference_point, unpaired_step
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze, load_causal_lm, save_causal_lm
from accord.text.packing import PromptGroup, pack
from tiny import tiny_llama

trl = pytest.importorskip("trl", reason="TRL is not installed")
datasets = pytest.importorskip("datasets", reason="datasets is not installed")
pytestmark = pytest.mark.slow

PAIRS = [("ab c", "de f", "ghi"), ("k", "lmno p", "q"), ("xyz ab", "cd", "efg hij")]


def arguments(kind: Any, folder: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(folder),
        report_to=[],
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        max_length=64,
        per_device_train_batch_size=len(PAIRS),
        learning_rate=0.0,
        max_steps=1,
        disable_tqdm=True,
        **more,
    )


def native(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )


def tokenizer(folder: Path) -> Any:
    """As the peer wants it: without the BOS that saved ones begin plain text with, since each text
    of a pair is tokenised by itself."""
    import transformers

    found = transformers.AutoTokenizer.from_pretrained(folder)
    found.backend_tokenizer.post_processor = processors.Sequence([])
    return found


def ids(model: CausalLM, text: str) -> list[int]:
    return model.tokenizer.encode(text, add_special_tokens=False)


def compare(ours: CausalLM, theirs: Any) -> None:
    for (name, p), q in zip(ours.hf.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(
            p.grad, q.grad, atol=1e-4, rtol=1e-3, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_norm", "ipo", "hinge", "robust"])
def test_dpo(tmp_path: Path, kind: Any) -> None:
    smoothing = 0.2 if kind == "robust" else 0.0
    policy_dir = save_causal_lm(tiny_llama(1), tmp_path / "policy")
    reference_dir = save_causal_lm(tiny_llama(2), tmp_path / "reference")
    rows = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in PAIRS]
    ours = load_causal_lm(str(policy_dir))
    trainer = trl.DPOTrainer(
        model=native(policy_dir),
        ref_model=native(reference_dir),
        processing_class=tokenizer(policy_dir),
        args=arguments(
            trl.DPOConfig, tmp_path, loss_type=[kind], beta=0.3, label_smoothing=smoothing
        ),
        train_dataset=datasets.Dataset.from_list(rows),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_loss.backward()
    pairs = [Pair(ids(ours, p), [*ids(ours, c), 1], [*ids(ours, r), 1]) for p, c, r in PAIRS]
    cached = reference_logprobs(ours, freeze(load_causal_lm(str(reference_dir))), pairs, 10_000)
    values, _ = preference_step(
        ours,
        pairs,
        cached,
        PreferenceSettings(loss=kind, beta=0.3, label_smoothing=smoothing, learning_rate=1e-5),
    )
    assert values["loss"] == pytest.approx(float(their_loss), abs=1e-5)
    compare(ours, trainer.model)


@pytest.mark.parametrize(
    ("margin", "centring"), [(None, None), ([0.5, 0.0, 1.5], None), ([0.5, 0.0, 1.5], 0.3)]
)
def test_reward(tmp_path: Path, margin: list[float] | None, centring: float | None) -> None:
    import transformers

    from accord.learning.judged_batch import JudgedBatch
    from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
    from accord.learning.reward import team_step
    from accord.learning.settings import RewardSettings
    from accord.learning.team import Team
    from accord.models.scalar import ScalarModel

    ours = ScalarModel.from_causal_lm(
        load_causal_lm(str(save_causal_lm(tiny_llama(1), tmp_path / "model"))), seed=3
    )
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", num_labels=1, dtype=torch.float32, attn_implementation="eager"
    )
    theirs.score.weight.data.copy_(ours.head.weight.data[None])
    theirs.config.pad_token_id = 2
    rows = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in PAIRS]
    rows = (
        [row | {"margin": m} for row, m in zip(rows, margin or [0.0] * 3, strict=True)]
        if margin
        else rows
    )
    trainer = trl.RewardTrainer(
        model=theirs,
        processing_class=tokenizer(tmp_path / "model"),
        train_dataset=datasets.Dataset.from_list(rows),
        args=arguments(trl.RewardConfig, tmp_path, center_rewards_coefficient=centring),
    )
    assert not trainer.model.model.config.attention_dropout
    batch = next(iter(trainer.get_train_dataloader()))
    assert ("margin" in batch) == (margin is not None)
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_loss.backward()
    groups = [
        JudgedGroup(
            PromptGroup(ids(ours.lm, p), [[*ids(ours.lm, c), 1], [*ids(ours.lm, r), 1]]),
            (
                Judgement((0, 1), None, margin=margin[i] if margin else 0.0),
            ),  # not side by side: no tie, no side bias
        )
        for i, (p, c, r) in enumerate(PAIRS)
    ]
    team = Team([ours], [JudgementParameters(AnnotatorEffects.none())])
    loss, _ = team_step(
        team, JudgedBatch.of(groups), RewardSettings(centring=centring or 0.0, learning_rate=3e-4)
    )
    found = {name: p.grad for name, p in ours.lm.hf.model.named_parameters()}
    for name, q in theirs.model.named_parameters():
        torch.testing.assert_close(
            found[name], q.grad, atol=1e-4, rtol=1e-3, msg=lambda m, name=name: f"{name}: {m}"
        )
    torch.testing.assert_close(
        ours.head.weight.grad, theirs.score.weight.grad[0], atol=1e-4, rtol=1e-3
    )
    if not centring:  # the loss we tell is the likelihood alone
        assert loss == pytest.approx(float(their_loss.detach()), abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_simpo(smoothing: float) -> None:
    from trl.experimental.cpo import CPOTrainer

    peer = SimpleNamespace(
        accelerator=SimpleNamespace(device="cpu"),
        loss_type="simpo",
        beta=2.0,
        simpo_gamma=0.7,
        label_smoothing=smoothing,
        alpha=0.0,
    )
    theirs, *_ = CPOTrainer.cpo_loss(peer, LOGPS[0] / LENGTHS[0], LOGPS[1] / LENGTHS[1])
    ours = losses.preference(numbers(), "simpo", 2.0, smoothing, gamma=0.7)
    torch.testing.assert_close(ours, theirs)


def test_orpo() -> None:
    from trl.experimental.orpo import ORPOTrainer

    peer = SimpleNamespace(accelerator=SimpleNamespace(device="cpu"), beta=0.1)
    theirs, *_ = ORPOTrainer.odds_ratio_loss(peer, LOGPS[0] / LENGTHS[0], LOGPS[1] / LENGTHS[1])
    torch.testing.assert_close(losses.preference(numbers(), "orpo", 0.1), -theirs)


LOGPS = (torch.tensor([-10.0, -8.0, -3.0]), torch.tensor([-9.0, -12.0, -7.0]))
LENGTHS = (torch.tensor([4.0, 2.0, 9.0]), torch.tensor([5.0, 8.0, 3.0]))


def numbers() -> losses.PairLogprobs:
    return losses.PairLogprobs(*LOGPS, torch.zeros(3), torch.zeros(3), *LENGTHS)


def test_kto(tmp_path: Path) -> None:
    policy_dir = save_causal_lm(tiny_llama(1), tmp_path / "policy")
    reference_dir = save_causal_lm(tiny_llama(2), tmp_path / "reference")
    rows = [{"prompt": p, "completion": c, "label": i != 1} for i, (p, c, _) in enumerate(PAIRS)]
    ours, reference = load_causal_lm(str(policy_dir)), freeze(load_causal_lm(str(reference_dir)))
    trainer = trl.KTOTrainer(
        model=native(policy_dir),
        ref_model=native(reference_dir),
        processing_class=tokenizer(policy_dir),
        args=arguments(trl.KTOConfig, tmp_path, beta=0.3, undesirable_weight=1.2),
        train_dataset=datasets.Dataset.from_list(rows),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_loss.backward()
    shuffled = [
        trainer.processing_class.decode(row[mask.bool()])
        for row, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    order = [
        next(i for i, (_, c, _) in enumerate(PAIRS) if text.startswith(c)) for text in shuffled
    ]
    thumbs = [
        ThumbExample(ids(ours, PAIRS[i][0]), [*ids(ours, PAIRS[i][1]), 1], i != 1) for i in order
    ]
    settings = UnpairedSettings(beta=0.3, undesirable_weight=1.2, learning_rate=5e-6)
    with torch.no_grad():
        cached = torch.cat(
            [pack([t.group]).sum_by_response(reference.logprobs(pack([t.group]))) for t in thumbs]
        )
    # TRL pairs prompts and responses by position in the data set, before shuffling: its reference
    # point is compared alone
    kl = torch.tensor(next(m["kl"][-1] for m in trainer._metrics.values() if "kl" in m))
    values, _ = unpaired_step(ours, thumbs, cached, kl, settings)
    assert values["loss"] == pytest.approx(float(their_loss), abs=1e-5)
    compare(ours, trainer.model)
    in_order = [ThumbExample(ids(ours, p), [*ids(ours, c), 1], True) for p, c, _ in PAIRS]
    assert float(reference_point(ours, reference, in_order, 10_000)) == pytest.approx(
        float(kl), abs=1e-4
    )


def test_sft(tmp_path: Path) -> None:
    folder = save_causal_lm(tiny_llama(1), tmp_path / "model")
    rows = [{"prompt": p, "completion": c} for p, c, _ in PAIRS]
    ours = load_causal_lm(str(folder))
    trainer = trl.SFTTrainer(
        model=native(folder),
        processing_class=tokenizer(folder),
        args=arguments(trl.SFTConfig, tmp_path),
        train_dataset=datasets.Dataset.from_list(rows),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_loss.backward()
    groups = [PromptGroup(ids(ours, p), [[*ids(ours, c), 1]]) for p, c, _ in PAIRS]
    loss, _ = supervised_step(ours, groups, 10_000)
    assert loss == pytest.approx(float(their_loss), abs=1e-5)
    compare(ours, trainer.model)


# --- on-policy ------------------------------------------------------------------------------------
COMPLETIONS = [["de f", "ghij k"], ["lm", "no pqr st"], ["c", "uvw"]]
SCORES = torch.tensor([1.0, 0.2, -0.5, 0.4, 0.0, 2.0])


def padded(rows: list[list[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids, mask = torch.full((len(rows), width), 2), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    return ids, mask


def on_policy(
    folder: Path, settings: OnPolicySettings
) -> tuple[OnPolicyTrainer, Experience, dict[str, torch.Tensor]]:
    """Our trainer, an experience made by another policy, and the same batch in TRL's shape."""
    policy, old, reference = (
        load_causal_lm(str(folder / n)) for n in ("policy", "old", "reference")
    )
    groups = [
        PromptGroup(ids(policy, p), [[*ids(policy, c), 1] for c in both])
        for (p, *_), both in zip(PAIRS, COMPLETIONS, strict=True)
    ]
    lengths = torch.tensor([len(r) for g in groups for r in g.responses])
    with torch.no_grad():
        old_S, ref_S = (m.logprobs(pack(groups)) for m in (old, reference))
    rewards_S = advantages.token_rewards(torch.zeros_like(old_S), SCORES, lengths, 0.0)
    advantages_S, returns_S = advantages.estimate(
        settings.estimator, rewards_S, torch.zeros_like(old_S), lengths, 2
    )
    experience = Experience(
        groups,
        lengths,
        old_S,
        ref_S,
        torch.zeros_like(old_S),
        advantages_S,
        returns_S,
        SCORES,
        SCORES[None],
    )
    prompt_ids, prompt_mask = padded(
        [list(g.prompt) for g in groups for _ in g.responses], left=True
    )
    completion_ids, completion_mask = padded(
        [list(r) for g in groups for r in g.responses], left=False
    )
    first = torch.cumsum(lengths, 0) - lengths
    batch = {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": advantages_S[first],
        "old_per_token_logps": advantages.pad_tokens(old_S, lengths)[0],
        "old_logps": pack(groups).sum_by_response(old_S),
        "ref_per_token_logps": advantages.pad_tokens(ref_S, lengths)[0],
        "num_items_in_batch": lengths.sum(),
    }
    trainer = OnPolicyTrainer(policy, reference, None, None, None, [[0]], settings)  # type: ignore[arg-type]
    return trainer, experience, batch


def compare_on_policy(
    folder: Path, ours: dict[str, Any], kind: Any, config: Any, **theirs: Any
) -> None:
    """Our trainer and TRL's, of this kind, on the same batch: one loss and its gradients."""
    save_three(folder)
    settings = OnPolicySettings(
        steps=1,
        prompts_per_step=3,
        samples_per_prompt=2,
        max_new_tokens=16,
        whiten_advantages=False,
        clip=0.2,
        learning_rate=1e-5,
        **ours,
    )
    trainer, experience, batch = on_policy(folder, settings)
    peer = kind(
        model=native(folder / "policy"),
        reward_funcs=lambda **_: [0.0],
        processing_class=tokenizer(folder / "policy"),
        args=config(
            output_dir=str(folder),
            report_to=[],
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            beta=settings.kl_coefficient,
            max_completion_length=16,
            num_generations=2,
            per_device_train_batch_size=6,
            epsilon=0.2,
            **theirs,
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": p} for p, *_ in PAIRS]),
    )
    peer.current_gradient_accumulation_steps = 1
    peer.model.train()
    their_loss = peer._compute_loss(peer.model, batch)
    their_loss.backward()
    logp_S = trainer.policy.logprobs(pack(experience.groups))
    our_loss = trainer.policy_loss(logp_S, experience, logp_S.numel(), 6)
    our_loss.backward()
    assert float(our_loss.detach()) == pytest.approx(float(their_loss.detach()), abs=1e-5)
    compare(trainer.policy, peer.model)


def save_three(folder: Path) -> None:
    for seed, name in enumerate(("policy", "old", "reference"), 1):
        model = tiny_llama(1)
        other = tiny_llama(seed + 10)
        with torch.no_grad():  # near each other, so that some ratios are clipped and some are not
            for p, q in zip(model.hf.parameters(), other.hf.parameters(), strict=True):
                p.add_(0.1 * q)
        save_causal_lm(model, folder / name)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"estimator": "grpo", "aggregation": "sequence"}, {"loss_type": "grpo"}),
        (
            {"estimator": "grpo", "aggregation": "sequence", "kl_unbiased": False},
            {"loss_type": "grpo", "use_bias_correction_kl": False},
        ),
        ({"estimator": "dr_grpo", "aggregation": "constant"}, {"loss_type": "dr_grpo"}),
        ({"estimator": "grpo", "aggregation": "token", "clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ({"estimator": "grpo", "aggregation": "sequence", "ratio": "sequence", "kl_unbiased": False}, {"loss_type": "grpo", "importance_sampling_level": "sequence", "use_bias_correction_kl": False}),
    ],
    ids=["grpo", "grpo as published", "dr_grpo", "dapo", "gspo"],
)  # fmt: skip
def test_grpo_and_its_corrections(
    tmp_path: Path, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    ours = {"kl_in": "loss", "kl_coefficient": 0.07, **ours}
    compare_on_policy(tmp_path, ours, trl.GRPOTrainer, trl.GRPOConfig, **theirs)


def test_rloo(tmp_path: Path) -> None:
    ours: dict[str, Any] = {"estimator": "rloo", "ratio": "response", "aggregation": "sequence"}
    compare_on_policy(tmp_path, {**ours, "kl_coefficient": 0.0}, trl.RLOOTrainer, trl.RLOOConfig)
