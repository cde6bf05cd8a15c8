"""Every metric accord logs, declared once: name, unit, range and one line of meaning.

A value outside its range is a bug or a broken run, so `check` refuses it. The metrics reference in
the docs is generated from this table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from accord.errors import RunError

INF = math.inf


@dataclass(frozen=True)
class Metric:
    """One declared metric. `low` and `high` are inclusive bounds."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str


_REGISTRY: dict[str, Metric] = {}


def declare(name: str, unit: str, low: float, high: float, meaning: str) -> None:
    """Add a metric to the table. Raises ValueError when the name is taken."""
    if name in _REGISTRY:
        raise ValueError(f"metric {name!r} is declared twice")
    _REGISTRY[name] = Metric(name, unit, low, high, meaning)


def declared() -> tuple[Metric, ...]:
    """All metrics, in order of declaration."""
    return tuple(_REGISTRY.values())


def check(values: Mapping[str, float], where: str) -> None:
    """Raise RunError when a value is undeclared, not finite or outside its range.

    `where` names the place in the message, for example "step 12 (rows 96-127)".
    """
    for name, value in values.items():
        metric = _REGISTRY.get(name)
        if metric is None:
            raise RunError(
                f"metric {name!r} at {where} is not declared", "declare it in accord/metrics.py"
            )
        if not math.isfinite(value):
            raise RunError(
                f"{name} is {value} at {where}",
                "lower the learning rate or look at the rows named; the last good checkpoint is"
                " kept",
            )
        if not metric.low <= value <= metric.high:
            raise RunError(
                f"{name} = {value:.6g} {metric.unit} at {where} is outside [{metric.low:g},"
                f" {metric.high:g}]: {metric.meaning}",
                "this value is impossible in a healthy run; the last good checkpoint is kept",
            )


