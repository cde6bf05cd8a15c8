"""The reward an on-policy stage pays: a reward model, functions (verifiers) and a price per token,
added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from accord.errors import RunError
from accord.runs.inputs import RewardName, RulesName, about
from accord.runs.stage import StageConfig
from accord.validation import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from accord.models.reward_model import RewardModel
    from accord.runs.context import StageContext
    from accord.runs.reading import PromptRow
    from accord.runs.stages.propositions import RuleReward
    from accord.runs.stages.reward_functions import RewardFunction, ToScore
    from accord.sampling.rollout import Rollout
    from accord.text.encoding import Encoder


class FunctionConfig(Settings):
    """How a reward function counts, and what it is told."""

    weight: float = Field(1.0, description="What its score is multiplied by.")
    arguments: dict[str, Any] = Field(
        {}, description="Fixed keyword arguments, such as {pattern: ...}."
    )


class UsesFunctions(Settings):
    """Settings that name reward functions."""

    functions: dict[str, float | FunctionConfig] = Field(
        default_factory=dict,
        description=(
            "Reward functions module:function (or accord:exact, math, format, count, length,"
            " profanity) with their weights, or {weight: ..., arguments: {...}}; called as"
            " f(prompts, responses) or as TRL does, with the rows' other columns by keyword."
        ),
    )

    @field_validator("functions", mode="before")
    @classmethod
    def _spaced(cls, given: Any) -> Any:
        """YAML reads {accord:math:1} as a name without a weight."""
        for name, weight in given.items() if isinstance(given, dict) else ():
            if weight is None and str(name).count(":") > 1:
                function, _, number = str(name).rpartition(":")
                raise ValueError(f"a space belongs before the weight: {{{function}: {number}}}")
        return given

    def code(self) -> Sequence[str]:
        """See `StageConfig.code`."""
        return list(self.functions)

    def load_functions(self) -> list[tuple[RewardFunction, float]]:
        """Functions with their weights. Raises ConfigError for one that cannot be loaded."""
        from accord.runs.stages.reward_functions import RewardFunction

        found = []
        for name, one in self.functions.items():
            told = one if isinstance(one, FunctionConfig) else FunctionConfig(weight=one)
            with about(f"functions.{name}"):
                found.append((RewardFunction(name, told.arguments), told.weight))
        return found

    def columns_used(self) -> Callable[[str], bool]:
        """Whether a function gets a column of the prompts' rows."""
        functions = [function for function, _ in self.load_functions()]
        return lambda column: any(function.wants(column) for function in functions)

    def check_functions(self, prompts: Sequence[PromptRow], context: StageContext) -> None:
        """Raise ConfigError, before anything runs, for a function that cannot be loaded, called, or
        gives no scores.

        Each is called once, with an ordinary and an empty response to the first of `prompts`.
        """
        from accord.runs.reading import PromptRow
        from accord.runs.stages.reward_functions import ToScore

        first = [prompts[0] if prompts else PromptRow("A question?")] * 2
        for function, _ in self.load_functions():
            if prompts or not function.needed:
                with context.about(f"functions.{function.name}"):
                    function.check_call(ToScore(first, ["An answer.", ""], [[1, 2], [1]]))


class RewardSources(UsesFunctions, StageConfig):
    """What a score is composed of; a stage's settings inherit this."""

    reward: RewardName | None = Field(
        None, description="The reward model; may be left out where functions score."
    )
    length_penalty: float = Field(0.0, ge=0, description="Taken off the score per response token.")
    rules: RulesName | None = Field(
        None, description="Rules with their fitted weights (a rules stage), added to the score."
    )

    @model_validator(mode="after")
    def _something_scores(self) -> RewardSources:
        if not self.scored:
            raise ValueError("nothing gives a score: name a reward model, functions, or both")
        return self

    @property
    def scored(self) -> bool:
        """Whether anything gives a score."""
        return self.reward is not None or bool(self.functions) or self.rules is not None

    def load_rules(self, reward: RewardModel | None, context: StageContext) -> RuleReward | None:
        """What keeping rules is paid, where there are some."""
        from accord.runs.stages.propositions import RuleReward

        return RuleReward(context.path(self.rules), reward) if self.rules else None

    def load_reward(self, context: StageContext) -> RewardModel | None:
        """The reward model, where there is one."""
        from accord.models.reward_model import RewardModel

        return RewardModel.load(context.path(self.reward), context.device) if self.reward else None


