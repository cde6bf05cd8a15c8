"""A tokenizer as GGUF has it: byte-level BPE, by llama.cpp's names for ways to split a text, or
SentencePiece's BPE, by the score of every token."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

from accord.errors import ConfigError
from accord.text.tokenizer import BYTES, QWEN_WORDS, id_count

_PLAIN = BYTES | {"use_regex": False}
_DIGITS = {"type": "Digits", "individual_digits": True}
_LLAMA3 = QWEN_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|")
_QWEN35 = QWEN_WORDS.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(
    r" ?[^\s\p{L}\p{N}]", r" ?[^\s\p{L}\p{M}\p{N}]"
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_MARKS = r"[^\r\n\p{L}\p{N}]?"


def _cased(numbers: str, contractions: str) -> str:
    """GgufWords that end where a capital letter begins another (Tekken, o200k)."""
    return (
        rf"{_MARKS}{_UPPER}*{_LOWER}+{contractions}|{_MARKS}{_UPPER}+{_LOWER}*{contractions}"
        rf"|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


SPLITS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [BYTES],
    "smollm": [_DIGITS, BYTES],
    "qwen2": [_split(QWEN_WORDS), _PLAIN],
    "llama-bpe": [_split(_LLAMA3), _PLAIN],
    "qwen35": [_split(_QWEN35), _PLAIN],
    "gpt-4o": [_split(_cased(r"\p{N}{1,3}", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")), _PLAIN],
    "tekken": [_split(_cased(r"\p{N}", "")), _PLAIN],
}
"""llama.cpp's names of ways to split a text into words."""
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Types of tokens in a GGUF file."""
TEXTS = (
    "Ann paid 1,234 crowns for it; she didn't like it.\n\n  NoBody's HTTPServer  knew\t",
    "é ü 你好 🙂",
    "def f(x):\n    return x ** 2  # 100%\r\n",
    "a",
)
"""Read alike by the tokenizer and by the one that transformers reads."""


SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""SentencePiece's."""
_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
PIECES: list[tuple[Any, Any, bool]] = [
    ({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, _SPACES]}, None,
     True),
    (_SPACES, None, False),
    (_SPACES, {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
               "invert": False}, False),
]  # fmt: skip
"""Normalizer and pre-tokenizer of SentencePiece's BPE, and whether a space comes before every text
and after every special token."""
UNWRITTEN = "this tokenizer cannot be written as GGUF: "


@dataclass(frozen=True)
class GgufWords:
    """kind: "gpt2" (byte-level) or "llama" (SentencePiece). split: llama.cpp's name.

    tokens, types: of every id. scores: of every id, the higher the sooner it is put together
    (SentencePiece). merges: in order. special: ids by name (bos, eos, unk, pad). adds_space,
    adds_bos: before every text.
    """

    kind: str
    split: str
    tokens: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]
    special: dict[str, int]
    adds_space: bool
    adds_bos: bool
    chat_template: str | None

    def lists(self) -> dict[str, list[Any]]:
        """By GGUF's names."""
        found: dict[str, list[Any]] = {
            "tokens": self.tokens, "token_type": self.types, "merges": self.merges
        }  # fmt: skip
        return found | ({"scores": self.scores} if self.kind == "llama" else {})


