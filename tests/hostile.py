"""Small files that would grow, for every container and entry; made where they are measured."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from accord.feedback.formats import read_feedback
from accord.feedback.formats.reading import LOCAL, SENT
from accord.studio.projects.incoming import items_from
from accord.studio.projects.settings import parse_settings, settings_from
from accord.studio.tasks import presenting
from accord.studio.tasks.blinding import mask_content

MIB = 1 << 20
ROW = '{"prompt": "p", "responses": ["a", "b"]}\n'
DEEP = "[" * 100_000 + "]" * 100_000


def _columnar(rows: int, text: int, kind: str, **more: object) -> bytes:
    """Rows of long texts that compress to little."""
    table = pa.table(
        {"prompt": ["p" * text] * rows, "response_1": ["a"] * rows, "response_2": ["b"] * rows}
    )
    out = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, out, compression="zstd", **more)
    else:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(out, table.schema, options=options) as writer:
            writer.write_table(table)
    return out.getvalue()


def _lying(length: int) -> bytes:
    """A Parquet file of one long text whose footer says that it is short."""
    data = _columnar(1, length, "parquet", use_dictionary=False, write_statistics=False)
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8]
    for number in range(length, length + 200):  # the text with its length and the page's header
        written = _varint(number)
        footer = footer.replace(written, _varint(1000, len(written)))
    return data[: -8 - size] + footer + data[-8:]


def _varint(number: int, length: int = 0) -> bytes:
    """Zigzag, as Thrift's compact protocol writes an integer, in at least `length` bytes."""
    number, parts = number << 1, []
    while number > 127 or len(parts) < length - 1:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("rows.jsonl", data)
    return out.getvalue()


def _wide(cells: int) -> bytes:
    return (",".join(f"c{n}" for n in range(cells)) + "\n" + ",".join("1" * cells)).encode()


FILES: dict[str, Callable[[], bytes]] = {
    "one line.jsonl.gz": lambda: gzip.compress(b'{"prompt": "' + b"a" * (300 * MIB), 1),
    "blank.jsonl.gz": lambda: gzip.compress(b" " * (300 * MIB), 1),
    "lines.jsonl.gz": lambda: gzip.compress(b"\n" * (300 * MIB), 1),
    "rows.jsonl.gz": lambda: gzip.compress(ROW.encode() * 2_000_000, 1),
    "whole.json.gz": lambda: gzip.compress(b'["' + b"a" * (300 * MIB), 1),
    "numbers.json.gz": lambda: gzip.compress(b"[" + b"1," * (32 * MIB), 1),
    "empty rows.json.gz": lambda: gzip.compress(b"[" + b"{}," * (16 * MIB) + b"{}]", 1),
    "table.csv.gz": lambda: gzip.compress(b"prompt,response_1,response_2\n" + b"a,b,c\n" * (8 * MIB), 1),
    "one cell.csv.gz": lambda: gzip.compress(b'prompt,response_1,response_2\n"' + b"a" * (300 * MIB), 1),
    "twice.jsonl.gz": lambda: gzip.compress(gzip.compress(b"a" * (300 * MIB), 1), 1),
    "rows.zip": lambda: _zip(b"a" * (300 * MIB)), "rows.jsonl.bz2": lambda: bz2.compress(b"a" * (300 * MIB)),
    "rows.jsonl.xz": lambda: lzma.compress(b"a" * (300 * MIB), preset=0), "rows.jsonl.zst": lambda: bytes(pa.compress(b"a" * (300 * MIB), "zstd")),
    "long text.parquet": lambda: _columnar(1, 300 * MIB, "parquet", use_dictionary=False, write_statistics=False), "long texts.parquet": lambda: _columnar(300, MIB, "parquet", use_dictionary=True),
    "long text.arrow": lambda: _columnar(1, 300 * MIB, "arrow"),
    "long texts.arrow": lambda: _columnar(300, MIB, "arrow"), "a footer that lies.parquet": lambda: _lying(300 * MIB), "many pages.parquet": lambda: _columnar(50_000, 1, "parquet", data_page_size=1, write_batch_size=1, use_dictionary=False),
    "many rows.parquet": lambda: _columnar(1_000_000, 1, "parquet"),
    "torn.parquet": lambda: b"PAR1" + b"\xff" * 64 + b"PAR1", "torn.arrow": lambda: b"ARROW1\x00\x00" + b"\xff" * 64,
    "deep.jsonl": lambda: f'{{"prompt": {DEEP}, "responses": ["a", "b"]}}\n{ROW}'.encode(), "deep.json": DEEP.encode,
    "one line.jsonl": lambda: b'{"prompt": "' + b"a" * (60 * MIB), "one line.csv": lambda: b"prompt,response_1,response_2\n" + b"a" * (60 * MIB),
    "one cell.csv": lambda: b'prompt,response_1,response_2\n"' + b"a\n" * (30 * MIB), "columns.csv": lambda: _wide(1_000_000),
    "columns twice.csv": lambda: ",".join(["a"] * 1_000_000).encode(), "quotes.csv": lambda: b"prompt,response_1,response_2\n" + b'"' * (8 * MIB),
    "keys.jsonl": lambda: ("{" + ", ".join(f'"k{n}": 1' for n in range(200_000)) + "}\n" + ROW).encode(),
    "bad values.jsonl": lambda: b"".join(json.dumps({"prompt": "p", "responses": ["a", "b"], name: "x" * 3_000_000}).encode() + b"\n" for name in ("gold", "priority", "weight", "tools", "meta", "choice")),
    "long category.jsonl": lambda: json.dumps({"prompt": "p", "responses": ["a", "b"], "categories": ["x" * 3_000_000]}).encode(),
    "reasons.jsonl": lambda: b"".join(json.dumps({"prompt": "p", "responses": ["a", "b"], "categories": [f"x{n}" * 60]}).encode() + b"\n" for n in range(3000)),
    "digits.jsonl": lambda: b'{"prompt": "p", "responses": ["a", "b"], "n": ' + b"9" * 3_000_000 + b"}\n", "exponents.jsonl": lambda: b'{"prompt": "p", "responses": ["a", "b"], "weight": 1e999999999}\n',
}  # fmt: skip
"""Name (its ending says the container) -> content."""


