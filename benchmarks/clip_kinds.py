"""How well a reward of clips orders clips it never saw, by the kind of feedback it learned from, at
equal numbers of answers.

    python -m benchmarks.clip_kinds [--answers 150] [--seeds 5]

Clips of 20 steps of four numbers; what is liked is a fixed sum of two of them, and the simulated
person is noisy. Printed are shares of 1,000 held-out pairs ordered as by what is liked, with
Student's 95 % intervals over seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from accord.control.answering import ANSWER_KINDS, SHOWN, AnswerKind, SimulatedAnswers
from accord.control.clip_reward import ClipReward, ClipRewardSettings
from accord.control.environments import ActionForm
from accord.control.episodes import Episode, EpisodeStore
from accord.control.reading_clips import judged_clips
from accord.feedback.messages import Clip
from accord.feedback.simulate import SimulatedAnnotator
from accord.seeds import derive_seed, generator
from accord.statistics.intervals import Array
from accord.statistics.means import student_mean

STEPS, NUMBERS, PAIRS = 20, 4, 1000
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


def accuracy(kind: AnswerKind, answers: int, seed: int, updates: int = 300) -> float:
    """Share of held-out pairs that the reward orders as what is liked does."""
    person = SimulatedAnnotator("watcher", rationality=0.5, tie=0.2, sharpness=0.5)
    said = SimulatedAnswers("Which is better?", kind, person)
    shown = SHOWN[kind]
    made = episodes_of(answers * shown, seed)
    settings = ClipRewardSettings(sees="outcome", hidden=16, members=1, weight_decay=0.1)
    reward = ClipReward(settings, NUMBERS, FORM, seed)
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore(Path(folder))
        store.append(made)
        records = []
        for n in range(answers):
            few = made[n * shown : (n + 1) * shown]
            clips = [Clip(episode=one.id, start=0, stop=one.steps) for one in few]
            own = derive_seed(seed, "answer", n)
            records.append(said.answer(clips, [one.reward_T for one in few], own))
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
    for kind in ANSWER_KINDS:
        found = [100 * accuracy(kind, given.answers, seed) for seed in range(given.seeds)]
        print(f"| {kind} | {SHOWN[kind]} | {student_mean(found)} |", flush=True)


if __name__ == "__main__":
    main()
