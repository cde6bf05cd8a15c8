"""The pages of `accord report`: of a run, a study, an examination, or of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accord.runs.compared_runs import QUANTITIES, compare_runs, no_run
from accord.runs.evidence import EVIDENCE, evidence_files, read_evidence
from accord.runs.listing import at_work
from accord.runs.recipe import study_of
from accord.runs.runner import RECIPE
from accord.runs.study import write_results


def write_report(run_dir: Path) -> Path:
    """Write report.html again, of a run, of a study or of an examination. Raises ConfigError for a
    place that holds none, or a study that cannot be read any more, DataError for evidence of
    another version."""
    from accord.report.render import render

    path = run_dir / RECIPE
    if not path.is_file() and not (run_dir / EVIDENCE).is_file():
        raise no_run(run_dir)
    study = study_of(path) if path.is_file() else None
    if study is not None:
        return write_results(study, run_dir)
    if evidence_files(run_dir):
        read_evidence(run_dir)
    return render(run_dir, at_work(run_dir))


def write_comparison(folders: Sequence[Path], path: Path) -> Path:
    """Write the page of several runs. Raises ConfigError as `compare_runs` does."""
    from accord.report.side_by_side import render

    found = compare_runs(folders)
    busy = [run.name for run, folder in zip(found.runs, folders, strict=True) if at_work(folder)]
    return render(path, found.model_dump(mode="json"), QUANTITIES, busy)
