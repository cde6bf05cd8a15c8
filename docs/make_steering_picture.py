"""The picture of docs/control.md: a robot that is steered, looked at in Chromium.

    python docs/make_steering_picture.py [FOLDER]

Needs the extras `control` and `dev`, and a Chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from accord.cli.steer_page import steer_app  # noqa: E402
from accord.control.episodes import EpisodeStore  # noqa: E402
from accord.control.kept_feedback import KeptFeedback  # noqa: E402
from accord.control.making import make  # noqa: E402
from accord.control.recording import record  # noqa: E402
from accord.control.rollouts import at_random  # noqa: E402
from accord.control.steering import Steering  # noqa: E402
from listening import listening  # noqa: E402

TOKEN, STEPS = "picture", 14


def main(folder: Path) -> None:
    """Write it: an episode by chance, taken over at its tenth step, two keys held."""
    environments = make("accord:HalfCheetah", 1, 120)
    act = at_random(environments.actions)
    with tempfile.TemporaryDirectory() as here, sync_playwright() as playwright:
        store = EpisodeStore(Path(here) / "old")
        store.append(record(environments, act, 1, seed=2).episodes)
        said = ("Which of the two clips is better?", "ann")
        steering = Steering(store, store.ids[0], KeptFeedback(Path(here) / "new"), said, act, 0)
        steering.seek(10)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        with listening(steer_app(steering, TOKEN)) as there:
            page = browser.new_page(viewport={"width": 1040, "height": 900})
            page.goto(f"{there.url}/{TOKEN}/")
            page.wait_for_selector("#main[aria-busy=false]")
            page.keyboard.press("x")
            page.keyboard.down("q")
            page.keyboard.down("d")
            for step in range(1, STEPS + 1):
                page.keyboard.press(".")
                page.wait_for_function(
                    "s => document.getElementById('goes').textContent.startsWith(s)",
                    arg=f"{step} step",
                )
            page.screenshot(path=folder / "steering.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
