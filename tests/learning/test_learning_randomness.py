"""What is drawn at random is drawn anew: rows, minibatches, samples and demonstrations; and what is
no part of a gradient has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from on_policy_toys import PROMPTS, make

from accord.learning.on_policy_batch import minibatch_shuffle, minibatches
from accord.learning.optimizer import schedule_share
from accord.learning.order import EpochOrder
from accord.learning.parallel import ALONE, World
from accord.learning.settings import OptimizerSettings
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.text.packing import PromptGroup
from tiny import tiny_llama


def test_rows_are_shuffled_and_anew_in_every_epoch() -> None:
    def epochs(seed: int) -> list[list[int]]:
        order = EpochOrder(40, 40, 3, seed)
        return [order.rows(step) for step in range(3)]

    found = [*epochs(1), *epochs(2)]
    assert all(sorted(rows) == list(range(40)) for rows in found)
    assert list(range(40)) not in found
    assert len({tuple(rows) for rows in found}) == 6
    assert epochs(1) == found[:3]


def test_prompts_are_visited_in_the_order_of_the_seed() -> None:
    one, two = make(seed=1), make(seed=2)
    assert one.order.rows(0) != two.order.rows(0) != list(range(8))


def test_minibatches_are_cut_anew_at_every_step_and_epoch() -> None:
    t = make(epochs=3, minibatches=2)
    rollout = t.rollout(0)
    batch = t.experience(rollout)
    for place in range(8):  # tells the responses apart
        batch.score_B[place] = place
    seen: list[tuple[float, ...]] = []

    def noted(part: Any, step: int, check: Any) -> dict[str, float]:
        seen.append(tuple(part.score_B.tolist()))
        t.policy_optimizer.steps += 1
        return {"learning_rate": 0.0, "optimizer_steps": 0.0, "tokens": 0.0}

    t.minibatch = noted  # type: ignore[method-assign]
    for step in (0, 1):
        t.update(rollout, batch, step)
    passes = [(a, b) for a, b in zip(seen[::2], seen[1::2], strict=True)]
    assert all(sorted(a + b) == list(range(8)) for a, b in passes)
    assert len({frozenset(a) for a, _ in passes}) > 4  # of 6, equal halves by chance

    def cut(seed: int, step: int = 0, epoch: int = 0) -> list[list[float]]:
        parts = minibatches(batch, 2, minibatch_shuffle(seed, step, epoch))
        return [part.score_B.tolist() for part in parts]

    assert cut(5) == cut(5)
    assert all(cut(5) != cut(*other) for other in ((6, 0, 0), (5, 1, 0), (5, 0, 1)))


def test_every_response_of_a_run_has_a_seed_of_its_own() -> None:
    def seeds(seed: int) -> list[list[int]]:
        t = make(samples_per_prompt=2, seed=seed)
        given: list[list[int]] = []
        sample = t.sampler.sample

        def noted(prompts: Any, settings: Any, seeds: Any, samples: int) -> Any:
            given.append(list(seeds))
            return sample(prompts, settings, seeds, samples)

        t.sampler.sample = noted  # type: ignore[method-assign]
        for step in (0, 1):
            t.rollout(step)
        return given

    one, two = seeds(1), seeds(2)
    assert one == seeds(1)
    used = [seed for given in (*one, *two) for seed in given]
    assert len(set(used)) == len(used) == 4 * 16


def test_a_response_has_its_seed_whichever_process_samples_it() -> None:
    """Two processes give each prompt of a step the seeds that one would; none is used twice."""

    def seeds(world: World) -> dict[tuple[int, ...], list[int]]:
        t, given = make(samples_per_prompt=2, seed=3), dict[tuple[int, ...], list[int]]()
        t.world = world

        def noted(prompts: Any, settings: Any, seeds: Any, samples: int) -> Rollout:
            places = range(0, len(seeds), samples)
            rows = [list(seeds[at : at + samples]) for at in places]
            given.update(zip(map(tuple, prompts), rows, strict=True))
            return Rollout(list(prompts), [], [], [], [])

        t.sampler.sample = noted  # type: ignore[method-assign]
        t.rollout(1)
        return given

    alone, first, second = seeds(ALONE), seeds(World(0, 2)), seeds(World(1, 2))
    assert first
    assert second
    assert not first.keys() & second.keys()
    assert first | second == alone
    assert len({seed for both in alone.values() for seed in both}) == 16


def test_a_sample_is_that_of_its_seed() -> None:
    sampler, settings = BuiltinSampler(tiny_llama()), SamplingSettings(8)
    found = sampler.sample([PROMPTS[0]] * 4, settings, [1, 2, 1, 3]).responses
    assert found[0] == found[2]
    assert len({tuple(response) for response in found}) == 3
    assert sampler.sample([PROMPTS[0]], settings, [2]).responses == [found[1]]


def test_other_demonstrations_are_mixed_into_every_update() -> None:
    demonstrations = [PromptGroup([0, 4 + i], [[9 + i, 10, 1]]) for i in range(12)]
    t = make(ptx=demonstrations, ptx_weight=1.0, ptx_batch=3)
    losses = []
    for t.policy_optimizer.steps in range(4):
        losses.append(t._ptx())
    assert len({round(loss, 6) for loss in losses}) > 1


def test_experience_is_no_part_of_the_gradient() -> None:
    """Scores, KL and advantages are constants of the update."""
    for changes in ({}, {"epochs": 1, "minibatches": 1, "entropy": True}):
        t = make(**changes)
        batch = t.experience(t.rollout(0))
        tensors = {name: x for name, x in vars(batch).items() if isinstance(x, torch.Tensor)}
        assert {"advantages_S", "returns_S", "ref_S", "values_S"} <= tensors.keys()
        assert not [name for name, x in tensors.items() if x.requires_grad]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": "constant"}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ({"schedule": "linear"}, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        ({"schedule": "linear", "final_share": 0.2}, [0.25, 0.5, 0.75, 1, 1, 0.8, 0.6, 0.4]),
        ({"schedule": "cosine"}, [0.25, 0.5, 0.75, 1, 1, 0.8535534, 0.5, 0.1464466]),
        ({"schedule": "linear", "warmup": 0.0}, [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
    ],
)
def test_the_step_size_rises_to_its_peak_and_falls(
    settings: dict[str, Any], expected: list[float]
) -> None:
    given = OptimizerSettings(learning_rate=1e-3, **{"warmup": 0.5, **settings})
    assert [schedule_share(given, step, 8) for step in range(8)] == pytest.approx(
        expected, abs=1e-6
    )
