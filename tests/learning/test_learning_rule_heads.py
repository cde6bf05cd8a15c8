"""Heads for rules: one likelihood with the score, resumed bit by bit, saved, read again, settled."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_learning_loops import JUDGED, assert_resume_is_exact

from accord.errors import DataError, RunError
from accord.examine.rule_card import rule_card
from accord.learning.annotators import JudgementParameters
from accord.learning.choices import log_likelihood
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judgements import AnnotatorEffects, JudgedGroup, Judgement, RatingScale
from accord.learning.reward import train_reward
from accord.learning.rule_heads import rule_answers, settle_rules, start_rules
from accord.learning.settings import RewardSettings
from accord.models.ensembles import build_members
from accord.models.heads import HeadForm, HeadOutput, value_head
from accord.models.reward_model import RewardModel
from accord.text.packing import PromptGroup
from tiny import tiny_llama

FORM = HeadForm(rules=("polite", "brief"))
SCALES = [RatingScale(f"rule {name}", (0.0, 1.0), (0.25, 0.75), anchored=True) for name in "pb"]
GROUPS = [g.group for g in JUDGED]


def answered(number: int, group: JudgedGroup) -> JudgedGroup:
    """With a yes or no to each rule about two responses, and a soft comparison by the second."""
    said = tuple(
        Judgement((r,), None, number % 2, "rating", level=(number + r) % 2, scale=s, facet=1 + s)
        for r in (0, 1)
        for s in (0, 1)
    )
    part = Judgement((0, 1), (1, 0), number % 2, doubt=0.25, facet=2)
    return replace(group, judgements=(*group.judgements, *said, part))


SAID = [answered(n, g) for n, g in enumerate(JUDGED)]


def model(form: HeadForm = FORM, trunk: str = "shared") -> RewardModel:
    return RewardModel.untrained(build_members(tiny_llama(), 2, 5, trunk, None, form))  # type: ignore[arg-type]


def train(m: RewardModel, session: object = None) -> object:
    run = RewardSettings(learning_rate=3e-3, warmup=0.0, epochs=1, batch=5, effects="joint")
    return train_reward(m, SAID, run, AnnotatorEffects.none(2), session, SAID[:4], SCALES)  # type: ignore[arg-type]


def test_heads_of_rules_resume_bit_by_bit_and_survive_their_files(tmp_path: Path) -> None:
    assert_resume_is_exact(
        model, train, lambda m: [p for member in m.members for p in member.parameters()]
    )
    trained = model()
    train(trained)
    folder = trained.save(tmp_path / "reward", GROUPS[:2])
    loaded = RewardModel.load(folder)
    assert loaded.form == FORM
    torch.testing.assert_close(
        loaded.rule_probabilities(GROUPS), trained.rule_probabilities(GROUPS)
    )
    kept = json.loads((folder / "reward.json").read_text())
    kept["probe_rules"][0][1] = float("nan")
    (folder / "reward.json").write_text(json.dumps(kept))
    with pytest.raises(RunError, match="scores its own probes nan off"):
        RewardModel.load(folder)
    with pytest.raises(DataError, match="no heads for rules"):
        model(HeadForm()).rule_probabilities(GROUPS)


def test_the_score_is_not_moved_by_its_rules() -> None:
    """It is the first output, or the objectives weighed; so is what a value model starts from."""
    outputs = torch.tensor([[1.0, 5.0, -2.0], [0.5, 0.0, 9.0]])
    assert FORM.score(outputs).tolist() == [1.0, 0.5]
    weighed = HeadForm(objectives=(("a", 0.5), ("b", 2.0)), rules=("polite",))
    assert weighed.score(outputs).tolist() == [10.5, 0.25]
    for form, scores in ((FORM, [1.0, 0.5]), (weighed, [10.5, 0.25])):
        head = form.head(3, 0)
        with torch.no_grad():
            head.weight.copy_(torch.eye(3))
        value = value_head(head, form, 0.0, 1.0)
        assert value(outputs).tolist() == pytest.approx(scores)
    assert HeadForm.of(json.loads(json.dumps(vars(weighed)))) == weighed
    for wrong in ({"kind": "mean_variance"}, {"steps": "min"}):
        with pytest.raises(ValueError, match="beside a score at a response's end"):
            HeadForm(rules=("polite",), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rules repeat"):
        HeadForm(rules=("polite", "polite"))


@given(st.floats(-5, 5), st.booleans(), st.floats(-2, 2), st.floats(0.2, 3))
def test_a_yes_or_no_is_a_choice_by_its_output(
    logit: float, kept: bool, offset: float, sharpness: float
) -> None:
    """log P = log sigmoid(kappa r + o) of the rule's own output, and nobody else's."""
    outputs = torch.tensor([[3.0, logit, -7.0]], dtype=torch.float64)
    said = Judgement((0,), None, 0, "rating", level=int(kept), scale=0, facet=1)
    batch = JudgedBatch.of([JudgedGroup(PromptGroup([0], [[4, 1]]), (said,))])
    effects = replace(
        JudgementParameters(AnnotatorEffects.none(), SCALES).effects(),
        sharpness_A=torch.tensor([sharpness], dtype=torch.float64),
        offset_A=torch.tensor([offset], dtype=torch.float64),
    )
    reading = HeadOutput(FORM.score(outputs), outputs_RO=outputs, form=FORM)
    u = sharpness * logit + offset
    wanted = -math.log1p(math.exp(-u if kept else u))
    assert log_likelihood(reading, batch, effects).sum.item() == pytest.approx(wanted, abs=1e-9)


def test_what_is_saved_is_the_average_annotator() -> None:
    """Their sharpness and offset, weighed by answers, in the head; the score stays as it was."""
    answers = rule_answers(SAID, 1)
    assert len(answers) == 4 * len(SAID)
    assert [(a.rule, a.kept) for a in answers[:4]] == [(0, False), (1, False), (0, True), (1, True)]
    first = min(a.response for a in answers if a.prompt == 1)
    assert first == len(SAID[0].group.responses)
    one = model(trunk="own")
    start_rules(one, [0.75, None])
    bias = one.members[1].head.bias.tolist()
    assert bias == pytest.approx([0.0, math.log(3), 0.0])
    scores, before = one.score(GROUPS), one.outputs(GROUPS)
    values = {"sharpness": [2.0, 1.0], "offset": [0.5, -0.1]}
    settle_rules(one, [values, values], answers)  # type: ignore[list-item]
    share = sum(a.annotator == 0 for a in answers) / len(answers)
    kappa, offset = share * 2 + (1 - share), share * 0.5 - (1 - share) * 0.1
    torch.testing.assert_close(one.outputs(GROUPS)[..., 1:], kappa * before[..., 1:] + offset)
    torch.testing.assert_close(one.score(GROUPS), scores)
    settle_rules(one, [values, values], [])  # type: ignore[list-item]
    torch.testing.assert_close(one.outputs(GROUPS)[..., 1:], kappa * before[..., 1:] + offset)


def test_a_rule_s_card_by_hand() -> None:
    p, kept = np.array([0.9, 0.2, 0.6, 0.5]), np.array([True, False, False, True])
    card = rule_card("polite", p, kept, [0, 1, 2, 3])
    assert (card.accuracy.value, card.kept.value, card.guess) == (0.625, 0.5, 0.5)
    assert card.auc == 0.75  # of the pairs (.9, .2), (.9, .6), (.5, .2), (.5, .6) one is wrong
    wanted = -np.log([0.9, 0.8, 0.4, 0.5]).mean()
    assert card.log_loss.value == pytest.approx(wanted)
    assert card.guess_log_loss == pytest.approx(math.log(2))
    assert rule_card("polite", p, np.ones(4, bool), [0, 1, 2, 3]).auc is None
