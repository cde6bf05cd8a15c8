"""Personal data and keys in texts: found, counted, replaced."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from accord.cli.main import main
from accord.errors import ConfigError
from accord.feedback.formats.columns import build
from accord.feedback.personal_data import KINDS, PersonalData, find, texts_of
from accord.feedback.redaction import RedactionRule, Redactor, read_rules
from accord.feedback.store import FeedbackStore

KNOWN = {
    "email": ["a.b+c@mail.example.org", "x@y.de"],
    "phone": ["+49 30 1234567", "0041 44 668 18 00", "(555) 123-4567", "555-123-4567"],
    "card": ["4111 1111 1111 1111", "4111111111111111", "3782-822463-10005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "ip": ["192.168.0.1", "2001:db8::8a2e:370:7334", "fe80::1"],
    "key": ["sk-abcdefghijklmnop1234", "AKIAIOSFODNN7EXAMPLE", "Bearer abc.def-ghi_jkl~mno/123"],
}
NOT = ["4111 1111 1111 1112", "GB82WEST12345698765433", "999.1.1.1", "std::vector", "a :: b",
       "at 12:30:45", "user@host", "sk-short", "1999-2004", "3.14159265358979", "task-force-member",
       "call 110", "1111 1111 1111 1111"]  # fmt: skip
EXAMPLES = [(kind, text) for kind, texts in KNOWN.items() for text in texts]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_every_kind_is_found_wherever_it_stands(kind: str, text: str) -> None:
    for before, after in (("", ""), ("Write to ", " please."), ("(", ")"), ("é ", ", ok")):
        found = find(before + text + after)
        assert [(one.kind, one.start, one.end - one.start) for one in found] == [
            (kind, len(before), len(text))
        ]


@pytest.mark.parametrize("text", NOT)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert find(text) == []


@given(st.lists(st.sampled_from([*EXAMPLES, ("", "and"), ("", "é日本")]), max_size=12))
def test_counts_and_redaction_hold_in_any_mix(parts: list[tuple[str, str]]) -> None:
    text = " ; ".join(part for _, part in parts)
    counts = PersonalData.of([text])
    assert counts.by_kind.total() == sum(bool(kind) for kind, _ in parts)
    redactor = Redactor([RedactionRule(kind=kind, replace=f"[{kind}]") for kind in KINDS])
    done = redactor.text(text)
    assert done == " ; ".join(f"[{kind}]" if kind else part for kind, part in parts)
    assert redactor.text(done) == done
    assert redactor.replaced == counts.by_kind


@pytest.mark.parametrize("unit", ["1 ", "1", "a", "a.", "A1B2 ", "+1 (", "::", "f:", "sk-", "a@a."])
def test_hostile_texts_take_no_time(unit: str) -> None:
    started = time.process_time()
    find(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 3


def test_a_record_is_redacted_in_all_its_texts_and_keeps_its_ids() -> None:
    mail = "x@y.de"
    record = build(
        "correction", f"I am {mail}", [f"Hi {mail}!"], {"content": f"Dear {mail}"}, {},
        meta={"columns": {"note": mail}, "use": {"id": "7"}},
    )  # fmt: skip
    redactor = Redactor([RedactionRule(kind="email", replace="[mail]")])
    done = redactor.record(record)
    assert done is not None
    assert [*texts_of(done)] == ["I am [mail]", "Hi [mail]!", "Dear [mail]", "[mail]", "7"]
    assert (done.id, done.options[0].id) == (record.id, record.options[0].id)
    marked = build("spans", "p", [f"Hi {mail}!"], {"spans": [{"start": 0, "end": 2}]}, {})
    plain = build("spans", mail, ["Hi!"], {"spans": [{"start": 0, "end": 2}]}, {})
    assert len(redactor.records([marked, plain])) == 1
    assert redactor.left_out.total() == 1
    bare = build("critique", "p", ["Hi!"], {"text": mail}, {})
    silent = Redactor([RedactionRule(kind="email", replace="")])
    assert silent.records([bare]) == []
    assert silent.left_out.total() == 1


def test_rules_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    for text, said in (
        ("rules: []", "rules"),
        ("rules: [{kind: mail, replace: x}]", "kind"),
        ("rules: [{pattern: '(', replace: x}]", "regular expression"),
        ("rules: [{pattern: 'a*', replace: x}]", "where nothing is"),
        ("rules: [{replace: x}]", "kind or pattern"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=said):
            read_rules(path)


def test_import_says_what_texts_hold_and_redacts(tmp_path: Path) -> None:
    rules, log, store = (tmp_path / name for name in ("rules.yaml", "log.jsonl", "s.sqlite"))
    rules.write_text(
        "rules: [{kind: email, replace: '[mail]'}, {pattern: 'Case \\d+', replace: c}]"
    )
    row = {"prompt": "x@y.de, Case 12", "response": "call +49 30 1234567", "thumb": "up",
           "user": "ada@y.de"}  # fmt: skip
    log.write_text("".join(json.dumps(row | {"consent": yes}) + "\n" for yes in (True, "no")))
    said = CliRunner().invoke(
        main, ["feedback", "import", str(log), str(store), "--redact", str(rules)]
    )
    assert said.exit_code == 0, said.output
    for line in ("redacted: email, 1 time", "personal data: 1 phone number in 1 of", "no consent",
                 "annotators' names: 1 e-mail address"):  # fmt: skip
        assert line in said.output
    with FeedbackStore(store) as opened:
        (record,) = opened.records()
    assert record.prompt == "[mail], c"
    for call in ([], ["--json"], ["--call", "1", "--out", str(tmp_path / "items.jsonl")]):
        log.write_text(json.dumps(row | {"thumb": None}) + "\n")
        told = CliRunner().invoke(
            main, ["feedback", "deployment", str(log), "--redact", str(rules), *call]
        )
        assert "personal data: 1 phone number" in told.output
    assert "x@y.de" not in (tmp_path / "items.jsonl").read_text()
