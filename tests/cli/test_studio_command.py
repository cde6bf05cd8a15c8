"""`accord studio`: it serves, prints the first owner's link, and says what is wrong with ports and
addresses."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from accord.cli.main import main


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_it_serves_with_two_workers_and_a_link_for_the_first_owner(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "accord.cli",
        "studio",
        "--no-open",
        "--port",
        str(port),
        "--workers",
        "2",
        "--database",
        "s.db",
    ]
    log = tmp_path / "log"
    with open(log, "w") as out:
        running = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        link = ""
        for _ in range(600):
            found = re.search(r"http://\S+/setup\?token=\S+", log.read_text())
            link = found[0] if found else ""
            try:
                if link and urlopen(link, timeout=5).status == 200:
                    break
            except OSError:
                assert running.poll() is None, log.read_text()
            time.sleep(0.1)
        page = urlopen(link, timeout=30).read().decode()
        assert "make the owner" in page
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"http://127.0.0.1:{port}/setup?token=guess", timeout=30)
        taken = CliRunner().invoke(
            main, ["studio", "--no-open", "--port", str(port), "--database", str(tmp_path / "t.db")]
        )
        assert taken.exit_code == 2
        assert f"--port {port + 1}" in taken.output
    finally:
        running.terminate()
        running.wait(30)


def test_a_bad_address_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["studio", "--no-open", "--port", str(free_port()), "--database", "mysql://x/y"]
    )
    assert done.exit_code == 2
    assert "mysql" in done.output
    elsewhere = CliRunner().invoke(
        main, ["studio", "--no-open", "--host", "203.0.113.7", "--database", str(tmp_path / "s.db")]
    )
    assert elsewhere.exit_code == 2
    assert "--host 127.0.0.1" in elsewhere.output
