"""trackio, on this machine (`accord[trackio]`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from accord.report.sinks.following import Scalars
from accord.report.sinks.sink import RunInfo, SinkError

ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Trackio:
    """Writes into trackio's database on this machine, project TRACKIO_PROJECT or "accord". Rows
    have ids of their own: those sent again after a kill are known."""

    anew = False

    def __init__(self, run: RunInfo, state: dict[str, Any]) -> None:
        self.run, self.state = run, state
        self.project = os.environ.get("TRACKIO_PROJECT", "accord")

    def open(self) -> str:
        """See `Sink.open`."""
        import trackio  # noqa: F401

        for name in ELSEWHERE:
            if os.environ.get(name):
                raise SinkError(
                    f"{name} is set: runs are kept in trackio's database on this machine",
                    f"unset {name}, and send them with `trackio sync` when the run is done",
                )
        return f"trackio show --project {self.project}"

    def send(self, rows: Sequence[Scalars]) -> None:
        """See `Sink.send`."""
        from trackio.sqlite_storage import SQLiteStorage

        SQLiteStorage.bulk_log(
            project=self.project,
            run=self.run.name,
            metrics_list=[row.values for row in rows],
            steps=[row.step for row in rows],
            timestamps=[datetime.fromtimestamp(row.time, UTC).isoformat() for row in rows],
            config=dict(self.run.settings),
            log_ids=[f"{self.run.key}-{row.stage}-{row.number}" for row in rows],
            run_id=self.run.key,
        )

    def close(self, finished: bool) -> None:
        """See `Sink.close`."""
