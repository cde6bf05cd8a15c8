"""Texts without the signs of a form are not searched for it: nothing is lost by that."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from accord.feedback import personal_data


@given(st.data())
def test_every_match_of_a_form_has_its_signs(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(personal_data.KINDS))
    form, holds = personal_data._FORMS[kind]
    text = data.draw(st.from_regex(re.compile(form.pattern), fullmatch=False))
    matches = [match.group() for match in form.finditer(text)]
    if any(map(holds, matches) if kind == "phone" else matches):  # short numbers are no phones
        assert kind in set(personal_data._possible(text))
