"""A model's card (README.md): what its run directory says about where it comes from and how it did.

Nothing is made up: what the directory does not hold is said to be unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from accord.files import write_text
from accord.runs.context import RESULT

CARD = "README.md"
HASH = 16
"""Characters of a checksum that are shown."""
USE = {
    "model": (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("{name}", dtype="auto")\n'
        'tokenizer = AutoTokenizer.from_pretrained("{name}")'
    ),
    "classifier": (
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("{name}", dtype="auto")\n'
        'tokenizer = AutoTokenizer.from_pretrained("{name}")\n'
        "# score of a conversation rendered by the chat template, up to the reply's stop token:\n"
        "# model(**tokenizer(text, return_tensors='pt')).logits[:, 0] + model.config.score_offset"
    ),
}


def write_card(source: str, folder: Path, form: str, notes: Mapping[str, str]) -> Path:
    """Write the card of the model in `folder`, exported as `form` from `source`: a directory below
    a run's stage, or any other name; `notes` are further facts."""
    write_text(folder / CARD, card(source, folder.name, form, notes))
    return folder / CARD


def card(source: str, name: str, form: str, notes: Mapping[str, str]) -> str:
    """The card's text."""
    stage = _stage_of(Path(source))
    run = stage.parents[1] if stage else None
    head = {"library_name": "transformers", "tags": ["accord"]}
    head |= {} if form == "model" else {"pipeline_tag": "text-classification"}
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {_text(name)}",
        _origin(source, stage),
        *([_verdict(run)] if run else []),
        "## Facts\n\n" + "\n".join(f"- {_text(k)}: {_text(v)}" for k, v in notes.items()),
        f"## Use\n\n{_fenced(USE[form].format(name=name), 'python')}",
        *([_lineage(run), _settings(stage), _made_with(run)] if stage and run else []),
        "## Licence\n\nThat of the base model and of the data: see there. None was added.",
    ]
    return "\n\n".join(parts) + "\n"


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
