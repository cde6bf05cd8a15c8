"""How large a page a large run gets, and how soon a browser can work with it:
`python -m benchmarks.report [--samples 100000] [--rows 1000000] [--rounds 3]`.

The run's answers are passages of the packaged reviews, up to 48 words long, as two arms at four
points, an untuned model and a pool give them; KL at each token is drawn so that half are next to
nothing. Its metrics are ten a row, as two stages write them. Ready means that the first samples are
listed (the page notes it), searched that those of a word are. `busy` is this process's share of the
time that building took: where it is far below 1, others used the machine, and all times are long.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from accord.report.render import render
from accord.text.reviews import load_reviews

POINTS = (25, 50, 75, 100)
METRICS = (
    "score", "kl_seq", "response_tokens", "finished_share", "policy_loss", "value_loss", "grad_norm",
    "learning_rate", "tokens", "loss",
)  # fmt: skip
WORD = "wonderful"


def main() -> None:
    """Parse, make, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of metrics")
    parser.add_argument("--rounds", type=int, default=3, help="how often the page is opened")
    parser.add_argument("--json", action="store_true", help="one line for machines")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.samples, asked.rows, asked.rounds)
    if asked.json:
        print(json.dumps(found))
        return
    print(f"{asked.samples:,} samples, {asked.rows:,} rows of metrics")
    for name, value in found.items():
        print(f"{name:>28}  {value}")


def measure(folder: Path, samples: int, rows: int, rounds: int) -> dict[str, Any]:
    """MB, and seconds: built once; ready, searched and sorted as medians over `rounds`."""
    make_run(folder, samples, rows)
    begun, cpu = time.perf_counter(), time.process_time()
    page = render(folder)
    built, worked = time.perf_counter() - begun, time.process_time() - cpu
    text = page.read_text(encoding="utf-8")
    left_out = text.count("To keep the page small")
    found: dict[str, Any] = {"page, MB": round(page.stat().st_size / 1e6, 1)}
    found |= {
        "notes of what is left out": left_out,
        "built, s": round(built, 1),
        "busy": round(worked / built, 2),
    }
    return found | opened(page, rounds)


def opened(page: Path, rounds: int) -> dict[str, float]:
    """Seconds in Chromium, medians."""
    from playwright.sync_api import sync_playwright

    times: dict[str, list[float]] = {"ready, s": [], "searched, s": [], "sorted, s": []}
    path = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        for _ in range(rounds):
            tab = browser.new_page(viewport={"width": 1200, "height": 900})
            tab.goto(page.as_uri(), wait_until="commit")
            tab.locator("#samples-panel[data-ready]").wait_for(state="attached")
            status = tab.locator("#samples-status")
            ready = tab.locator("#samples-panel").get_attribute("data-ready")
            times["ready, s"].append(float(ready) / 1000)  # since the navigation, as the page noted
            for name, act in (
                ("searched, s", lambda tab=tab: tab.fill("#samples-search", WORD)),
                ("sorted, s", lambda tab=tab: tab.select_option("#samples-sort", "kl")),
            ):
                before, begun = status.text_content(), time.perf_counter()
                act()
                while status.text_content() == before:
                    time.sleep(0.005)
                times[name].append(time.perf_counter() - begun)
            tab.close()
        browser.close()
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def make_run(folder: Path, samples: int, rows: int) -> None:
    """A run directory with so many samples and rows of metrics."""
    rng, words = np.random.default_rng(0), _words()
    prompts = max(1, samples // (2 * len(POINTS) + 2))
    stages = ("1-sft", "2-ppo", "3-dpo", "4-best_of_n", "5-examine")
    recipe = "name: large\nseed: 0\nstages:\n"
    (folder / "recipe.yaml").write_text(
        recipe + "".join(f"  {name[2:]}: {{kind: {name[2:]}}}\n" for name in stages)
    )
    for name in stages:
        result = {"stage": name[2:], "kind": name[2:], "summary": "done", "values": {}}
        cost = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_mib": 1.0}
        _write(folder / f"stages/{name}/result.json", [json.dumps(result | cost)])
    answers = _answers(rng, words, prompts)
    for name in stages[1:3]:
        for step in POINTS:
            _write(folder / f"stages/{name}/points/step-{step:06d}.jsonl", answers(True))
        _write(folder / f"stages/{name}/metrics.jsonl", _metrics(rng, rows // 2))
    _write(folder / f"stages/{stages[3]}/rows.jsonl", answers(False))
    _write(folder / f"stages/{stages[4]}/baseline.jsonl", answers(False))


def _words() -> list[str]:
    found: list[str] = []
    for reviews in load_reviews().parts.values():
        for review in reviews[:3000]:
            found += review.text.split()
    return found


def _answers(rng: np.random.Generator, words: list[str], prompts: int) -> Any:
    starts = rng.integers(0, len(words) - 60, prompts)

    def some(tuned: bool) -> Iterator[str]:
        for number, start in enumerate(starts):
            size = int(rng.integers(12, 49))
            place = int(rng.integers(0, len(words) - 60))
            said = [f" {word}" for word in words[place : place + size]]
            gold, proxy, kl = rng.normal(size=3)
            row = {
                "prompt_id": number,
                "prompt": " ".join(words[start : start + 8]),
                "response": "".join(said),
                "response_tokens": size,
                "finished": size < 48,
                "gold": float(gold),
                "proxy": [float(proxy)] * 3,
                "kl_exact": abs(float(kl)),
            }
            if tuned:
                row["token_ends"] = np.cumsum([len(one) for one in said]).tolist()
                each = rng.gamma(0.3, 0.8, size)
                row["token_kl"] = np.round(each, 3).tolist()
            yield json.dumps(row)

    return some


def _metrics(rng: np.random.Generator, rows: int) -> Iterator[str]:
    for start in range(0, rows, 10_000):
        values = rng.uniform(0, 1, (min(10_000, rows - start), len(METRICS)))
        for number, row in enumerate(values.tolist(), start + 1):
            yield json.dumps({"step": number, "time": 0.0, **dict(zip(METRICS, row, strict=True))})


def _write(path: Path, lines: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
