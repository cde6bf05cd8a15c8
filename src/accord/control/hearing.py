"""Listening to people who judge while a policy learns: the log holds what stands of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accord.control.people import ClipJudges, Heard
from accord.control.settings import ClipLearningSettings
from accord.files import AppendLog


@dataclass
class Hearing:
    """What a run heard. asked: comparisons so far; learned: judgements of the log that were learned
    from; a judgement that was taken back leaves both."""

    people: ClipJudges
    settings: ClipLearningSettings
    log: AppendLog
    say: Callable[[str], None]
    asked: int = 0
    learned: int = 0

    def listen(self, rollout: int) -> Heard:
        """What stands now. Before the policy learns from a rollout, whatever is due is waited
        for."""
        due = self.settings.due(rollout)
        while (heard := self.people.heard()).settled < min(due, heard.asked):
            self._keep(heard)
            self.people.pause(heard.settled, min(due, heard.asked))
        self._keep(heard)
        return heard

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
        later = max(1, self.settings.comparisons - self.settings.first_comparisons)
        share = min(1.0, self.fresh * self.settings.rounds / later)
        return max(1, round(reward.round_steps * share))

    def last_words(self) -> None:
        """What came after the last rollout is kept, and said to teach nothing any more."""
        heard = self.people.heard()
        self._keep(heard)
        if self.fresh:
            self.say(f"{self.fresh:,} judgements came after the policy's last step: kept, not used")
        if left := heard.asked - heard.settled:
            self.say(f"{left:,} comparisons were never answered")

    def _keep(self, heard: Heard) -> None:
        self.asked = heard.asked
        standing = {one.id for one in heard.records}
        gone = [at for at, row in enumerate(self.log.rows) if row["id"] not in standing]
        if gone:
            self.learned -= sum(at < self.learned for at in gone)
            self.log.keep(lambda row: row["id"] in standing)
            self.say(f"{len(gone):,} judgements were taken back")
        known = {row["id"] for row in self.log.rows}
        fresh = [one for one in heard.records if one.id not in known]
        self.log.append([one.model_dump(mode="json") for one in fresh])
