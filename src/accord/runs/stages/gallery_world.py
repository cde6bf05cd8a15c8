"""Worlds in which the reward one would write is gamed: what each fix is worth, and what the verdict
says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
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
    from accord.control.gallery.world import GalleryWorld
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
    """What was meant, in percent: 0 for acting at random, 100 for the best."""

    def __init__(self, world: GalleryWorld) -> None:
        self.world, self.found = world, world.unrolled

    @cached_property
    def _ends(self) -> tuple[float, float]:
        from accord.control.gallery.policies import at_random, best_for

        meant_SA = self.found.reward(self.world.meant)
        made = at_random(self.found), best_for(self.found, meant_SA)
        low, high = (self.found.mdp.value(meant_SA, one) for one in made)
        return low, high

    def meant(self, policy_SA: Array) -> float:
        low, high = self._ends
        worth = self.found.mdp.value(self.found.reward(self.world.meant), policy_SA)
        return 100 * (worth - low) / (high - low)

    def written(self, policy_SA: Array) -> float:
        """Of the written reward: 0 at random, 100 the most that there is."""
        from accord.control.gallery.policies import at_random, best_for

        written_SA = self.found.reward(self.world.written)
        made = at_random(self.found), best_for(self.found, written_SA), policy_SA
        low, high, worth = (self.found.mdp.value(written_SA, one) for one in made)
        return 100 * (worth - low) / (high - low)


def _measured(
    config: GalleryWorldConfig, world: GalleryWorld, seed: int
) -> Iterator[tuple[str, float]]:
    """(KEY.ROW, value) of one world: exact once, learned and judged for each person."""
    from accord.control.gallery.asking import compared
    from accord.control.gallery.people import Spectator
    from accord.control.gallery.policies import best_for
    from accord.control.gallery.tuning import TunedPolicy, from_people, tuned
    from accord.examine.episodes import decide_episodes

    scale, row = _Scale(world), world.name
    exact = {name: tuned(world, name, seed) for name in ("gamed", "near", "reachable")}
    before_SA = exact["gamed"].before_SA
    best_SA = best_for(world.unrolled, world.unrolled.reward(world.meant))
    yield f"best_written.{row}", scale.written(best_SA)
    yield f"shown.{row}", scale.meant(before_SA)
    for name, made in exact.items():
        yield f"{name}.{row}", scale.meant(made.policy_SA)
    spectator = Spectator(config.rationality, config.lapse)

    def called(made: TunedPolicy, person: int) -> float:
        evidence = compared(world, made, person, spectator, config.asked)
        return float(decide_episodes(evidence, row).outcome == "gamed")

    for number in range(config.people):
        person = derive_seed(seed, "person", number)
        learned = from_people(world, before_SA, config.comparisons, spectator, person)
        for count, made in learned.items():
            yield f"after_{count}.{row}", scale.meant(made.policy_SA)
        yield f"called_gamed.{row}", called(exact["gamed"], person)
        yield f"called_learned.{row}", called(learned[max(learned)], person)
