"""Did this machine stand still? A process of its own looks at the clock on each core, and remembers when that was late.

A guest whose host is busy, or a core that something of real-time priority took, stops for a while. Real time in the
lab goes on meanwhile: packets come late, and probes are not sent.
"""

import mmap
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

STILL = 0.08
"""Seconds that a look is late, and the core stood still. Four workers on two cores delay one by 0.04 at most."""
_EVERY = 0.02
_SLOT = struct.Struct("d")


class Stalls:
    """Watches from when it is made until it is closed."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._file.truncate(_SLOT.size * len(os.sched_getaffinity(0)))
        self._process = subprocess.Popen([sys.executable, "-I", __file__, self._file.name, str(os.getpid())])

    def since(self, when: float) -> bool:
        """Whether a core stood still after ``when``, in seconds of the monotonic clock."""
        return any(late > when for (late,) in _SLOT.iter_unpack(Path(self._file.name).read_bytes()))

    def close(self) -> None:
        """Ends its process."""
        self._process.kill()
        self._process.wait()
        self._file.close()


def _watch(core: int, page: mmap.mmap, at: int, parent: int) -> None:
    os.sched_setaffinity(0, {core})  # of this thread
    while os.getppid() == parent:
        before = time.monotonic()
        time.sleep(_EVERY)
        now = time.monotonic()
        if now - before - _EVERY > STILL:
            _SLOT.pack_into(page, at, now)


def _main(name: str, parent: str) -> None:
    with Path(name).open("r+b") as file, mmap.mmap(file.fileno(), 0) as page:
        threads = [
            threading.Thread(target=_watch, args=(core, page, place * _SLOT.size, int(parent)))
            for place, core in enumerate(sorted(os.sched_getaffinity(0)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    _main(*sys.argv[1:])
