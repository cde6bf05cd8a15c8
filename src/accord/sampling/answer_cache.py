"""Answers of endpoints, kept by what was asked, so that nothing is paid for twice.

One SQLite file that several processes may use at once. An answer is kept as soon as it is there,
and survives `kill -9`; whoever comes second with the same question gets the first one's answer. The
key is a hash of the address, the model and all that is sent: no secret and no question stands in
the file, answers do.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from pathlib import Path
from threading import Lock

from accord.errors import DataError
from accord.files import write_error
from accord.sampling.endpoint import ChatQuestion, Completion, Endpoint

PATIENCE = 60.0
"""Seconds that a process waits for another's write."""
TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, asked_at REAL NOT NULL, text TEXT NOT NULL,
    finished INTEGER NOT NULL, prompt_tokens INTEGER, response_tokens INTEGER, first_logps TEXT)"""

KEEP = """INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    model = excluded.model, asked_at = excluded.asked_at, text = excluded.text,
    finished = excluded.finished, prompt_tokens = excluded.prompt_tokens,
    response_tokens = excluded.response_tokens, first_logps = excluded.first_logps
    WHERE asked_at < ?"""


def question_key(endpoint: Endpoint, question: ChatQuestion) -> str:
    """SHA-256 of address, model, messages and settings."""
    asked = {
        "url": endpoint.url.rstrip("/"),
        "model": endpoint.model,
        "messages": question.messages,
        "max_tokens": question.max_tokens,
        "temperature": float(question.temperature),
        "seed": question.seed,
        "top_logprobs": question.top_logprobs,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def default_cache() -> Path:
    """Where answers are kept unless another place is named."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "accord" / "answers.sqlite"


class AnswerCache:
    """Answers in a file; `None` keeps them for this process alone. Threads may share it. since:
    answers that are older (seconds since 1970) count for nothing and are replaced."""

    def __init__(self, path: Path | None, since: float = 0.0) -> None:
        self.path, self.since = path, since
        self._lock = Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=PATIENCE,
                isolation_level=None,
                check_same_thread=False,
            )
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise self._refused(error) from error

    def _prepare(self) -> None:
        """Readers and a writer side by side; of two processes that make the file one waits."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._base.execute("PRAGMA journal_mode=WAL")
                self._base.execute("PRAGMA synchronous=NORMAL")
                self._base.execute(TABLE)
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def get(self, key: str) -> Completion | None:
        """The answer to what has this key, if it was answered."""
        try:
            with self._lock:
                row = self._base.execute(
                    "SELECT text, finished, prompt_tokens, response_tokens, first_logps"
                    " FROM answers WHERE key = ? AND asked_at >= ?",
                    (key, self.since),
                ).fetchone()
        except sqlite3.Error as error:
            raise self._refused(error) from error
        if row is None:
            return None
        text, finished, prompt, response, logps = row
        return Completion(text, bool(finished), prompt, response, logps and json.loads(logps))

    def keep(self, key: str, model: str, answer: Completion) -> Completion:
        """Keep an answer; returns the one that is kept, another process's where it was earlier."""
        row = (
            key,
            model,
            time.time(),
            answer.text.encode("utf-8", "replace").decode(),
            int(answer.finished),
            answer.prompt_tokens,
            answer.response_tokens,
            None if answer.first_logps is None else json.dumps(dict(answer.first_logps)),
        )
        try:
            with self._lock:
                self._base.execute(KEEP, (*row, self.since))
        except sqlite3.Error as error:
            raise self._refused(error) from error
        kept = self.get(key)
        assert kept is not None
        return kept

    def close(self) -> None:
        """Free the file; an answer is asked for or kept no more."""
        with self._lock:
            self._base.close()

    def _refused(self, error: Exception) -> Exception:
        path = self.path or Path("answers in memory")
        found = write_error(error, path)
        if found is not error:
            return found
        return DataError(
            f"{path} cannot be used as a file of answers: {error}",
            "name another file, or move this one away",
        )
