"""A policy and its reward learned together from what is said of clips, in an environment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from accord.control.settings import ClipLearningSettings
from accord.errors import ConfigError
from accord.feedback.words import counted
from accord.files import write_json
from accord.report.render import EPISODES, REWARD_CARD
from accord.runs.context import StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.settings import CheckpointConfig
from accord.seeds import derive_seed
from accord.validation import Settings

if TYPE_CHECKING:
    from accord.control.asked_kinds import AskedKind
    from accord.control.clip_learning import ClipLearning
    from accord.control.environments import EnvironmentBatch
    from accord.control.people import StudioJudges
    from accord.control.rollouts import Act
    from accord.control.watched import WatchedFolder
    from accord.examine.episodes import EpisodeEvidence, GoldBy, PointScores

STUDIO = "studio.json"
"""Remembers the project in which people judge."""
WATCHED, REWARD = "watched", "reward.safetensors"
"""What evaluations saw, and the reward at the end."""
PACE = {"ppo": (2_000, 15_000), "sac": (80, 800)}
"""Learner -> steps per second that a run takes at least and at most, learning included."""


class StudioPlace(Settings):
    """Where people judge clips."""

    database: str = Field(
        "studio.db",
        min_length=1,
        description="The studio's database, made where it is not there: a file, or postgresql://….",
    )
    project: str | None = Field(
        None,
        min_length=1,
        max_length=120,
        description="Name of the project that is opened; null: the run's own.",
    )
    stops: bool = Field(
        False,
        description=(
            "May people say, beside their answer, from which moment a clip goes wrong? The reward"
            " learns from that, too."
        ),
    )
    goes_on: bool = Field(
        False,
        description=(
            "Does the policy go on from where a clip was stopped, and ask whether that is better?"
            " For environments whose state can be set."
        ),
    )
    every_seconds: float = Field(
        2.0, gt=0, description="Seconds between two looks while the policy waits for people."
    )


class LearnFromClipsConfig(StageConfig, ClipLearningSettings):
    """Settings of a learn_from_clips stage."""

    kind: Literal["learn_from_clips"]
    people: Literal["simulated", "studio"] = Field(
        "simulated",
        description="Who judges: a simulated watcher, or people in the studio while it trains.",
    )
    studio: StudioPlace = Field(
        default_factory=StudioPlace, description="Where they do, with people: studio."
    )
    checkpoints: CheckpointConfig = Field(CheckpointConfig(), description="When and how many.")

    @model_validator(mode="after")
    def _are_asked(self) -> LearnFromClipsConfig:
        if self.people == "studio" and self.learn_from == "reward":
            raise ValueError("learn_from: reward asks nobody: leave people at simulated")
        return self

    @model_validator(mode="after")
    def _can_go_on(self) -> LearnFromClipsConfig:
        from accord.control.asked_kinds import GOES_ON

        if self.studio.goes_on and not (self.studio.stops and self.asks_people):
            raise ValueError("studio.goes_on goes on from stops: set people: studio, studio.stops")
        if self.studio.goes_on and self.asks not in GOES_ON:
            raise ValueError(
                f"studio.goes_on with asks: {self.asks}, where clips are seen one by one: set asks"
                f" to one of {', '.join(GOES_ON)}"
            )
        return self

    @property
    def asks_people(self) -> bool:
        return self.people == "studio"


class LearnFromClips(Stage):
    """Runs `accord.control.clip_learning`, evaluates along the way, and says what came of it."""

    kind = "learn_from_clips"
    Config = LearnFromClipsConfig
    provides: ClassVar = {
        "feedback": "judgements of clips",
        "policy": None,
        "reward": None,
        "evidence": None,
        "episodes": None,
        "card": "card of a reward model",
    }
    about = "a reward learned from what is said of clips, and a policy that learns from it"

    def plan(self, config: LearnFromClipsConfig, context: StageContext) -> Plan:
        from accord.control.demonstrations import PROBED, check_horizon
        from accord.control.gym_batch import known_limit
        from accord.control.learners import policy_learner
        from accord.control.making import make
        from accord.control.poses import has_poses

        shown = config.asks_people and not has_poses(config.environment)
        absorb = config.horizon == "absorb"
        environment = make(
            config.environment, 1, config.episode_steps, False, config.patience, shown, absorb
        )
        if shown:
            _try_picture(environment)
        if (config.elsewhere or config.elsewhere_first) and not environment.starts:
            raise ConfigError(
                f"{config.environment} has no other starts",
                "set elsewhere and elsewhere_first to 0",
            )
        if config.studio.goes_on and not environment.settable:
            raise ConfigError(
                f"the state of {config.environment} cannot be set: nobody can go on from a stop",
                "leave studio.goes_on at false, or use an accord: environment",
            )
        limit = config.episode_steps or known_limit(environment)
        if config.learn_from == "comparisons" and config.clip > limit:
            raise ConfigError(
                f"a clip of {config.clip} steps is longer than an episode of {limit}",
                "use shorter clips, or longer episodes (episode_steps)",
            )
        notes = [f"{environment.name}: {environment.observation_size} numbers observed,"
                 f" {environment.actions.kind} actions, {environment.physics}"]  # fmt: skip
        if config.horizon == "fixed" and environment.ends is None:
            few = make(config.environment, PROBED, config.episode_steps, True, config.patience)
            check_horizon(few, limit, context.seed, "horizon: floor")
            notes.append("the run stops where an episode ends before its time (horizon: fixed)")
        if not environment.settable:
            notes.append("its state cannot be set: a resumed run begins new episodes")
        if config.learn_from == "comparisons":
            notes += _asked(config, "frames" if shown else "poses")
        if environment.actions.kind == "discrete" and config.learner == "sac":
            policy_learner(config.sac, 1, environment.actions, 1, 0)  # says why not
        slowest, fastest = PACE[config.learner]
        watched = (config.points + 1) * config.evaluation * (config.episode_steps or 1000)
        total = config.rollouts * config.per_rollout + watched
        return Plan(
            rows=config.comparisons if config.learn_from == "comparisons" else None,
            steps=config.rollouts,
            disk_mib=_disk(config, environment.observation_size, environment.actions.size),
            seconds=(total / fastest, total / slowest),
            notes=notes,
        )

    def run(self, config: LearnFromClipsConfig, context: StageContext) -> StageResult:
        from accord.control.networks import one_thread

        with one_thread():
            return self._learned(config, context)

    def _learned(self, config: LearnFromClipsConfig, context: StageContext) -> StageResult:
        from accord.control.clip_learning import ClipLearning
        from accord.control.gym_batch import known_limit
        from accord.runs.stages.clip_film import last_answers

        with _people(config, context) as people:
            learning = ClipLearning(
                settings_of(config), context.seed, context.folder, say=context.say, people=people
            )
            points = _Points(config, context, known_limit(learning.environments))
            note = partial(_note, asks=config.asks)
            session = context.session(note, **config.checkpoints.model_dump())
            learning.run(session, points.evaluate)
            answers = last_answers(learning, people)
        scores = [points.scores(step, learning) for step in points.watched.points]
        return _result(config, context, learning, points, scores, answers)


def _try_picture(environment: EnvironmentBatch) -> None:
    """Raise ConfigError where an environment renders nothing that people could judge."""
    import numpy as np

    from accord.control.gym_batch import GymBatch
    from accord.control.poses import frame_drawing
    from accord.seeds import generator

    assert isinstance(environment, GymBatch)  # what has no poses is Gymnasium's
    environment.reset(np.array([0]), generator(0, "picture"))
    frame_drawing(environment.frames(), environment.frame_seconds)


def _asked(config: LearnFromClipsConfig, seen_as: str) -> list[str]:
    """What a plan says of what will be asked, and of whom."""
    from accord.control.asked_kinds import ANSWERS, DOES

    later = f"{config.rounds} rounds of the others" if config.rounds else "no others"
    when = f"first {config.first_answers:,} before the policy learns, then {later}"
    told = f"{DOES[config.asks]}: {config.comparisons:,} {ANSWERS[config.asks]}"
    if not config.asks_people:
        return [f"a simulated watcher {told}, {when}"]
    stops = ["clips may be stopped at a moment"] if config.studio.stops else []
    if config.studio.goes_on:
        stops = [f"{stops[0]}, from which the policy goes on and asks again"]
    return [
        f"somebody in the studio, who sees {seen_as}, {told}, {when}; the policy waits for people"
        f" when they are more than {config.ahead} behind",
        *stops,
        f"in another terminal: accord studio --database {_place(config.studio.database)}",
    ]


def _place(database: str) -> str:
    """A database, without its password."""
    from accord.studio.storage.engines import safe_url

    return safe_url(database) if "://" in database else database


@contextmanager
def _people(config: LearnFromClipsConfig, context: StageContext) -> Iterator[StudioJudges | None]:
    """Who judges, where these are people: in a project of this run's own, made when the first
    question is asked: a run that fails before leaves none."""
    if not config.asks_people:
        yield None
        return
    from accord.control.judging_project import known_project, open_project
    from accord.control.people import StudioJudges
    from accord.studio.storage.database import open_database

    place = _place(config.studio.database)
    with closing(open_database(config.studio.database)) as db:
        file = context.folder / STUDIO
        told = config.studio
        name = told.project or context.run_dir.name[:120]

        def opened() -> int:
            project, slug = open_project(
                db, place, file, name, config.wording, config.asks, told.stops
            )
            context.say(
                f"people judge in the project {slug}: accord studio --database {place}, then"
                f" /p/{slug}"
            )
            return project

        def pause(settled: int, due: int) -> None:
            context.checkpoint(settled, due, f"waiting for people: {settled:,} of {due:,} answered")
            time.sleep(config.studio.every_seconds)

        project = opened if known_project(db, place, file) is None else opened()
        yield StudioJudges(db, project, config.wording, pause, told.goes_on)


def _disk(config: LearnFromClipsConfig, observation: int, action: int) -> int:
    """MiB of the episodes that clips lie in, at most, of what evaluations saw, and of what is
    remembered in checkpoints."""
    from accord.control.answering import SHOWN

    piece = config.learning.rollout * config.recent * 8 * (4 * observation + action)
    shown = SHOWN[config.asks] if config.learn_from == "comparisons" else 0
    asked = shown * config.comparisons * piece
    watched = (config.points + 1) * config.evaluation * (config.episode_steps or 1000)
    total = asked + watched * 8 * (2 * observation + action)
    if config.learner == "sac":
        steps = min(config.sac.buffer, config.rollouts * config.per_rollout)
        total += config.checkpoints.keep * steps * 4 * (2 * observation + action + 2)
    return 1 + total // 2**20


def settings_of(config: LearnFromClipsConfig) -> ClipLearningSettings:
    """Those of the loop itself, without who judges and where checkpoints lie."""
    given = {name: getattr(config, name) for name in ClipLearningSettings.model_fields}
    return ClipLearningSettings(**given)


def _note(values: Mapping[str, float], asks: AskedKind) -> str:
    from accord.control.asked_kinds import ANSWERS

    told = f"reward {values['reward_step']:.2f}, gold {values['gold_step']:.2f} a step"
    asked, answered = values["comparisons_asked"], values["comparisons"]
    of = f" of {asked:.0f}" if asked > answered else ""
    right = values.get("heldout_agreement")
    pairs = counted(int(values.get("heldout_pairs", 0)), "held-out pair")
    ordered = "" if right is None else f", {right:.0%} of {pairs} ordered as judged"
    return f"{told}, {answered:.0f}{of} {ANSWERS[asks]}{ordered}"


@dataclass
class _Points:
    """Evaluations along the way. What was seen stays on disk, since the proxy of every point is
    what the reward at the end says of it. limit: steps of an episode."""

    config: LearnFromClipsConfig
    context: StageContext
    limit: int

    @property
    def watched(self) -> WatchedFolder:
        from accord.control.watched import WatchedFolder

        return WatchedFolder(self.context.folder / WATCHED)

    def evaluate(self, step: int, act: Act) -> None:
        """Watch a policy and keep what was seen."""
        from accord.control.evaluation import watch

        config = self.config
        seed = derive_seed(self.context.seed, "evaluation")
        seen = watch(
            config.environment,
            act,
            config.evaluation,
            self.limit,
            seed,
            patience=config.patience,
        )
        self.watched.keep(step, seen, seed)
        measured = ", ".join(f"{name} {row.mean():.2f}" for name, row in seen.measured.items())
        self.context.say(f"{step:,} steps: gold {seen.gold_N.mean():.1f}, {measured} an episode")

    def scores(self, step: int, learning: ClipLearning) -> PointScores:
        """Gold and proxy of a point's episodes. Without comparisons there is no proxy but gold."""
        from accord.examine.episodes import PointScores

        kept = self.watched.read(step)
        learned = self.config.learn_from == "comparisons"
        proxy_N = kept.proxy_N(learning.reward) if learned else kept.gold_N
        return PointScores(step, kept.gold_N, proxy_N, kept.measured)


