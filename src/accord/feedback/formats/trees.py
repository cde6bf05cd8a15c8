"""Open-Assistant message trees, in and out (Köpf et al. 2023; fields of
`oasst_data.ExportMessageTree`).

In: rankings of the replies to a message, one per user where the tree holds the single rankings
(`events`), else the consensus (`rank`); labels of replies as ratings from 0 to 1; replies by people
that nobody ranked as demonstrations. A whole tree is kept with the first of its records, so that it
comes back to the letter as long as all its records do.

Out: such trees; from other records, trees built from conversations, with single rankings as events
and the mean place as rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accord.feedback.formats.columns import SOURCE, Left, Parsed, RowError, build
from accord.feedback.formats.turns import check_spoken
from accord.feedback.formats.values import marked
from accord.feedback.records import Demonstration, Feedback, Message, Ranking, content_id, plain

KEY = "oasst"
PROMPT_LABELS = "labels of a prompter's message (kept with the tree)"
_ROLES = {"assistant": "assistant", "prompter": "user"}


def tree(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """All records of one tree."""
    parts = list(_visit(row["prompt"], [], str(row["message_tree_id"])))
    first = next((i for i, part in enumerate(parts) if isinstance(part, Feedback)), None)
    if first is None:
        raise RowError("nothing in the tree is ranked, labelled or written by a person")
    head = parts[first]
    assert isinstance(head, Feedback)
    parts[first] = head.model_copy(
        update={"meta": {**head.meta, KEY: {**head.meta[KEY], "row": dict(row)}}}
    )
    yield from parts
    if row["prompt"].get("labels"):
        yield Left(PROMPT_LABELS)


def _visit(node: Mapping[str, Any], path: list[Message], tree_id: str) -> Iterator[Parsed]:
    role = _ROLES.get(node["role"])
    if role is None:
        raise RowError(f"a message has role {node['role']!r}")
    here = [*path, Message(role=role, content=node["text"])]
    source = {"tree": tree_id, "parent": node["message_id"]}
    replies = node.get("replies") or []
    answers = [r for r in replies if r["role"] == "assistant"]
    ranked = [r for r in answers if r.get("rank") is not None]
    judged: set[str] = set()
    for part in (*_events(node, here, answers, source), *_consensus(node, here, ranked, source)):
        yield part
        if isinstance(part, Feedback):
            judged |= {o.id for o in part.options}
    for reply in answers:
        if labels := reply.get("labels"):
            yield _rating(reply, labels, here, source)
        if reply["message_id"] not in judged:
            yield _written(reply, here, source)
    for reply in replies:
        if reply.get("labels") and reply["role"] != "assistant":
            yield Left(PROMPT_LABELS)
        yield from _visit(reply, here, tree_id)


def _events(
    node: Mapping[str, Any],
    here: list[Message],
    answers: Sequence[Mapping[str, Any]],
    source: dict[str, Any],
) -> Iterator[Parsed]:
    """One record per user who ranked the replies; `ranking[i]` is where the i-th best was shown."""
    by_id = {r["message_id"]: r for r in answers}
    for event in (node.get("events") or {}).get("ranking") or []:
        order = event["ranked_message_ids"]
        if not set(order) <= set(by_id):
            yield Left("ranking of messages that are not in the tree")
            continue
        if len(order) < 2:
            yield Left("ranking of a single message")
            continue
        yield _ranking(here, [by_id[i] for i in order], event, source, event["ranking"])


def _consensus(
    node: Mapping[str, Any],
    here: list[Message],
    ranked: Sequence[Mapping[str, Any]],
    source: dict[str, Any],
) -> Iterator[Parsed]:
    if (node.get("events") or {}).get("ranking"):
        return  # the ranks were made from these
    if len(ranked) >= 2:
        yield _ranking(here, sorted(ranked, key=lambda r: r["rank"]), {}, source, None)


def _ranking(
    here: list[Message],
    best_first: Sequence[Mapping[str, Any]],
    common: Mapping[str, Any],
    source: dict[str, Any],
    places: Sequence[int] | None,
) -> Feedback:
    ids = [r["message_id"] for r in best_first]
    flawed = marked(
        common, "not_rankable"
    )  # all are flawed, factually incorrect or unacceptable: no order is meant
    choice = {"order": [ids] if flawed else [[i] for i in ids], "all_bad": flawed}
    return build(
        "ranking",
        here,
        [r["text"] for r in best_first],
        choice,
        common,
        ids=ids,
        producers=[_author(r) for r in best_first],
        places=places,
        meta={KEY: source},
    )


def _rating(
    reply: Mapping[str, Any],
    labels: Mapping[str, Mapping[str, Any]],
    here: list[Message],
    source: dict[str, Any],
) -> Parsed:
    """The labels of a reply, each the mean of several users' answers on [0, 1]."""
    scores = {
        name: float(label["value"])
        for name, label in labels.items()
        if label.get("value") is not None
    }
    if not scores:
        return Left("labels without a value")
    counts = {name: label.get("count") for name, label in labels.items()}
    choice = {"scores": scores, "low": 0.0, "high": 1.0}
    return build(
        "rating",
        here,
        [reply["text"]],
        choice,
        {},
        ids=[reply["message_id"]],
        producers=[_author(reply)],
        annotator=SOURCE,
        meta={KEY: {**source, "label_counts": counts}},
    )


