"""Policies imitated from demonstrations, every method beside the expert and acting at random."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from accord.control.cloning import CloningSettings, DaggerSettings
from accord.control.demonstrations import Horizon
from accord.control.discriminators import DiscriminatorSettings
from accord.control.gym_batch import PATIENCE
from accord.control.ppo import VectorPpoSettings
from accord.errors import ConfigError, DataError
from accord.learning.settings import Steps
from accord.runs.context import NotYet, StageContext
from accord.runs.plan import Plan
from accord.runs.stage import Stage, StageConfig, StageResult, Value
from accord.runs.stages.settings import CheckpointConfig
from accord.seeds import derive_seed
from accord.validation import Unit

if TYPE_CHECKING:
    from accord.control.discriminators import AirlReward
    from accord.control.environments import EnvironmentBatch
    from accord.control.episodes import Episode
    from accord.control.ppo import VectorPpo
    from accord.control.rollouts import Act

Method = Literal["cloning", "dagger", "gail", "airl"]
MEASURED, EPISODES, POLICIES = "measured.jsonl", "demonstrations", "policies"
REWARDS, LEARNING = "rewards", "learning"
ASIDE = ("random", "expert", "shown", "cloning", "dagger", "gail", "airl")
"""Rows of the stage's own: no policy beside may be called so."""
PACE = (3_000, 20_000)
"""Steps per second that an adversarial method takes at least and at most, learning included."""


class ImitateConfig(StageConfig):
    """Settings of an imitate stage."""

    kind: Literal["imitate"]
    environment: str = Field(
        description="accord:NAME (HalfCheetah, …), an id of Gymnasium's, or module:EnvId."
    )
    episode_steps: Steps | None = Field(
        None, ge=1, description="Steps of an episode; none: the environment's own."
    )
    horizon: Horizon = Field(
        "fixed",
        description=(
            "fixed: no episode may end before its time, or the stage refuses: a learned reward that"
            " is always above 0 pays for lasting, whatever was shown; absorb: what ended (an"
            " environment of Gymnasium's) stays as it is until its time is over; variable: episodes"
            " end when they end, and you know what that does to learned rewards."
        ),
    )
    expert: str | None = Field(
        None,
        description=(
            "The expert's policy.safetensors, or stage:NAME/policy of a learn_from_clips stage:"
            " shows what demonstrations do not, and is asked by dagger."
        ),
    )
    demonstrations: str | None = Field(
        None,
        description=(
            "Episodes that were recorded: a folder of accord control record, a dataset of Minari,"
            " or a .npz of flattened trajectories; none: the expert shows them."
        ),
    )
    beside: dict[str, str] = Field(
        default_factory=dict,
        description="Other policies that are measured alike: name -> policy.safetensors.",
    )
    shown: list[Annotated[int, Unit("episodes")]] = Field(
        [1, 4, 16],
        min_length=1,
        description="Demonstrations that each method learns from, in turn.",
    )
    methods: list[Method] = Field(
        ["cloning", "dagger", "gail", "airl"], min_length=1, description="What is tried."
    )
    steps: Steps = Field(
        100_000, ge=1, description="Steps of the environment that GAIL and AIRL take, each time."
    )
    cloning: CloningSettings = Field(
        default_factory=CloningSettings, description="Behavioural cloning, and DAgger's."
    )
    dagger: DaggerSettings = Field(default_factory=DaggerSettings, description="How DAgger asks.")
    discriminator: DiscriminatorSettings = Field(
        default_factory=DiscriminatorSettings, description="Of GAIL and AIRL."
    )
    policy: VectorPpoSettings = Field(
        default_factory=VectorPpoSettings, description="The policy of every method, and PPO."
    )
    checkpoints: CheckpointConfig = Field(CheckpointConfig(), description="When and how many.")
    evaluation: Annotated[int, Unit("episodes")] = Field(
        32, ge=2, description="Episodes in which a policy is measured, by its likeliest actions."
    )
    patience: Annotated[float, Unit("seconds")] = Field(
        PATIENCE,
        gt=0,
        description="Longest that a step or a reset of an environment of Gymnasium's may take.",
    )

    @field_validator("shown")
    @classmethod
    def _are_counts(cls, shown: list[int]) -> list[int]:
        if min(shown) < 1 or sorted(set(shown)) != shown:
            raise ValueError("numbers of 1 or more, each greater than the one before")
        return shown

    @model_validator(mode="after")
    def _can_be_shown(self) -> ImitateConfig:
        if self.expert is None and self.demonstrations is None:
            raise ValueError("nobody shows anything: set expert, or demonstrations")
        if self.expert is None and "dagger" in self.methods:
            raise ValueError("dagger asks the expert, and there is none: set expert, or leave out")
        taken = [name for name in self.beside if name in ASIDE]
        if taken:
            raise ValueError(f"beside: {taken[0]!r} is a row of the stage's own: call it otherwise")
        return self


