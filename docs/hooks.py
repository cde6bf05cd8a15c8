"""Writes the reference pages from the code before the site is built: recipes, stages, metrics,
formats and the API cannot go stale."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from accord.validation import Unit

DOCS = Path(__file__).parent
KATEX = DOCS.parent / "src/accord/studio/static/vendor/katex/katex.min.js"
BEGIN, END = "<!-- formats: begin -->", "<!-- formats: end -->"
"""Around the generated part of formats.md, which is kept with the code so that it can be read there
too."""


ROOMS = {
    "feedback": ("records", "store", "formats", "agreement", "simulate"),
    "text": ("encoding", "packing", "templates", "tokenizer", "segments", "scored", "gold"),
    "models": ("loading", "causal_lm", "reward_model", "logprob", "packed"),
    "sampling": ("rollout", "builtin", "endpoint"),
    "learning": (
        "losses", "likelihoods", "advantages", "on_policy", "preference", "reward", "scored_text",
        "supervised", "unpaired",
    ),
    "oversight": ("constitution", "drafts", "critics", "revisers", "chains", "voting"),
    "control": (
        "clip_learning", "settings", "environments", "making", "episodes", "ppo", "clip_reward",
        "acquisition", "watchers", "tabular/mdp", "tabular/gridworld", "tabular/shaping", "tabular/distances",
        "tabular/planners", "tabular/goals", "tabular/irl", "tabular/choices",
        "tabular/deep_irl", "tabular/assistance", "tabular/off_switch", "tabular/teaching", "procedure_cloning",
        "recording", "taking_over", "steering", "leaving", "cloning", "adversarial", "demonstrations", "gallery/world", "gallery/policies", "gallery/people", "gallery/tuning", "gallery/asking",
    ),
    "examine": ("kl", "winrate", "overoptimisation", "reward_card", "evidence", "verdict", "episodes"),
    "runs": ("recipe", "parameters", "registry", "stage", "runner", "study"),
}  # fmt: skip
"""Modules that one uses from Python, by room; their docstrings make the API reference."""


def on_config(config: Any) -> Any:
    """mkdocs hook: the pages that are made here get their place in the navigation."""
    from accord.runs.registry import kinds

    reference = next(part["Reference"] for part in config["nav"] if "Reference" in part)
    stages = [{kind: f"reference/stages/{kind}.md"} for kind in kinds()]
    api = [{room: f"reference/api/{room}.md"} for room in ROOMS]
    reference += [{"Stages": stages}, {"Python": api}]
    return config


def on_pre_build(config: Any) -> None:
    """mkdocs hook."""
    del config
    write_references(DOCS / "reference")
    _write(DOCS / "formats.md", formats_page((DOCS / "formats.md").read_text(encoding="utf-8")))


def on_files(files: Any, config: Any) -> Any:
    """mkdocs hook: the studio's KaTeX draws the formulas, so that nothing comes from elsewhere."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "katex.min.js", abs_src_path=str(KATEX)))
    return files


def write_references(folder: Path) -> None:
    """Write recipes.md, metrics.md, verdict-json.md, a page per stage and a page per room of the
    API."""
    from accord.runs.registry import kinds

    for below in (folder, folder / "stages", folder / "api"):
        below.mkdir(exist_ok=True)
    _write(folder / "recipes.md", recipes_page())
    _write(folder / "metrics.md", metrics_page())
    _write(folder / "verdict-json.md", verdict_page())
    for kind in kinds():
        _write(folder / "stages" / f"{kind}.md", stage_page(kind))
    for room, modules in ROOMS.items():
        _write(folder / "api" / f"{room}.md", api_page(room, modules))


def api_page(room: str, modules: tuple[str, ...]) -> str:
    """What mkdocstrings fills with the docstrings of a room's modules."""
    named = "\n\n".join(f"::: accord.{room}.{module.replace('/', '.')}" for module in modules)
    return f"# accord.{room}\n\n{named}\n"


def _write(path: Path, text: str) -> None:
    """Only when changed, so that a watching mkdocs does not loop."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def formats_page(page: str) -> str:
    """The page with the table of what is read from each format, made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{formats_table()}{END}{rest.partition(END)[2]}"


def formats_table() -> str:
    """Every format in the order in which it is looked for: the columns that tell it, what else it
    reads, what is made of it."""
    from accord.feedback.formats.making import PAIR_COLUMNS
    from accord.feedback.formats.shapes import SHAPES

    lines = ["| format | told by | also read | what becomes of a row |", "|---|---|---|---|"]
    for shape in SHAPES:
        beside = ["a pair's columns"] if set(PAIR_COLUMNS) <= set(shape.optional) else []
        beside = [*(f"`{name}`" for name in shape.optional if name not in PAIR_COLUMNS), *beside]
        told = ", ".join(f"`{name}`" for name in shape.fields)
        lines.append(f"| {shape.name} | {told} | {', '.join(beside)} | {shape.means} |")
    named = ", ".join(f"`{name}`" for name in PAIR_COLUMNS)
    return "\n".join([*lines, "", f"A pair's columns are {named}."]) + "\n"


def metrics_page() -> str:
    """Every declared metric."""
    from accord.metrics import declared

    lines = [
        "# Metrics",
        "",
        "Every metric that a stage logs. A value outside its range stops the run.",
        "",
    ]
    lines += ["| metric | unit | range | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{m.name}` | {m.unit} | [{m.low:g}, {m.high:g}] | {m.meaning} |" for m in declared()
    ]
    return "\n".join(lines) + "\n"


