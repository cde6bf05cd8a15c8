"""The details that decide whether RLHF works, and bugs that other trainers had: one test each.

Some are held by tests elsewhere:

| detail | test |
|---|---|
| adaptive KL coefficient: error clipped at 0.2, horizon | test_learning_objectives.py:
test_adaptive_kl_follows_ziegler | | terminal value 0, GAE | test_learning_objectives.py:
test_gae_equals_its_definition | | whitening over all tokens of all processes |
test_learning_objectives.py: test_whitening_is_over_the_whole_batch_and_all_processes | | position
ids, left and right padding | tests/models/test_models_packed.py: test_packed_logprobs_equal_native
| | pad token = EOS when tokenising | tests/text/test_text_encoding.py:
test_padding_equal_to_eos_changes_nothing | | reward model's shift and scale, fitted on reference
samples | test_learning_loops.py: test_reward_recovers_a_token_rule_and_is_centred | | logits
divided by the temperature in sampler and trainer | test_learning_loops.py:
test_a_sampler_at_another_temperature_is_refused | | minibatches: epochs x minibatches optimizer
steps, counted | test_learning_loops.py: test_ppo_raises_the_reward_and_counts_its_updates | | loss
normalised over the minibatch, not the micro-batch | test_learning_loops.py:
test_update_ignores_micro_batches | | examination along the way, KL budget | test_learning_loops.py:
test_guards_stop_the_run | | a cut response is unfinished in every length policy |
tests/text/test_text_lengths.py: test_every_row_is_accounted_for |
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from on_policy_toys import PROMPTS, SETTINGS, Fixed, count_sevens, make, native_logits
from pydantic import ValidationError

from accord.errors import ConfigError, RunError
from accord.learning import advantages as adv
from accord.learning import losses
from accord.learning.on_policy_batch import Experience, kl_metrics, minibatches, rollout_metrics
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.optimizer import Optimizer
from accord.learning.session import LocalSession
from accord.learning.settings import OptimizerSettings
from accord.learning.supervised import supervised_step
from accord.models.causal_lm import CausalLM
from accord.models.loading import LoraSettings, add_lora, freeze
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarHead, ScalarModel
from accord.runs.stages.ppo import PpoConfig
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import Rollout, SamplingSettings
from accord.seeds import derive_seed
from accord.text.packing import PromptGroup, pack
from tiny import ByteTokenizer, tiny_llama

EOS, PAD, UNK = 1, 2, 3
RESPONSES = [
    [10, 11, EOS],
    [12, 7],
    [EOS],
    [7, 7, 7, 7, EOS],
    [13, 14, 15],
    [16, EOS],
    [17, 18, 7, EOS],
    [19] * 8,
]


def grads(model: CausalLM) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.hf.parameters()]


# --- the reward and its KL ------------------------------------------------------------------------
def test_kl_in_the_reward_is_k1_and_the_score_lands_on_the_last_action_token() -> None:
    """KL in reward; where the score lands (TRL pays one position after EOS): at EOS, or at the last
    token kept."""
    t = make(policy=tiny_llama(3), minibatches=1)
    t.sampler = Fixed(t.policy, RESPONSES, [r[-1] == EOS for r in RESPONSES])
    seen: list[torch.Tensor] = []
    t.advantages = lambda rewards, values, lengths: (seen.append(rewards), (rewards, rewards))[1]  # type: ignore[method-assign, assignment]
    rollout = t.rollout(0)
    t.experience(rollout)
    expected = []
    for prompt, response in zip(rollout.prompts, RESPONSES, strict=True):
        mine, theirs = (
            torch.log_softmax(native_logits(m, [*prompt, *response]), -1)
            for m in (t.policy, t.reference)
        )
        for at, token in enumerate(response):
            k1 = mine[len(prompt) - 1 + at, token] - theirs[len(prompt) - 1 + at, token]
            expected.append(
                float(-0.05 * k1) + (response.count(7) if at == len(response) - 1 else 0)
            )
    torch.testing.assert_close(seen[0], torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_no_reward_is_left_beyond_a_response() -> None:
    """A known bug (DeepSpeed-Chat): ends = start + mask.sum + 1 leaves one trailing reward of the
    next row."""
    lengths, score = torch.tensor([3, 1, 2]), torch.tensor([1.0, 10.0, 100.0])
    rewards = adv.token_rewards(torch.zeros(6), score, lengths, 0.5)
    assert rewards.tolist() == [0, 0, 1, 10, 0, 100]
    assert adv.returns_to_go(rewards, lengths).tolist() == [1, 1, 1, 10, 100, 100]


def test_kl_as_a_loss_has_the_gradient_of_the_reverse_kl() -> None:
    """KL as loss: k3 alone has another gradient; weighted by the ratio it is that of KL(policy ||
    reference)."""
    logits = torch.randn(
        7, generator=torch.Generator().manual_seed(0), dtype=torch.double, requires_grad=True
    )
    ref = torch.log_softmax(
        torch.randn(7, generator=torch.Generator().manual_seed(1), dtype=torch.double), -1
    )
    logp = torch.log_softmax(logits, -1)
    old = logp.detach()
    exact = torch.autograd.grad((logp.exp() * (logp - ref)).sum(), logits, retain_graph=True)[0]
    k3 = losses.kl_k3(logp, ref)
    unbiased = torch.autograd.grad(
        (old.exp() * torch.exp(logp - old) * k3).sum(), logits, retain_graph=True
    )[0]
    biased = torch.autograd.grad((old.exp() * k3).sum(), logits)[0]
    torch.testing.assert_close(unbiased, exact)
    assert (biased - exact).abs().max() > 0.01
    groups, none = [PromptGroup([0], [[5, 6, 7]])], torch.zeros(3)
    logp, sampled, ref = (
        torch.tensor(x) for x in ([-1.0, -2.0, -3.0], [-1.5, -1.0, -3.0], [-0.5, -2.5, -2.0])
    )
    batch = Experience(
        groups, torch.tensor([3]), sampled, ref, none, none, none, torch.zeros(1), torch.zeros(1, 1)
    )
    for weighted, factor in ((True, torch.exp(logp - sampled)), (False, torch.ones(3))):
        t = make(
            estimator="grpo",
            samples_per_prompt=2,
            kl_in="loss",
            kl_coefficient=0.3,
            kl_unbiased=weighted,
        )
        expected = 0.3 * (factor * losses.kl_k3(logp, ref)).mean()
        torch.testing.assert_close(t.policy_loss(logp, batch, 3, 1), expected)
    assert OnPolicySettings(steps=1, learning_rate=1e-5).kl_in == "reward"


def test_kl_is_reported_per_sequence_and_per_token_by_two_estimators() -> None:
    """KL metric unit: sums per sequence and means per token have names of their own."""
    logp, ref = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-1.5, -1.0, -2.5])
    none = torch.zeros(3)
    groups = [PromptGroup([0], [[5, 6]]), PromptGroup([0], [[7]])]
    batch = Experience(
        groups, torch.tensor([2, 1]), logp, ref, none, none, none, torch.zeros(2), torch.zeros(1, 2)
    )
    values = kl_metrics(batch)
    k3 = [math.expm1(r - p) - (r - p) for p, r in zip(logp.tolist(), ref.tolist(), strict=True)]
    assert values["kl_seq"] == pytest.approx((0.5 - 1.0 + 2.0) / 2)
    assert values["kl_tok"] == pytest.approx((0.5 - 1.0 + 2.0) / 3)
    assert values["kl_seq_k3"] == pytest.approx(sum(k3) / 2)


def test_the_kl_coefficient_counts_the_episodes_that_were_sampled() -> None:
    """Adaptive KL in the loop: target in nats per sequence, and the last step of an epoch has fewer
    episodes."""
    t = make(policy=tiny_llama(3), prompts=PROMPTS[:12], kl_target=0.1, kl_horizon=100, steps=2)
    session = LocalSession()
    t.train(session)
    expected = 0.05
    for row, episodes in zip(session.history, (8, 4), strict=True):
        assert row["kl_coefficient"] == pytest.approx(expected)
        expected *= 1 + min(0.2, max(-0.2, row["kl_seq"] / 0.1 - 1)) * episodes / 100
    assert t.kl.coefficient == pytest.approx(expected)


def test_only_the_score_is_clipped_and_only_after_normalisation() -> None:
    """Reward clip: the bound is on the normalised score; the KL penalty is never cut (safe-rlhf
    clips the sum)."""
    t = make(score_clip=1.5, minibatches=1)
    rollout = t.rollout(0)
    scores = torch.linspace(-4, 4, rollout.size)[None]
    assert t.final_score(scores, rollout).tolist() == pytest.approx(
        scores[0].clamp(-1.5, 1.5).tolist()
    )
    rewards = adv.token_rewards(
        torch.tensor([100.0, 1.0]), torch.tensor([1.5]), torch.tensor([2]), 1.0
    )
    assert rewards.tolist() == [-100.0, 0.5]
    model = RewardModel(
        [ScalarModel.from_causal_lm(tiny_llama(), 1)], torch.tensor([2.0]), scale=4.0
    )
    raw = model.members[0].scores(pack(rollout.groups()))
    torch.testing.assert_close(model.scores(pack(rollout.groups()))[0], (raw - 2) / 4)


def test_rewards_are_whitened_only_when_asked_and_keep_their_mean() -> None:
    """Reward whitening: off by default; then the spread is 1, the mean stays (a shifted one would
    pay for length)."""
    assert not OnPolicySettings(steps=1, learning_rate=1e-5).whiten_rewards
    x = torch.tensor([1.0, 5.0, 3.0, -3.0, 9.0])
    whitened = adv.whiten(x, shift=False)
    assert whitened.mean().item() == pytest.approx(x.mean().item(), abs=1e-5)
    assert whitened.std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    t, lengths = (
        make(estimator="reinforce", whiten_advantages=False, whiten_rewards=True),
        torch.tensor([2, 3]),
    )
    torch.testing.assert_close(
        t.advantages(x, torch.zeros(5), lengths)[0], adv.returns_to_go(whitened, lengths)
    )
    with pytest.raises(ConfigError, match="at least 8 responses"):
        OnPolicySettings(
            steps=1,
            prompts_per_step=4,
            whiten_advantages=False,
            whiten_rewards=True,
            learning_rate=1e-5,
        )


# --- finished and cut responses -------------------------------------------------------------------
def test_responses_that_did_not_finish_get_the_fixed_score_whatever_stops_them() -> None:
    """Missing EOS: on by default, also with a model's own stop tokens, where TRL's penalty never
    fires or always does."""
    policy = tiny_llama()
    policy.hf.generation_config.eos_token_id = [EOS, 7]
    t = make(
        policy=policy,
        unfinished_score=OnPolicySettings(steps=1, learning_rate=1e-5).unfinished_score,
        score=lambda r: torch.ones(1, r.size),
        max_new_tokens=30,
        seed=1,
    )
    rollout = t.rollout(0)
    scores = t.final_score(torch.ones(1, rollout.size), rollout).tolist()
    ends = [response[-1] for response in rollout.responses]
    assert {7} < set(ends), "the toy policy must end some responses with 7 and be cut in others"
    assert scores == [1.0 if end in (EOS, 7) else -1.0 for end in ends]
    session = LocalSession()
    t.train(session)
    assert session.history[0]["finished_share"] == sum(s == 1 for s in scores) / len(scores)


def test_a_response_that_fills_the_budget_is_finished_only_if_it_ends_with_eos() -> None:
    """EOS trick: finished and cut are a field of the batch, not read off a length or a padding
    id."""
    rollout = BuiltinSampler(tiny_llama()).sample([[0, 5]], SamplingSettings(3), range(300), 300)
    full = [
        (r[-1] == EOS, done)
        for r, done in zip(rollout.responses, rollout.finished, strict=True)
        if len(r) == 3
    ]
    assert {(True, True), (False, False)} == set(full)


def test_a_cut_response_is_never_given_an_eos() -> None:
    """A known bug (OpenRLHF): the last token of a cut response is overwritten by EOS, so that it
    looks finished."""
    t = make()
    rollout = t.rollout(0)
    batch = t.experience(rollout)
    cut = [i for i, done in enumerate(rollout.finished) if not done]
    assert cut
    for i in cut:
        assert EOS not in batch.groups[i].responses[0]
    stream = pack(batch.groups)
    assert (stream.targets_S == EOS).sum() == sum(rollout.finished)


@pytest.mark.parametrize("stage", ["kto", "sft"])
def test_a_cut_answer_of_a_policy_is_not_taught_to_end_there(tmp_path: Any, stage: str) -> None:
    """The same bug through the stages: thumbs and demonstrations on a policy's own answers say
    which were cut."""
    from accord.feedback.records import Feedback, dump_line
    from accord.runs.context import StageContext
    from accord.runs.session import InterruptFlag
    from accord.runs.stages.kto import read_thumbs
    from accord.runs.stages.settings import LengthConfig
    from accord.runs.stages.sft import read_demonstrations

    rows = []
    for i, done in enumerate((True, False)):
        option = [{"id": "a", "content": "bc", "shown_at": 0}]
        kind = (
            {
                "kind": "thumb",
                "options": option,
                "choice": {"up": True},
                "meta": {"finished": {"a": done}},
            }
            if stage == "kto"
            else {
                "kind": "demonstration",
                "options": [],
                "choice": {"content": "bc"},
                "meta": {"finished": done},
            }
        )
        rows.append(
            Feedback.model_validate({"id": str(i), "prompt": "a", "annotator": "p", **kind})
        )
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(dump_line(row) + "\n" for row in rows))
    context = StageContext(tmp_path, tmp_path, stage, 0, "cpu", {}, InterruptFlag())
    read: Any = read_thumbs if stage == "kto" else read_demonstrations
    found = read(str(path), tiny_llama(), LengthConfig(), context)
    responses = [e.response if stage == "kto" else e.response_ids for e in found]
    assert responses == [[5, 6, EOS], [5, 6]]


# --- advantages and values ------------------------------------------------------------------------
def test_advantages_are_whitened_over_the_rollout_before_it_is_cut() -> None:
    """Advantage whitening: masked and global, before minibatching; nothing leaks into padding
    (re-mask)."""
    t = make(micro_batch_tokens=20, max_new_tokens=30)
    batch = t.experience(t.rollout(0))
    assert batch.advantages_S.mean().item() == pytest.approx(0, abs=1e-5)
    assert batch.advantages_S.std(unbiased=False).item() == pytest.approx(1, abs=1e-4)
    parts = list(minibatches(batch, 2, torch.Generator().manual_seed(0)))
    assert all(abs(part.advantages_S.mean().item()) > 1e-3 for part in parts)
    padded, mask = adv.pad_tokens(batch.advantages_S, batch.lengths_B)
    assert not mask.all()
    assert padded[~mask].eq(0).all()


def test_whitening_survives_a_mean_far_from_zero() -> None:
    """Advantage whitening in single precision: E[x^2] - E[x]^2 loses a small variance beside a
    large mean."""
    x = 10_000 + torch.randn(4096, generator=torch.Generator().manual_seed(0)).double() * 0.1
    expected = ((x - x.mean()) / x.std(unbiased=False)).float()
    assert (adv.whiten(x.float()) - expected).abs().max() < 0.02  # what rounding the inputs costs


def test_gae_defaults_and_monte_carlo() -> None:
    """GAE: gamma 1, lambda .95; lambda 1 is the reward to go minus the value."""
    s = OnPolicySettings(steps=1, learning_rate=1e-5)
    assert (s.gamma, s.lam) == (1.0, 0.95)
    rewards, values, lengths = torch.randn(9), torch.randn(9), torch.tensor([4, 5])
    torch.testing.assert_close(
        adv.gae(rewards, values, lengths), adv.gae(rewards, values, lengths, 1.0, 0.95)
    )
    advantages, returns = adv.gae(rewards, values, lengths, 1.0, 1.0)
    torch.testing.assert_close(returns, adv.returns_to_go(rewards, lengths))
    torch.testing.assert_close(advantages, adv.returns_to_go(rewards, lengths) - values)


def test_value_clipping_is_counted() -> None:
    """Value clip .2: the share of values that moved further is a metric, 0 before the first
    update."""
    assert OnPolicySettings(steps=1, learning_rate=1e-5).value_clip == 0.2
    t = make(value_learning_rate=0.1)
    batch = t.experience(t.rollout(0))
    first = t.minibatch(batch, 0, None)
    assert first["value_clip_share"] == 0.0
    with torch.no_grad():
        moved = (t.value.values(pack(batch.groups)) - batch.values_S).abs() > 0.2
    assert moved.float().mean() > 0
    assert t.minibatch(batch, 0, None)["value_clip_share"] == pytest.approx(
        moved.float().mean().item(), abs=1e-4
    )


@pytest.mark.parametrize("ratio", ["token", "sequence", "response"])
def test_the_clip_share_counts_what_is_clipped(ratio: Any) -> None:
    """Ratio stats: with whole-response ratios whole responses are clipped, and the metric says
    so."""
    t = make(
        estimator="rloo",
        samples_per_prompt=2,
        ratio=ratio,
        clip=0.05,
        score=lambda r: torch.tensor([[float(sum(x) % 5) for x in r.responses]]),
    )
    batch = t.experience(t.rollout(0))
    t.minibatch(batch, 0, None)
    with torch.no_grad():
        log_ratio = t.policy.logprobs(pack(batch.groups)) - batch.logp_S
    if ratio != "token":
        log_ratio = torch.cat(
            [
                x.sum().expand(len(x)) / (len(x) if ratio == "sequence" else 1)
                for x in log_ratio.split(batch.lengths_B.tolist())
            ]
        )
    values = t.minibatch(batch, 0, None)
    assert values["clip_share"] > 0.1
    assert values["clip_share"] == pytest.approx(
        ((log_ratio.exp() - 1).abs() > 0.05).float().mean().item(), abs=1e-3
    )
    assert values["ratio_mean"] == pytest.approx(log_ratio.exp().mean().item(), rel=1e-4)


def test_the_value_model_shares_nothing_with_policy_or_reward_model() -> None:
    """Value coefficient: separate backbones and optimizers, so that no coefficient mixes the two
    losses."""
    reward = RewardModel.untrained([ScalarModel.from_causal_lm(tiny_llama(), 1)])
    t = make()
    t.value = reward.value_model()
    mine = {p.data_ptr() for p in t.value.parameters()}
    assert not mine & {
        p.data_ptr() for p in (*t.policy.hf.parameters(), *reward.members[0].parameters())
    }
    batch = t.experience(t.rollout(0))
    t.value.head.weight.data.mul_(100)  # a huge value loss
    calm = make()
    for trainer in (t, calm):
        for optimizer in (trainer.policy_optimizer, trainer.value_optimizer):
            optimizer.step = lambda where: {"grad_norm": 0.0}  # type: ignore[method-assign, union-attr]
        trainer.minibatch(batch, 0, None)
    torch.testing.assert_close(grads(t.policy), grads(calm.policy))


def test_the_value_model_starts_as_the_reward_model_in_its_unit() -> None:
    """Value init: a copy of the reward model, whose centred and scaled score it predicts at the
    last token's state."""
    member = ScalarModel.from_causal_lm(tiny_llama(), 1)
    reward = RewardModel([member], torch.tensor([1.5]), scale=2.5)
    value, prompt = reward.value_model(), [0, 5, 6]
    # The state before a token is the response's last token when one more token follows it.
    at_state = value.values(pack([PromptGroup(prompt, [[8, 9, 10]])]))[2]
    torch.testing.assert_close(at_state, reward.scores(pack([PromptGroup(prompt, [[8, 9]])]))[0, 0])
    assert all(p.requires_grad for p in value.parameters())


