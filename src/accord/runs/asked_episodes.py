"""Episodes of a run's policies at their end, beside those of the untrained ones from the same
starts: as clips that people are to judge, and what stands in for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from accord.errors import DataError
from accord.examine import asked
from accord.feedback.messages import plain, to_json
from accord.report.render import EPISODES
from accord.runs.asked import AskedArm
from accord.runs.stages.learn_from_clips import REWARD, WATCHED, LearnFromClipsConfig
from accord.statistics.intervals import Array
from accord.validation import read_text, validated

if TYPE_CHECKING:
    from accord.control.environments import EnvironmentBatch
    from accord.control.refilming import Refilming
    from accord.control.watched import KeptEpisodes
    from accord.examine.episodes import EpisodeEvidence


@dataclass(frozen=True)
class AskedEpisodes(AskedArm):
    """before, after: what evaluations saw of the untrained policy, and of the one at the end;
    refilming: where these are seen by frames alone."""

    unit: ClassVar[asked.Unit] = "episode"
    environments: EnvironmentBatch
    refilming: Refilming | None
    before: KeptEpisodes
    after: KeptEpisodes

    def shown(self, place: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Whole episodes as clips with their drawings."""
        mine, theirs = (
            {
                "content": to_json(kept.clip(place)),
                "drawing": self._drawing(kept, place),
            }
            for kept in (self.after, self.before)
        )
        return mine, theirs

    def _drawing(self, kept: KeptEpisodes, place: int) -> dict[str, Any]:
        if self.refilming is not None:
            return self.refilming.drawing(kept, place)
        return kept.drawing(place, self.environments)


def asked_episodes(run_dir: Path, acts: Mapping[str, EpisodeEvidence]) -> list[AskedEpisodes]:
    """Of the policies of a run whose evidence `read_episodes` found. Raises ConfigError where what
    was done cannot be shown, DataError where it is not there."""
    files = sorted((run_dir / "stages").glob(f"*/{EPISODES}"))
    return [
        _arm(run_dir, file.parent, name, evidence)
        for file, (name, evidence) in zip(files, acts.items(), strict=True)
    ]


def _arm(run_dir: Path, stage: Path, name: str, evidence: EpisodeEvidence) -> AskedEpisodes:
    from accord.control.asked_kinds import QUESTIONS
    from accord.control.gym_batch import known_limit
    from accord.control.making import make
    from accord.control.poses import has_poses
    from accord.control.refilming import Refilming
    from accord.control.watched import WatchedFolder

    place = stage / "config.yaml"
    if not place.is_file():
        raise DataError(f"{place} is missing", "copy the run again, whole")
    config = validated(LearnFromClipsConfig, yaml.safe_load(read_text(place)), str(place))
    environments = make(config.environment, 1, config.episode_steps, patience=config.patience)
    refilming = None
    if not has_poses(config.environment):
        limit = config.episode_steps or known_limit(environments)
        refilming = Refilming(config.environment, limit, config.patience)
    watched = WatchedFolder(stage / WATCHED)
    before, after = (watched.read(evidence.points[at].step) for at in (0, -1))
    places = range(len(after.gold_N))
    mine, theirs = ([plain(kept.clip(n)) for n in places] for kept in (after, before))
    return AskedEpisodes(
        name,
        [config.question or QUESTIONS["comparison"]] * len(places),
        list(places),
        mine,
        theirs,
        _stand_ins(config, stage, environments, before, after),
        environments,
        refilming,
        before,
        after,
    )


def _stand_ins(
    config: LearnFromClipsConfig,
    stage: Path,
    environments: EnvironmentBatch,
    before: KeptEpisodes,
    after: KeptEpisodes,
) -> dict[str, Array]:
    """What the environment paid, and the reward that was learned; one where these are the same."""
    gold_N = after.gold_N - before.gold_N
    if config.learn_from == "reward":
        return asked.sides({asked.TUNED_ON: gold_N})
    from accord.control.leaving import saved_reward

    size, form = environments.observation_size, environments.actions
    reward = saved_reward(stage / REWARD, size, form)
    proxy_N = after.proxy_N(reward) - before.proxy_N(reward)
    return asked.sides({"gold": gold_N, asked.TUNED_ON: proxy_N})
