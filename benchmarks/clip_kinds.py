"""How well a reward of clips orders clips it never saw, by the kind of feedback it learned from, at
equal numbers of answers.

    python -m benchmarks.clip_kinds [--answers 150] [--seeds 5]

Clips of 20 steps of four numbers; what is liked is a fixed sum of two of them, and the simulated
person is noisy. Of kinds that are a choice among options which nobody was shown, each answer has 16
clips at hand: a proxy, one of four rewards by chance, stands for the four clips that it pays most; a
state, one of the ends of four clips, for those that end nearer to it than to the others; words, that
one of the four numbers is high, for the clips in which it is above 0 on average. Printed are shares
of 1,000 held-out pairs ordered as by what is liked, with Student's 95 % intervals over seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from accord.control.answering import (
    ANSWER_KINDS,
    SEVERAL,
    SHOWN,
    AnswerKind,
    SimulatedAnswers,
    choose,
)
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.environments import ActionForm
from accord.control.episodes import Episode, EpisodeStore
from accord.control.gathering import ending_in, true_of
from accord.control.grounding import SET_CHOICES, SetChoice
from accord.control.reading_clips import judged_clips
from accord.feedback.messages import Clip
from accord.feedback.records import Feedback
from accord.feedback.simulate import SimulatedAnnotator
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.statistics.means import student_mean

STEPS, NUMBERS, PAIRS = 20, 4, 1000
AT_HAND = 4 * SEVERAL
"""Clips that the options of one choice stand for, where nobody was shown any."""
Kind = AnswerKind | SetChoice
KINDS: tuple[Kind, ...] = (*ANSWER_KINDS, *SET_CHOICES)
LIKED = np.array([1.0, -0.5, 0.0, 0.0])
FORM = ActionForm("box", 1, np.array([-1.0]), np.array([1.0]))


def episodes_of(count: int, seed: int) -> list[Episode]:
    """Episodes of chance that pay what is liked of each outcome."""
    rng, never = generator(seed, "clips"), np.zeros(STEPS, dtype=bool)
    found = []
    for number in range(count):
        seen = rng.normal(size=(STEPS + 1, NUMBERS)) + 0.5 * rng.normal(size=NUMBERS)
        action = np.zeros((STEPS, 1))
        paid = seen[1:] @ LIKED
        found.append(
            Episode(f"e{number}", "none", "none", seed, 0, seen, action, paid, never, never)
        )
    return found


def options_of(
    kind: SetChoice, store: EpisodeStore, made: Sequence[Episode], seed: int
) -> dict[str, list[Clip]]:
    """What each option stands for, of the clips at hand."""
    clips, rng = whole(made), generator(seed, "options")
    if kind == "initial_state":
        ends = {one.id: one.observation_TO[-1] for one in made[:SEVERAL]}
        return ending_in(clips, store, ends)
    if kind == "words":
        high = {f"number {n} is high": partial(is_high, number=n) for n in range(NUMBERS)}
        return {words: some for words, some in true_of(clips, store, high).items() if some}
    proxies: Mapping[str, Array] = {
        f"proxy {n}": np.stack([one.observation_TO[1:].sum(0) for one in made])
        @ rng.normal(size=NUMBERS)
        for n in range(SEVERAL)
    }
    each = len(made) // SEVERAL
    return {
        name: [clips[n] for n in np.argsort(-paid, kind="stable")[:each]]
        for name, paid in proxies.items()
    }


def is_high(episode: Episode, number: int) -> bool:
    """Whether it is above 0 on average."""
    return bool(episode.observation_TO[1:, number].mean() > 0)


def whole(episodes: Sequence[Episode]) -> list[Clip]:
    """Clips of whole episodes."""
    return [Clip(episode=one.id, start=0, stop=one.steps) for one in episodes]


def answer(kind: Kind, store: EpisodeStore, few: Sequence[Episode], seed: int) -> Feedback:
    """What the simulated person says."""
    person = SimulatedAnnotator("watcher", rationality=0.5, tie=0.2, sharpness=0.5)
    clips, question = whole(few), "Which is better?"
    if kind in SET_CHOICES:
        liked = {clip: float(one.reward_T.sum()) for clip, one in zip(clips, few, strict=True)}
        options = options_of(kind, store, few, seed)
        return choose(kind, question, options, liked, person, seed)
    said = SimulatedAnswers(question, kind, person)
    return said.answer(clips, [one.reward_T for one in few], seed)


def about(kind: Kind) -> int:
    """Clips that one answer is about."""
    return AT_HAND if kind in SET_CHOICES else SHOWN[kind]


def accuracy(kind: Kind, answers: int, seed: int, updates: int = 300) -> float:
    """Share of held-out pairs that the reward orders as what is liked does."""
    shown = about(kind)
    made = episodes_of(answers * shown, seed)
    settings = ClipRewardSettings(sees="outcome", hidden=16, members=1, weight_decay=0.1)
    reward = ClipReward(settings, NUMBERS, FORM, seed)
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore(Path(folder))
        store.append(made)
        records = [
            answer(kind, store, made[n * shown :][:shown], derive_seed(seed, "answer", n))
            for n in range(answers)
        ]
        judged, _ = judged_clips(records, store, reward)
    assert judged is not None
    reward.fix_scale(judged.clips_CLI.reshape(-1, NUMBERS))
    reward.learn(judged, updates)
    fresh = episodes_of(2 * PAIRS, derive_seed(seed, "held out"))
    score_C: Array = reward.scores(np.stack([reward.of_episode(one) for one in fresh])).mean(0)
    liked_C = np.array([one.reward_T.sum() for one in fresh])
    same = (score_C[::2] > score_C[1::2]) == (liked_C[::2] > liked_C[1::2])
    return float(same.mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    print(f"{given.answers} answers of one person, {given.seeds} seeds, {PAIRS:,} pairs each")
    for kind in KINDS:
        found = [100 * accuracy(kind, given.answers, seed) for seed in range(given.seeds)]
        print(f"| {kind} | {about(kind)} | {student_mean(found)} |", flush=True)


if __name__ == "__main__":
    main()
