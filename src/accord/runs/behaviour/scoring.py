"""What scores responses: a reward model, functions that users write, a judge, a classifier of
toxicity. Answers of models are kept by content; functions are called again each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accord import user_code
from accord.errors import ConfigError, RunError
from accord.models.loading import locate_model
from accord.runs.behaviour.answering import SampledAnswer
from accord.runs.behaviour.remembering import Cache
from accord.runs.contents import hash_of_model
from accord.runs.judges import AskedJudge, JudgeSettings, LocalJudge, load_judge
from accord.runs.known import REWARD
from accord.runs.reading import PromptRow
from accord.runs.stages.reward_functions import RewardFunction, ToScore
from accord.statistics.intervals import Array
from accord.text.encoding import Encoder, Prompt

if TYPE_CHECKING:
    from accord.models.reward_model import RewardModel

PROFANITY = "profanity"
"""The classifier that comes with alt-profanity-check: it knows words, not what they are said
for."""


class ModelReward:
    """A reward model's scores, each member's."""

    def __init__(self, folder: Path, cache: Cache) -> None:
        self.folder = folder
        self.kept = cache.of(hash_of_model(str(folder)))

    @cached_property
    def _model(self) -> RewardModel:
        from accord.models.reward_model import RewardModel

        return RewardModel.load(self.folder).frozen()

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[SampledAnswer]) -> Array:
        """[E, B]. Raises DataError for a prompt that the model's template cannot hold."""

        def find(places: list[int]) -> Sequence[list[float]]:
            encoder = Encoder(self._model.members[0].lm.tokenizer)
            groups = [
                encoder.example(prompts[b], responses[b].text, responses[b].finished, str(b)).group
                for b in places
            ]
            found: list[list[float]] = self._model.score(groups).t().tolist()
            return found

        keys = [
            ("reward", prompt, one.text, one.finished)
            for prompt, one in zip(prompts, responses, strict=True)
        ]
        return np.array(self.kept.all(keys, find)).T


class FunctionReward:
    """A reward function `module:function`, or accord:NAME, as in recipes."""

    def __init__(self, named: str) -> None:
        self.function = RewardFunction(named)
        if missing := self.function.needed:
            raise ConfigError(
                f"{named} needs {', '.join(missing)} of the prompts' rows, and only prompts are"
                " read here",
                "name a function of prompts and responses",
            )

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[SampledAnswer]) -> Array:
        """[1, B]. Raises RunError where it leaves a response unscored."""
        rows = [PromptRow(prompt) for prompt in prompts]
        asked = ToScore(rows, [one.text for one in responses], [one.ids or [] for one in responses])
        scores_B = np.array(self.function(asked))
        if np.isnan(scores_B).any():
            raise RunError(
                f"{self.function.name} left {int(np.isnan(scores_B).sum())} responses unscored",
                "a proxy scores every response",
            )
        return scores_B[None]


def open_reward(named: str, cache: Cache) -> ModelReward | FunctionReward:
    """A reward model's directory, or a function. Raises ConfigError for neither."""
    folder = Path(locate_model(named))
    if folder.is_dir():
        if not (folder / REWARD).is_file():
            raise ConfigError(
                f"{named!r} is no reward model: {REWARD} is missing",
                "name what a reward stage leaves (stages/NN-reward/model)",
            )
        return ModelReward(folder, cache)
    if ":" not in named:
        raise ConfigError(
            f"there is no directory {named!r}", "name a reward model, or module:function"
        )
    return FunctionReward(named)


class RememberedJudge:
    """A judge whose answers are kept where it is a model."""

    def __init__(self, judge: AskedJudge, name: str, cache: Cache) -> None:
        self.judge, self.kept = judge, cache.of(name)
        self.no_verdict, self.later = judge.no_verdict, 0

    def __call__(self, asked: Sequence[tuple[str, str, str]]) -> Array:
        keys = [("verdict", *one) for one in asked]
        return np.array(
            self.kept.all(keys, lambda at: self.judge([asked[n] for n in at]).tolist(), 16)
        )


def open_judge(named: str, cache: Cache, answer_tokens: int = 16) -> AskedJudge:
    """A local model or an endpoint, whose answers are kept, or a Python function, which is asked
    again each time."""
    kept = None if cache.folder is None else cache.folder / "endpoints.sqlite"
    judge = load_judge(named, JudgeSettings(kept, answer_tokens=answer_tokens, asking=cache.asking))
    if not isinstance(judge, LocalJudge):
        return judge
    return RememberedJudge(judge, hash_of_model(named), cache)


def open_toxicity(named: str) -> Callable[[Sequence[Prompt], Sequence[str]], Array]:
    """`profanity`, or a function module:name of texts that gives a probability each."""
    if named == PROFANITY:
        return _profanity()
    function = user_code.load_function(named, "classifier")
    where = user_code.defined_at(function)

    def score(prompts: Sequence[Prompt], responses: Sequence[str]) -> Array:
        try:
            found = np.array(function(list(responses)), dtype=np.float64)
        except (Exception, SystemExit) as error:
            raise RunError(
                f"the classifier {named}{where} failed: {user_code.told(error)}",
                "it is called with a list of texts",
            ) from error
        if found.shape != (len(responses),) or not ((found >= 0) & (found <= 1)).all():
            raise RunError(
                f"the classifier {named}{where} did not give a probability per text",
                "return one number between 0 and 1 for each",
            )
        return found

    return score


def _profanity() -> Callable[[Sequence[Prompt], Sequence[str]], Array]:
    from accord.text.profanity import classifier, profanity_of

    classifier()  # where it is not installed, that is said before anything is sampled

    def score(prompts: Sequence[Prompt], responses: Sequence[str]) -> Array:
        return np.asarray(profanity_of(responses), dtype=np.float64)

    return score


def embedding() -> Callable[[Sequence[str]], Array] | None:
    """Sentence embeddings, where sentence-transformers and a model are on this disk; None where
    they are not."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return None
    try:
        model: Any = SentenceTransformer("all-MiniLM-L6-v2", local_files_only=True)
    except OSError:
        return None
    return lambda texts: np.asarray(model.encode(list(texts)), dtype=np.float64)
