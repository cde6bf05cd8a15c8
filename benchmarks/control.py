"""PPO on vectors against Stable-Baselines3's, on the same robot: steps per CPU-second, and CPU-seconds
until the mean return of the last episodes reaches a target, or with --whole that return after all steps.

    python -m benchmarks.control                          # Hopper to 830, five seeds: about 20 CPU-minutes
    python -m benchmarks.control --whole --steps 200000 --task HalfCheetah
    python -m benchmarks.control --seeds 1 --steps 20000  # speed alone

Every side runs in a process of its own, on one thread, one after the other for each seed; imports
and setting up are not counted. Theirs has 8 environments and its own defaults but for the minibatch
(64, its default, and 512); ours has 16, stepped in batch. Ratios are geometric means over seeds
with Student's interval of their logarithms.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accord.statistics.means import student_mean

SIDES = ("ours", "theirs-64", "theirs-512")
LAST = 100
"""Episodes whose mean return is held against the target, as Stable-Baselines3 tells it."""
TASKS = {"Hopper": 830.0, "HalfCheetah": 1500.0}
"""Task -> target."""


class Race:
    """What a side has done: steps, and CPU-seconds when the target was reached. A target of None
    is never reached."""

    def __init__(self, target: float | None) -> None:
        self.target, self.begun = target, time.process_time()
        self.steps, self.reached = 0, None  # type: int, float | None
        self.best: float | None = None
        self.last: float | None = None

    def told(self, steps: int, returns: Sequence[float]) -> bool:
        """After a rollout; whether the target was reached."""
        self.steps = steps
        if len(returns) >= LAST // 2:
            self.last = mean = float(np.mean(returns))
            self.best = mean if self.best is None else max(self.best, mean)
            if self.target is None:
                return False
            if mean >= self.target and self.reached is None:
                self.reached = time.process_time() - self.begun
        return self.reached is not None

    def line(self) -> dict[str, float | None]:
        """For the process that compares."""
        seconds = time.process_time() - self.begun
        return {
            "steps": self.steps,
            "cpu_seconds": seconds,
            "to_target": self.reached,
            "return": self.best,
            "last": self.last,
        }


def ours(task: str, seed: int, steps: int, target: float | None) -> Race:
    """`control.ppo` on the environment's own reward."""
    from accord.control.making import make
    from accord.control.ppo import VectorPpo, VectorPpoSettings
    from accord.control.rollouts import Walker
    from accord.seeds import derive_seed, generator

    settings = VectorPpoSettings(environments=16, rollout=128, epochs=10, minibatch=512)
    each = settings.environments * settings.rollout
    environments = make(f"accord:{task}", settings.environments, 1000)
    size, form = environments.observation_size, environments.actions
    learner = VectorPpo(settings, size, form, steps // each + 1, derive_seed(seed, "policy"))
    walker, returns = Walker(environments), deque[float](maxlen=LAST)
    walker.begin(generator(seed, "begin"))
    running_N, race = np.zeros(settings.environments), Race(target)
    for number in range(steps // each + 1):
        walked = walker.walk(learner.actor(), settings.rollout, generator(seed, "rollout", number))
        learner.learn(walked, walked.reward_TN)
        for reward_N, ended_N in zip(walked.reward_TN, walked.ended_TN, strict=True):
            running_N += reward_N
            returns.extend(running_N[ended_N].tolist())
            running_N[ended_N] = 0
        if race.told((number + 1) * each, returns):
            break
    return race


def theirs(task: str, minibatch: int, seed: int, steps: int, target: float | None) -> Race:
    """Stable-Baselines3's PPO with its defaults."""
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    made = DummyVecEnv([lambda: Monitor(gymnasium.make(f"{task}-v5"))] * 8)
    model = PPO(
        "MlpPolicy", made, n_steps=256, batch_size=minibatch, seed=seed, device="cpu", verbose=0
    )
    race = Race(target)

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            returns = [float(one["r"]) for one in self.model.ep_info_buffer or ()]
            race.told(self.num_timesteps, returns)

    class Stop(Watch):
        def _on_step(self) -> bool:
            return race.reached is None

    model.learn(steps, callback=Stop())
    race.steps = model.num_timesteps
    return race


def measured(
    side: str,
    options: argparse.Namespace,
    seed: int,
    module: str = "benchmarks.control",
    more: Sequence[str] = (),
) -> dict[str, Any]:
    """One side of a benchmark in a process of its own."""
    command = [sys.executable, "-m", module, "--side", side, "--task", options.task]
    command += ["--steps", str(options.steps), "--seeds", str(seed), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{side}, seed {seed}: {done.stderr[-2000:]}")
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return line


def speeds(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> list[float]:
    """Logarithms of how many times the steps per CPU-second ours takes, by seed."""
    return [
        math.log(a["steps"] / a["cpu_seconds"] * b["cpu_seconds"] / b["steps"])
        for a, b in zip(ours, theirs, strict=True)
    ]


def ratio(logs: Sequence[float]) -> str:
    """Of what is greater in ours, over seeds."""
    known = [one for one in logs if math.isfinite(one)]
    if not known:
        return "not reached"
    text = f"{math.exp(float(np.mean(known))):.2f}"
    if np.ptp(known) > 0 and (mean := student_mean(known)) is not None:
        text += f" [{math.exp(mean.low):.2f}, {math.exp(mean.high):.2f}]"
    elif len(known) > 1:
        text += " (all equal: no interval)"
    return text + ("" if len(known) == len(logs) else f" ({len(known)} of {len(logs)} seeds)")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=list(TASKS), default="Hopper")
    parser.add_argument("--steps", type=int, default=400_000, help="at most, of a side")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--whole", action="store_true", help="all steps; no target ends a side")
    parser.add_argument(
        "--side", choices=SIDES, help="one side alone, of the seed that --seeds names"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if options.side is not None:
        import torch

        torch.set_num_threads(1)
        target = None if options.whole else TASKS[options.task]
        given = options.seeds, options.steps, target
        if options.side == "ours":
            race = ours(options.task, *given)
        else:
            race = theirs(options.task, int(options.side.split("-")[1]), *given)
        print(json.dumps(race.line()))
        return
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    whole = ("--whole",) if options.whole else ()
    for seed in range(1, options.seeds + 1):
        for side in SIDES:
            found[side].append(measured(side, options, seed, more=whole))
            if not options.json:
                print(told(f"{options.task}, seed {seed}, {side}", found[side][-1]), flush=True)
    result = compared(found)
    if options.json:
        print(json.dumps({"task": options.task, "sides": found, "ratios": result}))
        return
    for side, row in result.items():
        print(f"ours against {side}: {row['speed']} times the steps per CPU-second")
        if not options.whole:
            print(f"  CPU-seconds to {TASKS[options.task]:g}, theirs over ours: {row['to_target']}")
    if options.whole:
        ends = {side: _ends(side, lines) for side, lines in found.items()}
        print("\n".join(as_good(ends)))


def _ends(side: str, lines: Sequence[dict[str, Any]]) -> list[float]:
    ends = [line["last"] for line in lines]
    if None in ends:
        raise SystemExit(f"{side}: fewer than {LAST // 2} episodes ended; give more --steps")
    return ends


def as_good(returns: Mapping[str, Sequence[float]], when: str = "at the end") -> list[str]:
    """Returns of the sides by seed, ours first, in lines: mean and interval of each, and whether
    ours is as good as each of theirs, which means no worse by one pooled deviation."""
    lines = []
    for side, by_seed in returns.items():
        mean = student_mean(by_seed) if len(by_seed) > 1 and np.ptp(by_seed) else None
        bounds = "" if mean is None else f" [{mean.low:.0f}, {mean.high:.0f}]"
        lines.append(f"{side}: {np.mean(by_seed):.0f}{bounds} {when}, {len(by_seed)} seeds")
    (_, mine), *others = returns.items()
    if len(mine) > 1:
        for side, other in others:
            deviation = math.sqrt((np.var(mine, ddof=1) + np.var(other, ddof=1)) / 2)
            gap = float(np.mean(mine) - np.mean(other))
            held = "is" if gap >= -deviation else "is not"
            lines.append(
                f"ours less {side} {gap:+.0f}, pooled deviation {deviation:.0f}: {held} as good"
            )
    return lines


def told(what: str, line: dict[str, Any]) -> str:
    """One run in words."""
    text = f"{what}: {line['steps'] / line['cpu_seconds']:,.0f} steps per CPU-second, "
    if line["to_target"] is not None:
        return text + f"target after {line['to_target']:.0f} CPU-seconds"
    if line["return"] is None:
        return text + f"fewer than {LAST // 2} episodes"
    return text + f"highest mean return {line['return']:,.0f}"


def compared(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Ours against each of theirs, by seed."""
    rows = {}
    for side in SIDES[1:]:
        speed = speeds(found["ours"], found[side])
        pairs = zip(found["ours"], found[side], strict=True)
        ends = [(a["to_target"], b["to_target"]) for a, b in pairs]
        sooner = [math.log(late / soon) if soon and late else math.nan for soon, late in ends]
        rows[side] = {"speed": ratio(speed), "to_target": ratio(sooner)}
    return rows


if __name__ == "__main__":
    main()
