"""The card of a reward model of which there are only scores: a table with a pair a row, and one
with many samples of each prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accord.errors import DataError
from accord.examine import reward_probes
from accord.examine.reward_card import card
from accord.feedback.formats.reading import read_rows
from accord.runs.reward_reports import FEWEST, NO_TABLE, RewardReport, check_varies, spread_of
from accord.statistics.intervals import Index

BETTER = ("chosen_score", "score_chosen", "chosen_reward", "better_score")
WORSE = ("rejected_score", "score_rejected", "rejected_reward", "worse_score")
SCORE, GOLD = ("score", "reward"), ("gold", "gold_score", "correct")
"""What the columns of a table of scores may be called."""


def table_report(path: Path) -> RewardReport:
    """Of a table with a pair a row (score of the better and of the worse response: a number, or a
    list with one per member; prompt and texts where there are some), or with a sample a row
    (prompt, score, gold), of which there are several per prompt. Raises DataError."""
    read = read_rows(str(path))
    if read.dropped:
        raise DataError(f"{path}: rows that cannot be read: {dict(read.dropped)}", "repair them")
    rows = [row for _, row in read.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    better, worse = column_of(columns, BETTER), column_of(columns, WORSE)
    score, gold = column_of(columns, SCORE), column_of(columns, GOLD)
    if better is not None and worse is not None:
        return _table_of_pairs(path, rows, better, worse)
    if score is not None and gold is not None and "prompt" in columns:
        raise DataError(
            f"{path} has samples and no pairs", "give the pairs' scores, and this as --best-of"
        )
    lacking = BETTER if better is None else WORSE
    raise DataError(
        f"{path} has no column {lacking[0]}: it has {', '.join(columns)}",
        f"call them {BETTER[0]} and {WORSE[0]}",
    )


def column_of(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _numbers(path: Path, row: int, value: Any, column: str) -> list[float]:
    values = value if isinstance(value, list) else [value]
    try:
        found = [float(one) for one in values if not isinstance(one, bool)]
    except (TypeError, ValueError):
        found = []
    if not found or len(found) != len(values) or not np.isfinite(found).all():
        raise DataError(
            f"{path} row {row}: {column} is {value!r}", "give a finite number, or a list of them"
        )
    return found


def _table_of_pairs(
    path: Path, rows: Sequence[Mapping[str, Any]], better: str, worse: str
) -> RewardReport:
    """From scores alone; lengths and topics where the texts are there."""
    sides = [
        [_numbers(path, n, row.get(column), column) for n, row in enumerate(rows, 1)]
        for column in (better, worse)
    ]
    sizes = {len(one) for side in sides for one in side}
    if len(sizes) > 1:
        raise DataError(f"{path}: rows have {sorted(sizes)} scores", "give one per member in all")
    scores_E2P = np.transpose(np.array(sides), (2, 0, 1))
    named = ["prompt" in row for row in rows]
    prompts = (
        [str(row["prompt"]) for row in rows] if all(named) else [str(n) for n in range(len(rows))]
    )
    place_P: Index = np.unique(prompts, return_inverse=True)[1]
    if len(np.unique(place_P)) < FEWEST:
        raise DataError(f"{path} has pairs of one prompt", "give at least two prompts")
    gap_EP = scores_E2P[:, 0] - scores_E2P[:, 1]
    check_varies(gap_EP, str(path))
    texts = [[row.get(name) for row in rows] for name in ("chosen", "rejected")]
    lengths = None
    if all(isinstance(text, str) for side in texts for text in side):
        lengths = [np.array([len(str(text)) for text in side], float) for side in texts]
    groups = [] if lengths is None else reward_probes.by_length(
        gap_EP.mean(0), lengths[0], lengths[1], place_P
    )  # fmt: skip
    if all(named):
        groups += reward_probes.by_topic(gap_EP.mean(0), prompts, place_P)
    why = "it needs the model, and the table has its scores alone"
    names = ("invariances", "wrong prompt", "rewrites", "styles", "latent outliers")
    missing = dict.fromkeys(names, why)
    missing["best of n"] = NO_TABLE
    missing["agreement ceiling"] = "it needs the judgements (--pairs)"
    if lengths is None:
        missing["length"] = "the table has no texts (columns chosen and rejected)"
    if not all(named):
        missing["clusters"] = "the table has no prompts: every row counts as one of its own"
    longer = None if lengths is None else np.sign(lengths[0] - lengths[1])
    return RewardReport(
        reward=str(path),
        left_out={},
        card=card(gap_EP, place_P.tolist(), longer),
        ceiling=None,
        invariances=[],
        wrong_prompt=None,
        own_answer=None,
        probes=[],
        styles=None,
        members=reward_probes.members(gap_EP, spread_of(scores_E2P), place_P),
        groups=groups,
        outliers=None,
        best_of=[],
        not_measurable=missing,
    )


def best_of_table(path: Path) -> list[reward_probes.BestOfGain]:
    """Of a table with prompt, score and gold a row and equally many rows a prompt. Raises
    DataError."""
    rows = [row for _, row in read_rows(str(path)).rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    score, gold = column_of(columns, SCORE), column_of(columns, GOLD)
    if score is None or gold is None or "prompt" not in columns:
        raise DataError(
            f"{path} has the columns {', '.join(columns)}", "give prompt, score and gold"
        )
    by_prompt: dict[str, list[tuple[float, float]]] = {}
    for n, row in enumerate(rows, 1):
        pair = [float(np.mean(_numbers(path, n, row.get(c), c))) for c in (score, gold)]
        by_prompt.setdefault(json.dumps(row.get("prompt")), []).append((pair[0], pair[1]))
    sizes = {len(one) for one in by_prompt.values()}
    if len(sizes) > 1 or min(sizes) < 2:
        raise DataError(
            f"{path}: prompts have {min(sizes)} to {max(sizes)} samples",
            "give equally many of each, at least two",
        )
    table = np.array(list(by_prompt.values()))
    return reward_probes.best_of_gains(table[:, :, 0], table[:, :, 1])
