"""A critic's claims as a rater sees them: by place, in the order of the text, names masked; nothing
about arms, flaws or who is right."""

from __future__ import annotations

from typing import Any

from accord.studio.projects import studies
from accord.studio.projects.settings import ProjectSettings
from accord.studio.queue.assigning import Served
from accord.studio.tasks import contents
from accord.studio.tasks.blinding import mask_whole
from accord.studio.tasks.markup import visible
from accord.studio.tasks.masking import mask_names


def help_of(served: Served, settings: ProjectSettings) -> dict[str, Any] | None:
    """None outside a study; the same in every arm until the claims are asked for."""
    assist = served.shown.get("assist")
    if assist is None or settings.assistance is None:
        return None
    return {
        "look_seconds": settings.assistance.look_seconds,
        "served_at": served.served_at,
        "claims": None if assist["opened"] is None else claims_html(served, settings),
    }


def claims_html(served: Served, settings: ProjectSettings) -> list[dict[str, Any]]:
    """{n, option, quote, before, text}: n: number in the stored order, by which it is answered;
    before: how often what is quoted stands in the text before, by its letters and digits."""
    topic = contents.topic(served.prompt, served.tools)
    place = {name: str(number) for number, name in enumerate(served.order, 1)}
    by_id = {option["id"]: option["content"] for option in served.options}
    made = []
    for number, claim in enumerate(studies.shown_claims(served, served.shown["assist"]["arm"])):
        masked = mask_whole(by_id[claim["option"]], topic, settings.mask)
        start = masked.masked_offset(claim["start"])
        end = masked.masked_offset(claim["end"])
        quote = masked.text[start:end]
        shown = {
            "n": number,
            "option": place[claim["option"]],
            "quote": visible(quote),
            "before": _times(_letters(quote), _letters(masked.text), _letters(masked.text[:start])),
            "text": visible(mask_names(claim["text"], topic, settings.mask).text),
        }
        made.append((int(place[claim["option"]]), start, shown))
    return [shown for _, _, shown in sorted(made, key=lambda one: one[:2])]


def _letters(text: str) -> str:
    """What Markdown never takes away."""
    return "".join(character for character in text if character.isalnum())


def _times(quote: str, text: str, before: str) -> int:
    """How often the quote begins in a text before the end of its beginning `before`."""
    return sum(text.startswith(quote, at) for at in range(len(before)))
