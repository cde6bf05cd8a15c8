"""Whether an answer to an item with a known answer is right."""

from __future__ import annotations

from typing import Any

OVERLAP = 0.5
"""Marked passages agree when they share this much of what both cover together (intersection over
union)."""


def is_correct(gold: dict[str, Any] | None, answer: dict[str, Any]) -> bool | None:
    """True or False by the main part of the answer; None without a known answer. Both in the normal
    form.

    Comparison: the same verdict (how strong does not matter). Ranking: every pair that the known
    ranking orders is ordered so; known to be all bad, it is called so. Rating: each known score
    within `within` (1 unless given). Steps: the same labels. Flags: the same set.
    Spans: each known passage is marked with its label (overlap >= 0.5) and nothing else is.
    """
    if gold is None:
        return None
    if "preferred" in gold:
        return all(answer.get(name) == gold[name] for name in ("preferred", "tie", "both_bad"))
    if "order" in gold:
        if gold.get("all_bad") and not answer["all_bad"]:
            return False
        place = {i: rank for rank, group in enumerate(answer["order"]) for i in group}
        known = [
            (b, w)
            for n, better in enumerate(gold["order"])
            for worse in gold["order"][n + 1 :]
            for b in better
            for w in worse
        ]
        return all(place[better] < place[worse] for better, worse in known)
    if "scores" in gold:
        within = gold.get("within", 1)
        return all(
            abs(answer["scores"][name] - score) <= within for name, score in gold["scores"].items()
        )
    if "labels" in gold:
        return bool(answer["labels"] == gold["labels"])
    if "spans" in gold:
        return _same_spans(gold["spans"], answer["spans"])
    return all(
        answer.get(name) == gold[name] for name in gold if name in ("best", "worst", "up", "flags")
    )


def _same_spans(known: list[dict[str, Any]], marked: list[dict[str, Any]]) -> bool:
    def met(span: dict[str, Any], others: list[dict[str, Any]]) -> bool:
        return any(
            other["label"] == span["label"] and _overlap(span, other) >= OVERLAP for other in others
        )

    return all(met(span, marked) for span in known) and all(met(span, known) for span in marked)


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> float:
    shared = min(one["end"], other["end"]) - max(one["start"], other["start"])
    together = max(one["end"], other["end"]) - min(one["start"], other["start"])
    return float(shared) / float(together)
