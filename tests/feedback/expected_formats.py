"""What every file of the shared folders `formats` and `hostile` says, told from the public cards
before any code.

A file gives records (how many of each kind, and the first of them word by word), or is refused with
certain words. Contents are compared as the text that they say; a prompt is a text, or (role, text)
per message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ASKED = "What is the capital of Australia?"
RIGHT, WRONG, SYDNEY = (
    "The capital of Australia is Canberra.",
    "The capital is Sydney, I think.",
    "The capital of Australia is Sydney.",
)
Prompt = str | list[tuple[str, str]]
USER: Prompt = [("user", ASKED)]


@dataclass(frozen=True)
class Said:
    """One record. choice: as dumped without defaults, with texts for option ids; producers: by
    text, None where not told."""

    prompt: Prompt
    options: tuple[str, ...]
    choice: Mapping[str, Any]
    annotator: str = "dataset"
    producers: tuple[str | None, ...] | None = None
    weight: float = 1.0
    created_at: str | None = None
    active_seconds: float | None = None
    tools: int = 0


@dataclass(frozen=True)
class Expected:
    """A file: rows, records per kind, the first records in order, rows dropped per reason (a part
    of its words)."""

    rows: int
    kinds: Mapping[str, int]
    first: tuple[Said, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A file that cannot be feedback; message and fix hold all of these words."""

    words: tuple[str, ...]


def pair(
    prompt: Prompt,
    chosen: str,
    rejected: str,
    *,
    flipped: bool = False,
    strength: int | None = None,
    **more: Any,
) -> Said:
    """A comparison; flipped: the preferred one stands second in the file."""
    options = (rejected, chosen) if flipped else (chosen, rejected)
    return Said(
        prompt,
        options,
        {"preferred": chosen} | ({"strength": strength} if strength else {}),
        **more,
    )


def one(kind: str, *first: Said, rows: int = 1, count: int = 1, **more: Any) -> Expected:
    """A file whose records are all of one kind."""
    return Expected(rows, {kind: count}, first, **more)


def compared(*first: Said, rows: int = 1, count: int = 1, **more: Any) -> Expected:
    """A file of comparisons."""
    return one("comparison", *first, rows=rows, count=count, **more)


