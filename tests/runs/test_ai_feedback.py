"""AI judges as annotators, against an endpoint that fails in every way, local models, functions."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from accord.cli.main import main
from accord.errors import ConfigError, RunError
from accord.feedback.annotator_model import estimate
from accord.feedback.choice_model import decided_p
from accord.feedback.formats import read_feedback
from accord.feedback.judge_orders import in_each_order
from accord.feedback.position import position_bias
from accord.feedback.records import Comparison, Feedback
from accord.feedback.simulate import SimulatedAnnotator
from accord.oversight.judge_answers import JudgeAnswer
from accord.oversight.judge_questions import JudgeQuestion
from accord.oversight.judge_records import items_of
from accord.oversight.local_answers import LocalAnswers
from accord.runs.ai_feedback import AiFeedback, AiJudgeSettings, ask_judges, open_ai_judges
from accord.runs.judge_data import read_to_judge
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import AskingSettings, Patience
from accord.seeds import derive_seed, generator
from scripted import completion, scripted

ASKED = re.compile(r"Response A:\n(.*?)\n\nResponse B:\n(.*?)\n\n", re.DOTALL)
PROMPT = re.compile(r"Say (\d+)\.")
QUICK = AskingSettings(patience=Patience(at_once=8, tries=2, first_wait=0.01), timeout=0.5)


def quality(text: str) -> int:
    return int(text.split()[1])


def shares(request: dict[str, Any], _: int = 0) -> Any:
    """An endpoint with log-probabilities, pulled to the first place."""
    found = ASKED.search(request["messages"][0]["content"])
    assert found is not None
    first, second = map(quality, found.groups())
    p = float(decided_p(np.array(0.8 * (first - second) + 0.7)))
    return completion("A" if p > 0.5 else "B", logps={"A": np.log(p), "B": np.log(1 - p)})


def rows_file(folder: Path, count: int = 40) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        {"prompt": f"Say {n}.", "responses": [f"quality {q}" for q in rng.permutation(9)[:2]]}
        for n in range(count)
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ask(rows: Path, out: Path, judge: str, *more: object) -> Result:
    cache = rows.parent / "answers.sqlite"
    given = ["ask", rows, out, "--judge", judge, "--cache", cache, "--yes", *more]
    return CliRunner().invoke(main, list(map(str, given)))


def test_soft_labels_both_orders_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path), tmp_path / "ai.jsonl"
    with scripted(shares) as server:
        name = f"{server.url}#m"
        done = ask(rows, out, name, "--price", "1,2")
        assert done.exit_code == 0, done.output
        assert len(server.asked) == 80
        assert "40 read as logprobs" in done.output
        assert "80 calls" in done.output
        first = out.read_bytes()
        again = ask(rows, out, name, "--price", "1,2")
        assert again.exit_code == 0, again.output
        assert len(server.asked) == 80
        assert out.read_bytes() == first
        template = tmp_path / "t.txt"
        template.write_text(
            "Say {prompt}\n\nResponse A:\n{first}\n\nResponse B:\n{second}\n\n?", encoding="utf-8"
        )
        assert ask(rows, out, name, "--template", template).exit_code == 0
        assert len(server.asked) == 160, "another template asks everything again"
    records = read_feedback(str(out)).records
    assert len({r.id for r in records}) == 40
    assert {r.annotator for r in records} == {name}
    out.write_bytes(first)
    for record in read_feedback(str(out)).records:
        assert isinstance(record.choice, Comparison)
        one, other = (quality(str(o.content)) for o in record.options)
        both = [decided_p(np.array(0.8 * (one - other) + pull)) for pull in (0.7, -0.7)]
        better = record.options[0 if one > other else 1].id
        assert record.choice.preferred == better
        expected = np.mean(both) if one > other else 1 - np.mean(both)
        assert record.choice.probability == pytest.approx(float(expected), abs=1e-6)
        judge = record.meta["judge"]
        assert judge["mass"] == pytest.approx(1.0)
        assert judge["cost"] == pytest.approx(2 * (10 * 1 + 1 * 2) / 1e6)
        assert judge["template"]
        assert judge["key"]


CONSTITUTION = """id: c
version: 1
principles:
  - {id: kind, text: Be kind.}
  - {id: short, text: Be short., weight: 3}
