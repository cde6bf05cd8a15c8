"""Goals of planners with bounded rationality, inferred on a grid by exact likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.worlds import Measured, means, over_worlds
from accord.seeds import generator
from accord.statistics.intervals import Array, Index

if TYPE_CHECKING:
    from accord.control.tabular.mdp import FiniteMdp
    from accord.control.tabular.planners import Planner

ROOMS = ("...#...", "...#...", ".......", "...#...", "#.###.#", ".......", ".......")
GOALS = ((0, 0), (0, 6), (6, 0), (6, 6))
DOOR = (2, 3)
"""Shut, as those think who believe falsely."""
DISCOUNT = 0.9
"""Of the world, in which each step at the goal is worth 1."""
MYOPIC = 0.6
"""The discount of those who do not see far."""
KINDS = ("boltzmann", "myopic", "lapsing", "habit", "belief")


class GoalInferenceWorldConfig(StageConfig):
    """Settings of a goal_inference_world stage."""

    kind: Literal["goal_inference_world"]
    episodes: int = Field(200, ge=10, description="Episodes of each kind of planner.")
    steps: int = Field(10, ge=1, description="Steps of an episode that are seen.")
    rationalities: list[float] = Field(
        [0.5, 2.0, 8.0], min_length=1, description="Rationalities that planners have."
    )
    lapse: float = Field(0.3, ge=0, le=1, description="Share of a lapsing planner's lapses.")
    habit: float = Field(0.4, ge=0, le=1, description="Share of steps repeated out of habit.")


class GoalInferenceWorld(Stage):
    """Infers goals with the right family of planners and with too narrow ones, and shows pairs of
    reward and planner that nothing tells apart."""

    kind = "goal_inference_world"
    Config = GoalInferenceWorldConfig
    about = "goals and rationality inferred together, and what cannot be told apart"

    def plan(self, config: GoalInferenceWorldConfig, context: StageContext) -> Plan:
        seconds = config.episodes * config.steps * len(config.rationalities) / 5000
        return Plan(rows=len(KINDS) * config.episodes, seconds=(seconds / 2, 2 + 4 * seconds))

    def run(self, config: GoalInferenceWorldConfig, context: StageContext) -> StageResult:
        family = _family(config)

        def measure(number: int) -> Measured:
            for name, value in _inferred(family, KINDS[number], config, context.seed):
                yield f"{name}.{KINDS[number]}", value
                yield f"{name}.all", value

        values = means(over_worlds(len(KINDS), measure, context, "kinds of planners"))
        values |= _pairs(family.mdp, family.rewards_GSA[0], config, context)
        told = f"goal right {values['right.all']:.1%}, 95 % sets hold it {values['cover.all']:.1%}"
        narrow = f"with every planner taken for rational {values['cover_rational.all']:.1%}"
        return StageResult(f"{told}; {narrow}", values)


@dataclass(frozen=True)
class _Family:
    """All hypotheses: goal, kind and rationality of each, [K], and what they do."""

    mdp: FiniteMdp
    rewards_GSA: Array
    goal_K: Index
    kind_K: Index
    rationality_K: Array
    log_policy_KBSA: Array


def _family(config: GoalInferenceWorldConfig) -> _Family:
    from accord.control.tabular.gridworld import grid_world

    grid = grid_world(ROOMS, DISCOUNT)
    mdp = grid.mdp
    at_GS = np.eye(mdp.states)[[grid.state(*goal) for goal in GOALS]]
    rewards_GSA = np.broadcast_to(at_GS[:, :, None], (len(GOALS), mdp.states, mdp.actions))
    rows = [
        (goal, kind, rationality)
        for goal in range(len(GOALS))
        for kind in range(len(KINDS))
        for rationality in config.rationalities
    ]
    shut = _shut(mdp, grid.state(*DOOR))
    policies = [
        _planner(KINDS[kind], rationality, config, shut).log_policy(mdp, rewards_GSA[goal])
        for goal, kind, rationality in rows
    ]
    goal_K, kind_K, rationality_K = (np.array(part) for part in zip(*rows, strict=True))
    return _Family(mdp, rewards_GSA, goal_K, kind_K, rationality_K, np.stack(policies))


def _planner(
    kind: str, rationality: float, config: GoalInferenceWorldConfig, shut: FiniteMdp
) -> Planner:
    from accord.control.tabular.planners import Planner

    match kind:
        case "myopic":
            return Planner(rationality, foresight=MYOPIC)
        case "lapsing":
            return Planner(rationality, lapse=config.lapse)
        case "habit":
            return Planner(rationality, habit=config.habit)
        case "belief":
            return Planner(rationality, believes=shut)
    return Planner(rationality)


def _shut(mdp: FiniteMdp, door: int) -> FiniteMdp:
    """The world in which whoever would enter the door stays where they are."""
    from accord.control.tabular.mdp import FiniteMdp

    moved_SAS = mdp.transition_SAS.copy()
    kept_S = np.delete(np.arange(mdp.states), door)
    moved_SAS[kept_S, :, kept_S] += moved_SAS[kept_S, :, door]
    moved_SAS[kept_S, :, door] = 0
    return FiniteMdp(moved_SAS, mdp.start_S, mdp.discount)


def _inferred(
    family: _Family, kind: str, config: GoalInferenceWorldConfig, seed: int
) -> Iterator[tuple[str, float]]:
    """(KEY, value): shares of episodes of planners of this kind, goals and rationalities by chance,
    in which goal, kind and rationality are right and the credible set holds the goal."""
    from accord.control.tabular.goals import by_label, credible_set, log_likelihood, posterior
    from accord.control.tabular.planners import episodes

    of_kind_K = np.flatnonzero(family.kind_K == KINDS.index(kind))
    rng = generator(seed, "goals", kind)
    for true in of_kind_K:
        count = -(-config.episodes // len(of_kind_K))
        seen = episodes(family.mdp, family.log_policy_KBSA[true], config.steps, count, rng)
        log_p_KN = log_likelihood(family.log_policy_KBSA, *seen)
        plain_K = family.kind_K == 0
        rational_K = plain_K & (family.rationality_K == max(config.rationalities))
        known_K = np.ones(len(plain_K), dtype=bool)
        for name, allowed_K in (
            ("", known_K), ("_boltzmann", plain_K), ("_rational", rational_K)
        ):  # fmt: skip
            p_KN = posterior(log_p_KN, allowed_K / allowed_K.sum())
            goal_GN = by_label(p_KN, family.goal_K)
            goal = family.goal_K[true]
            yield f"right{name}", float((goal_GN.argmax(0) == goal).mean())
            yield f"cover{name}", float(credible_set(goal_GN)[goal].mean())
            if name:
                continue
            yield "size", float(credible_set(goal_GN).sum(0).mean())
            kind_GN = by_label(p_KN, family.kind_K)
            yield "kind", float((kind_GN.argmax(0) == KINDS.index(kind)).mean())
            yield "cover_pair", float(credible_set(p_KN)[true].mean())


def _pairs(
    mdp: FiniteMdp, reward_SA: Array, config: GoalInferenceWorldConfig, context: StageContext
) -> dict[str, Value]:
    """The easy goal inference problem (Christiano 2015; Armstrong and Mindermann 2018): pairs of
    reward and planner that act alike, a pair that does not, and what acting on each one's reward
    loses on the true one."""
    from accord.control.tabular.goals import log_likelihood, posterior, same_behaviour
    from accord.control.tabular.planners import Planner, episodes
    from accord.control.tabular.shaping import regret

    rationality = float(np.median(config.rationalities))
    plain = Planner(rationality)
    q_SA = plain.values(mdp, reward_SA)
    pairs = {
        "true": (reward_SA, plain),
        "opposite": (-reward_SA, Planner(rationality, perverse=True)),
        "one_step": (q_SA, Planner(rationality, foresight=0.0)),
        "nothing": (0 * reward_SA, Planner(rationality, leaning_SA=q_SA)),
        "careless": (reward_SA, Planner(rationality / 2)),
    }
    log_policy_KBSA = np.stack([planner.log_policy(mdp, r) for r, planner in pairs.values()])
    rng = generator(context.seed, "pairs")
    seen = episodes(mdp, log_policy_KBSA[0], config.steps, config.episodes, rng)
    log_p_K1 = log_likelihood(log_policy_KBSA, *seen).sum(1, keepdims=True)
    p_K1 = posterior(log_p_K1, np.full(len(pairs), 1 / len(pairs)))
    class_K = same_behaviour(log_policy_KBSA)
    values: dict[str, Value] = {}
    for number, (name, (other_SA, _)) in enumerate(pairs.items()):
        values[f"gap.{name}"] = float(log_p_K1[0, 0] - log_p_K1[number, 0])
        values[f"posterior.{name}"] = float(p_K1[number, 0])
        values[f"regret.{name}"] = 100 * regret(mdp, reward_SA, other_SA).most
        if number and class_K[number] == class_K[0]:
            context.say(f"not identifiable: {name} acts as the true pair does in every state")
    values["alike"] = int((class_K == class_K[0]).sum())
    return values
