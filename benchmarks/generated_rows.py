"""Made-up rows in the layouts that people bring, for `benchmarks.reading` and tests: every text in
them holds a word of its own.

A word that a reader lost is then a word that no record holds, whatever the reader believes it read.
`LAYOUTS` gives one row per call; `varied` adds what real files have beside: columns nobody knows,
keys of messages, other spellings.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Row = dict[str, Any]
TRICKY = (
    "",
    " ",
    "<|im_end|>",
    "</s>",
    "<think>",
    "</think>",
    "[INST]",
    "\n\n",
    "é",
    "日本",
    "🙂",
    "{{ x }}",
    "%",
    '"',
    "\\n",
    "<eos>",
)
"""What stands beside the words: special tokens' names, templates' signs, other scripts."""
WORD = "zq"
"""How every word begins that must not get lost; LENGTH letters follow."""
LENGTH = 9


def words_in(value: Any) -> set[str]:
    """All words of their own in a value, at any depth."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {WORD + part[:LENGTH] for part in text.split(WORD)[1:]}


class Maker:
    """Random parts of rows; the same seed gives the same rows."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def word(self) -> str:
        """A word of eleven letters that occurs nowhere else."""
        return WORD + "".join(self.rng.choices("abcdefghijklmnoprstuvwxy", k=LENGTH))

    def text(self) -> str:
        """A text with two words of its own, and sometimes something tricky between them."""
        between = self.rng.choice(TRICKY) if self.rng.random() < 0.2 else " "
        return f"{self.word()}{between or ' '}{self.word()}"

    def user(self) -> Row:
        return {"role": "user", "content": self.text()}

    def reply(self) -> Row:
        return {"role": "assistant", "content": self.text()}

    def turns(self) -> list[Row]:
        """A conversation that ends with a user's message."""
        head = [{"role": "system", "content": self.text()}] if self.rng.random() < 0.3 else []
        return (
            head
            + [
                turn
                for _ in range(self.rng.choice((0, 0, 1)))
                for turn in (self.user(), self.reply())
            ]
            + [self.user()]
        )

    def tool_turns(self) -> list[Row]:
        """A conversation in which a tool was called and answered."""
        call = {
            "id": self.word(),
            "type": "function",
            "function": {"name": self.word(), "arguments": {"city": self.word()}},
        }
        content = self.rng.choice((None, "", self.text()))
        return [
            self.user(),
            {"role": "assistant", "content": content, "tool_calls": [call]},
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "name": call["function"]["name"],
                "content": self.text(),
            },  # type: ignore[index]
        ]

    def tool(self) -> Row:
        """A function that may be called, as a JSON schema."""
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
        return {
            "type": "function",
            "function": {"name": self.word(), "description": self.word(), "parameters": parameters},
        }

    def reasoned(self) -> Row:
        return {"role": "assistant", "reasoning_content": self.text(), "content": self.text()}

    def pair(self) -> tuple[str, str]:
        return self.text(), self.text()

    def sharegpt(self) -> list[Row]:
        return [
            {"from": "human", "value": self.text()},
            {"from": "gpt", "value": self.text()},
            {"from": "human", "value": self.text()},
        ]


def _pair(prompt: str) -> Callable[[Maker], Row]:
    def make(m: Maker) -> Row:
        chosen, rejected = m.pair()
        return {prompt: m.text(), "chosen": chosen, "rejected": rejected}

    return make


def _chat_pair(m: Maker, **more: Any) -> Row:
    prompt = m.turns()
    return {"prompt": prompt, "chosen": [m.reply()], "rejected": [m.reply()], **more}


def _implicit(m: Maker) -> Row:
    prompt = m.turns()
    return {"chosen": [*prompt, m.reply()], "rejected": [*prompt, m.reply()]}


def _forked(m: Maker) -> Row:
    """Multi-turn answers that part before their last message."""
    prompt = m.turns()
    side = lambda: [*prompt, m.reply(), m.user(), m.reply()]  # noqa: E731
    return {"chosen": side(), "rejected": side()}


def _tool_pair(m: Maker) -> Row:
    call = {
        "id": m.word(),
        "type": "function",
        "function": {"name": m.word(), "arguments": json.dumps({"city": m.word()})},
    }
    return {
        "prompt": m.tool_turns(),
        "chosen": [m.reply()],
        "tools": [m.tool()],
        "rejected": [{"role": "assistant", "content": None, "tool_calls": [call]}],
    }


