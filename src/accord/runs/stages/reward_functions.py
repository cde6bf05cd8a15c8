"""Reward functions that users write: how one is found and called, and what it is told when it is
wrong, under its own name, file and line.

Two forms are known by the names of the parameters: `f(prompts, responses, ...)` gets texts as
responses, and TRL's `f(prompts, completions, ...)` gets messages where the prompt is messages. Both
get the other columns of the prompts' rows, a list each, by keyword.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from accord.background import wait_for
from accord.errors import ConfigError, RunError
from accord.user_code import defined_at, load_function, told

if TYPE_CHECKING:
    from accord.runs.reading import PromptRow

READY = "accord"
"""`accord:NAME` is a function of `accord.text.verifiers`."""
RESERVED = ("prompts", "responses", "completions", "completion_ids")
"""What every function may ask for by name, beside columns."""
OF_TRL = ("trainer_state", "log_extra", "log_metric")
"""What TRL's trainers give reward functions besides: none of it is known here."""


class ToScore(NamedTuple):
    """What functions are asked to score: row, text and token ids of each response."""

    rows: Sequence[PromptRow]
    responses: Sequence[str]
    ids: Sequence[Sequence[int]]


class RewardFunction:
    """The function of `module:function`, with fixed keyword `arguments`."""

    def __init__(self, name: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Raises ConfigError where there is none, or its module fails."""
        self.name, self.arguments = name, dict(arguments or {})
        self.function = _find(name)
        self.where = defined_at(self.function)
        try:
            self.parameters = dict(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):  # no signature to be had, as of functions in C
            self.parameters = {}
        self.trl = "completions" in self.parameters
        kinds = [p.kind for p in self.parameters.values()]
        self.takes_all = inspect.Parameter.VAR_KEYWORD in kinds
        self._check_arguments()

    def __call__(self, asked: ToScore) -> list[float]:
        """A finite number per response, NaN for None. Raises RunError for whatever else."""
        with_what, by_position = self._arguments(asked)
        try:
            found = self.function(*by_position, **with_what)
            if inspect.isawaitable(found):
                found = wait_for(found)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            raise RunError(
                f"{self.name}{self.where} failed with {told(error)}",
                "it must score every response that a policy may sample, the empty one too",
            ) from error
        return self._checked(found, asked.responses)

    def wants(self, column: str) -> bool:
        """Whether it gets this column of the prompts' rows."""
        return self._takes(column) and column not in (*RESERVED, *self.arguments)

    @property
    def needed(self) -> list[str]:
        """Columns that it cannot be called without."""
        found = [
            name
            for name, one in self.parameters.items()
            if one.default is one.empty
            and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
            and name not in (*RESERVED, *self.arguments)
        ]
        return found if self.trl or "responses" in self.parameters else found[2:]

    # --- the call ---------------------------------------------------------------------------------
    def _takes(self, keyword: str) -> bool:
        return self.takes_all or keyword in self.parameters

    def _arguments(self, asked: ToScore) -> tuple[dict[str, Any], list[Any]]:
        columns = {name for row in asked.rows for name in row.columns if self.wants(name)}
        given: dict[str, Any] = {
            name: [row.columns.get(name) for row in asked.rows] for name in sorted(columns)
        } | self.arguments
        prompts = [row.prompt for row in asked.rows]
        if self._takes("completion_ids"):
            given["completion_ids"] = [list(ids) for ids in asked.ids]
        if not self.trl:
            responses = list(asked.responses)
            named = {"prompts": prompts, "responses": responses}
            if "responses" in self.parameters:
                given |= {name: value for name, value in named.items() if self._takes(name)}
                return given, []
            return given, [prompts, responses]
        given["completions"] = [
            text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
            for prompt, text in zip(prompts, asked.responses, strict=True)
        ]
        if self._takes("prompts"):
            given["prompts"] = [
                prompt["messages"] if isinstance(prompt, Mapping) else prompt for prompt in prompts
            ]
        return given, []

    def check_call(self, asked: ToScore) -> None:
        """Raise ConfigError for a function that cannot be called with these columns, that fails, or
        that gives no scores."""
        given, by_position = self._arguments(asked)
        names = dict.fromkeys(name for row in asked.rows for name in row.columns)
        missing = [name for name in self.needed if name not in given]
        if theirs := [name for name in missing if name in OF_TRL]:
            raise ConfigError(
                f"{self.name}{self.where} needs {' and '.join(theirs)}, which TRL's trainer gives",
                f"give it a default, and use it where it is there: def f(..., {theirs[0]}=None, "
                "**kwargs)",
            )
        if missing:
            raise ConfigError(
                f"{self.name}{self.where} needs {' and '.join(missing)}: neither a column of the"
                " rows nor one of its arguments",
                "add the column; or what is the same for all rows:"
                f' functions: {{"{self.name}": {{weight: 1, arguments: {{{missing[0]}: VALUE}}}}}}',
            )
        signature = f"{self.name}({', '.join(map(str, self.parameters.values()))})"
        try:
            if self.parameters:
                inspect.signature(self.function).bind(*by_position, **given)
        except TypeError as error:
            raise ConfigError(
                f"{signature} cannot be called as f(prompts, responses), or f(prompts, completions)"
                f" with the rows' columns ({', '.join(names) or 'none'}): {error}{self.where}",
                "take two lists, prompts and responses, the columns you need by their names, and"
                " return one number per response; what is the same for all goes into arguments:"
                f' functions: {{"{self.name}": {{weight: 1, arguments: {{NAME: VALUE}}}}}}',
            ) from error
        try:
            self(asked)
        except RunError as error:
            raise ConfigError(error.message, error.fix) from error

    def _check_arguments(self) -> None:
        odd = [name for name in self.arguments if self.parameters and not self._takes(name)]
        if odd := odd or [name for name in self.arguments if name in RESERVED]:
            raise ConfigError(
                f"{self.name}{self.where} has no argument {odd[0]!r} to be set",
                f"it takes: {', '.join(name for name in self.parameters if name not in RESERVED)}",
            )

    # --- what it returned -------------------------------------------------------------------------
    def _checked(self, found: Any, responses: Sequence[str]) -> list[float]:
        values = [] if isinstance(found, (str, bytes, Mapping)) else _listed(found)
        if values is None or isinstance(found, (str, bytes, Mapping)):
            raise RunError(
                f"{self.name}{self.where} returned {type(found).__name__}, not a list of scores",
                "return one number, or None, per response",
            )
        if len(values) != len(responses):
            raise RunError(
                f"{self.name}{self.where} gave {len(values)} scores for {len(responses)} responses",
                "return one number, or None, per response",
            )
        return [self._number(one, text) for one, text in zip(values, responses, strict=True)]

    def _number(self, value: Any, response: str) -> float:
        if value is None:
            return math.nan
        try:
            number = math.nan if isinstance(value, (str, bytes)) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise RunError(
                f"{self.name}{self.where} scored {response[:80]!r} as {str(value)[:80]}",
                "return finite numbers, or None for a response that it does not score",
            )
        return number


def _listed(found: Any) -> list[Any] | None:
    """A list of what was returned: a list, tuple, array, tensor; None for anything else."""
    if hasattr(found, "tolist"):
        found = found.tolist()
    return list(found) if isinstance(found, Sequence) else None


# --- finding it -----------------------------------------------------------------------------------
def _find(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if module_name == READY and function_name:
        return _ready(function_name)
    return load_function(name, "reward function")


def _ready(name: str) -> Callable[..., Any]:
    from accord.text import verifiers
    from accord.validation import suggest

    if name not in verifiers.READY:
        raise ConfigError(
            f"there is no ready reward function accord:{name}",
            f"{suggest(name, list(verifiers.READY))}ready: {', '.join(verifiers.READY)}",
        )
    verifiers.check_ready(name)
    return verifiers.READY[name]
