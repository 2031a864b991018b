"""RIPE Atlas: the results of ping measurements as its API gives them, a list or an object a line.

Format: atlas.ripe.net/docs/apis/measurement-result-format, versions 1 to 5000+. A result is of a few packets and is one
sample: the median of those answered, lost if half or more of them were.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple

from steerd.replay.imports.jsonstream import values
from steerd.replay.imports.sample import Malformed, Sample, brief, milliseconds, moment, named, number
from steerd.replay.imports.text import Text


class _Result(NamedTuple):
    probe: str
    target: str
    at: float
    rtt: float | None


def recognises(head: str) -> bool:
    return head.lstrip().startswith(("[", "{")) and '"prb_id"' in head and '"msm_id"' in head


def parse(text: Text, name: str) -> Iterator[Sample]:
    """A sample a result. A path is a target or a probe, whichever there are several of; both, if there are several of
    both; ``name`` where there is one of each. Raises `Malformed`: it is no result of a ping measurement."""
    results = [_result(value, line) for line, value in values(text)]
    probes = len({one.probe for one in results}) > 1
    targets = len({one.target for one in results}) > 1
    for probe, target, at, rtt in results:
        path = "/".join([target] * targets + [probe] * probes) or name
        yield Sample(path, at, rtt)


def _result(value: Any, line: int) -> _Result:
    if not isinstance(value, dict) or "prb_id" not in value or "timestamp" not in value:
        raise Malformed(line, "is no result of RIPE Atlas: it has no prb_id or no timestamp")
    kind = value.get("type", "ping")
    if kind != "ping":
        raise Malformed(line, f"is a result of {brief(kind)}: only ping measurements can be replayed")
    probe = number(value["prb_id"])
    if probe is None:
        raise Malformed(line, f"prb_id {brief(value['prb_id'])}")
    target = value.get("dst_name") or value.get("name") or value.get("dst_addr") or value.get("addr")
    return _Result(f"probe-{probe:.0f}", named(target, line), moment(value["timestamp"], line), _rtt(value, line))


def _rtt(value: dict[str, Any], line: int) -> float | None:
    packets = value.get("result")
    if packets is None:  # version 1
        sent, received = number(value.get("sent")), number(value.get("rcvd"))
        if sent is None or received is None:
            raise Malformed(line, "has neither the result of each packet nor how many were sent and received")
        return None if received * 2 <= sent else milliseconds(value.get("avg"), line)
    if not isinstance(packets, list) or not all(isinstance(packet, dict) for packet in packets):
        raise Malformed(line, "result is no list of packets")
    # A duplicate has an RTT too, and is no packet of its own. Others are {"x": "*"} or {"error": ...}.
    packets = [packet for packet in packets if "dup" not in packet]
    rtts = [milliseconds(packet["rtt"], line) for packet in packets if "rtt" in packet]
    return median(rtts) if len(rtts) * 2 > len(packets) else None
