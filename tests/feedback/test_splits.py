"""Directories of splits are never merged, shards are; what was not read is said; shares of lists
hold."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import DataError
from accord.feedback.formats import check_file, read_feedback
from accord.feedback.formats.containers.splits import WORDS, role, split_of
from accord.feedback.formats.reading import RowsRead, mixed, read_rows
from accord.feedback.formats.source import DataSource


def made(folder: Path, *names: str, rows: int = 1) -> Path:
    """Files whose rows say from which file they are."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        told = [{"prompt": f"{name} {i}", "response": "a"} for i in range(rows)]
        if path.suffix == ".parquet":
            from pyarrow import parquet

            parquet.write_table(pa.Table.from_pylist(told), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return folder


def files_of(read: RowsRead) -> list[str]:
    return list(dict.fromkeys(row["prompt"].rpartition(" ")[0] for _, row in read.rows))


SHARDS = [
    ["a.jsonl", "b.jsonl"], ["part-00000-of-00002.parquet", "part-00001-of-00002.parquet"], ["2023/x.jsonl", "2024/x.jsonl"],
    ["latest.jsonl", "contest.jsonl", "trained.jsonl", "evaluator.jsonl"], ["data-00000-of-00001.parquet", "more/deep/c.jsonl"],
]  # fmt: skip


@pytest.mark.parametrize("names", SHARDS)
def test_shards_are_one_set(tmp_path: Path, names: list[str]) -> None:
    folder = made(tmp_path, *names)
    read = read_rows(folder)
    assert (set(files_of(read)), read.messages) == (set(names), [])
    assert files_of(read_rows(f"{folder}/**/*.*")) == files_of(read)
    with pytest.raises(DataError, match="has no split 'train'"):
        read_rows(DataSource(path=str(folder), split="train"))


@pytest.mark.parametrize(
    ("names", "train", "rest"),
    [
        (["train.jsonl", "test.jsonl"], ["train.jsonl"], "test (1 file)"),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "validation-00000-of-00001.parquet"], ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], "validation (1 file)"),
        (["data/train-00000-of-00001-b42a775f407cee45.parquet", "data/test-00000-of-00001-0123456789abcdef.parquet"], ["data/train-00000-of-00001-b42a775f407cee45.parquet"], "test (1 file)"),
        (["my_data_train.jsonl", "my_data_test.jsonl"], ["my_data_train.jsonl"], "test (1 file)"),
        (["my_train_data.jsonl", "my_dev_data.jsonl"], ["my_train_data.jsonl"], "dev (1 file)"),
        (["train_1.jsonl", "train_2.jsonl", "eval.jsonl"], ["train_1.jsonl", "train_2.jsonl"], "eval (1 file)"),
        (["train_sft.jsonl", "test_sft.jsonl", "valid.jsonl"], ["train_sft.jsonl"], "test_sft (1 file), valid (1 file)"),
        (["train/a.jsonl", "train/b.jsonl", "dev/a.jsonl"], ["train/a.jsonl", "train/b.jsonl"], "dev (1 file)"),
        (["Train.JSONL", "TEST.jsonl"], ["Train.JSONL"], "TEST (1 file)"),
    ],
)  # fmt: skip
def test_the_one_split_of_training_is_read_and_the_others_are_said(
    tmp_path: Path, names: list[str], train: list[str], rest: str
) -> None:
    folder = made(tmp_path, *names)
    read = read_rows(folder)
    assert files_of(read) == train
    assert read.messages[-1] == f"{folder}: not read: {rest}"
    assert set(files_of(read_rows(f"{folder}/**/*"))) == set(train)
    other = rest.split(" (")[0]
    assert not {*files_of(read_rows(DataSource(path=str(folder), split=other)))} & {*train}
    assert any(line.endswith(f"not read: {rest}") for line in check_file(folder).lines())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train_sft.jsonl", "train_prefs.jsonl", "test_prefs.jsonl"], "2 splits of training: it has test_prefs, train_prefs, train_sft"),
        (["validation.jsonl", "test.jsonl"], "no split called train: it has test, validation"),
        (["test.jsonl"], "no split called train: it has test"),
        (["train.jsonl", "test.jsonl", "more.jsonl"], "holds test, train beside files of no split (more.jsonl, ...)"),
        (["helpful/train.jsonl", "harmless/train.jsonl", "harmless/test.jsonl"], "several configurations: harmless, helpful"),
    ],
)  # fmt: skip
def test_where_the_choice_is_the_users_it_is_listed(
    tmp_path: Path, names: list[str], words: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_rows(made(tmp_path, *names))
    assert words in caught.value.message
    assert "--" in str(caught.value) or "name the file" in str(caught.value)


def test_a_split_is_asked_for_by_its_name_or_its_role(tmp_path: Path) -> None:
    folder = made(tmp_path, "train_sft.jsonl", "train_prefs.jsonl", "dev.jsonl")

    def get(split: str) -> list[str]:
        return files_of(read_rows(DataSource(path=str(folder), split=split)))

    assert get("train_prefs") == ["train_prefs.jsonl"]
    assert get("dev") == get("validation") == ["dev.jsonl"]
    with pytest.raises(DataError, match="several splits 'train'"):
        get("train")
    with pytest.raises(DataError, match="no split 'tset'"):
        get("tset")
    assert files_of(read_rows(f"{folder}/d*.jsonl")) == ["dev.jsonl"]
    assert set(
        files_of(read_rows([f"{folder}/train_sft.jsonl", f"{folder}/train_prefs.jsonl"]))
    ) == {"train_sft.jsonl", "train_prefs.jsonl"}


def test_configurations_are_folders(tmp_path: Path) -> None:
    folder = made(tmp_path, "helpful/train.jsonl", "harmless/train.jsonl", "harmless/test.jsonl")
    read = read_rows(DataSource(path=str(folder), config="harmless", split="test"))
    assert files_of(read) == ["harmless/test.jsonl"]
    with pytest.raises(DataError, match="no configuration 'x'; it has harmless, helpful"):
        read_rows(DataSource(path=str(folder), config="x"))


CARD = """---
configs:
- config_name: pairs
  default: true
  data_files:
  - split: fit
    path: "one/*.jsonl"
  - split: train
    path: [two/a.jsonl, two/b.jsonl, 'two/?.jsonl', two/gone.jsonl]
- config_name: other
  data_files: "three/**"
---
# A data set
"""


def test_what_the_card_says_comes_first(tmp_path: Path) -> None:
    folder = made(
        tmp_path,
        "one/x.jsonl",
        "one/deeper/x.jsonl",
        "two/a.jsonl",
        "two/b.jsonl",
        "three/test/z.jsonl",
    )
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    read = read_rows(folder)
    assert files_of(read) == ["two/a.jsonl", "two/b.jsonl"]
    assert read.messages == [
        f"{folder}: README.md names two/gone.jsonl (train), which is not here",
        f"{folder}: not read, as README.md does not name them: one/deeper/x.jsonl",
        f"{folder}: not read: the configurations other",
        f"{folder}, configuration pairs: read the split train",
        f"{folder}, configuration pairs: not read: fit (1 file)",
    ]
    assert files_of(read_rows(DataSource(path=str(folder), split="fit"))) == ["one/x.jsonl"]
    assert files_of(read_rows(DataSource(path=str(folder), config="other"))) == [
        "three/test/z.jsonl"
    ]


def test_a_card_whose_files_are_all_missing_is_told_and_names_decide(tmp_path: Path) -> None:
    folder = made(tmp_path, "train.jsonl", "test.jsonl")
    (folder / "README.md").write_text(
        "---\nconfigs: [{data_files: 'data/*.parquet'}]\n---\n", encoding="utf-8"
    )
    read = read_rows(folder)
    assert files_of(read) == ["train.jsonl"]
    assert (
        read.messages[0] == f"{folder}: README.md names data/*.parquet (train), which is not here"
    )


def test_splits_are_told_by_the_infos_of_a_data_set(tmp_path: Path) -> None:
    folder = made(tmp_path, "prefs-00000-of-00001.parquet", "holdout.jsonl")
    (folder / "dataset_infos.json").write_text(
        '{"default": {"splits": {"prefs": {}, "holdout": {}}}}', encoding="utf-8"
    )
    with pytest.raises(DataError, match="no split called train: it has holdout, prefs"):
        read_rows(folder)
    assert files_of(read_rows(DataSource(path=str(folder), split="prefs"))) == [
        "prefs-00000-of-00001.parquet"
    ]


@pytest.mark.parametrize("card", ["---\nconfigs: [a\n---\n", "---\na: &a [1]\nb: *a\n---\n"])
def test_a_card_that_cannot_be_read_is_refused(tmp_path: Path, card: str) -> None:
    (made(tmp_path, "a.jsonl") / "README.md").write_text(card, encoding="utf-8")
    with pytest.raises(DataError, match="its settings are not valid YAML"):
        read_rows(tmp_path)


@given(
    parts=st.lists(st.sampled_from(["my", "data", "prefs", "v2", *WORDS]), min_size=1, max_size=3),
    between=st.sampled_from("-_."), shard=st.sampled_from(["", "-00001-of-00003", "_2", "-part1"]), folder=st.booleans(),
)  # fmt: skip
def test_a_name_is_a_split_if_a_part_of_it_is(
    parts: list[str], between: str, shard: str, folder: bool
) -> None:
    name = between.join(parts)
    place = PurePosixPath(f"{name}/part{shard}.jsonl" if folder else f"{name}{shard}.jsonl.gz")
    split, _ = split_of(place)
    assert (split is not None) == any(part in WORDS for part in parts)
    if split is not None:
        assert role(split) in {WORDS.get(part) for part in parts}


# --- what `datasets` writes -----------------------------------------------------------------------
def test_what_save_to_disk_wrote_is_read_without_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [{"prompt": f"p{i}", "chosen": "x", "rejected": "y", "n": i} for i in range(5)]
    one = datasets.Dataset.from_list(rows)
    one.save_to_disk(str(tmp_path / "one"), num_shards=2)
    datasets.DatasetDict({"train": one, "test": one.select([0])}).save_to_disk(
        str(tmp_path / "two")
    )
    one.select([3, 1]).save_to_disk(str(tmp_path / "chosen"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert [row for _, row in read_rows(tmp_path / "one").rows] == rows
    both = read_rows(tmp_path / "two")
    assert [row for _, row in both.rows] == rows
    assert both.messages == [
        f"{tmp_path / 'two'}: read the split train",
        f"{tmp_path / 'two'}: not read: test (1 file)",
    ]
    assert len(read_rows(DataSource(path=str(tmp_path / "two"), split="test")).rows) == 1
    assert [row["n"] for _, row in read_rows(tmp_path / "chosen").rows] == [3, 1]
    (arrow,) = (tmp_path / "two" / "test").glob("*.arrow")
    assert len(read_rows(arrow).rows) == 1
    arrow.unlink()
    with pytest.raises(DataError, match=r"is missing, which state\.json names"):
        read_rows(DataSource(path=str(tmp_path / "two"), split="test"))


@pytest.mark.parametrize(
    ("file", "content"),
    [("dataset_dict.json", '{"splits": ["../x"]}'), ("dataset_dict.json", "[]"), ("state.json", '{"_data_files": 3}'), ("state.json", "{")],
)  # fmt: skip
def test_a_saved_data_set_that_is_none_is_refused(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match="save the data set again"):
        read_rows(tmp_path)


# --- the Hub --------------------------------------------------------------------------------------
class Hub(ModuleType):
    """A stand-in for `datasets`: owner/name with configurations and splits."""

    def __init__(self, held: dict[str, dict[str, int]], default: str | None = None) -> None:
        super().__init__("datasets")
        self.held, self.default, self.asked = held, default, {}  # type: ignore[var-annotated]

    def get_dataset_config_names(self, name: str, revision: str | None = None) -> list[str]:
        return list(self.held)

    def get_dataset_default_config_name(self, name: str, revision: str | None = None) -> str | None:
        return self.default

    def get_dataset_split_names(
        self, name: str, config_name: str, revision: str | None = None
    ) -> list[str]:
        return list(self.held[config_name])

    def load_dataset(self, name: str, config: str, **asked: Any) -> Any:
        self.asked = {"config": config, **asked}
        return (
            {"prompt": f"p{i}", "response": "a"} for i in range(self.held[config][asked["split"]])
        )


def hub(
    monkeypatch: pytest.MonkeyPatch, held: dict[str, dict[str, int]], default: str | None = None
) -> Hub:
    made = Hub(held, default)
    monkeypatch.setitem(sys.modules, "datasets", made)
    return made


def test_a_hub_id_takes_split_config_revision_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = hub(
        monkeypatch,
        {"main": {"train": 5, "test": 2}, "other": {"train_sft": 1, "train_gen": 1}},
        "main",
    )
    read = read_rows("owner/name")
    assert len(read.rows) == 5
    assert read.messages == [
        "owner/name: not read: the configurations other",
        "owner/name: read the split train; not read: test",
    ]
    spec = DataSource(
        path="owner/name",
        config="other",
        split="train_gen",
        revision="abc",
        streaming=True,
        limit=1,
    )
    assert [where for where, _ in read_rows(spec).rows] == ["owner/name row 1"]
    assert stand_in.asked == {
        "config": "other",
        "split": "train_gen",
        "revision": "abc",
        "streaming": True,
    }
    for wrong, words in (
        ({"config": "other"}, "2 splits of training: it has train_sft, train_gen"),
        ({"config": "x"}, "no configuration 'x'; it has main, other"),
        ({"split": "dev"}, "no split 'dev'; it has train, test"),
    ):
        with pytest.raises(DataError, match=words):
            read_rows(DataSource(path="owner/name", **wrong))  # type: ignore[arg-type]
    hub(monkeypatch, {"a": {"train": 1}, "b": {"train": 1}})
    with pytest.raises(DataError, match="several configurations: a, b"):
        read_rows("owner/name")


@pytest.mark.slow
def test_the_calls_of_the_hub_are_those_of_the_library(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    from accord.feedback.formats.containers.hub import hub_rows
    from accord.feedback.formats.containers.notes import Notes

    folder, notes = (
        made(tmp_path, "train.jsonl", "test.jsonl"),
        Notes(),
    )  # the library takes a folder for a Hub id
    found = list(hub_rows(DataSource(path=str(folder), streaming=True), notes))
    assert [row["prompt"] for _, row in found] == ["train.jsonl 0"]
    assert notes.messages == [f"{folder}: read the split train; not read: test"]
    with pytest.raises(DataError, match="no split 'dev'; it has train, test"):
        list(hub_rows(DataSource(path=str(folder), split="dev"), notes))


def test_what_stands_in_the_way_of_the_hub_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    hub(monkeypatch, {"main": {"train": 1}}).get_dataset_config_names = _fails  # type: ignore[method-assign]
    with pytest.raises(DataError, match="cannot load 'owner/name' from the Hub: no such data set"):
        read_rows("owner/name")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="needs datasets"):
        read_rows("owner/name")
    for name in (
        "owner/name.jsonl",
        "owner/name.csv.gz",
        "a/b.PARQUET",
        "a/b.xlsx",
        "name",
        "a/b/c",
    ):
        with pytest.raises(DataError, match=f"there is no file {name}"):
            read_rows(name)


def _fails(name: str, revision: str | None = None) -> list[str]:
    raise ConnectionError("no such data set\nand more")


# --- files, globs, lists --------------------------------------------------------------------------
def test_files_about_data_are_no_data(tmp_path: Path) -> None:
    folder = made(tmp_path, "a.jsonl", "sub/b.jsonl", ".hidden/c.jsonl")
    for name in (
        "a.card.json",
        "a.about.jsonl",
        "README.md",
        "dataset_infos.json",
        "notes.pdf",
        "b.txt",
    ):
        (folder / name).write_text("{}" if name.endswith("json") else "x")
    read = read_rows(folder)
    assert (files_of(read), [where for where, _ in read.rows]) == (
        ["a.jsonl", "sub/b.jsonl"],
        ["a.jsonl line 1", "sub/b.jsonl line 1"],
    )
    assert read.messages == ["not read, as it is not data: b.txt, notes.pdf"]
    assert files_of(read_rows(f"{folder}/s*/*")) == ["sub/b.jsonl"]
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="is a model's directory"):
        read_rows(folder)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "{}/a.jsonl", "split": "train"}, "a.jsonl is one file"),
        ({"path": "{}/a.jsonl", "revision": "main"}, "it has no revision"),
        ({"path": "{}", "revision": "main"}, "it has no revision"),
        ({"path": "{}/b*.jsonl"}, "no data file matches"),
        ({"path": "{}/a\0.jsonl"}, "there is no file"),
        ({"path": "{}/" + "a" * 5000}, "cannot be looked for"),
        ({"path": "{}/a.jsonl", "columns": {"meta.x": "nothing"}}, "no row has 'nothing'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_source_are_refused(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    from accord.errors import AccordError

    made(tmp_path, "a.jsonl")
    with pytest.raises(AccordError, match=words):
        read_rows(DataSource(**{**given, "path": given["path"].format(tmp_path)}))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_lists_are_mixed_evenly_and_in_order(lengths: list[int]) -> None:
    lists = [[(k, i) for i in range(n)] for k, n in enumerate(lengths)]
    found = mixed(lists)
    for k, one in enumerate(lists):
        assert [item for item in found if item[0] == k] == one
        for part in range(0, len(found), 7):  # nowhere far from its share
            here = sum(item[0] == k for item in found[:part])
            assert abs(here - part * len(one) / len(found)) <= len(lists)


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=4), data=st.data())
def test_shares_hold(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("shares")
    weights = [data.draw(st.sampled_from([1, 2, 5])) for _ in counts]
    free = data.draw(st.booleans())  # the first has no share
    told = [None if free and i == 0 else w / sum(weights) for i, w in enumerate(weights)]
    for i, n in enumerate(counts):
        made(folder, f"{i}.jsonl", rows=n)
    spec = [
        DataSource(path=str(folder / f"{i}.jsonl"), share=share) for i, share in enumerate(told)
    ]
    shared = sum(share for share in told if share is not None)
    if free and any(
        share and round(share * counts[0] / (1 - shared)) > n
        for share, n in zip(told, counts, strict=True)
    ):
        with pytest.raises(DataError, match="its share of"):
            read_rows(spec)
        return
    read = read_rows(spec)
    for i, share in enumerate(told):
        taken = [row["prompt"] for _, row in read.rows if row["prompt"].startswith(f"{i}.jsonl ")]
        assert len(set(taken)) == len(taken)
        assert abs(len(taken) - (weights[i] / sum(weights)) * len(read.rows)) <= len(counts)
        if share is None:
            assert len(taken) == counts[i]


def test_sources_of_several_formats_are_read_each_as_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "q,chosen,rejected\n" + "".join(f"p{i},good {i},bad {i}\n" for i in range(4))
    )
    (tmp_path / "b.jsonl").write_text('{"prompt": "p", "response": "a"}\n' * 2)
    got = read_feedback(
        [{"path": str(tmp_path / "a.csv"), "columns": {"prompt": "q"}}, tmp_path / "b.jsonl"]
    )  # type: ignore[list-item]
    assert [record.kind for record in got.records] == [
        "comparison",
        "demonstration",
        "comparison",
        "comparison",
        "demonstration",
        "comparison",
    ]
    assert (got.rows, got.shape) == (6, "TRL preference and prompt-response")


def test_the_nearest_folder_that_says_a_split_gives_it() -> None:
    for place, expected in (
        ("train/part.jsonl", ("train", "")),
        ("train/x/part.jsonl", ("train", "")),
        ("train/x/y/part.jsonl", ("train", "")),
        ("a/train/x/part.jsonl", ("train", "a")),
        ("train/test/part.jsonl", ("test", "train")),
        ("train/b/test.jsonl", ("test", "b")),
        ("a/b/part.jsonl", (None, "a/b")),
    ):
        assert split_of(PurePosixPath(place)) == expected
