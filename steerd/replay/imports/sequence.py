"""The probes of one run of `ping` or `fping` to one target, by their sequence numbers: what was lost are the gaps."""

from array import array
from collections.abc import Iterator
from collections.abc import Sequence as Sequenced
from itertools import pairwise
from math import isnan, nan
from statistics import median_low
from typing import Final

from steerd.replay.imports.sample import Malformed, Sample

GAP_MAX: Final = 1_000_000  # probes lost in a row that are believed: 11 days of one a second
RECENT: Final = 256
"""Lines after the next probes' in which a probe without an answer is told: 2 s of the fastest that fping sends."""

FITS: Final = 0.05  # a sequence number is taken to have wrapped if the time that passed says so this exactly


class Sequence:
    """Collects lines in the order of the file; `samples` tells the probes in the order of sending. ``wraps``: the
    sequence number is of so many values, 65536 in ICMP; 0: it only grows. ``first``: the number that the run began
    with, if that is known: those lost before the first answer count."""

    def __init__(self, path: str, *, wraps: int, first: int | None = None) -> None:
        self.path = path
        self._wraps = wraps
        self._first = first
        self._numbers = array("q")
        self._sent = array("d")
        self._rtts = array("d")  # NaN: lost
        self._newest = -1
        self._newest_sent = 0.0  # of the newest that was answered
        self._told_at = 0.0  # when the newest was told of, answered or not
        self._interval = 0.0

    def restarts(self, number: int, sent: float, *, answered: bool = True) -> bool:
        """Whether this probe is of another run: it was sent later than the newest, and has a lower number. Of one that
        was not answered it is not known when it was sent, but each is told only once, and soon."""
        if not self._numbers:
            return False
        number = self._unwrapped(number, sent)
        if answered:
            return number < self._newest and sent > self._newest_sent
        return number < self._newest - RECENT or number in self._numbers[-RECENT:]

    def add(self, number: int, sent: float, rtt: float | None, line: int) -> None:
        """A probe that was answered, or (None) not; of an unanswered one, ``sent`` is when that was printed. Raises
        `Malformed`: its number is further ahead than probes can have been sent."""
        number = self._unwrapped(number, sent)
        if self._numbers:
            ahead = number - self._newest
            passed = sent - self._newest_sent
            if ahead > GAP_MAX or (ahead > 1000 and self._interval and ahead * self._interval > 10 * passed + 60):
                raise Malformed(line, f"the sequence number jumps ahead by {ahead} in {max(0.0, passed):.0f} s")
            if ahead > 0 and rtt is not None and passed > 0:
                each = passed / ahead
                # Waits only ever lengthen an interval that is seen: follow it down at once, up slowly.
                self._interval = each if not self._interval else min(each, self._interval * 1.01)
        if number >= self._newest:
            self._newest = number
            self._told_at = sent
            if rtt is not None or not self._numbers:
                self._newest_sent = sent
        self._numbers.append(number)
        self._sent.append(sent)
        self._rtts.append(nan if rtt is None else rtt)

    def ended(self, count: int, line: int) -> None:
        """The run sent so many: those after the last answer were lost. Raises `Malformed`: that cannot be."""
        if self._first is None or not self._numbers:
            return
        if count - self._newest > GAP_MAX:
            raise Malformed(line, f"{count} packets sent, and the last answer is to number {self._newest}")
        self._newest = max(self._newest, self._first + count - 1)

    def _unwrapped(self, number: int, sent: float) -> int:
        wraps = self._wraps
        if not wraps or not self._numbers:
            return number
        delta = (number - self._newest) % wraps
        near = delta - wraps if delta > wraps // 2 else delta  # behind: a late answer
        if self._interval:
            expected = (sent - self._told_at) / self._interval
            turns = round((expected - delta) / wraps)
            far = delta + turns * wraps
            if turns > 0 and abs(far - expected) <= FITS * expected + 2:
                return self._newest + far
        return self._newest + near

    def samples(self) -> Iterator[Sample]:
        """All probes in the order of sending; those without a time lie evenly between the answered ones around them."""
        order = self._order()
        if not order:
            return
        interval = self._usual(order)
        last: tuple[int, float] | None = None  # the answered one before
        for place in order:
            number, sent, rtt = self._numbers[place], self._sent[place], self._rtts[place]
            if isnan(rtt):
                continue
            if last is not None:
                sent = max(sent, last[1])  # the clock was set back a little
                step = (sent - last[1]) / (number - last[0])
                for ahead in range(1, number - last[0]):
                    yield Sample(self.path, last[1] + ahead * step, None)
            elif interval:
                first = self._numbers[order[0]] if self._first is None else min(self._first, self._numbers[order[0]])
                for behind in range(min(number - first, GAP_MAX), 0, -1):
                    yield Sample(self.path, max(0.0, sent - behind * interval), None)
            yield Sample(self.path, sent, rtt)
            last = number, sent
        if last is None:
            for place in order:
                yield Sample(self.path, self._sent[place], None)
        else:
            for ahead in range(1, self._newest - last[0] + 1):
                yield Sample(self.path, last[1] + ahead * interval, None)

    def _order(self) -> Sequenced[int]:
        """The places of the lines by their number, one a number: an answer, if there is one."""
        numbers, rtts = self._numbers, self._rtts
        if all(before < after for before, after in pairwise(numbers)):
            return range(len(numbers))
        places = sorted(range(len(numbers)), key=lambda place: (numbers[place], isnan(rtts[place])))
        return [place for before, place in pairwise([-1, *places]) if before < 0 or numbers[before] != numbers[place]]

    def _usual(self, order: Sequenced[int]) -> float:
        """Seconds from probe to probe: the median between answered neighbours."""
        answered = (place for place in order if not isnan(self._rtts[place]))
        steps = [
            (self._sent[after] - self._sent[before]) / (self._numbers[after] - self._numbers[before])
            for before, after in pairwise(answered)
        ]
        return max(0.0, median_low(steps)) if steps else 0.0
