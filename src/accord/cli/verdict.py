"""`accord verdict`: what a run's evidence says, what is required of it, for people and for CI."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from xml.etree import ElementTree

import click

from accord.cli.terminal import safe_text
from accord.cli.verdict_output import (
    print_answered,
    print_evidence,
    print_found,
    print_measures,
    print_outcome,
    print_rules,
)
from accord.errors import GUARD_EXIT, ConfigError
from accord.files import write_text

if TYPE_CHECKING:
    from accord.cli.asked import AskedPeople
    from accord.examine.episodes import EpisodeEvidence
    from accord.examine.measures import Checked, Measure, Requirement
    from accord.examine.verdict import Verdict

OUTCOMES = ("worked", "gamed", "collapsed", "inconclusive")


def show(
    run_dir: Path,
    fail_on: str,
    require: Sequence[str],
    as_json: bool,
    junit: Path | None,
    list_measures: bool,
    answers: Path | None,
    seed: int,
    judges: Sequence[str],
    asking: dict[str, Any],
    attributes: Path | None,
    deployed: Path | None = None,
    called: Path | None = None,
) -> None:
    """Print the verdict; leaves with exit code 3 where it is one of `fail_on` or a requirement is
    not met."""
    from accord.cli.asked import AskedPeople, answered
    from accord.examine.error_rates import with_rates
    from accord.examine.measures import measures, of_people, requirement
    from accord.examine.verdict import decide
    from accord.runs.evidence import read_episodes, read_evidence

    ending = _Ending(outcomes(fail_on), [requirement(t) for t in require], as_json, junit)
    people = AskedPeople(answers, seed, judges, asking, attributes)
    if acts := read_episodes(run_dir):
        if deployed or called:
            raise ConfigError(
                "logs of use are about responses; this run's policy acts", "leave them out"
            )
        _show_acts(run_dir, acts, people, ending, list_measures)
    evidence, guard = read_evidence(run_dir)
    gains = {arm.name: arm for arm in evidence.arms}
    told = answered(run_dir, decide(evidence, guard), gains, people, as_json)
    verdict = with_rates(told.verdict)
    users: dict[str, Measure] = {}
    if deployed is None and called is not None:
        raise ConfigError("--called holds answers about a log of use", "give --deployment LOG, too")
    if deployed is not None:
        from accord.cli.deployment import measures_of_users

        users = measures_of_users(deployed, called, as_json)
    found = measures(evidence) | of_people(told.wins) | users

    def printed(results: Sequence[Checked]) -> None:
        print_evidence(evidence, verdict, results, found if list_measures else {})
        if users and not list_measures:
            click.echo("\nusers")
            print_measures(users)
        print_answered(told)

    ending.leave(verdict, found, printed, told.as_data())


@dataclass(frozen=True)
class _Ending:
    """What is asked of a verdict, and where it is told. refused: outcomes that fail."""

    refused: frozenset[str]
    asked: Sequence[Requirement]
    as_json: bool
    junit: Path | None

    def leave(
        self,
        verdict: Verdict,
        found: Mapping[str, Measure],
        printed: Callable[[Sequence[Checked]], None],
        more: Mapping[str, Any],
    ) -> NoReturn:
        """Tell it, and leave with the exit code. printed: for people; more: for machines beside the
        verdict and the measures."""
        from accord.examine.measures import requirements_met

        results = requirements_met(self.asked, found)
        failed = verdict.outcome in self.refused or not all(one.met for one in results)
        if self.junit is not None:
            write_text(self.junit, junit_xml(verdict, self.refused, results))
        if self.as_json:
            click.echo(json.dumps({**as_data(verdict, results, found, failed), **more}, indent=1))
        else:
            printed(results)
        sys.exit(GUARD_EXIT if failed else 0)


def _show_acts(
    run_dir: Path,
    acts: Mapping[str, EpisodeEvidence],
    people: AskedPeople,
    ending: _Ending,
    list_measures: bool,
) -> NoReturn:
    """The same of policies that act."""
    from accord.cli.asked import answered
    from accord.examine.episodes import decide_episodes
    from accord.examine.measures import of_episodes, of_people
    from accord.examine.verdict import of_arms

    arms = [decide_episodes(evidence, stage).arms[0] for stage, evidence in acts.items()]
    told = answered(run_dir, of_arms(arms), acts, people, ending.as_json)
    found = of_episodes(acts) | of_people(told.wins)

    def printed(results: Sequence[Checked]) -> None:
        print_outcome(told.verdict)
        for arm in told.verdict.arms:
            click.echo(f"\n{safe_text(arm.arm)} ({acts[arm.arm].environment}): {arm.outcome}")
            print_rules(arm)
        print_found(results, found if list_measures else {})
        print_answered(told)

    ending.leave(told.verdict, found, printed, told.as_data())


def outcomes(text: str) -> frozenset[str]:
    """Names of outcomes divided by commas; "none" is none of them. Raises ConfigError."""
    named = {part.strip() for part in text.split(",") if part.strip()} - {"none"}
    if unknown := sorted(named - set(OUTCOMES)):
        raise ConfigError(
            f"there is no outcome {unknown[0]!r}", f"outcomes: {', '.join(OUTCOMES)}, or none"
        )
    return frozenset(named)


def as_data(
    verdict: Verdict, results: Sequence[Checked], found: Mapping[str, Measure], failed: bool
) -> dict[str, Any]:
    """For machines: the verdict's own fields, requirements, every measure, and whether it
    failed."""
    return verdict.model_dump(mode="json") | {
        "requirements": [one.model_dump(mode="json") for one in results],
        "measures": {name: one.model_dump(mode="json") for name, one in found.items()},
        "failed": failed,
    }


def junit_xml(verdict: Verdict, refused: frozenset[str], results: Sequence[Checked]) -> str:
    """A JUnit report: a case per arm, which fails by its outcome, and one per requirement."""
    suite = ElementTree.Element("testsuite", name="accord verdict")
    failures = 0
    for name, told, passed in [
        *(
            (f"arm {a.arm}", f"{a.outcome}: {a.reason}", a.outcome not in refused)
            for a in verdict.arms
        ),
        *((one.requirement, one.how, one.met) for one in results),
    ]:
        case = ElementTree.SubElement(suite, "testcase", classname="verdict", name=safe_text(name))
        if passed:
            ElementTree.SubElement(case, "system-out").text = safe_text(told)
        else:
            failures += 1
            ElementTree.SubElement(case, "failure", message=safe_text(told))
    suite.set("tests", str(len(verdict.arms) + len(results)))
    suite.set("failures", str(failures))
    return ElementTree.tostring(suite, encoding="unicode") + "\n"
