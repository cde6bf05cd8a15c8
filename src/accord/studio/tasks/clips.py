"""Clips as raters get them: by view and place, since names of files often tell who made them."""

from __future__ import annotations

from pathlib import Path

from accord.studio.errors import NotHere
from accord.studio.queue import assigning
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Project

KINDS = (".mp4", ".webm", ".ogv", ".gif", ".png", ".jpg", ".jpeg", ".webp", ".apng")


def clip_name(content: str, place: int) -> str:
    """What raters see of a clip's name: its place, and what kind of file it is."""
    suffix = Path(content).suffix.lower()
    return f"{place}{suffix if suffix in KINDS else ''}"


def clip_headers(view_id: int, name: str) -> dict[str, str]:
    """What an answer with a clip says of the file: when it was written, which tells whose it is, is
    not among it."""
    return {"ETag": f'"{view_id}-{name}"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}


def clip_file(
    db: Database, media: Path | None, project: Project, account_id: int, view_id: int, name: str
) -> Path:
    """The file behind a clip of one's own view, named as `clip_name` names it. Raises NotHere."""
    served = assigning.peek(db, project.id, account_id, view_id)
    contents = {option["id"]: option["content"] for option in served.options}
    shown = {
        clip_name(str(contents[i]), place): str(contents[i])
        for place, i in enumerate(served.order, 1)
        if isinstance(contents[i], str)  # others are drawn
    }
    if name not in shown or media is None:
        raise NotHere("there is no such clip")
    folder = (media / project.slug).resolve()
    file = (folder / shown[name].lstrip("/")).resolve()
    if not file.is_relative_to(folder) or not file.is_file() or file.suffix.lower() not in KINDS:
        raise NotHere("there is no such clip")
    return file
