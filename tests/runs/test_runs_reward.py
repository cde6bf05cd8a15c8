"""Reward stages at toy size: every kind of feedback from a file to a saved model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from accord.errors import AccordError, DataError
from accord.feedback.records import Feedback
from accord.models.loading import load_causal_lm
from accord.models.reward_model import RewardModel
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageContext, StageProgress
from accord.runs.session import InterruptFlag
from accord.runs.stages.judged import annotator_effects, read_judged
from accord.runs.stages.reward import RewardConfig, _load
from accord.runs.stages.settings import LengthConfig
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.seeds import derive_seed
from accord.text.encoding import Encoder
from tiny import tiny_llama

pytestmark = pytest.mark.usefixtures("pico_here")

WORDS = ("great", "fine", "slow", "loud", "odd", "new")
GRADES = {"joy": 4, "film": 2, "bore": 0}


def record(
    number: str, kind: str, prompt: str, texts: Iterable[str], choice: dict, annotator: str = "one"
) -> dict:
    options = [{"id": chr(97 + i), "content": text, "shown_at": i} for i, text in enumerate(texts)]
    made = {
        "id": number,
        "kind": kind,
        "prompt": prompt,
        "options": options,
        "choice": choice,
        "annotator": annotator,
    }
    return json.loads(Feedback.model_validate(made).model_dump_json())


def write(path: Path, records: Iterable[dict]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


class Spoken(StageProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def run(
    tmp_path: Path, feedback: Path, more: str = "", after: str = ""
) -> tuple[dict[str, Any], str, Path]:
    """(result of the reward stage, what was said, its folder)."""
    reward = "kind: reward, model: ./pico, learning_rate: 3.0e-3, evaluation: 0.2"
    defaults = {"members": 1, "epochs": 6, "batch": 3, "centre_samples": 16}
    given = "".join(f", {k}: {v}" for k, v in defaults.items() if f"{k}:" not in more)
    path = tmp_path / "toy.yaml"
    path.write_text(
        f"name: toy\nthreads: 1\nstages:\n  reward: {{{reward}{given}, feedback: {feedback}{more}}}\n{after}"
    )
    spoken = Spoken()
    runner.execute(recipes.load(str(path), []), tmp_path / "run", False, spoken, {})
    folder = tmp_path / "run/stages/01-reward"
    return json.loads((folder / "result.json").read_text()), "\n".join(spoken.lines), folder


def rated(kind: str = "both") -> list[dict]:
    """Ratings by a strict and a kind annotator, and thumbs by a third, of the same three words."""
    found = []
    for i, a in enumerate(WORDS):
        for j, b in enumerate(WORDS):
            for word, grade in GRADES.items():
                text, prompt = f" is a {b} {word}.", f"This {a} film"
                who, level = ("kind", min(4, grade + 1)) if j % 2 else ("strict", max(0, grade - 1))
                if kind != "thumbs":
                    choice = {"scores": {"overall": level}, "low": 0, "high": 4}
                    found.append(record(f"r{i}{j}{word}", "rating", prompt, [text], choice, who))
                if kind != "ratings" and word != "film":
                    found.append(
                        record(
                            f"t{i}{j}{word}", "thumb", prompt, [text], {"up": grade > 2}, "thumbs"
                        )
                    )
    return found


def joy_over_bore(adjectives: Iterable[str]) -> list[dict]:
    """On the film of every word, a comparison for each adjective."""
    return [
        record(
            f"c{i}{j}",
            "comparison",
            f"This {a} film",
            [f" is a {b} joy.", f" is a {b} bore."],
            {"preferred": "a"},
        )
        for i, a in enumerate(WORDS)
        for j, b in enumerate(adjectives)
    ]


@pytest.mark.slow
def test_ratings_thumbs_and_comparisons_in_one_run(tmp_path: Path) -> None:
    mix = rated()
    for i, a in enumerate(WORDS):
        texts = [f" is a {a} joy.", f" is a {a} bore."]
        mix.append(
            record(f"c{i}", "comparison", f"This {a} film", texts, {"preferred": "a"}, "four")
        )
    result, said, folder = run(
        tmp_path, write(tmp_path / "mix.jsonl", mix), ", effects: joint, annotator_rate: 0.1"
    )
    assert "186 judgements on 6 prompts; left out: 0" in said
    assert result["values"]["heldout_accuracy"] > 0.9
    told = json.loads((folder / "annotators.json").read_text())
    assert [s["name"] for s in told["scales"]] == ["overall 0 to 4", "thumb"]
    offsets = {a["annotator"]: a["offset"] for a in told["annotators"]}
    assert offsets["kind"] > offsets["strict"] + 0.5
    assert told["scales"][0]["thresholds"] == sorted(told["scales"][0]["thresholds"])
    names = [a["annotator"] for a in told["annotators"]]
    again = annotator_effects(folder / "annotators.json", names)  # later stages can start from it
    assert again.rationality_A.tolist() == pytest.approx(
        [a["rationality"] for a in told["annotators"]]
    )


@pytest.mark.slow
def test_thumbs_alone(tmp_path: Path) -> None:
    result, _, folder = run(
        tmp_path, write(tmp_path / "thumbs.jsonl", rated("thumbs")), ", members: 2"
    )
    assert result["values"]["heldout_accuracy"] > 0.9
    assert "model" in result["artefacts"]
    assert (folder / "model" / "reward.json").is_file()


def test_ratings_that_cannot_be_used(tmp_path: Path) -> None:
    def rating(number: str, scores: dict[str, float], high: float = 100.0) -> dict:
        return record(
            number, "rating", "p", [f"text {number}"], {"scores": scores, "low": 0, "high": high}
        )

    cases = {
        "several attributes: clear, short": [rating("1", {"clear": 1, "short": 2})],
        "overall have 40 different values": [rating(str(i), {"overall": i}) for i in range(40)],
        "2 rating of overall: all are 3": [
            rating("1", {"overall": 3}),
            rating("2", {"overall": 3}),
        ],
    }
    for number, (message, rows) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(DataError, match=message):
            run(folder, write(folder / "ratings.jsonl", rows))


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AccordError, match="effects"):
        run(tmp_path, tmp_path / "none.jsonl", ", effects: guess")


def solved(count: int = 36) -> list[dict]:
    """Rows of TRL's stepwise kind: a step with a bore is wrong."""
    rows = []
    for i in range(count):
        words = ["joy" if (i >> k) % 3 else "bore" for k in range(3)]
        steps = [f"The {WORDS[(i + k) % 6]} part is a {word}." for k, word in enumerate(words)]
        rows.append(
            {"prompt": f"Film {i}.", "completions": steps, "labels": [w == "joy" for w in words]}
        )
    return rows


