"""Tasks of lm-evaluation-harness, asked as question sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from accord.cli.main import main
from accord.errors import ConfigError, DataError
from accord.models.loading import locate_model
from accord.runs.behaviour import sets
from accord.runs.behaviour.answering import LocalPolicy
from accord.runs.behaviour.suites import Counting

pytest.importorskip("lm_eval")
MODEL = "accord:nano-base"
METRICS = "[{metric: acc}, {metric: acc_norm}]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks over twelve films: choices, a text's perplexity, and what follows a question."""
    place = tmp_path_factory.mktemp("tasks")
    choices = ["yes, a lot", "no", "it was  fine"]
    rows = [
        {"question": f"Was film number {n} good ?", "choices": choices, "answer": n % 3}
        for n in range(12)
    ]
    data = place / "films.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\nnum_fewshot: 0\n"
    task = {
        "films": f"""output_type: multiple_choice
doc_to_text: "The question: {{{{question}}}}\\nThe answer:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: {METRICS}""",
        "films_read": """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]""",
        "films_said": """output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["."], max_gen_toks: 12}
metric_list: [{metric: exact_match}]""",
    }
    for name, text in task.items():
        (place / f"{name}.yaml").write_text(f"task: {name}\n{about}{text}\n")
    return place


@pytest.fixture(scope="module")
def policy() -> LocalPolicy:
    return LocalPolicy(MODEL)


def test_numbers_are_those_of_the_harness_itself(folder: Path, policy: LocalPolicy) -> None:
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    place, theirs = str(locate_model(MODEL)), {}
    own = HFLM(pretrained=place, device="cpu", dtype="float32", batch_size=4)
    # reading whole texts, it would put its own BOS before the tokenizer's
    one_bos = HFLM(pretrained=place, device="cpu", dtype="float32", add_bos_token=False)
    for name, model in (("films", own), ("films_said", own), ("films_read", one_bos)):
        found = evaluate(model, manager.load(name), bootstrap_iters=0)
        assert found is not None
        theirs[name] = found["results"][name]
    for name, wanted in theirs.items():
        scored = sets.load(f"harness:{name}", folder, 100, 0).measure(policy)
        assert scored
        for one in scored:
            assert one.estimate().value == pytest.approx(wanted[f"{one.name},none"], rel=1e-4)
    pairs = [("Was it", " good?"), ("Was it ", "good?"), ("", "Good."), ("The film is", " a")]
    mine = policy.continued(pairs)
    requests = [type("Asked", (), {"args": pair})() for pair in pairs]
    for (logp, likeliest), (wanted, greedy) in zip(mine, own.loglikelihood(requests), strict=True):
        assert (logp, likeliest) == (pytest.approx(wanted, abs=1e-3), greedy)
    assert mine[0][0] == pytest.approx(mine[1][0], abs=1e-5)


def test_documents_are_drawn_and_counted(folder: Path, policy: LocalPolicy) -> None:
    some = sets.load("harness:films", folder, 5, 3)
    assert (len(some.rows), some.whole, len(some.texts())) == (5, 12, 5)
    assert some.rows != sets.load("harness:films", folder, 5, 4).rows
    whole = {one.name: one for one in sets.load("harness:films", folder, 12, 3).measure(policy)}
    part = {one.name: one for one in some.measure(policy)}
    at = [row["document"] for row in some.rows]
    assert sorted(part["acc"].cluster_I) == sorted(at)
    for n, value in zip(part["acc"].cluster_I, part["acc"].rows_IX, strict=True):
        assert value == whole["acc"].rows_IX[list(whole["acc"].cluster_I).index(n)]
    counting = Counting(policy.encoder, False)
    some.measure(counting)
    assert counting.options == 15


def test_the_command_compares_policies_on_a_task(folder: Path, tmp_path: Path) -> None:
    asked = ["examine", "--base", MODEL, "--policy", MODEL, "--set", f"harness:films={folder}"]
    done = CliRunner().invoke(main, [*asked, "--limit", "6", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "harness:films" in done.output
    assert "acc_norm" in done.output
    (line,) = [line for line in done.output.splitlines() if " acc " in line]
    assert " 0 [" in line


@pytest.mark.parametrize(
    ("name", "said"),
    [("harness:no_such", "knows no task 'no_such'"), ("harness:films_lost", "cannot be read")],
)
def test_tasks_that_cannot_be_loaded(folder: Path, name: str, said: str) -> None:
    (folder / "films_lost.yaml").write_text(
        (folder / "films.yaml").read_text().replace("films.jsonl", "lost.jsonl").replace("task: films", "task: films_lost")
    )  # fmt: skip
    with pytest.raises((ConfigError, DataError), match=said):
        sets.load(name, folder, 5, 0)
    with pytest.raises(ConfigError, match="is no folder"):
        sets.load("harness:films", folder / "films.yaml", 5, 0)


def test_perplexities_differ_by_sums(folder: Path, policy: LocalPolicy) -> None:
    found = {one.name: one for one in sets.load("harness:films_read", folder, 9, 0).measure(policy)}
    rows_IX = found["bits_per_byte"].rows_IX
    wanted = -rows_IX[:, 0].sum() / rows_IX[:, 1].sum() / np.log(2)
    assert found["bits_per_byte"].estimate().value == pytest.approx(wanted)
