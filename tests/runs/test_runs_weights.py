"""What records say reaches the loops whole: weights, soft labels, messages, tools; and what cannot
is counted by name."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from accord.errors import DataError
from accord.feedback.formats import ReadResult, read_feedback
from accord.feedback.formats.exports import export
from accord.feedback.records import Feedback, asked_fields, dump_line
from accord.files import read_jsonl
from accord.learning.judged_pairs import (
    decided_pairs,
    equal_pairs,
    one_pair_per_row,
    preference_pairs,
)
from accord.learning.preference import Pair, PreferenceSettings, preference_step, reference_logprobs
from accord.models.loading import freeze
from accord.runs import recipe as recipes
from accord.runs import runner
from accord.runs.context import StageContext, StageProgress
from accord.runs.reading import read_prompts
from accord.runs.session import InterruptFlag
from accord.runs.stages.evaluation import render
from accord.runs.stages.judged import annotator_effects, read_judged
from accord.runs.stages.kto import read_thumbs
from accord.runs.stages.settings import LengthConfig
from accord.runs.stages.sft import read_demonstrations
from accord.runs.stages.usable import ended, prompt_key, responses, usable
from accord.text.encoding import Encoder, Example
from tiny import tiny_llama

MODEL = tiny_llama()
CUT = LengthConfig(max_response_tokens=4, too_long="cut")
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}],
}
OTHER_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2}}}],
}
ASKED = [{"role": "user", "content": "add"}]


class Recording(Encoder):
    """Keeps what it was asked to encode; ids are a digest of its JSON."""

    def __init__(self) -> None:
        super().__init__(MODEL.tokenizer)
        self.given: list[tuple[Any, Any, bool]] = []

    def example(self, prompt: Any, response: Any, finished: bool = True, row: str = "") -> Example:
        self.given.append((prompt, response, finished))
        weight = 1.0 if isinstance(response, str) else response[0].get("weight", 1.0)
        return Example([0, *_digest(prompt)], _digest(response), finished, row, weight=weight)


def _digest(value: Any) -> list[int]:
    return [4 + b % 60 for b in hashlib.sha256(json.dumps(value).encode()).digest()]


class Context(StageContext):
    """A stage's context that keeps what is said, and may encode otherwise."""

    def __init__(self, folder: Path, encoder: Encoder | None = None) -> None:
        super().__init__(folder, folder, "stage", 0, "cpu", {}, InterruptFlag())
        object.__setattr__(self, "lines", [])
        object.__setattr__(self, "given", encoder)

    def say(self, text: str) -> None:
        self.lines.append(text)  # type: ignore[attr-defined]

    def encoder(self, model: Any) -> Encoder:
        return self.given or super().encoder(model)  # type: ignore[attr-defined,no-any-return]


def record(
    number: object, kind: str, contents: Sequence[Any], choice: dict[str, Any], **fields: Any
) -> Feedback:
    options = [{"id": chr(97 + i), "content": c, "shown_at": i} for i, c in enumerate(contents)]
    made = {
        "id": str(number),
        "kind": kind,
        "prompt": f"say {number}",
        "options": options,
        "choice": choice,
        "annotator": "one",
    }
    return Feedback.model_validate(made | fields)


def compared(
    number: object, better: Any = "aa", worse: Any = "bb", choice: Any = None, **fields: Any
) -> Feedback:
    return record(
        number, "comparison", [better, worse], {"preferred": "a", **(choice or {})}, **fields
    )


def written(path: Path, records: Sequence[Feedback]) -> str:
    path.write_text("".join(dump_line(r) + "\n" for r in records))
    return str(path)


def pairs_of(
    records: Sequence[Feedback], folder: Path, lengths: LengthConfig | None = None
) -> list[Pair]:
    source = written(folder / "rows.jsonl", records)
    return preference_pairs(
        read_judged(source, MODEL, lengths or LengthConfig(), Context(folder)).groups
    )


# --- weights and soft labels ----------------------------------------------------------------------
RANKED = record(
    0,
    "ranking",
    ["first", "second", "third", "fourth"],
    {"order": [["c"], ["a"], ["d"], ["b"]]},
    weight=2.0,
)


