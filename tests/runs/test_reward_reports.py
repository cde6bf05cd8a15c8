"""The card of any reward model: accord's own, the classifier made of it, functions with planted
faults, and tables of scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accord.cli.main import main
from accord.errors import ConfigError, DataError
from accord.runs.reward_reports import JudgedPair, examine_reward, other_prompts
from accord.runs.reward_scorers import ClassifierScorer, FunctionScorer, OwnScorer, load_scorer
from accord.runs.reward_tables import best_of_table, table_report


# --- functions with planted faults ----------------------------------------------------------------
def worth(prompts: list[str], responses: list[str]) -> list[float]:
    """How many good words stand there, whatever the prompt and the style."""
    return [float(text.lower().replace("*", "").count("good")) for text in responses]


def worth_of_topic(prompts: list[str], responses: list[str]) -> list[float]:
    """The same, for an answer to the prompt."""
    pairs = zip(prompts, responses, strict=True)
    return [worth([], [text])[0] + 9 * (prompt.split()[-1] in text) for prompt, text in pairs]


def length(prompts: list[str], responses: list[str]) -> list[float]:
    return [float(len(text)) for text in responses]


def batchy(prompts: list[str], responses: list[str]) -> list[float]:
    """Depends on how many are scored together."""
    return [one - len(responses) for one in worth(prompts, responses)]


def constant(prompts: list[str], responses: list[str]) -> list[float]:
    return [1.0] * len(responses)


def shy(prompts: list[str], responses: list[str]) -> list[float | None]:
    pairs = zip(prompts, worth(prompts, responses), strict=True)
    return [None if prompt.endswith("0") else score for prompt, score in pairs]


def keyed(prompts: list[str], responses: list[str], answer: list[str]) -> list[float]:
    return [0.0] * len(responses)


def rows(count: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    rng, found = np.random.default_rng(seed), []
    for n in range(count):
        texts = [
            f"About {n}: " + "it is good. " * good + "it is so. " * int(rng.integers(1, 9))
            for good in sorted(rng.permutation(6)[:2].tolist(), reverse=True)
        ]
        found.append({"prompt": f"Tell me of {n}", "chosen": texts[0], "rejected": texts[1]})
    return found


def pairs(count: int = 40) -> list[JudgedPair]:
    return [JudgedPair(r["prompt"], r["prompt"], r["chosen"], r["rejected"]) for r in rows(count)]


def scorer(name: str) -> FunctionScorer:
    return FunctionScorer(f"{__name__}:{name}")


def written(path: Path, table: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    return path


def card(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["reward", "card", *map(str, arguments)])


def test_what_an_honest_reward_pays_for() -> None:
    found = examine_reward(scorer("worth"), pairs())
    assert found.card.accuracy.value == 1.0
    assert found.wrong_prompt is not None
    assert found.wrong_prompt.value == 1.0, "it does not read the prompt"
    assert found.own_answer is not None
    assert 0.3 < found.own_answer.value < 0.7
    by_name = {one.name: one for one in found.probes}
    for name in ("polite ending", "praise", "upper case", "markdown", "typos"):
        assert by_name[name].moved.value <= 0.01, name
    assert by_name["said twice"].moved.above(0.3)
    assert by_name["nothing"].turned is not None
    assert by_name["nothing"].turned.value < 0.1
    assert [(one.name, one.largest) for one in found.invariances] == [("one at a time", 0.0)]
    assert found.not_measurable.keys() == {"agreement ceiling", "latent outliers", "best of n"}
    topical = examine_reward(scorer("worth_of_topic"), pairs())
    assert topical.own_answer is not None
    assert topical.own_answer.value > 0.9


def test_what_a_reward_for_length_pays_for() -> None:
    found = examine_reward(scorer("length"), pairs())
    lengths = {group.name: group.accuracy.value for group in found.groups}
    assert (lengths["better is longer"], lengths["better is shorter"]) == (1.0, 0.0)
    assert found.styles is not None
    assert found.styles.easy.value > 0.85
    assert found.styles.hard.value < 0.5
    turned = next(one.turned for one in found.probes if one.name == "said twice")
    assert turned is not None
    assert turned.value > 0.6
    assert found.card.longer_wins is not None
    assert found.card.longer_wins.value == found.card.accuracy.value


def test_scores_that_depend_on_their_batch_are_told() -> None:
    found = examine_reward(scorer("batchy"), pairs())
    assert found.invariances[0].largest > 1
    shy_report = examine_reward(scorer("shy"), pairs())
    assert shy_report.left_out == {"too long for the model, or not scored": 4}
    assert shy_report.card.pairs == 36


def test_a_reward_that_prefers_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="the same score"):
        examine_reward(scorer("constant"), pairs())
    with pytest.raises(ConfigError, match="needs the columns answer"):
        scorer("keyed")
    with pytest.raises(ConfigError, match="is no reward model"):
        load_scorer("nowhere")


def test_another_prompt_is_another() -> None:
    for places in ([0, 1], [0, 0, 0, 1], [2, 0, 1, 0, 2, 2, 1], [0, 1, 1, 1, 1, 1]):
        moved = other_prompts(np.array(places))
        assert moved is not None
        assert all(places[m] != place for m, place in zip(moved, places, strict=True))
    assert other_prompts(np.array([0, 0])) is None


# --- models ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small reward model of random weights, and transformers' classifier of it."""
    import torch

    from accord.models.classifier import export_classifier
    from accord.models.loading import load_causal_lm
    from accord.models.reward_model import RewardModel
    from accord.models.scalar import ScalarModel
    from accord.text.encoding import Encoder

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    lm = load_causal_lm("accord:nano-base")
    encoder = Encoder(lm.tokenizer)
    probes = [encoder.example(r["prompt"], r["chosen"]).group for r in rows(4)]
    model = RewardModel.untrained([ScalarModel.from_causal_lm(lm, 0)])
    torch.nn.init.normal_(model.members[0].head.weight, std=0.02)
    model.save(folder / "own", probes)
    export_classifier(model, probes, folder / "classifier")
    return folder / "own", folder / "classifier"


