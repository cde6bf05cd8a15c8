"""Settings people write: YAML read safely, checked by pydantic, every mistake named with value and
fix."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from accord.errors import ConfigError, cut_short

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Unit:
    """Beside a setting's type: what its number counts or is measured in."""

    name: str


class Settings(BaseModel):
    """Base of what people set: unknown keys are refused, values are fixed once read, yes or no is
    never taken for a number, and a number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def changed(self, **values: Any) -> Self:
        """A copy with other values, checked like any settings."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate(given | values)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and not _takes_bool(
            cls.model_fields[str(info.field_name)].annotation
        ):
            raise ValueError(
                f"expected a number or text, got {str(value).lower()}: leave it out for the default"
            )
        return value


def _takes_bool(annotation: Any) -> bool:
    if annotation in (bool, Any) or isinstance(annotation, bool):
        return True
    return any(_takes_bool(part) for part in get_args(annotation))


def suggest(word: str, known: list[str]) -> str:
    """'did you mean "x"? ' or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"? ' if near else ""


LONGEST, LARGEST = 512 << 10, 4 << 20
"""Most characters of YAML: of the text, and of what it stands for, aliases written out."""
DEEPEST = 100
"""Most mappings and lists within each other."""
VALUES = 20_000
"""Most names and values, each counted where it is written."""
QUOTED = 400
"""Most characters of a value that an error quotes."""
LINES = 20
"""Most mistakes that are listed."""


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, and what would grow beyond bounds."""

    flow_level: int
    written = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As PyYAML's; raises YAMLError for too many values, before they are all read."""
        self.written += 1
        if self.written > VALUES:
            raise yaml.YAMLError(f"more than {VALUES:,} names and values")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """As PyYAML's, whose time grows with the square of the depth."""
        if self.flow_level >= DEEPEST:
            raise yaml.YAMLError(f"more than {DEEPEST} mappings and lists within each other")
        super().fetch_flow_collection_start(token)

    def get_single_node(self) -> yaml.Node | None:
        """As PyYAML's; raises YAMLError for nesting too deep and aliases that stand for too
        much."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _check_size(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.YAMLError(
                    f"line {key_node.start_mark.line + 1}: a key is a name or a number, not a list"
                    " or mapping"
                )
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(
                    f"the key {cut_short(repr(key), QUOTED)} is given twice (line {line})",
                    "keep one of them",
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _check_size(root: yaml.Node) -> None:
    """Raise YAMLError for a node that is too deep, holds itself, or stands for too many characters.
    Each node is looked at once, however often it is named."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        line = node.start_mark.line + 1
        if depth > DEEPEST:
            raise yaml.YAMLError(
                f"line {line}: more than {DEEPEST} mappings and lists within each other"
            )
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise yaml.YAMLError(f"line {line}: it holds itself")
            return sizes[id(node)]
        sizes[id(node)] = 0  # not known yet: met again inside, the node holds itself
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        found = 1 + (
            len(node.value)
            if isinstance(node, yaml.ScalarNode)
            else sum(size(part, depth + 1) for part in parts)
        )
        if found > LARGEST:
            raise yaml.YAMLError(
                f"line {line}: with its aliases written out it has more than {LARGEST:,} characters"
            )
        sizes[id(node)] = found
        return found

    size(root, 0)


def read_text(path: Path) -> str:
    """The text of a file of settings. Raises ConfigError for one that is no UTF-8, or too large to
    be one."""
    size = path.stat().st_size
    if size > 4 * LONGEST:  # no character takes more bytes
        raise ConfigError(
            f"{path} has {size:,} bytes, at most {LONGEST:,} characters are read",
            "is it the right file?",
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        ) from error