def _result(
    config: LearnFromClipsConfig,
    context: StageContext,
    learning: ClipLearning,
    points: _Points,
    scores: list[PointScores],
    answers: list[dict[str, Any]],
) -> StageResult:
    from accord.control.asked_kinds import ANSWERS
    from accord.examine.episodes import decide_episodes, measure_episodes
    from accord.runs.stages.clip_card import leave_card
    from accord.runs.stages.clip_film import draw

    gold_by: GoldBy = "tuned on" if config.learn_from == "reward" else "environment"
    evidence = measure_episodes(config.environment, scores, gold_by)
    verdict = decide_episodes(evidence, context.name)
    write_json(context.folder / EPISODES, evidence.model_dump(mode="json"))
    for folder in (context.folder, context.run_dir):
        write_json(folder / "verdict.json", verdict.model_dump(mode="json"))
    learning.save(context.folder)
    draw(context, learning.environments, points.watched, points.limit, config.patience, answers)
    last, values = evidence.last, _values(evidence, learning)
    told = [f"{name} {estimate.value:.2f}" for name, estimate in last.measured.items()]
    asked = f"{learning.answered:,} {ANSWERS[config.asks]}, " if learning.records else ""
    summary = f"{verdict.outcome}: {asked}gold {last.gold}, {', '.join(told)} an episode"
    if learning.records:
        judged, _ = learning.questions.read()
        values |= leave_card(context, learning.reward, judged)
    artefacts = {
        "feedback": context.folder / "feedback.jsonl",
        "policy": context.folder / "policy.safetensors",
        "reward": context.folder / REWARD,
        "evidence": context.folder / EPISODES,
        "episodes": context.folder / "episodes",
        "card": context.folder / REWARD_CARD,
    }
    kept = {name: path for name, path in artefacts.items() if path.exists()}
    return StageResult(summary, values, kept)


def _values(evidence: EpisodeEvidence, learning: ClipLearning) -> dict[str, Value]:
    last = evidence.last
    values: dict[str, Value] = {
        "environment_steps": learning.environment_steps,
        "comparisons": learning.answered,
        "gold": last.gold.value,
        "gold_gain": last.gold_gain.value,
        "proxy_gain": last.proxy_gain.value,
    }
    values |= {name: estimate.value for name, estimate in last.measured.items()}
    return values | learning.told
