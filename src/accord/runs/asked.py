"""Responses of a run that people are to judge, as a file that the studio takes, and their answers
read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from accord.errors import ConfigError, DataError
from accord.examine import asked
from accord.examine.asked_groups import GroupsOf, PersonsAnswer, group_wins
from accord.examine.rows import Samples, columns
from accord.examine.winrate import aligned
from accord.feedback.judge_card import decided
from accord.feedback.messages import plain
from accord.feedback.records import Comparison, Feedback
from accord.files import read_jsonl
from accord.runs.context import RESULT
from accord.runs.evidence import evidence_files, is_examination
from accord.runs.judges import AskedJudge
from accord.runs.judging import both_orders
from accord.runs.sample_rows import read_points
from accord.seeds import generator
from accord.statistics.intervals import Array

BASELINE = "baseline.jsonl"


@dataclass(frozen=True)
class AskedArm:
    """An arm's last responses, the baseline's to the same prompts, and what stands in for people:
    name -> 1, .5 or 0 for every response."""

    name: str
    samples: Samples
    against: list[str]
    stand_ins: dict[str, Array]


def asked_arms(
    run_dir: Path, judge: AskedJudge | None = None, judge_name: str = "judge"
) -> list[AskedArm]:
    """Of a run's last examination; a judge that is asked about all of it is a stand-in too. Raises
    DataError where the samples are not there."""
    if is_examination(run_dir):
        raise DataError(
            f"{run_dir} is no run: there are no rewards beside its responses",
            "let people compare these, and use accord judge compare --people",
        )
    folder = evidence_files(run_dir)[-1].parent
    if not (folder / BASELINE).is_file():
        raise DataError(f"{folder / BASELINE} is missing", "examine again: accord run --resume")
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    base_rows = read_jsonl(folder / BASELINE)
    baseline, found = columns(base_rows), []
    for name, reference in config["arms"].items():
        _, rows = read_points(_made(run_dir, str(reference)))[-1]
        samples = columns(rows)
        at = aligned(samples.prompt_id_B, baseline)
        others = _held_out(rows, [base_rows[n] for n in at])
        against = [baseline.response[n] for n in at]
        wins = asked.stand_ins(samples, baseline, others)
        if judge is not None:
            wins[f"the judge {judge_name}"] = _judged(judge, samples, against)
        found.append(AskedArm(name, samples, against, wins))
    return found


def _judged(judge: AskedJudge, samples: Samples, against: Sequence[str]) -> Array:
    """Verdicts of both orders; nobody is asked about two responses that are the same."""
    shown = list(zip(samples.prompt, samples.response, against, strict=True))
    differ = [n for n, (_, mine, theirs) in enumerate(shown) if mine != theirs]
    verdict_B = np.full(len(shown), 0.5)
    if differ:
        verdict_B[differ] = decided(*both_orders(judge, [shown[n] for n in differ]))
    return verdict_B


def _made(run_dir: Path, reference: str) -> Path:
    """What `stage:NAME/ARTEFACT` stands for in a run's directory."""
    if not reference.startswith("stage:"):
        return Path(reference)
    stage, _, artefact = reference.removeprefix("stage:").partition("/")
    for result in (run_dir / "stages").glob(f"*/{RESULT}"):
        told = json.loads(result.read_text(encoding="utf-8"))
        if told.get("stage") == stage:
            made: dict[str, str] = told["artefacts"]
            return result.parent / made[artefact or next(iter(made))]
    raise DataError(f"{run_dir} holds no stage {stage!r}", "continue the run: accord run --resume")


def _held_out(
    rows: Sequence[Mapping[str, Any]], against: Sequence[Mapping[str, Any]]
) -> dict[str, Array]:
    """Differences of the scores by further reward models (`selectors` of the rows)."""
    names = {name for row in (*rows, *against) for name in row.get("selectors") or {}}
    complete = [
        name
        for name in sorted(names)
        if all(name in (row.get("selectors") or {}) for row in (*rows, *against))
    ]
    return {
        name: np.array(
            [
                float(np.mean(one["selectors"][name]) - np.mean(other["selectors"][name]))
                for one, other in zip(rows, against, strict=True)
            ]
        )
        for name in complete
    }


