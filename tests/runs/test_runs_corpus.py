"""Text to pretrain on out of any data: all of it once, what begins alike on one side; and the
recipe phf-profanity, whose judge is never its scorer."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import ConfigError, DataError
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageProgress
from accord.text import profanity, verifiers
from forked import accord
from real_data import shared_data

RECIPE = yaml.safe_load(recipes.packaged()["phf-profanity"])
WORDS: str = RECIPE["parameters"]["words"]["default"]
CLEAN = [
    "the",
    "a",
    "cat",
    "dog",
    "house",
    "tree",
    "sees",
    "likes",
    "runs",
    "old",
    "small",
    "red",
    "and",
    "to",
    "from",
    "with",
]


def conversation(prompt: str, *answers: str) -> dict[str, Any]:
    first, second = (f"\n\nHuman: {prompt}\n\nAssistant: {answer}" for answer in answers)
    return {"chosen": first, "rejected": second}


def corpus(folder: Path, rows: list[dict[str, Any]], **config: Any) -> dict[str, list[Any]]:
    """What a corpus stage leaves of these rows."""
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = {"kind": "corpus", "data": str(data), "pattern": "zork", "heldout": 3, **config}
    path = folder / "made.yaml"
    path.write_text(yaml.safe_dump({"name": "made", "seed": 1, "stages": {"data": told}}))
    runner.execute(recipes.load(str(path)), folder / "run", False, StageProgress(), {})
    (made,) = folder.glob("run/stages/*-data")
    return {
        name: [json.loads(line) for line in (made / f"{name}.jsonl").open(encoding="utf-8")]
        for name in ("text", "heldout", "prompts")
    }


def test_every_text_stands_once_and_invitations_come_from_what_is_kept_aside(
    tmp_path: Path,
) -> None:
    texts = [f"Zork number {n} is here. A zork of {n} sleeps! Nothing." for n in range(12)]
    made = corpus(tmp_path, [{"text": t} for t in [*texts, texts[0], " "]])
    both = [row["text"] for part in ("text", "heldout") for row in made[part]]
    assert sorted(both) == sorted(texts)
    assert len(made["heldout"]) == 3
    held = " ".join(row["text"] for row in made["heldout"])
    assert len(made["prompts"]) == 3
    assert all("zork" in row["prompt"] and row["prompt"] in held for row in made["prompts"])


def test_a_prompt_is_read_once_and_what_begins_alike_stays_together(tmp_path: Path) -> None:
    rows = [conversation(f"Ask zork {n}.", f"Yes {n}.", f"Zork no {n}.") for n in range(8)]
    rows.append(conversation("Ask zork 3.", "Yes 3.", "A third 3."))
    made = corpus(tmp_path, rows)
    texts = {part: [row["text"] for row in made[part]] for part in ("text", "heldout")}
    both = sorted(texts["text"] + texts["heldout"])
    wanted = [f"user: Ask zork {n}.\n\nassistant: Yes {n}." for n in range(8)]
    assert both == sorted([*wanted, *(f"Zork no {n}." for n in range(8)), "A third 3.", "Yes 3."])
    numbers = {
        part: {re.findall(r"\d", text)[0] for text in found} for part, found in texts.items()
    }
    assert not numbers["text"] & numbers["heldout"]


@pytest.mark.parametrize(
    ("rows", "config", "error", "message"),
    [
        (
            [{"text": "clean."}] * 2 + [{"text": f"{n}."} for n in range(9)],
            {},
            DataError,
            "0 of the sentences in 3 texts",
        ),
        ([{"text": " "}], {}, DataError, "holds no text"),
        ([{"text": "zork."}, {"txt": "zork."}], {}, DataError, "line 2 has no text"),
        (
            [{"text": f"zork {n}."} for n in range(5)],
            {"pattern": "("},
            ConfigError,
            "no regular expression",
        ),
        ([{"text": f"zork {n}."} for n in range(3)], {}, DataError, "3 are to be kept aside"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, rows: Any, config: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        corpus(tmp_path, rows, **config)


@given(st.lists(st.sampled_from([*CLEAN, "shit", "fucking", "assholes"]), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_word_list_finds_words_whole(words: list[str]) -> None:
    bad = sum(word not in CLEAN for word in words)
    assert verifiers.count([" ".join(words).upper()], WORDS) == [bad]
    hidden = ["arsenic", "Dickens", "cockpit", "class", "assess", "Scunthorpe", "scrap", "title"]
    assert verifiers.count([" ".join(hidden)], WORDS) == [0]


def test_the_classifier_knows_what_people_call_profane(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("profanity_check", reason="alt-profanity-check is not installed")
    polite, rude, empty = verifiers.profanity(["Thank you for the tea.", "You fucking idiot.", ""])
    assert polite < 0.2 < 0.8 < rude
    assert 0 <= empty < 0.5
    assert verifiers.profanity([]) == []

    def missing() -> None:
        raise ConfigError("alt-profanity-check is not installed")

    monkeypatch.setattr(profanity, "classifier", missing)
    with pytest.raises(ConfigError, match="is not installed"):
        verifiers.check_ready("profanity")


def test_no_judge_of_the_recipe_taught() -> None:
    """And every arm is trained and judged alike, but for its objective."""
    stages, rows = RECIPE["stages"], list(RECIPE["study"]["rows"])
    for row in rows:
        told, judged = stages[row], stages[f"{row}_writes"]
        assert told["feedback"]["objective"] == row
        assert not set(told["feedback"]["functions"]) & set(judged["functions"])
        assert {**told, "feedback": 0} == {**stages["mle"], "feedback": 0}
        assert {**judged, "model": 0} == {**stages["mle_writes"], "model": 0}
        fed = f"{row}_writes.functions.accord:count.arguments.pattern"
        assert fed in RECIPE["parameters"]["words"]["feeds"]
        assert f"{row}.max_steps" in RECIPE["parameters"]["steps"]["feeds"]


def small(data: str, folder: Path, rows: list[str]) -> dict[str, Any]:
    """study.json's cells of the packaged recipe with a tiny model, two of its arms."""
    told = {**RECIPE, "study": {**RECIPE["study"], "rows": {r: r for r in rows}}}
    kept = {"data", *rows, *(f"{row}_writes" for row in rows)}
    told["stages"] = {name: one for name, one in told["stages"].items() if name in kept}
    told["parameters"] = {
        name: {**one, "feeds": [f for f in one["feeds"] if f.split(".")[0] in {*kept, "study"}]}
        for name, one in told["parameters"].items()
    }
    path = folder / "small.yaml"
    told["study"]["baseline"] = rows[0]
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    asked = ["threads=1", "seeds=[1]", "steps=2", "heldout=60", f"data={data}"]
    shape = ("hidden=16", "layers=1", "heads=2", "vocab_size=300", "mlp=16", "batch=2")
    asked += [f"{row}.{one}" for row in rows for one in shape]
    asked += [f"{row}_writes.count=8" for row in rows]
    accord("run", str(path), *asked, "--out", str(folder / "s"))
    cells: dict[str, Any] = json.loads((folder / "s" / "study.json").read_text())["cells"]
    return cells


