"""What a daemon's probes brought, as a trace."""

import csv
import gzip
import lzma
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from steerd.core.events import Outcome, Probed
from steerd.core.settings import PathId
from steerd.replay.trace.reading import HEADER

LATE_WITHIN: Final = 10.0
"""Seconds for which a lost probe's row waits for its answer: longer than the prober remembers a probe."""

Row = tuple[float, PathId, float | None]
"""When what became of a probe was known, in seconds; its path; its RTT in ms, None: lost."""


def rows(events: Iterable[tuple[float, object]], *, leg: int = 0) -> Iterator[Row]:
    """A row for each probe of this leg that was answered or lost, sorted by time. A late answer replaces the row of its
    loss by one with its RTT when it came: a row says what became of a probe in the end. If it came after more than
    `LATE_WITHIN`, both stay. What says nothing of the path (our own send failed, a clock step) and second answers have
    no row."""
    waiting: deque[list[Row | None]] = deque()  # in lists of one, so that a row can be taken away
    lost: dict[tuple[PathId, float], list[Row | None]] = {}
    for now, event in events:
        while waiting and ((held := waiting[0][0]) is None or held[0] < now - LATE_WITHIN):
            if (row := waiting.popleft()[0]) is not None:
                yield row
        if not isinstance(event, Probed) or event.leg != leg:
            continue
        probe = event.path, event.sent_at
        if event.outcome is Outcome.LOST:
            slot: list[Row | None] = [(now, event.path, None)]
            lost[probe] = slot
            waiting.append(slot)
        elif event.outcome in (Outcome.REPLY, Outcome.LATE):
            if event.outcome is Outcome.LATE and probe in lost:
                lost.pop(probe)[0] = None
            waiting.append([(now, event.path, event.rtt * 1000.0)])
        if len(lost) > 1024:
            lost = {key: slot for key, slot in lost.items() if slot[0] is not None and slot[0][0] >= now - LATE_WITHIN}
    for slot in waiting:
        if slot[0] is not None:
            yield slot[0]


def write(stream: TextIO, all_rows: Iterable[Row]) -> int:
    """Write a trace: times to the millisecond, RTTs to the microsecond. Returns how many rows it has."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    count = 0
    for time, path, rtt in all_rows:
        writer.writerow((f"{time:.3f}", path, "" if rtt is None else f"{rtt:.3f}"))
        count += 1
    return count


@contextmanager
def opened(file: Path) -> Iterator[TextIO]:
    """A trace to be written, compressed as its name says; it is there when it is whole. OSError: it cannot be."""
    part = file.with_name(f"{file.name}.part")
    openers: dict[str, Callable[..., TextIO]] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(file.suffix, open)(part, "wt", encoding="utf-8", newline="") as stream:
            yield stream
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
