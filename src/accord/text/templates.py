"""Chat templates rendered as transformers renders them: the same sandbox, filters and globals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from accord.errors import ConfigError

if TYPE_CHECKING:
    from jinja2 import Environment, Template

REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names under which templates look for a message's reasoning."""

PACKAGED = "accord:"

GIVEN = {"messages", "tools", "documents", "add_generation_prompt"}
"""What every template is given; the rest are special tokens and settings."""


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    special: Mapping[str, Any],
    add_generation_prompt: bool,
    tools: Sequence[Mapping[str, Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """The conversation as text. `settings`: of the template (enable_thinking, documents, ...),
    which win over special tokens.

    A field that is None is left out, as most templates expect. Raises jinja2's TemplateError where
    the template refuses the messages.
    """
    given = [
        {name: plain(value) for name, value in message.items() if value is not None}
        for message in messages
    ]
    text: str = _compiled(template).render(
        {
            **special,
            "documents": None,
            **plain(dict(settings or {})),
            "messages": [_with_reasoning(m) for m in given],
            "tools": plain(tools),
            "add_generation_prompt": add_generation_prompt,
        }
    )
    return text


@cache
def settings_of(template: str) -> frozenset[str]:
    """The names that a template asks for."""
    from jinja2 import meta

    environment = _environment()
    return frozenset(meta.find_undeclared_variables(environment.parse(template)))


def choose(templates: Any, tools: bool) -> str | None:
    """The template to use: a tokenizer may have several, by name, as transformers chooses among
    them."""
    if not isinstance(templates, Mapping):
        return None if templates is None else str(templates)
    name = "tool_use" if tools and "tool_use" in templates else "default"
    return str(templates[name]) if name in templates else None


def read_template(given: str) -> str:
    """A chat template written out, one of accord's own (`accord:plain`), or in a file (a .jinja
    file, or any name without braces). Raises ConfigError."""
    if "{" in given:
        return given
    try:
        if given.startswith(PACKAGED):
            return _packaged(given.removeprefix(PACKAGED))
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"chat_template: {given!r} cannot be read ({error})",
            "name a file, or write the template itself",
        ) from error


def _packaged(name: str) -> str:
    folder = resources.files("accord.text") / "chat_templates"
    known = {file.name.removesuffix(".jinja"): file for file in folder.iterdir()}
    if name not in known:
        raise ConfigError(
            f"there is no packaged chat template {name!r}",
            f"use one of: {', '.join(PACKAGED + one for one in sorted(known))}",
        )
    return known[name].read_text(encoding="utf-8")


def plain(value: Any) -> Any:
    """A copy made of plain values alone: templates are foreign code, and are given nothing else."""
    if type(value) in (str, int, float, bool, type(None)):
        return value
    if type(value) is list:
        return [plain(one) for one in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: plain(one) for key, one in value.items()}
    return json.loads(json.dumps(value, default=lambda x: f"<{type(x).__name__}>"))


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    reasoning = next((message[key] for key in REASONING if message.get(key) is not None), None)
    return (
        message
        if reasoning is None
        else {"thinking": reasoning, **message, "reasoning_content": reasoning}
    )


@cache
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


@cache
def _environment() -> Environment:
    from jinja2 import ext, nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace as Plain

    class Generation(ext.Extension):
        """{% generation %} marks what an assistant wrote; accord finds that out from lengths, so
        the mark is passed over."""

        tags = {"generation"}  # noqa: RUF012 (jinja2's own form)

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class Namespace(Plain):
        def __setitem__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                raise SecurityError(f"a chat template may not store {name!r} in a namespace")
            super().__setitem__(name, value)

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    def tojson(
        x: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "dict": _Dict(),
        "namespace": Namespace,
    }
    return environment


class _Dict:
    """What templates may do with `dict`, and no more."""

    def __call__(self, *given: Any, **named: Any) -> dict[Any, Any]:
        return dict(*given, **named)

    def fromkeys(self, keys: Any, value: Any = None) -> dict[Any, Any]:
        """A dictionary of equal values."""
        return dict.fromkeys(keys, value)
