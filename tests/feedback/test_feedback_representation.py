"""Groups are covered, compared, and never so small that they name a person."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest

from accord.errors import ConfigError
from accord.feedback.records import Feedback
from accord.feedback.representation import UNKNOWN, representation


def crowd(
    sizes: dict[str, int], items: int = 60
) -> tuple[list[Feedback], dict[str, dict[str, str]]]:
    """Groups that prefer differently: "north" the first, the others the second option, in nine of
    ten."""
    rng, records, attributes = np.random.default_rng(0), [], {}
    people = [(f"{group}{k}", group) for group, size in sizes.items() for k in range(size)]
    for name, group in people:
        if group != UNKNOWN:
            attributes[name] = {"region": group}
        for item in range(items):
            likes_first = (group == "north") == bool(rng.random() < 0.9)
            records.append(
                Feedback.model_validate(
                    {
                        "id": f"{name}-{item}",
                        "kind": "comparison",
                        "prompt": f"p{item}",
                        "annotator": name,
                        "options": [
                            {"id": f"o{k}", "content": "x", "shown_at": k} for k in range(2)
                        ],
                        "choice": {"preferred": "o0" if likes_first else "o1"},
                    }
                )
            )
    return records, attributes


def test_groups_are_covered_and_compared() -> None:
    records, attributes = crowd({"north": 8, "south": 6, UNKNOWN: 5})
    (found,) = representation(
        records, attributes, population={"region": {"north": 0.5, "east": 0.1}}
    )
    assert [(g.group, g.annotators) for g in found.groups] == [
        ("north", 8),
        ("south", 6),
        (UNKNOWN, 5),
    ]
    north = found.groups[0]
    assert north.within.value == pytest.approx(0.82, abs=0.05)
    assert north.between.value == pytest.approx(0.18, abs=0.05)
    assert north.within.low > north.between.high
    assert north.population == 0.5
    assert found.absent == {"east": 0.1}
    assert sum(g.share_of_judgements for g in found.groups) == pytest.approx(1)
    assert found.said.value == pytest.approx(14 / 19)
    assert json.dumps(asdict(found))


def test_small_groups_are_hidden_and_cannot_be_read_off() -> None:
    records, attributes = crowd({"north": 9, "south": 6, "east": 2}, items=5)
    (found,) = representation(records, attributes)
    assert [g.group for g in found.groups] == ["north"]  # the 2 could be read off 17 - 9 - 6
    assert (found.suppressed_groups, found.suppressed_annotators) == (2, 8)
    assert "east" not in json.dumps(asdict(found))
    records, attributes = crowd({"north": 9, "south": 6, "east": 2, "west": 3}, items=5)
    (found,) = representation(records, attributes)
    assert [g.group for g in found.groups] == ["north", "south"]
    with pytest.raises(ConfigError, match="single people"):
        representation(records, attributes, smallest=1)


def test_nothing_said_is_nothing_shown() -> None:
    records, _ = crowd({UNKNOWN: 6}, items=3)
    assert representation(records, {}) == []


def test_what_was_measured_cannot_be_changed() -> None:
    records, attributes = crowd({"north": 6, "south": 6}, items=4)
    (found,) = representation(records, attributes)
    for value, name in ((found, "groups"), (found.groups[0], "share")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
