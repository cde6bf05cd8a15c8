"""A world in which a reward can be gamed: how it moves, what happens in it, and three ways to count
that.

Everything that happens is an event. The reward that was *written* pays for some events; what was
*meant* by it, the hidden performance, for others; and a person who compares episodes goes by what
is *seen* of them:

    written, meant, seen: worth by event

A world is written down as one step from a state, and unrolled into a finite process from there.
Suffixes: S states, A actions, E events.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from accord.control.tabular.mdp import FiniteMdp
from accord.errors import DataError
from accord.statistics.intervals import Array

State = Hashable
Outcome = tuple[float, State, Mapping[str, float]]
"""Its probability, the state that follows, and how often each event happens."""
END = "end"
"""The state in which nothing happens any more."""
MOST = 2_000
"""States, above which a world is not unrolled: its transitions are stored in full."""


def sure(state: State, **events: float) -> list[Outcome]:
    """What follows for certain."""
    return [(1.0, state, events)]


@dataclass(frozen=True)
class GalleryWorld:
    """actions: the first does nothing; start: probability of each first state; step: what can
    follow (state, action); games: what it does that is best for the written reward; sees: what the
    person who compares goes by, in words; begins: first states in words; steps: of an
    episode that people compare.

    Raises DataError for an event that is weighed and never happens, and for too many states.
    """

    name: str
    about: str
    games: str
    sees: str
    actions: Sequence[str]
    start: Mapping[State, float]
    step: Callable[[State, str], Sequence[Outcome]]
    written: Mapping[str, float]
    meant: Mapping[str, float]
    seen: Mapping[str, float]
    begins: Mapping[State, str] = field(default_factory=dict)
    discount: float = 0.95
    steps: int = 60

    @cached_property
    def unrolled(self) -> Unrolled:
        """All states that can be reached, in the order in which they are met."""
        found, table = list(self.start), dict[tuple[int, int], list[Outcome]]()
        number_of = {state: number for number, state in enumerate(found)}
        for number, state in enumerate(found):  # grows while it is walked through
            for action, name in enumerate(self.actions):
                outcomes = sure(END) if state == END else list(self.step(state, name))
                table[number, action] = outcomes
                for _, after, _ in outcomes:
                    if number_of.setdefault(after, len(found)) == len(found):
                        found.append(after)
            if len(found) > MOST:
                raise DataError(
                    f"the world {self.name!r} has more than {MOST:,} states",
                    "tell fewer apart in its states",
                )
        told = (events for outcomes in table.values() for _, _, events in outcomes)
        events = tuple(dict.fromkeys(event for happening in told for event in happening))
        self._check(events)
        transition_SAS = np.zeros((len(found), len(self.actions), len(found)))
        count_SAE = np.zeros((len(found), len(self.actions), len(events)))
        for (number, action), outcomes in table.items():
            for chance, after, happening in outcomes:
                transition_SAS[number, action, number_of[after]] += chance
                for event, times in happening.items():
                    count_SAE[number, action, events.index(event)] += chance * times
        start_S = np.zeros(len(found))
        for state, chance in self.start.items():
            start_S[number_of[state]] = chance
        mdp = FiniteMdp(transition_SAS, start_S, self.discount)
        return Unrolled(tuple(found), mdp, events, count_SAE)

    def _check(self, events: Sequence[str]) -> None:
        for kind, worth in (("written", self.written), ("meant", self.meant), ("seen", self.seen)):
            for event in worth:
                if event not in events:
                    raise DataError(
                        f"{kind} of the world {self.name!r} weighs {event!r}, which never happens",
                        f"weigh some of {', '.join(sorted(events))}",
                    )


@dataclass(frozen=True)
class Unrolled:
    """A world as a finite process. count_SAE: how often each event happens, on average, when an
    action is taken in a state."""

    states: tuple[State, ...]
    mdp: FiniteMdp
    events: tuple[str, ...]
    count_SAE: Array

    def weights(self, worth: Mapping[str, float]) -> Array:
        """[E]."""
        return np.array([worth.get(event, 0.0) for event in self.events])

    def reward(self, worth: Mapping[str, float]) -> Array:
        """What each action is worth in each state: [S, A]."""
        found: Array = self.count_SAE @ self.weights(worth)
        return found
