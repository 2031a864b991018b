"""The prober with everything that a path may ask of it: names, methods, overrides."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from steerd.config.settings import ProbePath, ProbeSettings
from steerd.core.model import Probed
from steerd.lab.enclosure import run
from steerd.probe.prober import Prober
from tests.lab.probing import path
from tests.lab.test_probe_names import NameServer, quickly, resolver

pytestmark = pytest.mark.lab


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments, timeout=30)


def named(number: int, name: str, **changes: Any) -> ProbePath:
    plain = path(number, ["127.0.0.1"], "lo", **changes)
    return replace(plain, targets=(replace(plain.targets[0], address="", name=name),))


def moving() -> Any:
    """DNS is dead at the start, then alive; later the name moves; then DNS is dead again."""
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
        server.zone["fra1.example"] = ["127.0.0.2", "127.0.0.3"]
        await asyncio.sleep(1.0)
        look("alive")
        server.zone["fra1.example"] = ["127.0.0.9"]
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
    assert alive[1] == ["127.0.0.2", "gone.example"]
    assert "unresolved" not in alive[2][0]
    assert "gone.example" in alive[2][1]["unresolved"]
    assert "reply" in alive[3][1]
    assert moved[1][0] == "127.0.0.9"
    assert moved[3][1] == ["reply"]
    assert known == [[["fra1.example", 4], "127.0.0.9"]]
