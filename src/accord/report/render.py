"""One run directory in, one self-contained page out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from accord.report.curves import MOST, read_curves
from accord.report.samples import SampleTable, ship
from accord.report.times import duration
from accord.statistics.intervals import Z95
from accord.statistics.means import Estimate, ends

REPORT, EVIDENCE = "report.html", "evidence.json"
EPISODES, POSES = "episodes.json", "poses.json"
REWARD_CARD = "card.json"
"""Evidence on a policy that acts, and poses of it."""
DRAWING = "drawing/pose.js"
"""The script that draws a pose, here and in the studio."""
RESPONSES = "responses.jsonl"
"""What `accord examine --out` had the arms answer."""
OUTCOMES = {
    "worked": "It worked", "gamed": "The reward was gamed", "collapsed": "The policy collapsed",
    "inconclusive": "Inconclusive", None: "No verdict",
}  # fmt: skip


def render(run_dir: Path, at_work: bool = False) -> Path:
    """Write report.html from what the run directory holds; sections without data say what is
    missing. at_work: whether a process still writes the run, as the caller knows (its lock is the
    runner's)."""
    if not (run_dir / "recipe.yaml").is_file() and (run_dir / EVIDENCE).is_file():
        return _examination(run_dir)
    if not (run_dir / "recipe.yaml").is_file():
        raise DataError(
            f"{run_dir} is not a run directory: recipe.yaml is missing",
            "name a directory made by accord run, or by accord examine --out",
        )
    variables = _Page(run_dir).variables() | {"at_work": at_work}
    return write_page(run_dir / REPORT, "report.html.j2", variables)


def _examination(folder: Path) -> Path:
    """The page of what `accord examine --out` wrote."""
    evidence, verdict = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in (EVIDENCE, "verdict.json")
    )
    page = {"name": folder.name, "evidence": evidence, "verdict": verdict, "figures": {}}
    page["headline"] = OUTCOMES[verdict["outcome"]]
    table = SampleTable()
    if (folder / RESPONSES).is_file():
        table.add_examined(read_jsonl(folder / RESPONSES), evidence["baseline_name"])
    page |= samples_of(table)
    return write_page(folder / REPORT, "examination.html.j2", page)


def write_page(path: Path, template: str, variables: dict[str, Any]) -> Path:
    """Fill a template, which gets the page's scripts too, and write it to `path`."""
    wanted = {"samples.js": "shipped", DRAWING: "poses", "poses.js": "poses"}
    scripts = [script for script, of in wanted.items() if variables.get(of) is not None]
    write_text(path, filled(template, variables, *scripts))
    return path


