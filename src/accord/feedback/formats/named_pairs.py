"""Pairs whose columns say which answer is the better one: chosen and rejected, preferred and not, j
and k, first and second.

What is asked stands in a column such as instruction or question and is a user's message; a system
message and earlier turns stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accord.feedback.formats.columns import RowError, messages
from accord.feedback.formats.making import answer, compared, demonstration, preference, user
from accord.feedback.formats.shape import Row
from accord.feedback.formats.values import shown, unpacked
from accord.feedback.records import Feedback


def alpaca_pair(row: Row) -> Iterator[Feedback]:
    """LLaMA-Factory's Alpaca preferences: instruction and input; chosen and rejected."""
    yield from preference(
        user(row["instruction"], row.get("input")),
        answer(row, "chosen"),
        answer(row, "rejected"),
        row,
    )


def is_old_comparison(row: Row) -> bool:
    """LLaMA-Factory's comparisons of old: a list as output."""
    return "instruction" in row and isinstance(row.get("output"), list)


def old_comparison(row: Row) -> Iterator[Feedback]:
    """output: the better answer, then the worse one."""
    output = row["output"]
    if len(output) != 2 or not all(isinstance(text, str) for text in output):
        raise RowError(
            "the column 'output' is not a list of two texts, the better and the worse one"
        )
    yield compared(
        user(row["instruction"], row.get("input")), output, 0, row, names=("output 1", "output 2")
    )


def asked_pair(row: Row) -> Iterator[Feedback]:
    """orca pairs: the question (distilabel's: input), chosen and rejected. A pair that distilabel's
    judge found equally good (status "tie") is a tie; its ratings stay in `meta.source`."""
    prompt = user(row["question"] if "question" in row else row["input"])
    source = {name: row[name] for name in ("rating", "order") if row.get(name) is not None}
    meta = {"source": source} if source else {}
    chosen, rejected = answer(row, "chosen"), answer(row, "rejected")
    if row.get("status") == "tie":
        yield compared(prompt, [chosen, rejected], "tie", row, meta=meta)
    else:
        yield from preference(prompt, chosen, rejected, row, meta=meta)


def trajectory_pair(row: Row) -> Iterator[Feedback]:
    """UltraInteract: two next turns of one trajectory."""
    prompt = messages(unpacked(row["trajectory"], "trajectory"))
    yield from preference(prompt, answer(row, "chosen"), answer(row, "rejected"), row)


def openai_pair(row: Row) -> Iterator[Feedback]:
    """OpenAI's preferences: input {messages, tools, parallel_tool_calls}, preferred_output,
    non_preferred_output."""
    request = unpacked(row["input"], "input")
    if not isinstance(request, Mapping) or "messages" not in request:
        raise RowError(f"the column 'input' is {shown(request)}, not an object with messages")
    sides = [messages(unpacked(row[name], name)) for name in OPENAI]
    rest = {name: value for name, value in request.items() if name not in ("messages", "tools")}
    with_tools = {**row, "tools": request["tools"]} if request.get("tools") else row
    yield compared(
        messages(request["messages"]),
        sides,
        0,
        with_tools,
        names=OPENAI,
        meta={"source": {"input": rest}} if rest else {},
    )


OPENAI = ("preferred_output", "non_preferred_output")


def stack_pair(row: Row) -> Iterator[Feedback]:
    """Stack Exchange, paired: response_j has more votes than response_k."""
    names = ("response_j", "response_k")
    yield compared(
        user(row["question"]), [answer(row, name) for name in names], 0, row, names=names
    )


def dolly(row: Row) -> Iterator[Feedback]:
    """Dolly: an instruction, what it is about, and a person's response."""
    yield from demonstration(
        user(row["instruction"], row.get("context")), answer(row, "response"), row
    )


def is_gsm8k(row: Row) -> bool:
    """A question with a worked answer whose last line is "#### RESULT", as nothing else writes."""
    given = row.get("answer")
    return set(row) == {"question", "answer"} and isinstance(given, str) and "\n#### " in given


def gsm8k(row: Row) -> Iterator[Feedback]:
    """GSM8K: the worked answer to a question."""
    yield from demonstration(user(row["question"], None), answer(row, "answer"), row)
