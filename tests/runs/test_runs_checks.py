"""What could not work is refused before the first step, by a dry run and by a run alike, with
setting, value and fix."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from accord.errors import AccordError, ConfigError, DataError
from accord.models.loading import add_lora, load_causal_lm, locate_model, save_causal_lm
from accord.runs import known, runner
from accord.runs import recipe as recipes
from accord.runs.checks import check
from accord.runs.context import StageProgress
from accord.runs.plan import Plan
from accord.runs.stages.settings import LoraConfig
from tiny import tiny_llama

NANO = "accord:nano-base"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and data that tests name: a tiny model, an adapter on nano-base, a folder like a
    reward model's, files."""
    folder = tmp_path_factory.mktemp("shelf")
    save_causal_lm(tiny_llama(), folder / "tiny")
    nano = load_causal_lm(NANO, verify=False)
    save_causal_lm(add_lora(nano, LoraConfig(rank=1).settings(), 0), folder / "adapter")
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = NANO
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    (folder / "reward").mkdir()
    (folder / "reward" / "reward.json").write_text("{}")
    shutil.copytree(locate_model(NANO), folder / "sampler")
    (folder / "sampler" / "generation_config.json").write_text('{"temperature": 0.6}')
    (folder / "empty").mkdir()
    write(
        folder / "pairs.jsonl",
        [{"prompt": f"It {n}", "chosen": " is good.", "rejected": " is bad."} for n in range(30)],
    )
    write(folder / "prompts.jsonl", [{"prompt": f"This {n} film"} for n in range(30)])
    write(folder / "long.jsonl", [{"prompt": "It is long. " * 200} for _ in range(4)])
    write(
        folder / "chat.jsonl",
        [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}]
        * 9,
    )
    write(
        folder / "demos.jsonl", [{"prompt": f"It {n}", "response": " is good."} for n in range(30)]
    )
    (folder / "nothing.jsonl").write_text("")
    (folder / "scores_here.py").write_text(
        "def good(prompts, responses):\n    return [float(len(r)) for r in responses]\n\n"
        "def one(prompt):\n    return 1.0\n\n"
        "def first(prompts, responses):\n    return [float(ord(r[0])) for r in responses]\n\n"
        "def few(prompts, responses):\n    return [1.0]\n\n"
        "def endless(prompts, responses):\n    return [float('nan')] * len(responses)\n"
    )
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recipe_of(folder: Path, stages: str, head: str = "") -> recipes.Recipe:
    path = folder / "recipe.yaml"
    path.write_text(f"name: toy\nthreads: 1\n{head}\nstages:\n{stages}\n")
    return recipes.load(str(path))


DPO = "  dpo: {{kind: dpo, model: {model}, feedback: {feedback}, learning_rate: 1.0e-3{more}}}"
SFT = (
    "  sft: {{kind: sft, model: {model}, data: {data}, evaluation: 2, learning_rate: 1.0e-3{more}}}"
)
PPO = "  ppo: {{kind: ppo, model: {model}, prompts: {prompts}, {scores}, prompts_per_step: 8, learning_rate: 1.0e-3{more}}}"


def dpo(model: str = NANO, feedback: str = "pairs.jsonl", more: str = "") -> str:
    return DPO.format(model=model, feedback=feedback, more=more)


def sft(model: str = NANO, data: str = "demos.jsonl", more: str = "") -> str:
    return SFT.format(model=model, data=data, more=more)


def ppo(
    prompts: str = "prompts.jsonl",
    scores: str = "functions: {'scores_here:good': 1}",
    more: str = "",
    model: str = NANO,
) -> str:
    return PPO.format(model=model, prompts=prompts, scores=scores, more=more)


EVALUATE = "evaluate: {{prompts: {prompts}, reward: reward, reference: {reference}, count: 4}}"

