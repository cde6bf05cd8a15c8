"""Which key goes where."""

from __future__ import annotations

import pytest

from accord.errors import ConfigError
from accord.sampling.addresses import host_key, is_remote, open_endpoints

HERE, THERE = "https://api.here.example/v1#m", "https://there.example:8443/v1#n"


def keys(names: list[str], **environ: str) -> list[str]:
    return [one.key for one in open_endpoints(names, environ=environ)]


def test_a_key_goes_to_its_own_host() -> None:
    assert host_key(HERE) == "ACCORD_KEY_API_HERE_EXAMPLE"
    own = {"ACCORD_KEY_API_HERE_EXAMPLE": "h", "ACCORD_KEY_THERE_EXAMPLE": "t"}
    assert keys([HERE, THERE], **own) == ["h", "t"]
    assert keys([HERE, THERE], ACCORD_KEY_THERE_EXAMPLE="t") == ["", "t"]
    assert keys([HERE], **own, ACCORD_ENDPOINT_KEY="s") == ["h"]
    assert keys([HERE, THERE], **own, ACCORD_ENDPOINT_KEY="s") == ["h", "t"]


def test_the_shared_key_is_of_a_single_place() -> None:
    assert keys([HERE], ACCORD_ENDPOINT_KEY="s") == ["s"]
    assert keys([HERE, "https://api.here.example/v2#o"], ACCORD_ENDPOINT_KEY="s") == ["s", "s"]
    with pytest.raises(ConfigError, match="several addresses it could be for"):
        keys([HERE, THERE], ACCORD_ENDPOINT_KEY="s")
    assert keys([HERE, THERE]) == ["", ""]


def test_the_variable_is_named_in_errors() -> None:
    (shared,) = open_endpoints([HERE], environ={})
    assert shared.key_name == "ACCORD_ENDPOINT_KEY"
    (own,) = open_endpoints([HERE], environ={"ACCORD_KEY_API_HERE_EXAMPLE": "h"})
    assert own.key_name == "ACCORD_KEY_API_HERE_EXAMPLE"
    assert (own.url, own.model) == ("https://api.here.example/v1", "m")


def test_what_is_an_address() -> None:
    assert [is_remote(name) for name in (HERE, "http://a", "dir/http://a", "accord:nano")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(ConfigError, match="which model"):
        open_endpoints(["https://api.here.example/v1"], environ={})