def test_the_head_starts_small() -> None:
    """Head init: N(0, 1/sqrt(h+1)), bias 0 (OpenRLHF: deviation 1/(h+1); others: the library's
    default)."""
    head = ScalarHead(40_000, seed=3)
    assert head.weight.std().item() == pytest.approx(1 / math.sqrt(40_001), rel=0.02)
    assert head.weight.mean().abs() < 1e-4
    assert head.bias.item() == 0


def test_the_value_model_warms_up_alone() -> None:
    """Value init from a random head: the first steps train the value model only, and count no
    policy update."""
    t, session = make(steps=3, value_warmup=2), LocalSession()
    before, value = (
        [p.clone() for p in t.policy.hf.parameters()],
        t.value.head.weight.detach().clone(),
    )
    t.train(
        session,
        on_step=lambda step, _: step == 2 and _assert_same(before, list(t.policy.hf.parameters())),
    )
    assert [row["optimizer_steps"] for row in session.history] == [0, 0, 4]
    assert "policy_loss" not in session.history[1]
    assert session.history[2]["learning_rate"] == pytest.approx(
        3e-3 / 4
    )  # the schedule counts the policy's own updates
    assert not torch.equal(before[0], t.policy.hf.model.embed_tokens.weight)
    assert not torch.equal(value, t.value.head.weight)
    for bad in ({"estimator": "rloo", "samples_per_prompt": 2}, {"steps": 2}):
        with pytest.raises(ConfigError, match="value_warmup"):
            make(**{"value_warmup": 2, **bad})


