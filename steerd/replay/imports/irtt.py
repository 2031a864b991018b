"""`irtt client -o FILE`: JSON with every probe of a run to one target.

Format: doc/irtt-client.md and the output of irtt 0.9.0. `round_trips` has for each probe `lost` ("false", "true",
"true_up", "true_down"), `delay.rtt` and `timestamps.client.send.wall`, in nanoseconds.
"""

from collections.abc import Iterator
from typing import Any, Final

from steerd.replay.imports.jsonstream import members
from steerd.replay.imports.sample import Malformed, Sample, brief, inside, milliseconds, moment, number
from steerd.replay.imports.text import Text

PROBES: Final = "round_trips"
LOST: Final = ("true", "true_up", "true_down")


def recognises(head: str) -> bool:
    return head.lstrip().startswith("{") and '"irtt"' in head and '"json_format"' in head


def target(head: str) -> str | None:
    """The address that was asked, without its port."""
    _, found, rest = head.partition('"remote_address"')
    parts = rest.split('"', 2) if found else []
    if len(parts) < 3:
        return None
    return parts[1].rpartition(":")[0].strip("[]") or None


def parse(text: Text, name: str) -> Iterator[Sample]:
    """The probes, all of path ``name``. Raises `Malformed`: not irtt's JSON, or without times of the wall clock."""
    found = False
    for line, key, value in members(text, PROBES):
        if key == PROBES:
            found = True
            if value is not None and value != []:
                yield _probe(value, name, line)
    if not found:
        raise Malformed(0, f"is no output of irtt client: it has no {PROBES!r}")


def _probe(value: Any, name: str, line: int) -> Sample:
    sent = inside(value, "timestamps", "client", "send", "wall")
    nanoseconds = number(sent)
    if nanoseconds is None:
        raise Malformed(line, "a probe without the time when it was sent: irtt needs --clock=wall or both")
    at = moment(nanoseconds / 1e9, line)
    lost = inside(value, "lost")
    if lost in LOST:
        return Sample(name, at, None)
    if lost != "false":
        raise Malformed(line, f"{brief(lost)} is not what irtt says of a probe")
    return Sample(name, at, milliseconds(inside(value, "delay", "rtt"), line, unit=1e-6))
