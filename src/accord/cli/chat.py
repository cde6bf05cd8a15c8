"""`accord chat`: a conversation in the terminal, tokens shown as they come."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from accord.cli.terminal import safe_text
from accord.runs import environment
from accord.seeds import derive_seed


def converse(
    models: Sequence[tuple[str, float]],
    temperature: float,
    max_new_tokens: int,
    system: str | None,
    seed: int,
) -> None:
    """Read lines, stream replies. Chat models keep the conversation; plain models continue each
    line. models: what is talked to, and what it counts where several are mixed."""
    threads = environment.prepare("auto")
    from accord.cli.run import quiet_libraries
    from accord.models.loading import load_causal_lm
    from accord.models.soup import LogitSoup
    from accord.models.tuning import tune
    from accord.sampling.builtin import BuiltinSampler
    from accord.sampling.rollout import SamplingSettings
    from accord.text.encoding import Encoder

    tune(threads)
    quiet_libraries()
    loaded = [load_causal_lm(name) for name, _ in models]
    model = loaded[0] if len(loaded) == 1 else LogitSoup(loaded, [weight for _, weight in models])
    encoder, sampler = Encoder(model.tokenizer), BuiltinSampler(model)
    chatty = model.tokenizer.chat_template is not None
    messages: list[dict[str, str]] = (
        [{"role": "system", "content": system}] if system and chatty else []
    )
    settings = SamplingSettings(max_new_tokens, temperature)
    turn = 0
    while line := _ask(chatty):
        prompt: Any = [*messages, {"role": "user", "content": line}] if chatty else line
        stream = _Stream(encoder)
        sampler.sample(
            [encoder.prompt(prompt)], settings, [derive_seed(seed, "turn", turn)], on_token=stream
        )
        click.echo(stream.rest())
        if chatty:
            messages = [*prompt, {"role": "assistant", "content": stream.text}]
        turn += 1


def _ask(chatty: bool) -> str:
    try:
        return input(
            "you: " if chatty and sys.stdin.isatty() else "> " if sys.stdin.isatty() else ""
        ).strip()
    except EOFError:
        return ""


class _Stream:
    """Prints text as soon as whole characters are there (a character may span several tokens)."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.shown, self.text = encoder, 0, ""
        self.tokens: list[int] = []

    def __call__(self, _: int, token: int) -> None:
        self.tokens.append(token)
        self.text = self.encoder.text(self.tokens)
        if not self.text.endswith("\ufffd"):
            click.echo(safe_text(self.text[self.shown :]), nl=False)
            sys.stdout.flush()
            self.shown = len(self.text)

    def rest(self) -> str:
        """What could not be shown as a whole character."""
        return safe_text(self.text[self.shown :])
