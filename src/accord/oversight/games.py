"""Debates as exact games: an item is made of pieces of evidence (sentences, pixels), two answers
are possible, the debaters see all pieces and the judge those that were shown.

N items, P places for pieces, K turns. A side is 0 or 1, the place of an answer. All items are
played at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accord.statistics.intervals import Array, Index

Sides = Index
Picks = Index
Shown = NDArray[np.bool_]
Worth = Callable[[Shown, Sides], Array]
"""(what was shown [N, P], the speaker's side [N]) -> what each piece is worth to it: [N, P]."""
NOTHING = -1
"""In the place of a pick where every piece was shown."""


@dataclass(frozen=True)
class EvidenceGame:
    """pieces_NP: where there are any; true_N: the right answer; believed_N: what a consultant who
    may choose argues for; views: how debaters weigh pieces, by name; consultants: those by which
    consultants do (None: all); verdict: the answer that the judge gives after seeing picks [N, K]:
    [N]."""

    pieces_NP: Shown
    true_N: Sides
    believed_N: Sides
    views: Mapping[str, Worth]
    verdict: Callable[[Picks], Sides]
    consultants: Collection[str] | None = None

    def consults(self, view: str) -> bool:
        """Whether consultants weigh pieces by this view."""
        return self.consultants is None or view in self.consultants


@dataclass(frozen=True)
class PlayedArm:
    """The picks [N, K], and for which side each was made; None where nobody argued."""

    picks_NK: Picks
    sides_NK: Sides | None = None


def play(pieces_NP: Shown, turns: Sequence[Sides], worth: Worth) -> Picks:
    """The piece that each turn's side shows, never one twice: the one that is worth most to it, of
    equals the first: [N, K]."""
    shown_NP, picks = np.zeros_like(pieces_NP), list[Picks]()
    everyone = np.arange(len(pieces_NP))
    for side_N in turns:
        left_NP = pieces_NP & ~shown_NP
        best_N = np.where(left_NP, worth(shown_NP, side_N), -np.inf).argmax(1)
        some_N = left_NP.any(1)
        shown_NP[everyone[some_N], best_N[some_N]] = True
        picks.append(np.where(some_N, best_N, NOTHING))
    return np.stack(picks, 1)


def shown(picks_NK: Picks, places: int) -> Shown:
    """Which pieces these picks show: [N, P]."""
    marked_NP = np.zeros((len(picks_NK), places + 1), bool)
    np.put_along_axis(marked_NP, picks_NK, True, 1)  # NOTHING is the place more
    return marked_NP[:, :places]


def alternating(first_N: Sides, turns: int) -> list[Sides]:
    """Both sides in turn; who begins, by item."""
    return [first_N if turn % 2 == 0 else 1 - first_N for turn in range(turns)]


def linear_worth(value_NP: Array) -> Worth:
    """Of evidence that speaks for side 1 by its value, and as much against side 0."""
    return lambda _, side_N: np.where(side_N[:, None] == 1, value_NP, -value_NP)


def held(game: EvidenceGame, turns: int, rng: np.random.Generator) -> dict[str, PlayedArm]:
    """What is shown in each arm.

    direct: the first pieces; random: any (of two answers both are told, so this is the fair
    baseline); for each view: debate (side 0 begins), swapped (side 1 does), honest and lying (a
    consultant who was told to argue for the right and the wrong answer), open (who chose).
    """
    zeros_N = np.zeros_like(game.true_N)
    place_NP = np.broadcast_to(np.arange(game.pieces_NP.shape[1]), game.pieces_NP.shape)
    any_NP = rng.random(game.pieces_NP.shape)
    silent = [zeros_N] * turns
    arms = {
        "direct": PlayedArm(play(game.pieces_NP, silent, lambda _, __: -place_NP.astype(float))),
        "random": PlayedArm(play(game.pieces_NP, silent, lambda _, __: any_NP)),
    }
    for name, worth in game.views.items():
        orders = {
            "debate": alternating(zeros_N, turns),
            "swapped": alternating(zeros_N + 1, turns),
        }
        consulted = {
            "honest": [game.true_N] * turns,
            "lying": [1 - game.true_N] * turns,
            "open": [game.believed_N] * turns,
        }
        for arm, order in (orders | (consulted if game.consults(name) else {})).items():
            picks_NK = play(game.pieces_NP, order, worth)
            arms[f"{arm}.{name}"] = PlayedArm(picks_NK, np.stack(order, 1))
    return arms


def accuracies(game: EvidenceGame, arms: Mapping[str, PlayedArm], turns: int) -> dict[str, float]:
    """How often the judge is right after so many turns, by arm; assigned: a consultant for either
    answer, half of the time the wrong one (both are played, and the mean is taken)."""
    right = {
        name: game.verdict(arm.picks_NK[:, :turns]) == game.true_N for name, arm in arms.items()
    }
    found = {name: float(right_N.mean()) for name, right_N in right.items()}
    for view in filter(game.consults, game.views):
        found[f"assigned.{view}"] = (found[f"honest.{view}"] + found[f"lying.{view}"]) / 2
    return found


def of_all_pieces(game: EvidenceGame) -> float:
    """How often the judge is right who sees every piece."""
    every_NP = np.where(game.pieces_NP, np.arange(game.pieces_NP.shape[1]), NOTHING)
    return float(np.mean(game.verdict(every_NP) == game.true_N))
