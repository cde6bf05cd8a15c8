"""Simulated people who answer what `accord verdict --ask` wrote, in accord's records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from accord.files import write_jsonl


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answer(
    asked_file: Path, to: Path, likes: float, share: float = 1.0, seed: int = 0, arm: str = "ppo"
) -> Path:
    """People who take the arm's with probability `likes`, and answer this share."""
    rng, records = np.random.default_rng(seed), []
    for n, row in enumerate(rows_of(asked_file)):
        options = [
            {
                "id": "ab"[place],
                "shown_at": place,
                "content": o["content"],
                "producer": o["producer"],
            }
            for place, o in enumerate(row["options"])
        ]
        mine = next(o["id"] for o in options if o["producer"] == arm)
        other = next(o["id"] for o in options if o["producer"] == "baseline")
        choice = {"preferred": mine if rng.random() < likes else other}
        if rng.random() < share:
            record = {"id": f"r{n}", "kind": "comparison", "prompt": row["prompt"]}
            records.append({**record, "options": options, "choice": choice, "annotator": "p"})
    write_jsonl(to, records)
    return to
