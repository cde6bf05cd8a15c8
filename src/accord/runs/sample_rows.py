"""The samples of an examined policy as they lie in files: one row each."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict, cast

from accord.errors import DataError
from accord.files import read_jsonl


class SampleRow(TypedDict):
    """One response and what was measured of it: gold (None without a gold reward), proxy by each
    member of the reward model, log-probabilities under policy and reference, the exact KL and the
    policy's exact entropy (nats per sequence); scores by the members of further reward models, by
    name; gold_elsewhere: gold of this response after the next one's prompt; token_kl: the exact KL
    at each token, to a thousandth of a nat; token_ends: where in the response each token ends, in
    characters."""

    prompt_id: int
    prompt: str
    response: str
    response_tokens: int
    finished: bool
    gold: float | None
    proxy: list[float]
    logp: float
    ref_logp: float
    kl_exact: float
    entropy: NotRequired[float]
    selectors: NotRequired[dict[str, list[float]]]
    gold_elsewhere: NotRequired[float]
    token_kl: NotRequired[list[float]]
    token_ends: NotRequired[list[int]]


def read_points(folder: Path) -> list[tuple[int, list[SampleRow]]]:
    """(step, rows) in order of training."""
    files = sorted(folder.glob("step-*.jsonl"))
    if not files:
        raise DataError(f"{folder} holds no samples of an arm", "name the points of a policy stage")
    return [
        (int(f.stem.removeprefix("step-")), cast("list[SampleRow]", read_jsonl(f))) for f in files
    ]
