"""Small things that would grow: refused in little time and memory, with the place, never a mistake
of ours."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from typing import Any

import pytest
from houses import Client, House

from accord.errors import ConfigError
from accord.studio.projects.settings import parse_settings
from accord.validation import read_yaml
from real_data import shared_data


def laughs(levels: int, leaf: str = "lol") -> str:
    """Each level names the one before ten times."""
    lines = [f"a0: &a0 {leaf}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join([*lines, "name: N", f"flags: *a{levels - 1}"])


YAML = {
    "aliases": laughs(9), "few aliases of much": laughs(3, "x" * 100_000), "itself": "name: &a [*a]", "itself in a mapping": "name: &a {b: *a}",
    "deep": "name: " + "[" * 5_000 + "]" * 5_000, "deeper": "name: " + "{a: " * 50_000, "a huge number": "name: N\noverlap: " + "9" * 50_000,
    "a key that is a list": "? [a, b]\n: c", "a key that is a mapping": "{{a: b}: c}", "no date": "name: 2027-99-99",
    "a long value": "name: N\ntask: " + "x" * 500_000, "a long key": "name: N\n" + "y" * 900 + ": 1", "many unknown keys": "name: N\n" + "\n".join(f"k{n}: 1" for n in range(5_000)),
    "large": "name: " + "x" * (5 << 20), "tag": "name: !!python/object:os.system x", "control": "name: \x00",
}  # fmt: skip


@pytest.mark.parametrize("what", YAML)
def test_settings_stay_small(what: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError) as error:
        parse_settings(YAML[what])
    assert time.process_time() - began < 2
    assert len(str(error.value)) < 10_000


@pytest.mark.parametrize("what", ["aliases", "few aliases of much", "itself", "deep", "tag"])
def test_settings_take_little_memory(what: str) -> None:
    tracemalloc.start()
    with pytest.raises(ConfigError):
        parse_settings(YAML[what])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 256 << 20


def test_aliases_that_stand_for_little_are_read() -> None:
    assert read_yaml("a: &x {b: 1}\nc:\n  <<: *x\n  d: [*x, *x]", "it", "") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": [{"b": 1}] * 2},
    }


DEEP = "[" * 100_000 + "]" * 100_000
ROW = {"prompt": "p", "responses": ["a", "b"]}
UPLOADS: dict[str, bytes] = {
    "bomb.jsonl.gz": gzip.compress(b'{"prompt": "' + b"a" * (64 << 20)), "cut.jsonl.gz": gzip.compress(b"{}" * 999)[:40], "torn.csv.gz": b"\x1f\x8b\x08torn",
    "deep.jsonl": f'{{"prompt": {DEEP}, "responses": ["a", "b"]}}\n'.encode(), "deep.json": DEEP.encode(), "nul.jsonl": b'{"prompt": "a\\u0000", "responses": ["a", "b"]}\n',
    "half.jsonl": b'{"prompt": "\\ud800", "responses": ["a", "b"]}\n', "huge.jsonl": b'{"prompt": "p", "responses": ["a", "b"], "n": ' + b"9" * 5_000 + b"}\n",
    "long.csv": b"prompt,response_1,response_2\n" + b"x" * 9_000_000, "quote.csv": b'prompt,response_1,response_2\n"' + b"x\n" * 400_000, "none.parquet": b"", "torn.parquet": b"PAR1\x00\x00PAR1",
    "torn.arrow": b"ARROW1\x00\x00", "bytes.jsonl": bytes(range(256)) * 64, "types.jsonl": b"\n".join(json.dumps({**ROW, name: value}).encode() for name in (
        "prompt", "responses", "options", "gold", "categories", "priority", "weight", "tools", "chat_template_kwargs", "meta", "purpose", "choice", "id") for value in (
        None, 1, -1, 1e308, True, "x", "x" * 3_000_000, [], [1], [[]], [{}], {}, {"a": 1}, [{"role": "assistant"}], [{"role": "x", "content": 1}], {"prompt": {"a": []}})),
}  # fmt: skip


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads_are_read_or_refused(house: House, owner: Client, name: str) -> None:
    slug = house.project()
    owner.page(f"/p/{slug}/settings")
    response = owner.fill(f"/p/{slug}/items", files={"file": (name, UPLOADS[name])})
    assert response.status_code in (200, 303, 400), response.text
    assert len(response.content) < 200_000


def test_one_bad_row_is_counted_and_the_rest_is_read(house: House, owner: Client) -> None:
    slug = house.project()
    owner.page(f"/p/{slug}/settings")
    rows = [json.dumps({**ROW, "prompt": f"p{n}"}).encode() for n in range(3)]
    bad = [
        UPLOADS[name].rstrip() for name in ("deep.jsonl", "nul.jsonl", "half.jsonl", "huge.jsonl")
    ]
    text = owner.fill(
        f"/p/{slug}/items", files={"file": ("rows.jsonl", b"\n".join([rows[0], *bad, *rows[1:]]))}
    ).text
    assert "3 new items, 0 there already, 4 that cannot be used" in text


def test_many_reasons_are_counted_beyond_the_most_frequent(house: House, owner: Client) -> None:
    slug = house.project()
    owner.page(f"/p/{slug}/settings")
    rows = [json.dumps({**ROW, "categories": [f"kind-{n}"]}) for n in range(60)] * 2
    rows += [json.dumps({**ROW, "categories": ["often"]})] * 3
    files = {"file": ("rows.jsonl", "\n".join(rows).encode())}
    text = owner.fill(f"/p/{slug}/items", files=files).text
    assert "123 that cannot be used" in text
    assert text.count("; first: ") == 50
    assert text.index("often") < text.index("kind-0")
    assert "11 other reasons (rows: 22)" in text


def test_what_others_brought_never_fails(house: House, owner: Client) -> None:
    slugs = [house.project(), house.project("demonstration")]
    owner.page(f"/p/{slugs[0]}/settings")
    for file in sorted(shared_data("hostile").iterdir()):
        for slug in slugs:
            response = owner.fill(
                f"/p/{slug}/items", files={"file": (file.name, file.read_bytes())}
            )
            assert response.status_code in (200, 303, 400), (file.name, response.text)


def test_bodies_that_are_deep_or_long(house: House, owner: Client) -> None:
    slug = house.project()
    headers: dict[str, Any] = {
        "X-CSRF-Token": owner.token,
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    item = owner.ask(f"/p/{slug}/work/next").json()["item"]
    for answer in (
        DEEP,
        json.dumps("x" * 900_000),
        json.dumps({"preferred": "x" * 900_000}),
        json.dumps({"x" * 900_000: 1}),
        "9" * 5_000,
    ):
        body = f'{{"view": {item["view"]}, "lease": "{item["lease"]}", "key": "12345678", "answer": {answer}}}'
        response = owner.post(f"/p/{slug}/work/submit", content=body.encode(), headers=headers)
        assert response.status_code == 400, response.text[:300]
        assert len(response.content) < 10_000
