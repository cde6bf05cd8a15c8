"""Many questions to an endpoint: a scripted one on this machine, which counts its calls."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError, ConfigError, DataError
from accord.sampling.answer_cache import AnswerCache, question_key
from accord.sampling.asking import Asker, AskingPlan, Patience, Unanswered
from accord.sampling.budget import Budget, BudgetError, Cost, Ledger, Prices, expected, most
from accord.sampling.endpoint import ChatQuestion, Completion, Endpoint, EndpointError
from scripted import Scripted, completion, scripted

AT_ONCE = Patience(at_once=4, tries=3, first_wait=0.001, longest_wait=0.05)


def question(text: str, max_tokens: int = 4) -> ChatQuestion:
    return ChatQuestion((("user", text),), max_tokens)


def questions(count: int) -> list[ChatQuestion]:
    return [question(f"question {n}") for n in range(count)]


def asker(
    server: Scripted,
    cache: AnswerCache | None = None,
    key: str = "",
    budget: Budget | None = None,
    **settings: Any,
) -> Asker:
    endpoint = Endpoint(server.url, "m", key, key_name="THE_KEY")
    ledger = Ledger(budget or Budget())
    return Asker(endpoint, cache or AnswerCache(None), ledger, **{"patience": AT_ONCE, **settings})


def echo(request: dict[str, Any], _: int) -> str:
    return f"to {request['messages'][-1]['content']}"


def texts(answers: list[Completion | Unanswered]) -> list[str | None]:
    return [one.text if isinstance(one, Completion) else None for one in answers]


def test_answers_are_in_order_and_asked_once(tmp_path: Path) -> None:
    asked = [*questions(9), question("question 3")]
    with scripted(echo) as server:
        for calls in (9, 0):
            cache = AnswerCache(tmp_path / "new" / "answers.sqlite")
            one = asker(server, cache)
            assert texts(one.ask(asked)) == [f"to {q.messages[0][1]}" for q in asked]
            assert one.ledger.spent == Cost(calls, 10.0 * calls, 1.0 * calls)
            cache.close()
        assert len(server.asked) == 9


def test_what_is_asked_for_tells_answers_apart() -> None:
    base = ChatQuestion((("user", "a"),), 4)
    others = [
        ChatQuestion((("user", "b"),), 4),
        ChatQuestion((("system", "a"),), 4),
        ChatQuestion((("user", "a"), ("user", "a")), 4),
        ChatQuestion((("user", "a"),), 5),
        ChatQuestion((("user", "a"),), 4, temperature=1.0),
        ChatQuestion((("user", "a"),), 4, seed=1),
        ChatQuestion((("user", "a"),), 4, top_logprobs=5),
    ]
    endpoints = [Endpoint("https://a.example/v1", "m"), Endpoint("https://a.example/v1", "n")]
    endpoints.append(Endpoint("https://b.example/v1", "m"))
    keys = [question_key(endpoints[0], one) for one in (base, *others)]
    keys += [question_key(one, base) for one in endpoints[1:]]
    assert len(set(keys)) == len(keys)
    slash = Endpoint("https://a.example/v1/", "m", "secret")
    assert question_key(slash, ChatQuestion((("user", "a"),), 4, temperature=0)) == keys[0]


def test_calls_are_side_by_side_but_not_more_than_allowed() -> None:
    with scripted(echo, seconds=0.02) as server:
        one = asker(server)
        one.ask(questions(20))
    assert server.most_under_way == 4
    assert one.busy > 20 * 0.02


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    failing = Counter[str]()

    def answer(request: dict[str, Any], number: int) -> Any:
        text = echo(request, number)
        failing[text] += 1
        return text if failing[text] == 3 else (status, {}, "later")

    with scripted(answer) as server:
        one = asker(server)
        assert None not in texts(one.ask(questions(5)))
    assert (len(server.asked), one.ledger.spent.calls, one.waited) == (15, 15, 10)


def test_a_wait_that_is_asked_for_holds_every_call() -> None:
    times: list[float] = []

    def answer(request: dict[str, Any], number: int) -> Any:
        times.append(time.monotonic())
        return (429, {"retry-after": "0.3"}, "slow down") if number == 1 else "A"

    with scripted(answer) as server:
        patience = Patience(at_once=1, tries=2, first_wait=0.001)
        assert texts(asker(server, patience=patience).ask(questions(3))) == ["A"] * 3
        assert times[1] - times[0] >= 0.3
        waiting = asker(server, patience=patience)
        waiting.pause(0.3)
        began = time.monotonic()
        waiting.ask(questions(1))
        assert time.monotonic() - began >= 0.3
    longer = Patience(at_once=1, tries=2, first_wait=0.001, longest_wait=5)
    with scripted(lambda r, n: (429, {"retry-after": "900"}, "tomorrow")) as server:
        found = asker(server, patience=longer).ask(questions(1))
        assert isinstance(found[0], Unanswered)
        assert "tomorrow" in found[0].reason
        assert len(server.asked) == 1


def test_what_fails_for_good_is_unanswered_and_asked_again_by_the_next_run(tmp_path: Path) -> None:
    def refuses(request: dict[str, Any], number: int) -> Any:
        text = echo(request, number)
        if text.endswith("1"):
            return 400, {}, "too long"
        return (500, {}, "broken") if text.endswith("2") else text

    asked = questions(4)
    with scripted(refuses) as server:
        found = asker(server, AnswerCache(tmp_path / "a")).ask(asked)
        assert texts(found) == ["to question 0", None, None, "to question 3"]
        assert [isinstance(x, Unanswered) and x.reason.partition("HTTP ")[2] for x in found] == [
            False,
            "400 '\"too long\"'",
            "500 '\"broken\"'",
            False,
        ]
        assert len(server.asked) == 2 + 1 + AT_ONCE.tries
        server.answer = echo
        again = asker(server, AnswerCache(tmp_path / "a"))
        assert again.plan(asked).kept == 2
        assert None not in texts(again.ask(asked))
        assert again.ledger.spent.calls == 2


@pytest.mark.parametrize(
    ("answer", "calls", "said"),
    [
        ((401, {}, "no"), 1, "check the key in THE_KEY"),
        ((402, {}, "no"), 1, "nothing is left to pay with"),
        ((404, {}, "no such model"), 1, "no such model"),
        ((307, {"location": "http://there.example"}, ""), 1, "HTTP 307"),
        ((429, {}, {"error": {"code": "insufficient_quota"}}), 1, "nothing is left to pay with"),
        ((400, {}, "what?"), 10, "none of the first 10 questions was answered"),
        ((503, {}, "down"), 30, "none of the first 10 questions was answered"),
    ],
)
def test_what_meets_every_question_ends_it(answer: Any, calls: int, said: str) -> None:
    with scripted(lambda request, number: answer) as server:
        one = asker(server, patience=Patience(1, 3, 0.001, 0.01))
        with pytest.raises(EndpointError) as ended:
            one.ask(questions(20))
        assert said in str(ended.value)
        assert len(server.asked) == calls


def test_calls_under_way_come_to_their_end() -> None:
    refused = Event()

    class Telling(Endpoint):
        async def answer(self, client: Any, question: ChatQuestion) -> Completion:
            try:
                return await super().answer(client, question)
            except EndpointError:
                asyncio.get_running_loop().call_later(0.05, refused.set)
                raise

    async def after_the_refusal() -> str:
        await asyncio.to_thread(refused.wait, 30)
        return "A"

    def answer(request: dict[str, Any], number: int) -> Any:
        return after_the_refusal() if number > 1 else (401, {}, "no")

    with scripted(answer) as server:
        one = asker(server)
        one.endpoint = Telling(server.url, "m")
        with pytest.raises(EndpointError):
            one.ask(questions(20))
        assert len(server.asked) == 4
        assert one.plan(questions(20)).kept == 3


def test_no_answer_in_time() -> None:
    with scripted(lambda request, number: "A", seconds=0.5) as server:
        one = asker(server, patience=Patience(1, 1))
        one.endpoint.timeout = 0.05
        found = one.ask([question("a")])
    assert found == [Unanswered(f"{server.url}/chat/completions: no answer within 0.05 s")]
    assert one.ledger.spent == most(question("a")), "it may have been charged"


def test_nobody_there_costs_nothing() -> None:
    one = Asker(Endpoint("http://127.0.0.1:9/v1", "m"), patience=Patience(1, 1))
    assert isinstance(one.ask([question("a")])[0], Unanswered)
    assert one.ledger.spent == Cost(calls=1)


# --- the budget -----------------------------------------------------------------------------------
def test_a_plan_that_passes_the_budget_is_refused_before_anything_is_asked() -> None:
    prices = Prices(1_000_000.0, 2_000_000.0)
    plan = Asker(Endpoint("https://a.example/v1", "m")).plan(questions(5))
    exact = plan.cost
    assert exact == Cost(5, 5 * 6, 5 * 4)
    assert exact.money(prices) == 30 + 2 * 20
    with scripted(echo) as server:
        for budget, said in (
            (Budget(calls=4), "5 calls, 4 are allowed"),
            (Budget(tokens=49), "50 tokens, 49 are allowed"),
            (Budget(money=69.9, prices=prices), "70.00 money, 69.90 are allowed"),
        ):
            one = asker(server, budget=budget)
            with pytest.raises(BudgetError, match=said):
                one.ask(questions(5))
        with pytest.raises(BudgetError, match="15 calls, 14 are allowed"):
            asker(server, budget=Budget(calls=14)).ask(questions(5), later=10)
        assert not server.asked
        asker(server, budget=Budget(calls=5)).ask(questions(5))
    with pytest.raises(ConfigError, match="needs prices"):
        Budget(money=1.0)
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(ConfigError):
            Budget(money=wrong, prices=prices)
        with pytest.raises(ConfigError):
            Prices(wrong)


def test_what_turns_out_dearer_stops_in_time_and_is_continued(tmp_path: Path) -> None:
    """Each question takes three tries, which the plan could not know."""
    failing = Counter[str]()

    def answer(request: dict[str, Any], number: int) -> Any:
        text = echo(request, number)
        failing[text] += 1
        return text if failing[text] == 3 else (500, {}, "later")

    with scripted(answer) as server:
        one = asker(server, AnswerCache(tmp_path / "a"), budget=Budget(calls=20))
        with pytest.raises(BudgetError, match=r"21 calls, 20 are allowed; \d of 10 are answered"):
            one.ask(questions(10))
        assert len(server.asked) == 20
        kept = one.plan(questions(10)).kept
        assert kept
        again = asker(server, AnswerCache(tmp_path / "a"))
        assert None not in texts(again.ask(questions(10)))
    assert max(failing.values()) == 3
    assert all(failing[f"to question {n}"] == 3 for n in range(10))


def test_a_plan_is_approved_once_and_may_be_refused() -> None:
    plans: list[AskingPlan] = []

    def refuse(plan: AskingPlan) -> None:
        raise BudgetError("no, thank you")

    with scripted(echo) as server:
        with pytest.raises(BudgetError, match="no, thank you"):
            asker(server, approve=refuse).ask(questions(3))
        assert not server.asked
        one = asker(server, approve=plans.append)
        one.ask(questions(3), later=6)
        one.ask(questions(5))
        one.ask(questions(5))
    assert [(p.questions, p.kept, p.cost.calls, p.later) for p in plans] == [(3, 0, 3, 6)]
    assert plans[0].whole == Cost(9, 54.0, 36.0)
    said = plans[0].lines(Prices(1e6, 1e6))
    assert said[0] == "0 kept answers, 3 to ask, and up to 6 that depend on the answers"
    assert said[1] == "about 90 tokens, at most 702; 90.00 of money, at most 702.00"


def test_progress_ends_at_the_number_of_questions() -> None:
    seen: list[tuple[int, int]] = []
    with scripted(echo) as server:
        cache = AnswerCache(None)
        asker(server, cache).ask(questions(2))
        one = asker(server, cache, progress=lambda done, of, cost: seen.append((done, of)))
        one.ask(questions(6))
    assert seen == [(done, 6) for done in (3, 4, 5, 6)]


# --- any script -----------------------------------------------------------------------------------
OUTCOMES: dict[str, Callable[[str], Any]] = {
    "text": lambda text: completion(text),
    "no usage": lambda text: completion(text, usage=None),
    "cut": lambda text: completion(text[:4], "length"),
    "nothing": lambda text: completion(None),
    "busy": lambda text: (429, {"retry-after": "0.001"}, "busy"),
    "broken": lambda text: (500, {}, "broken"),
    "refused": lambda text: (400, {}, "no"),
    "malformed": lambda text: (200, {}, b"{"),
    "another form": lambda text: {"error": "overloaded"},
}


@pytest.fixture(scope="module")
def any_server() -> Any:
    with scripted(echo) as server:
        yield server


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=3, max_size=3), min_size=1, max_size=9),
    st.integers(1, 30),
)  # fmt: skip
def test_an_answer_is_the_questions_own_or_none(
    any_server: Scripted, scripts: list[list[str]], calls: int
) -> None:
    """Whatever the endpoint does, within the budget and with nothing asked again that was
    answered."""
    tries = Counter[int]()

    def answer(request: dict[str, Any], _: int) -> Any:
        number = int(request["messages"][0]["content"].split()[-1])
        tries[number] += 1
        outcome = scripts[number][(tries[number] - 1) % 3]
        return OUTCOMES[outcome](f"{number} it is")

    any_server.answer, any_server.asked[:] = answer, []
    cache = AnswerCache(None)
    asked = questions(len(scripts))
    for limit in (calls, None):
        kept = cache_kept(any_server, cache, asked)
        tries.clear()
        before, one = len(any_server.asked), asker(any_server, cache, budget=Budget(calls=limit))
        try:
            found = one.ask(asked)
        except (BudgetError, EndpointError):
            found = []
        made = len(any_server.asked) - before
        assert made == one.ledger.spent.calls
        assert limit is None or made <= limit
        assert not set(tries) & kept, "what was answered is not asked again"
        for number, said in enumerate(texts(found)):
            assert said in (None, "", f"{number} it is", f"{number} it is"[:4])
            wanted = {"text", "no usage", "cut", "nothing"} & set(scripts[number])
            assert said is None or number in kept or wanted


def cache_kept(server: Scripted, cache: AnswerCache, asked: list[ChatQuestion]) -> set[int]:
    endpoint = Endpoint(server.url, "m")
    return {n for n, one in enumerate(asked) if cache.get(question_key(endpoint, one)) is not None}


# --- the cache ------------------------------------------------------------------------------------
CHILD = """
import sys
from pathlib import Path
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import Asker, Patience
from accord.sampling.endpoint import Endpoint, ChatQuestion
questions = [ChatQuestion((("user", f"question {n}"),), 4) for n in range(60)]
cache = AnswerCache(Path(sys.argv[2]))
Asker(Endpoint(sys.argv[1], "m"), cache, patience=Patience(4)).ask(questions)
"""


def test_a_killed_process_keeps_what_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with scripted(echo, seconds=0.01) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, server.url, path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        while len(server.asked) < 20:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        made = len(server.asked)
        one = asker(server, AnswerCache(path))
        kept = one.plan(questions(60)).kept
        assert made - 2 * 4 <= kept <= made
        assert None not in texts(one.ask(questions(60)))
        assert len(server.asked) == made + 60 - kept


def test_two_that_ask_the_same_get_the_same(tmp_path: Path) -> None:
    """The endpoint never says the same twice; whoever is second takes what is kept."""
    found: dict[int, list[str | None]] = {}
    with scripted(lambda request, number: f"{number}", seconds=0.002) as server:

        def work(which: int) -> None:
            cache = AnswerCache(tmp_path / "answers.sqlite")
            asked = questions(40)[:: 1 if which else -1]
            found[which] = texts(asker(server, cache).ask(asked))[:: 1 if which else -1]

        threads = [Thread(target=work, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] == found[1]
    assert None not in found[0]
    assert len(server.asked) < 60, "each takes what the other has asked"


def test_the_key_is_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    key = "sk-very-secret-123"

    def answer(request: dict[str, Any], number: int) -> Any:
        if number == 1:
            return "A"
        return 401, {}, f"Incorrect API key provided: {key}"

    path = tmp_path / "answers.sqlite"
    with scripted(answer) as server:
        one = asker(server, AnswerCache(path), key)
        one.ask([question("a")])
        assert server.headers[0]["authorization"] == f"Bearer {key}"
        with pytest.raises(EndpointError) as ended:
            one.ask([question("b")])
    assert "Incorrect API key provided: ***" in ended.value.message
    files = [part.read_bytes() for part in tmp_path.iterdir()]
    assert files
    assert not any(key.encode() in content for content in files)
    assert key not in repr(one) + repr(one.endpoint) + str(ended.value) + str(capfd.readouterr())
    for wrong in (f"{key}\n", f" {key}", "schlüssel"):
        with pytest.raises(ConfigError) as refused:
            Endpoint(server.url, "m", wrong, key_name="THE_KEY")
        assert wrong.strip() not in str(refused.value)
        assert "THE_KEY" in str(refused.value)


def test_a_file_that_holds_no_answers_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database, but long enough to be looked at" * 9, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be used as a file of answers"):
        AnswerCache(wrong)
    assert "long enough" in wrong.read_text(encoding="utf-8")
    with pytest.raises(AccordError):
        AnswerCache(wrong / "below")
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as base:
        base.execute("CREATE TABLE answers (key TEXT)")
    with pytest.raises(DataError, match="cannot be used"):
        AnswerCache(other).get("k")


# --- what an endpoint does not do -----------------------------------------------------------------
def test_log_probabilities_of_the_first_token_where_they_are_given() -> None:
    asked = ChatQuestion((("user", "A or B?"),), 1, top_logprobs=5)
    with scripted(lambda r, n: completion("A", logps={"A": -0.1, "B": -2.5})) as server:
        cache = AnswerCache(None)
        for _ in range(2):
            (found,) = asker(server, cache).ask([asked])
            assert isinstance(found, Completion)
            assert found.first_logps == {"A": -0.1, "B": -2.5}
        assert (server.asked[0]["logprobs"], server.asked[0]["top_logprobs"]) == (True, 5)
    with scripted(lambda r, n: completion("A")) as server:
        (found,) = asker(server).ask([asked])
        assert isinstance(found, Completion)
        assert found.first_logps is None


def test_an_endpoint_without_log_probabilities_is_asked_without_them() -> None:
    def answer(request: dict[str, Any], number: int) -> Any:
        return (400, {}, "logprobs are not supported") if "logprobs" in request else "A"

    asked = [ChatQuestion((("user", f"{n}"),), 1, top_logprobs=5) for n in range(12)]
    with scripted(answer) as server:
        one = asker(server)
        assert texts(one.ask(asked)) == ["A"] * 12
        assert not one.endpoint.gives_logprobs
        assert len(server.asked) <= 12 + AT_ONCE.at_once


def test_expected_and_most_bound_what_is_charged() -> None:
    for text in ("", "a", "ab c" * 100, "日本語" * 50, "\ud800"):
        asked = question(text, 7)
        assert 0 < expected(asked).tokens <= most(asked).tokens
        assert most(asked).prompt_tokens >= len(text.encode("utf-8", "replace"))
