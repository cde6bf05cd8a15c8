"""`accord feedback deployment`: what users think of a policy in use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accord.cli.feedback import load, redactor_of, say_dropped, say_redacted
from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError
from accord.feedback.formats.source import DataSource
from accord.feedback.words import counted
from accord.files import write_jsonl

if TYPE_CHECKING:
    from accord.examine.measures import Measure
    from accord.feedback.deployment import Deployment, OtherPolicy, Rates, Told
    from accord.feedback.use_rows import CalledBack, UseLog

_SIGNALS = {"regenerate": "asked for another", "copy": "copied", "edit": "edited"}


def call(
    source: DataSource,
    called: Path | None,
    count: int | None,
    out: Path | None,
    redact: Path | None,
    seed: int,
) -> None:
    """Write responses that nobody rated, as items for people; says what they carry."""
    from accord.feedback.personal_data import PersonalData, strings_in
    from accord.feedback.use_rows import silent_items

    if count is None or out is None:
        raise ConfigError("--call and --out go together", "--call 150 --out items.jsonl")
    log = _read(source, redact, False)
    answered = {} if called is None else _called(called, False).share
    items = silent_items(log, count, seed, answered)
    write_jsonl(out, items)
    carried = PersonalData.of(
        text
        for item in items
        for content in (item["prompt"], item["options"][0]["content"])
        for text in strings_in(content)
    )
    click.echo(f"personal data in these items: {carried}")
    click.echo(f"{out}: {counted(len(items), 'response')}; accord studio import PROJECT {out}")


def show(
    source: DataSource,
    called: Path | None,
    policy: Path | None,
    features: Sequence[str],
    by: str | None,
    redact: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print one table of all that the log can say."""
    from accord.feedback.deployment import deployment
    from accord.feedback.use_rows import lacks_propensities, new_policy

    if features and policy is None:
        raise ConfigError("--feature is for a direct model of another policy", "give --policy, too")
    log = _read(source, redact, as_json)
    answers = None if called is None else _called(called, as_json)
    other, lacking = None, ""
    if policy is not None and not (lacking := lacks_propensities(log)):
        other = new_policy(log, DataSource(path=str(policy)), features)
    found = deployment(log, answers, other, by, seed, lacking)
    if as_json:
        click.echo(json.dumps(found.as_data(), indent=1))
    else:
        _print(found, by)


def measures_of_users(path: Path, called: Path | None, quiet: bool) -> dict[str, Measure]:
    """What a log says for a verdict's requirements: of all of it, and of each policy in it."""
    from accord.examine.measures import of_users
    from accord.feedback.deployment import deployment

    log = _read(DataSource(path=str(path)), None, quiet)
    answers = None if called is None else _called(called, quiet)
    by = "policy" if any(use.policy is not None for use in log.uses) else None
    found = deployment(log, answers, by=by)
    rates = {"": found.whole.told} | {name: one.told for name, one in found.groups.items()}
    return of_users(rates)


def _read(source: DataSource, redact: Path | None, quiet: bool) -> UseLog:
    """The log, redacted; says what was dropped, and what of personal data its texts hold."""
    from accord.feedback.personal_data import PersonalData
    from accord.feedback.use_rows import read_log

    redactor = None if redact is None else redactor_of(redact)
    log = read_log(source)
    if redactor is not None:
        log = replace(log, uses=[redactor.use(use) for use in log.uses])
        say_redacted(redactor, quiet)
    click.echo(f"personal data: {PersonalData.of(log.texts)}", err=quiet)
    say_dropped(log, quiet)
    if any(user is None for user in log.users):
        alone = sum(user is None for user in log.users)
        click.echo(f"{alone:,} rows without a user: each counts as a user of its own", err=quiet)
    return log


def _called(path: Path, quiet: bool) -> CalledBack:
    from accord.feedback.use_rows import called_back

    found = called_back(load(DataSource(path=str(path)), quiet))
    for reason, count in found.left_out.items():
        click.echo(f"{count:,} of the answers left out: {safe_text(reason)}", err=quiet)
    return found


def _print(found: Deployment, by: str | None) -> None:
    whole = found.whole
    click.echo(f"{counted(whole.responses, 'response')} to {counted(whole.users, 'user')}")
    rows = [
        ("answers", whole.answer.percent, f"{whole.responses:,}", "responses with a thumb"),
        _row("raw", whole.raw, whole.rated, "of the thumbs given, up"),
        _row("corrected", whole.corrected, whole.rated + whole.called,
             "what all users would say: silent ones who were asked stand for the silent"),
        *(
            (_SIGNALS[name], one.percent, "", "")
            for name, one in found.signals.items()
        ),
    ]  # fmt: skip
    if found.other is not None:
        rows += _other_rows(found.other)
    print_table(("", "95 %", "n", "meaning"), rows, right=("n",))
    if found.no_other:
        click.echo(f"no value of another policy: {found.no_other}")
    if found.other is not None:
        _say_other(found.other)
    if found.unmatched:
        click.echo(f"{found.unmatched:,} answers are about no silent response of the log")
    if by is not None:
        click.echo(f"\nby {safe_text(by)}")
        print_table(
            ("group", "users", "responses", "answers", "raw", "corrected"),
            [_group(name, rates) for name, rates in found.groups.items()],
            right=("users", "responses"),
        )
        if found.hidden:
            click.echo(f"{counted(found.hidden, 'user')} in groups too small to show")


def _row(name: str, told: Told, count: int, meaning: str) -> tuple[str, str, str, str]:
    return name, _told(told), f"{count:,}", meaning


def _told(told: Told) -> str:
    return f"none: {told.why_not}" if told.estimate is None else told.estimate.percent


def _group(name: str, rates: Rates) -> tuple[str, ...]:
    shares = (rates.answer.percent, _told(rates.raw), _told(rates.corrected))
    return safe_text(name), f"{rates.users:,}", f"{rates.responses:,}", *shares


_MEANINGS = {
    "ips": "thumbs weighted by new over old probability",
    "snips": "the same over the weights' sum",
    "doubly robust": "a model's value, put right by weighted thumbs",
}


def _other_rows(other: OtherPolicy) -> list[tuple[str, str, str, str]]:
    rows = [
        (f"other policy, {name}", _told(told), "", _MEANINGS[name])
        for name, told in other.values.items()
    ]
    if other.direct is not None:
        meaning = "as right as the model is, so without an interval"
        rows.append(("other policy, direct", f"{other.direct:.0%}", "", meaning))
    return rows


def _say_other(other: OtherPolicy) -> None:
    from accord.statistics.off_policy import WIDE

    who = "all users" if other.of_all else "users who answer, as if they answered it as often"
    click.echo(
        f"the other policy's values are of {who}; its weights leave {other.effective:.0%} of the"
        " log (effective sample size)"
    )
    if other.spread > WIDE:
        click.secho(
            f"log-weights differ by {other.spread:.1f} nats (95 % of them), more than {WIDE:g}: few"
            " responses carry these values; deploy a part of the new policy instead",
            fg="yellow",
        )
