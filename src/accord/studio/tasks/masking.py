"""Hide a model's own name before a rater sees it: who wrote an answer must not be what is judged.

Two kinds of names. Unmistakable ones (ChatGPT, OpenAI, Qwen2.5, 通义千问, "Llama 3") are hidden
wherever they stand, unless
the prompt itself speaks of them: then they are the topic, and are hidden only where the answer
names itself. Ambiguous ones (Claude, Gemini, llama, Mistral) are hidden where the answer speaks of
itself: in a sentence with "I am", "as an AI", "developed by" and the like, as a speaker's label or
signature, and, once the answer has called itself an AI or named itself, wherever they stand
capitalised. "The llama chewed" and "Claude opened the mill" stay. The price: a story whose hero
says "I am Claude" loses the name, an answer about the competition in a prompt that names nobody
loses those names. A rater who learns who wrote an answer costs more than that. Names nobody listed
are caught only in phrases like "I am NAME, an AI" or "trained by NAME".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

UNMISTAKABLE = (
    r"chat\W?gpts?", r"gpt\W?(?:\d[\w.]*|neo\w*|j\b)(?:\W?(?:turbo|mini|nano|o|pro|oss)\b)*", r"gpts?", r"instruct\W?gpt",
    r"open\W?ai(?:'s)?", r"anthropic", r"deep\W?seek(?:\W?\w*\d[\w.]*)?", r"deep\W?mind", r"qwen[\w.-]*", r"qwq[\w.-]*", r"通义千问", r"通义", r"文心一言",
    r"豆包", r"混元", r"智谱清言", r"深度求索", r"chat\W?glm[\w.-]*", r"glm\W?\d[\w.]*", r"mixtral[\w.-]*", r"mistral\W?ai", r"hugging\W?face",
    r"open\W?assistant", r"meta\W?ai", r"google\W?(?:ai|bard|gemini|deepmind)", r"google\W?assistant", r"x\.ai", r"xai", r"moonshot\W?ai", r"kimi",
    r"ernie\W?bot", r"baichuan\w*", r"internlm\w*", r"01\.ai", r"zhipu(?:\W?ai)?", r"minimax", r"nemotron[\w.-]*", r"stable\W?lm[\w.-]*", r"stability\W?ai",
    r"eleuther\W?ai", r"open\W?hermes[\w.-]*", r"wizard\W?lm[\w.-]*", r"pythia\W?\d[\w.]*", r"smol\W?lm[\w.-]*", r"cohere\W?ai", r"ai21(?:\W?labs)?",
    r"alibaba\W?cloud", r"bytedance", r"github\W?copilot", r"microsoft\W?copilot", r"bing\W?chat", r"tulu\W?\d[\w.]*", r"tülu\W?\d?[\w.]*", r"gemma[\w.-]*",
    r"olmo[\w.-]*", r"character\.ai", r"perplexity\W?ai", r"gigachat", r"yandex\W?gpt", r"command\W?r\+?", r"aya\W?expanse",
)  # fmt: skip
"""Patterns (on folded text) that name a model or its maker and mean nothing else."""

AMBIGUOUS = (
    "claude", "gemini", "llama", "mistral", "bard", "grok", "copilot", "vicuna", "alpaca", "falcon", "phi", "nova", "titan",
    "granite", "yi", "pi", "sonnet", "haiku", "opus", "bing", "cohere", "palm", "lamda", "bloom", "dolly", "koala", "guanaco",
    "zephyr", "starling", "hermes", "orca", "jamba", "command", "aya", "ernie", "jurassic", "replika", "perplexity", "meta",
    "google", "microsoft", "alibaba", "baidu", "tencent", "nvidia", "amazon", "apple", "ibm", "databricks", "allen institute",
    "ai2", "inflection", "moonshot", "sydney", "siri", "alexa", "cortana",
)  # fmt: skip
"""Words that are also words, first names or firms; hidden by context only."""

_VERSION = r"(?:\W{0,2}(?:v?\d+(?:\.\d+)*[bk]?|pro|ultra|flash|sonnet|haiku|opus|instruct|chat|large|medium|small|next|nemo)\b)"
_VERSIONED = {
    "claude",
    "gemini",
    "llama",
    "mistral",
    "grok",
    "phi",
    "falcon",
    "vicuna",
    "palm",
    "granite",
    "yi",
    "orca",
}
_MARK = r"[\s*_`\"'“”‘’«»「」:,()\[\]-]*"
_SELF = re.compile(
    r"\b(?:i\W?(?:a)?m|i was|i have been|i've been|i will be|i identify|i go by|me as|my (?:own )?(?:name|creator|developer|maker|training|architecture"
    r"|knowledge|model|makers|creators|developers|team|version)\w*|call(?:ed)? me|call myself|myself|names? me|named|this is|speaking with|talking to|talking with|chatting with"
    r"|you are using|you're using|your (?:ai|assistant|helper|friendly)|as (?:an? )?(?:ai|artificial|large|language|virtual|chat|digital|helpful)|language model|ai model|ai assistant|chatbot|large model"
    r"|artificial intelligence|virtual assistant|ai system|ai developed|ai created|ai trained"
    r"|ich bin|ich heiße|mein name|als ki|je suis|je m'appelle|mon nom|en tant qu|soy|me llamo|mi nombre|como (?:una? )?(?:ia|modelo|modelo|inteligencia|assistente|asistente)"
    r"|sono|mi chiamo|come (?:una? )?(?:ia|modello)|eu sou|sou|meu nome|я|меня зовут|jestem|nazywam|ik ben|mijn naam|jag är|jag heter|ben bir|benim ad)\b"
    r"|我是|我叫|我的名字|作为|私は|わたしは|僕は|저는|제 이름|أنا|اسمي|मैं|(?:developed|created|made|built|trained|designed|powered|provided|released|run|hosted|owned|maintained) by"
)
_IS_AI = re.compile(
    r"\b(?:as an? (?:ai|artificial intelligence|(?:large )?language model|virtual assistant|chatbot)|i\W?(?:a)?m (?:an? |just an? |only an? |the )?(?:\w+ ){0,3}"
    r"(?:ai|artificial intelligence|language model|assistant|chatbot|llm|bot)|i was (?:trained|developed|created|built|made|designed)"
    r"|my (?:training data|creators|developers|knowledge cut)|als ki|en tant qu'ia|en tant que modèle|como (?:una )?ia\b|como modelo de lenguaje)"
    r"|我是(?:一个|一款)?(?:人工智能|ai|大?语言模型)|作为(?:一个|一款)?(?:人工智能|ai|大?语言模型)"
)
_UNLISTED = (
    re.compile(
        r"(?:i am|i'm|my name is|call me|named|called|this is)" + _MARK + r"((?!an?\b|the\b|just\b|only\b|your\b|not\b|sorry\b|here\b)[^\W\d_][\w.-]*(?: [^\W\d_][\w.-]*){0,2}?)"
        + _MARK + r"(?:an?|the|your) (?:\w+ ){0,4}?(?:ai|language model|assistant|chatbot|llm|artificial|bot)\b"
    ),
    re.compile(r"\bas" + _MARK + r"((?!an?\b|the\b|soon\b|well\b|for\b|if\b|it\b)[^\W\d_][\w.-]*)" + _MARK + r"(?:,|\ban?\b) ?(?:an? )?(?:\w+ ){0,4}?(?:ai|language model|assistant|chatbot|llm)\b"),
)  # fmt: skip
_MADE_BY = re.compile(
    r"\b(?:developed|created|made|built|trained|designed|powered|provided|released|fine-tuned) by"
    + r"[\s*_`\"'“”‘’«»:]*(?:the )?(?:team at |researchers at |people at |engineers at |company |folks at |research team at )?[\s*_`\"'“”]*([^\W\d_][\w.&-]*(?: (?:ai|labs?|inc|research|cloud|technolog\w+|institute|corporation|group))*)"
)  # fmt: skip
_SPEAKER = re.compile(r"\b(?:i|me|my|ai|assistant|model|chatbot|llm|bot)\b[^.!?\n。]{0,80}\Z")
"""Before who made it: of whom that is said, in the same sentence."""
_NOT_NAMES = {
    "a", "an", "the", "my", "your", "our", "people", "humans", "human", "researchers", "engineers", "scientists", "someone", "many", "several",
    "experts", "developers", "reading", "using", "learning", "itself", "them", "me", "you", "us", "ai", "programmers", "default", "large", "and",
    "feedback", "reinforcement", "supervised", "processing", "analyzing", "examples", "gradient", "hand", "design", "specialists", "various", "volunteers",
}  # fmt: skip
_INVISIBLE = {"Cf", "Cc", "Mn", "Me", "Cs", "Co"}
_LOOKALIKE = str.maketrans("аеорсухіјѕԁɡһӏᴏαεοικνρτυχ0１", "aeopcyxijsdghlo" + "aeoiknptux" + "01")
_SENTENCE = re.compile(r"[.!?](?=\s|$|[\"'”*])|[\n。！？]")
_PLACEHOLDER = re.compile(r"⟨name (\d{1,9})⟩")


@dataclass(frozen=True)
class Mask:
    """A hidden span of the original text: code points `start` to `end`; `number` is that of its
    placeholder."""

    start: int
    end: int
    number: int

    def row(self) -> list[int]:
        return [self.start, self.end, self.number]


@dataclass(frozen=True)
class Masked:
    """Text with "⟨name 1⟩" for each hidden name, and where they were."""

    text: str
    masks: list[Mask]
    names: list[str]

    def original_offset(self, offset: int, end: bool = False) -> int:
        """The place in the original text of a place in the masked one; inside a placeholder: where
        the name starts, or ends."""
        moved = 0
        for mask in self.masks:
            placed, length = mask.start + moved, len(_placeholder(mask.number))
            if offset <= placed:
                break
            if offset < placed + length:
                return mask.end if end else mask.start
            moved += length - (mask.end - mask.start)
        return offset - moved

    def masked_offset(self, offset: int) -> int:
        """The place in the masked text of a place in the original one that lies in no name."""
        return offset + sum(
            len(_placeholder(mask.number)) - (mask.end - mask.start)
            for mask in self.masks
            if mask.end <= offset
        )

    def restored_length(self, text: str) -> int:
        """How long `restore` would make a text."""
        numbers = [int(found[1]) for found in _PLACEHOLDER.finditer(text)]
        known = [number for number in numbers if 1 <= number <= len(self.names)]
        return len(text) + sum(len(self.names[n - 1]) - len(_placeholder(n)) for n in known)

    def restore(self, text: str) -> tuple[str, list[Mask]]:
        """Names put back where an edited text still holds their placeholders, and where they then
        are."""
        parts: list[str] = []
        masks: list[Mask] = []
        at = length = 0
        for found in _PLACEHOLDER.finditer(text):
            number = int(found[1])
            if not 1 <= number <= len(self.names):
                continue
            name = self.names[number - 1]
            start = length + found.start() - at
            parts += [text[at : found.start()], name]
            at, length = found.end(), start + len(name)
            masks.append(Mask(start, length, number))
        return "".join([*parts, text[at:]]), masks


def put_placeholders(text: str, masks: Iterable[Mask]) -> str:
    """Placeholders put where `masks` says, and nowhere else: who writes a name of their own must
    not learn by it whether it is the hidden one."""
    parts, at = [], 0
    for mask in masks:
        parts += [text[at : mask.start], _placeholder(mask.number)]
        at = mask.end
    return "".join([*parts, text[at:]])


def _placeholder(number: int) -> str:
    return f"⟨name {number}⟩"


def mask_names(text: str, prompt: str = "", extra: Sequence[str] = ()) -> Masked:
    """Hide self-naming in an answer to `prompt`; `extra` are a project's own names, hidden wherever
    they stand."""
    spans = _merge(_spans(text, prompt, extra))
    names: list[str] = []
    masks = []
    for start, end in spans:
        name = text[start:end]
        if name not in names:
            names.append(name)
        masks.append(Mask(start, end, names.index(name) + 1))
    return Masked(put_placeholders(text, masks), masks, names)


def fold(text: str) -> tuple[str, list[int]]:
    """Text for matching (compatibility forms, lower case, lookalikes, nothing invisible) and each
    character's origin."""
    forms = [_folded(character) for character in text]
    origin = [place for place, form in enumerate(forms) for _ in form]
    return "".join(forms), origin


