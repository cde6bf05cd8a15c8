"""How many one-token mistakes the tests notice: a sample of mutants per room of the house.

    make mutants                                            # or, for a part of it:
    python -m benchmarks.mutants --room learning --sample 20

A mutant is the source with one operator, comparison, number, keyword or condition changed
(cosmic-ray's operators). Of each room SAMPLE places are drawn with a fixed seed, evenly over its
files and lines, and one change for each. Only the tests that execute the changed line are run,
quickest first, until one fails (the mutant is killed) or all pass (it survived). What covers a
line is found by one run of the tests under coverage.py. Results are appended to a file, so that a
run that was stopped goes on where it was (tried in an order by chance, they are a fair sample as
far as it came); --report prints them, with the reason of every survivor in survivors.yaml.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ROOMS: dict[str, tuple[str, ...]] = {
    "learning": ("learning",),
    "feedback": ("feedback",),
    "examine": ("examine",),
    "sampling": ("sampling",),
    "models": ("models",),
    "queue": ("studio/queue", "studio/projects/overlap.py"),
}
"""Room: its sources below src/accord."""
SAMPLE, SEED = 60, 20
BUDGET = 60.0
"""Seconds of tests (their own time) that one mutant is tried on at most."""
REASONS = Path(__file__).with_name("survivors.yaml")
"""Reason → path → what the changed line says: the mutants that need no test."""
LONGER, SLACK = 3.0, 15.0
"""A mutant's test may take LONGER times its own time and SLACK seconds more."""
HEAVY = (
    *("numpy", "scipy", "torch", "transformers", "pydantic", "sqlalchemy", "fastapi", "psycopg"),
    *("pytest", "hypothesis", "_hypothesis_pytestplugin", "anyio.pytest_plugin", "xdist.plugin"),
    "pytest_postgresql.factories",
)
"""Imported once, before each mutant's process is forked."""


@dataclass(frozen=True)
class Mutant:
    """One change: `operator` applied for the `occurrence`-th time in `path`, at `line`."""

    room: str
    path: str
    line: int
    operator: str
    occurrence: int

    @property
    def key(self) -> str:
        return f"{self.path}:{self.line}:{self.operator}:{self.occurrence}"


# --- which mutants ----------------------------------------------------------------------------


def sources(room: str) -> list[Path]:
    """The room's Python files, in order; a name that no longer stands for a file is passed over."""
    base = ROOT / "src" / "accord"
    found: list[Path] = []
    for name in ROOMS[room]:
        place = base / name
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [path for path in found if path.is_file() and path.name != "__init__.py"]


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From and to (line, column) of every type annotation: a change there changes nothing."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for note in found:
            if isinstance(note, ast.expr):
                start = (note.lineno, note.col_offset)
                spans.append((start, (note.end_lineno or 0, note.end_col_offset or 0)))
    return spans


def places(path: Path) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Every place of a file that can be changed: (line, column) → (operator, occurrence)."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    source = path.read_text("utf-8")
    tree, notes, lines = get_ast(source), annotations(source), source.splitlines()
    found: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or name.endswith(("NoOp", "RemoveDecorator")):
            continue
        spots = (at for node in ast_nodes(tree) for at in kind().mutation_positions(node))
        for occurrence, (start, end) in enumerate(spots):
            # cosmic-ray cannot replace an exception that is dotted or unpacked from a tuple.
            named = lines[start[0] - 1][start[1] : end[1]].isidentifier()
            replaced = named or not name.endswith("ExceptionReplacer")
            if replaced and not any(a <= start < b for a, b in notes):
                found[start].append((name, occurrence))
    return found


def drawn(room: str, count: int, seed: int) -> list[Mutant]:
    """`count` mutants of a room: places evenly over its files and lines, a change for each."""
    every = [
        (path.relative_to(ROOT).as_posix(), line, column, changes)
        for path in sources(room)
        for (line, column), changes in sorted(places(path).items())
    ]
    rng = random.Random(f"{room} {seed}")
    step = len(every) / count
    chosen = [every[int((i + rng.random()) * step)] for i in range(min(count, len(every)))]
    first = [rng.choice(changes) for *_, changes in chosen]
    found = []
    for change, (path, line, _column, changes) in zip(first, chosen, strict=True):
        order = [change, *rng.sample(changes, len(changes))]
        mutants = (Mutant(room, path, line, *change) for change in order)
        found += islice(filter(compiles, mutants), 1)
    return found