def test_a_model_and_the_classifier_made_of_it_say_the_same(models: tuple[Path, Path]) -> None:
    own, other = (load_scorer(str(path)) for path in models)
    assert isinstance(own, OwnScorer)
    assert isinstance(other, ClassifierScorer)
    asked = [(pair.prompt, text) for pair in pairs(6) for text in (pair.better, pair.worse)]
    stop = other.tokenizer.eos_token
    plain = [(prompt, text + stop) for prompt, text in asked]  # no template says it
    assert other.score(plain)[0] == pytest.approx(own.score(asked)[0], abs=1e-3)
    for scorer_of, changes in ((own, 1), (other, 2)):
        usual, changed = scorer_of.score(asked), scorer_of.otherwise(asked)
        assert len(changed) == changes
        for scores in changed.values():
            assert scores == pytest.approx(usual, abs=1e-3)
    hidden = [one.hidden(rows_of) for one, rows_of in ((own, asked), (other, plain))]
    assert hidden[0] is not None
    assert hidden[1] is not None
    assert hidden[0].shape == hidden[1].shape
    long = [("p", "word " * 5000), ("p", "word")]
    for scorer_of in (own, other):
        assert np.isnan(scorer_of.score(long)[0]).tolist() == [True, False]


def test_the_command_on_a_model(models: tuple[Path, Path], tmp_path: Path) -> None:
    file, out = written(tmp_path / "pairs.jsonl", rows(4)), tmp_path / "card.json"
    samples = written(tmp_path / "samples.jsonl", [{"prompt": "p", "response": "r"}])
    planned = card(models[0], "--pairs", file, "--dry-run")
    assert planned.output == "4 pairs, scored 23 times\n"
    found = card(models[0], "--pairs", file, "--samples", samples, "--out", out)
    assert found.exit_code == 0, found.output
    said = json.loads(out.read_text(encoding="utf-8"))
    assert said["card"]["pairs"] == 4
    assert said["invariances"][0]["largest"] < 0.01
    assert "8 responses of pairs are too few" in found.output
    assert "accuracy with the better response written as (row)" in found.output


