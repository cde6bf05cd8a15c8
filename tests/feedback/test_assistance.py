"""Claims of critics, arms, placebos; what help changes, and how many judgements show it."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from accord.cli.main import main
from accord.errors import ConfigError, DataError
from accord.feedback.assistance import assistance, judgements_of
from accord.feedback.assistance_plan import plan_uplift, uplift_power
from accord.feedback.assisting import (
    BLOCK,
    ClaimGiven,
    FlawGiven,
    checked_claims,
    draw_placebo,
    next_arm,
)
from accord.feedback.meta import Arm, Claim, Passage
from accord.feedback.personal_data import texts_of
from accord.feedback.records import Feedback, dump_line
from accord.feedback.redaction import RedactionRule, Redactor
from accord.feedback.simulate_assisted import AssistedCrowd, simulated_assistance
from accord.seeds import derive_seed
from accord.studio.projects.incoming import checked, items_from
from accord.studio.projects.settings import settings_from

TEXT = "The mill was opened in 1912. It burned down twice, and nobody was hurt."
THIRDS: dict[Arm, int] = {"none": 1, "critique": 1, "placebo": 1}


def claim(quote: str, text: str = TEXT, **more: Any) -> dict[str, Any]:
    start = text.index(quote)
    return {"span": [start, start + len(quote)], "quote": quote, "text": "Wrong.", **more}


# --- claims ---------------------------------------------------------------------------------------
def test_claims_stand_where_they_say_and_planted_ones_are_known_flaws() -> None:
    claims = [ClaimGiven(**claim("1912", planted=True)), ClaimGiven(**claim("nobody", option=1))]
    made, flaws = checked_claims(claims, None, {"a": TEXT})
    assert [TEXT[one.start : one.end] for one in made] == ["1912", "nobody"]
    assert flaws == [Passage(option="a", start=23, end=27)]
    assert checked_claims(claims[1:], None, {"a": TEXT})[1] is None
    assert checked_claims([], [], {"a": TEXT}) == ([], [])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"span": [60, 90], "quote": "x", "text": "?"}, r"claims.1: the span \[60, 90\] lies outside the text of 71"),
        ({"span": [-1, 2], "quote": "x", "text": "?"}, "lies outside"),
        ({"span": [4, 4], "quote": "x", "text": "?"}, "lies outside"),
        (claim("mill") | {"quote": "Mill"}, "stands 'mill', not 'Mill'"),
        (claim("mill", option=2), "there is no option 2"),
        (claim("mill", option="b"), "there is no option 'b'"),
        (claim("."), "no letter and no digit"),
    ],
)  # fmt: skip
def test_claims_that_are_none(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        checked_claims([ClaimGiven(**raw)], None, {"a": TEXT})


def test_of_two_options_one_has_to_be_named() -> None:
    with pytest.raises(DataError, match=r"flaws.1: there is no option None"):
        checked_claims(
            [], [FlawGiven(span=(0, 3), quote="The")], {"a": TEXT, "b": TEXT + " Indeed."}
        )


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_placebos_say_the_same_of_passages_nobody_faulted(data: st.DataObject) -> None:
    words = st.text(st.sampled_from("abcdeé水,.") | st.just(" "), min_size=8, max_size=60)
    text = data.draw(words.filter(lambda t: sum(c.isalnum() for c in t) > 7))
    places = st.integers(0, len(text) - 1)
    claims = [
        Claim(option="a", start=s, end=min(len(text), s + n), text=f"Claim {s}.")
        for s, n in data.draw(st.lists(st.tuples(places, st.integers(1, 9)), max_size=3))
    ]
    flaws = [
        Passage(option="a", start=s, end=s + 1) for s in data.draw(st.lists(places, max_size=2))
    ]
    try:
        made = draw_placebo(claims, flaws, {"a": text}, 3)
    except DataError:
        return  # no room: refused, see below
    assert [one.text for one in made] == [one.text for one in claims]
    assert all(any(c.isalnum() for c in text[one.start : one.end]) for one in made)
    together = [*claims, *flaws]
    for number, one in enumerate(made):
        assert not any(one.meets(other) for other in [*together, *made[:number]])
        assert one.end <= len(text)


def test_a_text_that_leaves_no_room_for_a_placebo_is_refused() -> None:
    whole = [Claim(option="a", start=0, end=len(TEXT), text="All wrong.")]
    with pytest.raises(DataError, match=r"claims.1: its text leaves no passage"):
        draw_placebo(whole, [], {"a": TEXT}, 0)


# --- arms -----------------------------------------------------------------------------------------
@given(
    st.fixed_dictionaries({"none": st.integers(0, 3), "critique": st.integers(1, 3)}),
    st.integers(0, 2**40),
    st.integers(1, 60),
)
@settings(max_examples=25, deadline=None)
def test_arms_are_exact_in_every_block(weights: dict[Arm, int], seed: int, count: int) -> None:
    drawn: list[Arm] = []
    for n in range(count):
        drawn.append(next_arm(drawn, weights, derive_seed(seed, n)))
    size = BLOCK * sum(weights.values())
    for at in range(0, count - size + 1, size):
        block = Counter(drawn[at : at + size])
        assert block == {arm: BLOCK * w for arm, w in weights.items() if w}


def test_arms_are_balanced_to_two_percent_and_not_to_be_foreseen() -> None:
    for seed in range(3):
        drawn: list[Arm] = []
        for annotator in range(7):  # 100 answers, no whole number of blocks
            own: list[Arm] = []
            for n in range(100):
                own.append(next_arm(own, THIRDS, derive_seed(seed, annotator, n)))
            drawn += own
            for n in range(67, 101):  # in everybody's own work, wherever it ends
                assert all(abs(own[:n].count(arm) / n - 1 / 3) <= 0.02 for arm in THIRDS)
        shares = [drawn.count(arm) / len(drawn) for arm in THIRDS]
        assert max(abs(share - 1 / 3) for share in shares) <= 0.02
        repeats = np.mean([a == b for a, b in pairwise(drawn)])
        assert 0.15 < repeats < 0.35  # the one before does not tell the next
    with pytest.raises(ValueError, match="weight"):
        next_arm([], {"none": 0}, 0)


# --- measures -------------------------------------------------------------------------------------
def judged(n: int, item: int, arm: Arm, marks: list[str], **assist: Any) -> Feedback:
    """Of the task spans; the flaw is 1912, the critic claims it and, wrongly, "nobody"."""
    claims = [{"option": "a", "start": 23, "end": 27, "text": "Wrong."},
              {"option": "a", "start": 55, "end": 61, "text": "Wrong."}]  # fmt: skip
    placebo = [{**claims[0], "start": 0, "end": 3}, {**claims[1], "start": 4, "end": 8}]
    places = [(TEXT.index(word), TEXT.index(word) + len(word)) for word in marks]
    return Feedback.model_validate(
        {
            "id": f"j{n}", "kind": "spans", "prompt": "When?", "annotator": f"p{n % 3}",
            "options": [{"id": "a", "content": TEXT, "shown_at": 0}],
            "choice": {"spans": [{"start": s, "end": e} for s, e in places]},
            "active_seconds": 10.0 + n,
            "meta": {"item": f"i{item}", "assist": {
                "arm": arm, "critic": claims, "placebo": placebo, "opened_seconds": 3,
                "flaws": [{"option": "a", "start": 23, "end": 27}], **assist}},
        }
    )  # fmt: skip


def test_what_is_counted() -> None:
    records = [
        judged(0, 0, "none", ["1912"], correct=True),
        judged(1, 1, "none", ["nobody", "mill"], correct=False),
        judged(2, 0, "critique", [], said=["confirm", "confirm"], correct=False),
        judged(3, 1, "critique", ["1912"], said=["reject", "useless"], correct=True),
        judged(4, 0, "placebo", [], said=["confirm", None], opened_seconds=None),
    ]
    assert TEXT[55:61] == "nobody"
    rows, left_out = judgements_of([*records, records[0].model_copy(update={"meta": {}})])
    counts = [(r.flaws, r.found, r.false_marks, r.wrong, r.agreed, r.confirmed) for r in rows]
    assert counts == [
        (1, 1, 0, 1, 0, 0), (1, 0, 2, 1, 1, 0), (1, 1, 1, 1, 1, 1), (1, 1, 0, 1, 0, 0),
        (1, 0, 1, 1, 0, 1),
    ]  # fmt: skip
    assert left_out == {"judged outside a study (no meta.assist)": 1}
    found = assistance(records)
    assert found.contrasts["none"].recall.value == pytest.approx(0.5)
    assert found.contrasts["placebo"].recall.value == pytest.approx(1.0)
    assert found.over_reliance.value == pytest.approx(0.0)
    assert found.contrasts["none"].seconds.value == pytest.approx(2.0)
    assert found.contrasts["none"].accuracy.value == pytest.approx(0.0)
    assert found.arms["placebo"].unopened == 1
    assert found.arms["placebo"].confirmed_wrong.value == pytest.approx(0.5)
    assert found.misled is None  # no item on which the critic is wrong altogether


def test_one_arm_or_one_item_is_said_and_has_no_interval() -> None:
    alone = assistance([judged(0, 0, "critique", ["1912"])])
    assert np.isnan(alone.arms["critique"].recall.low)
    assert not alone.contrasts
    assert "only the arm critique" in alone.notes[0]
    assert alone.notes[1] == "one item: no intervals"
    two = assistance([judged(0, 0, "critique", ["1912"]), judged(1, 0, "none", [])])
    assert two.contrasts["none"].recall.value == 1
    assert np.isnan(two.contrasts["none"].recall.low)
    assert two.contrasts["none"].seconds.low is None
    with pytest.raises(DataError, match=r"meta\.assist"):
        assistance([judged(0, 0, "none", []).model_copy(update={"meta": {}})])


def test_uplift_and_over_reliance_are_recovered() -> None:
    crowd, held = AssistedCrowd(notices=0.4, heeds=0.7, believes=0.3), Counter[str]()
    uplifts, overs = [], []
    for seed in range(8):
        found = assistance(simulated_assistance(crowd, 60, 6, 3, seed))
        uplift, over = found.contrasts["none"].recall, found.over_reliance
        held["uplift"] += uplift.low <= crowd.uplift <= uplift.high
        held["over"] += over.low <= crowd.over_reliance <= over.high
        uplifts.append(uplift.value)
        overs.append(over.value)
    assert min(held.values()) >= 7
    assert np.mean(uplifts) == pytest.approx(crowd.uplift, abs=0.06)
    assert np.mean(overs) == pytest.approx(crowd.over_reliance, abs=0.09)


# --- plans ----------------------------------------------------------------------------------------
def test_a_plan_has_the_power_it_says() -> None:
    (plan,) = plan_uplift(0.5, 0.15, 0.8, {"none": 1, "critique": 1}, [1])
    assert 330 <= plan.judgements <= 340  # about 170 an arm
    assert plan.power == pytest.approx(0.8, abs=0.005)
    assert uplift_power(0.5, 0.15, THIRDS, 60) < 0.3
    rng, shown = np.random.default_rng(0), 0
    each = plan.judgements // 2
    for _ in range(400):
        with_, without = rng.binomial(each, 0.65) / each, rng.binomial(each, 0.5) / each
        error = (with_ * (1 - with_) / each + without * (1 - without) / each) ** 0.5
        shown += with_ - without > 1.96 * error
    assert shown / 400 == pytest.approx(0.8, abs=0.07)
    for baseline, uplift, weights, said in (
        (0.5, 0.6, THIRDS, "an uplift of 0.6"), (0.5, 0, THIRDS, "uplift of 0 "),
        (1.5, 0.1, THIRDS, "baseline of 1.5"), (0.5, 0.1, {"critique": 1}, "both a weight"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as refused:
            plan_uplift(baseline, uplift, 0.8, weights)
        assert said in f"{refused.value} {refused.value.fix}"


# --- records and commands -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("assist", "said"),
    [
        ({"flaws": [{"option": "a", "start": 3, "end": 99}]}, r"meta.assist.flaws: \[3, 99\) is no passage"),
        ({"flaws": [{"option": "z", "start": 3, "end": 5}]}, "option 'z'"),
        ({"flaws": [{"option": "a", "start": 5, "end": 5}]}, "is empty"),
        ({"said": ["confirm"]}, "1 claims were answered, the arm critique shows 2"),
        ({"said": ["agree", None]}, "meta.assist.said"),
    ],
)  # fmt: skip
def test_records_of_help_that_cannot_be(assist: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        judged(0, 0, "critique", [], **assist)


def test_claims_are_words_that_may_hold_personal_data() -> None:
    record = judged(0, 0, "critique", [])
    record.meta["assist"]["critic"][0]["text"] = "Ask ada@example.org."
    assert "Ask ada@example.org." in list(texts_of(record))
    redactor = Redactor([RedactionRule(kind="email", replace="[e-mail]")])
    done = redactor.record(record)
    assert done.meta["assist"]["critic"][0]["text"] == "Ask [e-mail]."
    moved = Redactor([RedactionRule(pattern="1912", replace="then")])
    assert moved.record(record) is None  # the passages would point elsewhere
    assert sum(moved.left_out.values()) == 1


def test_the_commands(tmp_path: Path) -> None:
    file, run = tmp_path / "answers.jsonl", CliRunner()
    records = simulated_assistance(AssistedCrowd(), 12, 3, 3, 1)
    file.write_text("".join(dump_line(one) + "\n" for one in records), encoding="utf-8")
    printed = run.invoke(main, ["feedback", "assistance", str(file)])
    assert printed.exit_code == 0, printed.output
    assert "over-reliance" in printed.output
    assert "critique - placebo" in printed.output
    told = json.loads(run.invoke(main, ["feedback", "assistance", str(file), "--json"]).output)
    assert told["contrasts"]["none"]["recall"].keys() == {"value", "low", "high"}
    plan = ["feedback", "plan", "--assistance", "--uplift", ".15"]
    assert "| 3 | 167 | 501 |" in run.invoke(main, plan).output
    for more, said in (
        (["--arms", "1:1"], "none:critique:placebo"), (["--pilot", "x"], "a win rate"),
    ):  # fmt: skip
        refused = run.invoke(main, [*plan, *more])
        assert refused.exit_code == 2
        assert said in refused.output
    assert "give --assistance" in run.invoke(main, ["feedback", "plan", "--uplift", ".1"]).output


def test_critics_that_are_functions_write_claims(tmp_path: Path) -> None:
    pairs, out, critics = (tmp_path / name for name in ("pairs.jsonl", "items.jsonl", "c.yaml"))
    rows = [
        {"prompt": "How?", "options": ["It was bad, I say.", "Fine, says my 𝔘ncle."], "origin": "x"},
        {"prompt": "How?", "responses": ["All well.", "All is well."]},
    ]  # fmt: skip
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = "{function: 'accord:words', arguments: {words: [%s]}}"
    critics.write_text(
        f"critics: {{no-negative-word: {words % 'bad'}, no-first-person: {words % 'I, my'}}}"
    )
    told = ["--constitution", "accord:two-rules", "--critics", str(critics)]
    command = ["feedback", "claims", str(pairs), str(out), *told]
    printed = CliRunner().invoke(main, command)
    assert printed.exit_code == 0, printed.output
    assert "2 items, 3 claims" in printed.output
    assert "1 item without a claim" in printed.output
    settings = settings_from({"name": "x", "assistance": {}})
    made = [checked(row, settings) for row in items_from(out, settings).items]
    quotes = [
        next(o["content"] for o in made[0]["options"] if o["id"] == c["option"])[c["start"] : c["end"]]
        for c in made[0]["assistance"]["claims"]
    ]  # fmt: skip
    assert quotes == ["bad", "I", "my"]
    assert made[0]["meta"] == {"origin": "x"}
    assert made[1]["assistance"] == {"claims": [], "placebo": [], "flaws": None}
    again = CliRunner().invoke(main, ["feedback", "claims", str(out), str(pairs), *told])
    assert again.exit_code == 2
    assert "has claims already" in again.output
