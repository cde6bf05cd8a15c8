"""What comes with the extra `control`: asked for where it is used; nothing else needs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from accord.errors import ConfigError


def needed(module: str, what: str) -> Any:
    """The module, imported. what: it is needed for. Raises ConfigError, which says how to install
    it, where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{what} needs {module.partition('.')[0]}, which cannot be imported: {error}",
            "pip install 'accord[control]'",
        ) from error
