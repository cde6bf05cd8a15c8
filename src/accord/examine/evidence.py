"""All evidence of a run in one JSON-able value: baseline, arms along their way, best-of-n, cards,
verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from accord.examine import (
    best_of_n,
    exploits,
    kl,
    overoptimisation,
    surface,
    text_measures,
    winrate,
)
from accord.examine.behaviour.table import Behaviour
from accord.examine.best_of_n import BestOfPoint
from accord.examine.exploits import Search
from accord.examine.kl import KL
from accord.examine.late import late_drop
from accord.examine.overoptimisation import Fit
from accord.examine.probes import Probes, ScorerWatch
from accord.examine.reward_card import RewardCard
from accord.examine.rows import Samples, columns
from accord.examine.surface import NullArm, Ranks, Surface
from accord.examine.text_measures import Shift, TextMeasures
from accord.feedback.judge_card import JudgeCard
from accord.statistics.means import Estimate, clustered_mean, paired_difference
from accord.statistics.significance import mcnemar

Rows = Sequence[Mapping[str, Any]]


class _EvidenceModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyPoint(_EvidenceModel):
    """A policy at one step of its training, on the evaluation prompts. Gains are paired, against
    the baseline."""

    step: int
    kl: KL
    proxy: Estimate
    proxy_gain: Estimate
    ensemble_spread: float
    gold: Estimate | None
    gold_gain: Estimate | None
    win_rate: Estimate | None
    text: TextMeasures


class Pairing(_EvidenceModel):
    """One prompt's response before and after."""

    prompt: str
    before: str
    after: str
    gold_before: float | None
    gold_after: float | None
    proxy_before: float
    proxy_after: float


class ArmEvidence(_EvidenceModel):
    """One way of tuning, from its first to its last point. late_drop: gold at the last point minus
    gold at the best earlier point, paired by prompt; best_step: the point with the highest gold,
    the checkpoint to ship if gold is what counts (how much less the last one is worth, without the
    luck of the choice, is late_drop); length_share: share of the proxy gain left at
    equal length; finished_gain: share of finished responses minus the baseline's, paired;
    distinct_chance, unique_chance: how often texts would be as much less varied than the
    baseline's, were both alike (`text_measures.exchanged`); surface: its features; exploits: what
    grew and is overpaid; depends: how much more gold its responses have after their own prompts
    than after others', less the same of the baseline's; scorers, probes: what became of reward and
    gold during the tuning, and what was probed beside the samples, None for what was not."""

    name: str
    method: str
    points: list[PolicyPoint]
    late_drop: Estimate | None
    best_step: int | None
    length_share: Estimate | None
    finished_gain: Estimate
    distinct_chance: float
    unique_chance: float
    fit: Fit | None
    rose_and_fell: list[Shift]
    surface: Surface
    exploits: Search
    depends: Estimate | None
    scorers: ScorerWatch | None
    probes: Probes
    pairings: list[Pairing]

    @property
    def last(self) -> PolicyPoint:
        return self.points[-1]


class ArmPair(_EvidenceModel):
    """Two arms at their last points on the same prompts: gold of the first minus gold of the
    second, the first's win rate, and the p-value of so uneven wins by chance (McNemar's exact test
    where gold is right or wrong)."""

    first: str
    second: str
    gold: Estimate
    win_rate: Estimate
    p_value: float


class AnnotatorEvidence(_EvidenceModel):
    """Estimate against truth (truth only for simulated annotators)."""

    annotator: str
    judgements: int
    rationality: float
    rationality_low: float
    rationality_high: float
    side_bias: float
    side_bias_error: float
    clicker: float | None = None
    power: float | None = None
    flag: str
    reason: str
    true_rationality: float | None = None
    true_side_bias: float | None = None


class AgreementRow(_EvidenceModel):
    """Agreement measures with 95 % intervals as [value, low, high]; None for what is not
    measurable, with the reason."""

    alpha: list[float | None]
    with_ties: list[float | None]
    strict: list[float | None]
    ceiling: list[float | None]
    units: int
    judgements: int
    not_measurable: dict[str, str]


class Evidence(_EvidenceModel):
    """Everything the verdict rests on and the report shows. Without arms there are no measures of a
    baseline. behaviour: what policies say and choose (`accord examine`); contamination: prompts
    that were trained on word by word, and that share a run of 13 words with what was, None where
    nobody said what was trained on."""

    baseline_name: str
    baseline_gold: Estimate | None
    baseline_proxy: Estimate | None
    baseline_text: TextMeasures | None
    prompts: int
    arms: list[ArmEvidence]
    arm_pairs: list[ArmPair]
    best_of: list[BestOfPoint]
    best_of_fit: Fit | None
    null_arms: list[NullArm]
    reward_card: RewardCard | None
    judge_card: JudgeCard | None = None
    annotators: list[AnnotatorEvidence]
    agreement: AgreementRow | None
    notes: list[str]
    behaviour: Behaviour | None = None
    contamination: tuple[int, int] | None = None


