"""Names in the studio's small charts are text, whatever they hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from accord.statistics.intervals import Interval
from accord.studio.quality import charts

TEXT = "<script>&amp;\"'</script>"


@pytest.mark.parametrize(
    "drawn",
    [
        charts.shares([(TEXT, 0.5), ("b", 0.5)], TEXT),
        charts.columns([1, 2], TEXT),
        charts.interval(Interval(0.5, 0.4, 0.6), 0, 1, 0.5, TEXT),
    ],
    ids=["shares", "columns", "interval"],
)
def test_a_name_is_shown_letter_by_letter(drawn: str) -> None:
    image = ElementTree.fromstring(drawn)  # a letter that is not escaped is no XML
    assert image.attrib["aria-label"] == TEXT
    titles = [one.text for one in image.iter("title")]
    assert titles in ([TEXT, "b"], ["1", "2"], [])
    assert {one.tag for one in image.iter()} <= {"svg", "rect", "line", "circle", "title"}
