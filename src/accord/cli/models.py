"""`accord models merge`: an adapter and its base as one plain model."""

from __future__ import annotations

from pathlib import Path

import click

from accord.errors import ConfigError


def merge(adapter: str, destination: Path) -> None:
    """Write the merged model; it is compared with the adapter on its base, and read again."""
    from accord.models.loading import load_causal_lm, merge_adapter, save_causal_lm
    from accord.runs.known import check_merging

    if destination.exists():
        raise ConfigError(f"{destination} exists", "choose a new directory")
    check_merging(adapter)
    save_causal_lm(merge_adapter(load_causal_lm(adapter)), destination)
    click.echo(f"{adapter} and its base → {destination}\n  read again: it says what they say")
