"""The layouts of public sets: the label goes the right way, and a row that cannot be read is
dropped and counted."""

from __future__ import annotations

import copy
import itertools
import json
import random
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accord.errors import DataError
from accord.feedback.formats import ReadResult, plain, read_feedback
from accord.feedback.formats.shapes import detect
from accord.feedback.records import Comparison, Feedback, Ranking
from feedback.public_rows import BAD, EVERY, GOOD, HUMAN, OTHERS, PAIRS, Q, conversation, say


def read(folder: Path, *rows: dict[str, Any]) -> ReadResult:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_feedback(path)


def preferred(record: Feedback) -> str | None:
    """The text of the answer that a comparison prefers, or a ranking puts first alone."""
    choice = record.choice
    if isinstance(choice, Ranking):
        first = choice.order[0]
        own = first[0] if len(first) == 1 else None
    else:
        assert isinstance(choice, Comparison)
        own = choice.preferred
    return next((plain(o.content) for o in record.options if o.id == own), None)


@pytest.mark.parametrize(
    ("shape", "row"), [(shape, row) for shape, rows in PAIRS.items() for row in rows]
)
def test_the_better_answer_is_preferred(tmp_path: Path, shape: str, row: dict[str, Any]) -> None:
    got = read(tmp_path, row)
    assert got.shape == shape
    assert {record.kind for record in got.records} == {"comparison"}
    assert [preferred(record) for record in got.records] == [GOOD] * len(got.records)
    assert all({plain(o.content) for o in record.options} == {GOOD, BAD} for record in got.records)
    assert all(
        Q in (r.prompt if isinstance(r.prompt, str) else r.prompt[-1].text) for r in got.records
    )
    assert got.dropped == {}


@pytest.mark.parametrize(
    ("shape", "row", "kinds"), [(shape, *case) for shape, cases in OTHERS.items() for case in cases]
)
def test_other_judgements_are_read_as_what_they_are(
    tmp_path: Path, shape: str, row: dict[str, Any], kinds: dict[str, int]
) -> None:
    got = read(tmp_path, row)
    assert (got.shape, got.dropped) == (shape, {})
    assert Counter(record.kind for record in got.records) == kinds


