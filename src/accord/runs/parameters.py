"""Parameters of recipes: what a recipe lets its user choose by a plain word, as in `accord run
dpo data=mine.jsonl steps=40`.

A recipe declares them by name; each feeds settings of its stages (or of its study):

    parameters:
      steps: {type: int, help: Updates of PPO., default: 40, feeds: [ppo.steps]}

The declaration is the one place of the default: a setting that a parameter feeds stands nowhere
else in the recipe. Once values are given, `default` holds them, so that the recipe.yaml of a run is
a recipe with the same parameters at the values of that run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from accord.errors import ConfigError, cut_short
from accord.feedback.formats.source import DataSpec
from accord.validation import QUOTED, Settings, settings_below, suggest, validated

Type = Literal["str", "int", "float", "bool", "path", "data", "choice", "list", "mapping"]
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
EXPECTED: dict[Type, str] = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "path": "a path or a name",
    "data": "a path, a Hub id, {path: ..., split: ...} or a list of these",
    "choice": "one of",
    "list": "a list, written [a, b]",
    "mapping": "a mapping, written {a: 1}",
}
"""What a value of each type looks like, in words."""
_DATA: TypeAdapter[Any] = TypeAdapter(DataSpec)


class Parameter(Settings):
    """What a recipe lets its user choose by name, and the settings that it feeds."""

    type: Type = Field(description="What a value is.")
    help: str = Field(min_length=1, description="What it means, in a sentence.")
    default: Any = Field(
        None, description="The value where none is given; without one the parameter is required."
    )
    values: list[str | int | float] | None = Field(
        None, min_length=1, description="The values that a choice is made of."
    )
    of: Literal["str", "int", "float", "path"] | None = Field(
        None, description="What the members of a list are; text where nothing is said."
    )
    feeds: list[str] = Field(
        min_length=1, description="The settings it sets: STAGE.KEY, or study.KEY."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        if (self.type == "choice") != (self.values is not None):
            raise ValueError("a choice, and nothing else, has values: [...]")
        if self.of is not None and self.type != "list":
            raise ValueError("of names the type of a list's members, and this is not a list")
        if twice := next((key for key in self.feeds if self.feeds.count(key) > 1), None):
            raise ValueError(f"feeds names {twice} twice")
        if self.default is not None:
            self.check(self.default)
        return self

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return "default" not in self.model_fields_set

    @property
    def expected(self) -> str:
        """What a value looks like, in words."""
        if self.values is not None:
            return f"{EXPECTED[self.type]} {', '.join(map(str, self.values))}"
        if self.type == "list":
            return f"{EXPECTED[self.type]}, of {self.of or 'str'}"
        return EXPECTED[self.type]

    def check(self, value: Any) -> None:
        """Raise ValueError, saying what is expected, for a value that is not of this type. Whether
        it may be null is for the settings that it feeds to say."""
        if value is not None and not self._is_of_type(value):
            near = suggest(str(value), [str(one) for one in self.values or ()]).rstrip()
            raise ValueError(f"{quoted(value)} is not {self.expected}{near and f'; {near}'}")

    def _is_of_type(self, value: Any) -> bool:
        if self.values is not None:
            return value in self.values and not isinstance(value, bool)
        if self.type == "data":
            try:
                _DATA.validate_python(value)
            except (ValidationError, ConfigError):
                return False
            return True
        if self.type == "list":
            return isinstance(value, list) and all(_is(self.of or "str", one) for one in value)
        if self.type == "mapping":
            return isinstance(value, dict)
        return _is(self.type, value)

    def read(self, text: str) -> Any:
        """The value that `text` from the command line stands for; raises ValueError as `check`
        does."""
        value: Any = text
        if text == "null":
            value = None
        elif self.values is not None:
            value = next((one for one in self.values if str(one) == text), text)
        elif self.type in ("int", "float", "bool", "list") or text[:1] in ("[", "{"):
            value = _from_yaml(text) if self.type not in ("str", "path") else text
            if self.type == "float" and isinstance(value, str):  # 1e-4 is text to YAML
                value = _number(value)
        self.check(value)
        return value


def quoted(value: Any) -> str:
    """A value as errors show it."""
    return cut_short(repr(value), QUOTED)


def _is(kind: str, value: Any) -> bool:
    if kind in ("str", "path"):
        return isinstance(value, str) and bool(value.strip())
    if kind == "bool":
        return isinstance(value, bool)
    numbers = int if kind == "int" else (int, float)
    return isinstance(value, numbers) and not isinstance(value, bool)


def _from_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


# --- declarations ---------------------------------------------------------------------------------
def declared(raw: Mapping[str, Any], settings: type[BaseModel]) -> dict[str, Parameter]:
    """The parameters that a recipe declares; `settings` are those outside its stages.

    Raises ConfigError for a declaration that is wrong in itself, a name that means something else
    already, or two parameters that feed one setting.
    """
    given = raw.get("parameters") or {}
    if not isinstance(given, dict):
        raise ConfigError("parameters is not a mapping", "write NAME: {type: ..., help: ...}")
    parameters: dict[str, Parameter] = {}
    fed: dict[str, str] = {}
    for name, one in given.items():
        if not isinstance(name, str) or not NAME.match(name):
            raise ConfigError(
                f"parameters.{name}: a name is made of small letters, digits and _, a letter first"
            )
        if name in settings.model_fields:
            raise ConfigError(
                f"parameters.{name}: every recipe has a setting of this name",
                f"it can be given as it is, {name}=VALUE; choose another name for the parameter",
            )
        parameters[name] = validated(Parameter, one, f"parameters.{name}")
        for key in parameters[name].feeds:
            other = next((k for k in fed if overlap(k, key)), None)
            if other is not None:
                raise ConfigError(
                    f"parameters.{name} feeds {key}, and parameters.{fed[other]} feeds {other}",
                    "a setting has one parameter",
                )
            fed[key] = name
    return parameters


def overlap(one: str, other: str) -> bool:
    """Whether of two dotted keys one is the other, or below it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def check_feeds(
    parameters: Mapping[str, Parameter], model_of: Callable[[str], type[BaseModel]]
) -> None:
    """Raise ConfigError for a parameter that feeds a setting which does not exist. `model_of` gives
    the settings of a stage by its name, or raises ConfigError."""
    for name, parameter in parameters.items():
        for key in parameter.feeds:
            stage, dot, setting = key.partition(".")
            where = f"parameters.{name} feeds {key!r}"
            if not dot or not setting:
                raise ConfigError(where, "write STAGE.KEY, for example ppo.steps")
            try:
                model = model_of(stage)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error.message}", error.fix) from None
            known, unknown = settings_below(model, setting.split("."))
            if unknown is not None:
                raise ConfigError(
                    f"{where}: {unknown!r} is not a setting there",
                    f"{suggest(unknown, known)}settings: {', '.join(known)}",
                )