def compiles(mutant: Mutant) -> bool:
    """Whether it changes the source, and into Python: what does not import tests no test."""
    try:
        compile(changed(mutant)[1], mutant.path, "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def changed(mutant: Mutant) -> tuple[str, str]:
    """The source before and after. Raises ValueError where the operator changes nothing."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    before = (ROOT / mutant.path).read_text("utf-8")
    after = mutate_code(before, get_operator(mutant.operator)(), mutant.occurrence)
    if after is None or after == before:
        raise ValueError(f"{mutant.key} changes nothing")
    return before, after


# --- which tests ------------------------------------------------------------------------------


class Watch:
    """A pytest plugin: every line's coverage under the name of its test, and what each took."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.outcome == "failed":
            self.failed.add(report.nodeid)


def covered(folder: Path, slow: bool, tests: Sequence[str] = ("tests",)) -> None:
    """Run `tests` under coverage; leaves lines.db and seconds.json in `folder`."""
    import coverage
    import pytest

    measure = coverage.Coverage(
        data_file=str(folder / "lines.db"), source=[str(ROOT / "src" / "accord")], config_file=False
    )
    watch = Watch(measure)
    measure.start()
    marks = [] if slow else ["-m", "not slow"]
    pytest.main(
        ["-q", "-p", "no:cacheprovider", *marks, *(str(ROOT / test) for test in tests)],
        plugins=[watch],
    )
    measure.stop()
    measure.save()
    kept = {test: s for test, s in watch.seconds.items() if test not in watch.failed}
    (folder / "seconds.json").write_text(json.dumps(kept), "utf-8")


class Covering:
    """Which tests execute a line, quickest first."""

    def __init__(self, folder: Path) -> None:
        from coverage.numbits import register_sqlite_functions

        self.seconds: dict[str, float] = json.loads((folder / "seconds.json").read_text("utf-8"))
        self.db = sqlite3.connect(folder / "lines.db")
        register_sqlite_functions(self.db)

    def tests(self, path: str, lines: range) -> list[str]:
        """Those that execute any of `lines`."""
        rows = self.db.execute(
            "select distinct context.context from line_bits join file on file.id = file_id "
            "join context on context.id = context_id where file.path = ? "
            f"and ({' or '.join(f'num_in_numbits({n}, numbits)' for n in lines)})",
            (str(ROOT / path),),
        )
        names = [name for (name,) in rows if name in self.seconds]
        return sorted(names, key=lambda name: (self.seconds[name], name))

    def of(self, path: str, source: str, lines: range) -> list[str]:
        """Those that execute `lines`. Of lines that importing executes, all that use the file and
        those that stand beside them: what looks at a class alone executes no line of it."""
        inside = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.lineno <= lines.start <= (node.end_lineno or 0)
            and lines.start >= node.body[0].lineno
        ]
        if inside:
            return self.tests(path, lines)
        users = self.tests(path, range(1, source.count("\n") + 2))
        files = {name.partition("::")[0] for name in users}
        beside = [name for name in self.seconds if name.partition("::")[0] in files]
        return sorted(beside, key=lambda name: (self.seconds[name], name))

    def within(self, names: Sequence[str], budget: float) -> list[str]:
        """As many of them as fit `budget` seconds; at least one."""
        sums, total = [], 0.0
        for name in names:
            total += self.seconds[name]
            sums.append(total)
        return list(names[: max(1, bisect_right(sums, budget))])


def statement(source: str, line: int) -> range:
    """The lines of the innermost statement (of a compound one: its head) that holds `line`."""
    best = range(line, line + 1)
    size = sys.maxsize
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or 0
            if node.lineno <= line <= max(end, node.lineno) and end - node.lineno < size:
                size, best = end - node.lineno, range(node.lineno, max(end, node.lineno) + 1)
    return best


# --- trying -----------------------------------------------------------------------------------


