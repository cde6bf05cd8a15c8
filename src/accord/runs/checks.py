"""Everything that can be known before the first step, checked at the start of a run and by a dry
run alike.

What a recipe names is opened, earlier stages' files as far as they can be told already; no model is
loaded, and nothing is written but into a folder that is thrown away.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from accord.errors import AccordError, ConfigError
from accord.oversight.constitution import read_constitution
from accord.runs import environment
from accord.runs.contents import check_unchanged
from accord.runs.context import ALLOWED, RESULT, StageContext, StageProgress, stage_folders
from accord.runs.inputs import DATA, REFERENCE, Kind, Named, about, is_data_file, named
from accord.runs.known import ADAPTER, CONFIG, HUB_ID, REWARD, known_model, on_hub
from accord.runs.plan import Plan
from accord.runs.recipe import Recipe
from accord.runs.session import InterruptFlag
from accord.runs.stage import Stage, StageConfig
from accord.seeds import derive_seed

LEFT: dict[Kind, tuple[str, ...]] = {
    "gold reward": ("gold.npz", "vocabulary.json"), "annotator estimates": (), "card of a reward model": (),  # noqa: E501
    "points of a policy": (), "samples": (), "rules": (),
}  # fmt: skip
"""What stages leave beside models and data, and the files that it consists of."""


def check(
    recipe: Recipe, run_dir: Path, measure: bool = False, start: bool = False
) -> dict[str, Plan]:
    """What each stage that is not done yet would do. `measure`: time a step of each model, for how
    long it may take;
    `start`: the run starts now, so that a model or data that cannot be had now is refused, too.

    Raises AccordError naming all that is wrong, by stage and setting.
    """
    _check_machine(recipe, run_dir)
    folders, plans, problems = (
        stage_folders(list(recipe.stages), run_dir),
        dict[str, Plan](),
        list[AccordError](),
    )
    with tempfile.TemporaryDirectory(prefix="accord-check-") as scratch:
        for place, (name, (stage, config)) in enumerate(recipe.stages.items()):
            if (folders[name] / RESULT).is_file():
                continue
            context = StageContext(
                run_dir,
                Path(scratch) / name,
                name,
                derive_seed(recipe.header.seed, "stage", name),
                environment.choose_device(recipe.header.device),
                dict(list(folders.items())[:place]),
                InterruptFlag(),
                StageProgress(),
                allow_dropped=getattr(config, "allow_dropped", ALLOWED),
                chat_template=recipe.header.chat_template,
                chat_template_kwargs=recipe.header.chat_template_kwargs,
                planning=True,
                planned=plans,
                measures=measure,
            )
            stage_problems = list(_problems(stage, config, context, plans, start))
            problems += stage_problems
        if problems:
            raise _together(problems)
        if start or measure:
            _check_disk(plans, run_dir)
        return {name: replace(plan, files={}) for name, plan in plans.items()}


def _problems(
    stage: Stage, config: StageConfig, context: StageContext, plans: dict[str, Plan], start: bool
) -> Iterator[AccordError]:
    """What is wrong with a stage; its plan goes into `plans`, an empty one where it cannot be
    made."""
    context.folder.mkdir()
    where, before = f"stages.{context.name}", set[str]()
    for one in named(config):
        try:
            with about(f"{where}.{one.setting}"), _readable():
                _look(one, context, start)
        except AccordError as error:
            before.add(error.message)
            yield error
    plans[context.name] = Plan()
    try:
        if not before:
            check_unchanged(config, context)
        with context.naming_rows(), _readable():
            plans[context.name] = stage.plan(config, context)
    except AccordError as error:
        if not before:  # what a setting names was wrong already; the rest follows from it
            message = (
                error.message
                if error.message.startswith(f"{where}.")
                else f"{where}: {error.message}"
            )
            yield type(error)(message, error.fix)


@contextmanager
def _readable() -> Iterator[None]:
    """Within it, what the system says of a file or its name is an error of what was named."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{str(error.filename)[:200]!r} cannot be read: {error.strerror or error}",
            "check its name and permissions",
        ) from error


def _together(problems: list[AccordError]) -> AccordError:
    if len(problems) == 1:
        return problems[0]
    lines = [p.message if p.fix is None else f"{p.message}\n         {p.fix}" for p in problems]
    return ConfigError(
        f"{len(problems)} things could not work:\n  "
        + "\n  ".join(f"{n}. {line}" for n, line in enumerate(lines, 1)),
        "nothing was run; mend them and start again",
    )


