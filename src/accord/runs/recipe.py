"""Recipes: YAML in, validated stages out; every mistake is named before anything heavy is
loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, field_validator, model_validator

from accord.errors import ConfigError
from accord.feedback.formats.source import DataSource
from accord.runs import parameters as recipe_parameters
from accord.runs.inputs import RECORDS, REFERENCE, Named, named, one_of, stage_of, texts_in
from accord.runs.loop_settings import LoopSettings
from accord.runs.parameters import Parameter, quoted
from accord.runs.registry import find
from accord.runs.stage import Stage, StageConfig
from accord.validation import Settings, read_text, read_yaml, suggest, validated


class Study(Settings):
    """Runs the recipe once per seed and compares stages over the seeds: a table of means with
    intervals.

    A column names a value in result.json as STAGE.KEY, with {row} for the row, for example
    examine.{row}.win_rate.
    """

    seeds: list[int] = Field(
        [1, 2, 3, 4, 5], min_length=1, description="One run of all stages per seed."
    )
    rows: dict[str, str] = Field(
        min_length=1, description="Name in the columns' patterns -> label in the table."
    )
    columns: dict[str, str] = Field(
        min_length=1, description="Pattern STAGE.KEY with {row} -> label in the table."
    )
    baseline: str | dict[str, str] | None = Field(
        None,
        description=(
            "Row that the others are compared with, seed by seed; or row -> row to compare it with."
        ),
    )

    plane: tuple[str, str] | None = Field(
        None,
        description="Two of the columns, of which the page draws the second over the first.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds are different numbers of 0 or more")
        unknown = {name for pair in self.compared.items() for name in pair} - set(self.rows)
        if unknown or (isinstance(self.baseline, str) and self.baseline not in self.rows):
            raise ValueError(
                f"the baseline {self.baseline!r} names none of the rows: {', '.join(self.rows)}"
            )
        for column in self.columns:
            if "{row}" not in column or "." not in column:
                raise ValueError(
                    f"the column {column!r} is not a pattern STAGE.KEY with {{row}} in it"
                )
        for column in self.plane or ():
            if column not in self.columns:
                raise ValueError(f"plane: {column!r} is none of the columns")
        return self

    @property
    def compared(self) -> dict[str, str]:
        """Row -> the row it is compared with."""
        if isinstance(self.baseline, str):
            return {row: self.baseline for row in self.rows if row != self.baseline}
        return self.baseline or {}

    def cell(self, row: str, column: str) -> tuple[str, str]:
        """(stage, key of its values) of a cell."""
        stage, _, key = column.replace("{row}", row).partition(".")
        return stage, key


class Header(Settings):
    """The settings of a recipe outside its stages."""

    name: str = Field(
        description="Name of the recipe and of its run directories.",
        pattern=r"^[A-Za-z0-9][\w.-]*$",
    )
    about: str = Field("", description="What the recipe does, in a sentence or two.")
    seed: int = Field(1, ge=0, description="Every random number of the run derives from it.")
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="CPU threads, at most as many as there are cores; auto: all cores, at most 4.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description=(
            "Arithmetic of forward passes; weights are fp32 always. auto: bf16 on a GPU, fp32 on a"
            " CPU."
        ),
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where models run.")
    chat_template: str | None = Field(
        None,
        description=(
            "Chat template of all models in place of their own: a file, accord:plain (User: ..."
            " Assistant: ..., for models that have none), or the template itself."
        ),
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description=(
            "Settings of the chat template, such as {enable_thinking: false}; those of a row win."
        ),
    )
    log: list[str] = Field(
        default_factory=list,
        description=(
            "Trackers that show the metrics while it runs: tensorboard, wandb, mlflow, trackio."
        ),
    )
    study: Study | None = Field(
        None, description="Run over seeds and compare (see the group Study); seed is not used then."
    )
    loop: LoopSettings | None = Field(
        None, description="Rounds for accord loop (see the group LoopSettings)."
    )
    parameters: dict[str, Parameter] = Field(
        default_factory=dict,
        description=(
            "What the user may choose by name, NAME=VALUE: name -> a Parameter (see below)."
        ),
    )
    stages: dict[str, Any] = Field(
        description="Name of the stage -> its settings, in order.", min_length=1
    )

    @field_validator("log")
    @classmethod
    def _trackers(cls, given: list[str]) -> list[str]:
        from accord.report.sinks.sending import check_sinks

        check_sinks(given)
        return given

    @field_validator("chat_template")
    @classmethod
    def _read(cls, given: str | None) -> str | None:
        """The template itself, so that a resumed run has the same when its file has changed."""
        from accord.text.templates import read_template

        return None if given is None else read_template(given)


LARGEST = 10**15
"""Largest number in a recipe."""
NOT_GIVEN = ("parameters", "stages")
"""Settings outside the stages that hold the recipe itself: not given on the command line."""


@dataclass(frozen=True)
class Recipe:
    """A validated recipe: header, and per stage its kind and settings, in order."""

    header: Header
    stages: dict[str, tuple[Stage, StageConfig]]

    def resolved(self) -> dict[str, Any]:
        """All settings with defaults filled in, as written to recipe.yaml."""
        head = self.header.model_dump(mode="json", exclude={"parameters", "stages"})
        stages = {name: config.model_dump(mode="json") for name, (_, config) in self.stages.items()}
        parameters = recipe_parameters.resolved(self.header.parameters, {**head, "stages": stages})
        return head | {"parameters": parameters, "stages": stages}

    def with_seed(self, seed: int) -> Recipe:
        """The same stages as a plain run with another seed."""
        return Recipe(self.header.model_copy(update={"seed": seed, "study": None}), self.stages)

    def fingerprint(self) -> str:
        """SHA-256 of the resolved recipe."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()

    def dump(self) -> str:
        """The resolved recipe as YAML."""
        return yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True, width=100)


