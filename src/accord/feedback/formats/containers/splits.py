"""Which files of a directory belong together: splits (train, test, ...) are never merged, shards
are.

What a card (README.md) or dataset_infos.json says comes first, then names: train, test, validation,
valid, val, dev, eval and their longer forms, alone or as a part of a file's or folder's name
(`train_sft`, `test-00000-of-00003`, `my_data_test`). Files without such a name are shards of one
data set. Folders above splits are configurations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import yaml

from accord.errors import DataError
from accord.feedback.formats.containers.jsons import small_json

WORDS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "validation": "validation", "valid": "validation",  # noqa: E501
    "val": "validation", "dev": "validation", "eval": "validation", "evaluation": "validation",
}  # fmt: skip
"""Words that make a name that of a split, and what the split is for."""
CARD, INFOS = "README.md", "dataset_infos.json"
_SHARD = re.compile(
    r"([-_.](part|shard|chunk)?[-_.]?\d+([-_.]?of[-_.]?\d+([-_.][0-9a-f]{8,})?)?)+$", re.IGNORECASE
)
_PARTS = re.compile(r"[-_. ]+")
_ABOVE = ("data",)
"""Folders that are no configuration."""
LISTED = 12


@dataclass
class Layout:
    """Files per configuration and split (None: no name of a split), and the configuration to take
    where none is asked; messages: what a card and the files do not have in common."""

    files: dict[str, dict[str | None, list[Path]]] = field(default_factory=dict)
    default: str | None = None
    messages: list[str] = field(default_factory=list)

    def add(self, config: str, split: str | None, file: Path) -> None:
        """One file."""
        self.files.setdefault(config, {}).setdefault(split, []).append(file)


def chosen(
    layout: Layout, named: str, config: str | None, split: str | None, only: bool = False
) -> tuple[list[Path], list[str]]:
    """(the files to read, lines that say what was not). Raises DataError where a choice is the
    user's.

    only: where there is a single split it is taken whatever it is for (its files were named one by
    one).
    """
    name, messages = pick_config(list(layout.files), layout.default, named, config)
    messages = [*(f"{named}: {line}" for line in layout.messages), *messages]
    splits = layout.files[name]
    within = f"{named}, configuration {name}" if name else named
    if None in splits and len(splits) == 1:
        if split is not None:
            raise DataError(
                f"{within} has no split {split!r}: its files name no splits",
                "leave out split, or name a file",
            )
        return splits[None], messages
    if None in splits and split is None:
        raise DataError(
            f"{within} holds {_listed(s for s in splits if s)} beside files of no split"
            f" ({splits[None][0].name}, ...)",
            "say which split, or name the file",
        )
    taken = pick([s for s in splits if s is not None], within, split, only)
    messages += [f"{within}: read the split {taken}"] if len(splits) > 1 else []
    rest = [
        f"{s or 'no split'} ({len(files):,} file{'s' * (len(files) > 1)})"
        for s, files in splits.items()
        if s != taken
    ]
    return splits[taken], messages + (
        [f"{within}: not read: {', '.join(rest[:LISTED])}"] if rest else []
    )


def pick(splits: Sequence[str], named: str, wanted: str | None, only: bool = False) -> str:
    """The split to read: the one asked for, else the single one that is for training."""
    if wanted is not None:
        meant = WORDS.get(wanted)
        same = [s for s in splits if s == wanted] or [
            s for s in splits if meant and role(s) == meant
        ]
        if len(same) != 1:
            raise DataError(
                f"{named} has {'several splits' if same else 'no split'} {wanted!r}; it has"
                f" {_listed(splits)}",
                "say one of these",
            )
        return same[0]
    training = [s for s in splits if role(s) == "train"]
    if len(training) == 1 or (only and len(splits) == 1):
        return training[0] if training else splits[0]
    why = f"{len(training)} splits of training" if training else "no split called train"
    raise DataError(
        f"{named} has {why}: it has {_listed(splits)}",
        "say which, as split: NAME or --split NAME; a list takes several",
    )


def pick_config(
    known: Sequence[str], default: str | None, named: str, wanted: str | None
) -> tuple[str, list[str]]:
    """(the configuration to read: the one asked for, the only one, or the default; lines that say
    what was not read)."""
    if wanted is not None:
        if wanted not in known:
            has = f"it has {_listed(known)}" if list(known) != [""] else "it has none"
            raise DataError(
                f"{named} has no configuration {wanted!r}; {has}",
                "say one of these, or leave out config",
            )
        return wanted, []
    if len(known) == 1:
        return known[0], []
    if default in known:
        rest = [name for name in known if name != default]
        return str(default), [f"{named}: not read: the configurations {_listed(rest)}"]
    raise DataError(
        f"{named} has several configurations: {_listed(name or '(none)' for name in known)}",
        "say which, as config: NAME or --config NAME",
    )


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:LISTED]) + (
        f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    )


# --- what files are -------------------------------------------------------------------------------
def layout_of(folder: Path, files: Sequence[Path]) -> Layout:
    """Configurations and splits of a directory's data files, by its card, else by names."""
    card = read_card(folder)
    declared_layout = _by_card(folder, files, card)
    if declared_layout.files:
        return declared_layout
    named = by_names(folder, files, declared(folder, card))
    named.messages = declared_layout.messages
    return named


def by_names(folder: Path, files: Sequence[Path], names: frozenset[str] = frozenset()) -> Layout:
    """By the names of files and folders; `names`: splits that the data set says it has."""
    named_files = [
        (file, *split_of(PurePosixPath(file.relative_to(folder).as_posix()), names))
        for file in files
    ]
    layout = Layout()
    if all(split is None for _, split, _ in named_files):
        for file, _, _ in named_files:
            layout.add("", None, file)
        return layout
    for file, split, above in named_files:
        layout.add(above, split, file)
    return layout