def _hh(m: Maker) -> Row:
    before = f"\n\nHuman: {m.word()}\n\nAssistant: {m.word()}\n\nHuman: {m.word()}"
    return {side: f"{before}\n\nAssistant: {m.word()}" for side in ("chosen", "rejected")}


def _arena(m: Maker) -> Row:
    asked = m.user()
    return {
        "question_id": m.word(),
        "model_a": "gpt-4",
        "model_b": "llama",
        "winner": m.rng.choice(("model_a", "model_b", "tie", "tie (bothbad)")),
        "judge": f"j{m.rng.randrange(9)}",
        "conversation_a": [asked, m.reply()],
        "conversation_b": [asked, m.reply()],
        "turn": 1,
        "language": "English",
        "tstamp": 1682351591.1,
    }


def _ultrafeedback(m: Maker) -> Row:
    completions = [
        {
            "model": name,
            "response": m.text(),
            "overall_score": m.rng.choice((2.0, 7.5, 9)),
            "critique": m.text(),
            "annotations": {
                "honesty": {"Rating": m.rng.choice(("1", "5", "N/A")), "Rationale": m.text()}
            },
        }
        for name in ("a", "b")
    ]
    return {
        "source": "evol",
        "instruction": m.text(),
        "models": ["a", "b"],
        "completions": completions,
    }


def _oasst(m: Maker) -> Row:
    replies = [
        {"message_id": m.word(), "text": m.text(), "role": "assistant", "rank": rank, "replies": []}
        for rank in (0, 1)
    ]
    return {
        "message_tree_id": (own := m.word()),
        "tree_state": "ready_for_export",
        "prompt": {"message_id": own, "text": m.text(), "role": "prompter", "replies": replies},
    }


