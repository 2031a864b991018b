"""Which part of the traces is searched, and which is not seen until the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from steerd.replay.price import FREE
from steerd.tune.rows import Kept

FILES: Final = 4
"""From so many traces on, whole ones are put on either side."""

PART: Final = 100
"""Counted samples that each trace, or each half of one, must have."""

SIDE: Final = 200
"""Counted samples that each side must have."""

LEAST_SHARE: Final = 0.25
"""Whole traces are put on either side only if each side gets this share of all samples."""

SEED: Final = 1


class TooShortError(Exception):
    """There is not enough to search on one part and to judge on another; the message says what is needed."""


@dataclass(frozen=True, slots=True)
class Split:
    """``by`` files: whole traces are seen or unseen. By time: the first half of each is seen, the rest is not."""

    by: Literal["files", "time"]
    seen: Sequence[Kept]
    unseen: Sequence[Kept]
    left_out: Sequence[tuple[str, str]]
    """Traces that are on no side, and why."""


def split(traces: Sequence[Kept]) -> Split:
    """Depends on how many traces and samples there are, and on nothing that was measured.

    Raises:
        TooShortError: of what there is.
    """
    different, left_out = _different(traces)
    return _by_files(different, left_out) or _by_time(different, left_out)


def _different(traces: Sequence[Kept]) -> tuple[list[Kept], list[tuple[str, str]]]:
    """A trace that came twice would be seen and unseen at once."""
    first: dict[bytes, Kept] = {}
    left_out = []
    for trace in traces:
        same = first.setdefault(trace.digest(), trace)
        if same is not trace:
            left_out.append((trace.trace, f"holds the same as {same.trace}"))
    return list(first.values()), left_out


def _by_files(traces: Sequence[Kept], left_out: Sequence[tuple[str, str]]) -> Split | None:
    long = [trace for trace in traces if trace.counted >= PART]
    if len(long) < FILES:
        return None
    # Neighbours are alike, so of two one goes to each side; which one is drawn, since there may be a pattern in
    # how files alternate.
    random = Random(SEED)  # noqa: S311
    sides: tuple[list[Kept], list[Kept]] = ([], [])
    for n, trace in enumerate(long):
        if n % 2 == 0:
            side = random.randrange(2)
        sides[(side + n) % 2].append(trace)
    seen, unseen = sides
    least = max(SIDE, LEAST_SHARE * sum(trace.counted for trace in long))
    if min(_counted(seen), _counted(unseen)) < least:
        return None
    return Split("files", seen, unseen, [*left_out, *_short(traces, FREE + PART)])


def _by_time(traces: Sequence[Kept], left_out: Sequence[tuple[str, str]]) -> Split:
    needed = 2 * (FREE + PART)
    long = [trace for trace in traces if trace.samples >= needed]
    seen = [trace.part(0, trace.samples // 2) for trace in long]
    unseen = [trace.part(trace.samples // 2, trace.samples) for trace in long]
    if min(_counted(seen), _counted(unseen)) < SIDE:
        most = max((trace.samples for trace in traces), default=0)
        raise TooShortError(
            f"too short to search one part and judge on another: the longest trace has {most} samples, and one alone "
            f"must have {2 * (FREE + SIDE)}, two or three {needed} each, {FILES} or more {FREE + PART} each"
        )
    return Split("time", seen, unseen, [*left_out, *_short(traces, needed)])


def _counted(parts: Sequence[Kept]) -> int:
    return sum(part.counted for part in parts)


def _short(traces: Sequence[Kept], needed: int) -> list[tuple[str, str]]:
    return [
        (trace.trace, f"has {trace.samples} samples, and here {needed} are needed")
        for trace in traces
        if trace.samples < needed
    ]
