"""Every architecture of a long list says what transformers says, packed, alone and token by token,
beyond its windows as well; or it is refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from accord.errors import DataError, RunError
from accord.models import packed, probe
from accord.models.causal_lm import CausalLM
from accord.models.check import check_model
from accord.models.loading import save_causal_lm
from accord.text.packing import PromptGroup
from tiny import ByteTokenizer

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48,
    "num_attention_heads": 4, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1,
    "pad_token_id": 2,
}  # fmt: skip
GROUPED: dict[str, Any] = {"num_key_value_heads": 2}
EIGHT: dict[str, Any] = {**GROUPED, "head_dim": 8}
EXPERTS: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT: dict[str, Any] = {
    "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2,
    "topk_group": 1, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4, "v_head_dim": 8, "num_key_value_heads": 4,
}  # fmt: skip
SUPPORTED: dict[str, tuple[str, dict[str, Any]]] = {
    "arcee": ("ArceeConfig", GROUPED),
    "cohere2": ("Cohere2Config", GROUPED | {"sliding_window": 6}),
    "deepseek_v2": ("DeepseekV2Config", LATENT),
    "deepseek_v3": ("DeepseekV3Config", LATENT | {"first_k_dense_replace": 1}),
    "ernie4_5": ("Ernie4_5Config", EIGHT),
    "exaone4": ("Exaone4Config", GROUPED | {"sliding_window": 6}),
    "gemma2": ("Gemma2Config", EIGHT | {"sliding_window": 6, "attn_logit_softcapping": 0.3}),
    "gemma3_text": ("Gemma3TextConfig", EIGHT | {"sliding_window": 6}),
    "glm4": ("Glm4Config", EIGHT),
    "gpt2": ("GPT2Config", {"n_positions": 256}),
    "gpt_bigcode": ("GPTBigCodeConfig", {"n_positions": 256}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "gpt_oss": ("GptOssConfig", EIGHT | EXPERTS | {"sliding_window": 7}),
    "granite": ("GraniteConfig", GROUPED | {"logits_scaling": 3.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5}),
    "granitemoe": ("GraniteMoeConfig", GROUPED | EXPERTS),
    "helium": ("HeliumConfig", EIGHT),
    "llama4_text": ("Llama4TextConfig", EIGHT | EXPERTS | {"intermediate_size_mlp": 48, "attention_chunk_size": 120, "floor_scale": 8}),
    "mixtral": ("MixtralConfig", GROUPED | EXPERTS),
    "olmo": ("OlmoConfig", {"clip_qkv": 0.5}),
    "olmo2": ("Olmo2Config", {}),
    "olmo3": ("Olmo3Config", {"sliding_window": 7}),
    "olmoe": ("OlmoeConfig", {"num_experts": 4, "num_experts_per_tok": 2}),
    "opt": ("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "persimmon": ("PersimmonConfig", {}),
    "phi": ("PhiConfig", {}),
    "phi3": ("Phi3Config", GROUPED | {"sliding_window": 7}),
    "phimoe": ("PhimoeConfig", GROUPED | EXPERTS),
    "qwen3_moe": ("Qwen3MoeConfig", EIGHT | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}),
    "seed_oss": ("SeedOssConfig", EIGHT),
    "smollm3": ("SmolLM3Config", GROUPED),
    "starcoder2": ("Starcoder2Config", GROUPED),
}  # fmt: skip
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("BloomConfig", {}),
    "codegen": ("CodeGenConfig", {"rotary_dim": 4}),
    "diffllama": ("DiffLlamaConfig", GROUPED),
    "falcon": ("FalconConfig", {"alibi": False}),
    "gpt_neo": ("GPTNeoConfig", {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}),
    "gptj": ("GPTJConfig", {"rotary_dim": 4}),
    "jamba": ("JambaConfig", GROUPED | {"num_experts": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False}),
    "lfm2": ("Lfm2Config", GROUPED | {"full_attn_idxs": [1]}),
    "mamba": ("MambaConfig", {}),
    "mpt": ("MptConfig", {"d_model": 32, "n_heads": 4, "n_layers": 2}),
    "nemotron": ("NemotronConfig", GROUPED),
    "qwen3_next": ("Qwen3NextConfig", EIGHT | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}),
    "recurrent_gemma": ("RecurrentGemmaConfig", {"num_key_value_heads": 1, "attention_window_size": 8}),
    "stablelm": ("StableLmConfig", GROUPED),
}  # fmt: skip


def build(kind: str, **changes: Any) -> CausalLM:
    """A random model whose far tokens matter."""
    name, more = (SUPPORTED | REFUSED)[kind]
    torch.manual_seed(0)
    config = getattr(transformers, name)(**SIZES | more | changes)
    assert config.model_type == kind
    hf = transformers.AutoModelForCausalLM.from_config(config).float()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return CausalLM(hf, ByteTokenizer())


def mixed(longest: int = 90) -> list[PromptGroup]:
    """Sequences of several lengths, two of them with one prompt."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(3, 60, (n,), generator=generator).tolist() for n in (5, 40, longest, 17)]
    shared = PromptGroup(rows[1][:9], [rows[1][9:], rows[2][9:30]])
    return [*(PromptGroup(row[:2], [row[2:]]) for row in rows), shared]


