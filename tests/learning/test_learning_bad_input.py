"""What cannot be learned from is refused with words that name it, before any weight changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from on_policy_toys import Fixed, count_sevens, make

from accord.errors import AccordError, ConfigError, DataError, RunError
from accord.learning import advantages as adv
from accord.learning.kinds import GROUPED
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.optimizer import Optimizer
from accord.learning.preference import Pair
from accord.learning.session import LocalSession
from accord.learning.settings import OptimizerSettings
from accord.learning.unpaired import ThumbExample
from accord.models.adapters import PROBE
from accord.models.ensembles import build_members
from accord.models.loading import LoraSettings, add_lora, freeze, load_causal_lm, save_causal_lm
from accord.models.reward_model import RewardModel
from accord.sampling.rollout import Rollout
from accord.text.packing import PromptGroup
from tiny import tiny_llama


def refused(error: type[AccordError], message: str, run: Any, t: Any = None) -> AccordError:
    """`run()` raises `error` with `message` and a fix, and the trainer's weights stay."""
    before = [p.clone() for p in t.policy.hf.parameters()] if t else []
    with pytest.raises(error, match=message) as caught:
        run()
    assert caught.value.fix, "the error does not say what to do"
    assert all(
        torch.equal(p, q)
        for p, q in zip(before, t.policy.hf.parameters() if t else [], strict=True)
    )
    return caught.value


# --- rewards --------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("estimator", ["gae", "reinforce"])
def test_a_reward_that_is_not_finite(value: float, estimator: Any) -> None:
    def score(rollout: Rollout) -> torch.Tensor:
        scores = count_sevens(rollout).repeat(2, 1)
        scores[1, 3] = value
        return scores

    t = make(score=score, estimator=estimator)
    refused(
        RunError, rf"the reward of response 3 is {value} \(member 1; 1 of 16 scores", t.train, t
    )


def test_a_reward_without_bound_stops_before_the_checkpoint() -> None:
    """Finite, but its square is not: the value model's gradient says so, and the session keeps its
    last good step."""
    t, session = make(score=lambda r: 1e30 * count_sevens(r) + 1e30), LocalSession()
    refused(RunError, r"gradient is (inf|nan) at step 1", lambda: t.train(session))
    assert not session.history
    make(score=lambda r: 1e30 * count_sevens(r) + 1e30, score_clip=5.0).train()  # the remedy


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda r: count_sevens(r)[0], r"score of 8 responses has shape \[8\]"),
        (lambda r: count_sevens(r)[:, 1:], r"score of 8 responses has shape \[1, 7\]"),
    ],
)
def test_scores_of_another_shape(score: Any, message: str) -> None:
    t = make(score=score)
    assert "[members, 8]" in str(refused(RunError, message, t.train, t).fix)


def test_groups_whose_rewards_are_all_equal_change_nothing_and_are_counted() -> None:
    """A degenerate step: no advantage, no gradient, and the metric says why."""
    for estimator in ("grpo", "dr_grpo", "rloo", "reinforce_baseline"):
        t = make(
            estimator=estimator,
            samples_per_prompt=3,
            kl_coefficient=0.0,
            whiten_advantages=False,
            steps=1,
            score=lambda r: torch.full((1, r.size), 7.3),
        )
        before, session = [p.clone() for p in t.policy.hf.parameters()], LocalSession()
        t.train(session)
        assert session.history[0]["flat_group_share"] == 1.0
        assert session.history[0]["grad_norm"] == pytest.approx(0, abs=1e-5)
        moved = max(
            float((p - q).abs().max())
            for p, q in zip(before, t.policy.hf.parameters(), strict=True)
        )
        assert moved < 1e-3


def test_one_sample_per_prompt_has_no_group() -> None:
    for estimator in GROUPED:
        error = refused(
            ConfigError,
            f"estimator {estimator} compares the samples",
            lambda e=estimator: OnPolicySettings(steps=1, estimator=e, learning_rate=1e-5),
        )
        assert "2 or more" in (error.fix or "")
        with pytest.raises(ValueError, match="at least 2"):
            adv.estimate(estimator, torch.zeros(3), torch.zeros(3), torch.tensor([1, 2]), 1)


# --- rollouts -------------------------------------------------------------------------------------
def with_sampler(change: Any, **settings: Any) -> Any:
    """A trainer whose sampler's rollouts are changed on their way."""
    t = make(**settings)
    honest = t.sampler

    class Changed:
        def sample(self, *args: Any, **more: Any) -> Rollout:
            return change(honest.sample(*args, **more))

    t.sampler = Changed()
    return t


def test_an_empty_response() -> None:
    def empty(rollout: Rollout) -> Rollout:
        rollout.responses[2], rollout.logprobs[2] = [], torch.zeros(0)
        return rollout

    t = with_sampler(empty)
    refused(RunError, r"empty response \(number 2 of 8\)", t.train, t)
    for build in (
        lambda: Pair([0], [], [1], "row 7"),
        lambda: Pair([0], [1], [], "row 7"),
        lambda: Pair([], [1], [1], "row 7"),
        lambda: ThumbExample([0], [], True, "row 7"),
    ):
        refused(DataError, "'row 7': the .* has no tokens", build)


