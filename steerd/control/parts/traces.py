"""A trace as text: its record, as `steerctl trace --json` has it, to lines."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from steerd.text.lines import cut, table, wrapped
from steerd.text.times import milliseconds, span

Record = Mapping[str, Any]


def lines(record: Record) -> list[str]:
    """One path: what was traced and how, a table for each family, what fits through, and the verdict."""
    if record.get("error"):
        return wrapped(f"{record['path']}: not traced: {record['error']}")
    port = f" port {record['port']}" if record["port"] else ""
    how = f"by {record['method']}{port} through {record['device']}, in {span(record['took_s'])}"
    text = [cut(f"{record['path']}: {how}")]
    for leg in record["legs"]:
        source = f" from {leg['source']}" if leg["source"] else ""
        text += ["", cut(f"IPv{leg['family']} to {leg['target']}{source}"), *hops(leg), cut(_mtu(leg["mtu"]))]
    return [*text, "", *wrapped(f"Verdict: {record['verdict']}.")]


def after(record: Record) -> list[str]:
    """The trace that belongs to a decision, as `steerctl why` has it: the verdict, and the table of each family."""
    text = wrapped(f"Trace of {record['path']}, {span(record['after_s'])} after: {record['verdict']}.")
    for leg in record["legs"]:
        text += [f"  IPv{leg['family']} to {leg['target']}", *(cut(f"  {line}") for line in hops(leg))]
    return text


def hops(leg: Record) -> list[str]:
    """A line a hop, and one for several in a row that are silent."""
    if not leg["hops"]:
        return []
    rows = []
    for silent, group in groupby(leg["hops"], key=lambda hop: not hop["answered"]):
        together = list(group)
        rows += [_silent(together)] if silent else [_row(hop) for hop in together]
    return table([">HOP", "ADDRESS", ">ANSWERED", ">BEST", ">MEAN", ""], rows)


def _row(hop: Record) -> Sequence[str]:
    return (
        str(hop["hop"]),
        ", ".join(hop["addresses"]),
        f"{hop['answered']} of {hop['sent']}",
        milliseconds(hop["best_ms"]),
        milliseconds(hop["mean_ms"]),
        "target" if hop["target"] and not hop["error"] else hop["error"] or "",
    )


def _silent(hops: Sequence[Record]) -> Sequence[str]:
    first, last = hops[0]["hop"], hops[-1]["hop"]
    which = str(first) if first == last else f"{first}-{last}"
    return which, "-", f"0 of {sum(hop['sent'] for hop in hops)}", "-", "-", ""


def _mtu(mtu: Record | None) -> str:
    if mtu is None:
        return "MTU: not measured"
    if mtu["state"] == "unknown":
        return "MTU: unknown, the target does not answer echo requests"
    if mtu["state"] == "black-hole":
        return f"MTU: {mtu['size']}, larger packets vanish without an error (the device's is {mtu['device']})"
    if mtu["size"] == mtu["device"]:
        return f"MTU: {mtu['size']}, the device's"
    by = f", says {mtu['reported_by']}" if mtu["reported_by"] else ""
    return f"MTU: {mtu['size']}{by} (the device's is {mtu['device']})"
