"""From finished cells to error rates, and their table as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from accord import __version__
from accord.errors import ConfigError
from accord.examine.error_rates import OUTCOMES, AlarmRates, ErrorRates, KnownRun, Rate, error_rates
from accord.feedback.words import counted
from accord.files import write_text
from accord.runs.zoo.running import ZooCell

BEGIN, END = "<!-- zoo: written by accord zoo --write -->", "<!-- zoo: end -->"
ACTING_BEGIN = "<!-- zoo: written by accord zoo --acting --write -->"


def rates_of(cells: Sequence[ZooCell], size: str) -> ErrorRates:
    """Error rates of finished cells, of one sort alone as far as they go."""
    runs = [
        KnownRun(c.kind.name, c.kind.broken, c.kind.expected, c.kind.alarms, c.evidence())
        for c in cells
    ]
    return error_rates(runs, __version__, size, sorted({c.seed for c in cells}))


def outcome_rows(rates: ErrorRates) -> list[tuple[str, ...]]:
    """(kind, broken or healthy, outcomes, right) of each kind."""
    rows = []
    for kind, counts in rates.outcomes.items():
        right = sum(counts[outcome] for outcome in rates.expected[kind])
        rows.append(
            (
                kind.replace("_", " "),
                "broken" if rates.broken[kind] else "healthy",
                *(str(counts[outcome] or "") for outcome in OUTCOMES),
                f"{right} of {sum(counts.values())}",
            )
        )
    return rows


def rate_rows(rates: ErrorRates) -> list[tuple[str, str]]:
    """What the outcomes come to."""
    found = {
        "broken, and said to have worked": rates.missed,
        "healthy, and said to be gamed or collapsed": rates.false_alarms,
        "broken, and no alarm at all": rates.unsaid,
        "healthy, and any alarm": rates.warned,
        "broken, outcome right": rates.right_broken,
        "healthy, outcome right": rates.right_healthy,
        "broken, said to have worked by thresholds chosen on other kinds": rates.missed_chosen,
        "healthy, said to be gamed or collapsed by those": rates.false_chosen,
    }
    return [(name, "no such runs" if one is None else str(one)) for name, one in found.items()]


def alarm_rows(rates: ErrorRates) -> list[tuple[str, ...]]:
    """(alarm, caught, false, threshold, the best one here, whether it beats chance) of each."""

    def shown(one: Rate | None) -> str:
        return "not measured" if one is None else str(one)

    def size(value: float | None) -> str:
        return "" if value is None else f"{value:.2g}"

    def chance(one: AlarmRates) -> str:
        if one.p_value is None:
            return ""
        return _chance(one.beats_chance) + f" (p = {one.p_value:.2g})"

    return [
        (a.alarm, shown(a.caught), shown(a.false), size(a.threshold), size(a.best), chance(a))
        for a in rates.alarms
    ]


def warning_rows(rates: ErrorRates) -> list[tuple[str, ...]]:
    """(sign, area, p, whether it beats chance) of each sign half-way."""
    return [
        (
            w.sign,
            f"{w.area:.2f}",
            f"{w.p_value:.2g}",
            _chance(w.beats_chance),
        )
        for w in rates.warnings
    ]


def _chance(beats: bool | None) -> str:
    if beats is None:
        return "too few kinds to tell"
    return "beats chance" if beats else "not shown to beat chance"


HEADS = {
    "outcomes": ("kind", "is", *OUTCOMES, "right"),
    "rates": ("of runs", "how many [95 % over kinds]"),
    "alarms": (
        "alarm",
        "caught, of what it is made for",
        "false, of healthy runs",
        "threshold",
        "best here",
        "over kinds",
    ),
    "warnings": ("half-way", "area", "p", ""),
}


def markdown(rates: ErrorRates) -> str:
    """All tables."""
    about = (
        f"{counted(len(rates.seeds), 'seed')}, {len(rates.outcomes)} kinds, size {rates.size},"
        f" accord {rates.version}, by the thresholds in use."
    )
    tables = (
        ("outcomes", outcome_rows(rates)),
        ("rates", rate_rows(rates)),
        ("alarms", alarm_rows(rates)),
        ("warnings", warning_rows(rates)),
    )
    parts = [about, *("\n".join(_table(HEADS[name], rows)) for name, rows in tables if rows)]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def write_into(page: Path, rates: ErrorRates, mark: str = BEGIN) -> None:
    """Renew the tables of a page between its two marks, of which the first is `mark`. Raises
    ConfigError for a page without them."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(
            f"{page} has no place for the tables", f"mark it by the lines {mark} and {END}"
        )
    write_text(page, f"{before}{mark}\n\n{markdown(rates)}\n\n{END}{after}")
