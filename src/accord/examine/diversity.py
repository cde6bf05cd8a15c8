"""How varied texts are, at equal length and in equal number: within groups of samples of one prompt
(per input) and within groups of responses to different prompts (across inputs; Kirk et al. 2024).

Suffix K: the texts of a group; G: groups. A text is a list of words (`text_measures.words`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accord.examine.behaviour.scored import Scored, column
from accord.examine.text_measures import distinct, words
from accord.seeds import generator
from accord.statistics.intervals import Array
from accord.statistics.means import Estimate

Words = Sequence[str]
Embed = Callable[[Sequence[str]], Array]
"""Texts -> vectors [K, D]."""
SMOOTHED = 0.1
"""What an n-gram size without any match counts as matches (Chen and Cherry 2014, method 1)."""
HALF = 0.5
"""Share of the variety whose loss is called a collapse."""


def vendi(kernel_KK: Array) -> float:
    """exp of the Shannon entropy of the eigenvalues of kernel / K (Friedman and Dieng 2023, eq. 3):
    the effective number of different texts, 1 to K. kernel: similarities, 1 on the diagonal,
    positive semidefinite. Raises ValueError for another diagonal."""
    kernel_KK = np.asarray(kernel_KK, dtype=np.float64)
    if not len(kernel_KK) or not np.allclose(np.diag(kernel_KK), 1):
        raise ValueError("a kernel of similarities has ones on its diagonal")
    values_K = np.linalg.eigvalsh(kernel_KK / len(kernel_KK))
    positive = values_K[values_K > 1e-12]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def ngram_kernel(texts: Sequence[Words], sizes: Sequence[int] = (1, 2)) -> Array:
    """Cosine of the texts' counts of n-grams, mean over `sizes`; a text without n-grams of a size
    has nothing in common with others: [K, K]."""
    kernel_KK: Array = np.mean([_cosines(_counts(texts, size)) for size in sizes], axis=0)
    return kernel_KK


def embedding_kernel(vectors_KD: Array) -> Array:
    """Cosines of vectors: [K, K]."""
    return _cosines(np.asarray(vectors_KD, dtype=np.float64))


def _counts(texts: Sequence[Words], size: int) -> Array:
    grams = [Counter(_grams(text, size)) for text in texts]
    places = {gram: i for i, gram in enumerate(dict.fromkeys(g for own in grams for g in own))}
    counts_KX = np.zeros((len(texts), len(places)))
    for row, own in enumerate(grams):
        for gram, count in own.items():
            counts_KX[row, places[gram]] = count
    return counts_KX


def _cosines(vectors_KD: Array) -> Array:
    lengths_K = np.linalg.norm(vectors_KD, axis=1)
    unit_KD = vectors_KD / np.where(lengths_K > 0, lengths_K, 1.0)[:, None]
    cosines_KK: Array = unit_KD @ unit_KD.T
    np.fill_diagonal(cosines_KK, 1.0)
    return cosines_KK


def _grams(text: Words, size: int) -> list[tuple[str, ...]]:
    return [tuple(text[i : i + size]) for i in range(len(text) - size + 1)]


def self_bleu(texts: Sequence[Words], order: int = 4) -> float:
    """Mean BLEU of each text against all others (Zhu et al. 2018), 0 (nothing shared) to 1 (all
    alike): n-grams up to `order` in equal parts, a size without a match smoothed (`SMOOTHED`),
    brevity against the reference of the closest length (the shorter of two). Raises ValueError for
    fewer than two texts."""
    if len(texts) < 2:
        raise ValueError("self-BLEU compares texts with each other: give two or more")
    matched_NK = np.array([_matches(texts, size) for size in range(1, order + 1)])
    lengths_K = np.array([len(text) for text in texts])
    return float(np.mean([_bleu(matched_NK[:, k], lengths_K, k) for k in range(len(texts))]))


def _matches(texts: Sequence[Words], size: int) -> list[int]:
    """Per text its n-grams that another text has, each as often as the other that has it most."""
    counts = [Counter(_grams(text, size)) for text in texts]
    most: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for k, own in enumerate(counts):
        for gram, count in own.items():
            most[gram] = sorted([*most.get(gram, ()), (count, k)], reverse=True)[:2]
    return [
        sum(min(n, next((m for m, of in most[gram] if of != k), 0)) for gram, n in own.items())
        for k, own in enumerate(counts)
    ]


def _bleu(matched_N: Array, lengths_K: Array, k: int) -> float:
    length, others = int(lengths_K[k]), np.delete(lengths_K, k)
    if not length or not matched_N[0]:
        return 0.0
    total_N = np.maximum(length - np.arange(len(matched_N)), 1)
    shares_N = np.where(matched_N > 0, matched_N, SMOOTHED) / total_N
    closest = int(min(others, key=lambda other: (abs(other - length), other)))
    brevity = min(1.0, float(np.exp(1 - closest / length)))
    return brevity * float(np.exp(np.log(shares_N).mean()))


# --- groups of texts ------------------------------------------------------------------------------
MEANINGS = {
    "distinct_1": "different words per word",
    "distinct_2": "different bigrams per bigram",
    "self_bleu": "BLEU of each text against the others (higher: more alike)",
    "vendi": "(Vendi score - 1) / (texts - 1) by n-grams: 0 all alike, 1 nothing shared",
    "vendi_embedded": "the same by sentence embeddings",
    "unique": "texts that are no copy of another in the group",
}


@dataclass(frozen=True)
class Variety:
    """Measures per arm, in the same order for every arm. words: at which length; groups: compared;
    left_out: groups without two texts of that length in every arm."""

    scored: dict[str, list[Scored]]
    words: int
    groups: int
    left_out: int


def measure(
    arms: Mapping[str, Sequence[Sequence[str]]],
    length: int,
    suffix: str,
    place: str,
    embed: Embed | None = None,
) -> Variety:
    """Every measure on groups of responses: arms[name][g] answers the same in every arm.

    Texts are cut to `length` words; those that have fewer are left out, and of the rest every arm
    gives as many to a group as the one that has fewest, since all of these measures change with
    length and number. suffix: of the measures' names; place: what a group is, in words.
    """
    names = list(arms)
    counts = {len(groups) for groups in arms.values()}
    if len(counts) != 1:
        raise ValueError(f"arms have different numbers of groups: {sorted(counts)}")
    kept: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    places = []
    for g in range(counts.pop()):
        usable = {name: _usable(arms[name][g], length) for name in names}
        size = min(map(len, usable.values()))
        if size < 2:
            continue
        places.append(g)
        for name in names:
            kept[name].append(_values(usable[name][:size], arms[name][g], length, embed))
    if not places:
        return Variety({name: [] for name in names}, length, 0, len(arms[names[0]]))
    scored = {
        name: [
            Scored(
                f"{key}_{suffix}",
                "share",
                f"{MEANINGS[key]}, {place}, {length} words of each",
                column([one[key] for one in values]),
                places,
            )
            for key in values[0]
        ]
        for name, values in kept.items()
    }
    return Variety(scored, length, len(places), len(arms[names[0]]) - len(places))


def _usable(texts: Sequence[str], length: int) -> list[tuple[str, list[str]]]:
    split = [(text, words(text)) for text in texts]
    return [(text, own[:length]) for text, own in split if len(own) >= length]


def _values(
    usable: Sequence[tuple[str, list[str]]],
    whole: Sequence[str],
    length: int,
    embed: Embed | None,
) -> dict[str, float]:
    texts = [own for _, own in usable]
    found = {
        "distinct_1": distinct(texts, 1, length),
        "distinct_2": distinct(texts, 2, length),
        "self_bleu": self_bleu(texts),
        "vendi": _share(vendi(ngram_kernel(texts)), len(texts)),
    }
    if embed is not None:
        kernel_KK = embedding_kernel(embed([" ".join(own) for own in texts]))
        found["vendi_embedded"] = _share(vendi(kernel_KK), len(texts))
    return found | {"unique": len(set(whole)) / len(whole)}


def _share(effective: float, texts: int) -> float:
    return min(1.0, max(0.0, (effective - 1) / (texts - 1)))


def across(responses: Sequence[str], size: int, seed: int) -> list[list[str]]:
    """Responses to different prompts, drawn into groups of `size` or a few more: the same groups
    for every arm with as many prompts. Raises ValueError for fewer than two responses."""
    if len(responses) < 2:
        raise ValueError("variety across prompts needs two or more")
    order = generator(seed, "variety across prompts").permutation(len(responses))
    parts = np.array_split(order, max(1, len(responses) // size))
    return [[responses[int(i)] for i in part] for part in parts]


def lost(before: Estimate, change: Estimate) -> bool:
    """Whether more than half of a variety between 0 and 1 is gone, beyond chance."""
    return change.below(0) and before.value + change.value < HALF * before.value