@pytest.mark.slow
def test_a_process_reward_model_from_stepwise_rows(tmp_path: Path) -> None:
    from accord.models.reward_model import RewardModel
    from accord.text.encoding import Encoder
    from accord.text.packing import PromptGroup

    more = ", steps: min, epochs: 7, lengths: {max_response_tokens: 64}"
    result, said, folder = run(tmp_path, write(tmp_path / "steps.jsonl", solved()), more)
    assert result["values"]["heldout_concordance"]["step"] > 0.95
    assert "no held-out pair" in result["summary"]
    assert "other steps than" not in said
    model = RewardModel.load(folder / "model")
    encoder = Encoder(model.members[0].lm.tokenizer)
    good, bad = (
        encoder.example("Film 99.", text).response_ids
        for text in (
            "The new part is a joy.\nThe odd part is a joy.",
            "The new part is a bore.\nThe odd part is a joy.",
        )
    )
    scores = model.score([PromptGroup(encoder.prompt("Film 99."), [good, bad])])[0]
    assert scores[0] > scores[1] + 0.5


def test_step_labels_that_teach_nothing_about_the_score(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all feedback is about steps") as error:
        run(tmp_path, write(tmp_path / "steps.jsonl", solved(4)))
    assert "set steps: min, product or last" in str(error.value)


@pytest.mark.slow
def test_step_labels_left_out_are_counted(tmp_path: Path) -> None:
    texts = ["One joy.\nTwo joy.", "One bore.\nTwo joy."]
    steps = [["One joy.", "Two joy."], ["One bore.", "Two joy."]]
    rows = [
        record(
            f"s{i}",
            "step_labels",
            f"Film {i}",
            [texts[i % 2]],
            {"steps": steps[i % 2], "labels": [1 - 2 * (i % 2), 1]},
        )
        for i in range(8)
    ]
    rows.append(
        record("other", "step_labels", "Film 8", [texts[0]], {"steps": ["Three"], "labels": [1]})
    )
    rows.append(
        record("blank", "step_labels", "Film 9", [texts[0]], {"steps": [" "], "labels": [1]})
    )
    long = "One joy." + " so" * 40
    rows.append(
        record(
            "long",
            "step_labels",
            "Film 10",
            [f"One joy.\n{long}"],
            {"steps": ["One joy.", long], "labels": [1, -1]},
        )
    )
    more = ", steps: product, epochs: 1, step_separator: ';', lengths: {max_response_tokens: 24, too_long: cut}"
    result, said, _ = run(tmp_path, write(tmp_path / "steps.jsonl", rows), more)
    assert result["values"]["left_out"] == {
        "step labels whose steps are not in the response": 1,
        "step labels with a blank step": 1,
        "step beyond the cut": 1,
    }
    assert "9 of 9 labelled responses have other steps than ';'" in said


@pytest.mark.slow
def test_ties_both_bad_margins_and_contradictions(tmp_path: Path) -> None:
    texts = [" a joy.", " a film.", " a bore.", " odd."]
    rows = []
    for i, word in enumerate(WORDS):
        prompt = f"This {word} film is"
        rows += [
            record(f"t{i}", "ranking", prompt, texts, {"order": [["a"], ["b", "d"], ["c"]]}),
            record(f"p{i}", "ranking", prompt, texts[1:3], {"order": [["a", "b"]]}),
            record(f"n{i}", "ranking", prompt, texts, {"order": [["a", "b", "c", "d"]]}),
            record(f"b{i}", "comparison", prompt, texts[2:], {"both_bad": True}),
            record(f"u{i}", "thumb", prompt, texts[:1], {"up": True}),
            record(f"c{i}", "comparison", prompt, texts[:2], {"preferred": "b"}, "two"),
        ]
    rows.append(
        record("m", "comparison", prompt, texts[:2], {"preferred": "a"}) | {"meta": {"margin": 1.5}}
    )
    rows.append(record("d", "comparison", prompt, texts[:2], {"preferred": "b"}))
    wide = [f" {k}." for k in range(15)]
    rows.append(
        record("w", "ranking", prompt, wide, {"order": [[chr(97 + k) for k in range(14)], ["o"]]})
    )
    result, said, folder = run(
        tmp_path, write(tmp_path / "ties.jsonl", rows), ", epochs: 1, annotator_rate: 0.001"
    )
    assert result["values"]["left_out"] == {
        "ranking in which all are tied": 6,
        "ranking with more than 12 tied": 1,
    }
    # per prompt: two rankings, a tie with two thumbs down, a thumb up and a comparison; and two
    # comparisons more
    assert "44 judgements on 6 prompts" in said
    assert "6 pairs of responses are judged both ways, 1 of them by one annotator" in said
    told = json.loads((folder / "annotators.json").read_text())
    assert [s["name"] for s in told["scales"]] == ["thumb"]

    rows[-3]["meta"]["margin"] = "nan"
    other = tmp_path / "other"
    other.mkdir()
    _, said, _ = run(other, write(other / "nan.jsonl", rows), ", epochs: 1, annotator_rate: 0.001")
    assert "1 dropped: record: meta.margin is a finite number, not 'nan'" in said


@pytest.mark.slow
def test_kinds_that_say_nothing_of_what_is_better_are_counted(tmp_path: Path) -> None:
    texts = [" a joy.", " a bore."]
    rows = [
        record(f"c{i}", "comparison", f"This {w} film is", texts, {"preferred": "a"})
        for i, w in enumerate(WORDS)
    ]
    rows[0]["choice"]["strength"] = 2
    rows += [
        record("f", "flags", "This new film is", texts[:1], {"flags": {"harmful": False}}),
        record("s", "spans", "This new film is", texts[:1], {"spans": [{"start": 0, "end": 2}]}),
        record("q", "critique", "This new film is", texts, {"text": "The first is kinder."}),
        record("u", "skip", "This new film is", texts, {"reason": "unsure"}),
        record(
            "h",
            "attribute_comparison",
            "This new film is",
            texts,
            {"attributes": {"honest": {"preferred": "b"}}},
        ),
    ]
    result, said, _ = run(tmp_path, write(tmp_path / "mix.jsonl", rows), ", epochs: 1")
    kinds = ("flags", "spans", "critique", "skip")
    assert result["values"]["left_out"] == {
        **{f"{kind} compares nothing": 1 for kind in kinds},
        "attribute_comparison compares by attribute, not as a whole": 1,
    }
    assert "6 judgements on 6 prompts" in said
    assert "1 comparisons say how much better one is" in said


def test_a_ranking_called_all_bad_is_a_thumb_down_for_all(tmp_path: Path) -> None:
    texts, rows = [" a joy.", " a film.", " a bore."], []
    for i, word in enumerate(WORDS):
        prompt = f"This {word} film is"
        rows.append(
            record(
                f"r{i}", "ranking", prompt, texts, {"order": [["a"], ["b"], ["c"]], "all_bad": True}
            )
        )
        rows.append(
            record(
                f"t{i}",
                "ranking",
                prompt,
                texts,
                {"order": [["a", "b", "c"]], "all_bad": True},
                "two",
            )
        )
    context = StageContext(tmp_path, tmp_path, "reward", 0, "cpu", {}, InterruptFlag())
    spoken = context.progress = Spoken()
    plain = read_judged(
        str(write(tmp_path / "bad.jsonl", rows)),
        tiny_llama(),
        LengthConfig(),
        context,
        ratings=True,
    )
    assert plain.left_out == {"ranking in which all are tied": len(WORDS)}
    assert [len(g.judgements) for g in plain.groups] == [1] * len(WORDS)
    assert any("12 rankings as their order" in line for line in spoken.lines)
    rows += [
        record(f"u{i}", "thumb", f"This {w} film is", texts[:1], {"up": True})
        for i, w in enumerate(WORDS)
    ]
    known = read_judged(
        str(write(tmp_path / "thumbs.jsonl", rows)),
        tiny_llama(),
        LengthConfig(),
        context,
        ratings=True,
    )
    assert known.left_out == {}
    assert [len(g.judgements) for g in known.groups] == [1 + 3 + 3 + 1] * len(
        WORDS
    )  # order, down, down of the tied, up
    levels = [j.level for g in known.groups for j in g.judgements if j.kind == "rating"]
    assert (levels.count(0), levels.count(1)) == (6 * len(WORDS), len(WORDS))
    assert known.scales[0].shares[0] == pytest.approx(6 / 7)


def steered() -> list[dict]:
    """Rows of the HelpSteer kind: a joy helps, long answers are verbose."""
    rows = []
    for i, a in enumerate(WORDS):
        for b in WORDS:
            for word in ("joy", "bore"):
                for end in ("", f" It is {b}, {a} and {b} again."):
                    scores = {
                        "helpfulness": 4 if word == "joy" else i % 2,
                        "verbosity": 3 if end else 1,
                    }
                    others = {"correctness": 2, "coherence": i % 3, "complexity": 1}
                    rows.append(
                        {
                            "prompt": f"This {a} film",
                            "response": f" is a {b} {word}.{end}",
                            **scores,
                            **others,
                        }
                    )
    return rows


@pytest.mark.slow
def test_objectives_from_helpsteer_rows_on_a_shared_trunk(tmp_path: Path) -> None:
    from accord.models.reward_model import RewardModel

    more = ", objectives: {helpfulness: 0.8, verbosity: -0.2}, trunk: shared, members: 2, epochs: 4, centring: 0.01"
    feedback = write(tmp_path / "steer.jsonl", steered())
    result, _, folder = run(tmp_path, feedback, more)
    assert result["values"]["left_out"] == {
        "rating of coherence: no objective": 144,
        "rating of complexity: no objective": 144,
        "rating of correctness: no objective": 144,
    }
    found = result["values"]["heldout_concordance"]
    assert found["helpfulness 0 to 4"] > 0.9
    assert found["verbosity 0 to 4"] > 0.9
    assert json.loads((folder / "annotators.json").read_text())["unit"] == "raw reward"
    model = RewardModel.load(folder / "model")
    assert dict(model.form.objectives) == {"helpfulness": 0.8, "verbosity": -0.2}
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(
        DataError,
        match="several attributes: coherence, complexity, correctness, helpfulness, verbosity",
    ):
        run(other, feedback)
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(DataError, match="nothing is rated for the objective 'charm'"):
        run(again, feedback, ", objectives: {charm: 1.0, verbosity: 1.0}")


@pytest.mark.slow
def test_a_distribution_with_adapters(tmp_path: Path) -> None:
    from accord.models.ensembles import trunk_kind
    from accord.models.reward_model import RewardModel

    rows = joy_over_bore(WORDS)
    rows.append(record("t", "thumb", "This new film", [" is."], {"up": True}))
    more = (
        ", trunk: adapters, lora: {rank: 4}, members: 2, epochs: 3, "
        "distribution: {kind: mean_variance, read: quantile, risk: 0.2}"
    )
    result, _, folder = run(tmp_path, write(tmp_path / "pairs.jsonl", rows), more)
    assert result["values"]["heldout_accuracy"] > 0.9
    assert result["values"]["left_out"] == {"thumb compares nothing": 1}
    assert 0 < result["values"]["context_explained"] < 1
    model = RewardModel.load(folder / "model")
    assert trunk_kind(model.members) == "adapters"
    assert (model.form.read, model.form.risk) == ("quantile", 0.2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("trunk: adapters", "set lora"),
        ("rows: pair, steps: min", "leave out objectives, rules and steps"),
        ("steps: min, objectives: {a: 1.0, b: 1.0}", "objectives and steps are different heads"),
        ("distribution: {kind: categorical}, effects: joint", "part of the hidden context"),
        ("distribution: {kind: categorical}, margin: 1.0", "knows no margin"),
        ("distribution: {kind: categorical, read: quantile, risk: 2.0}", "between 0 and 1"),
        ("centre_samples: 1", "one sample has no deviation"),
    ],
)
def test_combinations_that_cannot_work_are_refused_before_anything_is_read(
    tmp_path: Path, more: str, message: str
) -> None:
    with pytest.raises(AccordError, match=message):
        run(tmp_path, tmp_path / "none.jsonl", f", {more}")


