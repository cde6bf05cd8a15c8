"""The card of any reward model on pairs that people judged: what it scores is collected here, what
that means is measured in `examine`.

Suffixes P: pairs, E: members.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from accord.errors import DataError
from accord.examine import reward_probes
from accord.examine.reward_card import RewardCard, card
from accord.examine.rewriting import BROKEN, SAME, STYLES
from accord.examine.rule_card import RuleCard, rule_card
from accord.feedback import agreement
from accord.feedback.messages import Message, plain
from accord.feedback.records import Comparison, Feedback
from accord.runs.reward_scorers import OwnScorer, RewardScorer
from accord.runs.stages.rules_said import RuleBook, RuleConfig
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array, Index
from accord.statistics.means import Estimate, share_mean
from accord.text.encoding import Prompt

NO_TABLE = "it needs a table with scores and gold of many samples (--best-of)"
FEWEST = 2
"""Pairs of different prompts below which nothing has an interval."""


@dataclass(frozen=True)
class JudgedPair:
    """A prompt as a model is given it and as a text, and two responses."""

    prompt: Prompt
    said: str
    better: str
    worse: str


class RewardReport(BaseModel):
    """All that was measured. left_out: pairs that are not measured, by reason; ceiling: the best
    accuracy that the labels' own agreement allows, where pairs were judged more than once;
    wrong_prompt: accuracy when both responses are scored with another pair's prompt (.5 where all
    of it hangs on the prompt); own_answer: how often the better response beats another prompt's
    better one; rules: what its heads for rules know, by the answers among the judgements;
    not_measurable: which measures there are none of, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reward: str
    left_out: dict[str, int]
    card: RewardCard
    ceiling: Estimate | None
    invariances: list[reward_probes.Invariance]
    wrong_prompt: Estimate | None
    own_answer: Estimate | None
    probes: list[reward_probes.Probe]
    styles: reward_probes.StyleMatrix | None
    members: reward_probes.Members | None
    groups: list[reward_probes.Group]
    outliers: reward_probes.Outliers | None
    best_of: list[reward_probes.BestOfGain]
    rules: list[RuleCard] = []
    not_measurable: dict[str, str]


# --- from pairs -----------------------------------------------------------------------------------
def judged_pairs(
    records: Sequence[Feedback], limit: int, seed: int
) -> tuple[list[JudgedPair], dict[str, int]]:
    """(strict comparisons of two texts, at most `limit` of them drawn; why others are left out,
    counted). Raises DataError for fewer than two prompts, or ties throughout."""
    left_out: dict[str, int] = {}
    found = []
    for record in records:
        pair = _pair(record)
        if isinstance(pair, str):
            left_out[pair] = left_out.get(pair, 0) + 1
        else:
            found.append(pair)
    if len({pair.said for pair in found}) < FEWEST:
        raise DataError(
            f"there are {len(found)} strict comparisons, on {len({p.said for p in found})} prompts"
            f" ({left_out or 'nothing was left out'})",
            "give at least two prompts with a better and a worse response each",
        )
    if len(found) > limit:
        left_out["not drawn"] = len(found) - limit
        drawn = generator(derive_seed(seed, "reward card")).permutation(len(found))[:limit]
        found = [found[n] for n in sorted(drawn.tolist())]
    return found, left_out


def _pair(record: Feedback) -> JudgedPair | str:
    """Why not, where it is none."""
    if not isinstance(record.choice, Comparison):
        return f"{record.kind} is no comparison"
    if record.choice.preferred is None:
        return "a tie"
    by_id = {option.id: answer_text(option.content) for option in record.options}
    better = by_id.pop(record.choice.preferred)
    (worse,) = by_id.values()
    if better is None or worse is None:
        return "a response of several messages"
    if better == worse:
        return "both responses are the same text"
    return JudgedPair(record.asked, plain(record.prompt), better, worse)


