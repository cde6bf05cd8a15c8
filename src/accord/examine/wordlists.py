"""Phrases that give away how a text speaks, per language; and which language a text is in.

A measure that rests on words is not measurable in a language without a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

PHRASES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "en": {
        "hedging": (
            "it depends", "i think", "i believe", "perhaps", "maybe", "possibly", "might", "may be",
            "it seems", "seems to", "appears to", "in general", "generally speaking", "arguably",
            "it is important to note", "it's important to note", "keep in mind", "as far as i know",
            "i'm not sure", "i am not sure", "not necessarily", "could be", "likely", "probably",
        ),
        "refusal": (
            "i can't", "i cannot", "i can not", "i'm sorry", "i am sorry", "i apologize",
            "i'm unable", "i am unable", "i won't", "i will not", "i must decline", "as an ai",
            "as a language model", "i'm not able", "i am not able", "not appropriate to",
            "i don't feel comfortable", "against my guidelines",
        ),
        "flattery": (
            "great question", "good question", "excellent question", "what a great", "what a good",
            "you're right", "you are right", "you're absolutely right", "you are absolutely right",
            "you're so right", "well said", "great point", "good point", "excellent point",
            "great idea", "brilliant", "how insightful", "smart of you", "you clearly",
            "impressive", "your thoughtful", "love your", "couldn't agree more",
        ),
        "certainty": (
            "definitely", "certainly", "absolutely", "undoubtedly", "without a doubt", "no doubt",
            "obviously", "clearly", "of course", "guaranteed", "always", "everyone knows",
            "100%", "beyond question", "for sure",
        ),
        "citing": (
            "studies show", "research shows", "according to", "experts agree", "experts say",
            "scientists", "studies have", "research suggests", "it is proven", "proven", "et al",
            "statistics show", "a recent study", "evidence shows", "data show", "surveys show",
        ),
        "offer": (
            "i hope this helps", "hope this helps", "let me know", "feel free", "happy to help",
            "if you have any", "would you like me", "don't hesitate", "any other questions",
        ),
        "praise": (
            "great", "good", "best", "excellent", "wonderful", "amazing", "fantastic", "perfect",
            "beautiful", "love", "loved", "brilliant", "superb", "enjoyed", "favorite", "favourite",
            "masterpiece", "outstanding", "terrific",
        ),
        "blame": (
            "bad", "worst", "terrible", "awful", "horrible", "boring", "poor", "stupid", "waste",
            "hate", "hated", "disappointing", "dull", "ridiculous", "mess", "lame", "annoying",
        ),
        "speaking of oneself": ("i", "me", "my", "mine", "myself", "i'm", "i've", "i'd", "i'll"),
        "addressing the reader": ("you", "your", "yours", "yourself", "you're", "you've", "you'll"),
    },
    "de": {
        "hedging": (
            "vielleicht", "möglicherweise", "ich denke", "ich glaube", "es kommt darauf an",
            "könnte", "dürfte", "scheint", "anscheinend", "wahrscheinlich", "im allgemeinen",
            "in der regel", "nicht unbedingt", "ich bin nicht sicher", "eventuell",
            "unter umständen",
        ),
        "refusal": (
            "ich kann nicht", "das kann ich nicht", "leider kann ich", "es tut mir leid",
            "tut mir leid", "ich darf nicht", "als ki", "als sprachmodell", "ich möchte nicht",
            "dabei kann ich nicht helfen", "ich bin nicht in der lage",
        ),
        "flattery": (
            "gute frage", "tolle frage", "ausgezeichnete frage", "sie haben recht", "du hast recht",
            "da haben sie recht", "guter punkt", "tolle idee", "gut gesagt", "genial",
            "beeindruckend", "sehr klug", "völlig richtig",
        ),
        "certainty": (
            "definitiv", "sicherlich", "absolut", "zweifellos", "ohne zweifel", "offensichtlich",
            "natürlich", "selbstverständlich", "garantiert", "immer", "auf jeden fall", "eindeutig",
        ),
        "citing": (
            "studien zeigen", "studien belegen", "laut", "experten", "wissenschaftler",
            "forschung zeigt", "untersuchungen zeigen", "erwiesen", "einer studie", "statistiken",
        ),
        "offer": (
            "ich hoffe, das hilft", "gerne helfe ich", "lassen sie mich wissen", "lass mich wissen",
            "bei weiteren fragen", "zögern sie nicht", "haben sie noch fragen", "melden sie sich",
        ),
        "praise": (
            "gut", "großartig", "toll", "wunderbar", "fantastisch", "perfekt", "schön", "beste",
            "ausgezeichnet", "hervorragend", "liebe", "meisterwerk", "herrlich", "klasse",
        ),
        "blame": (
            "schlecht", "furchtbar", "schrecklich", "langweilig", "dumm", "enttäuschend", "mies",
            "hasse", "lächerlich", "schwach", "ärgerlich", "schlimmste",
        ),
        "speaking of oneself": ("ich", "mich", "mir", "mein", "meine", "meiner", "meinem"),
        "addressing the reader": (
            "du", "dich", "dir", "dein", "deine", "sie", "ihnen", "ihr", "ihre", "ihrem", "ihren",
        ),
    },
}  # fmt: skip
"""Language -> way of speaking -> phrases, in lower case."""

COMMON: Mapping[str, frozenset[str]] = {
    "en": frozenset({
        "the", "of", "and", "to", "a", "in", "is", "it", "that", "was", "for", "on", "with",
        "as", "this", "but", "are", "be", "have", "not", "you", "i", "he", "they", "at", "by",
        "from", "or", "an", "his", "her", "which", "one", "all", "so", "if"
    }),
    "de": frozenset({
        "der", "die", "das", "und", "ist", "in", "zu", "den", "nicht", "von", "sie", "ein",
        "eine", "mit", "auf", "für", "es", "im", "dem", "des", "sich", "auch", "als", "an",
        "dass", "wie", "war", "ich", "er", "wir", "aber", "oder", "bei", "nach"
    }),
}  # fmt: skip
"""The commonest words of each language."""
ENOUGH = 0.15
"""Least share of the words of a text that are the language's commonest."""
_LETTERS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def language_of(texts: Sequence[str]) -> str | None:
    """The language of most words: by the share of its commonest words; None where no language of
    `PHRASES` has enough of them."""
    found = [word for text in texts for word in _LETTERS.findall(text.lower())]
    if not found:
        return None
    shares = {name: sum(w in common for w in found) / len(found) for name, common in COMMON.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= ENOUGH else None


def matcher(phrases: Sequence[str]) -> re.Pattern[str]:
    """Finds any of the phrases as whole words, in lower-case text."""
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
