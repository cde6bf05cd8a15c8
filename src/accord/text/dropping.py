"""How many rows limits drop, and which limits would keep nearly all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KEPT = 0.95
"""Share of rows that suggested limits keep."""


@dataclass(frozen=True)
class Need:
    """Tokens that a row needs to stay whole: of its prompt, and of the longest of its responses."""

    prompt: int
    response: int = 0

    def fits(self, prompt: int, response: int) -> bool:
        return self.prompt <= prompt and self.response <= response


def limits_that_keep(
    needs: Sequence[Need], prompt: int, response: int, share: float = KEPT
) -> tuple[int, int]:
    """The smallest limits, each at least the given one, that keep `share` of the rows and raise no
    more than they must.

    A limit that drops few rows stays as it is; where both drop many, both rise by the same share of
    their rows.
    """
    if not needs:
        return prompt, response
    wanted = int(np.ceil(share * len(needs)))
    prompts, responses = np.sort([n.prompt for n in needs]), np.sort([n.response for n in needs])

    def kept(p: int, r: int) -> int:
        return sum(n.fits(p, r) for n in needs)

    for number in range(wanted - 1, len(needs)):  # the last one keeps all
        p, r = max(prompt, int(prompts[number])), max(response, int(responses[number]))
        for one in ((p, response), (prompt, r), (p, r)):
            if kept(*one) >= wanted:
                return one
    return max(prompt, int(prompts[-1])), max(response, int(responses[-1]))
