"""Packed forward, log-probabilities and heads equal the architectures' own forward passes."""

from __future__ import annotations

import pytest
import torch
import transformers

from accord.errors import RunError
from accord.models.attention import plan_attention
from accord.models.causal_lm import CausalLM
from accord.models.loading import (
    LoraSettings,
    add_lora,
    copy_causal_lm,
    load_causal_lm,
    save_causal_lm,
)
from accord.models.probe import self_check
from accord.models.reward_model import FILE, RewardModel
from accord.models.scalar import ScalarModel
from accord.text.packing import PromptGroup, cut_groups, micro_batches, pack, streams
from tiny import ByteTokenizer, tiny_llama

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4,
    "max_position_embeddings": 128,
}  # fmt: skip
ARCHITECTURES = {
    "llama": (transformers.LlamaConfig, {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "llama-gqa-untied": (
        transformers.LlamaConfig,
        {"num_key_value_heads": 2, "tie_word_embeddings": False},
    ),
    "qwen2": (transformers.Qwen2Config, {"num_key_value_heads": 2}),
    "qwen3": (transformers.Qwen3Config, {"num_key_value_heads": 2, "head_dim": 8}),
    "gemma": (
        transformers.GemmaConfig,
        {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0},
    ),
    "gpt-neox": (transformers.GPTNeoXConfig, {}),
    "mistral-window": (transformers.MistralConfig, {"num_key_value_heads": 2, "sliding_window": 7}),
    "gemma2": (
        transformers.Gemma2Config,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "pad_token_id": 0,
            "sliding_window": 6,
            "attn_logit_softcapping": 0.2,
            "final_logit_softcapping": 0.5,
            "initializer_range": 0.5,
        },
    ),
    "gpt-oss": (
        transformers.GptOssConfig,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 7,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "initializer_range": 0.5,
        },
    ),
    "granite": (transformers.GraniteConfig, {"num_key_value_heads": 2, "logits_scaling": 0.25}),
    "cohere": (
        transformers.CohereConfig,
        {"num_key_value_heads": 2, "pad_token_id": 0, "logit_scale": 3.0},
    ),
}
GROUPS = [
    PromptGroup([5, 6, 7, 8, 9], [[10, 11, 12], [13, 14], [15, 16, 17, 18, 19, 20, 21]]),
    PromptGroup([1], [[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]),
    PromptGroup([9, 9], [[2], [3, 3]]),
]


def build(name: str) -> CausalLM:
    config_class, extra = ARCHITECTURES[name]
    torch.manual_seed(0)
    config = config_class(**{**SIZES, **extra})
    return CausalLM(transformers.AutoModelForCausalLM.from_config(config), ByteTokenizer())


def native_logprobs(model: CausalLM, groups: list[PromptGroup], padding_side: str) -> torch.Tensor:
    """Token log-probabilities from a padded batch through the architecture's own eager
    attention."""
    rows = [(list(g.prompt), list(r)) for g in groups for r in g.responses]
    width = max(len(p) + len(r) for p, r in rows)
    ids, mask = (
        torch.zeros(len(rows), width, dtype=torch.long),
        torch.zeros(len(rows), width, dtype=torch.long),
    )
    for i, (prompt, response) in enumerate(rows):
        n = len(prompt) + len(response)
        at = slice(0, n) if padding_side == "right" else slice(width - n, width)
        ids[i, at], mask[i, at] = torch.tensor(prompt + response), 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    before = model.hf.config._attn_implementation
    model.hf.config._attn_implementation = "eager"
    logits = model.hf(input_ids=ids, attention_mask=mask, position_ids=positions).logits.float()
    model.hf.config._attn_implementation = before
    logp = torch.log_softmax(logits, -1)
    parts = []
    for i, (prompt, response) in enumerate(rows):
        start = len(prompt) + (
            0 if padding_side == "right" else width - len(prompt) - len(response)
        )
        at = torch.arange(start, start + len(response))
        parts.append(logp[i, at - 1].gather(1, ids[i, at, None])[:, 0])
    return torch.cat(parts)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("share_prefix", [True, False])
def test_packed_logprobs_equal_native(name: str, share_prefix: bool) -> None:
    model = build(name)
    packed = model.logprobs(pack(GROUPS, share_prefix))
    for side in ("right", "left"):
        torch.testing.assert_close(
            packed, native_logprobs(model, GROUPS, side), atol=2e-5, rtol=1e-4
        )
    assert self_check(model) < 1e-4


@pytest.mark.parametrize("name", ["llama", "gemma2", "granite", "cohere"])
@torch.no_grad()
def test_temperature_divides_what_the_architecture_calls_logits(name: str) -> None:
    """Soft-capped or scaled before, by the chunk and as whole distributions."""
    model, ids = build(name), [5, 6, 7, 8, 9]
    with model.native_forward() as hf:
        logits_TV = hf(input_ids=torch.tensor([ids])).logits[0, :-1].float()
    expected_TV = torch.log_softmax(logits_TV / 0.3, -1)
    stream = pack([PromptGroup(ids[:1], [ids[1:]])])
    ((_, whole_TV),) = model.full_logprobs(stream, 0.3)
    torch.testing.assert_close(whole_TV, expected_TV, atol=2e-5, rtol=1e-4)
    logp_T = expected_TV.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    torch.testing.assert_close(model.logprobs(stream, 0.3), logp_T, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["llama", "llama-gqa-untied", "gemma", "mistral-window", "gemma2", "gpt-oss"]
)
def test_long_sequences_equal_native(name: str) -> None:
    """Buckets of more than 256 keys: filled up to multiples of 64, causal without a mask where no
    prompt is shared."""
    model, other = build(name), build(name)
    ids = [5 + i * 7 % 50 for i in range(700)]
    groups = [
        PromptGroup(ids[:270], [ids[3:23], ids[5:9]]),
        PromptGroup(ids[:4], [ids[9:285]]),
        PromptGroup(ids[:290], [ids[7:10]]),
    ]
    plan = plan_attention(pack(groups[1:]))
    assert [(b.causal, b.whole, b.key_at_bL.shape[1] % 64) for b in plan.buckets] == [
        (True, False, 0)
    ]
    assert all(b.key_at_bL.shape[1] % 64 == 0 for b in plan_attention(pack(groups)).buckets)
    for part in (groups, groups[1:]):
        packed = model.logprobs(pack(part))
        native = native_logprobs(other, part, "right")
        torch.testing.assert_close(packed, native, atol=5e-5, rtol=1e-3)
        for lm, logp in ((model, packed), (other, native)):
            lm.hf.zero_grad()
            (logp * torch.linspace(-1, 1, logp.numel())).sum().backward()
        for (key, p), q in zip(model.hf.named_parameters(), other.hf.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, atol=2e-4, rtol=2e-3, msg=key)


def test_gradients_equal_native_and_micro_batches() -> None:
    whole, native, parts = tiny_llama(), tiny_llama(), tiny_llama()
    whole.logprobs(pack(GROUPS)).sum().backward()
    native_logprobs(native, GROUPS, "right").sum().backward()
    for start, end in micro_batches(GROUPS, 12):
        parts.logprobs(pack(GROUPS[start:end])).sum().backward()
    for other in (native, parts):
        for (key, p), q in zip(whole.hf.named_parameters(), other.hf.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, atol=2e-5, rtol=1e-3, msg=key)


def test_groups_above_the_budget_are_cut_between_responses() -> None:
    """Same responses, same order, no stream above the budget unless one response is;
    log-probabilities as in one stream."""
    cut = cut_groups(GROUPS, 11)
    assert [(len(g.prompt), [len(r) for r in g.responses]) for g in cut] == [
        (5, [3, 2]),
        (5, [7]),
        (1, [10]),
        (2, [1, 2]),
    ]
    assert [r for g in cut for r in g.responses] == [r for g in GROUPS for r in g.responses]
    assert [s.tokens for s in streams(GROUPS, 11)] == [10, 12, 11, 5]
    assert cut_groups(GROUPS, 17) == GROUPS
    model = tiny_llama()
    parts = torch.cat([model.logprobs(stream) for stream in streams(GROUPS, 11)])
    torch.testing.assert_close(parts, model.logprobs(pack(GROUPS)), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chunked_logprob_gradient_when_recomputed(
    monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    from accord.models import logprob

    hidden = torch.randn(9, 8, dtype=torch.double, requires_grad=True)
    weight = torch.randn(12, 8, dtype=torch.double, requires_grad=True)
    targets = torch.randint(0, 12, (9,))
    monkeypatch.setattr(logprob, "CHUNK", 4)
    for keep in (0, 10**9):
        monkeypatch.setattr(logprob, "KEEP_ELEMENTS", keep)
        ours = logprob.token_logprobs(hidden, weight, targets, temperature)
        ours.pow(2).sum().backward(retain_graph=True)
        got = (hidden.grad, weight.grad)
        hidden.grad = weight.grad = None
        plain = torch.log_softmax(hidden @ weight.t() / temperature, -1).gather(
            1, targets[:, None]
        )[:, 0]
        plain.pow(2).sum().backward()
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(got, (hidden.grad, weight.grad), atol=1e-4, rtol=1e-4)
        hidden.grad = weight.grad = None
        ours.pow(2).sum().backward()  # the same graph once more
        torch.testing.assert_close(got, (hidden.grad, weight.grad), atol=1e-4, rtol=1e-4)
        hidden.grad = weight.grad = None


def test_improbable_targets_have_finite_logprobs() -> None:
    from accord.models.logprob import token_logprobs

    hidden = torch.tensor([[200.0, 0.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    logp = token_logprobs(hidden.expand(3, 2), weight, torch.arange(3))
    torch.testing.assert_close(logp, torch.tensor([0.0, -200.0, -400.0]))


def test_token_at_points_at_the_targets() -> None:
    for share in (True, False):
        stream = pack(GROUPS, share)
        assert torch.equal(stream.token_ids_N[stream.token_at_S], stream.targets_S)
        assert torch.equal(stream.token_ids_N[stream.last_R], torch.tensor([12, 14, 21, 11, 2, 3]))


def test_scores_do_not_depend_on_packing_or_pad_id() -> None:
    member = ScalarModel.from_causal_lm(tiny_llama(), seed=1)
    together = member.scores(pack(GROUPS))
    alone = torch.cat(
        [member.scores(pack([PromptGroup(g.prompt, [r])])) for g in GROUPS for r in g.responses]
    )
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    member.lm.hf.config.pad_token_id = 12  # the id that ends the first response
    torch.testing.assert_close(member.scores(pack(GROUPS)), together)


def test_reward_model_round_trip_and_lost_head(tmp_path) -> None:
    members = [ScalarModel.from_causal_lm(tiny_llama(), seed) for seed in (1, 2)]
    model = RewardModel(members, torch.tensor([0.5, -0.5]), scale=2.0, temperature=1.5)
    model.save(tmp_path / "rm", probes=GROUPS[:2])
    loaded = RewardModel.load(tmp_path / "rm")
    torch.testing.assert_close(loaded.score(GROUPS), model.score(GROUPS))
    assert (loaded.scale, loaded.temperature, loaded.size) == (2.0, 1.5, 2)
    record = tmp_path / "rm" / FILE
    record.write_text(record.read_text().replace('"centre": [\n  0.5', '"centre": [\n  0.9'))
    with pytest.raises(RunError, match="scores its own probes"):
        RewardModel.load(tmp_path / "rm")


def test_saved_model_loads_in_transformers(tmp_path) -> None:
    model = load_causal_lm(str(save_causal_lm(tiny_llama(), tmp_path / "m")))
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert plain.config._attn_implementation != "accord_packed"
    torch.testing.assert_close(
        native_logprobs(CausalLM(plain, model.tokenizer), GROUPS, "right"),
        model.logprobs(pack(GROUPS)),
        atol=1e-5,
        rtol=1e-4,
    )


def test_lora_reference_is_the_base_and_reloads(tmp_path) -> None:
    base_dir = save_causal_lm(tiny_llama(), tmp_path / "base")
    base = load_causal_lm(str(base_dir))
    before = base.logprobs(pack(GROUPS)).detach()
    policy = add_lora(copy_causal_lm(base), LoraSettings(rank=4), seed=0)
    assert all("lora" in name for name, p in policy.hf.named_parameters() if p.requires_grad)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.05)
    changed = policy.logprobs(pack(GROUPS)).detach()
    assert (changed - before).abs().max() > 1e-3
    with policy.reference():
        torch.testing.assert_close(policy.logprobs(pack(GROUPS)), before)
    again = load_causal_lm(str(save_causal_lm(policy, tmp_path / "adapter")))
    torch.testing.assert_close(again.logprobs(pack(GROUPS)), changed, atol=1e-5, rtol=1e-4)
