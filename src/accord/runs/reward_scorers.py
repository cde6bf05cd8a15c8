"""Reward models of any origin, asked for scores: accord's own, transformers' classifiers, and
Python functions.

Suffixes E: members, B: responses, H: hidden units. A response that is too long for a model has a
score that is not a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from accord.errors import ConfigError, DataError, RunError
from accord.models.classifier import PAD
from accord.models.lengths import context_of
from accord.models.reward_model import FILE, RewardModel
from accord.runs.reading import PromptRow
from accord.runs.stages.reward_functions import READY, RewardFunction, ToScore
from accord.statistics.intervals import Array
from accord.text.encoding import Encoder, Prompt
from accord.text.packing import SCORING_TOKENS, PackedStream, PromptGroup, streams

Rows = Sequence[tuple[Prompt, str]]
"""Prompts, each with a response."""
BATCH = 8
"""Responses that a classifier reads at a time."""
EXTRA = 16
"""Further padding tokens with which padding is tried."""


class RewardScorer(Protocol):
    """Scores responses, [E, B]; `otherwise` scores them in other batches and with more padding, by
    what was changed; `hidden`: the last hidden state that a score is read from, [B, H], None where
    there is none."""

    name: str

    def score(self, rows: Rows) -> Array: ...

    def otherwise(self, rows: Rows) -> dict[str, Array]: ...

    def hidden(self, rows: Rows) -> Array | None: ...


def load_scorer(name: str) -> RewardScorer:
    """A directory of accord's reward model (reward.json) or of a transformers classifier, a Hub id
    of one, or a function `module:function`. Raises ConfigError for anything else."""
    folder = Path(name)
    if (folder / FILE).is_file():
        return OwnScorer(name)
    if folder.is_dir():
        return ClassifierScorer(name)
    _, colon, function = name.partition(":")
    if colon and "/" not in name and function.replace(".", "").isidentifier():
        return FunctionScorer(name)
    if name.count("/") == 1 and not folder.is_absolute() and not name.startswith("."):
        return ClassifierScorer(name)
    raise ConfigError(
        f"{name} is no reward model",
        f"name a directory with {FILE}, one of AutoModelForSequenceClassification, a Hub id, or"
        f" module:function (or {READY}:exact and the like)",
    )


class OwnScorer:
    """accord's reward model."""

    def __init__(self, name: str) -> None:
        self.name, self.model = name, RewardModel.load(Path(name)).frozen()
        lm = self.model.members[0].lm
        self.encoder, self.context = Encoder(lm.tokenizer), lm.context

    def score(self, rows: Rows) -> Array:
        return self._scored(rows, SCORING_TOKENS)

    def otherwise(self, rows: Rows) -> dict[str, Array]:
        return {"one at a time": self._scored(rows, 1)}

    @torch.no_grad()
    def hidden(self, rows: Rows) -> Array | None:
        groups = [group for group in self._groups(rows) if group is not None]
        lm, parts = self.model.members[0].lm, []
        for stream in streams(groups, SCORING_TOKENS):
            held: PackedStream = stream.to(lm.device)
            parts.append(lm.hidden(held)[held.last_R].float().cpu())
        return torch.cat(parts).numpy().astype(np.float64) if parts else None

    def rules(self, rows: Rows) -> Array:
        """P(kept) of each of the model's rules: [B, J]."""
        groups, names = self._groups(rows), self.model.form.rules
        found = np.full((len(rows), len(names)), nan)
        at = [n for n, group in enumerate(groups) if group is not None]
        if at:
            kept = [group for group in groups if group is not None]
            found[at] = self.model.rule_probabilities(kept).double().numpy()
        return found

    def _scored(self, rows: Rows, micro_batch_tokens: int) -> Array:
        groups = self._groups(rows)
        found = np.full((self.model.size, len(rows)), nan)
        at = [n for n, group in enumerate(groups) if group is not None]
        if at:
            kept = [group for group in groups if group is not None]
            found[:, at] = self.model.score(kept, micro_batch_tokens).numpy()
        return found

    def _groups(self, rows: Rows) -> list[PromptGroup | None]:
        groups: list[PromptGroup | None] = []
        for number, (prompt, response) in enumerate(rows):
            group = self._group(prompt, response, f"response {number}")
            size = len(group.prompt) + len(group.responses[0])
            groups.append(group if size <= self.context else None)
        return groups

    def _group(self, prompt: Prompt, response: str, row: str) -> PromptGroup:
        if response:
            return self.encoder.example(prompt, response, True, row).group
        return PromptGroup(self.encoder.prompt(prompt, row), [[next(iter(self.encoder.stop_ids))]])


