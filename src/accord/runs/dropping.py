"""More rows dropped than a stage allows: refused with the limits at fault, and those that would
keep nearly all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accord.errors import DataError
from accord.runs.context import StageContext
from accord.text.dropping import KEPT, Need, limits_that_keep

BOUNDLESS = 10**9


def refuse_dropping(
    lost: Sequence[Need],
    needs: Sequence[Need],
    limits: Mapping[str, int | None],
    context: StageContext,
    unreadable: int = 0,
) -> None:
    """Raise DataError when `lost` of the rows with these `needs` are more than the stage allows.

    limits: the settings at fault by name, first the prompts', then the responses'; None: no limit.
    """
    rows = len(needs) + unreadable
    gone = len(lost) + unreadable
    if not lost or gone <= context.allow_dropped * rows:
        return
    needed, share = _enough(needs, limits, context.allow_dropped)
    names = [name for name, value in limits.items() if value is not None and needed[name] > value]
    one = len(names) == 1
    more = f", and {unreadable:,} more cannot be read" if unreadable else ""
    raise DataError(
        f"{' and '.join(f'{name} = {limits[name]}' for name in names)} {'drops' if one else 'drop'}"
        f" {len(lost):,} of {rows:,} rows{more}; at most {context.allow_dropped:.0%} may be"
        " dropped",
        f"{' and '.join(f'{name}: {needed[name]}' for name in names)} {'keeps' if one else 'keep'}"
        f" {share:.0%} of them; or allow it: {allowing(rounded_up(gone, rows), context)}",
    )


def _enough(
    needs: Sequence[Need], limits: Mapping[str, int | None], allowed: float
) -> tuple[dict[str, int], float]:
    """(limits that keep nearly all rows, and no fewer than asked for; the share they keep)."""
    prompt, response = (BOUNDLESS if value is None else value for value in limits.values())
    for share in (max(KEPT, 1 - allowed), 1.0):
        enough = limits_that_keep(needs, prompt, response, share)
        if enough != (prompt, response):
            break
    return dict(zip(limits, enough, strict=True)), share


def allowing(share: float, context: StageContext) -> str:
    """The setting that lets so many rows be dropped, as it is written in a recipe and on the
    command line."""
    return f"allow_dropped: {share:g} ({context.name}.allow_dropped={share:g} on the command line)"


def rounded_up(part: int, whole: int) -> float:
    """The share in hundredths, rounded up: allowing so much allows this."""
    return -(-100 * part // whole) / 100
