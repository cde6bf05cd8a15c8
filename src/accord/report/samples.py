"""All samples of runs as one compressed table that a page carries along and pages through.

What does not fit is left out in a fixed order, and each time it is said.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from accord.files import read_jsonl

BUDGET = 18_000_000
"""Bytes of a page that samples may take, as base64: with the charts' script a page stays under 20
MB."""
UNTUNED, POOL, JUDGED = "untuned", "pool of best-of-n", "judged"
LAST, EARLIER, ASIDE = 0, 1, 2
"""Ranks of rows: an arm's last point and the untuned model; its points before; what was sampled to
choose from or to be judged."""
DIGITS, TOKEN_SCALE = 3, 100
"""Decimals of scores; KL at a token is shipped in hundredths of a nat, two digits of it."""

Row = Mapping[str, Any]


@dataclass
class SampleTable:
    """Samples of one run or several, a row each, by column.

    base: the row of the untuned model's answer to the same prompt (-1: none); step: of the arm's
    training (0: none); label: [times chosen, comparisons it was in] or null; marks: lengths of the
    tokens in characters, and the KL at each; without_marks: tuned arms of which that was not
    recorded.
    """

    prompts: dict[str, int] = field(default_factory=dict)
    arms: dict[str, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    without_marks: set[str] = field(default_factory=set)

    def add_run(self, stages: Sequence[Mapping[str, Any]], run: str = "") -> None:
        """All samples of a run's stages (name `stage`, `kind`, `folder`). run: its name where there
        are several."""
        untuned = self._add_untuned(stages, run)
        for stage in stages:
            folder, name = Path(stage["folder"]), str(stage["stage"])
            points = sorted(folder.glob("points/step-*.jsonl"))
            for path in points:
                step, rank = int(path.stem.removeprefix("step-")), LAST
                if path is not points[-1]:
                    rank = EARLIER
                self._add(read_jsonl(path), _arm(run, name), step, rank, untuned)
            if stage["kind"] == "best_of_n" and (folder / "rows.jsonl").is_file():
                self._add(read_jsonl(folder / "rows.jsonl"), _arm(run, POOL), 0, ASIDE, untuned)
            if (folder / "sampled.jsonl").is_file():
                self._add_judged(folder, _arm(run, f"{JUDGED} ({name})"))

    def add_examined(self, rows: Sequence[Row], baseline: str) -> None:
        """What `accord examine` had every arm answer: the nth answer of an arm to a prompt stands
        beside the nth of `baseline`."""
        at: dict[tuple[str, int], int] = {}
        for arm in sorted({str(row["arm"]) for row in rows}, key=lambda name: name != baseline):
            times = Counter[str]()
            for row in rows:
                if row["arm"] != arm:
                    continue
                prompt = shown_text(row["prompt"])
                place = (prompt, times[prompt])
                times[prompt] += 1
                if arm == baseline:
                    at[place] = len(self.rows)
                proxy = row.get("proxy") or []
                self._append(
                    arm=arm,
                    rank=LAST,
                    prompt=prompt,
                    marks="",
                    step=0,
                    base=-1 if arm == baseline else at.get(place, -1),
                    response=str(row["response"]),
                    tokens=None,
                    finished=bool(row["finished"]),
                    gold=None,
                    proxy=_rounded(sum(proxy) / len(proxy)) if proxy else None,
                    kl=None,
                    label=None,
                )

    def _add_untuned(self, stages: Sequence[Mapping[str, Any]], run: str) -> dict[Any, int]:
        """Index of the untuned model's row by prompt id and prompt, of the last examination."""
        found = [Path(stage["folder"]) / "baseline.jsonl" for stage in stages]
        files = [path for path in found if path.is_file()]
        if not files:
            return {}
        rows, first = read_jsonl(files[-1]), len(self.rows)
        self._add(rows, _arm(run, UNTUNED), 0, LAST, {})
        return {(row["prompt_id"], row["prompt"]): first + n for n, row in enumerate(rows)}

    def _add(
        self, rows: Sequence[Row], arm: str, step: int, rank: int, untuned: Mapping[Any, int]
    ) -> None:
        for row in rows:
            marks = _marks(row)
            if marks is None and step:
                self.without_marks.add(arm)
            proxy = row.get("proxy") or []
            self._append(
                arm=arm,
                rank=rank,
                prompt=str(row["prompt"]),
                marks=marks or "",
                step=step,
                base=untuned.get((row["prompt_id"], row["prompt"]), -1),
                response=str(row["response"]),
                tokens=row.get("response_tokens"),
                finished=bool(row["finished"]),
                gold=_rounded(row.get("gold")),
                proxy=_rounded(sum(proxy) / len(proxy)) if proxy else None,
                kl=_rounded(row.get("kl_exact")),
                label=None,
            )

    def _add_judged(self, folder: Path, arm: str) -> None:
        """Responses that were judged, with how often each was chosen among its comparisons."""
        labels = _labels(folder / "feedback.jsonl")
        for row in read_jsonl(folder / "sampled.jsonl"):
            whole = row.get("finished") or [None] * len(row["responses"])
            for response, finished in zip(row["responses"], whole, strict=True):
                self._append(
                    arm=arm,
                    rank=ASIDE,
                    prompt=shown_text(row["prompt"]),
                    marks="",
                    step=0,
                    base=-1,
                    response=shown_text(response),
                    tokens=None,
                    finished=finished,
                    gold=None,
                    proxy=None,
                    kl=None,
                    label=labels.get((shown_text(row["prompt"]), shown_text(response))),
                )

    def _append(self, arm: str, rank: int, prompt: str, marks: str, **columns: Any) -> None:
        columns["arm"] = self.arms.setdefault(arm, len(self.arms))
        columns["prompt"] = self.prompts.setdefault(prompt, len(self.prompts))
        self.rows.append({"rank": rank} | columns)
        self.marks.append(marks)


