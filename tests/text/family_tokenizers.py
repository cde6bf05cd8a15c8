"""Small tokenizers with the real chat templates of model families, which TRL's package holds."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from chat_tokenizers import TEXT
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from accord.text.corpus import train_bpe

CONTROL = re.compile(r"<\|\w+\|?>|<\w+\|>|<｜[^｜]+｜>|<start_of_turn>|<end_of_turn>|\[gMASK\]|<sop>")
EOS = ("<|im_end|>", "<｜end▁of▁sentence｜>", "<|endoftext|>", "<|eot_id|>", "<|END_OF_TURN_TOKEN|>", "<|return|>")
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Tokens of their own, not special, as in Qwen's, GLM's and DeepSeek's tokenizers."""


@cache
def family_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE with a family's template and the control tokens that it writes."""
    trl = pytest.importorskip("trl")
    file = Path(str(trl.__file__)).parent / "chat_templates" / f"{name}.jinja"
    if not file.is_file():
        pytest.skip(f"this TRL has no {file.name}")
    template = file.read_text(encoding="utf-8")
    found = sorted(set(CONTROL.findall(template)))
    eos = next((token for token in EOS if token in found), "<eos>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_bpe(TEXT, 400), bos_token="<bos>", eos_token=eos, pad_token="<pad>",
        additional_special_tokens=[t for t in found if t not in (eos, "<bos>")], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in TAGS if t in template])
    tokenizer.chat_template = template
    return tokenizer
