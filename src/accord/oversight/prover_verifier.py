"""A prover–verifier game in which every solution can be checked (Kirchner et al. 2024, "Prover-
Verifier Games improve legibility of LLM outputs").

The problem: the last digit of a sum of digits. A solution goes over the digits in jumps of one to
three, and claims a running total after each; a right one claims what is so, a wrong one goes wrong
once and on from there. A helpful prover wants to convince the verifier of right solutions, a sneaky
one of wrong ones; each shows the best of several, and learns how far to jump from what was best.
The verifier learns from whole solutions that were right or wrong, never from single claims, and
knows nothing of arithmetic.

B solutions, D digits (places for jumps), F features, J sizes of jumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from accord.statistics.intervals import Array, Index

TEN = 10
JUMPS = (1, 2, 3)
TABLE = tuple(TEN ** (jump + 2) for jump in JUMPS)
"""Different claims about a jump: total before, digits, total after."""
FEATURES = sum(TABLE) + len(JUMPS)


@dataclass(frozen=True)
class Solutions:
    """digits_BD; starts_BD: whether a jump begins at that digit; totals_BD: the running total that
    is claimed after the jump that ends there (at other places, 0); right_B: whether all claims
    are."""

    digits_BD: Index
    starts_BD: NDArray[np.bool_]
    totals_BD: Index
    right_B: NDArray[np.bool_]

    def taken(self, rows: Index) -> Solutions:
        """Those rows."""
        return Solutions(
            self.digits_BD[rows], self.starts_BD[rows], self.totals_BD[rows], self.right_B[rows]
        )

    def __add__(self, other: Solutions) -> Solutions:
        return Solutions(
            np.concatenate([self.digits_BD, other.digits_BD]),
            np.concatenate([self.starts_BD, other.starts_BD]),
            np.concatenate([self.totals_BD, other.totals_BD]),
            np.concatenate([self.right_B, other.right_B]),
        )

    def jumps(self) -> tuple[Index, Index, Index, NDArray[np.bool_]]:
        """(row, size, claim, whether it is right) of every jump; the claim is a number below the
        table's size: total before, digits and total after, in decimal."""
        rows, begins = np.nonzero(self.starts_BD)
        last = np.append(rows[1:] != rows[:-1], True)
        ends = np.where(last, self.digits_BD.shape[1], np.append(begins[1:], 0))
        size = ends - begins
        before = np.where(begins == 0, 0, self.totals_BD[rows, begins - 1])
        after = self.totals_BD[rows, ends - 1]
        claim, due = before.copy(), before.copy()
        for step in range(max(JUMPS)):
            inside = step < size
            digit = self.digits_BD[rows, np.minimum(begins + step, self.digits_BD.shape[1] - 1)]
            claim = np.where(inside, claim * TEN + digit, claim)
            due = np.where(inside, due + digit, due)
        return rows, size, claim * TEN + after, due % TEN == after


def solve(digits_BD: Index, share_J: Array, wrong: bool, rng: np.random.Generator) -> Solutions:
    """A solution of each problem, jumps by these shares (cut where the digits end); a wrong one
    goes wrong by chance once, by a digit other than 0."""
    count, places = digits_BD.shape
    starts_BD = np.zeros((count, places), bool)
    at_B, everyone = np.zeros(count, np.int64), np.arange(count)
    while (at_B < places).any():
        going = at_B < places
        starts_BD[everyone[going], at_B[going]] = True
        at_B = at_B + np.where(going, 1 + rng.choice(len(JUMPS), count, p=share_J), 0)
    off_BD = np.zeros((count, places), np.int64)
    if wrong:
        chance_BD = np.where(starts_BD, rng.random((count, places)), -1.0)
        off_BD[everyone, chance_BD.argmax(1)] = rng.integers(1, TEN, count)
    totals_BD = (digits_BD.cumsum(1) + off_BD.cumsum(1)) % TEN
    ends_BD = np.append(starts_BD[:, 1:], np.ones((count, 1), bool), axis=1)
    return Solutions(
        digits_BD, starts_BD, np.where(ends_BD, totals_BD, 0), np.full(count, not wrong)
    )