# --- awkward input --------------------------------------------------------------------------------
def awkward(folder: Path, last: str, settings: str) -> tuple[dict[str, Any], str, Path]:
    """Comparisons on two prompts; on the second the worse response is `last`."""
    rows = [
        record("1", "comparison", "First", [" a joy.", " a bore."], {"preferred": "a"}),
        record("2", "comparison", "Second", [" a joy.", last], {"preferred": "a"}),
    ]
    folder.mkdir()
    feedback = write(folder / "rows.jsonl", rows)
    return run(folder, feedback, f", epochs: 1, lengths: {{max_response_tokens: 8{settings}}}")


@pytest.mark.slow
def test_empty_responses_and_those_that_fill_the_budget(tmp_path: Path) -> None:
    from accord.models.loading import load_causal_lm
    from accord.models.reward_model import RewardModel
    from accord.text.packing import PromptGroup

    tokenizer = load_causal_lm("./pico").tokenizer
    ids = tokenizer.encode(" so so so so so so so so so", add_special_tokens=False)
    eight, seven = tokenizer.decode(ids[:8]), tokenizer.decode(ids[:7])
    assert len(tokenizer.encode(eight, add_special_tokens=False)) == 8

    _, said, folder = awkward(tmp_path / "empty", "", "")
    assert "1 blank responses are judged as their EOS alone" in said
    assert json.loads((folder / "card.json").read_text())["pairs"] == 1
    model = RewardModel.load(folder / "model")
    assert model.score([PromptGroup([0, 5], [[tokenizer.eos_token_id]])]).isfinite().all()

    _, said, folder = awkward(
        tmp_path / "full", seven, ""
    )  # seven tokens and the EOS: nothing is cut
    assert "2 judgements on 2 prompts; left out: 0" in said
    assert json.loads((folder / "lengths.json").read_text())["eos_trained"] == 1
    with pytest.raises(
        DataError, match=r"rows\.jsonl line 2: the response has 9 tokens, the limit is 8"
    ):
        awkward(tmp_path / "error", eight, "")
    with pytest.raises(DataError, match="max_response_tokens = 8 drops 1 of 2 rows"):
        awkward(tmp_path / "drop", eight, ", too_long: drop")
    _, said, folder = awkward(tmp_path / "cut", eight, ", too_long: cut")
    lengths = json.loads((folder / "lengths.json").read_text())
    assert (lengths["cut"], lengths["eos_trained"]) == (1, 0.75)  # an EOS is not invented


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"scores": {"overall": float("nan")}, "low": 0, "high": 4}, "outside"),
        ({"scores": {"overall": 1.0}, "low": 0, "high": float("inf")}, "is not finite"),
    ],
)
def test_ratings_that_are_no_numbers(tmp_path: Path, scores: dict, message: str) -> None:
    row = record("1", "rating", "p", [" x"], {"scores": {"overall": 1.0}}) | {"choice": scores}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=message):
        run(tmp_path, tmp_path / "rows.jsonl")