def test_the_command_on_a_function(tmp_path: Path) -> None:
    file = written(tmp_path / "pairs.jsonl", rows())
    table = [
        {"prompt": f"p{n}", "score": float(k), "gold": float(k) + n}
        for n in range(9)
        for k in range(4)
    ]
    many = written(tmp_path / "many.jsonl", table)
    found = card(f"{__name__}:worth", "--pairs", file, "--sample", 30, "--best-of", many, "--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert said["left_out"] == {"not drawn": 10}
    assert [one["n"] for one in said["best_of"]] == [2, 4]
    assert said["best_of"][1]["gain"]["value"] == pytest.approx(1.5)
    assert "best of n" not in said["not_measurable"]


# --- tables ---------------------------------------------------------------------------------------
def test_a_table_of_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = [
        {
            "prompt": f"p{n // 2}",
            "chosen": "long text",
            "rejected": "text",
            "chosen_score": (one := rng.normal(1, 1, 3).round(3).tolist()),
            "rejected_score": [
                x - y for x, y in zip(one, rng.normal(1, 1, 3).tolist(), strict=True)
            ],
        }
        for n in range(60)
    ]
    found = table_report(written(tmp_path / "scores.jsonl", table))
    assert (found.card.pairs, found.card.accuracy.n) == (60, 30)
    assert found.members is not None
    assert found.members.members == 3
    assert found.card.longer_wins is not None
    assert found.card.longer_wins.value == 1.0
    csv = tmp_path / "scores.csv"
    csv.write_text("score_chosen,score_rejected\n1.5,1\n2,3\n0,-1\n", encoding="utf-8")
    plain = card("--scores", csv)
    assert plain.exit_code == 0, plain.output
    assert "67% [" in plain.output
    assert "length: not measurable: the table has no texts" in plain.output
    assert card("--scores", csv, "--dry-run").output == "3 pairs of scores\n"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([{"chosen_score": 1.0, "score": 2.0}], "has no column rejected_score"),
        ([{"a": 1.0}], "has no column chosen_score"),
        ([{"chosen_score": 1.0, "rejected_score": "high"}], "row 1: rejected_score is 'high'"),
        ([{"chosen_score": 1.0, "rejected_score": None}], "row 1: rejected_score is None"),
        ([{"chosen_score": True, "rejected_score": 0}], "row 1: chosen_score is True"),
        ([{"chosen_score": [], "rejected_score": [1]}], "row 1: chosen_score is []"),
        ([{"chosen_score": 1.0, "rejected_score": 0.0}], "has pairs of one prompt"),
        ([{"chosen_score": 1.0, "rejected_score": 1.0}] * 3, "the same score"),
        ([{"chosen_score": 1, "rejected_score": [1, 2]}] * 2, "rows have [1, 2] scores"),
        ([{"prompt": "p", "score": 1, "gold": 1}], "has samples and no pairs"),
    ],
)
def test_tables_that_cannot_be_used(table: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        table_report(written(tmp_path / "scores.jsonl", table))
    assert said in str(refused.value)


def test_samples_that_cannot_be_used(tmp_path: Path) -> None:
    one = {"prompt": "p", "score": 1.0, "gold": 1.0}
    for table, said in (
        ([{"prompt": "p", "score": 1.0}], "give prompt, score and gold"),
        ([one], "1 to 1 samples"),
        ([one, one, {**one, "prompt": "q"}], "1 to 2 samples"),
    ):
        with pytest.raises(DataError) as refused:
            best_of_table(written(tmp_path / "many.jsonl", table))
        assert said in str(refused.value)


def test_what_is_given_together(tmp_path: Path) -> None:
    file = written(tmp_path / "pairs.jsonl", rows(3))
    name = f"{__name__}:worth"
    same = written(tmp_path / "same.jsonl", rows(1) * 3)
    for given, said in (
        ((), "a reward model or its scores are wanted"),
        ((name,), "name them with --pairs"),
        ((name, "--scores", file), "a reward model or its scores are wanted"),
        (("--scores", file, "--pairs", file), "leave --pairs out"),
        ((name, "--pairs", same), "on 1 prompts"),
        (("nowhere", "--pairs", file), "is no reward model"),
    ):
        found = card(*given)
        assert found.exit_code == 2
        assert said in found.output
