"""Pictures of docs/studio.md: a studio with a crowd's judgements, looked at in Chromium.

    python docs/make_studio_pictures.py [FOLDER]

Needs the extra `dev` and a Chromium. Times and ids are drawn anew, so pictures differ a little from run to run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import sync_playwright
from sqlalchemy import select

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "studio" / "web")]

from crowds import judged  # noqa: E402
from houses import PASSWORD, House, make_house  # noqa: E402

from accord.studio.tables import Item  # noqa: E402

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


def pages(house: House, slug: str) -> dict[str, str]:
    """Name of a picture -> address."""
    with house.db.read() as session:
        key = session.scalar(select(Item.key).where(Item.purpose == "work", Item.state == "full").order_by(Item.id))
    base = f"/p/{slug}"
    return {
        "studio-overview": base, "studio-annotators": f"{base}/annotators", "studio-item": f"{base}/items/{key}",
        "studio-items": f"{base}/items", "studio-groups": f"{base}/groups", "studio-integrity": f"{base}/integrity",
        "studio-selection": f"{base}/selection", "studio-representation": f"{base}/representation",
        "studio-log": f"{base}/log?verify=1", "studio-export": f"{base}/export", "studio-hooks": f"{base}/hooks",
    }  # fmt: skip


def serve(house: House) -> tuple[uvicorn.Server, str]:
    """The studio in a thread, and its address."""
    server = uvicorn.Server(uvicorn.Config(house.app, port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def sign_in(page: Any, url: str) -> None:
    """As the owner."""
    page.goto(f"{url}/login")
    page.fill("[name=name]", "olga")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")


def main(folder: Path, every: bool) -> None:
    """Write the pictures the page shows (or all of them, to look at) to a folder."""
    with tempfile.TemporaryDirectory() as here, sync_playwright() as playwright:
        house = make_house(Path(here))
        house.app.state.desk.wait = 300
        slug = judged(house, count=120, gold=8, overlap=4)
        server, url = serve(house)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for scheme in ("light", "dark") if every else ("light",):
            page = browser.new_page(viewport={"width": 1040, "height": 700}, color_scheme=scheme)
            sign_in(page, url)
            for name, path in pages(house, slug).items():
                if every or name in SHOWN:
                    page.goto(url + path)
                    page.screenshot(
                        path=folder / f"{name}{'-dark' if scheme == 'dark' else ''}.png",
                        full_page=every or name == "studio-item",
                    )
        browser.close()
        server.should_exit = True


SHOWN = ("studio-overview", "studio-annotators", "studio-item")

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images", "--all" in sys.argv)
