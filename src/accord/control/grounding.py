"""What people do to behaviour, beyond judging it, as the choice among clips that it is (Jeon,
Milli, Dragan 2020 table 1): records that a reward of clips learns from like any others.

    stop            what was done until then and nothing after it, over the whole; or the reverse
    correction      the corrected clip over the original, with which it shares its past
    demonstration   what was shown over other clips, which are not compared with each other
    moment          a thumb at a moment is about the steps just before it
    proxy           the reward that somebody wrote over others that could have been written, each
                    standing for what a policy does that follows it (Hadfield-Menell et al. 2017)
    initial_state   the state that things were found in over others, each standing for the pasts
                    that end there (Shah et al. 2019)
    words           what was said over what else could have been, each standing for the clips that
                    it is true of

Of the last three an option stands for several clips, and is worth their mean. Who does something
sees no options side by side (`side_by_side`): no place acts on the choice, and there is no tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from accord.errors import DataError
from accord.feedback.messages import Behaviour, Clip, ClipSet, plain
from accord.feedback.records import Comparison, Feedback, Option, Ranking, Thumb, content_id
from accord.learning.likelihoods import MOST_TIED

SetChoice = Literal["proxy", "initial_state", "words"]
SET_CHOICES: tuple[SetChoice, ...] = get_args(SetChoice)
"""Grounds of choices among options that stand for several clips."""
ASKED = "stop"
"""In the meta of a correction: the stop after which a run showed both clips, and asked."""


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


def side_by_side(record: Feedback) -> bool:
    """Whether the record's options were seen beside each other: not where somebody did something,
    unless a run showed it as a correction and asked."""
    done = "grounds" in record.meta
    return not done or (record.meta["grounds"] == "correction" and ASKED in record.meta)


def thumb_at(question: str, clip: Clip, at: int, before: int, up: bool, annotator: str) -> Feedback:
    """A thumb at a moment, when step `at` of the episode was next: about the `before` steps until
    then, as far as they are in the clip. Raises DataError for a moment outside the clip."""
    _check_inside(clip, at)
    if before < 1:
        raise DataError(f"a thumb about the {before} steps before a moment", "name 1 or more")
    blamed = Clip(episode=clip.episode, start=max(clip.start, at - before), stop=at)
    return _record("moment", question, (blamed,), Thumb(up=up), annotator)


def designed(
    question: str, clips_by_proxy: Mapping[str, Sequence[Clip]], chosen: str, annotator: str
) -> Feedback:
    """A reward that was written for a world, among those that could have been: of each what is done
    there by a policy that follows it. Raises DataError as `among` does."""
    return among("proxy", question, clips_by_proxy, chosen, annotator)


def found(
    question: str, clips_by_state: Mapping[str, Sequence[Clip]], chosen: str, annotator: str
) -> Feedback:
    """The state that somebody left things in, among those that they could be in: of each the clips
    that end there. Raises DataError as `among` does."""
    return among("initial_state", question, clips_by_state, chosen, annotator)


def told(
    question: str, clips_by_words: Mapping[str, Sequence[Clip]], chosen: str, annotator: str
) -> Feedback:
    """What was said, among what could have been: of each the clips that it is true of. Raises
    DataError as `among` does."""
    return among("words", question, clips_by_words, chosen, annotator)


def among(
    grounds: SetChoice,
    question: str,
    clips: Mapping[str, Sequence[Clip]],
    chosen: str,
    annotator: str,
) -> Feedback:
    """A choice among options by name, each of which stands for clips, all as likely. Raises
    DataError for fewer than two options or more than MOST_TIED beside the chosen one, an option
    without clips or with one twice, options that are all of the same clips, and a chosen one that
    is none of them."""
    if not 2 <= len(clips) <= MOST_TIED + 1:
        raise DataError(
            f"a choice among {len(clips)} options",
            f"name 2 to {MOST_TIED + 1}, each by what it stands for",
        )
    if chosen not in clips:
        raise DataError(f"{chosen!r} was chosen among {', '.join(map(repr, clips))}", "name one")
    _check_told_apart(clips)
    others = [name for name in clips if name != chosen]
    options = {name: ClipSet(clips=list(several)) for name, several in clips.items()}
    choice = Ranking(order=[[chosen], others])
    return _record(grounds, question, list(options.values()), choice, annotator, list(options))


def _check_told_apart(clips: Mapping[str, Sequence[Clip]]) -> None:
    for name, several in clips.items():
        if not several:
            raise DataError(
                f"the option {name!r} stands for no clip", "leave it out, or give it clips"
            )
        clip, times = Counter(several).most_common(1)[0]
        if times > 1:
            raise DataError(
                f"the option {name!r} has the clip {plain(clip)} twice", "name each clip once"
            )
    if len({*map(frozenset, clips.values())}) == 1:
        raise DataError(
            f"the options {', '.join(map(repr, clips))} stand for the same clips",
            "give clips that differ: a choice among the same says nothing of a reward",
        )


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
    shown: Sequence[Behaviour],
    choice: Comparison | Ranking | Thumb,
    annotator: str,
    names: Sequence[str] | None = None,
) -> Feedback:
    """names: of the options, in place of letters and numbers."""
    if names is None:
        names = "ab" if choice.kind == "comparison" else [str(n) for n in range(len(shown))]
    options: list[dict[str, Any]] = [
        Option(id=name, content=one, shown_at=place).model_dump()
        for place, (name, one) in enumerate(zip(names, shown, strict=True))
    ]
    return Feedback.model_validate(
        {
            "id": content_id(said, question, annotator, *shown, choice),
            "kind": choice.kind,
            "prompt": question,
            "options": options,
            "choice": choice.model_dump(),
            "annotator": annotator,
            "meta": {"grounds": said},
        }
    )