def _assert_same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


# --- arithmetic on both sides ---------------------------------------------------------------------
def with_dropout(attention: float = 0.5) -> CausalLM:
    """A model whose own settings ask for dropout everywhere, in training mode as a careless caller
    leaves it."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        resid_pdrop=0.5,
        embd_pdrop=0.5,
        attn_pdrop=attention,
        eos_token_id=EOS,
        bos_token_id=0,
    )
    return CausalLM(transformers.GPT2LMHeadModel(config).train(), ByteTokenizer())


def test_dropout_is_off_in_policy_reference_value_and_reward_model() -> None:
    """Dropout off: with dropout on, the ratio differs from 1 before any update."""
    policy, reference = with_dropout(), freeze(with_dropout())
    value = ScalarModel.from_causal_lm(with_dropout(), seed=5)
    reward = RewardModel.untrained([ScalarModel.from_causal_lm(with_dropout(), 1, LoraSettings(4))])
    t = make(policy=policy, reference=reference, score=lambda r: reward.score(r.groups()))
    t.value = value
    t.value_optimizer = Optimizer(value.parameters(), SETTINGS.value_optimizer, 8)
    session = LocalSession()
    t.train(session)
    assert session.history[0]["kl_seq"] == pytest.approx(
        0, abs=1e-5
    )  # policy = reference before the first update
    adapted = add_lora(with_dropout(), LoraSettings(4), seed=0)
    for model in (policy, reference, value.lm, reward.members[0].lm, adapted):
        assert not any(m.training for m in model.hf.modules() if isinstance(m, torch.nn.Dropout))


def test_a_ratio_other_than_one_on_the_first_minibatch_stops_the_run() -> None:
    """Ratio stats: here dropout is switched on behind the trainer's back; TRL, verl and others
    train on regardless."""
    t = make(policy=with_dropout(0.0), reference=freeze(with_dropout(0.0)))
    update = t.update
    t.update = lambda *a: (t.policy.hf.train(), update(*a))[1]  # type: ignore[method-assign]
    weights = [p.clone() for p in t.policy.hf.parameters()]
    with pytest.raises(
        RunError, match=r"first minibatch of step 1 has a probability ratio of exp\(.*\n.*dropout"
    ):
        t.train()
    _assert_same(weights, list(t.policy.hf.parameters()))


@pytest.mark.parametrize(
    "changes",
    [
        {"kl_in": "loss", "estimator": "grpo"}, {"kl_coefficient": 0.0, "measure_kl": False, "estimator": "rloo"},
        {"kl_in": "loss", "estimator": "grpo", "ratio": "sequence", "aggregation": "constant"},
        {"estimator": "rloo", "ratio": "response", "kl_coefficient": 0.3}, {"estimator": "gae", "kl_coefficient": 0.3},
    ],
)  # fmt: skip
def test_a_single_pass_by_the_weights_that_sampled_needs_no_pass_before(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same weights and metrics as with old log-probabilities of their own pass, and one forward
    pass less per step."""
    found = []
    for single in (True, False):
        if not single:
            monkeypatch.setattr(OnPolicySettings, "one_pass", False)
        t = make(
            lambda r: torch.tensor([[float(sum(ids) % 5) for ids in r.responses]]),
            steps=1,
            epochs=1,
            minibatches=1,
            samples_per_prompt=2,
            whiten_advantages=False,
            micro_batch_tokens=40,
            reference=freeze(tiny_llama(3)),
            **changes,
        )
        passes, logprobs = [0], t.policy.logprobs
        t.policy.logprobs = lambda *a, f=logprobs, n=passes: (n.__setitem__(0, n[0] + 1), f(*a))[1]  # type: ignore[method-assign]
        session = LocalSession()
        t.train(session)
        found.append(
            (passes[0], session.history, [p.detach().clone() for p in t.policy.hf.parameters()])
        )
    (once, rows, weights), (twice, rows_twice, weights_twice) = found
    assert once < 0.6 * twice  # another order packs another way
    row, other = rows[0], rows_twice[0]
    assert row == pytest.approx(other, abs=1e-4, rel=1e-4)
    assert row["ratio_mean"] == pytest.approx(1, abs=1e-12)
    assert row["grad_norm"] > 0.01
    assert row["sampler_gap"] < 1e-6
    assert ("kl_seq" in row) == changes.get("measure_kl", True)
    for mine, other in zip(weights, weights_twice, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)


