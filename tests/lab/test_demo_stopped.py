"""A demo that is stopped in its middle, however it is."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.broker]


def interrupted(number: int) -> str:
    """The demo, stopped in its middle. Returns what the environment of all its processes holds."""
    marker = f"STEERD_TEST_RUN={uuid4().hex}"
    command = ["env", marker, sys.executable, "-m", "steerd.cli.steerd", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(4.0)
        assert running(marker)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    return marker


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_stopped_leaves_nothing(number: int) -> None:
    before = kernel_of_the_machine()
    marker = interrupted(number)
    time.sleep(0.5)
    assert kernel_of_the_machine() == before
    assert running(marker) == []


def kernel_of_the_machine() -> list[str]:
    """What a lab could leave behind outside of itself."""
    commands = ("ip netns", "ip rule", "ip route show table all", "ip -br link")
    return [subprocess.run(one.split(), capture_output=True, text=True, check=False).stdout for one in commands]


def running(marker: str) -> list[str]:
    """The processes with this in their environment: those of one lab, whoever else runs one now."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marker.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found
