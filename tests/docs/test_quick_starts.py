"""Every quick start, done to the letter: its files written and its commands run, each on its machine, by the real
daemon on real packets. What a command is to prove (a ping, a check) it proves by ending well."""

import re
import time
from pathlib import Path

import pytest

from steerd.lab.enclosure import run
from tests.docs.networks import NETWORKS
from tests.docs.pages import Write, steps

pytestmark = [pytest.mark.docs, pytest.mark.lab]
FOLDER = Path(__file__).parents[2] / "docs/quick-start"
_AGAIN = 30.0
"""Seconds: readers type slower than tunnels come up and daemons choose."""


def done(name: str) -> int:
    """How many steps there were. AssertionError: one of them failed."""
    machines = NETWORKS[name]()
    printed: dict[str, str] = {}
    for step in (found := steps(FOLDER / f"{name}.md")):
        machine = machines[step.machine]
        if isinstance(step, Write):
            # <what fra1 printed>: the last line of its last command before.
            text = re.sub(r"<what (\w+) printed>", lambda asked: printed[asked[1]], step.text)
            machine.write(step.file, text)
            continue
        end = time.monotonic() + _AGAIN
        while (ended := machine.run(step.command)).returncode and time.monotonic() < end:
            time.sleep(0.5)
        background = machine.run("tail -n 20 /run/background 2>/dev/null").stdout
        assert ended.returncode == 0, f"{step}\n{ended.stdout}{ended.stderr}{background}"
        if ended.stdout:
            printed[step.machine] = ended.stdout.strip().splitlines()[-1]
    return len(found)


def test_each_quick_start_has_its_network():
    assert {page.stem for page in FOLDER.glob("*.md")} == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_quick_start_does_what_it_says(name):
    assert run(f"{__name__}:done", name, timeout=300) >= 5
