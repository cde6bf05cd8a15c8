"""The peer's side of a comparison: TRL's trainers on token ids, and transformers' generate."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks.peers import JUDGES
from benchmarks.workloads import (
    ANSWERS,
    Row,
    Turn,
    forward_gflop,
    judge_questions,
    make_rows,
    score,
    tokens_of,
    vocabulary_of,
)

RATE = 1e-5
ONLINE = ("grpo", "rloo", "online-dpo")


def epoch_of(options: argparse.Namespace) -> Callable[[], Turn]:
    """Everything ready for the trainer's first step."""
    tokenizer = _tokenizer(options.model)
    rows = make_rows(options.rows, vocabulary_of(options.model), tokenizer.eos_token_id)
    if options.trainer == "sample":
        return _generate(options, tokenizer, rows)
    if options.trainer in JUDGES:
        return _judge(options, rows)
    make = _online if options.trainer in ONLINE else _fixed
    trainer, counts = make(options, tokenizer, rows)
    generator = _epochs(trainer)

    def epoch() -> Turn:
        counts.clear()
        loss = next(generator)
        if options.trainer in ONLINE:
            return Turn(sum(tokens for tokens, _ in counts), sum(sampled for _, sampled in counts))
        return Turn(tokens_of(rows, options.trainer), loss=loss)

    return epoch


def _tokenizer(model: str) -> Any:
    """The model's tokenizer, which takes "5 7 9" for the token ids 5, 7, 9 (so both sides have the
    same prompts)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)

    class Ids(type(tokenizer)):  # type: ignore[misc]
        def __call__(self, text: Any, return_tensors: str | None = None, **more: Any) -> Any:
            ids = {"input_ids": [[int(word) for word in one.split()] for one in text]}
            if return_tensors is None:
                return ids
            return self.pad(
                ids, padding=True, padding_side=more["padding_side"], return_tensors=return_tensors
            )

    tokenizer.__class__ = Ids
    return tokenizer


def _text(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(),
        "report_to": [],
        "bf16": False,
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "per_device_train_batch_size": options.batch,
        "lr_scheduler_type": "constant",
        "num_train_epochs": 10**6,
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
    }


Counts = list[tuple[int, int]]
"""(real tokens, sampled tokens) per generation."""


def _fixed(options: argparse.Namespace, tokenizer: Any, rows: list[Row]) -> tuple[Any, Counts]:
    """SFT, reward and DPO trainers on the rows."""
    import datasets
    import trl
    from torch.utils.data import SequentialSampler

    datasets.disable_progress_bars()
    best, name = options.side == "best", options.trainer.replace("import", "sft")
    kind = "dpo" if name.startswith("dpo") else name
    config, trainer_class = {
        "sft": (trl.SFTConfig, trl.SFTTrainer),
        "reward": (trl.RewardConfig, trl.RewardTrainer),
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
    }[kind]
    more: dict[str, Any] = {"gradient_checkpointing": False} if best else {}
    if kind == "sft":
        more["completion_only_loss"] = (
            True  # as ours; with token ids at hand TRL would train on the prompts too
        )
        if best:  # length grouping needs a column that only SFT has
            more["train_sampling_strategy"] = "group_by_length"
    if best and name in ("dpo-cached", "dpo-lora"):
        more["precompute_ref_log_probs"] = True
    if kind == "sft":
        data = [
            {
                "input_ids": r.prompt + r.chosen,
                "completion_mask": [0] * len(r.prompt) + [1] * len(r.chosen),
            }
            for r in rows
        ]
    elif kind == "reward":
        data = [
            {"chosen_ids": r.prompt + r.chosen, "rejected_ids": r.prompt + r.rejected} for r in rows
        ]
    else:
        data = [
            {"prompt_ids": r.prompt, "chosen_ids": r.chosen, "rejected_ids": r.rejected}
            for r in rows
        ]
    loader = (
        transformers.AutoModelForSequenceClassification
        if kind == "reward"
        else transformers.AutoModelForCausalLM
    )
    labels = {"num_labels": 1} if kind == "reward" else {}
    model = loader.from_pretrained(options.model, dtype=torch.float32, **labels)
    extra: dict[str, Any] = {}
    if name == "dpo-lora":
        from peft import LoraConfig

        extra["peft_config"] = LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        )

    class InOrder(trainer_class):  # type: ignore[misc, valid-type]
        def _get_train_sampler(self, *given: Any, **named: Any) -> Any:
            return (
                super()._get_train_sampler(*given, **named)
                if best
                else SequentialSampler(self.train_dataset)
            )

        def _prepare_dataset(self, dataset: Any, *given: Any, **named: Any) -> Any:
            return dataset if kind == "dpo" else super()._prepare_dataset(dataset, *given, **named)

    trainer = InOrder(
        model=model,
        args=config(**_common(options), learning_rate=RATE, max_length=1024, **more),
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(data),
        **extra,
    )
    return trainer, []


def _online(options: argparse.Namespace, tokenizer: Any, rows: list[Row]) -> tuple[Any, Counts]:
    """GRPO, RLOO and online DPO, which sample their own responses."""
    import datasets
    import trl

    counts: Counts = []
    more: dict[str, Any] = {"gradient_checkpointing": False} if options.side == "best" else {}
    if options.trainer == "online-dpo":
        from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

        config, base, size = OnlineDPOConfig, OnlineDPOTrainer, options.batch
        more |= {
            "max_new_tokens": options.longest,
            "max_length": 1024,
            "temperature": 1.0,
            "missing_eos_penalty": None,
        }
    else:
        config, base = {
            "grpo": (trl.GRPOConfig, trl.GRPOTrainer),
            "rloo": (trl.RLOOConfig, trl.RLOOTrainer),
        }[options.trainer]
        size = options.rollouts
        more["max_completion_length"] = options.longest
        if options.side == "best" and size > 8:  # one generation for all, updates in small parts
            more["gradient_accumulation_steps"] = size // 8
            size = 8

    class Counting(base):  # type: ignore[misc, valid-type]
        def _generate(self, *given: Any, **named: Any) -> Any:
            found = super()._generate(*given, **named)
            if options.trainer == "online-dpo":
                _, prompt_mask, _, mask, *_ = found
                sampled, prompt = int(mask.sum()), int(prompt_mask.sum())
            else:
                sampled, prompt = (sum(map(len, found[i])) for i in (1, 0))
            counts.append((sampled + prompt, sampled))
            return found

    trainer = Counting(
        model=transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32),
        args=config(
            **_common(options) | {"per_device_train_batch_size": size}, learning_rate=1e-6, **more
        ),
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list([{"prompt": _text(r.prompt)} for r in rows]),
        reward_funcs=lambda completion_ids, **_: [score(list(ids)) for ids in completion_ids],
    )
    return trainer, counts


def _generate(options: argparse.Namespace, tokenizer: Any, rows: list[Row]) -> Callable[[], Turn]:
    """transformers' generate on one left-padded batch, sampling from the whole distribution."""
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    batch = tokenizer([_text(r.prompt) for r in rows], return_tensors="pt", padding_side="left")

    def epoch() -> Turn:
        torch.manual_seed(0)
        found: Tensor = model.generate(
            **batch,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            max_new_tokens=options.longest,
            pad_token_id=tokenizer.pad_token_id,
        )
        new = found[:, batch["input_ids"].shape[1] :]
        ended = (new == tokenizer.eos_token_id).int()
        sampled = int((ended.cumsum(1) - ended == 0).sum())
        return Turn(sampled, sampled)

    return epoch


