"""Path MTU on real packets: what vanishes, what is told, what costs nothing."""

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from steerd.config.probe_settings import ProbeSettings
from steerd.core.effects import Cadence
from steerd.core.events import PathMtu, Probed
from steerd.lab import namespaces
from steerd.lab.enclosure import run
from steerd.net.devices import TX_BYTES, counters
from steerd.probe.prober import Prober
from tests.lab.probing import both, path, tunnels, wire
from tests.lab.waiting import BOUND, until_async

MTU = 1498  # near the device's, where a search from below meets nothing that vanishes, and is short

pytestmark = pytest.mark.lab


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments)


def sizes(ask: Any) -> Any:
    """Three PoPs: one that large packets get to, one that drops them, one that says so. Then the device of the first
    takes no more than 1400 bytes, and all is well with the others, whatever the kernel has cached."""
    ask(pop="v1", change={"mtu": MTU}, at=0.0)
    ask(pop="v2", change={"mtu": MTU, "tells": True}, at=0.0)
    told: list[tuple[float, PathMtu]] = []
    news = asyncio.Event()
    probed: list[Probed] = []
    targets = [both(1), both(2)[:1], both(3)]
    paths = [path(n, targets[n - 1], f"v{n - 1}", mark=n) for n in (1, 2, 3)]

    async def main() -> Any:
        prober = Prober(ProbeSettings(tuple(paths), 0.2, mtu_interval=3600.0), on_outcome=probed.append, seed=1)
        began = time.monotonic()

        def on_mtu(event: PathMtu) -> None:
            told.append((time.monotonic() - began, event))
            news.set()

        async def until(count: int) -> None:
            async with asyncio.timeout(BOUND):
                while len(told) < count:
                    news.clear()
                    await news.wait()

        prober.on_mtu = on_mtu
        prober.start()
        await until(3)
        await asyncio.sleep(0.1)
        first = len(told)
        for pop in ("v1", "v2"):
            ask(pop=pop, change={"mtu": 65535}, at=0.0)
        namespaces.ip("link set v0 mtu 1400")
        changed = time.monotonic() - began
        prober.renew(paths[1].path)
        prober.renew(paths[2].path)
        await until(first + 3)
        prober.close()
        return {
            "first": [[at, *event] for at, event in told[:first]],
            "then": [[at - changed, *event] for at, event in told[first:]],
            "outcomes": sorted({event.outcome.value for event in probed}),
        }

    return asyncio.run(main())


def found() -> Any:
    with tunnels("v0", "v1", "v2") as ask:
        return sizes(ask)


def test_a_black_hole_is_told_from_a_smaller_mtu_and_both_from_none() -> None:
    result = scene("found")
    first = {name: (mtu, device, told) for _, name, mtu, device, told in result["first"]}
    assert first == {
        "pop1/wg0": (1500, 1500, False), "pop2/wg0": (MTU, 1500, False), "pop3/wg0": (MTU, 1500, True),
    }  # fmt: skip
    assert len(result["first"]) == 3
    then = {name: (mtu, device, told) for _, name, mtu, device, told in result["then"]}
    assert then == {"pop1/wg0": (1400, 1400, False), "pop2/wg0": (1500, 1500, False), "pop3/wg0": (1500, 1500, False)}
    assert all(at >= 1.0 for at, *_ in result["then"])  # a device that changes is left alone for a second
    assert result["outcomes"] == ["reply"]


def rarely() -> Any:
    """What two devices send, in bytes, until the first has sent four large packets: the path by the second is looked at
    every two seconds, and then as often as the other."""

    def bytes_of(device: str) -> int:
        found = counters(Path("/proc/self/net/dev").read_bytes(), device)
        return found[TX_BYTES] if found else 0

    async def main() -> Any:
        paths = [path(n, both(n)[:1], f"v{n - 1}", mark=n) for n in (1, 2)]
        prober = Prober(ProbeSettings(tuple(paths), 0.2, mtu_interval=1.0), on_outcome=lambda _: None, seed=1)
        prober.start()
        found = []
        for every in (2.0, 0.2):
            for one, period in zip(paths, (0.2, every), strict=True):
                prober.cadence(Cadence(one.path, period, 1.0))
            before = [bytes_of("v0"), bytes_of("v1")]
            await until_async(lambda: bytes_of("v0") - before[0] > 4 * 1500)  # noqa: B023 -- awaited here
            found.append([bytes_of("v0") - before[0], bytes_of("v1") - before[1]])
        prober.close()
        return found

    with tunnels("v0", "v1"):
        return asyncio.run(main())


def test_a_path_that_is_rarely_looked_at_is_not_searched_each_time() -> None:
    (often, rarely_), (again, as_often) = scene("rarely")
    assert rarely_ < often / 2
    assert as_often > again / 2


def filtered(rules: str) -> Any:
    """A far side that drops what these rules drop of what comes in."""
    wire()
    namespaces.ip("addr add fd98::2/64 dev v1 nodad", "far")
    namespaces.ip("addr add fd98::1/64 dev v0 nodad")
    command = namespaces.command("far", ["nft", "-f", "-"])
    table = f"table inet wall {{\nchain in {{\ntype filter hook input priority 0;\n{rules}\n}}\n}}\n"
    subprocess.run(command, input=table, text=True, check=True, timeout=20)
    told: list[PathMtu] = []
    paths = [path(1, ["10.98.0.1"]), path(2, ["fd98::2"])]

    async def main() -> None:
        prober = Prober(ProbeSettings(tuple(paths), 0.2, mtu_interval=3600.0), on_outcome=lambda _: None, seed=1)
        prober.on_mtu = told.append
        prober.start()
        await until_async(lambda: len(told) == 2)
        prober.close()

    asyncio.run(main())
    return sorted((one.path, one.mtu, one.black_hole) for one in told)


LARGE_ECHOES = "icmp type echo-request meta length > 1024 drop\nicmpv6 type echo-request meta length > 1024 drop"


@pytest.mark.nft
def test_who_drops_large_echo_requests_alone_is_no_black_hole() -> None:
    assert scene("filtered", LARGE_ECHOES) == [["pop1/wg0", 1500, False], ["pop2/wg0", 1500, False]]


@pytest.mark.nft
def test_who_drops_whatever_is_large_is_a_black_hole() -> None:
    assert scene("filtered", "meta length > 1400 drop") == [["pop1/wg0", 1400, True], ["pop2/wg0", 1400, True]]
