"""Verdicts of AI judges in each order in which they were asked.

A record of an AI judge holds what it says of a pair in both orders, averaged, so that who learns
from it is free of the pull of the first place. Who asks about that pull needs the answers: here
each record becomes one per order, as if the judge had been asked twice. Models of annotators are
models of choices, and the judge's probability is that of a choice: one is drawn from it. (Taken as
so many answers one way and the rest the other way, probabilities look like somebody who contradicts
themselves within one answer, and side bias and rationality come out too small.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from accord.feedback.records import Comparison, Feedback
from accord.seeds import generator


def in_each_order(records: Sequence[Feedback]) -> list[Feedback]:
    """The records, those of pairs that were asked about in several orders (`meta.judge.orders`) as
    one for each: its options placed as they were asked about, its weight shared among them, its
    choice drawn from the probability in that order (by a seed of its own: the same each time).
    Others as they are."""
    if not any("judge" in record.meta for record in records):
        return list(records)
    return [answer for record in records for answer in _answers(record)]


def _answers(record: Feedback) -> Iterator[Feedback]:
    orders: list[dict[str, Any]] = (record.meta.get("judge") or {}).get("orders") or []
    known = {option.id for option in record.options}
    if not isinstance(record.choice, Comparison) or any(known != {*o["order"]} for o in orders):
        orders = []
    if not orders:
        yield record
        return
    meta = {name: value for name, value in record.meta.items() if name not in ("shown", "judge")}
    for asked in orders:
        first, second = asked["order"]
        drawn = generator(0, "judge's answer", record.id, first).random() < asked["probability"]
        yield record.model_copy(
            update={
                "id": f"{record.id}/{first}",
                "options": [
                    option.model_copy(update={"shown_at": asked["order"].index(option.id)})
                    for option in record.options
                ],
                "choice": Comparison(preferred=first if drawn else second),
                "weight": record.weight / len(orders),
                "meta": meta,
            }
        )
