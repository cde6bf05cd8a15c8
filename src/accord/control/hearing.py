"""Listening to people who judge while a policy learns: the log holds what stands of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from accord.control.asked_kinds import ANSWERS
from accord.control.judgement_log import JudgementLog
from accord.control.people import ClipJudges, Drawings, Settled
from accord.control.settings import ClipLearningSettings
from accord.control.watchers import AskedClips
from accord.studio.projects.training import RewardLearned

BESIDE = {"stop": "stops at a moment", "correction": "answers about what followed a stop"}
"""What people say beside what the schedule counts, by its grounds."""


@dataclass
class Hearing:
    """What a run heard. asked: questions so far; learned: judgements of the log that were learned
    from; a judgement that was taken back leaves both."""

    people: ClipJudges
    settings: ClipLearningSettings
    log: JudgementLog
    say: Callable[[str], None]
    asked: int = 0
    learned: int = 0

    def ask(self, rollout: int, asked: Sequence[AskedClips], drawings: Drawings) -> None:
        """Ask about clips of a rollout, and say so."""
        self.people.ask(rollout, asked, drawings)
        self.say(f"{len(asked):,} {self._answers} asked, of rollout {rollout + 1}")

    def listen(self, rollout: int) -> Settled:
        """Put what stands into the log. Before the policy learns from a rollout, whatever is due is
        waited for."""
        due = self.settings.due(rollout)
        while (now := self.people.settled()).settled < min(due, now.asked):
            self.people.pause(now.settled, min(due, now.asked))
        self._keep(now)
        return now

    def tell(self, now: Settled, steps: int, told: Mapping[str, float]) -> None:
        """The reward learned from the log; told: what it says of itself."""
        self.learned = len(self.log.rows)
        self.people.tell(
            RewardLearned(
                asked=now.asked,
                answered=now.settled,
                judgements=self.learned,
                steps=steps,
                held_out=int(told.get("heldout_pairs", 0)),
                agreement=told.get("heldout_agreement"),
            )
        )

    @property
    def fresh(self) -> int:
        """Judgements that were not learned from."""
        return len(self.log.rows) - self.learned

    @property
    def updates(self) -> int:
        """Of the reward, on what is fresh: as many for a round's judgements as a watcher's get."""
        reward = self.settings.reward
        if not self.learned:
            return reward.first_steps
        later = max(1, self.settings.comparisons - self.settings.first_answers)
        share = min(1.0, self.fresh * self.settings.rounds / later)
        return max(1, round(reward.round_steps * share))

    def last_words(self) -> None:
        """What came after the last rollout is kept, and said to teach nothing any more; what nobody
        answered is asked no more."""
        now = self.people.settled()
        self._keep(now)
        if self.fresh:
            self.say(f"judged after the policy's last step, kept and not used: {self.fresh:,}")
        if left := now.asked - now.settled:
            self.say(f"never given, and asked no more: {left:,} of {now.asked:,} {self._answers}")
        again = self.people.corrections() if self.people.goes_on else Settled(0, 0)
        if left := again.asked - again.settled:
            self.say(
                "about what followed a stop, never answered and asked no more:"
                f" {left:,} of {again.asked:,}"
            )
        self.people.close()

    @property
    def answered(self) -> int:
        """Answers in the log, without what was said beside them."""
        return sum("grounds" not in row["meta"] for row in self.log.rows)

    @property
    def _answers(self) -> str:
        return ANSWERS[self.settings.asks]

    def _keep(self, now: Settled) -> None:
        self.asked, judged = now.asked, self.people.judgements()
        standing = {one.id for one in judged}
        gone = [at for at, row in enumerate(self.log.rows) if row["id"] not in standing]
        if gone:
            self.learned -= sum(at < self.learned for at in gone)
            self.log.keep(lambda row: row["id"] in standing)
            self.say(f"{len(gone):,} judgements were taken back")
        known = {row["id"] for row in self.log.rows}
        fresh = [one for one in judged if one.id not in known]
        self.log.add(fresh)
        for grounds, what in BESIDE.items():
            if beside := sum(one.meta.get("grounds") == grounds for one in fresh):
                self.say(f"{what}, beside the {self._answers}: {beside:,}")