def of_behaviour(behaviour: Behaviour) -> Evidence:
    """Evidence on question sets and responses alone: no reward scored anything."""
    return Evidence(
        baseline_name=next(iter(behaviour.policies)),
        baseline_gold=None,
        baseline_proxy=None,
        baseline_text=None,
        prompts=0,
        arms=[],
        arm_pairs=[],
        best_of=[],
        best_of_fit=None,
        null_arms=[],
        reward_card=None,
        annotators=[],
        agreement=None,
        notes=[],
        behaviour=behaviour,
    )


@dataclass(frozen=True)
class ArmRows:
    """Sample rows of one arm: (step, rows) in order of training; what became of its scorers and
    what was probed."""

    method: str
    points: Sequence[tuple[int, Rows]]
    scorers: ScorerWatch | None = None
    probes: Probes = field(default_factory=Probes)


def measure(
    baseline_rows: Rows,
    arms: Mapping[str, ArmRows],
    best_of_rows: Rows = (),
    best_of_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32),
    reward_card: RewardCard | None = None,
    annotators: Sequence[AnnotatorEvidence] = (),
    agreement: AgreementRow | None = None,
    judge_card: JudgeCard | None = None,
    notes: Sequence[str] = (),
    contamination: tuple[int, int] | None = None,
) -> Evidence:
    """Measure every arm against the baseline on the same prompts (one sample per prompt each)."""
    baseline = columns(baseline_rows)
    samples = {
        name: [(step, columns(rows)) for step, rows in arm.points] for name, arm in arms.items()
    }
    texts = [r for s in (baseline, *(p[-1][1] for p in samples.values())) for r in s.response]
    length = text_measures.equal_length([text_measures.words(t) for t in texts])
    pool = columns(best_of_rows) if best_of_rows else None
    ranks = None if pool is None else surface.pool_ranks(pool)
    points, best_fit = _best_of(pool, baseline, best_of_sizes)
    return Evidence(
        baseline_name="sft",
        baseline_gold=None if baseline.gold_B is None else clustered_mean(baseline.gold_B),
        baseline_proxy=clustered_mean(baseline.proxy_B),
        baseline_text=text_measures.measure(baseline, length),
        prompts=baseline.size,
        arms=[
            _arm(name, arms[name], by_step, baseline, length, pool, ranks)
            for name, by_step in samples.items()
        ],
        arm_pairs=_arm_pairs({name: by_step[-1][1] for name, by_step in samples.items()}),
        best_of=points,
        best_of_fit=best_fit,
        null_arms=[] if pool is None else surface.null_arms(pool),
        reward_card=reward_card,
        judge_card=judge_card,
        annotators=list(annotators),
        agreement=agreement,
        notes=list(notes),
        contamination=contamination,
    )


def _arm(
    name: str,
    rows: ArmRows,
    by_step: list[tuple[int, Samples]],
    baseline: Samples,
    length: int,
    pool: Samples | None,
    ranks: Ranks | None,
) -> ArmEvidence:
    points = [_point(step, samples, baseline, length) for step, samples in by_step]
    last = by_step[-1][1]
    at = winrate.aligned(last.prompt_id_B, baseline)
    distinct, unique = text_measures.exchanged(
        [baseline.response[i] for i in at], last.response, length
    )
    return ArmEvidence(
        name=name,
        method=rows.method,
        points=points,
        late_drop=_late_drop([samples for _, samples in by_step]),
        best_step=_best_step(points),
        length_share=winrate.gain_at_equal_length(
            last.proxy_B, last.tokens_B, baseline.proxy_B[at], baseline.tokens_B[at]
        ),
        finished_gain=winrate.gain(
            last.finished_B.astype(np.float64),
            baseline.finished_B[at].astype(np.float64),
            list(last.prompt_id_B),
        ),
        distinct_chance=distinct,
        unique_chance=unique,
        fit=_rl_fit(points, [samples for _, samples in by_step], baseline),
        rose_and_fell=text_measures.shifts(baseline.response, last.response),
        surface=surface.measure(baseline, last, ranks),
        exploits=exploits.search(
            baseline,
            last,
            [*(samples for _, samples in by_step[1:-1]), *([] if pool is None else [pool])],
        ),
        depends=_depends(last, baseline, at),
        scorers=rows.scorers,
        probes=rows.probes,
        pairings=_pairings(last, baseline, at),
    )


def _depends(last: Samples, baseline: Samples, at: NDArray[np.int64]) -> Estimate | None:
    """How much more gold hangs on which prompt was answered than in the baseline; None where gold
    was not asked after other prompts."""
    parts = []
    for samples, order in ((last, slice(None)), (baseline, at)):
        if samples.gold_B is None or samples.gold_elsewhere_B is None:
            return None
        parts.append((samples.gold_B - samples.gold_elsewhere_B)[order])
    mine_B, theirs_B = parts
    return paired_difference(mine_B, theirs_B)


