"""Simulated annotators who are helped, with known uplift and over-reliance: the truth that
`assistance.assistance` is checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit, ndtri

from accord.feedback.assisting import draw_placebo, next_arm
from accord.feedback.meta import Arm, Assist, Claim, Passage, Said
from accord.feedback.records import Feedback, Option, Span, Spans, content_id
from accord.feedback.simulate import assign
from accord.seeds import derive_seed, generator

WORDS_OF_A_TEXT = 40
TEXT_CLAIM = "This does not follow."


@dataclass(frozen=True)
class AssistedCrowd:
    """notices: share of flaws found alone, at an item of middling difficulty; spread: standard
    deviation of its logit over items; heeds: chance to confirm a right claim about a flaw that was
    not noticed; believes: to confirm a wrong one; slips: to mark a wrong claim's passage unaided;
    hits: share of flaws that the critic claims; errs: chance of a wrong claim per item; seconds:
    mean time per judgement, and as much again times `slower` where claims are shown."""

    notices: float = 0.5
    spread: float = 1.0
    heeds: float = 0.5
    believes: float = 0.2
    slips: float = 0.05
    hits: float = 0.8
    errs: float = 0.6
    seconds: float = 40.0
    slower: float = 0.2

    @property
    def uplift(self) -> float:
        """Recall in the arm critique less that in none, over all items there could be."""
        z = ndtri((np.arange(2000) + 0.5) / 2000)
        missed = float((1 - expit(logit(self.notices) + self.spread * z)).mean())
        return self.hits * missed * self.heeds

    @property
    def over_reliance(self) -> float:
        """Agreement with a wrong claim where it is shown less that where it is not."""
        return (1 - self.slips) * self.believes


def simulated_assistance(
    crowd: AssistedCrowd,
    items: int,
    annotators: int,
    overlap: int,
    seed: int,
    weights: dict[Arm, int] | None = None,
) -> list[Feedback]:
    """Records of the task spans with one or two planted flaws per item."""
    shares: dict[Arm, int] = weights or {"none": 1, "critique": 1, "placebo": 1}
    history: list[list[Arm]] = [[] for _ in range(annotators)]
    records = []
    for number, judges in enumerate(assign(items, annotators, overlap, seed)):
        item = _item(crowd, number, seed)
        for who in judges:
            own = derive_seed(seed, "judged", number, who)
            arm = next_arm(history[who], shares, own)
            history[who].append(arm)
            records.append(_judged(crowd, item, number, who, arm, own))
    return records


def _item(crowd: AssistedCrowd, number: int, seed: int) -> dict[str, Any]:
    rng = generator(seed, "assisted item", number)
    words = [f"w{number}x{n}" for n in range(WORDS_OF_A_TEXT)]
    text = " ".join(words)
    option = Option(id=content_id(text), content=text, shown_at=0)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    count = int(rng.integers(1, 3))
    drawn = rng.choice(WORDS_OF_A_TEXT, count + 1, replace=False)

    def passage(word: int) -> dict[str, Any]:
        start = int(starts[word])
        return {"option": option.id, "start": start, "end": start + len(words[word])}

    flaws = [Passage(**passage(int(word))) for word in drawn[:count]]
    said = [passage(int(w)) for w in drawn[:count] if rng.random() < crowd.hits]
    said += [passage(int(drawn[count]))] if rng.random() < crowd.errs else []
    claims = [Claim(**one, text=TEXT_CLAIM) for one in said]
    return {
        "option": option,
        "flaws": flaws,
        "claims": claims,
        "placebo": draw_placebo(claims, flaws, {option.id: text}, derive_seed(seed, number)),
        "notices": float(expit(logit(crowd.notices) + crowd.spread * rng.normal())),
    }


def _judged(
    crowd: AssistedCrowd, item: dict[str, Any], number: int, who: int, arm: Arm, seed: int
) -> Feedback:
    rng, option = generator(seed, "assisted judgement"), item["option"]
    flaws: list[Passage] = item["flaws"]
    marks = [flaw for flaw in flaws if rng.random() < item["notices"]]
    assist = Assist(arm=arm, critic=item["claims"], placebo=item["placebo"], flaws=flaws)
    wrong = [claim for claim in assist.critic if not assist.right(claim)]
    marks += [claim for claim in wrong if rng.random() < crowd.slips]
    said: list[Said | None] = []
    for claim in assist.shown:
        right = assist.right(claim)
        noticed = right and any(claim.meets(mark) for mark in marks)
        heed = 1.0 if noticed else crowd.heeds if right else crowd.believes
        said.append("confirm" if rng.random() < heed else "reject")
    time = crowd.seconds * (1 + (crowd.slower if assist.shown else 0)) * rng.gamma(4) / 4
    whole = assist.model_copy(update={"said": said, "opened_seconds": 5.0})
    return Feedback(
        id=f"assisted-{seed}",
        kind="spans",
        prompt=f"Question {number}",
        options=[option],
        choice=Spans(spans=[Span(start=m.start, end=m.end, label="error") for m in marks]),
        annotator=f"helped-{who}",
        active_seconds=float(time),
        meta={"item": f"item-{number}", "assist": whole.model_dump(mode="json")},
    )