@pytest.mark.parametrize(("samples", "each"), [("32", 7), ("null", 2), ("0", 0)])
def test_scores_are_centred_on_samples_of_the_model_they_start_from(
    tmp_path: Path, samples: str, each: int
) -> None:
    """And scaled on them, by default two of each of few prompts; on the judged responses where none
    are asked for."""
    more = (
        f", members: 2, epochs: 1, lengths: {{max_response_tokens: 12}}, centre_samples: {samples}"
    )
    _, said, folder = run(tmp_path, write(tmp_path / "pairs.jsonl", joy_over_bore(WORDS[:2])), more)
    model, reference = RewardModel.load(folder / "model"), load_causal_lm("./pico")
    encoder = Encoder(reference.tokenizer)
    prompts = [encoder.prompt(f"This {word} film") for word in WORDS[:5]]
    if each:
        assert f"centring on {5 * each} samples of ./pico, {each} of each of 5 pro" in said
        seeds = [
            derive_seed(derive_seed(1, "stage", "reward"), "samples", "centre", place)
            for place in range(5 * each)
        ]
        sampler = BuiltinSampler(reference)
        answers = sampler.sample(prompts, SamplingSettings(12), seeds, each).groups()
    else:
        judged = [
            (f"This {a} film", f" is a {b} {word}.")
            for a in WORDS[:5]
            for b in WORDS[:2]
            for word in ("joy", "bore")
        ]
        answers = [encoder.example(prompt, text).group for prompt, text in judged]
    scores_ER = model.score(answers)
    assert scores_ER.mean(dim=1).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert float(scores_ER.mean(0).std()) == pytest.approx(1, abs=1e-4)


