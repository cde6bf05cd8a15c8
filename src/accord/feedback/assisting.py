"""What a study of assistance is made of: a critic's claims about passages, known flaws, placebos
(the same words about passages that nobody faulted), and arms drawn at random in blocks.

Blocks are per annotator, each arm in each block as often as its weight says (permuted blocks): arms
are balanced in whatever part of the work somebody does, and annotators' habits cancel in every
comparison of arms. Which of the arms that a block has left comes next is drawn from a seed that
holds something of the item nobody is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from accord.errors import DataError
from accord.feedback.messages import RecordModel
from accord.feedback.meta import Arm, Claim, Passage
from accord.seeds import generator

BLOCK = 2
"""A block holds every arm so many times its weight."""
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


class FlawGiven(RecordModel):
    """Where an option is known to be wrong. option: its place (1 for the first) or id, not needed
    where there is one; span: [start, end) in characters; quote: what stands there."""

    option: int | str | None = None
    span: tuple[int, int]
    quote: str = Field(min_length=1, max_length=2000)


class ClaimGiven(FlawGiven):
    """What a critic says of a passage. planted: it is right, the flaw was put there; the other
    claims of such an item are wrong unless they meet a flaw."""

    text: str = Field(min_length=1, max_length=2000)
    planted: bool = False


def checked_claims(
    claims: Sequence[ClaimGiven], flaws: Sequence[FlawGiven] | None, texts: Mapping[str, str]
) -> tuple[list[Claim], list[Passage] | None]:
    """Claims and flaws by option id. texts: of every option, by id, in the order of their places.
    Raises DataError naming claim, value and fix for a span outside its text, and for a quote that
    does not stand there."""
    made = [
        Claim(**_place(f"claims.{n}", one, texts), text=one.text) for n, one in enumerate(claims, 1)
    ]
    known = [Passage(**_place(f"flaws.{n}", one, texts)) for n, one in enumerate(flaws or [], 1)]
    known += [
        Passage(option=at.option, start=at.start, end=at.end)
        for one, at in zip(claims, made, strict=True)
        if one.planted
    ]
    told = flaws is not None or any(one.planted for one in claims)
    return made, known if told else None


def can_be_shown(quote: str) -> bool:
    """Whether a passage has a letter or a digit, by which a page finds it again: Markdown takes
    other signs away."""
    return any(character.isalnum() for character in quote)


def _place(where: str, one: FlawGiven, texts: Mapping[str, str]) -> dict[str, Any]:
    names = list(texts)
    option: Any = one.option
    if option is None and len(names) == 1:
        option = names[0]
    elif isinstance(option, int) and not isinstance(option, bool) and 1 <= option <= len(names):
        option = names[option - 1]
    if option not in texts:
        raise DataError(
            f"{where}: there is no option {one.option!r}",
            f"name one of the {len(names)} options by its place, 1 for the first",
        )
    text, (start, end) = texts[option], one.span
    if not 0 <= start < end <= len(text):
        raise DataError(
            f"{where}: the span [{start}, {end}] lies outside the text of {len(text)} characters",
            f"spans are not empty and lie in [0, {len(text)}]; count characters, not bytes",
        )
    if text[start:end] != one.quote:
        raise DataError(
            f"{where}: at [{start}, {end}] stands {text[start:end][:60]!r}, not {one.quote[:60]!r}",
            "a quote is what stands there, to the letter",
        )
    if not can_be_shown(one.quote):
        raise DataError(
            f"{where}: {one.quote[:60]!r} holds no letter and no digit by which it can be shown",
            "take in a word beside it",
        )
    return {"option": option, "start": start, "end": end}


# --- placebos -------------------------------------------------------------------------------------
def draw_placebo(
    claims: Sequence[Claim], flaws: Sequence[Passage], texts: Mapping[str, str], seed: int
) -> list[Claim]:
    """The claims' words about other passages of the same options, as many words long where there
    is room, fewer where there is not: none meets a claim, a flaw or another of these. Raises
    DataError where a text leaves no such passage."""
    rng, taken, made = generator(seed, "placebo"), [*claims, *flaws], list[Claim]()
    for number, claim in enumerate(claims, 1):
        free = _free(claim, texts[claim.option], taken)
        if not free:
            raise DataError(
                f"claims.{number}: its text leaves no passage that nothing is said of, for a"
                " placebo",
                "mark less of the text, or give longer texts",
            )
        start, end = free[int(rng.integers(len(free)))]
        made.append(Claim(option=claim.option, start=start, end=end, text=claim.text))
        taken.append(made[-1])
    return made


def _free(claim: Claim, text: str, taken: Sequence[Passage]) -> list[tuple[int, int]]:
    """The longest passages, in words, up to the claim's length that meet nothing taken; letters
    where no word is free (texts that are written without blanks)."""
    words = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    wanted = max(1, sum(start < claim.end and claim.start < end for start, end in words))
    letters = [(at, at + 1) for at, character in enumerate(text) if character.isalnum()]
    for pieces, longest in ((words, wanted), (letters, claim.end - claim.start)):
        for length in range(min(longest, len(pieces)), 0, -1):
            found = [
                (start, end)
                for start, end in _windows(pieces, length)
                if not any(
                    one.option == claim.option and start < one.end and one.start < end
                    for one in taken
                )
            ]
            if found:
                return found
    return []


def _windows(pieces: Sequence[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    for at in range(len(pieces) - length + 1):
        yield pieces[at][0], pieces[at + length - 1][1]


# --- arms -----------------------------------------------------------------------------------------
def next_arm(earlier: Sequence[Arm], weights: Mapping[Arm, int], seed: int) -> Arm:
    """The arm of an annotator's next item. earlier: the arms of all items before, in order;
    weights: how often each arm comes in a block, relative to the others. Raises ValueError where
    every weight is 0."""
    block = Counter({arm: BLOCK * weight for arm, weight in weights.items() if weight > 0})
    if not block:
        raise ValueError("an arm needs a weight above 0")
    begun = len(earlier) % block.total()
    left = block - Counter(earlier[len(earlier) - begun :])
    pool = sorted((left or block).elements())
    return pool[int(generator(seed, "arm").integers(len(pool)))]