def test_the_trainer_scores_the_tempered_distribution() -> None:
    """Logits divided by the temperature, for policy and reference alike (safe-rlhf: neither)."""
    t = make(policy=tiny_llama(3), temperature=0.7, minibatches=1)
    rollout = t.rollout(0)
    batch = t.experience(rollout)
    prompt, response = rollout.prompts[0], rollout.responses[0]
    for model, got in ((t.policy, batch.logp_S), (t.reference, batch.ref_S)):
        logp = torch.log_softmax(native_logits(model, [*prompt, *response]) / 0.7, -1)
        expected = logp[len(prompt) - 1 : -1].gather(1, torch.tensor(response)[:, None])[:, 0]
        torch.testing.assert_close(got[: len(response)], expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValidationError, match="temperature"):
        make(temperature=0.0)


def test_a_sampler_that_cuts_the_distribution_is_refused() -> None:
    """A known bug: top-p renormalises log-probabilities, so the ratio is biased by the mass that
    was kept."""
    with pytest.raises(TypeError):
        SamplingSettings(4, top_p=0.8)  # type: ignore[call-arg]
    t = make()
    honest = t.sampler

    class TopP:
        @torch.no_grad()
        def sample(self, *args: Any, **kwargs: Any) -> Rollout:
            rollout = honest.sample(*args, **kwargs)
            return replace(rollout, logprobs=[logp - math.log(0.8) for logp in rollout.logprobs])

    t.sampler = TopP()
    with pytest.raises(
        RunError,
        match=r"differ from the trainer's by 0.223 nats per token .*\n.*without top-k or top-p",
    ):
        t.train()


