"""Constitutions: read whole, refused clearly, hashed by what they say, drawn by seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from accord.cli.main import main
from accord.errors import ConfigError
from accord.oversight.constitution import (
    Constitution,
    packaged_constitutions,
    read_constitution,
)

TWO: dict[str, Any] = {
    "id": "mine",
    "version": "2",
    "principles": [
        {"id": "short", "text": "It is short.", "weight": 3},
        {"id": "kind", "text": "It is kind.", "critique": "Where is it unkind?"},
    ],
}


def written(folder: Path, content: Any) -> str:
    path = folder / "constitution.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_what_is_left_out_is_made_from_the_text(tmp_path: Path) -> None:
    short, kind = read_constitution(written(tmp_path, TWO)).principles
    assert "It is short." in short.critique
    assert "It is short." in short.revision
    assert "It is short." in short.compare
    assert (kind.critique, kind.weight) == ("Where is it unkind?", 1.0)


@given(order=st.permutations(list(TWO["principles"][1])), top=st.permutations(list(TWO)))
def test_the_hash_depends_on_what_is_said_alone(order: list[str], top: list[str]) -> None:
    plain = Constitution.model_validate(TWO)
    kind = TWO["principles"][1]
    turned = {key: TWO[key] for key in top} | {
        "principles": [TWO["principles"][0], {key: kind[key] for key in order}]
    }
    assert Constitution.model_validate(turned).guideline == plain.guideline
    assert Constitution.model_validate(plain.model_dump()).guideline == plain.guideline


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"version": "3"},
        {"principles": TWO["principles"][::-1]},
        {"principles": [TWO["principles"][0], {**TWO["principles"][1], "weight": 2}]},
        {"principles": [TWO["principles"][0], {**TWO["principles"][1], "compare": "Kinder?"}]},
        {"principles": [TWO["principles"][0], {**TWO["principles"][1], "text": "It is mild."}]},
    ],
)
def test_another_constitution_has_another_hash(change: dict[str, Any]) -> None:
    assert (
        Constitution.model_validate(TWO | change).guideline
        != Constitution.model_validate(TWO).guideline
    )


def test_comments_and_styles_of_yaml_make_no_difference(tmp_path: Path) -> None:
    text = """# a comment
version: 2
principles:
- {text: "It is short.", weight: 3.0, id: short}
- id: kind   # and another
  critique: >-
    Where is it
    unkind?
  text: 'It is kind.'
id: mine
"""
    assert (
        read_constitution(written(tmp_path, text)).guideline
        == Constitution.model_validate(TWO).guideline
    )


def changed(place: int, **values: Any) -> dict[str, Any]:
    principles = [dict(one) for one in TWO["principles"]]
    principles[place].update(values)
    return {**TWO, "principles": principles}


@pytest.mark.parametrize(
    ("content", "message", "fix"),
    [
        (changed(1, wieght=2), "principles.1.wieght is not a setting", 'did you mean "weight"'),
        ({**TWO, "principle": []}, "principle is not a setting", 'did you mean "principles"'),
        (changed(1, weight=0), "principles.1.weight = 0: ", None),
        (changed(1, weight=-1.5), "principles.1.weight = -1.5: ", None),
        (changed(1, weight=True), "principles.1.weight = True", None),
        (changed(1, weight=float("inf")), "principles.1.weight = inf", None),
        (changed(1, text="  "), "principles.1.text", None),
        (changed(1, critique=""), "principles.1.critique = ''", None),
        (changed(1, id="short"), "principles 0 and 1 have the same id: 'short'", "larger weight"),
        (changed(1, text="it  is SHORT."), "principles 0 and 1 have the same text", "keep one"),
        (changed(1, id="no spaces"), "principles.1.id = 'no spaces'", None),
        ({**TWO, "principles": []}, "principles = []", None),
        ({"id": "x", "version": "1"}, "principles is missing", None),
        ("- a list\n", "holds no settings", "a constitution has id"),
        ("id: [", "is not valid YAML", None),
        ("id: a\nid: b\n", "the key 'id' is given twice", None),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, content: Any, message: str, fix: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_constitution(written(tmp_path, content))
    assert message in caught.value.message
    assert fix is None or fix in (caught.value.fix or "")


def test_no_text_and_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"id: caf\xe9\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_constitution(str(tmp_path / "latin"))
    with pytest.raises(ConfigError) as caught:
        read_constitution("accord:plain-dealings")
    assert 'did you mean "accord:plain-dealing"' in (caught.value.fix or "")


@pytest.mark.parametrize("name", packaged_constitutions())
def test_packaged_constitutions_are_whole(name: str) -> None:
    found = read_constitution(name)
    assert f"accord:{found.id}" == name
    assert all(one.source for one in found.principles)


def test_principles_are_drawn_by_weight_and_again_by_seed() -> None:
    constitution = Constitution.model_validate(TWO)
    drawn = [constitution.draw(7, "row", n).id for n in range(2000)]
    assert drawn == [constitution.draw(7, "row", n).id for n in range(2000)]
    assert drawn != [constitution.draw(8, "row", n).id for n in range(2000)]
    assert Counter(drawn)["short"] / 2000 == pytest.approx(0.75, abs=0.03)
    with pytest.raises(ConfigError, match="has no principle 'shrt'"):
        constitution.by_id("shrt")


def test_commands(tmp_path: Path) -> None:
    file = written(tmp_path, TWO)
    checked = CliRunner().invoke(main, ["constitution", "check", file])
    assert checked.exit_code == 0, checked.output
    guideline = Constitution.model_validate(TWO).guideline
    assert f"mine 2, 2 principles\n{guideline}\n" in checked.output
    shown = CliRunner().invoke(main, ["constitution", "show", file]).output
    for part in (guideline, "weight 3, drawn 75% of the time", "It is kind.", "Where is it unkind"):
        assert part in shown
    refused = CliRunner().invoke(main, ["constitution", "check", str(tmp_path / "none.yaml")])
    assert refused.exit_code == 2
    hostile = written(tmp_path, {**TWO, "principles": [{"id": "a", "text": "x\x1b[2Jy"}]})
    assert "\x1b" not in CliRunner().invoke(main, ["constitution", "show", hostile]).output