# --- every optimisation loop ----------------------------------------------------------------------
declare("loss", "nats", -INF, INF, "the objective being minimised, normalised over the whole batch")
declare("learning_rate", "1", 0, 1, "step size of the optimiser")
declare("grad_norm", "1", 0, INF, "global gradient norm before clipping")
declare("grad_norm_clipped", "1", 0, INF, "global gradient norm after clipping")
declare("optimizer_steps", "steps", 0, INF, "optimiser updates so far: epochs x minibatches")
declare("tokens", "tokens", 0, INF, "real tokens processed in this step, padding never counted")
# --- supervised -----------------------------------------------------------------------------------
declare("loss_tok", "nats/token", 0, 50, "mean negative log-likelihood per scored token")
declare("heldout_loss_tok", "nats/token", 0, 50, "the same on held-out examples")
declare("heldout_loss", "nats", -INF, INF, "the objective on what was kept aside")
# --- reward ---------------------------------------------------------------------------------------
declare("judgement_nll", "nats/judgement", 0, INF, "mean negative log-likelihood of a judgement")
declare(
    "heldout_agreement",
    "share",
    0,
    1,
    "held-out strict pairs ordered as judged, or of thumbs good before bad ones; chance is 0.5",
)
declare("heldout_pairs", "pairs", 0, INF, "held-out pairs of clips that judgements order")
declare("member", "index", 0, INF, "ensemble member being trained")
# --- preference -----------------------------------------------------------------------------------
declare(
    "preference_agreement",
    "share",
    0,
    1,
    "pairs whose implicit reward orders them as judged; 0.5 at the start",
)
declare(
    "preference_margin",
    "nats",
    -INF,
    INF,
    "the objective's gap h, chosen minus rejected (for DPO beta times the log-ratio gap)",
)
declare(
    "chosen_shift",
    "nats/sequence",
    -INF,
    INF,
    "log-probability of chosen responses, policy minus reference",
)
declare(
    "rejected_shift",
    "nats/sequence",
    -INF,
    INF,
    "log-probability of rejected responses, policy minus reference",
)
declare(
    "desirable_shift",
    "nats/sequence",
    -INF,
    INF,
    "log-probability of desirable responses, policy minus reference",
)
declare(
    "undesirable_shift",
    "nats/sequence",
    -INF,
    INF,
    "log-probability of undesirable responses, policy minus reference",
)
declare(
    "reference_point",
    "nats/sequence",
    0,
    INF,
    "KTO's reference point: KL estimated on mismatched prompts and responses",
)
# --- on-policy ------------------------------------------------------------------------------------
declare(
    "score",
    "reward",
    -INF,
    INF,
    "mean final score of the rollout, after clipping, the unfinished score and what cost takes off",
)
declare(
    "score_deviation", "reward", 0, INF, "standard deviation of the final scores in the rollout"
)
declare(
    "raw_score",
    "reward",
    -INF,
    INF,
    "mean score over responses and reward-model members, before any rule",
)
declare(
    "ensemble_spread",
    "reward",
    0,
    INF,
    "mean standard deviation between reward-model members per response",
)
declare("response_tokens", "tokens", 1, INF, "mean response length, EOS included")
declare("finished_share", "share", 0, 1, "responses that ended by themselves")
declare("heldout_score", "reward", -INF, INF, "mean final score on the prompts kept aside")
declare("heldout_finished_share", "share", 0, 1, "responses to them that ended by themselves")
declare("heldout_cost", "cost", -INF, INF, "mean cost of these responses")
declare("heldout_harmful_share", "share", 0, 1, "of them with a cost above 0")
declare("unique_share", "share", 0, 1, "distinct responses in the rollout")
declare(
    "sampler_gap",
    "nats/token",
    0,
    1,
    "mean absolute log-probability difference between sampler and trainer",
)
declare(
    "surprise_tok",
    "nats/token",
    0,
    50,
    "mean negative log-probability of sampled tokens: estimates the entropy",
)
declare(
    "entropy_tok",
    "nats/token",
    0,
    50,
    "exact entropy of the policy at the sampled positions, where asked for",
)
declare(
    "flat_group_share",
    "share",
    0,
    1,
    "prompts whose samples all score the same: comparing them teaches nothing (DAPO samples others"
    " instead)",
)
declare(
    "value_explained", "share", -INF, 1, "share of the returns' variance the value model explains"
)
declare(
    "kl_seq",
    "nats/sequence",
    -INF,
    INF,
    "KL to the reference by k1 (log pi - log ref), summed per sequence",
)
declare("kl_seq_k3", "nats/sequence", 0, INF, "KL to the reference by k3, summed per sequence")
declare("kl_seq_error", "nats/sequence", 0, INF, "standard error of kl_seq")
declare("kl_tok", "nats/token", -INF, INF, "KL to the reference by k1, mean per token")
declare(
    "kl_disagreement",
    "standard errors",
    -INF,
    INF,
    "k1 minus k3 in standard errors; large values mean a mask bug",
)
declare("kl_coefficient", "1", 0, INF, "weight of the KL penalty in the reward")
declare("cost", "cost", -INF, INF, "mean cost of the rollout's responses, from its zero on")
declare("harmful_share", "share", 0, 1, "responses with a cost above 0")
declare(
    "cost_bound", "cost", -INF, INF, "what the limit is on: mean cost, harmful share or worst costs"
)
declare("cost_multiplier", "reward per cost", 0, INF, "what a unit of the bound took off the score")
declare("policy_loss", "1", -INF, INF, "clipped surrogate, mean per token")
declare(
    "value_loss", "reward^2", 0, INF, "clipped squared error of the value model, mean per token"
)
declare("clip_share", "share", 0, 1, "tokens whose probability ratio left the clip range")
declare("value_clip_share", "share", 0, 1, "tokens whose value moved beyond the clip range")
declare("ratio_mean", "1", 0, INF, "mean probability ratio new/old; near 1")
declare("update_kl_tok", "nats/token", 0, INF, "KL between sampling policy and updated policy (k3)")
declare("value_grad_norm", "1", 0, INF, "gradient norm of the value model before clipping")
declare("ptx_loss_tok", "nats/token", 0, 50, "loss of the pretraining mix")
# --- control --------------------------------------------------------------------------------------
declare("environment_steps", "steps", 0, INF, "steps of all environments together, so far")
declare("comparisons", "answers", 0, INF, "judgements of clips so far")
declare("comparisons_asked", "answers", 0, INF, "judgements of clips asked of people so far")
declare("discriminator_loss", "nats", 0, INF, "of telling the expert's steps from the learner's")
declare("told_apart", "share", 0, 1, "steps that the discriminator gives to whoever took them")
declare("reward_step", "reward", -INF, INF, "mean reward of a step, as the policy learned from it")
declare("gold_step", "reward", -INF, INF, "mean reward of a step, as the environment pays it")
declare("q_loss", "reward^2", 0, INF, "sac: half the squared error of both values, mean per step")
declare("q_mean", "reward", -INF, INF, "sac: what the values are moved to, mean per step")
declare("soft_policy_loss", "reward", -INF, INF, "sac: weighed log-density less the value")
declare("action_entropy", "nats", -INF, INF, "sac: of an action, in units of half its range")
declare("temperature", "reward/nat", 0, INF, "sac: weight of the entropy")
