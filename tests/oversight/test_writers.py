"""Models that write critiques and revisions: on this machine through a chat template, and behind an
endpoint."""

from __future__ import annotations

from accord.models.loading import freeze, load_causal_lm
from accord.oversight.drafts import Failure, WrittenText
from accord.oversight.writers import EndpointWriter, ModelWriter
from accord.sampling.asking import Asker, Patience
from accord.sampling.endpoint import Endpoint
from accord.text.encoding import Encoder
from scripted import completion, scripted


def conversation(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_model_on_this_machine_answers_by_its_seed_whoever_else_is_asked(pico: str) -> None:
    model = freeze(load_causal_lm(pico))
    encoder = Encoder(model.tokenizer, "accord:plain")
    writer = ModelWriter(model, encoder, "pico", 12, 1.0)
    asked = [conversation(f"Question {n}?") for n in range(4)]
    both = writer.write(asked, [1, 2, 3, 4])
    assert writer.write(asked[2:3], [3]) == both[2:3]
    assert writer.write(asked[2:3], [5]) != both[2:3]
    long = conversation("word " * 3000)
    mixed = writer.write([asked[0], long, asked[1]], [1, 9, 2])
    assert [mixed[0], mixed[2]] == both[:2]
    assert isinstance(mixed[1], Failure)
    assert f"12 to write are more than {model.context}" in mixed[1].reason


def test_an_endpoint_is_asked_each_once_with_a_seed_of_its_own() -> None:
    def answer(request: dict[str, object], _: int) -> object:
        text = request["messages"][0]["content"]  # type: ignore[index]
        return completion("cut", finish="length") if text == "long" else f"to {text}"

    with scripted(answer) as server:
        asker = Asker(Endpoint(server.url, "m"), patience=Patience(tries=1))
        writer = EndpointWriter(asker, 7, 0.5)
        asked = [conversation("a"), conversation("long"), conversation("a")]
        found = writer.write(asked, [1, 2, 3])
        assert found == [WrittenText("to a"), WrittenText("cut", False), WrittenText("to a")]
        assert writer.write(asked, [1, 2, 3]) == found
    assert len(server.asked) == 3
    assert len({one["seed"] for one in server.asked}) == 3
    assert {(one["max_tokens"], one["temperature"]) for one in server.asked} == {(7, 0.5)}
    assert writer.name == f"{server.url}#m"
