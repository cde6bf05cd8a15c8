"""The evidence of a run's last examination, or of policies examined by themselves, read back."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from accord.errors import DataError
from accord.examine.episodes import EpisodeEvidence
from accord.examine.evidence import Evidence
from accord.report.render import EPISODES

EVIDENCE = "evidence.json"


def is_examination(folder: Path) -> bool:
    """Whether `accord examine --out` made this directory."""
    return (folder / EVIDENCE).is_file() and not (folder / "recipe.yaml").is_file()


def evidence_files(run_dir: Path) -> list[Path]:
    """Of every examine stage that finished, in order; or that of `accord examine`."""
    alone = [run_dir / EVIDENCE] if is_examination(run_dir) else []
    return [*sorted((run_dir / "stages").glob(f"*/{EVIDENCE}")), *alone]


def read_evidence(run_dir: Path) -> tuple[Evidence, str | None]:
    """(evidence, why a guard stopped an arm) of a run's last examination, or of what `accord
    examine` wrote. Raises DataError where there is none, or another version wrote it."""
    if not (run_dir / "recipe.yaml").is_file() and not is_examination(run_dir):
        raise DataError(
            f"{run_dir} is not a run directory: recipe.yaml is missing",
            "name a directory made by accord run, or by accord examine --out",
        )
    files = evidence_files(run_dir)
    if not files:
        raise DataError(
            f"{run_dir} holds no evidence: no examine stage, and none in which a policy acts, has"
            " finished",
            f"finish it with accord run --resume {run_dir}, or add an examine stage to its recipe",
        )
    try:
        evidence = Evidence.model_validate_json(files[-1].read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{files[-1]} was written by another version: {place}: {first['msg']}",
            "examine again: accord examine …"
            if is_examination(run_dir)
            else f"remove {files[-1].parent} and examine again: accord run --resume {run_dir}",
        ) from None
    decided = files[-1].with_name("verdict.json")
    known = json.loads(decided.read_text(encoding="utf-8")) if decided.is_file() else {}
    return evidence, known.get("stopped_by_guard")


def read_episodes(run_dir: Path) -> dict[str, EpisodeEvidence]:
    """Evidence on policies that act, by stage, in their order; none where a run examined responses.
    Raises DataError where another version wrote it."""
    if evidence_files(run_dir):
        return {}
    found = {}
    for file in sorted((run_dir / "stages").glob(f"*/{EPISODES}")):
        try:
            evidence = EpisodeEvidence.model_validate_json(file.read_text(encoding="utf-8"))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{file} was written by another version: {place}: {first['msg']}",
                f"remove {file.parent} and run the stage again: accord run --resume {run_dir}",
            ) from None
        found[file.parent.name.partition("-")[2]] = evidence
    return found
