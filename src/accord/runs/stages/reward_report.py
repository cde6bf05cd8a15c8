"""What a reward stage leaves beside the model: its card, what was learned about annotators, values
and a summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from accord.examine.reward_card import RewardCard, card
from accord.examine.rule_card import RuleCard, rule_card
from accord.feedback.words import counted
from accord.files import write_json
from accord.learning.annotators import describe_annotators
from accord.learning.calibration import context_explained, pair_gaps
from accord.learning.judgements import JudgedGroup, strict_pairs
from accord.learning.reward import RewardResult, describe
from accord.learning.rule_heads import rule_answers
from accord.learning.settings import RewardSettings
from accord.models.reward_model import RewardModel
from accord.report.render import REWARD_CARD
from accord.runs.context import StageContext
from accord.runs.stage import Value
from accord.runs.stages.judged import JudgedData


def report(
    model: RewardModel,
    result: RewardResult,
    judged: JudgedData,
    heldout: Sequence[JudgedGroup],
    settings: RewardSettings,
    gold: Path | None,
    context: StageContext,
) -> tuple[str, dict[str, Value], dict[str, Path]]:
    """(summary, values, artefacts); the card needs held-out pairs, and annotators.json something
    learned about them. gold: where the gold reward lies, for the card."""
    values: dict[str, Value] = describe(result) | {
        "temperature": model.temperature,
        "left_out": judged.left_out,
    }
    artefacts: dict[str, Path] = {}
    if settings.effects == "joint" or judged.scales:
        artefacts["annotators"] = context.folder / "annotators.json"
        write_json(artefacts["annotators"], _annotators(model, result, judged))
    if model.form.kind != "point":
        values["context_explained"] = context_explained(
            model, [g.group for g in heldout], settings.micro_batch_tokens
        )
    summary = f"{counted(model.size, 'member')}; "
    if rules := rule_cards(model, heldout, settings.micro_batch_tokens):
        artefacts["rules"] = context.folder / "rules.json"
        write_json(artefacts["rules"], [one.model_dump(mode="json") for one in rules])
        for one in rules:
            context.say(f"held out, rule {one}")
            values |= {
                f"rule.{one.rule}.accuracy": one.accuracy.value,
                f"rule.{one.rule}.log_loss": one.log_loss.value,
            } | ({} if one.auc is None else {f"rule.{one.rule}.auc": one.auc})
        worst = min(rules, key=lambda one: one.accuracy.value - one.guess)
        summary += f"{counted(len(rules), 'rule')}, {worst.rule} the least known; "
    if not strict_pairs(heldout):
        summary += (
            f"held-out NLL {result.heldout_nll:.3f} nats per judgement; no held-out pair to check"
            " the order on"
        )
        return summary, values, artefacts
    report_card = _card(model, heldout, settings, gold, context)
    artefacts["card"] = context.folder / REWARD_CARD
    write_json(artefacts["card"], report_card.model_dump(mode="json"))
    accuracy, on_gold = report_card.accuracy.value, report_card.gold_accuracy
    values["heldout_accuracy"] = accuracy
    summary += f"agrees with {accuracy:.1%} of held-out labels"
    if on_gold is not None:
        values["gold_accuracy"] = on_gold.value
        summary += f", {on_gold.value:.1%} with gold"
    return summary, values, artefacts


def _annotators(model: RewardModel, result: RewardResult, judged: JudgedData) -> dict[str, object]:
    """In units of the score where ratings are of the score; objectives and steps have scales of
    their own."""
    form = model.form
    scored = form.steps == "end" and not form.objectives and not form.rules
    centre_E, scale = (model.centre_E, model.scale) if scored else (torch.zeros(model.size), 1.0)
    described = describe_annotators(
        result.learned, centre_E, scale, judged.annotators, judged.scales
    )
    return {"unit": "score" if scored else "raw reward", **described}


def rule_cards(
    model: RewardModel, groups: Sequence[JudgedGroup], micro_batch_tokens: int
) -> list[RuleCard]:
    """How well each rule's head predicts the answers in these groups, of the rules that have
    any."""
    answers = rule_answers(groups, model.form.first_rule) if model.form.rules else []
    if not answers:
        return []
    p_RJ = model.rule_probabilities([g.group for g in groups], micro_batch_tokens).double().numpy()
    found = []
    for number, name in enumerate(model.form.rules):
        about = [a for a in answers if a.rule == number]
        if about:
            p_B = p_RJ[[a.response for a in about], number]
            kept_B = np.array([a.kept for a in about])
            found.append(rule_card(name, p_B, kept_B, [a.prompt for a in about]))
    return found


def _card(
    model: RewardModel,
    heldout: Sequence[JudgedGroup],
    settings: RewardSettings,
    gold: Path | None,
    context: StageContext,
) -> RewardCard:
    """The reward-model card on held-out strict pairs."""
    groups = [g.group for g in heldout]
    scores_ER = model.score(groups, settings.micro_batch_tokens)
    tokens_R = torch.tensor([float(len(r)) for g in groups for r in g.responses])
    gold_gap = None
    if gold is not None:
        from accord.text.gold import load_gold

        encoder = context.encoder(model.members[0].lm)
        texts = [encoder.text(g.prompt) + encoder.text(r) for g in groups for r in g.responses]
        gold_R = torch.tensor(load_gold(gold).score(texts))
        gold_gap = pair_gaps(gold_R, heldout).numpy()
    return card(
        np.stack([pair_gaps(row, heldout).numpy() for row in scores_ER]).astype(np.float64),
        [g for g, _, _ in strict_pairs(heldout)],
        np.sign(pair_gaps(tokens_R, heldout).numpy()),
        gold_gap,
    )