# --- what settings name ---------------------------------------------------------------------------
def _look(one: Named, context: StageContext, start: bool) -> None:
    """Raise AccordError where a setting names nothing, or something of another kind."""
    if one.kind in ("policy", "reward model"):
        if (
            known_model(one.reference, one.kind, context).unknown
            and start
            and not one.reference.startswith(REFERENCE)
        ):
            raise _unreachable(one.reference)
    elif one.kind == "constitution":
        read_constitution(one.reference)
    elif one.reference.startswith(REFERENCE):
        context.made(one.reference)
    elif one.kind in DATA:
        _look_at_data(one, start)
    else:
        _look_at_result(Path(one.reference), one.kind)


def _look_at_data(one: Named, start: bool) -> None:
    path = Path(one.reference)
    if path.is_dir():
        if (path / RESULT).is_file() and (path / "config.yaml").is_file():
            raise ConfigError(
                f"{one.reference!r} is the directory of a stage, and {one.kind} are meant",
                f"name what it left: {', '.join(_left_by(path)) or 'nothing that is data'}",
            )
        files = [name for name in (REWARD, ADAPTER, CONFIG) if (path / name).is_file()]
        if (files and any(path.glob("*.safetensors"))) or REWARD in files:
            raise ConfigError(
                f"{one.reference!r} is the directory of a model (it holds {files[0]}), and"
                f" {one.kind} are meant",
                "name a file or directory of data",
            )
    elif not path.exists() and not any(letter in one.reference for letter in "*?["):
        if is_data_file(one.reference) or not HUB_ID.match(one.reference):
            raise ConfigError(
                f"there is no file {one.reference!r}",
                f"{_near(path)}check the path; it is looked for in {Path.cwd()}",
            )
        exists = on_hub(one.reference, "dataset")
        if exists is None and start and not _has_been_read(one.reference):
            raise _unreachable(one.reference)
        if exists is False:
            raise ConfigError(
                f"there is no file {one.reference!r}, and no public dataset of that name on"
                " the Hub",
                "check the spelling",
            )


def _left_by(stage: Path) -> list[str]:
    """The files and directories that a stage left, as paths."""
    return [
        str(stage / artefact)
        for artefact in json.loads((stage / RESULT).read_text())["artefacts"].values()
    ]


def _unreachable(name: str) -> ConfigError:
    return ConfigError(
        f"{name!r} is not on this disk, and the Hub could not be asked for it",
        "connect to it, or name a local copy",
    )


def _has_been_read(name: str) -> bool:
    """Whether the library `datasets` may have it in its cache."""
    from huggingface_hub.constants import HF_HOME

    cache = Path(os.environ.get("HF_DATASETS_CACHE", Path(HF_HOME) / "datasets"))
    return any(cache.glob(f"{name.replace('/', '___')}*"))


def _near(path: Path) -> str:
    """The file or directory beside it that is called nearly so, as it would have to be written."""
    if not path.parent.is_dir():
        return ""
    near = difflib.get_close_matches(
        path.name, [p.name for p in path.parent.iterdir()], n=1, cutoff=0.6
    )
    return f'did you mean "{path.with_name(near[0])}"? ' if near else ""


def _look_at_result(path: Path, kind: Kind) -> None:
    if not path.exists():
        raise ConfigError(f"there is no {str(path)!r}", f"name the {kind} that a stage left")
    missing = [name for name in LEFT[kind] if not (path / name).is_file()]
    written = kind == "gold reward" and (path / "gold.json").is_file()
    if missing and not written:
        raise ConfigError(
            f"{str(path)!r} is not a {kind}: {missing[0]} is missing",
            "name what a reviews stage left",
        )


# --- the machine ----------------------------------------------------------------------------------
def _check_machine(recipe: Recipe, run_dir: Path) -> None:
    """Raise ConfigError for a device that is not there, or a run directory that cannot be
    written."""
    if recipe.header.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ConfigError(
                "device = 'cuda': torch finds no CUDA device here", "set device: cpu, or auto"
            )
    place = run_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ConfigError(f"--out {run_dir}: {place} is a file", "choose another place with --out")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(
            f"--out {run_dir}: {place} cannot be written", "choose another place with --out"
        )


def _check_disk(plans: Mapping[str, Plan], run_dir: Path) -> None:
    """Raise ConfigError where the disk cannot hold what the stages write at most, as far as their
    models are known."""
    needed = sum(plan.disk_mib or 0 for plan in plans.values())
    free = environment.free_mib(run_dir)
    if needed > free:
        most = max(plans, key=lambda name: plans[name].disk_mib or 0)
        raise ConfigError(
            f"checkpoints and models take up to {needed:,} MiB, most of it stage {most}, and"
            f" {free:,.0f} MiB are free where {run_dir} is to be",
            f"free some space, choose another disk with --out, or keep fewer:"
            f" {most}.checkpoints.keep=1",
        )
