"""A policy that learns from what is said of clips of its own behaviour (Christiano et al. 2017):
walk, ask about clips, learn the reward, learn the policy, and again.

What is asked, and of whom, is `questioning`'s; what steps are worth by what was learned is
`paying`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from accord.control.clip_reward import ClipReward, member_seed
from accord.control.episodes import EpisodeStore
from accord.control.gym_batch import check_moves, known_limit
from accord.control.keeping import Arrays, as_arrays, as_tensors, best
from accord.control.learners import PolicyLearner, policy_learner, told_of
from accord.control.making import make
from accord.control.paying import Pay
from accord.control.people import ClipJudges
from accord.control.poses import has_poses
from accord.control.questioning import Questioning
from accord.control.rollouts import Act, Steps, Walker, joined
from accord.control.saving import save_arrays, saved_head
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import Watcher
from accord.errors import RunError
from accord.feedback.records import Feedback
from accord.learning.session import Session, State
from accord.seeds import derive_seed, generator

Evaluate = Callable[[int, Act], None]
"""(environment steps so far, how the policy acts)."""


class ClipLearning:
    """The loop, its state, and what it leaves: `episodes/` and `feedback.jsonl` in the folder."""

    def __init__(
        self,
        settings: ClipLearningSettings,
        seed: int,
        folder: Path,
        watcher: Watcher | None = None,
        say: Callable[[str], None] = lambda _: None,
        people: ClipJudges | None = None,
    ) -> None:
        """watcher, people: who judges (`Questioning`). Raises ConfigError for what `make` refuses,
        and for keep: best where nobody says how long an episode is."""
        self.settings, self.seed, self.say = settings, seed, say
        filmed = people is not None and not has_poses(settings.environment)
        fixed, absorb = settings.horizon == "fixed", settings.horizon == "absorb"
        self.environments = make(
            settings.environment,
            settings.learning.environments,
            settings.episode_steps,
            fixed,
            settings.patience,
            filmed,
            absorb,
        )
        if settings.keep == "best":
            known_limit(self.environments)  # refused now, not when everything is learned
        size, form = self.environments.observation_size, self.environments.actions
        self.learner = self._newborn(0)
        self.reward = ClipReward(settings.reward, size, form, member_seed(seed), absorb)
        self.pay = Pay(settings, self.reward, seed)
        self.questions = Questioning(
            settings, seed, folder, self.environments, self.reward, watcher, people, say
        )
        self._walker = Walker(self.environments)
        self._stale = False  # what the policy remembers was paid by another reward
        self._lived: list[Arrays] = []
        self.environment_steps = 0

    @property
    def records(self) -> list[Feedback]:
        """What was judged so far."""
        return self.questions.records

    @property
    def answered(self) -> int:
        """Answers so far, without what people said beside them."""
        return self.questions.answered

    @property
    def store(self) -> EpisodeStore:
        """The episodes in which the judged clips lie."""
        return self.questions.store

    @property
    def told(self) -> dict[str, float]:
        """What the reward said of itself when it last learned."""
        return dict(self.questions.told)

    def run(self, session: Session, evaluate: Evaluate = lambda _, __: None) -> None:
        """From where the session's last checkpoint was to the end. `evaluate` is called before the
        first rollout and after those that `settings.points` name."""
        settings, total, questions = self.settings, self.settings.rollouts, self.questions
        state = session.restore()
        done = 0 if state is None else self._load(state)
        if state is None:
            questions.forget()
            self._walker.begin(generator(self.seed, "begin"), settings.begins_elsewhere(0))
            evaluate(0, self.learner.actor())
        begins = {life.start for life in settings.lives[1:]}
        points = {round(total * (n + 1) / settings.points) for n in range(settings.points)}
        for number in range(done, total):
            if number in begins:
                self._begin_anew(number)
            self._stale |= self.pay.moves(number)
            parts, told = self._walk_and_learn(number)
            steps = joined(parts)
            if questions.ask(number, steps, partial(self._walk_on, number)):
                self._reward_learned()
            if questions.hear(number, self.learner.actor, self.environment_steps):
                self._reward_learned()
            if questions.exploring(number):
                values = self.learner.explore(steps)
            else:
                values = told_of([*told, self._learn(number, parts[-1])])
            if number + 1 == total and settings.keep == "best":
                self._keep_best(number)
            if number + 1 in points:
                evaluate(self.environment_steps, self.learner.actor())
            values |= self.told | {
                "environment_steps": float(self.environment_steps),
                "comparisons": float(self.answered),
                "comparisons_asked": float(questions.asked),
                "gold_step": float(steps.reward_TN.mean()),
            }
            session.end_step(number + 1, total, values, partial(self._state, number + 1))
        questions.last_words()

    def save(self, folder: Path) -> None:
        """Write policy.safetensors, with what it cost, and, where one was learned,
        reward.safetensors."""
        spent = {"steps": self.environment_steps, "asked": self.answered}
        env, settings = self.environments, self.settings
        head = saved_head("policy", env, settings.learner, settings.learning, spent)
        save_arrays(folder / "policy.safetensors", self.learner.arrays(), head)
        if self.questions.judged:
            head = saved_head("reward", env, settings.learner, settings.reward, spent)
            save_arrays(folder / "reward.safetensors", self.reward.arrays(), head)

    # --- the policy's lives -----------------------------------------------------------------------
    def _newborn(self, life: int) -> PolicyLearner:
        """A policy that has learned nothing yet, of one of the run's lives."""
        settings, env = self.settings, self.environments
        seed = derive_seed(self.seed, "policy", life) if life else derive_seed(self.seed, "policy")
        rollouts = len(settings.lives[life])
        size, form = env.observation_size, env.actions
        return policy_learner(settings.learning, size, form, rollouts, seed)

    def _begin_anew(self, number: int) -> None:
        settings = self.settings
        before, self.learner = self.learner, self._newborn(settings.life(number))
        self._lived.append(before.arrays())
        self.learner.inherit(before)
        rng = generator(self.seed, "begin anew", number)
        self._walker.begin(rng, settings.begins_elsewhere(number))
        again = settings.reward.anew_steps if self.questions.judged else 0
        if again:
            self.reward.begin_anew()
            self.questions.learn(again)
            self._reward_learned()
        who = "the policy and the reward begin" if again else "the policy begins"
        self.say(f"rollout {number + 1}: {who} anew")

    def _keep_best(self, number: int) -> None:
        policies = [*self._lived, self.learner.arrays()]
        seed, rewards = derive_seed(self.seed, "keep"), partial(self.pay.of, number)
        limit = known_limit(self.environments)
        kept = best(policies, self.learner, self.settings, limit, rewards, seed)
        self.environment_steps += kept.steps
        each = ", ".join(f"{one:.0f}" for one in kept.returns)
        self.say(
            f"of {len(policies)} lives of the policy number {kept.place + 1} is kept: their"
            f" episodes pay {each} by the reward as it is now"
        )

    # --- walking and learning ---------------------------------------------------------------------
    def _walk_and_learn(self, number: int) -> tuple[list[Steps], list[dict[str, float]]]:
        """(the parts of the rollout of this number, what the policy said of all but the last, from
        which it has yet to learn)."""
        rng = generator(self.seed, "rollout", number, 0)
        parts, told = list[Steps](), list[dict[str, float]]()
        for rows in self.settings.parts(number):
            if parts:
                told.append(self._learn(number, parts[-1]))
            parts.append(self._walk(number, rows, rng))
        return parts, told

    def _walk(self, number: int, rows: int, rng: np.random.Generator) -> Steps:
        """Steps of a rollout, by the policy as it is."""
        act, settings, questions = self.learner.behaviour(), self.settings, self.questions
        seen = questions.film.take if questions.shows(number) else None
        elsewhere = settings.begins_elsewhere(number)
        steps = self._walker.walk(act, rows, rng, elsewhere, seen)
        self.environment_steps += steps.size
        if settings.horizon == "fixed" and steps.terminated_TN.any():
            raise RunError(
                f"{settings.environment} ended an episode before its time, with horizon: fixed",
                "set horizon: floor, so that the learned reward does not pay for ending",
            )
        if settings.learn_from == "comparisons":
            check_moves(self.environments)
        self.pay.saw(steps)
        return steps

    def _walk_on(self, number: int, again: int) -> Steps:
        """As many steps as a rollout's more, for questions that need them; again: how often."""
        rng = generator(self.seed, "rollout", number, again)
        steps = self._walk(number, self.settings.learning.rollout, rng)
        self.learner.remember(steps)
        return steps

    def _reward_learned(self) -> None:
        self.pay.settle()
        self._stale = True

    def _learn(self, number: int, steps: Steps) -> dict[str, float]:
        """The policy, from steps of this rollout; what it remembers is told anew where its reward
        is another than it was."""
        if self._stale:
            self.learner.relabel(
                lambda seen, action, then, over: self.pay.worth(
                    number, self.reward.inputs(seen, action, then), over
                )
            )
            self._stale = False
        reward_TN = self.pay.of(number, steps)
        return self.learner.learn(steps, reward_TN) | {"reward_step": float(reward_TN.mean())}

    # --- checkpoints ------------------------------------------------------------------------------
    def _state(self, done: int) -> State:
        return {
            "done": done,
            "learner": self.learner.state(),
            "lived": as_tensors(self._lived),
            "pay": self.pay.state(),
            "questions": self.questions.state(),
            "environment_steps": self.environment_steps,
            "walker": self._walker.state(),
        }

    def _load(self, state: State) -> int:
        done = int(state["done"])
        self.learner = self._newborn(self.settings.life(max(0, done - 1)))
        self.learner.load(state["learner"])
        self._lived = as_arrays(state["lived"])
        self.pay.load(state["pay"])
        self.environment_steps = int(state["environment_steps"])
        goes_on = self._walker.load(state["walker"])
        self.questions.load(state["questions"], goes_on)
        if not goes_on:
            self.say(f"the state of {self.settings.environment} cannot be set: new episodes begin")
            elsewhere = self.settings.begins_elsewhere(done)
            self._walker.begin(generator(self.seed, "begin again", done), elsewhere)
        return done
