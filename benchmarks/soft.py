"""Soft actor-critic against Stable-Baselines3's, from the environment's own reward: mean return of 20
greedy episodes along the way and after as many steps, and steps per CPU-second.

    python -m benchmarks.soft                                    # Pendulum, 5 seeds of 10,000 steps: about 10 CPU-minutes
    python -m benchmarks.soft --task Hopper --steps 30000 --seeds 1
    python -m benchmarks.soft --task Hopper --steps 30000 --update-every 50   # ours 50 times after 50 steps
    python -m benchmarks.soft --seeds 1 --steps 500              # speed alone

Both have networks of two layers of 64, a minibatch of 256, an update a step after 100 steps by chance, a step size
of 0.001 and 100,000 remembered steps; one environment, one thread. Theirs updates after each step, and so does
ours unless --update-every says otherwise. Each side runs in a process of its own, one after the other for each seed; imports, setting up and the
evaluations, of which there are ten, are not counted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.control import as_good, measured, ratio, speeds

if TYPE_CHECKING:
    from accord.control.rollouts import Act

SIDES = ("ours", "theirs")
TASKS = {"Pendulum": ("Pendulum-v1", 200), "Hopper": ("Hopper-v5", 1000)}
"""Task -> its id, steps of an episode."""
EPISODES, EVALUATED = 20, 4
"""Greedy episodes; the seed that they begin by, for both sides alike."""
LOOKS = 10
"""Evaluations of a side, evenly along its steps."""
HIDDEN, RATE, RANDOM, BUFFER = 64, 1e-3, 100, 100_000


Line = dict[str, Any]
"""A side's steps, cpu_seconds and `returns`, at each evaluation."""


class Watched:
    """What a side has done: returns along the way, and CPU-seconds without looking."""

    def __init__(self, task: str, steps: int) -> None:
        self.name, self.length = TASKS[task]
        self.steps, self.every = 0, max(1, steps // LOOKS)
        self.returns: list[float] = []
        self._looked, self._begun = 0.0, time.process_time()

    def at(self, steps: int, act: Callable[[], Act]) -> None:
        """After so many steps; looks where it is time to."""
        self.steps = steps
        if steps < self.every * (len(self.returns) + 1):
            return
        from accord.control.evaluation import watch

        begun = time.process_time()
        gold_N = watch(self.name, act(), EPISODES, self.length, EVALUATED).gold_N
        self.returns.append(float(gold_N.mean()))
        self._looked += time.process_time() - begun

    def line(self) -> Line:
        """For the process that compares."""
        seconds = time.process_time() - self._begun - self._looked
        return {"steps": self.steps, "cpu_seconds": seconds, "returns": self.returns}


def ours(task: str, seed: int, steps: int, every: int) -> Line:
    """`control.sac`; every: steps between two rounds of updates, one update a step."""
    from accord.control.making import make
    from accord.control.rollouts import Walker
    from accord.control.sac import Sac, SacSettings
    from accord.seeds import derive_seed, generator

    settings = SacSettings(
        environments=1, rollout=every, hidden=HIDDEN, learning_rate=RATE, random_steps=RANDOM,
        buffer=BUFFER,
    )  # fmt: skip
    environments, rounds = make(TASKS[task][0], 1), steps // every
    size, form = environments.observation_size, environments.actions
    learner = Sac(settings, size, form, rounds, derive_seed(seed, "policy"))
    walker = Walker(environments)
    walker.begin(generator(seed, "begin"))
    watched = Watched(task, rounds * every)
    for number in range(rounds):
        rng = generator(seed, "rollout", number)
        walked = walker.walk(learner.behaviour(), every, rng)
        learner.learn(walked, walked.reward_TN)
        watched.at((number + 1) * every, lambda: learner.actor(greedy=True))
    return watched.line()


def theirs(task: str, seed: int, steps: int) -> Line:
    """Stable-Baselines3's SAC."""
    import gymnasium
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback

    from accord.control.leaving import sb3_policy
    from accord.control.making import make

    name = TASKS[task][0]
    model = SAC(
        "MlpPolicy", gymnasium.make(name), policy_kwargs={"net_arch": [HIDDEN, HIDDEN]},
        learning_rate=RATE, learning_starts=RANDOM, buffer_size=BUFFER, seed=seed, device="cpu",
    )  # fmt: skip
    form = make(name, 1).actions
    watched = Watched(task, steps)

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:  # after the updates of the steps before
            watched.at(self.num_timesteps, lambda: sb3_policy(self.model, form, greedy=True))

    model.learn(steps, callback=Look())
    watched.at(model.num_timesteps, lambda: sb3_policy(model, form, greedy=True))
    return watched.line()


def compared(found: dict[str, list[Line]]) -> list[str]:
    """What follows, in lines: as good means no worse than theirs by one pooled deviation."""
    lines = []
    for what, of in (("at the end", _last), ("on average along the way", _along)):
        lines += as_good({side: [of(one) for one in found[side]] for side in SIDES}, what)
    for side in SIDES:
        means = np.mean([one["returns"] for one in found[side]], axis=0)
        lines.append(f"{side}, mean at each tenth: " + " ".join(f"{one:.0f}" for one in means))
    speed = speeds(found["ours"], found["theirs"])
    return [*lines, f"ours takes {ratio(speed)} times the steps per CPU-second"]


def _last(line: Line) -> float:
    return float(line["returns"][-1])


def _along(line: Line) -> float:
    return float(np.mean(line["returns"]))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=list(TASKS), default="Pendulum")
    parser.add_argument("--steps", type=int, default=10_000, help="of a side")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument(
        "--side", choices=SIDES, help="one side alone, of the seed that --seeds names"
    )
    parser.add_argument(
        "--update-every", type=int, default=1, help="steps of ours between two rounds of updates"
    )
    options = parser.parse_args()
    if options.side is not None:
        import torch

        torch.set_num_threads(1)
        given = options.task, options.seeds, options.steps
        mine = options.side == "ours"
        print(json.dumps(ours(*given, options.update_every) if mine else theirs(*given)))
        return
    found: dict[str, list[Line]] = {side: [] for side in SIDES}
    for seed in range(options.seeds):
        for side in SIDES:
            more = ("--update-every", str(options.update_every))
            line = measured(side, options, seed, "benchmarks.soft", more)
            found[side].append(line)
            pace = line["steps"] / line["cpu_seconds"]
            said = f"{pace:,.0f} steps per CPU-second, return {_last(line):,.0f}"
            print(f"{options.task}, seed {seed}, {side}: {said}", flush=True)
    print("\n".join(compared(found)))


if __name__ == "__main__":
    main()
