"""What a run asks about clips of its rollouts, who answers, and the reward that learns from it.

Clips are cut from the rollouts that the policy learns from: asking costs no step of the
environment, but where the first questions need more clips than one rollout has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from accord.control.answering import SHOWN
from accord.control.asked_kinds import ANSWERS
from accord.control.asking import ClipPool, pieces_of
from accord.control.clip_reward import ClipReward
from accord.control.environments import EnvironmentBatch
from accord.control.episodes import Episode, EpisodeStore
from accord.control.film import Film
from accord.control.going_on import GoingOn
from accord.control.hearing import Hearing
from accord.control.judged_clips import JudgedClips
from accord.control.judgement_log import JudgementLog
from accord.control.people import ClipJudges
from accord.control.poses import has_poses
from accord.control.reading_clips import judged_clips
from accord.control.recent import RecentWalk
from accord.control.rollouts import Act, Steps
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import SimulatedWatcher, Watcher
from accord.errors import DataError
from accord.feedback.records import Feedback
from accord.seeds import generator

GATHERED = 50
"""Rollouts after which clips for the first comparisons must have been found."""


class Questioning:
    """The questions of a run, their answers, and the reward: in its folder `episodes/`, in which
    the clips lie, and `feedback.jsonl`. told: what the reward said of itself when it last learned.

    After each rollout `ask`, then `hear`; each says whether the reward learned meanwhile."""

    def __init__(
        self,
        settings: ClipLearningSettings,
        seed: int,
        folder: Path,
        environments: EnvironmentBatch,
        reward: ClipReward,
        watcher: Watcher | None,
        people: ClipJudges | None,
        say: Callable[[str], None],
    ) -> None:
        """watcher: who judges; a simulated one, that likes what the environment pays, where none
        is given; people: who judge instead, in their own time."""
        self.settings, self.seed, self.say = settings, seed, say
        self.environments, self.reward = environments, reward
        self.watcher = watcher or SimulatedWatcher.of(settings, settings.wording)
        self.film = Film(environments)
        self.store = EpisodeStore(folder / "episodes")
        self.told: dict[str, float] = {}
        self._schedule = settings.schedule() if settings.learn_from == "comparisons" else {}
        self._log = JudgementLog(folder / "feedback.jsonl")
        self._hearing = None if people is None else Hearing(people, settings, self._log, say)
        filmed = people is not None and not has_poses(settings.environment)
        self._recent = RecentWalk(1 if filmed else settings.recent)  # frames are not kept so long

    @property
    def records(self) -> list[Feedback]:
        """What was judged so far."""
        return self._log.records

    @property
    def judged(self) -> bool:
        """Whether anything was, so far."""
        return bool(self._log.rows)

    @property
    def answered(self) -> int:
        """Answers so far, without what people said beside them."""
        return len(self._log.rows) if self._hearing is None else self._hearing.answered

    @property
    def asked(self) -> int:
        """Questions so far."""
        return len(self._log.rows) if self._hearing is None else self._hearing.asked

    # --- asking -----------------------------------------------------------------------------------
    def exploring(self, number: int) -> bool:
        """Whether this rollout comes before the first questions."""
        return bool(self._schedule) and number < self.settings.first_asked

    def shows(self, number: int) -> bool:
        """Whether people see clips of this rollout: it is filmed then."""
        return self._hearing is not None and number in self._schedule

    def ask(self, number: int, steps: Steps, walk_on: Callable[[int], Steps]) -> bool:
        """What the schedule says of a rollout; a simulated watcher answers at once. walk_on: more
        of the rollout, by how many parts came before; the first questions are about clips of as
        many as they take. Raises DataError where no episode lasts for a clip."""
        if number in self._schedule and number == self.settings.first_asked:
            return self._first(number, steps, walk_on)
        if number in self._schedule:
            pool = self._pool(number, self._recent.until(steps))
            return self._choose(number, pool, self._schedule[number])
        if self._schedule:
            self._recent.add(steps)
        return False

    def _first(self, number: int, steps: Steps, walk_on: Callable[[int], Steps]) -> bool:
        """Clips of the policy as it begins, by which the reward's inputs are scaled, too."""
        count, size = self.settings.first_answers, SHOWN[self.settings.asks]
        gathered = [self._recent.until(steps)]
        pool = self._pool(number, gathered[0])
        while len(pool.clips) < size * count and len(gathered) < GATHERED:
            gathered.append(walk_on(len(gathered)))
            pool.add(self._pieces(number, gathered[-1], len(gathered) - 1))
        pool.check(size)
        inputs = [self.reward.of_steps(one).reshape(-1, len(self.reward.centre_I))
                  for one in gathered]  # fmt: skip
        self.reward.fix_scale(np.concatenate(inputs))
        return self._choose(number, pool, count)

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
        self.film.cut(steps, pieces)
        return pieces

    def _choose(self, number: int, pool: ClipPool, count: int) -> bool:
        """Choose clips, keep the episodes they lie in, have them judged."""
        settings, rng = self.settings, generator(self.seed, "asking", number)
        hearing = self._hearing
        if hearing is not None:
            count -= hearing.people.standing(number)  # asked before it was interrupted
            if count <= 0:
                return False
        first, size = number == settings.first_asked, SHOWN[settings.asks]
        asked = []
        if len(pool.clips) >= size:
            kind, twice = settings.acquisition, hearing is None
            asked = pool.choose(self.reward, settings, kind, count, first, twice, rng)
        if len(asked) < count:
            self.say(
                f"rollout {number + 1}: {len(asked):,} of {count:,} {ANSWERS[settings.asks]} asked:"
                f" there are {len(pool.clips):,} clips of {settings.clip} steps"
            )
        if not asked:
            return False
        there = set() if hearing is None else set(self.store.ids)
        self.store.append([one for one in pool.of(asked) if one.id not in there])
        if hearing is not None:
            clips = [clip for one in asked for clip in one.clips]
            hearing.ask(number, asked, self.film.drawings(clips, pool.episodes))
            return False
        watcher = self.watcher
        if first and isinstance(watcher, SimulatedWatcher) and watcher.guesses(asked):
            self.say(
                f"{self.environments.name} paid the same for every clip of the first questions: the"
                " simulated watcher answers by chance. Let it pay for what is wanted, or ask people"
                " (people: studio)"
            )
        records = watcher.judge(asked, rng)
        self._log.add(records)
        self.learn(settings.reward.first_steps if first else settings.reward.round_steps)
        return True

    # --- hearing ----------------------------------------------------------------------------------
    def hear(self, number: int, acts: Callable[[], Act], environment_steps: int) -> bool:
        """What people judged since; they are waited for where the schedule says so. acts: the
        policy as it is, which goes on from stops; environment_steps: so far, which is told."""
        hearing = self._hearing
        if hearing is None or not self._schedule or self.exploring(number):
            return False
        now = hearing.listen(number)
        if hearing.people.goes_on:
            going = GoingOn(
                hearing.people, self.store, self.film, self.settings.asks, self.seed, self.say
            )
            going.answer(self.records, acts())
        if not hearing.fresh:
            return False
        self.learn(hearing.updates)
        hearing.tell(now, environment_steps, self.told)
        return True

    def last_words(self) -> None:
        """What people said after the last rollout is kept."""
        if self._hearing is not None:
            self._hearing.last_words()

    def read(self) -> tuple[JudgedClips | None, dict[str, int]]:
        """(what was judged so far, None where nothing of it says anything of clips; how many
        judgements were left out, by reason)."""
        return judged_clips(self.records, self.store, self.reward)

    def learn(self, updates: int) -> None:
        """The reward, from all that was judged so far. Raises DataError where nothing of it says
        anything of clips."""
        judged, left = self.read()
        for reason, count in left.items():
            self.say(f"{count:,} of {len(self._log.rows):,} judgements teach no reward: {reason}")
        if judged is None:
            raise DataError("no judgement so far says anything of a clip", "judge clips")
        judged.tell_uneven(self.say)
        self.told = self.reward.learn(judged, updates)

    # --- checkpoints ------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs."""
        return {
            "reward": self.reward.state(),
            "recent": self._recent.state(),
            "told": dict(self.told),
            "blocks": self.store.blocks,
            "records": len(self._log.rows),
            "heard": 0 if self._hearing is None else self._hearing.learned,
            "watcher": self.watcher.state(),
        }

    def load(self, state: dict[str, Any], goes_on: bool) -> None:
        """Continue from `state()`; what came after it is forgotten. goes_on: whether the
        environments are where they were, so that clips are cut from what came before, too."""
        self.reward.load(state["reward"])
        self.told = dict(state["told"])
        self.watcher.load(state["watcher"])
        self.forget(state["blocks"], state["records"])
        if self._hearing is not None:
            self._hearing.learned = int(state["heard"])
        if goes_on:
            self._recent.load(state["recent"])

    def forget(self, blocks: int = 0, records: int = 0) -> None:
        """What came after a checkpoint is done again, to the bit; what people judged or may still
        judge stays."""
        if self._hearing is not None:
            return
        self.store.keep(blocks)
        self._log.keep_first(records)
