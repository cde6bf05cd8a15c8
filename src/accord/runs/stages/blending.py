"""Judgements of several sources, such as people and AI judges, learned from together: what each
counts, its share of the loss, and how well it is met on prompts kept aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from accord.errors import ConfigError
from accord.runs.stage import StageConfig

if TYPE_CHECKING:
    from accord.learning.judgements import JudgedGroup
    from accord.models.reward_model import RewardModel
    from accord.runs.context import StageContext
    from accord.runs.stage import Value


class Blends(StageConfig):
    """Settings of a stage that learns from judgements of several sources."""

    blend: dict[str, float] = Field(
        {},
        description=(
            "Sources by the names of their annotators (a name, or a pattern such as judge*) with"
            ' what a judgement of each counts: {"judge*": 0.5, "*": 1}; the first that fits is'
            " meant. It multiplies the records' weights."
        ),
    )

    @field_validator("blend")
    @classmethod
    def _something_counts(cls, blend: dict[str, float]) -> dict[str, float]:
        for source, weight in blend.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {source!r} is {weight}: give 0 or more")
        if blend and not any(blend.values()):
            raise ValueError("no source counts: give one of them a weight above 0")
        return blend


def sources_of(
    annotators: Sequence[str], blend: Mapping[str, float], every: bool = True
) -> list[str]:
    """The source of each annotator; none without a blend. Raises ConfigError where an annotator is
    of no source, or, where `every` source is to be there, one has nobody."""
    if not blend:
        return []
    found = [
        next((source for source in blend if fnmatchcase(name, source)), None) for name in annotators
    ]
    known = ", ".join(annotators[:8])
    if lost := [name for name, source in zip(annotators, found, strict=True) if source is None]:
        raise ConfigError(
            f"blend says nothing of the annotator {lost[0]!r} ({len(lost):,} in all)",
            'name a source for each; "*" takes the rest',
        )
    if every and (empty := [source for source in blend if source not in found]):
        raise ConfigError(
            f"blend: no annotator fits {empty[0]!r}, or one before it took them all",
            f"annotators are: {known}",
        )
    return [source for source in found if source is not None]


def check_sources(
    annotators: Sequence[str], blend: Mapping[str, float], context: StageContext
) -> None:
    """As `sources_of` of a plan, which may have seen the first rows of large files alone."""
    sampled = any(large for _, _, large in context.looked_at.values())
    sources_of(annotators, blend, every=not sampled)


def blended(
    groups: Sequence[JudgedGroup], sources: Sequence[str], blend: Mapping[str, float]
) -> list[JudgedGroup]:
    """The groups with each judgement's weight multiplied by its source's."""
    if not blend:
        return list(groups)
    weights = [blend[source] for source in sources]
    return [
        replace(
            g,
            judgements=tuple(
                replace(j, weight=j.weight * weights[j.annotator]) for j in g.judgements
            ),
        )
        for g in groups
    ]


def say_shares(
    groups: Sequence[JudgedGroup], sources: Sequence[str], context: StageContext
) -> dict[str, Value]:
    """Each source's share of all weights, which is its share of the loss while nothing is learned.
    Raises ConfigError where nothing counts."""
    weights, counts = dict.fromkeys(sources, 0.0), dict.fromkeys(sources, 0)
    for group in groups:
        for judgement in group.judgements:
            weights[sources[judgement.annotator]] += judgement.weight
            counts[sources[judgement.annotator]] += 1
    whole = sum(weights.values())
    if not whole:
        raise ConfigError(
            "none of the judgements to train on counts in the blend",
            "give a weight to a source that has some",
        )
    for source, weight in weights.items():
        context.say(
            f"source {source}: {counts[source]:,} judgements, {weight / whole:.1%} of the weight"
        )
    return {f"share.{source}": weight / whole for source, weight in weights.items()}


def source_accuracy(
    model: RewardModel,
    heldout: Sequence[JudgedGroup],
    sources: Sequence[str],
    blend: Mapping[str, float],
    micro_batch_tokens: int,
    context: StageContext,
) -> dict[str, Value]:
    """On strict pairs kept aside, whatever their source counts: the share that the score orders as
    each source judged, and each source's share of the loss at the fitted temperature."""
    import numpy as np

    from accord.feedback.choice_model import decided_log_p
    from accord.learning.calibration import pair_gaps
    from accord.learning.judgements import pairs_said
    from accord.statistics.means import share_mean

    pairs = pairs_said(heldout)
    if not pairs:
        return {}
    scores_R = model.score([g.group for g in heldout], micro_batch_tokens).mean(0)
    gap_P = pair_gaps(scores_R, heldout).double().numpy()
    doubt_P = np.array([pair.doubt for pair in pairs])
    gap = gap_P / model.temperature
    nll_P = -(1 - doubt_P) * decided_log_p(gap) - doubt_P * decided_log_p(-gap)
    of_P = np.array([sources[pair.annotator] for pair in pairs])
    loss_P = nll_P * [pair.weight * blend[source] for pair, source in zip(pairs, of_P, strict=True)]
    right_P, values = (gap_P > 0) + 0.5 * (gap_P == 0), dict[str, float]()
    for source in dict.fromkeys(sources):
        mine = np.flatnonzero(of_P == source)
        if not len(mine):
            context.say(f"held out, source {source}: no strict pair")
            continue
        found = share_mean(right_P[mine], [pairs[n].group for n in mine])
        part = float(loss_P[mine].sum() / (loss_P.sum() or 1.0))
        context.say(
            f"held out, source {source}: {found.percent} of {len(mine):,} pairs ordered as judged,"
            f" {part:.1%} of the loss"
        )
        values |= {f"accuracy.{source}": found.value, f"loss_share.{source}": part}
    return dict(values)
