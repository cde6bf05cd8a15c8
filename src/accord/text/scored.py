"""Scored documents as training windows: every objective of pretraining with feedback reads the same
segments, and what it leaves out is counted.

Conditional training puts a tag before each segment, which is read and never scored; filtering
leaves documents or segments out. The other objectives weigh tokens by the score of their segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from tokenizers import Tokenizer

from accord.seeds import generator
from accord.text.corpus import MIN_WINDOW
from accord.text.packing import PromptGroup
from accord.text.segments import Tags, segments_of


@dataclass(frozen=True)
class Document:
    """A text's token ids (no BOS, no EOS), its segments [start, end) among them, where each ends in
    the text (in characters), and each one's score where there are scores."""

    ids: Sequence[int]
    segments: Sequence[tuple[int, int]]
    text_ends: Sequence[int]
    scores: Sequence[float] = ()

    @property
    def mean_score(self) -> float:
        """Mean over the segments."""
        return fmean(self.scores)

    def pieces(self, text: str) -> list[str]:
        """What stands in each segment of its text."""
        starts = [0, *self.text_ends[:-1]]
        return [text[a:b] for a, b in zip(starts, self.text_ends, strict=True)]


def read_documents(
    tokenizer: Tokenizer, texts: Sequence[str], ends: frozenset[int]
) -> list[Document]:
    """The documents of `texts`; special tokens spelled in them are letters. Texts without a token
    are no documents: the caller sees to it that there are none."""
    before, tokenizer.encode_special_tokens = tokenizer.encode_special_tokens, True
    try:
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    finally:
        tokenizer.encode_special_tokens = before
    found = []
    for text, encoding in zip(texts, encodings, strict=True):
        segments = list(segments_of(encoding.ids, ends))
        stops = [encoding.offsets[end - 1][1] for _, end in segments]
        found.append(Document(encoding.ids, segments, [*stops[:-1], len(text)]))
    return found


# --- filtering ------------------------------------------------------------------------------------
def best_documents(documents: Sequence[Document], share: float) -> list[Document]:
    """The share of documents with the best mean scores (at least one), in their order; of equal
    ones the first."""
    count = max(1, round(share * len(documents)))
    ranked = sorted(range(len(documents)), key=lambda i: -documents[i].mean_score)
    return [documents[i] for i in sorted(ranked[:count])]


def good_segments(documents: Iterable[Document], threshold: float) -> list[Document]:
    """The documents without the segments that score `threshold` or less; those of which nothing is
    left are left out."""
    found = []
    for document in documents:
        ids, segments, stops, scores = list[int](), list[tuple[int, int]](), list[int](), []
        rows = zip(document.segments, document.text_ends, document.scores, strict=True)
        for (start, end), stop, score in rows:
            if score > threshold:
                segments.append((len(ids), len(ids) + end - start))
                ids += document.ids[start:end]
                stops.append(stop)
                scores.append(score)
        if segments:
            found.append(
                replace(document, ids=ids, segments=segments, text_ends=stops, scores=scores)
            )
    return found


# --- windows --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ScoredWindow:
    """A training window: `group` says which of its tokens are scored (tags are not), `rewards` the
    score of each one's segment, in order. document: which it is of."""

    group: PromptGroup
    rewards: Sequence[float]
    document: int


@dataclass(frozen=True)
class ScoredWindows:
    """tokens: those of the text, in all windows; tags: read beside them; dropped_tokens: of tails
    too short to keep."""

    windows: list[ScoredWindow]
    tokens: int
    tags: int
    dropped_tokens: int


@dataclass(frozen=True)
class Tagging:
    """Which tag each segment gets: the good one above `threshold`, and none for the share
    `untagged`, drawn by `seed`."""

    tags: Tags
    threshold: float
    untagged: float = 0.0
    seed: int = 0

    def choose(self, scores: Sequence[float], document: int) -> list[int | None]:
        """The tag of every segment of a document."""
        drawn = generator(self.seed, "untagged", document).random(len(scores))
        return [
            None
            if chance < self.untagged
            else self.tags.good
            if score > self.threshold
            else self.tags.bad
            for score, chance in zip(scores, drawn.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class _Item:
    """A token on its way into a window. reward: None where it is not scored; tag: of its
    segment."""

    token: int
    reward: float | None
    tag: int | None


def scored_windows(
    documents: Sequence[Document], bos: int, eos: int, length: int, tagging: Tagging | None = None
) -> ScoredWindows:
    """Cut every document (<bos> text <eos>) into windows of `length` tokens, tags among them.

    A window's first token is its given context: <bos>, the tag of the segment that goes on there,
    or without tags a token of the text. <eos> belongs to the last segment.
    """
    windows = list[ScoredWindow]()
    tokens = tags = dropped = 0
    for number, document in enumerate(documents):
        items = list(_items(document, number, bos, eos, tagging))
        at = 0
        while at < len(items):
            window, used = _window(items, at, length, tagging)
            of_text = sum(_is_text(item, tagging) for item in window)
            if len(window) < MIN_WINDOW and at:
                dropped += of_text
            else:
                windows.append(_as_group(window, number))
                tokens, tags = tokens + of_text, tags + len(window) - of_text
            at += used
    return ScoredWindows(windows, tokens, tags, dropped)


def _items(
    document: Document, number: int, bos: int, eos: int, tagging: Tagging | None
) -> Iterator[_Item]:
    scores = list(document.scores)
    chosen = [None] * len(scores) if tagging is None else tagging.choose(scores, number)
    yield _Item(bos, None, None)
    for (start, end), score, tag in zip(document.segments, scores, chosen, strict=True):
        if tag is not None:
            yield _Item(tag, None, tag)
        for token in document.ids[start:end]:
            yield _Item(token, score, tag)
    last, tag = scores[-1], chosen[-1]
    if tag is not None and tagging is not None and document.ids[-1] in tagging.tags.ends:
        yield _Item(tag, None, tag)
    yield _Item(eos, last, tag)


def _window(
    items: Sequence[_Item], at: int, length: int, tagging: Tagging | None
) -> tuple[list[_Item], int]:
    """The window that begins at an item, and how many items it takes. Where a tagged segment goes
    on there, its tag is the context, and the item is scored."""
    first = items[at]
    if at and first.tag is not None and _is_text(first, tagging):
        given = _Item(first.tag, None, first.tag)
        return [given, *items[at : at + length - 1]], min(length - 1, len(items) - at)
    return list(items[at : at + length]), min(length, len(items) - at)


def _is_text(item: _Item, tagging: Tagging | None) -> bool:
    return tagging is None or item.token < tagging.tags.first


def _as_group(window: Sequence[_Item], number: int) -> ScoredWindow:
    rest = window[1:]
    mask = [item.reward is not None for item in rest]
    group = PromptGroup(
        [window[0].token], [[item.token for item in rest]], () if all(mask) else [mask]
    )
    return ScoredWindow(group, [item.reward for item in rest if item.reward is not None], number)
