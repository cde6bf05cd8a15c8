"""A tokenizer read from a Hugging Face directory with the `tokenizers` library alone.

transformers does the same around the same library, but importing it costs more than loading a small
model. What it would do beyond reading `tokenizer.json` (rebuild it for a class, add tokens, patch
expressions) is not guessed at: there `read_tokenizer` gives None and the caller lets transformers
load it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, processors
from tokenizers import Tokenizer as Raw

from accord.text.templates import render

FILE, CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""transformers' classes that take `tokenizer.json` as it is."""
SPECIAL = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
KINDS = ("llama", "mistral", "qwen2", "qwen3")
"""Models whose tokenizers transformers is known to load as is written here."""
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLIT = {
    "type": "Split",
    "pattern": {"Regex": QWEN_WORDS},
    "behavior": "Isolated",
    "invert": False,
}
REBUILT: dict[str, tuple[Any, Any]] = {
    "GPT2Tokenizer": (None, BYTES),
    "Qwen2Tokenizer": (
        {"type": "NFC"},
        {"type": "Sequence", "pretokenizers": [_SPLIT, BYTES | {"use_regex": False}]},
    ),
}
"""(normalizer, pre-tokenizer) of classes that take only words and merges from `tokenizer.json` and
make the rest anew; read here where the file says just that."""
KNOWN = {
    *SPECIAL, "tokenizer_class", "backend", "is_local", "local_files_only", "model_max_length",
    "extra_special_tokens", "additional_special_tokens", "chat_template",
    "clean_up_tokenization_spaces", "added_tokens_decoder", "add_bos_token", "add_eos_token",
    "model_input_names", "padding_side", "truncation_side", "name_or_path",
    "special_tokens_map_file", "processor_class", "legacy", "use_fast", "errors",
    "add_prefix_space",
}  # fmt: skip
"""Settings that are understood, or change nothing in how accord encodes and decodes."""


