"""Code that users write, functions and environments: how it is found, and what is told of its
failures, under its own name, file and line."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from accord.errors import AccordError, ConfigError

CALLED_AS = {
    "reward function": "it is called as f(prompts, responses), or as TRL does",
    "judge": "it is called as f(prompt, first, second)",
    "classifier": "it is called as f(texts)",
    "critic": "it is called as f(prompt, response), and gives spans",
    "refiner": "it is called as f(prompt, response, feedback)",
}
"""How a function of each kind is called."""


def load_function(name: str, kind: str) -> Callable[..., Any]:
    """The function of `module:function`; modules in the working directory count. kind: of
    `CALLED_AS`. Raises ConfigError where there is none, or its module fails."""
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ConfigError(
            f"{name!r} names no function", "write module:function, for example rewards:is_polite"
        )
    try:
        function: Any = import_module(module_name)
        for part in function_name.split("."):
            function = getattr(function, part)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"cannot load the {kind} {name!r}: {told(error)}", "check its module and name"
        ) from error
    if not callable(function):
        raise ConfigError(f"{name} is {type(function).__name__}, not a function", CALLED_AS[kind])
    return function  # type: ignore[no-any-return]


def import_module(name: str) -> ModuleType:
    """A user's module; those in the working directory count. Raises what it raises."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


@functools.cache
def _installed_places() -> tuple[Path, ...]:
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    return (*map(Path, [*packages, sysconfig.get_path("stdlib")]), Path(__file__).parent)


def is_installed(file: Path) -> bool:
    """Whether a module's file is Python's own, of an installed package or ours, and so not the
    user's code."""
    return "site-packages" in file.parts or any(
        file.is_relative_to(place) for place in _installed_places()
    )


def defined_at(function: Callable[..., Any]) -> str:
    """Its file and line, in brackets; nothing where it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f" ({code.co_filename} line {code.co_firstlineno})" if code is not None else ""


def told(error: BaseException) -> str:
    """What went wrong, with the last file and line that are the user's."""
    text = error.message if isinstance(error, AccordError) else str(error)
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename} line {error.lineno})"
    return told + _last_place(traceback.extract_tb(error.__traceback__))


def in_user_code(frame: FrameType | None) -> str:
    """The file and line at which a thread is, in brackets: the last that are the user's; where none
    are, the last of all."""
    stack = traceback.extract_stack(frame) if frame is not None else []
    return _last_place(stack) or "".join(_place(one) for one in stack[-1:])


def _last_place(frames: Sequence[traceback.FrameSummary]) -> str:
    """Of the last frame that is the user's; nothing where none is."""
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith("<") and not is_installed(Path(frame.filename))
    ]
    return "".join(_place(one) for one in own[-1:])


def _place(frame: traceback.FrameSummary) -> str:
    return f" ({frame.filename} line {frame.lineno})"
