"""Real chat templates: what is trained is what transformers renders, or the row is refused with the
reason."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.chat_families import family_tokenizer

from accord.errors import ConfigError, DataError
from accord.text.encoding import Encoder

pytest.importorskip("trl", reason="the chat templates lie in TRL's package")

FAMILIES = {  # the tokens that end a reply, and one that calls a tool
    "cohere2": ("<|END_OF_TURN_TOKEN|>", None), "deepseek_r1_distill": ("<｜end▁of▁sentence｜>", None),
    "gemma": ("<end_of_turn>", None), "gemma3": ("<end_of_turn>", None), "glm4moe": ("<|user|>", "<|observation|>"),
    "gptoss": ("<|return|>", "<|call|>"), "llama3": ("<|eot_id|>", None), "llama3_1": ("<|eot_id|>", "<|eot_id|>"),
    "lfm2_v2": ("<|im_end|>", "<|im_end|>"), "nemotron_3_nano": ("<|im_end|>", "<|im_end|>"), "phi3": ("<|end|>", None),
    "qwen2_5": ("<|im_end|>", "<|im_end|>"), "qwen3": ("<|im_end|>", "<|im_end|>"),
    "qwen3_5_think": ("<|im_end|>", "<|im_end|>"), "qwen3_5_nothink": ("<|im_end|>", "<|im_end|>"),
}  # fmt: skip
NO_TOOLS = {"cohere2", "deepseek_r1_distill", "gemma", "gemma3", "llama3", "phi3"}
NO_REASONING = NO_TOOLS | {"lfm2_v2", "llama3_1", "qwen2_5"}
NO_DEVELOPER = {
    "cohere2",
    "deepseek_r1_distill",
    "gemma",
    "gemma3",
    "glm4moe",
    "phi3",
    "qwen2_5",
    "qwen3",
    "qwen3_5_think",
    "qwen3_5_nothink",
}
REFUSED: dict[str, set[str]] = {
    "system": {"gemma"}, "developer": NO_DEVELOPER, "reasoning": NO_REASONING, "call": NO_TOOLS,
    "call and result": NO_TOOLS, "said and called": NO_TOOLS | {"llama3_1", "gptoss"},
    "two calls": NO_TOOLS | {"llama3_1", "gptoss"}, "reasoned call": NO_REASONING | {"gptoss"}, "calls before": NO_TOOLS,
}  # fmt: skip
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "where"}},
            },
        },
    }
]
WORDS = [
    "Ann",
    "paid",
    "1,234",
    "crowns",
    "naïve",
    "café",
    "it;",
    "she",
    "電影",
    'said "no"',
    "a\\b",
    "{x}",
    "<b>",
    "two\nlines",
    "<|im_end|>",
    "\ufdd00\ufdd1",
    "<eos>",
    "tab\there",
    "<|call|>",
    "<|user|>",
]


def message(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def called(number: int, city: str, as_text: bool = False) -> dict[str, Any]:
    arguments: Any = f'{{"city": "{city}"}}' if as_text else {"city": city}
    return {
        "id": f"call{number:05}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }


def case(name: str, say: Callable[[], str]) -> tuple[list[Any], list[Any], list[Any] | None]:
    """(prompt, response, tools), what is said drawn from `say`."""
    ask, first = message("user", say()), called(1, "Paris")
    result = message("tool", say(), tool_call_id="call00001", name="get_weather")
    second = message("tool", say(), tool_call_id="call00002", name="get_weather")
    answer = message("assistant", say())
    before = [
        message("assistant", None, tool_calls=[first]),
        result,
        answer,
        message("user", say()),
    ]
    return {
        "plain": ([ask], [answer], None),
        "system": ([message("system", say()), ask], [answer], None),
        "developer": ([message("developer", say()), ask], [answer], None),
        "turns": ([ask, message("assistant", say()), message("user", say())], [answer], None),
        "reasoning": ([ask], [answer | {"reasoning_content": say()}], None),
        "reasoning before": (
            [
                ask,
                message("assistant", "Yes.", reasoning_content="They ask."),
                message("user", say()),
            ],
            [answer],
            None,
        ),
        "call": ([ask], [message("assistant", None, tool_calls=[first])], TOOLS),
        "call and result": (
            [ask],
            [message("assistant", None, tool_calls=[first]), result, answer],
            TOOLS,
        ),
        "said and called": (
            [ask],
            [message("assistant", say(), tool_calls=[first]), result, answer],
            TOOLS,
        ),
        "two calls": (
            [ask],
            [
                message("assistant", None, tool_calls=[first, called(2, "Rome")]),
                result,
                second,
                answer,
            ],
            TOOLS,
        ),
        "reasoned call": (
            [ask],
            [
                message("assistant", None, tool_calls=[first], reasoning_content=say()),
                result,
                answer | {"reasoning_content": say()},
            ],
            TOOLS,
        ),
        "calls before": ([ask, *before], [answer], TOOLS),
    }[name]


CASES = [
    "plain",
    "system",
    "developer",
    "turns",
    "reasoning",
    "reasoning before",
    "call",
    "call and result",
    "said and called",
    "two calls",
    "reasoned call",
    "calls before",
]


def words(seed: int, spelled: bool) -> Callable[[], str]:
    rng = random.Random(seed)
    known = (
        WORDS
        if spelled
        else [w for w in WORDS if "|" not in w and "eos" not in w and "\ufdd0" not in w]
    )
    return lambda: " ".join(["So", *rng.choices(known, k=rng.randint(1, 6)), "end."])


def given(prompt: list[Any], tools: list[Any] | None) -> Any:
    return {"messages": prompt, "tools": tools} if tools else prompt


@pytest.mark.parametrize("family", FAMILIES)
def test_messages_are_rendered_as_transformers_renders_them_or_refused(family: str) -> None:
    tokenizer = family_tokenizer(family)
    encoder = Encoder(tokenizer)
    decode: Any = tokenizer.decode
    for number, name in enumerate(CASES):
        prompt, response, tools = case(name, words(number, spelled=False))
        if family in REFUSED.get(name, ()):
            with pytest.raises(
                DataError,
                match=r"row r: the chat template (of .*(leaves out|does not show)|refuses)",
            ):
                encoder.example(given(prompt, tools), response, row="r")
            continue
        example = encoder.example(given(prompt, tools), response, row="r")
        rendered = str(
            tokenizer.apply_chat_template([*prompt, *response], tools=tools, tokenize=False)
        )
        theirs = tokenizer.encode(rendered, add_special_tokens=False)
        ours = example.prompt_ids + example.response_ids
        unwritten = (
            family == "glm4moe"
        )  # the next turn's token ends a reply: it is not in the conversation yet
        assert ours[: len(ours) - unwritten] == theirs[: len(ours)], name
        mask = example.mask or [True] * len(example.response_ids)
        trained = decode([t for t, m in zip(example.response_ids, mask, strict=True) if m])
        for turn in response:
            if turn["role"] == "assistant":
                parts = [
                    turn["content"],
                    turn.get("reasoning_content"),
                    *(["get_weather"] if "tool_calls" in turn else []),
                ]
                assert all(
                    part in trained or part.replace("\n", "\\n") in trained
                    for part in parts
                    if part
                ), name
            else:
                assert turn["content"] not in trained, name
        stops = {s for s in FAMILIES[family] if s is not None}
        assert sum(trained.count(s) for s in stops) == sum(
            turn["role"] == "assistant" for turn in response
        ), name
        assert example.response_ids[-1] in encoder.stop_ids
        assert encoder.round_trips(example)
        assert example.lost_reasoning == (name == "reasoning before"), name


@pytest.mark.parametrize("family", FAMILIES)
def test_what_people_spell_stays_letters_in_every_field(family: str) -> None:
    """Prompts, results, reasoning and calls that spell control tokens or noncharacters add none,
    and come back."""
    tokenizer = family_tokenizer(family)
    encoder, special = Encoder(tokenizer), set(tokenizer.all_special_ids)
    for number, name in enumerate(CASES):
        if family in REFUSED.get(name, ()):
            continue
        calm, wild = (
            case(name, words(number, spelled=False)),
            case(name, words(number + 50, spelled=True)),
        )
        a = encoder.example(given(calm[0], calm[2]), calm[1])
        b = encoder.example(given(wild[0], wild[2]), wild[1])
        control = [[t for t in e.prompt_ids + e.response_ids if t in special] for e in (a, b)]
        assert control[0] == control[1], name
        assert encoder.round_trips(b)
        said: Any = tokenizer.decode(b.prompt_ids)
        assert wild[0][0]["content"] in said


THOUGHTS = [
    "<think>\nLet me",
    "Let me see.\n</think>\n\nParis.",
    "\n\nParis. ",
    "<think></think>Paris",
    "</think>",
    "  x",
    '{"a": 1}',
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("thinking", [None, True, False])
def test_what_was_sampled_is_what_is_trained(family: str, thinking: bool | None) -> None:
    """Token for token, finished or cut within its reasoning, whatever the generation prompt
    opens."""
    tokenizer = family_tokenizer(family)
    settings = {} if thinking is None else {"enable_thinking": thinking}
    if settings and "enable_thinking" not in tokenizer.chat_template:
        with pytest.raises(ConfigError, match="enable_thinking"):
            Encoder(tokenizer, chat_template_kwargs=settings)
        return
    encoder = Encoder(tokenizer, chat_template_kwargs=settings)
    prompt = [message("user", "Capital?")]
    opened = str(
        tokenizer.apply_chat_template(
            prompt, tokenize=False, add_generation_prompt=True, **settings
        )
    )
    for text in THOUGHTS:
        for finished in (True, False):
            example = encoder.example(prompt, text, finished)
            assert (
                example.prompt_ids
                == encoder.prompt(prompt)
                == tokenizer.encode(opened, add_special_tokens=False)
            )
            sampled = tokenizer.encode(text, add_special_tokens=False)
            assert example.response_ids[: len(sampled)] == sampled
            assert (example.response_ids[-1] == encoder.stop_id(prompt)) == finished
            assert len(example.response_ids) - len(sampled) == finished * (
                2 if family == "cohere2" else 1
            )
            assert encoder.text(example.response_ids) == text
            assert encoder.round_trips(example)
    of_row = encoder.example({"messages": prompt, "chat_template_kwargs": settings}, "Paris.")
    assert of_row == encoder.example(prompt, "Paris.")


@pytest.mark.parametrize("family", FAMILIES)
def test_one_rule_says_where_a_reply_ends(family: str) -> None:
    tokenizer = family_tokenizer(family)
    encoder = Encoder(tokenizer)
    final, call = FAMILIES[family]
    names = [final, *([call] if call not in (None, final) else []), tokenizer.eos_token]
    assert [tokenizer.convert_ids_to_tokens(i) for i in encoder.stop_ids] == list(
        dict.fromkeys(names)
    )


def test_a_row_wins_over_the_recipe_and_unknown_settings_are_refused() -> None:
    tokenizer = family_tokenizer("qwen3")
    ask = [message("user", "Hi")]
    quiet = Encoder(tokenizer, chat_template_kwargs={"enable_thinking": False})
    loud = {"messages": ask, "chat_template_kwargs": {"enable_thinking": True}}
    assert quiet.prompt(loud) == Encoder(tokenizer).prompt(ask) != quiet.prompt(ask)
    with pytest.raises(DataError, match="row 7: chat_template_kwargs has 'loud'"):
        quiet.prompt({"messages": ask, "chat_template_kwargs": {"loud": True}}, "7")
    with pytest.raises(DataError, match="row 7: a prompt has no 'tool'"):
        quiet.prompt({"messages": ask, "tool": []}, "7")
    with pytest.raises(ConfigError, match="cannot be read"):
        Encoder(tokenizer, chat_template="/nowhere/x.jinja")
    other = Encoder(
        tokenizer, chat_template="{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    assert tokenizer.decode(other.prompt(ask)) == "Hi<|im_end|>"


def test_arguments_in_a_string_are_the_object_they_say() -> None:
    encoder = Encoder(family_tokenizer("qwen3_5_think"))
    ask = given([message("user", "Weather?")], TOOLS)

    def reply(call: dict[str, Any]) -> list[Any]:
        return [message("assistant", None, tool_calls=[call])]

    assert encoder.example(ask, reply(called(1, "Paris", as_text=True))) == encoder.example(
        ask, reply(called(1, "Paris"))
    )
    bad = called(1, "Paris")
    bad["function"]["arguments"] = "[1]"
    with pytest.raises(
        DataError,
        match=r"row 3: the arguments of the call of 'get_weather' are not a JSON object: '\[1\]'",
    ):
        encoder.example(ask, reply(bad), row="3")


def test_weights_of_messages_say_what_is_trained() -> None:
    encoder = Encoder(family_tokenizer("qwen3"))
    prompt, response, tools = case("call and result", words(1, spelled=False))
    whole = encoder.example(given(prompt, tools), response)
    context = [response[0] | {"weight": 0}, *response[1:-1], response[-1] | {"weight": 1}]
    part = encoder.example(given(prompt, tools), context)
    assert (part.prompt_ids, part.response_ids) == (whole.prompt_ids, whole.response_ids)
    assert whole.mask is not None
    assert part.mask is not None
    assert part.trained < whole.trained
    assert all(w or not p for p, w in zip(part.mask, whole.mask, strict=True))
    only = [response[-1] | {"weight": 0.5}]
    assert encoder.example(prompt, only).weight == 0.5
    for weights, reason in (
        ((0, 0), "no message of the response is trained"),
        ((1, 0.5), "has the weight 0.5"),
    ):
        odd = [
            response[0] | {"weight": weights[0]},
            *response[1:-1],
            response[-1] | {"weight": weights[1]},
        ]
        with pytest.raises(DataError, match=f"row 9: .*{reason}"):
            encoder.example(given(prompt, tools), odd, row="9")


def test_a_cut_message_ends_behind_what_it_says() -> None:
    tokenizer = family_tokenizer("qwen3")
    encoder, ask = Encoder(tokenizer), [message("user", "Capital?")]
    decode: Any = tokenizer.decode
    cut = encoder.example(
        ask, [message("assistant", None, reasoning_content="Let me see")], finished=False
    )
    assert decode(cut.response_ids) == "<think>\nLet me see"
    later = encoder.example(
        ask, [message("assistant", "Par", reasoning_content="Let me see")], finished=False
    )
    assert decode(later.response_ids) == "<think>\nLet me see\n</think>\n\nPar"
    inline = encoder.example(ask, [message("assistant", "<think>\nLet")], finished=False)
    assert decode(inline.response_ids) == "<think>\nLet"
    with pytest.raises(DataError, match="cut within a tool call"):
        encoder.example(
            given(ask, TOOLS),
            [message("assistant", None, tool_calls=[called(1, "P")])],
            finished=False,
        )


def test_a_template_that_takes_arguments_as_text_gets_text() -> None:
    """DeepSeek's concatenates them, and writes no call of a message whose content is null."""
    encoder = Encoder(family_tokenizer("deepseekv3"))
    for as_text in (False, True):
        call = message("assistant", None, tool_calls=[called(1, "Oslo", as_text)])
        result = message("tool", "3 degrees", tool_call_id="call00001", name="get_weather")
        example = encoder.example(
            [message("user", "Cold?"), call, result], [message("assistant", "Yes.")]
        )
        seen = encoder.tokenizer.decode(example.prompt_ids)
        assert '{"city": "Oslo"}' in seen
        assert "get_weather" in seen
        assert "3 degrees" in seen
