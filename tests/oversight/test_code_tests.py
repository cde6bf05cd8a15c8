"""Programs under test: contained, and told by name what became of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import ConfigError
from accord.oversight import code_child
from accord.oversight.code_child import approx
from accord.oversight.code_tests import CodeLimits, CodeTask, run_tests

TASK = CodeTask.parse("assert f(1) == 1\nassert f(2) == 2\nassert f(3) == 3, 'three'")
TIGHT = CodeLimits(cpu_seconds=1, wall_seconds=20, memory_mb=128)


@pytest.mark.parametrize(
    ("program", "outcome", "reason"),
    [
        ("def f(x): return x", "passed", ""),
        ("def f(x): return min(x, 2)", "failed", "three"),
        ("def f(x): return y", "error", "NameError"),
        ("def f(x) return", "error", "SyntaxError"),
        ("def f(x): return f(x)", "error", "RecursionError"),
        ("def f(x): raise ValueError('\\ud800')", "error", "ValueError"),
        ("raise SystemExit", "error", "SystemExit"),
        ("import os\nos._exit(0)", "error", "before its tests"),
        ("while True: pass", "time", "1 s of CPU"),
        ("x = [0]\nwhile True: x = x * 2", "memory", "more memory"),
        ("while True: print('x' * 1000)", "output", "64 KiB"),
        ("import os\nwhile True: os.fork()", "refused", "processes"),
        ("import subprocess\nsubprocess.run(['true'])", "refused", "processes"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9))", "refused", "network"),
        ("import ctypes\nctypes.CDLL(None)", "refused", "foreign code"),
        ("open('out.txt', 'w').write('x' * 9)\ndef f(x): return x", "passed", ""),
        ("open('out.txt', 'w').write('x' * 2**21)", "error", "File too large"),
    ],
)
def test_an_end_of_each_kind_is_named(program: str, outcome: str, reason: str) -> None:
    found = run_tests(program, TASK, TIGHT)
    assert found.first_fault.outcome == outcome
    assert reason in found.first_fault.reason
    assert len(found.checks) == 3
    assert len(found.output) <= 4000
    found.output.encode()


def test_what_is_outside_is_neither_written_nor_excused(tmp_path: Path) -> None:
    target = tmp_path / "evil"
    for attempt in (f"open({str(target)!r}, 'w')", f"import os; os.mkdir({str(target)!r})"):
        program = f"def f(x): return x\ntry:\n    {attempt}\nexcept OSError:\n    pass"
        found = run_tests(program, TASK, TIGHT)
        assert found.first_fault.outcome == "refused"
        assert "outside" in found.first_fault.reason
        assert not target.exists()


def test_where_the_kernel_permits_it_its_walls_stand_without_python(tmp_path: Path) -> None:
    """The same attempts with nothing refused by Python."""
    held = run_tests("def f(x): return x", TASK).held
    if {*held} != {"network", "files", "processes"}:
        pytest.skip(f"the kernel permits {held} alone")
    room = tmp_path / "room"
    room.mkdir()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        script = f"""
import os, socket, sys
sys.path.insert(0, {str(Path(code_child.__file__).parent)!r})
import code_child
print(code_child.shut_in({str(room)!r}, 1 << 20))
if os.fork() == 0:
    code_child.give_up_rights()
    for attempt in (
        lambda: open({str(tmp_path / "evil")!r}, "w"),
        lambda: socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 2),
        lambda: os.kill({os.getpid()}, 0),
        lambda: open("inside", "w").write("x" * (5 << 20)),
    ):
        try:
            attempt()
            print("done")
        except OSError as error:
            print(error.errno)
    os._exit(0 if sys.stdout.flush() is None else 1)
os.wait()
"""
        code_child_alone = [sys.executable, "-c", script]
        run = subprocess.run(
            code_child_alone, capture_output=True, text=True, timeout=60, check=True
        )
    lines = run.stdout.split("\n")
    assert "files" in lines[0], run.stdout
    assert "done" not in lines, run.stdout
    assert not list(tmp_path.glob("evil"))
    assert not list(room.iterdir())


def test_an_assertion_counts_by_itself() -> None:
    """One that never ends takes those after it along, not those before."""
    program = "def f(x):\n    while x == 2: pass\n    return x"
    assert [one.outcome for one in run_tests(program, TASK, TIGHT).checks] == [
        "passed",
        "time",
        "time",
    ]


def test_one_assertion_of_three_is_hidden_from_special_casing() -> None:
    hidden, shown = TASK.hidden(7), TASK.shown(7)
    assert len(hidden) == 1
    assert sorted(hidden + shown) == [0, 1, 2]
    answers = {place + 1: place + 1 for place in shown}
    found = run_tests(f"def f(x): return {answers}.get(x)", TASK, TIGHT)
    assert found.holds(shown)
    assert not found.holds(hidden)
    assert not found.passed


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_hidden_and_shown_are_a_partition(count: int, seed: int) -> None:
    task = CodeTask(["assert True"] * count)
    hidden = task.hidden(seed)
    assert sorted(hidden + task.shown(seed)) == list(range(count))
    assert len(hidden) == (0 if count == 1 else max(1, count // 3))


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.booleans())
@settings(max_examples=8, deadline=None)
def test_tests_are_read_alike_from_statements_and_from_a_function(
    values: list[int], wrong: bool
) -> None:
    lines = [f"assert g({one}) == {one + 1}" for one in values]
    lines.insert(1, "shift = 1")
    inside = [f"    {line.replace('g(', 'candidate(')}" for line in lines]
    source = "\n".join(["from pytest import approx", "def check(candidate):", *inside])
    program = f"def g(x): return x + {2 if wrong else 1}"
    for task in (CodeTask.parse("\n".join(lines)), CodeTask.parse(source, "g")):
        found = run_tests(program, task)
        assert len(found.checks) == len(values)
        assert found.passed is not wrong


@given(st.recursive(st.floats(-1e6, 1e6) | st.text(max_size=3), st.lists, max_leaves=6))
def test_approx_takes_a_value_and_not_its_neighbour(value: object) -> None:
    assert value == approx(value)
    assert [value] != approx([value, 1])
    assert {"a": value} == approx({"a": value})
    assert approx([1.0]) != [1.01]
    assert approx([1.0]) == [1.0 + 1e-9]


@pytest.mark.parametrize(
    ("source", "said"),
    [("x = 1", "assert nothing"), ("assert (", "no Python"), ("def check(c):\n assert c", "what")],
)
def test_tests_that_test_nothing_are_refused(source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CodeTask.parse(source)