def told_in(value: Any, words: dict[str, str]) -> Any:
    """The value with other words, also in JSON within a text."""
    if isinstance(value, dict):
        return {key: told_in(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [told_in(inner, words) for inner in value]
    if isinstance(value, str) and value.startswith("["):
        return json.dumps(told_in(json.loads(value), words), ensure_ascii=False)
    for old, new in words.items() if isinstance(value, str) else ():
        value = value.replace(old, new)
    return value


SIGNS = (
    string.ascii_letters
    + string.digits
    + " \n\t,;:.!?-+*/\\|\"'`(){}[]<>#@&%$=_~äßéñ天气أهلا👍\u2028\x85\u200d"
)


@pytest.mark.parametrize("shape", PAIRS)
def test_the_better_answer_is_preferred_whatever_the_texts_are(tmp_path: Path, shape: str) -> None:
    draw = random.Random(shape)
    rows, better = [], []
    for row in PAIRS[shape] * 12:
        made = [
            "x" + "".join(draw.choices(SIGNS, k=draw.randint(0, 40))).strip() + f"{n}"
            for n in range(3)
        ]
        rows.append(told_in(row, dict(zip((Q, GOOD, BAD), made, strict=True))))
        better.append((made[1], made[2], made[0]))
    got = read(tmp_path, *rows)
    assert got.dropped == {}
    said = iter(got.records)
    for row, (good, bad, asked) in zip(rows, better, strict=True):
        for record in itertools.islice(said, 3 if "label_0" in row else 1):
            assert preferred(record) == good
            assert {plain(o.content) for o in record.options} == {good, bad}
            assert asked in (
                record.prompt if isinstance(record.prompt, str) else record.prompt[-1].text
            )
    assert next(said, None) is None


@pytest.mark.parametrize(("shape", "row"), EVERY)
def test_columns_may_come_in_any_order(tmp_path: Path, shape: str, row: dict[str, Any]) -> None:
    if "annotation_id" in row:
        pytest.skip("Label Studio's short export tells answers by their order")
    names = list(row)
    random.Random(1).shuffle(names)
    shuffled = read(tmp_path, {name: row[name] for name in names})
    if shape == "Argilla on the Hub":  # the order of its fields is the one in which they were shown
        assert list(map(preferred, shuffled.records)) == [GOOD]
    else:
        assert shuffled.records == read(tmp_path, row).records
    assert shuffled.shape == shape


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a row where a value stands."""
    if path:
        yield path
    for key, inner in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(inner, (*path, key))


def put(row: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(row)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


@pytest.mark.parametrize(("shape", "row"), EVERY)
def test_a_damaged_row_is_dropped_and_never_becomes_another_judgement(
    tmp_path: Path, shape: str, row: dict[str, Any]
) -> None:
    """Whatever value is put wherever: no traceback, every row counted, no kind that the format does
    not give, and where an answer is missing, empty, or the same as the other one, no comparison."""
    values: tuple[Any, ...] = (None, "", " ", "maybe", 7, -1.5, [], {}, ["x"], {"x": 1})
    damaged = [put(row, path, value) for path in places(row) for value in values]
    rows = [
        row,
        *(one for one in damaged if (found := detect(one)) is not None and found.name == shape),
    ]
    got = read(tmp_path, *rows)
    whole, made = ({record.kind for record in one.records} for one in (read(tmp_path, row), got))
    assert made - {"skip", "flags", "critique", "rating", "thumb"} <= whole | (
        {"comparison", "ranking"} if "ranking" in whole else set()
    )
    assert len(got.records) + sum(got.dropped.values()) + sum(got.left_out.values()) >= len(rows)
    for record in got.records:
        if record.kind in ("comparison", "ranking") and record.meta.get("texts", True):
            texts = [plain(option.content) for option in record.options]
            assert all(text.strip() for text in texts)
            assert len(texts) > 2 or len(set(texts)) == 2


@pytest.mark.parametrize(
    ("shape", "row", "change", "reason"),
    [
        ("SHP", 0, {"labels": 2}, "labels"),
        ("SHP", 0, {"human_ref_B": GOOD}, "the same"),
        ("WebGPT comparisons", 0, {"score_0": None}, "score_0"),
        ("HelpSteer2 preferences", 0, {"preference_strength": -4}, "outside -3 to 3"),
        ("HelpSteer2 preferences", 0, {"response_2": ""}, "response_2 is empty"),
        ("summarize_from_feedback, comparisons", 0, {"choice": 2}, "choice"),
        ("AlpacaEval, AlpacaFarm", 0, {"preference": 3}, "preference"),
        ("AlpacaEval, AlpacaFarm", 0, {"preference": None}, "preference"),
        ("PandaLM", 0, {"label_1": "3"}, "label_1"),
        ("Stack Exchange pairs", 0, {"response_k": None}, "response_k is missing"),
        ("Alpaca comparisons (old)", 0, {"output": [GOOD]}, "list of two texts"),
        ("Alpaca preferences", 0, {"rejected": GOOD}, "the same"),
        ("votes between models", 0, {"winner": "nobody"}, "winner"),
        ("votes between models", 1, {"winner_tie": 1}, "2 of the columns"),
        ("votes between models", 1, {"response_a": '["x", "y"]'}, "1 turns"),
        ("Prodigy", 0, {"accept": []}, "no option was accepted"),
        ("RewardBench 2", 0, {"rejected": [GOOD]}, "both chosen and rejected"),
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_read_is_a_counted_drop(
    tmp_path: Path, shape: str, row: int, change: dict[str, Any], reason: str
) -> None:
    whole = PAIRS[shape][row]
    got = read(tmp_path, whole, whole | change)
    assert [count for why, count in got.dropped.items() if reason in why] == [1], got.dropped
    assert {preferred(record) for record in got.records} == {GOOD}


# --- details of single sets -----------------------------------------------------------------------
def test_equal_scores_tie_and_probabilities_are_soft_labels(tmp_path: Path) -> None:
    farm = {"instruction": Q, "output_1": GOOD, "output_2": BAD}
    got = read(tmp_path, *(farm | {"preference": p} for p in (0, 1, 1.25, 1.5, 1.75, 2)))
    said = [
        (r.choice.tie, preferred(r), r.choice.probability)
        for r in got.records
        if isinstance(r.choice, Comparison)
    ]
    assert said == [
        (True, None, None),
        (False, GOOD, None),
        (False, GOOD, 0.75),
        (True, None, None),
        (False, BAD, 0.75),
        (False, BAD, None),
    ]
    webgpt = PAIRS["WebGPT comparisons"][0] | {"score_0": 0.0, "score_1": 0.0}
    steer = PAIRS["HelpSteer2 preferences"][0] | {"preference_strength": 0}
    orca = PAIRS["orca pairs of distilabel"][0] | {"status": "tie"}
    assert all(read(tmp_path, row).records[0].choice.tie for row in (webgpt, steer, orca))  # type: ignore[union-attr]


def test_a_vote_on_a_turn_is_about_that_turn_and_its_conversation_is_kept(tmp_path: Path) -> None:
    vote = {"model_a": "m", "model_b": "n", "winner": "model_b"}
    a, b = (
        conversation("q1", "a1", "q2", "a2", "q3", "a3"),
        conversation("q1", "a1", "q2", "b2", "q3", "b3"),
    )
    first = {"conversation_a": conversation("q1", "a1"), "conversation_b": conversation("q1", "b1")}
    rows = [vote | {"conversation_a": a, "conversation_b": b, "turn": turn} for turn in (2, 3)]
    two, three = read(tmp_path, *rows).records
    assert [m.text for m in two.prompt if not isinstance(m, str)] == ["q1", "a1", "q2"]
    assert [option.content for option in two.options] == ["a2", "b2"]
    assert [[m.text for m in o.content] for o in three.options if isinstance(o.content, list)] == [
        ["a2", "q3", "a3"],
        ["b2", "q3", "b3"],
    ]
    got = read(tmp_path, rows[0] | {"turn": 1}, vote | first)
    assert got.dropped == {"both models gave the same answers": 1}


def test_turns_of_helpsteer_are_messages(tmp_path: Path) -> None:
    row = PAIRS["HelpSteer2 preferences"][0]
    asked = "Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nName a colour."
    (record,) = read(tmp_path, row | {"prompt": asked}).records
    assert [(m.role, m.text) for m in record.prompt if not isinstance(m, str)] == [
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", Q),
    ]
    got = read(tmp_path, row, row | {"prompt": "a <extra_id_1> b"})
    assert sum(got.dropped.values()) == 1


def test_every_annotator_of_pandalm_judges_and_models_are_producers(tmp_path: Path) -> None:
    got = read(tmp_path, PAIRS["PandaLM"][0] | {"label_1": "0", "label_2": "2"})
    assert [(r.annotator, preferred(r)) for r in got.records] == [
        ("annotator 1", GOOD),
        ("annotator 2", None),
        ("annotator 3", BAD),
    ]
    assert [o.producer for o in got.records[0].options] == ["opt-7b", "pythia-6.9b"]


def test_answers_by_votes_with_equal_ones_tied(tmp_path: Path) -> None:
    answers = [
        {"text": t, "pm_score": s, "author_id": i}
        for i, (t, s) in enumerate([("a", 1), ("b", 4), ("c", 1)])
    ]
    (record,) = read(tmp_path, {"question": Q, "answers": answers}).records
    assert isinstance(record.choice, Ranking)
    named = {option.id: plain(option.content) for option in record.options}
    assert [sorted(named[i] for i in group) for group in record.choice.order] == [["b"], ["a", "c"]]


def test_steps_that_differ_from_their_labels_are_dropped(tmp_path: Path) -> None:
    row = OTHERS["Math-Shepherd"][0][0]
    (record,) = read(tmp_path, row).records
    assert record.prompt == "What is 1+1?"
    assert record.choice.steps == ["Step 1: 1+1=2", "Step 2: The answer is: 3"]  # type: ignore[union-attr]
    assert record.choice.labels == [1, -1]  # type: ignore[union-attr]
    got = read(
        tmp_path,
        row,
        row | {"label": row["label"].replace("3", "4")},
        row | {"label": row["label"].replace("+ ", "0 ").replace("+\n", "0\n")},
    )
    assert len(got.records) == 1
    assert sum(got.dropped.values()) == 2


def test_openai_tools_reach_the_record(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    row = copy.deepcopy(PAIRS["OpenAI preferences"][0])
    row["input"]["tools"] = [tool]
    (record,) = read(tmp_path, row).records
    assert record.tools == [tool]
    assert record.meta["source"] == {"input": {"parallel_tool_calls": True}}


def test_options_that_never_change_are_labels_of_the_text(tmp_path: Path) -> None:
    task = {
        "options": [{"id": "GOOD", "text": "good"}, {"id": "BAD", "text": "bad"}],
        "accept": ["BAD"],
        "answer": "accept",
    }
    got = read(tmp_path, {"text": "one"} | task, {"text": "two"} | task)
    assert [r.choice.model_dump() for r in got.records] == [{"flags": {"label": "BAD"}}] * 2


def test_messages_of_open_assistant_make_the_same_records_as_their_trees(tmp_path: Path) -> None:
    def message(
        own: str, above: str | None, role: str, text: str, rank: int | None = None
    ) -> dict[str, Any]:
        labels = (
            {"name": ["quality"], "value": [0.75], "count": [3]} if role == "assistant" else None
        )
        return {
            "message_id": own,
            "parent_id": above,
            "role": role,
            "text": text,
            "rank": rank,
            "labels": labels,
            "message_tree_id": "1",
            "user_id": "u",
            "synthetic": False,
        }

    rows = [
        message("3", "1", "assistant", BAD, 1),
        message("1", None, "prompter", Q),
        message("2", "1", "assistant", GOOD, 0),
    ]
    got = read(tmp_path, *rows)
    assert Counter(r.kind for r in got.records) == {"ranking": 1, "rating": 2}
    assert preferred(next(r for r in got.records if r.kind == "ranking")) == GOOD
    assert got.dropped == {}
    lost = read(tmp_path, *rows, message("8", "7", "assistant", "x") | {"message_tree_id": "7"})
    assert lost.dropped == {"a message of the tree is missing": 1}
    assert lost.records == got.records


def test_open_webui_without_a_sibling_is_a_thumb(tmp_path: Path) -> None:
    chat = {
        "m1": {"id": "m1", "parentId": None, "role": "user", "content": Q},
        "m2": {"id": "m2", "parentId": "m1", "role": "assistant", "content": GOOD, "model": "m"},
        "m3": {"id": "m3", "parentId": "m1", "role": "assistant", "content": BAD, "model": "n"},
    }

    def row(rating: Any, siblings: list[str], messages: dict[str, Any] = chat) -> dict[str, Any]:
        snapshot = {"chat": {"chat": {"history": {"messages": messages}}}}
        return {
            "id": "f",
            "user_id": "u",
            "type": "rating",
            "data": {"rating": rating, "model_id": "m", "sibling_model_ids": siblings},
            "meta": {"message_id": "m2"},
            "snapshot": snapshot,
        }

    thumb, worse = read(tmp_path, row(1, []), row(-1, ["n"])).records
    assert (thumb.kind, thumb.choice.up) == ("thumb", True)  # type: ignore[union-attr]
    assert preferred(worse) == BAD
    got = read(tmp_path, row(1, []), row(0, []), row(1, [], {}))
    assert sorted(got.dropped.values()) == [1, 1]


def test_scores_without_the_texts_are_refused_and_items_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the texts"):
        read(tmp_path, {"traceId": "t", "name": "good", "value": 1})
    with pytest.raises(DataError, match="nobody judged"):
        read(tmp_path, {"prompt": Q, "responses": [GOOD, BAD]})


def test_a_red_team_rating_is_no_praise(tmp_path: Path) -> None:
    talk = f"{HUMAN} One.\n\nHuman: More!\n\nAssistant: Two."
    (record,) = read(
        tmp_path, OTHERS["Anthropic red team"][0][0] | {"transcript": talk, "rating": 3.0}
    ).records
    assert record.choice.model_dump() == {"flags": {"attack success": "3 of 4", "tags": ["Theft"]}}
    assert (record.annotator, record.options[0].producer) == ("7", "rlhf 52B")
    assert [m["content"] for m in record.options[0].model_dump()["content"]] == [
        "One.",
        "More!",
        "Two.",
    ]


def test_a_text_is_demonstrated_whole(tmp_path: Path) -> None:
    got = read(tmp_path, {"text": " Once. "})
    (record,) = got.records
    assert "columns: {prompt: text}" in got.messages[-1]
    assert (record.prompt, record.choice.content) == ("", " Once. ")  # type: ignore[union-attr]
    with pytest.raises(DataError):
        read(tmp_path, {"text": "fine", "label": 1})


def test_multi_turn_history_of_a_pair_is_asked_before(tmp_path: Path) -> None:
    row = {
        "instruction": Q,
        "input": "",
        "chosen": GOOD,
        "rejected": BAD,
        "system": "Be kind.",
        "history": [["Hi", "Hello."]],
    }
    (record,) = read(tmp_path, row).records
    assert [m.model_dump() for m in record.prompt if not isinstance(m, str)] == [
        say("system", "Be kind."),
        *conversation("Hi", "Hello.", Q),
    ]


@pytest.mark.parametrize(
    ("shape", "row", "place"),
    [
        ("Nectar", 0, ("answers", 0)), ("Stack Exchange answers", 0, ("answers", 1)),
        ("summarize_from_feedback, comparisons", 0, ("summaries", 1)), ("PandaLM", 1, ("outputs",)),
        ("Prodigy", 0, ("options", 0)),
    ],
)  # fmt: skip
def test_what_an_answer_holds_beyond_its_format_is_counted(
    tmp_path: Path, shape: str, row: int, place: Any
) -> None:
    got = read(tmp_path, put(PAIRS[shape][row], (*place, "shade"), "dark"))
    assert [count for reason, count in got.left_out.items() if "'shade'" in reason] == [1]
    assert preferred(got.records[0]) == GOOD


ODD = (None, {"zz": ["yy"]}, ["yy", {"zz": 3}], [["yy"]])
SPELLED = ("None", "{'zz'", "['yy'", "[['yy'")
"""How Python would write them."""


@pytest.mark.parametrize(("shape", "row"), EVERY)
def test_no_value_is_read_as_python_spells_it(
    tmp_path: Path, shape: str, row: dict[str, Any]
) -> None:
    for place in places(row):
        for odd in ODD:
            try:
                got = read(tmp_path, row, put(row, place, odd))
            except DataError:
                continue
            said = json.dumps([record.model_dump(exclude={"meta"}) for record in got.records])
            assert not [text for text in SPELLED if text in said], (place, odd)


def test_the_accepted_answers_are_told_by_a_table_of_spellings(tmp_path: Path) -> None:
    (row,) = PAIRS["Stack Exchange answers"]
    (record,) = read(
        tmp_path,
        put(put(row, ("answers", 0, "selected"), "False"), ("answers", 1, "selected"), "yes"),
    ).records
    assert record.meta["source"]["accepted"] == [1]


def test_a_zero_is_a_name(tmp_path: Path) -> None:
    table = {
        "prompt": Q,
        "response_a": GOOD,
        "response_b": BAD,
        "winner": "a",
        "option_a": 0,
        "option_b": 1,
        "producer_a": 0,
        "producer_b": 1,
    }
    (record,) = read(tmp_path, table).records
    assert [(o.id, o.producer) for o in record.options] == [("0", "0"), ("1", "1")]
    (record,) = read(
        tmp_path, {"prompt": Q, "chosen": GOOD, "rejected": BAD, "chosen_model": 0, "record_id": 0}
    ).records
    assert (record.id, [o.producer for o in record.options]) == ("0", ["0", None])


def test_answers_that_saw_files_are_refused(tmp_path: Path) -> None:
    chat = {
        "q": {"role": "user", "content": Q, "parentId": None, "files": [{"type": "image"}]},
        "m": {"role": "assistant", "content": GOOD, "parentId": "q"},
    }
    row = {
        "id": "f",
        "type": "rating",
        "data": {"rating": 1},
        "meta": {"message_id": "m"},
        "snapshot": {"chat": {"chat": {"history": {"messages": chat}}}},
    }
    with pytest.raises(DataError, match="reads text only"):
        read(tmp_path, row)


@pytest.mark.parametrize("missing", ["title", "subreddit"])
def test_a_post_without_a_title_has_none(tmp_path: Path, missing: str) -> None:
    row = PAIRS["summarize_from_feedback, comparisons"][0]
    (record,) = read(tmp_path, put(row, ("info", missing), None)).records
    assert "None" not in str(record.prompt)
    assert str(record.prompt).endswith(f"POST: {Q}\n\nTL;DR:")
