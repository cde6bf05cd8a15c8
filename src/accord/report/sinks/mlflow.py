"""MLflow's tracking server, by its REST interface: no package of theirs is needed.

Source: https://mlflow.org/docs/latest/rest-api.html (2.0/mlflow).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import httpx2

from accord.network import http_client
from accord.report.sinks.following import Scalars
from accord.report.sinks.sink import RunInfo, SinkError
from accord.validation import dotted_texts

MOST_METRICS, MOST_PARAMETERS, LONGEST = 1000, 100, 6000
"""Most metrics and parameters of one call, most characters of a parameter (MLflow's limits)."""
PATIENCE = 10.0
"""Seconds."""


def _fitting(value: str) -> str:
    """The value as far as MLflow takes it, with a note of what is cut."""
    if len(value) <= LONGEST:
        return value
    note = f" … (the first characters of {len(value):,})"
    return value[: LONGEST - len(note)] + note


class Mlflow:
    """One run at MLFLOW_TRACKING_URI, in the experiment MLFLOW_EXPERIMENT_NAME or "accord";
    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, as for MLflow itself. Sent
    again, a metric's equal value at a step is kept once by the server. state: the run's id."""

    anew = False

    def __init__(self, run: RunInfo, state: dict[str, Any]) -> None:
        self.run, self.state = run, state
        self.address = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        user, word = (os.environ.get(f"MLFLOW_TRACKING_{n}") for n in ("USERNAME", "PASSWORD"))
        self._client = http_client(PATIENCE, "accord")
        if token:
            self._client.headers["Authorization"] = f"Bearer {token}"
        elif user:
            self._client.auth = httpx2.BasicAuth(user, word or "")

    def open(self) -> str:
        """See `Sink.open`."""
        if not self.address.startswith(("http://", "https://")):
            raise SinkError(
                "MLFLOW_TRACKING_URI names no server",
                "set it to the address of a tracking server, such as http://localhost:5000",
            )
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "accord"))
        if "run" not in self.state:
            self.state["run"] = self._create(experiment)
        else:
            self._post("runs/update", {"run_id": self.state["run"], "status": "RUNNING"})
        return f"{self.address}/#/experiments/{experiment}/runs/{self.state['run']}"

    def send(self, rows: Sequence[Scalars]) -> None:
        """See `Sink.send`."""
        metrics = [
            {"key": tag, "value": value, "step": row.step, "timestamp": round(1000 * row.time)}
            for row in rows
            for tag, value in row.values.items()
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            part = metrics[start : start + MOST_METRICS]
            self._post("runs/log-batch", {"run_id": self.state["run"], "metrics": part})

    def close(self, finished: bool) -> None:
        """See `Sink.close`."""
        try:
            if "run" in self.state:
                status = "FINISHED" if finished else "KILLED"
                self._post("runs/update", {"run_id": self.state["run"], "status": status})
        finally:
            self._client.close()

    def _experiment(self, name: str) -> str:
        place = "experiments/get-by-name"
        answer = self._client.get(self._url(place), params={"experiment_name": name})
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return str(self._post("experiments/create", {"name": name})["experiment_id"])
        return str(_body(place, answer)["experiment"]["experiment_id"])

    def _create(self, experiment: str) -> str:
        made = self._post("runs/create", {"experiment_id": experiment, "run_name": self.run.name})
        run = str(made["run"]["info"]["run_id"])
        settings = [
            {"key": key, "value": _fitting(value)}
            for key, value in dotted_texts(self.run.settings).items()
        ]
        for start in range(0, len(settings), MOST_PARAMETERS):
            part = settings[start : start + MOST_PARAMETERS]
            self._post("runs/log-batch", {"run_id": run, "params": part})
        return run

    def _url(self, place: str) -> str:
        return f"{self.address}/api/2.0/mlflow/{place}"

    def _post(self, place: str, body: dict[str, Any]) -> dict[str, Any]:
        return _body(place, self._client.post(self._url(place), json=body))


def _body(place: str, answer: httpx2.Response) -> dict[str, Any]:
    if answer.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        raise SinkError(
            f"MLflow refuses {place}: {answer.status_code}",
            "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if answer.is_error:
        raise SinkError(f"MLflow answers {place} with {answer.status_code}: {answer.text[:200]}")
    found: dict[str, Any] = answer.json()
    return found