def verdict_page() -> str:
    """Every field of verdict.json."""
    from accord.examine.verdict import ArmVerdict, Rule, Verdict

    lines = [
        "# verdict.json",
        "",
        "What a run's directory says of its outcome, for machines. Unknown fields are never written."
        " The same as JSON Schema: `accord verdict --schema`.",
    ]
    for model, where in (
        (Verdict, "The file"),
        (ArmVerdict, "Each of `arms`"),
        (Rule, "Each of `rules`"),
    ):
        lines += ["", f"## {where}", "", model.__doc__ or "", ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {_json_type(field.annotation)} | {field.description} |"
            for name, field in model.model_fields.items()
        ]
    return "\n".join(lines) + "\n"


def _json_type(annotation: Any) -> str:
    """The type of a field, groups by what holds them."""
    inside = typing.get_args(annotation)
    if typing.get_origin(annotation) is list and issubclass(inside[0], BaseModel):
        return "list, see below"
    if type(None) in inside:
        return f"{_type(annotation)} or null"
    return _type(annotation)


def recipes_page() -> str:
    """The settings outside the stages, the stages there are, and the packaged recipes."""
    from accord.runs.recipe import Header, packaged, parameters_of
    from accord.runs.registry import find, kinds

    lines = [
        "# Recipes",
        "",
        "A recipe is a YAML file: settings at its top, parameters, and stages in order. Unknown "
        "settings are refused.",
        "",
        "## At the top",
        "",
        *_settings(Header),
        *_groups(_nested(Header)),
        "",
        "## Stages",
        "",
        "| kind | what it does |",
        "|---|---|",
        *(f"| [{kind}](stages/{kind}.md) | {_sentence(find(kind).about)} |" for kind in kinds()),
        "",
        "## Packaged recipes",
        "",
    ]
    for name, text in packaged().items():
        lines += [f"### {name}", "", *_parameters(parameters_of(name))]
        lines += ["", "```yaml", text.strip(), "```", ""]
    return "\n".join(lines) + "\n"


def stage_page(kind: str) -> str:
    """A stage with its settings and the groups of settings in them."""
    from accord.runs.registry import find

    stage = find(kind)
    made = ", ".join(f"`{name}`" for name in stage.provides)
    left = f"Other stages may refer to: {made}." if made else "No other stage reads what it leaves."
    lines = [f"# kind: {kind}", "", f"{_sentence(stage.about)} {left}", ""]
    lines += [*_settings(stage.Config), *_groups(_nested(stage.Config))]
    return "\n".join(lines) + "\n"


def _groups(nested: dict[str, type[BaseModel]]) -> list[str]:
    lines = []
    for name, model in sorted(nested.items()):
        about = " ".join((model.__doc__ or "").split())
        lines += ["", f"## Group of settings: {name}", "", about, "", *_settings(model)]
    return lines


def _parameters(parameters: Any) -> list[str]:
    from accord.runs.parameters import rows

    lines = ["| parameter | type | default | feeds | meaning |", "|---|---|---|---|---|"]
    for name, kind, default, feeds, help_ in rows(parameters):
        fed = ", ".join(f"`{key}`" for key in feeds.split(", "))
        shown = default if default == "required" else f"`{default}`"
        lines.append(f"| `{name}` | {kind} | {shown} | {fed} | {help_} |")
    return lines


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _settings(model: type[BaseModel]) -> list[str]:
    rows = ["| setting | type | unit | range | default | meaning |", "|---|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name == "kind":
            continue
        default = "required" if field.default is PydanticUndefined else _value(field.default)
        rows.append(
            f"| `{name}` | {_type(field.annotation)} | {_unit(field)} | {_range(field)} | {default} "
            f"| {field.description or ''} |"
        )
    return rows


def _unit(field: FieldInfo) -> str:
    """What the setting's number counts or is measured in; empty for one that has no unit."""

    def found(parts: Sequence[Any]) -> str | None:
        for part in parts:
            if isinstance(part, Unit):
                return part.name
            if inside := found(typing.get_args(part)):
                return inside
        return None

    return found([*field.metadata, field.annotation]) or ""


def _range(field: FieldInfo) -> str:
    """The bounds of the setting's number, as an interval; empty where there are none."""
    low, high = "(-∞", "∞)"
    for bound in field.metadata:
        if isinstance(bound, Ge):
            low = f"[{bound.ge:g}"
        elif isinstance(bound, Gt):
            low = f"({bound.gt:g}"
        elif isinstance(bound, Le):
            high = f"{bound.le:g}]"
        elif isinstance(bound, Lt):
            high = f"{bound.lt:g})"
    return "" if (low, high) == ("(-∞", "∞)") else f"{low}, {high}"


def _value(default: Any) -> str:
    if isinstance(default, BaseModel):
        return "see below"
    return "none" if default is None else f"`{default}`"


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{a}`" for a in arguments)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#group-of-settings-{annotation.__name__.lower()})"
    if arguments and origin in (typing.Union, type(int | None)):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if arguments:
        return f"{origin.__name__} of {', '.join(_type(a) for a in arguments)}"
    return {"str": "text", "float": "number", "int": "whole number", "bool": "yes/no"}.get(
        getattr(annotation, "__name__", ""), str(annotation)
    )


def _nested(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Groups of settings by name, those within groups too."""
    found: dict[str, type[BaseModel]] = {}
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= {part.__name__: part, **_nested(part)}
    return found


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and all that stands within it."""
    yield annotation
    for part in typing.get_args(annotation):
        yield from _parts(part)
