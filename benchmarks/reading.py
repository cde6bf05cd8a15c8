"""What becomes of rows that people bring, format by container by model family: `python -m
benchmarks.reading`.

Rows are made up in every layout of `benchmarks.generated_rows`, each text with words of its own.
Printed, per layout: rows kept and dropped, which containers give the same records as JSONL, and per
model family (real chat templates, from TRL's package) the share of the prompts and responses that
were encoded, and what was refused. Then, over all rows, four counts that must
be 0: tracebacks; words that stand in no record and in no column counted by name; words of a record
that do not stand in what a model sees; labels read as another kind of record. Exit code 1 where one
is not 0. Of the responses encoded, the share whose text gives the same tokens again.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accord.errors import AccordError
from accord.feedback.formats import ReadResult, read_feedback
from accord.feedback.records import Demonstration, Feedback, to_json
from benchmarks.chat_families import FAMILIES, encoder_of
from benchmarks.generated_rows import LAYOUTS, LENGTH, WORD, Row, files, words_in

KINDS_OF_LABELS = {"thumb", "step_labels"}
LABELLED = (
    "TRL unpaired",
    "TRL unpaired, 0 and 1 as text",
    "Alpaca thumbs",
    "BeaverTails",
    "TRL stepwise",
    "TRL stepwise, signed",
)
"""Layouts whose rows say good or bad: none of them may become a demonstration."""
WORDS = re.compile(f"{WORD}[a-z]{{{LENGTH}}}")
CONTAINERS = ("json", "jsonl.gz", "csv", "tsv", "parquet", "arrow", "save_to_disk")


@dataclass
class Found:
    """What was counted over many files. families: per family (encoded, refused by reason, round
    trips, compared)."""

    rows: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    tracebacks: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] = field(default_factory=Counter)
    mistaken: Counter[str] = field(default_factory=Counter)
    encoded: Counter[tuple[str, str]] = field(default_factory=Counter)
    turned_away: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    by_design: int = 0
    round_trips: int = 0
    responses: int = 0

    @property
    def faults(self) -> dict[str, int]:
        """The counts that must be 0."""
        return {
            "tracebacks": len(self.tracebacks),
            "words lost in reading": self.lost.total(),
            "words unseen by a model": self.unseen.total(),
            "labels read as demonstrations": self.mistaken.total(),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows to make and read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--encoded", type=int, default=20, help="rows per layout and family that are encoded"
    )
    parser.add_argument("--json", action="store_true", help="one line for machines")
    options = parser.parse_args()
    found = read_all(options.rows, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        same = {name: containers(name, options.seed, Path(folder)) for name in LAYOUTS}
        encode_all(found, options.encoded, options.seed, Path(folder))
    if options.json:
        print(
            json.dumps(
                {
                    "rows": found.rows,
                    **found.faults,
                    "round_trips": found.round_trips,
                    "responses": found.responses,
                }
            )
        )
    else:
        print("\n".join(report(found, same)))
    sys.exit(1 if any(found.faults.values()) else 0)


# --- reading --------------------------------------------------------------------------------------
def read_all(rows: int, seed: int, per_file: int = 100) -> Found:
    """Read about `rows` made rows, a file at a time."""
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.jsonl"
        for layout, made in files(seed, rows, per_file):
            path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
            found.rows += len(made)
            result = _read(path, layout, found)
            if result is not None:
                _check(layout, made, result, found)
    return found


def _read(path: Path, layout: str, found: Found) -> ReadResult | None:
    try:
        return read_feedback(path)
    except AccordError as error:
        found.refused[layout] = str(error).replace(str(path.parent), "").splitlines()[0]
    except Exception:
        found.tracebacks.append(f"{layout}: {traceback.format_exc(limit=-2)}")
    return None


def _check(layout: str, rows: Sequence[Row], result: ReadResult, found: Found) -> None:
    """A word of a row stands in a record, or its column is counted by name, or the row is dropped
    and counted."""
    found.kept[layout] += result.rows - sum(result.dropped.values())
    found.dropped.setdefault(layout, Counter()).update(result.dropped)
    held = words_in([record.model_dump(mode="json") for record in result.records])
    held |= words_in(result.prompts)
    counted = " ".join(result.left_out)
    whole = words_in([row for row in rows if not result.dropped or words_in(row) & held])
    for row in rows if whole - held else ():
        for column, value in row.items():
            if repr(column) not in counted and words_in(value) & (whole - held):
                found.lost[f"{layout}: {column}"] += 1
    if layout in LABELLED:
        found.mistaken[layout] += sum(record.kind == "demonstration" for record in result.records)


# --- containers -----------------------------------------------------------------------------------
def containers(layout: str, seed: int, folder: Path) -> dict[str, str]:
    """Per container "same", "other" (other records than from JSONL), a refusal, or "" where it
    cannot hold the rows."""
    from benchmarks.generated_rows import Maker

    maker = Maker(seed + 1)
    rows = [LAYOUTS[layout](maker) for _ in range(12)]
    plain = folder / "rows.jsonl"
    plain.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        wanted = _essence(read_feedback(plain))
    except AccordError:
        return dict.fromkeys(CONTAINERS, "refused")
    found = {}
    for container in CONTAINERS:
        path = folder / f"rows.{container}"
        if not _write(path, container, rows):
            found[container] = ""
            continue
        try:
            found[container] = "same" if _essence(read_feedback(path)) == wanted else "other"
        except AccordError:
            found[container] = "refused"
    return found


def _essence(result: ReadResult) -> list[Any]:
    """What records say, without ids and what a table's cells cannot tell apart (a number and its
    spelling)."""
    kept = [
        (r.kind, to_json(r.prompt), [to_json(o.content) for o in r.options], _named(r))
        for r in result.records
    ]
    return json.loads(json.dumps([*kept, *result.prompts], default=str))  # type: ignore[no-any-return]


def _named(record: Feedback) -> Any:
    """The choice with options by their place."""
    text = json.dumps(record.choice.model_dump(mode="json"))
    for place, option in enumerate(record.options):
        text = text.replace(option.id, f"#{place}")
    return json.loads(text)


def _write(path: Path, container: str, rows: Sequence[Row]) -> bool:
    """Write rows; False where the container cannot hold them."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if container == "json":
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
    elif container == "jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif container in ("csv", "tsv"):
        if any(isinstance(value, (list, dict)) for row in rows for value in row.values()):
            return False
        with open(path, "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(
                handle, list(rows[0]), delimiter="," if container == "csv" else "\t"
            )
            writer.writeheader()
            writer.writerows(rows)
    else:
        return _write_columns(path, container, rows)
    return True


