"""Pictures of docs/studio.md: a studio with a crowd's judgements, looked at in Chromium.

    python docs/make_studio_pictures.py [FOLDER]

Needs the extra `dev` and a Chromium. Times and ids are drawn anew, so pictures differ a little from
run to run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from sqlalchemy import select

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "studio" / "web"), str(ROOT / "tests")]

from browsing import serving  # noqa: E402
from crowds import judged  # noqa: E402
from houses import House, make_house  # noqa: E402

from accord.studio.storage.tables import Item  # noqa: E402

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
]


def pages(house: House, slug: str) -> dict[str, str]:
    """Name of a picture -> address."""
    with house.db.read() as session:
        key = session.scalar(
            select(Item.key).where(Item.purpose == "work", Item.state == "full").order_by(Item.id)
        )
    base = f"/p/{slug}"
    return {
        "studio-overview": base,
        "studio-annotators": f"{base}/annotators",
        "studio-item": f"{base}/items/{key}",
        "studio-items": f"{base}/items",
        "studio-groups": f"{base}/groups",
        "studio-integrity": f"{base}/integrity",
        "studio-selection": f"{base}/selection",
        "studio-representation": f"{base}/representation",
        "studio-log": f"{base}/log?verify=1",
        "studio-export": f"{base}/export",
        "studio-hooks": f"{base}/hooks",
    }


def main(folder: Path, every: bool) -> None:
    """Write the pictures the page shows (or all of them, to look at) to a folder."""
    with tempfile.TemporaryDirectory() as here, sync_playwright() as playwright:
        house = make_house(Path(here))
        house.app.state.stats_cache.wait = 300
        slug = judged(house, count=120, gold=8, overlap=4)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        with serving(house) as served:
            for scheme in ("light", "dark") if every else ("light",):
                context = browser.new_context(
                    viewport={"width": 1040, "height": 700}, color_scheme=scheme
                )
                context.add_cookies(
                    [{"name": "accord_session", "value": house.session("olga"), "url": served.url}]
                )
                page = context.new_page()
                for name, path in pages(house, slug).items():
                    if every or name in SHOWN:
                        page.goto(served.url + path)
                        page.screenshot(
                            path=folder / f"{name}{'-dark' if scheme == 'dark' else ''}.png",
                            full_page=every or name == "studio-item",
                        )
        browser.close()


SHOWN = ("studio-overview", "studio-annotators", "studio-item")

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images", "--all" in sys.argv)
