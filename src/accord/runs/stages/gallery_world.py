"""Worlds in which the reward one would write is gamed: what each fix is worth, and what the verdict
says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from accord.errors import ConfigError
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult
from accord.runs.stages.worlds import means, over_worlds
from accord.seeds import derive_seed
from accord.validation import suggest

if TYPE_CHECKING:
    from accord.control.gallery.world import GalleryWorld, Unrolled
    from accord.statistics.intervals import Array


class GalleryWorldConfig(StageConfig):
    """Settings of a gallery_world stage."""

    kind: Literal["gallery_world"]
    only: list[str] = Field([], description="These worlds alone; all of them if empty.")
    people: int = Field(4, ge=1, description="Simulated persons who compare, each in every world.")
    comparisons: list[int] = Field(
        [50, 500], min_length=1, description="Comparisons after which a reward is learned."
    )
    rationality: float = Field(
        10.0, gt=0, description="Of a person, per difference between acting at random and the best."
    )
    lapse: float = Field(0.05, ge=0, lt=1, description="Share of comparisons by chance.")
    asked: int = Field(100, ge=10, description="Comparisons that a verdict asks for.")


class GalleryOfWorlds(Stage):
    """Solves every world for the reward that was written, for what was meant, and with each fix;
    and asks for comparisons of the policy before and after, by which the verdict is decided."""

    kind = "gallery_world"
    Config = GalleryWorldConfig
    about = "worlds in which a written reward is gamed, what mends it, and the verdict on both"

    def plan(self, config: GalleryWorldConfig, context: StageContext) -> Plan:
        names = _named(config)
        low = [count for count in config.comparisons if count < 1]
        if low:
            raise ConfigError(f"comparisons = {low[0]}", "give numbers from 1")
        seconds = len(names) * config.people * (0.1 + sum(config.comparisons) / 4000)
        return Plan(rows=len(names) * config.people, seconds=(2 + seconds / 2, 5 + 4 * seconds))

    def run(self, config: GalleryWorldConfig, context: StageContext) -> StageResult:
        from accord.control.gallery.worlds import WORLDS

        names = _named(config)
        found = over_worlds(
            len(names),
            lambda number: _measured(config, WORLDS[names[number]], context.seed),
            context,
        )
        values = means(found)
        found_out = sum(values[f"called_gamed.{name}"] == 1 for name in names)
        most = max(config.comparisons)
        mended = sum(min(found[f"after_{most}.{name}"]) > 95 for name in names)
        return StageResult(
            f"of {len(names)} gamed policies {found_out} were called so by every person's answers;"
            f" {most} comparisons of any person reach 95 % of the best in {mended}",
            values,
        )


def _named(config: GalleryWorldConfig) -> list[str]:
    from accord.control.gallery.worlds import WORLDS

    for name in config.only:
        if name not in WORLDS:
            raise ConfigError(
                f"the gallery has no world {name!r}",
                f"{suggest(name, list(WORLDS))}it has {', '.join(WORLDS)}",
            )
    return list(dict.fromkeys(config.only)) or list(WORLDS)


class _Scale:
    """A reward in percent: 0 for acting at random, 100 for the best."""

    def __init__(self, found: Unrolled, worth: Mapping[str, float]) -> None:
        from accord.control.gallery.policies import ends

        self.mdp, self.reward_SA = found.mdp, found.reward(worth)
        self.low, self.high = ends(found, self.reward_SA)

    def of(self, policy_SA: Array) -> float:
        """A policy's place on it."""
        worth = self.mdp.value(self.reward_SA, policy_SA)
        return 100 * (worth - self.low) / (self.high - self.low)


def _measured(
    config: GalleryWorldConfig, world: GalleryWorld, seed: int
) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one world: exact once, learned and judged for each person."""
    from accord.control.gallery.asking import compared
    from accord.control.gallery.people import Spectator
    from accord.control.gallery.policies import best_for
    from accord.control.gallery.tuning import TunedPolicy, from_people, tuned
    from accord.examine.episodes import decide_episodes

    written, meant = (_Scale(world.unrolled, worth) for worth in (world.written, world.meant))
    row = world.name
    exact = {name: tuned(world, name, seed) for name in ("gamed", "near", "reachable")}
    before_SA = exact["gamed"].before_SA
    best_SA = best_for(world.unrolled, world.unrolled.reward(world.meant))
    yield f"best_written.{row}", written.of(best_SA)
    yield f"shown.{row}", meant.of(before_SA)
    for name, made in exact.items():
        yield f"{name}.{row}", meant.of(made.policy_SA)
    spectator = Spectator(config.rationality, config.lapse)

    def called(made: TunedPolicy, person: int) -> float:
        evidence = compared(world, made, person, spectator, config.asked)
        return float(decide_episodes(evidence, row).outcome == "gamed")

    for number in range(config.people):
        person = derive_seed(seed, "person", number)
        learned = from_people(world, before_SA, config.comparisons, spectator, person)
        for count, made in learned.items():
            yield f"after_{count}.{row}", meant.of(made.policy_SA)
        yield f"called_gamed.{row}", called(exact["gamed"], person)
        yield f"called_learned.{row}", called(learned[max(learned)], person)
