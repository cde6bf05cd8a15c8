"""Votes between models, as arenas publish them: two models, who won, with or without what they
wrote.

Read are Chatbot Arena's conversations (33k, 100k, 140k), its turns as JSON lists in texts (55k)
with one column per outcome, MT-Bench's votes on a turn, and bare votes.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accord.feedback.formats.columns import Parsed, RowError, build, messages, name_in
from accord.feedback.formats.pairs import sides
from accord.feedback.formats.values import Side, empty, shown, side, truth, unpacked, whole
from accord.feedback.records import Content, Message, content_id, plain

MODELS = (("model_a", "model_b"), ("left", "right"))
OUTCOMES: dict[str, Side] = {
    "winner_model_a": 0,
    "winner_model_b": 1,
    "winner_tie": "tie",
    "winner_both_bad": "both_bad",
}
ARENA_COLUMNS = (
    "left", "right", *OUTCOMES, "prompt", "question_id", "id", "turn", "evaluation_session_id", "judge_hash",  # noqa: E501
    *(f"{name}_{letter}" for name in ("answer", "response", "conversation") for letter in "ab"),
)  # fmt: skip
_REPLIES = ("response", "answer")


def is_votes(row: Mapping[str, Any]) -> bool:
    """Two named models and a winner, or a column per outcome."""
    has_winner = "winner" in row or "winner_model_a" in row
    return has_winner and any(set(names) <= row.keys() for names in MODELS)


def votes(row: Mapping[str, Any]) -> Iterator[Parsed]:
    """One comparison; the first model is the one shown first (left). Of a conversation the vote is
    about what the two models said, from where they differ up to the turn voted on. Without texts
    the options are empty."""
    columns = next(names for names in MODELS if set(names) <= row.keys())
    models = [model for name in columns if (model := name_in(row, name)) is not None]
    if len(models) < 2:
        raise RowError(f"{' or '.join(columns)} is empty")
    if models[0] == models[1]:
        raise RowError("a model against itself")
    outcome = _outcome(row)
    prompt, texts = _texts(row)
    ids = [content_id(name, text) for name, text in zip(models, texts, strict=True)]
    choice = {"preferred": ids[outcome]} if isinstance(outcome, int) else {outcome: True}
    question = row.get("question_id", row.get("id"))
    turn = {} if empty(row.get("turn")) else {"turn": row["turn"]}
    session = {} if empty(own := row.get("evaluation_session_id")) else {"session": own}
    yield build(
        "comparison",
        prompt,
        texts,
        choice,
        ChainMap(session, row) if session else row,  # type: ignore[arg-type]  # read only
        ids=ids,
        producers=models,
        places=[0, 1],
        annotator=name_in(row, "judge_hash"),
        meta={
            "texts": any(map(plain, texts)),
            **({"question": question} if question is not None else {}),
            **turn,
        },
    )


def _outcome(row: Mapping[str, Any]) -> Side:
    """The winner; of columns per outcome the one that is true."""
    if "winner" in row:
        return side(row["winner"], "winner")
    true = [name for name in OUTCOMES if not empty(row.get(name)) and truth(row[name], name)]
    if len(true) != 1:
        raise RowError(
            f"{len(true)} of the columns {', '.join(name for name in OUTCOMES if name in row)} are"
            " true, not one"
        )
    return OUTCOMES[true[0]]


def _texts(row: Mapping[str, Any]) -> tuple[Content, list[Content]]:
    """(prompt, both answers): what the conversations share, and each from there on."""
    conversations = [row.get(f"conversation_{letter}") for letter in "ab"]
    if not any(map(empty, conversations)):
        return _apart([messages(unpacked(one, "conversation")) for one in conversations], row)
    name = next((name for name in _REPLIES if f"{name}_a" in row and f"{name}_b" in row), None)
    if name is None:
        return (_text(row, "prompt") if "prompt" in row else name_in(row, "question_id") or ""), [
            "",
            "",
        ]
    replies = [_list(row[f"{name}_{letter}"]) for letter in "ab"]
    user_turns = _list(row.get("prompt"))
    if user_turns is not None and all(reply_turns is not None for reply_turns in replies):
        return _apart(
            [
                _interleaved(user_turns, reply_turns or [], f"{name}_{x}")
                for reply_turns, x in zip(replies, "ab", strict=True)
            ],
            row,
        )
    texts = [_text(row, f"{name}_{letter}") for letter in "ab"]
    return _text(row, "prompt") if "prompt" in row else "", _both_or_none(list[Content](texts))


def _text(row: Mapping[str, Any], name: str) -> str:
    if not isinstance(text := row[name], str):
        raise RowError(
            f"{name} is missing"
            if text is None
            else f"the column {name!r} is {shown(text)}, not a text"
        )
    return text


def _list(value: Any) -> list[Any] | None:
    """The turns of one side as a list, also one written as JSON; None for a single text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = unpacked(value, "")
        except RowError:
            return None
    return value if isinstance(value, list) else None


def _interleaved(user_turns: Sequence[Any], replies: Sequence[Any], name: str) -> list[Message]:
    if len(user_turns) != len(replies):
        raise RowError(f"prompt has {len(user_turns)} turns, {name} has {len(replies)}")
    turns_made = []
    for question, reply in zip(user_turns, replies, strict=True):
        if not isinstance(question, str) or not isinstance(reply, str):
            raise RowError(
                f"a turn of {'prompt' if not isinstance(question, str) else name} is missing"
            )
        turns_made += [
            Message(role="user", content=question),
            Message(role="assistant", content=reply),
        ]
    return turns_made


def _apart(
    conversations: Sequence[list[Message]], row: Mapping[str, Any]
) -> tuple[Content, list[Content]]:
    turn = None if empty(row.get("turn")) else whole(row["turn"], "turn")
    first, second = ([*_up_to(one, turn)] for one in conversations)
    if first == second:
        raise RowError("both models gave the same answers")
    prompt, *answers = sides(None, first, second)
    for answer in answers:
        if answer[-1].role != "assistant":  # type: ignore[union-attr]
            raise RowError("a conversation does not end with an answer")
    return prompt, _both_or_none([_bare(answer) for answer in answers])


def _both_or_none(answers: list[Content]) -> list[Content]:
    """Raises RowError where one model's answer says something and the other's nothing."""
    if sum(bool(plain(answer).strip()) for answer in answers) == 1:
        raise RowError("one of the two answers is empty")
    return answers


def _up_to(conversation: list[Message], turn: int | None) -> Iterator[Message]:
    """The messages up to the answer to the user's message number `turn`."""
    user_turns = 0
    for message in conversation:
        user_turns += message.role == "user"
        if turn is not None and user_turns > max(turn, 1):
            return
        yield message


def _bare(answer: Content) -> Content:
    """One plain message as its text."""
    plainly = len(answer) == 1 and [Message(role="assistant", content=plain(answer))] == answer
    return plain(answer) if plainly else answer
