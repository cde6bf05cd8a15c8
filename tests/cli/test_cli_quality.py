"""`accord feedback audit`, `select` and `agreement` on small stores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from accord.cli.main import main
from accord.feedback.records import Feedback, dump_line
from accord.feedback.simulate import (
    Offered,
    SimulatedAnnotator,
    judge_best_worst,
    judge_comparison,
    judge_rating,
)
from accord.seeds import derive_seed
from real_data import shared_data


def write(path: Path, records: list[Feedback]) -> Path:
    path.write_text("\n".join(map(dump_line, records)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Twelve annotators on six models: one prefers the left, one gives gold wrong answers, sides
    and arms are mixed."""
    rng, records = np.random.default_rng(0), []
    scores = np.array([2.0, 1.2, 0.4, -0.4, -1.2, -2.0])
    for number in range(900):
        a, b = rng.choice(6, size=2, replace=False)
        who = number % 12
        won = rng.random() < 1 / (1 + np.exp(scores[b] - scores[a]))
        won = bool(rng.random() < 0.9) if who == 0 else bool(won)
        meta: dict = {"selected_by": "random" if number % 3 == 0 else "ranking"}
        if number % 10 == who % 10:
            right = bool(rng.random() < (0.4 if who == 1 else 0.95))
            meta["gold"] = {"preferred": f"o{(a if won else b) if right else (b if won else a)}"}
        options = [
            {"id": f"o{m}", "content": f"by {m}", "producer": f"m{m}", "shown_at": k}
            for k, m in enumerate((a, b))
        ]
        records.append(
            Feedback.model_validate(
                {
                    "id": str(number),
                    "kind": "comparison",
                    "prompt": f"p{number % 20}",
                    "options": options,
                    "choice": {"preferred": f"o{a if won else b}"},
                    "annotator": f"a{who:02d}",
                    "meta": meta,
                }
            )
        )
    return write(tmp_path / "votes.jsonl", records)


