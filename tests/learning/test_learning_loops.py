"""The loops: equal to independent references, independent of memory knobs, bit-identical when
resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from on_policy_toys import make

from accord.errors import ConfigError, DataError, RunError
from accord.learning.calibration import fit_centre, fit_temperature
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, strict_pairs
from accord.learning.kinds import BETAS, REFERENCE_FREE, PreferenceLoss
from accord.learning.on_policy import OnPolicyTrainer
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.optimizer import Optimizer
from accord.learning.order import EpochOrder
from accord.learning.preference import (
    Pair,
    PreferenceSettings,
    preference_evaluation,
    preference_step,
    reference_logprobs,
    train_preference,
)
from accord.learning.reward import train_reward
from accord.learning.session import LocalSession, State
from accord.learning.settings import RewardSettings
from accord.learning.supervised import (
    SupervisedResult,
    SupervisedSettings,
    describe,
    heldout_loss,
    supervised_step,
    train_supervised,
)
from accord.learning.unpaired import (
    ThumbExample,
    UnpairedSettings,
    reference_point,
    train_unpaired,
    unpaired_step,
)
from accord.learning.watching import Watch
from accord.models.causal_lm import CausalLM
from accord.models.loading import freeze
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.runs.estimate import updates
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import Rollout
from accord.text.packing import PromptGroup
from tiny import tiny_llama

GENERATOR = torch.Generator().manual_seed(0)


def tokens(n: int) -> list[int]:
    return torch.randint(4, 40, (n,), generator=GENERATOR).tolist()


EXAMPLES = [PromptGroup([0, *tokens(3)], [[*tokens(3 + i % 5), 1]]) for i in range(24)]
JUDGED = [
    JudgedGroup(
        PromptGroup([0, *tokens(3)], [[*tokens(2 + k), 1] for k in range(4)]),
        (
            Judgement((2, 0, 3, 1), (0, 1, 2, 3), 0),
            Judgement((1, 3), (1, 0), 1),
            Judgement((0, 2), (0, 1), 1, "tie"),
        ),
    )
    for _ in range(12)
]
PAIRS = [Pair([0, *tokens(3)], [*tokens(4), 1], [*tokens(5), 1]) for _ in range(16)]
EFFECTS = AnnotatorEffects(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.3]))
FAST = {"learning_rate": 1e-2, "warmup": 0.2}


class Stop(Exception):
    """The process dies here."""


class StoppingSession(LocalSession):
    """Checkpoints after every step like a run, and dies after `at` steps."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.saved = at, None

    def end_step(
        self,
        step: int,
        total: int,
        values: Mapping[str, float],
        state: Callable[[], State],
        where: str = "",
    ) -> None:
        super().end_step(step, total, values, state, where)
        if len(self.history) == self.at:
            self.saved = state()
            raise Stop


