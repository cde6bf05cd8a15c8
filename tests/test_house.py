"""The house keeps its own rules: arrows, types, style."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CIRCLES: dict[str, set[str]] = {}
"""Imports that may close a circle, importer -> imported, each with its reason beside it."""
SAME_NAME: dict[str, set[str]] = {
    # a clip of a trajectory in a record; a file of a studio's archive
    "Clip": {"feedback/messages.py", "studio/delivery/archive.py"},
}
"""Classes that may share a name, with the modules that define them and what each is."""
RETIRED = {
    "Desk",
    "Given",
    "House",
    "Judged",
    "JudgedAnswer",
    "Material",
    "Numbers",
    "Part",
    "Place",
    "Point",
    "Reading",
    "Scale",
    "Scales",
    "Unknown",
    "changing_shapes",
    "check_upright",
    "desk",
    "entrances",
    "find_place",
    "made_again",
    "make_desk",
    "material",
    "place_for",
    "place_with",
    "read_all",
    "straight_forward",
}
"""Names that said too little, or two things: no module, class, function, parameter or variable of
the package bears them again."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("lint-imports", "--no-cache"),
        ("ruff", "check", "--no-cache", "src", "tests", "docs", "benchmarks", "examples"),
        (
            "ruff",
            "format",
            "--no-cache",
            "--check",
            "src",
            "tests",
            "docs",
            "benchmarks",
            "examples",
        ),
        ("mypy", "--no-incremental"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_lint(command: tuple[str, ...]) -> None:
    if not (BIN / command[0]).exists():
        pytest.skip(f"{command[0]} is not installed (the extra dev brings it)")
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_packaged_recipes_are_those_of_the_repository() -> None:
    link = ROOT / "recipes"
    assert link.resolve() == ROOT / "src" / "accord" / "recipes"
    assert shutil.which("git") is None or list(link.glob("*.yaml"))


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; the first is named again at the end."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and for types alone count: they hide a circle and do not end it."""
    grimp = pytest.importorskip("grimp", reason="import-linter brings it (the extra dev)")
    graph = grimp.build_graph("accord", cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module) - CIRCLES.get(module, set())
        for module in graph.modules
    }
    assert imports["accord.learning.reward"], "nothing was read"
    assert " imports ".join(reversed(circle(imports))) == ""
    late, early = "accord.runs.context", "accord.runs.speed"  # inside a function of `late`
    assert early in imports[late]
    assert circle({**imports, early: {*imports[early], late}})


def definitions() -> Iterator[tuple[str, str, bool]]:
    """(name, file, whether it is a class) of every class and function in the package."""
    package = ROOT / "src" / "accord"
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                place = path.relative_to(package).as_posix()
                yield node.name, place, isinstance(node, ast.ClassDef)


def test_each_class_has_a_name_of_its_own() -> None:
    places = defaultdict(set)
    for name, place, is_class in definitions():
        if is_class:
            places[name].add(place)
    assert places["Clip"] == SAME_NAME["Clip"], "nothing was read"
    shared = {name: files for name, files in places.items() if len(files) > 1}
    new = {name: files for name, files in shared.items() if files != SAME_NAME.get(name)}
    assert not new, "rename one of them, or say why both keep the name"


def bound_names(source: str) -> Iterator[tuple[str, int]]:
    """(name, line) of everything that a module's text gives a name: classes, functions, parameters,
    variables, attributes that are set, and imports under another name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias(asname=str()):
                yield str(node.asname), node.lineno


def test_retired_names_do_not_come_back() -> None:
    planted = "from a import b as Desk\nclass House: ...\ndef f(material): self.desk = Part = 1\n"
    planted_names = {"Desk", "House", "Part", "desk", "f", "material"}
    assert {name for name, _ in bound_names(planted)} == planted_names
    back = []
    for path in sorted((ROOT / "src" / "accord").rglob("*.py")):
        names = [(path.stem, 1), *bound_names(path.read_text())]
        where = path.relative_to(ROOT)
        back += [f"{where}:{line}: {name}" for name, line in names if name in RETIRED]
    assert not back, "these names are retired: say what the value is"


def test_no_two_test_modules_share_a_name() -> None:
    """pytest imports them by name: of two, the second is not collected."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    del names["conftest.py"]
    assert [name for name, count in names.items() if count > 1] == []
