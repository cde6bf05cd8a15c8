"""Controlled sentiment: the movie reviews, cut into openings and continuations, and the hidden gold
reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from accord.errors import RunError
from accord.files import write_jsonl
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value

if TYPE_CHECKING:
    from accord.text.reviews import Corpus, Review

MIN_GOLD_ACCURACY = 0.89
HELDOUT = 400
"""Whole reviews kept aside from pretraining."""
SHOWN = 256
"""Rows of each file that a plan makes: later stages are planned with them."""


@cache
def read_corpus() -> Corpus:
    """All reviews: reading them takes a second, so that a run reads them once for its check and for
    this stage."""
    from accord.text.reviews import load_reviews

    return load_reviews()


class ReviewsConfig(StageConfig):
    """Settings of a reviews stage."""

    kind: Literal["reviews"]
    sft: int = Field(4000, ge=0, description="Demonstrations: openings with their continuations.")
    prompts: int = Field(2000, ge=0, description="Openings to collect feedback and to tune on.")
    evaluation: int = Field(256, ge=0, description="Openings kept for the examination.")
    max_characters: int = Field(180, ge=40, description="Longest continuation, in characters.")
    base_text: bool = Field(False, description="Also write the whole reviews for pretraining.")
    gold: bool = Field(True, description="Fit the gold reward.")
    gold_reviews: int | None = Field(
        None,
        ge=100,
        description="Reviews that the gold reward learns from (null: all of its part, about 12,000,"
        " in ten seconds); with fewer it is quicker and right less often.",
    )


class Reviews(Stage):
    """Cleans, deduplicates and splits the reviews; fits the gold reward on a split of its own."""

    kind = "reviews"
    Config = ReviewsConfig
    provides: ClassVar = {
        "sft": "demonstrations",
        "prompts": "prompts",
        "evaluation": "prompts",
        "heldout": "demonstrations",
        "gold": "gold reward",
        "base": "texts",
        "base_heldout": "texts",
    }
    about = "movie reviews as openings and continuations, with a hidden gold sentiment reward"

    def plan(self, config: ReviewsConfig, context: StageContext) -> Plan:
        corpus = read_corpus()
        base = len(corpus.parts["base"])
        sizes = {"sft": config.sft, "prompts": config.prompts, "evaluation": config.evaluation}
        files = {}
        for name, part in (("sft", "base"), ("prompts", "prompts"), ("evaluation", "eval")):
            rows, _ = _openings(corpus.parts[part], min(SHOWN, sizes[name]), config.max_characters)
            files[name] = context.folder / f"{name}.jsonl"
            write_jsonl(files[name], rows)
        files["heldout"], sizes["heldout"] = files["evaluation"], sizes["evaluation"]
        return Plan(
            rows=config.sft + config.prompts + config.evaluation,
            seconds=(3 + 4 * config.gold, 8 + 16 * config.gold),
            files=files,
            notes=[f"{corpus.read:,} reviews, verified by checksum"],
            sizes=sizes | {"base": base - HELDOUT, "base_heldout": HELDOUT},
        )

    def run(self, config: ReviewsConfig, context: StageContext) -> StageResult:
        corpus = read_corpus()
        read_corpus.cache_clear()  # the plan read it; nobody needs it any more
        context.checkpoint(1, 3, f"{corpus.read - corpus.duplicates:,} reviews")
        values: dict[str, Value] = {
            "reviews": corpus.read,
            "duplicates": corpus.duplicates,
            "sha256": corpus.sha256,
        }
        artefacts, skipped = {}, 0
        base, heldout = corpus.parts["base"][:-HELDOUT], corpus.parts["base"][-HELDOUT:]
        for name, part, count in (
            ("sft", base, config.sft),
            ("prompts", corpus.parts["prompts"], config.prompts),
            ("evaluation", corpus.parts["eval"], config.evaluation),
        ):
            rows, lost = _openings(part, count, config.max_characters)
            skipped += lost
            values[name] = len(rows)
            artefacts[name] = context.folder / f"{name}.jsonl"
            write_jsonl(artefacts[name], rows)
        artefacts["heldout"] = artefacts["evaluation"]  # with how people went on
        values["reviews_not_used"] = skipped
        if config.base_text:
            for name, part in (("base", base), ("base_heldout", heldout)):
                artefacts[name] = context.folder / f"{name}.jsonl"
                write_jsonl(artefacts[name], ({"text": review.text} for review in part))
        context.checkpoint(2, 3, "fitting the gold reward")
        if config.gold:
            values["gold_accuracy"] = self._gold(corpus.parts, config, context)
            artefacts["gold"] = context.folder / "gold"
        context.checkpoint(3, 3)
        accuracy = f"; gold accuracy {values['gold_accuracy']:.3f}" if config.gold else ""
        summary = (
            f"{values['sft']:,} demonstrations, {values['prompts']:,} prompts,"
            f" {values['evaluation']:,} kept aside{accuracy}"
        )
        return StageResult(summary, values, artefacts)

    def _gold(
        self, parts: Mapping[str, Sequence[Review]], config: ReviewsConfig, context: StageContext
    ) -> float:
        """Fit on the gold part, measure on reviews it never saw."""
        from accord.text.gold import GoldSentiment

        known = parts["gold"][: config.gold_reviews]
        fitted = GoldSentiment.fit([r.text for r in known], [r.label for r in known])
        rest = [r for name in ("prompts", "eval") for r in parts[name]][: config.gold_reviews]
        accuracy = fitted.accuracy([r.text for r in rest], [r.label for r in rest])
        if accuracy < MIN_GOLD_ACCURACY and len(known) == len(parts["gold"]):
            raise RunError(
                f"the gold reward's held-out accuracy is {accuracy:.3f}, below {MIN_GOLD_ACCURACY}"
            )
        fitted.save(context.folder / "gold")
        context.say(f"gold reward: accuracy {accuracy:.3f} on {len(rest):,} held-out reviews")
        return accuracy


def _openings(
    part: Sequence[Review], count: int, max_characters: int
) -> tuple[list[dict[str, str]], int]:
    """The first `count` (opening, continuation) rows with different openings, and how many reviews
    gave none."""
    from accord.text.reviews import opening_and_continuation

    rows: list[dict[str, str]] = []
    seen: set[str] = set()
    lost = 0
    for review in part:
        if len(rows) == count:
            break
        parts = opening_and_continuation(review.text, max_characters=max_characters)
        if parts is None or parts[0] in seen:
            lost += 1
        else:
            seen.add(parts[0])
            rows.append({"prompt": parts[0], "response": parts[1]})
    return rows, lost
