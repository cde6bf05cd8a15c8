"""The files on this disk that a source names: a file, those of a directory or glob that belong
together; or none, a Hub id."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from accord.errors import DataError
from accord.feedback.formats.containers import splits
from accord.feedback.formats.containers.notes import Notes
from accord.feedback.formats.containers.saved import is_saved, saved_files, saved_splits
from accord.feedback.formats.source import DataSource

TEXT = (".jsonl", ".json", ".csv", ".tsv")
COLUMNAR = (".parquet", ".arrow")
SUFFIXES = (*TEXT, *COLUMNAR)
"""Endings of files of data; those of text also with .gz."""
_KNOWN = f"{', '.join(SUFFIXES)}, text also with .gz"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_GLOB = re.compile(r"[*?\[]")
_ABOUT = (
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
    "settings.json",
)
_ABOUT_ENDINGS = (".card.json", ".about.jsonl", ".md")
"""Files of a directory that tell about its data and are none."""
_MODEL = (
    "model.safetensors",
    "model.safetensors.index.json",
    "adapter_config.json",
    "tokenizer_config.json",
)
_ADVICE = {
    ".xlsx": "save it as CSV UTF-8", ".xls": "save it as CSV UTF-8", ".ods": "save it as CSV",
    ".txt": "rename it to what it is: .tsv for a spreadsheet's Unicode text, .jsonl for a row per line",  # noqa: E501
}  # fmt: skip


def located(source: DataSource, notes: Notes) -> list[tuple[str, Path]] | None:
    """(what messages call it, the file) of all files to read, in order; None for a Hub id.

    Raises DataError for what is not there, for settings that do not fit, and where a split is the
    user's to choose.
    """
    path = Path(source.path)
    try:
        there = path.exists()
    except (
        OSError,
        ValueError,
    ) as error:  # a name that is too long, or in a folder that may not be read
        raise DataError(
            f"{source.path[:200]!r} cannot be looked for: {error}", "check the path"
        ) from None
    if not (there or _GLOB.search(source.path)):
        if _HUB_ID.fullmatch(source.path) and _suffix(path) not in (*SUFFIXES, *_ADVICE):
            return None
        raise DataError(
            f"there is no file {source.path}", "check the path; a Hub id looks like owner/name"
        )
    if source.revision is not None:
        raise DataError(
            f"{source.path} lies here: it has no revision to choose", "leave out revision"
        )
    if path.is_dir():
        return _relative(path, _chosen(_layout(path, notes), source, notes))
    if there:
        if source.split is not None or source.config is not None:
            raise DataError(
                f"{path.name} is one file: it has no split or configuration to choose",
                "leave them out",
            )
        return [(path.name, path)]
    before = source.path[: match.start()] if (match := _GLOB.search(source.path)) else ""
    folder = Path(before) if before.endswith("/") else Path(before).parent
    layout = splits.by_names(folder, _matching(source.path, notes))
    return _relative(folder, _chosen(layout, source, notes, only=True))


def kind_of(name: str) -> str:
    """The ending that says how a file is read. Raises DataError for another."""
    suffix = _suffix(Path(name))
    if suffix not in SUFFIXES:
        raise DataError(
            f"{name}: the ending {suffix or '(none)'} is not known",
            _ADVICE.get(suffix, f"known endings: {_KNOWN}"),
        )
    if suffix in COLUMNAR and name.lower().endswith(".gz"):
        raise DataError(f"{name}: {suffix} is compressed within, not by gzip", "unpack it first")
    return suffix


def _relative(folder: Path, files: Sequence[Path]) -> list[tuple[str, Path]]:
    return [(file.relative_to(folder).as_posix(), file) for file in files]


def _chosen(
    layout: splits.Layout, source: DataSource, notes: Notes, only: bool = False
) -> list[Path]:
    files, messages = splits.chosen(layout, source.path, source.config, source.split, only)
    for line in messages:
        notes.say(line)
    return files


def _layout(folder: Path, notes: Notes) -> splits.Layout:
    if is_saved(folder):
        return splits.Layout({"": {None: saved_files(folder)}})
    if (saved := saved_splits(folder)) is not None:
        return splits.Layout({"": {name: saved_files(inner) for name, inner in saved.items()}})
    if held := next((name for name in _MODEL if (folder / name).is_file()), None):
        raise DataError(
            f"{folder} is a model's directory (it holds {held}), not data",
            "name a file or directory of data",
        )
    places = (
        f
        for f in sorted(folder.rglob("*"))
        if not any(p.startswith(".") for p in f.relative_to(folder).parts)
    )
    return splits.layout_of(
        folder, _of_data([f for f in places if f.is_file()], f"{folder} holds no data file", notes)
    )


def _matching(pattern: str, notes: Notes) -> list[Path]:
    matching = [
        Path(place) for place in sorted(glob.glob(pattern, recursive=True)) if Path(place).is_file()
    ]
    return _of_data(matching, f"no data file matches {pattern}", notes)


def _of_data(files: Sequence[Path], none: str, notes: Notes) -> list[Path]:
    """The files of data among these; other kinds are said, but for those that tell about the
    data."""
    files = [
        f for f in files if f.name not in _ABOUT and not f.name.lower().endswith(_ABOUT_ENDINGS)
    ]
    data = [f for f in files if _suffix(f) in SUFFIXES]
    if not data:
        raise DataError(none, f"known endings: {_KNOWN}")
    if others := [f.name for f in files if f not in data]:
        more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
        notes.say(f"not read, as it is not data: {', '.join(others[:3])}{more}")
    return data


def _suffix(path: Path) -> str:
    return (path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix).lower()