def test_a_sampler_that_stops_following_the_policy_is_found_at_any_step() -> None:
    """Old log-probabilities are the trainer's; a sampler left behind with old weights is refused
    when it happens."""
    t = make(steps=3, learning_rate=0.05)
    t.sampler = BuiltinSampler(tiny_llama())  # never updated
    session = LocalSession()
    with pytest.raises(RunError, match="from the same weights"):
        t.train(session)
    assert len(session.history) == 1


def test_without_learning_the_drift_to_the_sampler_stays_what_it_was() -> None:
    """A known bug (open-instruct): the difference between sampler and trainer grows although the
    learning rate is 0."""
    t, session = make(steps=4, learning_rate=1e-60), LocalSession()
    weights = [p.clone() for p in t.policy.hf.parameters()]
    t.train(session)
    _assert_same(weights, list(t.policy.hf.parameters()))
    for row in session.history:
        assert row["sampler_gap"] < 1e-6
        assert row["kl_seq"] == pytest.approx(0, abs=1e-6)
        assert row["ratio_mean"] == pytest.approx(1, abs=1e-6)


def test_log_probabilities_do_not_depend_on_the_batch_they_were_computed_in() -> None:
    """A known bug (verl): old and new log-probabilities differ when their micro-batches do."""
    losses_of, grads_of = [], []
    for before, during in ((10_000, 10_000), (10_000, 15), (15, 10_000), (15, 40)):
        t = make(micro_batch_tokens=before, policy=tiny_llama(3))
        batch = t.experience(t.rollout(0))
        t.settings = t.settings.changed(micro_batch_tokens=during)
        t.policy_optimizer.step = lambda where: {}  # type: ignore[method-assign, assignment]
        values = t.minibatch(batch, 0, None)
        losses_of.append([values["policy_loss"], values["value_loss"]])
        grads_of.append(grads(t.policy))
    for loss, grad in zip(losses_of[1:], grads_of[1:], strict=True):
        assert loss == pytest.approx(losses_of[0], abs=1e-5)
        torch.testing.assert_close(grad, grads_of[0], atol=1e-5, rtol=1e-3)