REFUSED = {
    "a file that is missing": (dpo(feedback="pears.jsonl"), r"stages\.dpo\.feedback: there is no file 'pears\.jsonl'", 'did you mean "pairs.jsonl"'),
    "a file of a directory that is missing": (dpo(feedback="tiny/confg.json"), r"there is no file 'tiny/confg\.json'", 'did you mean "tiny/config.json"'),
    "an empty file": (dpo(feedback="nothing.jsonl"), r"nothing\.jsonl is empty", "at least one row"),
    "a model for feedback": (dpo(feedback="tiny"), r"feedback: 'tiny' is the directory of a model .*judgements are meant", "data"),
    "a reward model for feedback": (dpo(feedback="reward"), r"'reward' is the directory of a model", "data"),
    "feedback for prompts": (ppo(prompts="pairs.jsonl"), r"pairs\.jsonl holds judgements \(it has chosen, rejected\)", "feedback"),
    "prompts for feedback": (dpo(feedback="prompts.jsonl"), r"prompts\.jsonl holds no feedback records", "feedback"),
    "a reward model for a policy": (dpo(model="reward"), r"model: 'reward' is a reward model, not a policy", "causal LM"),
    "a policy for a reward model": (ppo(scores="reward: tiny"), r"reward: 'tiny' is a policy, not a reward model", "reward stage"),
    "a model that is not there": (dpo(model="./tinny"), r"there is no directory './tinny'", "causal LM"),
    "a file for a model": (dpo(model="pairs.jsonl"), r"'pairs\.jsonl' is a file, not a model", "causal LM"),
    "a name like a file's for a model": (dpo(model="who/data.jsonl"), r"its name is that of a file", "causal LM"),
    "a directory without a model": (dpo(model="empty"), r"'empty' is not a model: config\.json is missing", "causal LM"),
    "a conversation without a template": (sft(data="chat.jsonl"), r"the tokenizer has no chat template", "instruction-tuned"),
    "an evaluation prompt beyond the context": (
        dpo(more=", " + EVALUATE.format(prompts="long.jsonl", reference=NANO)), r"evaluate\.prompts: prompt 1 has .* context of 512", "prompt",
    ),
    "prompt and response beyond the context": (ppo(more=", max_new_tokens: 510"), r"max_new_tokens = 510 that is more than", "lower max_new_tokens"),
    "a function that is missing": (ppo(scores="functions: {'scores_here:bad': 1}"), r"functions\.scores_here:bad: cannot load", "module and name"),
    "a function of one argument": (ppo(scores="functions: {'scores_here:one': 1}"), r"one\(prompt\) cannot be called as f\(prompts, responses\)", "two lists"),
    "a function that fails": (ppo(scores="functions: {'scores_here:first': 1}"), r"IndexError: .*scores_here\.py line 8", "the empty one"),
    "a function with too few scores": (ppo(scores="functions: {'scores_here:few': 1}"), r"gave 1 scores for 2 responses", "one number"),
    "a function that scores nan": (ppo(scores="functions: {'scores_here:endless': 1}"), r"scored .* as nan", "finite"),
    "an adapter on an adapter": (dpo(model="adapter", more=", lora: {rank: 2}"), r"'adapter' carries an adapter already", "accord models merge adapter OUT"),
    "a target that matches nothing": (dpo(more=", lora: {targets: [q_porj]}"), r"'q_porj' matches no module", 'did you mean "q_proj"'),
    "a generation config that cannot be saved": (sft(model="sampler", more=", lora: {rank: 2}"), r"generation_config\.json cannot be saved .*temperature", "do_sample: true"),
    "fewer demonstrations than are kept aside": (sft(more=", epochs: 1").replace("evaluation: 2", "evaluation: 30"), "30 are to be kept aside", "lower evaluation"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_refused_before_the_first_step(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(shelf)
    stages, message, fix = REFUSED[case]
    recipe = recipe_of(tmp_path, stages)
    with pytest.raises(AccordError, match=message) as error:
        check(recipe, tmp_path / "run")
    assert fix in (error.value.fix or "")
    assert error.value.exit_code == 2
    assert re.match(r"stages\.(dpo|sft|ppo)", error.value.message)


@pytest.mark.parametrize(
    "stages",
    [
        dpo(),
        sft(),
        ppo(),
        sft(model="adapter"),
        sft(model="sampler"),
        dpo(more=", lora: {targets: [q_proj]}"),
    ],
)
def test_what_works_is_planned(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: str
) -> None:
    monkeypatch.chdir(shelf)
    (plan,) = check(recipe_of(tmp_path, stages), tmp_path / "run").values()
    assert plan.steps
    assert plan.memory_mib


def test_a_run_refuses_what_a_dry_run_refuses_and_writes_nothing(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    recipe = recipe_of(tmp_path, dpo(model="reward") + "\n" + sft(data="pears.jsonl"))
    with pytest.raises(
        ConfigError,
        match=r"2 things could not work:\n  1\. stages\.dpo\.model.*\n.*\n  2\. stages\.sft\.data",
    ) as dry:
        check(recipe, tmp_path / "run")
    with pytest.raises(ConfigError) as wet:
        runner.execute(recipe, tmp_path / "run", False, StageProgress(), {})
    assert str(wet.value) == str(dry.value)
    assert not (tmp_path / "run").exists()


def test_an_adapter_left_by_an_earlier_stage(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    tuned = dpo(more=", lora: {rank: 2}")
    again = tuned.replace("  dpo:", "  again:").replace(NANO, "stage:dpo")
    with pytest.raises(
        ConfigError, match=r"stages\.again\.model: 'stage:dpo' carries an adapter already"
    ):
        check(recipe_of(tmp_path, f"{tuned}\n{again}"), tmp_path / "run")
    check(
        recipe_of(tmp_path, f"{tuned}\n{again.replace(', lora: {rank: 2}', '')}"), tmp_path / "run"
    )
    merged = sft(more=", lora: {rank: 2}")
    check(recipe_of(tmp_path, f"{merged}\n{tuned.replace(NANO, 'stage:sft')}"), tmp_path / "run")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("stage:data/prompts", "': prompts, not judgements"),
        ("stage:data/gold", "': a gold reward, not judgements"),
    ],
)
def test_an_artefact_of_another_kind(tmp_path: Path, reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        recipe_of(tmp_path, f"  data: {{kind: reviews}}\n{dpo(feedback=reference)}")
    assert "no earlier stage leaves judgements" in (error.value.fix or "")


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "'nan'", "1.0e+999"])
@pytest.mark.parametrize("setting", ["epochs", "weight_decay", "lora.alpha"])
def test_a_number_is_finite(tmp_path: Path, setting: str, value: str) -> None:
    name, _, inner = setting.partition(".")
    more = f", {name}: {{{inner}: {value}}}" if inner else f", {name}: {value}"
    with pytest.raises(ConfigError, match=rf"stages\.sft\.{setting} = .*(finite|greater)"):
        recipe_of(tmp_path, sft(more=more))


def test_cuda_where_there_is_none(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="device = 'cuda': torch finds no CUDA device"):
        check(recipe_of(tmp_path, dpo(), "device: cuda"), tmp_path / "run")


def test_a_place_that_cannot_be_written(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        check(recipe_of(tmp_path, dpo()), tmp_path / "file" / "run")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match="cannot be written"):
        check(recipe_of(tmp_path, dpo()), tmp_path / "run")


@pytest.mark.parametrize(("answer", "refused"), [(False, True), (None, False), (True, False)])
def test_a_name_on_the_hub(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool | None, refused: bool
) -> None:
    monkeypatch.chdir(shelf)
    monkeypatch.setattr(known, "on_hub", lambda name, kind: answer)
    recipe = recipe_of(tmp_path, dpo(model="nobody/nothing"))
    if refused:
        with pytest.raises(ConfigError, match="no public model of that name on the Hub"):
            check(recipe, tmp_path / "run")
        return
    (plan,) = check(recipe, tmp_path / "run").values()
    assert any("nobody/nothing is not on this disk" in note for note in plan.notes)
    if answer is None:
        with pytest.raises(
            ConfigError,
            match="'nobody/nothing' is not on this disk, and the Hub could not be asked",
        ):
            check(recipe, tmp_path / "run", start=True)


def test_a_reward_model_is_scaled_by_samples_which_a_plan_counts(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the judgements: where nothing is known of them, nothing is said."""
    monkeypatch.chdir(shelf)
    monkeypatch.setattr(known, "on_hub", lambda name, kind: True)
    given = "feedback: pairs.jsonl, learning_rate: 1.0e-3, members: 3"

    def tokens(model: str, more: str) -> int | None:
        stages = f"  reward: {{kind: reward, model: {model}, {given}{more}}}"
        (plan,) = check(recipe_of(tmp_path, stages), tmp_path / "run").values()
        return plan.tokens

    for trunk, passes in (("own", 3), ("shared", 1)):
        without = tokens(NANO, f", trunk: {trunk}, centre_samples: 0") or 0
        assert without > 0
        sampled = tokens(NANO, f", trunk: {trunk}, centre_samples: 10")
        assert sampled == without + 10 * (64 + passes * 128)
    assert tokens("nobody/nothing", "") is None


# --- dropped rows ---------------------------------------------------------------------------------
def long_and_short(path: Path, long: int, short: int) -> Path:
    rows = [
        {
            "prompt": "It is a film. " * (12 if n < long else 1) + str(n),
            "chosen": " good.",
            "rejected": " bad.",
        }
        for n in range(long + short)
    ]
    return write(path, rows)


def test_more_dropped_than_allowed_names_the_limit_and_one_that_would_do(tmp_path: Path) -> None:
    data = long_and_short(tmp_path / "rows.jsonl", 27, 2)
    settings = (
        ", lengths: {{max_prompt_tokens: {limit}, max_response_tokens: 8, too_long: drop}}{allowed}"
    )

    def plan(limit: int, allowed: str = "") -> Plan:
        stages = dpo(feedback=str(data), more=settings.format(limit=limit, allowed=allowed))
        return check(recipe_of(tmp_path, stages), tmp_path / "run")["dpo"]

    with pytest.raises(
        DataError, match="max_prompt_tokens = 30 drops 27 of 29 rows; at most 20% may be dropped"
    ) as error:
        plan(30)
    enough = int(re.search(r"max_prompt_tokens: (\d+) keeps 95%", error.value.fix or "")[1])  # type: ignore[index]
    allowed = re.search(r"allow_dropped: ([\d.]+)", error.value.fix or "")[1]  # type: ignore[index]
    assert sum(plan(enough).dropped.values()) <= 0.05 * 2 * 29  # type: ignore[union-attr]
    with pytest.raises(DataError):
        plan(enough // 2)
    found = plan(30, f", allow_dropped: {allowed}")
    assert found.rows == 2
    with pytest.raises(DataError, match="drops 27 of 29"):
        plan(30, f", allow_dropped: {float(allowed) - 0.02:.2f}")


def test_rows_that_cannot_be_read_count_as_dropped(tmp_path: Path) -> None:
    good = {"prompt": "It", "completion": " is good."}
    data = write(tmp_path / "rows.jsonl", [good] * 20 + [{"prompt": "It", "completion": "  "}] * 10)
    with pytest.raises(DataError, match=r"10 of 30 rows of .* cannot be read: 10: ") as error:
        check(recipe_of(tmp_path, sft(data=str(data))), tmp_path / "run")
    assert "allow_dropped: 0.34" in (error.value.fix or "")
    (plan,) = check(
        recipe_of(tmp_path, sft(data=str(data), more=", allow_dropped: 0.34")), tmp_path / "run"
    ).values()
    assert plan.rows == 20
    assert sum((plan.dropped or {}).values()) == 10


def test_a_large_file_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(
        tmp_path / "rows.jsonl",
        [{"prompt": f"It {n % 9}", "response": " is good."} for n in range(400)],
    )
    whole = check(recipe_of(tmp_path, sft(data=str(data))), tmp_path / "run")["sft"]
    monkeypatch.setattr("accord.runs.reading.LARGE_BYTES", 8000)
    monkeypatch.setattr("accord.runs.reading.SAMPLE", 50)
    part = check(recipe_of(tmp_path, sft(data=str(data))), tmp_path / "run")["sft"]
    assert part.rows == pytest.approx(whole.rows, rel=0.05)
    assert part.tokens == pytest.approx(whole.tokens, rel=0.05)
    assert any("looked at 50 of about" in note for note in part.notes)
    assert not any("looked at" in note for note in whole.notes)


def test_a_plan_counts_what_the_run_counts(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through an earlier stage, too: its files are made, thrown away, and read by the stages after
    it."""
    monkeypatch.chdir(shelf)
    stages = "  data: {kind: preferences, data: pairs.jsonl, evaluation: 4}\n" + sft(
        data="stage:data/sft", more=", batch: 4, lengths: {max_response_tokens: 3, too_long: cut}"
    )
    recipe = recipe_of(tmp_path, stages)
    plans = check(recipe, tmp_path / "run")
    runner.execute(recipe, tmp_path / "run", False, StageProgress(), {})
    table = json.loads((tmp_path / "run/stages/02-sft/lengths.json").read_text())
    steps = (tmp_path / "run/stages/02-sft/metrics.jsonl").read_text().splitlines()
    plan = plans["sft"]
    assert (plan.rows, plan.cut, plan.example) == (table["kept"], table["cut"], table["example"])
    assert plan.steps == len(steps)
    assert plans["data"].rows == 26
    assert check(recipe, tmp_path / "run") == {}  # all is done


def test_a_column_left_out_is_no_row(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [{"prompt": "It", "response": " is.", "extra": [1]}] * 12)
    (plan,) = check(recipe_of(tmp_path, sft(data=str(data))), tmp_path / "run").values()
    assert plan.rows == 12
    assert not plan.dropped


# --- chat templates, merging ----------------------------------------------------------------------
TEMPLATE = (
    "{{ '<brief>' if brief }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token if m.role == 'assistant' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_recipes_chat_template_is_used_stored_and_saved(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    (tmp_path / "mine.jinja").write_text(TEMPLATE)
    head = f"chat_template: {tmp_path / 'mine.jinja'}\nchat_template_kwargs: {{brief: true}}"
    recipe = recipe_of(tmp_path, sft(data="chat.jsonl", more=", batch: 8"), head)
    (tmp_path / "mine.jinja").unlink()  # what counts is what it said when the recipe was read
    plan = check(recipe, tmp_path / "run")["sft"]
    assert "<brief><user>Hi<assistant>⟦Ho<eos>⟧" in (plan.example or "")
    runner.execute(recipe, tmp_path / "run", False, StageProgress(), {})
    assert TEMPLATE in json.dumps(
        recipes.yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())["chat_template"]
    )
    saved = load_causal_lm(str(tmp_path / "run/stages/01-sft/model"))
    assert saved.tokenizer.chat_template == TEMPLATE
    with pytest.raises(AccordError, match="knows no 'breif'"):
        check(
            recipe_of(
                tmp_path,
                sft(data="chat.jsonl"),
                f"chat_template: {json.dumps(TEMPLATE)}\nchat_template_kwargs: {{breif: true}}",
            ),
            tmp_path / "new",
        )


def test_an_adapter_is_merged_and_can_then_get_another(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from accord.cli.models import merge

    merge(str(shelf / "adapter"), tmp_path / "whole")
    assert "read again" in capsys.readouterr().out
    data = str(shelf / "pairs.jsonl")
    check(
        recipe_of(
            tmp_path, dpo(model=str(tmp_path / "whole"), feedback=data, more=", lora: {rank: 2}")
        ),
        tmp_path / "run",
    )
    with pytest.raises(ConfigError, match="carries no adapter"):
        merge(str(tmp_path / "whole"), tmp_path / "again")
    with pytest.raises(ConfigError, match="exists"):
        merge(str(shelf / "adapter"), tmp_path / "whole")


def test_lineage_names_every_file_of_what_was_read(shelf: Path, tmp_path: Path) -> None:
    for part in "ab":
        shutil.copy(shelf / "demos.jsonl", tmp_path / f"part-{part}.jsonl")
    stages = sft(data=f"{{path: '{tmp_path}/part-*.jsonl', limit: 40}}", more=", batch: 20")
    runner.execute(recipe_of(tmp_path, stages), tmp_path / "run", False, StageProgress(), {})
    inputs = json.loads((tmp_path / "run/lineage.json").read_text())["stages"]["sft"]["inputs"]
    assert [name for name in inputs if "part-" in name] == [
        f"{tmp_path}/part-{part}.jsonl" for part in "ab"
    ]
    assert all(value.startswith("sha256:") for name, value in inputs.items() if "part-" in name)


def test_a_stage_is_no_data_and_what_it_left_is_named(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    stage = tmp_path / "01-collect"
    stage.mkdir()
    (stage / "config.yaml").write_text("kind: collect\n")
    (stage / "result.json").write_text(json.dumps({"artefacts": {"feedback": "feedback.jsonl"}}))
    with pytest.raises(
        AccordError, match="is the directory of a stage, and judgements are meant"
    ) as error:
        check(recipe_of(tmp_path, dpo(feedback=str(stage))), tmp_path / "run")
    assert str(stage / "feedback.jsonl") in (error.value.fix or "")


def test_an_error_about_a_record_names_its_place_in_the_file(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    plain = [{"prompt": f"p{i}", "completion": "r"} for i in range(40)]
    chat = {
        "prompt": [{"role": "user", "content": "q"}],
        "completion": [{"role": "assistant", "content": "r"}],
    }
    data = write(tmp_path / "mixed.jsonl", [*plain[:7], chat, *plain[7:]])
    with pytest.raises(
        AccordError,
        match=r"mixed\.jsonl line 8 is a conversation, but the tokenizer has no chat template",
    ):
        check(recipe_of(tmp_path, sft(data=str(data))), tmp_path / "run")
