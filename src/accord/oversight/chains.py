"""Critique and revision, n times over (Bai et al. 2022, "Constitutional AI", section 3.1).

    response -> critique by a principle that is drawn -> revision -> critique by another -> ...

Every step is a record: a critique; a correction, which prefers the revision to the draft; or a
skip, where there is no revision, with the reason. A chain goes on from the draft that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from accord.feedback.records import WRITTEN, Feedback, Span, asked_fields
from accord.oversight.constitution import Constitution, Principle
from accord.oversight.drafts import (
    UNANSWERED,
    Critic,
    Criticism,
    Draft,
    Failure,
    Reviser,
    WrittenText,
)
from accord.oversight.revisers import RevisionRules, opens_with_preamble
from accord.seeds import derive_seed

Step = Literal["kept", "revised", "unchanged", "failed"]
"""What became of a draft in a round: it keeps to the principle; it was revised; the reviser gave it
back as it was; there is no usable critique or revision."""
DRAFT = "response"
"""The draft's id in its records."""


@dataclass
class CritiqueChain:
    """drafts: what stood before the first round and after each, [rounds + 1]; steps, principles
    (ids), reasons (of failures, else ""): per round; invented: quotes of
    critiques that stand nowhere; preambles: revisions that began with one; records: what was said,
    in order."""

    drafts: list[Draft]
    steps: list[Step] = field(default_factory=list)
    principles: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    invented: int = 0
    preambles: int = 0
    records: list[Feedback] = field(default_factory=list)

    @property
    def first(self) -> Draft:
        """The unrevised response."""
        return self.drafts[0]

    @property
    def last(self) -> Draft:
        """The last revision."""
        return self.drafts[-1]

    @property
    def usable(self) -> bool:
        """Whether the last draft came out of critique and revision: not where rounds failed and
        none revised it."""
        return "failed" not in self.steps or "revised" in self.steps

    @property
    def unanswered(self) -> bool:
        """Whether an endpoint gave no answer in a round, and may give one another time."""
        return any(reason.startswith(UNANSWERED) for reason in self.reasons)

    @property
    def parent(self) -> str | None:
        """Id of the correction that the last draft comes from."""
        return next((r.id for r in reversed(self.records) if r.kind == "correction"), None)


@dataclass(frozen=True)
class Chains:
    """Who works by which principles, how often. seed: which principles are drawn follows from it,
    and what models are sampled with."""

    constitution: Constitution
    critic: Critic
    reviser: Reviser
    rules: RevisionRules
    rounds: int
    seed: int

    def principle(self, row: int, number: int) -> Principle:
        """Of a row's round: the same seed, the same principle."""
        return self.constitution.draw(self.seed, row, number)

    def run(self, drafts: Sequence[Draft]) -> list[CritiqueChain]:
        """All rounds of these drafts; those of a round are asked about together."""
        chains = [CritiqueChain([draft]) for draft in drafts]
        for number in range(1, self.rounds + 1):
            self._round(chains, number)
        return chains

    def _round(self, chains: Sequence[CritiqueChain], number: int) -> None:
        drawn = [self.principle(chain.first.row, number) for chain in chains]
        said = self.critic.critique(
            [(chain.last, one) for chain, one in zip(chains, drawn, strict=True)],
            [self._seed("critique", chain, number) for chain in chains],
        )
        steps = [
            _ChainRound(self, chain, number, principle, found)
            for chain, principle, found in zip(chains, drawn, said, strict=True)
        ]
        asked = [one for one in steps if one.to_revise]
        revised = self.reviser.revise(
            [(one.draft, one.principle, one.criticism) for one in asked],
            [self._seed("revision", one.chain, number) for one in asked],
        )
        for one, written in zip(asked, revised, strict=True):
            one.take(written)
        for one in steps:
            one.end()

    def _seed(self, purpose: str, chain: CritiqueChain, number: int) -> int:
        return derive_seed(self.seed, purpose, chain.first.row, number)


class _ChainRound:
    """One round of one chain."""

    def __init__(
        self,
        of: Chains,
        chain: CritiqueChain,
        number: int,
        principle: Principle,
        said: Criticism | Failure,
    ) -> None:
        self.of, self.chain, self.number, self.principle = of, chain, number, principle
        self.draft, self.said = chain.last, said
        self.written: WrittenText | Failure | None = None
        if isinstance(said, Criticism):
            chain.invented += said.invented
            self._record("critique", of.critic.name, _critique_choice(said, principle))

    @property
    def criticism(self) -> Criticism:
        assert isinstance(self.said, Criticism)
        return self.said

    @property
    def to_revise(self) -> bool:
        """Whether there is a critique that asks for something."""
        return isinstance(self.said, Criticism) and self.said.violates is not False

    def take(self, written: WrittenText | Failure) -> None:
        """What the reviser gave, if it counts as a revision."""
        if isinstance(written, WrittenText):
            self.chain.preambles += opens_with_preamble(self.draft, written)
            written = self.of.rules.checked(self.draft, written)
        self.written = written

    def end(self) -> None:
        """Record what came of it."""
        step, reason, chain = self._outcome(), "", self.chain
        if step == "revised":
            assert isinstance(self.written, WrittenText)
            ended = {DRAFT: self.draft.response.finished, WRITTEN: self.written.finished}
            written = {"content": self.written.text}
            self._record("correction", self.of.reviser.name, written, finished=ended)
            chain.drafts.append(
                Draft(self.draft.row, self.draft.prompt, self.written, self.of.reviser.name)
            )
        else:
            if step in ("failed", "unchanged"):
                reason = self._reason() if step == "failed" else "the revision is the draft itself"
                who = self.of.critic if isinstance(self.said, Failure) else self.of.reviser
                self._record("skip", who.name, {"reason": reason})
            chain.drafts.append(self.draft)
        chain.steps.append(step)
        chain.principles.append(self.principle.id)
        chain.reasons.append(reason)

    def _outcome(self) -> Step:
        if isinstance(self.said, Failure) or isinstance(self.written, Failure):
            return "failed"
        if self.written is None:
            return "kept"
        return "unchanged" if self.written.text.strip() == self.draft.text.strip() else "revised"

    def _reason(self) -> str:
        failure = self.said if isinstance(self.said, Failure) else self.written
        assert isinstance(failure, Failure)
        return failure.reason

    def _record(self, kind: str, who: str, choice: dict[str, Any], **meta: Any) -> None:
        draft = self.draft
        about = {"parent": self.chain.parent, "critique": self._critique_id(kind)}
        self.chain.records.append(
            Feedback.model_validate(
                {
                    "id": f"{kind}-{draft.row}-{self.number}",
                    "kind": kind,
                    **asked_fields(draft.prompt),
                    "options": [
                        {
                            "id": DRAFT,
                            "content": draft.text,
                            "producer": draft.producer,
                            "shown_at": 0,
                        }
                    ],
                    "choice": choice,
                    "annotator": who,
                    "guideline": self.of.constitution.guideline,
                    "meta": {
                        "principle": self.principle.id,
                        "finished": draft.response.finished,
                        **{name: one for name, one in about.items() if one is not None},
                        **meta,
                    },
                }
            )
        )

    def _critique_id(self, kind: str) -> str | None:
        if kind == "critique" or isinstance(self.said, Failure):
            return None
        return f"critique-{self.draft.row}-{self.number}"


def _critique_choice(said: Criticism, principle: Principle) -> dict[str, Any]:
    spans: list[Span] = list(said.spans)
    return {
        "text": said.text,
        "principle": principle.id,
        "spans": [one.model_dump() for one in spans],
    }
