"""What a stage leaves of a reward of clips beside its file: its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accord.files import write_json
from accord.report.render import REWARD_CARD
from accord.runs.context import StageContext
from accord.runs.stage import Value

if TYPE_CHECKING:
    from accord.control.clip_reward import ClipReward
    from accord.control.judged_clips import JudgedClips

ANNOTATORS = "annotators.json"
"""What was learned about who judged."""


def leave_card(
    context: StageContext, reward: ClipReward, judged: JudgedClips | None
) -> dict[str, Value]:
    """Write card.json, and ANNOTATORS; returns what the card says in numbers, nothing where too
    little was held out."""
    from accord.control.clip_card import clip_card

    if judged is not None:
        _leave_annotators(context, reward, judged)
    card = None if judged is None else clip_card(reward, judged)
    if card is None:
        return {}
    write_json(context.folder / REWARD_CARD, card.model_dump(mode="json"))
    context.say(
        f"the reward agrees with {card.accuracy.percent} of {card.pairs:,} held-out pairs;"
        f" calibration error {card.before.ece}"
    )
    values: dict[str, Value] = {
        "heldout_accuracy": card.accuracy.value,
        "card_pairs": card.pairs,
        "calibration_error": card.before.ece.value,
        "temperature": card.temperature.value,
    }
    if card.gold_accuracy is not None:
        values["gold_accuracy"] = card.gold_accuracy.value
    return values


def _leave_annotators(context: StageContext, reward: ClipReward, judged: JudgedClips) -> None:
    """Write annotators.json where something was learned about them: rewards in nats, of rationality
    1."""
    import torch

    from accord.learning.annotators import describe_annotators

    each = reward.settings.lapses == "each"
    if not reward.learned or not (judged.joint or judged.scales or each):
        return
    centre_E = torch.zeros(len(reward.learned))
    table = describe_annotators(reward.learned, centre_E, 1.0, judged.annotators, judged.scales)
    write_json(context.folder / ANNOTATORS, table)
    if each:
        most = max(table["annotators"], key=lambda row: float(row["lapse"]))
        context.say(
            f"{most['annotator']} lapses most: in {float(most['lapse']):.0%} of the answers"
        )