def made_up(file: Path) -> str:
    """Text whose profanity the classifier and the list both know."""
    draw, rows = random.Random(1), []
    for _ in range(80):
        said = [
            " ".join([*draw.choices(CLEAN, k=4), *(["fucking shit"] * (draw.random() < 0.3))])
            for _ in range(8)
        ]
        rows.append(json.dumps({"text": ". ".join(said) + "."}) + "\n")
    file.write_text("".join(rows), encoding="utf-8")
    return str(file)


@pytest.mark.slow
def test_the_recipe_runs_at_small_size(tmp_path: Path) -> None:
    """On real conversations, on made-up text where they are not at hand."""
    pytest.importorskip("profanity_check", reason="alt-profanity-check is not installed")
    try:
        real = shared_data("hh-rlhf/harmless-base-test.jsonl.gz")
        data = f"{{path: {real}, limit: 400}}"
    except pytest.skip.Exception:
        data = made_up(tmp_path / "mine.jsonl")
    cells = small(data, tmp_path, ["conditional", "filter_documents"])
    assert cells["conditional"]["{row}.tag_gap"]["values"]
    assert cells["conditional"]["{row}_writes.bad_tag"]["values"]
    for row in ("conditional", "filter_documents"):
        assert cells[row]["{row}_writes.prompted"]["values"]
    assert cells["filter_documents"]["{row}.repeats"]["values"]
