"""Revisers: models that rewrite after a critique, and the choice among samples; and which of their
texts count as revisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from accord.examine.behaviour.refusal import refuses
from accord.oversight.constitution import Principle
from accord.oversight.critics import RuleCritic, opening
from accord.oversight.drafts import Criticism, Draft, Failure, WrittenText
from accord.oversight.writers import Writer
from accord.text.chats import Prompt
from accord.validation import Settings

ALONE = "Answer with the rewritten response and nothing else."
_REWRITTEN = r"(?:revised|rewritten|reworded|updated|improved|corrected|edited|new)"
_TEXT = r"(?:response|answer|version|text|reply|rewrite|revision|draft)"
_HERE = r"(?:here(?:['’]s| is)|below is|this is)\b[^\n:]{0,60}?"
PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course|okay|ok|absolutely|thank you)\b[^\n:]{0,60}?[,.!]\s*)?(?:"
    rf"{_HERE}\b{_REWRITTEN}\b[^\n:]{{0,40}}?\b{_TEXT}\b[^\n:]{{0,80}}:"
    rf"|{_HERE}\b{_TEXT}\b[^\n:]{{0,80}}:(?=[*_ \t]*\n)"
    rf"|[*#_ ]*(?:the |my )?{_REWRITTEN} {_TEXT}[*_ ]*:"
    r")[*_ \t]*\s*",
    re.IGNORECASE,
)
"""What many models put before a rewritten text: "Sure! Here is the revised response:"."""
RULE = (
    'a first line like "Here is the revised response:" or "Revised response:" is cut off, and'
    " quotation marks that then enclose all the rest"
)
"""What `without_preamble` does, in words."""


class RevisionRules(Settings):
    """Which texts of a reviser count as revisions; what does not is a record of kind skip."""

    refusals: Literal["skip", "keep"] = Field(
        "skip",
        description=(
            "A revision that begins with a phrase of refusal, of a response that did not; keep: for"
            " principles by which refusing is right."
        ),
    )
    preambles: Literal["skip", "remove", "keep"] = Field(
        "skip",
        description=(
            'A revision that begins like "Here is the revised response:"; remove: that line is cut'
            " off, by a rule that is printed."
        ),
    )
    unfinished: Literal["skip", "keep"] = Field(
        "skip",
        description="A revision that was cut at the limit of tokens; keep: its record says so.",
    )

    def checked(self, draft: Draft, written: WrittenText) -> WrittenText | Failure:
        """What counts of a reviser's text: the revision, or why it is none."""
        if not written.finished and self.unfinished == "skip":
            return Failure("the revision was cut at the limit of tokens")
        text = written.text
        if opens_with_preamble(draft, written):
            if self.preambles == "skip":
                return Failure("the revision begins with a preamble")
            if self.preambles == "remove":
                text = without_preamble(text)
        if not text.strip():
            return Failure("the revision is empty")
        if self.refusals == "skip" and refuses([text])[0] and not refuses([draft.text])[0]:
            return Failure("the reviser refused")
        return WrittenText(text, written.finished)


def opens_with_preamble(draft: Draft, written: WrittenText) -> bool:
    """Whether a revision begins with words about itself that the draft did not begin with."""
    return has_preamble(written.text) and not has_preamble(draft.text)


def has_preamble(text: str) -> bool:
    """Whether a text begins with words about itself."""
    return PREAMBLE.match(text) is not None


def without_preamble(text: str) -> str:
    """The text after its preamble, see `RULE`."""
    match = PREAMBLE.match(text)
    rest = text if match is None else text[match.end() :]
    bare = rest.strip()
    for left, right in (('"', '"'), ("“", "”")):
        if match and len(bare) > 1 and bare[0] == left and bare[-1] == right:
            inside = bare[1:-1]
            if left not in inside and right not in inside:
                return inside
    return rest


class ModelReviser:
    """A model that is shown the draft and its critique, and asked to rewrite."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.name = writer, writer.name

    def revise(
        self, asked: Sequence[tuple[Draft, Principle, Criticism]], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        """As the model writes them."""
        return self.writer.write([_conversation(*one) for one in asked], seeds)


def _conversation(draft: Draft, principle: Principle, criticism: Criticism) -> list[dict[str, str]]:
    """Draft and request, critique, and the request to rewrite (Bai et al. 2022, section 3.1)."""
    return [
        opening(draft, principle),
        {"role": "assistant", "content": criticism.text},
        {"role": "user", "content": f"{principle.revision}\n\n{ALONE}"},
    ]


Sampled = Callable[[Sequence[Prompt], Sequence[int]], Sequence[Sequence[WrittenText]]]
"""(prompts, a seed each) -> n samples of each."""


class LeastViolating:
    """Of n samples to the same prompt the one that breaks the principle in the fewest places, then
    all principles, then the first. None where no sample is better than the draft."""

    def __init__(self, sample: Sampled, critic: RuleCritic, name: str) -> None:
        self.sample, self.critic, self.name = sample, critic, name

    def revise(
        self, asked: Sequence[tuple[Draft, Principle, Criticism]], seeds: Sequence[int]
    ) -> list[WrittenText | Failure]:
        """One per draft."""
        samples = self.sample([draft.prompt for draft, _, _ in asked], seeds)
        return [
            self._best(draft, principle, own)
            for (draft, principle, _), own in zip(asked, samples, strict=True)
        ]

    def _best(
        self, draft: Draft, principle: Principle, samples: Sequence[WrittenText]
    ) -> WrittenText | Failure:
        def faults(text: str) -> tuple[int, int]:
            counts = self.critic.counts(draft.prompt, text)
            return counts[principle.id], sum(counts.values())

        there = [one for one in samples if one.text.strip()]
        if not there:
            return Failure(f"none of {len(samples)} samples says anything")
        best = min(there, key=lambda one: faults(one.text))
        if faults(best.text) >= faults(draft.text):
            return Failure(f"none of {len(samples)} samples is better")
        return best
