"""Writing feedback in another format: shared by `accord data convert` and `accord feedback
export`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from accord.cli.terminal import safe_text
from accord.errors import ConfigError
from accord.feedback.formats.anonymous import Pseudonyms
from accord.feedback.formats.card import card_paths, card_text, data_card
from accord.feedback.formats.exports import Exported, export
from accord.feedback.formats.losses import TABLES
from accord.feedback.records import Feedback
from accord.files import write_json, write_jsonl, write_text
from accord.spreadsheets import csv_text


@dataclass(frozen=True)
class Loaded:
    """Records of a source, and what reading it lost: rows, and parts of rows, by reason."""

    records: list[Feedback]
    dropped: Mapping[str, int]
    not_read: Mapping[str, int]


@dataclass(frozen=True)
class ExportOptions:
    """columns: also write who, when, in which order shown and how many agree; card: a data card
    beside the export;
    hash_annotators, salt: see `Pseudonyms` (without a salt one is made and shown once)."""

    columns: bool = False
    card: bool = False
    hash_annotators: bool = False
    salt: str | None = None


def write_export(loaded: Loaded, destination: Path, shape: str, options: ExportOptions) -> None:
    """Write records as `shape`; print what was written and what the format cannot hold, with the
    reasons."""
    exported = export(loaded.records, shape)
    if not exported.rows:
        why = (
            "; ".join(f"{reason} ({n:,})" for reason, n in exported.left_out.items())
            or "there are none"
        )
        raise ConfigError(
            f"none of the {len(loaded.records):,} records can be written as {shape}: {why}",
            "choose another --to",
        )
    if options.salt is not None and not options.hash_annotators:
        raise ConfigError(
            "--salt without --hash-annotators",
            "add --hash-annotators, or leave out --salt and ACCORD_SALT",
        )
    about_file = (
        destination.with_suffix(".about.jsonl")
        if exported.has_about_file and options.columns and exported.about
        else None
    )
    paths = [
        destination,
        *([about_file] if about_file else []),
        *(card_paths(destination) if options.card else ()),
    ]
    check_free(paths)
    _check_suffix(destination, shape)
    names = _pseudonyms(loaded.records, options)
    rows = exported.full_rows() if options.columns else exported.rows
    _write(destination, [names.row(row) for row in rows] if names else rows, shape)
    if about_file is not None:
        write_jsonl(
            about_file, [names.row(row) for row in exported.about] if names else exported.about
        )
    if options.card:
        _write_card(loaded, exported, destination, names)
    _report(exported, paths)


def check_free(paths: Sequence[Path]) -> None:
    """Raises ConfigError when one of the files is there already."""
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path} exists", "choose another name; nothing is overwritten")


def _check_suffix(destination: Path, shape: str) -> None:
    wanted = ".csv" if shape in TABLES else ".jsonl"
    if destination.suffix != wanted:
        raise ConfigError(
            f"{shape} is written as {wanted[1:].upper()}, not as {destination.name}",
            f"end the name in {wanted}",
        )


def _pseudonyms(records: Sequence[Feedback], options: ExportOptions) -> Pseudonyms | None:
    if not options.hash_annotators:
        return None
    if options.salt is None:
        salt = secrets.token_hex(16)
        click.echo(
            f"salt: {salt}  (keep it secret; give it as --salt to get the same names again; it is "
            "stored nowhere)"
        )
    else:
        salt = options.salt
    return Pseudonyms.of(records, salt)


def _write(destination: Path, rows: Sequence[dict[str, Any]], shape: str) -> None:
    if shape not in TABLES:
        write_jsonl(destination, rows)
        return
    write_text(destination, csv_text(rows))


def _write_card(
    loaded: Loaded, exported: Exported, destination: Path, names: Pseudonyms | None
) -> None:
    card = data_card(
        loaded.records,
        exported,
        dropped=loaded.dropped,
        not_read=loaded.not_read,
        name=names.name if names else str,
    )
    page, data = card_paths(destination)
    write_text(page, card_text(card, destination.name))
    write_json(data, card)


def _report(exported: Exported, paths: Sequence[Path]) -> None:
    left_out = sum(exported.left_out.values())
    click.echo(
        f"{paths[0]}: {len(exported.rows):,} rows of {exported.shape}; {left_out:,} records left "
        "out, which it cannot hold"
    )
    for reason, count in (*exported.left_out.items(), *exported.lost.items()):
        click.echo(f"  left out {count:,}: {safe_text(reason)}")
    if len(paths) > 1:
        click.echo(f"beside it: {', '.join(path.name for path in paths[1:])}")
