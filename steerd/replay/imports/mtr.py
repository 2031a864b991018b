"""`mtr` reports: each is one sample of its last hop, the target, with the mean RTT.

Formats: mtr(8) 0.95 and its output. `--csv` has the time of the report; `--json` has none, so that it must have been
given one: a member `timestamp`, in seconds since 1970. `--raw` and the table have no times, and are refused.
"""

import csv
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from steerd.replay.imports.jsonstream import values
from steerd.replay.imports.sample import Malformed, Sample, brief, inside, milliseconds, moment, named, number
from steerd.replay.imports.text import Text

LOST: Final = 50.0  # percent lost from which the sample of a report counts as lost
_CSV: Final = "Mtr_Version,"
_RAW: Final = re.compile(r"x \d+ \d+\r?\n|h \d+ \S+\r?\n")
_TABLE: Final = re.compile(r"(?:Start: .*\r?\n)?HOST: .*Loss%")
_NO_TIME: Final = "this output of mtr has no times: write reports with mtr --csv"


def recognises(head: str) -> bool:
    begin = head.lstrip()
    is_json = begin.startswith(("{", "[")) and '"report"' in begin and '"mtr"' in begin
    return begin.startswith(_CSV) or bool(_RAW.match(begin) or _TABLE.match(begin)) or is_json


def parse(text: Text, name: str) -> Iterator[Sample]:
    """A sample a report, of path ``name``, or of several targets' paths. Raises `Malformed`: no report, or no time."""
    lines = text.lines()
    first = next((one for one in lines if one[1].strip()), None)
    if first is None:
        return
    if first[1].startswith(_CSV):
        reports = _csv(chain([first], lines))
    elif first[1].lstrip().startswith(("{", "[")):
        reports = _json(text, f"{first[1]}\n")
    else:
        raise Malformed(first[0], _NO_TIME)
    found = list(reports)
    several = len({target for target, _, _ in found}) > 1
    for target, at, rtt in found:
        yield Sample(target if several else name, at, rtt)


Report = tuple[str, float, float | None]
"""Target, time, and mean RTT in ms (None: lost)."""


def _csv(lines: Iterator[tuple[int, str]]) -> Iterator[Report]:
    columns: dict[str, int] = {}
    last: tuple[int, list[str]] | None = None  # the hop that ends the report, unless another follows
    for line, said in lines:
        if not said.strip():
            continue
        try:
            row = next(csv.reader([said]), [])
        except csv.Error as error:
            raise Malformed(line, f"not a line of mtr --csv: {error}") from None
        if said.startswith(_CSV):
            if last is not None:
                yield _hop(*last, columns)
            last = None
            columns = {title: place for place, title in enumerate(row)}
            if missing := {"Start_Time", "Host", "Hop", "Loss%", "Avg"} - set(columns):
                raise Malformed(line, f"mtr --csv without {', '.join(sorted(missing))}")
        elif not said.startswith("MTR.") or len(row) < len(columns) - 1:
            raise Malformed(line, f"not a line of mtr --csv: {brief(said)}")
        # A second line for a hop has another address of it, and the same figures.
        elif last is None or row[columns["Hop"]] != last[1][columns["Hop"]]:
            last = line, row
    if last is not None:
        yield _hop(*last, columns)


def _hop(line: int, row: list[str], columns: dict[str, int]) -> Report:
    cells = {title: row[place] for title, place in columns.items() if place < len(row)}
    at = moment(cells.get("Start_Time"), line)
    return named(cells.get("Host"), line), at, _rtt(cells.get("Loss%"), cells.get("Avg"), line)


def _json(text: Text, begin: str) -> Iterator[Report]:
    for line, value in values(text, begin):
        hubs, mtr = inside(value, "report", "hubs"), inside(value, "report", "mtr")
        if not isinstance(hubs, list) or not isinstance(mtr, dict):
            raise Malformed(line, "not a report of mtr --json")
        if "timestamp" not in value:
            add = "add one with jq -c '. + {timestamp: now | floor}'"
            raise Malformed(line, f"mtr --json has no time: use mtr --csv, or {add}")
        at = moment(value["timestamp"], line)
        last: Any = hubs[-1] if hubs else {"Loss%": 100.0, "Avg": 0.0}
        if not isinstance(last, dict):
            raise Malformed(line, "not a report of mtr --json")
        yield named(mtr.get("dst"), line), at, _rtt(last.get("Loss%"), last.get("Avg"), line)


def _rtt(loss: Any, mean: Any, line: int) -> float | None:
    percent = number(loss.removesuffix("%") if isinstance(loss, str) else loss)
    if percent is None or not 0.0 <= percent <= 100.0:
        raise Malformed(line, f"{brief(loss)} is no Loss%")
    return None if percent >= LOST else milliseconds(mean, line)