def answer_text(content: Any) -> str | None:
    """What a response says; None where it is several messages."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Message):
        return content[0].text
    return None


def passes() -> int:
    """How often every pair is scored, classifiers once more (padding)."""
    return 4 + len(SAME) + len(BROKEN) + len(STYLES)


class _Scores:
    """What a scorer says of pairs, [E, 2, P], the better ones first."""

    def __init__(self, scorer: RewardScorer, pairs: Sequence[JudgedPair]) -> None:
        self.scorer, self.pairs = scorer, pairs

    def __call__(
        self, rewrite: Callable[[int, str], str] | None = None, prompts: Index | None = None
    ) -> Array:
        """rewrite: (place, response) -> response; prompts: whose prompt each pair gets."""
        found = self.scorer.score(self._rows(rewrite, prompts))
        return found.reshape(len(found), 2, len(self.pairs))

    def mean(
        self, rewrite: Callable[[int, str], str] | None = None, prompts: Index | None = None
    ) -> Array:
        """Of the members: [2, P]."""
        mean_2P: Array = self(rewrite, prompts).mean(0)
        return mean_2P

    def otherwise(self) -> dict[str, Array]:
        """In other batches and with more padding: [2, P]."""
        found = self.scorer.otherwise(self._rows(None, None))
        return {name: scores.mean(0).reshape(2, len(self.pairs)) for name, scores in found.items()}

    def _rows(
        self, rewrite: Callable[[int, str], str] | None, prompts: Index | None
    ) -> list[tuple[Prompt, str]]:
        places = range(len(self.pairs)) if prompts is None else prompts.tolist()
        sides = [[p.better for p in self.pairs], [p.worse for p in self.pairs]]
        return [
            (self.pairs[place].prompt, text if rewrite is None else rewrite(n, text))
            for side in sides
            for n, (place, text) in enumerate(zip(places, side, strict=True))
        ]


def examine_reward(
    scorer: RewardScorer,
    pairs: Sequence[JudgedPair],
    records: Sequence[Feedback] = (),
    samples: Sequence[tuple[Prompt, str]] = (),
    seed: int = 0,
    left_out: Mapping[str, int] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RewardReport:
    """Score, rewrite, score again. records: all judgements, for their ceiling; samples: (prompt,
    response) of a policy, which may lie far from the pairs; say: told what is scored next."""
    left_out = dict(left_out or {})
    say(f"scoring {len(pairs):,} pairs")
    whole_E2P = _Scores(scorer, pairs)()
    fit_P = np.asarray(np.isfinite(whole_E2P).all((0, 1)))
    if not fit_P.all():
        left_out["too long for the model, or not scored"] = int((~fit_P).sum())
        pairs = [pair for pair, fits in zip(pairs, fit_P, strict=True) if fits]
        whole_E2P = whole_E2P[:, :, fit_P]
    place_P: Index = np.unique([pair.said for pair in pairs], return_inverse=True)[1]
    if len(np.unique(place_P)) < FEWEST:
        raise DataError(
            f"{scorer.name} scores pairs of fewer than two prompts: {left_out}",
            "give shorter responses, or a model that reads longer ones",
        )
    scores, before = _Scores(scorer, pairs), whole_E2P.mean(0)
    sizes = [np.array([len(t) for t in side], float) for side in _texts(pairs)]
    gap_EP = whole_E2P[:, 0] - whole_E2P[:, 1]
    check_varies(gap_EP, scorer.name)
    ceiling, missing = _ceiling(records)
    moved = other_prompts(place_P)
    say("scoring in other batches, and with other prompts")
    away = None if moved is None else scores.mean(prompts=moved)
    invariances = [reward_probes.invariance(n, before, s) for n, s in scores.otherwise().items()]
    tried = _probes(scores, before, place_P, seed, say)
    say("scoring in four styles")
    styles = {
        name: scores.mean(lambda n, text, style=style: style(text))  # type: ignore[misc]
        for name, style in STYLES.items()
    }
    outliers, why = _outliers(scorer, pairs, samples)
    rules, unknown = _rules(scorer, records)
    missing |= why | unknown | {"best of n": NO_TABLE}
    return RewardReport(
        reward=scorer.name,
        left_out=left_out,
        card=card(gap_EP, place_P.tolist(), np.sign(sizes[0] - sizes[1])),
        ceiling=ceiling,
        invariances=invariances,
        wrong_prompt=None if away is None else _share(away[0] - away[1], place_P),
        own_answer=None if moved is None else _own(scores, before, moved, place_P),
        probes=tried,
        styles=reward_probes.style_matrix(styles, place_P),
        members=reward_probes.members(gap_EP, spread_of(whole_E2P), place_P),
        groups=[
            *reward_probes.by_length(gap_EP.mean(0), sizes[0], sizes[1], place_P),
            *reward_probes.by_topic(gap_EP.mean(0), [pair.said for pair in pairs], place_P),
        ],
        outliers=outliers,
        best_of=[],
        rules=rules,
        not_measurable=missing,
    )


def _rules(
    scorer: RewardScorer, records: Sequence[Feedback]
) -> tuple[list[RuleCard], dict[str, str]]:
    """Of a model with heads for rules, by what its training took for keeping and breaking them."""
    if not isinstance(scorer, OwnScorer) or not scorer.model.form.rules:
        return [], {}
    names, stated = scorer.model.form.rules, scorer.model.notes.get("rules", {})
    book = RuleBook({name: RuleConfig.model_validate(stated[name]) for name in names})
    rows, said = list[tuple[Prompt, str]](), list[tuple[int, int, bool]]()
    for record in records:
        if not book.about(record) or len(record.options) != 1:
            continue
        text = answer_text(record.options[0].content)
        if text is None or not (answers := book.read(record).answers):
            continue
        said += [(len(rows), rule, kept) for rule, kept in answers]
        rows.append((record.asked, text))
    if not rows:
        return [], {"rules": f"no record answers whether {', '.join(names)} is kept"}
    p_BJ = scorer.rules(rows)
    prompts = np.unique([json.dumps(prompt) for prompt, _ in rows], return_inverse=True)[1]
    found, missing = [], {}
    for number, name in enumerate(names):
        about = [(n, kept) for n, rule, kept in said if rule == number and np.isfinite(p_BJ[n, 0])]
        if about:
            at = [n for n, _ in about]
            kept_B = np.array([kept for _, kept in about])
            found.append(rule_card(name, p_BJ[at, number], kept_B, prompts[at].tolist()))
        else:
            missing[f"rule {name}"] = "no answer to it about a response that fits the model"
    return found, missing


def _texts(pairs: Sequence[JudgedPair]) -> tuple[list[str], list[str]]:
    return [pair.better for pair in pairs], [pair.worse for pair in pairs]


def check_varies(gap_EP: Array, name: str) -> None:
    if not gap_EP.any():
        raise DataError(
            f"{name} gives both responses of every pair the same score",
            "a padding token that is the end token reads like this; else it prefers nothing",
        )


def spread_of(scores_E2P: Array) -> float:
    """Between members, in deviations of the mean's scores."""
    return float(scores_E2P.std(0).mean() / (scores_E2P.mean(0).std() or 1.0))


