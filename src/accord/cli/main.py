"""The `accord` command. Only click is imported here; each command imports what it needs when it
runs."""

from __future__ import annotations

import click

from accord import __version__
from accord.cli.completing import complete_recipe, script
from accord.cli.constitution_commands import constitution
from accord.cli.control_commands import control
from accord.cli.data_commands import data
from accord.cli.feedback_commands import feedback
from accord.cli.judge_commands import ask_command, judge
from accord.cli.model_commands import chat, models, reward
from accord.cli.run_commands import loop, report, run
from accord.cli.runs_commands import compare, runs, watch
from accord.cli.studio_commands import studio
from accord.cli.terminal import guarded
from accord.cli.verdict_commands import examine, verdict, zoo

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


for _command in (
    ask_command,
    chat,
    compare,
    constitution,
    control,
    data,
    examine,
    feedback,
    judge,
    loop,
    models,
    report,
    reward,
    run,
    runs,
    studio,
    verdict,
    watch,
    zoo,
):
    main.add_command(_command)


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
