"""`accord feedback audit` and `accord feedback select`: what judgements are worth, and what to ask
next."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from accord.cli.feedback import interval, judgements
from accord.cli.terminal import safe_text
from accord.errors import ConfigError, DataError
from accord.feedback.words import counted

if TYPE_CHECKING:
    from accord.feedback.audit import Audit
    from accord.feedback.formats.source import DataSource
    from accord.feedback.records import Feedback
    from accord.feedback.scales import ScaleModel
    from accord.feedback.selection import Pick
    from accord.feedback.votes import Objects


def audit(
    source: DataSource,
    trusted: Sequence[str],
    attributes: Path | None,
    scale_model: ScaleModel | None,
    as_json: bool,
) -> None:
    """Print one page: every measure with its interval, the alarms first."""
    from accord.feedback import audit as auditing

    report = auditing.audit(
        judgements(source, quiet=as_json),
        trusted or None,
        self_described=attributes_of(attributes),
        scale_model=scale_model,
    )
    if as_json:
        click.echo(json.dumps(_plain(asdict(report)), ensure_ascii=False))
        return
    for line in _page(report):
        click.echo(safe_text(line))


def attributes_of(path: Path | None) -> dict[str, dict[str, str]] | None:
    """annotator -> attribute -> value, from a JSON file."""
    if path is None:
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read {path}: {error}", 'write {"annotator": {"attribute": "value"}}'
        ) from None
    right = isinstance(raw, dict) and all(
        isinstance(v, dict) and all(isinstance(x, str) for x in v.values()) for v in raw.values()
    )
    if not right:
        raise ConfigError(
            f"{path} does not map annotators to attributes",
            'write {"annotator": {"attribute": "value"}}',
        )
    return raw  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    """Values as JSON has them: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _page(report: Audit) -> list[str]:
    who = counted(report.people, "annotator")
    lines = [
        f"{counted(report.records, 'record')} by {who}; votes are scored per {report.objects}",
        "",
    ]
    lines += [counted(len(report.alarms), "alarm") if report.alarms else "no alarms"]
    lines += [f"  {a.area:10} {a.subject}: {a.finding}" for a in report.alarms]
    lines += ["", "measures"]
    if report.agreement.choices:
        c = report.agreement.choices
        why = c.not_measurable.get("strict")
        agreement_text = (
            f"{interval(c.strict)} of decided pairs; ceiling for a reward model"
            f" {interval(c.ceiling)}"
        )
        lines.append(f"  agreement   {f'not measurable: {why}' if why else agreement_text}")
    for s in report.agreement.scales:
        if s.alpha:
            lines.append(f"  agreement   {s.what} ({s.level}): α {interval(s.alpha)}")
    if report.position:
        p = report.position
        lines.append(
            f"  position    pull of the first place {interval(p.pull)} logits, z = {p.z:.1f}, "
            "alarm beyond 2.6"
        )
    if report.annotators:
        flagged = sum(a.flag != "ok" for a in report.annotators.annotators)
        lines.append(
            f"  annotators  {flagged} of {len(report.annotators.annotators)} flagged by the model "
            "within prompts"
        )
    if report.reliability:
        ordered = sorted((r.times_typical for r in report.reliability), key=lambda r: r.value)
        lines.append(
            f"  reliability {interval(ordered[0], 2)} to {interval(ordered[-1], 2)} times the "
            "typical annotator's"
        )
    watched, changed = len(report.drift.annotators), sum(a.alarm for a in report.drift.annotators)
    lines.append(
        f"  drift       {changed} of {watched} watched annotators; {report.drift.not_watched} with "
        "too few judgements"
    )
    if report.poisoning:
        n = report.poisoning
        lines.append(
            f"  poisoning   {len(n.quarantine)} of {n.tested} tested; limit |z| {n.threshold:.1f}; "
            f"{n.reference}"
        )
        lines += [f"              {n.warning}"] if n.warning else []
        if n.contrary:
            lines.append(
                f"              against what the others prefer: {', '.join(list(n.contrary)[:8])}"
            )
    flagged = sum(g.state == "flagged" for g in report.gold)
    lines.append(
        f"  gold        {flagged} of {len(report.gold)} annotators flagged"
        if report.gold
        else "  gold        no gold items"
    )
    if report.groups:
        g = report.groups
        bic = ", ".join(f"{k}: {v:.0f}" for k, v in g.bic.items())
        lines.append(
            f"  groups      {len(g.groups)} by BIC ({bic}); {g.votes:,} votes, {g.ties_left_out:,} "
            "ties left out"
        )
    for scale in report.scales:
        gain = (
            f"; α {scale.alpha_plain:.2f} plain, {scale.alpha_corrected:.2f} corrected"
            if (scale.alpha_plain is not None and scale.alpha_corrected is not None)
            else ""
        )
        lines.append(
            f"  scales      {scale.attribute}: {len(scale.annotators)} annotators around "
            f"{scale.offset:.2f}{gain}"
        )
        lines.append(f"              taken for {scale.model} ({scale.why})")
    for r in report.representation:
        groups = ", ".join(f"{g.group} {g.annotators}" for g in r.groups)
        lines.append(
            f"  {r.attribute[:11]:11} {groups}; {r.suppressed_annotators} in groups below "
            f"{r.smallest}, not shown"
        )
        for part in r.groups:
            if part.within and part.between and part.apart:
                lines.append(
                    f"              {part.group}: agree in {interval(part.within)} among "
                    "themselves, "
                    f"{interval(part.between)} with others, difference {interval(part.apart)}"
                )
    lines += [f"  not done    {what}: {reason}" for what, reason in report.not_done.items()]
    lines += [
        "",
        "not caught by any of these: votes for a target hidden among honest-looking ones (see "
        "docs/feedback-quality.md)",
    ]
    return lines