LAYOUTS: dict[str, Callable[[Maker], Row]] = {
    "TRL preference, text": _pair("prompt"),
    "TRL preference, chat": _chat_pair,
    "TRL preference, tools": _tool_pair,
    "TRL preference, implicit": _implicit,
    "TRL preference, parting early": _forked,
    "TRL preference, thinking": lambda m: {"prompt": m.turns(), "chosen": [m.reasoned()], "rejected": [m.reply()]},
    "TRL unpaired": lambda m: {"prompt": m.turns(), "completion": [m.reply()], "label": m.rng.random() < 0.5},
    "TRL unpaired, 0 and 1 as text": lambda m: {"prompt": m.text(), "completion": m.text(), "label": m.rng.choice(("True", "False"))},
    "TRL completion": lambda m: {"prompt": m.turns(), "completion": [m.reply()]},
    "TRL completion, text": lambda m: {"prompt": m.text(), "completion": m.text()},
    "TRL stepwise": lambda m: {"prompt": m.text(), "completions": [m.text(), m.text()], "labels": [True, m.rng.random() < 0.5]},
    "TRL stepwise, signed": lambda m: {"prompt": m.text(), "completions": [m.text() for _ in range(3)], "labels": [1, 0, -1]},
    "chat messages": lambda m: {"messages": [*m.turns(), m.reply()]},
    "chat messages, tools": lambda m: {"messages": [*m.tool_turns(), m.reply()], "tools": [m.tool()]},
    "chat messages, thinking": lambda m: {"messages": [*m.turns(), m.reasoned()]},
    "chat messages, parts": lambda m: {"messages": [{"role": "user", "content": [{"type": "text", "text": m.text()}]}, m.reply()]},
    "chat messages, developer": lambda m: {"messages": [{"role": "developer", "content": m.text()}, m.user(), m.reply()]},
    "chat messages, weights": lambda m: {"messages": [m.user(), {**m.reply(), "weight": 0}, m.user(), {**m.reply(), "weight": 1}]},
    "OpenAI preference": lambda m: {"input": {"messages": m.turns()}, "preferred_output": [m.reply()], "non_preferred_output": [m.reply()]},
    "ShareGPT": lambda m: {"conversations": [*m.sharegpt(), {"from": "gpt", "value": m.text()}]},
    "ShareGPT with system": lambda m: {"system": m.text(), "conversations": [*m.sharegpt(), {"from": "gpt", "value": m.text()}]},
    "ShareGPT preference": lambda m: {"conversations": m.sharegpt(), "chosen": {"from": "gpt", "value": m.text()},
                                      "rejected": {"from": "gpt", "value": m.text()}},
    "Alpaca": lambda m: {"instruction": m.text(), "input": m.rng.choice(("", m.text())), "output": m.text()},
    "Alpaca with history": lambda m: {"instruction": m.text(), "input": "", "output": m.text(), "system": m.text(),
                                      "history": [[m.text(), m.text()]]},
    "Alpaca preference": lambda m: {"instruction": m.text(), "input": m.rng.choice(("", m.text())), "chosen": m.text(), "rejected": m.text()},
    "Alpaca thumbs": lambda m: {"instruction": m.text(), "input": "", "output": m.text(), "kto_tag": m.rng.random() < 0.5},
    "orca pairs": lambda m: {"system": m.rng.choice(("", m.text())), "question": m.text(), "chosen": m.text(), "rejected": m.text()},
    "Anthropic HH": _hh,
    "UltraFeedback": _ultrafeedback,
    "UltraFeedback, binarized": lambda m: (lambda q, c, r: {
        "prompt": q, "prompt_id": m.word(), "chosen": [{"role": "user", "content": q}, c], "rejected": [{"role": "user", "content": q}, r],
        "score_chosen": 8.5, "score_rejected": 3.0})(m.text(), m.reply(), m.reply()),
    "HelpSteer2": lambda m: {"prompt": m.text(), "response": m.text(), "helpfulness": 4, "correctness": m.rng.randrange(5),
                             "coherence": 4, "complexity": 1, "verbosity": 1},
    "HelpSteer2 preference": lambda m: {"prompt": m.text(), "response_1": m.text(), "response_2": m.text(),
                                        "preference_strength": m.rng.choice((-3, -1, 1, 2))},
    "SHP": lambda m: {"history": m.text(), "human_ref_A": m.text(), "human_ref_B": m.text(), "labels": m.rng.randrange(2),
                      "score_A": 5, "score_B": 3, "domain": "askculinary_train"},
    "PKU-SafeRLHF": lambda m: {"prompt": m.text(), "response_0": m.text(), "response_1": m.text(), "is_response_0_safe": True,
                               "is_response_1_safe": False, "better_response_id": m.rng.randrange(2), "safer_response_id": 0},
    "BeaverTails": lambda m: {"prompt": m.text(), "response": m.text(), "category": {"fraud": True}, "is_safe": m.rng.random() < 0.5},
    "WebGPT": lambda m: {"question": {"full_text": m.text()}, "answer_0": m.text(), "answer_1": m.text(), "score_0": 1.0, "score_1": -1.0},
    "summarize_from_feedback": lambda m: {
        "info": {"post": m.text(), "title": m.text()}, "summaries": [{"text": m.text(), "policy": "sup4"}, {"text": m.text(), "policy": "ref"}],
        "choice": m.rng.randrange(2), "worker": f"w{m.rng.randrange(9)}"},
    "arena": _arena,
    "votes table": lambda m: {"prompt": m.text(), "response_a": m.text(), "response_b": m.text(), "winner": m.rng.choice(("a", "b", "tie")),
                              "annotator": f"u{m.rng.randrange(5)}"},
    "ratings table": lambda m: {"prompt": m.text(), "response": m.text(), "rating_overall": m.rng.randrange(1, 6), "low": 1, "high": 5},
    "Open-Assistant tree": _oasst,
    "Dolly": lambda m: {"instruction": m.text(), "context": m.rng.choice(("", m.text())), "response": m.text(), "category": "open_qa"},
    "prompts": lambda m: {"prompt": m.turns()},
}  # fmt: skip


def varied(maker: Maker, rows: list[Row]) -> list[Row]:
    """The rows with a column beside that no layout knows, the same in all of them; in messages
    sometimes a key of that kind."""
    kind, name = maker.rng.randrange(5), f"x_{maker.rng.choice(('note', 'origin', 'batch'))}"
    made = []
    for row in rows:
        extra: Row = {
            0: {},
            1: {name: maker.rng.choice(("web", "app"))},
            2: {name: maker.rng.randrange(9)},
            3: {name: {"deep": maker.word()}},
            4: {name: [maker.word()]},
        }[kind]
        made.append({**row, **extra})
    return made


def files(seed: int, rows: int, per_file: int = 100) -> Iterator[tuple[str, list[Row]]]:
    """(layout, rows of one file), until about `rows` rows were made; every layout comes in turn."""
    maker, made, names = Maker(seed), 0, list(LAYOUTS)
    while made < rows:
        name = names[(made // per_file) % len(names)]
        yield name, varied(maker, [LAYOUTS[name](maker) for _ in range(per_file)])
        made += per_file
