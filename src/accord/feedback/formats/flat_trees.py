"""Open-Assistant's messages, one per row, put together to the trees that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accord.feedback.formats.columns import Parsed, RowError
from accord.feedback.formats.shape import Parse, Row
from accord.feedback.formats.trees import tree
from accord.feedback.formats.values import empty, structure

_LISTS = ("labels", "emojis", "detoxify")
OWN = (
    "labels",
    "user_id",
    "created_date",
    "rank",
    "synthetic",
    "model_name",
    "deleted",
    "tree_state",
)


def is_flat_tree(row: Row) -> bool:
    """A message, what it answers, and its tree."""
    return {"message_id", "parent_id", "text", "role", "message_tree_id"} <= row.keys()


def prepare(rows: Sequence[Row], source: Path) -> Parse:
    """A parser that gives the records of a tree at its first message, and nothing at the others."""
    del source
    nodes = {str(row["message_id"]): _node(row) for row in rows}
    broken: dict[str, str] = {}
    for row in rows:
        above = row["parent_id"]
        if empty(above):
            continue
        if str(above) in nodes:
            nodes[str(above)]["replies"].append(nodes[str(row["message_id"])])
        else:
            broken[str(row["message_tree_id"])] = "a message of the tree is missing"
    by_tree: dict[str, list[Parsed]] = {}

    def parse(row: Row) -> Iterator[Parsed]:
        own = str(row["message_tree_id"])
        if own not in broken and own not in by_tree:
            try:
                whole = {
                    "message_tree_id": own,
                    "tree_state": row.get("tree_state"),
                    "prompt": nodes[own],
                }
                by_tree[own] = list(tree(whole))
            except KeyError:
                broken[own] = "the first message of the tree is missing"
            except RowError as error:
                broken[own] = str(error)
        if own in broken:
            raise RowError(broken[own])
        return iter(by_tree[own] if empty(row["parent_id"]) else ())

    return parse


def _node(row: Row) -> dict[str, Any]:
    """A message as it stands in a tree. The flat files hold labels and emojis as lists of names and
    of values."""
    own = {
        name: value for name, value in row.items() if name not in ("message_tree_id", "tree_state")
    }
    return {**own, **{name: _by_name(own[name]) for name in _LISTS if name in own}, "replies": []}


def _by_name(value: Any) -> Any:
    value = structure(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), (list, tuple)):
        return value
    others = [name for name in value if name != "name"]
    entries = [
        dict(zip(others, values, strict=True))
        for values in zip(*(value[name] for name in others), strict=True)
    ]
    return dict(zip(value["name"], entries, strict=True))
