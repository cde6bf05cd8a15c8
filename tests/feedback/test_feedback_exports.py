"""Feedback out: rows others read, with who, when and how many agree; what was read comes back as it
was."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_feedback import judged

from accord.errors import ConfigError, DataError
from accord.feedback.formats import EXPORTS, export, read_feedback
from accord.feedback.formats.anonymous import Pseudonyms
from accord.feedback.formats.card import card_text, data_card
from accord.feedback.formats.shapes import SHAPES
from accord.feedback.records import Feedback, Message, content_id, plain
from accord.spreadsheets import FORMULA, csv_text
from real_data import shared_data

CHAT = [{"role": "user", "content": "Name a fruit."}]


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def save_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(csv_text(rows), encoding="utf-8")
    return path


def there_and_back(folder: Path, records: list[Feedback], shape: str) -> list[Feedback]:
    """Exported with all columns and read again."""
    rows = export(records, shape).full_rows()
    table = shape.startswith("csv")
    return read_feedback(
        save_table(folder / "b.csv", rows) if table else save(folder / "b.jsonl", rows)
    ).records


def compared(
    preferred: int | None = 0, annotator: str = "ann", prompt: Any = "Name a fruit.", **more: Any
) -> Feedback:
    """A comparison of an apple (shown second) with a stone (shown first)."""
    contents = ("Apple.", "Stone.")
    options = [
        {"id": content_id(c), "content": c, "producer": p, "shown_at": 1 - i}
        for i, (c, p) in enumerate(zip(contents, ("m1", None), strict=True))
    ]
    choice = {"tie": True} if preferred is None else {"preferred": options[preferred]["id"]}
    body = {
        "id": f"{annotator}-{preferred}",
        "kind": "comparison",
        "prompt": prompt,
        "options": options,
        "choice": choice,
        "annotator": annotator,
        "session": "s1",
        "guideline": "v2",
        "active_seconds": 3.5,
        "created_at": "2026-01-02T03:04:05Z",
    }
    return Feedback.model_validate({**body, **more})


def ranked(order: list[list[str]], **more: Any) -> Feedback:
    options = [
        {"id": i, "content": f"text {i}", "shown_at": place} for place, i in enumerate("abc")
    ]
    return Feedback.model_validate(
        {
            "id": "rank",
            "kind": "ranking",
            "prompt": CHAT,
            "options": options,
            "choice": {"order": order},
            "annotator": "r",
            **more,
        }
    )


# --- PRM800K --------------------------------------------------------------------------------------
completions = st.fixed_dictionaries(
    {"text": st.text("ab=+1 ", min_size=1, max_size=8), "rating": st.sampled_from([-1, 0, 1, None]), "flagged": st.sampled_from([None, False, True])}
)  # fmt: skip
steps = st.builds(
    lambda options, chosen, human: {
        "completions": options, "human_completion": human, "chosen_completion": None if chosen is None else chosen % len(options),
    },
    st.lists(completions, min_size=1, max_size=3), st.none() | st.integers(0, 2),
    st.none() | st.fixed_dictionaries({"text": st.just("mine"), "rating": st.none(), "source": st.just("human"), "flagged": st.none()}),
)  # fmt: skip
prm_rows = st.fixed_dictionaries({
    "labeler": st.sampled_from(["340d89bc", "other"]), "timestamp": st.just("2023-01-22T04:34:27.052924"),
    "generation": st.none() | st.integers(-1, 9), "is_quality_control_question": st.booleans(),
    "is_initial_screening_question": st.booleans(),
    "question": st.just({"problem": "1+1?", "ground_truth_answer": "2", "pre_generated_steps": ["1+1=2"], "pre_generated_verifier_score": 0.01}),
    "label": st.fixed_dictionaries({
        "steps": st.lists(steps, min_size=1, max_size=4), "total_time": st.integers(0, 10**7),
        "finish_reason": st.sampled_from(["found_error", "solution", "give_up"]),
    }),
})  # fmt: skip


@settings(max_examples=60)
@given(st.lists(prm_rows, min_size=1, max_size=3))
def test_prm800k_rows_come_back_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("prm")
    usable = [row for row in rows if _first_is_rated(row)]
    if not usable:
        with pytest.raises(DataError, match="no step has a rating"):
            read_feedback(save(folder / "a.jsonl", rows))
        return
    got = read_feedback(save(folder / "a.jsonl", rows))
    made = export(got.records, "prm800k")
    assert made.rows == usable
    assert made.left_out == {}
    assert there_and_back(folder, got.records, "prm800k") == got.records
    for record, row in zip(got.records, usable, strict=True):
        assert (record.annotator, record.created_at) == (row["labeler"], row["timestamp"])
        assert record.active_seconds == row["label"]["total_time"] / 1000


def _first_is_rated(row: dict[str, Any]) -> bool:
    step = row["label"]["steps"][0]
    if step["chosen_completion"] is None and step["human_completion"] is not None:
        return True
    return step["completions"][step["chosen_completion"] or 0]["rating"] is not None


def test_prm800k_path_takes_the_step_the_labeler_wrote(tmp_path: Path) -> None:
    bad = {"text": "3", "rating": -1, "flagged": None}
    row = {
        "question": {"problem": "1+1?"},
        "label": {
            "steps": [
                {
                    "completions": [bad, {**bad, "text": "4"}],
                    "human_completion": {"text": "2", "rating": None},
                    "chosen_completion": None,
                },
                {
                    "completions": [{**bad, "text": "so 2", "rating": 1}],
                    "human_completion": None,
                    "chosen_completion": 0,
                },
            ]
        },
    }
    got = read_feedback(save(tmp_path / "a.jsonl", [row]))
    assert list(zip(got.records[0].choice.steps, got.records[0].choice.labels, strict=True)) == [
        ("2", 1),
        ("so 2", 1),
    ]
    assert got.left_out == {"rated alternative to a step (kept in meta)": 1}


# --- Open-Assistant -------------------------------------------------------------------------------
def test_open_assistant_trees_come_back_to_the_letter(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = data("open-assistant")
    got = read_feedback(folder)
    rows = [
        json.loads(line)
        for line in next(folder.glob("*.jsonl")).read_text(encoding="utf-8").splitlines()
    ]
    made = export(got.records, "oasst")
    assert made.rows == rows
    assert (made.left_out, made.written) == ({}, len(got.records))
    assert there_and_back(tmp_path, got.records, "oasst") == got.records
    # Without one of its records a tree is built anew, and says nothing of the missing one.
    most = Counter(r.meta["oasst"]["tree"] for r in got.records).most_common(1)[0][0]
    some = [r for r in got.records if r.meta["oasst"]["tree"] == most][1:]
    again = there_and_back(tmp_path, some, "oasst")
    assert len(some) > 3
    assert sorted(_what(r) for r in again) == sorted(_what(r) for r in some)


def _what(record: Feedback) -> str:
    return repr((record.kind, record.prompt, record.choice))


def node(
    own: str, role: str, text: str, replies: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {"message_id": own, "role": role, "text": text, "replies": replies or [], **more}


def test_open_assistant_events_labels_and_threads(tmp_path: Path) -> None:
    labels = {
        "quality": {"value": 0.75, "count": 3},
        "spam": {"value": 0.0, "count": 3},
        "humor": {"value": None, "count": 0},
    }
    answers = [
        node(
            "a1", "assistant", "Apple.", rank=1, user_id="writer", labels=labels, review_result=True
        ),
        node(
            "a2",
            "assistant",
            "Pear.",
            [node("p2", "prompter", "More?", [node("a3", "assistant", "Plum.", user_id="w2")])],
            rank=0,
            model_name="m",
        ),
    ]
    event = {
        "type": "ranking",
        "ranking_parent_id": "p1",
        "message_tree_id": "p1",
        "not_rankable": False,
    }
    events = [
        {**event, "user_id": "u1", "ranking": [1, 0], "ranked_message_ids": ["a2", "a1"]},
        {
            **event,
            "user_id": "u2",
            "ranking": [0, 1],
            "ranked_message_ids": ["a2", "a1"],
            "not_rankable": True,
        },
    ]
    tree = {
        "message_tree_id": "p1",
        "tree_state": "ready_for_export",
        "prompt": node(
            "p1", "prompter", "A fruit?", answers, events={"ranking": events}, labels=labels
        ),
    }
    got = read_feedback(save(tmp_path / "a.jsonl", [tree]))
    assert [(r.kind, r.annotator) for r in got.records] == [
        ("ranking", "u1"),
        ("ranking", "u2"),
        ("rating", "dataset"),
        ("demonstration", "w2"),
    ]
    first, flawed, rating, written = got.records
    assert (first.choice.order, first.shown) == ([["a2"], ["a1"]], ["a1", "a2"])
    assert (flawed.choice.order, flawed.choice.all_bad, flawed.shown) == (
        [["a2", "a1"]],
        True,
        ["a2", "a1"],
    )
    assert [o.producer for o in first.options] == ["m", "writer"]
    assert (rating.choice.scores, rating.options[0].id) == ({"quality": 0.75, "spam": 0.0}, "a1")
    assert [m.content for m in written.prompt] == ["A fruit?", "Pear.", "More?"]
    assert got.left_out == {"labels of a prompter's message (kept with the tree)": 1}
    assert export(got.records, "oasst").rows == [tree]
    # Rebuilt from the judgements alone, rankings keep user, order shown, times and "none would do".
    bare = [
        r.model_copy(update={"meta": {}, "active_seconds": 2.5, "created_at": "2026-01-01"})
        for r in got.records
        if r.kind != "rating"
    ]
    again = there_and_back(tmp_path, bare, "oasst")

    def key(r: Feedback) -> object:
        return (
            r.kind,
            r.prompt,
            r.choice,
            r.annotator,
            r.active_seconds if r.kind == "ranking" else None,
        )

    assert [key(r) for r in again] == [key(r) for r in bare]
    assert [[o.model_dump(exclude={"producer"}) for o in r.options] for r in again] == [
        [o.model_dump(exclude={"producer"}) for o in r.options] for r in bare
    ]


def test_what_a_tree_cannot_hold_is_said() -> None:
    tied = ranked([["a", "b"], ["c"]], id="tied")
    made = export([ranked([["a"], ["b"], ["c"]]), tied, compared()], "oasst")
    assert made.left_out == {
        "a tree holds no ties": 1,
        "comparison: a tree holds rankings and demonstrations": 1,
    }
    assert [r["rank"] for r in made.rows[0]["prompt"]["replies"]] == [0, 1, 2]


# --- TRL and transcripts --------------------------------------------------------------------------
@pytest.mark.parametrize("prompt", ["Name a fruit.", CHAT])
@pytest.mark.parametrize("preferred", [0, 1])
def test_preferences_keep_who_when_and_in_which_order(
    tmp_path: Path, prompt: Any, preferred: int
) -> None:
    record = compared(preferred, prompt=prompt, meta={"margin": 0.5})
    for shape in (
        "trl-preference",
        *(() if isinstance(prompt, str) else ("trl-preference-implicit", "hh")),
    ):
        (back,) = there_and_back(tmp_path, [record], shape)
        for name in (
            "id",
            "kind",
            "prompt",
            "choice",
            "annotator",
            "session",
            "guideline",
            "active_seconds",
            "created_at",
        ):
            assert getattr(back, name) == getattr(record, name), (shape, name)
        assert {plain(o.content): o.shown_at for o in back.options} == {"Apple.": 1, "Stone.": 0}
        assert back.meta == ({} if shape == "hh" else {"margin": 0.5})


def test_an_order_that_is_not_known_is_not_made_up(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(200)]
    records = read_feedback(save(tmp_path / "a.jsonl", rows)).records
    assert all(r.meta == {"shown": "unknown"} for r in records)
    first = sum(r.shown[0] == r.choice.preferred for r in records)
    assert 70 < first < 130  # what is preferred does not look as if it had always been on one side
    assert all(row["shown_at"] is None for row in export(records, "trl-preference").about)
    assert there_and_back(tmp_path, records, "trl-preference") == records


def test_soft_labels_are_shares_of_annotators() -> None:
    said = [("a", 0), ("b", 0), ("c", 1), ("d", None)]
    turned = compared(1, "e")
    turned = turned.model_copy(update={"options": turned.options[::-1]})
    made = export(
        [*(compared(p, a) for a, p in said), turned, compared(0, "a", id="again")], "trl-preference"
    )
    # apple: a (twice, counted once), b, half of d: 2.5 of 5
    assert [
        (row["chosen"], about["soft_label"], about["votes"])
        for row, about in zip(made.rows, made.about, strict=True)
    ] == [
        ("Apple.", 0.5, 5),
        ("Apple.", 0.5, 5),
        ("Stone.", 0.5, 5),
        ("Stone.", 0.5, 5),
        ("Apple.", 0.5, 5),
    ]
    made = export([compared(p, a) for a, p in said], "trl-preference")
    assert [about["soft_label"] for about in made.about] == [0.625, 0.625, 0.375]
    assert made.left_out == {"comparison: nothing is preferred (tie or both bad)": 1}


def test_answers_that_were_cut_off_stay_marked(tmp_path: Path) -> None:
    pair = compared()
    apple, stone = (o.id for o in pair.options)
    pair = pair.model_copy(update={"meta": {"finished": {apple: True, stone: False}}})
    assert export([pair, compared(0, "b")], "trl-preference").about[0]["finished"] == [True, False]
    assert export([pair, compared(0, "b")], "trl-preference").about[1]["finished"] is None
    (back,) = there_and_back(tmp_path, [pair], "trl-preference")
    assert {o.content: back.meta["finished"][o.id] for o in back.options} == {
        "Apple.": True,
        "Stone.": False,
    }
    body = {
        "id": "d",
        "kind": "demonstration",
        "prompt": "p",
        "options": [],
        "choice": {"content": "x"},
        "annotator": "a",
    }
    written = Feedback.model_validate({**body, "meta": {"finished": False}})
    assert there_and_back(tmp_path, [written], "trl-completion") == [written]


def test_rows_of_a_ranking_share_its_weight() -> None:
    made = export([ranked([["c"], ["a", "b"]], meta={"weight": 3.0})], "trl-preference")
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in made.rows] == [
        ("text c", "text a"),
        ("text c", "text b"),
    ]
    assert [(a["record_id"], a["weight"], a["shown_at"]) for a in made.about] == [
        ("rank#0", 1.5, [1, 0]),
        ("rank#1", 1.5, [1, 0]),
    ]


def test_weights_are_read(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b", "weight": w, "votes": 7} for w in (1.0, 2.5)
    ]
    records = read_feedback(save(tmp_path / "a.jsonl", rows)).records
    assert [r.weight for r in records] == [1.0, 2.5]
    assert all(
        r.meta["columns"] == {"votes": 7} for r in records
    )  # not ours: kept, not taken for a count of ours
    assert [about["weight"] for about in export(records, "trl-preference").about] == [1.0, 2.5]
    halves = there_and_back(tmp_path, [ranked([["c"], ["a", "b"]])], "trl-preference")
    assert [r.weight for r in halves] == [0.5, 0.5]


def test_best_and_worst_and_corrections_are_preferences() -> None:
    options = ranked([["a"], ["b"], ["c"]]).options
    best = ranked(
        [["a"], ["b"], ["c"]], id="bw", kind="best_worst", choice={"best": "c", "worst": "a"}
    )
    edit = ranked(
        [["a"]], id="edit", kind="correction", options=[options[0]], choice={"content": "better"}
    )
    pairs = [
        (r["chosen"][0]["content"], r["rejected"][0]["content"])
        for r in export([best, edit], "trl-preference").rows
    ]
    assert pairs == [
        ("text c", "text b"),
        ("text c", "text a"),
        ("text b", "text a"),
        ("better", "text a"),
    ]


def test_margins_are_a_column_only_when_all_rows_have_one() -> None:
    with_margin = compared(0, "b", meta={"margin": 2.0})
    assert export([with_margin], "trl-preference").about[0]["margin"] == 2.0
    made = export([with_margin, compared()], "trl-preference")
    assert all("margin" not in a for a in made.about)
    assert made.lost == {"margin (all rows must have one)": 1}


def test_prompts_are_written_once() -> None:
    made = export([compared(0, "a"), compared(1, "b"), ranked([["a"], ["b"], ["c"]])], "trl-prompt")
    assert made.full_rows() == [
        {"prompt": "Name a fruit.", "records": 2},
        {"prompt": CHAT, "records": 1},
    ]


@pytest.mark.parametrize(
    "shape",
    ["trl-preference", "trl-preference-implicit", "trl-unpaired", "trl-completion", "trl-prompt"],
)
@pytest.mark.parametrize("prompt", ["Name a fruit.", CHAT])
def test_trl_passes_over_the_further_columns(shape: str, prompt: Any) -> None:
    datasets, data_utils = pytest.importorskip("datasets"), pytest.importorskip("trl.data_utils")
    base = {"prompt": prompt, "annotator": "x"}
    records = [
        compared(prompt=prompt),
        compared(1, "b", prompt=prompt, session=None, created_at=None),
    ]
    records += [
        Feedback.model_validate(
            {
                **base,
                "id": "t",
                "kind": "thumb",
                "options": [{"id": "o", "content": "Pear.", "shown_at": 0}],
                "choice": {"up": True},
            }
        ),
        Feedback.model_validate(
            {
                **base,
                "id": "d",
                "kind": "demonstration",
                "options": [],
                "choice": {"content": "Plum."},
            }
        ),
    ]
    made = export(records, shape)
    dataset = datasets.Dataset.from_list(made.full_rows())
    bare = datasets.Dataset.from_list(made.rows)
    if shape == "trl-preference-implicit":
        dataset, bare = (d.map(data_utils.extract_prompt) for d in (dataset, bare))
    if shape.startswith("trl-preference"):
        dataset, bare = (
            data_utils.unpair_preference_dataset(d.select_columns(["prompt", "chosen", "rejected"]))
            if d is bare
            else data_utils.unpair_preference_dataset(d)
            for d in (dataset, bare)
        )
    assert data_utils.is_conversational(dataset[0]) == (not isinstance(prompt, str))
    for column in bare.column_names:
        assert dataset[column][:] == bare[column][:]


def test_hh_transcripts_survive_with_their_columns(
    data: Callable[[str], Path], tmp_path: Path
) -> None:
    records = read_feedback(data("hh-rlhf/harmless-base-test.jsonl.gz")).records
    assert there_and_back(tmp_path, records, "hh") == records


# --- tables ---------------------------------------------------------------------------------------
words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
).filter(lambda t: bool(t.strip()))
texts = st.one_of(
    words,
    words.map(lambda t: f'{t},"\r\n;\t{t}'),
    st.builds("{}{}".format, st.sampled_from([*FORMULA, "'=", "''"]), words),
)
conversations = st.lists(
    st.builds(
        lambda r, c: {"role": r, "content": c}, st.sampled_from(["user", "assistant"]), texts
    ),
    min_size=1,
    max_size=2,
)
maybe = st.none() | words
comparisons = st.builds(
    lambda prompt, pair, answer, strength, who, session, seconds, meta, turned: {
        "kind": "comparison", "prompt": prompt, "annotator": who, "session": session, "active_seconds": seconds, "meta": meta,
        "options": [{"id": i, "content": c, "producer": session, "shown_at": p} for i, c, p in zip("xy", pair, (1, 0) if turned else (0, 1), strict=True)],
        "choice": {**answer, "strength": strength},
    },
    st.one_of(texts, conversations), st.lists(texts, min_size=2, max_size=2, unique=True),
    st.sampled_from([{"preferred": "x"}, {"preferred": "y"}, {"tie": True}, {"both_bad": True}]), st.none() | st.integers(1, 3),
    words, maybe, st.none() | st.floats(0, 1e6), st.dictionaries(words, st.one_of(words, st.integers(), st.lists(words, max_size=2)), max_size=2), st.booleans(),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(comparisons, min_size=1, max_size=4))
def test_comparisons_survive_a_table(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[dict[str, Any]]
) -> None:
    records = [Feedback.model_validate({"id": f"r{i}", **body}) for i, body in enumerate(bodies)]
    back = there_and_back(tmp_path_factory.mktemp("csv"), records, "csv-pairwise")
    as_shown = [
        r.model_copy(update={"options": sorted(r.options, key=lambda o: o.shown_at)})
        for r in records
    ]
    assert back == as_shown


@settings(max_examples=40)
@given(
    st.dictionaries(words, st.floats(-5, 5), min_size=1, max_size=3),
    texts,
    st.one_of(texts, conversations),
)
def test_ratings_survive_a_table(
    tmp_path_factory: pytest.TempPathFactory, scores: dict[str, float], text: str, prompt: Any
) -> None:
    record = Feedback.model_validate(
        {
            "id": "r",
            "kind": "rating",
            "prompt": prompt,
            "options": [{"id": "o", "content": text, "producer": "m", "shown_at": 0}],
            "choice": {"scores": scores, "low": -5, "high": 5},
            "annotator": "a",
            "guideline": "g",
            "meta": {"k": [1]},
        }
    )
    assert there_and_back(tmp_path_factory.mktemp("csv"), [record], "csv-ratings") == [record]


def test_votes_without_texts_survive_a_table(data: Callable[[str], Path], tmp_path: Path) -> None:
    records = read_feedback(data("llmfao/crowd-comparisons.csv")).records
    assert there_and_back(tmp_path, records, "csv-pairwise") == records
    assert {o.shown_at for r in records for o in r.options} == {0, 1}
    made = export(records, "csv-pairwise")
    both = [
        (r, a)
        for r, a in zip(made.rows, made.about, strict=True)
        if {r["producer_a"], r["producer_b"]} == {"Airoboros L2 70B", "Weaver 12k"}
        and r["prompt"] == "8"
    ]
    points = {"a": 1.0, "b": 0.0, "tie": 0.5}
    by = {a["annotator"]: points[r["winner"]] for r, a in both}
    assert both[0][1]["votes"] == len(by) == len(both)
    assert both[0][1]["soft_label"] == pytest.approx(sum(by.values()) / len(by))
    coverage = data_card(records, made, dropped={}, not_read={})["coverage"]
    assert (coverage["prompts"], coverage["judged_twice"] + coverage["judged_more"]) == (13, 2124)


def test_tables_by_hand_are_read_and_wrong_cells_named(tmp_path: Path) -> None:
    text = "prompt;response_a;response_b;winner;annotator;topic\nA fruit?;Apple.;Stone.;Response_A;ann;food\nB?;x;y;left?;bob;\nC?;x;;b;bob;\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    got = read_feedback(tmp_path / "t.csv")
    (record,) = got.records
    assert (record.choice.preferred, record.annotator) == (record.options[0].id, "ann")
    assert record.meta == {"columns": {"topic": "food"}}
    assert got.first_dropped == {
        "the column 'winner' is 'left?', not one of a, b, tie, both_bad": "t.csv line 3",
        "the column 'response_b' is empty": "t.csv line 4",
    }
    (tmp_path / "short.tsv").write_text(
        "prompt\tresponse\trating_quality\nA?\tb\n", encoding="utf-8"
    )
    with pytest.raises(DataError, match=r"none for rating_quality \(first at short.tsv line 2\)"):
        read_feedback(tmp_path / "short.tsv")
    (tmp_path / "r.csv").write_text(
        "prompt,response,rating_quality,who\nA?,b,6,me\nA?,c,good,\n", encoding="utf-8"
    )
    ratings = read_feedback(tmp_path / "r.csv")
    assert (ratings.records[0].choice.low, ratings.records[0].choice.high) == (1, 7)
    assert ratings.records[0].meta == {"scale": "guessed", "columns": {"who": "me"}}
    assert ratings.first_dropped == {
        "the column 'rating_quality' is 'good', not a number": "r.csv line 3"
    }


# --- names, cards ---------------------------------------------------------------------------------
def test_every_export_hides_names_when_asked() -> None:
    records = [
        compared(0, "Alice"),
        ranked(
            [["a"], ["b"], ["c"]],
            annotator="Bob",
            session="Bob at noon",
            meta={"oasst": {"user_id": "Bob"}},
        ),
    ]
    records += [
        Feedback.model_validate(
            {
                **records[0].model_dump(),
                "id": i,
                "kind": kind,
                "choice": choice,
                "options": options,
                "prompt": CHAT,
            }
        )
        for i, kind, choice, options in (
            (
                "s",
                "step_labels",
                {"steps": ["x"], "labels": [1]},
                [{"id": "o", "content": "x", "shown_at": 0, "producer": "Alice"}],
            ),
            ("t", "thumb", {"up": True}, [{"id": "o", "content": "x", "shown_at": 0}]),
            (
                "q",
                "rating",
                {"scores": {"good": 1}},
                [{"id": "o", "content": "Alice", "shown_at": 0}],
            ),
            ("d", "demonstration", {"content": "x"}, []),
        )
    ]
    records.append(
        records[2].model_copy(
            update={"prompt": "plain", "id": "Alice-s2", "meta": {"note": {"annotator": "Alice"}}}
        )
    )
    for shape in EXPORTS:
        made = export(records, shape)
        one, same, other = (
            Pseudonyms.of(records, salt) for salt in ("secret salt", "secret salt", "another salt")
        )
        hidden = json.dumps(
            [
                one.row(row)
                for row in [*made.full_rows(), *(made.about if made.has_about_file else [])]
            ]
        )
        assert made.rows, shape
        assert "Bob" not in hidden, shape
        assert "Alice" not in hidden.replace('"content": "Alice"', "").replace(
            '"response": "Alice"', ""
        ), shape
        assert hidden == json.dumps(
            [
                same.row(row)
                for row in [*made.full_rows(), *(made.about if made.has_about_file else [])]
            ]
        )
        if shape != "trl-prompt":
            assert other.name("Bob") not in hidden
    with pytest.raises(ConfigError, match="at least 8"):
        Pseudonyms.of(records, "short")


def test_the_card_says_what_is_there_and_what_is_not() -> None:
    records, crowd = judged(60)
    skip = Feedback.model_validate(
        {
            "id": "skip",
            "kind": "skip",
            "prompt": "p",
            "options": [],
            "choice": {"reason": "un|sure `x`"},
            "annotator": "z",
        }
    )
    made = export([*records, skip], "trl-preference")
    card = data_card([*records, skip], made, dropped={"chosen is empty": 2}, not_read={"vector": 3})
    json.dumps(card, allow_nan=False)
    assert (card["rows"], card["records"], card["records_written"]) == (
        len(made.rows),
        len(records) + 1,
        made.written,
    )
    assert card["kinds"] == dict(Counter(r.kind for r in records).most_common()) | {"skip": 1}
    assert card["guidelines"] == {"g1": len(records), "(none named)": 1}
    assert sum(card["annotators"]["each"].values()) == len(records) + 1
    assert card["annotators"]["count"] == len(crowd) + 1
    assert card["coverage"]["judged_more"] == card["coverage"]["pairs"]  # three annotators each
    assert (
        card["agreement"]["alpha"]["low"]
        < card["agreement"]["alpha"]["value"]
        < card["agreement"]["alpha"]["high"]
    )
    assert card["time"]["hours"] == pytest.approx(
        sum(r.active_seconds or 0 for r in records) / 3600, abs=0.01
    )
    assert card["left_out"]["rows dropped while reading"] == {"chosen is empty": 2}
    assert card["left_out"]["skipped by annotators"] == {"un|sure `x`": 1}
    page = card_text(card, "pairs.jsonl")
    assert "un¦sure 'x'" in page
    assert "Krippendorff" in page
    assert "## Licence" in page
    alone = data_card([compared()], export([compared()], "accord"), dropped={}, not_read={})
    assert "judged by two annotators" in alone["agreement"]["not measured"]
    assert "not measured" in card_text(alone, "x")


def test_a_table_is_one_line_per_record_for_any_reader() -> None:
    text = io.StringIO()
    rows = export([compared()], "csv-pairwise").full_rows()
    assert (rows[0]["winner"], rows[0]["response_a"], rows[0]["producer_b"]) == (
        "b",
        "Stone.",
        "m1",
    )
    csv.DictWriter(text, rows[0].keys()).writerow(rows[0])
    assert len(text.getvalue().splitlines()) == 1


def test_the_page_of_formats_is_the_one_made_from_the_code() -> None:
    docs = Path(__file__).resolve().parents[2] / "docs"
    page = (docs / "formats.md").read_text(encoding="utf-8")
    assert all(f"`{shape}`" in page for shape in EXPORTS)
    sys.path.insert(0, str(docs))
    import hooks

    assert page == hooks.formats_page(page), "build the documentation once: mkdocs writes the table"
    assert all(shape.means and f"| {shape.name} |" in page for shape in SHAPES)


def test_votes_without_texts_are_no_training_pairs() -> None:
    votes = shared_data("llmfao") / "crowd-comparisons.csv"
    records = read_feedback(votes).records
    for shape in ("trl-preference", "trl-preference-implicit"):
        made = export(records, shape)
        assert (
            made.rows,
            made.left_out["comparison: the responses have no texts (votes between models)"],
        ) == (
            [],
            5460,
        )
    assert len(export(records, "csv-pairwise").rows) == len(records)


def test_the_card_says_how_far_ratings_agree() -> None:
    rows = [
        {
            "id": f"{k}{who}",
            "kind": "rating",
            "prompt": f"p{k}",
            "annotator": who,
            "options": [{"id": "o", "content": f"r{k}", "shown_at": 0}],
            "choice": {
                "scores": {"helpful": 1 + (k + (who == "b" and k == 0)) % 5},
                "low": 1,
                "high": 5,
            },
        }
        for k in range(10)
        for who in "ab"
    ]
    records = [Feedback.model_validate(row) for row in rows]
    card = data_card(records, export(records, "csv-ratings"), dropped={}, not_read={})
    (interval_scale, _) = card["agreement"]["scales"]
    assert interval_scale["what"] == "rating helpful"
    assert interval_scale["same"]["value"] == 0.9
    page = card_text(card, "x")
    assert "| two annotators gave the same value | 0.9 |" in page
    assert "2 annotators, 10 judgements each." in page


# --- there and back -------------------------------------------------------------------------------
said = st.sampled_from(
    ["Oslo.", " two\nlines ", "天气 👍", "x", '[{"role": "user", "content": "x"}]', "{}"]
)
calls = st.builds(
    lambda own, arguments: {"id": own, "type": "function", "function": {"name": "weather", "arguments": arguments}},
    st.sampled_from(["c1", "c2"]), st.sampled_from(['{"city": "Oslo"}', {"city": "Oslo"}, {}, "not json"]),
)  # fmt: skip
contents = said | st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, said), min_size=1, max_size=2
)
answers = st.one_of(
    st.fixed_dictionaries({"role": st.just("assistant"), "content": contents},
                          optional={"reasoning_content": said, "weight": st.sampled_from([0.0, 0.5]), "tool_calls": st.lists(calls, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none(), "tool_calls": st.lists(calls, min_size=1, max_size=2)}),
)  # fmt: skip
asked = st.builds(
    lambda system, text, more: [*system, {"role": "user", "content": text}, *more],
    st.sampled_from([[], [{"role": "system", "content": "Be brief."}], [{"role": "developer", "content": "Be brief."}]]), contents,
    st.just([]) | st.builds(lambda call, text: [{"role": "assistant", "content": None, "tool_calls": [call]},
                                                {"role": "tool", "content": "3", "tool_call_id": call["id"], "name": "weather"},
                                                {"role": "user", "content": text, "name": "Ann"}], calls, said),
)  # fmt: skip
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
]


@st.composite
def records(draw: st.DrawFn, kind: str) -> Feedback:
    """A record with everything that a row of TRL can say."""
    prompt = draw(said | asked)
    replies = said if isinstance(prompt, str) else said | st.lists(answers, min_size=1, max_size=2)
    pair = draw(st.lists(replies, min_size=2, max_size=2, unique_by=lambda c: content_id(_bare(c))))
    beside: dict[str, Any] = {}
    if not isinstance(prompt, str):
        beside = draw(
            st.sampled_from(
                [
                    {},
                    {"tools": TOOLS},
                    {"tools": TOOLS, "chat_template_kwargs": {"enable_thinking": False}},
                ]
            )
        )
    shown = pair if kind == "comparison" else pair[:1] if kind == "thumb" else []
    ids = [content_id(_bare(c)) for c in shown]
    places = draw(st.permutations(range(len(shown))))
    options = [
        {"id": i, "content": c, "shown_at": place, "producer": draw(st.none() | st.just("m"))}
        for i, c, place in zip(ids, shown, places, strict=True)
    ]
    finished = draw(st.none() | st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    meta: dict[str, Any] = (
        {}
        if finished is None
        else {"finished": dict(zip(ids, finished, strict=True)) if ids else True}
    )
    choice: dict[str, Any] = (
        {"up": draw(st.booleans())} if kind == "thumb" else {"content": pair[0]}
    )
    if kind == "comparison":
        choice = {
            "preferred": ids[0],
            **draw(
                st.sampled_from(
                    [{}, {"strength": 2}, {"probability": 0.9}, {"strength": 1, "probability": 0.5}]
                )
            ),
        }
        meta["margin"] = 1.5
    body = {
        "id": content_id(prompt, pair, draw(st.integers(0, 99))),
        "kind": kind,
        "prompt": prompt,
        "options": options,
        "choice": choice,
        "annotator": draw(st.sampled_from(["ann", "7"])),
        "weight": draw(st.sampled_from([1.0, 0.0, 2.5])),
        "meta": meta,
        **beside,
    }
    return Feedback.model_validate(
        body
        | draw(
            st.sampled_from(
                [
                    {},
                    {
                        "session": "s",
                        "guideline": "v1",
                        "active_seconds": 2.0,
                        "created_at": "2026-01-02",
                    },
                ]
            )
        )
    )


def _bare(content: Any) -> Any:
    """A reply as the record's own ids see it: one plain message is its text."""
    one = content[0] if isinstance(content, list) and len(content) == 1 else {}
    plain_text = set(one) == {"role", "content"} and isinstance(one["content"], str)
    return (
        one["content"]
        if plain_text
        else [Message.model_validate(m) for m in content]
        if isinstance(content, list)
        else content
    )


