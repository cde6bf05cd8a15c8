"""What the files of a model say about it and how others load it, for its card."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from accord.runs.known import ADAPTER, CONFIG, REWARD

Form = Literal["model", "adapter", "classifier", "reward model"]

ASKED = {True: '[{"role": "user", "content": "How are you?"}]', False: '"How are you?"'}
ANSWERED = {True: '"Fine."', False: '" Fine."'}
"""A prompt and a response of a model with a chat template, and of one without."""
TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Of weights, by safetensors' names."""
LOADED = (
    "from transformers import {auto}, AutoTokenizer\n\n"
    'model = {auto}.from_pretrained("{name}", dtype="auto")\n'
    'tokenizer = AutoTokenizer.from_pretrained("{name}")\n'
)
SAMPLED = "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0]))"
CHAT = (
    "inputs = tokenizer.apply_chat_template(\n"
    '    {asked}, add_generation_prompt=True, return_dict=True, return_tensors="pt"\n)\n'
)
PLAIN = 'inputs = tokenizer({bos}{asked}, add_special_tokens=False, return_tensors="pt")\n'
SCORED_CHAT = (
    'messages = [*{asked}, {{"role": "assistant", "content": {answered}}}]\n'
    "text = tokenizer.apply_chat_template(messages, tokenize=False)\n"
    "text = text.rsplit({stop}, 1)[0] + {stop}  # a score is read where the reply ends\n"
    'inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")\n'
)
SCORED_PLAIN = (
    "text = {asked} + {answered} + {stop}  # a score is read where the response ends\n"
    'inputs = tokenizer(text, return_tensors="pt")\n'
)
SCORE = "print(model(**inputs).logits[:, 0] + model.config.score_offset)"
REWARDED = (
    "from pathlib import Path\n\n"
    "from accord.models.reward_model import RewardModel\n"
    "from accord.text.encoding import Encoder\n\n"
    'reward = RewardModel.load(Path("{name}"))\n'
    "encoder = Encoder(reward.members[0].lm.tokenizer)\n"
    "print(reward.score([encoder.example({asked}, {answered}).group]).mean(0))"
)


def form_of(folder: Path) -> Form | None:
    """What lies in a folder; None where it is no model."""
    forms: dict[str, Form] = {REWARD: "reward model", ADAPTER: "adapter", CONFIG: "model"}
    return next((form for file, form in forms.items() if (folder / file).is_file()), None)


def facts(folder: Path) -> dict[str, str]:
    """Name to value, of a model's directory."""
    form = form_of(folder)
    if form == "reward model":
        return dict(_of_reward(folder)) | facts(_trunk(folder))
    found = dict(_of_adapter(folder) if form == "adapter" else _of_config(folder))
    parameters, types = _weights(folder)
    found |= {"parameters": f"{parameters:,}", "weights": ", ".join(sorted(types))}
    return found | dict(_of_tokenizer(folder))


def usage(folder: Path, form: Form, name: str) -> str:
    """Python that loads the model in `folder` from `name` and asks it something."""
    tokenizer = _tokenizer(_trunk(folder) if form == "reward model" else folder)
    chats = tokenizer.chat_template is not None
    asked = ASKED[chats]
    if form == "reward model":
        return REWARDED.format(name=name, asked=asked, answered=ANSWERED[chats])
    if form == "classifier":
        read = SCORED_CHAT if chats else SCORED_PLAIN
        loaded = LOADED.format(auto="AutoModelForSequenceClassification", name=name)
        stop = json.dumps(_stop(tokenizer))
        return loaded + read.format(asked=asked, answered=ANSWERED[chats], stop=stop) + SCORE
    bos = "" if tokenizer.bos_token is None else f"{json.dumps(tokenizer.bos_token)} + "
    inputs = (CHAT if chats else PLAIN).format(asked=asked, bos=bos)
    return LOADED.format(auto="AutoModelForCausalLM", name=name) + inputs + SAMPLED


def _trunk(folder: Path) -> Path:
    """Of a reward model's first member."""
    shared = folder / "trunk"
    return shared if shared.is_dir() else folder / "member-0"


def _of_reward(folder: Path) -> Iterator[tuple[str, str]]:
    told = _json(folder / REWARD)
    yield "members", f"{told['members']} ({told['trunk']} trunk)"
    yield "head", str(told["head"]["kind"])
    centre = ", ".join(f"{value:.4g}" for value in told["centre"])
    yield "score", f"(raw score - {centre}) / {told['scale']:.4g}"
    yield "temperature of preferences", f"{told['temperature']:.4g}"


def _of_adapter(folder: Path) -> Iterator[tuple[str, str]]:
    told = _json(folder / ADAPTER)
    yield "adapter on", str(told["base_model_name_or_path"])
    yield "rank", f"{told['r']} (scaled by {told['lora_alpha'] / told['r']:g})"


def _of_config(folder: Path) -> Iterator[tuple[str, str]]:
    from accord.models.huggingface import load_config
    from accord.models.lengths import context_of
    from accord.models.llama_files import read_config

    config = read_config(folder) or load_config(str(folder), local_only=True)
    yield "architecture", str(config.model_type)
    yield "longest sequence, in tokens", f"{context_of(config):,}"


def _of_tokenizer(folder: Path) -> Iterator[tuple[str, str]]:
    tokenizer = _tokenizer(folder)
    chats = tokenizer.chat_template is not None
    yield "chat template", "yes" if chats else "no, plain text"
    if not chats and tokenizer.bos_token is not None:
        yield "texts begin with", tokenizer.bos_token
    yield "replies end with", _stop(tokenizer)


def _tokenizer(folder: Path) -> Any:
    from accord.models.huggingface import load_tokenizer

    return load_tokenizer(str(folder), local_only=True)


def _stop(tokenizer: Any) -> str:
    from accord.text.encoding import Encoder

    return str(tokenizer.convert_ids_to_tokens(Encoder(tokenizer).stop_ids[0]))


def _weights(folder: Path) -> tuple[int, set[str]]:
    """How many numbers its files hold, and their types."""
    from safetensors import safe_open

    total, types = 0, set[str]()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (not a dict)
                part = opened.get_slice(name)
                total += math.prod(part.get_shape())
                types.add(TYPES.get(part.get_dtype(), part.get_dtype()))
    return total, types


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
