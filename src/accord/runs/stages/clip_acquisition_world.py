"""What each way of choosing clips saves, against chance, from one pool of clips."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from accord.control.acquisition_curves import MEASURES, WAYS, AcquisitionSettings
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.seeds import derive_seed
from accord.statistics.curves import saved_share
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate, student_mean

CURVES = "curves.jsonl"
"""Of each draw and way, what was measured after so many comparisons."""
CHANCE = next(iter(WAYS))
CALLED = {
    "same": "agreement about the same policies",
    "later": "agreement about a later policy",
    "kept": "what is kept of the best of eight clips of it",
}
Curves = dict[str, dict[str, Array]]
"""Way -> measure -> value of each draw at each size: [draws, sizes]."""
Saved = dict[str, dict[str, Estimate]]
"""Way -> measure -> share of the comparisons that it saves against chance."""


class ClipAcquisitionWorldConfig(StageConfig, AcquisitionSettings):
    """Settings of a clip_acquisition_world stage."""

    kind: Literal["clip_acquisition_world"]
    draws: int = Field(
        10, ge=2, description="Policies that learn, each with a pool, a watcher and rewards."
    )


class ClipAcquisitionWorld(Stage):
    """Learning curves of rewards whose comparisons are chosen by chance and otherwise."""

    kind = "clip_acquisition_world"
    Config = ClipAcquisitionWorldConfig
    about = "the share of comparisons of clips that active selection saves, with intervals"

    def plan(self, config: ClipAcquisitionWorldConfig, context: StageContext) -> Plan:
        from accord.control.making import make

        environment = make(config.environment, 1, config.episode_steps)
        reward = config.reward
        updates = reward.first_steps + config.rounds * reward.round_steps
        seconds = config.draws * (len(WAYS) * updates / 250 + config.steps / 5_000)
        return Plan(
            rows=config.draws * len(WAYS) * config.comparisons,
            seconds=(seconds / 3, 4 * seconds),
            notes=[
                f"{environment.name}: a simulated watcher compares pairs of clips, chosen in"
                f" {len(WAYS)} ways from one pool"
            ],
        )

    def run(self, config: ClipAcquisitionWorldConfig, context: StageContext) -> StageResult:
        from accord.control.networks import one_thread

        with one_thread():
            sizes, curves = _curves(config, context)
        values, saved = _values(sizes, curves)
        for way in WAYS:
            for line in _lines(way, sizes, curves[way], saved.get(way, {})):
                context.say(line)
        told = ", ".join(f"{way} saves {of_way['same'].percent}" for way, of_way in saved.items())
        return StageResult(f"of {sizes[-1]} comparisons, at equal agreement: {told}", values)


def _curves(config: ClipAcquisitionWorldConfig, context: StageContext) -> tuple[list[int], Curves]:
    """(comparisons, values after so many); each curve is kept as soon as it is there, and a killed
    run goes on after the last."""
    from accord.control.acquisition_curves import clips_of, curve

    log = context.log(CURVES)
    asked = [(draw, way) for draw in range(config.draws) for way in WAYS]
    clips, of_draw = None, -1
    for done, (draw, way) in enumerate(asked[len(log.rows) :], len(log.rows)):
        seed = derive_seed(context.seed, "draw", draw)
        if clips is None or of_draw != draw:
            clips, of_draw = clips_of(config, seed), draw
        points = [{"comparisons": n} | told for n, told in curve(config, clips, way, seed)]
        log.append([{"draw": draw, "way": way, "points": points}])
        context.checkpoint(done + 1, len(asked), "learning curves")
    rows = log.rows
    sizes = [int(point["comparisons"]) for point in rows[0]["points"]]
    return sizes, {
        way: {
            name: np.array(
                [[point[name] for point in row["points"]] for row in rows if row["way"] == way]
            )
            for name in MEASURES
        }
        for way in WAYS
    }


def _values(sizes: list[int], curves: Curves) -> tuple[dict[str, Value], Saved]:
    values: dict[str, Value] = {}
    saved: Saved = {}
    for way, of_way in curves.items():
        for name, rows_CN in of_way.items():
            for size, mean in zip(sizes, rows_CN.mean(0), strict=True):
                values[f"{name}.{way}.{size}"] = float(mean)
            if way == CHANCE:
                continue
            found = saved_share(curves[CHANCE][name], rows_CN, sizes)
            saved.setdefault(way, {})[name] = found
            values[f"saved.{name}.{way}"] = found.value
            if found.low is not None and found.high is not None:
                values[f"saved_low.{name}.{way}"] = found.low
                values[f"saved_high.{name}.{way}"] = found.high
    return values, saved


def _lines(
    way: str, sizes: list[int], of_way: dict[str, Array], saved: dict[str, Estimate]
) -> list[str]:
    """What is said of a way, measure by measure."""
    shown = sorted({0, len(sizes) // 4, len(sizes) // 2, len(sizes) - 1})
    lines = []
    for name, rows_CN in of_way.items():
        at = []
        for n in shown:
            mean = student_mean(rows_CN[:, n].tolist())
            assert mean is not None  # there are two draws at least
            at.append(f"{sizes[n]}: {mean}")
        told = f"; saves {saved[name].percent}" if saved else ""
        lines.append(f"{way}, {CALLED[name]} after {', '.join(at)}{told}")
    return lines
