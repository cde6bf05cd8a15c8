"""The recipe of one round, made of a recipe with rounds and of what earlier rounds left."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.runs.context import RESULT
from accord.runs.inputs import REFERENCE, stage_of, with_references
from accord.runs.loop_settings import LoopSettings
from accord.runs.recipe import Recipe
from accord.validation import suggest

Made = Callable[[str], str]
"""Where the artefact that a reference names lies."""


def loop_of(recipe: Recipe) -> LoopSettings:
    """What the recipe says of its rounds. Raises ConfigError where it says nothing, or names
    stages, settings or results that are not there."""
    loop = recipe.header.loop
    if loop is None:
        raise ConfigError(
            f"the recipe {recipe.header.name} has no rounds",
            "give it the key loop, as in: accord recipes show loop-reviews",
        )
    names = list(recipe.stages)
    for where, stage in [
        *(("once", name) for name in loop.once), ("tuned", loop.tuned), ("examine", loop.examine),
        *((key, key.partition(".")[0]) for key in (*loop.before, *loop.all, *loop.static)),
        *((key, stage_of(ref)[0]) for key, ref in (*loop.before.items(), *loop.all.items())),
    ]:  # fmt: skip
        if stage not in names:
            raise ConfigError(
                f"loop.{where}: there is no stage {stage!r}",
                f"{suggest(stage, names)}stages: {', '.join(names)}",
            )
    for setting in (*loop.before, *loop.all, *loop.static):
        stage, _, key = setting.partition(".")
        known = list(type(recipe.stages[stage][1]).model_fields)
        if key.partition(".")[0] not in known:
            raise ConfigError(
                f"loop.{setting}: a stage of this kind has no setting {key!r}",
                f"{suggest(key, known)}known: {', '.join(known)}",
            )
    for where, reference in (*loop.before.items(), *loop.all.items()):
        stage, wanted = stage_of(reference)
        offers = list(recipe.stages[stage][0].provides)
        if not offers or (wanted and wanted not in offers):
            raise ConfigError(
                f"loop.{where}: the stage {stage} does not provide {wanted or 'anything'!r}",
                f"{suggest(wanted, offers)}it provides: {', '.join(offers) or 'nothing'}",
            )
    _check_comparable(recipe, loop)
    raw = _raw(recipe, 2, True)
    for setting, value in loop.static.items():
        _set(raw["stages"], setting, value)
    recipes.validate(raw)
    return loop


def _check_comparable(recipe: Recipe, loop: LoopSettings) -> None:
    """By what the rounds are compared must be the same in all of them."""
    evaluate = getattr(recipe.stages[loop.examine][1], "evaluate", None)
    scorer = getattr(evaluate, "gold" if loop.compared == "gold" else "reward", None)
    if scorer is None:
        raise ConfigError(
            f"rounds are compared by {loop.compared}, and {loop.examine}.evaluate has none",
            "name one, or compare them by the other (loop.compared: gold or proxy)",
        )
    stage = stage_of(scorer)[0] if scorer.startswith(REFERENCE) else None
    if stage is not None and stage not in loop.once:
        raise ConfigError(
            f"rounds are compared by {loop.compared} of {scorer}, which every round makes anew",
            f"name one that all share: a file, or a stage of loop.once ({', '.join(loop.once)})",
        )


def round_recipe(
    recipe: Recipe, loop: LoopSettings, number: int, static: bool, earlier: Sequence[Path]
) -> Recipe:
    """The recipe of round `number`, from 1; earlier: the runs of the rounds before it, of the same
    arm and in order; the first made what is made once."""
    if number == 1:
        return recipes.validate(_raw(recipe, 1, False))
    raw = _raw(recipe, number, static)
    changes = _changes(loop, list(recipe.stages), number, static, earlier)
    stages = {name: config for name, config in raw["stages"].items() if name not in loop.once}
    for setting, value in changes.items():
        _set(stages, setting, value)
    made = _shared(loop, earlier[0])
    raw["stages"] = {name: with_references(config, made) for name, config in stages.items()}
    return recipes.validate(raw)


def artefact(run_dir: Path, reference: str) -> str:
    """Where what `stage:NAME/ARTEFACT` of a finished run names lies: an absolute path."""
    name, wanted = stage_of(reference)
    folder = next((run_dir / "stages").glob(f"[0-9]*-{name}"), None)
    path = folder / RESULT if folder else None
    if folder is None or path is None or not path.is_file():
        raise ConfigError(f"{run_dir} holds no finished stage {name!r}", "continue its loop")
    made: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["artefacts"]
    if wanted and wanted not in made:
        raise ConfigError(f"the stage {name} of {run_dir} left no {wanted!r}")
    return str((folder / made[wanted or next(iter(made))]).resolve())


def _raw(recipe: Recipe, number: int, static: bool) -> dict[str, Any]:
    """The recipe as settings, a plain run. Rounds share the seed: the same simulated people judge,
    and every policy is examined with the same random numbers."""
    raw = recipe.resolved() | {"parameters": {}, "loop": None, "study": None}
    arm = "static" if static else "round"
    raw["name"] = f"{recipe.header.name}-{arm}-{number}"
    return raw


def _changes(
    loop: LoopSettings, order: Sequence[str], number: int, static: bool, earlier: Sequence[Path]
) -> dict[str, Any]:
    """Setting -> value, of what a later round reads of those before it."""
    changes: dict[str, Any] = {}
    for setting, reference in loop.all.items():
        reader, maker = setting.partition(".")[0], stage_of(reference)[0]
        own = [reference] if order.index(maker) < order.index(reader) else []
        changes[setting] = [*(artefact(run, reference) for run in earlier), *own]
    if static:
        return changes | loop.static
    for setting, reference in loop.before.items():
        changes[setting] = artefact(earlier[number - 2], reference)
    return changes


def _shared(loop: LoopSettings, first: Path) -> Made:
    def made(reference: str) -> str:
        return artefact(first, reference) if stage_of(reference)[0] in loop.once else reference

    return made


def _set(stages: dict[str, Any], setting: str, value: Any) -> None:
    place, *path = setting.split(".")
    inside = stages[place]
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
