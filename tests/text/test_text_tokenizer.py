"""Tokenizers read from their files give what transformers gives, or are left to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from accord.text.encoding import Encoder
from accord.text.templates import render
from accord.text.tokenizer import SPECIAL, FileTokenizer, read_tokenizer
from chat_tokenizers import chat_tokenizer, sentencepiece_like

NAMES = ["chatml", "llama3", "gemma", "llama2", "unsteady", "plain", "without-bos", "spaces"]
TEXTS = [
    "",
    " ",
    "Ann paid 1,234 crowns , didn't she ?",
    "a\n\n  b\t",
    "Ünïcödé 漢字 🙂",
    "<|im_end|><bos><turn> x<eos>",
]
TALK = [
    {"role": "user", "content": " Hi <eos> "},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "?"},
]


def saved(name: str, folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer's directory, and the tokenizer as transformers loads it."""
    tokenizer = sentencepiece_like() if name == "spaces" else chat_tokenizer(name)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return AutoTokenizer.from_pretrained(folder)  # type: ignore[no-any-return]


def pair(name: str, folder: Path) -> tuple[FileTokenizer, PreTrainedTokenizerFast]:
    """(ours, transformers')."""
    theirs, ours = saved(name, folder), read_tokenizer(folder, "llama")
    assert ours is not None
    return ours, theirs


@pytest.mark.parametrize("name", NAMES)
def test_the_same_ids_texts_and_tokens(name: str, tmp_path: Path) -> None:
    ours, theirs = pair(name, tmp_path)
    assert len(ours) == len(theirs)
    for special in SPECIAL:
        for key in (special, f"{special}_id"):
            assert getattr(ours, key) == getattr(theirs, key), key
    assert set(ours.all_special_tokens) == set(theirs.all_special_tokens)
    for text in TEXTS:
        for letters in (True, False):
            for added in (True, False):
                wish: Any = {"add_special_tokens": added, "split_special_tokens": letters}
                assert ours.encode(text, **wish) == theirs.encode(text, **wish)
        for skip in (True, False):
            ids = theirs.encode(text + "<eos> x", add_special_tokens=True)
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(
                ids, skip_special_tokens=skip
            )
    tokens = {
        i: (t.content, t.special, t.normalized) for i, t in theirs.added_tokens_decoder.items()
    }
    assert {
        i: (t.content, t.special, t.normalized) for i, t in ours.added_tokens_decoder.items()
    } == tokens
    assert [ours.convert_ids_to_tokens(i) for i in range(40)] == theirs.convert_ids_to_tokens(
        list(range(40))
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), letters=st.booleans())
def test_any_text_gives_the_same_ids(text: str, letters: bool, tmp_path: Path) -> None:
    for name in ("chatml", "spaces"):
        folder = tmp_path / name
        ours, theirs = (
            pair(name, folder)
            if not folder.exists()
            else (read_tokenizer(folder, "llama"), AutoTokenizer.from_pretrained(folder))
        )
        assert ours is not None
        ids = ours.encode(text, add_special_tokens=False, split_special_tokens=letters)
        assert ids == theirs.encode(text, add_special_tokens=False, split_special_tokens=letters)
        assert ours.decode(ids) == theirs.decode(ids)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("plain", "without-bos", "spaces")]
)
def test_conversations_are_written_the_same(name: str, tmp_path: Path) -> None:
    ours, theirs = pair(name, tmp_path)
    for prompt in (TALK, TALK[:1], [{"role": "system", "content": "Be brief."}, *TALK]):
        for reply in (True, False):
            wish: Any = {"tokenize": False, "add_generation_prompt": reply}
            try:
                expected = theirs.apply_chat_template(prompt, **wish)
            except TemplateError as error:
                with pytest.raises(TemplateError, match=str(error)):
                    ours.apply_chat_template(prompt, **wish)
            else:
                assert ours.apply_chat_template(prompt, **wish) == expected
    if name != "unsteady":  # no template to train with
        examples = [
            Encoder(tokenizer).example(TALK[:1], "Yes <turn>", row="1")
            for tokenizer in (ours, theirs)
        ]
        assert examples[0] == examples[1]


