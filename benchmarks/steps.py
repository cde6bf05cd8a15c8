"""What one step of each kind costs on this machine, in CPU time: `python -m benchmarks.steps`.

Prints one JSON line per kind of step: real tokens per CPU-second (median of repetitions, with the
spread) and the process's peak memory. One thread; medians; nothing is compared with anybody else.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable

from accord.runs import environment

REPETITIONS = 5


def main() -> None:
    """Measure and print."""
    environment.prepare(1)
    from accord.learning.judged_batch import JudgedBatch
    from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement
    from accord.learning.preference import (
        Pair,
        PreferenceSettings,
        preference_step,
        reference_logprobs,
    )
    from accord.learning.reward import reward_step
    from accord.learning.settings import RewardSettings
    from accord.learning.supervised import supervised_step
    from accord.models.loading import load_causal_lm
    from accord.models.scalar import ScalarModel
    from accord.models.tuning import tune
    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings
    from accord.text.packing import PromptGroup

    tune(1)
    model, rng = load_causal_lm("accord:nano-base"), random.Random(0)

    def ids(low: int, high: int) -> list[int]:
        return [rng.randrange(3, 4096) for _ in range(rng.randint(low, high))]

    examples = [PromptGroup([0, *ids(8, 16)], [ids(16, 96)]) for _ in range(48)]
    judged = JudgedBatch.of(
        [
            JudgedGroup(
                PromptGroup([0, *ids(8, 16)], [ids(16, 96) for _ in range(4)]),
                (Judgement((0, 1, 2, 3), (0, 1, 2, 3)),),
            )
            for _ in range(12)
        ]
    )
    pairs = [Pair([0, *ids(8, 16)], ids(16, 96), ids(16, 96)) for _ in range(24)]
    cached = reference_logprobs(model, None, pairs, 8192)
    member, effects = ScalarModel.from_causal_lm(model, 0), AnnotatorEffects.none()
    sampler, settings = BuiltinSampler(model), SamplingSettings(64)

    def sample() -> int:
        rollout = sampler.sample([[0, *ids(8, 16)] for _ in range(64)], settings, range(64))
        return sum(map(len, rollout.responses))

    _measure("sft", lambda: supervised_step(model, examples, 8192)[1])
    _measure(
        "reward",
        lambda: reward_step(member, judged, RewardSettings(learning_rate=3e-4), effects)[1],
    )
    _measure(
        "dpo",
        lambda: preference_step(model, pairs, cached, PreferenceSettings(learning_rate=1e-5))[1],
    )
    _measure("sample", sample)


def _measure(name: str, step: Callable[[], int]) -> None:
    step()
    rates = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        tokens = step()
        rates.append(tokens / (time.process_time() - start))
    spread = (max(rates) - min(rates)) / statistics.median(rates)
    line = {
        "step": name,
        "tokens_per_cpu_second": round(statistics.median(rates)),
        "spread": round(spread, 2),
        "peak_mib": round(environment.peak_mib()),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
