"""Rows of a data set of the Hub, through `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accord.errors import DataError
from accord.feedback.formats.containers.columnar import json_value, without_gaps
from accord.feedback.formats.containers.notes import Notes, NumberedRow
from accord.feedback.formats.containers.splits import pick, pick_config
from accord.feedback.formats.source import DataSource


def hub_rows(source: DataSource, notes: Notes) -> Iterator[NumberedRow]:
    """Rows of the split asked for, or of the single one of training. Raises DataError with the
    choice where there is one."""
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{source.path} is not a local file, and reading from the Hub needs datasets",
            'pip install "accord[hub]"',
        ) from None
    name, revision = source.path, source.revision
    if source.encoding is not None:
        raise DataError(f"{name} is of the Hub, where text is UTF-8", "leave out encoding")
    try:
        known = list(datasets.get_dataset_config_names(name, revision=revision))
        default = datasets.get_dataset_default_config_name(name, revision=revision)
        config, messages = pick_config(known, default, name, source.config)
        splits = list(datasets.get_dataset_split_names(name, config_name=config, revision=revision))
        split = pick(splits, str(source), source.split)
        rest = [one for one in splits if one != split]
        for line in [
            *messages,
            *([f"{name}: read the split {split}; not read: {', '.join(rest)}"] if rest else []),
        ]:
            notes.say(line)
        data = datasets.load_dataset(
            name, config, split=split, revision=revision, streaming=source.streaming
        )
        for i, row in enumerate(data, 1):
            yield (
                f"{name} row {i}",
                without_gaps({column: json_value(value) for column, value in row.items()}),
            )
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"cannot load {name!r} from the Hub: {_first_line(error)}",
            "check the name, split, config and revision, and the network; or give a local file",
        ) from error


def _first_line(error: Exception) -> Any:
    return (str(error).splitlines() or [type(error).__name__])[0]