# --- verifier -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Verifier:
    """Log-odds that a solution is right: a weight for every claim and size of jump, and a bias."""

    weight_F: Array
    bias: float

    def odds(self, solutions: Solutions) -> Array:
        """[B]."""
        found: Array = features(solutions) @ self.weight_F + self.bias
        return found

    @classmethod
    def fit(cls, solutions: Solutions, strength: float) -> Verifier:
        """Logistic regression on right and wrong; strength: of the ridge penalty's inverse."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=strength, solver="liblinear")
        model.fit(features(solutions), solutions.right_B)
        return cls(model.coef_[0], float(model.intercept_[0]))


def features(solutions: Solutions) -> csr_matrix:
    """[B, F]: how often each claim, and each size of jump, occurs."""
    row, size, claim, _ = solutions.jumps()
    base = np.concatenate([[0], np.cumsum(TABLE)[:-1]])
    column = np.concatenate([base[size - 1] + claim, sum(TABLE) + size - 1])
    rows = np.concatenate([row, row])
    shape = (len(solutions.right_B), FEATURES)
    return csr_matrix((np.ones(len(rows)), (rows, column)), shape)


# --- provers --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Prover:
    """share_J: how far it jumps; tries: solutions of which it shows the one that the verifier
    believes most; wrong: whether it is the sneaky one."""

    share_J: Array
    tries: int
    wrong: bool

    def shown(self, digits_BD: Index, verifier: Verifier, rng: np.random.Generator) -> Solutions:
        """One solution of each problem."""
        count = len(digits_BD)
        every = solve(np.tile(digits_BD, (self.tries, 1)), self.share_J, self.wrong, rng)
        odds_TB = verifier.odds(every).reshape(self.tries, count)
        return every.taken(odds_TB.argmax(0) * count + np.arange(count))

    def learned(self, shown: Solutions, pace: float) -> Prover:
        """Its jumps moved by this share of the way to those that were best."""
        counts = np.bincount(shown.jumps()[1] - 1, minlength=len(JUMPS)) + 1.0
        share_J = (1 - pace) * self.share_J + pace * counts / counts.sum()
        return replace(self, share_J=share_J / share_J.sum())


# --- a weaker judge -------------------------------------------------------------------------------
def glanced(
    solutions: Solutions, looks: int, sees_J: Sequence[float], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether a weaker judge accepts each solution: looks at so many of its jumps by chance, and
    sees that one is wrong with a probability by its size: [B]. What is right is never called wrong,
    so that an error is missed or found."""
    row, size, _, right = solutions.jumps()
    order = np.lexsort((rng.random(len(row)), row))
    first = np.searchsorted(row[order], row[order], side="left")
    looked = np.zeros(len(row), bool)
    looked[order] = np.arange(len(row)) - first < looks
    caught = looked & ~right & (rng.random(len(row)) < np.asarray(sees_J)[size - 1])
    accepted = np.ones(len(solutions.right_B), bool)
    accepted[row[caught]] = False
    return accepted


# --- the game -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class GameRules:
    """digits: of a problem; problems: per round and prover; tries: of a prover; pace: see
    `Prover.learned`; strength: of `Verifier.fit`."""

    digits: int = 8
    problems: int = 2000
    tries: int = 16
    pace: float = 0.5
    strength: float = 1.0


@dataclass(frozen=True)
class GameState:
    """After a round: verifier, provers that have learned against it, all solutions so far."""

    verifier: Verifier
    helpful: Prover
    sneaky: Prover
    solutions: Solutions


def begun(rules: GameRules, rng: np.random.Generator) -> GameState:
    """Round 0: provers jump as far as they like, the verifier has seen right and wrong solutions
    by chance."""
    share_J = np.full(len(JUMPS), 1 / len(JUMPS))
    pair = [solve(problems(rules, rng), share_J, wrong, rng) for wrong in (False, True)]
    solutions = pair[0] + pair[1]
    return GameState(
        Verifier.fit(solutions, rules.strength),
        Prover(share_J, rules.tries, False),
        Prover(share_J, rules.tries, True),
        solutions,
    )


def problems(rules: GameRules, rng: np.random.Generator) -> Index:
    """As many as a round has."""
    return rng.integers(0, TEN, (rules.problems, rules.digits))


def played(
    state: GameState, rules: GameRules, rng: np.random.Generator, verifier_learns: bool = True
) -> GameState:
    """A round: both provers show their best against the verifier and learn; then the verifier
    learns from all solutions so far, unless it is left as it is."""
    shown = [
        prover.shown(problems(rules, rng), state.verifier, rng)
        for prover in (state.helpful, state.sneaky)
    ]
    helpful, sneaky = (
        prover.learned(best, rules.pace)
        for prover, best in zip((state.helpful, state.sneaky), shown, strict=True)
    )
    solutions = state.solutions + shown[0] + shown[1]
    verifier = Verifier.fit(solutions, rules.strength) if verifier_learns else state.verifier
    return GameState(verifier, helpful, sneaky, solutions)
