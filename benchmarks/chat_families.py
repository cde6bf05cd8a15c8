"""Small tokenizers with the real chat templates of a dozen model families, which TRL's package
holds."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

from accord.text.corpus import train_bpe
from accord.text.encoding import Encoder

FAMILIES = (
    "llama3", "llama3_1", "gemma", "gemma3", "phi3_5", "qwen2_5", "qwen3", "qwen3_5_think", "qwen3_instruct_2507", "deepseekv3",
    "deepseek_r1_distill", "glm4moe", "gptoss", "cohere2", "lfm2_v2", "nemotron_3_nano",
)  # fmt: skip
"""The templates that `benchmarks.reading` tries."""
CONTROL = re.compile(
    r"<\|\w+\|?>|<\w+\|>|<｜[^｜]+｜>|<start_of_turn>|<end_of_turn>|\[gMASK\]|<sop>"
)
EOS = (
    "<|im_end|>",
    "<｜end▁of▁sentence｜>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|return|>",
)
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Tokens of their own, not special, as in Qwen's, GLM's and DeepSeek's tokenizers."""
TEXT = [
    "Ann paid 1,234 crowns for it; she didn't like it. What is the capital of France? The capital is Paris.",
    "user assistant system You are a helpful AI assistant named SmolLM, trained by Hugging Face",
] * 3


@cache
def family_tokenizer(name: str) -> Any:
    """A byte-level BPE with a family's template and the control tokens that it writes. Raises
    ImportError without TRL."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        raise ImportError("the chat templates lie in TRL's package: pip install trl")
    template = (Path(spec.origin).parent / "chat_templates" / f"{name}.jinja").read_text(
        encoding="utf-8"
    )
    found = sorted(set(CONTROL.findall(template)))
    eos = next((token for token in EOS if token in found), "<eos>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_bpe(TEXT, 400),
        bos_token="<bos>",
        eos_token=eos,
        pad_token="<pad>",
        additional_special_tokens=[t for t in found if t not in (eos, "<bos>")],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t in TAGS if t in template]
    )
    tokenizer.chat_template = template
    return tokenizer


@cache
def encoder_of(family: str) -> Encoder:
    """The encoder of a family's tokenizer."""
    return Encoder(family_tokenizer(family))
