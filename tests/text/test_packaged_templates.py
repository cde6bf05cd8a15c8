"""Chat templates that accord ships, for models that have none."""

from __future__ import annotations

import pytest

from accord.errors import ConfigError, DataError
from accord.models.loading import load_causal_lm
from accord.text.encoding import Encoder
from accord.text.templates import read_template

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Name a fruit."},
]


def test_plain_turns_are_text_and_a_reply_ends_with_eos() -> None:
    model = load_causal_lm("accord:nano-base")
    with pytest.raises(DataError, match="no chat template") as error:
        Encoder(model.tokenizer).example(TALK, "An apple.", True, "1")
    assert "chat_template=accord:plain" in error.value.fix
    encoder = Encoder(model.tokenizer, read_template("accord:plain"))
    example = encoder.example(TALK, "An apple.", True, "1").group
    assert model.tokenizer.decode(example.prompt).endswith("User: Name a fruit.\n\nAssistant:")
    assert model.tokenizer.decode(example.prompt).startswith("Be brief.\n\nUser: Hello\n\n")
    assert example.responses[0][-1] == model.tokenizer.eos_token_id
    with pytest.raises(DataError, match="knows system, user and assistant"):
        encoder.example([{"role": "tool", "content": "4"}], "Four.", True, "2")


def test_an_unknown_one_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        read_template("accord:llama")
    assert "accord:plain" in error.value.fix
