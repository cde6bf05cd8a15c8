"""`accord models merge`: an adapter and its base as one plain model."""

from __future__ import annotations

from pathlib import Path

import click

from accord.errors import ConfigError, RunError

BOUND = 1e-2
"""Largest difference (nats) of a probe's log-probabilities between the adapter on its base and the
merged model, in fp32."""


def merge(adapter: str, destination: Path) -> None:
    """Write the merged model, read it again, and compare it with the adapter on its base."""
    import torch

    from accord.models import precision
    from accord.models.loading import load_causal_lm, merge_adapter, save_causal_lm
    from accord.runs.known import check_merging
    from accord.text.packing import PromptGroup, pack

    if destination.exists():
        raise ConfigError(f"{destination} exists", "choose a new directory")
    check_merging(adapter)
    model = load_causal_lm(adapter)
    ids = torch.randint(
        0, model.vocab_size, (24,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    stream = pack([PromptGroup(ids[:4], [ids[4:]])])
    with precision.exact(), torch.no_grad():
        before = model.logprobs(stream)
        save_causal_lm(merge_adapter(model), destination)
        after = load_causal_lm(str(destination)).logprobs(stream)
    worst = float((before - after).abs().max())
    if not worst <= BOUND:
        raise RunError(
            f"the merged model's log-probabilities are {worst:.3g} nats off the adapter's",
            "this is a bug in accord",
        )
    click.echo(
        f"{adapter} and its base → {destination}\n  log-probabilities of a probe differ by at most {worst:.1g} nats"
    )
