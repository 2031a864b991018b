"""A reload of probing is a transaction: wherever it fails, and after it was taken up, all can be as it was."""

import asyncio
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steerd.config.probe_settings import ProbeSettings
from steerd.core.effects import Cadence
from steerd.core.events import Outcome, Probed
from steerd.lab.enclosure import run
from steerd.probe.error import ProbeError
from steerd.probe.prober import Prober
from tests.lab.probing import both, path, tunnels

pytestmark = pytest.mark.lab

KEPT, RESTING, CHANGED = path(1, both(1)[:1]), path(2, both(2)[:1], "v1"), path(3, both(2)[:1], "v1", interval=0.1)
OLD = ProbeSettings((KEPT, RESTING, CHANGED), 0.1)
NEW = ProbeSettings(
    (
        KEPT,
        replace(CHANGED, interval=0.4),
        path(4, both(2), "v1", method="tcp", port=9),
        path(5, both(1), method="udp"),
    ),
    0.2,
    mtu_interval=3600.0,
)
EVERY = {KEPT.path: 0.15, RESTING.path: None, CHANGED.path: 0.05}
"""What the engine asked for."""


def scene(name: str, *arguments: Any) -> Any:
    return run(f"{__name__}:{name}", *arguments, timeout=30)


@contextmanager
def failing(at: int) -> Iterator[list[str]]:
    """The ``at``th file that is opened cannot be. Gives what was opened."""
    opened: list[str] = []

    def step(what: str) -> None:
        opened.append(what)
        if len(opened) == at:
            raise OSError(24, "Too many open files")

    class Socket(socket.socket):
        def __init__(self, *of: Any, **how: Any) -> None:
            step("socket")
            super().__init__(*of, **how)

    def epoll(poll: Any = select.epoll) -> Any:
        step("epoll")
        return poll()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Socket)
        patch.setattr(select, "epoll", epoll)
        yield opened


def transaction() -> Any:
    told: list[Probed] = []

    async def main() -> dict[str, Any]:
        prober = Prober(OLD, on_outcome=told.append, seed=1)

        def state() -> Any:
            views = [prober.report(each.path) for each in (*OLD.paths, *NEW.paths[2:])]
            files = len(list(Path("/proc/self/fd").iterdir()))
            return [view and (view.method, view.targets, view.every) for view in views], files

        async def replies() -> list[str]:
            """Of whom, for a while."""
            del told[:]
            await asyncio.sleep(0.7)
            return sorted({each.path for each in told if each.outcome is Outcome.REPLY})

        prober.start()
        for name, every in EVERY.items():
            prober.cadence(Cadence(name, every, 1.0))
        found: dict[str, Any] = {"before": state(), "replies": await replies(), "refused": []}
        for at in range(1, 50):
            with failing(at) as opened:
                try:
                    change = await prober.prepare(NEW)
                except ProbeError as error:
                    found["refused"].append(str(error))
                else:
                    await change.abort()
            found["after"] = state()
            if found["after"] != found["before"] or len(opened) < at:
                break
        found["opened"] = len(opened)
        change = await prober.prepare(NEW)
        found["prepared"] = state()
        await change.commit()
        found["committed"], found["replies then"] = state(), await replies()
        prober.cadence(Cadence(KEPT.path, 0.3, 1.0))
        await change.abort()
        await change.abort()
        found["aborted"], found["replies again"] = state(), await replies()
        with pytest.raises(ProbeError, match="committed before"):
            await change.commit()
        first, second = await prober.prepare(NEW), await prober.prepare(OLD)
        with pytest.raises(ProbeError, match="another took its place"):
            await first.commit()
        await first.abort()
        await second.commit()
        prober.close()
        await second.abort()
        return found

    with tunnels("v0", "v1") as _:
        return asyncio.run(main())


def test_wherever_it_fails_and_after_the_commit_all_is_as_before() -> None:
    found = scene("transaction")
    views, files = found["before"]
    targets = [each.targets[0].address for each in OLD.paths]
    old = [["icmp", [target], every] for target, every in zip(targets, EVERY.values(), strict=True)]
    assert views == [*old, None, None]
    assert found["replies"] == [KEPT.path, CHANGED.path]
    # Each file that a preparation opens in turn; nothing is left open.
    assert len(found["refused"]) == found["opened"] >= 8
    assert found["after"] == found["before"]
    assert found["prepared"][0] == views
    assert found["prepared"][1] > files
    kept, gone, changed, tcp, udp = found["committed"][0]
    assert (kept, gone, changed) == (old[0], None, ["icmp", [targets[2]], 0.4])
    assert (tcp[0], udp[0]) == ("tcp", "udp")
    assert set(found["replies then"]) >= {KEPT.path, CHANGED.path}
    # What the engine asked of a path meanwhile stands; the others have the cadence that they had.
    assert found["aborted"][0] == [["icmp", [targets[0]], 0.3], *old[1:], None, None]
    assert found["aborted"][1] == files
    assert found["replies again"] == [KEPT.path, CHANGED.path]
