"""Every loop at toy size under a given world, and the process that runs them all beside another
one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from objectives import EFFECTS, EXAMPLES, JUDGED, PAIRS, THUMBS
from on_policy_toys import PROMPTS, make

from accord.errors import RunError
from accord.learning.judgements import Judgement, RatingScale
from accord.learning.optimizer import Optimizer
from accord.learning.parallel import ALONE, World, join
from accord.learning.preference import PreferenceSettings, train_preference
from accord.learning.reward import train_reward
from accord.learning.session import LocalSession
from accord.learning.settings import OptimizerSettings, RewardSettings
from accord.learning.supervised import SupervisedSettings, train_supervised
from accord.learning.unpaired import UnpairedSettings, train_unpaired
from accord.models.causal_lm import CausalLM
from accord.models.ensembles import Trunk, build_members
from accord.models.loading import LoraSettings, add_lora, freeze
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from tiny import tiny_llama

RATE = {"learning_rate": 3e-3, "adam_eps": 1e-5, "warmup": 0.0}
SCALES = (
    RatingScale("overall", (0.0, 1.0, 2.0), (0.2, 0.5, 0.3)),
    RatingScale("thumb", (0.0, 1.0), (0.5, 0.5)),
)
RATED = [
    replace(g, judgements=(*g.judgements, Judgement((0,), None, i % 2, "rating", level=i % 3))) for i, g in enumerate(JUDGED)
]  # fmt: skip
RATED[3] = replace(
    RATED[3],
    judgements=(*RATED[3].judgements, Judgement((1,), None, 1, "rating", level=1, scale=1)),
)
Outcome = tuple[Any, list[dict[str, float]], list[torch.Tensor]]


def exact(seed: int) -> CausalLM:
    """A toy model in double precision: what differs by more than rounding shows."""
    model = tiny_llama(seed)
    model.hf.double()
    return model


def supervised(world: World) -> Outcome:
    model, session = exact(3), LocalSession()
    settings = SupervisedSettings(
        epochs=2, batch=4, micro_batch_tokens=20, **RATE, evaluate_every=1
    )
    result = train_supervised(
        model, EXAMPLES, settings, session, EXAMPLES[:3], world
    )  # 9 rows: the last batch has one
    return result, session.history, list(model.parameters())


def preference(world: World) -> Outcome:
    policy, session = exact(3), LocalSession()
    settings = PreferenceSettings(batch=4, epochs=2, nll_weight=0.2, micro_batch_tokens=30, **RATE)
    result = train_preference(policy, freeze(exact(4)), PAIRS, settings, session, world=world)
    return result, session.history, list(policy.parameters())


def adapter(world: World) -> Outcome:
    policy, session = add_lora(exact(3), LoraSettings(4), seed=1), LocalSession()
    policy.hf.double()
    settings = PreferenceSettings(
        loss="ipo", batch=3, learning_rate=1e-2, adam_eps=1e-5, warmup=0.0
    )
    result = train_preference(policy, None, PAIRS, settings, session, world=world)
    return result, session.history, list(policy.parameters())


def kto(world: World) -> Outcome:
    policy, session = exact(3), LocalSession()
    settings = UnpairedSettings(batch=5, undesirable_weight=1.3, micro_batch_tokens=30, **RATE)
    result = train_unpaired(policy, freeze(exact(4)), THUMBS, settings, session, world=world)
    return result, session.history, list(policy.parameters())


def reward(world: World) -> Outcome:
    members = [ScalarModel.from_causal_lm(exact(3), seed) for seed in (1, 2)]
    for member in members:
        member.head.double()
    model, session = RewardModel.untrained(members), LocalSession()
    settings = RewardSettings(batch=2, micro_batch_tokens=30, **RATE, evaluate_every=1)
    result = train_reward(model, JUDGED, settings, EFFECTS, session, JUDGED[:2], world=world)
    return result, session.history, [p for member in members for p in member.parameters()]


def joint(trunk: Trunk) -> Callable[[World], Outcome]:
    """Annotators and scales learned with the reward; the second scale is used once, so that one
    process never sees it."""

    def run(world: World) -> Outcome:
        members = build_members(exact(3), 2, 1, trunk)
        for member in members:
            member.head.double()
        model, session = RewardModel.untrained(members), LocalSession()
        settings = RewardSettings(
            batch=2,
            epochs=2,
            micro_batch_tokens=30,
            **RATE,
            effects="joint",
            bootstrap=trunk == "shared",
        )
        result = train_reward(model, RATED, settings, EFFECTS, session, RATED[:2], SCALES, world)
        learned = [
            torch.tensor(values, dtype=torch.double)
            for one in result.learned
            for values in flat(one)
        ]
        return result, session.history, [*(p for m in members for p in m.parameters()), *learned]

    return run


def flat(learned: dict[str, Any]) -> list[list[float]]:
    """The vectors among what was learned."""
    return [
        learned[name] for name in ("rationality", "side_bias", "sharpness", "offset")
    ] + learned["thresholds"]


def on_policy(session: LocalSession | None = None, **changes: Any) -> Callable[[World], Outcome]:
    def run(world: World) -> Outcome:
        policy, own = exact(3), session or LocalSession()
        t = make(
            policy=policy,
            reference=freeze(exact(4)),
            prompts=PROMPTS[:11],
            world=world,
            value=exact,
            steps=3,
            minibatches=2,
            prompts_per_step=8,
            kl_target=1.0,
            kl_horizon=50,
            entropy=True,
            ptx=EXAMPLES,
            ptx_weight=0.3,
            ptx_batch=3,
            max_new_tokens=12,
            unfinished_score=-1.0,
            **changes,
        )
        result = t.train(own)  # 11 prompts: the last step of an epoch has three
        return (
            result,
            own.history,
            [*policy.parameters(), *(t.value.parameters() if t.value else ())],
        )

    return run


class Dying(LocalSession):
    """Keeps its state after the second step, and dies there."""

    saved: Any = None

    def end_step(self, step: int, total: int, values: Any, state: Any, where: str = "") -> None:
        super().end_step(step, total, values, state, where)
        if step == 2:
            self.saved = state()
            raise KeyboardInterrupt


def resumed(world: World) -> Outcome:
    """As `ppo` below, but killed after two steps and resumed, both processes from the state of the
    first."""
    settings: dict[str, Any] = {"value_warmup": 1, "whiten_rewards": True}
    if world.size == 1:
        return on_policy(**settings)(world)
    first = Dying()
    with contextlib.suppress(KeyboardInterrupt):
        on_policy(first, **settings)(world)
    shared = [first.saved]
    dist.broadcast_object_list(shared, src=0)
    result, history, weights = on_policy(LocalSession(shared[0]), **settings)(world)
    return result, first.history + history, weights


LOOPS: dict[str, Callable[[World], Outcome]] = {
    "supervised": supervised, "preference": preference, "adapter": adapter, "kto": kto, "reward": reward,
    "reward, joint": joint("own"), "reward, joint, shared": joint("shared"),
    "ppo": on_policy(value_warmup=1, whiten_rewards=True), "ppo, resumed": resumed,
    "grpo": on_policy(estimator="grpo", samples_per_prompt=3, aggregation="sequence", kl_in="loss"),
    "rloo": on_policy(estimator="rloo", samples_per_prompt=2, ratio="response", aggregation="sequence"),
}  # fmt: skip


def other_weights(world: World) -> str:
    """What is said when one process starts from weights of its own."""
    try:
        Optimizer(exact(world.rank).parameters(), OptimizerSettings(**RATE), 1, world)
    except RunError as error:
        return error.message
    return ""


def main(rank: int, size: int, folder: str) -> None:
    """One of `size` processes: run every loop, and leave rank's results in `folder`."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size
    )
    world = join()
    assert (world.rank, world.size) == (rank, size)
    found: dict[str, Any] = {"other weights": other_weights(world)}
    rows = torch.arange(rank + 2) + 10 * rank
    found["gathered"] = world.gather(rows).tolist()
    mine = world.share([3, 9, 1, 4, 4])
    found["placed"] = world.place(mine, torch.tensor(mine) * 1.5, 5).tolist()
    for name, loop in LOOPS.items():
        result, history, weights = loop(world)
        found[name] = (vars(result), history, [w.detach() for w in weights])
    torch.save(found, Path(folder) / f"rank-{rank}.pt")
    dist.destroy_process_group()


assert join() is ALONE  # importing starts nothing
