"""Where rows come from, as people write it: a path, a path with what to take of it, or a list of
these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, field_validator, model_validator

from accord.validation import Settings, validated

EVERYTHING_HERE = "an empty path names nothing: write the file, or . for everything in this folder"


class DataSource(Settings):
    """A file, directory, glob or Hub id, and what to take of it."""

    path: str = Field(description="File, directory, glob (`dir/*.jsonl`) or Hub id (`owner/name`).")
    split: str | None = Field(
        None, description="The split to read; needed where there are several of training."
    )
    config: str | None = Field(
        None, description="The configuration of a data set that has several."
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub data set.")
    columns: dict[str, str] | None = Field(
        None, description="Our name of a column: theirs, such as {prompt: question}."
    )
    labels: Literal["binary", "signed"] | None = Field(
        None,
        description=(
            "What a column of 0 and 1 means: binary, 0 is bad; signed, 0 is neutral and bad is -1."
        ),
    )
    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description=(
            "Share of a list's rows that come from here; rows are left out evenly to keep it."
        ),
    )
    limit: int | None = Field(None, ge=1, description="Read only that many rows, from the top.")
    streaming: bool = Field(
        False, description="Read a Hub data set as it comes, without storing it (with `limit`)."
    )
    encoding: str | None = Field(
        None,
        description=(
            "Of text files that are not UTF-8, such as cp1252; never guessed (UTF-16 is known by"
            " its mark)."
        ),
    )

    @field_validator("path")
    @classmethod
    def _path_names_something(cls, path: str) -> str:
        return _named_path(path)

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        try:
            b"".decode(encoding or "utf-8")
        except LookupError:
            raise ValueError(
                "no encoding of that name is known; for example utf-16le, cp1252, latin1"
            ) from None
        return encoding

    @model_validator(mode="after")
    def _columns_are_names(self) -> DataSource:
        for ours, theirs in (self.columns or {}).items():
            if not ours or not theirs:
                raise ValueError(
                    f"columns: {ours!r}: {theirs!r} names no column; write ours: theirs"
                )
        named = list((self.columns or {}).values())
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"columns: {twice[0]!r} is given two names")
        return self

    def __str__(self) -> str:
        parts = ((name, getattr(self, name)) for name in ("config", "split", "revision", "limit"))
        options = ", ".join(f"{name} {value}" for name, value in parts if value is not None)
        return f"{self.path} ({options})" if options else self.path


def _named_path(path: str) -> str:
    if not path.strip():
        raise ValueError(EVERYTHING_HERE)
    return path


def _one(value: Any) -> Any:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        return _named_path(value)
    if isinstance(value, dict):
        return DataSource.model_validate(value)
    if not isinstance(value, DataSource):
        raise ValueError("write a path or Hub id, or {path: ..., split: ...}")
    return value


def _spec(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError("an empty list names no data")
        listed = _LIST.validate_python(list(value))
        _check_shares(listed)
        return listed
    if isinstance(listed := _one(value), DataSource) and listed.share is not None:
        raise ValueError("a share is for one of a list: give the others too, or a limit")
    return listed


def _check_shares(sources: Sequence[str | DataSource]) -> None:
    shares = [s.share for s in sources if isinstance(s, DataSource) and s.share is not None]
    whole = len(shares) == len(sources)
    if (whole and abs(sum(shares) - 1) > 1e-6) or (not whole and sum(shares) >= 1):
        need = "1, as all have one" if whole else "less than 1, as others have none"
        raise ValueError(f"the shares add up to {sum(shares):g}; they must add up to {need}")


_LIST: TypeAdapter[list[str | DataSource]] = TypeAdapter(
    list[Annotated[str | DataSource, BeforeValidator(_one)]]
)
DataSpec = Annotated[str | DataSource | list[str | DataSource], BeforeValidator(_spec)]
"""A setting that names data: `x.jsonl`, `{path: x, split: train}`, or a list of these (`[a.jsonl,
{path: b, share: .3}]`)."""
AnySpec = str | Path | DataSource | Sequence[str | Path | DataSource]
"""What functions that read take: a DataSpec, with paths as well."""


class _Named(Settings):
    data: DataSpec


def sources(spec: AnySpec) -> list[DataSource]:
    """All sources that `spec` names, in order. Raises ConfigError for an empty path, an empty list,
    wrong shares."""
    named = validated(_Named, {"data": spec}, "").data
    return [
        s if isinstance(s, DataSource) else DataSource(path=s)
        for s in (named if isinstance(named, list) else [named])
    ]


def with_paths(spec: DataSpec, change: Callable[[str], str]) -> DataSpec:
    """The same spec with `change` applied to every path: references to earlier stages, relative
    paths."""
    if isinstance(spec, list):
        return [_with_path(one, change) for one in spec]
    return _with_path(spec, change)


def _with_path(one: str | DataSource, change: Callable[[str], str]) -> str | DataSource:
    return (
        change(one) if isinstance(one, str) else one.model_copy(update={"path": change(one.path)})
    )


def name_of(spec: AnySpec) -> str:
    """How messages call it: the path with split and config; of a list the first, and how many
    more."""
    if isinstance(spec, (str, Path, DataSource)):
        return str(spec)
    return ", ".join(map(str, spec)) if len(spec) <= 3 else f"{spec[0]} and {len(spec) - 1} more"
