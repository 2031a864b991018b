"""`fping -D` with `-l`, `-c` or `-C`: a line a probe, of as many hosts as were asked; each is a path.

Format: fping(8) 5.1 and its output: Unix time in brackets, or with `--timestamp-format=iso` that. Before 4.3 a lost
probe has no line: gaps in the sequence number count. `-J` (5.5, alpha) has no time of a probe.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from steerd.replay.imports.sample import Malformed, Sample, brief, forward, milliseconds, moment, named
from steerd.replay.imports.sequence import Sequence
from steerd.replay.imports.text import Text

_LINE: Final = re.compile(
    r"(?:\[([^\]]+)\] )?(\S.{0,300}?)\s*: \[(\d{1,15})\], (?:(\d+) bytes, ([\d.e+]+) ms|(timed out))"
)
_LIKE: Final = re.compile(r"\[[\d.:TZ+-]+\] \S.*: \[\d+\]")
_UNIX: Final = re.compile(r"\d+(?:\.\d+)?")
_JSON: Final = re.compile(r'\s*\{\s*"(?:resp|timeout|intSum|vSum)"\s*:')


def recognises(head: str) -> bool:
    if _JSON.match(head):
        return True
    return any(_LINE.match(line) for line in head.splitlines()[:200])


def parse(text: Text, name: str) -> Iterator[Sample]:  # noqa: ARG001 (hosts have names of their own)
    """The probes; a path is called as its host. Raises `Malformed`: a probe's line has no time or is not understood."""
    runs: dict[str, Sequence] = {}
    last = 0.0
    for line, said in text.lines():
        found = _LINE.match(said)
        if found is None:
            if _JSON.match(said):
                raise Malformed(line, "fping -J tells no time of a probe: run fping with -D, and without -J")
            if _LIKE.match(said) and "duplicate for" not in said:
                raise Malformed(line, f"not a line of fping -D: {brief(said)}")
            continue
        stamp, host, number, _, took, _ = found.groups()
        if stamp is None:
            raise Malformed(line, "has no time: run fping with -D")
        at = last = forward(_moment(stamp, line), last, line)
        rtt = None if took is None else milliseconds(took, line)
        sent = at if rtt is None else max(0.0, at - rtt / 1e3)
        run = runs.get(host)
        if run is not None and run.restarts(int(number), sent, answered=rtt is not None):
            # fping begins with all hosts at once.
            for each in runs.values():
                yield from each.samples()
            runs.clear()
            run = None
        if run is None:
            run = runs[host] = Sequence(named(host, line), wraps=0)
        run.add(int(number), sent, rtt, line)
    for each in runs.values():
        yield from each.samples()


def _moment(stamp: str, line: int) -> float:
    if _UNIX.fullmatch(stamp):
        return moment(stamp, line)
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Malformed(line, f"{brief(stamp)} is not a time with a zone: use -D alone, or --timestamp-format=iso")
    return moment(at.timestamp(), line)