def assert_resume_is_exact(
    build: Callable[[], Any], train: Callable[[Any, LocalSession], Any], weights: Callable
) -> None:
    """Train in one go, and train, die, rebuild, resume: every bit of the result is the same."""
    whole, first, second = build(), build(), build()
    straight = LocalSession()
    result = train(whole, straight)
    for at in (1, len(straight.history) // 2, len(straight.history) - 1):
        first, second = build(), build()
        dying = StoppingSession(at)
        with pytest.raises(Stop):
            train(first, dying)
        resumed = LocalSession(resume_from=dying.saved)
        assert train(second, resumed) == result
        assert dying.history + resumed.history == straight.history
        for a, b in zip(weights(whole), weights(second), strict=True):
            assert torch.equal(a, b)


def lm_weights(lm: CausalLM) -> list[torch.Tensor]:
    return list(lm.hf.parameters())


@pytest.mark.parametrize(
    "train",
    [
        lambda: train_supervised(tiny_llama(), EXAMPLES, SupervisedSettings(batch=8, **FAST)),
        lambda: train_reward(
            reward_model(),
            JUDGED,
            RewardSettings(batch=4, **FAST),
            EFFECTS,
        ),
        lambda: make(value_warmup=1).train(),
    ],
    ids=["supervised", "reward", "ppo"],
)
def test_every_update_has_room_made_for_its_gradients(
    train: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, seen = Optimizer.step, []

    def watched(self: Optimizer, where: str) -> dict[str, float]:
        seen.append([getattr(p.grad, "preallocated", False) for p in self.parameters])
        return step(self, where)

    monkeypatch.setattr(Optimizer, "step", watched)
    train()
    assert seen
    assert all(all(laid) for laid in seen)


# --- supervised -----------------------------------------------------------------------------------
def test_supervised_gradient_ignores_micro_batches_and_order() -> None:
    grads = []
    for budget, batch in ((10_000, EXAMPLES), (20, EXAMPLES), (1, EXAMPLES[::-1])):
        model = tiny_llama()
        loss, used = supervised_step(model, batch, budget)
        grads.append([loss, *(p.grad for p in model.hf.parameters())])
        assert used == sum(g.tokens for g in EXAMPLES)
    for other in grads[1:]:
        torch.testing.assert_close(other[1:], grads[0][1:], atol=1e-5, rtol=1e-4)
        assert other[0] == pytest.approx(grads[0][0], abs=1e-5)


def test_supervised_loss_equals_transformers() -> None:
    model = tiny_llama()
    loss, _ = supervised_step(model, EXAMPLES[:4], 10_000)
    width = max(g.tokens for g in EXAMPLES[:4])
    ids, labels = torch.full((4, width), 2), torch.full((4, width), -100)
    for i, g in enumerate(EXAMPLES[:4]):
        row = [*g.prompt, *g.responses[0]]
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, len(g.prompt) : len(row)] = torch.tensor(g.responses[0])
    reference = tiny_llama()
    reference.hf.config._attn_implementation = "eager"
    theirs = reference.hf(
        input_ids=ids,
        attention_mask=(torch.arange(width) < (labels != -100).sum(1)[:, None] + 4).long(),
        labels=labels,
    ).loss
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), abs=1e-5)
    for p, q in zip(model.hf.parameters(), reference.hf.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-4, rtol=1e-3)


def test_supervised_learns_and_resumes_exactly() -> None:
    settings = SupervisedSettings(epochs=2, batch=5, **FAST, evaluate_every=3)
    assert_resume_is_exact(
        tiny_llama,
        lambda m, s: train_supervised(m, EXAMPLES, settings, s, heldout=EXAMPLES[:4]),
        lm_weights,
    )
    model = tiny_llama()
    before = heldout_loss(model, EXAMPLES)
    assert train_supervised(model, EXAMPLES, settings, heldout=EXAMPLES).heldout_loss < before - 0.1


def test_nan_stops_before_the_weights_change() -> None:
    model = tiny_llama()
    weights = [p.detach().clone() for p in model.hf.parameters()]
    model.hf.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(RunError, match=r"gradient is nan at step 1 \(rows"):
        train_supervised(model, EXAMPLES, SupervisedSettings(batch=4, **FAST))
    changed = [not torch.equal(a, b) for a, b in zip(weights, model.hf.parameters(), strict=True)]
    assert sum(changed) == 1  # the one poisoned by hand