def called(city: str, text: str = "") -> str:
    """What a message that asks for the weather says."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {
            "name": "get_weather",
            "arguments": json.dumps({"city": city}, separators=(",", ":")),
        },
    }
    return "\n\n".join(part for part in (text, json.dumps(call)) if part)


ARENA = {
    "prompt": USER,
    "options": (RIGHT, WRONG),
    "annotator": "arena_user_1",
    "producers": ("gpt-4", "llama"),
    "created_at": "2023-04-24T15:53:11.100000+00:00",
}
EXPERT = {"annotator": "expert_1"}
TURNS = "assistant: {0}1\n\nuser: q2\n\nassistant: {0}2"
MODELS = {"producers": ("gpt-4", "llama")}
WEATHER: list[tuple[str, str]] = [("user", "weather?")]

FORMATS: dict[str, Expected | Refused] = {
    # preference 1 or 2: the output preferred; raw_preference is the annotator's finer answer, kept
    # beside it
    "alpacafarm_human.jsonl": compared(pair(USER, WRONG, RIGHT, flipped=True)),
    # the vote is on the whole conversation up to `turn`; judge is the annotator; "tie (bothbad)" is
    # both bad
    "arena_33k.jsonl": compared(
        Said(choice={"preferred": RIGHT}, **ARENA), Said(choice={"preferred": WRONG}, **ARENA),
        Said(choice={"tie": True}, **ARENA), Said(choice={"both_bad": True}, **ARENA), rows=4, count=4,
    ),
    # a label question whose answer names one of the two responses
    "argilla_flat_hf.jsonl": compared(pair(ASKED, RIGHT, WRONG, annotator="u1")),
    # is_safe and the categories of harm are labels of an answer: neither good or bad as a whole,
    # nor a demonstration
    "beavertails.jsonl": one("flags", Said("How do I get a refund by lying?", ("Take ...",), {"flags": {"safe": False, "harms": ["fraud"]}})),
    "capybara_pref.jsonl": compared(pair(USER, RIGHT, WRONG, producers=("a", "b"))),
    # system and input; status "unchanged": not a tie of the judge's ratings
    "distilabel_orca.jsonl": compared(pair([("system", "You are an AI."), ("user", ASKED)], RIGHT, SYDNEY)),
    "dolly.jsonl": one("demonstration", Said(USER, (), {"content": RIGHT})),
    # five attributes from 0 to 4
    "helpsteer2.jsonl": one("rating", Said(ASKED, (RIGHT,), {"scores": {"helpfulness": 4, "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 1}}), rows=2, count=2),
    # preference_strength from -3 (response_1 much better) to 3 (response_2 much better)
    "helpsteer2_pref.jsonl": compared(pair(ASKED, RIGHT, WRONG, strength=3)),
    "lf_alpaca_pref.jsonl": compared(pair(USER, RIGHT, SYDNEY)),
    # output: [better, worse]
    "lf_old_comparison.jsonl": compared(pair(USER, RIGHT, WRONG)),
    # the control Pairwise answered "left"; annotator 1 in 12.5 seconds
    "ls_json_min.jsonl": compared(pair(ASKED, RIGHT, WRONG, annotator="1", created_at="2023-04-17T21:54:20Z", active_seconds=12.5)),
    # a vote on turn 2 is about both turns of each model, a vote on turn 1 about the first alone
    "mt_bench_human.jsonl": compared(
        Said([("user", "q1")], (TURNS.format("a"), TURNS.format("b")), {"preferred": TURNS.format("a")}, **EXPERT, **MODELS),
        Said([("user", "q1")], ("a1", "b1"), {"preferred": "b1"}, **EXPERT, **MODELS), rows=2, count=2,
    ),
    # one reply alone is not compared; a person (user v) wrote it and the reviewers accepted it
    "oasst_flat.jsonl": one("demonstration", Said(USER, (), {"content": RIGHT}, annotator="v", created_at="2023"), rows=2),
    "openai_chat_parts.jsonl": one("demonstration", Said(USER, (), {"content": RIGHT})),
    "orca_dpo_pairs.jsonl": compared(pair([("system", "You are an AI assistant."), ("user", ASKED)], RIGHT, SYDNEY)),
    # better_response_id: the more helpful one; safer_response_id: the safer one; and each is safe
    # or not
    "pku_saferlhf.jsonl": Expected(
        1, {"attribute_comparison": 1, "flags": 2},
        (
            Said(ASKED, (RIGHT, WRONG), {"attributes": {"helpful": {"preferred": WRONG}, "safe": {"preferred": RIGHT}}}, producers=("Alpaca-7B", "Alpaca-7B")),
            Said(ASKED, (RIGHT,), {"flags": {"safe": True}}, producers=("Alpaca-7B",)),
            Said(ASKED, (WRONG,), {"flags": {"safe": False}}, producers=("Alpaca-7B",)),
        ),
    ),
    # rating 0 to 4: how well the attack succeeded, by the attacker (more is worse: no rating of the
    # answer)
    "red_team.jsonl": one("flags", Said(USER, (RIGHT,), {"flags": {"attack success": "4 of 4"}}, annotator="7", producers=("rlhf 52B",))),
    "reward_bench.jsonl": compared(pair(ASKED, RIGHT, WRONG, **MODELS)),
    # labels 1: A is preferred to B
    "shp.jsonl": compared(pair(USER, RIGHT, WRONG)),
    "skywork80k.jsonl": compared(pair(USER, RIGHT, WRONG)),
    # choice is the place of the preferred summary; worker the annotator, policy the producer
    "summarize_comparisons.jsonl": compared(pair("SUBREDDIT: r/r\n\nTITLE: T\n\nPOST: long post\n\nTL;DR:", WRONG, RIGHT, flipped=True, annotator="W1", producers=("sup4", "ref"))),
    "tldr_trl.jsonl": compared(pair("POST ...\n\nTL;DR:", " a", " b")),
    "trl_kto.jsonl": one("thumb", Said(USER, (RIGHT,), {"up": True})),
    "trl_tools_pref.jsonl": compared(pair(USER, json.dumps({"type": "function", "function": {"name": "f", "arguments": {}}}), WRONG)),
    "tulu_pref.jsonl": compared(pair(USER, RIGHT, WRONG)),
    "uf_argilla_cleaned.jsonl": compared(pair(USER, RIGHT, WRONG, **MODELS)),
    # overall_score 0 to 10; aspects 1 to 5, of the second answer the only one is N/A; a critique of
    # each
    "ultrafeedback.jsonl": Expected(
        1, {"rating": 3, "critique": 2},
        (
            Said(USER, (RIGHT,), {"scores": {"overall": 8.5}, "high": 10}, producers=("gpt-4",)),
            Said(USER, (RIGHT,), {"scores": {"instruction_following": 5, "honesty": 4, "truthfulness": 5, "helpfulness": 3}, "low": 1, "high": 5}, producers=("gpt-4",)),
            Said(USER, (RIGHT,), {"text": "Good."}, producers=("gpt-4",)),
            Said(USER, (WRONG,), {"scores": {"overall": 3}, "high": 10}, producers=("llama",)),
        ),
    ),
    "ultrafeedback_binarized.jsonl": compared(pair(USER, RIGHT, WRONG)),
    "ultrainteract_pair.jsonl": compared(pair(USER, "Step 1: Australia's capital was chosen in 1908.\nAnswer: Canberra", "Step 1: Australia's biggest city.\nAnswer: Sydney")),
}  # fmt: skip

XY = pair("p", "x", "y")
ITEMS = Refused(("prompt", "judge"))
HOSTILE: dict[str, Expected | Refused] = {
    "bigint.jsonl": Refused(("bigint.jsonl", "digits")),
    "bom.csv": compared(pair("Wie heißt du?", "Ich heiße A", "Ich heiße B", annotator="zoë")),
    "commahead.csv": compared(pair("Hi", "A", "B")),
    "cp1252.csv": Refused(("cp1252.csv", "encoding: cp1252")),
    "cr.csv": compared(pair("Hi", "A", "B", annotator="z"), pair("Ho", "B", "A", flipped=True, annotator="z"), rows=2, count=2),
    "crlf.jsonl": compared(XY, XY, rows=2, count=2),
    "dev.jsonl": compared(pair([("developer", "be nice"), ("user", "hi")], "a", "b")),
    "dup.jsonl": compared(pair("p", "a", "b", annotator="u"), pair("p", "b", "a", flipped=True, annotator="u"), rows=2, count=2),
    "emoji.jsonl": compared(pair("\U0001f469‍\U0001f469‍\U0001f467 hi", "ok \U0001f49a", "\u202eabc", flipped=True)),
    "emptycell.csv": Refused(("response_a", "empty", "winner")),
    "intannot.jsonl": compared(
        pair("p", "x", "y", annotator="7"), pair("p", "y", "x", flipped=True, annotator="7"), pair("p", "y", "x", flipped=True, annotator="7"),
        rows=3, count=3,
    ),
    "intid.jsonl": Refused(("intid.jsonl line 1", "string")),
    "langfuse.csv": Refused(("Langfuse", "text")),
    "ls2028.jsonl": compared(pair("p\u2028q", "x\x85z", "y")),
    "mixed.jsonl": Refused(("mixed", "line 3")),
    "ms.jsonl": compared(pair("p", "x", "y", created_at="2024-07-24T05:46:40.123000+00:00")),
    "nan.jsonl": one("rating", Said("p2", ("x",), {"scores": {"help": 3}, "low": 1, "high": 5}), rows=2, dropped={"help": 1}),
    "newline.csv": compared(Said("Hi\nthere", ("A\n\n1. x\n2. y", 'B "q"'), {"tie": True}, annotator="z")),
    "nul.csv": compared(pair("Hi", "A\x00x", "B", annotator="z")),
    # a prompt and responses that nobody judged: items for a project, not feedback
    "num.jsonl": ITEMS,
    "own_dict.jsonl": ITEMS,
    "own_extra.csv": ITEMS,
    "own_id.jsonl": ITEMS,
    "own_meta.jsonl": ITEMS,
    # an arena vote: the rated answer beats its sibling; besides a score of 10 and words about the
    # answer
    "owui.json": Expected(
        1, {"comparison": 1, "rating": 1, "critique": 1},
        (
            pair([("user", "hi")], "Hello!", "yo", annotator="u1", producers=("llama3:8b", "qwen:7b"), created_at="2024-07-24T05:46:40+00:00"),
            Said([("user", "hi")], ("Hello!",), {"scores": {"rating": 8}, "low": 1, "high": 10}, annotator="u1", producers=("llama3:8b",), created_at="2024-07-24T05:46:40+00:00"),
            Said([("user", "hi")], ("Hello!",), {"text": "good"}, annotator="u1", producers=("llama3:8b",), created_at="2024-07-24T05:46:40+00:00"),
        ),
    ),
    "parts.jsonl": compared(pair([("user", "hi")], "a", "b")),
    "prodigy.jsonl": compared(pair("hi", "Hello", "Yo", annotator="ds-zoe", created_at="2024-07-24T05:46:40+00:00")),
    "semi.csv": compared(pair("Hi; there, you", "A, one\r\ntwo", "B", annotator="z")),
    "sep.csv": compared(pair("Hi", "A", "B", annotator="z")),
    "space.csv": compared(pair("Hi", "A", "B")),
    "surr.jsonl": compared(pair("ok", "x", "y"), rows=2, dropped={"surrogate": 1}),
    "t3.jsonl": compared(pair([*WEATHER, ("assistant", called("Oslo", "Let me look.")), ("tool", "3 degrees")], "It is 3.", called("Oslo", "Calling again."))),
    "t4.jsonl": compared(pair(WEATHER, called("Oslo", "Let me look."), called("Paris", "Let me look."))),
    "tool.jsonl": compared(pair([*WEATHER, ("assistant", called("Oslo")), ("tool", "3 degrees"), ("user", "and?")], "It is 3", "Dunno")),
    "tool2.jsonl": compared(pair([*WEATHER, ("assistant", called("Oslo")), ("tool", "3 degrees"), ("user", "and?")], "It is 3", called("Oslo"))),
    "toolitem.jsonl": ITEMS,
    "trail.csv": compared(pair("Hi", "A", "B", annotator="z")),  # the empty row is said, and no row
}  # fmt: skip
EXPECTED = {f"formats/{name}": row for name, row in FORMATS.items()} | {f"hostile/{name}": row for name, row in HOSTILE.items()}  # fmt: skip
