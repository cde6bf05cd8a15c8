"""What people do to behaviour, beyond judging it, as the choice among clips that it is (Jeon,
Milli, Dragan 2020 table 1): records that a reward of clips learns from like any others.

    stop            what was done until then and nothing after it, over the whole; or the reverse
    correction      the corrected clip over the original, with which it shares its past
    demonstration   what was shown over other clips, which are not compared with each other
    moment          a thumb at a moment is about the steps just before it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Comparison, Feedback, Option, Ranking, Thumb, content_id
from accord.learning.likelihoods import MOST_TIED


def stopped(question: str, clip: Clip, at: int, annotator: str, stop: bool = True) -> Feedback:
    """A stop signal before step `at` of the clip's episode, or, not `stop`, that none was given
    there. Raises DataError for a moment outside the clip."""
    _check_inside(clip, at)
    until = Clip(episode=clip.episode, start=clip.start, stop=at)
    chosen = Comparison(preferred="ab"[not stop])
    return _record("stop", question, (until, clip), chosen, annotator)


def corrected(question: str, original: Clip, correction: Clip, annotator: str) -> Feedback:
    """What should have been done instead. Raises DataError for the same clip."""
    if original == correction:
        raise DataError(
            f"the correction of {original.episode} [{original.start}, {original.stop}) is itself",
            "name the clip that was corrected, and what it became",
        )
    chosen = Comparison(preferred="b")
    return _record("correction", question, (original, correction), chosen, annotator)


def demonstrated(question: str, shown: Clip, beside: Sequence[Clip], annotator: str) -> Feedback:
    """A demonstration, against clips of the policy. Raises DataError for none, or for more than
    MOST_TIED of these."""
    if not 1 <= len(beside) <= MOST_TIED or shown in beside:
        raise DataError(
            f"a demonstration beside {len(beside)} clips"
            f"{', itself among them' if shown in beside else ''}",
            f"name 1 to {MOST_TIED} others, of the policy",
        )
    names = [str(number) for number in range(len(beside) + 1)]
    chosen = Ranking(order=[names[:1], names[1:]])
    return _record("demonstration", question, (shown, *beside), chosen, annotator)


def thumb_at(question: str, clip: Clip, at: int, before: int, up: bool, annotator: str) -> Feedback:
    """A thumb at a moment, when step `at` of the episode was next: about the `before` steps until
    then, as far as they are in the clip. Raises DataError for a moment outside the clip."""
    _check_inside(clip, at)
    if before < 1:
        raise DataError(f"a thumb about the {before} steps before a moment", "name 1 or more")
    blamed = Clip(episode=clip.episode, start=max(clip.start, at - before), stop=at)
    return _record("moment", question, (blamed,), Thumb(up=up), annotator)


def _check_inside(clip: Clip, at: int) -> None:
    if not clip.start < at < clip.stop:
        raise DataError(
            f"moment {at} of the clip [{clip.start}, {clip.stop}) of {clip.episode}",
            f"name a step from {clip.start + 1} to {clip.stop - 1}: something was done before it,"
            " and something would be after it",
        )


def _record(
    said: str,
    question: str,
    clips: Sequence[Clip],
    choice: Comparison | Ranking | Thumb,
    annotator: str,
) -> Feedback:
    names = "ab" if choice.kind == "comparison" else map(str, range(len(clips)))
    options: list[dict[str, Any]] = [
        Option(id=name, content=clip, shown_at=place).model_dump()
        for place, (name, clip) in enumerate(zip(names, clips, strict=True))
    ]
    return Feedback.model_validate(
        {
            "id": content_id(said, question, annotator, *clips, choice),
            "kind": choice.kind,
            "prompt": question,
            "options": options,
            "choice": choice.model_dump(),
            "annotator": annotator,
            "meta": {"grounds": said},
        }
    )
