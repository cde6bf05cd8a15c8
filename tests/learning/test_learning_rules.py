"""Rules of reward learning on numbers worked out by hand, where a sign or a constant could slip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_learning_loops import JUDGED, reward_model

from accord.errors import RunError
from accord.feedback.better import Voters, better_probabilities
from accord.feedback.crowd_likelihood import CrowdJudgement
from accord.learning.annotators import JudgementParameters, check_reward_sign
from accord.learning.calibration import fit_centre, fit_temperature, pair_agreement
from accord.learning.choices import Terms
from accord.learning.judged_batch import JudgedBatch
from accord.learning.judged_pairs import (
    decided_pairs,
    equal_pairs,
    one_pair_per_row,
    posterior_labels,
    without_pair,
)
from accord.learning.judgements import (
    AnnotatorEffects,
    JudgedGroup,
    Judgement,
    RatingScale,
    strict_pairs,
)
from accord.learning.reward import aggregate, evaluate, mixture
from accord.learning.settings import RewardSettings
from accord.learning.team import Team
from accord.learning.weights import effective
from accord.models.scalar import ScalarModel
from accord.text.packing import PromptGroup, pack

GROUP = PromptGroup([0, 9], [[4, 1], [5, 1], [6, 1]])


def test_an_ensemble_that_disagrees_scores_lower() -> None:
    """Mean - penalty * variance over members (Coste et al. 2023); the worst is the lowest score."""
    scores_EB = torch.tensor([[1.0, 3.0, 0.0], [3.0, 3.0, 4.0]])
    assert aggregate(scores_EB, "mean").tolist() == [2.0, 3.0, 2.0]
    assert aggregate(scores_EB, "worst").tolist() == [1.0, 3.0, 0.0]
    assert aggregate(scores_EB, "variance").tolist() == [1.5, 3.0, 0.0]
    assert aggregate(scores_EB, "variance", penalty=1.0).tolist() == [1.0, 3.0, -2.0]


def test_a_mixture_is_the_mean_of_probabilities() -> None:
    logp_EM = torch.tensor([[0.2, 0.9], [0.6, 0.9]]).log()
    torch.testing.assert_close(mixture(logp_EM), torch.tensor([0.4, 0.9]).log())


def test_members_alike_are_worth_what_one_is() -> None:
    model = reward_model()
    member = model.members[0]
    teams = [
        Team([ScalarModel(member.lm, member.head)], [JudgementParameters(AnnotatorEffects.none(2))])
    ]
    one = evaluate(teams, JUDGED, RewardSettings(learning_rate=3e-4))[0]
    assert evaluate(teams * 3, JUDGED, RewardSettings(learning_rate=3e-4))[0] == pytest.approx(
        one, abs=1e-5
    )


def test_terms_are_weighted_means() -> None:
    terms = Terms(torch.tensor([-1.0, -3.0]), torch.tensor([3.0, 1.0]))
    assert (terms.sum.item(), terms.mean.item()) == (-6.0, -1.5)


def test_centring_is_a_mean_over_choices_alone() -> None:
    """Ratings beside them do not thin it out, whatever they weigh."""
    rating = Judgement((2,), None, 0, "rating", weight=5.0)
    batch = JudgedBatch.of(judged(vote(0, 1, weight=3.0), rating))
    member, stream = reward_model().members[0], pack(batch.groups)
    scale = RatingScale("thumb", (0.0, 1.0), (0.5, 0.5))
    team = Team([member], [JudgementParameters(AnnotatorEffects.none(), [scale])])
    settings = RewardSettings(learning_rate=3e-4, centring=0.5)
    loss, nll = team.loss(stream, [batch], [batch], settings)
    first, second, _ = member.scores(stream).tolist()
    assert loss.item() - nll == pytest.approx(0.5 * (first + second) ** 2, abs=1e-5)


def judged(*judgements: Judgement) -> list[JudgedGroup]:
    return [JudgedGroup(GROUP, judgements, "row")]


def vote(better: int, worse: int, annotator: int = 0, **more: float) -> Judgement:
    return Judgement((better, worse), (0, 1), annotator, **more)  # type: ignore[arg-type]


def effects(*rationality: float) -> AnnotatorEffects:
    return AnnotatorEffects(torch.tensor(rationality), torch.zeros(len(rationality)))


def test_a_contrarian_vote_counts_the_other_way() -> None:
    (pair,), undecided = decided_pairs(judged(vote(0, 1)), effects(-2.0))
    assert (pair.chosen, pair.rejected, undecided) == ([5, 1], [4, 1], 0)
    assert pair.doubt == pytest.approx(wrong(2.0), abs=0.004)
    (pair,), _ = decided_pairs(judged(vote(1, 0)), effects(-2.0))
    assert (pair.chosen, pair.rejected) == ([4, 1], [5, 1])


def wrong(*rationality: float) -> float:
    """P(the other is better) after votes of these rationalities, negative ones against."""
    d = torch.linspace(-15, 15, 60_001, dtype=torch.double)
    log_p = -d.square() / 4
    for r in rationality:  # Davidson's, at the effects' log nu of -1
        log_p = log_p - torch.log1p(torch.exp(-r * d) + torch.exp(-1 - r * d / 2))
    return float(torch.softmax(log_p, 0)[d < 0].sum())


def test_votes_are_weighed_by_what_the_model_says() -> None:
    both = judged(vote(0, 1, 0), vote(1, 0, 1))
    (pair,), _ = decided_pairs(both, effects(1.0, 3.0))  # the more rational one prevails
    assert (pair.chosen, pair.doubt) == ([5, 1], pytest.approx(wrong(3.0, -1.0), abs=0.01))
    assert decided_pairs(both, effects(1.0, 1.4)) == ([], 1)  # nearly even: log-odds below .5
    (pair,), _ = decided_pairs(judged(vote(0, 1, doubt=0.25)), effects(2.0))
    assert pair.doubt > wrong(2.0) + 0.05
    weighed = judged(vote(0, 1, 0, weight=3.0), vote(1, 0, 1, weight=1.0))
    (pair,), _ = decided_pairs(weighed, effects(2.0, 2.0))
    assert (pair.chosen, pair.weight) == ([4, 1], 2.0)
    (many,), _ = decided_pairs(judged(*[vote(0, 1, 0, weight=7.0)] * 9), effects(2.0))
    (one,), _ = decided_pairs(judged(vote(0, 1, 0)), effects(2.0))
    assert many.doubt < one.doubt == pytest.approx(wrong(2.0), abs=0.004)
    sure = effects(20.0)
    for p_KK in posterior_labels(judged(*[vote(0, 1)] * 400, *[vote(1, 2)] * 400), effects(20.0)):
        ends = np.delete(p_KK.ravel(), range(0, p_KK.size, len(p_KK) + 1))
        assert (ends.min(), ends.max()) == (1e-4, 1 - 1e-4)
    assert decided_pairs(judged(vote(0, 1)), sure)[0][0].doubt == pytest.approx(
        wrong(20.0), abs=0.003
    )


def test_a_side_pickers_vote_for_the_other_side_says_more() -> None:
    def doubt(side_bias: float, shown_at: tuple[int, int]) -> float:
        said = judged(Judgement((0, 1), shown_at, 0))
        picker = AnnotatorEffects(torch.tensor([1.5]), torch.tensor([side_bias]))
        ((pair,), _) = decided_pairs(said, picker, least=0.0)
        return pair.doubt

    first, second = (0, 1), (1, 0)
    assert doubt(3.0, second) < doubt(0.0, second) < doubt(3.0, first)
    assert doubt(-3.0, first) < doubt(0.0, first) < doubt(-3.0, second)


@pytest.mark.parametrize(
    "said",
    [
        Judgement((0, 1, 2), None, 0, "choice"),
        Judgement((0, 1, 2), (0, 1, 2), 0, tied=(1, 2)),
    ],
)
def test_pairs_of_one_judgement_are_not_independent_votes(said: Judgement) -> None:
    """Two pairs among three options, 2/3 of a vote each."""
    found = posterior_labels(judged(said), effects(2.0))
    pairs = [CrowdJudgement((0, k), (0.0, 0.0), False, 0, False) for k in (1, 2)]
    voters = Voters(np.array([2.0]), np.zeros(1), np.zeros(1), -1.0)
    expected = better_probabilities(pairs, [0, 0], [3], voters, [2 / 3, 2 / 3])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-3)


def test_a_ranking_shares_its_weight_among_its_pairs() -> None:
    pairs, undecided = decided_pairs(
        judged(Judgement((2, 0, 1), (0, 1, 2), weight=6.0)), effects(1.0)
    )
    found = {(p.chosen[0], p.rejected[0]): p.weight for p in pairs}
    assert (found, undecided) == ({(6, 4): 2.0, (6, 5): 2.0, (4, 5): 2.0}, 0)
    rows = one_pair_per_row(judged(Judgement((2, 0, 1), (0, 1, 2), weight=6.0)))
    assert [(r.group.responses[0][0], r.judgements[0].weight) for r in rows] == [
        (6, 2.0),
        (6, 2.0),
        (4, 2.0),
    ]


def test_pairs_that_say_nothing_are_counted() -> None:
    tie, equal = Judgement((0, 1), (0, 1), kind="tie"), PromptGroup([0], [[4, 1], [4, 1]])
    groups = [JudgedGroup(GROUP, (vote(0, 1), tie)), JudgedGroup(equal, (vote(0, 1),))]
    assert (without_pair(groups), equal_pairs(groups), len(one_pair_per_row(groups))) == (1, 1, 1)
    assert decided_pairs(groups[1:], effects(1.0)) == ([], 0)


def test_the_reward_is_upside_down_only_where_most_are_contrary() -> None:
    def learned(*values: float, name: str = "rationality_A") -> list[JudgementParameters]:
        scale = RatingScale("thumb", (0.0, 1.0), (0.5, 0.5))
        parameters = JudgementParameters(AnnotatorEffects.none(len(values)), [scale], joint=True)
        with torch.no_grad():
            getattr(parameters, name).copy_(torch.tensor(values))
        return [parameters]

    check_reward_sign(learned(-1.0, 0.5, 2.0))  # one contrarian among three
    for name, what in (("rationality_A", "rationality"), ("sharpness_A", "sharpness")):
        with pytest.raises(RunError, match=f"the {what} of most annotators"):
            check_reward_sign(learned(-1.0, -0.5, 2.0, name=name))


def test_agreement_counts_equal_scores_half() -> None:
    groups = judged(vote(0, 1), vote(1, 2), vote(2, 0))
    assert pair_agreement(torch.tensor([3.0, 1.0, 1.0]), groups) == pytest.approx(0.5)


def test_scores_of_the_reference_have_mean_0_and_deviation_1() -> None:
    model, groups = reward_model(), [g.group for g in JUDGED]
    fit_centre(model, groups)
    scores_ER = model.score(groups)
    torch.testing.assert_close(scores_ER.mean(1), torch.zeros(model.size), atol=1e-4, rtol=0)
    assert scores_ER.mean(0).std().item() == pytest.approx(1.0, abs=1e-4)


def test_a_temperature_above_one_softens_scores_that_say_too_much() -> None:
    """Of pairs half of which are wrong, none can be believed; of right ones each can."""
    model = reward_model()
    scores_R = model.score([g.group for g in JUDGED]).mean(0).view(len(JUDGED), 4)

    def pairs(right: bool) -> list[JudgedGroup]:
        found = []
        for group, row in zip(JUDGED, scores_R, strict=True):
            best, worst = int(row.argmax()), int(row.argmin())
            said = [vote(best, worst)] if right else [vote(best, worst), vote(worst, best)]
            found.append(JudgedGroup(group.group, tuple(said)))
        return found

    assert fit_temperature(model, pairs(True)) < 0.05
    assert fit_temperature(model, pairs(False)) > 20


def test_effective_counts_are_kishs() -> None:
    assert effective([1.0] * 7) == 7
    assert effective([3.0, 1.0]) == pytest.approx(16 / 10)
    assert effective([]) == 0


def test_a_batch_whose_weights_are_all_alike_counts_every_term() -> None:
    assert JudgedBatch.of(JUDGED).weight == sum(len(g.judgements) for g in JUDGED)
    assert len(strict_pairs(JUDGED)) == len(JUDGED) * 7
