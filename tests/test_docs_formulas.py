"""The formulas of the documentation are drawn, each, by the KaTeX that the site carries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORMULA = re.compile(r"\$\$\n(.+?)\n\$\$|\\\((.+?)\\\)", re.DOTALL)


@pytest.mark.slow
def test_every_formula_is_drawn(browser) -> None:
    pages = sorted((ROOT / "docs").rglob("*.md"))
    found = [
        ("".join(match.groups("")), str(page.relative_to(ROOT)))
        for page in pages
        if "reference" not in page.parts
        for match in FORMULA.finditer(page.read_text(encoding="utf-8"))
    ]
    assert len(found) >= 7
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "src/accord/studio/static/vendor/katex/katex.min.js")
    for formula, where in found:
        drawn = page.evaluate(
            "f => katex.renderToString(f, {output: 'mathml', throwOnError: true})", formula
        )
        assert "<math" in drawn, where
    page.close()