TEMPLATES = {
    "marks": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}",
    "state": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% if ns.n > 1 %}{% break %}"
    "{% endif %}{{ ns.n }}{% endfor %}{{ ns.n }}{{ dict(a=1)['a'] }}{{ dict.fromkeys('ab', 1) }}",
    "json": "{{ messages | tojson }} {{ {'b': 'ä', 'a': [1]} | tojson(indent=2, sort_keys=true) }}",
    "reason": "{% for m in messages %}{{ m.reasoning_content }}{{ m['thinking'] }}{% endfor %}",
    "lines": "  {% if true %}\n{{ bos_token }}\n  {%- endif %}\n\n{{ pad_token is defined }}{{ tools }}{{ add_generation_prompt }}",
    "date": "{{ strftime_now('%Y') | length }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_have_what_transformers_offers_them(name: str) -> None:
    theirs = chat_tokenizer("llama3")
    talk: list[Any] = [
        {"role": "user", "content": "<é>", "reasoning": "why"},
        {"role": "user", "content": "b"},
    ]
    expected = theirs.apply_chat_template(talk, chat_template=TEMPLATES[name], tokenize=False)
    special = {"bos_token": "<bos>", "eos_token": "<|eot|>", "pad_token": "<pad>"}
    assert render(TEMPLATES[name], talk, special, False) == expected


@pytest.mark.parametrize(
    "attack", ["{% set ns = namespace() %}{% set ns.__class__ = 1 %}", "{{ messages.append(1) }}"]
)
def test_templates_stay_in_their_sandbox(attack: str) -> None:
    with pytest.raises(TemplateError):
        render(attack, [], {}, False)


def test_saved_again_it_is_the_same_everywhere(tmp_path: Path) -> None:
    for name in ("llama3", "plain"):
        ours, theirs = pair(name, tmp_path / name)
        ours.save_pretrained(tmp_path / "again" / name)
        (tmp_path / "again" / name / "config.json").write_text('{"model_type": "llama"}')
        again, own = (
            AutoTokenizer.from_pretrained(tmp_path / "again" / name),
            read_tokenizer(tmp_path / "again" / name, "llama"),
        )
        assert own is not None
        for text in TEXTS:
            assert own.encode(text) == again.encode(text) == theirs.encode(text)
        assert own.chat_template == again.chat_template == theirs.chat_template
        assert again.special_tokens_map == theirs.special_tokens_map


