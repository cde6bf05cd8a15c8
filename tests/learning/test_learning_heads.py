"""Ensembles on one trunk, distributions and objectives: likelihoods, training, resume, files,
use."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_learning_loops import JUDGED, assert_resume_is_exact

from accord.errors import ConfigError, DataError, RunError
from accord.learning import likelihoods
from accord.learning.annotators import JudgementParameters
from accord.learning.calibration import context_explained, fit_centre
from accord.learning.choices import centring, log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, RatingScale
from accord.learning.reward import team_step, train_reward
from accord.learning.settings import RewardSettings
from accord.learning.team import Team
from accord.models.ensembles import build_members, trunk_kind
from accord.models.heads import HeadForm, HeadOutput
from accord.models.loading import LoraSettings, load_causal_lm
from accord.models.reward_model import RewardModel
from accord.text.packing import PromptGroup, pack
from tiny import save_tiny, tiny_llama

LORA = LoraSettings(rank=2, alpha=4)
NONE = AnnotatorEffects.none(2)
FAST = {"learning_rate": 3e-3, "warmup": 0.0}
GROUPS = [g.group for g in JUDGED]
BATCH = JudgedBatch.of(JUDGED)


def ensemble(
    trunk: str, lora: LoraSettings | None = None, count: int = 2, form: HeadForm | None = None
) -> RewardModel:
    return RewardModel.untrained(build_members(tiny_llama(), count, 5, trunk, lora, form))  # type: ignore[arg-type]


# --- trunks ---------------------------------------------------------------------------------------
def test_heads_of_a_shared_trunk_are_read_in_one_pass() -> None:
    model, stream = ensemble("shared", count=3), pack(GROUPS)
    passes = []
    hidden = model.members[0].lm.hidden
    model.members[0].lm.hidden = lambda s: passes.append(1) or hidden(s)  # type: ignore[method-assign]
    together = model.scores(stream)
    assert len(passes) == 1
    alone = torch.stack([m.scores(stream) for m in model.members])
    torch.testing.assert_close(together, alone)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_the_gradient_of_a_shared_trunk_is_the_mean_of_its_heads() -> None:
    settings = RewardSettings(learning_rate=3e-4)
    shared, apart = ensemble("shared"), ensemble("own")
    parameters = [JudgementParameters(NONE) for _ in range(2)]
    loss, _ = team_step(Team(shared.members, parameters), BATCH, settings)
    losses = [
        team_step(Team([m], [p]), BATCH, settings)[0]
        for m, p in zip(apart.members, parameters, strict=True)
    ]
    assert loss == pytest.approx(sum(losses) / 2, abs=1e-5)
    weights = zip(
        shared.members[0].lm.parameters(), *(m.lm.parameters() for m in apart.members), strict=True
    )
    for p, q, r in weights:
        torch.testing.assert_close(p.grad, (q.grad + r.grad) / 2, atol=1e-5, rtol=1e-4)
    versions = [BATCH, BATCH.repeated([i % 3 for i in range(len(JUDGED))])]
    for budget in (10_000, 60):
        drawn = ensemble("shared")
        team_step(
            Team(drawn.members, parameters),
            BATCH,
            RewardSettings(micro_batch_tokens=budget, learning_rate=3e-4),
            versions,
        )
        second = ensemble("own").members[1]
        team_step(
            Team([second], [parameters[1]]),
            BATCH.select([i for i in range(len(JUDGED)) for _ in range(i % 3)]),
            settings,
        )
        torch.testing.assert_close(
            drawn.members[1].head.weight.grad, second.head.weight.grad / 2, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("trunk", "lora"), [("shared", None), ("shared", LORA), ("adapters", LORA)]
)
@pytest.mark.parametrize("bootstrap", [False, True])
def test_every_kind_of_ensemble_resumes_exactly(
    trunk: str, lora: LoraSettings | None, bootstrap: bool
) -> None:
    run = RewardSettings(
        epochs=2, batch=5, **FAST, bootstrap=bootstrap, effects="joint", annotator_rate=0.03
    )
    assert_resume_is_exact(
        lambda: ensemble(trunk, lora),
        lambda m, s: train_reward(m, JUDGED, run, NONE, s, JUDGED),
        lambda m: [p for member in m.members for p in member.parameters()],
    )


def test_adapters_on_one_base_equal_trunks_of_their_own() -> None:
    base = tiny_llama()
    before = [p.detach().clone() for p in base.hf.parameters()]
    run = RewardSettings(epochs=1, batch=4, **FAST)
    apart, one = (
        ensemble("own", LORA),
        RewardModel.untrained(build_members(base, 2, 5, "adapters", LORA)),
    )
    assert [trunk_kind(m.members) for m in (apart, one)] == ["own", "adapters"]
    assert train_reward(apart, JUDGED, run, NONE) == train_reward(one, JUDGED, run, NONE)
    assert torch.equal(apart.score(GROUPS), one.score(GROUPS))
    assert all(torch.equal(a, b) for a, b in zip(before, base.hf.parameters(), strict=True))
    with pytest.raises(ConfigError, match="need an adapter each"):
        build_members(base, 2, 5, "adapters")


@pytest.mark.parametrize(
    ("trunk", "lora"),
    [("own", None), ("own", LORA), ("shared", None), ("shared", LORA), ("adapters", LORA)],
)
def test_ensembles_survive_their_files(
    tmp_path: Path, trunk: str, lora: LoraSettings | None
) -> None:
    lm = load_causal_lm(str(save_tiny(tmp_path / "base")))
    model = RewardModel.untrained(build_members(lm, 3, 1, trunk, lora))  # type: ignore[arg-type]
    train_reward(model, JUDGED, RewardSettings(batch=4, **FAST), NONE)
    fit_centre(model, GROUPS)
    loaded = RewardModel.load(model.save(tmp_path / "reward", GROUPS[:2]))
    torch.testing.assert_close(loaded.score(GROUPS), model.score(GROUPS), atol=1e-5, rtol=1e-5)
    assert trunk_kind(loaded.members) == trunk_kind(model.members)
    if trunk == "shared":
        assert loaded.members[0].lm is loaded.members[2].lm
        assert not list((tmp_path / "reward").glob("member-*"))


def test_a_changed_head_is_noticed(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = ensemble("shared").save(tmp_path / "reward", GROUPS[:2])
    heads = load_file(folder / "heads.safetensors")
    save_file(heads | {"1.weight": heads["1.weight"] * 1.1}, folder / "heads.safetensors")
    with pytest.raises(RunError, match="scores its own probes"):
        RewardModel.load(folder)


def test_bootstrapped_heads_of_one_trunk_differ_only_by_what_they_drew() -> None:
    same = RewardModel.untrained([ensemble("shared").members[0]])
    twins = RewardModel.untrained([same.members[0], same.members[0].with_new_head(5)])
    twins.members[1].head.load_state_dict(twins.members[0].head.state_dict())
    train_reward(twins, JUDGED, RewardSettings(batch=4, **FAST), NONE)
    assert torch.equal(twins.members[0].head.weight, twins.members[1].head.weight)
    train_reward(twins, JUDGED, RewardSettings(batch=4, **FAST, bootstrap=True), NONE)
    assert not torch.equal(twins.members[0].head.weight, twins.members[1].head.weight)


def test_prompts_that_no_head_drew_are_not_read() -> None:
    model = ensemble("shared")
    run = RewardSettings(
        epochs=3, batch=1, **FAST, bootstrap=True
    )  # some batches would be empty otherwise
    result = train_reward(model, JUDGED, run, NONE)
    assert 3 <= result.steps < 3 * len(JUDGED)


# --- distributions --------------------------------------------------------------------------------
numbers = st.lists(st.floats(-3, 3), min_size=4, max_size=4)


@given(numbers, numbers)
def test_preferences_between_distributions_sum_to_one(a: list[float], b: list[float]) -> None:
    x, y = torch.tensor(a, dtype=torch.double), torch.tensor(b, dtype=torch.double)
    both = (
        likelihoods.categorical_preference(x, y).exp()
        + likelihoods.categorical_preference(y, x).exp()
    )
    assert both.item() == pytest.approx(1)
    p, q = x.softmax(0), y.softmax(0)
    brute = sum(
        (p[i] * q[j] * (1.0 if i > j else 0.5 if i == j else 0.0)).item()
        for i in range(4)
        for j in range(4)
    )
    assert likelihoods.categorical_preference(x, y).exp().item() == pytest.approx(brute)
    form = HeadForm("mean_variance")
    one, other = form.moments(x[:2]), form.moments(y[:2])
    both = (
        likelihoods.normal_preference(*one, *other).exp()
        + likelihoods.normal_preference(*other, *one).exp()
    )
    assert both.item() == pytest.approx(1)


def test_distribution_gradients_and_tails() -> None:
    x = torch.tensor([[0.3, -1.0, 0.5], [1.0, 0.1, -0.7]], dtype=torch.double, requires_grad=True)
    y = torch.tensor([[0.0, 0.4, 0.9], [-1.0, 2.0, 0.0]], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(likelihoods.categorical_preference, (x, y))
    form = HeadForm("mean_variance")
    assert torch.autograd.gradcheck(
        lambda a, b: likelihoods.normal_preference(*form.moments(a), *form.moments(b)),
        (x[:, :2], y[:, :2]),
    )
    far = torch.tensor([-60.0], requires_grad=True)
    logp = likelihoods.normal_preference(far, torch.ones(1), torch.zeros(1), torch.ones(1))
    logp.sum().backward()
    assert logp.isfinite().all()
    assert far.grad.isfinite().all()


@settings(max_examples=50)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 0.99))
def test_a_normal_distribution_is_read_as_asked(mean: float, raw: float, level: float) -> None:
    outputs = torch.tensor([[mean, raw]], dtype=torch.double)
    deviation = math.log1p(math.exp(raw)) + 1e-3
    assert HeadForm("mean_variance").score(outputs).item() == pytest.approx(mean)
    averse = HeadForm("mean_variance", read="mean_std", risk=1.5)
    assert averse.score(outputs).item() == pytest.approx(mean - 1.5 * deviation)
    quantile = HeadForm("mean_variance", read="quantile", risk=level).score(outputs)
    normal = torch.distributions.Normal(mean, deviation)
    assert normal.cdf(quantile.float()).item() == pytest.approx(level, abs=1e-4)


def test_a_categorical_distribution_is_read_as_asked() -> None:
    shares = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]], dtype=torch.double)
    form = HeadForm("categorical", atoms=4)
    mean, deviation = form.moments(shares.log())
    assert mean.tolist() == pytest.approx([2 / 3, 0.2])
    assert deviation[0].item() == pytest.approx(math.sqrt(0.1 * (2 / 3) ** 2 + 0.2 / 9 + 0.4 / 9))

    def quantile(level: float) -> list[float]:
        return replace(form, read="quantile", risk=level).score(shares.log()).tolist()

    assert quantile(0.05) == pytest.approx([0.0, 0.0])  # the first value holds more than that
    assert quantile(0.3) == pytest.approx([1 / 3, 0.0])
    assert quantile(0.45) == pytest.approx(
        [0.5, 0.0]
    )  # half way from the second to the third value
    assert quantile(0.75) == pytest.approx([(2 + 0.15 / 0.4) / 3, 0.5 / 3])


def test_judgements_under_a_distribution_by_hand() -> None:
    form, outputs = HeadForm("mean_variance"), torch.tensor([[0.3, 0.0], [-0.4, 1.0], [1.1, -1.0]])
    mean, deviation = form.moments(outputs)

    def p(a: int, b: int) -> float:
        return likelihoods.normal_preference(mean[a], deviation[a], mean[b], deviation[b]).item()

    rows = (
        Judgement((0, 1), (0, 1)),
        Judgement((0, 2), (0, 1), kind="tie"),
        Judgement((2, 0, 1), (0, 1, 2)),
        Judgement((1, 2), None),
    )
    group = JudgedGroup(PromptGroup([0], [[4, 1], [5, 1], [6, 1]]), rows)
    batch = JudgedBatch.of([group])
    reading = HeadOutput(mean, None, outputs, form)
    expected = [p(0, 1), (p(0, 2) + p(2, 0)) / 2, p(1, 2), (p(2, 0) + p(2, 1) + p(0, 1)) / 3]
    torch.testing.assert_close(
        log_likelihood(reading, batch, AnnotatorEffects.none()).logp_M, torch.tensor(expected)
    )
    smoothed = log_likelihood(reading, batch, AnnotatorEffects.none(), smoothing=0.2).logp_M
    assert smoothed[0].item() == pytest.approx(0.8 * p(0, 1) + 0.2 * p(1, 0))
    for wrong in (Judgement((0, 1), (0, 1), margin=1.0), Judgement((0,), None, 0, "rating")):
        with pytest.raises(DataError, match="a distribution head learns from choices"):
            log_likelihood(
                reading,
                JudgedBatch.of([replace(group, judgements=(wrong,))]),
                AnnotatorEffects.none(),
            )


def disputed(count: int, seed: int) -> list[JudgedGroup]:
    """Everybody likes token 6 and dislikes token 4; half of the annotators love token 5, the others
    hate it."""
    generator = torch.Generator().manual_seed(seed)
    groups = []
    for i in range(count):
        responses = [
            [t, *torch.randint(8, 40, (2,), generator=generator).tolist(), 1] for t in (4, 5, 6)
        ]
        order = (1, 2, 0) if i % 2 else (2, 0, 1)
        groups.append(JudgedGroup(PromptGroup([0, 9], responses), (Judgement(order, (0, 1, 2)),)))
    return groups


@pytest.mark.parametrize("kind", ["mean_variance", "categorical"])
def test_disagreement_becomes_deviation_and_risk_is_avoided(kind: str) -> None:
    form = HeadForm(kind, atoms=8)  # type: ignore[arg-type]
    model = ensemble("own", count=1, form=form)
    run = RewardSettings(epochs=3, batch=10, **FAST)
    result = train_reward(
        model, disputed(260, 0), run, AnnotatorEffects.none(), heldout=disputed(30, 1)
    )
    groups = [g.group for g in disputed(30, 1)]
    mean, deviation = (m[0].reshape(-1, 3).mean(0) for m in form.moments(model.outputs(groups)))
    assert mean[0] < mean[2]
    assert deviation[1] > 1.5 * max(deviation[0], deviation[2])
    assert result.heldout_nll < math.log(2) - 0.1
    averse = model.read_as(read="quantile", risk=0.1).score(groups)[0].reshape(-1, 3).mean(0)
    assert averse[1] - averse[0] < (mean[1] - mean[0]) - 0.02
    assert 0 < context_explained(model, groups) < 1


@pytest.mark.parametrize(
    "form", [HeadForm("mean_variance", read="mean_std", risk=1.0), HeadForm("categorical", atoms=6)]
)
def test_distributions_resume_and_survive_their_files(tmp_path: Path, form: HeadForm) -> None:
    run = RewardSettings(epochs=1, batch=4, **FAST)
    assert_resume_is_exact(
        lambda: ensemble("shared", form=form),
        lambda m, s: train_reward(m, JUDGED, run, NONE, s, JUDGED),
        lambda m: [p for member in m.members for p in member.parameters()],
    )
    model = ensemble("own", form=form)
    fit_centre(model, GROUPS)
    loaded = RewardModel.load(model.save(tmp_path / "reward", GROUPS[:2]))
    assert loaded.form == form
    torch.testing.assert_close(loaded.score(GROUPS), model.score(GROUPS))


# --- objectives -----------------------------------------------------------------------------------
BOTH = HeadForm(objectives=(("helpful", 0.75), ("brief", 0.25)))
SCALES = (
    RatingScale("helpful", (0.0, 1.0), (0.5, 0.5)),
    RatingScale("brief", (0.0, 1.0), (0.5, 0.5)),
)


def rated(count: int, seed: int) -> list[JudgedGroup]:
    """Token 4 is helpful, token 5 brief, token 6 both, token 7 neither."""
    generator = torch.Generator().manual_seed(seed)
    groups = []
    for _ in range(count):
        responses = [
            [t, *torch.randint(8, 40, (2,), generator=generator).tolist(), 1] for t in (4, 5, 6, 7)
        ]
        said = [
            Judgement((r,), None, 0, "rating", level=int(r in good), scale=k, facet=k)
            for r in range(4)
            for k, good in enumerate(((0, 2), (1, 2)))
        ]
        groups.append(JudgedGroup(PromptGroup([0, 9], responses), tuple(said)))
    return groups


def test_objectives_have_a_head_each_and_are_weighed_at_use(tmp_path: Path) -> None:
    model = ensemble("own", count=1, form=BOTH)
    run = RewardSettings(epochs=6, batch=8, **FAST)
    result = train_reward(
        model, rated(60, 0), run, AnnotatorEffects.none(), heldout=rated(20, 1), scales=SCALES
    )
    assert result.heldout_concordance == {
        "helpful": pytest.approx(1.0, abs=0.03),
        "brief": pytest.approx(1.0, abs=0.03),
    }
    assert result.heldout_agreement is None  # an attribute does not say which response is better
    groups = [g.group for g in rated(20, 1)]
    fit_centre(model, groups)
    helpful, brief, both, neither = model.score(groups)[0].reshape(-1, 4).mean(0).tolist()
    assert both > helpful > brief > neither
    turned = model.read_as(objectives={"brief": 1.0})
    _, brief_now, _, neither_now = turned.score(groups)[0].reshape(-1, 4).mean(0).tolist()
    assert brief_now > neither_now + 0.5
    raw = model.outputs(groups)[0]
    expected = (raw @ torch.tensor([0.75, 0.25]) - model.centre_E[0]) / model.scale
    torch.testing.assert_close(model.score(groups)[0], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match="there is no objective 'kind'"):
        model.read_as(objectives={"kind": 1.0})
    loaded = RewardModel.load(model.save(tmp_path / "reward", groups[:2]))
    assert loaded.form == BOTH


def test_a_rating_of_an_objective_reads_its_own_output() -> None:
    outputs = torch.tensor([[0.5, -1.0], [2.0, 0.3]])
    reading = HeadOutput(BOTH.score(outputs), None, outputs, BOTH)
    group = JudgedGroup(
        PromptGroup([0], [[4, 1], [5, 1]]),
        (
            Judgement((1,), None, 0, "rating", level=1, scale=1, facet=1),
            Judgement((0,), None, 0, "rating", level=1),
        ),
    )
    effects = JudgementParameters(AnnotatorEffects.none(), SCALES).effects()
    logp = log_likelihood(reading, JudgedBatch.of([group]), effects).logp_M
    expected = torch.sigmoid(torch.tensor([0.75 * 0.5 - 0.25 * 1.0, 0.3])).log()
    torch.testing.assert_close(logp, expected, atol=1e-3, rtol=1e-3)


def test_a_rating_of_an_objective_that_the_head_does_not_have() -> None:
    effects = JudgementParameters(AnnotatorEffects.none(), SCALES).effects()
    with pytest.raises(DataError, match="a judgement is of output 0, the head has 0"):
        log_likelihood(torch.zeros(4), JudgedBatch.of(rated(1, 0)), effects)


@pytest.mark.parametrize("form", [HeadForm(), BOTH, HeadForm("mean_variance")])
def test_a_value_model_starts_at_the_score(form: HeadForm) -> None:
    model = ensemble("shared", form=form)
    fit_centre(model, GROUPS)
    value, stream = model.value_model(), pack(GROUPS)
    torch.testing.assert_close(value.scores(stream), model.scores(stream)[0], atol=1e-5, rtol=1e-5)
    assert value.values(stream).shape == stream.score_at_S.shape


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "categorical", "objectives": (("a", 1.0), ("b", 1.0))}, "not several"),
        ({"kind": "mean_variance", "read": "quantile"}, "between 0 and 1"),
        ({"kind": "categorical", "atoms": 1}, "at least 2 atoms"),
        ({"steps": "min", "objectives": (("a", 1.0), ("b", 1.0))}, "not several"),
    ],
)
def test_impossible_heads(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadForm(**fields)


# --- scores ---------------------------------------------------------------------------------------
def test_scores_that_are_not_finite_are_refused() -> None:
    model = ensemble("own")
    with torch.no_grad():
        model.members[1].head.weight[0] = float("nan")
    with pytest.raises(RunError, match="member 1 scores response 0 as nan"):
        model.score(GROUPS)


def test_centring_by_hand_and_its_effect() -> None:
    scores = torch.tensor([1.0, 2.0, -0.5, 0.0], requires_grad=True)
    rows = (
        Judgement((0, 1), (0, 1)),
        Judgement((2, 0, 1), (0, 1, 2)),
        Judgement((3,), None, 0, "rating"),
        Judgement((2, 3), (0, 1), kind="tie"),
    )
    group = JudgedGroup(PromptGroup([0], [[4, 1]] * 4), rows)
    assert centring(scores, JudgedBatch.of([group])).item() == pytest.approx(
        3.0**2 + (2 * 2.5 / 3) ** 2 + 0.5**2
    )
    assert centring(scores, JudgedBatch.of([replace(group, judgements=rows[2:3])])).item() == 0
    means = []
    for weight in (0.0, 0.3):
        model = ensemble("own", count=1)
        with torch.no_grad():
            model.members[0].head.bias.fill_(3.0)
        train_reward(
            model,
            JUDGED,
            RewardSettings(epochs=10, batch=6, learning_rate=1e-2, centring=weight, warmup=0.0),
            NONE,
        )
        means.append(model.score(GROUPS).mean().abs().item())
    assert means[1] < 0.5 * means[0]
