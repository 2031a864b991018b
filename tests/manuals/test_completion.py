"""Completion in the three shells, with the names that a running daemon knows, and quietly without one."""

import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, run
from tests.lab.waiting import until
from tests.manuals.shells import Shell

pytestmark = pytest.mark.manuals
PROJECT = Path(__file__).parents[2]
CONFIG = f"""\
[[pop]]
name = "fra1"
paths = [{{ dev = "wg-fra1", target = "10.64.1.1" }}]
[[pop]]
name = "ams1"
paths = [{{ dev = "wg-ams1", target = "10.64.2.1" }}]
[[policy]]
name = "users"
prefixes = ["198.18.0.0/15"]
[store]
path = "{RUN}/store"
"""
KNOWN = {
    "steerctl dra": "steerctl drain",
    "steerctl drain f": "steerctl drain fra1",
    "steerctl pin u": "steerctl pin users",
    "steerctl pin users a": "steerctl pin users ams1",
    "steerctl why u": "steerctl why users",
    "steerctl drain fra1 --f": "steerctl drain fra1 --for",
    "steerctl history --kind o": "steerctl history --kind o",  # outage or order
    "steerctl history --kind ou": "steerctl history --kind outage",
    "steerctl history --path f": "steerctl history --path fra1/wg-fra1",
    "steerctl trace ams1 --path a": "steerctl trace ams1 --path ams1/wg-ams1",
    "steerctl nam": "steerctl nam",  # for completion alone
    "steerd obs": "steerd obs",
    "steerd run --obs": "steerd run --observe",
    "steerd --log-level deb": "steerd --log-level debug",
    "steerd check steerd.t": "steerd check steerd.toml",
}


def commands(folder: Path) -> str:
    """A PATH with our two first."""
    for name in ("steerd", "steerctl"):
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m steerd.cli.{name} "$@"\n')
        file.chmod(0o755)
    return f"{folder}:/usr/local/bin:/usr/bin:/bin"


def completions(name: str) -> dict[str, str]:
    """In this shell, beside a daemon."""
    share, home = RUN / "share", RUN / "home"
    (RUN / "bin").mkdir()
    home.mkdir()
    path = commands(RUN / "bin")
    subprocess.run([sys.executable, "-m", "tools.manuals", share], cwd=PROJECT, check=True)
    (home / "steerd.toml").write_text(CONFIG)
    namespaces.add("gw")
    daemon = [sys.executable, "-m", "steerd.cli.steerd", "run", "--observe", "-c", str(home / "steerd.toml")]
    with (RUN / "steerd.log").open("w") as log:
        namespaces.spawn("gw", daemon, stdout=log, stderr=log, cwd=PROJECT)
    until(lambda: subprocess.run([RUN / "bin/steerctl", "names", "pops"], check=False, capture_output=True).stdout)
    shell = Shell(name, share, home, path)
    shell.run(f"cd {home}")
    found = {line: shell.completed(line) for line in KNOWN}
    shell.close()
    return found


@pytest.mark.lab
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_options_and_files_are_completed(shell):
    assert run(f"{__name__}:completions", shell) == KNOWN


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "steerd.cli.steerctl", "names", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, cwd=PROJECT)


@pytest.mark.parametrize("kind", ["pops", "paths", "policies"])
def test_without_a_daemon_there_is_no_name_and_no_word(tmp_path, kind):
    done = asked(kind, "--socket", str(tmp_path / "none"))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize("said", [b"", b"{", b"no\n", b'{"ok": true, "paths": [7]}\n', b'{"ok": true}\n'])
def test_what_is_no_answer_is_no_name(tmp_path, said):
    """The first is one that never comes; the second one that never ends."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        held = []

        def answer():
            held.append(listening.accept()[0])
            held[0].sendall(said)

        threading.Thread(target=answer, daemon=True).start()
        done = asked("pops", "--socket", path)
        held[0].close()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
