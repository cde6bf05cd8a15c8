"""A page of clips of agents that act, to be played and looked through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accord.report.render import script_json, write_page


def clips_page(
    path: Path, name: str, environment: str, clips: Sequence[tuple[str, dict[str, Any]]]
) -> Path:
    """Write a page that stands alone. clips: what is said of each, and its poses."""
    page = {
        "name": name,
        "headline": f"{environment}: {len(clips):,} clip{'s' * (len(clips) != 1)}",
        "captions": [caption for caption, _ in clips],
        "poses": script_json([drawing for _, drawing in clips]),
        "figures": {},
    }
    return write_page(path, "clips.html.j2", page)
