"""Critics that are Python functions: found, called once before anything runs, and told under their
own name when they are wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field

from accord.errors import ConfigError, RunError
from accord.oversight.constitution import Constitution
from accord.oversight.critics import READY_CRITICS, RuleCritic, SpanFunction, marking
from accord.runs.inputs import about
from accord.user_code import defined_at, load_function, told
from accord.validation import Settings, suggest

READY = "accord"
TRIED = (("A question?", "An answer."), ("A question?", ""))
"""What each function is called with before anything runs."""


class CriticConfig(Settings):
    """A function that marks what breaks a principle, and what it is told."""

    function: str = Field(description="module:function, or accord:words.")
    arguments: dict[str, Any] = Field(
        {}, description="Fixed keyword arguments, such as {words: [bad, worst]}."
    )


class UsesCritics(Settings):
    """Settings that name critics' functions."""

    critics: dict[str, CriticConfig | str] = Field(
        default_factory=dict,
        description=(
            "Id of a principle -> the function that marks what breaks it, module:function (or"
            " accord:words) or {function: ..., arguments: {...}}; called as f(prompt, response), it"
            " returns spans (start, end) or (start, end, note) in characters, none where all is"
            " well."
        ),
    )

    def code(self) -> Sequence[str]:
        """See `StageConfig.code`."""
        return [one.function for one in self._told().values()]

    def _told(self) -> dict[str, CriticConfig]:
        return {
            name: CriticConfig(function=one) if isinstance(one, str) else one
            for name, one in self.critics.items()
        }

    def rule_critic(self, constitution: Constitution) -> RuleCritic:
        """The functions as one critic. Raises ConfigError for one that cannot be loaded, or a
        principle without any."""
        functions = {}
        for name, one in self._told().items():
            with about(f"critics.{name}"):
                functions[name] = _loaded(one)
        with about("critics"):
            return RuleCritic(constitution, functions)

    def check_critics(self, constitution: Constitution) -> None:
        """Raise ConfigError, before anything runs, for what `rule_critic` does, and for a function
        that fails or gives no spans."""
        critic = self.rule_critic(constitution)
        for name, function in critic.functions.items():
            with about(f"critics.{name}"):
                try:
                    for prompt, response in TRIED:
                        function(prompt, response)
                except RunError as error:
                    raise ConfigError(error.message, error.fix) from error


def _loaded(one: CriticConfig) -> SpanFunction:
    """The function; what it raises is a RunError under its name, file and line."""
    module, _, name = one.function.partition(":")
    if module == READY and name:
        if name not in READY_CRITICS:
            raise ConfigError(
                f"there is no ready critic {one.function}",
                f"{suggest(name, list(READY_CRITICS))}ready: {', '.join(READY_CRITICS)}",
            )
        function: Callable[..., Any] = READY_CRITICS[name]
    else:
        function = load_function(one.function, "critic")
    who = f"the critic {one.function}{defined_at(function)}"
    arguments: Mapping[str, Any] = one.arguments

    def called(prompt: Any, response: str) -> Any:
        try:
            return function(prompt, response, **arguments)
        except (Exception, SystemExit) as error:
            raise RunError(
                f"{who} failed with {told(error)}",
                "it is called as f(prompt, response) with its arguments by keyword, and has to take"
                " every response, the empty one too",
            ) from error

    return marking(called, who)
