"""Parameters of recipes: what is given by name reaches the settings it feeds, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from accord.cli.main import main
from accord.errors import ConfigError
from accord.runs import recipe as recipes
from accord.runs.parameters import Parameter
from accord.runs.runner import check_directory

SMALL = """
name: small
parameters:
  data: {type: data, help: Demonstrations to learn from., feeds: [sft.data]}
  epochs: {type: float, help: Passes., default: 1.5, feeds: [sft.epochs, more.epochs]}
  model: {type: path, help: The model., default: "accord:nano-base", feeds: [sft.model]}
  long: {type: choice, values: [drop, cut], help: Long rows., default: cut, feeds: [sft.lengths.too_long]}
stages:
  sft: {kind: sft, learning_rate: 1.0e-3}
  more: {kind: sft, model: stage:sft, data: other.jsonl, learning_rate: 1.0e-3}
"""


def write(tmp_path: Path, text: str = SMALL) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def settings(resolved: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Every setting of a recipe but its parameters: dotted key, as on the command line -> value."""
    found: dict[str, Any] = {}
    for key, value in resolved.items():
        below = f"{place}.{key}" if place else key
        if isinstance(value, dict):
            found |= settings(value, below)
        elif not below.startswith("parameters."):
            found[below.removeprefix("stages.")] = value
    return found


def another(name: str, one: Parameter) -> str:
    """A value that differs from the default and is possible."""
    if one.values is not None:
        return next(str(value) for value in one.values if value != one.default)
    numbers = {"int": lambda: 2 * (one.default or 500), "float": lambda: (one.default or 0.2) / 2}
    plain = {"path": "models/other", "data": "others.jsonl", "list": "[7, 8]"}
    plain["str"] = {"constitution": "accord:two-rules"}.get(name, "https://other.org/v1#model")
    return plain[one.type] if one.type in plain else str(numbers[one.type]())


PACKAGED = [
    (r, name)
    for r in recipes.packaged()
    for name, one in recipes.parameters_of(r).items()
    if one.type != "mapping"  # reward functions: a default of another setting depends on them
]


def needed_by(recipe: str) -> list[str]:
    """What must be given for a packaged recipe to be valid: required parameters, something that
    scores."""
    declared = recipes.parameters_of(recipe)
    scores = ["reward=first.jsonl"] if "functions" in declared else []
    return [f"{name}=first.jsonl" for name, one in declared.items() if one.required] + scores


@pytest.mark.parametrize(("recipe", "name"), PACKAGED, ids=[f"{r}-{n}" for r, n in PACKAGED])
def test_a_parameter_changes_exactly_the_settings_it_feeds(recipe: str, name: str) -> None:
    declared = recipes.parameters_of(recipe)
    needed = needed_by(recipe)
    before = settings(recipes.load(recipe, needed).resolved())
    given = [text for text in needed if not text.startswith(f"{name}=")]
    given.append(f"{name}={another(name, declared[name])}")
    after = settings(recipes.load(recipe, given).resolved())
    assert {key for key in before if before[key] != after[key]} == set(declared[name].feeds)


def test_every_packaged_recipe_has_parameters_that_say_what_they_are() -> None:
    for recipe in recipes.packaged():
        declared = recipes.parameters_of(recipe)
        assert declared, recipe
        assert all(one.help.endswith(".") for one in declared.values()), recipe


