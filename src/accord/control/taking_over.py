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
from accord.errors import DataError
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.seeds import generator
from accord.statistics.intervals import Array


def take_over(
    episode: Episode, at: int, act: Act, seed: int, name: str, steps: int | None = None
) -> Episode:
    """The episode until its step `at`, and then what `act` does from the state it was in: until the
    task ends it, or for `steps` (none: as many as were left).

    name: the new episode's id. Raises DataError where the state cannot be set, see `from_states`,
    for a step that is not the episode's, and for actions that are not finite numbers of the task's.
    """
    if not 0 <= at < episode.steps:
        raise DataError(
            f"step {at} of episode {episode.id}, which has {episode.steps}",
            f"take over at a step from 0 to {episode.steps - 1}",
        )
    left = episode.steps - at if steps is None else steps
    if left < 1:
        raise DataError(f"{left} steps to take over for", "take at least one")
    batch = from_states(episode, slice(at, at + 1), left + 1)
    seen, rng = batch.observe(), generator(seed, "take over")
    rows: list[tuple[Array, Array, Array, float, bool]] = []
    while len(rows) < left and not (rows and rows[-1][-1]):
        action_1A, _ = act(seen, rng)
        if action_1A.shape != (1, batch.actions.numbers) or not np.isfinite(action_1A).all():
            raise DataError(
                f"action {len(rows)} from step {at} of episode {episode.id} is"
                f" {action_1A.tolist()}",
                f"give {batch.actions.numbers} finite numbers",
            )
        stepped = batch.step(action_1A)
        seen, states = stepped.observation_NO, batch.states()
        assert states is not None  # they were set
        paid, lost = float(stepped.reward_N[0]), bool(stepped.terminated_N[0])
        rows.append((action_1A[0], seen[0], states[0], paid, lost))
    actions, then, states_T, paid_T, lost_T = (list(column) for column in zip(*rows, strict=True))
    assert episode.state_TS is not None  # from_states has looked
    over = np.zeros(at + len(rows), dtype=bool)
    whole = steps is None and len(rows) == left and not lost_T[-1]
    timed = over.copy()
    timed[-1] = whole and bool(episode.truncated_T[-1])
    over[-1] = lost_T[-1]
    return replace(
        episode,
        id=name,
        seed=seed,
        observation_TO=np.concatenate([episode.observation_TO[: at + 1], np.stack(then)]),
        action_TA=np.concatenate([episode.action_TA[:at], np.stack(actions)]),
        reward_T=np.concatenate([episode.reward_T[:at], paid_T]),
        terminated_T=over,
        truncated_T=timed,
        state_TS=np.concatenate([episode.state_TS[: at + 1], np.stack(states_T)]),
    )


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
    shared = _shared(original, taken)
    if since > shared:
        raise DataError(
            f"episodes {original.id} and {taken.id} share {shared} steps, the clips begin at"
            f" {since}",
            "begin where both were the same",
        )
    before, after = (Clip(episode=one.id, start=since, stop=one.steps) for one in (original, taken))
    return corrected(question, before, after, annotator)


def _shared(one: Episode, other: Episode) -> int:
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