def test_evaluation_data_of_its_own_is_measured_and_never_trained_on(tmp_path: Path) -> None:
    def compared(words: Iterable[str], who: str) -> list[dict]:
        return [
            record(
                f"{who}{word}",
                "comparison",
                f"This {word} film is",
                ["a joy", "a bore"],
                {"preferred": "a"},
                who,
            )
            for word in words
        ]

    train = write(tmp_path / "train.jsonl", compared(WORDS[:4], "one"))
    apart = write(tmp_path / "apart.jsonl", compared(WORDS[3:], "two"))
    context = StageContext(tmp_path, tmp_path, "reward", 0, "cpu", {}, InterruptFlag())
    model = tiny_llama()

    def split(**settings: Any) -> tuple[list[str], list[str], list[str]]:
        given = {"kind": "reward", "model": "m", "learning_rate": 1e-3, "feedback": str(train)}
        config = RewardConfig.model_validate({**given, "evaluation": str(apart), **settings})
        data = _load(config, model, context)
        shown = [
            [model.tokenizer.decode(g.group.prompt) for g in part]
            for part in (data.train, data.heldout)
        ]
        return shown[0], shown[1], data.judged.annotators

    trained, held, annotators = split()
    assert [len(trained), len(held)] == [3, 3]
    assert not set(trained) & set(held)
    assert annotators == ["one", "two"]
    assert [len(part) for part in split(limit=2)[:2]] == [2, 3]
    with pytest.raises(DataError, match="every judged prompt is among those"):
        split(feedback=str(apart))
