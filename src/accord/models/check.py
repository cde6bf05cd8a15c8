"""Is this model fit for accord? Load it and compare with transformers' own forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from accord.models.loading import load_causal_lm, locate_model, self_check


@dataclass(frozen=True)
class ModelReport:
    """Facts about a model; difference: largest gap (nats) between packed and native log-probabilities."""

    name: str
    kind: str
    parameters: int
    vocabulary: int
    context: int
    tokens: dict[str, str]
    chat: bool
    difference: float

    def lines(self) -> list[str]:
        """For a terminal."""
        special = ", ".join(f"{name} {token}" for name, token in self.tokens.items())
        shared = "; pad is eos, which is fine here: masks come from lengths" if self._pad_is_eos() else ""
        return [
            f"{self.name}: {self.kind}, {self.parameters / 1e6:.1f} M parameters, context {self.context:,} tokens",
            f"  vocabulary {self.vocabulary:,}; {special}{shared}",
            f"  chat template: {'yes' if self.chat else 'no, plain text'}",
            f"  packed and native log-probabilities differ by at most {self.difference:.2g} nats: fit for training",
        ]

    def _pad_is_eos(self) -> bool:
        return self.tokens.get("pad") == self.tokens.get("eos") != "–"


def check_model(reference: str) -> ModelReport:
    """Load and examine a model; raises ConfigError or RunError when it is not usable."""
    model = load_causal_lm(reference, verify=False)
    tokenizer = model.tokenizer
    names = {"bos": tokenizer.bos_token, "eos": tokenizer.eos_token, "pad": tokenizer.pad_token}
    return ModelReport(
        name=locate_model(reference), kind=str(model.hf.config.model_type),
        parameters=sum(p.numel() for p in model.hf.parameters()), vocabulary=model.vocab_size, context=model.context,
        tokens={name: str(token) if token is not None else "–" for name, token in names.items()},
        chat=tokenizer.chat_template is not None, difference=self_check(model),
    )  # fmt: skip
