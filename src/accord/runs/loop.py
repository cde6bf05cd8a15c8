"""Rounds: deploy a policy, find where it fails, ask, learn from all that was said so far, tune from
the start again, and compare with every earlier round; a static arm beside it.

Each round is an ordinary run in its own directory. The loop's own files hold nothing that these do
not: whatever stops it, it goes on from what the rounds left.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import yaml

from accord.errors import ConfigError
from accord.files import read_json_if_whole, read_jsonl, write_json, write_text
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.compared_runs import Frozen, row_difference
from accord.runs.context import StageProgress
from accord.runs.loop_settings import LoopSettings
from accord.runs.recipe import Recipe
from accord.runs.rounds import artefact, loop_of, round_recipe
from accord.runs.sample_rows import SampleRow, read_points
from accord.statistics.means import Estimate
from accord.validation import read_yaml, suggest

LOOP, RESULTS, TABLE = "loop.yaml", "loop.json", "loop.md"
BAD_OUTCOMES = ("gamed", "collapsed")
ProgressForRound = Callable[[str, Sequence[str]], AbstractContextManager[StageProgress]]
"""(name of the round, its stages) -> what shows its progress."""


class LoopRound(Frozen):
    """A round that is done. labels: judgements of all rounds of its arm so far; verdict: of its
    examination; guards: what guards said; mined: items by what they were chosen for."""

    round: int
    arm: str
    folder: str
    labels: int
    verdict: str
    guards: list[str]
    mined: dict[str, int]


class RoundDifference(Frozen):
    """What the rounds are compared by, of one round less another's, over the same prompts; round 0
    is the model that every round tunes. against_arm: "static" where the other arm's round of equal
    labels is meant."""

    round: int
    against: int
    against_arm: str
    difference: Estimate


class LoopResults(Frozen):
    """All rounds so far; stopped: why no further round was begun, empty while there is more."""

    recipe: str
    quantity: str
    rounds: list[LoopRound]
    differences: list[RoundDifference]
    stopped: str

    def difference(self, number: int, against: int, arm: str = "round") -> Estimate | None:
        """Of round `number` less round `against`; None where it is not there."""
        found = (
            one.difference
            for one in self.differences
            if (one.round, one.against, one.against_arm) == (number, against, arm)
        )
        return next(found, None)


def execute(
    recipe: Recipe,
    place: Path,
    rounds: int,
    progress_for: ProgressForRound,
    tuned: dict[str, Any],
    say: Callable[[str], None],
    resume: bool = False,
) -> LoopResults:
    """Run `rounds` rounds in `place`, or as many as the rule of stopping allows; rounds that are
    done stay done, one that was begun goes on. Raises ConfigError as `runner.execute` does."""
    loop = loop_of(recipe)
    _check_place(place, resume)
    runner.make_directory(place)
    with runner.locked(place):
        write_text(place / LOOP, _dump(recipe, rounds))
        results = measure(recipe, loop, place, rounds)
        done = max((one.round for one in results.rounds), default=0)
        for number in range(done + 1, rounds + 1):
            if results.stopped:
                break
            for static in arms_of(loop, number):
                _run_round(recipe, loop, place, number, static, progress_for, tuned)
            results = measure(recipe, loop, place, rounds)
            say(told(results, number))
            _write(results, place)
        _write(results, place)
        return results


def _write(results: LoopResults, place: Path) -> None:
    write_json(place / RESULTS, results.model_dump(mode="json"))
    write_text(place / TABLE, markdown(results))


def read_loop(place: Path) -> tuple[Recipe, int]:
    """(recipe, rounds) of a loop that was begun. Raises ConfigError where there is none."""
    path = place / LOOP
    if not path.is_file():
        known = sorted(str(one.parent) for one in place.parent.glob(f"*/{LOOP}"))
        raise ConfigError(
            f"there is no loop in {place}: it has no {LOOP}",
            f"{suggest(str(place), known)}name a directory made by accord loop",
        )
    raw = read_yaml(path.read_text(encoding="utf-8"), str(path), "it is written by accord loop")
    return recipes.validate(raw["recipe"]), int(raw["rounds"])


def _dump(recipe: Recipe, rounds: int) -> str:
    """As `read_loop` reads it; the order of stages counts."""
    plain = {"rounds": rounds, "recipe": recipe.resolved()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def resuming(place: Path) -> str:
    """The command that continues a loop."""
    return f"accord loop --resume {shlex.quote(str(place))}"


def round_folder(place: Path, number: int, static: bool = False) -> Path:
    """Where the run of a round lies; the arms share the first."""
    return place / f"{'static' if static and number > 1 else 'round'}-{number}"


def arms_of(loop: LoopSettings, number: int) -> tuple[bool, ...]:
    """Whether static, of each run of a round; the first round is the same in both arms."""
    return (False, True) if loop.static and number > 1 else (False,)


def _run_round(
    recipe: Recipe,
    loop: LoopSettings,
    place: Path,
    number: int,
    static: bool,
    progress_for: ProgressForRound,
    tuned: dict[str, Any],
) -> None:
    folder = round_folder(place, number, static)
    if _done(folder):
        return
    earlier = [round_folder(place, n, static) for n in range(1, number)]
    one = round_recipe(recipe, loop, number, static, earlier)
    with progress_for(folder.name, list(one.stages)) as progress:
        begun = (folder / runner.RECIPE).exists()
        runner.execute(one, folder, begun, progress, tuned)


def _done(folder: Path) -> bool:
    return (folder / "report.html").is_file() and (folder / "lineage.json").is_file()


def _check_place(place: Path, resume: bool) -> None:
    if resume:
        return
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        fix = "choose an empty place with --out"
        if (place / LOOP).is_file():
            fix = f"continue it: {resuming(place)}; or {fix}"
        raise ConfigError(f"{place} is not empty", fix)


# --- what came out --------------------------------------------------------------------------------
def measure(recipe: Recipe, loop: LoopSettings, place: Path, rounds: int) -> LoopResults:
    """What the rounds that are done say, of `rounds` that are wanted."""
    done, rows = [], dict[tuple[int, bool], Sequence[SampleRow]]()
    labels = {False: 0, True: 0}
    for number in range(1, rounds + 1):
        folders = {static: round_folder(place, number, static) for static in arms_of(loop, number)}
        if not all(map(_done, folders.values())):
            break
        for static, folder in folders.items():
            labels[static] += _labels(loop, folder)
            rows[number, static] = read_points(_stage(folder, loop.tuned) / "points")[-1][1]
            done.append(_round(number, static, folder, labels[static]))
        if number == 1:
            labels[True] = labels[False]
            found = read_jsonl(_stage(folders[False], loop.examine) / "baseline.jsonl")
            rows[0, False] = cast("list[SampleRow]", found)
    last = max((number for number, _ in rows), default=0)
    differences = [
        RoundDifference(
            round=number,
            against=other,
            against_arm="static" if static else "round",
            difference=row_difference(rows[number, False], rows[other, static], loop.compared),
        )
        for number in range(1, last + 1)
        for other, static in [*((n, False) for n in range(number)), (number, True)]
        if (other, static) in rows
    ]
    results = LoopResults(
        recipe=recipe.header.name,
        quantity=loop.compared,
        rounds=done,
        differences=differences,
        stopped="",
    )
    return results.model_copy(update={"stopped": _stopped(results, loop, last, rounds)})


def _stopped(results: LoopResults, loop: LoopSettings, last: int, rounds: int) -> str:
    """Why there is no further round; empty where there is."""
    if not last:
        return ""
    now = next(one for one in results.rounds if (one.round, one.arm) == (last, "round"))
    if now.guards:
        return f"a guard fired in round {last}: {'; '.join(now.guards)}"
    if now.verdict in BAD_OUTCOMES:
        return f"the verdict on round {last} is {now.verdict}"
    gain = results.difference(last, last - 1)
    if loop.stop == "gain" and gain is not None and not gain.above(0) and not gain.below(0):
        return (
            f"the gain of round {last} over round {last - 1} may be none:"
            f" {results.quantity} {gain} over {gain.n} prompts"
        )
    return f"all {rounds} rounds are done" if last >= rounds else ""


def _round(number: int, static: bool, folder: Path, labels: int) -> LoopRound:
    verdict = read_json_if_whole(folder / "verdict.json") or {}
    mined: Mapping[str, int] = {}
    for path in folder.glob("stages/*/result.json"):
        values = (read_json_if_whole(path) or {}).get("values", {})
        mined = values.get("why", mined)
    return LoopRound(
        round=number,
        arm="static" if static else "round",
        folder=str(folder),
        labels=labels,
        verdict=str(verdict.get("outcome") or "none"),
        guards=runner.guards_of(folder),
        mined=dict(mined),
    )


def _labels(loop: LoopSettings, folder: Path) -> int:
    """Judgements that a round collected: the rows of the first of what rounds add up."""
    reference = next(iter(loop.all.values()), None)
    return len(read_jsonl(Path(artefact(folder, reference)))) if reference else 0


def _stage(folder: Path, name: str) -> Path:
    return next((folder / "stages").glob(f"[0-9]*-{name}"))


HEADINGS = ("round", "labels", "over round 0", "over the round before", "less static", "verdict")


def table(results: LoopResults) -> list[list[str]]:
    """A row per round of the arm that mines, under HEADINGS."""
    rows = []
    for one in results.rounds:
        if one.arm == "round":
            n = one.round
            found = [
                results.difference(n, 0),
                results.difference(n, n - 1),
                results.difference(n, n, "static"),
            ]
            texts = ["–" if value is None else str(value) for value in found]
            rows.append([str(n), f"{one.labels:,}", *texts, one.verdict])
    return rows


def markdown(results: LoopResults) -> str:
    """The rounds as a table, each round less each earlier one, and why it stopped."""
    lines = [" | ".join(["", *HEADINGS, ""]).strip(), "|---" * len(HEADINGS) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table(results)]
    lines += ["", f"Differences in {results.quantity}, paired by prompt, 95 % intervals:", ""]
    lines += [
        f"- round {one.round} less round {one.against}: {one.difference}"
        for one in results.differences
        if one.against_arm == "round"
    ]
    return "\n".join([*lines, "", results.stopped, ""])


def told(results: LoopResults, number: int) -> str:
    """What a round brought, in one line."""
    gain, beside = (
        results.difference(number, number - 1),
        results.difference(number, number, "static"),
    )
    line = f"round {number}: {results.quantity} {gain} over round {number - 1}"
    return line if beside is None else f"{line}, {beside} over the static arm"