def packaged() -> dict[str, str]:
    """Recipes shipped with accord: name -> YAML text."""
    folder = resources.files("accord") / "recipes"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {f.name.removesuffix(".yaml"): f.read_text(encoding="utf-8") for f in files}


def read(name: str) -> str:
    """YAML text of a recipe given by path or packaged name."""
    path = Path(name)
    if path.is_file():
        return read_text(path)
    shipped = packaged()
    if name in shipped:
        return shipped[name]
    raise ConfigError(
        f"there is no recipe {name!r}: no such file, and no packaged recipe of that name",
        f"{suggest(name, list(shipped))}packaged: {', '.join(shipped)}",
    )


def load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, give its parameters their values, override and validate it. A dotted override
    wins over a parameter. Raises ConfigError with path, value and fix."""
    raw = _parse(read(name), name)
    changes = [_change(override) for override in overrides]
    places = [recipe_parameters.place_of(raw, key) for key, _ in changes]
    if twice := next((".".join(place) for place in places if places.count(place) > 1), None):
        raise ConfigError(f"{twice.removeprefix('stages.')} is given twice", "give it once")
    parameters = _declared(raw, name)
    given = {key: value for key, value in changes if key in parameters}
    others = {key: value for key, value in changes if key not in parameters}
    # Names before values: who mistyped a required parameter reads that, not that it is missing.
    for key in others:
        _check_name(raw, key, list(parameters))
    parameters = recipe_parameters.with_values(parameters, given, name)
    recipe_parameters.feed(raw, parameters, given)
    for key, value in others.items():
        _override(raw, key, value)
    raw["parameters"] = recipe_parameters.after_overrides(raw, parameters, given, others)
    return validate(raw)


def parameters_of(name: str) -> dict[str, Parameter]:
    """The parameters of a recipe as it declares them. Raises ConfigError as `load` does."""
    return _declared(_parse(read(name), name), name)


def about(name: str) -> str:
    """What a recipe says it does. Raises ConfigError as `load` does."""
    return str(_parse(read(name), name).get("about", ""))


def stages_of(name: str) -> dict[str, type[StageConfig]]:
    """The settings of each stage of a recipe, by the stage's name. Raises ConfigError as `load`
    does."""
    stages = _stages(_parse(read(name), name))
    return {stage: _kind(stage, stages[stage]).Config for stage in stages}


def _declared(raw: dict[str, Any], name: str) -> dict[str, Parameter]:
    parameters = recipe_parameters.declared(raw, Header)
    stages = _stages(raw)

    def model_of(stage: str) -> type[BaseModel]:
        if stage in stages:
            return _kind(stage, stages[stage]).Config
        if stage == "study" and raw.get("study") is not None:
            return Study
        if stage == "loop" and raw.get("loop") is not None:
            return LoopSettings
        raise ConfigError(
            f"there is no stage {stage!r} in {name}",
            f"{suggest(stage, list(stages))}stages: {', '.join(stages)}",
        )

    recipe_parameters.check_feeds(parameters, model_of)
    return parameters


def _stages(raw: dict[str, Any]) -> dict[str, Any]:
    given = raw.get("stages")
    return given if isinstance(given, dict) else {}


def study_of(path: Path) -> Study | None:
    """The study in the recipe of a run directory; None for a plain run. Raises ConfigError for one
    edited into nonsense."""
    raw = _parse(read(str(path)), str(path)).get("study")
    if raw is None:
        return None
    try:
        return validated(Study, raw, "study")
    except ConfigError as error:
        known = ", ".join(Study.model_fields)
        raise ConfigError(
            f"{path}: {error.message}", error.fix or f"correct it there; a study has: {known}"
        ) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    """The settings in `text`, YAML read from `name`."""
    raw = read_yaml(text, name, "a recipe has at least the keys name and stages")
    recipe: dict[str, Any] = _unshared(raw)
    _check_values(recipe)
    return recipe


def _unshared(value: Any) -> Any:
    """The same without anything that stands in two places: YAML's aliases do, and what overrides
    one stage would change the others."""
    if isinstance(value, dict):
        return {key: _unshared(one) for key, one in value.items()}
    return [_unshared(one) for one in value] if isinstance(value, list) else value


def _change(text: str) -> tuple[str, str]:
    """(key, value) of `key=value` from the command line."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"cannot read the override {text!r}",
            "write key=value, for example seed=3 or sft.epochs=2",
        )
    return key.strip(), value