@pytest.mark.parametrize("kind", SUPPORTED)
def test_packed_alone_and_token_by_token_it_is_the_same(kind: str) -> None:
    model, groups = build(kind), mixed()
    assert probe.self_check(model) < 1e-4
    native = probe.native_logprobs(model, groups)
    assert native.std() > 0.05  # the model says something
    for found in (probe.packed_logprobs(model, groups), probe.decoded_logprobs(model, groups)):
        torch.testing.assert_close(found, native, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_accord_does_not_know_is_refused_by_name(kind: str) -> None:
    with pytest.raises(RunError, match=rf"'{kind}'|does not hand on|does not know") as caught:
        probe.self_check(build(kind))
    assert "docs/models.md" in str(caught.value.fix)


def test_the_page_lists_what_was_tried() -> None:
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    ours = {"llama", "mistral", "qwen2", "qwen3", "gemma", "cohere"}
    listed = page.split("<!-- supported -->")[1].split("<!-- end -->")[0]
    assert {name.strip(" `\n") for name in listed.split(",")} == {*SUPPORTED, *ours}
    refused = page.split("<!-- refused -->")[1].split("<!-- end -->")[0]
    assert {name.strip(" `\n") for name in refused.split(",")} == {*REFUSED}


@pytest.mark.parametrize(
    "asked", [{"position_bias": torch.ones(1)}, {"is_causal": False}, {"dropout": 0.1}]
)
def test_what_attention_is_asked_for_is_known_or_refused(asked: dict[str, Any]) -> None:
    """Whatever transformers' layers pass to attention from some version on."""
    module, x = torch.nn.Module(), torch.zeros(1, 1, 2, 4)
    module.layer_idx = 0
    with pytest.raises(RunError, match=f"does not know .*{next(iter(asked))}"):
        packed.attention(module, x, x, x, None, **asked)


def test_a_layer_that_forgets_its_window_is_refused() -> None:
    model = build("olmo3")
    model.hf.model.layers[0].self_attn.sliding_window = None
    with pytest.raises(RunError, match="does not know layers of sliding_attention"):
        probe.packed_logprobs(model, mixed())


def test_longer_than_a_chunk_is_refused() -> None:
    model = build("llama4_text")
    assert model.context == 120
    with pytest.raises(DataError, match=r"attention in chunks of this 'llama4_text' model"):
        probe.packed_logprobs(model, mixed(121))


def test_the_check_of_models_looks_beyond_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of 40 tokens: more than the first probe holds."""
    model = build("phi3", sliding_window=40)
    save_causal_lm(model, tmp_path / "m")
    report = check_model(str(tmp_path / "m"))
    assert "probed with sequences of up to 256 tokens" in report.notes
    plan = packed.plan_attention
    monkeypatch.setattr(packed, "plan_attention", lambda stream, window=0: plan(stream))
    assert probe.self_check(model) < 1e-4
    with pytest.raises(RunError, match="packed and native"):
        check_model(str(tmp_path / "m"))
