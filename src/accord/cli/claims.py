"""`accord feedback claims`: what critics that are functions say of responses, as items to judge."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.terminal import safe_text
from accord.errors import DataError
from accord.feedback.assisting import can_be_shown
from accord.feedback.messages import plain, to_json
from accord.feedback.words import counted
from accord.files import write_jsonl

if TYPE_CHECKING:
    from accord.oversight.critics import RuleCritic
    from accord.studio.projects.incoming import ItemIn
    from accord.studio.projects.settings import Task

CRITICS = "critics: {PRINCIPLE: {function: 'accord:words', arguments: {words: [bad]}}}"


def write(source: Path, out: Path, constitution: str, critics: Path, task: Task) -> None:
    """Write the items of a file with the claims about each; says how many, and what was left."""
    from accord.oversight.constitution import read_constitution
    from accord.runs.stages.critic_functions import UsesCritics
    from accord.studio.projects.incoming import ItemIn, items_from
    from accord.studio.projects.settings import ProjectSettings
    from accord.validation import read_text, read_yaml, validated

    rules = read_constitution(constitution)
    raw = read_yaml(read_text(critics), critics.name, CRITICS)
    told = validated(UsesCritics, raw, critics.name)
    told.check_critics(rules)
    critic = told.rule_critic(rules)
    asked: dict[str, Any] = {
        "rating": {"attributes": [{"name": "any"}]},
        "flags": {"flags": ["any"]},
        "spans": {"spans": ["any"]},
    }
    bare: dict[str, Any] = {"name": "any", "task": task, **asked.get(task, {})}
    read = items_from(source, ProjectSettings.model_validate(bare))
    rows, counts = [], Counter[str]()
    for number, row in enumerate(read.items, 1):
        item = ItemIn.model_validate(row)
        if item.claims is not None:
            raise DataError(
                f"{source}: item {number} has claims already", "give a file of items without"
            )
        claims = _claims(item, critic, counts)
        rows.append({**row, "claims": claims})
    write_jsonl(out, rows)
    for reason, count in read.dropped.items():
        first = read.first_dropped[reason]
        click.echo(f"{count:,} rows left out: {safe_text(reason)} (first: {first})")
    if counts["unseen"]:
        what = counted(counts["unseen"], "claim")
        click.echo(f"{what} left out: of a passage without a letter or a digit, to show it by")
    without = sum(not row["claims"] for row in rows)
    click.echo(f"{out}: {counted(len(rows), 'item')}, {counted(counts['made'], 'claim')}")
    click.echo(f"  {counted(without, 'item')} without a claim: in the study, with nothing to show")


def _claims(item: ItemIn, critic: RuleCritic, counts: Counter[str]) -> list[dict[str, Any]]:
    """Every place that breaks a principle, in the principle's words."""
    prompt, claims = to_json(item.prompt), []
    for place, option in enumerate(item.options, 1):
        text = plain(option.content)
        for principle in critic.principles:
            for span in critic.spans(prompt, text, principle.id):
                quote = text[span.start : span.end]
                seen = can_be_shown(quote)
                counts["made" if seen else "unseen"] += 1
                said = {"quote": quote, "text": f"Against the rule: {principle.text}"}
                where = {"option": place, "span": [span.start, span.end]}
                claims += [where | said] if seen else []
    return claims
