"""`accord zoo`: broken and healthy runs, and how often the verdict on them is wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli.terminal import print_table
from accord.errors import ConfigError
from accord.files import write_json
from accord.runs import environment
from accord.runs.context import StageProgress

if TYPE_CHECKING:
    from accord.examine.error_rates import ErrorRates
    from accord.runs.zoo.running import ZooCell


class CellProgress(StageProgress):
    """A line per cell; the stage under way on a terminal."""

    def begin(self, stage: str) -> None:
        """A stage starts."""
        if sys.stderr.isatty():
            click.echo(f"\r\033[Krunning {stage}", nl=False, err=True)

    def done(self, line: str) -> None:
        """A cell has finished."""
        if sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
        click.echo(line, err=True)


def list_kinds(acting: bool) -> None:
    """Print every kind whose policy responds, or acts."""
    from accord.runs.zoo.acting import ACTING
    from accord.runs.zoo.kinds import KINDS

    rows = [
        (k.name, "broken" if k.broken else "healthy", " or ".join(k.expected), k.about)
        for k in (ACTING if acting else KINDS).values()
    ]
    print_table(("kind", "is", "right outcome", "what it is"), rows, right=())


def run_zoo(
    seeds: int,
    size: str,
    only: Sequence[str],
    kept: Path,
    write: Sequence[Path],
    as_json: bool,
    dry_run: bool,
) -> None:
    """Run what is not kept yet, then print the tables."""
    from accord.runs.zoo.kinds import KINDS
    from accord.runs.zoo.summary import BEGIN

    names = _named(only, KINDS, write)
    threads = environment.prepare(1)
    from accord.cli.run import quiet_libraries
    from accord.models.tuning import tune
    from accord.runs.runner import make_directory
    from accord.runs.session import InterruptFlag
    from accord.runs.zoo.kinds import SIZES
    from accord.runs.zoo.running import cell, run_cells
    from accord.runs.zoo.summary import rates_of

    cells = [cell(KINDS[n], s, SIZES[size], kept) for s in range(1, seeds + 1) for n in names]
    if dry_run:
        _plan(cells, kept)
        return
    quiet_libraries()
    tune(threads, "fp32")
    make_directory(kept)
    progress = CellProgress()
    before = {one.evidence_file for one in cells if one.done}

    def finished(place: int, one: ZooCell) -> None:
        how = (
            "done before" if one.evidence_file in before else f"{one.cpu_seconds():.0f} CPU-seconds"
        )
        progress.done(f"{place + 1}/{len(cells)} {one.kind.name}, seed {one.seed}: {how}")

    with InterruptFlag() as interrupt:
        run_cells(cells, progress, interrupt, finished)
    _tell(rates_of(cells, size), write, BEGIN, as_json)


def run_acting(
    seeds: int, only: Sequence[str], write: Sequence[Path], as_json: bool, dry_run: bool
) -> None:
    """The same of policies that act, in worlds of the gallery: solved in seconds, nothing is
    kept."""
    from accord.runs.zoo.acting import ACTING
    from accord.runs.zoo.summary import ACTING_BEGIN

    names = _named(only, ACTING, write)
    if dry_run:
        click.echo(f"{len(names) * seeds} runs, {len(names)} kinds; nothing is kept")
        return
    environment.prepare(1)
    from accord import __version__
    from accord.examine.error_rates import error_rates
    from accord.runs.zoo.acting import acting_runs

    used = list(range(1, seeds + 1))
    runs = list(acting_runs([ACTING[name] for name in names], used))
    _tell(error_rates(runs, __version__, "exact", used), write, ACTING_BEGIN, as_json)


def _tell(rates: ErrorRates, write: Sequence[Path], mark: str, as_json: bool) -> None:
    for path in write:
        _write(path, rates, mark)
    if as_json:
        click.echo(rates.model_dump_json(indent=1))
    else:
        show_rates(rates)


def _named(only: Sequence[str], kinds: Mapping[str, object], write: Sequence[Path]) -> list[str]:
    from accord.validation import suggest

    for name in only:
        if name not in kinds:
            raise ConfigError(
                f"the zoo has no kind {name!r}",
                f"{suggest(name, list(kinds))}accord zoo --kinds lists them, and with --acting"
                " those whose policies act",
            )
    if write and only:
        raise ConfigError(
            "--write writes what all kinds say together", "leave out --only, or --write"
        )
    return list(dict.fromkeys(only)) or list(kinds)


def _plan(cells: Sequence[ZooCell], kept: Path) -> None:
    steps = {step.folder: step for one in cells for step in one.steps.values()}
    todo = [step for step in steps.values() if not step.done]
    finished = sum(one.done for one in cells)
    click.echo(f"{len(cells)} cells, {finished} finished before; cache: {kept}")
    click.echo(f"{len(todo)} of {len(steps)} stages to run, shared ones counted once:")
    counts: dict[str, int] = {}
    for step in todo:
        counts[step.name] = counts.get(step.name, 0) + 1
    print_table(("stage", "times"), [(n, str(c)) for n, c in counts.items()], right=("times",))


def _write(path: Path, rates: ErrorRates, mark: str) -> None:
    from accord.runs.zoo.summary import write_into

    if path.suffix == ".json":
        write_json(path, rates.model_dump(mode="json"))
    elif path.suffix == ".md":
        write_into(path, rates, mark)
    else:
        raise ConfigError(
            f"--write {path}: neither .json nor .md", "name a JSON file, or a page with the marks"
        )


def show_rates(rates: ErrorRates) -> None:
    """Print the confusion matrix, the rates, alarms and early warnings."""
    from accord.runs.zoo import summary

    print_table(summary.HEADS["outcomes"], summary.outcome_rows(rates), right=())
    click.echo()
    print_table(summary.HEADS["rates"], summary.rate_rows(rates), right=())
    click.echo("\nalarms, by the thresholds in use")
    print_table(summary.HEADS["alarms"], summary.alarm_rows(rates), right=())
    if rates.warnings:
        click.echo("\nearly warnings: signs half-way, broken kinds against healthy ones")
        print_table(summary.HEADS["warnings"], summary.warning_rows(rates), right=("area", "p"))