def split_of(place: PurePosixPath, names: frozenset[str] = frozenset()) -> tuple[str | None, str]:
    """(the split that a file's name, or else its folder's, says; the folders above which say no
    split)."""
    above = [part for part in place.parts[:-1] if part not in _ABOVE]
    if (own := split_in(stem(place), names)) is not None:
        return own, "/".join(part for part in above if split_in(part, names) is None)
    for i in range(len(above) - 1, -1, -1):
        if (own := split_in(above[i], names)) is not None:
            return own, "/".join(above[:i])
    return None, "/".join(above)


def stem(place: PurePath) -> str:
    """A file's name without its ending, nor .gz."""
    return PurePath(place.stem).stem if place.suffix.lower() == ".gz" else place.stem


def split_in(name: str, names: frozenset[str] = frozenset()) -> str | None:
    """The split that a name without ending says, its shard's number taken off; None where it says
    none."""
    bare = _SHARD.sub("", name)
    if name in names or bare in names:
        return name if name in names else bare
    parts = _PARTS.split(bare.lower())
    return (
        bare
        if parts[0] in WORDS
        else next((part for part in reversed(parts) if part in WORDS), None)
    )


def role(split: str) -> str | None:
    """What a split is for: train, test or validation; None where its name does not say."""
    return next((WORDS[part] for part in _PARTS.split(split.lower()) if part in WORDS), None)


# --- what the data set says of itself -------------------------------------------------------------
def read_card(folder: Path) -> Mapping[str, Any]:
    """The settings at the top of the directory's README.md; none where there are none."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8", errors="replace")[: 1 << 20]
    except OSError:
        return {}
    head = re.match(r"\A\ufeff?---\s*\n(.*?)\n---\s*(\n|\Z)", text, re.DOTALL)
    if head is None:
        return {}
    try:
        header = yaml.load(head.group(1), _NoAliases)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(
            f"{folder / CARD}: its settings are not valid YAML"
            f" ({' '.join(str(error).split())[:200]})",
            "repair them",
        ) from None
    return header if isinstance(header, dict) else {}


class _NoAliases(yaml.SafeLoader):
    """A safe loader without aliases: no card needs them, and they can grow beyond all bounds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As yaml.SafeLoader; raises YAMLError for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read here")
        return super().compose_node(parent, index)


def declared(folder: Path, card: Mapping[str, Any]) -> frozenset[str]:
    """Names of splits in the card's `dataset_info` and in dataset_infos.json."""
    infos = card.get("dataset_info")
    sources = [
        *(infos if isinstance(infos, list) else [infos]),
        *_values(small_json(folder / INFOS)),
    ]
    names: set[str] = set()
    for info in sources:
        splits = info.get("splits") if isinstance(info, dict) else None
        split_names = (
            [s.get("name") if isinstance(s, dict) else None for s in splits]
            if isinstance(splits, list)
            else splits or ()
        )
        names |= {name for name in split_names if isinstance(name, str) and name}
    return frozenset(names)


def _values(mapping: Any) -> list[Any]:
    return list(mapping.values()) if isinstance(mapping, dict) else []


def _by_card(folder: Path, files: Sequence[Path], card: Mapping[str, Any]) -> Layout:
    """As the card's `configs` say; without files where it has none that name any which are here."""
    layout, configs = Layout(), card.get("configs")
    for config in configs if isinstance(configs, list) else ():
        if not isinstance(config, dict):
            continue
        name = str(config.get("config_name", "default"))
        for split, patterns in _patterns(config):
            by_pattern = {pattern: _matching(folder, files, pattern) for pattern in patterns}
            for file in files:
                if any(file in matching for matching in by_pattern.values()):
                    layout.add(name, split, file)
            missing = (pattern for pattern, matching in by_pattern.items() if not matching)
            layout.messages += (
                f"{CARD} names {pattern[:200]} ({split}), which is not here" for pattern in missing
            )
        if config.get("default") is True or (name == "default" and layout.default is None):
            layout.default = name
    named = {
        file
        for splits in layout.files.values()
        for of_split in splits.values()
        for file in of_split
    }
    others = [file.relative_to(folder).as_posix() for file in files if file not in named]
    if named and others:
        layout.messages.append(f"not read, as {CARD} does not name them: {_listed(others)}")
    return layout


def _patterns(config: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """(split, patterns of its files) of one configuration; without named splits all is train."""
    data_files = config.get("data_files")
    if data_files is None and isinstance(config.get("data_dir"), str):
        data_files = f"{config['data_dir'].rstrip('/')}/**"
    if isinstance(data_files, dict):
        data_files = [{"split": split, "path": path} for split, path in data_files.items()]
    if isinstance(data_files, list) and all(isinstance(one, dict) for one in data_files):
        return [(str(one.get("split", "train")), _texts(one.get("path"))) for one in data_files]
    return [("train", _texts(data_files))] if data_files is not None else []


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _matching(folder: Path, files: Sequence[Path], pattern: str) -> set[Path]:
    wanted = _pattern(pattern.removeprefix("./"))
    return {file for file in files if wanted.fullmatch(file.relative_to(folder).as_posix())}


def _pattern(text: str) -> re.Pattern[str]:
    """A glob of the Hub: * and ? within a folder, ** through folders."""
    steps = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(
            steps.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*\*|\*|\?)", text)
        )
    )
