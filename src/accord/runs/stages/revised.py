"""What came of critique and revision: the records that a stage leaves, and what they amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from accord.errors import RunError, by_reason
from accord.feedback.records import Feedback, asked_fields
from accord.feedback.store import write_records
from accord.oversight.chains import CritiqueChain
from accord.oversight.critics import RuleCritic
from accord.oversight.drafts import Draft, WrittenText
from accord.runs.context import StageContext
from accord.runs.stage import StageResult, Value


# --- on disk --------------------------------------------------------------------------------------
def as_row(chain: CritiqueChain) -> dict[str, Any]:
    """A chain in the stage's log, less its first draft."""
    return {
        "row": chain.first.row,
        "steps": chain.steps,
        "principles": chain.principles,
        "reasons": chain.reasons,
        "invented": chain.invented,
        "preambles": chain.preambles,
        "drafts": [
            {"text": one.text, "finished": one.response.finished, "producer": one.producer}
            for one in chain.drafts[1:]
        ],
        "records": [record.model_dump(mode="json") for record in chain.records],
    }


def from_row(row: Mapping[str, Any], first: Draft) -> CritiqueChain:
    """The same read back."""
    later = [
        Draft(first.row, first.prompt, WrittenText(one["text"], one["finished"]), one["producer"])
        for one in row["drafts"]
    ]
    records = [Feedback.model_validate(one) for one in row["records"]]
    told = {name: row[name] for name in ("steps", "principles", "reasons", "invented", "preambles")}
    return CritiqueChain([first, *later], records=records, **told)


# --- what is left ---------------------------------------------------------------------------------
def leave(
    chains: Sequence[CritiqueChain], critic: RuleCritic | None, context: StageContext
) -> StageResult:
    """Files and numbers. Raises RunError where no chain gave anything to learn from."""
    usable = [chain for chain in chains if chain.usable]
    if not usable:
        raise RunError(
            f"none of {len(chains):,} responses was criticised and revised: {_reasons(chains)}",
            "look at what the critic and the reviser say",
        )
    files = {
        "demonstrations": [_demonstration(chain.last, chain) for chain in usable],
        "unrevised": [_demonstration(chain.first, None) for chain in usable],
        "feedback": [record for chain in chains for record in chain.records],
    }
    artefacts = {}
    for name, records in files.items():
        artefacts[name] = context.folder / f"{name}.jsonl"
        write_records(artefacts[name], records)
    values = _amounts(chains, usable)
    for line in _lines(chains, values):
        context.say(line)
    if critic is not None:
        values |= _violations(chains, critic, context)
    summary = (
        f"{values['revised']:,} of {len(chains):,} responses revised, {values['kept']:,} kept as"
        f" they are, {values['failed']:,} left out; {values['revisions']:,} revisions"
    )
    return StageResult(summary, values, artefacts)


def _demonstration(draft: Draft, revised: CritiqueChain | None) -> Feedback:
    """A draft to learn from; cut off, it says so. revised: the chain that it is the end of, None
    for an unrevised response."""
    meta: dict[str, Any] = {"finished": draft.response.finished}
    guideline = None
    if revised is not None:
        if (parent := revised.parent) is not None:
            meta["parent"] = parent
        guideline = next((record.guideline for record in revised.records), None)
    return Feedback.model_validate(
        {
            "id": f"{'revised' if revised else 'unrevised'}-{draft.row}",
            "kind": "demonstration",
            **asked_fields(draft.prompt),
            "options": [],
            "choice": {"content": draft.text},
            "annotator": draft.producer,
            "guideline": guideline,
            "meta": meta,
        }
    )


# --- what it amounts to ---------------------------------------------------------------------------
def _amounts(chains: Sequence[CritiqueChain], usable: Sequence[CritiqueChain]) -> dict[str, Value]:
    steps = Counter(step for chain in chains for step in chain.steps)
    given = steps["revised"] + steps["unchanged"]
    return {
        "prompts": len(chains),
        "revised": sum("revised" in chain.steps for chain in chains),
        "kept": sum("revised" not in chain.steps for chain in usable),
        "failed": len(chains) - len(usable),
        "revisions": steps["revised"],
        "copy_rate": steps["unchanged"] / given if given else 0.0,
        "failed_rounds": steps["failed"],
        "failed_share": steps["failed"] / steps.total(),
        "preambles": sum(chain.preambles for chain in chains),
        "invented_quotes": sum(chain.invented for chain in chains),
        "characters_before": _mean(len(chain.first.text) for chain in usable),
        "characters_after": _mean(len(chain.last.text) for chain in usable),
        "finished_before": _mean(chain.first.response.finished for chain in usable),
        "finished_after": _mean(chain.last.response.finished for chain in usable),
    }


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _lines(chains: Sequence[CritiqueChain], values: Mapping[str, Any]) -> Iterator[str]:
    """In words."""
    yield (
        f"revisions that are copies: {values['copy_rate']:.1%}; characters"
        f" {values['characters_before']:.0f} → {values['characters_after']:.0f}; finished"
        f" {values['finished_before']:.1%} → {values['finished_after']:.1%}"
    )
    if values["preambles"] or values["invented_quotes"]:
        yield (
            f"{values['preambles']:,} revisions with a preamble; {values['invented_quotes']:,}"
            " quotes in critiques that stand in no response"
        )
    if values["failed_rounds"]:
        yield f"{values['failed_rounds']:,} rounds without a revision: {_reasons(chains)}"
    drawn = Counter(name for chain in chains for name in chain.principles)
    for name, count in drawn.items():
        steps = Counter[str](
            step
            for chain in chains
            for step, one in zip(chain.steps, chain.principles, strict=True)
            if one == name
        )
        yield f"{name}: drawn {count:,} times; {by_reason(dict(steps))}"


def failures(chains: Sequence[CritiqueChain]) -> Counter[str]:
    """Reasons of the rounds that failed."""
    return Counter(
        reason
        for chain in chains
        for step, reason in zip(chain.steps, chain.reasons, strict=True)
        if step == "failed"
    )


def _reasons(chains: Sequence[CritiqueChain]) -> str:
    return by_reason(dict(failures(chains).most_common(5)))


def _violations(
    chains: Sequence[CritiqueChain], critic: RuleCritic, context: StageContext
) -> dict[str, Value]:
    """Share of the drafts that break each principle, and any, before and after each round."""
    from accord.statistics.means import share_mean

    names = [one.id for one in critic.principles]
    values: dict[str, Value] = {}
    for number in range(len(chains[0].drafts)):
        counts = [critic.counts(chain.first.prompt, chain.drafts[number].text) for chain in chains]
        broken = {name: [float(one[name] > 0) for one in counts] for name in names}
        broken["any"] = [float(any(one.values())) for one in counts]
        shares = {name: share_mean(column) for name, column in broken.items()}
        values |= {f"round_{number}.{name}": share.value for name, share in shares.items()}
        told = "; ".join(f"{name} {share.percent}" for name, share in shares.items())
        context.say(f"broken {f'after round {number}' if number else 'before'}: {told}")
    return values