def filled(template: str, variables: dict[str, Any], *scripts: str) -> str:
    """A template with the charts' script, and the page's own."""
    environment = Environment(
        loader=PackageLoader("accord.report"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"estimate": _estimate, "percent": _percent, "duration": duration}
    environment.globals["z95"] = Z95
    variables |= {
        "figures": script_json(variables["figures"]),
        "plotly": _asset("plotly-basic.min.js"),
        "page_script": Markup("\n").join(map(_asset, scripts)),
    }
    return environment.get_template(template).render(variables)


def samples_of(table: SampleTable) -> dict[str, Any]:
    """The variables of samples.html.j2."""
    return {
        "shipped": ship(table),
        "marks_known": any(table.marks),
        "missing_marks": sorted(table.without_marks),
    }


def read_stages(run_dir: Path) -> list[dict[str, Any]]:
    """Every stage directory with its result, or what is known of it. Raises DataError for a result
    that cannot be read."""
    stages = []
    for folder in sorted(run_dir.glob("stages/*")):
        if not folder.is_dir():
            continue
        record = {
            "stage": folder.name.partition("-")[2],
            "kind": "",
            "summary": facts.UNFINISHED,
            "values": {},
            "seconds": 0.0,
            "cpu_seconds": 0.0,
            "peak_mib": 0.0,
        } | (_json(folder / "result.json") or {})
        failed = _json(folder / "failed.json")
        stages.append(record | {"folder": folder, "failed": failed and failed["error"]})
    return stages


def last_evidence(stages: Sequence[Mapping[str, Any]]) -> Any:
    """That of the last examination, which the verdict is of; None where there is none."""
    found = [_json(stage["folder"] / EVIDENCE) for stage in stages]
    return next((one for one in reversed(found) if one is not None), None)


def _json(path: Path) -> Any:
    """None where there is no such file. Raises DataError where it is no JSON."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON: {error}",
            "remove it and continue the run: accord run --resume RUN writes it again",
        ) from None


class _Page:
    """Collects what the template shows; figures are numbered as they are added."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.figures: dict[str, Any] = {}
        self.stages = read_stages(run_dir)

    def variables(self) -> dict[str, Any]:
        """All template variables."""
        verdict, evidence = _json(self.run_dir / "verdict.json"), last_evidence(self.stages)
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
            "answers": facts.answers(evidence) if evidence else [],
            "curves": self._curves(evidence),
            "judges": self._judges(evidence),
            "wins": self._figure(charts.win_rates(evidence)) if evidence else None,
            "calibration": self._figure(charts.calibration(card)) if card else None,
            **self._training(),
            "greedy": self._greedy(),
            **self._acts(),
            "clip_cards": self._clip_cards(),
            **samples_of(self._samples()),
            "recipe": text,
            "environment": self._readable("environment.json"),
            "lineage": self._readable("lineage.json"),
            "meanings": {m.name: m.meaning for m in declared()},
            "metric_name": charts.metric_name,
            "figures": self.figures,
        }

    def _readable(self, name: str) -> str | None:
        content = _json(self.run_dir / name)
        return content and json.dumps(content, indent=1, ensure_ascii=False)

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

    def _samples(self) -> SampleTable:
        table = SampleTable()
        table.add_run(self.stages)
        return table

    def _greedy(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """What each stage answered before and after its training."""
        found = ((s["stage"], s["folder"] / "samples.jsonl") for s in self.stages)
        return [(stage, read_jsonl(path)) for stage, path in found if path.is_file()]

    def _acts(self) -> dict[str, Any]:
        """Of each stage whose policy acts: its evidence, and the poses that are drawn of it."""
        acts: list[dict[str, Any]] = []
        for stage in self.stages:
            evidence = _json(stage["folder"] / EPISODES)
            if evidence is not None:
                poses = _json(stage["folder"] / POSES)
                compared = bool(stage["values"].get("comparisons"))
                card = _json(stage["folder"] / REWARD_CARD)
                acts.append(
                    {
                        "stage": stage["stage"],
                        "place": len(acts),
                        "evidence": evidence,
                        "poses": poses,
                        "compared": compared,
                        "card": card,
                        "calibration": card and self._figure(charts.calibration(card)),
                    }
                )
        drawn = any(act["poses"] for act in acts)
        return {
            "acts": acts,
            "poses": script_json([act["poses"] for act in acts]) if drawn else None,
        }

    def _clip_cards(self) -> list[dict[str, Any]]:
        """Of each stage that learned a reward of clips and no policy: its card."""
        found = [
            (stage["stage"], _json(stage["folder"] / REWARD_CARD))
            for stage in self.stages
            if stage["kind"] == "clip_reward"
        ]
        return [
            {"stage": name, "card": card, "calibration": self._figure(charts.calibration(card))}
            for name, card in found
            if card is not None
        ]

    def _training(self) -> dict[str, Any]:
        curves = read_curves(self.run_dir)
        drawn = []
        for stage, metrics in curves.stages.items():
            groups = (
                [(name, self._figure(figure)) for name, figure in group]
                for group in charts.training(metrics)
            )
            drawn.append((stage, *groups))
        return {
            "training": drawn,
            "broken_rows": curves.broken,
            "torn": sorted(curves.torn),
            "thinned": curves.thinned,
            "most_points": MOST,
        }


def script_json(value: Any) -> Markup:
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
    room = "accord" if name == DRAWING else "accord.report"
    text = (resources.files(room) / "assets" / name).read_text(encoding="utf-8")
    if name == DRAWING:
        text = text.replace("\nexport ", "\n")  # a page of one file has no modules
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
