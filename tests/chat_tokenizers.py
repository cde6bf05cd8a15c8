"""Real fast tokenizers with the chat templates of the model families, trained in a moment."""

from __future__ import annotations

from functools import cache

from benchmarks.chat_families import TEXT
from transformers import PreTrainedTokenizerFast

from accord.text.corpus import train_bpe

CHATML = (  # SmolLM2-Instruct's own
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (  # writes the BOS itself, and trims
    "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m['role'] + '<|end|>\n\n' + m['content'] | trim + "
    "'<|eot|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
)
GEMMA = (  # ends a turn by another token than EOS
    "{{ bos_token }}{% for m in messages %}{{ '<turn>' + m['role'] + '\n' + m['content'] | trim + '</turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<turn>assistant\n' }}{% endif %}"
)
LLAMA2 = (  # refuses roles out of order; a space before EOS
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
UNSTEADY = (  # the prompt changes once a reply follows
    "{{ messages | length }}{% for m in messages %}{{ m['role'] + ':' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


@cache
def chat_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE with the special tokens and the template of `name`; "plain" has no
    template."""
    template, bos, eos, pad, extra = {
        "chatml": (
            CHATML,
            "<|im_start|>",
            "<|im_end|>",
            "<|im_end|>",
            [],
        ),  # pad = eos, as in the real one
        "llama3": (LLAMA3, "<bos>", "<|eot|>", "<pad>", ["<|start|>", "<|end|>"]),
        "gemma": (GEMMA, "<bos>", "<eos>", "<pad>", ["<turn>", "</turn>"]),
        "llama2": (LLAMA2, "<bos>", "<eos>", "<eos>", []),
        "unsteady": (UNSTEADY, None, "<eos>", "<eos>", []),
        "plain": (None, "<bos>", "<eos>", "<pad>", []),
        "without-bos": (None, None, "<eos>", "<eos>", []),
    }[name]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_bpe(TEXT, 380),
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        additional_special_tokens=extra,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    return tokenizer


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """A tokenizer that begins every text with a space, as Llama 2's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    raw.decoder = decoders.Metaspace(prepend_scheme="first")
    special = ["<bos>", "<eos>", "<unk>"]
    letters = [chr(c) for c in range(33, 127)]
    raw.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=200, special_tokens=special, initial_alphabet=letters, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
