"""A progress bar on the terminal; nothing where standard error is none."""

import sys
from pathlib import Path
from time import monotonic
from typing import Final

from steerd.core.events import Swept
from steerd.replay.trace.reading import Trace
from steerd.text.lines import printable

EVERY: Final = 0.1
"""Seconds between two looks of it."""

LOOK: Final = 256
"""Samples after which the clock is asked again."""

WIDTH: Final = 24


class Progress:
    """How far a number of files have been replayed, by their bytes."""

    def __init__(self, files: list[Path]) -> None:
        self.shown = sys.stderr.isatty()
        self._sizes = {file: file.stat().st_size for file in files if file.exists()} if self.shown else {}
        self._total = sum(self._sizes.values()) or 1
        self._done = self._samples = 0
        self._next = monotonic() + EVERY

    def sample(self, trace: Trace, swept: Swept) -> None:  # noqa: ARG002
        """See `steerd.replay.run.Watcher`."""
        self._samples += 1
        if self._samples % LOOK == 0 and monotonic() >= self._next:
            self.draw(trace.file, trace.bytes_read)

    def draw(self, file: Path, read: int = 0) -> None:
        """Show how far the file was read, in bytes, if there is a terminal."""
        if not self.shown:
            return
        self._next = monotonic() + EVERY
        share = min(1.0, (self._done + read) / self._total)
        drawn, name = "#" * round(WIDTH * share), printable(f"{file.name:.40}")
        print(f"\r\x1b[K[{drawn:<{WIDTH}}] {100 * share:3.0f} %  {name}", end="", file=sys.stderr, flush=True)

    def finished(self, file: Path) -> None:
        """This file is done: the line is cleared for what is printed of it."""
        self._done += self._sizes.get(file, 0)
        self.clear()

    def clear(self) -> None:
        """Take the bar away."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
