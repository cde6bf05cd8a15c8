"""`accord data`: what is learned from, checked, planted in and converted. Only click is imported
here, as in main.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from accord.cli.export_options import SHAPES
from accord.cli.sources import source as source_argument
from accord.cli.terminal import guarded

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource


@click.group()
def data() -> None:
    """Look at data before training on it."""


@data.command("check")
@source_argument("file")
@click.option("--examples", default=2, show_default=True, help="Examples to show.")
@click.option(
    "--model",
    help="Also count tokens with this model's tokenizer (directory, accord:NAME or Hub id).",
)
@click.option(
    "--max-prompt", default=64, show_default=True, help="With --model: longest prompt, in tokens."
)
@click.option(
    "--max-response",
    default=64,
    show_default=True,
    help="With --model: longest response, in tokens.",
)
@click.option(
    "--too-long", type=click.Choice(["drop", "cut", "error"]), default="drop", show_default=True,
    help="With --model: what to do with longer rows.",
)  # fmt: skip
@guarded
def data_check(
    file: DataSource,
    examples: int,
    model: str | None,
    max_prompt: int,
    max_response: int,
    too_long: Literal["error", "drop", "cut"],
) -> None:
    """Recognise FILE's format; count kept, cut and dropped rows; show examples.

    FILE is JSONL, JSON, CSV (also gzipped), Parquet or Arrow, a directory or glob of them, or a Hub
    id.
    """
    from accord.cli import data

    data.check(file, examples)
    if model is not None:
        from accord.cli.run import quiet_libraries

        quiet_libraries()
        data.check_lengths(file, model, max_prompt, max_response, too_long)


@data.command("plant")
@click.argument("destination", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--as",
    "form",
    type=click.Choice(["sft", "preferences"]),
    default="sft",
    show_default=True,
    help="Rows of prompt and completion, or of prompt, chosen and rejected.",
)
@click.option(
    "--each",
    type=click.IntRange(1, 18),
    default=4,
    show_default=True,
    help="Secrets for each number of repeats (1, 2, 4, ..., 64).",
)
@click.option("--seed", default=0, show_default=True, help="Of secrets and their order.")
@guarded
def data_plant(
    destination: Path, form: Literal["sft", "preferences"], each: int, seed: int
) -> None:
    """Write canaries to train on to DESTINATION, and beside it what they are.

    Name both files as data, [yours, DESTINATION], then ask the tuned model how much it remembers:

    \b
    accord data plant canaries.jsonl
    accord examine --base BASE --policy SFT --set canaries=canaries.secrets.jsonl
    """
    from accord.cli import data

    data.plant(destination, form, each, seed)


@data.command("convert")
@source_argument("file")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "shape", default="accord", show_default=True, help=SHAPES)
@guarded
def data_convert(file: DataSource, destination: Path, shape: str) -> None:
    """Write FILE in another format to DESTINATION (JSONL, or CSV for tables)."""
    from accord.cli import data

    data.convert(file, destination, shape)