# --- values ---------------------------------------------------------------------------------------
def with_values(
    parameters: Mapping[str, Parameter], given: Mapping[str, str], recipe: str
) -> dict[str, Parameter]:
    """The parameters with the texts given as their values. Raises ConfigError naming each that is
    of another type or missing, with its help."""
    result, problems, missing = {}, [], []
    for name, parameter in parameters.items():
        result[name] = parameter
        if name in given:
            try:
                value = parameter.read(given[name])
                result[name] = parameter.model_copy(update={"default": value})
            except ValueError as error:
                problems.append(f"{name}: {error}; it is: {parameter.help}")
        elif parameter.required:
            missing.append(name)
            problems.append(f"{name} is not given; it is: {parameter.help}")
    if problems:
        example = " ".join(["accord run", recipe, *(f"{name}=..." for name in missing)])
        more = f"all of them: accord recipes parameters {recipe}"
        raise ConfigError("\n       ".join(problems), f"{example}; {more}" if missing else more)
    return result


def feed(
    raw: dict[str, Any], parameters: Mapping[str, Parameter], given: Mapping[str, str]
) -> None:
    """Write the values into the settings they feed. Raises ConfigError where the recipe itself sets
    one of those settings to something else than the parameter's default."""
    for name, parameter in parameters.items():
        for key in parameter.feeds:
            *path, last = place_of(raw, key)
            place = raw
            for part in path:
                below = place.setdefault(part, {})
                if not isinstance(below, dict):
                    raise ConfigError(
                        f"parameters.{name} feeds {key}, and {part!r} holds a single value there",
                        "leave the value out, the parameter gives it",
                    )
                place = below
            if last in place and name not in given and place[last] != parameter.default:
                raise ConfigError(
                    f"{key} is {quoted(place[last])}, and the default of the parameter {name},"
                    f" which feeds it, is {quoted(parameter.default)}",
                    f"leave {key} out: parameters.{name}.default says it",
                )
            place[last] = parameter.default


