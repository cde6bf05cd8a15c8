"""Guards stop a policy that is getting worse, say why, and stay quiet otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from on_policy_toys import count_sevens, make

from accord.errors import ConfigError
from accord.examine.turning import ProxyGoldPoint, gold_turned, proxy_gold_point
from accord.learning.guards import why_stop
from accord.learning.on_policy_settings import OnPolicySettings
from accord.learning.session import LocalSession
from accord.runs.stages.evaluation import at_points
from accord.sampling.rollout import Rollout

HEALTHY = {"kl_seq": 5.0, "unique_share": 0.9, "entropy_tok": 2.0, "ensemble_spread": 0.3}


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        (
            {"kl_budget": 10.0},
            {"kl_seq": 10.5},
            "KL is 10.5 nats per sequence at step 7, above the budget of 10",
        ),
        (
            {"min_unique": 0.5},
            {"unique_share": 0.4},
            "40% of the responses of step 7 are distinct, below 50%",
        ),
        (
            {"min_entropy": 0.5},
            {"entropy_tok": 0.2},
            "entropy is 0.2 nats per token at step 7, below 0.5",
        ),
        ({"max_spread": 1.0}, {"ensemble_spread": 1.25}, "disagree by 1.25 at step 7, above 1:"),
    ],
)
def test_each_guard_says_why(limit: dict[str, float], value: dict[str, float], words: str) -> None:
    settings = OnPolicySettings(steps=9, learning_rate=1e-5, **limit)
    assert why_stop(HEALTHY, settings, 7) is None
    assert words in (why_stop(HEALTHY | value, settings, 7) or "")
    assert (
        why_stop(HEALTHY | value, OnPolicySettings(steps=9, learning_rate=1e-5), 7) is None
    )  # off by default


def test_a_collapsing_policy_is_stopped_by_its_entropy() -> None:
    """An untrained policy over 64 tokens has about log 64 nats; paying for one token takes them
    away."""
    session = LocalSession()
    t = make(steps=40, min_entropy=1.0, kl_coefficient=0.0, prompts_per_step=16)
    result = t.train(session)
    assert result.guard is not None
    assert "entropy" in result.guard
    assert f"at step {result.steps}," in result.guard
    assert result.steps < 40
    assert session.history[-1]["entropy_tok"] < 1.0 < session.history[-2]["entropy_tok"]


def test_a_guard_counts_steps_from_one() -> None:
    result = make(steps=3, min_entropy=100.0).train(LocalSession())
    assert (result.steps, "at step 1," in (result.guard or "")) == (1, True)


@pytest.mark.parametrize(
    "kind", [{"estimator": "gae"}, {"estimator": "grpo", "samples_per_prompt": 3, "kl_in": "loss"}]
)
def test_a_kl_that_nothing_needs_can_be_left_unmeasured(kind: dict[str, Any]) -> None:
    """The same training without the reference's pass; what was not measured is absent, not 0."""
    measured, unmeasured = LocalSession(), LocalSession()
    one = make(kl_coefficient=0.0, **kind)
    first = one.train(measured)
    other = make(kl_coefficient=0.0, measure_kl=False, **kind)
    other.reference = None
    other.policy.reference = None  # type: ignore[assignment,method-assign]  # calling either would fail
    second = other.train(unmeasured)
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.policy.parameters(), other.policy.parameters(), strict=True)
    )
    assert (second.kl_seq, second.score) == (None, first.score)
    absent = {"kl_seq", "kl_seq_k3", "kl_tok", "kl_seq_error", "kl_disagreement"}
    for with_kl, without in zip(measured.history, unmeasured.history, strict=True):
        assert with_kl.keys() - without.keys() == absent
        assert {name: with_kl[name] for name in without} == without
    with pytest.raises(TypeError):
        other._reference(other.rollout(0).groups())


@pytest.mark.parametrize(
    "needs",
    [{}, {"kl_coefficient": 0.0, "kl_target": 6.0}, {"kl_coefficient": 0.0, "kl_budget": 30.0}],
)
def test_a_kl_that_is_needed_is_measured(needs: dict[str, float]) -> None:
    with pytest.raises(
        ConfigError,
        match="measure_kl is false, but kl_coefficient, kl_target or kl_budget needs the KL",
    ):
        OnPolicySettings(steps=2, learning_rate=1e-5, measure_kl=False, **needs)  # type: ignore[arg-type]


