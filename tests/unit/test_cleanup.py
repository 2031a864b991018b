"""`steerd cleanup` from outside; what it removes is a matter of the lab."""

import os
import socket
from contextlib import closing

import pytest

from steerd.cli.steerd import main
from steerd.config.gateway.load import load
from steerd.route import once
from steerd.route.claim import Claim


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A configuration, its socket, and the settings that were cleaned up."""
    removed = []
    monkeypatch.setattr(once, "cleanup", lambda settings: removed.append(settings) or 7)
    file = tmp_path / "steerd.toml"
    file.write_text('[gateway]\nname = "gw1"\n[control]\nsocket = "s"\n')
    return file, tmp_path / "s", removed


def test_not_under_a_running_daemon(given, capsys):
    file, path, removed = given
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(path))
        daemon.listen()
        assert main(["cleanup", "-c", str(file)]) == 1
    assert not removed
    assert f"steerd is running (at {path}): stop it first" in capsys.readouterr().err


def test_not_under_a_daemon_that_began_with_another_socket(given, capsys):
    file, _, removed = given
    with closing(Claim()) as daemon:
        daemon.take(load(file, complete=False).route)
        assert main(["cleanup", "-c", str(file)]) == 1
    assert not removed
    assert f"another steerd, process {os.getpid()}, has route.table 4200" in capsys.readouterr().err
    assert main(["cleanup", "-c", str(file)]) == 0


def test_what_a_killed_daemon_left(given, capsys):
    file, path, removed = given
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(path))
    assert main(["cleanup", "-c", str(file)]) == 0
    assert len(removed) == 1
    assert capsys.readouterr().out == "removed 7 kernel objects\n"


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_an_emptied_file_removes_nothing(given, capsys, content):
    file, _, removed = given
    file.write_text(content)
    assert main(["cleanup", "-c", str(file)]) == 78
    assert not removed
    assert "is empty: it does not say what is steerd's, and nothing was removed" in capsys.readouterr().err
