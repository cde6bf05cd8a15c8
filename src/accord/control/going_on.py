"""The trainer's answer to a stop: it goes on from that moment by its present policy, and asks
whether what it does now is better than what was done. The answers are corrections, or say that
there is nothing to correct (Jeon, Milli, Dragan 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accord.control.answering import SHOWN
from accord.control.asked_kinds import AskedKind
from accord.control.episodes import Episode, EpisodeStore
from accord.control.film import Film
from accord.control.people import ClipJudges
from accord.control.rollouts import Act
from accord.control.taking_over import take_over
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.seeds import derive_seed


@dataclass(frozen=True)
class GoingOn:
    """Goes on from stops, once for each. Tries, as many as the kind of answer leaves room for, have
    the clip's past and its length, or end where the task does."""

    people: ClipJudges
    store: EpisodeStore
    film: Film
    asks: AskedKind
    seed: int
    say: Callable[[str], None]

    def answer(self, records: Sequence[Feedback], act: Act) -> None:
        """Ask about each stop that was not gone on from yet. A run that was killed meanwhile finds
        the tries it kept, and asks about these."""
        done, asked = self.people.gone_on(), 0
        for record in records:
            if record.meta.get("grounds") != "stop" or record.id in done:
                continue
            clips = [option.content for option in record.options]
            until, whole = (clip for clip in clips if isinstance(clip, Clip))
            asked += self._ask(record.id, whole, until.stop, act)
        if asked:
            self.say(f"the policy went on from a stop, and asks which is better: {asked:,}")

    def _ask(self, stop: str, whole: Clip, at: int, act: Act) -> int:
        original = self.store.episode(whole.episode)
        tries = [self._try(original, whole, at, act, n) for n in range(SHOWN[self.asks] - 1)]
        self.store.append(self.store.missing(tries))
        clips = [whole, *(Clip(episode=o.id, start=whole.start, stop=o.steps) for o in tries)]
        episodes = {one.id: one for one in (original, *tries)}
        return self.people.ask_again(stop, clips, self.film.drawings(clips, episodes))

    def _try(self, original: Episode, whole: Clip, at: int, act: Act, number: int) -> Episode:
        name = f"{original.id}-from-{at}-{number}"
        if name in self.store.ids:
            return self.store.episode(name)
        seed = derive_seed(self.seed, "go on", original.id, at, number)
        return take_over(original, at, act, seed, name, whole.stop - at)