def other_prompts(place_P: Index) -> Index | None:
    """For every pair the place of one with another prompt: the next of the other prompts in turn;
    None where there is a single prompt."""
    if len(np.unique(place_P)) < 2:
        return None
    order = np.argsort(place_P, kind="stable")
    largest = int(np.bincount(place_P).max())
    moved = np.empty_like(order)
    moved[order] = np.roll(order, largest)
    same = place_P[moved] == place_P
    for n in np.flatnonzero(same):  # one prompt has more than half of the pairs
        moved[n] = np.flatnonzero(place_P != place_P[n])[n % (place_P != place_P[n]).sum()]
    return moved


def _share(gap_P: Array, place_P: Index) -> Estimate | None:
    kept = np.isfinite(gap_P)
    return share_mean(reward_probes.right(gap_P[kept]), list(place_P[kept])) if kept.any() else None


def _own(scores: _Scores, before_2P: Array, moved: Index, place_P: Index) -> Estimate | None:
    """The better response against the better one to another prompt, with the prompt of the
    first."""
    others = [scores.pairs[n].better for n in moved]
    away = scores.mean(lambda n, _: others[n])
    return _share(before_2P[0] - away[0], place_P)


def _probes(
    scores: _Scores, before: Array, place_P: Index, seed: int, say: Callable[[str], None]
) -> list[reward_probes.Probe]:
    found = []
    for rewrites, breaks in ((SAME, False), (BROKEN, True)):
        for name, rewrite in rewrites.items():
            say(f"rewriting: {name}")
            after = scores.mean(
                lambda n, text, rewrite=rewrite, name=name: rewrite(  # type: ignore[misc]
                    text, generator(derive_seed(seed, "rewrite", name, n))
                )
            )
            one = reward_probes.probe(name, breaks, before, after, place_P)
            found += [] if one is None else [one]
    return found


def _ceiling(records: Sequence[Feedback]) -> tuple[Estimate | None, dict[str, str]]:
    try:
        found = agreement.measure(records)
    except DataError as error:
        return None, {"agreement ceiling": error.message}
    value = found.ceiling
    if not np.isfinite(value.value):
        return None, {"agreement ceiling": "pairs that were judged twice are all ties"}
    ends = [float(end) if np.isfinite(end) else None for end in (value.low, value.high)]
    estimate = Estimate(value=value.value, error=None, low=ends[0], high=ends[1], n=found.units)
    return estimate, {}


def _outliers(
    scorer: RewardScorer, pairs: Sequence[JudgedPair], samples: Sequence[tuple[Prompt, str]]
) -> tuple[reward_probes.Outliers | None, dict[str, str]]:
    name = "latent outliers"
    if not samples:
        return None, {name: "no samples of a policy were given (--samples)"}
    here = [(pair.prompt, text) for pair in pairs for text in (pair.better, pair.worse)]
    reference = scorer.hidden(here)
    if reference is None:
        return None, {name: "a function has no hidden states"}
    fit_B: list[bool] = np.isfinite(scorer.score(samples)).prod(0).tolist()
    rows = [row for row, fits in zip(samples, fit_B, strict=True) if fits]
    if not rows:
        return None, {name: "all samples are too long for the model"}
    other = scorer.hidden(rows)
    assert other is not None
    place = np.unique([json.dumps(prompt) for prompt, _ in rows], return_inverse=True)[1]
    found = reward_probes.outliers(reference, other, place.tolist())
    if found is None:
        return None, {name: f"{len(reference)} responses of pairs are too few, 200 are needed"}
    return found, {}
