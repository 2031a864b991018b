"""One prober on one load: what it costs, or how exact it is against a capture."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.capture import Capture, Truth
from bench.contenders import Contender, Load, Reading, wait_ready
from bench.subject import SETTLED
from steerd.lab.enclosure import RUN

_TIMEOUT = 1.0
_LOOK = 0.2  # seconds between two looks at a running prober
_NEAREST = 0.05  # seconds from the prober's own time of sending to the packet's
_US = 1e6


@dataclass
class Result:
    """One prober in one scenario; None: cannot be told of it. Losses are ratios."""

    scenario: str
    prober: str
    probes: int
    cpu_us: float | None = None
    rss_mb: float | None = None
    compared: int = 0
    p50_us: float | None = None
    p99_us: float | None = None
    false_loss: float | None = None
    note: str = ""


class Sample(NamedTuple):
    """A look at a running prober: when, its CPU seconds, its memory, and what this host has sent and received."""

    at: float
    cpu: float
    rss_mb: float
    requests: int
    replies: int


def sample(pid: int) -> Sample | None:
    """None: the process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    if fields[0] == "Z" or not resident:  # ended, or ending: its memory is gone before it is
        return None
    cpu = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return Sample(time.monotonic(), cpu, resident / 1e6, *echoes())


def echoes() -> tuple[int, int]:
    """Echo requests sent and replies received by this host since it came up."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("IcmpMsg:")]
    counts = dict(zip(*lines, strict=True)) if lines else {}
    return int(counts.get("OutType8", 0)), int(counts.get("InType0", 0))


def watch(pid: int, seconds: float) -> tuple[Sample, Sample, float | None]:
    """The first and the last look within these seconds, and how long it lived if it ended before."""
    first = last = sample(pid)
    began = time.monotonic()
    if first is None or last is None:
        raise RuntimeError("the prober ended before anything was measured")
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(_LOOK, left))
        now = sample(pid)
        if now is None:
            return first, last, time.monotonic() - began
        last = now
    return first, last, None


def cost(scenario: str, contender: Contender, load: Load) -> Result:
    """CPU, memory and false loss on the fast path."""
    _, replies_before = echoes()
    contender.start(load)
    try:
        if not wait_ready(contender, contender.settle):
            return Result(scenario, contender.name, 0, note=f"ended at once, {contender.stop().note}")
        first, last, lived = watch(contender.running.pid, load.seconds)
        _, answered = echoes()
        told = contender.totals()
        reading = contender.stop()
    finally:
        contender.kill()
    if told is None:  # all that it probed is settled now
        _, answered = echoes()
    sent, answered = last.requests - first.requests, answered - replies_before
    result = Result(scenario, contender.name, sent, rss_mb=last.rss_mb, note=reading.note)
    result.cpu_us = _US * (last.cpu - first.cpu) / sent if sent else None
    if lived is not None and reading.note:
        result.note = f"ended after {lived + contender.settle:.1f} s, {reading.note}"
    elif reading.received and answered:
        result.false_loss = max(0.0, 1 - reading.received / answered)
    return result


def accuracy(scenario: str, contender: Contender, load: Load) -> Result:
    """Error of the RTT and false loss against a capture."""
    with Capture(load.device, RUN / "capture") as capture:
        contender.start(load)
        try:
            wait_ready(contender, contender.settle)
            begin, before = time.time(), contender.totals()
            time.sleep(load.seconds)
            end, after = time.time(), contender.totals()
            reading = contender.stop()
        finally:
            contender.kill()
        truth = capture.stop()
    result = Result(scenario, contender.name, 0, note=reading.note)
    if before and after:
        return by_totals(result, truth, before, after, (begin, end))
    return by_probe(result, truth, reading, (round(begin * 1e9), round((end - SETTLED) * 1e9)))


def by_probe(result: Result, truth: Truth, reading: Reading, window: tuple[int, int]) -> Result:
    """Each reply against the truth of its probe, of those sent in this ``window``, CLOCK_REALTIME in ns."""
    begin, end = window
    answered = {
        (target, place)
        for target, probes in truth.probes.items()
        for place, probe in enumerate(probes)
        if begin <= probe.out_ns < end and probe.in_ns and probe.rtt < _TIMEOUT
    }
    result.probes = sum(1 for probes in truth.probes.values() for probe in probes if begin <= probe.out_ns < end)
    errors, reported = [], set()
    for target, place, rtt in _placed(truth, reading):
        reported.add((target, place))
        if (target, place) in answered:
            errors.append(abs(rtt - truth.probes[target][place].rtt))
    if reading.unplaced:
        # Which of the probes are missing is not told: what has none missing is compared, the others are counted.
        every = {target: sum(1 for one in probes if one.in_ns) for target, probes in truth.probes.items()}
        missing = sum(number - len(reading.unplaced.get(target, ())) for target, number in every.items())
        result.false_loss = max(0, missing) / sum(every.values()) if any(every.values()) else None
        whole = [
            target for target, probes in truth.probes.items() if len(reading.unplaced.get(target, ())) == len(probes)
        ]
        result.note = f"RTTs of the {len(whole)} targets of which it has every reply"
    else:
        result.false_loss = len(answered - reported) / len(answered) if answered else None
    _spread(result, errors)
    return result


def _placed(truth: Truth, reading: Reading) -> Iterator[tuple[str, int, float]]:
    """Each reply with its probe: target, place among the probes to it, and the RTT as reported."""
    for reply in reading.replies:
        place = reply.place
        if reply.sent_ns is not None:
            place = truth.at(reply.target, reply.sent_ns, _NEAREST)
        if place is not None and place < len(truth.probes.get(reply.target, ())):
            yield reply.target, place, reply.rtt
    for target, rtts in reading.unplaced.items():
        if len(rtts) == len(truth.probes.get(target, ())):
            yield from ((target, place, rtt) for place, rtt in enumerate(rtts))


def by_totals(
    result: Result,
    truth: Truth,
    before: tuple[int, int, float],
    after: tuple[int, int, float],
    window: tuple[float, float],
) -> Result:
    """Where there is a histogram only: the mean that it gives, against the true mean."""
    begin, end = (round(at * 1e9) for at in window)
    probes = [probe for each in truth.probes.values() for probe in each if begin <= probe.out_ns < end]
    rtts = [probe.rtt for probe in probes if probe.in_ns]
    replies = after[1] - before[1]
    result.probes = len(probes)
    result.false_loss = max(0.0, 1 - replies / len(rtts)) if rtts else None
    if replies and rtts:
        mean, true = (after[2] - before[2]) / replies, sum(rtts) / len(rtts)
        result.note = f"mean {1000 * mean:.3g} ms for {1000 * true:.3g} ms; has a histogram only"
    return result


def _spread(result: Result, errors: Sequence[float]) -> None:
    ordered = sorted(errors)
    result.compared = len(ordered)
    if ordered:
        result.p50_us = _US * ordered[len(ordered) // 2]
        result.p99_us = _US * ordered[len(ordered) * 99 // 100]
