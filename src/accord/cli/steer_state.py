"""What the page of `accord control steer` is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from fastapi import HTTPException

from accord.control.episodes import Episode
from accord.control.steering import Steering

Values = dict[str, Any]


@dataclass
class SteeringPage:
    """What the page is told. One request at a time: there is one robot."""

    steering: Steering
    lock: threading.Lock = field(default_factory=threading.Lock)

    def state(self) -> Values:
        """Everything, as when the page is loaded."""
        s = self.steering
        form, (question, annotator) = s.batch.actions, s.said
        names = list(form.names) or [f"number {n + 1}" for n in range(form.numbers)]
        episodes, more = s.listed()
        return self.opened() | {
            "environment": s.batch.name,
            "names": names,
            "low": form.low_A.tolist(),
            "high": form.high_A.tolist(),
            "policy": s.policy is not None,
            "question": question,
            "annotator": annotator,
            "out": str(s.corrections.folder),
            "episodes": [headline(one) for one in episodes],
            "more": more,
            "kept": [headline(one) | {"at": at} for one, at in s.kept],
        }

    def opened(self) -> Values:
        """The episode at hand, and what is driven."""
        s = self.steering
        shown = {"episode": headline(s.original), "step": s.shown_first, "drawing": s.drawing()}
        return shown | self.told(0)

    def told(self, since: int) -> Values:
        """What is driven: of its poses those after `since` steps."""
        s, going = self.steering, self.steering.going
        if going is None:
            return {"drive": None}
        steps = len(going)
        done = going.whole(0, "driven").action_TA[-1].tolist() if steps else None
        return {
            "drive": {
                "at": going.at,
                "driven": steps,
                "most": s.most,
                "ended": s.ended,
                "frames": s.driven_frames(since),
                "since": since,
                "action": done,
            }
        }

    def check(self, driven: int) -> None:
        """Raise HTTPException where the page does not know what is driven."""
        if driven != len(self.steering.driven()):
            raise HTTPException(409, "this was driven in another window: here is how it stands")


def headline(episode: Episode) -> Values:
    """An episode in a list."""
    ended = "task" if episode.terminated_T[-1] else "time" if episode.truncated_T[-1] else None
    return {"id": episode.id, "steps": episode.steps, "ended": ended}