def test_values_are_read_by_their_type(tmp_path: Path) -> None:
    path = write(tmp_path)
    found = recipes.load(path, ["data=[a.jsonl, {path: b, share: .3}]", "epochs=2", "long=drop"])
    stages = found.resolved()["stages"]
    assert stages["sft"]["data"][0] == "a.jsonl"
    assert stages["sft"]["data"][1]["share"] == 0.3
    assert (stages["sft"]["epochs"], stages["more"]["epochs"]) == (2.0, 2.0)
    assert stages["sft"]["lengths"]["too_long"] == "drop"
    number = Parameter(type="float", help="A rate.", feeds=["sft.learning_rate"])
    assert number.read("1e-4") == 1e-4
    text = Parameter(type="str", help="A name.", feeds=["sft.model"])
    assert (text.read("12"), text.read("yes"), text.read("[x]")) == ("12", "yes", "[x]")
    flag = Parameter(type="bool", help="Yes or no.", feeds=["sft.packing"])
    assert (flag.read("true"), flag.read("no")) == (True, False)
    whole = Parameter(type="list", of="int", help="Seeds.", feeds=["study.seeds"])
    assert whole.read("[1, 2]") == [1, 2]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ({"type": "int"}, "2.5"), ({"type": "int"}, "true"), ({"type": "int"}, "many"), ({"type": "float"}, "yes"),
        ({"type": "float"}, "fast"), ({"type": "bool"}, "1"), ({"type": "str"}, " "), ({"type": "path"}, ""),
        ({"type": "data"}, "[]"), ({"type": "data"}, "{pth: a}"), ({"type": "list"}, "a"), ({"type": "list"}, "[1]"),
        ({"type": "list", "of": "int"}, "[a]"), ({"type": "choice", "values": ["a", "b"]}, "c"),
        ({"type": "choice", "values": [1, 2]}, "true"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(kind: dict[str, Any], text: str) -> None:
    one = Parameter(help="Something.", feeds=["a.b"], **kind)
    with pytest.raises(ValueError, match="is not") as error:
        one.read(text)
    assert one.expected in str(error.value)


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        ([], "data is not given; it is: Demonstrations to learn from.", "data=..."),
        (["data=a", "epochs=many"], "epochs: 'many' is not a number", "accord recipes parameters"),
        (["data=a", "long=dropp"], "is not one of drop, cut; did you mean \"drop\"?", ""),
        (["data=a", "epoch=2"], "epoch is not a parameter of the recipe", 'did you mean "epochs"'),
        (["dat=a"], "dat is not a parameter of the recipe", 'did you mean "data"'),
        (["data=a", "data=b"], "data is given twice", "once"),
        (["data=a", "sft.model=x", "stages.sft.model=y"], "sft.model is given twice", "once"),
        (["data=a", "model=x", "sft.model=y"], "model=x has no effect: sft.model is given", "one"),
        (["data=a", "model=x", "stages.sft.model=y"], "no effect: stages.sft.model is given", "one"),
        (["data=a", "long=cut", "sft.lengths={too_long: drop}"], "long=cut has no effect", "one"),
        (["data=a", "epochs=-1"], "stages.sft.epochs = -1", ""),
    ],
)  # fmt: skip
def test_mistakes_in_what_is_given(
    tmp_path: Path, given: list[str], message: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as error:
        recipes.load(write(tmp_path), given)
    assert message in error.value.message
    assert fix in (error.value.fix or "")


@pytest.mark.parametrize(
    ("old", "new", "message", "fix"),
    [
        ("[sft.data]", "[sft.dta]", "feeds 'sft.dta': 'dta' is not a setting there", '"data"'),
        ("[sft.data]", "[sftt.data]", "feeds 'sftt.data': there is no stage 'sftt'", '"sft"'),
        ("[sft.data]", "[data]", "parameters.data feeds 'data'", "write STAGE.KEY"),
        ("[sft.data]", "[study.seeds]", "there is no stage 'study'", "stages: sft, more"),
        ("[sft.model]", "[sft.warmup.deep]", "'deep' is not a setting there", ""),
        ("lengths.too_long", "lengths.too_lng", "'too_lng' is not a setting", '"too_long"'),
        ("[sft.model]", "[sft.lengths]", "long feeds sft.lengths.too_long, and parameters.model", ""),
        ("[sft.model]", "[sft.model, sft.model]", "feeds names sft.model twice", ""),
        ("[sft.model]", "[]", "parameters.model.feeds = []", ""),
        ("type: path", "type: file", "parameters.model.type = 'file'", ""),
        ("help: Passes., ", "", "parameters.epochs.help is missing", ""),
        ("default: 1.5", "default: much", "'much' is not a number", ""),
        ("values: [drop, cut], ", "", "a choice, and nothing else, has values", ""),
        ("default: cut", "default: error", "'error' is not one of drop, cut", ""),
        ("  epochs:", "  seed:", "parameters.seed: every recipe has a setting of this name", ""),
        ("  epochs:", "  Epochs:", "a name is made of small letters", ""),
        ("{kind: sft, l", "{kind: sft, epochs: 3, l", "sft.epochs is 3, and the default", "leave"),
        ("{kind: sft, l", "{kind: sft, lengths: x, l", "'lengths' holds a single value", ""),
        ("kind: sft, l", "kind: sfd, l", "there is no stage kind 'sfd'", '"sft"'),
    ],
)  # fmt: skip
def test_mistakes_in_a_declaration(
    tmp_path: Path, old: str, new: str, message: str, fix: str
) -> None:
    assert old in SMALL
    with pytest.raises(ConfigError) as error:
        recipes.load(write(tmp_path, SMALL.replace(old, new, 1)), ["data=a.jsonl"])
    assert message in error.value.message
    assert fix in (error.value.fix or "")


def test_a_dotted_key_wins_over_a_parameter_and_says_more_about_its_data(tmp_path: Path) -> None:
    given = ["data=a.jsonl", "sft.data.split=train", "epochs=2", "more.epochs=5"]
    found = recipes.load(write(tmp_path), given).resolved()
    assert found["stages"]["sft"]["data"]["path"] == "a.jsonl"
    assert found["stages"]["sft"]["data"]["split"] == "train"
    assert (found["stages"]["sft"]["epochs"], found["stages"]["more"]["epochs"]) == (2.0, 5.0)
    assert found["parameters"]["epochs"]["feeds"] == ["sft.epochs"]  # more.epochs goes its own way
    assert found["parameters"]["epochs"]["default"] == 2.0


def test_a_parameter_has_an_effect_while_one_setting_is_left_to_it(tmp_path: Path) -> None:
    text = SMALL.replace("[sft.lengths.too_long]", "[sft.lengths.too_long, more.lengths.too_long]")
    given = ["sft.lengths={max_prompt_tokens: 5}", "sft.lengths.too_long=cut"]  # both of one of two
    found = recipes.load(write(tmp_path, text), ["data=a", "long=drop", *given]).resolved()
    stages = found["stages"]
    assert [stages[s]["lengths"]["too_long"] for s in ("sft", "more")] == ["cut", "drop"]
    assert found["parameters"]["long"]["feeds"] == ["more.lengths.too_long"]
    both = ["data=a", "long=drop", "sft.lengths.too_long=cut", "more.lengths={}"]
    with pytest.raises(ConfigError, match=r"sft\.lengths\.too_long, more\.lengths is given"):
        recipes.load(write(tmp_path, text), both)


def test_stages_are_not_given_whole_nor_missed_with_a_crash(tmp_path: Path) -> None:
    feeding = (
        "parameters:\n  s: {type: list, of: int, help: S., default: [1], feeds: [study.seeds]}"
    )
    study = "study: {rows: {sft: x}, columns: {'{row}.loss': x}}\n"
    text = SMALL.replace("parameters:", study + feeding)
    with pytest.raises(ConfigError, match="stages is not a parameter of the recipe"):
        recipes.load(write(tmp_path, text), ["data=a", "stages=3"])
    with pytest.raises(ConfigError, match=r"recipe\.stages is missing"):
        recipes.load(write(tmp_path, f"name: none\n{study}{feeding}\n"))


def test_overriding_one_stage_leaves_those_that_share_its_settings_in_the_file(
    tmp_path: Path,
) -> None:
    text = """
name: shared
stages:
  one: {kind: sft, model: m, data: d, learning_rate: 1.0e-3, lengths: &lengths {max_prompt_tokens: 9}}
  two: {kind: sft, model: m, data: d, learning_rate: 1.0e-3, lengths: *lengths}
"""
    stages = recipes.load(write(tmp_path, text), ["one.lengths.max_prompt_tokens=7"]).stages
    assert [config.lengths.max_prompt_tokens for _, config in stages.values()] == [7, 9]  # type: ignore[attr-defined]


def test_a_run_keeps_the_values_and_can_be_run_again_from_its_recipe(tmp_path: Path) -> None:
    first = recipes.load(write(tmp_path), ["data=a.jsonl", "epochs=2", "more.epochs=5"])
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(first.dump(), encoding="utf-8")
    again = recipes.load(str(run / "recipe.yaml"))  # data is given by now
    assert again.fingerprint() == first.fingerprint()
    changed = recipes.load(str(run / "recipe.yaml"), ["epochs=3"]).resolved()["stages"]
    assert (changed["sft"]["epochs"], changed["more"]["epochs"]) == (3.0, 5.0)
    check_directory(again, run, resume=True)
    other = recipes.load(write(tmp_path), ["data=b.jsonl", "epochs=2", "more.epochs=5"])
    with pytest.raises(ConfigError, match=r"parameters\.data\.default .*stages\.sft\.data"):
        check_directory(other, run, resume=True)
    assert yaml.safe_load(first.dump())["parameters"]["data"]["default"] == "a.jsonl"


def test_the_command_lists_parameters_and_a_dry_run_shows_values(tmp_path: Path) -> None:
    listed = CliRunner().invoke(main, ["recipes", "parameters", write(tmp_path)]).output
    rows = [line.split() for line in listed.splitlines()]
    assert rows[0] == ["parameter", "type", "default", "feeds", "meaning"]
    assert rows[1][:5] == ["data", "data", "required", "sft.data", "Demonstrations"]
    assert rows[4][:5] == ["long", "drop", "or", "cut", "cut"]
    from accord.cli.plans import parameter_lines

    found = recipes.load(write(tmp_path), ["data=[a.jsonl, b.jsonl]"])
    shown = list(parameter_lines(found.header.parameters))
    assert shown[1].split() == ["data", "[a.jsonl,", "b.jsonl]", "sft.data"]


def test_the_shell_completes_recipes_parameters_and_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    (tmp_path / "mine.jsonl").write_text("")
    (tmp_path / "mines").mkdir()
    (tmp_path / "part[1].jsonl").write_text("")
    monkeypatch.chdir(tmp_path)

    def completed(*words: str) -> list[str]:
        from click.shell_completion import ShellComplete

        *before, last = words
        found = ShellComplete(main, {}, "accord", "X").get_completions(["run", *before], last)
        return [item.value for item in found]

    assert completed("dpo-f") == ["dpo-frontier"]
    assert completed("sma") == ["small.yaml"]
    assert completed("small.yaml", "mod") == ["model="]
    assert completed("small.yaml", "long=") == ["long=drop", "long=cut"]
    assert completed("small.yaml", "long=d") == ["long=drop"]
    assert completed("small.yaml", "long", "=", "d") == ["drop"]  # bash: = is a word of its own
    assert completed("small.yaml", "long", "=") == ["drop", "cut"]
    assert completed("small.yaml", "data=mi") == ["data=mine.jsonl", "data=mines/"]
    assert completed("small.yaml", "data=part[1]") == ["data=part[1].jsonl"]
    assert completed("small.yaml", "data=a", "sft.lea") == ["sft.learning_rate="]
    assert "data=" not in completed("small.yaml", "data=a", "")
    assert completed("nowhere.yaml", "x") == []
