"""Tasks of EleutherAI's lm-evaluation-harness as question sets: `--set harness:TASK`.

The harness loads the task, writes its prompts and scores the answers; what it asks goes to the
policies as everything else does, through the same cache, also those behind an endpoint (as far as
text alone answers). Prompts are the harness's plain text, without a chat template, after one BOS
where the tokenizer has one (its own Hugging Face models read texts of perplexities after two).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accord.errors import ConfigError, DataError
from accord.examine.behaviour.scored import Scored, column
from accord.runs.behaviour.question_set import QuestionSet
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from accord.runs.behaviour.answering import Policy

KIND = "harness"
TOKENS = 256
"""Of a generated answer, where the task says nothing."""
FEWSHOT_SEED = 1234
"""The harness's own default: the same examples as in published numbers."""
RATIOS: Mapping[str, tuple[Callable[[Array], Array], str]] = {
    "word_perplexity": (np.exp, "perplexity"),
    "byte_perplexity": (np.exp, "perplexity"),
    "bits_per_byte": (lambda nats: nats / np.log(2), "bits"),
}
"""Measures that are functions of summed log-likelihoods over summed lengths."""


class Harness(QuestionSet):
    """Documents of a task, or of all tasks of a group. rows: {"task", "document"}; tasks: by
    name."""

    tasks: Mapping[str, Any]

    def measure(self, policy: Policy) -> list[Scored]:
        from lm_eval.evaluator import evaluate

        chosen: dict[str, list[int]] = {}
        for row in self.rows:
            chosen.setdefault(row["task"], []).append(row["document"])
        with _quiet():
            found = evaluate(
                _model(policy, self.seed),
                {"tasks": {n: self.tasks[n] for n in chosen}, "groups": {}, "group_map": {}},
                samples=chosen,
                bootstrap_iters=0,
                verbosity="ERROR",
            )
        assert found is not None
        scored, self.left_out = [], {}
        for task, samples in found["samples"].items():
            prefix = "" if len(chosen) == 1 else f"{task} "
            for name, rows in _by_metric(samples).items():
                one = _scored(f"{prefix}{name}", rows)
                if one is None:
                    self.left_out[f"{prefix}{name} is no mean over documents"] = len(rows)
                else:
                    scored.append(one)
        return scored

    def texts(self) -> list[str]:
        tasks = self.tasks
        return [
            str(tasks[row["task"]].doc_to_text(tasks[row["task"]].eval_docs[row["document"]]))
            for row in self.rows
        ]