def read_yaml(text: str, name: str, expected: str) -> dict[str, Any]:
    """The mapping that `text` (called `name`) holds; raises ConfigError, with `expected` as the
    fix, when it is none."""
    if len(text) > LONGEST:
        raise ConfigError(
            f"{name} has {len(text):,} characters, at most {LONGEST:,} are read",
            "is it the right file?",
        )
    try:
        raw = yaml.load(text, Loader=_UniqueKeys)
    except RecursionError:
        raise ConfigError(
            f"{name} is not valid YAML: more than {DEEPEST} mappings and lists within each other",
            "make it flatter",
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        said = cut_short(" ".join(str(error).split()), 2 * QUOTED)
        raise ConfigError(f"{name} is not valid YAML: {said}", "check the indentation") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{name} holds no settings", expected)
    return raw


def validated(model: type[M], raw: Any, where: str) -> M:
    """`raw` as `model`; raises ConfigError naming each wrong setting (below `where`, where that is
    not empty), its value and the nearest name."""
    try:
        return model.model_validate(raw)
    except ConfigError as error:  # a rule about several settings
        message = f"{where}: {error.message}" if where else error.message
        raise ConfigError(message, error.fix) from None
    except ValidationError as error:
        lines, fixes, found = dict[str, list[str]](), [], error.errors()
        for detail in found[:LINES]:
            place = _written(detail["loc"], raw, detail["type"] == "missing")
            path = ".".join(filter(None, [where, *(cut_short(part, QUOTED) for part in place)]))
            if detail["type"] == "extra_forbidden":
                known = _known_keys(model, detail["loc"])
                lines[f"{path} is not a setting"] = []
                fixes.append(
                    f"{suggest(str(detail['loc'][-1]), known)}settings here: {', '.join(known)}"
                )
            elif detail["type"] == "missing":
                lines[f"{path} is missing"] = []
            else:
                message = detail["msg"].removeprefix("Value error, ")
                quoted = cut_short(repr(detail["input"]), QUOTED)
                what = f"{path} = {quoted}" if detail["loc"] else where
                lines.setdefault(what, []).append(message)
        told = [
            f"{what}: {', or: '.join(dict.fromkeys(why))}" if why else what
            for what, why in lines.items()
        ]
        if len(found) > LINES:
            told.append(f"and {len(found) - LINES:,} more")
        raise ConfigError("\n       ".join(told), "; ".join(dict.fromkeys(fixes)) or None) from None


def _written(location: Sequence[Any], raw: Any, missing: bool) -> list[str]:
    """The parts of a location that stand in `raw` (the last of one that is missing, too): pydantic
    also names the kinds that a value may have, one after the other."""
    found: list[str] = []
    for place, part in enumerate(location):
        inside = isinstance(raw, Mapping) and part in raw
        if inside or (isinstance(raw, list) and isinstance(part, int) and part < len(raw)):
            raw = raw[part]
            found.append(str(part))
        elif missing and place == len(location) - 1:
            found.append(str(part))
    return found or [str(part) for part in location]


def _known_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the settings beside the one at `location`, through lists and optional groups."""
    for part in location[:-1]:
        if part in model.model_fields:
            inner = _group(model.model_fields[part].annotation)
            if inner is None:
                break
            model = inner
    return list(model.model_fields)


def settings_below(model: type[BaseModel], path: Sequence[str]) -> tuple[list[str], str | None]:
    """Follow a dotted key into `model`: (the settings known where it ends, its first part that is
    none of them, or None where all are). Below a setting that is a mapping any key may stand."""
    known = list(model.model_fields)
    for place, part in enumerate(path):
        if part not in model.model_fields:
            return known, part
        annotation = model.model_fields[part].annotation
        inner, rest = _group(annotation), path[place + 1 :]
        if _takes_mapping(annotation):
            return [], None
        if inner is None:
            return [], rest[0] if rest else None
        model, known = inner, list(inner.model_fields)
    return known, None


def _takes_mapping(annotation: Any) -> bool:
    return get_origin(annotation) is dict or any(map(_takes_mapping, get_args(annotation)))


def _group(annotation: Any) -> type[BaseModel] | None:
    """The first model inside an annotation: M, M | None, list[M]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _group(part))), None)


def dotted(settings: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name; what is not set (None) is left out."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= dotted(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found


def dotted_texts(settings: Mapping[Any, Any]) -> dict[str, str]:
    """The same, as texts."""
    return {name: str(value) for name, value in dotted(settings).items()}