def _write_columns(path: Path, container: str, rows: Sequence[Row]) -> bool:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.Table.from_pylist(list(rows))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        return False  # values of different types in one column
    if container == "parquet":
        pyarrow.parquet.write_table(table, path)
        return True
    target = path
    if container == "save_to_disk":
        path.mkdir(exist_ok=True)
        (path / "state.json").write_text(
            json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]})
        )
        (path / "dataset_info.json").write_text("{}")
        target = path / "data-00000-of-00001.arrow"
    with (
        pyarrow.OSFile(str(target), "wb") as sink,
        pyarrow.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    return True


# --- model families -------------------------------------------------------------------------------
def encode_all(found: Found, rows: int, seed: int, folder: Path) -> None:
    """Encode the first rows of every layout for every family; every word of a record must stand in
    what the model sees."""
    path = folder / "encode.jsonl"
    for layout, made in files(seed, rows * len(LAYOUTS), rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
        result = _read(path, layout, found)
        if result is None:
            continue
        for family in FAMILIES:
            for record in result.records:
                _encode(layout, family, record, found)


def _encode(layout: str, family: str, record: Feedback, found: Found) -> None:
    encoder = encoder_of(family)
    contents = [o.content for o in record.options]
    if isinstance(record.choice, Demonstration):
        contents.append(record.choice.content)
    for content in contents:
        try:
            example = encoder.example(record.asked, to_json(content), row=record.id)
        except AccordError as error:
            reason = WORDS.sub("…", error.message.partition(": ")[2] or error.message)
            found.turned_away.setdefault((layout, family), Counter())[reason[:120]] += 1
            continue
        except Exception:
            found.tracebacks.append(f"{layout}, {family}: {traceback.format_exc(limit=-2)}")
            continue
        found.encoded[layout, family] += 1
        seen = words_in(encoder.tokenizer.decode([*example.prompt_ids, *example.response_ids]))
        unseen = len(words_in(_without_handles([record.asked, to_json(content)])) - seen)
        if (
            example.lost_reasoning
        ):  # the encoder says so: reasoning of earlier replies, which some templates drop by design
            found.by_design += unseen
        else:
            found.unseen[f"{layout}, {family}"] += unseen
        found.responses += 1
        found.round_trips += encoder.round_trips(example)


def _without_handles(value: Any) -> Any:
    """The value without what only ties a tool's result to its call, which few templates write."""
    if isinstance(value, dict):
        tool = value.get("role") == "tool"
        left = {
            k: v
            for k, v in value.items()
            if k not in ("id", "tool_call_id") and not (tool and k == "name")
        }
        return {k: _without_handles(v) for k, v in left.items()}
    return [_without_handles(v) for v in value] if isinstance(value, list) else value


# --- the report -----------------------------------------------------------------------------------
def report(found: Found, same: dict[str, dict[str, str]]) -> list[str]:
    """The tables and counts as lines."""
    width = max(map(len, LAYOUTS))
    lines = [f"{'layout':{width}}  kept     dropped  " + "  ".join(f"{c:>8}" for c in CONTAINERS)]
    for layout in LAYOUTS:
        lost = found.dropped.get(layout, Counter()).total()
        if layout in found.refused:
            lines.append(f"{layout:{width}}  refused: {found.refused[layout]}")
            continue
        cells = "  ".join(f"{same[layout][c] or '-':>8}" for c in CONTAINERS)
        lines.append(f"{layout:{width}}  {found.kept[layout]:<8,} {lost:<8,} {cells}")
    lines += [
        "",
        "share of prompts with responses encoded, per model family (the rest is refused, for the reasons below)",
    ]
    lines.append(f"{'layout':{width}}  " + " ".join(f"{family[:9]:>9}" for family in FAMILIES))
    for layout in LAYOUTS:
        cells = []
        for family in FAMILIES:
            done, away = (
                found.encoded[layout, family],
                found.turned_away.get((layout, family), Counter()).total(),
            )
            cells.append(f"{done / (done + away):9.0%}" if done + away else f"{'-':>9}")
        lines.append(f"{layout:{width}}  {' '.join(cells)}")
    reasons: dict[str, Counter[str]] = {}
    for (layout, family), counts in found.turned_away.items():
        for reason, count in counts.items():
            reasons.setdefault(reason, Counter())[f"{family}/{layout}"] += count
    lines += [
        "",
        *(
            f"refused {c.total():,}: {reason} ({', '.join(sorted({k.split('/')[0] for k in c}))})"
            for reason, c in reasons.items()
        ),
    ]
    lines += [
        "",
        f"{found.rows:,} rows read; {found.responses:,} responses encoded, {found.round_trips / max(found.responses, 1):.2%} of "
        "them give the same tokens when their text is encoded again",
    ]
    lines.append(
        f"{found.by_design:,} words of earlier replies' reasoning are left out by a template's design, and counted by the encoder"
    )
    lines += [f"{name}: {count:,}" for name, count in found.faults.items()]
    for counts in (found.lost, found.unseen, found.mistaken):
        lines += [f"  {where}: {count:,}" for where, count in counts.most_common() if count]
    return lines + found.tracebacks[:5]


if __name__ == "__main__":
    main()
