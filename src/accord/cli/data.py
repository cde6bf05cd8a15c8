"""`accord data`: what a file holds, how long its rows are in a model's tokens, and other formats of
it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from accord.cli.exporting import ExportOptions, Loaded, check_free, write_export
from accord.cli.terminal import safe_text
from accord.feedback.formats import check_file, read_feedback
from accord.feedback.formats.source import DataSource
from accord.feedback.records import Demonstration, Feedback, to_json


def check(file: DataSource, examples: int) -> None:
    """Print the format, the counts and some examples."""
    for line in check_file(file).lines(examples):
        click.echo(safe_text(line))


def check_lengths(
    file: DataSource,
    model: str,
    max_prompt: int,
    max_response: int,
    too_long: Literal["error", "drop", "cut"],
) -> None:
    """Print how many rows a length policy keeps, cuts and drops under `model`'s tokenizer, and a
    decoded example."""
    from accord.models.huggingface import load_tokenizer
    from accord.models.loading import locate_model
    from accord.text.encoding import Encoder
    from accord.text.lengths import fit_lengths

    encoder, read = Encoder(load_tokenizer(locate_model(model))), read_feedback(file)
    rows = [
        (prompt, answer, record.id)
        for record in read.records
        for prompt, answer in _answers(record)
    ]
    encoded = [
        encoder.example(prompt, answer, row=row) for prompt, answer, row in rows if answer.strip()
    ]
    empty = {"empty answer": len(rows) - len(encoded)} if len(rows) > len(encoded) else {}
    click.echo(
        f"\nprompts with their answers, in tokens of {model} (limits {max_prompt} and "
        f"{max_response}, {too_long}):"
    )
    _, table = fit_lengths(encoded, encoder, max_prompt, max_response, too_long, empty)
    for line in table.lines():
        click.echo(f"  {safe_text(line)}")


def _answers(record: Feedback) -> list[tuple[Any, Any]]:
    prompt = record.asked
    if isinstance(record.choice, Demonstration):
        return [(prompt, to_json(record.choice.content))]
    return [(prompt, to_json(option.content)) for option in record.options]


def plant(destination: Path, form: Literal["sft", "preferences"], each: int, seed: int) -> None:
    """Write rows that hold secrets, and beside them the secrets with their repeats."""
    from dataclasses import asdict

    from accord.examine.behaviour.canaries import canaries, planted
    from accord.files import write_jsonl

    record = destination.with_suffix(".secrets.jsonl")
    check_free([destination, record])
    secrets = canaries(each, seed)
    rows = planted([], secrets, form, seed)
    write_jsonl(destination, rows)
    write_jsonl(record, [asdict(one) for one in secrets])
    click.echo(f"{len(secrets)} secrets in {len(rows):,} rows: {destination}; kept: {record}")


def convert(file: DataSource, destination: Path, shape: str) -> None:
    """Write `file` in another format; what that format cannot hold is counted."""
    check_free([destination])
    read = read_feedback(file)
    write_export(
        Loaded(read.records, read.dropped, read.left_out), destination, shape, ExportOptions()
    )
    for line in read.messages:
        click.echo(safe_text(line))
    lost = sum(read.dropped.values())
    click.echo(
        f"{read.shape}: {read.rows:,} rows read, {lost:,} dropped (accord data check says why)"
    )
