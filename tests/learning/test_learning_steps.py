"""Process reward models: steps scored at their own tokens, read as one score, learned from
labels."""

from __future__ import annotations

import pytest
import torch
from test_learning_loops import JUDGED, assert_resume_is_exact

from accord.errors import DataError
from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    Judgement,
    RatingScale,
)
from accord.learning.reward import train_reward
from accord.learning.settings import RewardSettings
from accord.models.heads import HeadForm, HeadOutput, combine_steps
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.text.packing import PromptGroup, pack
from tiny import tiny_llama

DOT = 30  # "." in the tiny alphabet: divides steps
LETTERS = range(4, 30)


def member(steps: str = "end", seed: int = 1) -> ScalarModel:
    return ScalarModel.from_causal_lm(tiny_llama(), seed, form=HeadForm(steps=steps, separator="."))  # type: ignore[arg-type]


GROUP = PromptGroup([0, 9], [[5, 6, DOT, 7, DOT, 8, 1], [5, 1], [6, 7, 8, DOT, 9]])


def test_the_dot_is_a_dot() -> None:
    assert tiny_llama().tokenizer.decode([DOT]) == "."


def test_a_step_is_scored_at_its_own_last_token() -> None:
    model = member()
    said = (
        Judgement((2,), None, 0, "steps", ends=(2, 4), levels=(1, 0)),
        Judgement((0,), None, 0, "steps", ends=(1, 3, 5), levels=(1, 1, 0)),
    )
    groups = [JudgedGroup(PromptGroup([0], [[7, 1]]), ()), JudgedGroup(GROUP, said)]
    stream = pack([g.group for g in groups])
    reading = model.read(stream, JudgedBatch.of(groups).step_ends(stream))
    for k, (response, length) in enumerate(((2, 3), (2, 5), (0, 2), (0, 4), (0, 6))):
        alone = PromptGroup(GROUP.prompt, [list(GROUP.responses[response])[:length]])
        torch.testing.assert_close(
            reading.points_P[k], model.scores(pack([alone]))[0], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("how", ["min", "product", "last"])
def test_a_response_is_read_from_its_steps(how: str) -> None:
    model, stream = member(how), pack([GROUP, PromptGroup([0], [[7, 8, 1]])])
    ends = [[1, 3, 5], [0], [2, 4], [1]]  # a step ends before its separator, and before EOS
    expected = []
    for response, last in zip([*GROUP.responses, [7, 8, 1]], ends, strict=True):
        prompt = [0] if len(expected) == 3 else GROUP.prompt
        s = torch.stack(
            [
                member().scores(pack([PromptGroup(prompt, [list(response)[: e + 1]])]))[0]
                for e in last
            ]
        )
        expected.append(
            {"min": s.min(), "product": torch.sigmoid(s).prod().log(), "last": s[-1]}[how]
        )
    torch.testing.assert_close(model.scores(stream), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_reading_steps_by_hand_and_its_gradient() -> None:
    s = torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.double, requires_grad=True)
    owner = torch.tensor([0, 0, 0, 1])
    assert combine_steps(s, owner, 2, "min").tolist() == pytest.approx([-1.0, 0.3])
    assert combine_steps(s, owner, 2, "last").tolist() == pytest.approx([2.0, 0.3])
    product = torch.sigmoid(s[:3]).prod().log().item()
    assert combine_steps(s, owner, 2, "product")[0].item() == pytest.approx(product)
    for how in ("min", "last", "product"):
        assert torch.autograd.gradcheck(lambda x, how=how: combine_steps(x, owner, 2, how), (s,))


def test_ternary_labels_by_hand() -> None:
    scale = RatingScale("step", (-1.0, 0.0, 1.0), (0.2, 0.3, 0.5), anchored=True)
    parameters = JudgementParameters(AnnotatorEffects.none(), [scale])
    effects = parameters.effects()
    low, high = effects.thresholds[0]
    assert low.item() == 0  # a score is the logit of "not bad"
    assert high.item() > 0
    points = torch.tensor([0.7, -0.4, 0.2])
    group = JudgedGroup(
        PromptGroup([0], [[5, 6, 7, 1]]),
        (Judgement((0,), None, 0, "steps", ends=(0, 1, 2), levels=(2, 0, 1)),),
    )
    batch = JudgedBatch.of([group])
    logp = log_likelihood(HeadOutput(torch.zeros(1), points), batch, effects).logp_M
    assert len(batch.weight_M) == logp.numel() == 3
    sigmoid = torch.sigmoid
    expected = [
        1 - sigmoid(high - 0.7),
        1 - sigmoid(torch.tensor(-0.4)),
        sigmoid(high - 0.2) - sigmoid(torch.tensor(-0.2)),
    ]
    torch.testing.assert_close(logp.exp(), torch.stack(expected))
    with pytest.raises(DataError, match="no scores at their ends"):
        log_likelihood(torch.zeros(1), batch, effects)


def solutions(count: int, seed: int) -> list[JudgedGroup]:
    """Responses of three steps; a step that holds the token 4 is bad."""
    generator = torch.Generator().manual_seed(seed)
    groups = []
    for _ in range(count):
        responses, said = [], []
        for r in range(2):
            ids: list[int] = []
            ends, levels = [], []
            for _ in range(3):
                step = torch.randint(5, 30, (3,), generator=generator).tolist()
                bad = bool(torch.rand((), generator=generator) < 0.3)
                step[int(torch.randint(0, 3, (), generator=generator))] = 4 if bad else 5
                ends.append(len(ids) + 2)
                levels.append(int(not bad))
                ids += [*step, DOT]
            responses.append([*ids[:-1], 1])
            said.append(Judgement((r,), None, 0, "steps", ends=tuple(ends), levels=tuple(levels)))
        groups.append(JudgedGroup(PromptGroup([0, 9], responses), tuple(said)))
    return groups


BINARY = (RatingScale("step", (-1.0, 1.0), (0.3, 0.7), anchored=True),)


@pytest.mark.parametrize("how", ["min", "product"])
def test_bad_steps_are_learned_and_make_a_response_worse(how: str) -> None:
    train, heldout = solutions(120, 0), solutions(40, 1)
    model = RewardModel.untrained([member(how)])
    settings = RewardSettings(epochs=5, batch=10, learning_rate=3e-3, warmup=0.0)
    result = train_reward(
        model, train, settings, AnnotatorEffects.none(), heldout=heldout, scales=BINARY
    )
    assert result.heldout_agreement is None  # labels of steps compare no responses
    assert result.heldout_concordance["step"] > 0.95
    score_R = model.score([g.group for g in heldout])[0]
    told = model.step_scores([g.group for g in heldout], micro_batch_tokens=200)
    assert [[end for end, _ in steps] for steps in told] == [
        list(j.ends) for g in heldout for j in g.judgements
    ]
    if how == "min":
        assert [min(s for _, s in steps) for steps in told] == pytest.approx(
            score_R.tolist(), abs=1e-4
        )
    bad_R = torch.tensor([j.levels.count(0) for g in heldout for j in g.judgements])
    assert score_R[bad_R == 0].mean() > score_R[bad_R == 1].mean() + 1
    if how == "product":  # it is the log-probability that no step is bad
        assert (score_R <= 0).all()
        assert float(score_R.exp().mean()) == pytest.approx(
            float((bad_R == 0).float().mean()), abs=0.1
        )


def test_steps_and_comparisons_together_resume_exactly() -> None:
    groups = [*solutions(6, 2), *JUDGED[:6]]
    settings = RewardSettings(epochs=2, batch=4, learning_rate=3e-3, warmup=0.0)
    assert_resume_is_exact(
        lambda: RewardModel.untrained([member("min"), member("min", 2)]),
        lambda m, s: train_reward(m, groups, settings, AnnotatorEffects.none(2), s, groups, BINARY),
        lambda m: [p for e in m.members for p in e.parameters()],
    )


def test_the_gradient_ignores_micro_batches() -> None:
    from accord.learning.reward import team_step
    from accord.learning.team import Team

    gradients = []
    for budget in (10_000, 40):
        model = member("product")
        team = Team([model], [JudgementParameters(AnnotatorEffects.none(2), BINARY)])
        loss, _ = team_step(
            team,
            JudgedBatch.of([*solutions(4, 3), *JUDGED[:3]]),
            RewardSettings(micro_batch_tokens=budget, learning_rate=3e-4),
        )
        gradients.append([torch.tensor(loss), *(p.grad for p in model.parameters())])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def test_how_steps_are_read_is_stored_with_the_model(tmp_path) -> None:
    model = RewardModel.untrained([member("min")])
    loaded = RewardModel.load(model.save(tmp_path / "prm", [GROUP]))
    assert loaded.members[0].form == HeadForm(steps="min", separator=".")
    torch.testing.assert_close(loaded.score([GROUP]), model.score([GROUP]))