def test_an_exported_ranking_counts_once(tmp_path: Path) -> None:
    """As read directly, and as a comparison of its weight: the same loss and the same gradient."""
    records = [RANKED, compared(1, weight=0.5), compared(2, choice={"probability": 0.75})]
    direct = pairs_of(records, tmp_path)
    made = export(records, "trl-preference")
    rows = [
        row | {k: v for k, v in line.items() if v is not None}
        for row, line in zip(made.rows, made.about, strict=True)
    ]
    (tmp_path / "trl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_judged(str(tmp_path / "trl.jsonl"), MODEL, LengthConfig(), Context(tmp_path))
    again = preference_pairs(read.groups)
    assert sum(p.weight for p in direct) == pytest.approx(3.5)
    assert [p.weight for p in direct] == pytest.approx([1 / 3] * 6 + [0.5, 1.0])

    def gradient(pairs: Sequence[Pair]) -> list[torch.Tensor]:
        policy, reference = tiny_llama(3), freeze(tiny_llama(4))
        hard = [
            Pair(p.prompt, p.chosen, p.rejected, weight=p.weight) for p in pairs
        ]  # TRL's rows know no soft label
        preference_step(
            policy,
            hard,
            reference_logprobs(policy, reference, hard, 999),
            PreferenceSettings(learning_rate=1e-5),
        )
        return [p.grad for p in policy.parameters() if p.grad is not None]

    for a, b in zip(gradient(direct), gradient(again), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


def test_what_rankings_and_comparisons_say_of_their_options(tmp_path: Path) -> None:
    """The order, which of it is tied, and where each option was shown."""
    three, tie = ["aa", "bb", "cc"], {"preferred": None, "tie": True}
    records = [
        record(0, "ranking", three, {"order": [["c"], ["a"], ["b"]]}),
        record(1, "ranking", three, {"order": [["b"], ["a", "c"]]}),
        record(2, "ranking", three[:2], {"order": [["a", "b"]]}),
        record(3, "best_worst", three, {"best": "c", "worst": "a"}),
        compared(4, choice=tie),
        compared(5, choice={"preferred": "b", "strength": 3}),
    ]
    source = written(tmp_path / "r.jsonl", records)
    found = read_judged(source, MODEL, LengthConfig(), Context(tmp_path), margin=0.5)
    said = [j for g in found.groups for j in g.judgements]
    assert [(j.kind, j.options, j.shown_at, j.tied, j.margin) for j in said] == [
        ("order", (2, 0, 1), (2, 0, 1), (), 0.0),
        ("order", (1, 0, 2), (1, 0, 2), (1, 2), 0.0),
        ("tie", (0, 1), (0, 1), (), 0.0),
        ("best_worst", (2, 1, 0), (2, 1, 0), (), 0.0),
        ("tie", (0, 1), (0, 1), (), 0.0),
        ("order", (1, 0), (1, 0), (), 1.0),
    ]


def test_soft_labels_and_weights_of_pairs(tmp_path: Path) -> None:
    records = [
        compared(0, choice={"probability": 0.7}, weight=3.0),
        compared(1, choice={"probability": 1.0}),
        compared(2, choice={"probability": 0.5}),
        compared(3, weight=0.0),
    ]
    found = read_judged(
        written(tmp_path / "r.jsonl", records), MODEL, LengthConfig(), Context(tmp_path)
    )
    assert found.left_out == {"comparison of weight 0": 1}
    said = [j for g in found.groups for j in g.judgements]
    assert [(j.weight, round(j.doubt, 9)) for j in said] == [(3.0, 0.3), (1.0, 0.0), (1.0, 0.5)]
    pairs = preference_pairs(found.groups)
    assert [(p.weight, round(p.doubt, 9)) for p in pairs] == [
        (3.0, 0.3),
        (1.0, 0.0),
    ]  # even odds name no better one
    rows = one_pair_per_row(found.groups)
    assert [(j.weight, round(j.doubt, 9)) for g in rows for j in g.judgements] == [
        (3.0, 0.3),
        (1.0, 0.0),
    ]


def test_estimates_come_with_how_far_they_are_known(tmp_path: Path) -> None:
    """The deviation of asinh beta: half the 95 % interval over 1.96; 0 where there is none."""
    low, high = math.sinh(math.asinh(1.5) - 0.3 * 1.96), math.sinh(math.asinh(1.5) + 0.3 * 1.96)
    ann = {"annotator": "ann", "rationality": 1.5, "rationality_low": low, "rationality_high": high}
    bob = {"annotator": "bob", "rationality": 2.0, "side_bias": -0.4}
    people = {"annotators": [bob, {**ann, "side_bias": 0.2}], "tie": 0.1, "tail": 0.05}
    (tmp_path / "people.json").write_text(json.dumps(people))
    found = annotator_effects(tmp_path / "people.json", ["ann", "bob", "cho"], needed=["ann"])
    assert found.doubt_A is not None
    assert found.doubt_A.tolist() == pytest.approx([0.3, 0.0, 0.0], abs=1e-4)
    assert found.rationality_A.tolist() == pytest.approx([1.5, 2.0, 1.0])
    assert found.side_bias_A.tolist() == pytest.approx([0.2, -0.4, 0.0])
    assert (found.log_nu, found.tail) == (pytest.approx(math.log(0.1)), 0.05)
    with pytest.raises(DataError, match="no estimate for annotators"):
        annotator_effects(tmp_path / "people.json", ["ann", "cho"])


def test_pairs_decided_by_weighted_votes(tmp_path: Path) -> None:
    """Only ratios of weights decide; the pair counts as its voters do on average."""
    by_hand = {"ann": 1.0, "bob": 2.0, "cho": 2.0}
    (tmp_path / "people.json").write_text(
        json.dumps(
            {
                "annotators": [
                    {"annotator": n, "rationality": r, "side_bias": 0.0} for n, r in by_hand.items()
                ],
                "tie": 0.1,
            }
        )
    )

    def decided(*votes: tuple[str, str, float, float]) -> tuple[list[Pair], int]:
        records = [
            record(
                f"{i}",
                "comparison",
                ["aa", "bb"],
                {"preferred": side, "probability": p},
                annotator=who,
                weight=w,
                prompt="same",
            )
            for i, (who, side, w, p) in enumerate(votes)
        ]
        groups = read_judged(
            written(tmp_path / "v.jsonl", records), MODEL, LengthConfig(), Context(tmp_path)
        )
        return decided_pairs(
            groups.groups, annotator_effects(tmp_path / "people.json", groups.annotators)
        )

    def wrong(*votes: tuple[str, str, float, float]) -> float:
        ((pair,), _) = decided(*votes)
        assert pair.chosen != pair.rejected
        return pair.doubt

    together = ("ann", "a", 1.0, 1.0), ("bob", "a", 1.0, 1.0)
    assert wrong(*together) < wrong(("bob", "a", 1.0, 1.0)) < wrong(("ann", "a", 1.0, 1.0))
    against = ("ann", "a", 3.0, 1.0), ("bob", "b", 0.2, 1.0)
    ((pair,), _) = decided(*against)
    assert pair.weight == pytest.approx(1.6)
    scaled = ("ann", "a", 0.3, 1.0), ("bob", "b", 0.02, 1.0)
    assert wrong(*scaled) == pytest.approx(wrong(*against))
    soft = ("bob", "a", 0.1, 0.9), ("cho", "a", 0.1, 0.9)
    assert wrong(*soft) > wrong(("bob", "a", 0.1, 1.0), ("cho", "a", 0.1, 1.0)) + 0.01
    assert decided(("bob", "a", 1.0, 1.0), ("cho", "b", 1.0, 1.0)) == ([], 1)


def test_kto_marks_what_dpo_decides(tmp_path: Path) -> None:
    """With estimates, each pair that all votes decide is a good and a bad response of 1 - 2 e of
    its weight; thumbs and what is called all bad count as they are."""
    people = {"ann": 1.0, "bob": 2.0, "cho": -1.5}
    rows = [{"annotator": n, "rationality": r, "side_bias": 0.0} for n, r in people.items()]
    (tmp_path / "people.json").write_text(json.dumps({"annotators": rows, "tie": 0.1}))

    def vote(
        i: int, prompt: str, who: str, side: str | None, weight: float = 1.0, bad: bool = False
    ) -> Feedback:
        tied = {"both_bad": True} if bad else {"tie": True}
        choice = {"preferred": side} if side else {"preferred": None, **tied}
        more = {"annotator": who, "weight": weight, "prompt": prompt}
        return record(i, "comparison", ["aa", "bb"], choice, **more)

    votes = [
        vote(0, "one", "ann", "a", 3.0),
        vote(1, "one", "bob", "a"),
        vote(2, "one", "ann", None),
        vote(3, "contrary", "cho", "a"),
        vote(4, "torn", "bob", "a"),
        vote(5, "torn", "bob", "b"),
        vote(6, "both bad", "ann", None, bad=True),
    ]
    data = written(tmp_path / "v.jsonl", [*votes, record(7, "thumb", ["cc"], {"up": True})])
    context = Context(tmp_path)
    estimates = tmp_path / "people.json"
    thumbs = read_thumbs(data, MODEL, LengthConfig(), context, estimates)
    groups = read_judged(data, MODEL, LengthConfig(), Context(tmp_path))
    pairs, undecided = decided_pairs(groups.groups, annotator_effects(estimates, groups.annotators))
    assert (len(pairs), undecided) == (2, 1)
    by_hand = [p.weight * (1 - 2 * p.doubt) / 2 for p in pairs for _ in range(2)]
    assert [t.weight for t in thumbs] == pytest.approx([0.5, 0.5, 1.0, *by_hand])
    assert [(t.row, t.desirable) for t in thumbs] == [
        ("6/a", False),
        ("6/b", False),
        ("7/a", True),
        ("0/a", True),
        ("0/b", False),
        ("3/b", True),
        ("3/a", False),
    ]
    told = "\n".join(context.lines)  # type: ignore[attr-defined]
    assert (
        "7 comparisons by all annotators together: 2 pairs of responses, 1 left undecided" in told
    )
    assert "; 2 ties" in told
    (tmp_path / "people.json").write_text(json.dumps({"annotators": rows[:1], "tie": 0.1}))
    with pytest.raises(DataError, match="no estimate for annotators"):
        read_thumbs(data, MODEL, LengthConfig(), Context(tmp_path), estimates)


def test_thumbs_of_weighted_and_soft_records(tmp_path: Path) -> None:
    records = [
        compared(0, choice={"probability": 0.75}, weight=4.0),
        compared(1, choice={"probability": 0.5}),
        compared(2, weight=0.0),
        record(3, "thumb", ["cc"], {"up": True}, weight=0.25),
        compared(4, choice={"preferred": None, "both_bad": True}),
    ]
    context = Context(tmp_path)
    thumbs = read_thumbs(written(tmp_path / "r.jsonl", records), MODEL, LengthConfig(), context)
    assert [(t.row, t.desirable, t.weight) for t in thumbs] == [
        ("0/a", True, 1.0),
        ("0/b", False, 1.0),
        ("3/a", True, 0.25),
        ("4/a", False, 0.5),
        ("4/b", False, 0.5),
    ]
    dropped = json.loads((tmp_path / "lengths.json").read_text())["dropped"]
    assert dropped == {"comparison of weight 0": 1, "tie": 1}


# --- what cannot be used is counted by name -------------------------------------------------------
def test_clips_are_no_texts(tmp_path: Path) -> None:
    clips = [{"episode": "e1", "start": 0, "stop": 9}, {"episode": "e1", "start": 9, "stop": 20}]
    kept, silent = usable(
        [compared(0, *clips), compared(1), record(2, "thumb", clips[:1], {"up": True}, weight=0.0)]
    )
    assert [r.id for r in kept] == ["1"]
    assert silent == {"comparison of clips, which are not texts": 1, "thumb of weight 0": 1}
    source = written(tmp_path / "r.jsonl", [compared(0, *clips), compared(1)])
    assert read_judged(source, MODEL, LengthConfig(), Context(tmp_path)).left_out == {
        "comparison of clips, which are not texts": 1
    }


def test_equal_responses_after_cutting(tmp_path: Path) -> None:
    """Of a pair: left out and counted. Of a ranking: the pairs that are equal."""
    records = [
        compared(0, "same until here", "same until there"),
        compared(1),
        record(
            2,
            "ranking",
            ["same until here", "other", "same until there"],
            {"order": [["a"], ["b"], ["c"]]},
        ),
    ]
    source = written(tmp_path / "r.jsonl", records)
    found = read_judged(source, MODEL, CUT, Context(tmp_path))
    assert found.left_out == {"comparison of equal responses": 1}
    assert (len(preference_pairs(found.groups)), equal_pairs(found.groups)) == (3, 1)
    context = Context(tmp_path)
    thumbs = read_thumbs(source, MODEL, CUT, context)
    assert [t.row for t in thumbs] == ["1/a", "1/b"]
    assert any(
        "2 responses left out: cut as they are, one text is both good and bad" in x
        for x in context.lines
    )  # type: ignore[attr-defined]


def test_records_that_share_an_id_are_told_apart(tmp_path: Path) -> None:
    """Each keeps its own responses and its own mark."""
    rows = [compared("x", "aa", "bb", prompt="p"), compared("x", "cc", "dd", prompt="q")]
    context = Context(tmp_path, Recording())
    context.given.tokenizer = MODEL.tokenizer  # type: ignore[attr-defined]
    import accord.runs.stages.judged as judged

    original = judged.load_records
    read = ReadResult("accord records", len(rows), rows, [], {}, {}, {})
    judged.load_records = lambda *_: read  # type: ignore[assignment]
    try:
        groups = read_judged("", MODEL, LengthConfig(), context).groups
        thumbs = read_thumbs("", MODEL, LengthConfig(), context)
    finally:
        judged.load_records = original
    assert len({tuple(r) for g in groups for r in g.group.responses}) == 4
    assert len({(t.row, t.desirable, tuple(t.response)) for t in thumbs}) == 4


# --- messages, tools, settings of the template ----------------------------------------------------
CHAT = [
    compared(
        "c0",
        [CALL],
        [OTHER_CALL],
        prompt=ASKED,
        tools=TOOLS,
        chat_template_kwargs={"enable_thinking": False},
    ),
    compared(
        "c1", [CALL], "plain", prompt=ASKED, tools=TOOLS, meta={"finished": {"a": True, "b": False}}
    ),
    compared("c2", "one", "two", prompt=ASKED),
]


def test_encoders_are_given_all_that_a_record_says(tmp_path: Path) -> None:
    """Messages as messages, text as text, tools and settings beside the prompt; options that differ
    in calls differ."""
    encoder = Recording()
    groups = read_judged(
        written(tmp_path / "r.jsonl", CHAT), MODEL, LengthConfig(), Context(tmp_path, encoder)
    ).groups
    assert len(groups) == 3  # the same messages with other tools or settings are another prompt
    assert len({prompt_key(r) for r in CHAT}) == 3
    said = [c[0].model_dump() for c in (CHAT[0].options[0].content, CHAT[0].options[1].content)]  # type: ignore[index, union-attr]
    everything = {
        "messages": ASKED,
        "tools": TOOLS,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert encoder.given == [
        (everything, [said[0]], True),
        (everything, [said[1]], True),
        ({"messages": ASKED, "tools": TOOLS}, [said[0]], True),
        ({"messages": ASKED, "tools": TOOLS}, "plain", False),
        (ASKED, "one", True),
        (ASKED, "two", True),
    ]
    assert all(len(set(map(tuple, g.group.responses))) == 2 for g in groups)
    encoder.given.clear()
    read_thumbs(str(tmp_path / "r.jsonl"), MODEL, LengthConfig(), Context(tmp_path, encoder))
    assert [given[:2] for given in encoder.given[:2]] == [
        (everything, [said[0]]),
        (everything, [said[1]]),
    ]


def test_a_call_without_words_is_no_blank_answer() -> None:
    assert [r.blank for r in responses(CHAT[0]).values()] == [False, False]
    assert [r.blank for r in responses(compared(3, " \n", "x")).values()] == [True, False]


def test_whether_a_response_ended() -> None:
    assert [ended(CHAT[1], "a"), ended(CHAT[1], "b"), ended(CHAT[0], "a")] == [True, False, True]
    assert not ended(record(0, "thumb", ["x"], {"up": True}, meta={"finished": False}), "a")


def demonstration(number: int, prompt: Any, content: Any, **fields: Any) -> Feedback:
    return record(number, "demonstration", [], {"content": content}, prompt=prompt, **fields)


TALK: list[Any] = [
    {"role": "user", "content": "one"}, {"role": "assistant", "content": "unsaid", "weight": 0.0}, {"role": "user", "content": "two"},
    {"role": "assistant", "content": "half", "weight": 0.5}, {"role": "user", "content": "three"},
]  # fmt: skip


def test_fine_tuning_takes_weights_of_records(tmp_path: Path) -> None:
    rows = [
        demonstration(0, "p", "aa", weight=2.5),
        demonstration(1, "p", "bb"),
        demonstration(2, "p", "cc", weight=0.0),
    ]
    examples = read_demonstrations(
        written(tmp_path / "d.jsonl", rows), MODEL, LengthConfig(), Context(tmp_path)
    )
    assert [e.group.weight for e in examples] == [2.5, 1.0]
    assert json.loads((tmp_path / "lengths.json").read_text())["dropped"] == {
        "demonstration of weight 0": 1
    }
    cut = read_demonstrations(
        str(tmp_path / "d.jsonl"),
        MODEL,
        LengthConfig(max_response_tokens=2, too_long="cut"),
        Context(tmp_path),
    )
    assert [e.group.weight for e in cut] == [2.5, 1.0]


def test_messages_of_weight_zero_are_context_only(tmp_path: Path) -> None:
    """Every turn is an example by its record's weight times its message's; the last one alone by
    its own."""
    said = [{"role": "assistant", "content": "end"}]
    rows = [
        demonstration(0, TALK, said, weight=3.0, tools=TOOLS, meta={"finished": False}),
        demonstration(1, TALK[:1], TALK[1:2]),
    ]

    def read(turns: Any, rows: Sequence[Feedback] = rows) -> tuple[list[float], list[Any]]:
        encoder = Recording()
        source = written(tmp_path / "d.jsonl", rows)
        examples = read_demonstrations(
            source, MODEL, LengthConfig(), Context(tmp_path, encoder), turns
        )
        return [e.group.weight for e in examples], encoder.given

    weights, given = read("every")
    assert weights == [1.5, 3.0]  # the encoder's own weight of a message, times the record's
    assert given == [
        ({"messages": TALK[:3], "tools": TOOLS}, TALK[3:4], True),
        ({"messages": TALK, "tools": TOOLS}, said, False),
    ]
    dropped = json.loads((tmp_path / "lengths.json").read_text())["dropped"]
    assert dropped == {"demonstration whose messages have the weight 0": 1}
    assert read("last") == ([3.0], given[1:])
    silent = demonstration(
        0, TALK, [{"role": "assistant", "content": "end", "weight": 0}], meta={"finished": False}
    )
    assert read("last", [silent]) == (
        [0.5],
        [(TALK[:3], TALK[3:4], True)],
    )  # what was cut off is not trained
    sampled = demonstration(0, TALK, " end, to the letter ")
    assert [read(turns, [sampled])[1][-1][:2] for turns in ("last", "every")] == [
        (TALK, " end, to the letter ")
    ] * 2


# --- files that stages write ----------------------------------------------------------------------
def test_files_of_a_preferences_stage_keep_everything(tmp_path: Path) -> None:
    """Tools, settings and messages in prompts.jsonl and sft.jsonl; demonstrations of one ranking
    share its weight."""
    plain = [compared(n, f"yes {n}", f"no {n}") for n in range(8)]
    ranked = record(
        9,
        "ranking",
        ["aa", [CALL], "cc"],
        {"order": [["b"], ["a"], ["c"]]},
        prompt=ASKED,
        tools=TOOLS,
        weight=3.0,
    )
    written(tmp_path / "data.jsonl", [*plain, ranked, CHAT[0]])
    (tmp_path / "toy.yaml").write_text(
        f"name: toy\nseed: 1\nthreads: 1\nstages:\n  data: {{kind: preferences, data: {tmp_path / 'data.jsonl'}, evaluation: 2}}\n"
    )
    runner.execute(
        recipes.load(str(tmp_path / "toy.yaml")), tmp_path / "run", False, StageProgress(), {}
    )
    folder = tmp_path / "run/stages/01-data"
    shown = [Feedback.model_validate(row) for row in read_jsonl(folder / "sft.jsonl")]
    of_calls = [r for r in shown if not isinstance(r.prompt, str)]
    kept = {prompt_key(r): r for r in (ranked, CHAT[0])}
    for made in of_calls:
        assert made.asked == kept[prompt_key(made)].asked
    assert sum(r.weight for r in of_calls if r.id.startswith("9-")) in (pytest.approx(3.0), 0)
    context = StageContext(folder, folder, "read", 0, "cpu", {}, InterruptFlag())
    prompts = [
        p
        for name in ("prompts", "evaluation")
        for p in read_prompts(str(folder / f"{name}.jsonl"), context)
    ]
    assert all(p in prompts for p in (ranked.asked, CHAT[0].asked))
    assert len(prompts) == 10


@pytest.mark.parametrize("beside", [
    {}, {"system": "Be brief."}, {"history": [["a", "b"]]}, {"system_prompt": "Be brief.", "history": [["a", "b"]]},
    {"tools": TOOLS}, {"tools": json.dumps(TOOLS), "system": "Be brief."}, {"chat_template_kwargs": {"enable_thinking": False}},
])  # fmt: skip
@pytest.mark.parametrize(
    "prompt", ["add", ASKED, json.dumps(ASKED), [{"from": "human", "value": "add"}]]
)
def test_a_file_of_prompts_asks_what_its_records_would(
    tmp_path: Path, prompt: Any, beside: dict[str, Any]
) -> None:
    def written_with(**more: Any) -> str:
        (tmp_path / "rows.jsonl").write_text(
            json.dumps({"prompt": prompt, **beside, **more}) + "\n"
        )
        return str(tmp_path / "rows.jsonl")

    if (
        prompt == "add"
        and beside.keys() & {"tools", "chat_template_kwargs"}
        and "system" not in beside
    ):
        with pytest.raises(DataError, match=r"rows\.jsonl line 1: .*the prompt is a text"):
            read_prompts(written_with(), Context(tmp_path))
        return
    (record,) = read_feedback(written_with(response="2")).records
    assert (
        read_prompts(written_with(), Context(tmp_path))
        == [record.asked]
        == read_feedback(written_with()).prompts
    )


@pytest.mark.parametrize(("row", "said"), [
    ({"prompt": [{"role": "user"}]}, "no content"), ({"prompt": [{"role": "clown", "content": "x"}]}, "clown"), ({"prompt": []}, "empty"),
    ({"prompt": 3}, "int"), ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "text only"), ({"prompt": None}, "text is missing"),
    ({"prompt": "x", "image": "a.png"}, "text only"), ({"text": "x"}, "it has text"), ({"prompt": "x", "system": 3}, "'system' is int"),
])  # fmt: skip
def test_prompts_that_are_none_are_refused_by_row(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"prompt": "fine"}) + "\n" + json.dumps(row) + "\n"
    )
    with pytest.raises(DataError, match=r"rows\.jsonl line 2") as error:
        read_prompts(str(tmp_path / "rows.jsonl"), Context(tmp_path))
    assert said in error.value.message


def test_pairs_that_cutting_made_equal_are_no_rows_of_their_own(tmp_path: Path) -> None:
    ranked = record(0, "ranking", ["aaaaaa 1", "b", "aaaaaa 2"], {"order": [["a"], ["b"], ["c"]]})
    source = written(tmp_path / "rows.jsonl", [ranked, compared(1)])
    found = read_judged(source, MODEL, CUT, Context(tmp_path))
    rows = one_pair_per_row(found.groups)
    assert equal_pairs(found.groups) == 1
    assert len(rows) == len(preference_pairs(found.groups)) == 3
    assert not any(g.same(0, 1) for g in rows)
    assert [j.weight for g in rows for j in g.judgements] == [
        p.weight for p in preference_pairs(found.groups)
    ]


def test_prompts_and_what_was_asked_are_the_same_thing() -> None:
    for r in (*CHAT, compared(5)):
        assert Feedback.model_validate(r.model_dump() | asked_fields(r.asked)) == r
    assert render({"messages": [*ASKED, CALL], "tools": TOOLS}).startswith(
        'user: add\nassistant: {"type": "function"'
    )
    assert render("text") == "text"
