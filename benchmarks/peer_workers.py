"""One side of a comparison: trains an epoch over the rows whenever a line arrives on stdin."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.workloads import Row

LEARNING_RATE = 1e-5


def work(options: argparse.Namespace) -> None:
    """Prepare the side, then one epoch per line until "stop"."""
    from accord.runs import environment

    environment.prepare(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    epoch = _ours(options) if options.side == "ours" else _trl(options)
    for line in sys.stdin:
        if line.strip() == "stop":
            return
        before = time.process_time()
        loss, tokens, gflop = epoch()
        seconds = time.process_time() - before
        turn = {
            "loss": round(loss, 5), "tokens": tokens, "cpu_seconds": seconds, "peak_mib": environment.peak_mib(),
            "share_of_peak": gflop / seconds / _peak(),
        }  # fmt: skip
        print(json.dumps(turn), flush=True)


_measured: list[float] = []


def _peak() -> float:
    if not _measured:
        from accord.models.tuning import product_gflops

        _measured.append(product_gflops())
    return _measured[0]


Epoch = Callable[[], tuple[float, int, float]]
"""Trains once over the rows; returns (loss of the first step, tokens of the data, GFLOP of its matrix products)."""


def _ours(options: argparse.Namespace) -> Epoch:
    from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
    from accord.learning.optimizer import Optimizer, OptimizerSettings
    from accord.learning.preference import Pair, PreferenceSettings, preference_step, reference_logprobs
    from accord.learning.reward import RewardSettings, reward_step
    from accord.learning.supervised import supervised_step
    from accord.models.loading import LoraSettings, add_lora, freeze, load_causal_lm
    from accord.models.scalar import ScalarModel
    from accord.models.tuning import tune
    from accord.text.packing import Group
    from benchmarks.workloads import make_rows, tokens_of

    tune(options.threads)
    model = load_causal_lm(options.model)
    rows = make_rows(options.rows, model.vocab_size, int(model.tokenizer.eos_token_id or 0))
    tokens, budget = tokens_of(rows, options.trainer), 2048
    gflop = _gflop(rows, options.trainer, sum(p.numel() for p in model.hf.parameters()))
    constant = OptimizerSettings(LEARNING_RATE, warmup=0.0, schedule="constant", max_grad_norm=1.0)
    cuts = range(0, len(rows), options.batch)
    if options.trainer == "sft":
        optimizer = Optimizer(model.parameters(), constant, 10**6)
        groups = [Group(r.prompt, [r.chosen]) for r in rows]

        def step(at: int) -> float:
            return supervised_step(model, groups[at : at + options.batch], budget)[0]

    elif options.trainer == "reward":
        member = ScalarModel.from_causal_lm(model, 0)
        optimizer = Optimizer(member.parameters(), constant, 10**6)
        judged = [JudgedGroup(Group(r.prompt, [r.chosen, r.rejected]), (Judgement((0, 1), None),)) for r in rows]
        settings, effects = RewardSettings(micro_batch_tokens=budget), AnnotatorEffects.none()

        def step(at: int) -> float:
            return reward_step(member, judged[at : at + options.batch], settings, effects)[0]

    else:
        lora = options.trainer == "dpo-lora"
        policy = add_lora(model, LoraSettings(16, 32.0), 0) if lora else model
        reference = None if lora else freeze(load_causal_lm(options.model, verify=False))
        optimizer = Optimizer(policy.parameters(), constant, 10**6)
        pairs = [Pair(r.prompt, r.chosen, r.rejected) for r in rows]
        every_step = options.trainer == "dpo"
        cached = None if every_step else reference_logprobs(policy, reference, pairs, budget)
        preference = PreferenceSettings(micro_batch_tokens=budget)

        def step(at: int) -> float:
            part = pairs[at : at + options.batch]
            known = (
                reference_logprobs(policy, reference, part, budget) if cached is None else cached[at : at + len(part)]
            )
            return preference_step(policy, part, known, preference)[0]["loss"]

    def epoch() -> tuple[float, int, float]:
        losses = []
        for at in cuts:
            losses.append(step(at))
            optimizer.step("benchmark")
        return losses[0], tokens, gflop

    return epoch


def _gflop(rows: Sequence[Row], trainer: str, parameters: int) -> float:
    """GFLOP of the matrix products of one epoch: shared prompts once, adapters without weight gradients."""
    tokens = sum(len(r.prompt) + len(r.chosen) + (len(r.rejected) if trainer != "sft" else 0) for r in rows)
    passes = {"dpo": 8, "dpo-lora": 4}.get(trainer, 6)
    return passes * parameters * tokens / 1e9


def _trl(options: argparse.Namespace) -> Epoch:
    import datasets
    import torch
    import transformers
    import trl
    from torch.utils.data import SequentialSampler

    from benchmarks.workloads import make_rows, tokens_of

    datasets.disable_progress_bars()
    best, trainer_name = options.side == "best", options.trainer
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    rows = make_rows(options.rows, len(tokenizer), tokenizer.eos_token_id)
    kind = "dpo" if trainer_name.startswith("dpo") else trainer_name
    config, trainer_class = {
        "sft": (trl.SFTConfig, trl.SFTTrainer), "reward": (trl.RewardConfig, trl.RewardTrainer),
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
    }[kind]  # fmt: skip
    more: dict[str, Any] = {}
    if best:
        more["gradient_checkpointing"] = False
        if kind == "sft":  # its length grouping needs a column that only SFT has
            more["train_sampling_strategy"] = "group_by_length"
    if trainer_name in ("dpo-cached", "dpo-lora") and best:
        more["precompute_ref_log_probs"] = True
    arguments = config(
        output_dir=tempfile.mkdtemp(), report_to=[], bf16=False, use_cpu=True, disable_tqdm=True, save_strategy="no",
        per_device_train_batch_size=options.batch, learning_rate=LEARNING_RATE, lr_scheduler_type="constant",
        num_train_epochs=10**6, max_length=1024, logging_strategy="no", dataloader_pin_memory=False, **more,
    )  # fmt: skip
    if kind == "sft":
        data = [
            {"input_ids": r.prompt + r.chosen, "completion_mask": [0] * len(r.prompt) + [1] * len(r.chosen)}
            for r in rows
        ]
    elif kind == "reward":
        data = [{"chosen_ids": r.prompt + r.chosen, "rejected_ids": r.prompt + r.rejected} for r in rows]
    else:
        data = [{"prompt_ids": r.prompt, "chosen_ids": r.chosen, "rejected_ids": r.rejected} for r in rows]
    loader = transformers.AutoModelForSequenceClassification if kind == "reward" else transformers.AutoModelForCausalLM
    labels = {"num_labels": 1} if kind == "reward" else {}
    model = loader.from_pretrained(options.model, dtype=torch.float32, **labels)
    extra: dict[str, Any] = {}
    if trainer_name == "dpo-lora":
        from peft import LoraConfig

        extra["peft_config"] = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")

    class InOrder(trainer_class):  # type: ignore[misc, valid-type]
        def _get_train_sampler(self, *given: Any, **named: Any) -> Any:
            return super()._get_train_sampler(*given, **named) if best else SequentialSampler(self.train_dataset)

        def _prepare_dataset(self, dataset: Any, *given: Any, **named: Any) -> Any:
            return dataset if kind == "dpo" else super()._prepare_dataset(dataset, *given, **named)

    trainer = InOrder(
        model=model, args=arguments, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(data), **extra
    )
    tokens = tokens_of(rows, trainer_name)
    generator = _epochs(trainer)

    def epoch() -> tuple[float, int, float]:
        return next(generator), tokens, 0.0

    return epoch


def _epochs(trainer: Any) -> Any:
    """Yields the first step's loss after each epoch of `trainer.train()`, which runs in a thread that waits its turn."""
    import queue
    import threading

    import transformers

    go: queue.Queue[None] = queue.Queue()
    done: queue.Queue[float | BaseException] = queue.Queue()
    losses: list[float] = []
    compute = trainer.compute_loss

    def compute_loss(*given: Any, **named: Any) -> Any:
        result = compute(*given, **named)
        losses.append(float((result[0] if isinstance(result, tuple) else result).detach()))
        return result

    trainer.compute_loss = compute_loss

    class Turns(transformers.TrainerCallback):
        def on_epoch_begin(self, *given: Any, **named: Any) -> None:
            go.get()
            losses.clear()

        def on_epoch_end(self, *given: Any, **named: Any) -> None:
            done.put(losses[0])

    trainer.add_callback(Turns())

    def train() -> None:
        try:
            trainer.train()
        except BaseException as error:
            done.put(error)

    threading.Thread(target=train, daemon=True).start()
    while True:
        go.put(None)
        result = done.get()
        if isinstance(result, BaseException):
            raise result
        yield result
