"""`accord models merge` and `export`: a model as others load it, in a chosen form and data type."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from accord.errors import ConfigError

if TYPE_CHECKING:
    from accord.models.causal_lm import CausalLM
    from accord.models.loading import Dtype

Form = Literal["model", "classifier", "gguf"]


def merge(adapter: str, destination: Path, dtype: Dtype = "float32") -> None:
    """Write the merged model; it is compared with the adapter on its base, and read again."""
    from accord.runs.known import check_merging

    _check_free(destination)
    check_merging(adapter)
    _export_model(adapter, destination, dtype)
    click.echo(f"{adapter} and its base → {destination}\n  read again: it says what they say")


def export(
    source: str, destination: Path, form: Form, dtype: Dtype | None, member: int | None
) -> None:
    """Write a model in another form; what was written is read again and compared."""
    from accord.models.loading import locate_model
    from accord.models.reward_model import FILE

    _check_free(destination)
    scores = (Path(locate_model(source)) / FILE).is_file()
    if scores != (form == "classifier"):
        raise ConfigError(
            f"{source!r} is a {'reward' if scores else 'language'} model",
            "--as classifier exports reward models, --as model and --as gguf language models",
        )
    if member is not None and form != "classifier":
        raise ConfigError("--member chooses one of a reward model's members", "leave it out")
    if form == "classifier":
        _export_classifier(source, destination, dtype or "float32", member)
    elif form == "gguf":
        _export_gguf(source, destination, dtype or "float16")
    else:
        _export_model(source, destination, dtype or "float32")
        click.echo(f"{source} → {destination}\n  read again: it says what the model says")


def _check_free(destination: Path) -> None:
    if destination.exists():
        raise ConfigError(f"{destination} exists", "choose a new place")


def _merged(source: str) -> CausalLM:
    from accord.models.loading import load_causal_lm, merge_adapter

    return merge_adapter(load_causal_lm(source))


def _export_model(source: str, destination: Path, dtype: Dtype) -> None:
    from accord.models.loading import save_causal_lm
    from accord.runs.card import write_card

    save_causal_lm(_merged(source), destination, dtype)
    write_card(source, destination, "model")


def _export_classifier(source: str, destination: Path, dtype: Dtype, member: int | None) -> None:
    from accord.models.classifier import export_classifier
    from accord.models.reward_model import RewardModel, read_probes
    from accord.runs.card import write_card

    reward = RewardModel.load(Path(source))
    told = export_classifier(reward, read_probes(Path(source)), destination, dtype, member)
    score = f"the logit plus {told.offset:.9g} (score_offset in config.json)"
    write_card(source, destination, "classifier", {"score": score})
    click.echo(
        f"{source} → {destination}\n"
        f"  AutoModelForSequenceClassification scores its probes {told.difference:.1g} off: logit "
        f"plus {told.offset:.6g}, which is score_offset in config.json"
    )


def _export_gguf(source: str, destination: Path, dtype: Dtype) -> None:
    from accord.models.adapters import CONFIG
    from accord.models.gguf_export import export_gguf
    from accord.models.loading import locate_model, save_causal_lm

    with tempfile.TemporaryDirectory() as place:
        plain = source
        if (Path(locate_model(source)) / CONFIG).is_file():
            plain = str(save_causal_lm(_merged(source), Path(place) / "merged"))
        told = export_gguf(plain, destination, dtype)
    lines = [
        f"{source} → {destination}",
        f"  read back: log-probabilities of a probe differ by at most {told.difference:.1g} nats",
        *(f"  note: {note}" for note in told.notes),
    ]
    click.echo("\n".join(lines))
