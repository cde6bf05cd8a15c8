"""The card of an exported model says what the run's directory says, and makes nothing up."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from accord.cli.main import main
from accord.models.causal_lm import CausalLM
from accord.models.classifier import export_classifier
from accord.models.loading import LoraSettings, add_lora, load_causal_lm, save_causal_lm
from accord.models.reward_model import RewardModel
from accord.models.scalar import ScalarModel
from accord.runs.card import card, write_card, write_cards
from accord.runs.context import hash_made
from accord.text.encoding import Encoder
from accord.text.packing import PromptGroup
from chat_tokenizers import chat_tokenizer
from tiny import save_tiny, tiny_llama


def a_run(folder: Path) -> Path:
    """What a finished run leaves beside its models."""
    stage = folder / "stages" / "02-dpo"
    stage.mkdir(parents=True)
    (stage / "result.json").write_text(
        json.dumps({"stage": "dpo", "kind": "dpo", "summary": "12 steps | <b>bold</b>"})
    )
    (stage / "config.yaml").write_text("kind: dpo\nbeta: 0.1\nmodel: stage:sft\n")
    (folder / "stages/01-sft").mkdir()
    (folder / "stages/01-sft/config.yaml").write_text("kind: sft\nmodel: somebody/base\n")
    lineage = {"stages": {"dpo": {
        "kind": "dpo", "inputs": {"pairs.jsonl": "sha256:" + "ab" * 32}, "artefacts": {"model": "sha256:" + "cd" * 32},
    }}}  # fmt: skip
    (folder / "lineage.json").write_text(json.dumps(lineage))
    verdict = {"outcome": "worked", "reason": "gold rose", "arms": [
        {"arm": "dpo", "outcome": "worked", "rules": [{"statement": "gold win rate 70% [60%, 80%]"}]}
    ]}  # fmt: skip
    (folder / "verdict.json").write_text(json.dumps(verdict))
    (folder / "environment.json").write_text(json.dumps({"versions": {"accord": "0.1.0"}}))
    return stage


def test_everything_the_run_says_stands_in_the_card(tmp_path: Path) -> None:
    stage = a_run(tmp_path / "run")
    save_tiny(stage / "model")
    out = tmp_path / "out"
    asked = ["models", "export", str(stage / "model"), str(out), "--dtype", "bfloat16"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    text = (out / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "tags": ["accord"],
        "pipeline_tag": "text-generation",
        "base_model": "somebody/base",
    }
    for told in (
        "Made by the stage `dpo`", "12 steps \\| \\<b\\>bold\\</b\\>", "**worked**: gold rose",
        "gold win rate 70% \\[60%, 80%\\]", "`pairs.jsonl` abababababababab…", "`model` cdcdcdcdcdcdcdcd…",
        "kind: dpo\nbeta: 0.1", "accord 0.1.0", "- weights: bfloat16", 'AutoModelForCausalLM.from_pretrained("out"',
    ):  # fmt: skip
        assert told in body, told
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


def test_what_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    text = card("accord:nano-base", "nano", "model", {}, "")
    assert "no run of accord on this disk made it" in text
    assert "Verdict" not in text
    stage = a_run(tmp_path)
    for name in ("verdict.json", "lineage.json", "environment.json"):
        (tmp_path / name).unlink()
    text = card(str(stage / "model"), "m", "model", {}, "")
    assert "did not examine" in text
    assert "has not finished" in text


def test_every_model_of_a_run_gets_a_card_that_is_no_part_of_it(tmp_path: Path) -> None:
    stage = a_run(tmp_path / "run")
    save_tiny(stage / "model")
    adapter = add_lora(load_causal_lm(str(stage / "model")), LoraSettings(4), 0)
    save_causal_lm(adapter, stage / "adapter")
    reward = RewardModel.untrained([ScalarModel.from_causal_lm(tiny_llama(), seed=1)])
    reward.save(stage / "reward", [PromptGroup([5, 6], [[7, 8], [9]])])
    (stage / "points").mkdir()
    made = {name: name for name in ("model", "adapter", "reward", "points")}
    told = json.loads((stage / "result.json").read_text())
    (stage / "result.json").write_text(json.dumps(told | {"artefacts": made}))
    before = {name: hash_made(stage / name) for name in made}
    written = write_cards([stage, tmp_path / "run/stages/01-sft"])
    assert written == [stage / name / "README.md" for name in ("model", "adapter", "reward")]
    assert {name: hash_made(stage / name) for name in made} == before
    for file, library, more in zip(
        written,
        ("transformers", "peft", "accord"),
        ("- weights: float32", "- rank: 4 (scaled by 8)", "- members: 1 (own trunk)"),
        strict=True,
    ):
        _, head, body = file.read_text().split("---\n", 2)
        assert yaml.safe_load(head)["library_name"] == library
        assert f"# run/stages/02-dpo/{file.parent.name}\n" in body
        assert more in body
        assert "**worked**: gold rose" in body
    load_causal_lm(str(stage / "adapter"))
    RewardModel.load(stage / "reward")


def test_a_reward_model_comes_out_as_a_classifier(tmp_path: Path) -> None:
    reward = RewardModel.untrained([ScalarModel.from_causal_lm(tiny_llama(), seed=1)])
    reward.save(tmp_path / "rm", [PromptGroup([5, 6], [[7, 8], [9]])])
    asked = ["models", "export", str(tmp_path / "rm"), str(tmp_path / "out")]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert "--as classifier" in result.output
    result = CliRunner().invoke(main, [*asked, "--as", "classifier"])
    assert result.exit_code == 0, result.output
    assert "text-classification" in (tmp_path / "out/README.md").read_text()
    again = CliRunner().invoke(main, [*asked, "--as", "classifier"])
    assert again.exit_code == 2
    assert "exists" in again.output


def run_code(card_file: Path, place: Path) -> str:
    """What the Python in a card prints, for the directory that it is in."""
    code = card_file.read_text().split("```python\n")[1].split("```")[0]
    named = next(
        line for line in code.splitlines() if "from_pretrained(" in line or ".load(" in line
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.replace(named.split('"')[1], str(place)), {})
    return printed.getvalue()


@pytest.mark.parametrize("kind", ["plain", "without-bos", "chatml", "llama3", "gemma"])
def test_the_code_in_a_card_computes_what_accord_does(kind: str, tmp_path: Path) -> None:
    lm = CausalLM(tiny_llama(vocab_size=400).hf, chat_tokenizer(kind))
    lm.hf.generation_config.update(eos_token_id=None, bos_token_id=None, pad_token_id=0)
    reward = RewardModel.untrained([ScalarModel.from_causal_lm(lm, seed=1)])
    encoder = Encoder(lm.tokenizer)
    asked = (
        [{"role": "user", "content": "How are you?"}]
        if lm.tokenizer.chat_template is not None
        else "How are you?"
    )
    example = encoder.example(asked, "Fine." if isinstance(asked, list) else " Fine.")
    expected = float(reward.score([example.group]))
    reward.save(tmp_path / "rm", [example.group])
    write_card("rm", tmp_path / "rm", "reward model")
    assert float(run_code(tmp_path / "rm/README.md", tmp_path / "rm")[8:-3]) == pytest.approx(
        expected, abs=1e-3
    )
    export_classifier(reward, [example.group], tmp_path / "out")
    write_card("rm", tmp_path / "out", "classifier")
    found = run_code(tmp_path / "out/README.md", tmp_path / "out")
    assert float(found.split("[")[1].split("]")[0]) == pytest.approx(expected, abs=1e-3)
    save_causal_lm(lm, tmp_path / "lm")
    write_card("lm", tmp_path / "lm", "model")
    said = run_code(tmp_path / "lm/README.md", tmp_path / "lm")
    assert said.startswith(lm.tokenizer.decode(encoder.prompt(asked)))


@pytest.mark.parametrize(
    "more", [["--as", "classifier"], ["--member", "0"], ["--as", "gguf", "--dtype", "int8"]]
)
def test_forms_that_do_not_fit_are_refused(more: list[str], tmp_path: Path) -> None:
    asked = ["models", "export", str(save_tiny(tmp_path / "m")), str(tmp_path / "out"), *more]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
