"""The kernel's own selftests of nexthops and routes find the same with a live steerd in their namespace as without."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steerd.lab.enclosure import RUN, run

SELFTESTS = Path(__file__).parents[2] / ".venv/selftests"
"""Made by ``tools/selftests``."""

pytestmark = [pytest.mark.selftests, pytest.mark.lab]


def verdicts(script: str, words: list[str], namespace: str) -> dict[str, Any]:
    """What the script found, line by line; beside a steerd in its ``namespace``, if one is named."""
    environment = dict(os.environ)
    if namespace:
        real = shutil.which("ip")
        wrapper = RUN / "bin/ip"
        wrapper.parent.mkdir()
        wrapper.symlink_to(Path(__file__).with_name("beside_selftest.sh"))
        environment |= {
            "PATH": f"{wrapper.parent}:{environment['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "REAL": str(real),
            "PYTHON": sys.executable,
            "NAMESPACE": namespace,
            "FOLDER": str(RUN),
        }
    done = subprocess.run(
        ["bash", script, *words],
        check=False,
        cwd=SELFTESTS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    found = re.findall(r"^ *TEST: (.*?) +\[ *(\w+) *\]", done.stdout, re.MULTILINE)
    log = RUN / "log"
    return {"found": found, "said": done.stdout[-2000:] + done.stderr, "log": log.read_text() if log.exists() else ""}


@pytest.mark.parametrize(
    ("script", "words", "namespace"),
    [
        ("fib_nexthops.sh", ["-t", "ipv4_fcnal ipv4_grp_fcnal ipv4_res_grp_fcnal ipv6_fcnal basic basic_res"], "me"),
        ("fib_nexthop_multiprefix.sh", [], "r1"),
        ("fib_tests.sh", [], "ns1"),
        ("fib_rule_tests.sh", [], "testns"),
    ],
)
def test_a_selftest_finds_the_same_beside_a_live_steerd(script: str, words: list[str], namespace: str) -> None:
    alone = run(f"{__name__}:verdicts", script, words, "", timeout=300.0)
    if not alone["found"]:
        pytest.skip(f"{script} does not run on this kernel: {alone['said'].strip()[-200:]}")
    beside = run(f"{__name__}:verdicts", script, words, namespace, timeout=300.0)
    assert beside["found"] == alone["found"], beside["log"]
    assert "the first choice" in beside["log"]
    assert "steerd had ended" not in beside["log"]
    assert "Traceback" not in beside["log"]
