"""`accord verdict --ask` and `--answers`: a verdict that rests on people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError
from accord.files import write_jsonl

if TYPE_CHECKING:
    from accord.examine.asked import PeopleWins
    from accord.examine.asked_groups import GroupsOf
    from accord.examine.evidence import Evidence
    from accord.examine.verdict import Verdict
    from accord.feedback.records import Feedback
    from accord.runs.judges import AskedJudge

RATES = (0.55, 0.6, 0.65, 0.7, 0.8)


def ask_people(
    run_dir: Path,
    count: int,
    to: Path,
    answers: Path | None,
    seed: int,
    judges: Sequence[str],
    asking: dict[str, Any],
) -> None:
    """Write comparisons for people, and say how many would settle what."""
    from accord.examine.asked import guess_of, judgements_for
    from accord.runs.asked import asked_arms, items_to_ask
    from accord.runs.evidence import read_episodes, read_evidence

    if read_episodes(run_dir):
        raise ConfigError(
            "--ask writes responses side by side; this run's policy acts",
            "let people judge its clips while it learns (people: studio), look at its episodes on"
            f" the page (accord report {run_dir}), and require what was meant: --require"
            " 'learn.NAME >= …', of what --measures lists",
        )
    read_evidence(run_dir)  # says what is missing
    records = [] if answers is None else _records(answers, False)
    rows = []
    for arm in asked_arms(run_dir, *_judge(judges, asking)):
        items, lacking = items_to_ask(arm, count, seed, records)
        rows += items
        guess_B = guess_of(arm.stand_ins)
        split = float(((guess_B > 0) & (guess_B < 1)).mean())
        click.echo(
            f"{safe_text(arm.name)}: {len(items):,} of {len(guess_B):,} prompts; stand-ins take it"
            f" on {guess_B.mean():.0%} and disagree on {split:.0%}:"
        )
        for name in arm.stand_ins:
            click.echo(f"  {safe_text(name)}")
        if lacking:
            click.echo(f"  {lacking:,} fewer than asked for: there are no more prompts")
    write_jsonl(to, rows)
    click.echo(f"{to}: {len(rows):,} comparisons; accord studio import PROJECT {to}")
    found = judgements_for(RATES)
    click.echo("judgements by people alone that tell a true win rate from .5, four times in five")
    rates = [f"{rate:.0%}" for rate in found]
    print_table(rates, [[f"{n:,}" for n in found.values()]], right=rates)


def answered(
    run_dir: Path,
    verdict: Verdict,
    evidence: Evidence,
    answers: Path,
    seed: int,
    quiet: bool,
    judges: Sequence[str],
    asking: dict[str, Any],
    attributes: Path | None,
) -> tuple[Verdict, Mapping[str, PeopleWins], Mapping[str, list[GroupsOf]]]:
    """The verdict made again from people's answers, these, and what groups of annotators say."""
    from accord.cli.quality import attributes_of
    from accord.examine.asked import answered_verdict
    from accord.examine.asked_groups import with_groups
    from accord.runs.asked import answers_of, asked_arms, groups_of

    described = attributes_of(attributes)
    arms = asked_arms(run_dir, *_judge(judges, asking))
    records = _records(answers, quiet)
    wins = answers_of(arms, records, seed)
    verdict = answered_verdict(verdict, evidence, wins)
    if described is None:
        return verdict, wins, {}
    groups = groups_of(arms, records, described)
    return with_groups(verdict, groups), wins, groups


def _judge(judges: Sequence[str], asking: dict[str, Any]) -> tuple[AskedJudge | None, str]:
    from accord.cli.asking import judge_settings
    from accord.cli.run import quiet_libraries
    from accord.runs.judges import load_judge

    if not judges:
        return None, ""
    quiet_libraries()
    return load_judge(judges, judge_settings(asking)), " + ".join(judges)


def _records(answers: Path, quiet: bool) -> list[Feedback]:
    from accord.cli.feedback import load
    from accord.feedback.formats.source import DataSource

    source: DataSource = DataSource(path=str(answers))
    return load(source, quiet)