def items_to_ask(
    arm: AskedArm, count: int, seed: int, records: Sequence[Feedback] = ()
) -> tuple[list[dict[str, Any]], int]:
    """(the next `count` comparisons in the order of `asked.asking_order`, as rows of items that a
    studio takes; how many there are no more). Those that `records` answer are not asked again; two
    responses that are the same are a tie that nobody is asked about. Which stands first is drawn.
    """
    people_B = people_of(arm, records)
    guess_B = asked.guess_of(arm.stand_ins)
    order_B, _ = asked.asking_order(guess_B, len(arm.stand_ins), seed)
    left = [int(n) for n in order_B if not np.isfinite(people_B[n])]
    rng, rows = generator(seed, "sides", arm.name), []
    turned_B = rng.random(len(guess_B)) < 0.5
    for n in left[:count]:
        options = [
            {"content": arm.samples.response[n], "producer": arm.name},
            {"content": arm.against[n], "producer": "baseline"},
        ]
        rows.append(
            {
                "prompt": arm.samples.prompt[n],
                "options": options[::-1] if turned_B[n] else options,
                "meta": {"prompt_id": int(arm.samples.prompt_id_B[n])},
            }
        )
    return rows, max(0, count - len(left))


def said_of(arm: AskedArm, records: Sequence[Feedback]) -> list[PersonsAnswer]:
    """Every answer to a comparison of the arm's response with the baseline's; the prompt of an
    answer is its place among the arm's samples."""
    votes: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for record in records:
        if isinstance(record.choice, Comparison):
            texts = {option.id: plain(option.content) for option in record.options}
            preferred = record.choice.preferred
            first, second = texts.values()
            share = 0.5 if preferred is None else float(texts[preferred] == first)
            prompt = plain(record.prompt)
            votes.setdefault((prompt, first, second), []).append((record.annotator, share))
            votes.setdefault((prompt, second, first), []).append((record.annotator, 1 - share))
    samples = zip(arm.samples.prompt, arm.samples.response, arm.against, strict=True)
    return [
        PersonsAnswer(place, annotator, share)
        for place, (prompt, mine, theirs) in enumerate(samples)
        if mine != theirs
        for annotator, share in votes.get((prompt, mine, theirs), [])
    ]


def people_of(arm: AskedArm, records: Sequence[Feedback]) -> Array:
    """Share of people's answers for the arm's response, a tie half, as two equal responses are; not
    a number where there are none."""
    said: dict[int, list[float]] = {}
    for one in said_of(arm, records):
        said.setdefault(one.prompt, []).append(one.share)
    responses = zip(arm.samples.response, arm.against, strict=True)
    return np.array(
        [
            0.5 if mine == theirs else float(np.mean(said.get(place, [np.nan])))
            for place, (mine, theirs) in enumerate(responses)
        ]
    )


def answers_of(
    arms: Sequence[AskedArm], records: Sequence[Feedback], seed: int
) -> dict[str, asked.PeopleWins]:
    """Arm -> what people's answers say. Raises ConfigError where no arm has enough of them."""
    found = {}
    for arm in arms:
        wins = asked.people_wins(
            arm.name,
            arm.stand_ins,
            people_of(arm, records),
            arm.samples.prompt_id_B.tolist(),
            seed,
        )
        if wins is not None:
            found[arm.name] = wins
    if not found:
        counts = [f"{arm.name} {int(np.isfinite(people_of(arm, records)).sum())}" for arm in arms]
        raise ConfigError(
            f"of what was asked too little is answered ({', '.join(counts)}):"
            f" {asked.FEWEST} answers and {asked.ANSWERED:.0%} of a batch are needed",
            "name the file of answers to what --ask wrote, with the same --seed",
        )
    return found


def groups_of(
    arms: Sequence[AskedArm],
    records: Sequence[Feedback],
    attributes: Mapping[str, Mapping[str, str]],
) -> dict[str, list[GroupsOf]]:
    """Arm -> what groups of annotators say of it. Raises ConfigError where no annotator is
    described."""
    found = {}
    for arm in arms:
        if said := said_of(arm, records):
            if not {one.annotator for one in said} & set(attributes):
                raise ConfigError(
                    f"none of the {len({one.annotator for one in said})} annotators who answered"
                    " is described",
                    "name annotators as the answers do",
                )
            found[arm.name] = group_wins(arm.name, said, attributes)
    return found
