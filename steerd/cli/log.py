"""Where a command's log goes: standard error, which under systemd is the journal."""

import logging
import os
import queue
import threading
import time
from contextlib import suppress
from typing import Final

from steerd.text.lines import printable

WAITING: Final = 1000
"""Records that wait to be written, at most: then nobody reads, and what comes is counted instead."""
LAST: Final = 2.0
"""Seconds that are waited at the end for what is not written yet."""

_STDERR = 2
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Formatter(logging.Formatter):
    """Plain lines; under systemd with ``<N>`` priorities (sd-daemon(3)) and without a time of their own."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)-8s %(message)s")
        self._journal = journal

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (as logging calls it)
        """One line, whatever others had a say in it."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>" if self._journal else ""
        return "\n".join(prefix + printable(line) for line in super().format(record).splitlines())


class _Aside(logging.Handler):
    """Writes on a thread of its own: where the reader stands still (a journal on a disk that hangs, a pipe), whoever
    logs does not."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: queue.Queue[str | None] = queue.Queue(WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1
        except Exception:  # noqa: BLE001 (as every handler)
            self.handleError(record)

    def close(self) -> None:
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(LAST)
        super().close()

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            with suppress(Exception):  # as where memory is out: the next line is written again
                self._write(f"{text}\n".encode(errors="backslashreplace"))
            if self._lost and self._waiting.empty():
                words = f"{self._lost} lines of the log are lost: nobody read them in time"
                self._lost = 0
                self.emit(logging.makeLogRecord({"levelno": logging.WARNING, "levelname": "WARNING", "msg": words}))

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # nobody will read it any more, or there is no room for it
            while data:
                try:
                    data = data[os.write(_STDERR, data) :]
                except BlockingIOError:  # somebody else has set it so
                    time.sleep(0.1)


def log_to_stderr(level: str) -> None:
    """Log from ``level`` on: ``debug``, ``info``, ``warning`` or ``error``."""
    # What cannot be logged, as where memory is out, is not logged either, with a traceback each time.
    logging.raiseExceptions = False
    handler = _Aside()
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level.upper(), handlers=[handler])
