"""Taking over from a moment: an episode gone on with from one of its states, by other actions.

The new episode has the old one's past, to the bit, and a correction sets one against the other.
Suffixes: T steps, A numbers of an action.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accord.control.episodes import Episode
from accord.control.grounding import corrected
from accord.control.recording import from_states
from accord.control.rollouts import Act
from accord.errors import DataError, RunError
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.seeds import generator
from accord.statistics.intervals import Array


class Continuation:
    """An episode gone on with from its step `at`, step by step, and back again: the new one has the
    old one's past, to the bit, and a state that is set says by itself how it goes on.

    batch: the one environment that goes on; observation_1O: what is seen now.
    """

    def __init__(self, episode: Episode, at: int) -> None:
        """Raises DataError where the state cannot be set, see `from_states`, and for a step that is
        not the episode's."""
        check_step(episode, at)
        self.episode, self.at = episode, at
        self.batch = from_states(episode, slice(at, at + 1))
        assert episode.state_TS is not None  # from_states has looked
        self._begins = episode.observation_TO[at], episode.state_TS[at]
        self._rows: list[tuple[Array, Array, Array, float, bool]] = []
        self.observation_1O = self.batch.observe()

    def __len__(self) -> int:
        """Steps since `at`."""
        return len(self._rows)

    @property
    def ended(self) -> bool:
        """Whether the task has ended it."""
        return bool(self._rows) and self._rows[-1][-1]

    def step(self, action_1A: Array) -> None:
        """One step more. Raises DataError for an action that is no finite numbers of the task's,
        and where the task has ended it; RunError where the simulation breaks. Then nothing was
        done."""
        if self.ended:
            raise DataError(
                f"the task ended episode {self.episode.id}, gone on with from step {self.at}, after"
                f" {len(self)} steps",
                "go back, or take over elsewhere",
            )
        if action_1A.shape != (1, self.batch.actions.numbers) or not np.isfinite(action_1A).all():
            raise DataError(
                f"action {len(self)} from step {self.at} of episode {self.episode.id} is"
                f" {action_1A.tolist()}",
                f"give {self.batch.actions.numbers} finite numbers",
            )
        try:
            stepped = self.batch.step(action_1A)
        except RunError:
            self.back(len(self))
            raise
        states = self.batch.states()
        assert states is not None  # they were set
        paid, lost = float(stepped.reward_N[0]), bool(stepped.terminated_N[0])
        row = action_1A[0].copy(), stepped.observation_NO[0], states[0], paid, lost
        self._rows.append(row)
        self.observation_1O = stepped.observation_NO

    def back(self, to: int) -> None:
        """Where it was after `to` steps, as if nothing had followed. Raises DataError for more
        steps than there are."""
        if not 0 <= to <= len(self):
            raise DataError(f"back to step {to} of {len(self)}", "name one that was taken")
        del self._rows[to:]
        seen_O, state_S = self._rows[-1][1:3] if to else self._begins
        self.batch.set_states(np.zeros(1, dtype=np.int64), state_S[None])
        self.observation_1O = seen_O[None]

    def whole(self, seed: int, name: str) -> Episode:
        """The past and what was done since, as an episode of this id. Its time is over where the
        old one's was. Raises DataError before the first step."""
        if not self._rows:
            raise DataError(f"nothing was done since step {self.at}", "take at least one step")
        old, at = self.episode, self.at
        actions, then, states_T, paid_T, lost_T = map(list, zip(*self._rows, strict=True))
        assert old.state_TS is not None  # from_states has looked
        over, timed = np.zeros((2, at + len(self)), dtype=bool)
        over[-1] = lost_T[-1]
        timed[-1] = len(timed) == old.steps and old.truncated_T[-1] and not self.ended
        return replace(
            old,
            id=name,
            seed=seed,
            observation_TO=np.concatenate([old.observation_TO[: at + 1], np.stack(then)]),
            action_TA=np.concatenate([old.action_TA[:at], np.stack(actions)]),
            reward_T=np.concatenate([old.reward_T[:at], paid_T]),
            terminated_T=over,
            truncated_T=timed,
            state_TS=np.concatenate([old.state_TS[: at + 1], np.stack(states_T)]),
        )


def check_step(episode: Episode, at: int) -> None:
    """Raise DataError for a step that is not the episode's."""
    if not 0 <= at < episode.steps:
        raise DataError(
            f"step {at} of episode {episode.id}, which has {episode.steps}",
            f"take over at a step from 0 to {episode.steps - 1}",
        )


def take_over(
    episode: Episode, at: int, act: Act, seed: int, name: str, steps: int | None = None
) -> Episode:
    """The episode until its step `at`, and then what `act` does from the state it was in: until the
    task ends it, or for `steps` (none: as many as were left).

    name: the new episode's id. Raises DataError as `Continuation` does.
    """
    going, rng = Continuation(episode, at), generator(seed, "take over")
    left = episode.steps - at if steps is None else steps
    if left < 1:
        raise DataError(f"{left} steps to take over for", "take at least one")
    while len(going) < left and not going.ended:
        going.step(act(going.observation_1O, rng)[0])
    return going.whole(seed, name)


def these(actions_TA: Array) -> Act:
    """These actions, one after the other. Asked for more, it raises DataError."""
    rows = iter(actions_TA)

    def act(seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        row = next(rows, None)
        if row is None:
            raise DataError(
                f"{len(actions_TA)} actions were given, and the episode goes on",
                "give one for each step, or say for how many steps to take over",
            )
        return np.asarray(row, dtype=np.float64)[None], np.zeros(1)

    return act


def correction(
    question: str, original: Episode, taken: Episode, annotator: str, since: int = 0
) -> Feedback:
    """What was done after taking over, over what was done before it: both from step `since` on.
    Raises DataError where the two do not share their past there."""
    shared = shared_steps(original, taken)
    if since > shared:
        raise DataError(
            f"episodes {original.id} and {taken.id} share {shared} steps, the clips begin at"
            f" {since}",
            "begin where both were the same",
        )
    before, after = (Clip(episode=one.id, start=since, stop=one.steps) for one in (original, taken))
    return corrected(question, before, after, annotator)


def shared_steps(one: Episode, other: Episode) -> int:
    """Steps that both have in common from their beginning."""
    if one.observation_TO.shape[1:] != other.observation_TO.shape[1:] or not np.array_equal(
        one.observation_TO[0], other.observation_TO[0]
    ):
        raise DataError(
            f"episodes {one.id} and {other.id} do not begin alike",
            "correct an episode by one that was taken over from it",
        )
    steps = min(one.steps, other.steps)
    same = (one.action_TA[:steps] == other.action_TA[:steps]).all(1)
    return steps if same.all() else int(same.argmin())
