"""What scores a policy, hashed before, during and after its training: a reward that is edited in
the middle of a run is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from accord.files import read_jsonl
from accord.runs.contents import hashes_of
from accord.runs.inputs import named

if TYPE_CHECKING:
    from pathlib import Path

    from accord.examine.probes import ScorerWatch
    from accord.runs.context import StageContext
    from accord.runs.stage import StageConfig

LOG = "scorers.jsonl"
KINDS = ("reward model", "gold reward", "rules")
START, END = "the start", "the end"


def note_scorers(config: StageConfig, context: StageContext, when: str) -> None:
    """Hash the reward model, the gold reward and the user's reward functions that a stage names, as
    they lie on the disk now; at the start what was hashed before anything was read. A check that a
    resumed stage repeats with the same finding counts once."""
    names = {one.reference for one in named(config) if one.kind in KINDS} | {*config.code()}
    found: Mapping[str, str] = context.inputs if when == START else dict(hashes_of(config, context))
    hashes = {name: value for name, value in found.items() if name in names}
    check = {"when": when, "hashes": hashes}
    log = context.log(LOG)
    if hashes and check not in log.rows:
        log.append([check])


def read_scorers(folder: Path) -> ScorerWatch | None:
    """What became of them in a stage that has finished; None where it watched none."""
    from accord.examine.probes import watched

    path = folder / LOG
    rows: list[dict[str, Any]] = read_jsonl(path) if path.is_file() else []
    return watched([(row["when"], row["hashes"]) for row in rows]) if rows else None