def tried(copy: Path, mutant: Mutant, covering: Covering, budget: float) -> dict[str, Any]:
    """What became of a mutant: killed, survived, or not reached by any test."""
    before, after = changed(mutant)
    names = covering.of(mutant.path, before, statement(before, mutant.line))
    diff = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    said = asdict(mutant) | {"key": mutant.key, "diff": diff[3:], "tests": len(names)}
    if not names:
        return said | {"outcome": "not reached", "seconds": 0.0}
    some = covering.within(names, budget)
    target = copy / mutant.path
    target.write_text(after, "utf-8")
    began = time.monotonic()
    try:
        code, by = in_a_fork(copy, {name: covering.seconds[name] for name in some})
    finally:
        target.write_text(before, "utf-8")
    outcome = "survived" if code == 0 else "killed"
    took = round(time.monotonic() - began, 1)
    return said | {"outcome": outcome, "by": by, "tried": len(some), "seconds": took}


class Alarm:
    """A pytest plugin: ends the process in a test that takes LONGER times as much CPU time as it
    is known to take in seconds, and SLACK more."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = seconds

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        signal.setitimer(signal.ITIMER_PROF, SLACK + LONGER * self.seconds.get(nodeid, 0.0))


def in_a_fork(copy: Path, seconds: Mapping[str, float]) -> tuple[int, str]:
    """Run tests in a forked process on `copy`: its exit status (negative: a test took too long, of
    CPU time or ten times that by the clock; 2 or 4: does not even import) and the first test that
    failed. seconds: each test's own. Raises RuntimeError when pytest itself fails."""
    log = copy / "log.txt"
    child = os.fork()
    if child == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", encoding="utf-8")
        os.chdir(copy)
        sys.path[:0] = [str(copy / "src"), str(copy)]
        os.environ["PYTHONPATH"] = str(copy / "src")
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider"]
        status = int(pytest.main([*options, *seconds], plugins=[Alarm(seconds)]))
        sys.stdout.flush()
        os._exit(status)
    end = time.monotonic() + 10 * (SLACK + LONGER * sum(seconds.values()))
    status = None
    while status is None and time.monotonic() < end:
        done, raw = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(raw) if done else None
        if status is None:
            time.sleep(0.05)
    if status is None:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -1, "over the time"
    if status < 0:
        return status, "over the time"
    text = log.read_text("utf-8", "replace")
    if status in (3, 4, 5) and "ERROR collecting" not in text:
        raise RuntimeError(f"pytest ended with {status}:\n{text[-2000:]}")
    failed = [line for line in text.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return status, failed[0][:200] if failed else ""


def work(mutants: Sequence[Mutant], folder: Path, results: Path, budget: float) -> None:
    """Try these mutants one after the other on a copy of the tree of their own."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copy = Path(temporary)
        for part in ("src", "tests", "benchmarks", "examples", "docs", "recipes"):
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, copy / part, symlinks=True)
        for part in ("pyproject.toml", "README.md", "mkdocs.yml", "CHANGELOG.md"):
            shutil.copy(ROOT / part, copy / part)
        covering = Covering(folder)
        for mutant in mutants:
            found = tried(copy, mutant, covering, budget)
            with results.open("a", encoding="utf-8") as out:
                out.write(json.dumps(found) + "\n")
            print(f"{found['outcome']:12s} {mutant.key} ({found['seconds']} s)", flush=True)


# --- figures ----------------------------------------------------------------------------------


def read(results: Path) -> dict[str, dict[str, Any]]:
    """What is known already, by mutant."""
    lines = results.read_text("utf-8").splitlines() if results.exists() else []
    return {row["key"]: row for row in map(json.loads, lines)}


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Share killed per room with its exact 95 % interval, as Markdown."""
    from accord.statistics.intervals import share

    yield "| room | mutants | killed | survived | not reached | share killed (95 %) |"
    yield "|---|---|---|---|---|---|"
    for room in ROOMS:
        mine = [row["outcome"] for row in rows if row["room"] == room]
        if mine:
            killed = mine.count("killed")
            counts = [len(mine), killed, mine.count("survived"), mine.count("not reached")]
            part = share(killed, len(mine))
            ends = f"{part.value:.0%} ({part.low:.0%} to {part.high:.0%})"
            yield f"| {room} | {' | '.join(map(str, counts))} | {ends} |"


def after(row: dict[str, Any]) -> str:
    """What a mutant's changed lines say, without their indent."""
    return "\n".join(line[1:].strip() for line in row["diff"] if line.startswith("+"))


def reasons(file: Path = REASONS) -> dict[tuple[str, str], str]:
    """Why a survivor is let live, by (path, what its line says)."""
    groups = yaml.safe_load(file.read_text("utf-8"))
    return {
        (path, str(line)): reason
        for reason, files in groups.items()
        for path, lines in files.items()
        for line in lines
    }


def explained(
    rows: Sequence[dict[str, Any]], why: dict[tuple[str, str], str]
) -> dict[str, dict[str, list[str]]]:
    """Room → reason → names of the files of the mutants that no test killed."""
    found: dict[str, dict[str, list[str]]] = {room: defaultdict(list) for room in ROOMS}
    for row in rows:
        if row["outcome"] != "killed":
            reason = why.get((row["path"], after(row)), "not explained, nor killed yet")
            found[row["room"]][reason].append(Path(row["path"]).name)
    return found


def told(rows: Sequence[dict[str, Any]], why: dict[tuple[str, str], str]) -> Iterator[str]:
    """The table, then a line per room and reason of those that no test killed, as Markdown."""
    yield from table(rows)
    yield ""
    for room, groups in explained(rows, why).items():
        for reason, names in sorted(groups.items(), key=lambda kind: (-len(kind[1]), kind[0])):
            files = ", ".join(f"`{name}`" for name in sorted(set(names)))
            yield f"- {room}, {len(names)}: {reason} ({files})."


def main() -> None:
    """Draw, cover, try, print; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--room", action="append", choices=list(ROOMS), help="default: all")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants per room")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds of tests per mutant")
    parser.add_argument("--slow", action="store_true", help="slow tests too")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="the tests to judge by")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--again", action="store_true", help="the survivors alone")
    parser.add_argument("--cover", action="store_true", help="find anew what the tests cover")
    parser.add_argument("--report", action="store_true", help="only print what the results say")
    given = parser.parse_args()
    results = given.out / "results.jsonl"
    if given.report:
        print(*told(list(read(results).values()), reasons()), sep="\n")
        return
    rooms = given.room or list(ROOMS)
    for module in HEAVY:
        __import__(module)
    folder = coverage_of(given.out, given.tests, given.slow, anew=given.cover)
    for room in rooms:
        known = read(results)
        alive = {key for key, row in known.items() if row["outcome"] != "killed"}
        sample = drawn(room, given.sample, given.seed)
        todo = [m for m in sample if (m.key in alive if given.again else m.key not in known)]
        random.Random(given.seed).shuffle(todo)
        parts = [todo[i :: given.workers] for i in range(given.workers)]
        forked(*(partial(work, part, folder, results, given.budget) for part in parts if part))
    wanted = {m.key for room in rooms for m in drawn(room, given.sample, given.seed)}
    rows = [row for key, row in read(results).items() if key in wanted]
    for row in rows:
        if row["outcome"] != "killed":
            print(f"\n{row['outcome']}: {row['key']}", *row["diff"], sep="\n")
    print("", *told(rows, reasons()), sep="\n")


def coverage_of(out: Path, tests: Sequence[str], slow: bool, anew: bool) -> Path:
    """The folder of what these tests cover; they are run where it is not known, or `anew`."""
    names = "-".join(["covered", *(["slow"] if slow else []), *tests]).replace("/", "_")
    if len(names) > 100:  # a name may be 255 characters long
        names = f"covered-{hashlib.sha256(names.encode()).hexdigest()[:16]}"
    folder = out / names
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    if not (folder / "seconds.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        forked(partial(covered, folder, slow, tests))
    return folder


def forked(*jobs: Callable[[], None]) -> None:
    """Run each job in a forked process, all at once. Raises SystemExit if one fails."""
    children = []
    for job in jobs:
        child = os.fork()
        if child == 0:
            try:
                job()
                os._exit(0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(1)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit("a part failed (see above); results so far are kept")


if __name__ == "__main__":
    main()
