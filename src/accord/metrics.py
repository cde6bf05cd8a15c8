"""Every metric accord logs, declared once: name, unit, range and one line of meaning.

A value outside its range is a bug or a broken run, so `check` refuses it. The metrics reference in the
docs is generated from this table.
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
            raise RunError(f"metric {name!r} at {where} is not declared", "declare it in accord/metrics.py")
        if not math.isfinite(value):
            raise RunError(
                f"{name} is {value} at {where}",
                "lower the learning rate or look at the rows named; the last good checkpoint is kept",
            )
        if not metric.low <= value <= metric.high:
            raise RunError(
                f"{name} = {value:.6g} {metric.unit} at {where} is outside [{metric.low:g}, {metric.high:g}]: "
                f"{metric.meaning}",
                "this value is impossible in a healthy run; the last good checkpoint is kept",
            )


# --- every optimisation loop -------------------------------------------------------------------------
declare("loss", "nats", -INF, INF, "the objective being minimised, normalised over the whole batch")
declare("learning_rate", "1", 0, 1, "step size of the optimiser")
declare("grad_norm", "1", 0, INF, "global gradient norm before clipping")
declare("grad_norm_clipped", "1", 0, INF, "global gradient norm after clipping")
declare("optimizer_steps", "steps", 0, INF, "optimiser updates so far: epochs x minibatches")
declare("tokens", "tokens", 0, INF, "real tokens processed in this step, padding never counted")
declare("tokens_per_second", "tokens/s", 0, INF, "real tokens per second of wall time")
# --- supervised -----------------------------------------------------------------------------------------
declare("loss_tok", "nats/token", 0, 50, "mean negative log-likelihood per scored token")
declare("heldout_loss_tok", "nats/token", 0, 50, "the same on held-out examples")
declare("heldout_bits_per_byte", "bits/byte", 0, 50, "held-out loss per byte of text, independent of the tokenizer")
