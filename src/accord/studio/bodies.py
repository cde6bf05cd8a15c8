"""What comes in: one model of each body for the page's form and for programs, wrong ones told in
the same words to both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from accord.studio.errors import FieldError

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """What comes in: nothing unknown."""

    model_config = ConfigDict(extra="forbid")


class FormBody(Body):
    """What is sent by a page's form too: blanks around a text do not count."""

    model_config = ConfigDict(str_strip_whitespace=True)


def mistakes(errors: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """pydantic's errors as field -> what is wrong with it, in order; the field is "" for a rule
    about several."""
    told: dict[str, str] = {}
    for error in errors:
        places = [str(part) for part in error["loc"] if part not in ("body", "query", "header")]
        told.setdefault(".".join(places), error["msg"].removeprefix("Value error, "))
    return told


def read(model: type[M], raw: Mapping[str, Any]) -> M:
    """`raw` as `model`; raises FieldError."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise FieldError(mistakes(error.errors())) from None


def read_form(model: type[M], sent: Mapping[str, Sequence[str]]) -> M:
    """A form's fields, each with its values, as `model`: what was left blank is not given, and the
    last value of a name counts where the model wants no list. Raises FieldError."""
    filled = {name: [v for v in values if v.strip()] for name, values in sent.items()}
    lists = {name for name, one in model.model_fields.items() if get_origin(one.annotation) is list}
    return read(
        model,
        {name: v if name in lists else v[-1] for name, v in filled.items() if v},
    )
