"""Studies: seeds in one directory, compared; what is wrong is said before anything runs."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

import toy  # noqa: F401 (registers the toy stage)
from accord.errors import ConfigError
from accord.runs import pages, runner, study
from accord.runs import recipe as recipes
from accord.runs.context import StageProgress
from forked import accord

STUDY = {
    "seeds": [1, 2, 3],
    "rows": {"one": "first", "two": "second"},
    "columns": {"{row}.norm": "norm"},
    "baseline": "one",
}
STAGES = {"one": {"kind": "walk"}, "two": {"kind": "walk"}}


def make(**changes: object) -> recipes.Recipe:
    return recipes.validate({"name": "toy", "study": STUDY | changes, "stages": STAGES})


def execute(run_dir: Path, resume: bool = False) -> Path:
    return study.execute(make(), run_dir, resume, lambda seed: nullcontext(StageProgress()), {})


def test_every_seed_is_a_run_of_its_own_and_the_table_is_printed(tmp_path: Path) -> None:
    report = execute(tmp_path / "s")
    comparison = json.loads((tmp_path / "s" / "study.json").read_text())
    values = comparison["cells"]["two"]["{row}.norm"]["values"]
    ends = [
        json.loads(
            (tmp_path / "s" / f"seed-{seed}" / "stages" / "02-two" / "result.json").read_text()
        )["values"]["norm"]
        for seed in (1, 2, 3)
    ]
    assert list(values.values()) == ends
    assert len(set(ends)) == 3
    assert "| second |" in (tmp_path / "s" / "study.md").read_text()
    assert "seed-3/report.html" in report.read_text()
    assert pages.write_report(tmp_path / "s") == report


def test_a_stage_has_a_seed_of_its_own_whatever_stands_before_it(tmp_path: Path) -> None:
    """It tells stages and runs from each other, and stays when a stage is put in front."""

    def walked(seed: int, *names: str) -> dict[str, float]:
        run_dir = tmp_path / f"{seed}-{'-'.join(names)}"
        stages = {name: {"kind": "walk", "steps": 2, "chunks": 1} for name in names}
        recipe = recipes.validate({"name": "toy", "seed": seed, "stages": stages})
        runner.execute(recipe, run_dir, False, StageProgress(), {})
        folders = sorted((run_dir / "stages").iterdir())
        results = [json.loads((folder / "result.json").read_text()) for folder in folders]
        return {n: r["values"]["norm"] for n, r in zip(names, results, strict=True)}

    one, other = walked(1, "a", "b"), walked(2, "a", "b")
    assert len({*one.values(), *other.values()}) == 4
    assert walked(1, "new", "b")["b"] == one["b"]


def test_an_interrupted_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    execute(tmp_path / "s")
    before = (tmp_path / "s" / "study.json").read_text()
    first = tmp_path / "s" / "seed-1" / "stages" / "01-one" / "result.json"
    stamp = first.stat().st_mtime_ns
    (tmp_path / "s" / "seed-3" / "stages" / "02-two" / "result.json").unlink()
    with pytest.raises(ConfigError, match="already holds a run"):
        execute(tmp_path / "s")
    execute(tmp_path / "s", resume=True)
    assert (tmp_path / "s" / "study.json").read_text() == before
    assert first.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"three.{row}": "x"}}, "names the stage 'three'"),
        ({"columns": {"one.norm": "x"}}, "not a pattern"),
        ({"baseline": "zero"}, "names none of the rows"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"rows": {"oen": "x"}, "baseline": None}, 'did you mean "one"'),
    ],
)
def test_mistakes_are_named_before_anything_runs(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        make(**changes)
    assert message in f"{error.value.message} {error.value.fix}"


def test_a_value_that_no_run_has_is_named(tmp_path: Path) -> None:
    recipe = make(columns={"{row}.nrom": "norm"})
    with pytest.raises(ConfigError, match=r"no run has a value one\.nrom"):
        study.execute(recipe, tmp_path / "s", False, lambda seed: nullcontext(StageProgress()), {})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("baseline: one", "baseline: zero", "study: the baseline 'zero' names none of the rows"),
        ("  seeds:", "  seedz:", "study.seedz is not a setting"),
        ("  baseline: one", "  baseline: [one", "is not valid YAML"),
    ],
)
def test_a_study_edited_into_nonsense_is_refused_by_the_report(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(make().dump().replace(before, after))
    with pytest.raises(ConfigError, match=message) as error:
        pages.write_report(tmp_path)
    assert str(path) in error.value.message
    assert error.value.fix


SMALL = [
    "threads=1",
    "study.seeds=[1]",
    "data.sft=160",
    "data.prompts=120",
    "data.evaluation=16",
    "data.gold_reviews=1000",
    "sft.evaluation=20",
    "sft.batch=16",
]
ARMS = {
    "dpo-frontier": ("dpo_1", "dpo_3", "dpo_10", "dpo_30", "ppo_3", "ppo_6", "ppo_12"),
    "ablation-ppo": (
        "all_details", "no_whitening", "no_value_clip", "no_policy_clip", "value_from_policy", "fixed_kl", "kl_in_loss",
        "cut_off_as_scored", "monte_carlo", "adam_eps", "constant_rate", "no_gradient_clip", "not_centred",
    ),
}  # fmt: skip


def quick_rewards(*stages: str) -> list[str]:
    return [
        f"{stage}.{setting}" for stage in stages for setting in ("epochs=1", "centre_samples=8")
    ]


def short(*stages: str) -> list[str]:
    """Stages that sample, with short responses."""
    return [f"{stage}.max_new_tokens=12" for stage in stages]


def small_arms(study_name: str) -> list[str]:
    settings = ["evaluate.count=8", "evaluate.points=2"]
    found = ["collect.count=48", "examine.evaluate.count=8", *quick_rewards("reward")]
    found += short("collect", "examine.evaluate")
    for arm in ARMS[study_name]:
        found += short(f"{arm}.evaluate", *([] if arm.startswith("dpo") else [arm]))
        more = ["limit=48"] if arm.startswith("dpo") else ["steps=2", "prompts_per_step=8"]
        found += [f"{arm}.{setting}" for setting in (*settings, *more)]
    return found


STUDIES = {
    "ensemble-noise": [
        "collect.count=60", "collect_noisy.count=60", "reward.members=2", "reward_noisy.members=2", "best_of_n.pool=64",
        "best_of_n.evaluate.count=8", *quick_rewards("reward", "reward_noisy"),
    ],
    "kwise-vs-pairwise": [
        "rankings.count=48", "pairs.count=48", "single_pairs.count=48", "best_of_n.pool=16", "best_of_n.evaluate.count=8",
        *quick_rewards("plackett_luce", "all_pairs", "cut", "comparisons", "comparisons_equal_labels"),
        "cut_equal_compute.centre_samples=8", *short("rankings", "pairs", "single_pairs", "best_of_n.evaluate"),
    ],
    "joint-reviews": [
        "labels=8", "updates=1", "steps=2", "evaluation=8",
        *quick_rewards("reward_1", "reward_2", "reward_3", "reward_4", "reward_half", "reward_rounds", "reward_static"),
    ],
    "dpo-frontier": small_arms("dpo-frontier"),
    "ablation-ppo": small_arms("ablation-ppo"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STUDIES))
def test_packaged_studies_run_at_small_size(name: str, tmp_path: Path, pico: str) -> None:
    pytest.importorskip("sklearn")
    small = [*SMALL, *STUDIES[name], f"model={pico}"]
    accord("run", name, *small, "--out", str(tmp_path / "s"))
    comparison = json.loads((tmp_path / "s" / "study.json").read_text())
    assert comparison["seeds"] == [1]
    assert all(
        cell["values"]
        for row in comparison["cells"].values()
        for key, cell in row.items()
        if "gold_at" not in key
    )
    assert "Comparison" in (tmp_path / "s" / "report.html").read_text()


@pytest.mark.slow
def test_the_curve_of_the_backflip_runs_at_small_size(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    rows = recipes.load("backflip-curve").header.study.rows
    shorter = [
        "rounds=1", "anew=[]", "keep=last", "evaluation=2", "points=1", "policy.environments=64", "policy.rollout=32",
        "policy.minibatch=1024", "reward.anew_steps=0", "reward.first_steps=4", "reward.members=2",
    ]  # fmt: skip
    small = [f"{row}.{setting}" for row in rows for setting in shorter]
    accord("run", "backflip-curve", "seeds=[1]", "steps=6144", *small, "--out", str(tmp_path / "s"))
    cells = json.loads((tmp_path / "s" / "study.json").read_text())["cells"]
    assert set(cells) == set(rows)
    assert all(cell["values"] for row in cells.values() for cell in row.values())
    asked = {
        row: len(
            (next((tmp_path / "s" / "seed-1" / "stages").glob(f"*-{row}")) / "feedback.jsonl")
            .read_text()
            .splitlines()
        )
        for row in rows
    }
    assert asked == {
        "only_100": 100, "only_200": 200, "only_300": 300, "only_500": 500, "all_900": 900, "grounded": 900
    }  # fmt: skip
