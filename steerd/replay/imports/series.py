"""The samples of all files, on one grid. Raises `TraceError`: unreadable, of another format, or empty."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import isnan, nan
from pathlib import Path
from typing import Final

from steerd.replay.imports.sample import Malformed, Sample

SAMPLES_MAX: Final = 50_000_000  # probes of one trace: 19 months of one a second
STRIDE: Final = 16


class Series:
    """The probes of one path."""

    def __init__(self) -> None:
        self._times = array("d")
        self._rtts = array("d")  # NaN: lost
        self._spans: list[tuple[Path, float, float]] = []

    def __len__(self) -> int:
        return len(self._times)

    def rows(self) -> Iterator[tuple[float, float | None]]:
        """When each was sent, and its RTT in ms (None: lost), in the order of sending."""
        for at, rtt in zip(self._times, self._rtts, strict=True):
            yield at, None if isnan(rtt) else rtt

    @property
    def start(self) -> float:
        """When the first was sent, in seconds since 1970."""
        return self._times[0]

    def period(self) -> float:
        """Seconds from probe to probe: a median over `STRIDE`, to even out late ones; 0 with fewer than two."""
        stride = max(1, min(STRIDE, len(self._times) // 8) // 2 * 2)
        steps = sorted(
            (after - before) / stride for before, after in zip(self._times, self._times[stride:], strict=False)
        )
        return steps[len(steps) // 2] if steps else 0.0

    def extend(self, times: "array[float]", rtts: "array[float]", file: Path) -> Path | None:
        """Add what a file has of this path; returns the file that has the same time, if any, and adds nothing then."""
        if any(before > after for before, after in pairwise(times)):
            order = sorted(range(len(times)), key=times.__getitem__)
            times = array("d", [times[place] for place in order])
            rtts = array("d", [rtts[place] for place in order])
        for other, begin, end in self._spans:
            if times[0] <= end and begin <= times[-1]:
                return other
        self._spans.append((file, times[0], times[-1]))
        place = bisect_left(self._times, times[0])  # files of days may be given in another order
        self._times[place:place] = times
        self._rtts[place:place] = rtts
        return None


def gather(samples: Iterable[Sample], found: dict[str, Series], file: Path) -> int:
    """Adds a file's samples to ``found``; how many. Raises `Malformed`: a path is in two files at once, or too many."""
    times: dict[str, array[float]] = {}
    rtts: dict[str, array[float]] = {}
    count = sum(len(series) for series in found.values())
    before = count
    for path, at, rtt in samples:
        if path not in times:
            times[path], rtts[path] = array("d"), array("d")
        times[path].append(at)
        rtts[path].append(nan if rtt is None else rtt)
        count += 1
        if count > SAMPLES_MAX:
            raise Malformed(0, f"more than {SAMPLES_MAX} probes are too many for one trace")
    for path, some in times.items():
        other = found.setdefault(path, Series()).extend(some, rtts[path], file)
        if other is not None:
            raise Malformed(0, f"path {path} is in {other} too, at the same time")
    return count - before
