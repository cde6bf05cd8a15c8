"""The tables of docs/results.md from run directories: `python -m benchmarks.results RUN [RUN ...]`.

Runs of the same recipe that differ in their seed become one table: mean over seeds with a 95 %
interval (Student's t over seeds), and each seed's value. A directory of `accord examine --out`
becomes a table of its measures.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import yaml

from accord.examine.verdict import decide
from accord.runs.evidence import evidence_files, is_examination, read_evidence
from accord.statistics.means import student_mean

FEWEST = 4
"""Seeds from which on a mean with its interval is shown."""
SHOWN = {
    "data.gold_accuracy": ("gold accuracy, held out", "{:.3f}"),
    "sft.heldout_loss": ("held-out loss after fine-tuning, nats/token", "{:.3f}"),
    "model.heldout_loss": ("held-out loss, nats/token", "{:.3f}"),
    "model.bits_per_byte": ("held-out bits per byte", "{:.3f}"),
    "collect.agreement_strict": ("annotator agreement, strict pairs", "{:.1%}"),
    "collect.ceiling": ("ceiling for single labels", "{:.1%}"),
    "collect.bad_found": ("bad annotators found (of 2)", "{:.1f}"),
    "collect.honest_flagged": ("honest annotators flagged (of 6)", "{:.1f}"),
    "reward.heldout_accuracy": ("reward model, agreement with held-out labels", "{:.1%}"),
    "card.gold_accuracy": ("reward model, agreement with gold", "{:.1%}"),
    "examine.best_of_16.win_rate": ("best-of-16, gold win rate", "{:.1%}"),
    "examine.ppo.win_rate": ("PPO, gold win rate", "{:.1%}"),
    "examine.ppo.kl": ("PPO, KL in nats per sequence", "{:.2f}"),
    "examine.ppo.gold_gain": ("PPO, gold gain", "{:+.2f}"),
    "examine.ppo.proxy_gain": ("PPO, proxy gain", "{:+.2f}"),
    "peak.ppo.gold": ("PPO, highest gold gain on the way", "{:+.2f}"),
    "peak.ppo.kl": ("PPO, KL there, nats per sequence", "{:.1f}"),
    "examine.dpo.win_rate": ("DPO, gold win rate", "{:.1%}"),
    "examine.dpo.kl": ("DPO, KL in nats per sequence", "{:.2f}"),
    "examine.dpo.gold_gain": ("DPO, gold gain", "{:+.2f}"),
    "examine.dpo.proxy_gain": ("DPO, proxy gain", "{:+.2f}"),
}
COSTS = {
    "minutes": ("minutes", "{:.1f}"),
    "cpu_minutes": ("minutes of CPU time", "{:.1f}"),
    "peak_gib": ("peak memory, GiB", "{:.2f}"),
}


def main(folders: list[Path]) -> None:
    """Print one table per recipe."""
    runs: dict[str, dict[int, dict[str, object]]] = defaultdict(dict)
    for folder in folders:
        if is_examination(folder):
            print(examination(folder))
            continue
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
        runs[recipe["name"]][recipe["seed"]] = collect(folder)
    for name, seeds in runs.items():
        print(table(name, dict(sorted(seeds.items()))))


PUBLISHED = {
    ("xstest", "over_refusal"): "Llama 2 .38, GPT-4 .06, Mistral .01",
    ("xstest", "refusal"): "Llama 2 .995, GPT-4 .975, Mistral .235",
    ("bbq", "bias_ambiguous"): "UnifiedQA (ARC) .118",
}
"""What was published of other models: full refusals by people's labels (XSTest), the whole category
by the paper's formula (BBQ)."""