def select(
    source: DataSource,
    count: int,
    goal: Literal["ranking", "best"],
    random_share: float,
    out: Path | None,
    seed: int,
) -> None:
    """Choose pairs to ask next, and say what active picks were worth so far."""
    from accord.feedback.audit import scored_objects
    from accord.feedback.ratings import RatingSettings, fit
    from accord.feedback.selection import candidates_of, posterior
    from accord.feedback.selection import select as choose
    from accord.feedback.votes import votes_of

    if out is not None and out.exists():
        raise ConfigError(f"{out} exists", "choose another name; nothing is overwritten")
    records = judgements(source)
    objects = scored_objects(records)
    candidates, judged = candidates_of(records, objects)
    if not candidates:
        raise DataError(
            "no prompt has two different responses to compare", "add responses to the prompts"
        )
    try:
        known = fit(
            votes_of(records, objects)[0], RatingSettings(reliability=objects == "producer")
        )
    except DataError as error:
        click.echo(
            "no scores yet, so every pair is as informative as the next: "
            f"{safe_text(error.message)}"
        )
        known = None
    chosen = choose(
        posterior(known, [o for c in candidates for o in c.objects]),
        candidates,
        count,
        goal,
        random_share,
        judged,
        seed=seed,
    )
    rows = _rows(records, chosen.picks, goal)
    if out is not None:
        from accord.files import write_jsonl

        write_jsonl(out, rows)
    at_random = sum(p.arm == "random" for p in chosen.picks)
    click.echo(
        f"{len(rows):,} of {chosen.candidates:,} pairs, {at_random:,} of them at random"
        + (f": {out}" if out else "")
    )
    for pick, row in list(zip(chosen.picks, rows, strict=True))[: 10 if out is None else 0]:
        names = " / ".join(o["producer"] or repr(_start(o["content"], 30)) for o in row["options"])
        click.echo(
            safe_text(f"  {pick.arm:6}  {names}  on {_start(row['prompt'], 60)!r}  {pick.reason}")
        )
    if out is None and len(rows) > 10:
        click.echo(f"  and {len(rows) - 10:,} more; write them with --out FILE")
    _say_saving(records, objects)


def _start(content: str | list[dict[str, Any]] | dict[str, Any], length: int) -> str:
    """The beginning of a text, of a conversation of its last message; of clips which they are."""
    from accord.feedback.records import Clip, ClipSet, plain

    if isinstance(content, dict):
        text = plain(ClipSet(**content) if "clips" in content else Clip(**content))
    else:
        text = content if isinstance(content, str) else str(content[-1]["content"])
    flat = " ".join(text.split())
    return flat if len(flat) <= length else f"{flat[: length - 1]}…"


def _rows(records: Sequence[Feedback], picks: Sequence[Pick], goal: str) -> list[dict[str, Any]]:
    """What a labelling task needs: prompt, both options, and who chose it, to be stored with the
    record."""
    from accord.feedback.records import content_id, to_json

    prompts, options = {}, {}
    for record in records:
        key = content_id(record.prompt)
        prompts[key] = record.prompt
        options.update({(key, o.id): o for o in record.options})
    rows = []
    for pick in picks:
        key = pick.candidate.prompt
        prompt = to_json(prompts[key])
        shown = [options[key, i].model_dump(exclude={"shown_at"}) for i in pick.candidate.options]
        rows.append(
            {
                "prompt": prompt,
                "options": shown,
                "meta": {
                    "selected_by": "random" if pick.arm == "random" else goal,
                    "reason": pick.reason,
                },
            }
        )
    return rows


def _say_saving(records: Sequence[Feedback], objects: Objects) -> None:
    from dataclasses import replace

    import numpy as np

    from accord.feedback.selection import saving
    from accord.feedback.votes import Votes, votes_of

    arms: dict[str, Votes] = {}
    for arm in ("random", "active"):
        named = [r for r in records if r.meta.get("selected_by")]
        mine = [r for r in named if (r.meta["selected_by"] == "random") == (arm == "random")]
        if mine:
            arms[arm] = votes_of(mine, objects)[0]
    if len(arms) < 2:
        click.echo(
            "saving of the active arm: not measured (no records with meta.selected_by of both arms "
            "yet)"
        )
        return
    names = sorted({n for v in arms.values() for n in v.producers})

    def renamed(votes: Votes) -> Votes:
        place = np.array([names.index(n) for n in votes.producers])
        return replace(
            votes,
            first=place[votes.first],
            second=place[votes.second],
            producers=names,
            annotators=["all"],
            annotator=np.zeros_like(votes.annotator),
        )

    try:
        saved = saving(renamed(arms["random"]), renamed(arms["active"]))
    except DataError as error:
        click.echo(f"saving of the active arm: {error.message}")
        return
    click.echo(
        f"saving of the active arm: {saved.verdict}, {saved.share.value:+.0%} "
        f"[{saved.share.low:+.0%}, {saved.share.high:+.0%}] "
        f"({saved.active_votes:,} active, {saved.random_votes:,} random votes)"
    )
