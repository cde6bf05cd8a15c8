"""`accord control reward-distance`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import click

from accord.cli.control import only
from accord.cli.terminal import plain, print_table
from accord.control.clip_sources import store_folder
from accord.control.episodes import EpisodeStore
from accord.control.networks import one_thread
from accord.control.ppo import VectorPpoSettings
from accord.control.question_settings import ClipQuestionSettings
from accord.control.reward_comparison import PAID, RewardComparison, compare_rewards
from accord.statistics.intervals import Interval

REWARD = "reward.safetensors"


def show(
    first: str,
    second: str,
    place: Path,
    gamma: float | None,
    clip: int | None,
    steps: int,
    seed: int,
    as_json: bool,
) -> None:
    """Print how far two rewards lie apart. gamma, clip: None for the defaults of settings."""
    gamma = VectorPpoSettings.model_fields["gamma"].default if gamma is None else gamma
    clip = clip or ClipQuestionSettings.model_fields["clip"].default
    store = EpisodeStore(store_folder(place))
    with one_thread():
        found = compare_rewards(_reward(first), _reward(second), store, gamma, clip, steps, seed)
    if as_json:
        click.echo(json.dumps(plain(asdict(found)), indent=1))
        return
    _print(found)


def _reward(named: str) -> str:
    """A file's path, of a run the only one."""
    path = Path(named)
    if named == PAID or not path.is_dir():
        return named
    return str(only(sorted(path.glob(f"**/{REWARD}")), path, f"{REWARD} of a reward of steps"))


def _print(found: RewardComparison) -> None:
    of = "" if found.episodes == found.stored else f" of {found.stored:,}, chosen by chance"
    click.echo(
        f"{found.environment}: {found.steps:,} steps of {found.episodes:,} episodes{of};"
        f" gamma {found.gamma:g}"
    )
    rows = [
        ("EPIC", _told(found.epic), found.why_not.get("epic", "asked apart from what happened")),
        ("STARC", _told(found.starc), found.why_not.get("starc", "by steps that happened")),
        (
            "clips ordered alike",
            _told(found.alike),
            found.why_not.get(
                "alike", f"{found.clips:,} of {found.clip:,} steps, in pairs of two episodes"
            ),
        ),
    ]
    print_table(("", "value", "how, or why not"), rows, right=("value",))
    click.echo("0: the same but for a factor and a potential; 1: opposites")
    click.echo("with 95 % intervals over episodes")


def _told(value: Interval | None) -> str:
    if value is None:
        return "–"
    if math.isnan(value.low):
        return f"{value.value:.3f} (no interval)"
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
