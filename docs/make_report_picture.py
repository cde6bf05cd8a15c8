"""The picture of docs/index.md: the page of a run, looked at in Chromium.

    python docs/make_report_picture.py RUN [FOLDER]

Needs the extra `dev` and a Chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from accord.runs.pages import write_report

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def main(run: Path, folder: Path) -> None:
    """Write report.png, the top of the page."""
    page_file = write_report(run)
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 1500})
        page.goto(page_file.resolve().as_uri())
        page.locator("#samples-panel[data-ready]").wait_for()
        for chart in page.locator(".chart:visible").all()[:3]:
            chart.locator("svg.main-svg").first.wait_for()
        page.screenshot(path=folder / "report.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "images")
