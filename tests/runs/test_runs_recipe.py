"""Recipes: every mistake is named with its path, value and fix, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.seeds import derive_seed

MINIMAL = """
name: small
stages:
  data: {kind: reviews, sft: 10}
  sft: {kind: sft, model: accord:nano-base, data: stage:data/sft, learning_rate: 1.0e-3}
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", list(recipes.packaged()))
def test_packaged_recipes_are_valid_and_say_what_they_do(name: str) -> None:
    declared = recipes.parameters_of(name)
    given = [f"{n}=some.jsonl" for n, one in declared.items() if one.required]
    given += ["functions={accord:math: 2}"] if "functions" in declared else []
    recipe = recipes.load(name, given)
    assert recipe.header.name == name
    assert len(recipe.header.about) > 20
    assert (
        recipes.validate(__import__("yaml").safe_load(recipe.dump())).fingerprint()
        == recipe.fingerprint()
    )


def test_the_curve_over_comparisons_is_the_backflip_but_for_what_it_varies() -> None:
    own = recipes.load("backflip").stages["learn"][1].model_dump()
    for name, (_, config) in recipes.load("backflip-curve").stages.items():
        settings = config.model_dump()
        differs = {key for key in own if settings[key] != own[key]}
        varied = {"elsewhere", "elsewhere_first"} if name == "grounded" else {"comparisons"}
        assert differs - {"studio"} == (set() if name == "all_900" else varied), name


@pytest.mark.parametrize(
    ("old", "new", "message", "fix"),
    [
        (
            "learning_rate: 1.0e-3",
            "learning_rat: 1.0e-3",
            "stages.sft.learning_rat is not a setting",
            '"learning_rate"',
        ),
        ("learning_rate: 1.0e-3", "", "stages.sft.learning_rate is missing", ""),
        ("1.0e-3", "fast", "stages.sft.learning_rate = 'fast'", ""),
        ("1.0e-3", "7", "stages.sft.learning_rate = 7", ""),
        ("kind: sft,", "kind: sfd,", "there is no stage kind 'sfd'", '"sft"'),
        ("kind: sft,", "kind: judge,", "there is no stage kind 'judge' any more", "called 'score'"),
        ("stage:data/sft", "stage:dat/sft", "there is no earlier stage 'dat'", '"data"'),
        ("stage:data/sft", "stage:data/sftt", "does not provide 'sftt'", '"sft"'),
        ("name: small", "nam: small", "recipe.nam is not a setting", '"name"'),
        ("name: small", "name: small\nname: again", "given twice (line 3)", "keep one"),
        ("stages:", "stages: [", "not valid YAML", ""),
        ("{kind: reviews, sft: 10}", "reviews", "stages.data has no kind", ""),
    ],
)
def test_mistakes_in_a_recipe(tmp_path: Path, old: str, new: str, message: str, fix: str) -> None:
    with pytest.raises(ConfigError) as error:
        recipes.load(write(tmp_path, MINIMAL.replace(old, new)))
    assert message in error.value.message
    assert fix in (error.value.fix or "")
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "message", "fix"),
    [
        ("seed", "cannot read the override", "key=value"),
        ("sftt.epochs=2", "there is no stage 'sftt'", '"sft"'),
        ("sft.epoch=2", "stages.sft.epoch is not a setting", '"epochs"'),
        ("sft.lengths.max_promt_tokens=3", "is not a setting", '"max_prompt_tokens"'),
        ("sft.epochs.deep=2", "should be a valid number", ""),
        ("seed=-1", "recipe.seed = -1", ""),
        ("sft.epochs=true", "stages.sft.epochs = True: expected a number or text, got true", ""),
        ("sed=1", "sed is not a parameter of the recipe", '"seed"'),
        (
            "parameters={}",
            "parameters is not a parameter of the recipe",
            "known: name, about, seed",
        ),
    ],
)
def test_mistakes_in_an_override(tmp_path: Path, override: str, message: str, fix: str) -> None:
    with pytest.raises(ConfigError) as error:
        recipes.load(write(tmp_path, MINIMAL), [override])
    assert message in error.value.message
    assert fix in (error.value.fix or "")


def test_overrides_reach_nested_settings(tmp_path: Path) -> None:
    changes = ["seed=7", "sft.epochs=2.5", "sft.lengths.too_long=drop", "data.sft=20"]
    resolved = recipes.load(write(tmp_path, MINIMAL), changes).resolved()
    assert resolved["seed"] == 7
    assert resolved["stages"]["sft"]["epochs"] == 2.5
    assert resolved["stages"]["sft"]["lengths"]["too_long"] == "drop"
    assert resolved["stages"]["data"]["sft"] == 20


def test_overrides_say_more_about_data_named_by_its_path(tmp_path: Path) -> None:
    changes = ["sft.data=mine.jsonl", "sft.data.split=train", "sft.data.columns.prompt=question"]
    data = recipes.load(write(tmp_path, MINIMAL), changes).resolved()["stages"]["sft"]["data"]
    assert (data["path"], data["split"], data["columns"]) == (
        "mine.jsonl",
        "train",
        {"prompt": "question"},
    )
    with pytest.raises(ConfigError, match="'data' holds a single value"):
        recipes.load(write(tmp_path, MINIMAL), ["sft.data.splitt=train"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("estimator: rloo", "samples_per_prompt of 2 or more"),
        ("minibatches: 100", "minibatches 100 exceeds"),
        ("prompts_per_step: 4", "whitening needs at least 8"),
        ("ptx_weight: 1.0", "ptx and ptx_weight go together"),
    ],
)
def test_impossible_combinations_are_found_before_any_model_loads(
    tmp_path: Path, settings: str, message: str
) -> None:
    text = f"""
name: small
stages:
  ppo: {{kind: ppo, model: nowhere, reward: nowhere, prompts: nowhere, learning_rate: 1.0e-4, {settings}}}
"""
    with pytest.raises(ConfigError, match=message):
        recipes.load(write(tmp_path, text))


def test_a_recipe_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 9\)"):
        recipes.load(str(path))


def test_a_stage_keeps_its_seed_when_others_are_added() -> None:
    assert derive_seed(1, "sft") == derive_seed(1, "sft")
    assert len({derive_seed(s, n) for s in range(5) for n in ("sft", "ppo", "dpo")}) == 15


@pytest.mark.parametrize("value", ["1" + "0" * 400, ".inf", "-.inf", ".nan", "1.0e+300"])
def test_numbers_that_nothing_can_be_computed_with_are_refused(tmp_path: Path, value: str) -> None:
    for place in ("sft.epochs", "sft.batch", "seed"):
        with pytest.raises(ConfigError, match="is no finite number to compute with"):
            recipes.load(write(tmp_path, MINIMAL), [f"{place}={value}"])
