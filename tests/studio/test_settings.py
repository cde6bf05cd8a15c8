"""A project's settings: every mistake is named with field, value and fix."""

from __future__ import annotations

from typing import Any

import pytest

from accord.errors import ConfigError
from accord.studio.projects.settings import (
    TASKS,
    ProjectSettings,
    parse_settings,
    settings_from,
    slug_of,
)

FULL = """
name: Help desk
task: comparison
question: Which reply would you send?
strength: true
attributes:
  - {name: help, label: Helpful, low: 1, high: 5, labels: {1: not at all, 5: very}}
flags: [spam, rude]
critique: optional
overlap: 3
gold_rate: 0.1
qualification: {items: 5, pass_share: 0.8}
categories:
  - {name: violence, warning: true, blur: true}
daily_minutes: 240
pay_per_hour: 18.5
currency: USD
population: {country: {Kenya: 0.4, Peru: 0.1}}
mask: [Kestrel]
"""


def test_yaml_goes_round() -> None:
    made = parse_settings(FULL)
    assert parse_settings(made.dump()) == made
    assert made.attributes[0].labels == {1: "not at all", 5: "very"}
    assert settings_from(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"nam": "X"}, [r"project\.nam is not a setting", 'did you mean "name"', r"project\.name is missing"]),
        ({"name": "X", "taks": "rating"}, ['did you mean "task"']),
        ({"name": "X", "population": {"region": {"north": 0.5}}}, ["nobody is asked for 'region', only for age"]),
        ({"name": "X", "population": {"age": {"18-30": 0.7, "31-": 0.7}}}, ["the shares of age sum to 1.4"]),
        ({"name": "X", "task": "voting"}, [r"project\.task = 'voting'", "comparison"]),
        ({"name": "X", "pay_per_hour": False}, [r"pay_per_hour = False: expected a number or text, got false"]),
        ({"name": " "}, [r"project\.name = ' '"]),
        ({"name": "X", "overlap": 0}, [r"project\.overlap = 0", "greater than or equal to 1"]),
        ({"name": "X", "task": "rating"}, ["needs at least one scale", "attributes: "]),
        ({"name": "X", "task": "flags"}, ["needs the names of the flags"]),
        ({"name": "X", "task": "spans"}, ["needs labels"]),
        ({"name": "X", "spans": ["error"]}, ["task spans only"]),
        ({"name": "X", "task": "critique", "critique": "optional"}, ["the critique is the answer"]),
        ({"name": "X", "task": "ranking", "strength": True}, ["strength is asked of comparisons"]),
        ({"name": "X", "task": "chat", "gold_rate": 0.1}, ["known answers", "chat"]),
        ({"name": "X", "task": "demonstration", "qualification": {"items": 3}}, ["known answers"]),
        ({"name": "X", "flags": ["a", "A"]}, ["'a' is there twice"]),
        ({"name": "X", "flags": ["a,b"]}, [r"flags\.0 = 'a,b'"]),
        ({"name": "X", "attributes": [{"name": "h", "lable": "H"}]}, [r"attributes\.0\.lable", 'did you mean "label"']),
        ({"name": "X", "attributes": [{"name": "h", "low": 5, "high": 1}]}, ["5..1"]),
        ({"name": "X", "attributes": [{"name": "h", "low": 0, "high": 50}]}, ["2 to 11"]),
        ({"name": "X", "attributes": [{"name": "h", "labels": {9: "x"}}]}, ["score 9"]),
        ({"name": "X", "qualification": {"item": 3}}, [r"qualification\.item", 'did you mean "items"']),
        ({"name": "X", "currency": "euro"}, [r"project\.currency = 'euro'"]),
        ({"name": "X", "gold_rate": 0.9}, [r"project\.gold_rate = 0\.9"]),
        ([], ["project"]),
    ],
)  # fmt: skip
def test_every_mistake_is_named(raw: Any, said: list[str]) -> None:
    for part in said:
        with pytest.raises(ConfigError, match=part):
            settings_from(raw)


@pytest.mark.parametrize(
    "text",
    ["name: [", "- a\n- b", "", "name: A\nname: B", "name: !!python/object/apply:os.system [ls]"],
)
def test_yaml_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_settings(text)


def test_how_many_options_a_task_has() -> None:
    needed = {
        "rating": {"attributes": [{"name": "h"}]},
        "flags": {"flags": ["a"]},
        "spans": {"spans": ["a"]},
    }
    found = {
        task: ProjectSettings(name="X", task=task, **needed.get(task, {})).options for task in TASKS
    }  # type: ignore[arg-type]
    assert (
        found["comparison"],
        found["ranking"],
        found["best_worst"],
        found["thumb"],
        found["chat"],
    ) == (
        (2, 2),
        (2, 9),
        (3, 9),
        (1, 1),
        (0, 0),
    )


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Help desk!", "help-desk"), ("Ünïcode", "n-code"), ("日本", "project"), ("a" * 99, "a" * 48)],
)
def test_slugs(name: str, slug: str) -> None:
    assert slug_of(name) == slug
