"""Responses of a run's last examination beside the baseline's, and what stands in for people who
are to judge them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from accord.errors import DataError
from accord.examine import asked
from accord.examine.rows import Samples, columns
from accord.examine.winrate import aligned
from accord.feedback.judge_card import decided
from accord.files import read_jsonl
from accord.runs.asked import AskedArm
from accord.runs.context import RESULT
from accord.runs.evidence import evidence_files, is_examination
from accord.runs.judges import AskedJudge
from accord.runs.judging import both_orders
from accord.runs.sample_rows import read_points
from accord.statistics.intervals import Array

BASELINE = "baseline.jsonl"


def asked_arms(
    run_dir: Path, judge: AskedJudge | None = None, judge_name: str = "judge"
) -> list[AskedArm]:
    """Of a run's last examination; a judge that is asked about all of it is a stand-in too. Raises
    DataError where the samples are not there."""
    if is_examination(run_dir):
        raise DataError(
            f"{run_dir} is no run: there are no rewards beside its responses",
            "let people compare these, and use accord judge compare --people",
        )
    folder = evidence_files(run_dir)[-1].parent
    if not (folder / BASELINE).is_file():
        raise DataError(f"{folder / BASELINE} is missing", "examine again: accord run --resume")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    base_rows = read_jsonl(folder / BASELINE)
    baseline, found = columns(base_rows), []
    for name, reference in config["arms"].items():
        _, rows = read_points(_made(run_dir, str(reference)))[-1]
        samples = columns(rows)
        at = aligned(samples.prompt_id_B, baseline)
        others = _held_out(rows, [base_rows[n] for n in at])
        against = [baseline.response[n] for n in at]
        wins = asked.stand_ins(samples, baseline, others)
        if judge is not None:
            wins[f"the judge {judge_name}"] = _judged(judge, samples, against)
        ids = samples.prompt_id_B.tolist()
        found.append(AskedArm(name, samples.prompt, ids, samples.response, against, wins))
    return found


def _judged(judge: AskedJudge, samples: Samples, against: Sequence[str]) -> Array:
    """Verdicts of both orders; nobody is asked about two responses that are the same."""
    shown = list(zip(samples.prompt, samples.response, against, strict=True))
    differ = [n for n, (_, mine, theirs) in enumerate(shown) if mine != theirs]
    verdict_B = np.full(len(shown), 0.5)
    if differ:
        verdict_B[differ] = decided(*both_orders(judge, [shown[n] for n in differ]))
    return verdict_B


def _made(run_dir: Path, reference: str) -> Path:
    """What `stage:NAME/ARTEFACT` stands for in a run's directory."""
    if not reference.startswith("stage:"):
        return Path(reference)
    stage, _, artefact = reference.removeprefix("stage:").partition("/")
    for result in (run_dir / "stages").glob(f"*/{RESULT}"):
        told = json.loads(result.read_text(encoding="utf-8"))
        if told.get("stage") == stage:
            made: dict[str, str] = told["artefacts"]
            return result.parent / made[artefact or next(iter(made))]
    raise DataError(f"{run_dir} holds no stage {stage!r}", "continue the run: accord run --resume")


def _held_out(
    rows: Sequence[Mapping[str, Any]], against: Sequence[Mapping[str, Any]]
) -> dict[str, Array]:
    """Differences of the scores by further reward models (`selectors` of the rows)."""
    names = {name for row in (*rows, *against) for name in row.get("selectors") or {}}
    complete = [
        name
        for name in sorted(names)
        if all(name in (row.get("selectors") or {}) for row in (*rows, *against))
    ]
    return {
        name: np.array(
            [
                float(np.mean(one["selectors"][name]) - np.mean(other["selectors"][name]))
                for one, other in zip(rows, against, strict=True)
            ]
        )
        for name in complete
    }
