"""Settings people write: YAML read safely, checked by pydantic, every mistake named with value and fix."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from accord.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


class Settings(BaseModel):
    """Base of what people set: unknown keys are refused, values are fixed once read, yes or no is never taken for a
    number, and a number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and not _takes_bool(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("yes or no is no value here: leave it out for the default")
        return value


def _takes_bool(annotation: Any) -> bool:
    if annotation in (bool, Any) or isinstance(annotation, bool):
        return True
    return any(_takes_bool(part) for part in get_args(annotation))


def suggest(word: str, known: list[str]) -> str:
    """'did you mean "x"? ' or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"? ' if near else ""


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(f"the key {key!r} is given twice (line {line})", "keep one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(text: str, name: str, expected: str) -> dict[str, Any]:
    """The mapping that `text` (called `name`) holds; raises ConfigError, with `expected` as the fix, when it is none."""
    try:
        raw = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{name} is not valid YAML: {' '.join(str(error).split())}", "check the indentation"
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{name} holds no settings", expected)
    return raw


def validated(model: type[M], raw: Any, where: str) -> M:
    """`raw` as `model`; raises ConfigError naming each wrong setting (below `where`, where that is not empty), its value and the nearest name."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines, fixes = [], []
        for detail in error.errors():
            path = ".".join(filter(None, [where, *(str(part) for part in detail["loc"])]))
            if detail["type"] == "extra_forbidden":
                known = _known_keys(model, detail["loc"])
                lines.append(f"{path} is not a setting")
                fixes.append(f"{suggest(str(detail['loc'][-1]), known)}settings here: {', '.join(known)}")
            elif detail["type"] == "missing":
                lines.append(f"{path} is missing")
            else:
                message = detail["msg"].removeprefix("Value error, ")
                lines.append(f"{path} = {detail['input']!r}: {message}" if detail["loc"] else f"{where}: {message}")
        raise ConfigError("\n       ".join(lines), "; ".join(fixes) or None) from None


def _known_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the settings beside the one at `location`, through lists and optional groups."""
    for part in location[:-1]:
        if part in model.model_fields:
            inner = _group(model.model_fields[part].annotation)
            if inner is None:
                break
            model = inner
    return list(model.model_fields)


def _group(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation: M, M | None, list[M]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _group(part))), None)
