"""The project of a studio in which people judge the clips of a run."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from accord.control.asked_kinds import AskedKind
from accord.errors import ConfigError
from accord.files import write_json
from accord.studio.projects import editing
from accord.studio.projects.settings import Attribute, ProjectSettings, Task
from accord.studio.storage.database import Database
from accord.studio.storage.tables import Project

GUIDELINE = """# {question}

Clips of the same robot, or the same task. Play them as slowly and as often as you like. {how} Skip
what cannot be judged.
"""
HOW: dict[AskedKind, str] = {
    "comparison": "Choose the one of the two that answers the question better, and say that they"
    " are equally good where you see no difference.",
    "ranking": "Put them in order, the best first; those between which you see no difference share"
    " a place.",
    "best_worst": "Say which is the best, and which the worst.",
    "rating": "Say how good what is done in it is, from 1, very bad, to 5, very good, and mean the"
    " same by a number from the first clip to the last.",
    "thumb": "Say whether what is done in it is good or bad, and mean the same by that from the"
    " first clip to the last.",
}
STOPS = """
Where a clip goes wrong from a moment on, stop it there (x, and of several clips its number): what
was done until then is taken for better than the whole.
"""
TASKS: dict[AskedKind, Task] = {
    "comparison": "clips",
    "ranking": "ranking",
    "best_worst": "best_worst",
    "rating": "rating",
    "thumb": "thumb",
}
SCALE = Attribute(name="overall", low=1, high=5, labels={1: "very bad", 5: "very good"})


def open_project(
    db: Database,
    place: str,
    file: Path,
    name: str,
    question: str,
    asks: AskedKind = "comparison",
    stops: bool = False,
) -> tuple[int, str]:
    """(id, slug) of the project of a run, made where there is none yet. file: remembers it, so that
    a killed run finds its own again; place: where the database is. Raises ConfigError where it is
    gone. stops: whether people may say from which moment a clip goes wrong."""
    there = known_project(db, place, file)
    if there is not None:
        return there
    known = _remembered(file) or {"key": secrets.token_hex(16)}
    write_json(file, known)  # before the project: a kill between the two makes no second one
    settings = ProjectSettings(
        name=name,
        task=TASKS[asks],
        question=question,
        guideline=GUIDELINE.format(question=question, how=HOW[asks]) + STOPS * stops,
        both_bad=False,  # it would prefer neither, and teach nothing
        attributes=[SCALE] if asks == "rating" else [],
        stops=stops,
    )
    project = editing.create_project(db, settings, None, known["key"])
    with db.read() as session:
        slug = session.get_one(Project, project).slug
    write_json(file, known | {"slug": slug})
    return project, slug


def known_project(db: Database, place: str, file: Path) -> tuple[int, str] | None:
    """(id, slug) of the project that a run made before, as `open_project` remembers it. Raises
    ConfigError where it is gone."""
    slug = _remembered(file).get("slug")
    if slug is None:
        return None
    with db.read() as session:
        if not editing.has_project(session, slug):
            raise ConfigError(
                f"the project {slug!r}, in which this run's clips are judged, is not in {place}",
                "name the database it began with; or begin a new run",
            )
        return editing.find_project(session, slug).id, slug


def _remembered(file: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    return found
