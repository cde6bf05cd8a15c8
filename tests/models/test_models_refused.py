"""Models that accord does not load: code of their own, other senses, quantised weights."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from accord.errors import ConfigError
from accord.models.check import check_model
from accord.models.loading import load_causal_lm
from accord.runs.known import _read, check_trainable
from accord.runs.plan import KnownModel
from accord.runs.stages.settings import LoraConfig
from tiny import save_tiny

ROOT = Path(__file__).parents[2]
CODE = """
from pathlib import Path
Path({mark!r}).write_text("run")
from transformers import PreTrainedConfig as C, PreTrainedModel as M
class OwnConfig(C):
    model_type = "own"
class OwnModel(M):
    pass
"""


def edit(folder: Path, name: str = "config.json", **changes: Any) -> None:
    """Other settings in a model's file."""
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def targets(location: str) -> object:
    """What a recipe with named targets asks of a model."""
    known = KnownModel("m", "policy", location)
    return check_trainable(known, LoraConfig(targets=["q_proj"]))


@pytest.mark.parametrize("way", [load_causal_lm, check_model, lambda at: _read(at, at), targets])
@pytest.mark.parametrize("where", ["model", "tokenizer"])
def test_code_that_comes_with_a_model_is_never_run_nor_asked_about(
    way: Callable[[str], object], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "tokenizer" and way is targets:
        return  # it reads none
    folder, mark = save_tiny(tmp_path / "model"), tmp_path / "mark"
    (folder / "own.py").write_text(CODE.format(mark=str(mark)))
    if where == "model":
        autos = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
        edit(folder, model_type="own", auto_map=autos)
    else:
        edit(
            folder,
            "tokenizer_config.json",
            tokenizer_class="Own",
            auto_map={"AutoTokenizer": ["own.Own", None]},
        )

    def asked(*_: object) -> str:
        pytest.fail("asked whether to run it")

    monkeypatch.setattr("builtins.input", asked)
    if where == "model":
        with pytest.raises(ConfigError, match="brings code of its own, which accord never runs"):
            way(str(folder))
    else:  # its files are read, as far as they say all
        with suppress(ConfigError):
            way(str(folder))
    assert not mark.exists()


def test_code_beside_a_known_architecture_is_left_alone(tmp_path: Path) -> None:
    folder, mark = save_tiny(tmp_path / "model"), tmp_path / "mark"
    (folder / "own.py").write_text(CODE.format(mark=str(mark)))
    edit(folder, auto_map={"AutoModelForCausalLM": "own.OwnModel"})
    load_causal_lm(str(folder))
    assert not mark.exists()


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "pictures": ({"model_type": "llava", "vision_config": {"model_type": "clip_vision_model"}, "text_config": {"model_type": "llama"}}, "reads more than text"),
    "gptq": ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"are quantised \(gptq\)"),
    "fp8": ({"quantization_config": {"quant_method": "fp8"}}, r"are quantised \(fp8\)"),
    "mxfp4": ({"quantization_config": {"quant_method": "mxfp4"}}, r"are quantised \(mxfp4\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("way", [load_causal_lm, lambda at: _read(at, at), targets])
def test_other_senses_and_quantised_weights_are_refused_by_name(
    way: Callable[[str], object], what: str, tmp_path: Path
) -> None:
    folder = save_tiny(tmp_path / "model")
    changes, message = CHANGES[what]
    edit(folder, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        way(str(folder))
    assert caught.value.fix


def test_every_call_of_transformers_says_that_no_code_is_trusted() -> None:
    """Left out, transformers asks on the terminal."""
    found = 0
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("from_pretrained", "from_config")
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id.startswith("Auto")
            ):
                found += 1
                told = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                assert told.get("trust_remote_code") is False, f"{file}:{node.lineno}"
    assert found >= 8


def test_weights_that_are_missing_are_not_drawn(tmp_path: Path) -> None:
    """Another architecture's name over the same weights."""
    folder = save_tiny(tmp_path / "model")
    edit(folder, model_type="granite", architectures=["GraniteForCausalLM"], num_hidden_layers=3)
    with pytest.raises(
        ConfigError, match=r"9 weights of the 'granite' model are missing.*layers\.2"
    ):
        load_causal_lm(str(folder))