def test_older_directories_name_their_tokens_elsewhere(tmp_path: Path) -> None:
    saved("llama3", tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    moved = {name: config.pop(name) for name in ("bos_token", "eos_token")}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps(moved | {"eos_token": {"content": moved["eos_token"]}})
    )
    ours, theirs = read_tokenizer(tmp_path, "llama"), AutoTokenizer.from_pretrained(tmp_path)
    assert ours is not None
    assert (ours.bos_token_id, ours.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<bos>": ours.bos_token_id}))
    assert read_tokenizer(tmp_path, "llama") is not None
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<new>": len(ours)}))
    assert read_tokenizer(tmp_path, "llama") is None


CHANGES: dict[str, dict[str, Any]] = {
    "a class that builds itself anew": {"tokenizer_class": "LlamaTokenizer"},
    "a space before every text": {"add_prefix_space": True},
    "code of its own": {"auto_map": {"AutoTokenizer": ["a.B", None]}},
    "a token that the file does not have": {"mask_token": "<mask>"},
    "an extra token that the file does not have": {"extra_special_tokens": ["<tool>"]},
    "named extra tokens": {"extra_special_tokens": {"image_token": "<eos>"}},
    "a token of a model": {"image_token": "<eos>"},
    "a token listed otherwise": {
        "added_tokens_decoder": {"0": {"content": "<other>", "special": True}}
    },
    "several templates": {"chat_template": [{"name": "default", "template": "x"}]},
    "a setting of tomorrow": {"split_at_commas": True},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_understood_is_left_to_transformers(change: str, tmp_path: Path) -> None:
    saved("plain", tmp_path)
    assert read_tokenizer(tmp_path, "llama") is not None
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | CHANGES[change]))
    assert read_tokenizer(tmp_path, "llama") is None


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize(
    "named", ["PreTrainedTokenizerFast", "TokenizersBackend", "GPT2Tokenizer", "Qwen2TokenizerFast"]
)
def test_classes_that_take_the_file_as_it_is_and_classes_that_do_not(
    kind: str, named: str, tmp_path: Path
) -> None:
    """Whatever transformers makes of a file under this name, beside this model: the same, or left
    to it."""
    from transformers import GPT2Tokenizer, Qwen2Tokenizer

    words = json.loads(chat_tokenizer("plain").backend_tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in words["merges"]]
    special: Any = dict.fromkeys(("bos_token", "unk_token"), "<bos>") | dict.fromkeys(
        ("eos_token", "pad_token"), "<eos>"
    )
    read = []
    for made in (
        chat_tokenizer("plain"),
        *(cls(words["vocab"], merges, **special) for cls in (GPT2Tokenizer, Qwen2Tokenizer)),
    ):
        folder = tmp_path / type(made).__name__
        made.save_pretrained(folder)
        config = (
            json.loads((folder / "tokenizer_config.json").read_text())
            | special
            | {"tokenizer_class": named}
        )
        config.pop("add_prefix_space", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        ours, theirs = read_tokenizer(folder, kind), AutoTokenizer.from_pretrained(folder)
        read.append(ours is not None)
        for text in TEXTS if ours is not None else []:
            assert ours.encode(text, split_special_tokens=True) == theirs.encode(
                text, split_special_tokens=True
            )
            assert ours.encode(text) == theirs.encode(text)
            assert ours.decode(ours.encode(text)) == theirs.decode(ours.encode(text))
    rebuilt = {"G": [True, True, False], "Q": [False, False, True]}.get(named[0], [True] * 3)
    expected = [False, False, True] if kind == "qwen2" else rebuilt
    assert read == (expected if kind != "mistral" or named[0] in "PT" else [False] * 3)


def test_damaged_and_padding_files_are_left_to_transformers(tmp_path: Path) -> None:
    saved("plain", tmp_path)
    file = tmp_path / "tokenizer.json"
    good = json.loads(file.read_text())
    file.write_text(
        json.dumps(
            good
            | {
                "truncation": {
                    "direction": "Right",
                    "max_length": 8,
                    "strategy": "LongestFirst",
                    "stride": 0,
                }
            }
        )
    )
    assert read_tokenizer(tmp_path, "llama") is None
    file.write_text("{")
    assert read_tokenizer(tmp_path, "llama") is None
    file.write_text(json.dumps(good))
    for damaged in ("[]", "{", "null"):
        (tmp_path / "tokenizer_config.json").write_text(damaged)
        assert read_tokenizer(tmp_path, "llama") is None
    file.unlink()
    assert read_tokenizer(tmp_path, "llama") is None


def test_what_would_change_a_text_is_refused(tmp_path: Path) -> None:
    ours, _ = pair("plain", tmp_path)
    with pytest.raises(ValueError, match="cleaned up"):
        ours.decode([5], clean_up_tokenization_spaces=True)
    with pytest.raises(ValueError, match="no chat template"):
        ours.apply_chat_template([], tokenize=False, add_generation_prompt=True)
    with pytest.raises(ValueError, match="Encoder"):
        ours.apply_chat_template([], tokenize=True, add_generation_prompt=True)
    with pytest.raises(AttributeError, match="no 'image_token'"):
        _ = ours.image_token