class Scorer:
    """Scores a rollout [E, B]: every member of the reward model plus what functions, rules and
    length add or take.

    A response that nothing scores (there is no reward model and no rule, and every function
    returned None) gets the mean score of its prompt's other samples, or else of the batch, which
    pulls the policy nowhere. unscored: how often each function returned None; asked: of how many
    responses.
    """

    def __init__(
        self,
        sources: RewardSources,
        reward: RewardModel | None,
        prompts: Sequence[PromptRow],
        encoder: Encoder,
        micro_batch_tokens: int,
        rules: RuleReward | None = None,
    ) -> None:
        self.rules = rules
        self.reward, self.length_penalty, self.prompts = reward, sources.length_penalty, prompts
        self.functions = sources.load_functions()
        self.encoder, self.micro_batch_tokens = encoder, micro_batch_tokens
        self.unscored, self.asked = Counter[str](), 0

    def __call__(self, rollout: Rollout) -> Tensor:
        scores_EB, scored_B = self.score(rollout)
        if scored_B.all():
            return scores_EB
        if not scored_B.any():
            raise RunError(
                f"{' and '.join(self.unscored)} scored none of {rollout.size} responses",
                "return a number for those that can be judged, None for the others only",
            )
        return _neutral(scores_EB, scored_B, rollout.prompt_index)

    def score(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """(scores [E, B], whether anything scored each response [B])."""
        import torch

        added_B = -self.length_penalty * torch.tensor([float(len(r)) for r in rollout.responses])
        scored_B = torch.ones(rollout.size, dtype=torch.bool)
        if self.functions:
            functions_FB = self._functions(rollout)
            added_B += functions_FB.nansum(0)
            scored_B = ~functions_FB.isnan().all(0)
        if self.rules is not None:
            groups = rollout.groups() if self.reward is not None else []
            added_B += torch.from_numpy(self.rules(self._asked(rollout), groups)).to(added_B)
            scored_B = torch.ones_like(scored_B)
        if self.reward is None:
            return added_B[None], scored_B
        scores_EB = self.reward.score(rollout.groups(), self.micro_batch_tokens) + added_B
        return scores_EB, torch.ones_like(scored_B)

    def _functions(self, rollout: Rollout) -> Tensor:
        """The functions' weighted scores, NaN for None: [F, B]."""
        import torch

        asked, columns = self._asked(rollout), []
        for function, weight in self.functions:
            columns.append(weight * torch.tensor(function(asked)))
            self.unscored[function.name] += int(columns[-1].isnan().sum())
        self.asked += rollout.size
        return torch.stack(columns)

    def _asked(self, rollout: Rollout) -> ToScore:
        return asked_of(rollout, self.prompts, self.encoder)

    def told(self) -> list[str]:
        """What was not scored, in words."""
        return [
            f"{name} left {count:,} of {self.asked:,} responses unscored (None)"
            for name, count in self.unscored.items()
            if count
        ]


def asked_of(rollout: Rollout, prompts: Sequence[PromptRow], encoder: Encoder) -> ToScore:
    """What functions are asked about a rollout, whose rows are places in `prompts`."""
    from accord.runs.stages.reward_functions import ToScore

    rows = [prompts[rollout.rows[p]] for p in rollout.prompt_index]
    return ToScore(rows, [encoder.text(r) for r in rollout.responses], rollout.responses)


def _neutral(scores_EB: Tensor, scored_B: Tensor, prompts: Sequence[int]) -> Tensor:
    """The scores, with the mean of its prompt's (else of all) scored responses for those not
    scored."""
    import torch

    result_EB, prompt_B = scores_EB.clone(), torch.tensor(prompts)
    for b in (~scored_B).nonzero()[:, 0].tolist():
        others_B = scored_B & (prompt_B == prompts[b])
        mean_B = others_B if others_B.any() else scored_B
        result_EB[:, b] = scores_EB[:, mean_B].mean(1)
    return result_EB