def _written(reply: Mapping[str, Any], here: list[Message], source: dict[str, Any]) -> Parsed:
    """A reply that nobody compared: a demonstration, when a person wrote it and the reviewers
    accepted it."""
    if marked(reply, "deleted") or not marked(reply, "review_result", True):
        return Left("unranked reply that was deleted or not accepted (kept with the tree)")
    if marked(reply, "synthetic", not reply.get("user_id")):
        return Left("unranked reply that is not said to be by a person (kept with the tree)")
    meta = {KEY: {**source, "message": reply["message_id"]}}
    return build("demonstration", here, [], {"content": reply["text"]}, reply, meta=meta)


def _author(reply: Mapping[str, Any]) -> str | None:
    return reply.get("model_name") or reply.get("user_id")


# --- out ------------------------------------------------------------------------------------------
def to_trees(
    records: Sequence[Feedback],
) -> tuple[list[dict[str, Any]], list[tuple[Feedback, str]]]:
    """(trees, records that no tree can hold with the reason).

    A tree that was read is written as it was when every record it makes is present; otherwise, and
    for records that came from elsewhere, it is built from the records.
    """
    present = {record.id for record in records}
    rows: list[dict[str, Any]] = []
    whole: set[str] = set()
    for record in records:
        row = record.meta.get(KEY, {}).get("row")
        if (
            row is not None
            and (ids := {part.id for part in tree(row) if isinstance(part, Feedback)}) <= present
        ):
            rows.append(row)
            whole |= ids
    planted: dict[str, dict[str, Any]] = {}
    left: list[tuple[Feedback, str]] = []
    # Upper messages first, and what was ranked before what continues from it: paths then find their
    # messages by text.
    for record in sorted(records, key=lambda r: (len(r.prompt), r.kind != "ranking")):
        if record.id not in whole:
            try:
                _plant(record, planted)
            except RowError as error:
                left.append((record, str(error)))
    for root in planted.values():
        _settle_ranks(root)
        rows.append(
            {
                "message_tree_id": root["message_id"],
                "tree_state": "ready_for_export",
                "prompt": root,
            }
        )
    return rows, left