def test_epoch_order_visits_every_row_once_per_epoch() -> None:
    order = EpochOrder(10, 4, 2, seed=3)
    assert order.steps == 6
    seen = [order.rows(i) for i in range(6)]
    assert sorted(r for rows in seen[:3] for r in rows) == list(range(10))
    assert order.rows(4) == seen[4]
    assert EpochOrder(10, 4, 0.5, 0).steps == 2
    for tenths in range(1, 60):
        for rows in range(1, 60):
            steps = max(1, -(-tenths * -(-rows // 4) // 10))
            assert (
                EpochOrder(rows, 4, tenths / 10, 0).steps == steps == updates(rows, 4, tenths / 10)
            )


# --- reward ---------------------------------------------------------------------------------------
def reward_model() -> RewardModel:
    return RewardModel.untrained(
        [ScalarModel.from_causal_lm(tiny_llama(), seed) for seed in (1, 2)]
    )


def test_reward_learns_ranks_and_resumes_exactly() -> None:
    settings = RewardSettings(epochs=3, batch=4, learning_rate=3e-3, warmup=0.0)
    assert_resume_is_exact(
        reward_model,
        lambda m, s: train_reward(m, JUDGED, settings, EFFECTS, s, JUDGED),
        lambda m: [p for member in m.members for p in member.parameters()],
    )


def test_reward_gradient_ignores_micro_batches_and_prefix_sharing() -> None:
    from accord.learning.reward import reward_step

    grads = []
    for budget in (10_000, 30):
        member = ScalarModel.from_causal_lm(tiny_llama(), 1)
        reward_step(
            member,
            JudgedBatch.of(JUDGED),
            RewardSettings(micro_batch_tokens=budget, learning_rate=3e-4),
            EFFECTS,
        )
        grads.append([p.grad for p in member.parameters()])
    torch.testing.assert_close(grads[0], grads[1], atol=1e-5, rtol=1e-3)


def test_reward_recovers_a_token_rule_and_is_centred() -> None:
    """Responses with token 5 are preferred: the ensemble finds out, then mean 0 and deviation 1."""
    generator = torch.Generator().manual_seed(1)
    groups = []
    for _ in range(60):
        rest = torch.randint(6, 30, (4, 4), generator=generator).tolist()
        responses = [[5, *rest[0], 1], [*rest[1], 1], [*rest[2][:2], 5, 1], [*rest[3], 1]]
        groups.append(
            JudgedGroup(
                PromptGroup([0, 9], responses),
                (Judgement((0, 1), (0, 1)), Judgement((2, 3), (1, 0))),
            )
        )
    model = reward_model()
    settings = RewardSettings(epochs=4, batch=8, learning_rate=3e-3, warmup=0.0)
    result = train_reward(
        model, groups[:50], settings, AnnotatorEffects.none(), heldout=groups[50:]
    )
    assert result.heldout_agreement > 0.9
    fit_centre(model, [g.group for g in groups])
    scores = model.score([g.group for g in groups])
    assert scores.mean(1).abs().max() < 1e-4
    assert scores.mean(0).std().item() == pytest.approx(1, abs=1e-3)
    assert fit_temperature(model, groups[50:]) > 0
    assert len(strict_pairs(groups[:1])) == 2


# --- preference -----------------------------------------------------------------------------------
def test_preference_starts_at_log_two_learns_and_resumes_exactly() -> None:
    settings = PreferenceSettings(beta=0.5, epochs=3, batch=4, learning_rate=3e-3, warmup=0.0)
    reference = freeze(tiny_llama())
    session = LocalSession()
    result = train_preference(tiny_llama(), reference, PAIRS, settings, session)
    assert session.history[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert result.loss < 0.5
    assert_resume_is_exact(
        tiny_llama, lambda m, s: train_preference(m, reference, PAIRS, settings, s), lm_weights
    )
    with pytest.raises(DataError, match="0 strict pairs"):
        train_preference(tiny_llama(), reference, [], settings)


@pytest.mark.parametrize("kind", get_args(PreferenceLoss))
def test_preference_gradient_ignores_micro_batches_and_order(kind: PreferenceLoss) -> None:
    weighted = [
        replace(pair, doubt=0.1 * (i % 2), weight=0.5 + i % 3) for i, pair in enumerate(PAIRS)
    ]
    grads = []
    for budget, batch in ((10_000, weighted), (12, weighted[::-1])):
        policy, reference = tiny_llama(3), freeze(tiny_llama(4))
        settings = PreferenceSettings(
            loss=kind,
            beta=BETAS[kind],
            gamma=0.5 * (kind == "simpo"),
            micro_batch_tokens=budget,
            nll_weight=0.2,
            learning_rate=1e-5,
        )
        cached = reference_logprobs(policy, reference, batch, budget)
        if kind in REFERENCE_FREE:
            cached = torch.zeros_like(cached)
        values, _ = preference_step(policy, batch, cached, settings)
        grads.append([p.grad for p in policy.hf.parameters()])
        assert values["loss"] > 0
    for other in grads[1:]:
        torch.testing.assert_close(grads[0], other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["simpo", "orpo"])
def test_objectives_without_a_reference_never_touch_one(kind: PreferenceLoss) -> None:
    reference = freeze(tiny_llama())
    reference.logprobs = None  # type: ignore[method-assign]
    settings = PreferenceSettings(loss=kind, beta=BETAS[kind], epochs=3, batch=4, **FAST)
    session = LocalSession()
    train_preference(tiny_llama(), reference, PAIRS, settings, session)
    assert session.history[-1]["preference_agreement"] > session.history[0]["preference_agreement"]


THUMBS = [
    ThumbExample(p.prompt, r, good)
    for p in PAIRS
    for r, good in ((p.chosen, True), (p.rejected, False))
]


def test_kto_learns_and_resumes_exactly() -> None:
    settings = UnpairedSettings(beta=0.5, epochs=3, batch=6, learning_rate=3e-3, warmup=0.0)
    reference, session = freeze(tiny_llama()), LocalSession()
    result = train_unpaired(tiny_llama(), reference, THUMBS, settings, session)
    assert session.history[0]["loss"] == pytest.approx(
        0.5, abs=1e-4
    )  # policy = reference: every gap is 0
    assert result.loss < 0.48
    assert_resume_is_exact(
        tiny_llama, lambda m, s: train_unpaired(m, reference, THUMBS, settings, s), lm_weights
    )
    with pytest.raises(DataError, match="16 of 16 responses are desirable"):
        train_unpaired(tiny_llama(), reference, THUMBS[::2], settings)


def test_kto_gradient_ignores_micro_batches() -> None:
    grads, points = [], []
    for budget in (10_000, 12):
        policy, reference = tiny_llama(3), freeze(tiny_llama(4))
        kl = reference_point(policy, reference, THUMBS, budget)
        settings = UnpairedSettings(
            micro_batch_tokens=budget, undesirable_weight=1.3, learning_rate=5e-6
        )
        zeros = torch.zeros(len(THUMBS))
        unpaired_step(policy, THUMBS, zeros, kl, settings)
        grads.append([p.grad for p in policy.hf.parameters()])
        points.append(kl)
    torch.testing.assert_close(points[0], points[1])
    assert points[0] >= 0
    torch.testing.assert_close(grads[0], grads[1], atol=1e-5, rtol=1e-3)


# --- on-policy ------------------------------------------------------------------------------------
PROMPTS = [[0, *tokens(2 + i % 4)] for i in range(12)]
PPO = OnPolicySettings(
    steps=4, prompts_per_step=8, max_new_tokens=8, epochs=2, minibatches=2, kl_coefficient=0.05,
    learning_rate=3e-3,adam_beta2=0.95,
 warmup=0.0)  # fmt: skip


def count_sevens(rollout: Rollout) -> torch.Tensor:
    """Two identical 'members' that pay for token 7."""
    score = torch.tensor([float(r.count(7)) for r in rollout.responses])
    return torch.stack([score, score])


def trainer(
    settings: OnPolicySettings = PPO,
    score: Callable = count_sevens,
    seed: int = 0,
    heldout: Any = (),
) -> OnPolicyTrainer:
    policy = tiny_llama()
    value = ScalarModel.from_causal_lm(policy, seed=5) if settings.estimator == "gae" else None
    return OnPolicyTrainer(
        policy,
        freeze(tiny_llama()),
        value,
        BuiltinSampler(policy),
        score,
        PROMPTS,
        settings,
        seed=seed,
        heldout=heldout,
    )


def test_ppo_resumes_exactly() -> None:
    settings = PPO.changed(kl_target=2.0, kl_horizon=100)

    def weights(t: OnPolicyTrainer) -> list[torch.Tensor]:
        assert t.value is not None
        return [*t.policy.hf.parameters(), *t.value.parameters()]

    assert_resume_is_exact(lambda: trainer(settings), lambda t, s: t.train(s), weights)


HELDOUT = [[0, 4 + i, 40 - i] for i in range(16)]
WATCHED_PPO = PPO.changed(
    steps=6, minibatches=1, samples_per_prompt=2, learning_rate=0.02, schedule="constant",
    unfinished_score=None, evaluate_every=1,
)  # fmt: skip


@pytest.mark.parametrize("estimator", ["gae", "rloo"])
@pytest.mark.parametrize("patience", [None, 1])
def test_the_policy_that_scored_best_on_held_out_prompts_is_kept(
    estimator: Any, patience: int | None
) -> None:
    """Half way the reward in training turns, so that the best policy is not the last."""
    settings = WATCHED_PPO.changed(estimator=estimator, keep_best=True, patience=patience)

    def build() -> OnPolicyTrainer:
        def score(rollout: Rollout) -> torch.Tensor:
            measured = min(rollout.rows) >= len(PROMPTS)
            return count_sevens(rollout) * (1.0 if measured or made.done < 3 else -1.0)

        made = trainer(settings, score, heldout=HELDOUT)
        return made

    session, built = LocalSession(), build()
    result = built.train(session)
    found = [row["heldout_score"] for row in session.history]
    assert result.heldout_score == max(found)
    assert result.best_step == found.index(max(found)) + 1
    assert result.guard is None
    assert built.evaluate()["heldout_score"] == result.heldout_score
    if patience:  # the training ends with the first evaluation that is no better
        assert found[:-1] == sorted(set(found[:-1]))
    else:
        assert len(found) == settings.steps
        assert found[-1] < max(found)
    assert_resume_is_exact(build, lambda t, s: t.train(s), lambda t: [*t.policy.hf.parameters()])


def test_held_out_prompts_change_nothing_of_the_training() -> None:
    """Nor does measuring on them: the same policy comes out."""
    plain, watched = trainer(PPO), trainer(PPO.changed(evaluate_every=1), heldout=HELDOUT)
    one, two = plain.train(), watched.train()
    assert (one.score, one.responses, one.heldout_score) == (two.score, two.responses, None)
    for a, b in zip(plain.policy.hf.parameters(), watched.policy.hf.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_guard_keeps_the_best_policy_too() -> None:
    settings = WATCHED_PPO.changed(keep_best=True, kl_budget=1e-6, kl_in="reward")
    built = trainer(settings, heldout=HELDOUT)
    result = built.train()
    assert result.guard is not None
    assert built.evaluate()["heldout_score"] == result.heldout_score


@pytest.mark.parametrize("name", ["keep_best", "patience"])
def test_a_choice_by_what_is_kept_aside_needs_something_there(name: str) -> None:
    more: dict[str, Any] = {name: 1, "evaluate_every": 1}
    with pytest.raises(ConfigError, match=f"{name} goes by what is kept aside, and nothing is"):
        trainer(PPO.changed(**more))
    with pytest.raises(ConfigError, match="nothing is"):
        train_supervised(tiny_llama(), EXAMPLES, SupervisedSettings(learning_rate=0.1, **more))
    with pytest.raises(ConfigError, match="nothing is"):
        train_reward(reward_model(), JUDGED, RewardSettings(learning_rate=0.1, **more), EFFECTS)


@pytest.mark.parametrize("estimator", ["gae", "rloo"])
def test_ppo_raises_the_reward_and_counts_its_updates(estimator: str) -> None:
    settings = PPO.changed(
        steps=16, estimator=estimator, samples_per_prompt=2, unfinished_score=None
    )
    session = LocalSession()
    result = trainer(settings, seed=1).train(session)
    first, last = (
        sum(h["score"] for h in part) / 3 for part in (session.history[:3], session.history[-3:])
    )
    assert last > first + 0.2
    assert result.optimizer_steps == 16 * 2 * 2
    assert session.history[0]["kl_seq"] == pytest.approx(0, abs=1e-4)
    assert session.history[-1]["kl_seq_k3"] > 0.01


def test_unfinished_responses_get_the_fixed_score() -> None:
    t = trainer(PPO.changed(unfinished_score=-3.0))
    rollout = t.rollout(0)
    score = t.final_score(count_sevens(rollout), rollout)
    for value, finished, response in zip(
        score.tolist(), rollout.finished, rollout.responses, strict=True
    ):
        assert value == (float(response.count(7)) if finished else -3.0)


def test_update_ignores_micro_batches() -> None:
    results = []
    for budget in (10_000, 15):
        t = trainer(PPO.changed(steps=2, micro_batch_tokens=budget))
        t.train()
        results.append(list(t.policy.hf.parameters()))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-3)


def test_a_sampler_at_another_temperature_is_refused() -> None:
    t = trainer()
    honest = t.sampler

    class Hot:
        def sample(
            self, prompts: Any, settings: Any, seeds: Any, samples_per_prompt: int = 1
        ) -> Rollout:
            return honest.sample(
                prompts, replace(settings, temperature=0.6), seeds, samples_per_prompt
            )

    t.sampler = Hot()
    with pytest.raises(RunError, match="temperature"):
        t.train()


def test_guards_stop_the_run() -> None:
    points: list[tuple[int, int]] = []
    t = trainer(PPO.changed(kl_budget=1e-9))
    result = t.train(on_step=lambda step, total: points.append((step, total)))
    assert result.guard is not None
    assert "budget" in result.guard
    assert result.steps == points[-1][0] < PPO.steps
    assert points[-1] == (result.steps, result.steps)  # the policy is examined where it was stopped
    again = trainer(PPO.changed(kl_budget=1e-9))
    again.load(t.state())
    assert again.train() == result  # a resumed run stays stopped
    same = trainer(PPO.changed(min_unique=0.99, max_new_tokens=1)).train()
    assert same.guard is not None
    assert "distinct" in same.guard


def test_a_tie_is_half_an_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "accord.learning.losses.preference_gap", lambda *_: torch.tensor([2.0, 0.0, 0.0, 0.0, -1.0])
    )
    monkeypatch.setattr("accord.learning.losses.preference", lambda pairs, *_: pairs.shift_B[0])
    policy, five = tiny_llama(), (PAIRS * 5)[:5]
    cached = reference_logprobs(policy, None, five, 10_000)
    values, _ = preference_step(policy, five, cached, PreferenceSettings(learning_rate=1e-5))
    assert values["preference_agreement"] == pytest.approx((1 + 3 * 0.5) / 5)
    assert values["preference_margin"] == pytest.approx(0.2)
    assert values["chosen_shift"] == pytest.approx(0.0, abs=1e-4)


WATCHED: dict[str, Any] = {"epochs": 4, "batch": 6, "learning_rate": 0.05, "warmup": 0.0, "evaluate_every": 2}  # fmt: skip
TRAINERS: dict[str, tuple[Callable[[], Any], Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "supervised": (
        tiny_llama,
        lambda m, s, **more: train_supervised(
            m, EXAMPLES[4:], SupervisedSettings(**WATCHED | more), s, EXAMPLES[:4]
        ),
        lambda m: heldout_loss(m, EXAMPLES[:4]),
        lm_weights,
    ),
    "preference": (
        tiny_llama,
        lambda m, s, **more: train_preference(
            m, freeze(tiny_llama()), PAIRS[4:], PreferenceSettings(**WATCHED | more), s, heldout=PAIRS[:4]
        ),
        lambda m: preference_evaluation(
            m, PAIRS[:4], reference_logprobs(m, freeze(tiny_llama()), PAIRS[:4], 999), PreferenceSettings(**FAST)
        )["heldout_loss"],
        lm_weights,
    ),
    "unpaired": (
        tiny_llama,
        lambda m, s, **more: train_unpaired(
            m, freeze(tiny_llama()), THUMBS[6:], UnpairedSettings(**WATCHED | more), s, heldout=THUMBS[:6]
        ),
        None,
        lm_weights,
    ),
    "reward": (
        reward_model,
        lambda m, s, **more: train_reward(
            m, JUDGED[4:], RewardSettings(**WATCHED | more), EFFECTS, s, JUDGED[:4]
        ),
        None,
        lambda m: [p for member in m.members for p in member.parameters()],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINERS)
def test_the_best_weights_are_kept_and_a_training_that_gains_nothing_stops(name: str) -> None:
    build, train, measure, weights = TRAINERS[name]
    column = "heldout_loss_tok" if name == "supervised" else "heldout_loss"
    session = LocalSession()
    model = build()
    result = train(model, session, keep_best=True, patience=1)
    by_member: dict[float, list[dict[str, float]]] = {}
    for row in session.history:
        by_member.setdefault(row.get("member", 0.0), []).append(row)
    for rows in by_member.values():
        found = [row[column] for row in rows if column in row]
        assert column in rows[-1]
        # Only the last evaluation may bring no lower loss: the training ends with it.
        assert found[:-1] == sorted(set(found[:-1]), reverse=True)
    if measure is not None:
        (rows,) = by_member.values()
        best = min(row[column] for row in rows if column in row)
        assert measure(model) == pytest.approx(best, abs=1e-5)
        assert result.heldout_loss == best
    assert result.steps == len(session.history)
    assert_resume_is_exact(build, lambda m, s: train(m, s, keep_best=True, patience=1), weights)


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("steps", [1, 5, 40])
def test_max_steps_takes_the_place_of_epochs(name: str, steps: int) -> None:
    build, train, _, _ = TRAINERS[name]
    model, session = build(), LocalSession()
    assert train(model, session, max_steps=steps, schedule="wsd", decay=0.5).steps == len(
        session.history
    )
    members = len({row.get("member", 0) for row in session.history})
    assert len(session.history) == steps * members
    last = [row["learning_rate"] for row in session.history][-1]
    assert last == pytest.approx(0.05 / max(1, round(steps / 2)))


@pytest.mark.parametrize("name", ["keep_best", "patience"])
def test_what_needs_held_out_measures_says_so(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} needs held-out measures"):
        SupervisedSettings(learning_rate=1e-3, **{name: 1})


def test_a_loss_is_described_where_rows_were_kept_aside() -> None:
    with_loss, without = (
        describe(SupervisedResult(3, 40, 1.5, heldout)) for heldout in (2.0, None)
    )
    assert with_loss == {"steps": 3, "tokens": 40, "train_loss": 1.5, "heldout_loss": 2.0}
    assert without == {"steps": 3, "tokens": 40, "train_loss": 1.5}


def test_early_stopping_counts_evaluations_in_a_row() -> None:
    settings = SupervisedSettings(learning_rate=1e-3, evaluate_every=1, patience=3)
    watch = Watch(settings, dict, dict)
    stopped = []
    for step, loss in enumerate([3.0, 2.0, 2.5, 2.0, 1.0, 1.5, 1.2, 1.0], 1):
        watch.see(step, {"loss": loss})
        stopped.append(watch.stops)
    assert stopped == [False] * 7 + [True]
    assert (watch.best, watch.best_step, watch.kept) == (1.0, 5, {"loss": 1.0})