def test_special_tokens_inside_a_response_are_tokens_like_others() -> None:
    """Known bugs: masks as ids != pad and != unk make generated tokens vanish (safe-rlhf); the
    first pad id taken as the end of a sequence ends a chat prompt at its first turn (TRL's
    get_reward with pad = eos)."""
    prompt, response = [0, 5, EOS, PAD, 6], [UNK, 8, PAD, 0, EOS, 9, UNK, EOS]
    model = tiny_llama()
    for pad in (PAD, EOS):
        model.tokenizer.pad_token_id = model.hf.config.pad_token_id = pad
        got = model.logprobs(pack([PromptGroup(prompt, [response]), PromptGroup([0], [[4] * 9])]))[
            : len(response)
        ]
        logp = torch.log_softmax(native_logits(model, [*prompt, *response]), -1)[
            len(prompt) - 1 : -1
        ]
        torch.testing.assert_close(
            got, logp.gather(1, torch.tensor(response)[:, None])[:, 0], atol=2e-5, rtol=1e-4
        )
        member = ScalarModel.from_causal_lm(model, seed=1)
        score = member.scores(pack([PromptGroup(prompt, [response])]))
        member.lm.hf.config._attn_implementation = "eager"
        hidden = member.lm.hf.model(
            input_ids=torch.tensor([[*prompt, *response]])
        ).last_hidden_state[0, -1]
        torch.testing.assert_close(score, member.head(hidden), atol=2e-5, rtol=1e-4)


