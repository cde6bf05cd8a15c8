"""Hostile files and texts stay within 256 MiB and 2 s of CPU, each in a process of its own, and
messages about them stay short."""

from __future__ import annotations

import pytest

import hostile
from measuring import Cost, cost_of

LONGEST = 2_000
"""Characters of a message."""


def check(cost: Cost) -> None:
    assert cost.fits, cost
    assert len(cost.said) < LONGEST, cost.said


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.FILES)
def test_files_that_others_send(name: str) -> None:
    check(cost_of("hostile", "reading", name, "items"))


@pytest.mark.parametrize("name", ["one line.jsonl.gz", "lines.jsonl.gz", "keys.jsonl", "deep.json"])
def test_some_files_in_every_run(name: str) -> None:
    check(cost_of("hostile", "reading", name, "items"))


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.YAML)
def test_settings(name: str) -> None:
    check(cost_of("hostile", "settings", name))


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.TEXTS)
def test_texts_that_are_shown(name: str) -> None:
    check(cost_of("hostile", "showing", name))


def test_the_measure_finds_what_costs() -> None:
    """A file of one's own may cost more than one that was sent."""
    cost = cost_of("hostile", "reading", "whole.json.gz", "own")
    assert not cost.fits, cost
