"""Programs before and after feedback in words, by the packaged runner of tests.

    python -m benchmarks.language_feedback surge_annotations.jsonl

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
from accord.oversight.code_tests import CodeResult, CodeTask, run_tests
from accord.statistics.means import share_mean

COLUMNS = {
    "original_model_completion": "the model's program",
    "unedited_annotator_completion": "refined by a person",
    "completion": "column completion",
}
"""Column of the file -> what it is. `completion` lacks the prompt, and loses passing programs."""
_DEFINED = re.compile(r"^def\s+(\w+)\s*\(", re.MULTILINE)


def task_of(row: Mapping[str, Any]) -> CodeTask:
    """The tests of a row, of the function that its prompt leaves open."""
    return CodeTask.parse(row["test"], _DEFINED.findall(row["prompt"])[-1])


def program_of(row: Mapping[str, Any], column: str) -> str:
    """The whole program of a column, with the prompt before what only goes on from it."""
    text: str = row[column]
    return text if text.startswith(row["prompt"][:20]) else row["prompt"] + text


def results(rows: Iterable[Mapping[str, Any]], column: str) -> Iterator[CodeResult]:
    """What came of each row's tests."""
    return (run_tests(program_of(row, column), task_of(row)) for row in rows)


def main() -> None:
    """Print a row for each column."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="surge_annotations.jsonl")
    parser.add_argument("--limit", type=int, help="tasks, from the top")
    options = parser.parse_args()
    lines = options.file.read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line][: options.limit]
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
