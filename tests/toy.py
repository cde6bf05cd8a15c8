"""A toy training stage and a driver, for tests of the runner in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import ClassVar, Literal

import torch

from accord.errors import AccordError
from accord.learning.session import State
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageContext, StageProgress
from accord.runs.registry import register
from accord.runs.stage import Stage, StageConfig, StageResult

TRAP: dict[str, int] = {}


class WalkConfig(StageConfig):
    kind: Literal["walk"]
    steps: int = 12
    chunks: int = 5
    guard: str | None = None


@register
class Walk(Stage):
    """A random walk with a checkpointed generator, then chunks in an append-only log."""

    kind = "walk"
    Config = WalkConfig
    provides: ClassVar = {"end": None, "log": None}

    def run(self, config: WalkConfig, context: StageContext) -> StageResult:
        session = context.session(every_steps=3)
        generator = torch.Generator().manual_seed(context.seed)
        position, done = torch.zeros(4), 0
        if (saved := session.restore()) is not None:
            position, done = saved["position"], saved["done"]
            generator.set_state(saved["generator"])
        for step in range(done, config.steps):
            position = position + torch.randn(4, generator=generator)
            done = step + 1

            def state() -> State:
                return {"position": position, "done": done, "generator": generator.get_state()}  # noqa: B023

            if TRAP.get("--interrupt-at") == done:
                os.kill(os.getpid(), signal.SIGINT)
            if TRAP.get("--terminate-at") == done:
                for _ in range(2):  # as `timeout` does: to the process and to its group
                    os.kill(os.getpid(), signal.SIGTERM)
            value = float("nan") if TRAP.get("--nan-at") == done else float(position.norm())
            session.end_step(done, config.steps, {"grad_norm": value}, state, f"(rows {done})")
            if TRAP.get("--kill-at") == done:
                os.kill(os.getpid(), signal.SIGKILL)
        log = context.log("chunks.jsonl")
        for chunk in range(len(log.rows), config.chunks):
            log.append([{"chunk": chunk, "value": float(position.sum()) + chunk}])
            if TRAP.get("--kill-at") == config.steps + chunk + 1:
                with open(log.path, "ab") as handle:
                    handle.write(b'{"torn": ')
                os.kill(os.getpid(), signal.SIGKILL)
            context.checkpoint(chunk + 1, config.chunks)
        torch.save(position, context.folder / "end.pt")
        return StageResult(
            "walked",
            {"norm": float(position.norm())},
            {"end": context.folder / "end.pt", "log": log.path},
            config.guard,
        )


RECIPE = "name: toy\nseed: 3\nstages:\n  one: {kind: walk}\n  two: {kind: walk}\n"


def main(arguments: list[str]) -> int:
    """RUN_DIR [--resume] [--kill-at STEP | --interrupt-at STEP | --terminate-at STEP | --nan-at
    STEP] [KEY=VALUE ...]; returns the exit code."""
    runner.write_report = lambda _: None
    flags = [a for a in arguments[1:] if a.startswith("--")]
    for flag in flags:
        if flag != "--resume":
            TRAP[flag] = int(arguments[arguments.index(flag) + 1])
    overrides = [a for a in arguments[1:] if "=" in a]
    path = Path(arguments[0]).parent / "toy.yaml"
    path.write_text(RECIPE)
    try:
        recipe, run_dir = recipes.load(str(path), overrides), Path(arguments[0])
        return runner.execute(recipe, run_dir, "--resume" in flags, StageProgress(), {}).exit_code
    except AccordError as error:
        print(error, file=sys.stderr)
        return error.exit_code