def test_members_that_part_stop_the_run() -> None:
    def members(rollout: Rollout) -> torch.Tensor:
        score = count_sevens(rollout)[0]
        return torch.stack([2 * score, torch.zeros(rollout.size)])  # they agree where there is no 7

    result = make(score=members, steps=40, max_spread=2.0).train()
    assert result.guard is not None
    assert "disagree by" in result.guard
    assert result.steps > 2
    with pytest.raises(ConfigError, match="this reward has one member"):
        make(max_spread=1.0).train()


def test_a_callback_that_gives_a_reason_stops_the_run_for_good() -> None:
    session = LocalSession()
    t = make(steps=5)
    result = t.train(session, on_step=lambda step, _: "I have seen enough" if step == 2 else None)
    assert (result.guard, result.steps, len(session.history)) == ("I have seen enough", 2, 2)
    again = make(steps=5)
    again.load(t.state())
    assert again.train() == result


# --- gold turning ---------------------------------------------------------------------------------
def path(
    golds: list[float], proxies: list[float], noise: float = 1.0, prompts: int = 200, seed: int = 0
) -> list[ProxyGoldPoint]:
    """Points of a policy on the same prompts, whose difficulty is shared by all points."""
    rng = np.random.default_rng(seed)
    own = 3 * rng.normal(size=prompts)
    return [
        ProxyGoldPoint(
            10 * i,
            p + own + noise * rng.normal(size=prompts),
            g + own + noise * rng.normal(size=prompts),
        )
        for i, (g, p) in enumerate(zip(golds, proxies, strict=True))
    ]


def test_gold_turning_is_found_where_it_happens() -> None:
    golds, proxies = [0.0, 0.6, 0.9, 0.3], [0.0, 1.0, 2.0, 3.0]
    found = [gold_turned(path(golds, proxies)[:n], 4) for n in range(1, 5)]
    assert found[:3] == [None, None, None]
    assert "gold fell by" in (found[3] or "")
    assert "between steps 10 and 30" in (found[3] or "") or "between steps 20 and 30" in (
        found[3] or ""
    )


def test_a_policy_that_gets_worse_by_both_is_not_gamed() -> None:
    assert gold_turned(path([0.0, -1.0, -2.0], [0.0, -1.0, -2.0]), 3) is None


def test_a_run_without_change_is_rarely_called_gamed_however_often_it_is_looked_at() -> None:
    alarms = 0
    for seed in range(300):
        points = path([0.0] * 8, list(np.arange(8.0)), prompts=50, seed=seed)
        alarms += any(gold_turned(points[:n], 8, level=0.05) for n in range(1, 9))
    assert alarms / 300 < 0.05


def rows(point_of: ProxyGoldPoint) -> list[dict[str, Any]]:
    """As an examination writes them: two members, two samples per prompt, in any order."""
    found = []
    for shift in (-0.1, 0.1):
        for p in reversed(range(len(point_of.gold_P))):
            proxy = float(point_of.proxy_P[p])
            found.append(
                {
                    "prompt_id": p,
                    "proxy": [proxy - 1 + shift, proxy + 1 + shift],
                    "gold": float(point_of.gold_P[p]) + shift,
                }
            )
    return found


def test_points_are_read_from_sample_rows() -> None:
    made = path([0.5], [1.0])[0]
    read = proxy_gold_point(0, rows(made))
    np.testing.assert_allclose(read.gold_P, made.gold_P)
    np.testing.assert_allclose(read.proxy_P, made.proxy_P)


def test_the_loop_stops_at_the_examination_that_found_gold_turned(tmp_path: Path) -> None:
    examined = iter([rows(p) for p in path([0.0, 1.0, 0.2, 0.0, -1.0], [0.0, 1.0, 2.0, 3.0, 4.0])])
    on_step = at_points(5, tmp_path, lambda: next(examined), stop_when_gold_turns=True)
    result = make(steps=10).train(on_step=on_step)
    assert result.steps == 6
    assert "gold fell by" in (result.guard or "")
    assert len(list(tmp_path.glob("step-*.jsonl"))) == 3
    examined = iter([rows(p) for p in path([0.0, 1.0, 0.2], [0.0, 1.0, 2.0])])
    assert (
        make(steps=6).train(on_step=at_points(3, tmp_path / "off", lambda: next(examined))).guard
        is None
    )
