"""`accord compare`: runs side by side in the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from accord.cli.terminal import print_table, safe_text
from accord.examine.measures import Measure
from accord.runs.compared_runs import QUANTITIES, ComparedRun, RunComparison, compare_runs

SHORTEST = ("win_rate", "gold_gain", "proxy_gain", "kl", "entropy")
"""Measures of an arm that are shown unless all are asked for."""


def show(folders: Sequence[Path], everything: bool, as_json: bool) -> None:
    """Print the comparison."""
    found = compare_runs(folders)
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    _print(found, everything)


def _print(found: RunComparison, everything: bool) -> None:
    names = [run.name for run in found.runs]
    rows = [["verdict", *(run.outcome for run in found.runs)]]
    known = dict.fromkeys(fact for run in found.runs for fact in run.facts)
    rows += [[fact, *(run.facts.get(fact, "–") for run in found.runs)] for fact in known]
    print_table(("", *names), rows, right=())
    for run in found.runs:
        if run.reason:
            click.echo(safe_text(f"  {run.name}: {run.reason}"))
        if run.missing:
            click.echo(safe_text(f"  {run.name}: {run.missing}"))
    if found.settings:
        click.secho("\nSettings that differ", bold=True)
        print_table(("setting", *names), [[k, *v] for k, v in found.settings.items()], right=())
    shown = _measures(found.runs, everything)
    if shown:
        click.secho("\nMeasures, 95 % intervals", bold=True)
        print_table(
            ("measure", *names, "unit"),
            [[n, *(_text(run.measures.get(n)) for run in found.runs), unit] for n, unit in shown],
            right=(),
        )
    if found.paired:
        click.secho(f"\nThe same prompts: less {names[0]}", bold=True)
        rows = [
            [
                one.arm,
                one.run,
                QUANTITIES[one.quantity],
                f"{one.prompts}" + (f" ({one.unpaired} unpaired)" if one.unpaired else ""),
                one.why_not or f"{one.difference}",
            ]
            for one in found.paired
        ]
        print_table(("arm", "run", "what", "prompts", "difference"), rows, right=("prompts",))
    if not everything and shown:
        click.echo("\n--all shows every measure")


def _measures(runs: Sequence[ComparedRun], everything: bool) -> list[tuple[str, str]]:
    units = {name: one.unit for run in runs for name, one in run.measures.items()}
    return [
        (name, unit)
        for name, unit in units.items()
        if everything or name.rpartition(".")[2] in SHORTEST
    ]


def _text(one: Measure | None) -> str:
    if one is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{one.value:.3g}"
    return f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"
