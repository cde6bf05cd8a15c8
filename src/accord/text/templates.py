"""Chat templates rendered as transformers renders them: the same sandbox, filters and globals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jinja2 import Template

REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names under which templates look for a message's reasoning."""


def render(
    template: str, messages: Sequence[Mapping[str, Any]], special: Mapping[str, str], add_generation_prompt: bool
) -> str:
    """The conversation as text. Raises jinja2's TemplateError where the template refuses it."""
    # Templates are foreign code, so they are given nothing but plain values.
    plain = json.loads(json.dumps(list(messages), default=lambda x: f"<{type(x).__name__}>"))
    found: str = _compiled(template).render(
        messages=[_with_reasoning(message) for message in plain], tools=None, documents=None,
        add_generation_prompt=add_generation_prompt, **special,
    )  # fmt: skip
    return found


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    reasoning = next((message[key] for key in REASONING if message.get(key) is not None), None)
    return message if reasoning is None else {"thinking": reasoning, **message, "reasoning_content": reasoning}


@cache
def _compiled(template: str) -> Template:
    from jinja2 import ext, nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace as Plain

    class Generation(ext.Extension):
        """{% generation %} marks what an assistant wrote; accord finds that out from lengths, so the mark is passed over."""

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
        x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form), "dict": _Dict(),
        "namespace": Namespace,
    }  # fmt: skip
    return environment.from_string(template)


class _Dict:
    """What templates may do with `dict`, and no more."""

    def __call__(self, *given: Any, **named: Any) -> dict[Any, Any]:
        return dict(*given, **named)

    def fromkeys(self, keys: Any, value: Any = None) -> dict[Any, Any]:
        """A dictionary of equal values."""
        return dict.fromkeys(keys, value)
