"""Whatever lies where the store's file should be, steerd starts, says so, and keeps what comes from then on."""

import asyncio
import logging
import os
import shutil
import tempfile
from itertools import takewhile
from pathlib import Path

import pytest

from steerd.control.parts.history import history
from steerd.core.memory import Memory
from steerd.store import store as timing
from steerd.store import writer
from steerd.store.database import COPY, NAME
from steerd.store.store import Store
from tests.unit.test_store import MEMORY, Clock, reopened, switched

NOBODY = 65534
COPIED: list[bytes] = []


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> bytes:
    """The file of a daemon that was stopped in order. Its copy is in `COPIED`."""
    folder, clock = tmp_path_factory.mktemp("kept"), Clock()
    store = Store(folder, wall=clock)
    store.open()
    store.remember(MEMORY, {("a.example", 4): "192.0.2.1"}, {"topic": "payload"})
    for n in range(20):
        store.decided(switched(n), 1_000_000_000 + n)
        store.traced(f"7-{n}", 1_000_000_000 + n, {"path": "fra1/wg0"})
    store.close()
    COPIED.append((folder / COPY).read_bytes())
    return (folder / NAME).read_bytes()


def goes_on(folder: Path, clock: Clock) -> Memory:
    """A run over what lies there: what it begins with. It answers, and what it keeps is there in the next one."""
    store = Store(folder, wall=clock)
    found = store.open()
    history(asyncio.run(asyncio.wait_for(store.history(1e6, 100), timing.ANSWER)))
    store.decided(switched(99), 1_000_000_099)
    store.remember(MEMORY)
    assert asyncio.run(store.trouble()) is None
    assert "7-99" in [one["event_id"] for one in asyncio.run(store.history(1e6, 100))]
    store.close()
    assert reopened(folder, clock) == (found.epoch + 1, MEMORY)
    return found.memory


@pytest.mark.parametrize("copied", [True, False], ids=["with its copy", "without"])
def test_one_byte_that_flipped_stops_no_start(tmp_path, kept, caplog, copied):
    caplog.set_level(logging.ERROR)
    begun_with = []
    places = {*range(0, len(kept), 503), *range(3400, 4096, 17), 4090}
    for at in sorted(places):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        (tmp_path / NAME).write_bytes(kept[:at] + bytes((kept[at] ^ 0xFF,)) + kept[at + 1 :])
        if copied:
            (tmp_path / COPY).write_bytes(COPIED[0])
        begun_with.append(goes_on(tmp_path, Clock()))
    # Without the copy there is what can be read of a broken file.
    assert begun_with.count(MEMORY) > (0.99 if copied else 0.6) * len(places)
    assert not caplog.records


@pytest.mark.parametrize("length", [0, 1, 16, 100, 4095, 4096, 9000])
def test_a_file_cut_short_is_set_aside_and_its_pins_and_drains_come_from_the_copy(tmp_path, kept, caplog, length):
    (tmp_path / NAME).write_bytes(kept[:length])
    (tmp_path / COPY).write_bytes(COPIED[0])
    assert goes_on(tmp_path, Clock()) == MEMORY
    assert f"moved to {tmp_path / NAME}.broken" in caplog.text


@pytest.mark.parametrize("copy", [b"", b"[]", b"{\xff}", b'{"memory": 1, "orders": 2}'])
def test_a_copy_that_is_none_is_left(tmp_path, kept, copy):
    (tmp_path / NAME).write_bytes(kept[:100])
    (tmp_path / COPY).write_bytes(copy)
    assert goes_on(tmp_path, Clock()) == Memory()


def test_who_removes_the_file_wants_it_forgotten(tmp_path, kept):
    (tmp_path / COPY).write_bytes(COPIED[0])
    assert goes_on(tmp_path, Clock()) == Memory()


