"""The formats that can be replayed, and which of them a file is in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from steerd.replay.imports import atlas, fping, irtt, mtr, ping, prometheus
from steerd.replay.imports.sample import Sample
from steerd.replay.imports.text import Text


@dataclass(frozen=True, slots=True)
class Format:
    """How a tool's output becomes samples. ``recognises`` is asked with the beginning of a file. ``parse`` reads the
    file; its second argument is the name of the path where the file has only one. ``target`` finds in the beginning
    what was probed, where that is one target."""

    name: str
    recognises: Callable[[str], bool]
    parse: Callable[[Text, str], Iterator[Sample]]
    target: Callable[[str], str | None] = lambda _: None


CSV: Final = "csv"  # a trace as it is: no import
FORMATS: Final = {
    one.name: one
    for one in (
        Format("ping", ping.recognises, ping.parse, ping.target),
        Format("fping", fping.recognises, fping.parse),
        Format("mtr", mtr.recognises, mtr.parse),
        Format("irtt", irtt.recognises, irtt.parse, irtt.target),
        Format("atlas", atlas.recognises, atlas.parse),
        Format("prometheus", prometheus.recognises, prometheus.parse),
    )
}

NAMES: Final = (CSV, *FORMATS)  # what `--from` takes


def recognise(head: str) -> Format | None:
    """The format of a text that begins like this; None: a CSV trace, or none that is known."""
    if head.startswith("time_s"):
        return None
    return next((one for one in FORMATS.values() if one.recognises(head)), None)
