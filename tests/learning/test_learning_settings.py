"""What each setting may be: at its ends, and just beyond."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated, Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

import accord.learning
from accord.learning.kinds import BETAS
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.settings import Settings

KINDS = sorted(
    {
        value
        for module in pkgutil.iter_modules(accord.learning.__path__)
        for value in vars(importlib.import_module(f"accord.learning.{module.name}")).values()
        if isinstance(value, type) and issubclass(value, Settings) and value is not Settings
    },
    key=lambda kind: kind.__name__,
)
NEVER = {"value_warmup", "evaluate_every"}
"""Counts of which 0 says: not at all. Every other is at least 1, or 2 as said below."""
TWO = {
    ("RlooSettings", "samples_per_prompt"),
    ("GrpoSettings", "samples_per_prompt"),
    ("UnpairedSettings", "batch"),
}
POSITIVE = {
    *("learning_rate", "value_learning_rate", "annotator_rate", "adam_eps", "epochs"),
    *("temperature", "clip", "clip_high", "value_clip", "kl_target"),
    *("decay", "sampler_bound", "beta", "desirable_weight", "undesirable_weight"),
    *("keep", "unlikelihood_weight", "policy_weight", "largest_weight", "tail", "step"),
}
"""Numbers that 0 would make meaningless. No number but a score may be negative."""
MOST = {
    "learning_rate": 1.0, "value_learning_rate": 1.0, "annotator_rate": 1.0, "final_share": 1.0,
    "lam": 1.0, "min_unique": 1.0, "tail": 1.0, "step": 0.1,
}  # fmt: skip
MOST |= dict.fromkeys(("decay", "keep", "policy_weight"), 1.0)
BELOW = {"warmup": 1.0, "untagged": 1.0, "adam_beta2": 1.0, "label_smoothing": 0.5}


def takes(kind: type[Settings], name: str, value: float) -> bool:
    """Whether the field by itself may have this value."""
    field = kind.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[(field.annotation, name, *field.metadata)])
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def numbers(kind: type[Settings], wanted: type) -> list[str]:
    """The fields that hold whole numbers (int) or any (float), or None besides."""
    return [
        name
        for name, field in kind.model_fields.items()
        if field.annotation is wanted
        or any(
            part is wanted or get_args(part)[:1] == (wanted,) for part in get_args(field.annotation)
        )
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_counts_begin_at_one(kind: type[Settings]) -> None:
    for name in numbers(kind, int):
        least = 2 if (kind.__name__, name) in TWO else int(name not in NEVER)
        assert takes(kind, name, least), name
        assert not takes(kind, name, least - 1), name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_numbers_end_where_they_lose_their_meaning(kind: type[Settings]) -> None:
    for name in numbers(kind, float):
        discount = name == "gamma" and "lam" in kind.model_fields
        if name in ("unfinished_score", "threshold", "limit"):  # scores may be any number
            assert takes(kind, name, -5.0)
            continue
        assert not takes(kind, name, -1e-9), name
        assert takes(kind, name, 1e-9), name
        assert takes(kind, name, 0.0) == (name not in POSITIVE and not discount), name
        most = 1.0 if discount else MOST.get(name)
        if most is not None:
            assert takes(kind, name, most), name
            assert not takes(kind, name, most + 1e-9), name
        elif name in BELOW:
            assert takes(kind, name, BELOW[name] - 1e-9), name
            assert not takes(kind, name, BELOW[name]), name
        else:
            assert takes(kind, name, 1e6), name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_defaults_lie_within_their_bounds(kind: type[Settings]) -> None:
    given = {"learning_rate": 1e-5} if kind.model_fields.get("learning_rate") else {}
    made = kind(**given)
    assert kind.model_validate(made.model_dump()) == made
    with pytest.raises(ValidationError):
        kind.model_validate({**given, "no_such_setting": 1})
    for name in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, name, getattr(made, name))
        break


def test_defaults_are_those_of_the_papers() -> None:
    """Rafailov et al. 2023 (DPO), Azar et al. 2024 (IPO), Meng et al. 2024 (SimPO), Hong et al. 2024
    (ORPO), Tulu 3 for normalised DPO; the unbiased KL of DeepSeek-V3.2."""
    assert BETAS == {
        "sigmoid": 0.1,
        "sigmoid_norm": 5.0,
        "ipo": 0.1,
        "hinge": 0.1,
        "robust": 0.1,
        "simpo": 2.0,
        "orpo": 0.1,
    }
    assert OnPolicySettings(steps=1, learning_rate=1e-5).kl_unbiased
