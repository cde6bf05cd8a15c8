"""Llama-like models without transformers: the same numbers, the same files, and nothing guessed."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)  # fmt: skip

from accord.errors import ConfigError
from accord.models import llama_files, precision
from accord.models.causal_lm import CausalLM
from accord.models.huggingface import in_transformers, load_tokenizer
from accord.models.llama import LlamaLM
from accord.models.llama_files import read_config, read_llama
from accord.models.loading import LoraSettings, add_lora, load_causal_lm, save_causal_lm
from accord.models.packed import KeyValueCache
from accord.text.packing import PromptGroup, pack
from tiny import ByteTokenizer, save_tiny

SHAPE: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.2, "bos_token_id": 0,
    "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
KINDS = {
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "llama untied, with biases": LlamaConfig(
        **SHAPE, attention_bias=True, mlp_bias=True, tie_word_embeddings=False
    ),
    "llama with wide heads": LlamaConfig(**SHAPE, head_dim=16),
    "llama 3.1": LlamaConfig(**SHAPE, rope_parameters=LLAMA3),
    "llama, stretched": LlamaConfig(
        **SHAPE, rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}
    ),
    "mistral": MistralConfig(**SHAPE, sliding_window=None),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SHAPE, head_dim=16),
}
GROUPS = [
    PromptGroup([5, 6, 7, 8], [[10, 11, 12], [13, 14]]),
    PromptGroup([1], [[2, 3, 4, 5, 6, 7, 8, 9]]),
]


def made(config: Any, folder: Path, half: bool = False) -> PreTrainedModel:
    """A random model of this shape (biases and norms too), and its files."""
    torch.manual_seed(0)
    hf: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    (hf.half() if half else hf).save_pretrained(folder)
    ByteTokenizer().save_pretrained(folder)
    return hf


def both(config: Any, folder: Path) -> tuple[CausalLM, CausalLM]:
    """(ours, transformers') with the same weights."""
    theirs = made(config, folder)
    ours = load_causal_lm(str(folder))
    assert isinstance(ours.hf, LlamaLM)
    return ours, CausalLM(theirs, ByteTokenizer())


@pytest.mark.parametrize("kind", KINDS)
def test_every_pass_gives_the_same_numbers(kind: str, tmp_path: Path) -> None:
    ours, theirs = both(KINDS[kind], tmp_path)
    ids = torch.randint(0, 64, (3, 60))
    with ours.native_forward() as own, theirs.native_forward() as other:
        torch.testing.assert_close(
            own(input_ids=ids).logits, other(input_ids=ids).logits, atol=1e-6, rtol=1e-5
        )
    stream = pack(GROUPS)
    for arithmetic in ("fp32", "bf16"):
        precision.use(arithmetic)
        try:
            packed = [model.logprobs(stream) for model in (ours, theirs)]
        finally:
            precision.use("fp32")
        assert torch.equal(*packed), arithmetic
    for model in (ours, theirs):
        model.logprobs(stream).sum().backward()
    expected = {name: p.grad for name, p in theirs.hf.named_parameters()}
    assert expected.keys() == {name for name, _ in ours.hf.named_parameters()}
    for name, p in ours.hf.named_parameters():
        assert torch.equal(p.grad, expected[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_and_single_tokens_give_the_same_hidden_states(kind: str, tmp_path: Path) -> None:
    found = []
    for model in both(KINDS[kind], tmp_path):
        cache = KeyValueCache(2, 20)
        with torch.no_grad():
            prompts = pack([PromptGroup([5], [[6, 7]]), PromptGroup([9], [[8, 7]])])
            model.prefill(prompts, cache, [[0], [1]])
            at = torch.tensor([3, 3])
            found.append(
                [
                    part.decode(torch.tensor([4, 5]), at, cache)
                    for part in (model, model.decoder(2))
                ]  # modules, weights
            )
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_what_transformers_reads(kind: str, tmp_path: Path) -> None:
    ours, theirs = both(KINDS[kind], tmp_path / "a")
    with torch.no_grad():
        for model in (ours, theirs):
            model.hf.model.layers[1].mlp.down_proj.weight.mul_(2)
    save_causal_lm(ours, tmp_path / "b")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "b", dtype=torch.float32)
    for name, weight in theirs.hf.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    first, second = (AutoConfig.from_pretrained(tmp_path / name).to_dict() for name in "ab")
    assert first | {"_name_or_path": ""} == second | {"_name_or_path": ""}
    assert again.generation_config.eos_token_id == theirs.hf.generation_config.eos_token_id


def test_half_precision_files_are_read_as_fp32_and_written_on_request(tmp_path: Path) -> None:
    made(KINDS["llama 3.1"], tmp_path / "a", half=True)
    ours = load_causal_lm(str(tmp_path / "a"))
    assert ours.hf.dtype == torch.float32
    save_causal_lm(ours, tmp_path / "b", "float16")
    assert json.loads((tmp_path / "b" / "config.json").read_text())["dtype"] == "float16"
    again = load_causal_lm(str(tmp_path / "b"))
    assert ours.hf.dtype == torch.float32
    assert torch.equal(again.logprobs(pack(GROUPS)), ours.logprobs(pack(GROUPS)))


def test_weights_in_several_files(tmp_path: Path) -> None:
    theirs = made(KINDS["llama untied, with biases"], tmp_path / "a")
    theirs.save_pretrained(tmp_path / "b", max_shard_size="20KB")
    assert len(list((tmp_path / "b").glob("*.safetensors"))) > 2
    read = read_llama(tmp_path / "b")
    assert read is not None
    for name, weight in theirs.state_dict().items():
        assert torch.equal(read.state_dict()[name], weight), name


def test_one_damaged_file_of_several_is_left_to_transformers(tmp_path: Path) -> None:
    theirs = made(KINDS["llama"], tmp_path)
    alone = (tmp_path / "model.safetensors").read_bytes()
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors").unlink()
    assert read_llama(tmp_path) is not None
    last = sorted(tmp_path.glob("*.safetensors"))[-1]
    last.write_bytes(last.read_bytes()[:50])
    assert read_llama(tmp_path) is None
    last.unlink()
    assert read_llama(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(
        alone
    )  # one file alone counts, whatever an index beside it says
    assert read_llama(tmp_path) is not None
    assert AutoModelForCausalLM.from_pretrained(tmp_path) is not None


def test_older_files_say_the_same_in_other_words(tmp_path: Path) -> None:
    made(KINDS["llama 3.1"], tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    older = config | {
        "rope_theta": rope.pop("rope_theta"),
        "rope_scaling": rope,
        "torch_dtype": config.pop("dtype"),
    }
    (tmp_path / "config.json").write_text(json.dumps(older))
    ours = read_llama(tmp_path)
    assert ours is not None
    ids = torch.randint(0, 64, (1, 100))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, atol=1e-5, rtol=1e-4)


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    """What a config.json may leave out: transformers writes only what differs from its defaults in
    older versions."""
    for kind, theirs in {
        "llama": LlamaConfig,
        "mistral": MistralConfig,
        "qwen2": Qwen2Config,
    }.items():
        left_out = theirs(**SHAPE)
        full = json.loads(left_out.to_json_string(use_diff=False))
        few = {
            key: full[key]
            for key in (*SHAPE, "model_type", "rms_norm_eps", "hidden_act", "rope_parameters")
        }
        few |= {
            "architectures": [
                left_out.architectures or theirs.__name__.replace("Config", "ForCausalLM")
            ]
        }
        (tmp_path / "config.json").write_text(
            json.dumps(few | ({"sliding_window": None} if kind == "mistral" else {}))
        )
        own, other = read_config(tmp_path), AutoConfig.from_pretrained(tmp_path)
        assert own is not None
        assert own.tie_word_embeddings == other.tie_word_embeddings
        assert (own.head_dim, own.qkv_bias) == (getattr(other, "head_dim", 8) or 8, kind == "qwen2")


CHANGES: dict[str, dict[str, Any]] = {
    "another architecture": {"model_type": "gemma"},
    "a head of another kind": {"architectures": ["LlamaForSequenceClassification"]},
    "quantised": {"quantization_config": {"quant_method": "gptq"}},
    "a setting of tomorrow": {"residual_dropout_shape": 3},
    "another activation": {"hidden_act": "gelu"},
    "partly rotary": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    },
    "another rotary kind": {
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
    },
    "rotary twice": {"rope_theta": 500000.0},
    "sliding layers": {"layer_types": ["sliding_attention", "full_attention"]},
    "a window": {"use_sliding_window": True},
    "a size left out": {"num_key_value_heads": None},
    "split products": {"pretraining_tp": 2},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_understood_is_left_to_transformers(change: str, tmp_path: Path) -> None:
    made(KINDS["llama"], tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert read_llama(tmp_path) is not None
    (tmp_path / "config.json").write_text(json.dumps(config | CHANGES[change]))
    assert read_llama(tmp_path) is None


def test_windows_and_biases_that_only_some_architectures_have(tmp_path: Path) -> None:
    made(MistralConfig(**SHAPE, sliding_window=16), tmp_path / "m")
    assert read_llama(tmp_path / "m") is None
    assert load_causal_lm(str(tmp_path / "m")).hf.config.sliding_window == 16
    for kind, bias in (
        ("mistral", "attention_bias"),
        ("qwen2", "attention_bias"),
        ("qwen3", "mlp_bias"),
    ):
        made(KINDS[kind], tmp_path / kind)
        config = json.loads((tmp_path / kind / "config.json").read_text())
        (tmp_path / kind / "config.json").write_text(json.dumps(config | {bias: True}))
        assert read_llama(tmp_path / kind) is None


@pytest.mark.parametrize("damage", ["missing", "spare", "shape", "cut", "none"])
def test_weights_that_do_not_fit_are_not_made_up(damage: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    made(KINDS["llama untied, with biases"], tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    if damage == "missing":
        del weights["lm_head.weight"]
    elif damage == "spare":
        weights["model.layers.0.self_attn.sinks"] = torch.zeros(4)
    elif damage == "shape":
        weights["model.norm.weight"] = torch.ones(16)
    save_file(weights, file, metadata={"format": "pt"})
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "none":
        file.unlink()
    assert read_llama(tmp_path) is None
    ByteTokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError):
        load_causal_lm(str(tmp_path))


def test_nothing_to_load_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot load a causal LM"):
        load_causal_lm(str(tmp_path / "nowhere"))
    weights = save_tiny(tmp_path / "m") / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(
        ConfigError, match=r"cannot load a causal LM from .*: Error while deserializing header"
    ):
        load_causal_lm(str(tmp_path / "m"))
    weights.write_bytes(whole)
    (tmp_path / "m" / "tokenizer.json").unlink()
    (tmp_path / "m" / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match="cannot load a tokenizer"):
        load_causal_lm(str(tmp_path / "m"))


def test_in_transformers_shares_the_weights_and_an_adapter_names_its_base(tmp_path: Path) -> None:
    for kind in KINDS:
        ours, _ = both(KINDS[kind], tmp_path / kind)
        ours.hf.generation_config.eos_token_id = [1, 5]
        theirs = in_transformers(ours)
        assert in_transformers(theirs) is theirs
        own = dict(ours.hf.named_parameters())
        assert all(p is own[name] for name, p in theirs.hf.named_parameters())
        assert theirs.hf.generation_config.eos_token_id == [1, 5]
        assert torch.equal(theirs.logprobs(pack(GROUPS)), ours.logprobs(pack(GROUPS)))
    policy = add_lora(ours, LoraSettings(2, 4.0), 0)
    save_causal_lm(policy, tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(tmp_path / kind)
    again = load_causal_lm(str(tmp_path / "adapter"))
    assert torch.equal(again.logprobs(pack(GROUPS)), policy.logprobs(pack(GROUPS)))


def test_training_and_sampling_import_neither_transformers_nor_a_compiler(tmp_path: Path) -> None:
    """Both together take three times as long to import as everything that is needed."""
    save_tiny(tmp_path / "m")
    code = """
import sys
from accord.learning.optimizer import Optimizer
from accord.learning.settings import OptimizerSettings
from accord.learning.supervised import supervised_step
from accord.models.loading import load_causal_lm, save_causal_lm
from accord.sampling.builtin import BuiltinSampler
from accord.sampling.rollout import SamplingSettings
from accord.text.encoding import Encoder
from pathlib import Path
model = load_causal_lm(sys.argv[1])
example = Encoder(model.tokenizer).example("ann", "likes it")
optimizer = Optimizer(model.parameters(), OptimizerSettings(learning_rate=1e-3), 2)
optimizer.ready()
supervised_step(model, [example.group], 512)
optimizer.step("here")
BuiltinSampler(model).sample([example.prompt_ids], SamplingSettings(max_new_tokens=3), [0])
save_causal_lm(model, Path(sys.argv[2]))
heavy = {"transformers", "torch._dynamo", "torch._inductor", "sympy", "scipy", "pandas", "peft", "datasets"}
print(sorted(heavy & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "m"), str(tmp_path / "n")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("tied", [True, False])
def test_what_old_files_hold_beside_the_weights_is_left_out(tied: bool) -> None:
    """The frequencies of the rotation, and a head that is the embeddings; nothing else."""
    config: Any = SimpleNamespace(tie_word_embeddings=tied)
    assert llama_files._spare("model.layers.0.self_attn.rotary_emb.inv_freq", config)
    assert llama_files._spare("lm_head.weight", config) is tied
    for name in ("model.norm.weight", "model.odd.weight", "rotary_emb.inv_freq.more"):
        assert not llama_files._spare(name, config)


def test_the_first_line_says_why_a_tokenizer_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("it is not there\nmuch else")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", refused)
    with pytest.raises(ConfigError) as error:
        load_tokenizer(str(tmp_path), local_only=True)
    assert error.value.message == f"cannot load a tokenizer from {str(tmp_path)!r}: it is not there"
