"""Segments, tags and windows of scored text: nothing is lost, and sampling cuts where training
does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.text.corpus import train_bpe
from accord.text.packing import PromptGroup, pack
from accord.text.scored import (
    Document,
    Tagging,
    best_documents,
    good_segments,
    read_documents,
    scored_windows,
)
from accord.text.segments import Tags, ending_ids, segments_of

BOS, EOS, ENDS = 0, 1, frozenset({0, 7, 8})
TAGS = Tags(20, 21, ENDS)
IDS = st.lists(st.integers(2, 19), min_size=1, max_size=60)


def document(ids: list[int], scores: list[float] | None = None) -> Document:
    segments = list(segments_of(ids, ENDS))
    drawn = scores or [float(i % 3 - 1) for i in range(len(segments))]
    return Document(ids, segments, [end for _, end in segments], drawn)


@given(IDS)
def test_segments_are_the_whole_document_in_order(ids: list[int]) -> None:
    segments = list(segments_of(ids, ENDS))
    assert [i for start, end in segments for i in ids[start:end]] == ids
    for start, end in segments:
        assert not any(i in ENDS for i in ids[start : end - 1])


@settings(deadline=None)
@given(
    st.lists(st.tuples(IDS, st.lists(IDS, min_size=1, max_size=3)), min_size=1, max_size=4),
    st.booleans(),
)
def test_tags_in_a_stream_are_those_of_each_sequence(
    drawn: list[tuple[list[int], list[list[int]]]], share: bool
) -> None:
    """Whatever is packed together, prompts shared or not: each sequence is read as if alone, and
    the state that predicts a token is the one right before it."""
    groups = [PromptGroup(prompt, responses) for prompt, responses in drawn]
    stream = pack(groups, share)
    read, at_N = TAGS.insert(stream)
    starts, begin = [], 0
    for one in read.segments:
        starts.append(begin)
        begin += one.length
    assert begin == len(read.token_ids_N)

    def sequence(index: int) -> tuple[list[int], list[int]]:
        one = read.segments[index]
        ids, places = ([], []) if one.prefix is None else sequence(one.prefix)
        part = slice(starts[index], starts[index] + one.length)
        return (
            [*ids, *read.token_ids_N[part].tolist()],
            [*places, *read.positions_N[part].tolist()],
        )

    found = []
    for index, own in enumerate(read.segments):
        if own.prefix is not None or not any(s.prefix == index for s in read.segments):
            ids, places = sequence(index)
            assert places == list(range(len(ids)))
            found.append(ids)
    assert found == [TAGS.tagged([*p, *r]) for p, responses in drawn for r in responses]
    last = read.token_ids_N[at_N]
    assert torch.equal(last == TAGS.good, torch.isin(stream.token_ids_N, torch.tensor([*ENDS])))
    assert torch.equal(last[last < TAGS.first], stream.token_ids_N[last < TAGS.first])


@given(IDS)
def test_good_text_is_trained_with_the_tags_it_is_sampled_with(ids: list[int]) -> None:
    """The invariant behind conditional training: reading puts tags where the windows have them."""
    one = document(ids, [1.0] * len(list(segments_of(ids, ENDS))))
    found = scored_windows([one], BOS, EOS, 1000, Tagging(TAGS, 0.5))
    group = found.windows[0].group
    assert [*group.prompt, *group.responses[0]] == [*TAGS.tagged([BOS, *ids]), EOS]


@given(
    st.lists(IDS, min_size=1, max_size=5), st.integers(16, 40), st.sampled_from([None, 0.0, 0.5])
)
def test_windows_hold_every_token_once_with_its_score(
    documents: list[list[int]], length: int, untagged: float | None
) -> None:
    """Text and <eos> are scored but for each window's first token without a tag before it; tags are
    never scored; what short tails lose is counted."""
    docs = [document(ids) for ids in documents]
    tagging = None if untagged is None else Tagging(TAGS, 0.0, untagged, seed=5)
    found = scored_windows(docs, BOS, EOS, length, tagging)
    kept = 0
    for window in found.windows:
        ids = [*window.group.prompt, *window.group.responses[0]]
        mask = window.group.mask(0) or [True] * len(window.group.responses[0])
        assert len(ids) <= length
        assert len(window.rewards) == sum(mask) > 0
        assert all(
            one >= TAGS.first
            for one, m in zip(window.group.responses[0], mask, strict=True)
            if not m
        )
        assert not any(
            one >= TAGS.first for one, m in zip(window.group.responses[0], mask, strict=True) if m
        )
        kept += sum(one < TAGS.first for one in ids)
    assert kept == found.tokens
    assert found.tokens + found.dropped_tokens == sum(len(ids) + 2 for ids in documents)
    for number, doc in enumerate(docs):
        mine = [w for w in found.windows if w.document == number]
        text = [i for w in mine for i in [*w.group.prompt, *w.group.responses[0]] if i < TAGS.first]
        assert text == [BOS, *doc.ids, EOS][: len(text)]
        wanted = [
            s for (a, b), s in zip(doc.segments, doc.scores, strict=True) for _ in range(b - a)
        ]
        if tagging is not None and untagged == 0.0:  # every window begins with a tag or <bos>
            got = [r for w in mine for r in w.rewards]
            assert got == [*wanted, wanted[-1]][: len(got)]


def test_a_tag_says_what_its_segment_is() -> None:
    one = document([5, 7, 6, 8, 9], [1.0, -1.0, 1.0])
    group = scored_windows([one], BOS, EOS, 99, Tagging(TAGS, 0.0)).windows[0].group
    assert group.responses[0] == [20, 5, 7, 21, 6, 8, 20, 9, EOS]
    swapped = Tagging(TAGS.swapped, 0.0)
    assert scored_windows([one], BOS, EOS, 99, swapped).windows[0].group.responses[0][0] == 21
    none = scored_windows([one], BOS, EOS, 99, Tagging(TAGS, 0.0, untagged=0.999)).windows[0].group
    assert none.responses[0] == [5, 7, 6, 8, 9, EOS]


def test_filtering_keeps_the_best() -> None:
    docs = [document([5, 7], [s]) for s in (0.0, 2.0, 1.0, 2.0)]
    assert [d.scores for d in best_documents(docs, 0.5)] == [[2.0], [2.0]]
    assert [d.scores for d in best_documents(docs, 0.26)] == [[2.0]]
    kept = good_segments([document([5, 7, 6, 8, 9], [1.0, -1.0, 0.5]), docs[0]], 0.0)
    assert [(d.ids, d.segments, d.scores) for d in kept] == [
        ([5, 7, 9], [(0, 2), (2, 3)], [1.0, 0.5])
    ]


@pytest.mark.parametrize("extra", ["", "<good> and <eos> are letters here. "])
def test_documents_cut_texts_at_sentences_and_lines(extra: str) -> None:
    text = extra + 'He said "yes." Then he left!\nWas it 3 o\'clock? No'
    made = train_bpe([text] * 3, 320)
    ends = ending_ids(made, made.get_vocab_size())
    (one,) = read_documents(made, [text], ends)
    assert "".join(one.pieces(text)) == text
    assert made.decode(one.ids, skip_special_tokens=False) == text
    assert len(one.segments) >= 4
    assert made.encode("<eos>", add_special_tokens=False).ids == [1]  # as before
