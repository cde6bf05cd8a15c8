"""Pretraining with feedback in a stage: scored text to windows, training, and what it was worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from accord.errors import ConfigError, DataError
from accord.learning.kinds import PARTED
from accord.learning.order import EpochOrder
from accord.learning.scored_text import TextLosses, text_losses, train_scored
from accord.learning.settings import PretrainingSettings
from accord.learning.supervised import describe
from accord.models.loading import raw_tokenizer
from accord.runs.context import StageContext
from accord.runs.stages.text_scores import FeedbackConfig, TextRow, score_documents
from accord.statistics.means import Estimate, clustered_mean
from accord.text.scored import (
    Document,
    ScoredWindows,
    Tagging,
    best_documents,
    good_segments,
    read_documents,
    scored_windows,
)
from accord.text.segments import ending_ids

if TYPE_CHECKING:
    from accord.learning.session import Session
    from accord.models.causal_lm import CausalLM

LEAST_GAP = 0.01
"""Nats per token that a wrong tag has to cost for the tag to count as learned: what moves the
loss less moves no sample that anybody would see, however sure it is."""

LEAST_WEIGHT = 1e-6
"""Of rwr's best text: below it, what a step learns drowns in Adam's epsilon."""


class TextFeedback:
    """One objective on one text. values: what is told of it in result.json."""

    def __init__(
        self,
        model: CausalLM,
        settings: PretrainingSettings,
        window: int,
        feedback: FeedbackConfig,
        around: tuple[int, int],
        context: StageContext,
    ) -> None:
        self.model, self.settings, self.feedback, self.context = model, settings, feedback, context
        self.window, self.around = window, around
        self.tagging: Tagging | None = None
        if feedback.objective == "conditional":
            assert model.tags is not None
            assert feedback.threshold is not None
            self.tagging = Tagging(model.tags, feedback.threshold, feedback.untagged, context.seed)
            self.ends = model.tags.ends
        else:
            self.ends = ending_ids(model.tokenizer, model.vocab_size)
        self.values: dict[str, float] = {}

    # --- the text ---------------------------------------------------------------------------------
    def train(self, rows: Sequence[TextRow]) -> ScoredWindows:
        """The windows to train on; says how much of the text is bad, and what is kept of it."""
        documents = self._scored(rows, "scores.jsonl")
        self._tell_scores(documents)
        kept = self._kept(documents)
        windows = scored_windows(kept, *self.around, self.window, self.tagging)
        if not windows.windows:
            raise DataError("no text is left to train on", "lower threshold, or raise keep")
        self._tell_kept(documents, kept, windows)
        return windows

    def heldout(self, rows: Sequence[TextRow]) -> ScoredWindows:
        """All of the text kept aside, every segment with its tag."""
        documents = self._scored(rows, "heldout_scores.jsonl")
        tagging = self.tagging and replace(self.tagging, untagged=0.0)
        return scored_windows(documents, *self.around, self.window, tagging)

    def _scored(self, rows: Sequence[TextRow], name: str) -> list[Document]:
        found = read_documents(raw_tokenizer(self.model), [row.text for row in rows], self.ends)
        return score_documents(found, rows, self.feedback, self.context, name)

    def _kept(self, documents: Sequence[Document]) -> Sequence[Document]:
        if self.feedback.objective == "filter_documents":
            return best_documents(documents, self.feedback.keep)
        if self.feedback.objective == "filter_segments":
            assert self.feedback.threshold is not None
            return good_segments(documents, self.feedback.threshold)
        return documents

    def _tell_scores(self, documents: Sequence[Document]) -> None:
        scores = np.array([score for document in documents for score in document.scores])
        self.values |= {
            "documents": len(documents),
            "segments": len(scores),
            "mean_score": float(scores.mean()),
        }
        told = f"{len(scores):,} segments in {len(documents):,} documents, mean score"
        told += f" {scores.mean():.4g} (from {scores.min():.4g} to {scores.max():.4g})"
        if (threshold := self.feedback.threshold) is not None:
            share = float((scores <= threshold).mean())
            self.values["bad_share"] = share
            told += f"; {share:.1%} are bad ({threshold:g} or less)"
            if share in (0.0, 1.0) and self.feedback.objective in PARTED:
                raise ConfigError(
                    f"all {len(scores):,} segments are {'bad' if share else 'good'} at threshold"
                    f" {threshold:g}: there is nothing to tell apart",
                    f"scores go from {scores.min():.4g} to {scores.max():.4g}; set threshold"
                    " between",
                )
        if self.feedback.objective == "rwr":
            self._check_weight(float(scores.max()))
        self.context.say(told)

    def _check_weight(self, best: float) -> None:
        """Raise ConfigError where rwr would train on next to nothing, even of the best text."""
        weight = math.exp(min(best / self.feedback.beta, 0.0))
        if weight < LEAST_WEIGHT:
            raise ConfigError(
                f"a token counts exp(score / beta), and the best score, {best:.4g}, gives"
                f" {weight:.3g} at beta {self.feedback.beta:g}: nothing would be learned",
                "raise beta, or shift the scores so that good text is near 0",
            )

    def _tell_kept(
        self,
        documents: Sequence[Document],
        kept: Sequence[Document],
        windows: ScoredWindows,
    ) -> None:
        """Filtering buys clean text with repeats of it: both are said."""
        settings, count = self.settings, len(windows.windows)
        order = EpochOrder(count, settings.batch, settings.epochs, self.context.seed)
        repeats = order.visited(settings.max_steps or order.steps) / count
        all_tokens, tokens = (sum(len(d.ids) for d in part) for part in (documents, kept))
        self.values |= {
            "kept_documents": len(kept),
            "kept_tokens": tokens,
            "repeats": repeats,
            "dropped_tokens": windows.dropped_tokens,
        }
        self.context.say(
            f"{self.feedback.objective}: {len(kept):,} of {len(documents):,} documents and"
            f" {tokens:,} of {all_tokens:,} tokens kept, each read {repeats:.2f} times;"
            f" {count:,} windows, {windows.tags:,} tags,"
            f" {windows.dropped_tokens:,} tokens in short tails dropped"
        )

    # --- training ---------------------------------------------------------------------------------
    def learn(
        self, train: ScoredWindows, held: ScoredWindows, session: Session
    ) -> tuple[dict[str, float], float, str]:
        """(values, nats of all held-out tokens, what else the summary tells)."""
        with self.model.reading(None):  # the windows hold their own tags
            result = train_scored(
                self.model,
                train.windows,
                self.settings,
                self.feedback,
                session,
                held.windows,
                seed=self.context.seed,
            )
            losses = self._losses(held)
            swapped = None if self.tagging is None else self._losses(self._swapped(held))
        told = ""
        values = {**describe(result), **self.values, "heldout_loss": losses.mean}
        if (good := losses.good_mean) is not None and self.feedback.threshold is not None:
            values["good_loss"] = good
            told += f"; {good:.3f} on good segments"
        if swapped is not None:
            gap = _gap(losses, swapped, held)
            learned = gap.above(0.0) and gap.value >= LEAST_GAP
            values |= {"tag_gap": gap.value, "tag_learned": float(learned)}
            told += f"; tag gap {gap} nats/token"
            if not learned:
                told += " (inconclusive: the tag was not learned)"
        return values, float(losses.nll_W.sum()), told

    def _losses(self, windows: ScoredWindows) -> TextLosses:
        return text_losses(
            self.model,
            windows.windows,
            self.feedback.threshold,
            self.settings.micro_batch_tokens,
        )

    def _swapped(self, held: ScoredWindows) -> ScoredWindows:
        """The same windows with every tag turned into the other one."""
        assert self.tagging is not None
        good, bad = self.tagging.tags.good, self.tagging.tags.bad
        other = {good: bad, bad: good}
        windows = [
            replace(
                window,
                group=replace(
                    window.group,
                    prompt=[other.get(i, i) for i in window.group.prompt],
                    responses=[[other.get(i, i) for i in r] for r in window.group.responses],
                ),
            )
            for window in held.windows
        ]
        return replace(held, windows=windows)


def _gap(true: TextLosses, swapped: TextLosses, held: ScoredWindows) -> Estimate:
    """How much worse the held-out text is told (nats per token, mean over documents) where every
    tag says the contrary; around 0 the tag means nothing to the model."""
    of_W = np.array([window.document for window in held.windows])
    worse_D, tokens_D = (
        np.bincount(of_W, part) for part in (swapped.nll_W - true.nll_W, true.tokens_W)
    )
    there_D = tokens_D > 0
    return clustered_mean(worse_D[there_D] / tokens_D[there_D])