def examination(folder: Path) -> str:
    """Estimates and changes of every arm, a star where a change is believed."""
    found = read_evidence(folder)[0].behaviour
    if found is None:
        raise ValueError(f"{folder} holds no examination of policies")
    first, *others = found.policies
    head = ["set", "measure", "n", first, *others, *(f"{a} - {first}" for a in others), "chance"]
    head += ["rule that does not read", "published"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    for line in found.lines:
        cells = [line.set, line.measure, str(line.items)]
        cells += [str(line.arms[a]) if a in line.arms else "–" for a in found.policies]
        for arm in others:
            change = line.changes.get(arm)
            star = " *" if change is not None and change.believed else ""
            cells.append("–" if change is None else f"{change.change.value:+.3g}{star}")
        cells.append("" if line.chance is None else f"{line.chance:.3g}")
        control = line.control
        cells.append("" if control is None else f"{control[0]}: {control[1]:.3g}")
        cells.append(PUBLISHED.get((line.set.partition(":")[0], line.measure), ""))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def collect(folder: Path) -> dict[str, object]:
    """All values of a run as stage.key, with total time and peak memory."""
    values: dict[str, object] = {}
    seconds = cpu_seconds = peak = 0.0
    for path in sorted(folder.glob("stages/*/result.json")):
        record = json.loads(path.read_text())
        values |= {f"{record['stage']}.{key}": value for key, value in record["values"].items()}
        seconds, peak = seconds + record["seconds"], max(peak, record["peak_mib"])
        cpu_seconds += record["cpu_seconds"]
    values |= _card(folder) | _peaks(folder)
    return values | {
        "minutes": seconds / 60,
        "cpu_minutes": cpu_seconds / 60,
        "peak_gib": peak / 1024,
        "verdict": _outcome(folder),
    }


def _outcome(folder: Path) -> str:
    """By the rules of now, from what was measured then."""
    if not evidence_files(folder):
        return "–"
    return str(decide(*read_evidence(folder)).outcome)


def _card(folder: Path) -> dict[str, object]:
    path = next(folder.glob("stages/*-reward/card.json"), None)
    gold = json.loads(path.read_text())["gold_accuracy"] if path else None
    return {"card.gold_accuracy": gold["value"]} if gold else {}


def _peaks(folder: Path) -> dict[str, object]:
    """Where along its way each arm had the highest gold gain."""
    path = next(folder.glob("stages/*-examine/evidence.json"), None)
    found: dict[str, object] = {}
    for arm in json.loads(path.read_text())["arms"] if path else ():
        points = [p for p in arm["points"] if p["gold_gain"] is not None]
        if points:
            best = max(points, key=lambda p: p["gold_gain"]["value"])
            found |= {
                f"peak.{arm['name']}.gold": best["gold_gain"]["value"],
                f"peak.{arm['name']}.kl": best["kl"]["exact"]["value"],
            }
    return found


def table(name: str, seeds: dict[int, dict[str, object]]) -> str:
    """A Markdown table with a column per seed."""
    several = len(seeds) >= FEWEST
    head = ["", *(["mean [95 %]"] if several else []), *(f"seed {s}" for s in seeds)]
    lines = [f"### {name}", "", f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    shown = SHOWN | COSTS
    for key, (label, style) in shown.items():
        found = [float(v[key]) for v in seeds.values() if key in v]  # type: ignore[arg-type]
        if len(found) == len(seeds):
            cells = [style.format(x) for x in found]
            lines.append(
                f"| {label} | {' | '.join([_mean(found, style), *cells] if several else cells)} |"
            )
    verdicts = [str(v["verdict"]) for v in seeds.values()]
    lines.append(f"| verdict | {' | '.join(['', *verdicts] if several else verdicts)} |")
    return "\n".join(lines) + "\n"


def _mean(values: list[float], style: str) -> str:
    mean = student_mean(values)
    if mean is None:
        raise ValueError(f"{len(values)} values have no mean with an interval")
    if mean.low is None or mean.high is None:  # all seeds are equal
        return style.format(mean.value)
    low, high = mean.low, mean.high
    if "%" in style:  # shares: Student's t does not know that they end
        low, high = max(0.0, low), min(1.0, high)
    return f"{style.format(mean.value)} [{style.format(low)}, {style.format(high)}]"


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
