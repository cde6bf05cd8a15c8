"""`accord verdict`, `examine` and `zoo`: whether it worked, and whether a verdict can be trusted.
Only click is imported here, as in main.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from accord.cli.asking import asking_options, budget_options
from accord.cli.terminal import guarded


def _print_schema(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from accord.examine.verdict import Verdict

        click.echo(json.dumps(Verdict.model_json_schema(), indent=1))
        context.exit()


@click.command()
@click.argument(
    "run_dir", metavar="RUN", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print verdict.json's JSON Schema and end.",
)
@click.option(
    "--fail-on",
    default="gamed,collapsed",
    show_default=True,
    help="Outcomes that fail: worked, gamed, collapsed, inconclusive, or none.",
)
@click.option(
    "--require",
    multiple=True,
    metavar="'NAME <= NUMBER'",
    help="What a measure must be shown to be, with its whole interval. Any number of times.",
)
@click.option("--measures", is_flag=True, help="List every measure with its interval and meaning.")
@click.option("--json", "as_json", is_flag=True, help="For machines, measures included.")
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write a JUnit report too."
)
@click.option(
    "--ask",
    type=click.IntRange(1),
    metavar="N",
    help="Write N comparisons per arm for people to judge, chosen so that the verdict can rest on"
    " them: of responses, or of episodes as clips where the policy acts.",
)
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where --ask writes (default: RUN/ask.jsonl).",
)
@click.option(
    "--answers",
    type=click.Path(exists=True, path_type=Path),
    help="What people said of them: the verdict is made again.",
)
@click.option(
    "--attributes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --answers: JSON, annotator to self-described attributes; what their groups say, and"
    " whether they differ. Groups below 5 are not shown.",
)
@click.option(
    "--deployment",
    "deployed",
    type=click.Path(exists=True, path_type=Path),
    metavar="LOG",
    help="A log of use: what its users say can be required, users.satisfied, users.POLICY.raw, ….",
)
@click.option(
    "--called",
    type=click.Path(exists=True, path_type=Path),
    help="With --deployment: thumbs of silent users who were asked.",
)
@click.option("--seed", default=0, show_default=True, help="Of --ask, and the same for --answers.")
@click.option(
    "--judge",
    "judges",
    multiple=True,
    metavar="JUDGE",
    help="With --ask and --answers, of responses: a judge as in accord judge audit is a stand-in"
    " too; several decide by majority. The same for both.",
)
@asking_options
@guarded
def verdict(
    run_dir: Path,
    fail_on: str,
    require: tuple[str, ...],
    measures: bool,
    as_json: bool,
    junit: Path | None,
    ask: int | None,
    to: Path | None,
    answers: Path | None,
    attributes: Path | None,
    deployed: Path | None,
    called: Path | None,
    seed: int,
    judges: tuple[str, ...],
    asking: dict[str, Any],
) -> None:
    """Whether RUN worked or was gamed, by the rules on its evidence, which are applied anew.

    \b
    accord verdict runs/quickstart-1 --require 'ppo.win_rate >= 0.6' --require 'ppo.kl <= 10'
    accord verdict runs/quickstart-1 --ask 60                     # ask.jsonl, for people
    accord studio import PROJECT runs/quickstart-1/ask.jsonl
    accord studio export PROJECT answers.jsonl
    accord verdict runs/quickstart-1 --answers answers.jsonl      # the verdict by what they said
    Exit codes: 0 fine, 3 an outcome of --fail-on or a requirement not met, 2 usage.
    """
    if ask is not None:
        from accord.cli.asked import ask_people

        ask_people(run_dir, ask, to or run_dir / "ask.jsonl", answers, seed, judges, asking)
        return
    from accord.cli.verdict import show

    show(
        run_dir, fail_on, require, as_json, junit, measures, answers, seed, judges, asking,
        attributes, deployed, called,
    )  # fmt: skip


@click.command()
@click.option("--base", required=True, help="The policy that the others are compared with.")
@click.option("--sft", help="A fine-tuned policy between them.")
@click.option("--policy", help="The tuned policy.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=FILE",
    help="A question set in its published layout (docs/verdict.md lists them), such as"
    " truthfulqa=TruthfulQA.csv; NAME:own=FILE for several of one kind.",
)
@click.option(
    "--prompts", metavar="FILE", help="Prompts that every policy answers; all measures share them."
)
@click.option(
    "--reward", help="What scores the responses: a reward model, module:function or accord:NAME."
)
@click.option(
    "--judge", help="What compares them with base's: a model, an endpoint, or module:function."
)
@click.option(
    "--toxicity", help="A classifier of texts: profanity (words alone), or module:function."
)
@click.option(
    "--suite",
    type=click.Choice(["quick", "standard", "full"]),
    default="standard",
    show_default=True,
    help="How much is asked; --dry-run shows what that is.",
)
@click.option("--limit", type=click.IntRange(1), help="Items of a set at most.")
@click.option("--samples", type=click.IntRange(1), help="Responses to each prompt.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1), help="Longest sampled response, in tokens."
)
@click.option(
    "--temperature", type=click.FloatRange(0), default=1.0, show_default=True, help="Of responses."
)
@click.option("--seed", default=0, show_default=True, help="Of the draw of items and samples.")
@click.option(
    "--trained-on",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What was trained on (JSON lines or text): items found in it are counted.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where answers are kept by content (default: accord/answers in the user's cache).",
)
@click.option("--no-cache", is_flag=True, help="Ask everything again and keep nothing.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for evidence, verdict, responses and report.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be asked; load no model.")
@budget_options
@guarded
def examine(
    base: str,
    sft: str | None,
    policy: str | None,
    sets: tuple[str, ...],
    prompts: str | None,
    reward: str | None,
    judge: str | None,
    toxicity: str | None,
    suite: str,
    limit: int | None,
    samples: int | None,
    max_new_tokens: int | None,
    temperature: float,
    seed: int,
    trained_on: tuple[Path, ...],
    cache: Path | None,
    no_cache: bool,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Put question sets and prompts to policies and compare them, paired by item.

    Policies are directories, adapters, accord:NAME, Hub ids, or models behind an OpenAI-compatible
    endpoint (http://127.0.0.1:8000/v1#model), of which text alone comes back.

    \b
    accord examine --base SFT --policy PPO --prompts held-out.jsonl --reward RM --out examined
    accord verdict examined --require 'responses.repeated <= 0.05'
    """
    from accord.cli.examine import Request
    from accord.cli.examine import examine as put
    from accord.runs.behaviour.remembering import default_folder

    if no_cache and cache is not None:
        raise click.UsageError("--cache and --no-cache contradict each other.")
    named = {"base": base, "sft": sft, "policy": policy}
    policies = {arm: reference for arm, reference in named.items() if reference is not None}
    kept = None if no_cache else cache or default_folder()
    put(
        Request(
            policies=policies,
            sets=sets,
            suite=suite,
            prompts=prompts,
            reward=reward,
            judge=judge,
            toxicity=toxicity,
            limit=limit,
            samples=samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            trained_on=trained_on,
            cache=kept,
            out=out,
            asking=asking,
        ),
        dry_run,
    )


