"""What the page of a run shows of clips: the policy at the end, and the last answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accord.errors import AccordError
from accord.feedback.messages import Clip
from accord.files import write_json
from accord.report.render import POSES
from accord.runs.context import StageContext

if TYPE_CHECKING:
    from accord.control.clip_learning import ClipLearning
    from accord.control.environments import EnvironmentBatch
    from accord.control.people import StudioJudges
    from accord.control.watched import WatchedFolder

SHOWN = 4
"""Answers whose clips the page shows."""
HEAVIEST_FRAMES = 4_000_000
"""Bytes of their frames, where they are seen by frames."""


def last_answers(learning: ClipLearning, people: StudioJudges | None) -> list[dict[str, Any]]:
    """The last answers, as the page shows them: poses of what is stored, or the frames that people
    saw, of which no more than HEAVIEST_FRAMES."""
    from accord.control.asked_kinds import said_of
    from accord.control.people import clip_key
    from accord.control.poses import PER_SECOND, has_poses, pose_drawing

    batch = learning.environments
    poses, left, shown = has_poses(batch.name), HEAVIEST_FRAMES, []
    records = list(learning.records[-SHOWN:])
    asked = {
        clip_key(clip): clip
        for record in records
        for clip in (option.content for option in record.options)
        if isinstance(clip, Clip)
    }
    if poses:
        seen = {
            key: pose_drawing(learning.store.clip(clip), batch, PER_SECOND)
            for key, clip in asked.items()
        }
    else:
        seen = dict(people.drawings(asked.values())) if people is not None else {}
    for record in reversed(records):
        clips = [
            seen[clip_key(option.content)] | {"note": said_of(record, option)}
            for option in record.in_order
            if isinstance(option.content, Clip) and clip_key(option.content) in seen
        ]
        left -= sum(len(clip.get("sheet", "")) for clip in clips)
        if len(clips) < len(record.options) or left < 0:
            continue
        shown.append({"question": str(record.prompt), "clips": clips})
    return shown[::-1]


def draw(
    context: StageContext,
    environments: EnvironmentBatch,
    watched: WatchedFolder,
    limit: int,
    patience: float,
    answers: list[dict[str, Any]],
) -> None:
    """Write POSES: the policy of the last evaluation, of episodes of `limit` steps, beside
    `last_answers`. What cannot be shown costs the run nothing but its film."""
    from accord.control.poses import PER_SECOND, has_poses
    from accord.control.refilming import Refilming

    last, policy = watched.read(watched.points[-1]), None
    if has_poses(environments.name):
        policy = last.drawing(0, environments, PER_SECOND)
    else:
        try:
            policy = Refilming(environments.name, limit, patience).drawing(last, 0)
        except AccordError as error:
            context.say(f"the page shows no film of the policy: {error}")
    if policy or answers:
        write_json(context.folder / POSES, {"policy": policy, "judged": answers})