class ClassifierScorer:
    """A directory or Hub id of `AutoModelForSequenceClassification` with one logit, read as
    transformers does: a padded batch, the chat template where there is one."""

    def __init__(self, name: str) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.name = name
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            self.model: Any = AutoModelForSequenceClassification.from_pretrained(
                name, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            ).eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ConfigError(
                f"{name} cannot be loaded as a reward model: {str(error).splitlines()[0]}",
                f"name a directory with {FILE}, or of AutoModelForSequenceClassification",
            ) from error
        self._check()
        self.offset = float(getattr(self.model.config, "score_offset", 0.0) or 0.0)
        self.context = context_of(self.model.config)

    def _check(self) -> None:
        if self.model.config.num_labels != 1:
            raise ConfigError(
                f"{self.name} has {self.model.config.num_labels} classes",
                "a reward model has one logit; for others write a function module:function",
            )
        if self.tokenizer.pad_token_id is None or self.model.config.pad_token_id is None:
            raise ConfigError(
                f"{self.name} names no padding token, so that batches cannot be read",
                f"export it anew with one of its own, such as {PAD!r}",
            )

    def score(self, rows: Rows) -> Array:
        return self._scored(rows, BATCH, 0)

    def otherwise(self, rows: Rows) -> dict[str, Array]:
        return {
            "one at a time": self._scored(rows, 1, 0),
            f"{EXTRA} more of padding": self._scored(rows, BATCH, EXTRA),
        }

    def hidden(self, rows: Rows) -> Array | None:
        """At the last token that is not padding, one response at a time."""
        found = []
        for _, ids in self._ids(rows):
            with torch.no_grad():
                out = self.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
            found.append(out.hidden_states[-1][0, -1].float().numpy())
        return np.stack(found).astype(np.float64) if found else None

    def _ids(self, rows: Rows) -> list[tuple[int, list[int]]]:
        """(place, token ids) of those that are not too long."""
        kept = []
        for number, (prompt, response) in enumerate(rows):
            ids = self._encoded(prompt, response)
            if len(ids) <= self.context:
                kept.append((number, ids))
        return kept

    def _encoded(self, prompt: Prompt, response: str) -> list[int]:
        if self.tokenizer.chat_template is None:
            if not isinstance(prompt, str):
                raise DataError(
                    f"{self.name} has no chat template, and a prompt is messages",
                    "give prompts as texts, or add the template it was trained with",
                )
            return list(self.tokenizer(prompt + response).input_ids)
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        if isinstance(messages, Mapping):
            messages = messages["messages"]
        whole = [*messages, {"role": "assistant", "content": response}]
        text = self.tokenizer.apply_chat_template(whole, tokenize=False)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    @torch.no_grad()
    def _scored(self, rows: Rows, batch: int, extra: int) -> Array:
        found, kept = np.full((1, len(rows)), nan), self._ids(rows)
        for start in range(0, len(kept), batch):
            part = kept[start : start + batch]
            padded = self.tokenizer.pad(
                {"input_ids": [ids for _, ids in part]},
                padding="max_length",
                max_length=max(len(ids) for _, ids in part) + extra,
                return_tensors="pt",
            )
            out = self.model(input_ids=padded.input_ids, attention_mask=padded.attention_mask)
            found[0, [n for n, _ in part]] = out.logits[:, 0].float().numpy() + self.offset
        if not np.isfinite(found[0, [n for n, _ in kept]]).all():
            raise RunError(
                f"{self.name} gives scores that are not finite", "its weights are damaged"
            )
        return found


class FunctionScorer:
    """A reward function `module:function`; None is not a number."""

    def __init__(self, name: str) -> None:
        self.name, self.function = name, RewardFunction(name)
        if self.function.needed:
            raise ConfigError(
                f"{name} needs the columns {', '.join(self.function.needed)}, which pairs lack",
                "give them defaults",
            )

    def score(self, rows: Rows) -> Array:
        return self._scored([rows])

    def otherwise(self, rows: Rows) -> dict[str, Array]:
        return {"one at a time": self._scored([[row] for row in rows])}

    def hidden(self, rows: Rows) -> Array | None:
        return None

    def _scored(self, batches: Sequence[Rows]) -> Array:
        found: list[float] = []
        for rows in batches:
            texts = [response for _, response in rows]
            asked = [PromptRow(prompt) for prompt, _ in rows]
            found += self.function(ToScore(asked, texts, [[] for _ in texts]))
        return np.array([found])
