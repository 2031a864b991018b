"""Many paths behind one NAT: a reflector's limit is not taken for dead paths, and both ends name it."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import run
from tests.lab.probing import path, probe, wire

pytestmark = pytest.mark.lab

PATHS = 30
PERIOD = 0.2


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def reflected(options: Sequence[str], one_target: bool) -> Any:
    """Thirty paths by STAMP, five probes a second each, from one address to one reflector."""
    wire()
    command = [sys.executable, "-m", "steerd.cli.steerd", "reflect", *options]
    reflector = namespaces.spawn("far", command, stderr=subprocess.PIPE, text=True)
    assert "reflecting on" in reflector.stderr.readline()
    paths = [
        path(n, [f"10.98.0.{1 if one_target else n}"], method="udp", port=862, interval=PERIOD, timeout=0.5)
        for n in range(1, PATHS + 1)
    ]
    found = probe(paths, 16)
    reflector.send_signal(signal.SIGTERM)
    _, said = reflector.communicate(timeout=60)
    # When a probe was sent, and whether an answer came in time.
    outcomes: dict[str, dict[float, bool]] = {}
    for name, outcome, sent_at in found["told"]:
        if outcome in ("reply", "lost"):
            outcomes.setdefault(name, {})[sent_at] = outcome == "reply"
    rows = [[answered for _, answered in sorted(one.items())] for one in outcomes.values()]
    return {"counts": found["counts"], "rows": rows, "findings": found["findings"], "said": said}


def longest_silence(row: Sequence[bool]) -> int:
    return max(len(run) for run in "".join(".x"[not answered] for answered in row).split("."))


def test_thirty_paths_behind_one_address_are_answered() -> None:
    found = scene("reflected", [], False)
    assert len(found["rows"]) == PATHS
    assert "lost" not in found["counts"]
    assert "asks more than" not in found["said"]


@pytest.mark.parametrize("one_target", [True, False], ids=["one target", "many"])
def test_above_its_limit_a_reflector_keeps_all_alive_and_both_ends_say_so(one_target: bool) -> None:
    found = scene("reflected", ["--rate", "10"], one_target)
    assert found["counts"]["lost"] > 100
    assert max(map(longest_silence, found["rows"])) < 3
    assert "10.9.0.1 asks more than 100 times a second" in found["said"]
    findings = found["findings"].values()
    assert not any("icmp-only" in one for one in findings)
    assert any("limit" in one.get("rate-limited", "") for one in findings)
