"""The prober with everything that a path may ask of it: names, methods, overrides."""

import asyncio
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steerd.config.probe_settings import ProbePath, ProbeSettings
from steerd.core.events import Probed
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.probe.prober import Prober
from tests.lab.probing import path, probe, wire
from tests.lab.test_probe_names import NameServer, quickly, resolver

pytestmark = pytest.mark.lab


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def named(number: int, name: str, **changes: Any) -> ProbePath:
    plain = path(number, ["10.98.0.1"], **changes)
    return replace(plain, targets=(replace(plain.targets[0], address="", name=name),))


def moving() -> Any:
    """DNS is dead at the start, then alive; later the name moves; then DNS is dead again."""
    wire()
    resolver("timeout:1 attempts:1")
    told: list[Probed] = []
    seen: list[Any] = []

    async def main() -> None:
        prober = Prober(
            ProbeSettings((named(1, "fra1.example", interval=0.05), named(2, "gone.example", interval=0.05)), 0.05),
            on_outcome=told.append,
            seed=1,
        )
        prober.start()

        def look(what: str) -> None:
            mine = [prober.report(one) for one in (PATHS[1], PATHS[2])]
            seen.append([what, [one.targets[0] for one in mine if one], [dict(one.findings) for one in mine if one]])
            seen[-1].append([len(told), sorted({one.outcome.value for one in told if one.path == PATHS[1]})])
            told.clear()

        await asyncio.sleep(0.7)
        look("dead")
        server = NameServer()
        server.zone["fra1.example"] = ["10.98.0.2", "10.98.0.3"]
        await asyncio.sleep(1.0)
        look("alive")
        server.zone["fra1.example"] = ["10.98.0.9"]
        await asyncio.sleep(0.8)
        look("moved")
        seen.append(sorted(prober.addresses().items()))
        prober.close()

    with quickly():
        asyncio.run(main())
    return seen


PATHS = {number: path(number, ["127.0.0.1"]).path for number in (1, 2)}


def test_a_name_is_probed_as_soon_as_it_has_an_address_and_follows_it() -> None:
    dead, alive, moved, known = scene("moving")
    assert dead[1] == ["fra1.example", "gone.example"]
    assert all("unresolved" in findings and "local" not in findings for findings in dead[2])
    assert dead[3][1] == ["local"]
    assert alive[1] == ["10.98.0.2", "gone.example"]
    assert "unresolved" not in alive[2][0]
    assert "gone.example" in alive[2][1]["unresolved"]
    assert "reply" in alive[3][1]
    assert moved[1][0] == "10.98.0.9"
    assert moved[3][1] == ["reply"]
    assert known == [[["fra1.example", 4], "10.98.0.9"]]


def by_all() -> Any:
    """A target each by ICMP, TCP (accepted, refused, swallowed) and UDP, with and without a key."""
    wire()
    namespaces.ip(
        """rule add priority 100 lookup local
           rule del priority 0
           rule add ipproto 6 dport 444 blackhole priority 5""",
        "far",
    )
    key = Path("/run/stamp.key")
    key.write_text("ab" * 32)
    far = [
        namespaces.spawn("far", [sys.executable, "-c", ACCEPT]),
        namespaces.spawn("far", [sys.executable, "-m", "steerd.cli.steerd", "reflect", "--listen", "10.9.0.2:862"]),
        namespaces.spawn(
            "far",
            [sys.executable, "-m", "steerd.cli.steerd", "reflect", "--listen", "10.9.0.2:863", "--key-file", str(key)],
        ),
    ]
    try:
        time.sleep(1.0)
        told = {"timeout": 0.3, "interval": 0.1}
        return probe(
            [
                path(1, ["10.98.0.1"], **told),
                path(2, ["10.9.0.2"], method="tcp", port=443, **told),
                path(3, ["10.9.0.2"], method="tcp", port=442, **told),
                path(4, ["10.9.0.2"], method="tcp", port=444, **told),
                path(5, ["10.9.0.2"], method="udp", port=862, **told),
                path(6, ["10.9.0.2"], method="udp", port=863, key_file=key, size=200, **told),
                path(7, ["10.9.0.2"], method="udp", port=863, **told),
            ],
            3,
        )
    finally:
        for process in far:
            process.terminate()
            process.wait(60)


ACCEPT = """
import socket
s = socket.create_server(("10.9.0.2", 443))
while True:
    s.accept()[0].close()
"""


def test_every_method_measures_and_one_that_the_target_refuses_is_told_from_a_dead_path() -> None:
    found = scene("by_all")
    for number in (1, 2, 3, 5, 6):
        assert set(found["by_path"][f"pop{number}/wg0"]) == {"reply"}, number
        assert statistics.median(found["rtts"][f"pop{number}/wg0"]) < 0.02
        assert not found["findings"][f"pop{number}/wg0"]
    for number, method, port in ((4, "TCP", 444), (7, "UDP", 863)):
        assert set(found["by_path"][f"pop{number}/wg0"]) == {"overdue", "lost"}
        text = found["findings"][f"pop{number}/wg0"]["icmp-only"]
        assert text == f"the target answers ICMP, but nothing by {method} at port {port}"