def words_of(tokenizer: Any) -> GgufWords:
    """Everything that GGUF says of a tokenizer. Raises ConfigError for one that it cannot say."""
    told = _described(tokenizer)
    kind, split, adds_space = _way(told)
    tokens = [f"[UNUSED{i}]" for i in range(id_count(tokenizer))]
    types = [UNUSED] * len(tokens)
    for token, index in told["model"]["vocab"].items():
        tokens[index], types[index] = token, NORMAL
        if kind == "llama" and re.fullmatch(r"<0x[0-9A-F]{2}>", token):
            types[index] = BYTE
    for added in told["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
        if swallows := [flag for flag in ("lstrip", "rstrip", "single_word") if added[flag]]:
            raise ConfigError(
                f"{UNWRITTEN}its token {added['content']!r} has {swallows[0]} set, which no GGUF "
                "file can say",
                "save a tokenizer whose added tokens are plain, and train with that one",
            )
    special = {
        name: index
        for name in ("bos", "eos", "unk", "pad")
        if (index := getattr(tokenizer, f"{name}_token_id")) is not None
    }
    pairs = [m.split(" ") if isinstance(m, str) else m for m in told["model"]["merges"]]
    if kind == "llama" and "unk" in special:
        types[special["unk"]] = UNKNOWN
    return GgufWords(
        kind,
        split,
        tokens,
        types,
        _scores(tokens, types, pairs) if kind == "llama" else [],
        [" ".join(pair) for pair in pairs],
        special,
        adds_space,
        "bos" in special and tokenizer.encode("a", add_special_tokens=True)[:1] == [special["bos"]],
        tokenizer.chat_template,
    )


def _described(tokenizer: Any) -> dict[str, Any]:
    raw = getattr(tokenizer, "raw", None) or getattr(tokenizer, "backend_tokenizer", None)
    if raw is None:
        raise ConfigError("a slow tokenizer cannot be written as GGUF", "save a fast one")
    return cast(dict[str, Any], json.loads(raw.to_str()))


def _way(told: dict[str, Any]) -> tuple[str, str, bool]:
    """Kind, name of the split, and whether a text begins with a space."""
    model, normal, before = told["model"], told["normalizer"], told["pre_tokenizer"]
    if model["type"] == "BPE" and model.get("byte_fallback"):
        for normalizer, pre_tokenizer, adds_space in PIECES:
            if (normal, before) == (normalizer, pre_tokenizer):
                return "llama", "default", adds_space
    parts = before or {}
    listed = parts.get("pretokenizers", [parts])
    bare = [{k: v for k, v in part.items() if k != "trim_offsets"} for part in listed]
    names = [name for name, form in SPLITS.items() if form == bare]
    if parts.get("type") == "Metaspace":
        raise ConfigError(
            f"{UNWRITTEN}it puts a space before a text that begins with none, llama.cpp before all",
            "run it with transformers or vLLM, from a directory of accord models export",
        )
    if model["type"] != "BPE" or not names or normal not in (None, {"type": "NFC"}):
        raise ConfigError(
            f"{UNWRITTEN}llama.cpp has no name for its way of splitting a text",
            f"accord writes byte-level BPE that splits as {', '.join(SPLITS)} do, and "
            "SentencePiece's BPE",
        )
    return "gpt2", names[0], False


def _scores(tokens: list[str], types: list[int], pairs: list[list[str]]) -> list[float]:
    """By the place of the merges that make a token.

    llama.cpp puts together the two neighbours that make the token of the highest score, whatever
    they are; a merge names them. Raises ConfigError where that is not the same.
    """
    made: dict[str, int] = {}
    last = ""
    for pair in pairs:
        whole = "".join(pair)
        if whole in made and whole != last:
            raise _other_order(whole)
        last = whole
        made.setdefault(whole, len(made))
    known = {t for t, kind in zip(tokens, types, strict=True) if kind == NORMAL}
    named = {(one, two) for one, two in pairs}
    for whole in known:
        cuts = [(whole[:i], whole[i:]) for i in range(1, len(whole))]
        if any(one in known and two in known and (one, two) not in named for one, two in cuts):
            raise _other_order(whole)
    return [-float(made[token]) if token in made else 0.0 for token in tokens]


def _other_order(token: str) -> ConfigError:
    return ConfigError(
        f"{UNWRITTEN}llama.cpp would put {token!r} together at another time than its merges do",
        "accord writes SentencePiece's BPE, where a token's score alone says when it is made",
    )


def write_words(writer: Any, words: GgufWords) -> None:
    writer.add_tokenizer_model(words.kind)
    writer.add_tokenizer_pre(words.split)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_token_merges(words.merges)
    for name, index in words.special.items():
        getattr(writer, f"add_{name}_token_id")(index)
    writer.add_add_bos_token(words.adds_bos)
    if words.kind == "llama":
        writer.add_token_scores(words.scores)
        writer.add_add_space_prefix(words.adds_space)
    if words.chat_template is not None:
        writer.add_chat_template(words.chat_template)


def check_read(tokenizer: Any, read: Any, words: GgufWords) -> None:
    """Raise ConfigError where the tokenizer read back gives other tokens: of a text with special
    tokens, too, unless a space goes before it (see `SPACED`)."""
    if spare := {*read.get_vocab()} - {*tokenizer.get_vocab()}:
        raise ConfigError(
            f"this tokenizer would be read back from a GGUF file with tokens that it has not, such "
            f"as {min(spare)!r}",
            "use the model's directory",
        )
    marks = "".join(tokenizer.all_special_tokens)
    texts = TEXTS if words.adds_space else (*TEXTS, f"{marks}Ann{marks} Ann\n", " a")
    for text, whole in product(texts, (False, True)):
        mine, theirs = (t.encode(text, add_special_tokens=whole) for t in (tokenizer, read))
        if list(mine) != list(theirs):
            raise ConfigError(
                f"this tokenizer would be read back from a GGUF file otherwise: {text!r} as "
                f"{theirs} instead of {mine}",
                "write it with llama.cpp's convert_hf_to_gguf.py from a directory of accord "
                "models export",
            )


SPACED = (
    "its tokenizer puts a space before every text and after every special token, as llama.cpp "
    "does; transformers, reading the file, does so at other places: use the directory there"
)
