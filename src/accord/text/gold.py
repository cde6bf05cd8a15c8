"""Gold rewards, hidden from the learner: sentiment by TF-IDF and logistic regression, and what is
written down as weighted patterns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from accord.errors import DataError
from accord.files import write_atomically, write_json

PATTERNS = "gold.json"


class Gold(Protocol):
    """What a text, prompt and response together, is truly worth."""

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """A number per text: [B]."""
        ...


def load_gold(folder: Path) -> Gold:
    """The gold reward that lies in `folder`, whichever it is. Raises DataError where there is
    none."""
    if (folder / PATTERNS).is_file():
        return GoldPatterns.load(folder)
    return GoldSentiment.load(folder)


class GoldTerm(BaseModel):
    """`weight` for each place where the regular expression is found, at most `most` times."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: str
    weight: float
    most: int | None = Field(None, ge=1)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern, re.DOTALL)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return pattern


class GoldPatterns(BaseModel):
    """A gold reward that can be written down: the sum of `terms`, and `per_word` of the text (words
    divided by spaces)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: tuple[GoldTerm, ...] = ()
    per_word: float = 0.0

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The sum for each text: [B]."""
        values = np.array([self.per_word * len(text.split()) for text in texts], dtype=np.float64)
        for term in self.terms:
            pattern = re.compile(term.pattern, re.DOTALL)
            found = np.array([sum(1 for _ in pattern.finditer(text)) for text in texts], float)
            if len(texts):
                values += term.weight * (found if term.most is None else found.clip(max=term.most))
        return values

    def save(self, folder: Path) -> Path:
        """Write `gold.json`."""
        write_json(folder / PATTERNS, self.model_dump(mode="json"))
        return folder

    @classmethod
    def load(cls, folder: Path) -> GoldPatterns:
        """Read what `save` wrote. Raises DataError for anything else."""
        place = folder / PATTERNS
        try:
            return cls.model_validate_json(place.read_text(encoding="utf-8"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{place}: {where}: {first['msg']}",
                'write {"terms": [{"pattern": ..., "weight": ...}], "per_word": 0}',
            ) from None


class GoldSentiment:
    """Log-odds that a text is a positive review (natural logarithm; > 0 is positive)."""

    def __init__(
        self, vocabulary: dict[str, int], idf: NDArray[Any], weights: NDArray[Any], bias: float
    ) -> None:
        self.vocabulary, self.idf, self.weights, self.bias = vocabulary, idf, weights, bias
        self._vectorizer = _vectorizer(vocabulary)
        self._vectorizer.idf_ = idf

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[int]) -> GoldSentiment:
        """Fit on texts with 0/1 labels: 1-2-grams, sublinear counts, terms seen at least twice, C =
        30."""
        from sklearn.linear_model import LogisticRegression

        if set(labels) != {0, 1}:
            raise DataError(f"gold labels must contain both 0 and 1, found {sorted(set(labels))}")
        vectorizer = _vectorizer(None)
        features = vectorizer.fit_transform(texts)
        model = LogisticRegression(C=30.0, solver="liblinear", random_state=0).fit(features, labels)
        vocabulary = {term: int(index) for term, index in vectorizer.vocabulary_.items()}
        return cls(
            vocabulary,
            vectorizer.idf_,
            model.coef_[0].astype(np.float32),
            float(model.intercept_[0]),
        )

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-odds per text: [B]."""
        if not texts:
            return np.zeros(0)
        return (
            np.asarray(self._vectorizer.transform(texts) @ self.weights, dtype=np.float64)
            + self.bias
        )

    def accuracy(self, texts: Sequence[str], labels: Sequence[int]) -> float:
        """Share of texts whose sign agrees with the label."""
        return float(np.mean((self.score(texts) > 0) == np.asarray(labels, dtype=bool)))

    def save(self, folder: Path) -> Path:
        """Write `gold.npz` and `vocabulary.json` (no pickle)."""

        def write(place: Path) -> None:
            place.mkdir()
            np.savez(
                place / "gold.npz", idf=self.idf, weights=self.weights, bias=np.float64(self.bias)
            )
            terms = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
            (place / "vocabulary.json").write_text(
                json.dumps(terms, ensure_ascii=False), encoding="utf-8"
            )

        write_atomically(folder, write)
        return folder

    @classmethod
    def load(cls, folder: Path) -> GoldSentiment:
        """Read what `save` wrote."""
        if not (folder / "gold.npz").is_file():
            raise DataError(
                f"{folder} holds no gold reward: gold.npz is missing",
                "name the gold of a reviews stage",
            )
        arrays = np.load(folder / "gold.npz", allow_pickle=False)
        terms = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        vocabulary = {term: index for index, term in enumerate(terms)}
        return cls(vocabulary, arrays["idf"], arrays["weights"], float(arrays["bias"]))


def _vectorizer(vocabulary: dict[str, int] | None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    minimum = 1 if vocabulary else 2
    return TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=minimum,
        dtype=np.float32,
        vocabulary=vocabulary,
    )
