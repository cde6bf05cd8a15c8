"""The clips that options of a choice stand for, gathered by name: what `grounding` writes as a
choice among a reward's proxies, states or words.

    followed, gathered   what policies do, each of which follows a reward, recorded now or from
                         stores: of proxies
    ending_in            the clips that end in a state: of states that things are found in
    true_of, labelled    the clips that a predicate, or somebody, says so of: of words

Suffixes: O numbers of an observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode, EpisodeStore
from accord.control.recording import record
from accord.control.rollouts import Act
from accord.errors import DataError
from accord.feedback.messages import Clip, plain
from accord.statistics.intervals import Array

Apart = Callable[[Array, Array], float]
"""How far two observations lie apart: [O], [O] -> 0 or more."""


def followed(
    policies: Mapping[str, Act],
    environments: EnvironmentBatch,
    count: int,
    into: EpisodeStore,
    seed: int,
    most: int = 10_000,
) -> dict[str, list[Clip]]:
    """`count` whole episodes of each policy, from the same starts, kept in a store as `gathered`
    keeps them. most: steps of each environment. Raises DataError where some do not end in that
    time: the others would be the short ones; and for no policy, or no episode."""
    if not policies or count < 1:
        raise DataError(
            f"{count} episodes of each of {len(policies)} policies", "name 1 or more of each"
        )
    made = {}
    for name, act in policies.items():
        recorded = record(environments, act, count, seed, most)
        if recorded.unfinished:
            raise DataError(
                f"{recorded.unfinished} of {count} episodes of {name!r} had no end after {most:,}"
                " steps",
                "make the environments with a limit",
            )
        made[name] = recorded.episodes
    return keep(made, into)


def gathered(stores: Mapping[str, EpisodeStore], into: EpisodeStore) -> dict[str, list[Clip]]:
    """All episodes of each store, kept in one, as whole clips there. Raises as `keep` does."""
    return keep({name: [one.episode(i) for i in one.ids] for name, one in stores.items()}, into)


def renamed(episodes: Mapping[str, Sequence[Episode]]) -> dict[str, list[Episode]]:
    """The name of each option before its episodes': two stores may call theirs alike."""
    return {
        name: [replace(one, id=f"{name}-{one.id}") for one in some]
        for name, some in episodes.items()
    }


def whole(episodes: Mapping[str, Sequence[Episode]]) -> dict[str, list[Clip]]:
    """Each episode as a clip."""
    return {
        name: [Clip(episode=one.id, start=0, stop=one.steps) for one in some]
        for name, some in episodes.items()
    }


def keep(episodes: Mapping[str, Sequence[Episode]], into: EpisodeStore) -> dict[str, list[Clip]]:
    """Add the episodes that are not there yet, `renamed`; each is a clip there. Raises DataError,
    and adds none, for another episode of a name that is there."""
    named = renamed(episodes)
    into.append(into.missing([one for some in named.values() for one in some]))
    return whole(named)


def true_of(
    clips: Iterable[Clip], store: EpisodeStore, words: Mapping[str, Callable[[Episode], bool]]
) -> dict[str, list[Clip]]:
    """The clips that each of the words is true of, by a predicate on their steps."""
    pieces = [(clip, store.clip(clip)) for clip in clips]
    return {
        name: [clip for clip, piece in pieces if is_true(piece)] for name, is_true in words.items()
    }


def labelled(labels: Mapping[Clip, Collection[str]]) -> dict[str, list[Clip]]:
    """The clips that each label was given to, by the labels of each clip. Raises DataError for a
    text in place of labels."""
    found: dict[str, list[Clip]] = {}
    for clip, names in labels.items():
        if isinstance(names, str):
            raise DataError(f"{names!r} is a text, not labels", f"write {{{names!r}}}")
        for name in sorted({*names}):
            found.setdefault(name, []).append(clip)
    return dict(sorted(found.items()))


def ending_in(
    clips: Iterable[Clip],
    store: EpisodeStore,
    states: Mapping[str, Array],
    within: float = math.inf,
    apart: Apart | None = None,
) -> dict[str, list[Clip]]:
    """The clips that end in each of the states: in the one that is nearest to the last observation,
    if it is no further than `within`. states: observations [O]; apart: the distance, without one
    the square root of summed squares. Raises DataError for a state of another size, for one that no
    clip ends in, and for a `within` below 0."""
    if not within >= 0:
        raise DataError(f"within {within:g} of a state", "name a distance of 0 or more")
    distance = apart or (lambda one_O, other_O: float(np.linalg.norm(one_O - other_O)))
    found: dict[str, list[Clip]] = {name: [] for name in states}
    nearest = dict.fromkeys(states, math.inf)
    for clip in clips:
        end_O = store.clip(clip).observation_TO[-1]
        lies: dict[str, float] = {}
        for name, state_O in states.items():
            _check_size(name, state_O, end_O, clip)
            lies[name] = distance(end_O, state_O)
            nearest[name] = min(nearest[name], lies[name])
        if lies and min(lies.values()) <= within:
            found[min(lies, key=lies.__getitem__)].append(clip)
    if empty := next((name for name, some in found.items() if not some), None):
        raise DataError(
            f"no clip ends in the state {empty!r}: the nearest end lies {nearest[empty]:.3g} away",
            "give a larger `within`, more clips, or leave the state out",
        )
    return found


def _check_size(name: str, state_O: Array, end_O: Array, clip: Clip) -> None:
    if state_O.shape != end_O.shape:
        raise DataError(
            f"the state {name!r} has {state_O.size} numbers, the clip {plain(clip)} ends in"
            f" {end_O.size}",
            "name states as they are observed",
        )
