"""Random streams have a name each: none is another's, or another's moved along."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accord
from accord.seeds import derive_seed, generator

SOURCE = Path(accord.__file__).parent
SEEDS = st.integers(-(10**6), 2**63)


def test_no_two_streams_share_a_seed() -> None:
    purposes = ("rollout", "update", "order", "ptx", "samples", "member", "stage")
    found = [
        derive_seed(seed, purpose, step, place)
        for purpose, seed, step, place in product(purposes, range(12), range(12), range(60))
    ]
    assert len(set(found)) == len(found)
    assert len({n % 2**32 for n in found}) > len(found) - 5  # what torch reads of them on CPUs
    assert all(0 <= n < 2**63 for n in found)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 50), st.integers(0, 10**6))
def test_neighbouring_seeds_are_no_moved_copies(seed: int, apart: int, step: int) -> None:
    mine = {derive_seed(seed, "rollout", step + i // 50, i % 50) for i in range(200)}
    theirs = {derive_seed(seed + apart, "rollout", step + i // 50, i % 50) for i in range(200)}
    assert not mine & theirs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a", 23), (1, "a", 2, 3)),
        ((1, "a", 1), (1, "a", "1")),
        ((1, "ab", "c"), (1, "a", "bc")),
        ((1, "a"), (1, "a", 0)),
        ((12, "a"), (1, "2", "a")),
        ((1, "a, 2"), (1, "a", 2)),
    ],
)
def test_paths_are_told_apart(one: Any, other: Any) -> None:
    assert derive_seed(*one) != derive_seed(*other)


def test_seeds_and_streams_stay_what_they_are() -> None:
    assert derive_seed(1, "stage", "sft") == 726639296459162351
    assert generator(1, "stage", "sft").random() == generator(1, "stage", "sft").random()
    with pytest.raises(TypeError):
        derive_seed(1, cast(int, 0.5))


def test_responses_of_all_runs_steps_and_samples_have_their_own_seeds() -> None:
    import torch

    from accord.learning.on_policy import OnPolicyTrainer
    from accord.runs.stages.evaluation import sequence_seeds
    from accord.sampling.rollout import Rollout

    asked: list[int] = []

    def sample(prompts: Any, settings: Any, seeds: list[int], each: int) -> Rollout:
        asked.extend(seeds)
        index, count = [p for p in range(len(prompts)) for _ in range(each)], len(seeds)
        return Rollout(prompts, index, [[1]] * count, [torch.zeros(1)] * count, [True] * count)

    def steps(seed: int, mine: list[int]) -> list[int]:
        asked.clear()
        world = SimpleNamespace(share=lambda lengths: mine)
        s = SimpleNamespace(samples_per_prompt=3, max_new_tokens=4, temperature=1.0)
        order = SimpleNamespace(rows=lambda step: range(8))
        fake = SimpleNamespace(
            seed=seed,
            settings=s,
            order=order,
            prompts=[[1]] * 8,
            sampler=SimpleNamespace(sample=sample),
        )
        fake.share = lambda step: world.share([])
        for step in range(20):
            OnPolicyTrainer.rollout(cast(Any, fake), step)
        return list(asked)

    alone = steps(0, list(range(8)))
    assert len({*alone}) == 20 * 8 * 3
    first, second = steps(0, [0, 2, 4, 6]), steps(0, [1, 3, 5, 7])  # two processes
    assert {*first} | {*second} == {*alone}
    assert not {*first} & {*second}
    assert not {*alone} & {*steps(1, list(range(8)))}
    pools = [sequence_seeds(s, p, 300) for s in range(4) for p in ("baseline", "arm", "pool")]  # type: ignore[arg-type]
    assert len({n for pool in pools for n in pool}) == 12 * 300


@pytest.mark.parametrize("ranking_share", [0.0, 1.0])
def test_annotators_of_a_prompt_and_its_pairs_are_drawn_apart(ranking_share: float) -> None:
    from accord.feedback.simulate import Offered, SimulatedAnnotator
    from accord.runs.stages.collect import CollectConfig, _judge

    config = CollectConfig(
        kind="collect", model="m", prompts="p", gold="g", overlap=2, ranking_share=ranking_share
    )
    offered = [Offered(f"p{n}", list("abcd"), [0.0] * 4, "m", [True] * 4) for n in range(30)]
    crowd = [SimulatedAnnotator(name, rationality=1.0) for name in ("one", "other")]
    sides: dict[str, list[tuple[int | None, ...]]] = {"one": [], "other": []}
    for record in _judge(config, offered, crowd, seed=3):
        sides[record.annotator].append(tuple(option.shown_at for option in record.options))
    assert len(sides["one"]) == len(sides["other"]) == (30 if ranking_share else 90)
    assert sides["one"] != sides["other"]
    if not ranking_share:  # three pairs of each prompt
        assert any(len({*sides["one"][at : at + 3]}) > 1 for at in range(0, 90, 3))


def _is_derived(value: ast.expr) -> bool:
    name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
    return isinstance(value, ast.Constant) or name == "derive_seed"


def _named_seed(value: ast.expr) -> bool:
    last = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return last == "seed"


def offences(code: str) -> list[str]:
    """Generators made of anything but a derived seed or a constant; arithmetic on seeds."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in (
                "default_rng",
                "manual_seed",
                "Random",
                "SeedSequence",
                "RandomState",
            ) and not (node.args and _is_derived(node.args[0])):
                found.append(ast.unparse(node))
        if isinstance(node, ast.BinOp) and (_named_seed(node.left) or _named_seed(node.right)):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "code",
    [
        "default_rng(seed)",
        "torch.manual_seed(s.seed)",
        "f(seed + 1)",
        "s.seed * 7",
        "random.Random()",
    ],
)
def test_other_ways_to_a_seed_are_noticed(code: str) -> None:
    assert offences(code)


def test_there_is_no_other_way_to_a_seed() -> None:
    found = {
        str(path.relative_to(SOURCE)): names
        for path in SOURCE.rglob("*.py")
        if path.name != "seeds.py" and (names := offences(path.read_text()))
    }
    assert not found
