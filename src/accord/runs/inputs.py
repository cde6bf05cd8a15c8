"""What a stage's settings name: the kind of thing each must be, and how it is found before anything
runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel

from accord.errors import AccordError
from accord.feedback.formats.source import DataSource, DataSpec

REFERENCE = "stage:"
Kind = Literal[
    "policy", "reward model", "judgements", "demonstrations", "prompts", "texts", "gold reward", "annotator estimates",  # noqa: E501
    "card of a reward model", "points of a policy", "samples", "constitution", "rules",
    "judgements of clips",
]  # fmt: skip
DATA: tuple[Kind, ...] = (
    "judgements", "demonstrations", "prompts", "texts", "judgements of clips",
)  # fmt: skip
RECORDS: tuple[Kind, ...] = ("judgements", "demonstrations")
"""Kinds that are read alike: each stage takes of a file what it can learn from, and counts the
rest."""


def one_of(kind: str) -> str:
    """A kind with its article: "a policy", "an answer", but "samples", "points of a policy"."""
    if kind.partition(" of ")[0].endswith("s"):
        return kind
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


@dataclass(frozen=True)
class Names:
    """Beside a setting's type: the setting names something of this kind, or several of them."""

    kind: Kind


PolicyName = Annotated[str, Names("policy")]
RewardName = Annotated[str, Names("reward model")]
GoldName = Annotated[str, Names("gold reward")]
EstimatesName = Annotated[str, Names("annotator estimates")]
CardName = Annotated[str, Names("card of a reward model")]
PointsName = Annotated[str, Names("points of a policy")]
SamplesName = Annotated[str, Names("samples")]
ConstitutionName = Annotated[str, Names("constitution")]
RulesName = Annotated[str, Names("rules")]
Judgements = Annotated[DataSpec, Names("judgements")]
Demonstrations = Annotated[DataSpec, Names("demonstrations")]
Prompts = Annotated[DataSpec, Names("prompts")]
Texts = Annotated[DataSpec, Names("texts")]
ClipJudgements = Annotated[DataSpec, Names("judgements of clips")]


@dataclass(frozen=True)
class Named:
    """A setting (dotted, below its stage) that names `reference`, which must be of `kind`."""

    setting: str
    reference: str
    kind: Kind


def named(config: BaseModel, below: str = "") -> Iterator[Named]:
    """Everything that the settings in `config` name, in their order."""
    for key, field in type(config).model_fields.items():
        value, place = getattr(config, key), f"{below}{key}"
        if (kind := _kind(field.metadata, field.annotation)) is not None:
            yield from (
                Named(where, reference, kind) for where, reference in _references(value, place)
            )
        elif isinstance(value, BaseModel):
            yield from named(value, f"{place}.")
        elif isinstance(value, list):
            for number, one in enumerate(value):
                if isinstance(one, BaseModel):
                    yield from named(one, f"{place}.{number}.")


def _kind(metadata: Iterable[Any], annotation: Any) -> Kind | None:
    """What a setting of this type names; `Annotated` may stand inside: X | None, dict[str, X]."""
    for one in metadata:
        if isinstance(one, Names):
            return one.kind
    parts = (_kind(getattr(part, "__metadata__", ()), part) for part in get_args(annotation))
    return next(filter(None, parts), None)


def _references(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _references(one, f"{place}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _references(one, f"{place}.{number}")
    elif isinstance(value, DataSource):
        yield f"{place}.path", value.path
    elif isinstance(value, str):
        yield place, value


@contextmanager
def about(setting: str) -> Iterator[None]:
    """Within it, errors say which setting they are about."""
    try:
        yield
    except AccordError as error:
        raise type(error)(f"{setting}: {error.message}", error.fix) from error


def stage_of(reference: str) -> tuple[str, str]:
    """(stage, artefact) of `stage:NAME[/ARTEFACT]`; the artefact is empty where none is named."""
    name, _, artefact = reference.removeprefix(REFERENCE).partition("/")
    return name, artefact


def texts_in(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in settings, with its dotted place."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, (list, tuple)):
        inside = enumerate(value)
    for key, one in inside:
        yield from texts_in(one, f"{place}.{key}" if place else str(key))
    if isinstance(value, str):
        yield place, value


def with_references(value: Any, made: Callable[[str], str]) -> Any:
    """The same settings with each `stage:NAME[/ARTEFACT]` replaced by what `made` gives for it."""
    if isinstance(value, dict):
        return {key: with_references(one, made) for key, one in value.items()}
    if isinstance(value, list):
        return [with_references(one, made) for one in value]
    return made(value) if isinstance(value, str) and value.startswith(REFERENCE) else value


def is_data_file(name: str) -> bool:
    """Whether a name ends like a file of data, so that it is no model and no Hub id."""
    from accord.feedback.formats.reading import SUFFIXES

    path = Path(name)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return suffix in SUFFIXES
