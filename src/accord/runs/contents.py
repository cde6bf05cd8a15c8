"""What a run reads, by content: hashed when a stage begins, so that a run which goes on later reads
the same or is refused."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from glob import glob
from modulefinder import ModuleFinder
from pathlib import Path

from accord.errors import ConfigError
from accord.files import digest, write_json
from accord.oversight.constitution import read_constitution
from accord.runs.context import StageContext, hash_made, recorded_inputs
from accord.runs.inputs import DATA, REFERENCE, Named, named
from accord.runs.known import ADAPTER, HUB_ID
from accord.runs.stage import StageConfig
from accord.user_code import is_installed

SHA256, COMMIT = "sha256:", "commit:"


def hash_inputs(config: StageConfig, context: StageContext, recipe: str) -> None:
    """Hash what the stage reads into `context.inputs` and its inputs.json, beside the recipe's
    fingerprint, before it reads any of it. Raises ConfigError for what changed since the run read
    it first."""
    found = dict(_contents(config, context))
    _refuse_changes(found, context.run_dir)
    context.inputs.update(found)
    write_json(context.inputs_file, {"recipe": recipe, "inputs": found})


def check_unchanged(config: StageConfig, context: StageContext) -> None:
    """Raise ConfigError, with both hashes, for what comes from outside the run and changed since
    an earlier try or stage read it."""
    if recorded_inputs(context.run_dir):
        found = _contents(config, context, outside=True)
        _refuse_changes(dict(found), context.run_dir)


def hashes_of(config: StageConfig, context: StageContext) -> Iterator[tuple[str, str]]:
    """(name, hash) of everything that a stage's settings name, as it is now."""
    yield from _contents(config, context)


def _refuse_changes(found: Mapping[str, str], run_dir: Path) -> None:
    known = recorded_inputs(run_dir)
    changed = [
        f"{name} changed since this run read it: {known[name]} then, {now} now"
        for name, now in found.items()
        if known.get(name, now) != now and name not in (known[name], now)
    ]
    if changed:
        raise ConfigError(
            "\n       ".join(changed), "put back what it was, or start a new run with --out"
        )


def _contents(
    config: StageConfig, context: StageContext, outside: bool = False
) -> Iterator[tuple[str, str]]:
    """(name, hash) of everything that a stage's settings name: data, models, the user's code. The
    name stands for its content where nothing of it is on this disk. `outside`: not what earlier
    stages made."""
    for one in named(config):
        if one.kind == "constitution":
            yield one.reference, read_constitution(one.reference).guideline
        elif not one.reference.startswith(REFERENCE):
            yield from _of_data(one) if one.kind in DATA else _of_model(one.reference)
        elif not outside and (made := context.made(one.reference)) is not None:
            yield one.reference, hash_made(made)
    for function in config.code():
        yield function, hash_of_code(function)


def _of_data(one: Named) -> Iterator[tuple[str, str]]:
    path = Path(one.reference)
    if path.exists():
        yield one.reference, f"{SHA256}{digest(path)}"
        return
    files = sorted(glob(one.reference, recursive=True))
    yield from ((file, f"{SHA256}{digest(Path(file))}") for file in files)
    if not files:
        yield one.reference, one.reference


def _of_model(reference: str) -> Iterator[tuple[str, str]]:
    """A model (or another result of a run) and, of an adapter, its base model."""
    from accord.models.loading import locate_model

    location = Path(locate_model(reference))
    if not location.exists():
        yield reference, commit_of(reference) or reference
        return
    yield reference, hash_made(location)
    if (location / ADAPTER).is_file():
        from accord.models.adapters import base_model_of

        yield from _of_model(base_model_of(location))


def hash_of_model(reference: str) -> str:
    """One hash of a model's files and, of an adapter, its base's; its commit where the Hub's cache
    holds it. Raises ConfigError for what names nothing on this disk."""
    parts = list(_of_model(reference))
    if any(name == found for name, found in parts):
        raise ConfigError(
            f"{reference!r} is not on this disk, so that its content cannot be told",
            "download it first (hf download NAME), or name a directory",
        )
    return " ".join(found for _, found in parts)


def commit_of(model: str) -> str | None:
    """The commit of a Hub model that the cache on this disk holds."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    main = folder / "refs" / "main"
    return f"{COMMIT}{main.read_text().strip()}" if HUB_ID.match(model) and main.is_file() else None


# --- the user's code ------------------------------------------------------------------------------
def hash_of_code(function: str) -> str:
    """Of `module:function`: its module and, where that is the user's own, every module beside it
    that it imports, directly or not. The name itself where it has no file."""
    module = function.partition(":")[0]
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return function
    origin, is_package = Path(spec.origin), spec.submodule_search_locations is not None
    root = origin.parents[module.count(".") + is_package]
    files = {origin} if is_installed(origin) else {origin, *_imported(module, root)}
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return f"{SHA256}{total.hexdigest()}"


def _imported(module: str, root: Path) -> Iterator[Path]:
    """The files under `root` that importing `module` reads, itself among them."""
    finder = ModuleFinder(path=[str(root)])
    finder.import_hook(module)
    found = (getattr(one, "__file__", None) for one in finder.modules.values())
    yield from (Path(file) for file in found if file)
