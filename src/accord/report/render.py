"""One run directory in, one self-contained page out."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from accord.errors import DataError
from accord.files import read_jsonl, write_text
from accord.metrics import declared
from accord.report import charts, facts
from accord.report.times import duration
from accord.statistics.intervals import Z95
from accord.statistics.means import Estimate, ends

REPORT, EVIDENCE = "report.html", "evidence.json"
OUTCOMES = {
    "worked": "It worked", "gamed": "The reward was gamed", "collapsed": "The policy collapsed",
    "inconclusive": "Inconclusive", None: "No verdict",
}  # fmt: skip


def render(run_dir: Path) -> Path:
    """Write report.html from what the run directory holds; sections without data say what is
    missing."""
    if not (run_dir / "recipe.yaml").is_file() and (run_dir / EVIDENCE).is_file():
        return _examination(run_dir)
    if not (run_dir / "recipe.yaml").is_file():
        raise DataError(
            f"{run_dir} is not a run directory: recipe.yaml is missing",
            "name a directory made by accord run, or by accord examine --out",
        )
    return write_page(run_dir, "report.html.j2", _Page(run_dir).variables())


def _examination(folder: Path) -> Path:
    """The page of what `accord examine --out` wrote."""
    evidence, verdict = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in (EVIDENCE, "verdict.json")
    )
    page = {"name": folder.name, "evidence": evidence, "verdict": verdict, "figures": {}}
    page["headline"] = OUTCOMES[verdict["outcome"]]
    return write_page(folder, "examination.html.j2", page)


def write_page(run_dir: Path, template: str, variables: dict[str, Any]) -> Path:
    """Fill a template, which gets the figures' script too, and write report.html."""
    environment = Environment(
        loader=PackageLoader("accord.report"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"estimate": _estimate, "percent": _percent, "duration": duration}
    environment.globals["z95"] = Z95
    variables |= {
        "figures": _script_json(variables["figures"]),
        "plotly": _asset("plotly-basic.min.js"),
    }
    write_text(run_dir / REPORT, environment.get_template(template).render(variables))
    return run_dir / REPORT


class _Page:
    """Collects what the template shows; figures are numbered as they are added."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.figures: dict[str, Any] = {}
        self.stages = self._stages()

    def variables(self) -> dict[str, Any]:
        """All template variables."""
        verdict, evidence = self._json("verdict.json"), self._evidence()
        card = evidence["reward_card"] if evidence else None
        text = (self.run_dir / "recipe.yaml").read_text(encoding="utf-8")
        recipe = yaml.safe_load(text)
        return {
            "facts": facts.facts(self.run_dir, recipe, self.stages),
            "to_take": facts.to_take(evidence, self.stages),
            "next_step": facts.next_step(self.run_dir, recipe, verdict, self.stages),
            "to_fine_tuning": {
                stage["stage"]: facts.to_fine_tuning(stage, self.stages) for stage in self.stages
            },
            "name": self.run_dir.name,
            "verdict": verdict,
            "evidence": evidence,
            "card": card,
            "headline": OUTCOMES[verdict["outcome"] if verdict else None],
            "stages": self.stages,
            "failed": [s for s in self.stages if s["failed"]],
            "seconds": sum(s["seconds"] for s in self.stages),
            "curves": self._curves(evidence),
            "judges": self._judges(evidence),
            "wins": self._figure(charts.win_rates(evidence)) if evidence else None,
            "calibration": self._figure(charts.calibration(card)) if card else None,
            "training": self._training(),
            "samples": self._samples(),
            "recipe": text,
            "environment": self._readable("environment.json"),
            "lineage": self._readable("lineage.json"),
            "meanings": {m.name: f"{m.meaning} ({m.unit})" for m in declared()},
            "figures": self.figures,
        }

    def _json(self, name: str) -> Any:
        path = self.run_dir / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def _readable(self, name: str) -> str | None:
        content = self._json(name)
        return content and json.dumps(content, indent=1, ensure_ascii=False)

    def _stages(self) -> list[dict[str, Any]]:
        """Every stage directory with its result, or what is known of it."""
        stages = []
        folders = (
            sorted((self.run_dir / "stages").glob("*"))
            if (self.run_dir / "stages").is_dir()
            else []
        )
        for folder in (f for f in folders if f.is_dir()):
            result, failed = folder / "result.json", folder / "failed.json"
            record = (
                json.loads(result.read_text())
                if result.is_file()
                else {
                    "stage": folder.name[3:],
                    "kind": "",
                    "summary": facts.UNFINISHED,
                    "values": {},
                    "seconds": 0.0,
                    "cpu_seconds": 0.0,
                    "peak_mib": 0.0,
                }
            )
            error = json.loads(failed.read_text())["error"] if failed.is_file() else None
            stages.append(record | {"folder": folder, "failed": error})
        return stages

    def _evidence(self) -> Any:
        for stage in self.stages:
            path = stage["folder"] / "evidence.json"
            if path.is_file():
                return json.loads(path.read_text(encoding="utf-8"))
        return None

    def _figure(self, figure: charts.Figure | None) -> str | None:
        """Register a figure; returns the id of its place on the page."""
        if figure is None:
            return None
        name = f"figure-{len(self.figures) + 1}"
        self.figures[name] = figure
        return name

    def _curves(self, evidence: Any) -> list[tuple[str, str]]:
        if evidence is None:
            return []
        titles = (("gold", "Gold reward"), ("proxy", "Proxy reward"))
        drawn = [
            (title, self._figure(charts.against_distance(evidence, key, title)))
            for key, title in titles
        ]
        return [(title, name) for title, name in drawn if name is not None]

    def _judges(self, evidence: Any) -> list[tuple[str, str]]:
        if evidence is None:
            return []
        titles = (("rationality", "Rationality"), ("side_bias", "Side bias"))
        drawn = [
            (title, self._figure(charts.annotators(evidence["annotators"], key, title)))
            for key, title in titles
        ]
        return [(title, name) for title, name in drawn if name is not None]

    def _samples(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """What each stage answered before and after its training."""
        found = ((s["stage"], s["folder"] / "samples.jsonl") for s in self.stages)
        return [(stage, read_jsonl(path)) for stage, path in found if path.is_file()]

    def _training(self) -> list[tuple[str, list[tuple[str, str | None]]]]:
        result = []
        for stage in self.stages:
            path = stage["folder"] / "metrics.jsonl"
            rows = read_jsonl(path) if path.is_file() else []
            if rows:
                figures = [(name, self._figure(figure)) for name, figure in charts.training(rows)]
                result.append((stage["stage"], figures))
        return result


def _script_json(value: Any) -> Markup:
    """JSON that is safe inside a script element: no `</script>`, no comment openers, no line
    separators."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character, escape in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, escape)
    return Markup(text)


def _asset(name: str) -> Markup:
    text = (resources.files("accord.report") / "assets" / name).read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))


def _estimate(value: Any, digits: int = 2) -> str:
    """0.53 [0.41, 0.65]"""
    if value is None:
        return "–"
    form = f".{digits}f"
    return f"{value['value']:{form}} {ends(value['low'], value['high'], value['n'], form)}"


def _percent(value: Any) -> str:
    """53% [41%, 65%]"""
    if value is None:
        return "–"
    return Estimate.model_validate(value).percent
