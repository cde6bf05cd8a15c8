"""Models named by an address, `https://host/v1#model`, with the keys that belong to them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from accord.errors import ConfigError
from accord.sampling.answer_cache import AnswerCache
from accord.sampling.asking import Asker, AskingSettings
from accord.sampling.endpoint import Endpoint

SHARED_KEY, KEY_OF = "ACCORD_ENDPOINT_KEY", "ACCORD_KEY_"
"""Variables that hold a key: of the only address that is named, and of a host by its name."""


def is_remote(name: str) -> bool:
    """Whether a model is named by an address."""
    return name.startswith(("http://", "https://"))


def host_key(url: str) -> str:
    """The variable with the key of an address's host: ACCORD_KEY_API_OPENAI_COM."""
    return KEY_OF + re.sub(r"\W", "_", urlsplit(url).hostname or "").upper()


def open_endpoints(
    names: Sequence[str], timeout: float = 120.0, environ: Mapping[str, str] = os.environ
) -> list[Endpoint]:
    """One endpoint per name `address#model`. A host gets the key of its own variable, or the shared
    one where all are at one place: a key never goes to somebody else. Raises ConfigError."""
    urls = [name.partition("#")[0] for name in names]
    alone = len({(urlsplit(url).scheme, urlsplit(url).netloc) for url in urls}) == 1
    if not alone and environ.get(SHARED_KEY) and not all(environ.get(host_key(u)) for u in urls):
        raise ConfigError(
            f"{SHARED_KEY} is set, and there are several addresses it could be for",
            f"set one key per host, such as {host_key(urls[0])}",
        )
    found = []
    for name, url in zip(names, urls, strict=True):
        own = host_key(url)
        key_name = own if own in environ or not alone else SHARED_KEY
        model = name.partition("#")[2]
        found.append(Endpoint(url, model, environ.get(key_name, ""), timeout, key_name))
    return found


def open_askers(
    names: Sequence[str], settings: AskingSettings, cache: AnswerCache
) -> dict[str, Asker]:
    """One per name `address#model`, which share cache and budget; none for no names. Raises
    ConfigError."""
    opened = open_endpoints(names, settings.timeout) if names else []
    return {
        name: settings.asker(name, endpoint, cache)
        for name, endpoint in zip(names, opened, strict=True)
    }
