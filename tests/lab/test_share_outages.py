"""A broker that is killed, frozen, slowed, full or changes its mind: nobody waits for it, and soon it knows all."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from steerd.core.effects import Switched
from steerd.core.settings import PathId, PolicyId
from steerd.core.states import Reason
from steerd.lab.enclosure import RUN, run
from tests.lab.sharing import (
    MOSQUITTO,
    ROOT,
    Gateway,
    GivenBroker,
    Watcher,
    certificates,
    make_authority,
    member,
    running,
    watching,
)  # fmt: skip
from tests.lab.waiting import BOUND, Awake, until_async

pytestmark = [
    pytest.mark.lab,
    pytest.mark.broker,
    pytest.mark.fleet,
    pytest.mark.skipif(MOSQUITTO is None or shutil.which("openssl") is None, reason="needs mosquitto and openssl"),
]

STATE, SCORE = f"{ROOT}/gw/eu/gw1/state", f"{ROOT}/gw/eu/gw1/score"
TICK = 0.02
RETURN = 5.0
SWITCHED = Switched("7-1", PolicyId("p"), None, PathId("fra1/wg0"), Reason.START, 1.0, "first", {}, {}, {})


class Scene:
    """A gateway whose luck is always worst, at a broker that something happens to."""

    def __init__(self, **settings: Any) -> None:
        self.authority = make_authority(RUN / "authority")
        (RUN / "broker").mkdir()
        self.folder = RUN / "broker"
        self.broker = GivenBroker(self.folder, self.authority)
        settings = {"publish_interval": 1.0, **settings}
        self.gateway: Gateway = member(self.broker, self.authority, backoff=(2.0, 120.0), draw=lambda: 1.0, **settings)
        self.lag = 0.0
        self.awake = Awake()

    async def tick(self) -> None:
        """The loop's own pulse: what probing would feel."""
        while True:
            began = self.awake.seconds()
            await asyncio.sleep(TICK)
            self.lag = max(self.lag, self.awake.seconds() - began)

    async def right_again(self) -> float:
        """Seconds from now until a new observer finds the state and a score that were said after now."""
        began, before = self.awake.seconds(), self.gateway.share.seq
        while True:
            async with watching(self.broker, self.authority) as seen:
                await asyncio.sleep(0.2)
                if self._right(seen, before):
                    return self.awake.seconds() - began
            assert self.awake.seconds() - began < BOUND

    @staticmethod
    def _right(seen: Watcher, before: int) -> bool:
        state, score = seen.latest.get(STATE, {}), seen.latest.get(SCORE, {})
        return bool(state.get("online")) and score.get("seq", 0) > before


@asynccontextmanager
async def begun(**settings: Any) -> AsyncIterator[Scene]:
    scene = Scene(**settings)
    scene.broker.start()
    pulse = asyncio.create_task(scene.tick())
    try:
        async with running(scene.gateway):
            await until_async(lambda: "out" in scene.gateway.messages)
            await asyncio.sleep(0.5)
            scene.lag = 0.0
            yield scene
    finally:
        pulse.cancel()
        scene.broker.kill()


def played(outage: Callable[[Scene], Any], **settings: Any) -> dict[str, float]:
    async def play() -> dict[str, float]:
        async with begun(**settings) as scene:
            back = await outage(scene)
            return {"back": back, "lag": scene.lag}

    return asyncio.run(play())


async def command(*words: str) -> None:
    await asyncio.to_thread(subprocess.run, words, check=True)


def killed() -> dict[str, float]:
    async def outage(scene: Scene) -> float:
        scene.broker.kill()
        await asyncio.sleep(9.0)
        scene.broker.start()
        return await scene.right_again()

    return played(outage)


def frozen() -> dict[str, float]:
    async def outage(scene: Scene) -> float:
        scene.broker.freeze(frozen=True)
        await asyncio.sleep(6.0)
        scene.broker.freeze(frozen=False)
        return await scene.right_again()

    return played(outage)


def slowed() -> dict[str, float]:
    async def outage(scene: Scene) -> float:
        tbf = ["root", "tbf", "rate", "4kbit", "burst", "1600", "limit", "6000"]
        await command("tc", "qdisc", "add", "dev", "lo", *tbf)
        await asyncio.sleep(9.0)
        await command("tc", "qdisc", "del", "dev", "lo", "root")
        return await scene.right_again()

    return played(outage)


def full() -> dict[str, float]:
    """The disk; and then it is killed, and finds nothing."""

    async def outage(scene: Scene) -> float:
        kept = scene.folder / "kept"
        await command("mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "none", str(kept))
        (kept / "else").write_bytes(b"x" * (60 << 10))
        scene.broker.signal(signal.SIGUSR1)  # save now
        await asyncio.sleep(2.0)
        assert scene.gateway.connected == [True]
        scene.broker.kill()
        await asyncio.sleep(3.0)
        scene.broker.start()
        return await scene.right_again()

    return played(outage)


def another_certificate() -> dict[str, float]:
    async def outage(scene: Scene) -> float:
        theirs = RUN / "theirs"
        certificates(theirs, "ca")
        certificates(theirs, "broker", "127.0.0.1")
        exchange(scene, theirs)
        await asyncio.sleep(20.0)
        assert scene.gateway.connected == [True, False]
        exchange(scene, scene.authority)
        return await scene.right_again()

    def exchange(scene: Scene, folder: Path) -> None:
        for name in ("broker.pem", "broker.key"):
            shutil.copy(folder / name, scene.folder / name)
            (scene.folder / name).chmod(0o644)
        scene.broker.kill()
        scene.broker.start()

    return played(outage)


def other_rules() -> dict[str, float]:
    """It forbids, tells nobody, and allows again: with the default interval, a score would come 10 s later."""

    async def outage(scene: Scene) -> float:
        rules = (scene.folder / "acl").read_text()
        (scene.folder / "acl").write_text(rules.replace("pattern write steer/v1/acme/gw/", "pattern write elsewhere/"))
        scene.broker.signal(signal.SIGHUP)
        await asyncio.sleep(1.0)
        scene.gateway.share.fact(SWITCHED)
        await until_async(lambda: ("broker", "publish: not authorized") in scene.gateway.refused)
        await asyncio.sleep(10.0)
        (scene.folder / "acl").write_text(rules)
        scene.broker.signal(signal.SIGHUP)
        return await scene.right_again()

    return played(outage, publish_interval=10.0)


@pytest.mark.parametrize("outage", ["killed", "frozen", "slowed", "full", "another_certificate", "other_rules"])
def test_nobody_waits_for_a_broker_and_it_knows_all_soon_after(outage):
    found = run(f"{__name__}:{outage}")
    assert found["back"] < RETURN
    assert found["lag"] < 0.5  # what waits for a broker waits for seconds
