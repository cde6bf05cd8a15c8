"""What can be known of a model before its weights are read: what it is, its shape, how it spells,
what it was made for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.errors import ConfigError
from accord.runs.inputs import REFERENCE, Kind, is_data_file, stage_of
from accord.runs.plan import KnownModel, ModelSize
from accord.validation import suggest

if TYPE_CHECKING:
    from accord.runs.context import StageContext
    from accord.runs.stages.settings import LoraConfig

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
HUB_SECONDS = 5
"""The Hub is asked once, and not longer."""
UNASKED = "the Hub could not be asked whether it exists"
"""What a plan says of a model that is not on this disk and cannot be looked up."""
ADAPTER, REWARD, CONFIG, GENERATION = (
    "adapter_config.json",
    "reward.json",
    "config.json",
    "generation_config.json",
)


def known_model(reference: str, kind: Kind, context: StageContext) -> KnownModel:
    """What `reference` (a stage, directory, `accord:NAME` or Hub id) names. Raises ConfigError
    where it is nothing, or something else than a model of this kind."""
    if not reference.startswith(REFERENCE):
        known = outside_model(reference)
    elif (path := context.made(reference)) is not None:
        known = replace(outside_model(str(path)), name=reference)
    else:
        stage, artefact = stage_of(reference)
        plan = context.planned.get(stage)
        models = plan.models if plan else {}
        known = models.get(artefact) or next(iter(models.values()), KnownModel(reference, kind))
    if known.kind != kind:
        raise ConfigError(f"{reference!r} is a {known.kind}, not a {kind}", _INSTEAD[kind])
    return known


_INSTEAD = {
    "policy": (
        "name a causal LM: a directory, Hub id or accord:NAME, or the model of an sft, dpo, kto or"
        " ppo stage"
    ),
    "reward model": (
        "name what a reward stage leaves: stage:NAME, or the directory with reward.json"
    ),
}


def outside_model(reference: str) -> KnownModel:
    """What a directory, `accord:NAME` or Hub id names. Raises ConfigError where it is nothing."""
    from accord.models.loading import locate_model

    location = Path(locate_model(reference))
    if location.is_dir():
        return _directory(reference, location)
    if location.exists() or is_data_file(reference):
        there = "is a file" if location.exists() else "is not there, and its name is that of a file"
        fix = (
            "accord models import turns a GGUF file into one"
            if location.suffix == ".gguf"
            else _INSTEAD["policy"]
        )
        raise ConfigError(f"{reference!r} {there}, not a model", fix)
    if not HUB_ID.match(reference):
        raise ConfigError(
            f"there is no directory {reference!r}", f"{_near(location)}{_INSTEAD['policy']}"
        )
    return _of_hub(reference)


def _near(path: Path) -> str:
    """A directory in the same folder whose name is close to it."""
    siblings = [str(p) for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    return suggest(str(path), siblings)


def _directory(reference: str, folder: Path) -> KnownModel:
    if (folder / REWARD).is_file():
        return KnownModel(reference, "reward model", str(folder))
    if (folder / ADAPTER).is_file():
        from accord.models.adapters import base_model_of

        try:
            base = outside_model(base_model_of(folder))
        except ConfigError as error:
            raise ConfigError(
                f"the adapter in {folder} needs its base model: {error.message}", error.fix
            ) from error
        return replace(base, name=reference, adapter=True)
    if not (folder / CONFIG).is_file():
        held = sorted(p.name for p in folder.iterdir())[:4]
        raise ConfigError(
            f"{reference!r} is not a model: {CONFIG} is missing (it holds"
            f" {', '.join(held) or 'nothing'})",
            _INSTEAD["policy"],
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{reference!r} holds no weights: there is no .safetensors file",
            "copy or save them again",
        )
    return _read(reference, str(folder))


def _of_hub(name: str) -> KnownModel:
    """Of the Hub's cache on this disk; else whether the Hub knows it. Raises ConfigError where it
    does not."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, CONFIG), str):
        return _read(name, name)
    known = on_hub(name, "model")
    if known is False:
        raise ConfigError(
            f"there is no directory {name!r}, and no public model of that name on the Hub",
            "check the spelling",
        )
    where = "it is downloaded when the run starts" if known else UNASKED
    return KnownModel(
        name, "policy", note=f"{name} is not on this disk; {where}", unknown=known is None
    )


