"""`accord watch`: runs as they go, and their curves to trackers."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from accord.cli.terminal import safe_text
from accord.errors import ConfigError
from accord.report.live import WatchedRun, WatchedStage, sparkline
from accord.report.sinks.sending import SinkPosition, check_sinks, send_all
from accord.report.times import duration
from accord.runs.listing import at_work, summary
from accord.runs.runner import RECIPE, resuming

EVERY_SECONDS = 2.0
STYLES = {"running": "bold", "failed": "bold red", "stopped": "yellow", "waiting": "dim"}


def watch(places: Sequence[Path], to: Sequence[str], once: bool) -> None:
    """Show the runs until none is at work; send what is new to trackers meanwhile."""
    check_sinks(to)
    folders = [folder for place in places for folder in runs_of(place)]
    watched = {folder: WatchedRun(folder) for folder in folders}
    if once or not any(map(at_work, folders)):
        for folder in folders:
            send_all(folder, to, lambda text: click.echo(safe_text(text)))
        Console(width=None if sys.stdout.isatty() else 120).print(_page(watched))
        return
    positions = [SinkPosition(name, folder, click.echo) for folder in folders for name in to]
    try:
        with Live(_page(watched), auto_refresh=False, screen=False) as live:
            while any(map(at_work, folders)):
                for position in positions:
                    position.send()
                live.update(_page(watched), refresh=True)
                time.sleep(EVERY_SECONDS)
            live.update(_page(watched), refresh=True)
    finally:
        for position in positions:
            position.send(now=True)
            if not at_work(position.run_dir):  # a run that goes on stays open with its trackers
                position.close(finished=True)


def watch_page(places: Sequence[Path], port: int | None) -> None:
    """The same as a page, until Ctrl-C; runs that begin later in a folder come to it."""
    from accord.cli.watch_page import serve_page
    from accord.report.live_page import LiveRuns

    def find() -> list[Path]:
        return [folder for place in places for folder in runs_of(place)]

    find()  # says what is wrong before anything is served
    serve_page(LiveRuns(find, at_work, _headline), places, port)


def runs_of(place: Path) -> list[Path]:
    """The run in `place`, the seeds of a study there, or the runs of a folder, latest first. Raises
    ConfigError where there is none."""
    seeds = sorted(folder.parent for folder in place.glob(f"seed-*/{RECIPE}"))
    if seeds:
        return seeds
    if (place / RECIPE).is_file():
        return [place]
    found = sorted(place.glob(f"*/{RECIPE}"), key=lambda path: -path.stat().st_mtime)
    if not found:
        summary(place)  # its error names what is near
        raise ConfigError(f"there are no runs in {place}", "accord runs list shows them")
    return [path.parent for path in found]


def _page(watched: dict[Path, WatchedRun]) -> Group:
    parts: list[Text | Table] = []
    for folder, run in watched.items():
        busy = at_work(folder)
        run.look(busy)
        parts += [Text(_headline(folder, run, busy), style="bold"), _stages(run)]
        for stage in run.stages:
            if stage.alarm:
                parts.append(Text(f"  alarm in {stage.name}: {safe_text(stage.alarm)}", "red"))
        if run.broken:
            parts.append(Text(f"  {run.broken} lines of metrics.jsonl cannot be read", "yellow"))
        parts.append(Text(""))
    return Group(*parts)


def _headline(folder: Path, run: WatchedRun, busy: bool) -> str:
    done = sum(stage.state == "done" for stage in run.stages)
    if busy:
        state = "running"
    elif done == len(run.stages):
        report = folder / "report.html"
        state = f"done; report: {report}" if report.is_file() else "done"
    else:
        state = f"not running; continue: {resuming(folder)}"
    return safe_text(f"{folder}: {run.name}, {done} of {len(run.stages)} stages done, {state}")


def _stages(run: WatchedRun) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 2, 0, 0))
    for column in ("stage", "state", "done", "left", "curves, first → last"):
        table.add_column(column, overflow="fold")
    for stage in run.stages:
        style = STYLES.get(stage.state, "")
        progress = f"{stage.done:,}/{stage.total:,}" if stage.total else ""
        left = "" if stage.left is None else duration(stage.left)
        cells = (stage.name, stage.state, progress, left, _curves(stage))
        table.add_row(*(Text(safe_text(cell), style=style) for cell in cells))
    return table


def _curves(stage: WatchedStage) -> str:
    lines = []
    for name in stage.headlines():
        values = [value for _, value in stage.curves[name]]
        lines.append(f"{name} {values[0]:.4g} {sparkline(values)} {values[-1]:.4g}")
    if stage.note and (stage.state == "failed" or not lines):
        lines.append(stage.note)
    return "\n".join(lines)
