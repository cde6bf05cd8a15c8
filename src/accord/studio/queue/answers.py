"""Answers from the browser: checked, brought to one form, turned into feedback records.

The main part of an answer becomes the record that carries the answer's id; ratings and critiques of
single options beside it become records of their own, `<answer id>.<part>`. Flags raised beside
another task stand in `meta["flags"]` (name -> raised or not), words about the whole screen in
`meta["rationale"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accord.feedback.records import Feedback
from accord.studio.errors import AnswerError
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue.gold import is_correct
from accord.studio.storage.tables import Item
from accord.studio.tasks.parts import (
    AnswerFields,
    RecordPart,
    best_worst,
    comparison,
    correction,
    critique,
    demonstration,
    flags_of,
    ranking,
    scores,
    single_scores,
    spans,
    steps,
    steps_of,
    stops,
    texts_per_option,
    thumb,
    words,
)  # fmt: skip

__all__ = ["AnswerError", "CheckedAnswer", "beside", "is_correct", "judge", "steps_of"]


@dataclass(frozen=True)
class CheckedAnswer:
    """An answer that stands. answer: in its one form; parts: what becomes records; meta: of the
    main record."""

    answer: dict[str, Any]
    parts: list[RecordPart]
    meta: dict[str, Any] = field(default_factory=dict)

    def records(
        self,
        answer_id: str,
        prompt: Any,
        order: list[str],
        *,
        beside: dict[str, Any] | None = None,
        annotator: str,
        session: str | None,
        guideline: str,
        active_seconds: float,
        created_at: str,
        meta: dict[str, Any],
    ) -> list[Feedback]:
        """One record per part; the first carries the answer's id and its active time (the others
        none: it is one time).

        beside: more fields of every record, see the function of that name.
        """
        records = []
        for number, part in enumerate(self.parts):
            ids = (
                part.order
                if part.order is not None
                else [i for i in order if i in {o["id"] for o in part.options}]
            )
            place = {option_id: at for at, option_id in enumerate(ids)}
            options = [
                {
                    "id": o["id"],
                    "content": o["content"],
                    "producer": o.get("producer"),
                    "shown_at": place[o["id"]],
                }
                for o in part.options
            ]
            finished_of = {o["id"]: o["finished"] for o in part.options if "finished" in o}
            finished = {"finished": finished_of} if finished_of else {}
            records.append(
                Feedback.model_validate(
                    {
                        "id": answer_id if number == 0 else f"{answer_id}.{part.name}",
                        "kind": part.kind,
                        "prompt": prompt if part.prompt is None else part.prompt,
                        "options": options,
                        "choice": part.choice,
                        **(beside or {}),
                        "annotator": annotator,
                        "session": session,
                        "guideline": guideline,
                        "created_at": created_at,
                        "active_seconds": active_seconds if number == 0 else None,
                        "meta": {
                            **meta,
                            **finished,
                            **part.meta,
                            **(self.meta if number == 0 else {"part": part.name}),
                        },
                    }
                )
            )
        return records


def beside(item: Item) -> dict[str, Any]:
    """What an item has beside prompt and options and every record about it has too."""
    return {
        "tools": item.tools,
        "chat_template_kwargs": item.chat_template_kwargs,
        "weight": item.weight,
    }


def judge(
    settings: ProjectSettings,
    options: list[dict[str, Any]],
    given: Any,
    turns: list[dict[str, Any]] | None,
    prompt: Any,
    order: Sequence[str] | None = None,
) -> CheckedAnswer:
    """Check an answer against the project's task and the item's options ({id, content, producer}).

    turns: of a live chat, as kept by the server; order: ids as shown, which no mistake may name.
    Raises AnswerError naming the field at fault.
    """
    if not isinstance(given, dict):
        raise AnswerError("answer", "an answer is an object of named fields")
    answer = AnswerFields(given, settings, options, order=order)
    if settings.task == "chat":
        judged = _chat(answer, turns or [], prompt)
    elif settings.task == "rating":
        judged = CheckedAnswer(*single_scores(answer))
    else:
        normal, part = _MAIN[settings.task](answer)
        judged = CheckedAnswer(normal, [part])
    judged = _beside(answer, judged)
    answer.done()
    return judged


_MAIN: dict[str, Callable[[AnswerFields], tuple[dict[str, Any], RecordPart]]] = {
    "comparison": comparison, "clips": comparison, "ranking": ranking, "best_worst": best_worst,
    "thumb": thumb, "flags": flags_of, "critique": critique, "correction": correction,
    "demonstration": demonstration,
    "steps": steps, "spans": spans,
}  # fmt: skip


def _beside(answer: AnswerFields, judged: CheckedAnswer) -> CheckedAnswer:
    """Flags, critique, ratings and stops on the same screen, as far as the project asks for
    them."""
    settings, normal, parts, meta = (
        answer.settings,
        dict(judged.answer),
        list(judged.parts),
        dict(judged.meta),
    )
    if settings.flags and settings.task != "flags":
        raised = answer.names("flags", settings.flags)
        if raised:
            normal["flags"] = raised
        meta["flags"] = {name: name in raised for name in settings.flags}
    if settings.critique != "off" and settings.task != "critique":
        written = words(answer, required=settings.critique == "required")
        if written is not None:
            normal["critique"] = written
        if isinstance(written, dict) or (written is not None and len(answer.options) == 1):
            parts += texts_per_option(answer, written)
        elif written is not None:
            meta["rationale"] = written
    if settings.attributes and settings.task != "rating":
        rated, rating_parts = scores(answer)
        if rated:
            normal["scores"] = rated
        parts += rating_parts
    moments, stop_parts = stops(answer)
    if moments:
        normal["stops"] = moments
    return CheckedAnswer(normal, parts + stop_parts, meta)


def _chat(answer: AnswerFields, turns: list[dict[str, Any]], prompt: Any) -> CheckedAnswer:
    """One comparison per turn; the conversation went on with the response named by `continued`,
    else the preferred one."""
    if not turns:
        raise AnswerError(
            "turns", "nothing was said yet: write a message and compare the two answers"
        )
    judged = answer.take("turns")
    if not isinstance(judged, list) or len(judged) != len(turns):
        count = len(judged) if isinstance(judged, list) else 0
        raise AnswerError("turns", f"{len(turns)} turns were shown, {count} are judged")
    history = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt.strip() else []
    )
    if isinstance(prompt, list):
        history = list(prompt)
    elif history:
        history = [{"role": "system", "content": prompt}]
    normal: list[dict[str, Any]] = []
    parts: list[RecordPart] = []
    for number, (turn, turn_answer) in enumerate(zip(turns, judged, strict=True), 1):
        where = f"turns.{number}"
        if not isinstance(turn_answer, dict):
            raise AnswerError(where, "a turn's answer is an object of named fields")
        one = AnswerFields(dict(turn_answer), answer.settings, turn["options"], where)
        went_on = one.take("continued")
        chosen, part = comparison(one)
        one.done()
        went_on = went_on or chosen.get("preferred")
        if number < len(turns) and went_on not in one.ids:
            raise AnswerError(
                f"{where}.continued", "say which of the two answers the conversation went on with"
            )
        asked = [*history, {"role": "user", "content": turn["user"]}]
        order = [option["id"] for option in turn["options"]]
        finished = {option["id"]: option.get("finished", True) for option in turn["options"]}
        about = {"turn": number} | ({} if all(finished.values()) else {"finished": finished})
        parts.append(
            RecordPart(f"turn{number}", part.kind, part.choice, part.options, asked, order, about)
        )
        normal.append({**chosen, "continued": went_on} if number < len(turns) else chosen)
        if number < len(turns):
            text = next(o["content"] for o in turn["options"] if o["id"] == went_on)
            history = [*asked, {"role": "assistant", "content": text}]
    return CheckedAnswer({"turns": normal}, parts)
