"""What a reward that is learned from comparisons of clips costs beside the policy that learns from
it: shares of the loop's CPU time, and the steps that are walked for it alone.

    python -m benchmarks.clip_loop                          # the backflip, five seeds: about 12 CPU-minutes
    python -m benchmarks.clip_loop --seeds 1 learn.steps=400000 learn.rounds=5

Learning the reward is reading what was judged, and its updates; asking is cutting and choosing
clips, the simulated watcher, and keeping episodes and answers; paying is telling what every step is
worth. Evaluations, which a run makes beside the loop, do not count. Settings are those of the
recipe; intervals are Student's over seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from accord.control.clip_learning import ClipLearning
from accord.control.settings import ClipLearningSettings
from accord.learning.session import LocalSession
from accord.runs import recipe as recipes
from accord.runs.stages.learn_from_clips import LearnFromClipsConfig, settings_of
from accord.statistics.means import student_mean

RECIPE, STAGE = "backflip", "learn"
PARTS = ("walking", "asking", "reward", "paying", "policy")


class Clock:
    """CPU-seconds by part; what a part calls of another counts for the other alone. Outside of all
    parts time is the last part's."""

    def __init__(self, parts: Sequence[str], now: Callable[[], float] = time.process_time) -> None:
        self.spent = dict.fromkeys(parts, 0.0)
        self._open, self._now = [parts[-1]], now
        self._since = now()

    def _switch(self) -> None:
        now = self._now()
        self.spent[self._open[-1]] += now - self._since
        self._since = now

    def of(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for the part."""

        def timed(*given: Any, **named: Any) -> Any:
            self._switch()
            self._open.append(part)
            try:
                return function(*given, **named)
            finally:
                self._switch()
                self._open.pop()

        return timed

    def stop(self) -> None:
        """Nothing counts from here on that is not told again."""
        self._switch()


def of_recipe(overrides: Sequence[str]) -> ClipLearningSettings:
    """The recipe's. Raises ConfigError as `accord run` does."""
    _, config = recipes.load(RECIPE, overrides).stages[STAGE]
    assert isinstance(config, LearnFromClipsConfig)
    return settings_of(config)


def measured(settings: ClipLearningSettings, seed: int) -> dict[str, float]:
    """Share of each part, CPU-seconds in all, and steps beyond those the policy learns from, as a
    share of these."""
    with tempfile.TemporaryDirectory() as folder:
        learning = ClipLearning(settings, seed, Path(folder))
        clock = Clock(PARTS)
        for part, owner, names in (
            ("walking", learning._walker, ("begin", "walk")),
            ("asking", learning.questions, ("ask", "hear")),
            ("reward", learning.questions, ("learn",)),
            ("paying", learning.pay, ("saw", "settle", "of", "worth")),
        ):
            for name in names:
                setattr(owner, name, clock.of(part, getattr(owner, name)))
        learning.run(LocalSession())
        clock.stop()
    total = sum(clock.spent.values())
    learned_from = settings.rollouts * settings.per_rollout
    shares = {part: seconds / total for part, seconds in clock.spent.items()}
    extra = learning.environment_steps / learned_from - 1
    return shares | {"cpu_seconds": total, "extra_steps": extra}


def lines(found: Sequence[dict[str, float]]) -> list[str]:
    """Means over seeds in words, with intervals from two seeds on."""
    told = []
    for key, what in (
        ("reward", "of the loop's CPU time is for learning the reward"),
        ("asking", "for asking"),
        ("paying", "for telling what steps are worth"),
        ("walking", "for walking"),
        ("policy", "for the policy, and all else"),
        ("extra_steps", "more steps are walked than the policy learns from"),
    ):
        values = [100 * one[key] for one in found]
        mean = student_mean(values)
        bounds = "" if mean is None or mean.low is None else f" [{mean.low:.1f}, {mean.high:.1f}]"
        told.append(f"{sum(values) / len(values):.1f} %{bounds} {what}")
    return told


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("overrides", nargs="*", metavar="NAME=VALUE", help="of the recipe")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings, found = of_recipe(options.overrides), []
    for seed in range(1, options.seeds + 1):
        found.append(measured(settings, seed))
        one = found[-1]
        shares = ", ".join(f"{part} {one[part]:.1%}" for part in PARTS)
        print(f"seed {seed}: {one['cpu_seconds']:.0f} CPU-seconds, {shares}", flush=True)
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