class Imitate(Stage):
    """Behavioural cloning, DAgger, GAIL and AIRL from the same demonstrations: what each policy
    earns, as a share of what the expert earns above acting at random."""

    kind = "imitate"
    Config = ImitateConfig
    provides = dict.fromkeys(("cloning", "dagger", "gail", "airl", EPISODES, "reward"))
    about = "policies imitated from demonstrations, and what they earn of the expert's return"

    def plan(self, config: ImitateConfig, context: StageContext) -> Plan:
        task = _Task(config, context)
        env = task.made(1)
        if config.horizon == "fixed":
            task.check_horizon()
        if config.demonstrations is not None:
            with suppress(NotYet):
                task.given()
        for reference in (config.expert, *config.beside.values()):
            if reference is not None:
                with suppress(NotYet):
                    task.saved(reference)
        adversarial = len(config.shown) * sum(m in ("gail", "airl") for m in config.methods)
        total = adversarial * config.steps + len(config.shown) * 4 * task.limit * 100
        notes = [f"{env.name}: {env.observation_size} numbers observed, {env.actions.kind} actions,"
                 f" episodes of {task.limit:,} steps, horizon: {config.horizon}"]  # fmt: skip
        if config.horizon == "variable":
            notes.append("how long episodes last may tell learned rewards more than what is done")
        return Plan(
            rows=config.shown[-1],
            steps=adversarial * max(1, config.steps // task.rollout),
            seconds=(total / PACE[1], total / PACE[0]),
            notes=notes,
        )

    def run(self, config: ImitateConfig, context: StageContext) -> StageResult:
        from accord.control.networks import one_thread

        with one_thread():
            return _imitated(config, context, _Task(config, context))


@dataclass(frozen=True)
class _Task:
    """The environment, who shows and what was shown."""

    config: ImitateConfig
    context: StageContext

    def made(self, count: int) -> EnvironmentBatch:
        """So many environments, as the horizon has it."""
        from accord.control.making import make

        config = self.config
        fixed, absorb = config.horizon == "fixed", config.horizon == "absorb"
        return make(
            config.environment, count, config.episode_steps, fixed, config.patience, False, absorb
        )

    @cached_property
    def limit(self) -> int:
        """Steps of an episode."""
        from accord.control.gym_batch import known_limit

        return self.config.episode_steps or known_limit(self.made(1))

    @property
    def rollout(self) -> int:
        """Steps of all environments between two updates of the policy."""
        return self.config.policy.rollout * self.config.policy.environments

    def check_horizon(self) -> None:
        """Raise ConfigError where an episode ends before its time."""
        from accord.control.demonstrations import PROBED, check_horizon

        check_horizon(self.made(PROBED), self.limit, self.context.seed)

    def saved(self, reference: str, greedy: bool = False) -> tuple[Act, Mapping[str, str]]:
        """(a saved policy, what its file says of itself). Raises NotYet where it is still to be
        made, ConfigError for one of another environment."""
        from accord.control.leaving import saved_policy
        from accord.control.saving import read_saved

        path, env = self.context.resolve(reference), self.made(1)
        head, _ = read_saved(path, "policy")
        if head["environment"] != env.name:
            raise ConfigError(
                f"{reference} was learned in {head['environment']}, not in {env.name}",
                "name a policy of this environment",
            )
        return saved_policy(path, env.observation_size, env.actions, greedy), head

    def given(self) -> list[Episode]:
        """The demonstrations that were recorded, checked."""
        from accord.control.demonstrations import read_demonstrations

        config = self.config
        assert config.demonstrations is not None  # the caller asked
        with self.context.about("demonstrations"):
            path = self.context.resolve(config.demonstrations)
            episodes = read_demonstrations(path, config.environment)
            self._check(episodes)
        return episodes

    def _check(self, episodes: list[Episode]) -> None:
        from accord.control.demonstrations import check_shown

        steps = None if self.config.horizon == "variable" else self.limit
        check_shown(episodes, self.made(1), steps, self.config.shown[-1])

    def demonstrations(self) -> list[Episode]:
        """Those that were recorded, or that the expert shows as it acts; kept in the stage's
        folder."""
        from accord.control.episodes import EpisodeStore
        from accord.control.recording import SIDE_BY_SIDE, record

        store = EpisodeStore(self.context.folder / EPISODES)
        if store.blocks:
            return [store.episode(name) for name in store.ids]
        if self.config.demonstrations is not None:
            episodes = self.given()[: self.config.shown[-1]]
        else:
            assert self.config.expert is not None  # or there are demonstrations
            expert, _ = self.saved(self.config.expert)
            wanted, seed = self.config.shown[-1], derive_seed(self.context.seed, "demonstrations")
            most = (wanted + 1) * self.limit
            found = record(self.made(min(wanted, SIDE_BY_SIDE)), expert, wanted, seed, most)
            episodes = found.episodes
            with self.context.about("expert"):
                self._check(episodes)
        store.append(episodes)
        return episodes

    def earned(self, act: Act) -> float:
        """Mean return of a policy, from the same starts as every other."""
        from accord.control.evaluation import watch

        config, seed = self.config, derive_seed(self.context.seed, "evaluation")
        seen = watch(
            config.environment,
            act,
            config.evaluation,
            self.limit,
            seed,
            endless=config.horizon == "fixed",
            patience=config.patience,
        )
        return float(seen.gold_N.mean())


@dataclass(frozen=True)
class _Learned:
    """steps: of the environment; asked: steps that the expert labelled; reward: AIRL's."""

    learner: VectorPpo
    steps: int
    asked: int
    reward: AirlReward | None = None


def _imitated(config: ImitateConfig, context: StageContext, task: _Task) -> StageResult:
    episodes = task.demonstrations()
    log = context.log(MEASURED)
    known = {(row["method"], row["shown"]): row for row in log.rows}
    for (name, act), spent in _references(config, task, episodes):
        if (name, 0) not in known:
            earned = spent.pop("return") if act is None else task.earned(act)
            known[name, 0] = {"method": name, "shown": 0, "return": earned, **spent}
            log.append([known[name, 0]])
    top, bottom = known["expert", 0]["return"], known["random", 0]["return"]
    context.say(f"return of the expert {top:.1f}, of acting at random {bottom:.1f}")
    if top <= bottom:
        raise DataError(
            f"the expert earns {top:.4g} an episode, acting at random {bottom:.4g}: there is"
            " nothing to imitate",
            "train the expert longer, or show better demonstrations",
        )
    units = [
        (m, n) for n in config.shown for m in config.methods if (m, n) not in _impossible(config)
    ]
    for number, (method, count) in enumerate(units):
        if (method, count) not in known:
            seed = derive_seed(context.seed, method, count)
            learned = _learn(method, episodes[:count], task, seed)
            _save(learned, task, f"{method}-{count}")
            row: dict[str, Any] = {"method": method, "shown": count}
            row |= {"steps": learned.steps, "asked": learned.asked}
            row["return"] = task.earned(learned.learner.actor(greedy=True))
            known[method, count] = row
            log.append([row])
            shutil.rmtree(
                context.folder / LEARNING / f"{method}-{count}/checkpoints", ignore_errors=True
            )
        share = 100 * (known[method, count]["return"] - bottom) / (top - bottom)
        context.checkpoint(number + 1, len(units), f"{method}, {count} shown: {share:.0f} %")
    return _result(config, context, known)


def _impossible(config: ImitateConfig) -> set[tuple[str, int]]:
    """DAgger where there are fewer episodes than rounds: its first round alone would be
    cloning."""
    return {("dagger", n) for n in config.shown if n < config.dagger.rounds}


def _references(
    config: ImitateConfig, task: _Task, episodes: list[Episode]
) -> list[tuple[tuple[str, Act | None], dict[str, Any]]]:
    """((row, its policy), what it took) of what stands beside the methods. Recorded demonstrations
    have their mean return and no policy; they are the row of the expert where there is no other."""
    from accord.control.rollouts import at_random

    found: list[tuple[tuple[str, Act | None], dict[str, Any]]] = []
    found.append((("random", at_random(task.made(1).actions)), {}))
    named = dict(config.beside)
    if config.expert is not None:
        named = {"expert": config.expert} | named
    if config.demonstrations is not None:
        paid = [float(one.reward_T.sum()) for one in episodes]
        row = "expert" if config.expert is None else "shown"
        found.append(((row, None), {"return": sum(paid) / len(paid)}))
    for name, reference in named.items():
        with task.context.about("expert" if name == "expert" else f"beside.{name}"):
            act, head = task.saved(reference, greedy=True)
        spent = {key: int(head[key]) for key in ("steps", "asked") if key in head}
        found.append(((name, act), spent))
    return found


def _learn(method: str, episodes: list[Episode], task: _Task, seed: int) -> _Learned:
    """What a method learns from these demonstrations; dagger asks for as many steps as they
    have."""
    from accord.control.adversarial import AdversarialLearning
    from accord.control.cloning import clone, dagger
    from accord.control.demonstrations import shown_steps
    from accord.control.ppo import VectorPpo

    config, one, count = task.config, task.made(1), len(episodes)
    shown = shown_steps(episodes)

    def fresh() -> VectorPpo:
        own = derive_seed(seed, "policy")
        return VectorPpo(config.policy, one.observation_size, one.actions, 1, own)

    if method == "cloning":
        learner = fresh()
        clone(learner, shown, config.cloning, seed)
        return _Learned(learner, 0, len(shown))
    if method == "dagger":
        assert config.expert is not None  # checked with the settings
        expert, _ = task.saved(config.expert)
        each = count // config.dagger.rounds
        first = shown_steps(episodes[: count - each * (config.dagger.rounds - 1)])
        learner, said = dagger(
            fresh, task.made(each), expert, first, task.limit, config.dagger, config.cloning, seed
        )
        return _Learned(learner, len(said) - len(first), len(said))
    learning = AdversarialLearning(
        "gail" if method == "gail" else "airl",
        task.made(config.policy.environments),
        shown,
        config.discriminator,
        config.policy,
        config.steps,
        seed,
        config.horizon == "variable",
        task.context.say,
    )

    def note(told: Mapping[str, float]) -> str:
        return f"{method}, {count} shown: gold {told['gold_step']:.2f} a step"

    learning.run(
        task.context.session(
            note, within=f"{LEARNING}/{method}-{count}", **config.checkpoints.model_dump()
        )
    )
    reward = learning.learned_reward() if method == "airl" else None
    return _Learned(learning.learner, learning.environment_steps, len(shown), reward)


def _save(learned: _Learned, task: _Task, name: str) -> None:
    """As a learn_from_clips stage saves its policy and its reward."""
    from accord.control.saving import save_arrays, saved_head

    env, folder = task.made(1), task.context.folder
    spent = {"steps": learned.steps, "asked": learned.asked}
    head = saved_head("policy", env, "ppo", task.config.policy, spent)
    save_arrays(folder / POLICIES / f"{name}.safetensors", learned.learner.arrays(), head)
    if learned.reward is not None:
        head = saved_head("reward", env, "airl", task.config.discriminator, spent)
        save_arrays(folder / REWARDS / f"{name}.safetensors", learned.reward.arrays(), head)


def _result(
    config: ImitateConfig, context: StageContext, known: Mapping[tuple[str, int], dict[str, Any]]
) -> StageResult:
    """`share_N.ROW` in percent of the way from acting at random to the expert, N demonstrations, or
    `share_all.ROW` where none were used; return.ROW, steps.ROW and asked.ROW at the most."""
    top, bottom = known["expert", 0]["return"], known["random", 0]["return"]
    values: dict[str, Value] = {}
    for (name, count), row in known.items():
        share = 100 * (row["return"] - bottom) / (top - bottom)
        values[f"share_{count or 'all'}.{name}"] = share
        if count in (0, config.shown[-1]):
            values |= {
                f"{key}.{name}": row[key] for key in ("return", "steps", "asked") if key in row
            }
    most = config.shown[-1]
    told = [f"{m} {values[f'share_{most}.{m}']:.0f} %" for m in config.methods
            if f"share_{most}.{m}" in values]  # fmt: skip
    artefacts = {EPISODES: context.folder / EPISODES}
    for method in config.methods:
        path = context.folder / POLICIES / f"{method}-{most}.safetensors"
        if path.exists():
            artefacts[method] = path
    if (reward := context.folder / REWARDS / f"airl-{most}.safetensors").exists():
        artefacts["reward"] = reward
    return StageResult(
        f"of the expert's return above random, {most} shown: {', '.join(told)}", values, artefacts
    )
