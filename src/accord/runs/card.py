"""A model's card (README.md): what its run directory says about where it comes from and how it did.

Nothing is made up: what the directory does not hold is said to be unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from accord.files import write_text
from accord.runs.context import CARD, RESULT
from accord.runs.inputs import REFERENCE, stage_of
from accord.runs.known import HUB_ID
from accord.runs.model_facts import Form, facts, form_of, usage

HASH = 16
"""Characters of a checksum that are shown."""
LIBRARY: dict[Form, str] = {
    "model": "transformers",
    "adapter": "peft",
    "classifier": "transformers",
    "reward model": "accord",
}
PIPELINE: dict[Form, str] = {
    "model": "text-generation",
    "adapter": "text-generation",
    "classifier": "text-classification",
    "reward model": "text-classification",
}
"""Names that the Hub knows."""


def write_cards(stages: Iterable[Path]) -> list[Path]:
    """Write the card of every model that the stages in these folders made, once their run is
    over."""
    made = [
        stage / path
        for stage in stages
        if (stage / RESULT).is_file()
        for path in _json(stage / RESULT)["artefacts"].values()
    ]
    return [write_card(str(folder), folder, form) for folder in made if (form := form_of(folder))]


def write_card(
    source: str, folder: Path, form: Form, notes: Mapping[str, str] | None = None
) -> Path:
    """Write the card of the model in `folder`, made as `form` from `source`: a directory below a
    run's stage, or any other name; `notes` are further facts."""
    stage = _stage_of(folder)
    name = folder.name if stage is None else _within(folder, stage)
    told = facts(folder) | dict(notes or {})
    write_text(folder / CARD, card(source, name, form, told, usage(folder, form, name)))
    return folder / CARD


def _within(folder: Path, stage: Path) -> str:
    """RUN/stages/NN-STAGE/model: where it lies, without a machine's own paths."""
    return folder.resolve().relative_to(stage.parents[2]).as_posix()


def card(source: str, name: str, form: Form, notes: Mapping[str, str], use: str) -> str:
    """The card's text."""
    stage = _stage_of(Path(source))
    run = stage.parents[1] if stage else None
    parts = [
        f"---\n{yaml.safe_dump(_head(form, stage), sort_keys=False)}---",
        f"# {_text(name)}",
        _origin(source, stage),
        *([_verdict(run)] if run else []),
        "## Facts\n\n" + "\n".join(f"- {_text(k)}: {_text(v)}" for k, v in notes.items()),
        f"## Use\n\n{_fenced(use, 'python')}",
        *([_lineage(run), _settings(stage), _made_with(run)] if stage and run else []),
        "## Licence\n\nThat of the base model and of the data: see there. None was added.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(form: Form, stage: Path | None) -> dict[str, Any]:
    """What the Hub reads of a card."""
    head: dict[str, Any] = {"library_name": LIBRARY[form], "tags": ["accord"]}
    head["pipeline_tag"] = PIPELINE[form]
    base = _base(stage) if stage else None
    return head | ({"base_model": base} if base and HUB_ID.match(base) else {})


def _base(stage: Path) -> str | None:
    """The model that the stage started from, through earlier stages; None where none is named."""
    file = stage / "config.yaml"
    told = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    named = told.get("model") if isinstance(told, dict) else None
    if not isinstance(named, str):
        return None
    if not named.startswith(REFERENCE):
        return None if Path(named).exists() else named
    name, _ = stage_of(named)
    earlier = next((f for f in stage.parent.iterdir() if f.name.partition("-")[2] == name), None)
    return None if earlier is None or earlier == stage else _base(earlier)


def _stage_of(source: Path) -> Path | None:
    """The folder of the stage that made it; None for what no run of accord made."""
    for folder in (source.resolve(), *source.resolve().parents):
        if folder.parent.name == "stages" and (folder / RESULT).is_file():
            return folder
    return None


def _origin(source: str, stage: Path | None) -> str:
    if stage is None:
        return f"Exported by accord from `{_code(source)}`: no run of accord on this disk made it."
    told = _json(stage / RESULT)
    return (
        f"Made by the stage `{_code(str(told.get('stage')))}` ({_text(str(told.get('kind')))}) of "
        f"an accord run: {_text(str(told.get('summary')))}."
    )


def _verdict(run: Path) -> str:
    verdict = _json(run / "verdict.json")
    if not verdict:
        return "## Verdict\n\nUnknown: the run did not examine what came of it."
    lines = [f"**{_text(str(verdict['outcome']))}**: {_text(str(verdict['reason']))}"]
    for arm in verdict.get("arms", []):
        lines += ["", f"- `{_code(str(arm['arm']))}`: {_text(str(arm['outcome']))}"]
        lines += [f"    - {_text(str(rule['statement']))}" for rule in arm.get("rules", [])]
    if guard := verdict.get("stopped_by_guard"):
        lines += ["", f"A guard stopped it: {_text(str(guard))}"]
    return "## Verdict\n\n" + "\n".join(lines)


def _lineage(run: Path) -> str:
    stages = _json(run / "lineage.json").get("stages", {})
    if not stages:
        return "## Lineage\n\nUnknown: the run has not finished."
    rows = ["| stage | kind | read | made |", "|---|---|---|---|"]
    for name, told in stages.items():
        cells = [
            "<br>".join(f"`{_code(k)}` {_checksum(v)}" for k, v in told[part].items()) or "–"
            for part in ("inputs", "artefacts")
        ]
        rows.append(f"| `{_code(name)}` | {_text(str(told['kind']))} | {cells[0]} | {cells[1]} |")
    return "## Lineage and data\n\n" + "\n".join(rows)


def _checksum(value: str) -> str:
    kind, _, rest = str(value).partition(":")
    return f"{rest[:HASH]}…" if kind == "sha256" else ""


def _settings(stage: Path) -> str:
    file = stage / "config.yaml"
    told = file.read_text(encoding="utf-8") if file.is_file() else "unknown"
    return f"## Settings\n\n{_fenced(told.strip(), 'yaml')}"


def _made_with(run: Path) -> str:
    versions = _json(run / "environment.json").get("versions", {})
    told = ", ".join(f"{_text(k)} {_text(str(v))}" for k, v in versions.items())
    return f"## Made with\n\n{told or 'unknown'}"


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _text(value: str) -> str:
    """One line in which nothing is markup: models and data write some of these texts."""
    return re.sub(r"([\\`*_{}\[\]<>|#!])", r"\\\1", " ".join(value.split()))


def _code(value: str) -> str:
    return " ".join(value.split()).replace("`", "'").replace("|", "\\|")


def _fenced(value: str, language: str) -> str:
    ticks = max((len(run) for run in re.findall("`+", value)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}{language}\n{value}\n{fence}"
