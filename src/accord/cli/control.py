"""`accord control`: episodes in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import click

from accord.cli.terminal import print_table, safe_text
from accord.control.clip_sources import store_folder
from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode, EpisodeStore
from accord.control.gathering import renamed, whole
from accord.control.grounding import designed
from accord.control.kept_feedback import KeptFeedback
from accord.control.making import make
from accord.control.minari_format import read_minari, write_minari
from accord.control.poses import pose_drawing
from accord.control.recording import record, recorded_where, replay
from accord.control.rollouts import Act, at_random
from accord.control.steering import Steering, judged_last
from accord.control.taking_over import correction, take_over
from accord.errors import ConfigError, DataError
from accord.feedback.messages import Clip
from accord.report.clips import clips_page
from accord.statistics.means import student_mean

RANDOM = "random"
POLICY = "policy.safetensors"


def write_episodes(
    environment: str,
    out: Path,
    policy: str,
    count: int,
    limit: int | None,
    seed: int,
    greedy: bool,
    elsewhere: float,
) -> None:
    """Record episodes into a new store, and say how they went."""
    store = _new_store(out)
    environments = recorded_where(environment, count, limit)
    found = record(
        environments, _policy(policy, environments, greedy), count, seed, elsewhere=elsewhere
    )
    if found.unfinished:
        click.echo(f"{found.unfinished:,} episodes had no end, and are left out: give --limit")
    if not found.episodes:
        raise DataError(f"no episode of {environment} ended", "give --limit, in steps")
    store.append(found.episodes)
    steps = [float(one.steps) for one in found.episodes]
    paid = [float(one.reward_T.sum()) for one in found.episodes]
    click.echo(f"{len(steps):,} episodes of {environment}, {sum(steps):,.0f} steps, in {out}")
    click.echo(f"an episode: {_mean(steps, least=1)} steps, paid {_mean(paid)}")


def _new_store(out: Path) -> EpisodeStore:
    store = EpisodeStore(out)
    if store.blocks:
        raise ConfigError(f"{out} holds episodes already", "name a new folder")
    return store


def _mean(values: Sequence[float], least: float = -math.inf) -> str:
    """least: below which no value lies, and so no mean."""
    mean = student_mean(values)
    if mean is None:
        return f"{values[0]:.3g}"
    if mean.low is not None:
        mean = mean.model_copy(update={"low": max(mean.low, least)})
    return str(mean)


def _policy(name: str, environments: EnvironmentBatch, greedy: bool) -> Act:
    if name == RANDOM:
        if greedy:
            raise ConfigError("--greedy with a random policy", "leave it out")
        return at_random(environments.actions)
    from accord.control.leaving import saved_policy

    path = Path(name)
    if path.is_dir():
        path = only(sorted(path.glob(f"**/{POLICY}")), path, f"{POLICY} of an acting policy")
    return saved_policy(path, environments.observation_size, environments.actions, greedy)


def only(found: Sequence[Path], place: Path, what: str) -> Path:
    """The only file of its kind in a place. Raises ConfigError for none, or several."""
    if len(found) != 1:
        several = f": {', '.join(map(str, found))}" if found else ""
        raise ConfigError(
            f"{place} holds {len(found)} {what}{several}", "name the one that is meant"
        )
    return found[0]


def _store(place: Path) -> EpisodeStore:
    """Of a folder of blocks, or of the run that it is in."""
    return EpisodeStore(store_folder(place))


def replay_episodes(place: Path, named: Sequence[str]) -> None:
    """Take every step again, and say how far what follows lies from what is stored."""
    store = _store(place)
    replayed = {name: replay(store.episode(name)) for name in named or store.ids}
    rows = [
        (
            safe_text(name),
            f"{one.steps:,}",
            *(f"{apart:.2g}" for apart in (one.state, one.observation, one.reward)),
        )
        for name, one in replayed.items()
    ]
    columns = ("episode", "steps", "state", "observation", "reward")
    print_table(columns, rows, right=columns[1:])
    exact = sum(one.exact for one in replayed.values())
    click.echo(f"{exact:,} of {len(rows):,} episodes are the same again, to the bit")


def render_episodes(place: Path, out: Path, named: Sequence[str], most: int) -> None:
    """Write a page on which episodes, or clips of them, can be played."""
    store = _store(place)
    asked = [_clip(store, one) for one in named or store.ids[:most]]
    if not named and len(store) > most:
        click.echo(f"the first {most:,} of {len(store):,} episodes: --clip names others")
    environments = {name: make(name, 1) for name in dict.fromkeys(e.environment for e in asked)}
    clips = []
    for episode in asked:
        last = episode.first_step + episode.steps
        said = f"{episode.id}, steps {episode.first_step} to {last}: paid"
        clips.append(
            (
                f"{said} {episode.reward_T.sum():.3g}",
                pose_drawing(episode, environments[episode.environment]),
            )
        )
    click.echo(str(clips_page(out, store.folder.name, ", ".join(environments), clips)))


def _clip(store: EpisodeStore, named: str) -> Episode:
    """EPISODE, or EPISODE:START:STOP."""
    name, *ends = named.split(":")
    if not ends:
        return store.episode(name)
    if len(ends) != 2 or not all(end.isdigit() for end in ends):
        raise ConfigError(f"--clip {named}", "write EPISODE, or EPISODE:START:STOP in steps")
    start, stop = map(int, ends)
    if start >= stop:
        raise ConfigError(f"--clip {named} has no steps", "the stop comes after the start")
    return store.clip(Clip(episode=name, start=start, stop=stop))


def take_over_episode(
    place: Path,
    named: str,
    step: int,
    out: Path,
    policy: str,
    greedy: bool,
    steps: int | None,
    said: tuple[str, str],
    seed: int,
) -> None:
    """Keep what follows as a correction; said: the question, who prefers it."""
    kept, original = KeptFeedback(out), _store(place).episode(named)
    act = _policy(policy, make(original.environment, 1), greedy)
    taken = take_over(original, step, act, seed, f"{named}-from-{step}-{seed}", steps)
    found = correction(said[0], original, taken, said[1])
    if kept.keep([original, taken], found, "give another --seed, or name another folder"):
        click.echo(f"{safe_text(taken.id)} was there without its correction, which is kept now")
    paid = f"{taken.reward_T.sum():.3g} (before {original.reward_T.sum():.3g})"
    click.echo(f"{safe_text(taken.id)}: {taken.steps:,} steps, paid {paid}, in {out}")


def steer_episodes(
    place: Path,
    out: Path,
    named: str | None,
    step: int | None,
    policy: str | None,
    greedy: bool,
    said: tuple[str, str],
    seed: int,
    port: int | None,
    open_browser: bool,
) -> None:
    """Open a page on which a person drives; said: the question, who answers it. What cannot be
    steered is refused before it opens."""
    from accord.cli.steer_page import serve_steering

    store = _store(place)
    judged = None if named else judged_last(store)
    first = named or (judged.episode if judged else store.ids[-1])
    if policy is None and (found := sorted(place.glob(f"**/{POLICY}"))):
        policy = str(only(found, place, f"{POLICY} of an acting policy"))
    if policy is None and greedy:
        raise ConfigError("--greedy without a policy", "name one with --policy, or leave it out")
    environment = store.episode(first).environment
    act = None if policy is None else _policy(policy, make(environment, 1), greedy)
    steering = Steering(store, first, KeptFeedback(out), said, act, seed)
    steering.seek((judged.step if judged else 0) if step is None else step)
    serve_steering(steering, port, open_browser, lambda text: click.echo(safe_text(text)))


def keep_proxy(
    out: Path, stores: Sequence[str], chosen: str, question: str, annotator: str
) -> None:
    """Keep the episodes of all stores, NAME=STORE each, and the choice among the rewards they are
    named after. What is refused keeps nothing."""
    episodes: dict[str, list[Episode]] = {}
    for given in stores:
        name, _, place = given.partition("=")
        if not name or not place or name in episodes:
            raise ConfigError(
                f"{given!r} is not the store of one more reward",
                "write NAME=STORE, each name once",
            )
        store = _store(Path(place))
        episodes[name] = [store.episode(one) for one in store.ids]
    told = {frozenset(one.digest for one in some) for some in episodes.values()}
    if len(episodes) > 1 == len(told):
        raise ConfigError(
            f"{', '.join(episodes)} are the same episodes",
            "name what each reward leads to: a choice among the same says nothing",
        )
    named = renamed(episodes)
    found = designed(question, whole(named), chosen, annotator)
    every = [one for some in named.values() for one in some]
    KeptFeedback(out).keep(every, found, "name another folder, or another --annotator")
    others = ", ".join(safe_text(name) for name in named if name != chosen)
    count = sum(map(len, named.values()))
    click.echo(f"{safe_text(chosen)} over {others}, by {count:,} episodes, in {out}")


def export_episodes(place: Path, out: Path) -> None:
    """Write a store as a dataset of Minari."""
    store = _store(place)
    episodes = [store.episode(one) for one in store.ids]
    write_minari(episodes, out)
    click.echo(f"{len(episodes):,} episodes of {episodes[0].environment} in {out}")


def import_episodes(place: str, out: Path, environment: str | None) -> None:
    """Read a dataset of Minari into a new store."""
    store = _new_store(out)
    episodes = read_minari(place, environment)
    if not episodes:
        raise DataError(f"{place} holds no episode", "record some first")
    store.append(episodes)
    steps = sum(one.steps for one in episodes)
    click.echo(
        f"{len(episodes):,} episodes of {episodes[0].environment}, {steps:,} steps, in {out}"
    )
    if all(one.state_TS is None for one in episodes):
        click.echo("without physics states: they cannot be replayed or gone on from")