@pytest.mark.parametrize("there", ["folder", "folder twice", "fifo", "folder of that name"])
def test_what_is_no_file_is_set_aside_and_named(tmp_path, there, caplog):
    def put():
        if there == "fifo":
            os.mkfifo(tmp_path / NAME)
        else:
            (tmp_path / NAME).mkdir()
            (tmp_path / NAME / "precious").touch()

    if there == "folder of that name":
        (tmp_path / f"{NAME}.broken" / "precious").mkdir(parents=True)
    put()
    goes_on(tmp_path, Clock())
    if there == "folder twice":
        (tmp_path / NAME).unlink()
        put()
        goes_on(tmp_path, Clock())
    (*_, aside) = sorted(tmp_path.glob(f"{NAME}.broken*"))
    assert f"moved to {aside}" in caplog.text


def test_a_file_that_may_not_be_read_is_set_aside(tmp_path, kept, caplog):
    file = tmp_path / NAME
    file.write_bytes(kept)
    file.chmod(0)
    root = os.geteuid() == 0
    if root:
        tmp_path.chmod(0o777)
        for folder in takewhile(lambda one: one != Path(tempfile.gettempdir()), tmp_path.parents):
            folder.chmod(0o711)
        os.seteuid(NOBODY)
    try:
        goes_on(tmp_path, Clock())
    finally:
        os.seteuid(0 if root else os.geteuid())
    assert f"moved to {file}.broken" in caplog.text


def test_memory_that_is_no_longer_text_is_said_to_be_lost(tmp_path, kept, caplog):
    at = kept.index(b'"wall_ms"')
    (tmp_path / NAME).write_bytes(kept[:at] + b"\xff" + kept[at + 1 :])
    assert goes_on(tmp_path, Clock()) == Memory()
    assert "what was kept as memory cannot be read, and is lost" in caplog.text


class Unkind:
    def keys(self):
        raise KeyError("nobody expected this")


def test_the_thread_outlives_whatever_it_is_given(tmp_path):
    store = Store(tmp_path, wall=Clock())
    store.open()
    for _ in range(3):
        store.traced("7-1", 1, Unkind())
        store.decided(switched(1), 1_000_000_000)
        assert asyncio.run(asyncio.wait_for(store.history(1e6, 10), timing.ANSWER))
    store.close()


async def kept_in_the_end(store):
    for _ in range(500):
        if await store.trouble() is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(await store.trouble())


def test_what_could_not_be_kept_is_tried_again_and_said(tmp_path, monkeypatch):
    """First there is no folder, and then there is."""
    monkeypatch.setattr(writer, "RETRIED_EVERY", 0.05)
    place = tmp_path / "file"
    place.touch()
    store = Store(place / "store", wall=Clock())
    store.open()
    store.remember(MEMORY)
    assert asyncio.run(store.trouble()) == "the disk cannot be used"
    place.unlink()

    asyncio.run(kept_in_the_end(store))
    store.close()
    assert reopened(place / "store", Clock()) == (1_000_001, MEMORY)


@pytest.mark.parametrize("whole", [False, True], ids=["files", "folder"])
def test_what_is_kept_is_kept_anew_where_somebody_removes_the_files_meanwhile(tmp_path, caplog, whole):
    folder, clock = tmp_path / "store", Clock()
    store = Store(folder, wall=clock)
    epoch = store.open().epoch
    store.remember(Memory())
    assert asyncio.run(store.trouble()) is None
    for file in folder.iterdir():
        file.unlink()
    if whole:
        folder.rmdir()
    store.remember(MEMORY)
    assert asyncio.run(store.trouble()) is None
    store.decided(switched(99), 1_000_000_099)
    store.close()
    assert f"{folder / NAME} was removed" in caplog.text
    assert reopened(folder, clock) == (epoch + 1, MEMORY)


def test_where_the_folder_is_removed_and_none_can_be_made_that_is_said(tmp_path):
    folder = tmp_path / "store"
    store = Store(folder, wall=Clock())
    store.open()
    shutil.rmtree(folder)
    folder.touch()
    store.remember(MEMORY)
    assert asyncio.run(store.trouble()) == "the disk cannot be used"
    store.close()
