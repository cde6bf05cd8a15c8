"""Models that raters of `accord studio` chat with: on this machine, or behind an OpenAI-compatible
endpoint."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from accord.errors import ConfigError, DataError
from accord.runs import environment
from accord.sampling.addresses import is_remote
from accord.sampling.endpoint import Endpoint, EndpointError
from accord.seeds import derive_seed
from accord.studio.server import from_environment
from accord.studio.tasks.chat import ChatError, Reply

if TYPE_CHECKING:
    from fastapi import FastAPI

CHAT, KEYS = "ACCORD_STUDIO_CHAT", ("ACCORD_CHAT_KEY", "ACCORD_CHAT_KEY_2")
AT_ONCE, PATIENCE = 8, 5.0
"""Turns that a process works on at once, and seconds that one more waits: each holds one of the
server's threads."""


@dataclass(frozen=True)
class ChatSettings:
    """What is asked for on the command line. models: one (two samples are compared) or two (one of
    each)."""

    models: tuple[str, ...]
    max_tokens: int = 512
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if len(self.models) > 2:
            raise ConfigError(
                f"{len(self.models)} models to chat with", "a turn compares two; name one or two"
            )
        if len(set(self.models)) < len(self.models):
            raise ConfigError(
                f"{self.models[0]} is named twice",
                "name it once: then two samples of it are compared",
            )
        if len(self.models) == 1 and self.temperature == 0:
            raise ConfigError(
                "at --chat-temperature 0 both replies would be the same",
                "raise it, or name two models",
            )


class ChatModel(Protocol):
    """Writes one response."""

    def respond(self, messages: Sequence[dict[str, Any]], seed: int) -> Reply: ...


# --- the two kinds --------------------------------------------------------------------------------
class Remote:
    """A model behind an endpoint. `name` is what the records say produced the response."""

    def __init__(self, name: str, endpoint: Endpoint, chat: ChatSettings) -> None:
        self.name, self.endpoint, self.chat = name, endpoint, chat

    def respond(self, messages: Sequence[dict[str, Any]], seed: int) -> Reply:
        """One response. Raises ChatError."""
        try:
            completion = self.endpoint.complete(
                messages, self.chat.max_tokens, self.chat.temperature, seed
            )
        except EndpointError as error:
            raise ChatError("failed", str(error)) from None
        return Reply(completion.text, self.name, completion.finished)


class Local:
    """A model in this process; one response at a time, whichever model it is of."""

    _alone = threading.Lock()

    def __init__(self, name: str, chat: ChatSettings) -> None:
        """Load a directory, a Hub id or accord:NAME. Raises ConfigError for what is no chat
        model."""
        threads = environment.prepare("auto")
        from accord.cli.run import quiet_libraries
        from accord.models.loading import load_causal_lm
        from accord.models.tuning import tune
        from accord.sampling.builtin import BuiltinSampler
        from accord.sampling.rollout import SamplingSettings
        from accord.text.encoding import Encoder

        tune(threads)
        quiet_libraries()
        model = load_causal_lm(name, environment.choose_device("auto"))
        if model.tokenizer.chat_template is None:
            raise ConfigError(
                f"{name} has no chat template, so it cannot hold a conversation",
                "name an instruction-tuned model",
            )
        if chat.max_tokens >= model.context:
            raise ConfigError(
                f"{name} reads {model.context} tokens in all, and {chat.max_tokens} are asked of "
                "every reply",
                "lower --chat-max-tokens",
            )
        self.name, self.room = name, model.context - chat.max_tokens
        self._encoder, self._sampler = Encoder(model.tokenizer), BuiltinSampler(model)
        self._settings = SamplingSettings(chat.max_tokens, chat.temperature)

    def respond(self, messages: Sequence[dict[str, Any]], seed: int) -> Reply:
        """One response. Raises ChatError."""
        try:
            ids = self._encoder.prompt(list(messages))
        except DataError as error:
            raise ChatError("failed", str(error)) from None
        if len(ids) > self.room:
            raise ChatError(
                "too_long",
                f"{len(ids)} tokens of conversation; {self.name} has room for {self.room}",
            )
        with self._alone:
            rollout = self._sampler.sample([ids], self._settings, [seed])
        text = self._encoder.text(rollout.responses[0])
        if not text.strip():
            raise ChatError("failed", f"{self.name} answered with nothing")
        return Reply(text, self.name, rollout.finished[0])


class Models:
    """What the studio talks to: one model twice, or two models once each."""

    def __init__(self, models: Sequence[ChatModel]) -> None:
        self.models = list(models)
        self._places = threading.Semaphore(AT_ONCE)

    def reply(self, messages: Sequence[dict[str, Any]], count: int, seed: int) -> list[Reply]:
        """See `ChatSampler.reply`; responses are asked for side by side."""
        with self._place(), ThreadPoolExecutor(count) as pool:
            futures = [
                pool.submit(
                    self.models[n % len(self.models)].respond,
                    messages,
                    derive_seed(seed, "response", n) % 2**31,
                )
                for n in range(count)
            ]
            return [one.result() for one in futures]

    @contextmanager
    def _place(self) -> Any:
        if not self._places.acquire(timeout=PATIENCE):
            raise ChatError("busy", f"{AT_ONCE} turns are under way in this process")
        try:
            yield
        finally:
            self._places.release()


# --- from the command line to the application -----------------------------------------------------
def open_models(chat: ChatSettings) -> Models:
    """Load or address the models. Raises ConfigError, with what to do."""
    return Models([_open(name, number, chat) for number, name in enumerate(chat.models)])


def _open(name: str, number: int, chat: ChatSettings) -> ChatModel:
    if not is_remote(name):
        return Local(name, chat)
    url, _, model = name.partition("#")
    return Remote(name, Endpoint(url, model, _key(url, number, chat), key_name=KEYS[number]), chat)


def _key(url: str, number: int, chat: ChatSettings) -> str:
    """The key of the endpoint: of its own, or the first one's where both are at one address."""
    key = os.environ.get(KEYS[number], "")
    shared = number == 1 and _origin(url) == _origin(chat.models[0])
    return key or (os.environ.get(KEYS[0], "") if shared else "")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def application(chat: ChatSettings | None, workers: int) -> str | Callable[[], FastAPI] | None:
    """What `serve` should run; None for a studio without chat. Models load here, so that mistakes
    come before serving.

    Raises ConfigError: several processes would each hold a local model, and their answers would
    depend on which is asked.
    """
    if chat is None:
        return None
    local = [name for name in chat.models if not is_remote(name)]
    if workers == 1:
        models = open_models(chat)
        return lambda: from_environment(models)
    if local:
        raise ConfigError(
            f"each of the {workers} workers would load {local[0]} for itself",
            "use --workers 1, or serve the model (for example: vllm serve MODEL) and give "
            "--chat-model its address",
        )
    open_models(chat)
    os.environ[CHAT] = json.dumps(asdict(chat))
    return "accord.cli.studio_chat:in_worker"


def in_worker() -> FastAPI:
    """The application of a worker process, with what `application` left in the environment."""
    settings = json.loads(os.environ[CHAT])
    return from_environment(
        open_models(
            ChatSettings(tuple(settings["models"]), settings["max_tokens"], settings["temperature"])
        )
    )
