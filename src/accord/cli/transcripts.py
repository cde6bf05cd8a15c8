"""`accord feedback debate`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from accord.cli.feedback import judgements
from accord.cli.terminal import print_table, safe_text

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource


def show(source: DataSource, as_json: bool) -> None:
    """Print how often each arm's transcripts let people choose the right answer."""
    from accord.feedback.transcript_verdicts import transcript_verdicts

    arms, left_out = transcript_verdicts(judgements(source, as_json))
    if as_json:
        told = {name: {**vars(one), "right": one.right.model_dump()} for name, one in arms.items()}
        click.echo(json.dumps({"arms": told, "left_out": left_out}, indent=1))
        return
    for reason, count in left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}")
    rows = [
        (
            safe_text(name),
            f"{one.verdicts:,}",
            f"{one.annotators:,}",
            f"{one.transcripts:,}",
            one.right.percent.replace("one prompt", "one transcript"),
        )
        for name, one in arms.items()
    ]
    print_table(
        ("arm", "verdicts", "annotators", "transcripts", "right"),
        rows,
        right=("verdicts", "annotators", "transcripts"),
    )