def test_a_rollout_with_too_few_responses_or_other_log_probabilities() -> None:
    def fewer(rollout: Rollout) -> Rollout:
        cut = {
            name: getattr(rollout, name)[:-1]
            for name in ("prompt_index", "responses", "logprobs", "finished")
        }
        return replace(rollout, **cut)

    t = with_sampler(fewer, samples_per_prompt=2)
    refused(RunError, "returned 15 responses to 8 prompts", t.train, t)

    def longer(rollout: Rollout) -> Rollout:
        rollout.logprobs[1] = torch.cat([rollout.logprobs[1], torch.zeros(1)])
        return rollout

    t = with_sampler(longer)
    refused(RunError, r"log-probabilities for the \d+ tokens of response 1", t.train, t)


def test_responses_that_fill_the_budget_are_scored_as_unfinished_and_trained() -> None:
    """No stop token anywhere: all get the fixed score, the step still runs, nothing invents an
    end."""
    policy = tiny_llama()
    t, session = (
        make(
            policy=policy,
            sampler=Fixed(policy, [[9] * 8] * 8, [False] * 8),
            unfinished_score=-1.0,
            steps=1,
        ),
        LocalSession(),
    )
    t.train(session)
    assert session.history[0]["finished_share"] == 0
    assert session.history[0]["score"] == -1
    assert session.history[0]["response_tokens"] == 8


def test_nothing_to_train() -> None:
    refused(
        ConfigError,
        "no weights to train",
        lambda: Optimizer(
            freeze(tiny_llama()).parameters(), OptimizerSettings(learning_rate=1.0), 1
        ),
    )
    with pytest.raises(DataError, match="0 prompts"):
        make(prompts=[])
    with pytest.raises(ValueError, match="'gae' needs a value model"):
        type(make())(
            tiny_llama(),
            None,
            None,
            None,
            count_sevens,
            [[0]],
            OnPolicySettings(steps=1, learning_rate=1e-5),
        )  # type: ignore[arg-type]


# --- adapters -------------------------------------------------------------------------------------
@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter with weights that do something, saved from a base in `base`."""
    base = load_causal_lm(str(save_causal_lm(tiny_llama(0), tmp_path / "base")))
    policy = add_lora(base, LoraSettings(rank=4), seed=0)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.05)
    return save_causal_lm(policy, tmp_path / "adapter")


def attach_adapter(folder: Path, base: Path | str) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": str(base)})
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda: tiny_llama(9), r"log-probabilities [\d.]+ nats off"),
        (lambda: tiny_llama(0, hidden=48), "size mismatch"),
        (lambda: tiny_llama(0, layers=3), r"log-probabilities [\d.]+ nats off"),
        (lambda: tiny_llama(0, layers=1), "weights have no counterpart, e.g. .*layers.1"),
    ],
    ids=["other weights", "another width", "more layers", "fewer layers"],
)
def test_an_adapter_of_another_base_model(
    adapter: Path, tmp_path: Path, other: Any, why: str
) -> None:
    load_causal_lm(str(adapter))
    attach_adapter(adapter, save_causal_lm(other(), tmp_path / "other"))
    error = refused(
        ConfigError,
        f"adapter in .* was not trained on its base model .*other: .*{why}",
        lambda: load_causal_lm(str(adapter)),
    )
    assert "base_model_name_or_path" in (error.fix or "")


def test_an_adapter_whose_base_is_gone_or_that_came_from_elsewhere(
    adapter: Path, tmp_path: Path
) -> None:
    (adapter / PROBE).unlink()
    load_causal_lm(str(adapter))  # PEFT's own directories have no probe
    attach_adapter(adapter, tmp_path / "nowhere")
    refused(
        ConfigError,
        "adapter in .* needs its base model: .*nowhere is not there",
        lambda: load_causal_lm(str(adapter)),
    )


@pytest.mark.parametrize("foreign", [0, 1])
def test_an_ensemble_with_an_adapter_of_another_base_model(tmp_path: Path, foreign: int) -> None:
    groups = [PromptGroup([1, 2], [[3, 4], [5]])]
    for name, seed in (("one", 0), ("other", 9)):
        base = load_causal_lm(str(save_causal_lm(tiny_llama(seed), tmp_path / f"base-{name}")))
        members = build_members(base, 2, 1, "adapters", LoraSettings(rank=2))
        RewardModel.untrained(members).save(tmp_path / name, groups)
    RewardModel.load(tmp_path / "one")
    changed = tmp_path / "one" / f"member-{foreign}"
    shutil.rmtree(changed)
    shutil.copytree(tmp_path / "other" / f"member-{foreign}", changed)
    refused(
        ConfigError,
        "adapter in .* was not trained on its base model",
        lambda: RewardModel.load(tmp_path / "one"),
    )
    shutil.rmtree(tmp_path / "base-other")
    if foreign == 0:  # the first member says what the base is
        refused(
            ConfigError,
            "member-0 needs its base model: .*base-other is not there",
            lambda: RewardModel.load(tmp_path / "one"),
        )