@pytest.mark.parametrize(
    ("shape", "kind"),
    [("trl-preference", "comparison"), ("trl-unpaired", "thumb"), ("trl-completion", "demonstration"), ("csv-pairwise", "comparison"),
     ("accord", "comparison")],
)  # fmt: skip
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, shape: str, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("trip")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(records(kind), min_size=1, max_size=3, unique_by=lambda r: r.id))
    def check(made: list[Feedback]) -> None:
        exported = export(made, shape)
        assert exported.lost == {}
        held = [
            r
            for r in made
            if not (shape == "csv-pairwise" and len({type(o.content) for o in r.options}) > 1)
        ]
        assert exported.written == len(held)
        if held:
            again = there_and_back(folder, held, shape)
            assert [r.model_dump() for r in again] == [
                _as_table(r) if shape == "csv-pairwise" else r.model_dump() for r in held
            ]

    check()


def _as_table(record: Feedback) -> dict[str, Any]:
    """Of a table, which has the first response shown in front."""
    ordered = sorted(record.options, key=lambda o: o.shown_at)
    return record.model_copy(update={"options": ordered}).model_dump()


def test_what_a_format_cannot_say_is_left_out_or_counted() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    calling = ranked([["a"], ["b"], ["c"]], id="calls").model_copy(
        update={"prompt": [Message(role="user", content="x"), Message.model_validate(call)]}
    )
    thinking = compared(prompt=CHAT).model_copy(
        update={
            "options": [
                o.model_copy(
                    update={
                        "content": [
                            Message(role="assistant", content=o.content, reasoning_content="hm")
                        ]
                    }
                )
                for o in compared().options
            ]
        }
    )
    offered = compared(
        prompt=[{"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "Ann"}],
        tools=TOOLS,
        meta={"columns": {"x": 1}},
    )
    for shape, records_, left, lost in (
        ("oasst", [calling], {"a tree holds no tool calls": 1}, {}),
        (
            "hh",
            [calling.model_copy(update={"id": "z"}), thinking],
            {"a transcript holds no tool calls": 1, "a transcript holds no reasoning": 1},
            {},
        ),
        (
            "hh",
            [offered],
            {},
            {
                "tools": 1,
                "the parts of a message (joined)": 1,
                "name of a message": 1,
                "meta: columns": 1,
            },
        ),
        ("trl-preference", [offered], {}, {"meta: columns": 1}),
        (
            "trl-preference",
            [thinking.model_copy(update={"prompt": "x"})],
            {
                "an answer in messages (tool calls, reasoning, several of them) to a prompt that is a text": 1
            },
            {},
        ),
    ):
        made = export(records_, shape)
        assert (made.left_out, made.lost) == (left, lost), shape
        assert made.written == len(records_) - len(left)


@pytest.mark.parametrize("shape", ["trl-preference", "hh", "trl-preference-implicit"])
def test_an_exported_ranking_counts_once(tmp_path: Path, shape: str) -> None:
    order = [["c"], ["a"], ["b"]]
    rows = [
        ranked(order, weight=3.0),
        ranked(order, id="plain"),
        ranked([["a", "b"], ["c"]], id="tied", weight=0.5),
        ranked(order, id="bw", kind="best_worst", choice={"best": "c", "worst": "a"}, weight=2.0),
    ]
    back = there_and_back(tmp_path, rows, shape)
    total = Counter[str]()
    for record in back:
        total[record.id.partition("#")[0]] += record.weight
    assert total == pytest.approx({"rank": 3.0, "plain": 1.0, "tied": 0.5, "bw": 2.0})