def _arm_pairs(last: Mapping[str, Samples]) -> list[ArmPair]:
    """Every two arms that have gold; an arm need not have every prompt of the other."""
    pairs = []
    for (first, mine), (second, theirs) in combinations(last.items(), 2):
        common = np.isin(mine.prompt_id_B, theirs.prompt_id_B)
        if mine.gold_B is None or theirs.gold_B is None or not common.any():
            continue
        prompts = mine.prompt_id_B[common]
        gold_B, other_B = mine.gold_B[common], theirs.gold_B[winrate.aligned(prompts, theirs)]
        pairs.append(
            ArmPair(
                first=first,
                second=second,
                gold=winrate.gain(gold_B, other_B, list(prompts)),
                win_rate=winrate.win_rate(gold_B, other_B, list(prompts)),
                p_value=mcnemar(int((gold_B > other_B).sum()), int((gold_B < other_B).sum())),
            )
        )
    return pairs


def _point(step: int, samples: Samples, baseline: Samples, length: int) -> PolicyPoint:
    at, clusters = winrate.aligned(samples.prompt_id_B, baseline), list(samples.prompt_id_B)
    gold = gold_gain = wins = None
    if samples.gold_B is not None and baseline.gold_B is not None:
        gold = clustered_mean(samples.gold_B, clusters)
        gold_gain = winrate.gain(samples.gold_B, baseline.gold_B[at], clusters)
        wins = winrate.win_rate(samples.gold_B, baseline.gold_B[at], clusters)
    return PolicyPoint(
        step=step,
        kl=kl.measure(samples),
        proxy=clustered_mean(samples.proxy_B, clusters),
        proxy_gain=winrate.gain(samples.proxy_B, baseline.proxy_B[at], clusters),
        ensemble_spread=float(samples.proxy_EB.std(0).mean()),
        gold=gold,
        gold_gain=gold_gain,
        win_rate=wins,
        text=text_measures.measure(samples, length),
    )


def _best_step(points: Sequence[PolicyPoint]) -> int | None:
    golds = [(point.gold.value, -point.step) for point in points if point.gold is not None]
    return -max(golds)[1] if golds else None


def _late_drop(samples: list[Samples]) -> Estimate | None:
    """`late_drop` of samples, aligned by prompt; None without gold."""
    golds = [
        s.gold_B[np.argsort(s.prompt_id_B, kind="stable")] for s in samples if s.gold_B is not None
    ]
    return late_drop(golds) if len(golds) == len(samples) else None


def _rl_fit(
    points: Sequence[PolicyPoint], samples: Sequence[Samples], baseline: Samples
) -> Fit | None:
    if baseline.gold_B is None:
        return None
    gains, roots = [], []
    for point, sampled in zip(points, samples, strict=True):
        if sampled.gold_B is not None:
            order = np.argsort(sampled.prompt_id_B, kind="stable")
            at = winrate.aligned(sampled.prompt_id_B, baseline)
            gain_B = sampled.gold_B - baseline.gold_B[at]
            gains.append(gain_B[order])
            roots.append(point.kl.root)
    return overoptimisation.fit(np.array(roots), np.stack(gains), "rl") if gains else None


def _best_of(
    samples: Samples | None, baseline: Samples, sizes: tuple[int, ...]
) -> tuple[list[BestOfPoint], Fit | None]:
    if samples is None:
        return [], None
    ids, counts = np.unique(samples.prompt_id_B, return_counts=True)
    if len(set(counts)) != 1:
        raise ValueError("best-of-n rows need the same number of samples for every prompt")
    order = np.argsort(samples.prompt_id_B, kind="stable")
    proxy_PN = samples.proxy_B[order].reshape(len(ids), -1)
    gold_PN = None if samples.gold_B is None else samples.gold_B[order].reshape(len(ids), -1)
    base = None if baseline.gold_B is None else baseline.gold_B[winrate.aligned(ids, baseline)]
    logp_PN = samples.ref_logp_B[order].reshape(len(ids), -1)
    kept = tuple(n for n in sizes if n <= counts[0])
    points = best_of_n.curve(proxy_PN, gold_PN, base, logp_PN, kept)
    if gold_PN is None:
        return points, None
    d = np.array([p.root_kl for p in points])
    best_TP = np.stack([best_of_n.expected_best(proxy_PN, gold_PN, p.n) for p in points])
    return points, overoptimisation.fit(d, best_TP - best_TP[0], "best_of_n")


def _pairings(
    samples: Samples, baseline: Samples, at: NDArray[np.int64], count: int = 12
) -> list[Pairing]:
    return [
        Pairing(
            prompt=samples.prompt[i],
            before=baseline.response[j],
            after=samples.response[i],
            gold_before=None if baseline.gold_B is None else float(baseline.gold_B[j]),
            gold_after=None if samples.gold_B is None else float(samples.gold_B[i]),
            proxy_before=float(baseline.proxy_B[j]),
            proxy_after=float(samples.proxy_B[i]),
        )
        for i, j in list(enumerate(at))[:count]
    ]
