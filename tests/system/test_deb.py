"""The Debian package: the same twice, complete, and it runs where it will lie, with Debian's own Python."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import RUN, run
from tests.system.package import PROJECT, built

PYTHON = Path("/usr/bin/python3.11")
pytestmark = [
    pytest.mark.deb,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs Debian 12's own Python"),
]


def control(package: Path, field: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", package, field], check=True, capture_output=True, text=True).stdout.strip()


def names(package: Path) -> dict[str, str]:
    """Mode and owner by name."""
    listed = subprocess.run(["dpkg-deb", "-c", package], check=True, capture_output=True, text=True).stdout
    rows = (line.split(maxsplit=5) for line in listed.splitlines())
    return {row[5].partition(" -> ")[0].removeprefix("."): f"{row[0]} {row[1]}" for row in rows}


def test_two_builds_are_the_same_file(package, tmp_path):
    again = built(tmp_path)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(package.read_bytes()).digest()


def test_it_brings_what_it_should_and_nothing_of_the_machine_it_was_built_on(package):
    there = names(package)
    for name in (
        "/usr/bin/steerd", "/usr/bin/steerctl", "/opt/steerd/bin/python3", "/etc/steerd/steerd.toml",
        "/usr/lib/systemd/system/steerd.service", "/usr/lib/systemd/system/steerd-guard.service",
        "/usr/lib/sysusers.d/steerd.conf", "/usr/share/doc/steerd/copyright",
        "/usr/share/doc/steerd/examples/mosquitto/make-certificates",
    ):  # fmt: skip
        assert name in there
    assert {mode.split()[1] for mode in there.values()} == {"root/root"}
    assert not [name for name in there if "__pycache__" in name or name.endswith("direct_url.json")]
    assert not [name for name in there if any(part in name for part in ("/hatchling/", "/pip/", "/pytest/"))]
    assert "conffiles" in subprocess.run(["dpkg-deb", "-I", package], check=True, capture_output=True, text=True).stdout
    assert control(package, "Package") == "steerd"
    assert "python3 (>= 3.11)" in control(package, "Depends")


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_the_scripts_are_scripts(script):
    subprocess.run(["sh", "-n", PROJECT / "packaging/deb" / script], check=True)


def unpacked(package: str) -> dict[str, Any]:
    """In place, in a mount namespace of its own."""
    root = RUN / "root"
    subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/opt"], check=True)
    subprocess.run(["cp", "-a", root / "opt/steerd", "/opt/steerd"], check=True)

    def out(*command: str) -> list[Any]:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        return [done.returncode, done.stdout.strip(), done.stderr.strip()]

    return {
        "version": out("/opt/steerd/bin/steerd", "--version"),
        "check": out("/opt/steerd/bin/steerd", "check", str(root / "etc/steerd/steerd.toml")),
        "steerctl": out("/opt/steerd/bin/steerctl", "--socket", "/none", "status"),
        "modules": out(
            "/opt/steerd/bin/python3", "-P", "-c",
            "import sys, scapy, nacl.signing, aiomqtt, pydantic, icmplib, steerd.daemon; print(sys.executable)",
        ),
    }  # fmt: skip


def test_it_runs_with_debians_python(package):
    found = run(f"{__name__}:unpacked", str(package), timeout=60)
    version = control(package, "Version")
    assert found["version"][0] == 0
    assert version in found["version"][1]
    assert found["check"][0] == 0, found["check"]
    assert found["steerctl"][0] == 3
    assert found["modules"] == [0, "/opt/steerd/bin/python3", ""]