"""


def test_a_changed_principle_is_asked_again_and_no_other(tmp_path: Path) -> None:
    rows, out, file = rows_file(tmp_path, 10), tmp_path / "ai.jsonl", tmp_path / "c.yaml"
    file.write_text(CONSTITUTION, encoding="utf-8")

    def by_principle(request: dict[str, Any], _: int) -> Any:
        p = 0.9 if "Be kind." in request["messages"][0]["content"] else 0.6
        return completion("A", logps={"A": np.log(p), "B": np.log(1 - p)})

    with scripted(by_principle) as server:
        name = f"{server.url}#m"
        assert ask(rows, out, name, "--constitution", file).exit_code == 0
        assert len(server.asked) == 40
        before = read_feedback(str(out)).records
        file.write_text(CONSTITUTION.replace("Be short.", "Be brief."), encoding="utf-8")
        done = ask(rows, out, name, "--constitution", file)
        assert done.exit_code == 0, done.output
        assert len(server.asked) == 60
        assert sum("Be brief." in r["messages"][0]["content"] for r in server.asked) == 20
    after = read_feedback(str(out)).records
    hashes = [{r.guideline for r in records} for records in (before, after)]
    assert all(len(h) == 1 and str(*h).startswith("sha256:") for h in hashes)
    assert hashes[0] != hashes[1]
    for record in after:  # it says the same of whatever is first: undecided, in each principle
        assert record.meta["judge"]["principles"] == pytest.approx({"kind": 0.5, "short": 0.5})
        first, second = record.meta["judge"]["orders"]
        assert first["probability"] == pytest.approx((0.9 + 3 * 0.6) / 4)
        assert second["probability"] == pytest.approx((0.9 + 3 * 0.6) / 4)


Reply = Callable[[dict[str, Any], int], Any]


async def late(_: dict[str, Any]) -> Any:
    await asyncio.sleep(1.0)
    return completion("A")


FAILURES: dict[str, Callable[[dict[str, Any]], Any | Awaitable[Any]]] = {
    "429": lambda request: (429, {}, "slow down"),
    "late": late,
    "truncated": lambda request: completion("The first of them", "length"),
    "malformed": lambda request: {"choices": [{"text": "A"}]},
    "no JSON": lambda request: (200, {}, b"A"),
    "refusal": lambda request: completion("I'm sorry, but I can't compare these."),
    "another answer": lambda request: completion("C"),
    "empty": lambda request: completion(""),
    "null": lambda request: completion(None),
}


def failing(share: float) -> Reply:
    """One prompt in 1 / share fails for good, in one order, each in another way."""

    def answer(request: dict[str, Any], number: int) -> Any:
        text = request["messages"][0]["content"]
        prompt = int(PROMPT.search(text)[1])  # type: ignore[index]
        found = ASKED.search(text)
        assert found is not None
        if prompt % round(1 / share) == 0 and quality(found[1]) > quality(found[2]):
            kind = list(FAILURES)[prompt // round(1 / share) % len(FAILURES)]
            return FAILURES[kind](request)
        return shares(request)

    return answer


def test_failures_are_skips_with_their_reason_and_never_numbers(tmp_path: Path) -> None:
    records, _ = read_to_judge(str(rows_file(tmp_path, 180)))
    items, _ = items_of(records, "pairwise")
    with scripted(failing(0.05)) as server:
        settings = AiJudgeSettings(max_failed=0.1)
        judges = open_ai_judges([f"{server.url}#m"], settings, AnswerCache(None), QUICK)
        found = AiFeedback()
        ask_judges(judges, items, settings, found)
        failed = [
            r
            for r in found.records
            if PROMPT.search(str(r.prompt))[1]
            in {  # type: ignore[index]
                str(n) for n in range(0, 180, 20)
            }
        ]
        assert len(failed) == 9
        assert {r.kind for r in failed} == {"skip"}
        assert sum(r.kind == "comparison" for r in found.records) == 171
        assert found.failed.total() == 9
        said = " ".join(found.failed)
        for part in ("429", "no answer within", "cut at 16", "another form", "sorry", "'C'", "''"):
            assert part in said
        strict, again = AiJudgeSettings(), AiFeedback()
        with pytest.raises(RunError, match="9 of 180 items got no verdict, more than 2%"):
            ask_judges(judges, items, strict, again)
        assert sum(r.kind == "comparison" for r in again.records) == 171, "what was made is kept"


def test_a_try_that_fails_for_a_while_is_made_again(tmp_path: Path) -> None:
    records, _ = read_to_judge(str(rows_file(tmp_path, 20)))
    items, _ = items_of(records, "pairwise")
    seen: set[str] = set()

    def answer(request: dict[str, Any], number: int) -> Any:
        text = request["messages"][0]["content"]
        if text not in seen and number % 3 == 0:
            seen.add(text)
            return 429, {"retry-after": "0"}, "slow down"
        return shares(request)

    with scripted(answer) as server:
        settings = AiJudgeSettings(max_failed=0)
        found = AiFeedback()
        opened = open_ai_judges([f"{server.url}#m"], settings, AnswerCache(None), QUICK)
        ask_judges(opened, items, settings, found)
        assert {r.kind for r in found.records} == {"comparison"}
        assert len(server.asked) == 40 + len(seen)


def test_a_used_up_budget_keeps_what_was_answered(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path, 20), tmp_path / "ai.jsonl"

    def dear(request: dict[str, Any], _: int) -> Any:
        return shares(request) | {"usage": {"prompt_tokens": 200, "completion_tokens": 1}}

    with scripted(dear) as server:
        name = f"{server.url}#m"
        planned = ask(rows, out, name, "--dry-run", "--price", "1,2")
        assert "0 kept answers, 40 to ask" in planned.output
        assert "of money, at most" in planned.output
        refused = ask(rows, out, name, "--budget", "0.000001", "--price", "1,2")
        assert refused.exit_code == 2
        assert "nothing was asked" in refused.output
        assert not server.asked
        # the plan passes, and then it turns out dearer
        ended = ask(rows, out, name, "--budget-tokens", 4500)
        assert ended.exit_code == 2, ended.output
        assert "are answered and kept" in ended.output
        asked = len(server.asked)
        assert 0 < asked < 40
        assert ask(rows, out, name).exit_code == 0
        assert len(server.asked) == 40, "the second run asks the others"
    interrupted = out.read_bytes()
    with scripted(dear) as other:
        (tmp_path / "answers.sqlite").unlink()
        assert ask(rows, out, f"{other.url}#m").exit_code == 0
    stripped = [
        re.sub(rb"script-\d+|judge-[0-9a-f]+|\"key\": \"\w+\"", b"", x)
        for x in (interrupted, out.read_bytes())
    ]
    assert stripped[0] == stripped[1]


def test_samples_where_there_are_no_log_probabilities(tmp_path: Path) -> None:
    """Each sample has a seed of its own; their share is the label, and that is said."""
    rows, out = rows_file(tmp_path, 10), tmp_path / "ai.jsonl"

    last = derive_seed(0, "judge sample", 3) % 2**31

    def answer(request: dict[str, Any], _: int) -> str:
        assert request["temperature"] == 0.8
        found = ASKED.search(request["messages"][0]["content"])
        assert found is not None
        better = "A" if quality(found[1]) > quality(found[2]) else "B"
        return better if request["seed"] != last else ("B" if better == "A" else "A")

    with scripted(answer) as server:
        done = ask(rows, out, f"{server.url}#m", "--samples", 4, "--temperature", 0.8)
        assert done.exit_code == 0, done.output
        assert len(server.asked) == 2 * 4 * 10
    assert "10 read as samples" in done.output
    for record in read_feedback(str(out)).records:
        assert isinstance(record.choice, Comparison)
        assert record.choice.probability == 0.75
    assert "set temperature" in ask(rows, out, f"{server.url}#m", "--samples", 4).output


def test_a_sample_that_fails_leaves_no_label_of_the_others(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path, 5), tmp_path / "ai.jsonl"
    last = derive_seed(0, "judge sample", 2) % 2**31

    def answer(request: dict[str, Any], _: int) -> str:
        failed = "Say 2." in request["messages"][0]["content"] and request["seed"] == last
        return "I cannot say." if failed else "A"

    with scripted(answer) as server:
        sampled = ("--samples", 3, "--temperature", 0.8, "--max-failed", 0.5)
        done = ask(rows, out, f"{server.url}#m", *sampled)
    assert done.exit_code == 0, done.output
    kinds = {str(r.prompt): r.kind for r in read_feedback(str(out)).records}
    assert [prompt for prompt, kind in kinds.items() if kind == "skip"] == ["Say 2."]


def test_items_are_asked_in_parts_and_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, _ = read_to_judge(str(rows_file(tmp_path, 11)))
    items, _ = items_of(records, "pairwise")
    settings, found, whole = AiJudgeSettings(), AiFeedback(), AiFeedback()
    names, steps = [f"{__name__}:better", f"{__name__}:unsure"], list[tuple[int, int]]()
    judges = open_ai_judges(names, settings, AnswerCache(None), QUICK)
    ask_judges(judges, items, settings, whole)
    monkeypatch.setattr("accord.runs.ai_feedback.CHUNK", 16)
    ask_judges(judges, items, settings, found, (), lambda *at: steps.append(at))
    assert len(found.records) == 22
    assert {r.id: r for r in found.records} == {r.id: r for r in whole.records}
    assert steps == [(8, 22), (16, 22), (22, 22)]


def test_a_judge_may_reason_before_it_answers(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path, 10), tmp_path / "ai.jsonl"

    def answer(request: dict[str, Any], _: int) -> Any:
        if len(request["messages"]) == 1:
            assert "Do not decide yet" in request["messages"][0]["content"]
            if "Say 3." in request["messages"][0]["content"]:
                return completion("On the one hand", "length")
            return completion("I have thought.")
        _, thought, closing = request["messages"]
        assert thought == {"role": "assistant", "content": "I have thought."}
        assert closing["content"].startswith("Answer with one letter")
        return shares(request)

    with scripted(answer) as server:
        name = f"{server.url}#m"
        planned = ask(rows, out, name, "--reasoning-tokens", 50, "--dry-run")
        assert "20 to ask, and up to 20 that depend on the answers" in planned.output
        done = ask(rows, out, name, "--reasoning-tokens", 50, "--max-failed", 0.1)
        assert done.exit_code == 0, done.output
        assert len(server.asked) == 20 + 18
    assert "the reasoning was cut at 50 tokens" in done.output
    kinds = [r.kind for r in read_feedback(str(out)).records]
    assert (kinds.count("comparison"), kinds.count("skip")) == (9, 1)


def better(prompt: str, first: str, second: str) -> float:
    return float(decided_p(np.array(2.0 * (quality(first) - quality(second)))))


def unsure(prompt: str, first: str, second: str) -> float:
    return 0.5


def scored(prompt: str, response: str, principle: str = "") -> float | None:
    return None if quality(response) == 0 else 1 + quality(response) / 2


def told(prompt: str, response: str, principle: str) -> bool:
    return quality(response) > 4


def test_functions_panels_scores_and_rubrics(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path, 30), tmp_path / "ai.jsonl"
    done = ask(rows, out, f"{__name__}:better", "--judge", f"{__name__}:unsure", "--panel")
    assert done.exit_code == 0, done.output
    records = read_feedback(str(out)).records
    assert len(records) == 30
    for record in records:
        assert isinstance(record.choice, Comparison)
        assert 0.5 < (record.choice.probability or 0) <= 0.75
        assert record.annotator == f"panel: {__name__}:better + {__name__}:unsure"
    scale = ("--form", "pointwise", "--max-failed", 1)
    assert ask(rows, out, f"{__name__}:scored", *scale).exit_code == 0
    ratings = read_feedback(str(out)).records
    for record in ratings:
        worth = quality(str(record.options[0].content))
        if worth:
            assert record.choice.scores == {"score": pytest.approx(1 + worth / 2)}  # type: ignore[union-attr]
        else:
            assert record.kind == "skip"
    principles = ("--form", "rubric", "--constitution", "accord:two-rules")
    assert ask(rows, out, f"{__name__}:told", *principles).exit_code == 0
    kinds = {record.kind for record in read_feedback(str(out)).records}
    assert kinds == {"rating", "flags"}
    wrong = ask(rows, out, f"{__name__}:told")
    assert wrong.exit_code == 1
    assert "answer" in wrong.output
    twice = ask(rows, out, f"{__name__}:better", "--judge", f"{__name__}:better")
    assert "a judge is named twice" in twice.output


def test_a_local_model_answers_by_probabilities_and_once(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path, 4), tmp_path / "ai.jsonl"
    done = ask(rows, out, "accord:nano-base")
    assert done.exit_code == 0, done.output
    first = out.read_bytes()
    planned = ask(rows, out, "accord:nano-base", "--dry-run")
    assert "8 kept answers, 0 to ask" in planned.output
    again = ask(rows, out, "accord:nano-base")
    assert again.exit_code == 0
    assert out.read_bytes() == first
    records, _ = read_to_judge(str(rows))
    items, _ = items_of(records, "pairwise")
    kept = AnswerCache(tmp_path / "answers.sqlite")
    (judge,) = open_ai_judges(["accord:nano-base"], AiJudgeSettings(), kept, AskingSettings())
    assert isinstance(judge.answers, LocalAnswers)
    judge.judge([item.shown for item in items])
    assert judge.answers.computed == 0
    assert "model" not in vars(judge.answers), "nothing to ask: no model is loaded"
    questions = judge.questions(*items[0].shown)
    fresh = LocalAnswers(judge.answers._load, "x", AnswerCache(None))
    alone = [fresh.ask([question])[0] for question in questions]
    together = judge.answers.ask(questions)
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, JudgeAnswer)
        assert isinstance(other, JudgeAnswer)
        assert one.p == pytest.approx(other.p, abs=1e-5)
        assert one.mass == pytest.approx(other.mass, abs=1e-5)
    thinking = LocalAnswers(judge.answers._load, "x", AnswerCache(None), reasoning_tokens=3)
    (cut,) = thinking.ask(questions[:1])
    assert cut.reason == "the reasoning is cut at 3 tokens"  # type: ignore[union-attr]


# --- a judge is an annotator ----------------------------------------------------------------------
class Simulated:
    """JudgeAnswers by the choice model: rewards of texts, a pull to the first place, sampled."""

    def __init__(self, who: SimulatedAnnotator, seed: int, sampled: bool) -> None:
        self.who, self.seed, self.sampled = who, seed, sampled

    def ask(self, questions: Any, later: int = 0) -> list[Any]:
        return [self._one(question) for question in questions]

    def _one(self, question: JudgeQuestion) -> JudgeAnswer:
        rewards = [float(text.split()[1]) for text in question.responses]
        u = self.who.utilities(np.array(rewards), np.array([0, 1]))
        p = float(decided_p(np.array(u[0] - u[1])))
        if self.sampled:
            p = float(generator(self.seed, self.who.id, question.text).random() < p)
        return JudgeAnswer((p, 1 - p), "logprobs" if not self.sampled else "text")


def judged_by(who: SimulatedAnnotator, seed: int, sampled: bool, prompts: int) -> list[Feedback]:
    from accord.oversight.ai_judge import AiJudge
    from accord.oversight.judge_questions import usual_template
    from accord.oversight.judge_records import records_of

    judge = AiJudge(who.id, Simulated(who, seed, sampled), usual_template("pairwise", False))
    rng = generator(7, "rewards", seed)
    rows = [
        {
            "id": f"r{n}",
            "kind": "skip",
            "prompt": f"Say {n}.",
            "options": [
                {"id": str(k), "content": f"worth {r:.4f}", "shown_at": k, "producer": f"m{k}"}
                for k, r in enumerate(rng.normal(size=3))
            ],
            "choice": {"reason": "to be judged"},
            "annotator": "nobody",
        }
        for n in range(prompts)
    ]
    items, _ = items_of([Feedback.model_validate(row) for row in rows], "pairwise")
    found = judge.judge([item.shown for item in items])
    return [r for i, f in zip(items, found, strict=True) for r in records_of(i, f, judge, None)]


@pytest.mark.parametrize("sampled", [True, False])
def test_the_pull_of_the_first_place_is_recovered_from_a_judges_records(sampled: bool) -> None:
    """Both answers of each pair are in its record's meta, as choices or as probabilities; the
    averaged label has no pull."""
    held, rational = [], []
    crowd = [SimulatedAnnotator("judge", 1.5, 1.2), SimulatedAnnotator("fair", 1.5, 0.0)]
    for seed in range(4):
        records = [r for who in crowd for r in judged_by(who, seed, sampled, 80)]
        found = {one.annotator: one for one in estimate(records).annotators}
        for who in crowd:
            one = found[who.id]
            held.append(abs(one.side_bias - who.side_bias) < 1.96 * one.side_bias_error)
            rational.append(one.rationality_low < who.rationality < one.rationality_high)
            assert one.judgements == 2 * 240
        assert found["judge"].side_bias > 3 * found["judge"].side_bias_error
    assert sum(held) >= 7, held
    assert sum(rational) >= 7, rational
    bias = position_bias([r for r in records if r.annotator == "judge"])
    assert bias.alarm
    assert bias.first_share.low > 0.55
    assert not position_bias([r for r in records if r.annotator == "fair"]).alarm


def test_a_record_in_each_order_is_an_answer_drawn_from_its_probability() -> None:
    records = judged_by(SimulatedAnnotator("j", 1.5, 1.2), 3, False, 200)
    answers = in_each_order(records)
    assert answers == in_each_order(records), "drawn, and the same each time"
    assert in_each_order(answers) == answers
    assert {answer.weight for answer in answers} == {0.5}
    expected, first = [], []
    for one, pair in zip(records, np.array(answers, dtype=object).reshape(-1, 2), strict=True):
        for asked, answer in zip(one.meta["judge"]["orders"], pair, strict=True):
            assert answer.shown == asked["order"]
            expected.append(asked["probability"])
            first.append(answer.choice.preferred == asked["order"][0])
        share = (expected[-2] + 1 - expected[-1]) / 2
        assert isinstance(one.choice, Comparison)
        sure = one.choice.probability or 0.0
        better = one.choice.preferred == one.options[0].id
        assert share == pytest.approx(sure if better else 1 - sure)
    p = np.array(expected)
    assert abs(np.mean(first) - p.mean()) < 3 * np.sqrt((p * (1 - p)).sum()) / len(p)


def test_a_temperature_is_fitted_on_peoples_rows(tmp_path: Path) -> None:
    """A judge that is three times too sure is found to be; too few labels are refused."""
    rng = np.random.default_rng(1)
    lines = []
    for n in range(400):
        texts = [f"quality {q}" for q in rng.permutation(9)[:2]]
        gap = 2.0 / 3 * (quality(texts[0]) - quality(texts[1]))
        won = rng.random() < decided_p(np.array(gap))
        options = [{"id": "ab"[k], "content": text, "shown_at": k} for k, text in enumerate(texts)]
        row = {"id": f"r{n}", "kind": "comparison", "prompt": f"Say {n}.", "options": options}
        lines.append(row | {"choice": {"preferred": "ab"[not won]}, "annotator": "person"})
    rows, out = tmp_path / "people.jsonl", tmp_path / "ai.jsonl"
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = ask(rows, out, f"{__name__}:better", "--people", rows)
    assert done.exit_code == 0, done.output
    found = re.search(r"temperature ([\d.]+) \[([\d.]+), ([\d.]+)\] of 400", done.output)
    assert found is not None, done.output
    assert float(found[2]) < 3 < float(found[3])
    for record in read_feedback(str(out)).records:
        assert record.meta["judge"]["temperature"] == pytest.approx(float(found[1]), rel=0.01)
        assert [o.id for o in record.options] != ["a8950f05d3443e79"]
    few = ask(rows, out, f"{__name__}:better", "--people", rows, "--limit", 5)
    assert few.exit_code == 2
    assert "people decided 5 of the 5 pairs" in few.output


def test_what_is_read(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "responses": ["x", "y"], "finished": [True, False], "scores": [1.0, 2.0]},
        {"prompt": [{"role": "user", "content": "b"}], "options": [
            {"content": "x", "producer": "m"}, {"content": "z", "producer": "n"}]},
    ]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    records, lines = read_to_judge(str(path))
    assert [len(r.options) for r in records] == [2, 2]
    assert list(records[0].meta["finished"].values()) == [True, False]
    assert [o.producer for o in records[1].options] == ["m", "n"]
    assert lines == ["not used beside prompts and responses: scores"]
    path.write_text('{"prompt": "a", "chosen": "x", "rejected": "y"}\n', encoding="utf-8")
    records, _ = read_to_judge(str(path))
    assert [r.kind for r in records] == ["comparison"]
    path.write_text('{"prompt": "a", "response_a": "x", "response_b": "y"}\n', encoding="utf-8")
    assert len(read_to_judge(str(path))[0][0].options) == 2
    path.write_text('{"prompt": "a", "response": "x", "logp": -1}\n', encoding="utf-8")
    records, _ = read_to_judge(str(path))
    with pytest.raises(Exception, match="nothing to judge pairwise"):
        items_of(records, "pairwise")
    assert len(items_of(records, "pointwise")[0]) == 1


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    rows, out = rows_file(tmp_path, 2), tmp_path / "ai.jsonl"
    bad = tmp_path / "t.txt"
    bad.write_text("{prompt} {frist} {second}", encoding="utf-8")
    for more, said in (
        (("--template", bad), 'did you mean "first"'),
        (("--form", "rubric"), "a rubric needs criteria"),
        (("--clamp", "0.4"), "clamp"),
        (("--scale", "1", "10", "--form", "pointwise"), "high"),
        (("--constitution", "accord:none"), "accord:two-rules"),
    ):
        found = ask(rows, out, f"{__name__}:better", *more)
        assert found.exit_code == 2, found.output
        assert said in found.output
        assert not out.exists()
    nowhere = CliRunner().invoke(main, ["ask", str(rows), "--judge", f"{__name__}:better"])
    assert nowhere.exit_code == 2
    assert "name OUT" in nowhere.output
    shown = CliRunner().invoke(main, ["ask", str(rows), "--judge", f"{__name__}:better", "--show"])
    assert shown.exit_code == 0, shown.output
    assert "orders" in shown.output
    with pytest.raises(ConfigError):
        AiJudgeSettings(form="pointwise", low=5, high=5).read()