def after_overrides(
    raw: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    given: Mapping[str, str],
    overrides: Collection[str],
) -> dict[str, Parameter]:
    """The parameters once the dotted `overrides` are applied, which win: a parameter no longer
    feeds a setting that now holds another value. Raises ConfigError for a given one that has no
    effect because all it feeds is set by overrides."""
    result = {}
    for name, parameter in parameters.items():
        set_by = [[o for o in overrides if _holds(raw, o, key)] for key in parameter.feeds]
        if name in given and all(set_by):
            others = ", ".join(dict.fromkeys(other for found in set_by for other in found))
            raise ConfigError(
                f"{name}={given[name]} has no effect: {others} is given as well",
                "give one of them",
            )
        values = [_value(raw, place_of(raw, key)) for key in parameter.feeds]
        feeds = [
            key
            for key, value in zip(parameter.feeds, values, strict=True)
            if value == parameter.default
        ]
        if feeds:
            result[name] = parameter.model_copy(update={"feeds": feeds})
        elif all(value == values[0] for value in values):
            result[name] = parameter.model_copy(update={"default": values[0]})
    return result


def resolved(
    parameters: Mapping[str, Parameter], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Declarations for a recipe with all settings filled in: each value as it stands there."""
    return {
        name: (
            parameter.model_dump(mode="json", exclude_unset=True)
            | {"default": _value(settings, place_of(settings, parameter.feeds[0]))}
        )
        for name, parameter in parameters.items()
    }


def place_of(raw: Mapping[str, Any], key: str) -> list[str]:
    """Where a dotted key lies in a recipe: in the stage that it begins with, or outside them."""
    path, stages = key.split("."), raw.get("stages")
    in_stage = len(path) > 1 and isinstance(stages, dict) and path[0] in stages
    return ["stages", *path] if in_stage else path


def _holds(raw: Mapping[str, Any], outer: str, key: str) -> bool:
    """Whether who sets `outer` sets `key` with it."""
    place = place_of(raw, outer)
    return place_of(raw, key)[: len(place)] == place


def _value(raw: Mapping[str, Any], path: list[str]) -> Any:
    place: Any = raw
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    return place


# --- for people -----------------------------------------------------------------------------------
def rows(parameters: Mapping[str, Parameter]) -> Iterator[tuple[str, str, str, str, str]]:
    """(name, type, default, what it feeds, help) of each parameter."""
    for name, one in parameters.items():
        default = "required" if one.required else shown(one.default)
        kind = " or ".join(map(str, one.values)) if one.values is not None else one.type
        kind = f"list of {one.of or 'str'}" if one.type == "list" else kind
        yield name, kind, default, ", ".join(one.feeds), one.help


def shown(value: Any) -> str:
    """A value as it would be written on the command line."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
