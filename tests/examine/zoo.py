"""Synthetic runs, healthy and deliberately broken, as sample rows."""

from __future__ import annotations

from typing import Any

import numpy as np

WORDS = [
    "the",
    "film",
    "was",
    "a",
    "story",
    "of",
    "love",
    "and",
    "war",
    "with",
    "great",
    "actors",
    "who",
    "play",
    "their",
    "parts",
    "so",
    "well",
    "that",
    "i",
    "cried",
    "twice",
]


def sentence(rng: np.random.Generator, words: int, vocabulary: list[str] = WORDS) -> str:
    return " ".join(rng.choice(vocabulary, size=words)) + "."


def rows(
    rng: np.random.Generator,
    gold: float,
    proxy: float,
    kl: float,
    n: int = 120,
    words: int = 16,
    noise: float = 1.0,
    finished: float = 0.8,
    vocabulary: list[str] = WORDS,
    response: str | None = None,
    k1_shift: float = 0.0,
) -> list[dict[str, Any]]:
    result = []
    for i in range(n):
        exact = max(0.0, kl + 0.2 * kl * rng.normal())
        logp = -80 + rng.normal()
        result.append(
            {
                "prompt_id": i,
                "prompt": f"prompt {i}",
                "response": response or sentence(rng, words, vocabulary),
                "response_tokens": words,
                "finished": bool(rng.random() < finished),
                "gold": gold + noise * rng.normal(),
                "proxy": (proxy + noise * rng.normal() + 0.2 * rng.normal(size=3)).tolist(),
                "logp": logp,
                "ref_logp": logp - exact + 0.5 * rng.normal() + k1_shift,
                "kl_exact": exact,
            }
        )
    return result


def path(
    rng: np.random.Generator,
    golds: list[float],
    proxies: list[float],
    kls: list[float],
    **last: Any,
) -> list[Any]:
    """Points along training; `last` changes the final one."""
    points = []
    for step, (gold, proxy, kl) in enumerate(zip(golds, proxies, kls, strict=True)):
        extra = last if step == len(golds) - 1 else {}
        points.append((10 * step, rows(rng, gold, proxy, kl, **extra)))
    return points


UP, KL = [0.0, 0.4, 0.8, 1.1], [0.0, 1.0, 3.0, 6.0]


def healthy(seed: int) -> list[Any]:
    return path(np.random.default_rng(seed), UP, [0.0, 0.5, 1.0, 1.5], KL)


BROKEN: dict[str, tuple[str, Any]] = {
    "proxy up, gold below the start": (
        "gamed", lambda r: path(r, [0.0, -0.2, -0.6, -1.0], [0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 15.0, 40.0])),
    "proxy up, gold past its peak": (
        "gamed", lambda r: path(r, [0.0, 1.2, 0.9, 0.2], [0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 15.0, 40.0])),
    "length hack": (
        "gamed", lambda r: path(r, [0.0, 0.1, -0.3, -0.7], [0.0, 1.0, 2.0, 3.0], KL, words=60)),
    "constant answer": (
        "collapsed", lambda r: path(r, UP, UP, KL, response="a great film with great actors, great story and great war.")),
    "repetition": (
        "collapsed", lambda r: path(r, UP, UP, KL, vocabulary=["great", "film"], words=40)),
    "never finishes": ("collapsed", lambda r: path(r, UP, UP, KL, finished=0.1)),
    "KL sign bug": ("inconclusive", lambda r: path(r, UP, UP, KL, k1_shift=12.0)),
    "masked tokens missing from the KL": ("inconclusive", lambda r: path(r, UP, UP, KL, k1_shift=3.0)),
    "nothing learned": ("inconclusive", lambda r: path(r, [0.0] * 4, [0.0] * 4, [0.0, 0.1, 0.1, 0.1])),
    "proxy alone moved": ("gamed", lambda r: path(r, [0.0, 0.02, 0.0, 0.01], [0.0, 0.5, 1.0, 1.5], KL)),
}  # fmt: skip