@dataclass(frozen=True)
class ShippedSamples:
    """What a page gets: the table and the tokens' marks, gzip as base64; notes: what was left
    out."""

    table: str
    marks: str
    rows: int
    notes: list[str]


def ship(table: SampleTable, budget: int = BUDGET) -> ShippedSamples | None:
    """The table in at most `budget` bytes; None where there are no samples."""
    if not table.rows:
        return None
    notes: list[str] = []
    for rows, marked, note in _levels(table):
        if note:
            notes.append(note)
        places = {row: place for place, row in enumerate(rows)}
        packed = _packed(_columns(table, rows, places))
        marks = _packed([table.marks[row] if row in marked else "" for row in rows])
        if len(packed) + len(marks) <= budget or len(rows) == 1:
            return ShippedSamples(packed, marks, len(rows), _told(notes, table, rows))
    raise AssertionError("a single row is always shipped")


def _levels(table: SampleTable) -> Iterator[tuple[list[int], set[int], str]]:
    """(rows, those whose tokens are marked, what was left out since the level before), each level
    smaller than the one before."""
    ranks = [row["rank"] for row in table.rows]
    rows = list(range(len(ranks)))
    marked = {row for row in rows if table.marks[row]}
    yield rows, marked, ""
    fewer = {row for row in marked if ranks[row] == LAST}
    if len(fewer) < len(marked):
        yield rows, fewer, "KL per token is kept of the arms' last points alone"
    if marked:
        yield rows, set(), "KL per token is left out altogether"
    for rank, what in ((ASIDE, "what was sampled to choose from or to be judged"),
                       (EARLIER, "points before an arm's last one")):  # fmt: skip
        left = [row for row in rows if ranks[row] < rank]
        if 0 < len(left) < len(rows):
            rows = left
            yield rows, set(), f"{what} is left out"
    prompts = sorted({table.rows[row]["prompt"] for row in rows})
    while len(prompts) > 1:
        prompts = prompts[: len(prompts) // 2]
        kept = set(prompts)
        rows = [row for row in rows if table.rows[row]["prompt"] in kept]
        yield rows, set(), ""
    yield rows[:1], set(), ""


def _told(notes: list[str], table: SampleTable, rows: Sequence[int]) -> list[str]:
    if len(rows) < len(table.rows):
        notes = [
            *notes,
            f"{len(rows):,} of {len(table.rows):,} samples are on this page; the others lie in the"
            " files of its directory",
        ]
    return notes


def _columns(table: SampleTable, rows: Sequence[int], places: Mapping[int, int]) -> dict[str, Any]:
    names = [name for name in table.rows[0] if name != "base"]
    columns = {name: [table.rows[row][name] for row in rows] for name in names}
    columns["base"] = [places.get(table.rows[row]["base"], -1) for row in rows]
    used = sorted(set(columns["prompt"]))
    number = {prompt: place for place, prompt in enumerate(used)}
    texts = list(table.prompts)
    columns["prompt"] = [number[prompt] for prompt in columns["prompt"]]
    return {"prompts": [texts[one] for one in used], "arms": list(table.arms), "columns": columns}


def _packed(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 6, mtime=0)).decode("ascii")


def _arm(run: str, name: str) -> str:
    return f"{run} · {name}" if run else name


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), DIGITS)


def _marks(row: Row) -> str | None:
    """ "3 1 4|12 0 250": characters of each token, and hundredths of a nat; None where KL per token
    was not recorded."""
    ends, kl = row.get("token_ends"), row.get("token_kl")
    if ends is None or kl is None:
        return None
    lengths = " ".join(str(end - before) for before, end in pairwise([0, *_utf16(row, ends)]))
    return f"{lengths}|{' '.join(map(_hundredths, kl))}"


def _hundredths(nats: float) -> str:
    """Two digits that count: 0.12, 2.5 and 31 nats are 12, 250 and 3100."""
    return (
        str(int(float(f"{nats * TOKEN_SCALE:.2g}")))
        if nats >= 1
        else str(round(nats * TOKEN_SCALE))
    )


def _utf16(row: Row, ends: Sequence[int]) -> Sequence[int]:
    """The same places as a browser counts: characters beyond the first plane are two."""
    text = row["response"]
    if text.isascii() or max(text) < "\U00010000":
        return ends
    places = [0]
    for character in text:
        places.append(places[-1] + (2 if character >= "\U00010000" else 1))
    return [places[end] for end in ends]


def _labels(path: Path) -> dict[tuple[str, str], list[int]]:
    """(prompt, response) -> [times chosen, comparisons it was in], from a run's records."""
    if not path.is_file():
        return {}
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for record in read_jsonl(path):
        if record["kind"] != "comparison":
            continue
        preferred = record["choice"].get("preferred")
        for option in record["options"]:
            label = found[shown_text(record["prompt"]), shown_text(option["content"])]
            label[0] += option["id"] == preferred
            label[1] += 1
    return dict(found)


def shown_text(said: Any) -> str:
    """A prompt or response as people read it; whatever is no plain conversation as JSON."""
    if isinstance(said, str):
        return said
    if isinstance(said, list) and all(
        isinstance(one, Mapping) and set(one) <= {"role", "content"}
        and isinstance(one.get("content"), str) for one in said
    ):  # fmt: skip
        return "\n".join(f"{one['role']}: {one['content']}" for one in said)
    return json.dumps(said, ensure_ascii=False)
