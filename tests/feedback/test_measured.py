"""Measures keep their numbers: a change of one of them is meant, and says so."""

from __future__ import annotations

import json

from measured import FILE, differences, measured


def test_every_measure_gives_the_numbers_it_gave() -> None:
    # Rounding differs between processors; what is fitted by iteration ends within a millionth.
    then = json.loads(FILE.read_text())
    assert list(differences(measured(), then, 1e-6)) == []
