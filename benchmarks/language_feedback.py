"""Programs before and after feedback in words, by the packaged runner of tests.

    python -m benchmarks.language_feedback surge_annotations.jsonl
    python -m benchmarks.language_feedback surge_annotations.jsonl --records DIR    # for a refine stage

The file is the public set of Chen et al. 2023 (arXiv 2303.16749): tasks with a model's program that
failed, a person's feedback in words, and the program that a person refined by it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from accord.errors import by_reason
from accord.files import write_jsonl
from accord.oversight.code_tests import CodeResult, CodeTask, run_tests
from accord.oversight.refining import whole_program
from accord.statistics.means import share_mean

COLUMNS = {
    "original_model_completion": "the model's program",
    "unedited_annotator_completion": "refined by a person",
    "completion": "column completion",
}
"""Column of the file -> what it is. `completion` lacks the prompt, and loses passing programs."""
_DEFINED = re.compile(r"^def\s+(\w+)\s*\(", re.MULTILINE)


def entry_of(row: Mapping[str, Any]) -> str:
    """The function that a row's prompt leaves open."""
    name: str = _DEFINED.findall(row["prompt"])[-1]
    return name


def task_of(row: Mapping[str, Any]) -> CodeTask:
    """The tests of a row."""
    return CodeTask.parse(row["test"], entry_of(row))


def critique_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A person's feedback as a record that a refine stage takes."""
    return {
        "id": f"task-{row['task_id']}",
        "kind": "critique",
        "prompt": row["prompt"],
        "options": [
            {
                "id": "program",
                "content": row["original_model_completion"],
                "producer": "model",
                "shown_at": 0,
            }
        ],
        "choice": {"text": row["Feedback"]},
        "annotator": f"worker-{row['worker_id']}",
        "meta": {"tests": row["test"], "entry": entry_of(row)},
    }


def correction_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A person's refinement as a record that a refine stage takes for `written`."""
    return critique_of(row) | {
        "id": f"refined-{row['task_id']}",
        "kind": "correction",
        "choice": {"content": row["unedited_annotator_completion"]},
        "meta": {"critique": f"task-{row['task_id']}"},
    }


def program_of(row: Mapping[str, Any], column: str) -> str:
    """The whole program of a column."""
    return whole_program(row["prompt"], row[column], entry_of(row))


def results(rows: Iterable[Mapping[str, Any]], column: str) -> Iterator[CodeResult]:
    """What came of each row's tests."""
    return (run_tests(program_of(row, column), task_of(row)) for row in rows)


def main() -> None:
    """Print a row for each column."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="surge_annotations.jsonl")
    parser.add_argument(
        "--records", type=Path, help="write critiques.jsonl and corrections.jsonl here, and end"
    )
    parser.add_argument("--limit", type=int, help="tasks, from the top")
    options = parser.parse_args()
    lines = options.file.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line][: options.limit]
    if options.records:
        options.records.mkdir(parents=True, exist_ok=True)
        for name, record in (("critiques", critique_of), ("corrections", correction_of)):
            write_jsonl(options.records / f"{name}.jsonl", map(record, rows))
        return
    print("| program | passes all tests | share | otherwise |")
    print("|---|---|---|---|")
    for column, name in COLUMNS.items():
        found = list(results(rows, column))
        passed = [float(one.passed) for one in found]
        ends = Counter(one.first_fault.outcome for one in found if not one.passed)
        told = by_reason(dict(ends)) if ends else "–"
        share = share_mean(passed).percent
        print(f"| {name} | {sum(passed):.0f}/{len(rows)} | {share} | {told} |", flush=True)
    print(f"\nwalls of the kernel that stood: {', '.join(found[-1].held) or 'none'}")


if __name__ == "__main__":
    main()