def test_audit_prints_one_page_and_one_object(store: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    page = run(main, ["feedback", "audit", str(store)])
    assert page.exit_code == 0, page.output
    for word in (
        "alarms",
        "agreement",
        "position",
        "drift",
        "poisoning",
        "gold",
        "groups",
        "not caught",
    ):
        assert word in page.output
    described = {f"a{k:02d}": {"region": "north" if k < 6 else "south"} for k in range(12)}
    (tmp_path / "who.json").write_text(json.dumps(described))
    options = [
        "--json",
        "--trusted",
        "a05",
        "--trusted",
        "a06",
        "--attributes",
        str(tmp_path / "who.json"),
    ]
    done = run(main, ["feedback", "audit", str(store), *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["objects"] == "producer"
    assert found["position"]["alarm"]
    assert {a["subject"] for a in found["alarms"] if a["area"] == "position"} == {
        "everybody",
        "a00",
    }
    assert found["poisoning"]["reference"].endswith("2 trusted annotators")
    assert [g["annotators"] for g in found["representation"][0]["groups"]] == [6, 6]
    assert len(found["gold"]) > 0


def test_audit_of_single_answers_and_of_one_policy(tmp_path: Path) -> None:
    rng, records = np.random.default_rng(1), []
    crowd = [SimulatedAnnotator(f"a{k}", 1.5, offset=0.5 * k) for k in range(4)]
    for item in range(15):
        offered = Offered(
            f"p{item}",
            [f"{item}.{k}" for k in range(4)],
            rng.normal(size=4).tolist(),
            "m",
            [True] * 4,
        )
        for k, annotator in enumerate(crowd):
            records.append(judge_rating(offered, 0, annotator, derive_seed(item, k), "g"))
            records.append(
                judge_comparison(offered, (0, 1), annotator, derive_seed(item, k, 1), "g")
            )
            records.append(judge_best_worst(offered, annotator, derive_seed(item, k, 2), "g"))
    path = write(tmp_path / "r.jsonl", records)
    done = CliRunner().invoke(main, ["feedback", "audit", str(path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["objects"] == "option"
    assert {a["subject"] for a in found["alarms"]} <= {f"a{k}" for k in range(4)} | {"everybody"}
    assert len(found["annotators"]["annotators"]) == 4
    assert found["scales"][0]["attribute"] == "overall"
    shown = CliRunner().invoke(main, ["feedback", "agreement", str(path)])
    assert "rating overall (ordinal)" in shown.output
    page = CliRunner().invoke(main, ["feedback", "audit", str(path)])
    assert "taken for levels (5 different ratings, evenly spaced)" in page.output
    forced = CliRunner().invoke(main, ["feedback", "audit", str(path), "--ratings", "points"])
    assert "taken for points (asked for)" in forced.output
    assert "best_worst alone" in shown.output


def test_select_writes_tasks_and_says_the_saving(store: Path, tmp_path: Path) -> None:
    run, out = CliRunner().invoke, tmp_path / "next.jsonl"
    done = run(main, ["feedback", "select", str(store), "--count", "40", "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 40
    assert sum(row["meta"]["selected_by"] == "random" for row in rows) == 10
    assert {len({o["producer"] for o in row["options"]}) for row in rows} == {2}
    assert "saving of the active arm" in done.output
    assert "active, 300 random votes" in done.output
    again = run(main, ["feedback", "select", str(store), "--count", "40", "--out", str(out)])
    assert again.exit_code == 2
    best = run(main, ["feedback", "select", str(store), "--count", "12", "--goal", "best"])
    assert "and 2 more" in best.output
    few = run(main, ["feedback", "select", str(store), "--count", "12", "--random-share", "0.1"])
    assert few.exit_code == 2
    assert "20%" in few.output + (few.stderr or "")


def test_what_cannot_be_read_is_said(store: Path, tmp_path: Path) -> None:
    (tmp_path / "who.json").write_text('{"a": "north"}')
    done = CliRunner().invoke(
        main, ["feedback", "audit", str(store), "--attributes", str(tmp_path / "who.json")]
    )
    assert done.exit_code == 2
    assert "does not map annotators" in done.output + (done.stderr or "")


def said(*arguments: object) -> str:
    """What a command printed; it must have worked."""
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: object) -> str:
    """What a command said when it refused."""
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code in (1, 2), done.output
    assert "unexpected" not in done.output
    return done.output


def test_people_who_compare_models_across_prompts_get_a_reliability_with_its_interval() -> None:
    votes = shared_data("llmfao") / "crowd-comparisons.csv"
    page = said("feedback", "annotators", votes)
    assert "8,931 judgements by 124 annotators" in page
    first = next(line for line in page.splitlines() if line.lstrip().startswith("20 "))
    assert "prefers the first" in first
    assert first.count("[") == 2, "reliability and first place, each with an interval"
    assert "reliability of annotators: 0.11 [0.05, 0.27] to 2.95" in said(
        "feedback", "ratings", votes
    )


def test_shares_before_and_after_a_change_lie_between_0_and_1(tmp_path: Path) -> None:
    """Some of many annotators vote with the others at first, and against them from a day on."""
    import re

    rows = ["prompt,response_a,response_b,winner,annotator,created_at"]
    for n in range(80):
        for who in range(24):
            turned = who < 6 and n >= 40
            honest = (n * 7 + who * 5) % 10 > 0  # now and then somebody errs
            rows.append(
                f"q{n},good {n},bad {n},{'a' if honest != turned else 'b'},ann{who:02},"
                f"2026-01-{1 + n // 4:02}T10:{n % 4:02}:{who:02}Z"
            )
    table = tmp_path / "votes.csv"
    table.write_text("\n".join(rows) + "\n")
    page = said("feedback", "audit", table)
    drifts = [line for line in page.splitlines() if "changed about" in line]
    assert len(drifts) > 5, page
    for line in drifts:
        ends = re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\]", line)
        assert ends
        for low, high in ends:
            assert 0 <= float(low) < float(high) <= 1, line


def test_one_annotator_is_measured_against_nobody(tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("prompt,response_a,response_b,winner,annotator\np1,x,y,a,ann\n")
    page = said("feedback", "audit", table)
    assert "1 record by 1 annotator;" in page
    assert "poisoning: only one annotator voted" in page
    assert "groups: only one annotator voted" in page
    pull = next(line for line in page.splitlines() if "pull of the first place" in line)
    assert "[-4.383, 8.366]" in pull, "one vote says little, but not nothing"
    assert "cannot be told: too few judgements" in said("feedback", "annotators", table)
    assert "no pair of options judged by two annotators (1)" in refused(
        "feedback", "agreement", table
    )


def test_what_the_order_does_is_unknown_where_no_order_is(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"p{k}",
            "options": [
                {"id": m, "content": f"by {m}", "producer": m, "shown_at": place}
                for place, m in enumerate("ab")
            ],
            "kind": "comparison",
            "id": str(k),
            "choice": {"preferred": "ab"[k % 3 == 0]},
            "annotator": f"x{k % 2}",
            "meta": {"shown": "unknown"},
        }
        for k in range(12)
    ]
    store = write(tmp_path / "u.jsonl", [Feedback.model_validate(row) for row in rows])
    page = said("feedback", "ratings", store)
    assert "what is shown first gains an unknown amount: no record says" in page
    assert "12 votes by 2 annotators" in page


def test_files_without_judgements_say_so(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("prompt\np1\np2\n")
    for command in (
        ["agreement"],
        ["annotators"],
        ["ratings"],
        ["audit"],
        ["select", "--count", "1"],
    ):
        assert "holds no judgements" in refused(
            "feedback", command[0], tmp_path / "prompts.csv", *command[1:]
        )
    thumbs = [
        Feedback.model_validate(
            {
                "id": str(k),
                "kind": "thumb",
                "prompt": "p",
                "choice": {"up": True},
                "annotator": f"a{k}",
                "options": [{"id": "o", "content": "x", "shown_at": 0}],
            }
        )
        for k in range(2)
    ]
    store = write(tmp_path / "thumbs.jsonl", thumbs)
    assert "2 records by 2 annotators: 2 thumbs\n" in said("feedback", "agreement", store)
    assert "no prompt has two different responses" in refused(
        "feedback", "select", store, "--count", "1"
    )
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "a.csv").write_text("model_a,model_b,winner\nx,y,tie\n")
    (tmp_path / "both" / "models.jsonl").write_text('{"api_id": 1}\n')
    assert "name one of its files" in refused("feedback", "agreement", tmp_path / "both")


def test_a_store_is_not_any_file_that_ends_like_one(tmp_path: Path) -> None:
    from accord.studio.storage.database import open_database

    (tmp_path / "junk.sqlite").write_text("prompt,response_a\n" * 100)
    assert "is not an SQLite file" in refused("feedback", "agreement", tmp_path / "junk.sqlite")
    open_database(str(tmp_path / "studio.db")).close()
    before = (tmp_path / "studio.db").read_bytes()
    told = refused("feedback", "agreement", tmp_path / "studio.db")
    assert "database of a studio" in told
    assert "accord studio export PROJECT FILE" in told
    assert (tmp_path / "studio.db").read_bytes() == before
