"""The sample rows everything is measured on, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accord.errors import DataError

Array = NDArray[np.float64]
FIELDS = (
    "prompt_id", "prompt", "response", "response_tokens", "finished", "gold", "proxy", "logp", "ref_logp", "kl_exact",  # noqa: E501
)  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """B samples of one policy. gold_B is None where there is no gold; proxy_EB has one row per
    reward member.

    logp_B, ref_logp_B: summed log-probabilities under policy and reference (nats); kl_exact_B: KL
    summed over the sampled positions by the whole softmax; entropy_B: the policy's, likewise, None
    where it was not measured; gold_elsewhere_B: gold of the responses after other prompts than
    their own, None where it was not asked for.
    """

    prompt_id_B: NDArray[np.int64]
    prompt: list[str]
    response: list[str]
    tokens_B: Array
    finished_B: NDArray[np.bool_]
    gold_B: Array | None
    proxy_EB: Array
    logp_B: Array
    ref_logp_B: Array
    kl_exact_B: Array
    entropy_B: Array | None = None
    gold_elsewhere_B: Array | None = None

    @property
    def size(self) -> int:
        return len(self.response)

    @property
    def proxy_B(self) -> Array:
        """Ensemble mean of the proxy reward."""
        return self.proxy_EB.mean(0)  # type: ignore[no-any-return]

    @property
    def kl_k1_B(self) -> Array:
        """k1 per sequence: log pi - log ref."""
        return self.logp_B - self.ref_logp_B


def columns(rows: Sequence[Mapping[str, Any]]) -> Samples:
    """Turn sample rows into columns; raises DataError naming the row and field that is missing."""
    if not rows:
        raise DataError("there are no sample rows to examine")
    for number, row in enumerate(rows):
        missing = [name for name in FIELDS if name not in row]
        if missing:
            raise DataError(
                f"sample row {number} has no {', '.join(missing)}",
                f"a row has: {', '.join(FIELDS)}",
            )
    gold = [row["gold"] for row in rows]
    if any(g is None for g in gold) and not all(g is None for g in gold):
        raise DataError(
            "some sample rows have a gold score and some have none", "score all rows or none"
        )
    samples = Samples(
        np.array([row["prompt_id"] for row in rows]),
        [row["prompt"] for row in rows],
        [row["response"] for row in rows],
        np.array([row["response_tokens"] for row in rows], dtype=np.float64),
        np.array([row["finished"] for row in rows], dtype=bool),
        None if gold[0] is None else np.array(gold, dtype=np.float64),
        np.array([row["proxy"] for row in rows], dtype=np.float64).T,
        **{
            f"{name}_B": np.array([row[name] for row in rows], dtype=np.float64)
            for name in ("logp", "ref_logp", "kl_exact")
        },
        entropy_B=np.array([row["entropy"] for row in rows], dtype=np.float64)
        if all("entropy" in row for row in rows)
        else None,
    )
    if not all("gold_elsewhere" in row for row in rows):
        return samples
    elsewhere_B = np.array([row["gold_elsewhere"] for row in rows], dtype=np.float64)
    return replace(samples, gold_elsewhere_B=elsewhere_B)
