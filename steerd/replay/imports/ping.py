"""`ping -D` of iputils: a line an answer, with the time when it came.

Format: ping(8) of iputils 20221126 and its output. Losses are gaps in `icmp_seq`, lines of `-O`, or ICMP errors. Times
are needed because a trace compares paths, and what is counted from 1 in two files shares no clock.
"""

import re
from collections.abc import Iterator
from typing import Final

from steerd.replay.imports.sample import Malformed, Sample, brief, forward, milliseconds, moment, named
from steerd.replay.imports.sequence import Sequence
from steerd.replay.imports.text import Text

_START: Final = re.compile(r"PING (\S+?) ?\(")
_REPLY: Final = re.compile(
    r"\[(\d+\.\d+)\] \d+ bytes from .*?: icmp_seq=(\d+) (?:ident=\d+ )?(?:ttl|hlim)=\d+ time=([\d.]+) ms(.*)"
)
_LOST: Final = re.compile(r"\[(\d+\.\d+)\] (?:no answer yet for|From .*?) ?icmp_seq=(\d+)")
_LIKE: Final = re.compile(r"\[\d*[\d.\]]|\d+ bytes from |no answer yet for |From \S+.* icmp_seq=")
_SENT: Final = re.compile(r"(\d{1,12}) packets transmitted, ")
_STAMPED: Final = re.compile(r"\[[^\]]*\] ")

WRAPS: Final = 1 << 16
FIRST: Final = 1
"""The sequence number that a run begins with."""


def recognises(head: str) -> bool:
    lines = head.splitlines()[:200]
    return any(_START.match(line) or (_LIKE.match(line) and "icmp_seq=" in line) for line in lines)


def target(head: str) -> str | None:
    """What was pinged, as it was typed."""
    for line in head.splitlines()[:200]:
        if start := _START.match(line):
            return start[1]
    return None


def parse(text: Text, name: str) -> Iterator[Sample]:
    """The probes, all of path ``name``. Raises `Malformed`: a line about a probe is not understood, or has no time."""
    run = Sequence(name, wraps=WRAPS)
    last = 0.0
    for line, said in text.lines():
        if start := _START.match(said):
            named(start[1], line)
            yield from run.samples()
            run, last = Sequence(name, wraps=WRAPS, first=FIRST), 0.0
        elif reply := _REPLY.match(said):
            if "(DUP!)" in reply[4]:
                continue
            at = forward(moment(reply[1], line), last, line)
            rtt = milliseconds(reply[3], line)
            number = _number(reply[2], line)
            sent = max(0.0, at - rtt / 1e3)
            if run.restarts(number, sent):
                yield from run.samples()
                run = Sequence(name, wraps=WRAPS)
            run.add(number, sent, rtt, line)
            last = at
        elif lost := _LOST.match(said):
            last = forward(moment(lost[1], line), last, line)
            run.add(_number(lost[2], line), last, None, line)
        elif sent_in_all := _SENT.match(said):
            run.ended(int(sent_in_all[1]), line)
        elif _LIKE.match(said):
            stamped = _STAMPED.match(said)
            raise Malformed(
                line, f"not a line of ping -D: {brief(said)}" if stamped else "has no time: run ping with -D"
            )
    yield from run.samples()


def _number(text: str, line: int) -> int:
    if len(text) > 5 or int(text) >= WRAPS:
        raise Malformed(line, f"icmp_seq={text:.20} is above {WRAPS - 1}")
    return int(text)
