"""Self-naming is hidden before a rater sees it; ordinary words stay."""

from __future__ import annotations

import re

import pytest

from accord.studio.tasks.masking import fold, mask_names, put_placeholders

NAMES = [
    "ChatGPT", "GPT-4", "Claude", "Claude 3.5 Sonnet", "Gemini", "Gemini 1.5 Pro", "Llama", "Llama 3", "LLaMA-2", "Mistral",
    "Mixtral 8x7B", "Qwen", "Qwen2.5-72B-Instruct", "DeepSeek", "DeepSeek-R1", "Bard", "Grok", "Copilot", "Vicuna", "Phi-3",
]  # fmt: skip
PHRASES = [
    "I am {}, how can I help?", "I'm {}, a large language model.", "As {}, I cannot have opinions.", "My name is {}.",
    "You can call me {}.", "Hello! {} here. Let me look at that.", "**{}**: Sure, the answer is 4.",
    "The answer is 4.\n\n— {}", "I'm an AI language model. Specifically, {}.", "Ich bin {}, ein KI-Modell.",
]  # fmt: skip
WRITTEN = [
    ("As an AI language model developed by OpenAI, I can't.", ["OpenAI"]),
    ("As an AI developed by Anthropic, I aim to be helpful.", ["Anthropic"]),
    ("I was created by Zorblax Labs to help people.", ["Zorblax"]),
    ("I am Florp, an AI assistant made by Quibble Inc.", ["Florp", "Quibble"]),
    ("My makers at Google trained me on text.", ["Google"]),
    ("I'm a model trained by Meta.", ["Meta"]),
    ("I am C-l-a-u-d-e.", ["C-l-a-u-d-e"]),
    ("I am Chat\u200bGPT.", ["Chat"]),
    ("I am СhatGРT.", ["hatG"]),
    ("I am G P T, your helper", ["G P T"]),
    ("I am ＣｈａｔＧＰＴ", ["ＣｈａｔＧＰＴ"]),
    ("我是通义千问,由阿里云开发。", ["通义千问"]),
    ("我是 Claude,由 Anthropic 开发。", ["Claude", "Anthropic"]),
    ("我是Claude。", ["Claude"]),
    ("Je suis Mistral, un modèle de langage.", ["Mistral"]),
    ("Soy Gemini y puedo ayudarte.", ["Gemini"]),
    ("(Sent by gpt-4o-mini)", ["gpt-4o-mini"]),
    ("As your friendly assistant Gemini, I would say yes.", ["Gemini"]),
    ("I, Claude, think so. Claude would never lie.", ["Claude"]),
    ("i'm claude", ["claude"]),
    ("See [ChatGPT](https://chat.openai.com) for more.", ["ChatGPT", "openai"]),
    ("You're talking to Grok.", ["Grok"]),
    ("I am _Claude_.", ["Claude"]),
    ("My training data at Anthropic ends in 2023.", ["Anthropic"]),
    ("As a large language model, Gemini cannot see.", ["Gemini"]),
]  # fmt: skip
ORDINARY = [
    "The llama chewed while the alpaca and the falcon watched.",
    "Claude opened the mill. 'Good morning,' said Claude's wife.",
    "She is a Gemini, and the mistral was blowing.",
    "The bard sang a sonnet, then a haiku: his magnum opus.",
    "Claude Monet painted water lilies in Giverny.",
    "Take pi as 3.14; Phi is the golden ratio.",
    "Apple and Google publish their own style guides.",
    "Bring it up with your copilot before landing.",
    "As an example, take 4. As soon as possible, call me back.",
    "This is a test made by hand. I was trained by experts.",
    "The general purpose tool was developed by engineers.",
    "Please help my model\nMade by Anna in June.",
]


def cases() -> list[tuple[str, list[str]]]:
    return [(phrase.format(name), [name]) for phrase in PHRASES for name in NAMES] + WRITTEN


def test_there_are_two_hundred() -> None:
    assert len(cases()) >= 200


@pytest.mark.parametrize(("answer", "names"), cases())
def test_self_naming_never_reaches_a_rater(answer: str, names: list[str]) -> None:
    masked = mask_names(answer, prompt="What is 2 + 2?")
    for name in names:
        assert fold(name)[0] not in fold(masked.text)[0]
    assert masked.masks
    assert masked.restore(masked.text) == (answer, masked.masks)
    for mask in masked.masks:
        assert masked.names[mask.number - 1] == answer[mask.start : mask.end]


@pytest.mark.parametrize("answer", ORDINARY)
def test_ordinary_words_stay(answer: str) -> None:
    assert mask_names(answer, prompt="Tell me something.").text == answer


def test_what_the_prompt_asks_about_is_the_topic() -> None:
    text = "ChatGPT appeared in 2022; OpenAI made it. Claude came later."
    assert mask_names(text, "Compare ChatGPT by OpenAI with Claude.").text == text
    own = mask_names("ChatGPT is good. I am ChatGPT, by the way.", "What is ChatGPT?")
    assert own.text == "ChatGPT is good. I am ⟨name 1⟩, by the way."


def test_a_project_names_its_own() -> None:
    assert (
        mask_names("Brought to you by House-7.", extra=["house-7"]).text
        == "Brought to you by ⟨name 1⟩."
    )


def test_offsets_lead_back_to_the_original() -> None:
    text = "I am Claude, made by Anthropic. Fine words here."
    masked = mask_names(text)
    place = masked.text.index("Fine")
    assert masked.original_offset(place) == text.index("Fine")
    assert masked.original_offset(0) == 0
    assert masked.original_offset(len(masked.text)) == len(text)
    assert re.search("Claude|Anthropic", masked.text) is None


def test_placeholders_a_model_wrote_are_no_way_in() -> None:
    masked = mask_names("I am Claude. ⟨name 2⟩ ⟨name 999999999999⟩")
    restored, masks = masked.restore(masked.text)
    assert restored == "I am Claude. ⟨name 2⟩ ⟨name 999999999999⟩"
    assert put_placeholders(restored, masks) == masked.text


def test_a_name_of_ones_own_is_not_hidden_again() -> None:
    """Or else who edits a text could learn the hidden name by writing names and taking it back."""
    masked = mask_names("I am Claude. It rains.")
    written = "I am ⟨name 1⟩, not Claude and not ChatGPT. ⟨name 1⟩!"
    restored, masks = masked.restore(written)
    assert restored == "I am Claude, not Claude and not ChatGPT. Claude!"
    assert masked.restored_length(written) == len(restored)
    assert put_placeholders(restored, masks) == written
