"""Training a reward model on feedback records, with its calibration and its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from accord.errors import DataError
from accord.files import write_json
from accord.runs.context import StageContext
from accord.runs.stage import Plan, Stage, StageResult
from accord.runs.stages.settings import LengthConfig, TrainingConfig, training_plan

if TYPE_CHECKING:
    from accord.learning.judgements import JudgedGroup
    from accord.models.causal_lm import CausalLM
    from accord.models.heads import HeadForm
    from accord.models.reward_model import RewardModel
    from accord.runs.stages.judged import Judged
    from accord.text.encoding import Encoder


class RewardConfig(TrainingConfig):
    """Settings of a reward stage."""

    kind: Literal["reward"]
    model: str = Field(description="The model the members start from; usually the fine-tuned one.")
    feedback: str = Field(
        description="Comparisons, rankings, best/worst, corrections, demonstrations, ratings, thumbs, step "
        "labels: a stage, or a file, directory or Hub id in any known format."
    )
    annotators: str | None = Field(None, description="Annotator estimates; without them everybody counts the same.")
    effects: Literal["fixed", "joint"] = Field(
        "fixed", description="Rationality, side bias and ties: as estimated, or learned with the reward from there on."
    )
    annotator_rate: float = Field(
        0.03, gt=0, le=1, description="Peak step size of what is learned about annotators and rating scales."
    )
    gold: str | None = Field(None, description="The gold reward, for the card only; never trained on.")
    members: int = Field(3, ge=1, description="Ensemble members.")
    bootstrap: bool = Field(False, description="Train each member on its own resample of the prompts.")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="Share of comparisons assumed flipped.")
    margin: float = Field(0.0, ge=0, description="Utility asked for per step of a comparison's strength above 1.")
    ties: Literal["davidson", "rao_kupper"] = Field("davidson", description="Model of undecided comparisons.")
    rankings: Literal["plackett_luce", "all_pairs"] = Field(
        "plackett_luce", description="Likelihood of rankings; all_pairs is InstructGPT's mean over pairs."
    )
    rows: Literal["prompt", "pair"] = Field(
        "prompt", description="What is read at once: a prompt with all its responses, or every strict pair by itself."
    )
    steps: Literal["end", "min", "product", "last"] = Field(
        "end", description="A response's score: at its end, or of its steps the worst, the product or the last."
    )
    step_separator: str = Field("\n", min_length=1, description="What divides a response into steps.")
    limit: int | None = Field(None, ge=2, description="Use only that many judged prompts, from the top.")
    heldout_share: float = Field(0.1, gt=0, lt=0.9, description="Share of the prompts kept aside, from the end.")
    lengths: LengthConfig = Field(LengthConfig(), description="Token limits.")
    epochs: float = Field(1.0, gt=0, description="Passes over the judged prompts, per member.")
    batch: int = Field(16, ge=1, description="Prompts per optimiser step.")


class Reward(Stage):
    """An ensemble trained by the choice likelihood; centred, scaled, calibrated, saved with probes."""

    kind = "reward"
    Config = RewardConfig
    provides = ("model", "card", "annotators")
    about = "a reward-model ensemble trained by the likelihood of every judgement"

    def plan(self, config: RewardConfig, context: StageContext) -> Plan:
        from accord.runs import estimate

        size = estimate.model_size(config.model, context)
        rows, tokens = estimate.judged_prompts(config.feedback, config.limit, config.lengths, context)
        steps = estimate.updates(rows, config.batch, config.epochs)
        return training_plan(
            config, size, estimate.Work(trained=round(tokens * config.epochs * config.members)), trained=config.members,
            rows=rows or None, steps=config.members * steps if steps else None, model=size, base=config.model,
            notes=[f"{config.members} members x {config.epochs:g} epochs in batches of {config.batch} prompts"],
        )  # fmt: skip

    def run(self, config: RewardConfig, context: StageContext) -> StageResult:
        from accord.learning.annotators import describe_annotators
        from accord.learning.calibration import fit_centre, fit_temperature
        from accord.learning.judgements import Form, strict_pairs
        from accord.learning.reward import RewardSettings, describe, train_reward
        from accord.models.heads import HeadForm
        from accord.models.loading import load_causal_lm
        from accord.models.reward_model import RewardModel
        from accord.models.scalar import ScalarModel
        from accord.runs.stages.judged import annotator_effects, one_pair_per_row, read_judged
        from accord.text.encoding import Encoder

        trunk = load_causal_lm(context.resolve(config.model), context.device)
        encoder = Encoder(trunk.tokenizer)
        judged = read_judged(config.feedback, trunk, config.lengths, context, config.margin, ratings=True)
        groups = judged.groups[: config.limit]
        cut = max(1, round(len(groups) * (1 - config.heldout_share)))
        train, heldout = groups[:cut], groups[cut:] or groups[-1:]
        estimates = context.path(config.annotators) if config.annotators else None
        effects = annotator_effects(estimates, judged.annotators, judged.comparing)
        lora = config.lora.settings() if config.lora else None
        train = one_pair_per_row(train) if config.rows == "pair" else train
        head = HeadForm(config.steps, config.step_separator)
        _check_steps(judged, head, trunk, context)
        members = [ScalarModel.from_causal_lm(trunk, context.seed + m, lora, head) for m in range(config.members)]
        model = RewardModel.untrained(members)
        settings = RewardSettings(
            epochs=config.epochs, batch=config.batch, micro_batch_tokens=config.micro_batch_tokens, seed=context.seed,
            bootstrap=config.bootstrap, label_smoothing=config.label_smoothing,
            form=Form(config.ties, config.rankings), effects=config.effects, annotator_rate=config.annotator_rate,
            optimizer=config.optimizer(),
        )  # fmt: skip
        result = train_reward(model, train, settings, effects, context.session(_note), heldout, judged.scales)
        fit_centre(model, [g.group for g in train[:256]], config.micro_batch_tokens)
        if comparable := bool(strict_pairs(heldout)):
            fit_temperature(model, heldout, config.micro_batch_tokens)
        saved = model.save(context.folder / "model", [g.group for g in train[:3]])
        artefacts = {"model": saved}
        if config.effects == "joint" or judged.scales:
            learned = describe_annotators(result.learned, model.centre_E, model.scale, judged.annotators, judged.scales)
            write_json(context.folder / "annotators.json", learned)
            artefacts["annotators"] = context.folder / "annotators.json"
        values: dict[str, Any] = describe(result) | {"temperature": model.temperature, "left_out": judged.left_out}
        summary = f"{config.members} members; "
        if comparable:
            card = _card(model, heldout, encoder, config, context)
            write_json(context.folder / "card.json", card)
            artefacts["card"] = context.folder / "card.json"
            values["heldout_accuracy"], gold = card["accuracy"]["value"], card["gold_accuracy"]
            if gold:
                values["gold_accuracy"] = gold["value"]
            versus = f", {gold['value']:.1%} with gold" if gold else ""
            summary += f"agrees with {values['heldout_accuracy']:.1%} of held-out labels{versus}"
        else:
            summary += (
                f"held-out NLL {result.heldout_nll:.3f} nats per judgement; no held-out pair to check the order on"
            )
        return StageResult(summary, values, artefacts)


def _check_steps(judged: Judged, head: HeadForm, trunk: CausalLM, context: StageContext) -> None:
    """Raises DataError when only steps are labelled but scores are read elsewhere; says where steps are split otherwise."""
    from accord.models.scalar import decoder
    from accord.text.steps import split_ends

    said = [(g, j) for g in judged.groups for j in g.judgements]
    labelled = [(g.group.responses[j.options[0]], j.ends) for g, j in said if j.kind == "steps"]
    if head.steps == "end":
        if labelled and len(labelled) == len(said):
            raise DataError(
                "all feedback is about steps, so nothing teaches the score at a response's end",
                "set steps: min, product or last",
            )
        return
    decode = decoder(trunk.tokenizer)
    other = sum(tuple(split_ends(decode, ids, head.separator)) != ends for ids, ends in labelled)
    if other:
        context.say(
            f"{other:,} of {len(labelled):,} labelled responses have other steps than {head.separator!r} divides them into, "
            "which is how steps are found at use"
        )


def _note(values: Mapping[str, float]) -> str:
    return f"member {values['member'] + 1:.0f}, judgement nll {values['judgement_nll']:.3f}"


def _card(
    model: RewardModel, heldout: list[JudgedGroup], encoder: Encoder, config: RewardConfig, context: StageContext
) -> dict[str, Any]:
    """The reward-model card on held-out strict pairs."""
    import numpy as np
    import torch

    from accord.examine.reward_card import card
    from accord.learning.calibration import pair_gaps
    from accord.learning.judgements import strict_pairs

    groups = [g.group for g in heldout]
    scores_ER = model.score(groups, config.micro_batch_tokens)
    tokens_R = torch.tensor([float(len(r)) for g in groups for r in g.responses])
    gold_gap = None
    if config.gold is not None:
        from accord.text.gold import GoldSentiment

        texts = [encoder.text(g.prompt) + encoder.text(r) for g in groups for r in g.responses]
        gold_R = torch.tensor(GoldSentiment.load(context.path(config.gold)).score(texts))
        gold_gap = pair_gaps(gold_R, heldout).numpy()
    report = card(
        np.stack([pair_gaps(row, heldout).numpy() for row in scores_ER]).astype(np.float64),
        [g for g, _, _ in strict_pairs(heldout)],
        np.sign(pair_gaps(tokens_R, heldout).numpy()), gold_gap,
    )  # fmt: skip
    return report.model_dump(mode="json")
