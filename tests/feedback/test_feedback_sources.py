"""What names data: a path, a path with what to take of it, or a list of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from accord.errors import ConfigError
from accord.feedback.formats.source import DataSource, DataSpec, name_of, sources, with_paths
from accord.validation import Settings, validated


class Stage(Settings):
    data: DataSpec = Field(description="What is read.")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "stages.a.data = '': an empty path names nothing"),
        ("  ", "an empty path names nothing"),
        ({"path": ""}, "stages.a.data.path = '': an empty path names nothing"),
        ({"split": "train"}, "stages.a.data.path is missing"),
        ({"path": "a", "splt": "train"}, "stages.a.data.splt is not a setting"),
        (["a", {"path": "b", "splt": "train"}], "stages.a.data.1.splt is not a setting"),
        (["a", ""], "stages.a.data.1 = '': an empty path"),
        ([], "an empty list names no data"),
        (3, "stages.a.data = 3: write a path or Hub id"),
        ({"path": "a", "limit": 0}, "stages.a.data.limit = 0"),
        ({"path": "a", "columns": {"prompt": "q", "chosen": "q"}}, "'q' is given two names"),
        ({"path": "a", "share": 0.3}, "a share is for one of a list"),
        ([{"path": "a", "share": 0.3}, {"path": "b", "share": 0.3}], "the shares add up to 0.6"),
        (
            ["a", {"path": "b", "share": 0.6}, {"path": "c", "share": 0.5}],
            "must add up to less than 1",
        ),
    ],
)
def test_a_wrong_name_of_data_is_refused_with_its_place(given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(Stage, {"data": given}, "stages.a")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "a.jsonl",
        {"path": "dir/*.jsonl", "split": "test"},
        ["a", {"path": "b", "share": 0.3, "limit": 5}],
    ],
)
def test_what_is_written_into_a_resolved_recipe_reads_as_the_same(given: Any) -> None:
    stage = validated(Stage, {"data": given}, "stages.a")
    assert validated(Stage, stage.model_dump(mode="json"), "stages.a") == stage


def test_names_and_paths() -> None:
    spec = validated(
        Stage, {"data": ["a", {"path": "b", "split": "test", "share": 0.5}]}, "stages.a"
    ).data
    assert name_of(spec) == "a, b (split test)"
    assert name_of(Path("x")) == "x"
    assert name_of(["a", "b", "c", "d"]) == "a and 3 more"
    assert [s.path for s in sources(with_paths(spec, lambda path: f"/data/{path}"))] == [
        "/data/a",
        "/data/b",
    ]
    assert sources(Path("x")) == sources("x") == [DataSource(path="x")]
    with pytest.raises(ConfigError, match="an empty path names nothing"):
        sources("")
