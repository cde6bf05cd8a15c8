"""Films of episodes that were watched, of environments seen by their frames alone."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the extra control is not installed")

from PIL import Image
from pydantic import TypeAdapter

from accord.control import poses
from accord.control.evaluation import watch
from accord.control.gym_batch import GymBatch
from accord.control.poses import FilmStrip, frame_drawing
from accord.control.refilming import Refilming
from accord.control.watched import KeptEpisodes, WatchedFolder
from accord.errors import ConfigError, RunError
from accord.report.clips import clips_page
from accord.seeds import generator
from accord.statistics.intervals import Array
from accord.studio.tasks.drawings import Drawing

LIMIT = 12


@pytest.fixture(autouse=True)
def own_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def wanders(seen_NO: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    action_NA = rng.uniform(-0.5, 1, (len(seen_NO), 1)).astype(np.float32)
    return action_NA, np.zeros(len(seen_NO))


def kept(folder: Path, name: str) -> KeptEpisodes:
    """Three episodes, as a run keeps them."""
    place = WatchedFolder(folder)
    place.keep(0, watch(f"user_environments:{name}-v0", wanders, 3, LIMIT, 2**63 + 5), 2**63 + 5)
    return place.read(0)


def brightness(drawing: dict[str, Any]) -> list[float]:
    """Of each frame of a sheet, at its middle."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing["sheet"]))))
    width, height, columns = drawing["width"], drawing["height"], drawing["columns"]
    places = [divmod(number, columns) for number in range(drawing["count"])]
    return [
        float(sheet[y * height + height // 2, x * width + width // 2].mean()) for y, x in places
    ]


def test_an_episode_is_filmed_as_it_was(tmp_path: Path) -> None:
    episodes = kept(tmp_path, "Shown")
    films = Refilming("user_environments:Shown-v0", LIMIT)
    lengths = []
    for n in (2, 0, 2):
        film = films.drawing(episodes, n)
        assert TypeAdapter(Drawing).validate_python(film)
        assert (film["every"], film["dt"]) == (1, 0.1)
        wanted = np.clip(100 + 100 * episodes.seen(n)[:, 0], 0, 255)
        assert brightness(film) == pytest.approx(wanted.tolist(), abs=6)
        lengths.append(film["count"])
    assert lengths[0] == lengths[2] == len(episodes.done(2)) + 1


def test_what_does_not_do_the_same_again_is_not_filmed(tmp_path: Path) -> None:
    episodes = kept(tmp_path, "Fickle")
    with pytest.raises(RunError, match="Fickle-v0 does not do again what it did"):
        Refilming("user_environments:Fickle-v0", LIMIT).drawing(episodes, 1)


def test_what_renders_nothing_is_not_filmed(tmp_path: Path) -> None:
    episodes = kept(tmp_path, "Walk")
    with pytest.raises(ConfigError, match="Walk-v0 cannot be shown"):
        Refilming("user_environments:Walk-v0", LIMIT).drawing(episodes, 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Growing", "pictures of different sizes: 51 × 50 after 50 × 50"),
        ("Nowhere", r"renders uint8 \[0, 0, 3\], not a picture"),
        ("Misdrawn", "renders float64"),
    ],
)
def test_pictures_that_are_no_film_are_named(name: str, said: str) -> None:
    batch = GymBatch(f"user_environments:{name}-v0", 1, rendered=True)
    batch.reset(np.array([0]), generator(1, "starts"))

    def two_pictures() -> None:
        for _ in range(2):
            batch.frames()
            batch.step(np.zeros((1, 1)))

    with pytest.raises(ConfigError, match=said):
        two_pictures()


def shades(count: int) -> list[Any]:
    return [np.full((8, 8, 3), 20 * n % 256, dtype=np.uint8) for n in range(count)]


@pytest.mark.parametrize(("count", "every"), [(10, 1), (11, 2), (20, 2), (21, 4), (41, 8)])
def test_of_long_films_fewer_frames_are_kept(
    count: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poses, "LONGEST", 10)
    film = frame_drawing(shades(count), 0.1)
    assert (film["every"], film["dt"], film["count"]) == (every, every / 10, -(-count // every))
    assert brightness(film) == pytest.approx([20 * n % 256 for n in range(0, count, every)], abs=4)


def test_a_page_plays_frames(tmp_path: Path, browser: Any) -> None:
    path = clips_page(tmp_path / "film.html", "film", "Test-v0", [("one", frame_drawing(shades(6), 0.1))])  # fmt: skip
    page = browser.new_page(reduced_motion="reduce")
    page.goto(path.as_uri())
    middle = "() => document.querySelector('canvas').getContext('2d').getImageData(4, 4, 1, 1).data"
    for number in (0, 5, 3):
        page.locator("input[type=range]").fill(str(number))
        page.wait_for_function(f"() => Math.abs(({middle})()[0] - {20 * number}) < 5", polling=50)
    assert page.locator("input[type=range]").get_attribute("max") == "5"
    page.close()


def test_of_heavy_films_fewer_frames_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(16)]
    whole = frame_drawing(noise, 0.1)
    monkeypatch.setattr(poses, "HEAVIEST", len(whole["sheet"]) // 3)
    strip = FilmStrip(0.1)
    for frame in noise:
        strip.add(frame)
    film = strip.drawing()
    assert len(film["sheet"]) <= len(whole["sheet"]) // 3
    assert (whole["count"], film["count"], film["every"]) == (16, 4, 4)
