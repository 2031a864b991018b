"""The unit files, as systemd itself reads them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path, file):
    """With a program in place: without one it says only that there is none."""
    program = tmp_path / "steerd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / file.name
    unit.write_text(file.read_text().replace("/usr/bin/steerd", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_the_unit_is_locked_down(file):
    command = ["systemd-analyze", "security", "--offline=true", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    exposure = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= 2.0


def test_the_guard_is_there_before_any_network_and_stays() -> None:
    """`nftables.service` begins with a flush of all tables: the guard comes after it, the daemon after the guard."""
    guard, daemon = ((UNITS[0].parent / f"{name}.service").read_text() for name in ("steerd-guard", "steerd"))

    def values(unit: str, key: str) -> set[str]:
        return {
            word for line in unit.splitlines() if line.startswith(f"{key}=") for word in line.split("=", 1)[1].split()
        }

    assert "network-pre.target" in values(guard, "Before") & values(guard, "Wants")
    assert "nftables.service" in values(guard, "After")
    assert values(guard, "DefaultDependencies") == {"no"}
    assert values(guard, "RemainAfterExit") == {"yes"}
    assert "ExecStop" not in guard
    assert "steerd-guard.service" in values(daemon, "After") & values(daemon, "Wants")


@pytest.mark.parametrize("name", ["steerd", "steerd-reflect"])
def test_memory_is_bounded_so_that_what_runs_away_ends_before_others_do(name) -> None:
    unit = (UNITS[0].parent / f"{name}.service").read_text()
    high, most = (int(re.search(rf"^{key}=(\d+)M$", unit, re.MULTILINE)[1]) for key in ("MemoryHigh", "MemoryMax"))
    assert high < most <= 512