# --- the optimizer --------------------------------------------------------------------------------
def test_the_optimizer_of_ppo() -> None:
    """Adam eps 1e-5; learning rate linear to 0 over all updates; gradients clipped at 1, logged
    before and after."""
    for settings in (
        OnPolicySettings(steps=1, learning_rate=1e-5),
        OnPolicySettings(steps=1, learning_rate=1e-5).value_optimizer,
    ):
        assert (
            settings.adam_eps,
            settings.schedule,
            settings.final_share,
            settings.max_grad_norm,
        ) == (
            1e-5,
            "linear",
            0,
            1,
        )
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = Optimizer(
        [weight], OptimizerSettings(learning_rate=0.1, warmup=0.0, adam_eps=1e-5), total_steps=4
    )
    rates = []
    for size in (5.0, 0.05, 5.0, 5.0):
        weight.grad = torch.tensor([0.6, 0.8]) * size
        values = optimizer.step("")
        assert values["grad_norm"] == pytest.approx(size)
        assert values["grad_norm_clipped"] == pytest.approx(min(1.0, size), rel=1e-5)
        assert weight.grad is None
        rates.append(values["learning_rate"])
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert values["optimizer_steps"] == 4
    assert (
        PpoConfig(kind="ppo", model="m", reward="r", prompts="p", learning_rate=1e-3).adam_eps
        == 1e-5
    )


def test_gradients_are_accumulated_once_and_forgotten_after_the_update() -> None:
    """A known bug (TRL's first PPO): accumulation over micro-batches steps too often or keeps old
    gradients."""
    t = make(micro_batch_tokens=12)
    batch = t.experience(t.rollout(0))
    t.minibatch(batch, 0, None)
    assert t.policy_optimizer.steps == t.value_optimizer.steps == 1
    assert all(p.grad is None for p in (*t.policy.hf.parameters(), *t.value.parameters()))


