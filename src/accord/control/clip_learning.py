"""A policy that learns from what is said of clips of its own behaviour (Christiano et al. 2017):
walk, cut clips, ask, learn the reward, learn the policy, and again.

Clips are cut from the rollouts that the policy learns from: asking costs no step of the
environment. Suffixes: T steps, N environments, I numbers of a reward's input, L steps of a clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from accord.control.answering import SHOWN
from accord.control.asked_kinds import ANSWERS
from accord.control.asking import ClipPool, pieces_of
from accord.control.clip_reward import ClipReward, member_seed
from accord.control.environments import Mask
from accord.control.episodes import Episode, EpisodeStore
from accord.control.film import Film
from accord.control.going_on import GoingOn
from accord.control.gym_batch import check_moves, known_limit
from accord.control.hearing import Hearing
from accord.control.keeping import Arrays, as_arrays, as_tensors, best
from accord.control.learners import PolicyLearner, policy_learner
from accord.control.making import make
from accord.control.people import ClipJudges
from accord.control.poses import has_poses
from accord.control.reading_clips import judged_clips
from accord.control.recent import RecentWalk
from accord.control.rollouts import Act, Steps, Walker
from accord.control.saving import save_arrays, saved_head
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import SimulatedWatcher, Watcher
from accord.errors import DataError, RunError
from accord.feedback.records import Feedback
from accord.files import AppendLog
from accord.learning.session import Session, State
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array

ENDS = 1024
"""Latest steps that ended an episode, of which the floor is the mean."""
STARTS = 32
"""Starts of which the mean is what staying there is worth."""
GATHERED = 50
"""Rollouts after which clips for the first comparisons must have been found."""
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
        """watcher: who judges; a simulated one, that likes what the environment pays, where none
        is given; people: who judge instead, in their own time. Raises ConfigError for what `make`
        refuses, and for keep: best where nobody says how long an episode is."""
        self.settings, self.seed, self.say = settings, seed, say
        learning = settings.learning
        filmed = people is not None and not has_poses(settings.environment)
        fixed, absorb = settings.horizon == "fixed", settings.horizon == "absorb"
        self.environments = make(
            settings.environment,
            learning.environments,
            settings.episode_steps,
            fixed,
            settings.patience,
            filmed,
            absorb,
        )
        if settings.keep == "best":
            known_limit(self.environments)  # refused now, not when everything is learned
        self._film = Film(self.environments)
        self.watcher = watcher or SimulatedWatcher(
            settings.wording, settings.rationality, settings.mistakes, settings.asks
        )
        size, form = self.environments.observation_size, self.environments.actions
        self.learner = self._newborn(0)
        self._recent = RecentWalk(1 if filmed else settings.recent)  # frames are not kept so long
        self.reward = ClipReward(settings.reward, size, form, member_seed(seed), absorb)
        self.store = EpisodeStore(folder / "episodes")
        self._log = AppendLog(folder / "feedback.jsonl")
        self._hearing = None if people is None else Hearing(people, settings, self._log, say)
        self._walker = Walker(self.environments)
        self._ends_BI = np.zeros((0, len(self.reward.centre_I)))
        self._starts_BI = self._ends_BI if settings.zero_first == 1 else self._at_the_start()
        self._learnt: dict[str, float] = {}
        self._relearnt = False
        self._lived: list[Arrays] = []
        self.environment_steps = 0

    @property
    def records(self) -> list[Feedback]:
        """What was judged so far."""
        return [Feedback.model_validate(row) for row in self._log.rows]

    def run(self, session: Session, evaluate: Evaluate = lambda _, __: None) -> None:
        """From where the session's last checkpoint was to the end. `evaluate` is called before the
        first rollout and after those that `settings.points` name."""
        settings, total = self.settings, self.settings.rollouts
        state = session.restore()
        done = 0 if state is None else self._load(state)
        if state is None:
            self._forget()
            self._walker.begin(generator(self.seed, "begin"), settings.begins_elsewhere(0))
            evaluate(0, self.learner.actor())
        asked = settings.schedule() if settings.learn_from == "comparisons" else {}
        begins = {life.start for life in settings.lives[1:]}
        points = {round(total * (n + 1) / settings.points) for n in range(settings.points)}
        for number in range(done, total):
            if number in begins:
                self._begin_anew(number)
            steps = self._walk(number)
            exploring = bool(asked) and number < settings.first_asked
            if asked and number == settings.first_asked:
                self._first_comparisons(number, steps)
            elif number in asked:
                pool = self._pool(number, self._recent.until(steps))
                self._ask(number, pool, asked[number])
            elif asked:
                self._recent.add(steps)
            if asked and not exploring:
                self._hear(number)
            values = self.learner.explore(steps) if exploring else self._learn(number, steps)
            if number + 1 == total and settings.keep == "best":
                self._keep_best(number)
            if number + 1 in points:
                evaluate(self.environment_steps, self.learner.actor())
            values |= self._learnt | {
                "environment_steps": float(self.environment_steps),
                "comparisons": float(self.answered),
                "comparisons_asked": float(self._asked),
                "gold_step": float(steps.reward_TN.mean()),
            }
            session.end_step(number + 1, total, values, partial(self._state, number + 1))
        if self._hearing is not None:
            self._hearing.last_words()

    @property
    def answered(self) -> int:
        """Answers so far, without what people said beside them."""
        return len(self._log.rows) if self._hearing is None else self._hearing.answered

    @property
    def _asked(self) -> int:
        return len(self._log.rows) if self._hearing is None else self._hearing.asked

    @property
    def told(self) -> dict[str, float]:
        """What the reward said of itself when it last learned."""
        return dict(self._learnt)

    def save(self, folder: Path) -> None:
        """Write policy.safetensors, with what it cost, and, where one was learned,
        reward.safetensors."""
        spent = {"steps": self.environment_steps, "asked": self.answered}
        env, settings = self.environments, self.settings
        head = saved_head("policy", env, settings.learner, settings.learning, spent)
        save_arrays(folder / "policy.safetensors", self.learner.arrays(), head)
        if self._log.rows:
            head = saved_head("reward", env, settings.learner, settings.reward, spent)
            save_arrays(folder / "reward.safetensors", self.reward.arrays(), head)

    # --- walking ----------------------------------------------------------------------------------
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
        again = settings.reward.anew_steps if self._log.rows else 0
        if again:
            self.reward.begin_anew()
            self._learn_reward(again)
        who = "the policy and the reward begin" if again else "the policy begins"
        self.say(f"rollout {number + 1}: {who} anew")

    def _keep_best(self, number: int) -> None:
        policies = [*self._lived, self.learner.arrays()]
        seed, rewards = derive_seed(self.seed, "keep"), partial(self._rewards, number)
        limit = known_limit(self.environments)
        kept = best(policies, self.learner, self.settings, limit, rewards, seed)
        self.environment_steps += kept.steps
        each = ", ".join(f"{one:.0f}" for one in kept.returns)
        self.say(
            f"of {len(policies)} lives of the policy number {kept.place + 1} is kept: their"
            f" episodes pay {each} by the reward as it is now"
        )

    def _walk(self, number: int, again: int = 0) -> Steps:
        """The rollout of this number; again: how many of it came before."""
        rng = generator(self.seed, "rollout", number, again)
        act, settings = self.learner.behaviour(), self.settings
        seen, rows = self._film.take if self._shows(number) else None, settings.learning.rollout
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
        ended_BI = self.reward.of_steps(steps, steps.terminated_TN)
        self._ends_BI = np.concatenate([self._ends_BI, ended_BI])[-ENDS:]
        return steps

    def _rewards(self, number: int, steps: Steps) -> Array:
        """What the policy learns from in this rollout."""
        if self.settings.learn_from == "reward":
            return steps.reward_TN - self.settings.ending_costs * steps.terminated_TN
        return self._worth(number, self.reward.of_steps(steps), steps.terminated_TN)

    def _worth(self, number: int, inputs: Array, over: Array | Mask) -> Array:
        """What steps are worth to the policy in this rollout; over: whether the task ended the
        episode there: [...]."""
        rewards = self.reward.rewards(inputs) - self.settings.ending_costs * over
        left = 1 - self.settings.floor_share(number)
        return rewards - left * self._start() if left else rewards

    def _learn(self, number: int, steps: Steps) -> dict[str, float]:
        """The policy, from this rollout; what it remembers is told anew where its reward is another
        than it was."""
        moved = self.settings.floor_share(number) != self.settings.floor_share(number - 1)
        if self.settings.learn_from == "comparisons" and (self._relearnt or moved):
            self.learner.relabel(
                lambda seen, action, then, over: self._worth(
                    number, self.reward.inputs(seen, action, then), over
                )
            )
            self._relearnt = False
        reward_TN = self._rewards(number, steps)
        return self.learner.learn(steps, reward_TN) | {"reward_step": float(reward_TN.mean())}

    def _start(self) -> float:
        """What it is worth to stay as an episode begins: above the floor."""
        return float(self.reward.rewards(self._starts_BI).mean())

    def _at_the_start(self) -> Array:
        """Inputs of steps in which the task's own starts stay as they are."""
        settings = self.settings
        fixed = settings.horizon == "fixed"
        begun = make(settings.environment, STARTS, settings.episode_steps, fixed)
        begun.reset(np.arange(STARTS), generator(self.seed, "starts"))
        return self.reward.staying(begun.observe())

    # --- asking -----------------------------------------------------------------------------------
    def _first_comparisons(self, number: int, steps: Steps) -> None:
        """Clips of the policy as it begins, from as many rollouts as they take."""
        count, size = self.settings.first_answers, SHOWN[self.settings.asks]
        gathered = [self._recent.until(steps)]
        pool = self._pool(number, gathered[0])
        while len(pool.clips) < size * count and len(gathered) < GATHERED:
            more = self._walk(number, len(gathered))
            self.learner.remember(more)
            gathered.append(more)
            pool.add(self._pieces(number, more, len(gathered) - 1))
        if len(pool.clips) < size:
            found = (
                f"only {len(pool.clips)} of {size} pieces last"
                if pool.clips
                else "no episode lasts"
            )
            raise DataError(
                f"{found} for a clip of {self.settings.clip} steps: of {pool.pieces:,}"
                f" pieces of episodes the longest has {pool.longest}",
                "use shorter clips",
            )
        inputs = [self.reward.of_steps(one).reshape(-1, len(self.reward.centre_I))
                  for one in gathered]  # fmt: skip
        self.reward.fix_scale(np.concatenate(inputs))
        self._ask(number, pool, count)

    def _pool(self, number: int, steps: Steps) -> ClipPool:
        pool = ClipPool(self.settings.clip)
        pool.add(self._pieces(number, steps))
        return pool

    def _pieces(self, number: int, steps: Steps, again: int = 0) -> list[Episode]:
        name = f"{number:05d}-{again:02d}" if again else f"{number:05d}"
        pieces = pieces_of(steps, name, self.seed, self.environments)
        if self._hearing is None:
            return pieces
        # A resumed run may walk elsewhere, after other judgements: what was shown keeps its name.
        pieces = [replace(one, id=f"{one.id}-{one.digest[:8]}") for one in pieces]
        self._film.cut(steps, pieces)
        return pieces

    def _shows(self, number: int) -> bool:
        return self._hearing is not None and number in self.settings.schedule()

    def _ask(self, number: int, pool: ClipPool, count: int) -> None:
        """Choose clips, keep the episodes they lie in, have them judged, learn from all so far."""
        settings, rng = self.settings, generator(self.seed, "asking", number)
        hearing = self._hearing
        if hearing is not None:
            count -= hearing.people.standing(number)  # asked before it was interrupted
            if count <= 0:
                return
        first, size = number == settings.first_asked, SHOWN[settings.asks]
        asked = []
        if len(pool.clips) >= size:
            asked = pool.choose(self.reward, settings, count, first, hearing is None, rng)
        if len(asked) < count:
            self.say(
                f"rollout {number + 1}: {len(asked):,} of {count:,} {ANSWERS[settings.asks]} asked:"
                f" there are {len(pool.clips):,} clips of {settings.clip} steps"
            )
        if not asked:
            return
        there = set() if hearing is None else set(self.store.ids)
        self.store.append([one for one in pool.of(asked) if one.id not in there])
        if hearing is not None:
            clips = [clip for one in asked for clip in one.clips]
            hearing.ask(number, asked, self._film.drawings(clips, pool.episodes))
            return
        records = self.watcher.judge(asked, rng)
        self._log.append([one.model_dump(mode="json") for one in records])
        self._learn_reward(settings.reward.first_steps if first else settings.reward.round_steps)

    def _hear(self, number: int) -> None:
        """Learn from what people judged since; wait for them where the schedule says so."""
        hearing = self._hearing
        if hearing is None:
            return
        now = hearing.listen(number)
        if hearing.people.goes_on:
            going = GoingOn(
                hearing.people, self.store, self._film, self.settings.asks, self.seed, self.say
            )
            going.answer(self.records, self.learner.actor())
        if hearing.fresh:
            self._learn_reward(hearing.updates)
            hearing.tell(now, self.environment_steps, self._learnt.get("heldout_agreement"))

    def _learn_reward(self, updates: int) -> None:
        judged, left = judged_clips(self.records, self.store, self.reward)
        for reason, count in left.items():
            self.say(f"{count:,} of {len(self._log.rows):,} judgements teach no reward: {reason}")
        if judged is None:
            raise DataError("no judgement so far says anything of a clip", "judge clips")
        if judged.uneven:
            self.say(
                f"{judged.uneven:,} judgements choose among clips of different lengths: each step"
                " adds to the sum that decides"
            )
        self._learnt = self.reward.learn(judged, updates)
        self.reward.settle(self._ends_BI)
        self._relearnt = True

    # --- checkpoints ------------------------------------------------------------------------------
    def _state(self, done: int) -> State:
        return {
            "done": done,
            "learner": self.learner.state(),
            "reward": self.reward.state(),
            "ends": torch.from_numpy(self._ends_BI),
            "recent": self._recent.state(),
            "learnt": dict(self._learnt),
            "lived": as_tensors(self._lived),
            "environment_steps": self.environment_steps,
            "blocks": self.store.blocks,
            "records": len(self._log.rows),
            "heard": 0 if self._hearing is None else self._hearing.learned,
            "watcher": self.watcher.state(),
            "walker": self._walker.state(),
        }

    def _load(self, state: State) -> int:
        done = int(state["done"])
        self.learner = self._newborn(self.settings.life(max(0, done - 1)))
        self.learner.load(state["learner"])
        self.reward.load(state["reward"])
        self.watcher.load(state["watcher"])
        self._ends_BI = state["ends"].numpy()
        self._learnt = dict(state["learnt"])
        self._lived = as_arrays(state["lived"])
        self.environment_steps = int(state["environment_steps"])
        self._forget(state["blocks"], state["records"])
        if self._hearing is not None:
            self._hearing.learned = int(state["heard"])
        if self._walker.load(state["walker"]):
            self._recent.load(state["recent"])
        else:
            self.say(f"the state of {self.settings.environment} cannot be set: new episodes begin")
            elsewhere = self.settings.begins_elsewhere(done)
            self._walker.begin(generator(self.seed, "begin again", done), elsewhere)
        return done

    def _forget(self, blocks: int = 0, records: int = 0) -> None:
        """What came after a checkpoint is done again, to the bit; what people judged or may still
        judge stays."""
        if self._hearing is not None:
            return
        self.store.keep(blocks)
        kept = {id(row) for row in self._log.rows[:records]}
        self._log.keep(lambda row: id(row) in kept)