def reading(folder: Path, name: str, entry: str) -> Callable[[], str]:
    """Reading a file as a studio's upload, as feedback that others sent, or as one's own."""
    path = folder / name.replace(" ", "-")
    path.write_bytes(FILES[name]())

    def act() -> str:
        if entry == "items":
            found = items_from(path, settings_from({"name": "n", "task": "comparison"}), SENT)
            return f"{len(found.items)} items, dropped {found.dropped}"
        read = read_feedback(path, SENT if entry == "sent" else LOCAL)
        return f"{len(read.records)} records, dropped {read.dropped}"

    return act


def _laughs(levels: int, leaf: str) -> str:
    lines = [f"a0: &a0 {leaf}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join([*lines, "name: N", f"flags: *a{levels - 1}"])


YAML: dict[str, Callable[[], str]] = {
    "aliases": lambda: _laughs(9, "lol"), "few aliases of much": lambda: _laughs(3, "x" * 100_000), "itself": lambda: "name: &a [*a]",
    "deep": lambda: "name: " + "[" * 200_000, "deeper": lambda: "name: " + "{a: " * 100_000, "blocks": lambda: "\n".join(" " * n + "a:" for n in range(900)),
    "flow": lambda: "name: [" + "a, " * 150_000 + "]", "long": lambda: "name: " + "x" * 500_000, "keys": lambda: "\n".join(f"k{n}: 1" for n in range(40_000)),
    "anchors": lambda: "name: [" + ", ".join(f"&a{n} x" for n in range(40_000)) + "]", "merges": lambda: "a: &a {b: 1}\nc:\n" + "  <<: *a\n" * 40_000, "quoted": lambda: 'name: "' + "\\x41" * 120_000 + '"',
    "comments": lambda: "# x\n" * 120_000, "documents": lambda: "---\n" * 120_000, "tags": lambda: "name: " + "!a " * 1 + "x" * 400_000,
}  # fmt: skip


def settings(folder: Path, name: str) -> Callable[[], object]:
    """Reading the settings of a project."""
    text = YAML[name]()
    return lambda: parse_settings(text).name[:20]


def _filled(unit: str, length: int = 400_000) -> Callable[[], str]:
    return lambda: (unit * (length // len(unit) + 1))[:length]


PLAIN: dict[str, Callable[[], str]] = {
    **{repr(unit): _filled(unit) for unit in ("word ", "[", "![", "> ", "- ", "1. ", "*a ", "**x* ", "_a *b", "`a ", "$a ", "$$ ", "\\(", "\\[ a\n", "\\begin{a}", "<", "&", "\\", "\u202e", "\u200d", "(", "{\"a\":", "[1,", "\n")},
    "names": _filled("I am ChatGPT, an AI by "), "nearly names": _filled("i am the model developed "), "named": _filled("named a. as b, "), "dots": _filled("a.b-"), "my": _filled("my ai "),
}  # fmt: skip
"""Texts that are too long for Markdown."""
TEXTS: dict[str, Callable[[], str]] = PLAIN | {
    **{f"{unit!r}, as Markdown": _filled(unit, 79_000) for unit in ("# a\n", "[a](", "*[a](b)", "a\n===\n", "|1|2|\n", "$$a\n", "\\[ a\n", "> - ", "__a", "```\n", "a\n", "-\n", "**a ", "a**", "~~a ")},
    "brackets": _filled("![a", 29_000), "a wide table": lambda: "|a" * 100 + "\n" + "|-" * 100 + "\n" + "a|\n" * 26_000,
}  # fmt: skip


def showing(folder: Path, name: str) -> Callable[[], object]:
    """Masking a text and making it a page's."""
    text = TEXTS[name]()

    def act() -> str:
        masked, _ = mask_content(text, "a topic", [])
        return str(len(str(presenting.messages_html(masked, "assistant"))))

    return act


def results(folder: Path, name: str) -> Callable[[], object]:
    """Showing what a tool returned."""
    content = [{"role": "tool", "content": TEXTS[name](), "tool_call_id": "a"}]
    return lambda: len(str(presenting.messages_html(content, "assistant")))
