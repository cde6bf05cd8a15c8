"""Directories that `datasets.save_to_disk` wrote: which Arrow files they are, in which order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accord.errors import DataError

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """A directory that `Dataset.save_to_disk` wrote."""
    return (folder / _STATE).is_file()


def saved_splits(folder: Path) -> dict[str, Path] | None:
    """Split and folder of each of a `DatasetDict.save_to_disk` directory; None for any other."""
    if not (folder / _SPLITS).is_file():
        return None
    names = _json(folder / _SPLITS).get("splits")
    if not isinstance(names, list) or not all(
        isinstance(name, str) and name and "/" not in name for name in names
    ):
        raise DataError(f"{folder / _SPLITS} names no splits", "save the data set again")
    return {name: folder / name for name in names}


def saved_files(folder: Path) -> list[Path]:
    """The Arrow files of a saved data set, in order. Raises DataError for a missing one, or for
    rows in another order."""
    state = _json(folder / _STATE)
    file_list = state.get("_data_files")
    if not isinstance(file_list, list) or not all(
        isinstance(f, dict) and isinstance(f.get("filename"), str) for f in file_list
    ):
        raise DataError(f"{folder / _STATE} names no files", "save the data set again")
    if state.get("_indices_data_files"):
        raise DataError(
            f"{folder} holds rows in another order than their files",
            "save it with flatten_indices()",
        )
    files = [folder / Path(f["filename"]).name for f in file_list]
    if missing := [f for f in files if not f.is_file()]:
        raise DataError(f"{missing[0]} is missing, which {_STATE} names", "is the copy complete?")
    return files


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {file}: {error}", "save the data set again") from None
    return content if isinstance(content, dict) else {}