def _check_name(raw: dict[str, Any], key: str, parameters: list[str]) -> None:
    """Raise ConfigError for a key that is neither a setting of a stage nor one of the recipe."""
    path, stages = recipe_parameters.place_of(raw, key), _stages(raw)
    settings = [name for name in Header.model_fields if name not in NOT_GIVEN]
    if len(path) == 1 and key not in settings:
        known = [*parameters, *settings]
        raise ConfigError(
            f"{key} is not a parameter of the recipe, nor a setting outside its stages",
            f"{suggest(key, known)}known: {', '.join(known)}; or STAGE.KEY, with the stages"
            f" {', '.join(stages)}",
        )
    if len(path) > 1 and path[0] not in ("stages", "study", "loop"):
        raise ConfigError(
            f"{key}: there is no stage {path[0]!r}",
            f"{suggest(path[0], list(stages))}stages: {', '.join(stages)}",
        )


def _override(raw: dict[str, Any], key: str, value: str) -> None:
    """Set `key`, whose first part may be a stage's name, to what `value` is as YAML."""
    path = recipe_parameters.place_of(raw, key)
    place = raw
    for part, below in pairwise(path):
        if isinstance(place.get(part), str) and below in DataSource.model_fields:
            place[part] = {"path": place[part]}  # data named by its path alone
        place = (
            place.setdefault(part, {})
            if isinstance(place.get(part, {}), dict)
            else _no_mapping(key, part)
        )
    try:
        place[path[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{key}: cannot read the value {value!r}", "quote it if it holds special characters"
        ) from error


def _no_mapping(key: str, part: str) -> dict[str, Any]:
    raise ConfigError(f"{key}: {part!r} holds a single value, nothing can be set below it")


def validate(raw: dict[str, Any]) -> Recipe:
    """Check header, stages and references between them."""
    _check_values(raw)
    header = validated(Header, raw, "recipe")
    stages: dict[str, tuple[Stage, StageConfig]] = {}
    for name, settings in header.stages.items():
        where = f"stages.{name}"
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise ConfigError(f"{where}: a stage's name is made of letters, digits, - and _")
        stage = _kind(name, settings)()
        config = validated(stage.Config, settings, where)
        _check_references(name, config, stages)
        stages[name] = (stage, config)
    _check_study(header.study, stages)
    return Recipe(header, stages)


def _check_values(raw: Any, place: str = "") -> None:
    """Raise ConfigError for a key that is no text, and for a number that nothing could be computed
    with: amounts are multiplied, and become floats and 64-bit integers."""
    if isinstance(raw, dict):
        for key, one in raw.items():
            if not isinstance(key, str):
                raise ConfigError(
                    f"{place or 'the recipe'}: the key {quoted(key)} is not a text", "quote it"
                )
            _check_values(one, f"{place}.{key}" if place else key)
    elif isinstance(raw, list):
        for number, one in enumerate(raw):
            _check_values(one, f"{place}.{number}")
    elif isinstance(raw, (int, float)) and not abs(raw) <= LARGEST:
        raise ConfigError(
            f"{place} = {quoted(raw)} is no finite number to compute with",
            f"give a number of at most {LARGEST:,}",
        )


def _kind(name: str, settings: Any) -> type[Stage]:
    """The class of a stage, from its settings as they are written."""
    if not isinstance(settings, dict) or "kind" not in settings:
        raise ConfigError(f"stages.{name} has no kind", "give it one, for example {kind: sft, ...}")
    return find(str(settings["kind"]))


def _check_study(study: Study | None, stages: dict[str, tuple[Stage, StageConfig]]) -> None:
    if study is None:
        return
    for row in study.rows:
        for column in study.columns:
            stage = study.cell(row, column)[0]
            if stage not in stages:
                raise ConfigError(
                    f"study.columns.{column}: for the row {row} it names the stage {stage!r}, which"
                    " does not exist",
                    f"{suggest(stage, list(stages))}stages: {', '.join(stages)}",
                )


def _check_references(
    name: str, config: StageConfig, earlier: dict[str, tuple[Stage, StageConfig]]
) -> None:
    """Every `stage:` reference names an artefact of an earlier stage, of the kind that the setting
    is about."""
    kinds = {references.setting: references for references in named(config)}
    for setting, reference in texts_in(config.model_dump()):
        if reference.startswith(REFERENCE):
            _check_reference(
                f"stages.{name}.{setting} = {reference!r}", reference, kinds.get(setting), earlier
            )


def _check_reference(
    where: str,
    reference: str,
    expected: Named | None,
    earlier: dict[str, tuple[Stage, StageConfig]],
) -> None:
    target, artefact = stage_of(reference)
    if target not in earlier:
        raise ConfigError(
            f"{where}: there is no earlier stage {target!r}",
            f"{suggest(target, list(earlier))}earlier stages: {', '.join(earlier) or 'none'}",
        )
    stage = earlier[target][0]
    offers = list(stage.provides)
    if not offers or (artefact and artefact not in offers):
        raise ConfigError(
            f"{where}: a {stage.kind} stage does not provide {artefact or 'anything'!r}",
            f"{suggest(artefact, offers)}it provides: {', '.join(offers) or 'nothing'}",
        )
    provided = stage.provides[artefact or offers[0]]
    if (
        expected is None
        or provided == expected.kind
        or (provided in RECORDS and expected.kind in RECORDS)
    ):
        return
    fitting = [
        f"{REFERENCE}{other}{'' if not number else f'/{name}'}"
        for other, (one, _) in earlier.items()
        for number, (name, kind) in enumerate(one.provides.items())
        if kind == expected.kind
    ]
    raise ConfigError(
        f"{where}: {one_of(provided or 'file nobody reads')}, not {one_of(expected.kind)}",
        (
            f"earlier stages leave {one_of(expected.kind)} as: {', '.join(fitting)}"
            if fitting
            else f"no earlier stage leaves {one_of(expected.kind)}"
        ),
    )