def _judge(options: argparse.Namespace, rows: list[Row]) -> Callable[[], Turn]:
    """Next-token log-probabilities of each question: one at a time, or left-padded sixteen at a
    time, in order of length, with logits of the last position alone."""
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model.eval()
    questions = sorted(judge_questions(rows, options.trainer), key=len)
    size = 1 if options.side == "default" else 16
    keep = {} if options.side == "default" else {"logits_to_keep": 1}

    @torch.no_grad()
    def epoch() -> Turn:
        total, computed, told = 0.0, 0, 0
        for at in range(0, len(questions), size):
            part = questions[at : at + size]
            longest = len(part[-1])
            ids = torch.zeros(len(part), longest, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, question in enumerate(part):
                ids[row, longest - len(question) :] = torch.tensor(question)
                mask[row, longest - len(question) :] = 1
            places = (mask.cumsum(1) - 1).clamp(min=0)
            given = {"attention_mask": mask, "position_ids": places} if len(part) > 1 else {}
            logits = model(input_ids=ids, **given, **keep).logits[:, -1]
            total += float(logits.log_softmax(-1)[:, ANSWERS[0]].sum())
            computed += ids.numel()
            told += len(part) if keep else ids.numel()
        shape = model.config
        gflop = forward_gflop(
            model.num_parameters(), shape.vocab_size * shape.hidden_size, computed, told
        )
        return Turn(sum(map(len, questions)), loss=total / len(questions), gflop=gflop)

    return epoch


def _epochs(trainer: Any) -> Iterator[float]:
    """Yields the first step's loss after each epoch of `trainer.train()`, which runs in a thread
    that waits its turn."""
    import queue
    import threading

    go: queue.Queue[None] = queue.Queue()
    done: queue.Queue[float | BaseException] = queue.Queue()
    losses: list[float] = []
    step = trainer.training_step

    def training_step(*given: Any, **named: Any) -> Any:
        loss = step(*given, **named)
        losses.append(float(loss.detach()))
        return loss

    trainer.training_step = training_step

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
