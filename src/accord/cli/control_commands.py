"""`accord control`: episodes of agents that act. Only click is imported here, as in main.py."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli.terminal import guarded

FOLDER = click.Path(file_okay=False, path_type=Path)


def _says(context: click.Context, parameter: click.Parameter, given: str) -> str:
    if not given.strip():
        raise click.BadParameter("it is empty")
    return given


_of_two_clips = click.option(
    "--question", callback=_says, default="Which of the two clips is better?", show_default=True
)


@click.group()
def control() -> None:
    """Episodes of agents that act: record them, go through them again, look at them, compare
    rewards by them."""


@control.command("record")
@click.argument("environment")
@click.argument("out", type=FOLDER)
@click.option(
    "--policy",
    default="random",
    show_default=True,
    metavar="RUN|FILE",
    help="Whose: a run's, or its policy.safetensors; random takes every action equally often.",
)
@click.option(
    "--episodes", default=10, show_default=True, type=click.IntRange(1), help="Whole ones."
)
@click.option(
    "--limit", type=click.IntRange(1), help="Steps of an episode; else the environment's."
)
@click.option(
    "--elsewhere",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share that begins at another of the environment's starts, such as in the air.",
)
@click.option("--greedy", is_flag=True, help="The likeliest action, without noise.")
@click.option("--seed", default=0, show_default=True)
@guarded
def control_record(
    environment: str,
    out: Path,
    policy: str,
    episodes: int,
    limit: int | None,
    elsewhere: float,
    greedy: bool,
    seed: int,
) -> None:
    """Record episodes of ENVIRONMENT into the new folder OUT: observations, actions, rewards, ends,
    physics states (accord.control.episodes.EpisodeStore).

    \b
    accord control record CartPole-v1 episodes --episodes 100
    accord control record accord:Backflip flips --policy runs/backflip-… --episodes 20
    """
    from accord.cli.control import write_episodes

    write_episodes(environment, out, policy, episodes, limit, seed, greedy, elsewhere)


@control.command("replay")
@click.argument("store", type=FOLDER)
@click.option("--episode", multiple=True, help="This one; may be given several times. Else all.")
@guarded
def control_replay(store: Path, episode: tuple[str, ...]) -> None:
    """Take every step of the episodes in STORE (or in a run) again, from its physics state by its
    action, and compare what follows with what is stored. States of another physics are refused."""
    from accord.cli.control import replay_episodes

    replay_episodes(store, episode)


@control.command("render")
@click.argument("store", type=FOLDER)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--clip",
    "clips",
    multiple=True,
    metavar="EPISODE[:START:STOP]",
    help="This episode, or these steps of it; may be given several times.",
)
@click.option("--most", default=12, show_default=True, type=click.IntRange(1), help="Episodes.")
@guarded
def control_render(store: Path, out: Path, clips: tuple[str, ...], most: int) -> None:
    """Write a page OUT (.html) on which episodes of STORE (or of a run) can be played, slowed and
    looked through: planar robots and Gymnasium's classic tasks."""
    from accord.cli.control import render_episodes

    render_episodes(store, out, clips, most)


@control.command("take-over")
@click.argument("store", type=FOLDER)
@click.argument("episode")
@click.argument("step", type=click.IntRange(0))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--policy", required=True, metavar="RUN|FILE", help="Who takes over; random too.")
@click.option("--greedy", is_flag=True, help="Without the policy's exploration noise.")
@click.option("--steps", type=click.IntRange(1), help="For so many; else as many as were left.")
@click.option(
    "--annotator", required=True, callback=_says, help="Who prefers what follows to what was done."
)
@_of_two_clips
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@guarded
def control_take_over(
    store: Path,
    episode: str,
    step: int,
    out: Path,
    policy: str,
    greedy: bool,
    steps: int | None,
    annotator: str,
    question: str,
    seed: int,
) -> None:
    """Go on with an EPISODE of STORE (or of a run) from a STEP by another policy, and keep it as a
    correction: OUT holds both episodes, and feedback.jsonl that the new one is preferred."""
    from accord.cli.control import take_over_episode

    said = (question, annotator)
    take_over_episode(store, episode, step, out, policy, greedy, steps, said, seed)


