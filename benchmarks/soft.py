"""Soft actor-critic against Stable-Baselines3's, from the environment's own reward: mean return of 20
greedy episodes after as many steps, and steps per CPU-second.

    python -m benchmarks.soft                                    # Pendulum, 5 seeds of 6,000 steps: about 15 CPU-minutes
    python -m benchmarks.soft --seeds 1 --steps 500              # speed alone

Both have networks of two layers of 64, a minibatch of 256, an update a step after 100 steps by chance, a step size
of 0.001 and 100,000 remembered steps; one environment, one thread. Theirs updates after each step, ours 50 times
after 50. Each side runs in a process of its own, one after the other for each seed; imports, setting up and the
evaluation are not counted.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from typing import Any

import numpy as np

from accord.statistics.means import student_mean
from benchmarks.control import measured, ratio, speeds

SIDES = ("ours", "theirs")
TASKS = {"Pendulum": ("Pendulum-v1", 200), "Hopper": ("Hopper-v5", 1000)}
"""Task -> its id, steps of an episode."""
EPISODES, EVALUATED = 20, 4
"""Greedy episodes; the seed that they begin by, for both sides alike."""
HIDDEN, RATE, RANDOM, ROLLOUT, BUFFER = 64, 1e-3, 100, 50, 100_000


def ours(task: str, seed: int, steps: int) -> dict[str, float]:
    """`control.sac`."""
    from accord.control.making import make
    from accord.control.rollouts import Walker
    from accord.control.sac import Sac, SacSettings
    from accord.seeds import derive_seed, generator

    settings = SacSettings(
        environments=1, rollout=ROLLOUT, hidden=HIDDEN, learning_rate=RATE, random_steps=RANDOM,
        buffer=BUFFER,
    )  # fmt: skip
    environments, rollouts = make(TASKS[task][0], 1), steps // ROLLOUT
    size, form = environments.observation_size, environments.actions
    learner = Sac(settings, size, form, rollouts, derive_seed(seed, "policy"))
    walker = Walker(environments)
    walker.begin(generator(seed, "begin"))
    begun = time.process_time()
    for number in range(rollouts):
        rng = generator(seed, "rollout", number)
        walked = walker.walk(learner.behaviour(), ROLLOUT, rng)
        learner.learn(walked, walked.reward_TN)
    return told(task, rollouts * ROLLOUT, time.process_time() - begun, learner.actor(greedy=True))


def theirs(task: str, seed: int, steps: int) -> dict[str, float]:
    """Stable-Baselines3's SAC."""
    import gymnasium
    from stable_baselines3 import SAC

    from accord.control.leaving import sb3_policy
    from accord.control.making import make

    name = TASKS[task][0]
    model = SAC(
        "MlpPolicy", gymnasium.make(name), policy_kwargs={"net_arch": [HIDDEN, HIDDEN]},
        learning_rate=RATE, learning_starts=RANDOM, buffer_size=BUFFER, seed=seed, device="cpu",
    )  # fmt: skip
    begun = time.process_time()
    model.learn(steps)
    seconds = time.process_time() - begun
    return told(task, model.num_timesteps, seconds, sb3_policy(model, make(name, 1).actions, True))


def told(task: str, steps: int, seconds: float, act: Any) -> dict[str, float]:
    """A side's line."""
    from accord.control.evaluation import watch

    name, length = TASKS[task]
    gold_N = watch(name, act, EPISODES, length, EVALUATED).gold_N
    return {"steps": steps, "cpu_seconds": seconds, "return": float(gold_N.mean())}


def compared(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """What follows, in lines: as good means no worse than theirs by one pooled deviation."""
    mine, other = ([one["return"] for one in found[side]] for side in SIDES)
    lines = []
    for side, returns in zip(SIDES, (mine, other), strict=True):
        mean = student_mean(returns) if len(returns) > 1 and np.ptp(returns) else None
        bounds = "" if mean is None else f" [{mean.low:.0f}, {mean.high:.0f}]"
        lines.append(f"{side}: mean return {np.mean(returns):.0f}{bounds}, {len(returns)} seeds")
    if len(mine) > 1:
        deviation = math.sqrt((np.var(mine, ddof=1) + np.var(other, ddof=1)) / 2)
        gap = float(np.mean(mine) - np.mean(other))
        held = "is" if gap >= -deviation else "is not"
        lines.append(
            f"ours less theirs {gap:+.0f}, pooled deviation {deviation:.0f}: {held} as good"
        )
    speed = speeds(found["ours"], found["theirs"])
    return [*lines, f"ours takes {ratio(speed)} times the steps per CPU-second"]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=list(TASKS), default="Pendulum")
    parser.add_argument("--steps", type=int, default=6000, help="of a side")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument(
        "--side", choices=SIDES, help="one side alone, of the seed that --seeds names"
    )
    options = parser.parse_args()
    if options.side is not None:
        import torch

        torch.set_num_threads(1)
        side = ours if options.side == "ours" else theirs
        print(json.dumps(side(options.task, options.seeds, options.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for seed in range(options.seeds):
        for side in SIDES:
            line = measured(side, options, seed, "benchmarks.soft")
            found[side].append(line)
            pace = line["steps"] / line["cpu_seconds"]
            said = f"{pace:,.0f} steps per CPU-second, return {line['return']:,.0f}"
            print(f"{options.task}, seed {seed}, {side}: {said}", flush=True)
    print("\n".join(compared(found)))


if __name__ == "__main__":
    main()