@cache
def on_hub(name: str, kind: str) -> bool | None:
    """Whether the Hub knows a model or dataset, asked once and briefly; None where it cannot be
    asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        HfApi().repo_info(name, repo_type=kind, timeout=HUB_SECONDS)
    except GatedRepoError:
        return True
    except (RepositoryNotFoundError, HFValidationError):
        return False
    except Exception:  # whatever a network does
        return None
    return True


@cache
def _read(name: str, location: str) -> KnownModel:
    """Shape, tokenizer and context of a model on this disk."""
    from accord.models.huggingface import empty_model, load_config, load_tokenizer
    from accord.models.lengths import context_of
    from accord.models.llama_files import empty_llama, read_config
    from accord.text.language import ReadLanguage

    own = read_config(Path(location))
    if own is not None:
        parameters = sum(p.numel() for p in empty_llama(own).parameters())
        size, longest = (
            ModelSize(parameters, own.num_hidden_layers, own.hidden_size),
            own.max_position_embeddings,
        )
    else:
        try:
            config = load_config(location, local_only=True)
            model = empty_model(config)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{name!r} is not a causal LM that transformers knows:"
                f" {str(error).splitlines()[0]}",
                _INSTEAD["policy"],
            ) from error
        text = config.get_text_config()
        size = ModelSize(
            sum(p.numel() for p in model.parameters()), text.num_hidden_layers, text.hidden_size
        )
        longest = context_of(config)
    return KnownModel(
        name,
        "policy",
        location,
        size,
        ReadLanguage(load_tokenizer(location, local_only=True), longest),
    )


# --- what training asks of a model ----------------------------------------------------------------
def check_trainable(model: KnownModel, lora: LoraConfig | None, merges: bool = False) -> None:
    """Raise ConfigError where the trained model could not be made or saved: an adapter on an
    adapter, targets of LoRA that match no module, a generation config that transformers refuses to
    write (`merges`: adapters are merged before saving)."""
    if lora is not None and model.adapter:
        raise ConfigError(
            f"{model.name!r} carries an adapter already, and lora would put another one on it",
            "leave out lora to go on training the one that is there, or merge it first: "
            f"accord models merge {_on_disk(model.name)} OUT, then name OUT",
        )
    if lora is not None and lora.bits is not None:
        from accord.models.quantised import quantisation

        quantisation(lora.bits)  # is what it takes installed?
    if model.location is None or not Path(model.location).is_dir():
        return
    if lora is not None and lora.targets != "all-linear":
        _check_targets(lora.targets, model.location)
    if merges if lora is not None or model.adapter else not _ours(model.location):
        _check_generation(Path(model.location) / GENERATION)


def check_merging(adapter: str) -> None:
    """Raise ConfigError where `adapter` is no adapter, or the model merged from it and its base
    could not be saved."""
    model = outside_model(adapter)
    if not model.adapter:
        raise ConfigError(
            f"{adapter!r} carries no adapter: {ADAPTER} is missing", "it is a whole model already"
        )
    check_trainable(model, None, merges=True)


def _on_disk(name: str) -> str:
    return (
        f"the directory of {name.removeprefix(REFERENCE)}'s model"
        if name.startswith(REFERENCE)
        else name
    )


def _ours(location: str) -> bool:
    from accord.models.llama_files import read_config

    return read_config(Path(location)) is not None


def _check_targets(targets: str | Sequence[str], location: str) -> None:
    """As PEFT reads them: a text is a pattern for a module's whole name, each of a list the end of
    one."""
    names = _modules_for_lora(location)
    ends = sorted({name.rpartition(".")[2] for name in names})
    if isinstance(targets, str):
        missing = [] if any(re.fullmatch(targets, name) for name in names) else [targets]
    else:
        missing = [
            t for t in targets if not any(name == t or name.endswith(f".{t}") for name in names)
        ]
    if missing:
        raise ConfigError(
            f"lora.targets: {missing[0]!r} matches no module of {location}",
            f"{suggest(missing[0], ends)}it has: {', '.join(ends)}; or all-linear",
        )


@cache
def _modules_for_lora(location: str) -> tuple[str, ...]:
    from torch import nn

    from accord.models.llama_files import empty_llama, read_config

    own: Any = read_config(Path(location))
    if own is not None:
        model: Any = empty_llama(own)
    else:
        from accord.models.huggingface import empty_model, load_config

        model = empty_model(load_config(location, local_only=True))
    return tuple(
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Embedding) or type(module).__name__ == "Conv1D"
    )


def _check_generation(file: Path) -> None:
    """transformers reads what it will not write: found here, not when the trained model is
    saved."""
    if not file.is_file():
        return
    from transformers import GenerationConfig

    try:
        GenerationConfig.from_dict(json.loads(file.read_text(encoding="utf-8"))).validate(
            strict=True
        )
    except (ValueError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = next(
            (line for line in lines if line.startswith("- ")),
            lines[0] if lines else type(error).__name__,
        )
        raise ConfigError(
            f"{file} cannot be saved again with the trained model: {why.removeprefix('- ')}",
            "put do_sample: true into it, or take the sampling settings (temperature, top_p, top_k,"
            " …) out of it",
        ) from error
