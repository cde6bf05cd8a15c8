"""`accord examine`: question sets put to policies, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli.terminal import print_table
from accord.errors import ConfigError
from accord.files import write_json

if TYPE_CHECKING:
    from accord.runs.behaviour.comparing import Behaviour, Change, Line
    from accord.runs.behaviour.sets import Policy, QuestionSet
    from accord.statistics.means import Estimate


def examine(
    policies: Mapping[str, str],
    named: Sequence[str],
    limit: int,
    seed: int,
    max_new_tokens: int,
    trained_on: Sequence[Path],
    out: Path | None,
    dry_run: bool,
) -> None:
    """Load the sets, ask, print the table; the first policy is what the others are compared
    with."""
    from accord.runs.behaviour import sets

    questions = [
        sets.load(name, path, limit, seed, max_new_tokens) for name, path in map(_named, named)
    ]
    for one in questions:
        click.echo(f"{one.name}: {len(one.rows):,} of {one.whole:,} items{_left_out(one)}")
    if dry_run:
        click.echo(f"policies: {', '.join(f'{arm} = {ref}' for arm, ref in policies.items())}")
        return
    from accord.cli.run import quiet_libraries
    from accord.runs.behaviour.comparing import compare

    quiet_libraries()
    found = compare(
        questions,
        {arm: _loader(reference) for arm, reference in policies.items()},
        _texts(trained_on) if trained_on else None,
        lambda arm, name: click.echo(f"asking {arm}: {name}", err=True),
    )
    if out is not None:
        write_json(out, found.model_dump(mode="json"))
    _print(found, list(policies))


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ConfigError(f"{text!r} names no set", "write --set NAME=FILE")
    return name, Path(path)


def _loader(reference: str) -> Callable[[], Policy]:
    def load() -> Policy:
        from accord.runs.behaviour.answering import LocalPolicy

        return LocalPolicy(reference)

    return load


def _texts(files: Sequence[Path]) -> Iterator[str]:
    """Every text in files of rows, however deep it lies, and every line of other text files."""
    from accord.feedback.formats.reading import SUFFIXES, read_rows

    for path in files:
        if not path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
            with path.open(encoding="utf-8") as lines:
                yield from lines
            continue
        read = read_rows(str(path))
        for reason, count in read.dropped.items():
            click.echo(f"{path}: {count:,} rows not looked at: {reason}", err=True)
        yield from _strings([row for _, row in read.rows])


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        inside: Iterable[object] = value.values() if isinstance(value, dict) else value
        for part in inside:
            yield from _strings(part)


def _left_out(one: QuestionSet) -> str:
    parts = [f"{count} left out: {reason}" for reason, count in one.left_out.items()]
    return "".join(f"; {part}" for part in parts)


def _print(found: Behaviour, arms: Sequence[str]) -> None:
    rows = [row for line in found.lines for row in _rows(line, arms)]
    columns = ("set", "measure", "n", *arms, *(f"{a} - {arms[0]}" for a in arms[1:]), "chance", "")
    print_table(columns, rows, right=("n",))
    for name, reason in found.not_measurable.items():
        click.echo(f"{name}: not measurable: {reason}")
    for name, (exact, overlapping) in (found.contamination or {}).items():
        if exact or overlapping:
            click.secho(
                f"{name}: {exact} items were trained on word by word, {overlapping} share a run of"
                " 13 words with what was: these numbers say less than they seem to",
                fg="yellow",
            )
    if found.contamination is None:
        click.echo("contamination: not looked for; name what was trained on with --trained-on")
    click.echo("* beyond chance when all changes are asked (false discoveries at most 5 %)")


def _rows(line: Line, arms: Sequence[str]) -> Iterator[tuple[str, ...]]:
    control = f"{line.control[0]}: {line.control[1]:.3g}" if line.control else ""
    yield (
        line.set,
        line.measure,
        f"{line.items:,}",
        *(_shown(line.arms.get(arm)) for arm in arms),
        *(_changed(line.changes.get(arm)) for arm in arms[1:]),
        "" if line.chance is None else f"{line.chance:.3g}",
        control,
    )


def _shown(estimate: Estimate | None) -> str:
    return "–" if estimate is None else str(estimate)


def _changed(change: Change | None) -> str:
    if change is None:
        return "–"
    if change.believed:
        return f"{change.change} *"
    seen = "" if change.visible is None else f" (below {change.visible:.2g} unseen)"
    return f"{change.change}{seen}"
