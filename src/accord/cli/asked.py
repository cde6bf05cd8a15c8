"""`accord verdict --ask` and `--answers`: a verdict that rests on people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError
from accord.feedback.words import counted
from accord.files import write_jsonl

if TYPE_CHECKING:
    from accord.examine.asked import PeopleWins
    from accord.examine.asked_groups import GroupsOf
    from accord.examine.verdict import ArmGains, Verdict
    from accord.feedback.records import Feedback
    from accord.runs.asked import AskedArm
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
    from accord.runs.asked import items_to_ask, not_counted

    arms = _arms(run_dir, judges, asking)
    records = [] if answers is None else _records(answers, False)
    _say_not_counted(not_counted(arms, records), False)
    rows = []
    for arm in arms:
        items, lacking = items_to_ask(arm, count, seed, records)
        rows += items
        guess_B = guess_of(arm.stand_ins)
        split = float(((guess_B > 0) & (guess_B < 1)).mean())
        click.echo(
            f"{safe_text(arm.name)}: {len(items):,} of {len(guess_B):,} {arm.unit}s; stand-ins take"
            f" it on {guess_B.mean():.0%} and disagree on {split:.0%}:"
        )
        for name in arm.stand_ins:
            click.echo(f"  {safe_text(name)}")
        if lacking:
            click.echo(f"  {lacking:,} fewer than asked for: there are no more {arm.unit}s")
    write_jsonl(to, rows)
    click.echo(f"{to}: {len(rows):,} comparisons; accord studio import PROJECT {to}")
    if any(arm.unit == "episode" for arm in arms):
        click.echo("  into a project of the task clips")
    found = judgements_for(RATES)
    click.echo("judgements by people alone that tell a true win rate from .5, four times in five")
    rates = [f"{rate:.0%}" for rate in found]
    print_table(rates, [[f"{n:,}" for n in found.values()]], right=rates)


@dataclass(frozen=True)
class AskedPeople:
    """Whom a verdict rests on beside its evidence. answers: a file of what they said, or none;
    seed, judges, asking: as they were asked; attributes: a file on who they are, or none."""

    answers: Path | None
    seed: int
    judges: Sequence[str]
    asking: dict[str, Any]
    attributes: Path | None


@dataclass(frozen=True)
class AnsweredVerdict:
    """The verdict made again from people's answers, these by arm, what groups of annotators say,
    and reason -> answers that do not count."""

    verdict: Verdict
    wins: Mapping[str, PeopleWins] = field(default_factory=dict)
    groups: Mapping[str, Sequence[GroupsOf]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """For machines, beside the verdict."""
        more: dict[str, Any] = {}
        if self.wins:
            more["people"] = {name: one.model_dump(mode="json") for name, one in self.wins.items()}
            more["answers_not_counted"] = dict(self.left_out)
        if self.groups:
            more["groups"] = {
                name: [one.model_dump(mode="json") for one in own]
                for name, own in self.groups.items()
            }
        return more


def answered(
    run_dir: Path,
    verdict: Verdict,
    measured: Mapping[str, ArmGains],
    people: AskedPeople,
    quiet: bool,
) -> AnsweredVerdict:
    """The verdict by what people said; the same where nobody was asked. measured: what each arm
    gained."""
    if people.answers is None:
        if people.attributes is not None:
            raise ConfigError("--attributes describes who answered", "give --answers FILE, too")
        return AnsweredVerdict(verdict)
    from accord.cli.quality import attributes_of
    from accord.examine.answered_verdict import answered_verdict
    from accord.examine.asked_groups import with_groups
    from accord.runs.asked import answers_of, groups_of, not_counted, too_late

    described = attributes_of(people.attributes)
    arms = _arms(run_dir, people.judges, people.asking)
    records = _records(people.answers, quiet)
    others = not_counted(arms, records)
    _say_not_counted(others, quiet)
    wins = answers_of(arms, records, people.seed)
    late = too_late(arms, records, wins, people.seed)
    _say_not_counted(late, quiet)
    verdict = answered_verdict(verdict, measured, wins)
    if described is None:
        return AnsweredVerdict(verdict, wins, {}, others | late)
    groups = groups_of(arms, records, described)
    return AnsweredVerdict(with_groups(verdict, groups), wins, groups, others | late)


def _say_not_counted(found: Mapping[str, int], quiet: bool) -> None:
    for reason, count in found.items():
        click.echo(f"{counted(count, 'answer')} not counted: {safe_text(reason)}", err=quiet)


def _arms(run_dir: Path, judges: Sequence[str], asking: dict[str, Any]) -> Sequence[AskedArm]:
    """What of a run can be put before people."""
    from accord.runs.evidence import read_episodes, read_evidence

    if acts := read_episodes(run_dir):
        from accord.runs.asked_episodes import asked_episodes

        if judges:
            raise ConfigError(
                "--judge reads responses; this run's policy acts", "let people look at its episodes"
            )
        return asked_episodes(run_dir, acts)
    from accord.runs.asked_responses import asked_arms

    read_evidence(run_dir)  # says what is missing
    return asked_arms(run_dir, *_judge(judges, asking))


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
