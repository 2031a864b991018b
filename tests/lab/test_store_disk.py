"""A disk that is full: steering goes on, what cannot be kept says so, and all is kept once there is room."""

import asyncio
import subprocess
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from steerd.config.gateway.load import load
from steerd.core.engine import Engine
from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId
from steerd.daemon.answers.operators import Operators
from steerd.daemon.driver import Driver
from steerd.daemon.persistence import Persistence
from steerd.store import recording, writer
from steerd.store.recording import recordings
from steerd.store.store import Store
from tests.unit.test_config_load import POLICY, POP
from tests.unit.test_store import switched
from tests.unit.test_store_hostile import kept_in_the_end

pytestmark = pytest.mark.lab


@pytest.fixture
def disk(tmp_path):
    """Of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


class Daemon:
    """Its driver, store and operators."""

    def __init__(self, file, disk):
        config = replace(load(file), store_path=disk)
        self.store = Store(disk, record=True)
        stored = self.store.open()
        now = time.monotonic()
        self.store.begin(settings=config.core, memory=stored.memory, seed=1, epoch=stored.epoch, now=now)
        engine = Engine(config.core, stored.memory, now=now, epoch=stored.epoch, draw=lambda: 0.5)
        self.driver = Driver(engine, record=self.store.record)
        persistence = Persistence(self.store, self.driver, dict, dict)
        assert persistence.store is self.store
        self.verbs = Operators(self.driver, lambda: config, self.store.trouble).verbs()

    def drained(self):
        return [one.pop for one in self.driver.memory().drains]

    def stop(self):
        self.driver.stop()
        self.store.close()


@pytest.mark.parametrize("full_by", ["others", "the recording"])
def test_an_order_on_a_full_disk_is_obeyed_says_that_it_is_not_kept_and_is_kept_later(
    tmp_path, disk, monkeypatch, full_by
):
    monkeypatch.setattr(writer, "RETRIED_EVERY", 0.1)
    file = tmp_path / "steerd.toml"
    file.write_text(POP + POLICY)

    async def run():
        if full_by == "the recording":
            monkeypatch.setattr(recording, "RESERVED", 0)
        daemon = Daemon(file, disk)
        for n in range(20_000 if full_by == "the recording" else 10):
            daemon.store.record(Probed(PathId("fra1/wg-fra1"), Outcome.REPLY, n / 7, 0.01 + n / 77_777), n / 9)
            if n % 1000 == 0:
                await daemon.store.history(1.0, 1)
        with (disk / "full").open("wb", buffering=0) as filling, suppress(OSError):
            while filling.write(bytes(4096)):
                pass
        daemon.store.decided(switched(1), int(time.time() * 1000))
        answer = await daemon.verbs["drain"]({"verb": "drain", "pop": "fra1", "for_s": 3600})
        assert answer["text"].startswith("fra1 is drained")
        assert "will not survive a restart" in answer["warnings"][0]
        assert "full" in answer["warnings"][0]
        assert daemon.drained() == ["fra1"]
        began = time.monotonic()
        await daemon.store.history(3600.0, 10)
        assert time.monotonic() - began < 5.0

        (disk / "full").unlink()
        for one in recordings(disk):
            one.unlink()
        await kept_in_the_end(daemon.store)
        assert "warnings" not in await daemon.verbs["drain"]({"verb": "drain", "pop": "fra1", "for_s": 7200})
        daemon.stop()
        daemon = Daemon(file, disk)
        assert daemon.drained() == ["fra1"]
        daemon.stop()

    asyncio.run(run())


def test_a_recording_leaves_room_for_what_a_restart_must_not_forget(tmp_path, disk, caplog):
    file = tmp_path / "steerd.toml"
    file.write_text(POP + POLICY)

    async def run():
        daemon = Daemon(file, disk)
        for n in range(1_000):
            daemon.store.record(Probed(PathId("fra1/wg-fra1"), Outcome.REPLY, n / 7, 0.01 + n / 77_777), n / 9)
        assert "warnings" not in await daemon.verbs["drain"]({"verb": "drain", "pop": "fra1", "for_s": 3600})
        daemon.stop()
        assert Store(disk).open().memory.drains[0].pop == "fra1"

    asyncio.run(run())
    assert "the recording ends: the disk has less than 16 MiB left" in caplog.text
