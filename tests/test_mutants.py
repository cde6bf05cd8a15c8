"""The sample of mutants: the same for a seed, over all files, and each really a change."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import pytest
from benchmarks.mutants import (
    ROOT,
    Covering,
    annotations,
    changed,
    covered,
    drawn,
    in_a_fork,
    places,
    reasons,
    statement,
    table,
    told,
)


def test_a_sample_is_fixed_by_its_seed_and_spread_over_the_files() -> None:
    sample = drawn("sampling", 40, seed=1)
    assert sample == drawn("sampling", 40, seed=1) != drawn("sampling", 40, seed=2)
    assert len(sample) == len({m.key for m in sample}) == 40
    files = {p.name for p in (ROOT / "src/accord/sampling").glob("*.py")} - {"__init__.py"}
    assert {Path(m.path).name for m in sample} == files
    for mutant in sample:
        before, after = changed(mutant)
        assert before != after


def test_annotations_are_not_changed(tmp_path: Path) -> None:
    source = "def f(x: int | None = 1) -> int | str:\n    y: int | None = x\n    return y or 2\n"
    path = tmp_path / "some.py"
    path.write_text(source, "utf-8")
    assert len(annotations(source)) == 3
    lines = {source.split("\n")[line - 1][column:] for line, column in places(path)}
    assert lines == {"1) -> int | str:", "or 2", "2"}


def test_only_exceptions_named_by_one_word_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "try:\n    f()\nexcept (OSError, a.Error, *MORE) as error:\n    g(error)\n", "utf-8"
    )
    found = [place for place, changes in places(path).items() for name, _ in changes]
    assert (3, 8) in found
    assert not {(3, 17), (3, 18), (3, 26)} & set(found)


def test_a_line_stands_for_its_statement() -> None:
    source = textwrap.dedent(
        """\
        def f(
            x,
        ):
            y = [
                x,
            ]
            if (x
                and y):
                return y
        """
    )
    assert statement(source, 5) == range(4, 7)
    assert statement(source, 8) == range(7, 9)
    assert statement(source, 9) == range(9, 10)
    assert statement(source, 2) == range(1, 4)


def test_the_table_gives_shares_with_intervals() -> None:
    rows = [{"room": "models", "outcome": "killed"}] * 51 + [
        {"room": "models", "outcome": "survived"}
    ] * 9
    assert list(table(rows))[2:] == ["| models | 60 | 51 | 9 | 0 | 85% (73% to 93%) |"]


def test_a_line_that_importing_runs_is_tried_by_all_tests_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    covering = object.__new__(Covering)
    covering.seconds = {"a.py::one": 3.0, "a.py::two": 2.0, "a.py::three": 1.0, "b.py::four": 0.1}
    monkeypatch.setattr(covering, "tests", lambda path, lines: ["a.py::one"])
    source = "X = 1\n\n\ndef f():\n    return X\n"
    beside = ["a.py::three", "a.py::two", "a.py::one"]
    assert covering.of("f.py", source, range(1, 2)) == beside
    assert covering.of("f.py", source, range(4, 5)) == beside
    assert covering.of("f.py", source, range(5, 6)) == ["a.py::one"]


def test_every_survivor_is_told_with_its_reason(tmp_path: Path) -> None:
    row = {"room": "models", "path": "src/accord/models/a.py", "outcome": "survived"}
    rows = [
        row | {"diff": ["-    x = 1", "+    x = 2"]},
        row | {"diff": ["-x = 0 == y", "+x = 0 is y"], "path": "src/accord/models/b.py"},
        row | {"diff": ["-y = 1", "+y = 2"], "outcome": "not reached"},
        row | {"diff": ["-z = 1", "+z = 2"], "outcome": "killed"},
    ]
    file = tmp_path / "why.yaml"
    file.write_text(
        "nobody minds:\n  src/accord/models/a.py: [x = 2, z = 2]\n"
        "  src/accord/models/b.py: [x = 0 is y]\n",
        "utf-8",
    )
    assert list(told(rows, reasons(file)))[2:] == [
        "| models | 4 | 1 | 2 | 1 | 25% (1% to 81%) |",
        "",
        "- models, 2: nobody minds (`a.py`, `b.py`).",
        "- models, 1: not explained, nor killed yet (`a.py`).",
    ]


def test_the_reasons_stand_for_files_that_are_there() -> None:
    assert all((ROOT / path).is_file() and line for path, line in reasons())


@pytest.mark.slow
def test_a_mutant_is_killed_by_a_test_that_covers_it(tmp_path: Path) -> None:
    folder, tree = tmp_path / "found", tmp_path / "tree"
    folder.mkdir()
    covered_by(folder, ["tests/test_network.py"])
    covering = Covering(folder)
    reached = {n: covering.tests("src/accord/network.py", range(n, n + 1)) for n in range(1, 99)}
    tests = max(reached.values(), key=len)
    assert tests
    assert all(name.startswith("tests/test_network.py::") for name in tests)
    assert covering.within(tests, 0.0) == tests[:1]
    source = (ROOT / "src/accord/network.py").read_text("utf-8")
    every = covering.of("src/accord/network.py", source, range(1, 2))
    assert set(tests) <= set(every)
    for part in ("src", "tests"):
        (tree / part).mkdir(parents=True)
    (tree / "pyproject.toml").write_text("", "utf-8")
    (tree / "tests" / "test_x.py").write_text("def test_x():\n    assert 1 + 1 == 2\n", "utf-8")
    assert in_a_fork(tree, {"tests/test_x.py::test_x": 0.1}) == (0, "")
    (tree / "tests" / "test_x.py").write_text("def test_x():\n    assert 1 - 1 == 2\n", "utf-8")
    status, by = in_a_fork(tree, {"tests/test_x.py::test_x": 0.1})
    assert status == 1
    assert "test_x" in by
    (tree / "tests" / "test_x.py").write_text("import accord.nothing\n", "utf-8")
    status, by = in_a_fork(tree, {"tests/test_x.py::test_x": 0.1})
    assert status > 0
    assert "test_x" in by
    (tree / "tests" / "test_x.py").write_text(
        "def test_x():\n    while 1:\n        pass\n", "utf-8"
    )
    assert in_a_fork(tree, {"tests/test_x.py::test_x": -4.0}) == (-signal.SIGPROF, "over the time")
    with pytest.raises(RuntimeError, match="pytest ended with 4"):
        in_a_fork(tree, {"tests/test_y.py": 0.1})


def covered_by(folder: Path, tests: list[str]) -> None:
    """In a process of its own: coverage of a test run cannot stand inside another."""
    from benchmarks.mutants import forked

    forked(lambda: covered(folder, False, tests))
