"""A person steers: an episode is taken over at a step, driven by hand, gone back in, driven again,
and kept as a correction. One person, one episode at a time; nothing here knows of a page.

Suffixes: T steps, A numbers of an action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from accord.control.environments import ActionForm
from accord.control.episodes import Episode, EpisodeStore, check_physics
from accord.control.kept_feedback import FEEDBACK, KeptFeedback
from accord.control.poses import pose_drawing
from accord.control.recording import from_states
from accord.control.rollouts import Act
from accord.control.taking_over import Continuation, check_step, correction, shared_steps
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.store import read_records
from accord.seeds import generator
from accord.statistics.intervals import Array

LISTED = 200
"""Episodes that are offered, the latest."""
EVERY_STEP, PIECE = 10_000, 1000
"""Poses of a second, so that each step has its own; steps that are drawn at once."""
Rest = Literal["policy", "before", "zero"]
"""Who does what no key is held for: the policy, the episode as it was, or nobody."""


@dataclass(frozen=True)
class Hand:
    """What is held: of each number of an action how far it is driven, from -1, its lower bound, by
    0 to 1, its upper one; None where nothing is held, and `rest` does it."""

    held: Sequence[float | None]
    rest: Rest

    def action(self, form: ActionForm, rest_A: Array) -> Array:
        """The action [A]; rest_A: what is done where nothing is held. Raises DataError for a hand
        of another robot."""
        if len(self.held) != form.numbers:
            raise DataError(
                f"{len(self.held)} numbers are held, an action has {form.numbers}",
                "hold one for each, or none",
            )
        action_A = rest_A.copy()
        still_A = form.bounded(np.zeros(form.numbers))
        for number, how in enumerate(self.held):
            if how is None:
                continue
            if not -1 <= how <= 1:
                raise DataError(f"{how} is held", "hold -1 to 1")
            end_A = form.high_A if how > 0 else form.low_A
            action_A[number] = still_A[number] + abs(how) * (end_A[number] - still_A[number])
        return action_A


@dataclass(frozen=True)
class JudgedLast:
    """Of a store: the episode that was judged last, and the step where its clip was said to go
    wrong, or else begins."""

    episode: str
    step: int


def judged_last(store: EpisodeStore) -> JudgedLast | None:
    """By the judgements that lie in or beside the store; None where there are none of its episodes.
    Raises DataError for a file that cannot be read."""
    for place in (store.folder / FEEDBACK, store.folder.parent / FEEDBACK):
        for record in reversed(read_records(place) if place.is_file() else []):
            clips = [one.content for one in record.options if isinstance(one.content, Clip)]
            if clips and clips[0].episode in store.ids:
                until = record.options[0].id in record.choice.named()
                stopped = until and record.meta.get("grounds") == "stop"
                return JudgedLast(clips[0].episode, clips[0].stop if stopped else clips[0].start)
    return None


class Steering:
    """One person, what they steer, and the corrections they keep.

    original: the episode at hand; shown_first: the step of it to look at; going: how it is gone on
    with, None before it is taken over; kept: the corrections of this sitting, with the step each
    was taken over at.
    """

    def __init__(
        self,
        store: EpisodeStore,
        first: str,
        kept: KeptFeedback,
        said: tuple[str, str],
        policy: Act | None,
        seed: int,
    ) -> None:
        """first: the episode to begin with; said: the question, who answers it; policy: may do what
        no key is held for, with the same exploration noise at a step whenever it comes there.
        Raises as `from_states` and `open` do."""
        self.batch = from_states(store.episode(first), slice(0, 1))
        self.store, self.corrections, self.said = store, kept, said
        self.policy, self.seed = policy, seed
        self.kept: list[tuple[Episode, int]] = []
        self.open(first)

    def open(self, name: str) -> None:
        """Another episode; what was driven and not kept is gone. Raises DataError for an unknown
        one, one that cannot be gone on with, and one whose name stands for another where it would
        be kept."""
        original = self.store.episode(name)
        check_physics(original, self.batch.name, self.batch.physics)
        self.corrections.check(original)
        self.original = original
        self.going: Continuation | None = None
        self.shown_first = 0

    def seek(self, step: int) -> None:
        """The step that is to be seen first. Raises DataError for one that is not the episode's."""
        check_step(self.original, step)
        self.shown_first = step

    def listed(self) -> tuple[list[Episode], int]:
        """The latest episodes that can be gone on with, the latest first; how many more there are
        of any kind."""
        found: list[Episode] = []
        names = self.store.ids[::-1]
        for name in names[:LISTED]:
            episode = self.store.episode(name)
            try:
                check_physics(episode, self.batch.name, self.batch.physics)
            except DataError:
                continue  # of another environment, which another sitting is for
            found.append(episode)
        return found, len(names) - len(found)

    @property
    def most(self) -> int:
        """Steps until the time of the episode is over: its own time where it was, else the
        environment's."""
        original = self.original
        if original.truncated_T[-1]:
            return original.steps
        return max(original.steps, self.batch.limit - original.first_step)

    @property
    def ended(self) -> Literal["task", "time"] | None:
        """What ended it, if anything did: then it can only be gone back in."""
        going = self.going
        if going is None:
            return None
        if going.ended:
            return "task"
        return "time" if going.at + len(going) >= self.most else None

    def take_over(self, step: int) -> None:
        """From this step on it is driven. Raises DataError as `Continuation` does."""
        self.going = Continuation(self.original, step)

    def leave(self) -> None:
        """Nobody drives; what was not kept is gone."""
        self.going = None

    def drive(self, hand: Hand, steps: int) -> None:
        """So many steps, all by the same hand, or until it ends. Raises DataError for a hand of
        another robot, or one that leaves the rest to a policy that there is none of."""
        going = self.driven()
        for _ in range(steps):
            if self.ended is not None:
                return
            action_A = hand.action(going.batch.actions, self._rest(going, hand.rest))
            going.step(action_A[None])

    def driven(self) -> Continuation:
        """How the episode is gone on with. Raises DataError where it was not taken over."""
        if self.going is None:
            raise DataError("the episode goes on as it was", "take over at a step first")
        return self.going

    def _rest(self, going: Continuation, rest: Rest) -> Array:
        at = going.at + len(going)
        if rest == "policy":
            if self.policy is None:
                raise DataError("there is no policy to do the rest", "name one with --policy")
            action_1A, _ = self.policy(going.observation_1O, generator(self.seed, "steer", at))
        elif rest == "before" and at < self.original.steps:
            action_1A = self.original.action_TA[at : at + 1]
        else:
            action_1A = going.batch.actions.bounded(np.zeros((1, going.batch.actions.numbers)))
        rest_A: Array = action_1A[0]
        return rest_A

    def keep(self) -> Episode:
        """What was driven, as a correction of the episode. Raises DataError where nothing was done,
        what was done before was done again, or it is kept already; RunError where another process
        keeps one at that moment."""
        going, (question, annotator) = self.driven(), self.said
        name = self.corrections.free_name(f"{self.original.id}-steered-{going.at}")
        taken = going.whole(self.seed, name)
        if shared_steps(self.original, taken) == taken.steps:
            raise DataError(
                "what was done is what was done before", "drive where something else should be done"
            )
        if any(taken.digest == one.digest for one, _ in self.kept):
            raise DataError("this is kept already", "drive on, or go back and drive another way")
        found = correction(question, self.original, taken, annotator)
        self.corrections.keep(
            [self.original, taken], found, "keep it once more, or name another folder"
        )
        self.kept.append((taken, going.at))
        return taken

    # --- what is seen -----------------------------------------------------------------------------
    def drawing(self) -> dict[str, Any]:
        """The episode, a pose before each step and one after the last, as the studio draws it."""
        whole = pose_drawing(self.original, self.batch, EVERY_STEP)
        frames = self._frames(self.original, 0)
        return whole | {"dt": self.batch.task.seconds, "every": 1, "frames": frames}

    def driven_frames(self, since: int) -> list[list[int]]:
        """Poses after each step that was driven, but for the first `since` of them."""
        going = self.driven()
        if since >= len(going):
            return []
        return self._frames(going.whole(0, "driven"), going.at + since)[1:]

    def _frames(self, episode: Episode, start: int) -> list[list[int]]:
        """Poses from the beginning of step `start` to the end, piece by piece: a drawing of more
        than the studio takes at once would leave some out."""
        frames: list[list[int]] = []
        for begin in range(start, episode.steps, PIECE):
            clip = Clip(episode=episode.id, start=begin, stop=min(begin + PIECE, episode.steps))
            drawn = pose_drawing(episode.piece(clip), self.batch, EVERY_STEP)["frames"]
            frames += drawn[1:] if frames else drawn
        return frames
