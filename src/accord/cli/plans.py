"""What a run is going to do, as a calm table: amounts per stage, then what was left out, notes and
examples."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from accord.cli.terminal import safe_text, table_lines
from accord.errors import AccordError
from accord.runs.parameters import Parameter, rows, shown
from accord.runs.plan import Plan

EXAMPLE = 600
"""Characters of an example that are shown."""


def lines_of(plans: Mapping[str, Plan], times: bool, runs: int = 1) -> Iterator[str]:
    """`times`: with how long each stage may take, `runs` times."""
    header = [
        "stage",
        "rows",
        "cut",
        "dropped",
        "tokens ≤",
        "updates",
        "memory",
        *(["time"] if times else []),
    ]
    table = [_cells(name, plan, times) for name, plan in plans.items()]
    used = [column for column in range(len(header)) if any(row[column] for row in table)]
    names, cells = [header[c] for c in used], [[row[c] for c in used] for row in table]
    yield from table_lines(names, cells, right=names[1:])
    if times:
        yield from ["", f"  {_in_all(plans, runs)}"]
    yield from _notes(plans)
    for name, plan in plans.items():
        if plan.example:
            yield from [
                "",
                f"  {name} learns, for example (trained part in ⟦ ⟧):",
                *_wrapped(_short(plan.example)),
            ]


def parameter_lines(parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """The value of each parameter, and the settings it feeds."""
    if parameters:
        cells = [
            (name, shown(one.default), ", ".join(one.feeds)) for name, one in parameters.items()
        ]
        yield from table_lines(("parameter", "value", "feeds"), cells, right=())
        yield ""


def declared_lines(parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """Each parameter of a recipe as it is declared."""
    if not parameters:
        yield "the recipe declares no parameters; its settings are given as STAGE.KEY=VALUE"
        return
    columns = ("parameter", "type", "default", "feeds", "meaning")
    yield from table_lines(columns, rows(parameters), right=())


def recipe_help(name: str) -> Iterator[str]:
    """What a recipe does and lets one choose; why it cannot be read."""
    from accord.runs.recipe import about, parameters_of

    yield ""
    try:
        told, parameters = about(name), parameters_of(name)
    except AccordError as error:
        yield f"error: {safe_text(error.message)}"
        if error.fix:
            yield f"  fix: {safe_text(error.fix)}"
        return
    yield f"{safe_text(name)}:"
    yield from textwrap.wrap(
        safe_text(" ".join(told.split())), 96, initial_indent="  ", subsequent_indent="  "
    )
    yield from ["", *declared_lines(parameters)]


def _cells(name: str, plan: Plan, times: bool) -> list[str]:
    dropped = sum(plan.dropped.values()) if plan.dropped is not None else None
    memory = f"{plan.memory_mib:,} MiB" if plan.memory_mib is not None else ""
    numbers = [plan.rows, plan.cut, dropped, plan.tokens, plan.steps]
    cells = [name, *("" if n is None else f"{n:,}" for n in numbers), memory]
    return [*cells, time_span(plan.seconds)] if times else cells


def time_span(seconds: tuple[float, float] | None) -> str:
    """From and to, in words; a question mark where it cannot be told."""
    from accord.report.times import duration

    if seconds is None:
        return "?"
    least, most = (
        duration(float(f"{s:.2g}")) for s in seconds
    )  # two digits are more than is known
    return least if least == most else f"{least} to {most}"


def _in_all(plans: Mapping[str, Plan], runs: int) -> str:
    known = [plan.seconds for plan in plans.values() if plan.seconds is not None]
    if not known:
        return "how long it takes cannot be told before the run has the data and the model"
    total = time_span((sum(s[0] for s in known), sum(s[1] for s in known)))
    rest = (
        ""
        if len(known) == len(plans)
        else "; stages with ? not counted: their data or model is not there yet"
    )
    each = f" for each of {runs} seeds" if runs > 1 else ""
    return f"{total} in all{each}, from a step measured on this machine{rest}"


def _notes(plans: Mapping[str, Plan]) -> Iterator[str]:
    width = max(map(len, plans), default=0)
    yield ""
    for name, plan in plans.items():
        notes = list(plan.notes)
        if plan.dropped:
            notes.append(
                "dropped: "
                + ", ".join(f"{count:,} {reason}" for reason, count in plan.dropped.items())
            )
        for number, note in enumerate(notes):
            label = name if number == 0 else ""
            yield from _wrapped(safe_text(note), f"  {label.ljust(width)}   ", " " * (width + 5))


def _wrapped(text: str, first: str = "    ", rest: str = "    ") -> Sequence[str]:
    columns = max(60, min(120, shutil.get_terminal_size((100, 20)).columns))
    lines = [
        line
        for part in safe_text(text).split("\n")
        for line in (textwrap.wrap(part, columns - len(rest), break_long_words=True) or [""])
    ]
    return [(first if number == 0 else rest) + line for number, line in enumerate(lines)]


def _short(text: str) -> str:
    """Both ends of a long example: what is trained stands at its end."""
    if len(text) <= EXAMPLE:
        return text
    return (
        f"{text[: EXAMPLE // 2]} … ({len(text) - EXAMPLE:,} characters) … {text[-EXAMPLE // 2 :]}"
    )