class FileTokenizer:
    """What `accord.text.encoding` and the models need of a tokenizer, with the names that
    transformers gives it.

    bos_token, eos_token, ...: the special tokens' text, None where there is none; `_id` behind the
    name gives the id.
    folder: where it was read.
    """

    def __init__(
        self, raw: Raw, config: Mapping[str, Any], chat_template: str | None, folder: Path
    ) -> None:
        self.raw, self.chat_template, self.folder = raw, chat_template, folder
        self._config = dict(config)
        self._special = {
            name: _content(config[name]) for name in SPECIAL if config.get(name) is not None
        }
        self._extra = [_content(token) for token in _extra(config)]

    def __len__(self) -> int:
        return int(self.raw.get_vocab_size(with_added_tokens=True))

    def get_vocab(self) -> dict[str, int]:
        """Every token's id, added ones included."""
        return dict(self.raw.get_vocab(with_added_tokens=True))

    def __getattr__(self, name: str) -> Any:
        """The special tokens and their ids."""
        special = name.removesuffix("_id")
        if special not in SPECIAL:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        token = self._special.get(special)
        return token if name == special or token is None else self.raw.token_to_id(token)

    @property
    def all_special_tokens(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys([*self._special.values(), *self._extra]))

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Tokens by id that are found in a text before it is split."""
        return dict(sorted(self.raw.get_added_tokens_decoder().items()))

    def encode(
        self, text: str, *, add_special_tokens: bool = True, split_special_tokens: bool = False
    ) -> list[int]:
        """Ids of a text; `split_special_tokens` takes special tokens spelled in it as letters."""
        if self.raw.encode_special_tokens != split_special_tokens:
            self.raw.encode_special_tokens = split_special_tokens
        return list(self.raw.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(
        self,
        token_ids: Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        """The text. Every space stays: cleaning up is for word pieces, which no model here has."""
        if clean_up_tokenization_spaces:
            raise ValueError("spaces are not cleaned up: that would change what a model wrote")
        return str(self.raw.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def convert_ids_to_tokens(self, token_id: int) -> str | None:
        """The vocabulary's own spelling."""
        return self.raw.id_to_token(token_id)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens' text by name, as chat templates are given it."""
        return dict(self._special)

    def apply_chat_template(
        self,
        conversation: list[dict[str, Any]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        tools: list[dict[str, Any]] | None = None,
        **settings: Any,
    ) -> str:
        """The conversation as text; ids come from `accord.text.encoding`, where foreign text cannot
        end a turn."""
        if tokenize or self.chat_template is None:
            raise ValueError(
                "encode the text with Encoder"
                if tokenize
                else "this tokenizer has no chat template"
            )
        return render(
            self.chat_template, conversation, self._special, add_generation_prompt, tools, settings
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files that were read, for accord and transformers alike."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.raw.encode_special_tokens = False  # not a setting of the file
        self.raw.save(str(folder / FILE))
        (folder / CONFIG).write_text(
            json.dumps(self._config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        if self.chat_template is not None:
            (folder / TEMPLATE).write_text(self.chat_template, encoding="utf-8")


def id_count(tokenizer: Any) -> int:
    """One more than the highest id that `tokenizer` (ours or transformers') has a token for."""
    return 1 + max(int(index) for index in tokenizer.get_vocab().values())


def begin_with_bos(raw: Raw, bos: str | None) -> None:
    """Have `raw` put the token `bos` (if any) before every text, and nothing else, where special
    tokens are asked for: accord begins plain text so itself, other programs leave it to the
    tokenizer."""
    start = [] if bos is None else [bos]
    raw.post_processor = processors.TemplateProcessing(
        single=[*start, "$A"],
        pair=[*start, "$A", "$B"],
        special_tokens=[(token, raw.token_to_id(token)) for token in start],
    )


def write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer, ours or transformers', so that others read plain text with it as accord
    does in training: BOS (where there is one) and the text, nothing behind it.

    With a chat template it stays as it is: BOS is the template's there. So does one that has no
    tokenizer.json.
    """
    tokenizer.save_pretrained(str(folder))
    if tokenizer.chat_template is not None or not (folder / FILE).is_file():
        return
    raw, bos = Raw.from_file(str(folder / FILE)), tokenizer.bos_token
    start = [] if bos is None else [tokenizer.bos_token_id]
    if list(raw.encode("a").ids) != [*start, *raw.encode("a", add_special_tokens=False).ids]:
        begin_with_bos(raw, bos)
        raw.save(str(folder / FILE))
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    wanted = {"add_bos_token": bos is not None, "add_eos_token": False}
    changed = {name: told for name, told in wanted.items() if config.get(name, told) != told}
    if changed:  # they count more than what the file says
        config = json.dumps(config | changed, indent=2, ensure_ascii=False)
        (folder / CONFIG).write_text(config + "\n", encoding="utf-8")


def read_tokenizer(folder: Path, model_kind: str) -> FileTokenizer | None:
    """The tokenizer of a model directory; None where transformers would do more than read its
    files."""
    if not (folder / FILE).is_file() or not (folder / CONFIG).is_file() or model_kind not in KINDS:
        return None
    try:
        config = dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        config |= _legacy(folder / "special_tokens_map.json", config)
        raw, ids = Raw.from_file(str(folder / FILE)), _legacy(folder / "added_tokens.json", config)
    except Exception:  # tokenizers raises bare Exceptions; transformers says better what is wrong
        return None
    template = _template(folder, config)
    plain = set(config) <= KNOWN and not isinstance(template, list | dict)
    if any(raw.token_to_id(token) != index for token, index in ids.items()):
        return None
    if not plain or not _complete(raw, config) or not _as_it_is(raw, config, model_kind):
        return None
    config.pop("chat_template", None)
    return FileTokenizer(raw, config, template, folder)


def _legacy(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Older directories have special and added tokens in files of their own, which count where the
    latter are not listed."""
    if "added_tokens_decoder" in config or not file.is_file():
        return {}
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _template(folder: Path, config: Mapping[str, Any]) -> Any:
    if (folder / "additional_chat_templates").is_dir():
        return {}
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    return config.get("chat_template")


def _complete(raw: Raw, config: Mapping[str, Any]) -> bool:
    """Whether `tokenizer.json` knows every token that the settings name, as they name it."""
    added = raw.get_added_tokens_decoder()
    listed = config.get("added_tokens_decoder") or {}
    named = [config[name] for name in SPECIAL if config.get(name) is not None]
    special = {token.content for token in added.values() if token.special}
    return (
        not isinstance(_extra(config), dict)
        and all(_content(token) in special for token in [*named, *_extra(config)])
        and all(_same(added.get(int(index)), token) for index, token in listed.items())
        and not config.get("add_prefix_space")
        and raw.padding is None
        and raw.truncation is None
        and (not config.get("clean_up_tokenization_spaces") or type(raw.model).__name__ == "BPE")
    )


def _same(own: AddedToken | None, listed: Mapping[str, Any]) -> bool:
    flags = ("content", "lstrip", "rstrip", "normalized", "single_word", "special")
    return own is not None and all(
        getattr(own, flag) == listed.get(flag, getattr(own, flag)) for flag in flags
    )


def _as_it_is(raw: Raw, config: Mapping[str, Any], model_kind: str) -> bool:
    """Whether transformers' class for it gives what the file says."""
    named = config.get("tokenizer_class")
    if not isinstance(named, str):
        return False
    if model_kind == "qwen2":
        named = "Qwen2Tokenizer"  # whatever is named
    elif named in CLASSES:  # of large Mistral tokenizers it repairs an expression
        return model_kind != "mistral" or raw.get_vocab_size() <= 100_000
    parts = REBUILT.get(named.removesuffix("Fast"))
    return parts is not None and model_kind != "mistral" and _is_rebuilt(raw, config, *parts)


def _is_rebuilt(raw: Raw, config: Mapping[str, Any], normalizer: Any, pre_tokenizer: Any) -> bool:
    model = raw.model
    plain = type(model).__name__ == "BPE" and not any(
        getattr(model, name)
        for name in (
            "dropout",
            "unk_token",
            "continuing_subword_prefix",
            "end_of_word_suffix",
            "fuse_unk",
            "byte_fallback",
            "ignore_merges",
        )
    )
    as_built = all(
        name in config for name in ("bos_token", "eos_token", "unk_token", "pad_token")
    )  # defaults differ by class
    components = (
        _described(raw.normalizer),
        _described(raw.pre_tokenizer),
        (_described(raw.decoder) or {}).get("type"),
    )
    return plain and as_built and components == (normalizer, pre_tokenizer, "ByteLevel")


def _described(part: Any) -> Any:
    """A part of a tokenizer as in its file, less what only changes offsets."""
    description = None if part is None else json.loads(part.__getstate__())
    for one in [description or {}, *(description or {}).get("pretokenizers", [])]:
        one.pop("trim_offsets", None)
    return description


def _extra(config: Mapping[str, Any]) -> Any:
    return config.get("extra_special_tokens") or config.get("additional_special_tokens") or []


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, Mapping) else token)
