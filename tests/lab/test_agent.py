"""The real `steerd agent` beside a real mosquitto: what it says, what of that outlives it, and how it ends."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from steerd.share.messages import PopReport
from tests.lab.sharing import MOSQUITTO, ROOT, Broker, body, free_port, observer
from tests.lab.waiting import BOUND, until_async

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]

TOPIC = f"{ROOT}/pop/fra1/state"


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


def write(folder: Path, port: int, more: str = "", drain_for: str = "60s") -> Path:
    (folder / "load").write_text("50%")
    file = folder / "agent.toml"
    file.write_text(
        f'[agent]\npop = "fra1"\ndrain_for = "{drain_for}"\n{more}\n'
        f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\ntenant = "acme"\npublish_interval = "300ms"\n'
        f'[load]\nfile = "load"\ninterval = "100ms"\n[reflect]\nlisten = ["127.0.0.1:{free_port()}"]\n'
    )
    return file


@contextmanager
def running(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "steerd.cli.steerd", "agent", "-c", str(file)]
    with (file.parent / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


class Heard:
    """What the broker has of the PoP."""

    def __init__(self) -> None:
        self.said: list[PopReport] = []

    async def more(self) -> None:
        """Two messages more."""
        before = len(self.said)
        await until_async(lambda: len(self.said) >= before + 2)

    async def listen(self, port: int) -> None:
        async with observer(port) as client:
            await client.subscribe(TOPIC, 1)
            async for message in client.messages:
                self.said.append(PopReport.model_validate(body(message)))


def scene(scenario, port: int):
    async def all_of_it():
        heard = Heard()
        task = asyncio.create_task(heard.listen(port))
        try:
            async with asyncio.timeout(2 * BOUND):
                return await scenario(heard)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return asyncio.run(all_of_it())


def test_it_says_what_the_pop_is_and_its_death_is_not_the_pops(broker, tmp_path):
    async def scenario(heard):
        file = write(tmp_path, broker.port)
        with running(file) as agent:
            await until_async(lambda: len(heard.said) >= 3)
            first = heard.said[0]
            assert (first.accepting, first.load_ppm, first.interval_ms, first.links) == (True, 500_000, 300, None)
            assert [one.seq for one in heard.said[:3]] == [1, 2, 3]
            (tmp_path / "load").write_text("0.75")
            await until_async(lambda: heard.said[-1].load_ppm == 750_000)
            file.write_text(file.read_text().replace('"300ms"', '"9ms"'))
            agent.send_signal(signal.SIGHUP)
            await until_async(lambda: "reload refused" in (tmp_path / "log").read_text())
            await heard.more()
            file.write_text(
                file.read_text().replace('"9ms"', '"300ms"').replace("[agent]", "[agent]\naccepting = false")
            )
            agent.send_signal(signal.SIGHUP)
            await until_async(lambda: not heard.said[-1].accepting)
            file.write_text(file.read_text().replace("accepting = false", "accepting = true"))
            agent.send_signal(signal.SIGHUP)
            await until_async(lambda: heard.said[-1].accepting)
        broker_has = Heard()
        task = asyncio.create_task(broker_has.listen(broker.port))
        await until_async(lambda: broker_has.said)
        await asyncio.sleep(6.0)  # a will would come after five
        task.cancel()
        last = broker_has.said[-1]
        assert last.accepting
        with running(write(tmp_path, broker.port)):
            await until_async(lambda: heard.said[-1].epoch > last.epoch)

    scene(scenario, broker.port)


def test_when_it_ends_it_first_says_that_the_pop_takes_nobody(broker, tmp_path):
    async def scenario(heard):
        with running(write(tmp_path, broker.port)) as agent:
            await until_async(lambda: heard.said)
            agent.send_signal(signal.SIGTERM)
            await until_async(lambda: not heard.said[-1].accepting)
            await heard.more()  # it goes on saying so
            assert agent.poll() is None
            agent.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(agent.wait, BOUND) == 0
        assert not heard.said[-1].accepting
        with running(write(tmp_path, broker.port, drain_for="0s")) as agent:
            await until_async(lambda: heard.said[-1].accepting)
            agent.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(agent.wait, BOUND) == 0
        await asyncio.sleep(1.0)
        assert heard.said[-1].accepting

    scene(scenario, broker.port)


def test_after_a_start_with_a_clock_that_went_back_it_is_still_heard(broker, tmp_path):
    """What is retained is of the year 2096."""

    async def scenario(heard):
        async with observer(broker.port) as client:
            before = b'{"v":1,"pop":"fra1","epoch":4000000000,"seq":7,"accepting":true}'
            await client.publish(TOPIC, before, qos=1, retain=True)
        with running(write(tmp_path, broker.port)):
            await until_async(lambda: heard.said and heard.said[-1].load_ppm == 500_000)
            assert heard.said[-1].epoch == 4_000_000_001

    scene(scenario, broker.port)
