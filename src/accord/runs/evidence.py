"""The evidence of a run's last examination, read back."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from accord.errors import DataError
from accord.examine.evidence import Evidence


def evidence_files(run_dir: Path) -> list[Path]:
    """Of every examine stage that finished, in order."""
    return sorted((run_dir / "stages").glob("*/evidence.json"))


def read_evidence(run_dir: Path) -> tuple[Evidence, str | None]:
    """(evidence, why a guard stopped an arm) of a run's last examination. Raises DataError where
    there is none, or another version wrote it."""
    if not (run_dir / "recipe.yaml").is_file():
        raise DataError(
            f"{run_dir} is not a run directory: recipe.yaml is missing",
            "name a directory made by accord run",
        )
    files = evidence_files(run_dir)
    if not files:
        raise DataError(
            f"{run_dir} holds no evidence: no examine stage has finished",
            f"finish it with accord run --resume {run_dir}, or add an examine stage to its recipe",
        )
    try:
        evidence = Evidence.model_validate_json(files[-1].read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{files[-1]} was written by another version: {place}: {first['msg']}",
            f"remove {files[-1].parent} and examine again: accord run --resume {run_dir}",
        ) from None
    decided = files[-1].with_name("verdict.json")
    known = json.loads(decided.read_text(encoding="utf-8")) if decided.is_file() else {}
    return evidence, known.get("stopped_by_guard")
