"""`accord ask`: an AI judge as an annotator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import AccordError, ConfigError

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.feedback.records import Feedback
    from accord.oversight.ai_judge import AiJudge
    from accord.oversight.judge_records import JudgeItem
    from accord.runs.ai_feedback import AiFeedback
    from accord.sampling.budget import Prices

SHOWN = 400
"""Characters of a prompt or response that --show prints."""


def ask(
    source: DataSource,
    out: Path | None,
    judges: Sequence[str],
    given: dict[str, Any],
    people: Path | None,
    show: bool,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Read, ask, write records, say what was spent and what failed."""
    from accord.cli.asking import judge_settings
    from accord.cli.feedback import load
    from accord.cli.run import quiet_libraries
    from accord.feedback.formats.source import DataSource
    from accord.oversight.judge_records import items_of
    from accord.runs.ai_feedback import AiFeedback, AiJudgeSettings, ask_judges, open_ai_judges
    from accord.sampling.answer_cache import AnswerCache
    from accord.validation import validated

    if out is None and not (dry_run or show):
        raise ConfigError("where do the records go?", "name OUT, or look first: --show, --dry-run")
    quiet_libraries()
    settings = validated(
        AiJudgeSettings, {**given, "answer_tokens": asking["answer_tokens"]}, "accord ask"
    )
    how = judge_settings(asking)
    opened = open_ai_judges(judges, settings, AnswerCache(how.cache), how.asking)
    items, left_out = items_of(_records(source), settings.form)
    for reason, count in left_out.items():
        click.echo(f"{count:,} left out: {safe_text(reason)}")
    what = "pairs" if settings.form == "pairwise" else "responses"
    click.echo(f"{len(items):,} {what}")
    _say_what_leaves(opened, items)
    prices = how.asking.ledger.budget.prices
    if dry_run:
        _plan(opened, items, prices)
        return
    labels = [] if people is None else load(DataSource(path=str(people)))
    found = AiFeedback()
    try:
        ask_judges(opened, items, settings, found, labels)
    except AccordError as error:
        _write(out, found)
        if out is not None and found.records:
            error.message += f" ({out} holds the {len(found.records):,} records made before)"
        raise
    finally:
        _spent(opened, prices)
    if show:
        _show(items, found.records)
    _write(out, found)
    _say(found, items)


def _records(source: DataSource) -> list[Feedback]:
    from accord.cli.feedback import SQLITE, load
    from accord.runs.judge_data import read_to_judge

    if Path(source.path).suffix in SQLITE:
        return load(source)
    records, lines = read_to_judge(source)
    for line in lines:
        click.echo(safe_text(line))
    return records


def _write(out: Path | None, found: AiFeedback) -> None:
    from accord.feedback.store import write_records

    if out is not None and found.records:
        write_records(out, found.records)


def _say_what_leaves(judges: Sequence[AiJudge], items: Sequence[JudgeItem]) -> None:
    """Personal data in what an endpoint will be sent, before anything is."""
    from accord.feedback.personal_data import PersonalData
    from accord.oversight.judge_answers import EndpointAnswers

    if not any(isinstance(judge.answers, EndpointAnswers) for judge in judges):
        return
    told = PersonalData.of(text for item in items for text in (item.shown[0], *item.shown[1]))
    if told.by_kind:
        click.secho(
            f"endpoints are sent {told}; accord feedback import --redact RULES replaces them",
            fg="yellow",
        )


def _plan(judges: Sequence[AiJudge], items: Sequence[JudgeItem], prices: Prices | None) -> None:
    """What it will take; nothing is asked."""
    from accord.oversight.local_answers import LocalAnswers
    from accord.runs.ai_feedback import plan_of

    for judge in judges:
        name, plan = safe_text(judge.name), plan_of(judge, items)
        count = len(items) * judge.questions_per_item
        if plan is not None:
            for line in plan.lines(prices):
                click.echo(f"{name}: {line}")
        elif isinstance(judge.answers, LocalAnswers):
            questions = [q for item in items for q in judge.questions(*item.shown)]
            fresh = len(judge.answers.fresh(questions))
            click.echo(f"{name}: {count - fresh:,} kept answers, {fresh:,} to ask; no money")
        else:
            click.echo(f"{name}: {count:,} calls of a function")


def _spent(judges: Sequence[AiJudge], prices: Prices | None) -> None:
    from accord.oversight.judge_answers import EndpointAnswers

    askers = [j.answers.asker for j in judges if isinstance(j.answers, EndpointAnswers)]
    if askers:
        spent = askers[0].ledger.spent
        money = "" if prices is None else f", {spent.money(prices):,.2f} of money"
        tries = sum(asker.waited for asker in askers)
        again = f"; {tries:,} tries that failed for a while" if tries else ""
        click.echo(f"{spent.calls:,} calls, {spent.tokens:,.0f} tokens{money}{again}")


def _say(found: AiFeedback, items: Sequence[JudgeItem]) -> None:
    from accord.feedback.words import kinds_counted

    click.echo(kinds_counted(found.records))
    for how, count in found.read.items():
        click.echo(f"{count:,} read as {how}" + _READ.get(how, ""))
    if found.masses:
        mean, least = sum(found.masses) / len(found.masses), min(found.masses)
        click.echo(f"the allowed answers have {mean:.0%} of the probability, at least {least:.0%}")
    for name, estimate in found.temperatures.items():
        click.echo(f"{safe_text(name)}: temperature {estimate} of {estimate.n:,} prompts")
    failed = found.failed.total()
    if failed:
        click.secho(f"{failed:,} without a verdict, written as skips:", fg="yellow")
        rows = [(f"{count:,}", safe_text(why)) for why, count in found.failed.most_common(5)]
        print_table(("times", "why"), rows, right=("times",))


_READ = {
    "text": ": the endpoint gives no log-probabilities, so each is one sure answer (--samples)",
    "samples": ": shares of sampled answers, since the endpoint gives no log-probabilities",
}


def _show(items: Sequence[JudgeItem], records: Sequence[Feedback]) -> None:
    """What was judged and what was said, to be read."""
    from accord.feedback.messages import plain

    for record in records:
        click.secho(f"\n{safe_text(record.annotator)}", bold=True)
        click.echo(f"prompt: {_cut(plain(record.prompt))}")
        for option in record.options:
            click.echo(f"{safe_text(option.id)}: {_cut(plain(option.content))}")
        said = record.choice.model_dump(exclude_none=True, exclude_defaults=True)
        judge = record.meta["judge"]
        beside = {name: judge[name] for name in ("orders", "principles", "mass") if name in judge}
        click.echo(safe_text(f"{record.kind}: {said}"))
        for name, value in beside.items():
            click.echo(safe_text(f"  {name}: {value}"))


def _cut(text: str) -> str:
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({len(text):,} characters)"
    return safe_text(shown)