@lru_cache(maxsize=1 << 14)
def _folded(character: str) -> str:
    """One character for matching: none, one or several."""
    if _unseen(character):
        return ""
    small = unicodedata.normalize("NFKD", character).casefold()
    return "".join("'" if each in "’‘ʼ" else each for each in small if not _unseen(each))


def _unseen(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE and character not in "\n\t"


def _latin(text: str) -> str:
    """Lookalike letters of other scripts, and digits, as the Latin letters they pass for (same
    length)."""
    if text.translate(_LOOKALIKE) == text:
        return text
    return re.sub(
        r"\w+",
        lambda word: word[0].translate(_LOOKALIKE) if re.search("[a-z]", word[0]) else word[0],
        text,
    )


def _spans(text: str, prompt: str, extra: Sequence[str]) -> list[tuple[int, int]]:
    plain, origin = fold(text)
    topic = fold(prompt)[0]
    spelled, letters = _unspell(plain)
    same = range(len(plain))
    versions: dict[str, Sequence[int]] = {spelled: letters, _latin(plain): same, plain: same}
    named_spans = [
        (where[a], where[b - 1] + 1)
        for version, where in versions.items()
        for a, b in _find(version, topic, extra, text, where, origin)
        if b > a
    ]
    return [(origin[a], origin[b - 1] + 1) for a, b in named_spans]


def _unspell(text: str) -> tuple[str, list[int]]:
    """Letters spelled out with separators ("C-l-a-u-d-e", "G P T") pulled together; each
    character's origin."""
    keep = [True] * len(text)
    for run in re.finditer(r"(?<!\w)\w(?:[-.·_*‧\s]\w){2,}(?!\w)", text):
        for place in range(run.start() + 1, run.end(), 2):
            keep[place] = False
    where = [place for place, keeps in enumerate(keep) if keeps]
    return "".join(text[place] for place in where), where


def _find(
    version: str,
    topic: str,
    extra: Sequence[str],
    text: str,
    where: Sequence[int],
    origin: Sequence[int],
) -> Iterable[tuple[int, int]]:
    for name in extra:
        if name.strip():
            pattern = re.escape(fold(name.strip())[0])
            yield from (m.span() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", version))
    for match in _UNMISTAKABLE.finditer(version):
        if match[0] not in topic or _names_itself(version, *match.span(), strict=True):
            yield match.span()
    is_ai, named = bool(_IS_AI.search(version)), set()
    ambiguous = list(_AMBIGUOUS.finditer(version))
    for match in ambiguous:
        if _names_itself(version, *match.span(), strict=match[1] in topic):
            named.add(match[1])
    for match in ambiguous:
        name = match[1]
        capital = text[origin[where[match.start()]]].isupper()
        own = _names_itself(version, *match.span(), strict=name in topic)
        known = (is_ai or name in named) and capital and name not in topic
        if own or known or (match[2] and name in _VERSIONED and name not in topic):
            yield match.span()
    makers = (
        match
        for match in _MADE_BY.finditer(version)
        if _SPEAKER.search(version[max(0, match.start() - 90) : match.start()])
    )
    for match in chain(*(unlisted.finditer(version) for unlisted in _UNLISTED), makers):
        if match[1] not in _NOT_NAMES and text[origin[where[match.start(1)]]].isupper():
            yield match.span(1)


def _names_itself(text: str, start: int, end: int, strict: bool) -> bool:
    """Whether the name at [start, end) is said of the speaker; `strict`: directly so, not just in
    such a sentence."""
    before, after = text[max(0, start - 60) : start], text[end : end + 60]
    if _DIRECT_BEFORE.search(before) or _DIRECT_AFTER.match(after):
        return True
    if strict:
        return False
    line_start, line_end = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    line = text[line_start : len(text) if line_end < 0 else line_end]
    if re.fullmatch(
        r"[\s*_#>~—–-]*" + re.escape(text[start:end]) + r"[\s*_.!~]*", line
    ):  # a signature
        return True
    if re.match(
        r"[\s*_#>\[(]*(?:assistant|ai|bot|response|answer)?[\s(:/-]*$", text[line_start:start]
    ) and re.match(r"[\s*_)\]]*(?::|\bhere\b|\(ai\)|says:)", after):
        return True
    return bool(_SELF.search(_sentence(text, start, end)))


def _sentence(text: str, start: int, end: int) -> str:
    first = 0
    for stop in _SENTENCE.finditer(text, 0, start):
        first = stop.end()
    last = _SENTENCE.search(text, end)
    return text[first : last.start() if last else len(text)]


def _merge(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(set(spans)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


_UNMISTAKABLE = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(UNMISTAKABLE)})(?![a-z0-9])")
_AMBIGUOUS = re.compile(
    rf"(?<![a-z0-9])({'|'.join(re.escape(name) for name in AMBIGUOUS)})({_VERSION}*)(?![a-z0-9])"
)
_DIRECT_BEFORE = re.compile(
    r"(?:\b(?:i am|i'm|im|i,|i was named|my name is|my name's|call me|called me|this is|as|known as|i go by|named me|ich bin|ich heiße|mein name ist|als"
    r"|je suis|je m'appelle|en tant que|soy|me llamo|mi nombre es|como|sono|mi chiamo|eu sou|sou o|meu nome é|я|меня зовут|(?:developed|created|made|built|trained|designed|powered) by)"
    r"|我是|我叫|作为|私は|저는)" + _MARK + r"(?:the |a |an |von |de )?$"
)
_DIRECT_AFTER = re.compile(
    _MARK
    + r"(?:,? an? (?:\w+ ){0,4}?(?:ai|language model|assistant|chatbot|llm)\b|here\b|です|입니다)"
)
