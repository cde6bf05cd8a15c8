"""Contents that pages find hard to show: a project of each."""

from __future__ import annotations

import json
from typing import Any

CODE = f"""Use this:

```python
def very_long_name_of_a_function(first_argument: dict[str, list[int]], second_argument: str = "{"x" * 150}") -> None:
    return [item for sublist in first_argument.values() for item in sublist if item % 2 == 0 and item > len(second_argument)]
```

Then run `{"a_long_path/" * 20}file.py` and see {"w" * 400}.

1. one
   ```bash
   curl -X POST https://example.org/{"api/" * 40} -H "Content-Type: application/json"
   ```
2. two"""
TABLE = "\n".join(
    [
        "A table:\n",
        "| " + " | ".join(f"Column number {n}" for n in range(14)) + " |",
        "|" + "---|" * 14,
        *("| " + " | ".join(f"value {n * m}" for n in range(14)) + " |" for m in range(6)),
        "\n| a | b |\n|---|---|\n| " + "unbroken" * 30 + " | 2 |",
    ]
)
MATHS = r"""Inline $x_1 = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$ and \(e^{i\pi} + 1 = 0\), costs \$5.

$$\sum_{k=1}^{n} \frac{1}{k^2} = \frac{\pi^2}{6} - \int_0^\infty \frac{x^{n+1} + x^{n+2} + x^{n+3} + x^{n+4} + x^{n+5}}{e^{x^2} - 1} \, dx + \prod_{j=1}^{m} \left(1 + \frac{a_j}{b_j}\right) + \cdots + \zeta(s) \Gamma(s)$$

\[
\begin{pmatrix} a & b \\ c & d \end{pmatrix}
\begin{pmatrix} x \\ y \end{pmatrix}
=
- \begin{pmatrix} 1 \\ 2 \end{pmatrix}
\]

\begin{align}
f(x) &= (x+1)^2 \\
     &= x^2 + 2x + 1
\end{align}

Hidden: $a \phantom{secret} b$, $c % comment
$ and \\ alone. Broken: $\frac{1}{$ and \[ never closed."""
RIGHT_TO_LEFT = """# ما هي عاصمة فرنسا؟

عاصمة فرنسا هي **باريس** (Paris)، ويبلغ عدد سكانها 2,102,650 نسمة.

- أولاً: برج إيفل `Eiffel Tower`
- ثانياً: متحف اللوفر

This paragraph is English, with the word שלום in it.

זהו משפט בעברית עם code בתוך המשפט (2024).

> اقتباس

| العمود | Column |
|---|---|
| قيمة | value |

1. البند الأول
2. English item"""
LONG = "\n\n".join(
    f"## Part {n}\n\n" + " ".join(f"word{n}x{m}" for m in range(250)) + "." for n in range(20)
)
CALL = {"id": "call_abc", "type": "function", "function": {"name": "search_flights", "arguments": json.dumps({"from": "ZRH", "to": "NRT", "dates": ["2026-01-01", "2026-01-08"], "passengers": [{"name": "A", "meal": None}, {"name": "B" * 120, "meal": "vegan"}]})}}  # fmt: skip
TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "You book flights."},
    *({"role": ("user", "assistant")[n % 2], "content": f"Turn {n}: " + "some words " * 30} for n in range(9)),
    {"role": "user", "content": "Find me a flight."},
]  # fmt: skip
ANSWERED = [
    {"role": "assistant", "content": "I look.", "reasoning_content": "The user wants a *flight*.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_abc", "content": json.dumps({"flights": [{"id": n, "price": 100 * n, "via": ["FRA"] * n} for n in range(1, 4)]})},
    {"role": "assistant", "content": "There are **three** flights."},
]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "search_flights", "description": "Finds flights", "parameters": {"type": "object", "properties": {"from": {"type": "string"}}}}}]  # fmt: skip

TEXTS = {
    "code": CODE,
    "table": TABLE,
    "mathematics": MATHS,
    "right to left": RIGHT_TO_LEFT,
    "5,000 words": LONG,
}


def row(name: str) -> dict[str, Any]:
    """An item for a comparison: the text against another, or a long conversation."""
    if name == "12 turns":
        return {"prompt": TURNS, "options": [{"content": ANSWERED}, "No idea."], "tools": TOOLS}
    return {"prompt": f"Say something with {name}.", "options": [TEXTS[name], f"*Short* {name}."]}


NAMES = [*TEXTS, "12 turns"]