def _plant(record: Feedback, roots: dict[str, dict[str, Any]]) -> None:
    """Add what a record says to the tree of its conversation."""
    choice = record.choice
    if not isinstance(choice, Ranking | Demonstration):
        raise RowError(f"{record.kind}: a tree holds rankings and demonstrations")
    if isinstance(record.prompt, str) or record.prompt[0].role != "user":
        raise RowError("a tree starts with a user message, but the prompt does not")
    if any(m.role not in ("user", "assistant") for m in record.prompt):
        raise RowError("a tree holds no system and no tool messages")
    check_spoken(
        "a tree",
        record.prompt,
        *(o.content for o in record.options),
        getattr(choice, "content", ""),
    )
    if isinstance(choice, Ranking):
        if choice.all_bad != (len(choice.order) == 1):
            raise RowError("a tree holds either an order or that all are bad")
        if not choice.all_bad and max(map(len, choice.order)) > 1:
            raise RowError("a tree holds no ties")
    node: dict[str, Any] | None = None
    for depth, message in enumerate(record.prompt):
        own = content_id([m.model_dump() for m in record.prompt[: depth + 1]])
        node = _child(node, roots, own, message.said, message.role)
    assert node is not None
    if isinstance(choice, Demonstration):
        own = content_id(record.prompt, plain(choice.content))
        written = _child(node, roots, own, plain(choice.content), "assistant")
        written.update(user_id=record.annotator, synthetic=False)
        return
    for option in record.options:
        reply = _child(node, roots, option.id, plain(option.content), "assistant", by_text=False)
        if option.producer is not None:
            reply.update(model_name=option.producer, synthetic=True)
    shown = {o.id: o.shown_at for o in record.options}
    order = record.shown if choice.all_bad else [i for group in choice.order for i in group]
    node.setdefault("events", {}).setdefault("ranking", []).append(
        {
            "type": "ranking",
            "user_id": record.annotator,
            "ranking": [shown[i] for i in order],
            "ranked_message_ids": order,
            "ranking_parent_id": node["message_id"],
            "not_rankable": choice.all_bad,
            **({"created_at": record.created_at} if record.created_at else {}),
            **(
                {"active_seconds": record.active_seconds}
                if record.active_seconds is not None
                else {}
            ),
            **({"session": record.session} if record.session else {}),
            **({"guideline": record.guideline} if record.guideline else {}),
            "record_id": record.id,
        }
    )


def _child(
    parent: dict[str, Any] | None,
    roots: dict[str, dict[str, Any]],
    own: str,
    text: str,
    role: str,
    by_text: bool = True,
) -> dict[str, Any]:
    """The node with this id (or with this text) below `parent`, or among the roots, made when it is
    missing."""
    if parent is None:
        return roots.setdefault(own, _node(own, None, text, role))
    named = "prompter" if role == "user" else "assistant"
    child = next(
        (
            r
            for r in parent["replies"]
            if r["message_id"] == own or (by_text and (r["role"], r["text"]) == (named, text))
        ),
        None,
    )
    if child is None:
        child = _node(own, parent["message_id"], text, role)
        parent["replies"].append(child)
    return child


def _node(own: str, parent: str | None, text: str, role: str) -> dict[str, Any]:
    return {
        "message_id": own,
        **({"parent_id": parent} if parent else {}),
        "text": text,
        "role": "prompter" if role == "user" else "assistant",
        "synthetic": None,
        "deleted": False,
        "replies": [],
    }


def _settle_ranks(node: dict[str, Any]) -> None:
    """Rank replies by their mean relative place in the rankings; unranked ones get none."""
    places: dict[str, list[float]] = {}
    for event in node.get("events", {}).get("ranking", []):
        if event["not_rankable"]:
            continue
        for place, own in enumerate(event["ranked_message_ids"]):
            places.setdefault(own, []).append(place / (len(event["ranked_message_ids"]) - 1))
    order = sorted(places, key=lambda own: (sum(places[own]) / len(places[own]), own))
    for reply in node["replies"]:
        if reply["message_id"] in places:
            reply["rank"] = order.index(reply["message_id"])
        _settle_ranks(reply)