@click.command()
@click.option("--seeds", default=5, show_default=True, help="Runs of each kind.")
@click.option(
    "--size",
    type=click.Choice(["micro", "standard"]),
    default="standard",
    show_default=True,
    help="Of every run.",
)
@click.option("--only", multiple=True, metavar="KIND", help="These kinds. Any number of times.")
@click.option(
    "--cache",
    "kept",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("zoo"),
    show_default=True,
    help="Where finished stages are kept, by the hash of all they rest on.",
)
@click.option(
    "--write",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rates to a .json file, or into a .md page between its marks.",
)
@click.option(
    "--acting",
    is_flag=True,
    help="Policies that act, in worlds of the gallery: seconds, without --size and --cache.",
)
@click.option("--kinds", "list_only", is_flag=True, help="List the kinds and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--dry-run", is_flag=True, help="Show what is left to run.")
@guarded
def zoo(
    seeds: int,
    size: str,
    only: tuple[str, ...],
    kept: Path,
    write: tuple[Path, ...],
    acting: bool,
    list_only: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """How often the verdict is wrong, on broken and healthy runs of a small language.

    \b
    accord zoo --kinds                                  what there is
    accord zoo --only length_gamed --only ppo --seeds 1
    accord zoo                                          all of it; continue it with the same command
    accord zoo --acting                                 policies that act: gamed worlds, and mended
    """
    from accord.cli.zoo import list_kinds, run_acting, run_zoo

    if list_only:
        list_kinds(acting)
        return
    if seeds < 1:
        raise click.UsageError(f"--seeds {seeds}: one or more.")
    if acting:
        run_acting(seeds, only, write, as_json, dry_run)
        return
    run_zoo(seeds, size, only, kept, write, as_json, dry_run)
