"""Completion in the shell: recipes, their parameters, and values."""

from __future__ import annotations

from glob import escape, glob
from os.path import isdir
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from accord.errors import AccordError

if TYPE_CHECKING:
    from accord.runs.parameters import Parameter

HEAD = ("seed", "threads", "precision", "device")
"""Settings outside the stages that are offered, beside the parameters."""
_BASH_ADDS = "            COMPREPLY+=($value)\n"
_BASH_WAITS = _BASH_ADDS + "            [[ $value == *= || $value == */ ]] && compopt -o nospace\n"
"""Bash goes on in the same word after `name=` and `folder/`, as zsh and fish do by themselves."""


def script(command: click.Command, shell: str) -> str:
    """The completion script of `command` for `shell`."""
    completion = get_completion_class(shell)
    assert completion is not None
    source = completion(command, {}, "accord", "_ACCORD_COMPLETE").source()
    return source.replace(_BASH_ADDS, _BASH_WAITS)


def complete_recipe(
    context: click.Context, argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Packaged recipes of that beginning, and files."""
    from accord.runs.recipe import packaged

    names = [name for name in packaged() if name.startswith(incomplete)]
    return [CompletionItem(value) for value in [*names, *_paths(incomplete)]]


def complete_override(
    context: click.Context, argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Parameters of the recipe named before it with their help, and what can stand behind their =.

    Bash takes `=` for a word of its own, so that the name is then the word before.
    """
    given = [word for word in context.params.get("overrides") or () if word != "="]
    try:
        known_keys = _known(context.params["recipe"])
    except (AccordError, KeyError):
        return []
    name, equals, value = incomplete.partition("=")
    if equals and name in known_keys:
        return [CompletionItem(f"{name}={one}") for one in _values(known_keys[name], value)]
    if given and given[-1] in known_keys:
        return [CompletionItem(one) for one in _values(known_keys[given[-1]], incomplete)]
    set_already = {word.partition("=")[0] for word in given}
    return [
        CompletionItem(f"{key}=", help=one.help if one is not None else None)
        for key, one in known_keys.items()
        if key.startswith(incomplete) and key not in set_already
    ]


def _known(recipe: str) -> dict[str, Parameter | None]:
    """What can be given: parameters, settings of all recipes, settings of stages."""
    from accord.runs.recipe import parameters_of, stages_of

    stages = stages_of(recipe)
    return {
        **parameters_of(recipe),
        **dict.fromkeys(HEAD),
        **{
            f"{s}.{key}": None
            for s, model in stages.items()
            for key in model.model_fields
            if key != "kind"
        },
    }


def _values(parameter: Parameter | None, begun: str) -> list[str]:
    """What a value that begins so may be."""
    if parameter is None:
        return []
    if parameter.type in ("path", "data"):
        return _paths(begun)
    values = ["true", "false"] if parameter.type == "bool" else parameter.values or []
    return [str(value) for value in values if str(value).startswith(begun)]


def _paths(begun: str) -> list[str]:
    """Files and directories whose path begins so."""
    return sorted(f"{path}/" if isdir(path) else path for path in glob(f"{escape(begun)}*"))
