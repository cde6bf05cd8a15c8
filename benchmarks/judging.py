"""Judging by an endpoint that takes its time: `python -m benchmarks.judging`. How many calls are
under way on average, of those allowed, and how many a second run makes."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from pathlib import Path

from accord.feedback.records import Feedback
from accord.oversight.judge_answers import EndpointAnswers
from accord.oversight.judge_records import JudgeItem, items_of
from accord.runs.ai_feedback import AiFeedback, AiJudgeSettings, ask_judges, open_ai_judges
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import AskingSettings, Patience

SAID = {
    "choices": [
        {
            "message": {"content": "A"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"top_logprobs": [
                {"token": "A", "logprob": -0.4}, {"token": "B", "logprob": -1.2}
            ]}]},
        }
    ],
    "usage": {"prompt_tokens": 100, "completion_tokens": 1},
}  # fmt: skip


class SlowEndpoint:
    """An OpenAI-compatible endpoint on this machine that answers alike, after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls, self.port = seconds, 0, 0
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps(SAID).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        try:
            while head_in := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(
                    line.lower().split(b": ", 1) for line in head_in.split(b"\r\n")[1:] if line
                )
                await reader.readexactly(int(fields[b"content-length"]))
                self.calls += 1
                await asyncio.sleep(self.seconds)
                writer.write(f"{head}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def pairs(count: int) -> list[JudgeItem]:
    """Pairs of responses that nobody judged."""
    records = [
        Feedback.model_validate(
            {
                "id": f"r{n}",
                "kind": "skip",
                "prompt": f"Say {n}.",
                "options": [
                    {"id": name, "content": f"{name} {n}", "shown_at": place}
                    for place, name in enumerate("ab")
                ],
                "choice": {"reason": "to be judged"},
                "annotator": "nobody",
            }
        )
        for n in range(count)
    ]
    return items_of(records, "pairwise")[0]


def main() -> None:
    """Ask twice, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0.2, help="that a call takes")
    options = parser.parse_args()
    endpoint, items = SlowEndpoint(options.seconds), pairs(options.pairs)
    settings = AiJudgeSettings(max_failed=0)
    with tempfile.TemporaryDirectory() as folder:
        for run in ("first", "second"):
            before = endpoint.calls
            kept = AnswerCache(Path(folder) / "answers.sqlite")
            asking = AskingSettings(patience=Patience(at_once=options.at_once))
            name = f"http://127.0.0.1:{endpoint.port}/v1#m"
            (judge,) = open_ai_judges([name], settings, kept, asking)
            started, cpu = time.monotonic(), time.process_time()
            found = AiFeedback()
            ask_judges([judge], items, settings, found)
            seconds = time.monotonic() - started
            assert isinstance(judge.answers, EndpointAnswers)
            share = judge.answers.asker.busy / seconds / options.at_once
            print(
                f"{run} run: {endpoint.calls - before:,} calls in {seconds:.1f} s"
                f" ({time.process_time() - cpu:.1f} s of CPU), on average {share:.0%} of"
                f" {options.at_once} under way, {len(found.records):,} records",
                flush=True,
            )
            kept.close()


if __name__ == "__main__":
    main()
