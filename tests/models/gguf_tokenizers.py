"""Small tokenizers of the families that GGUF knows."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
SPLIT = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}  # fmt: skip
WORDS = (
    "_the _th th he _t er Ann _Ann __ ___ ow own nn An _k _kn".replace("_", SPACE).split()
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:'\n"


def byte_pairs(split: str = "gpt-2") -> PreTrainedTokenizerFast:
    """A byte-level BPE of 261 tokens, with a turn of chat."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: i for i, t in enumerate(["<eos>", "<turn>", "<unk>", *letters, "th", "the"])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e")]))
    raw.pre_tokenizer, raw.decoder = SPLIT[split], decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<turn>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<eos>",
        additional_special_tokens=["<turn>"],
        chat_template="{% for m in messages %}<turn>{{ m.content }}<eos>{% endfor %}",
    )


def pieces(form: str) -> PreTrainedTokenizerFast:
    """SentencePiece's BPE: with a space before a text ("prepend", "first"), without ("gemma"), or
    with merges in an order that no scores give ("order")."""
    bos, eos = ("<bos>", "<eos>") if form == "gemma" else ("<s>", "</s>")
    special = [eos, bos, "<unk>", *(["<pad>", "<mask>"] if form == "gemma" else [])]
    base = [*special, *(f"<0x{i:02X}>" for i in range(256))]
    vocabulary = {
        token: i for i, token in enumerate(dict.fromkeys([*base, *WORDS, *LETTERS, SPACE]))
    }
    merges = generate_merges(vocabulary, {token: -i for token, i in vocabulary.items()})
    if form == "order":
        merges = [*merges[1:], merges[0]]
    raw = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True
        )
    )
    escape = normalizers.Replace(" ", SPACE)
    if form == "first":
        raw.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", split=False)
    elif form == "gemma":
        raw.normalizer = escape
        raw.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    else:
        raw.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), escape])
    ends = [decoders.Strip(" ", 1, 0)] if form != "gemma" else []
    raw.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *ends]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=bos,
        eos_token=eos,
        unk_token="<unk>",
        additional_special_tokens=special,
    )
