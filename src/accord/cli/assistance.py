"""`accord feedback assistance`, and the plan of such a study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from accord.cli.feedback import interval, judgements
from accord.cli.labels import markdown
from accord.cli.terminal import plain, print_table, safe_text
from accord.errors import ConfigError

if TYPE_CHECKING:
    from accord.feedback.assistance import Assistance
    from accord.feedback.formats.source import DataSource
    from accord.feedback.meta import Arm
    from accord.statistics.intervals import Interval
    from accord.statistics.means import Estimate

_ROWS = (
    ("recall of known flaws", "recall"),
    ("false marks per judgement", "false_marks"),
    ("seconds", "seconds"),
    ("accuracy on known answers", "accuracy"),
)


def show(source: DataSource, as_json: bool) -> None:
    """Print what each arm found, and what help changed."""
    from accord.feedback.assistance import assistance

    found = assistance(judgements(source, as_json))
    if as_json:
        click.echo(json.dumps(plain(asdict(found)), indent=1))
        return
    for reason, count in found.left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}")
    _print(found)
    for note in found.notes:
        click.echo(note)


def _told(value: Interval | Estimate | None) -> str:
    if value is None:
        return "not measurable"
    if hasattr(value, "error"):
        return str(value).replace("one prompt", "one item")
    return interval(value).replace("one prompt", "one item")


def _print(found: Assistance) -> None:
    arms = found.arms
    table = [
        ("judgements", *(f"{one.judgements:,}" for one in arms.values())),
        ("items", *(f"{one.items:,}" for one in arms.values())),
        ("annotators", *(f"{one.annotators:,}" for one in arms.values())),
    ]
    whole = (*_ROWS, ("wrong claims confirmed", "confirmed_wrong"))
    table += [(name, *(_told(getattr(one, key)) for one in arms.values())) for name, key in whole]
    print_table(("", *arms), table, right=())
    if not found.contrasts:
        return
    click.echo("\nwith 95 % intervals over items")
    rows: list[tuple[str, ...]] = [
        (name, *(_told(getattr(one, key)) for one in found.contrasts.values()))
        for name, key in _ROWS
    ]
    blank = [""] * (len(found.contrasts) - 1)
    if "none" in found.contrasts:
        rows += [
            ("over-reliance: wrong claims agreed with", _told(found.over_reliance), *blank),
            ("accuracy where all claims are wrong", _told(found.misled), *blank),
        ]
    print_table(("", *(f"critique - {arm}" for arm in found.contrasts)), rows, right=())


# --- the plan -------------------------------------------------------------------------------------
def plan(
    baseline: float,
    uplift: float | None,
    power: float,
    arms: str,
    per_item: Sequence[int],
    as_json: bool,
) -> None:
    """Print how many items and judgements it takes to show an uplift."""
    from accord.feedback.assistance_plan import plan_uplift
    from accord.feedback.planning import PER_ITEM

    if uplift is None:
        raise ConfigError(
            "no uplift is given: a plan needs the difference in recall that it should show",
            "give --uplift, such as 0.15",
        )
    weights = weights_of(arms)
    plans = plan_uplift(baseline, uplift, power, weights, tuple(per_item) or PER_ITEM)
    if as_json:
        told = {"baseline": baseline, "uplift": uplift, "power": power, "arms": weights}
        click.echo(json.dumps({**told, "plans": [asdict(one) for one in plans]}))
        return
    whole = sum(weights.values())
    click.echo(
        f"to tell a recall of {baseline + uplift:.3f} with claims from {baseline:.3f} without,"
        f" with a power of {power:g}; arms: "
        + ", ".join(f"{arm} {weight / whole:.0%}" for arm, weight in weights.items())
    )
    click.echo("one flaw per item; an uplift that differs between items takes more\n")
    head = ("annotators per item", "items", "judgements", "power")
    rows = [(f"{p.per_item}", f"{p.items:,}", f"{p.judgements:,}", f"{p.power:.1%}") for p in plans]
    for line in markdown(head, rows):
        click.echo(line)


def weights_of(text: str) -> dict[Arm, int]:
    """none:critique:placebo, as whole numbers. Raises ConfigError."""
    from accord.feedback.assistance import ARMS

    parts = text.split(":")
    if len(parts) != len(ARMS) or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(
            f"--arms {text!r}", f"give whole numbers for {':'.join(ARMS)}, such as 1:1:1"
        )
    return {arm: int(part) for arm, part in zip(ARMS, parts, strict=True)}
