"""`accord examine`: question sets and prompts put to policies, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accord.cli.asking import asking_settings
from accord.cli.terminal import print_table, safe_text
from accord.errors import ConfigError
from accord.files import write_json, write_jsonl

if TYPE_CHECKING:
    from accord.examine.behaviour.table import Behaviour, Change, Line
    from accord.examine.evidence import Evidence
    from accord.runs.behaviour.question_set import QuestionSet
    from accord.runs.behaviour.remembering import Cache
    from accord.runs.behaviour.responses import Responses
    from accord.runs.behaviour.suites import Suite
    from accord.runs.judges import AskedJudge
    from accord.statistics.means import Estimate


@dataclass(frozen=True)
class Request:
    """What a user asked for; None where they left it to the suite."""

    policies: Mapping[str, str]
    sets: Sequence[str]
    suite: str
    prompts: str | None = None
    reward: str | None = None
    judge: str | None = None
    toxicity: str | None = None
    limit: int | None = None
    samples: int | None = None
    max_new_tokens: int | None = None
    temperature: float = 1.0
    seed: int = 0
    trained_on: Sequence[Path] = ()
    cache: Path | None = None
    out: Path | None = None
    asking: Mapping[str, Any] | None = None


def examine(request: Request, dry_run: bool) -> None:
    """Load the sets, ask, print the table; the first policy is what the others are compared
    with."""
    from accord.runs.behaviour import sets
    from accord.runs.behaviour.remembering import Cache

    _check(request)
    suite = _suite(request)
    questions = [
        sets.load(name, path, suite.items, request.seed, suite.max_new_tokens)
        for name, path in map(_named, request.sets)
    ]
    asking = None if request.asking is None else asking_settings(dict(request.asking))
    cache = Cache(request.cache, asking)
    responses = _responses(request, suite, cache)
    if dry_run:
        _show_plan(request, suite, questions, responses)
        return
    _ask(request, suite, questions, responses, cache)


def _check(request: Request) -> None:
    if not request.sets and request.prompts is None:
        raise ConfigError(
            "there is nothing to ask", "name --prompts FILE, or question sets: --set NAME=FILE"
        )
    scorers = {"reward": request.reward, "judge": request.judge, "toxicity": request.toxicity}
    lost = [f"--{name}" for name, value in scorers.items() if value is not None]
    if lost and request.prompts is None:
        raise ConfigError(
            f"{' and '.join(lost)} score responses, and no prompts are answered",
            "name them with --prompts FILE",
        )
    names = [text.partition("=")[0] for text in request.sets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"the set {twice[0]} is named twice", f"tell them apart: --set {twice[0]}:own=FILE"
        )
    if request.out is not None and request.out.is_file():
        raise ConfigError(f"{request.out} is a file", "--out names a directory")


def _suite(request: Request) -> Suite:
    """The named sizes, with those that the user gave."""
    from accord.runs.behaviour.suites import SUITES

    usual = SUITES[request.suite]
    return replace(
        usual,
        items=request.limit or usual.items,
        samples=request.samples or usual.samples,
        max_new_tokens=request.max_new_tokens or usual.max_new_tokens,
    )


def _responses(request: Request, suite: Suite, cache: Cache) -> Responses | None:
    if request.prompts is None:
        return None
    from accord.runs.behaviour import scoring
    from accord.runs.behaviour.responses import Responses, read_file
    from accord.sampling.rollout import SamplingSettings

    return Responses(
        prompts=read_file(request.prompts, suite.prompts, request.seed, click.echo),
        samples=suite.samples,
        settings=SamplingSettings(suite.max_new_tokens, request.temperature),
        seed=request.seed,
        reward=scoring.open_reward(request.reward, cache) if request.reward else None,
        judge=_judge(request, cache),
        toxicity=scoring.open_toxicity(request.toxicity) if request.toxicity else None,
        embed=scoring.embedding(),
    )


def _judge(request: Request, cache: Cache) -> AskedJudge | None:
    from accord.runs.behaviour.scoring import open_judge

    if request.judge is None:
        return None
    asking = request.asking or {"answer_tokens": 16}
    return open_judge(request.judge, cache, asking["answer_tokens"])


# --- the plan -------------------------------------------------------------------------------------
def _show_plan(
    request: Request, suite: Suite, sets: Sequence[QuestionSet], responses: Responses | None
) -> None:
    import torch

    from accord.feedback.words import counted
    from accord.runs.behaviour.suites import holdings
    from accord.runs.known import outside_model
    from accord.runs.speed import speed_of
    from accord.sampling.addresses import is_remote
    from accord.text.encoding import Encoder

    click.echo(
        f"suite {suite.name}: at most {suite.items:,} items of a set, {suite.prompts:,} prompts x"
        f" {suite.samples} samples of at most {suite.max_new_tokens} tokens"
    )
    first = next(
        (
            known
            for ref in request.policies.values()
            if not is_remote(ref)
            if (known := outside_model(ref)).language is not None
        ),
        None,
    )
    encoder = None if first is None or first.language is None else Encoder(first.language.tokenizer)
    chats = encoder is None or encoder.tokenizer.chat_template is not None
    held = holdings(sets, responses, encoder, chats)
    speed = None if first is None else speed_of(first, "cpu")
    rows = []
    for one in held:
        hours = "" if speed is None else f"{one.work.seconds(speed) / 3600:.2f}"
        counts = (one.items, one.whole, one.options, one.samples, one.work.tokens)
        rows.append((one.name, *(f"{count:,}" for count in counts), hours))
    columns = ("set", "items", "of", "options scored", "samples", "tokens", "hours")
    print_table(columns, rows, right=columns[1:])
    for own in sets:
        if told := _left_out(own):
            click.echo(f"{own.name}{told}")
    for arm, reference in request.policies.items():
        click.echo(f"{arm} = {reference}")
    if speed is not None:
        total = sum(one.work.seconds(speed) for one in held) / 3600
        click.echo(
            f"about {total:.2f} hours for each policy, {len(request.policies) * total:.2f} in all,"
            f" with {counted(torch.get_num_threads(), 'thread')} at the speed measured on this"
            " machine, were it idle; what the cache holds costs nothing"
        )
    if responses is not None and responses.judge is not None:
        asked = 2 * len(responses.prompts) * (len(request.policies) - 1)
        click.echo(f"the judge is asked {asked:,} times")


# --- asking ---------------------------------------------------------------------------------------
def _ask(
    request: Request,
    suite: Suite,
    sets: Sequence[QuestionSet],
    responses: Responses | None,
    cache: Cache,
) -> None:
    from accord.cli.run import quiet_libraries
    from accord.runs.behaviour.comparing import compare
    from accord.runs.behaviour.remembering import RememberedPolicy

    quiet_libraries()
    policies = {arm: RememberedPolicy(ref, cache) for arm, ref in request.policies.items()}
    found = compare(
        sets,
        policies,
        _texts(request.trained_on) if request.trained_on else None,
        responses,
        lambda arm, name: click.echo(f"asking {arm}: {name}", err=True),
        request.policies,
        suite.name,
    )
    if cache.reused:
        click.echo(f"{cache.reused:,} answers were known from before", err=True)
    _print(found)
    if request.out is not None:
        _write(request.out, found, responses)


def _write(out: Path, found: Behaviour, responses: Responses | None) -> None:
    """evidence.json, verdict.json, the responses, and the report."""
    from accord.examine.error_rates import with_rates
    from accord.examine.verdict import decide
    from accord.report.render import RESPONSES, render
    from accord.runs.behaviour.responses import evidence_of
    from accord.runs.evidence import EVIDENCE

    out.mkdir(parents=True, exist_ok=True)
    evidence: Evidence = evidence_of(found, responses)
    verdict = with_rates(decide(evidence))
    write_json(out / EVIDENCE, evidence.model_dump(mode="json"))
    write_json(out / "verdict.json", verdict.model_dump(mode="json"))
    if responses is not None:
        said = [row for arm in responses.arms for row in responses.samples_of(arm)]
        write_jsonl(out / RESPONSES, said)
    click.echo(f"{verdict.outcome}: {safe_text(verdict.reason)}")
    click.echo(f"{render(out)}; requirements: accord verdict {out} --require 'NAME <= NUMBER'")


def _named(text: str) -> tuple[str, Path | None]:
    """(name, file), without a file for sets that are generated."""
    name, equals, path = text.partition("=")
    if not name or (equals and not path):
        raise ConfigError(f"{text!r} names no set", "write --set NAME=FILE")
    return name, Path(path) if equals else None


def _texts(files: Sequence[Path]) -> Iterator[str]:
    from accord.runs.behaviour.overlaps import texts_of

    for path in files:
        yield from texts_of(path, lambda line: click.echo(line, err=True))


def _left_out(one: QuestionSet) -> str:
    parts = [f"{count} left out: {reason}" for reason, count in one.left_out.items()]
    return "".join(f"; {part}" for part in parts)


def _print(found: Behaviour) -> None:
    """Contamination first: what was trained on says less."""
    arms = list(found.policies)
    for name, (exact, overlapping) in (found.contamination or {}).items():
        if exact or overlapping:
            click.secho(
                f"{name}: {exact} items were trained on word by word, {overlapping} share a run of"
                " 13 words with what was: these numbers say less than they seem to",
                fg="yellow",
            )
    if found.contamination is None:
        click.echo("contamination: not looked for; name what was trained on with --trained-on")
    rows = [row for line in found.lines for row in _rows(line, arms)]
    columns = ("set", "measure", "n", *arms, *(f"{a} - {arms[0]}" for a in arms[1:]), "chance", "")
    print_table(columns, rows, right=("n",))
    for name, reason in found.not_measurable.items():
        click.echo(f"{name}: not measurable: {safe_text(reason)}")
    for alarm in found.alarms:
        click.secho(f"alarm: {alarm}", fg="red")
    click.echo("* beyond chance when all changes are asked (false discoveries at most 5 %)")
    click.echo(found.cannot_show)


def _rows(line: Line, arms: Sequence[str]) -> Iterator[tuple[str, ...]]:
    control = f"{line.control[0]}: {line.control[1]:.3g}" if line.control else ""
    yield (
        line.set,
        line.measure,
        f"{line.items:,}",
        *(_shown(line.arms.get(arm)) for arm in arms),
        *(_changed(line.changes.get(arm)) for arm in arms[1:]),
        "" if line.chance is None else f"{line.chance:.3g}",
        control,
    )


def _shown(estimate: Estimate | None) -> str:
    return "–" if estimate is None else str(estimate)


def _changed(change: Change | None) -> str:
    if change is None:
        return "–"
    if change.believed:
        return f"{change.change} *"
    seen = "" if change.visible is None else f" (below {change.visible:.2g} unseen)"
    return f"{change.change}{seen}"
