"""Questions to judges: templates that are checked when they are read, and texts put in as they
are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import ConfigError, DataError
from accord.oversight.judge_questions import (
    Criterion,
    JudgeForm,
    checked_template,
    closing,
    read_template,
    usual_template,
)

FORMS: list[JudgeForm] = ["pairwise", "pointwise", "rubric"]


@pytest.mark.parametrize("form", FORMS)
@given(
    texts=st.lists(st.text(st.sampled_from("ab{}\n prompt")), min_size=3, max_size=3),
    principle=st.text(st.sampled_from("be kind{}"), min_size=1),
)
def test_all_of_the_texts_stand_in_the_question(
    form: JudgeForm, texts: list[str], principle: str
) -> None:
    template = usual_template(form, by_principle=True)
    responses = texts[1:] if form == "pairwise" else texts[1:2]
    asked = template.filled(texts[0], responses, Criterion("p", principle))
    for one in (texts[0], *responses, principle):
        assert one in asked.text
    assert asked.responses == tuple(responses)


@pytest.mark.parametrize(
    ("form", "text", "by_principle", "said"),
    [
        ("pairwise", "{prompt} {first}", False, "lacks {second}"),
        ("pairwise", "{prompt} {first} {secnd}", False, 'did you mean "second"'),
        ("pairwise", "{prompt} {first} {second} {principle}", False, "there is no constitution"),
        ("pairwise", "{prompt} {first} {second}", True, "lacks {principle}"),
        ("pointwise", "{response}", False, "lacks {prompt}"),
        ("pointwise", "{prompt} {response} {high!r}", False, "is given a format"),
        ("pointwise", "{prompt} {response.text}", False, "names {response.text}"),
        ("pairwise", "{prompt} {first} {second} }", False, "a brace that is not closed"),
        ("rubric", "{prompt} {response} {principle}", False, "a rubric needs criteria"),
    ],
)
def test_a_template_that_lacks_or_invents_something_is_refused(
    form: JudgeForm, text: str, by_principle: bool, said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        checked_template(form, text, by_principle, (1, 5), "the template t.txt")
    assert said in str(error.value)


def test_scales_that_one_token_cannot_tell_are_refused() -> None:
    for scale in ((1, 10), (5, 5), (-1, 3)):
        with pytest.raises(ConfigError, match="within 0 to 9"):
            usual_template("pointwise", False, scale)


def test_a_file_of_the_users_is_read_and_hashed(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("{{braces}} {prompt}|{first}|{second}?\n", encoding="utf-8")
    template = read_template(path, "pairwise", False)
    assert template.filled("p", ["1", "2"]).text == "{braces} p|1|2?"
    path.write_text("{{braces}} {prompt}|{first}|{second}!\n", encoding="utf-8")
    assert read_template(path, "pairwise", False).hash != template.hash
    hashes = {usual_template("pointwise", False, scale).hash for scale in ((1, 5), (1, 7))}
    assert len(hashes) == 2, "another scale is another question"
    path.write_bytes(b"\xff\xfe{prompt}")
    with pytest.raises(DataError, match="cannot be read"):
        read_template(path, "pairwise", False)


def test_it_is_said_how_to_answer() -> None:
    assert closing(("A", "B")) == "Answer with one letter, A or B, and nothing else."
    assert closing(("1", "2", "3")) == "Answer with one number from 1 to 3, and nothing else."
    assert closing(("Yes", "No")) == "Answer with one word, Yes or No, and nothing else."
