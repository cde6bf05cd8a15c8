"""What stands at the top of a run's page: where it comes from, what it cost, what to take, what to
do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from accord.feedback.words import counted
from accord.files import read_json_if_whole
from accord.report.times import duration

Stage = Mapping[str, Any]
SOURCES = ("data", "feedback", "prompts", "demonstrations")
"""Settings of a stage that name data."""
MADE = "stage:"
ACTS = "learn_from_clips"
"""The kind of stage whose policy acts."""
UNFINISHED = "not finished"
"""The summary of a stage that has none."""


def facts(
    run_dir: Path, recipe: Mapping[str, Any], stages: Sequence[Stage]
) -> list[tuple[str, str]]:
    """(label, text) of each that is known: where a run comes from and what it cost. stages: the
    results of those that are done."""
    settings = [(name, one or {}) for name, one in (recipe.get("stages") or {}).items()]
    environment = read_json_if_whole(run_dir / "environment.json") or {}
    versions = environment.get("versions") or {}
    seconds = sum(float(stage.get("seconds") or 0.0) for stage in stages)
    cpu = sum(float(stage.get("cpu_seconds") or 0.0) for stage in stages)
    peak = max((float(stage.get("peak_mib") or 0.0) for stage in stages), default=0.0)
    done, tuned = sum(map(is_done, stages)), fine_tuning(stages)
    written = [run_dir / "recipe.yaml", *run_dir.glob("stages/*/config.yaml")]
    begun = datetime.fromtimestamp(min(path.stat().st_mtime for path in written))
    found = [
        ("recipe", str(recipe.get("name", ""))),
        ("model", ", ".join(_named(settings, ("model",)))),
        ("data", ", ".join(_named(settings, SOURCES))),
        ("seed", str(recipe.get("seed", ""))),
        ("begun", f"{begun:%Y-%m-%d %H:%M}"),
        ("took", _took(seconds, cpu)),
        ("CPU time by fine-tuning's", f"{cpu / tuned['cpu_seconds']:.1f} times" if tuned else ""),
        ("peak memory", f"{peak:,.0f} MiB" if peak else ""),
        ("stages done", f"{done} of {len(settings)}"),
        ("accord", str(versions.get("accord", ""))),
        ("machine", _machine(environment)),
    ]
    return [(label, text) for label, text in found if text]


def _named(settings: Sequence[tuple[str, Mapping[str, Any]]], keys: Sequence[str]) -> list[str]:
    """What the stages name that the run did not make, each once; a stage that brings its own data
    by its kind."""
    found: dict[str, None] = {}
    for _, one in settings:
        for key in keys:
            value = one.get(key)
            for text in value if isinstance(value, list) else [value]:
                path = text.get("path") if isinstance(text, Mapping) else text
                if isinstance(path, str) and path and not path.startswith(MADE):
                    found[path] = None
    if "data" in keys and not found:
        found = dict.fromkeys(str(one.get("kind", name)) for name, one in settings[:1])
    return list(found)


def _took(seconds: float, cpu: float) -> str:
    if not seconds:
        return ""
    return duration(seconds) + (f", {duration(cpu)} of CPU time" if cpu else "")


def _machine(environment: Mapping[str, Any]) -> str:
    parts = [
        str(environment.get("processor") or ""),
        counted(environment["cores"], "core") if environment.get("cores") else "",
        counted(environment["threads"], "thread") if environment.get("threads") else "",
        str(environment.get("precision") or ""),
    ]
    return ", ".join(part for part in parts if part)


def is_done(stage: Stage) -> bool:
    """Whether a stage of `facts` has a result."""
    return stage.get("summary") != UNFINISHED


def fine_tuning(stages: Sequence[Stage]) -> Stage | None:
    """The first sft stage, where there is one whose CPU time is known."""
    found = next((stage for stage in stages if stage.get("kind") == "sft"), None)
    return found if found is not None and found.get("cpu_seconds") else None


def to_fine_tuning(stage: Stage, stages: Sequence[Stage]) -> float | None:
    """How many times the CPU time of fine-tuning (the first sft stage) a stage took; None for that
    stage, and where there is none."""
    tuned = fine_tuning(stages)
    if tuned is None or tuned is stage:
        return None
    return float(stage["cpu_seconds"]) / float(tuned["cpu_seconds"])


def to_take(evidence: Mapping[str, Any] | None, stages: Sequence[Stage]) -> list[str]:
    """Which model to use of each arm that was tuned: the last one, and where gold was highest."""
    folders = {stage["stage"]: stage["folder"] for stage in stages}
    lines = []
    for arm in (evidence or {}).get("arms", ()):
        folder, last = folders.get(arm["name"]), arm["points"][-1]["step"]
        if folder is None or not (folder / "model").is_dir():
            continue
        line = f"{arm['name']}: stages/{folder.name}/model, after step {last}"
        best = arm.get("best_step")
        if best is not None and best != last:
            line += f"; gold was highest at step {best}"
        lines.append(line)
    return lines


def next_step(
    run_dir: Path,
    recipe: Mapping[str, Any],
    verdict: Mapping[str, Any] | None,
    stages: Sequence[Stage],
) -> str:
    """What to do where a run did not end, or its verdict leaves the question open; "" otherwise."""
    resume = f"accord run --resume {shlex.quote(str(run_dir))}"
    if failed := [stage for stage in stages if stage["failed"]]:
        return f"Mend what stage {failed[0]['stage']} says, then continue: {resume}"
    done, planned = sum(map(is_done, stages)), len(recipe.get("stages") or ())
    if done < planned:
        return f"{done} of {planned} stages are done. Continue: {resume}"
    if verdict is None and not any((stage["folder"] / "model").is_dir() for stage in stages):
        return ""  # nothing that an examine stage could look at
    if verdict is None:
        return (
            "Add an examine stage to the recipe: without one nothing is said about whether it"
            " worked."
        )
    if verdict["outcome"] == "inconclusive" and any(s["kind"] == ACTS for s in stages):
        return (
            "To settle it, ask people: accord verdict"
            f" {shlex.quote(str(run_dir))} --ask 32 writes comparisons of its episodes; or watch"
            " more episodes (evaluation), or learn for more steps."
        )
    if verdict["outcome"] == "inconclusive":
        return (
            "To settle it, ask people: accord verdict"
            f" {shlex.quote(str(run_dir))} --ask 100 writes the comparisons that tell most; or"
            " examine more prompts (evaluation=)."
        )
    return ""


def answers(evidence: Mapping[str, Any]) -> list[str]:
    """Of each arm, how gold and proxy stand at its last point against the untuned model."""
    lines = []
    for arm in evidence["arms"]:
        last = arm["points"][-1]
        said = [f"the proxy {_moved(last['proxy_gain'])}"]
        if last["gold_gain"] is not None:
            said.insert(0, f"gold {_moved(last['gold_gain'])}")
        lines.append(f"{arm['name']}: {', '.join(said)}, at √KL {last['kl']['root']:.1f}.")
    return lines


def _moved(gain: Mapping[str, Any]) -> str:
    """rose by 0.53 [0.41, 0.65]; nothing is said to have moved whose interval includes 0."""
    low, high = gain["low"], gain["high"]
    if low is None or high is None:
        return f"changed by {gain['value']:+.2f} (no interval)"
    verb = "rose by" if low > 0 else "fell by" if high < 0 else "did not surely move:"
    value, ends = (gain["value"], (low, high))
    if high < 0:
        value, ends = -value, (-high, -low)
    return f"{verb} {value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"
