"""Debates: whose turn it is, that quotes stand in the source, and records there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.feedback.records import dump_line, parse_line
from accord.oversight.debate import (
    Claims,
    DebateTurn,
    Transcript,
    consultancy,
    debate,
    from_records,
    hold,
    to_records,
)

SOURCE = "The plot drags.  Still, I laughed – a lot.\nSee it."
CLAIMS = Claims(SOURCE, "Is it praised?", ("no", "yes"))


class Quoter:
    """Quotes the next word of the source that was not quoted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def argue(self, side: str, so_far: Transcript) -> tuple[str, list[str]]:
        quote = SOURCE.split()[len(so_far.turns)]
        return f"{side}, for it says: {quote}", [quote]


DEBATERS = {"no": Quoter("critic"), "yes": Quoter("fan")}


@given(st.integers(1, 4), st.booleans(), st.randoms())
def test_records_of_a_transcript_give_it_back(pairs: int, swapped: bool, random: object) -> None:
    order = debate(CLAIMS.answers, 2 * pairs, swapped)
    assert order.count("no") == order.count("yes") == pairs
    assert order[0] == ("yes" if swapped else "no")
    held = hold(CLAIMS, "debate", order, DEBATERS)
    alone = hold(CLAIMS, "consultancy", consultancy("yes", pairs), DEBATERS)
    records = [parse_line(dump_line(r)) for one in (held, alone) for r in to_records(one)]
    random.shuffle(records)  # type: ignore[attr-defined]
    assert sorted(from_records(records), key=lambda t: t.protocol) == [alone, held]
    assert [record.choice.round for record in to_records(held)] == [*range(1, 2 * pairs + 1)]


@given(st.integers(0, len(SOURCE)), st.integers(1, 20), st.sampled_from("xZ é"))
def test_only_what_stands_in_the_source_is_a_quote(start: int, size: int, other: str) -> None:
    quote = SOURCE[start : start + size]
    for text in (quote, quote[:-1] + other, quote.replace("  ", " "), quote.upper()):
        turn = DebateTurn("yes", "It says so.", (text,), "fan")
        if text.strip() and SOURCE.count(text):
            assert Transcript(CLAIMS, "debate").with_turn(turn).quotes == (text,)
        else:
            with pytest.raises(DataError, match=r"turn 1, by fan: the quote .* does not stand"):
                Transcript(CLAIMS, "debate").with_turn(turn)


def test_what_is_no_debate_is_told() -> None:
    with pytest.raises(DataError, match="3 turns for 2 sides"):
        debate(CLAIMS.answers, 3)
    with pytest.raises(DataError, match="nothing to argue about"):
        Claims(SOURCE, "?", ("yes", "yes"))
    with pytest.raises(DataError, match="argues for 'maybe'"):
        Transcript(CLAIMS, "debate").with_turn(DebateTurn("maybe", "Well.", (), "fan"))
    with pytest.raises(DataError, match="changes sides, from 'no' to 'yes'"):
        hold(CLAIMS, "consultancy", debate(CLAIMS.answers, 2), DEBATERS)


def test_records_that_are_no_transcript_are_named() -> None:
    records = to_records(hold(CLAIMS, "debate", debate(CLAIMS.answers, 4), DEBATERS))
    with pytest.raises(DataError, match="lacks round 2"):
        from_records([records[0], *records[2:]])
    with pytest.raises(DataError, match=f"round 1 of session .* stands in record {records[0].id}"):
        from_records([records[0], records[0].model_copy(update={"id": "again"})])
    choice = records[1].choice.model_copy(update={"quotes": ["The plot races."]})
    forged = records[1].model_copy(update={"choice": choice})
    with pytest.raises(DataError, match=f"record {forged.id}: .* 'The plot races.' does not"):
        from_records([records[0], forged])
    with pytest.raises(DataError, match="does not say how it was argued"):
        from_records([records[0].model_copy(update={"meta": {}})])