@control.command("steer")
@click.argument("store", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--episode", help="This one first; else the one that was judged last, or the last.")
@click.option(
    "--step",
    type=click.IntRange(0),
    help="Where to stop it first; else where it was judged to go wrong, or its beginning.",
)
@click.option(
    "--policy",
    metavar="RUN|FILE",
    help="Who does what no key is held for; random too. Else the policy of a run STORE, if any.",
)
@click.option("--greedy", is_flag=True, help="Without the policy's exploration noise.")
@click.option(
    "--annotator",
    required=True,
    callback=_says,
    help="Who drives, and prefers it to what was done.",
)
@_of_two_clips
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the policy's noise."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Of the page; else a free one.")
@click.option(
    "--open/--no-open",
    "open_browser",
    default=True,
    show_default=True,
    help="Open it in the browser.",
)
@guarded
def control_steer(
    store: Path,
    out: Path,
    episode: str | None,
    step: int | None,
    policy: str | None,
    greedy: bool,
    annotator: str,
    question: str,
    seed: int,
    port: int | None,
    open_browser: bool,
) -> None:
    """Stop episodes of STORE (or of a run) in the browser, drive the robot on by hand from there,
    and keep what is better as corrections: OUT is a folder like that of take-over, to which every
    correction is added.

    \b
    accord control steer runs/backflip-… mended --annotator ann
    accord control steer flips mended --episode 0-003-0000 --step 40 --annotator ann
    """
    from accord.cli.control import steer_episodes

    said = (question, annotator)
    steer_episodes(store, out, episode, step, policy, greedy, said, seed, port, open_browser)


@control.command("proxy")
@click.argument("out", type=FOLDER)
@click.argument("stores", nargs=-1, required=True, metavar="NAME=STORE…")
@click.option("--chosen", required=True, metavar="NAME", help="The reward that was written.")
@click.option("--annotator", required=True, callback=_says, help="Who wrote it.")
@click.option(
    "--question",
    callback=_says,
    default="Which reward says what is meant?",
    show_default=True,
    help="Kept with the choice.",
)
@guarded
def control_proxy(
    out: Path, stores: tuple[str, ...], chosen: str, annotator: str, question: str
) -> None:
    """Keep which reward somebody wrote for a world, over others that could have been written: each
    has a STORE (or a run) of episodes of a policy that follows it. OUT holds all episodes, and
    feedback.jsonl that the one is chosen, from which a stage clip_reward learns what was meant.

    \b
    accord control record accord:Hopper fast --policy runs/fast-…        # and upright, and so on
    accord control proxy meant fast=fast upright=upright --chosen upright --annotator ann
    """
    from accord.cli.control import keep_proxy

    keep_proxy(out, stores, chosen, question, annotator)


@control.command("export")
@click.argument("store", type=FOLDER)
@click.argument("out", type=FOLDER)
@guarded
def control_export(store: Path, out: Path) -> None:
    """Write the episodes of STORE (or of a run) as a dataset of Minari into the new folder OUT, by
    whose name Minari loads it.

    \b
    accord control export episodes carts-v0
    MINARI_DATASETS_PATH=. python -c "import minari; minari.load_dataset('carts-v0')"
    """
    from accord.cli.control import export_episodes

    export_episodes(store, out)


@control.command("import")
@click.argument("dataset")
@click.argument("out", type=FOLDER)
@click.option("--environment", help="Whose, where the dataset does not say it.")
@guarded
def control_import(dataset: str, out: Path, environment: str | None) -> None:
    """Read a DATASET of Minari, a folder or the name of one that Minari has on this machine, into
    the new store OUT."""
    from accord.cli.control import import_episodes

    import_episodes(dataset, out, environment)


@control.command("reward-distance")
@click.argument("first", metavar="REWARD")
@click.argument("second", metavar="REWARD")
@click.option(
    "--episodes",
    required=True,
    type=FOLDER,
    metavar="STORE|RUN",
    help="Whose steps both are compared by.",
)
@click.option(
    "--gamma",
    type=click.FloatRange(0, 1),
    help="Discount per step, by which potentials are told; else the default of policies.",
)
@click.option(
    "--clip",
    type=click.IntRange(1),
    help="Steps of the clips whose order is compared; else the default of questions.",
)
@click.option(
    "--steps",
    default=2000,
    show_default=True,
    type=click.IntRange(2),
    help="Steps, chosen by chance, that distances are told by.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@guarded
def control_reward_distance(
    first: str,
    second: str,
    episodes: Path,
    gamma: float | None,
    clip: int | None,
    steps: int,
    seed: int,
    as_json: bool,
) -> None:
    """How far two REWARDs of one environment lie apart, by episodes that are there, with 95 %
    intervals over episodes: EPIC, STARC, and how many pairs of clips both order alike.

    REWARD: a run's, or its reward.safetensors (or AIRL's); environment is what was paid in the
    episodes.

    \b
    accord control reward-distance runs/walk-1 runs/walk-2 --episodes carts
    accord control reward-distance runs/walk-1 environment --episodes runs/walk-1
    """
    from accord.cli.reward_distance import show

    show(first, second, episodes, gamma, clip, steps, seed, as_json)
