"""Yes and no propositions about a response, and a reward made of them: what rule-based rewards pay
(Mu et al. 2024), R = R_helpful + sum of weight x proposition."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, model_validator

from accord.errors import ConfigError, DataError, RunError
from accord.runs.contents import hash_of_code
from accord.runs.stages.reward_functions import RewardFunction, ToScore
from accord.runs.stages.rules_said import RuleConfig
from accord.statistics.intervals import Array
from accord.validation import Settings, suggest

if TYPE_CHECKING:
    from accord.models.reward_model import RewardModel
    from accord.text.packing import PromptGroup


class Proposition(Settings):
    """What says whether a response keeps a rule: a function, a head of the reward model, or, to fit
    weights by, answers in the feedback (a head of the same name says so at use)."""

    function: str | None = Field(
        None,
        description="module:function, or accord:format and the like: 1 where it is kept, else 0.",
    )
    arguments: dict[str, Any] = Field({}, description="Fixed keyword arguments of the function.")
    head: str | None = Field(None, description="A rule of the reward model: its P(kept).")
    said: RuleConfig | None = Field(
        None,
        description=(
            "Answers in the feedback, as `rules` of a reward stage state them; the mean where a"
            " response has several. At use the reward model needs a rule of this name."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"function": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_source(self) -> Proposition:
        if sum(one is not None for one in (self.function, self.head, self.said)) != 1:
            raise ValueError("say one of function, head, said")
        if self.arguments and self.function is None:
            raise ValueError("arguments are those of a function: leave them out")
        return self


class Propositions:
    """Named propositions, asked of responses."""

    def __init__(self, rules: Mapping[str, Proposition], reward: RewardModel | None) -> None:
        """Raises ConfigError for a function that cannot be loaded or needs what a response has not,
        or a head that the reward model has not."""
        self.rules, self.reward = dict(rules), reward
        self.functions = {
            name: _function(one.function, one.arguments)
            for name, one in rules.items()
            if one.function is not None
        }
        known = () if reward is None else reward.form.rules
        self.heads: dict[str, int] = {}
        for name, one in rules.items():
            if one.head is not None:
                if one.head not in known:
                    raise ConfigError(
                        f"the rule {name!r}: the reward model has no head {one.head!r}",
                        f"{suggest(one.head, list(known))}it has: {', '.join(known) or 'none'}",
                    )
                self.heads[name] = known.index(one.head)

    def __call__(self, asked: ToScore, groups: Sequence[PromptGroup]) -> Array:
        """phi [B, J] in [0, 1] of responses, one each of `groups`' in order (needed by heads
        alone); NaN for what only the feedback says. Raises RunError for an answer that is none."""
        phi_BJ = np.full((len(asked.responses), len(self.rules)), np.nan)
        by_head = None
        if self.heads:
            assert self.reward is not None
            by_head = self.reward.rule_probabilities(groups).double().numpy()
        for column, name in enumerate(self.rules):
            if name in self.functions:
                phi_BJ[:, column] = self._answers(name, asked)
            elif by_head is not None and name in self.heads:
                phi_BJ[:, column] = by_head[:, self.heads[name]]
        return phi_BJ

    def _answers(self, name: str, asked: ToScore) -> Array:
        function = self.functions[name]
        found = np.array(function(asked), dtype=float)
        wrong = np.flatnonzero(~((found >= 0) & (found <= 1)))
        if len(wrong):
            at = int(wrong[0])
            given = "None" if np.isnan(found[at]) else f"{found[at]:g}"
            raise RunError(
                f"{function.name}{function.where}, the rule {name!r}, said {given} of"
                f" {asked.responses[at][:80]!r}",
                "a proposition is a yes or no: return 1 where it holds, 0 where it does not",
            )
        return found


def _function(name: str, arguments: Mapping[str, Any]) -> RewardFunction:
    function = RewardFunction(name, arguments)
    if "completion_ids" in function.parameters or function.needed:
        needs = ["completion_ids"] if "completion_ids" in function.parameters else function.needed
        raise ConfigError(
            f"{name} needs {', '.join(needs)}, which a proposition about a text has not",
            "give it as an argument, or a default",
        )
    return function


class RuleReward:
    """What a rules stage left: propositions with their weights."""

    def __init__(self, path: Path, reward: RewardModel | None) -> None:
        """Raises ConfigError for a file of something else, a function that was changed since its
        weight was fitted, or a rule that nothing can tell at use."""
        try:
            rows = json.loads(path.read_text())["rules"]
            said = {row["name"]: _at_use(row) for row in rows}
            self.weight_J = np.array([float(row["weight"]) for row in rows])
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} holds no rules with weights ({type(error).__name__})",
                "name what a rules stage left: stage:NAME",
            ) from error
        for row in rows:
            if row["code"] is not None and hash_of_code(row["function"]) != row["code"]:
                raise ConfigError(
                    f"{row['function']} was changed since the weight of the rule {row['name']!r}"
                    " was fitted by it",
                    "fit the weights again",
                )
        self.propositions = Propositions(said, reward)

    def __call__(self, asked: ToScore, groups: Sequence[PromptGroup]) -> Array:
        """Sum of weight x proposition of every response: [B]."""
        total: Array = self.propositions(asked, groups) @ self.weight_J
        return total


def _at_use(row: Mapping[str, Any]) -> Proposition:
    """What says at use whether a response keeps a rule: where people or a judge said so of the
    ranked answers, the head of its name."""
    if row["function"] is not None:
        return Proposition(function=row["function"], arguments=row["arguments"])
    return Proposition(head=row["head"] or row["name"])


def written(rules: Mapping[str, Proposition], weight_J: Sequence[float]) -> list[dict[str, Any]]:
    """Rows of a rules file."""
    return [
        {
            "name": name,
            "weight": float(weight),
            "function": one.function,
            "arguments": one.arguments,
            "head": one.head,
            "code": None if one.function is None else hash_of_code(one.function),
        }
        for (name, one), weight in zip(rules.items(), weight_J, strict=True)
    ]


def check_phi(phi_PJ: Array, names: Sequence[str]) -> None:
    """Raise DataError for a rule on which better and worse answers never differ."""
    flat = [name for name, column in zip(names, np.abs(phi_PJ).max(0), strict=True) if not column]
    if flat:
        raise DataError(
            f"the rule {flat[0]!r} is the same of every two ranked answers: no weight can be"
            " fitted",
            "leave it out, or give answers that differ in it",
        )
