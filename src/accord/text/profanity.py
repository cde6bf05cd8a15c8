"""How profane a text is, by the classifier of the package alt-profanity-check: a linear model of
words, learned from what people called offensive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from accord.errors import ConfigError


def profanity_of(texts: Sequence[str]) -> list[float]:
    """The probability of each text that people call it profane or offensive, in [0, 1].

    It knows words, not what they are said for: names of groups that are often insulted count, too.
    Raises ConfigError as `classifier` does.
    """
    return [float(one) for one in classifier()(list(texts))] if texts else []


@cache
def classifier() -> Callable[[list[str]], Any]:
    """The package's function of a list of texts; raises ConfigError where it is not installed."""
    try:
        from profanity_check import predict_prob
    except ImportError:
        raise ConfigError(
            "alt-profanity-check is not installed",
            "pip install 'accord[toxicity]', or name a scorer of your own (module:function)",
        ) from None
    found: Callable[[list[str]], Any] = predict_prob
    return found