def load(name: str, folder: Path | None, limit: int, seed: int) -> Harness:
    """harness:TASK; folder: where tasks of one's own are described. At most `limit` documents are
    drawn by seed. Raises ConfigError where the harness is not installed or knows no such task,
    DataError where its data cannot be read."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise ConfigError(
            "lm-evaluation-harness is not installed", "pip install 'accord[harness]'"
        ) from None
    asked = name.partition(":")[2]
    if folder is not None and not folder.is_dir():
        raise ConfigError(
            f"{folder} is no folder", f"name one with descriptions of tasks: {name}=DIR"
        )
    with _quiet():
        own = {} if folder is None else {"include_path": str(folder), "include_defaults": False}
        manager = TaskManager(**own)
        if asked not in manager.all_tasks:
            raise ConfigError(
                f"lm-evaluation-harness knows no task {asked!r}",
                "lm-eval ls tasks shows them; descriptions of your own: --set harness:TASK=DIR",
            )
        try:
            tasks = manager.load(asked)["tasks"]
            for one in tasks.values():
                if one.get_config("num_fewshot") is None:
                    one.set_config(key="num_fewshot", value=0)
                one.set_fewshot_seed(seed=FEWSHOT_SEED)
            every = [
                {"task": task, "document": n}
                for task, one in tasks.items()
                for n in range(len(one.eval_docs))
            ]
        except Exception as error:  # whatever a task's code and its data's source may raise
            raise DataError(
                f"the data of {asked} cannot be read: {type(error).__name__}: {error}",
                "the harness takes it from the Hub: look at its cache and the network",
            ) from None
    drawn = generator(derive_seed(seed, "questions", name)).permutation(len(every))[:limit]
    rows = [every[i] for i in sorted(drawn)]
    found = Harness(name, rows, len(every), seed)
    found.tasks = tasks
    return found


def _by_metric(samples: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, Any]]]:
    """Metric -> (document, value), by filter of the answers where a task has several."""
    filters = {sample["filter"] for sample in samples}
    found: dict[str, list[tuple[int, Any]]] = {}
    for sample in samples:
        suffix = "" if len(filters) == 1 else f" {sample['filter']}"
        for metric in sample["metrics"]:
            found.setdefault(f"{metric}{suffix}", []).append((sample["doc_id"], sample[metric]))
    return found


def _scored(name: str, rows: Sequence[tuple[int, Any]]) -> Scored | None:
    """None for what is no mean over documents."""
    documents, values = [n for n, _ in rows], [value for _, value in rows]
    metric = name.rpartition(" ")[2]
    meaning = f"{metric}, by lm-evaluation-harness"
    if all(isinstance(value, bool | int | float | np.number) for value in values):
        values_I = np.array(values, dtype=np.float64)
        share = bool(((values_I >= 0) & (values_I <= 1)).all())
        unit = "share" if share else "score"
        return Scored(name, unit, meaning, column(values_I), documents, share=share)
    if metric in RATIOS and all(isinstance(v, tuple | list) and len(v) == 2 for v in values):
        of, unit = RATIOS[metric]

        def ratio(sums: Array) -> Array:
            found: Array = of(-sums[..., 0] / sums[..., 1])
            return found

        rows_IX = np.array(values, dtype=np.float64)
        return Scored(name, unit, meaning, rows_IX, documents, statistic=ratio, share=False)
    return None


def _model(policy: Policy, seed: int) -> LM:
    """A policy as the harness asks models."""
    from lm_eval.api.model import LM

    from accord.runs.behaviour.answering import answer_seeds
    from accord.sampling.rollout import SamplingSettings

    class HarnessModel(LM):  # type: ignore[misc,unused-ignore]
        def loglikelihood(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
            return policy.continued([tuple(request.args) for request in requests])

        def loglikelihood_rolling(self, requests: Sequence[Any], **_: Any) -> list[float]:
            found = policy.text_logps([request.args[0] for request in requests])
            return [float(logp) for logp in found]

        def generate_until(self, requests: Sequence[Any], **_: Any) -> list[str]:
            by_way: dict[tuple[int, float], list[int]] = {}
            for n, request in enumerate(requests):
                by_way.setdefault(_way(request.args[1]), []).append(n)
            said = [""] * len(requests)
            for (tokens, temperature), places in by_way.items():
                prompts = [requests[n].args[0] for n in places]
                settings = SamplingSettings(tokens, temperature)
                found = policy.respond(prompts, settings, answer_seeds(seed, len(prompts)))
                for n, one in zip(places, found, strict=True):
                    said[n] = _until(one.text, requests[n].args[1].get("until"))
            return said

    return HarnessModel()


def _way(asked: Mapping[str, Any]) -> tuple[int, float]:
    """(tokens at most, temperature; 0: the likeliest token)."""
    tokens = int(asked.get("max_gen_toks", asked.get("max_new_tokens", TOKENS)))
    sampled = asked.get("do_sample", False)
    return tokens, float(asked.get("temperature", 1.0)) if sampled else 0.0


def _until(text: str, stops: str | Sequence[str] | None) -> str:
    """The text up to the first of the stops."""
    for stop in [stops] if isinstance(stops, str) else stops or []:
        if stop:
            text = text.partition(stop)[0]
    return text


class _quiet:
    """Without the harness's own logs and bars."""

    def __enter__(self) -> None:
        from datasets.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._level)