def test_the_pretraining_mix_adds_its_weighted_gradient() -> None:
    """PTX (InstructGPT eq. 2): gradient of the PPO loss plus gamma times that of the
    demonstrations' loss."""
    demonstrations = [PromptGroup([0, 4 + i], [[9 + i, 10, EOS]]) for i in range(6)]
    found = []
    for ptx, weight in (((), 0.0), (demonstrations, 0.0), (demonstrations, 3.0)):
        t = make(ptx=ptx, ptx_weight=weight, ptx_batch=4)
        t.policy_optimizer.step = lambda where: {}  # type: ignore[method-assign, assignment]
        values = t.minibatch(t.experience(t.rollout(0)), 0, None)
        assert ("ptx_loss_tok" in values) == (weight > 0)
        found.append(grads(t.policy))
    alone = tiny_llama()
    rows = torch.randint(
        6, (4,), generator=torch.Generator().manual_seed(derive_seed(0, "ptx", 0))
    ).tolist()
    loss, _ = supervised_step(alone, [demonstrations[r] for r in rows], 10_000)
    assert values["ptx_loss_tok"] == pytest.approx(loss, abs=1e-5)
    _assert_same(found[0], found[1])
    for ppo, both, p in zip(found[0], found[2], alone.hf.parameters(), strict=True):
        torch.testing.assert_close(both, ppo + 3 * p.grad, atol=1e-5, rtol=1e-3)


# --- metrics --------------------------------------------------------------------------------------
def test_what_the_value_model_explains_is_a_share_of_the_variance_of_returns() -> None:
    t = make()
    rollout = t.rollout(0)
    batch = t.experience(rollout)
    left = (batch.returns_S - batch.values_S).var(unbiased=False)
    expected = 1 - left / batch.returns_S.var(unbiased=False)
    found = rollout_metrics(rollout, batch)["value_explained"]
    assert found == pytest.approx(float(expected), abs=1e-5)


def test_entropy_is_exact_over_real_tokens_and_only_measured_when_asked() -> None:
    """A known bug (TRL, open-instruct): negative entropy, because padded positions held a
    sentinel."""
    session = LocalSession()
    make(steps=1).train(session)
    assert "entropy_tok" not in session.history[0]
    t = make(entropy=True, temperature=0.8, policy=tiny_llama(3))
    rollout = t.rollout(0)
    batch = t.experience(rollout)
    expected = []
    for prompt, response in zip(rollout.prompts, rollout.responses, strict=True):
        logp = torch.log_softmax(
            native_logits(t.policy, [*prompt, *response])[len(prompt) - 1 : -1] / 0.8, -1
        )
        expected += (-(logp.exp() * logp).sum(-1)).tolist()
    torch.testing.assert_close(batch.entropy_S, torch.tensor(expected), atol=1e-4, rtol=1e-4)
    session = LocalSession()
    t.train(session)
    assert session.history[0]["entropy_tok"] == pytest.approx(
        sum(expected) / len(expected), abs=1e-4
    )
    assert all(0 < row["entropy_tok"] <= math.log(64) for row in session.history)


def test_flat_groups_are_counted_and_teach_exactly_nothing() -> None:
    """GRPO divides by the group's deviation: equal large rewards, whose mean is rounded, must not
    become +-1."""
    same = torch.full((3,), 12345.678)
    assert adv.group_relative(torch.cat([same, torch.tensor([1.0, 2.0, 3.0])]), 3, scale=True)[
        :3
    ].tolist() == [0, 0, 0]
    t, session = (
        make(estimator="grpo", samples_per_prompt=3, score=lambda r: _first_flat(r), steps=1),
        LocalSession(),
    )
    t.train(session)
    assert session.history[0]["flat_group_share"] == 3 / 8
    plain = LocalSession()
    make(steps=1).train(plain)
    assert "flat_group_share" not in plain.history[0]


def _first_flat(rollout: Rollout) -> torch.Tensor:
    """The samples of the first three prompts score the same."""
    return torch.tensor([[p if p < 3 else float(b) for b, p in enumerate(rollout.prompt_index)]])


def test_minibatches_that_an_epochs_last_step_cannot_fill_are_refused_at_once() -> None:
    """Minibatches: 12 prompts in steps of 8 leave 4 for the second step, too few for 5
    minibatches."""
    with pytest.raises(ConfigError, match="has 4 of them, for 5 minibatches"):
        make(prompts=PROMPTS[:12], minibatches=5)


def test_the_step_at_which_a_guard_stops_is_the_last_one_for_the_session() -> None:
    """A stopped run must leave its last metrics and checkpoint: the session is told that this step
    is the last."""
    seen: list[tuple[int, int]] = []

    class Last(LocalSession):
        def end_step(self, step: int, total: int, *rest: Any, **more: Any) -> None:
            seen.append((step, total))
            super().end_step(step, total, *rest, **more)

    make(steps=5, kl_budget=1e-9, score=count_sevens).train(Last())
    assert seen[-1][0] == seen[-1][1] < 5
