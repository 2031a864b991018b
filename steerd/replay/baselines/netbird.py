"""NetBird's choice among the routing peers (or exit nodes) of a network.

Source: netbirdio/netbird, client/internal/routemanager/client/client.go: the constants at its top,
`getBestRouteFromStatuses`, `shouldSwitchRoute` and `switchMargin`; client/internal/peer/ice/agent.go for when a
connection is lost.

Not shown: metrics and relays, which are the same for all paths here; a lost connection is taken from unanswered probes.
How NetBird smooths the latency and what it takes for its noise (peer.LatencySample) was not at hand: here the mean is
TCP's (RFC 6298, 1/8 a sample), and its noise the standard deviation of such a mean.
"""

from collections.abc import Mapping
from math import hypot, inf, sqrt
from typing import Final

from steerd.core.settings import PathId

MIN_GAIN: Final = 20.0  # ms by which another peer must be faster (latencySwitchMinGain)
GAIN_RATIO: Final = 0.2  # ... and this share of the latency of the one in use (latencySwitchGainPercent).
NOISE_SIGMAS: Final = 4.0  # ... and so many standard deviations of the noise of both (latencyNoiseSigmas).
MIN_DWELL: Final = 30.0  # seconds after a switch for latency in which latency moves nothing (latencySwitchMinDwell)
REEVALUATION: Final = 30.0  # seconds from one look at the latencies to the next (routeReevalInterval)
UNKNOWN: Final = 999.0  # ms: of a peer without a sample, and the most that a sample counts for (unknownLatency)
DISCONNECTED: Final = 6.0
"""Seconds without an answer after which a peer is not connected (iceDisconnectedTimeoutDefault)."""

WEIGHT: Final = 0.125


class _Peer:
    def __init__(self) -> None:
        self.latency = UNKNOWN
        self.heard_at = -inf
        self._variance = 0.0

    def hear(self, rtt: float, now: float) -> None:
        """An answer: its RTT in ms, the time in seconds."""
        rtt = min(rtt, UNKNOWN)
        if self.heard_at == -inf:
            self.latency = rtt
        difference = rtt - self.latency
        self.latency += WEIGHT * difference
        self._variance += WEIGHT * (difference * difference - self._variance)
        self.heard_at = now

    @property
    def noise(self) -> float:
        """The standard deviation of the mean, in ms."""
        return sqrt(self._variance * WEIGHT / (2.0 - WEIGHT))

    def connected(self, now: float) -> bool:
        """Whether it answered lately."""
        return now - self.heard_at < DISCONNECTED


class NetBird:
    """The peer with the lowest latency, if it gains enough, looked at twice a minute; a lost one is left at once."""

    def __init__(self) -> None:
        self._path: PathId | None = None
        self._peers: dict[PathId, _Peer] = {}
        self._looked_at = -inf
        self._switched_at = -inf

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        for path, rtt in rtts.items():
            if rtt is not None:
                self._peers.setdefault(path, _Peer()).hear(rtt, time)
        here = self._peers.get(self._path) if self._path is not None else None
        lost = here is None or not here.connected(time)
        if lost or round(time - self._looked_at, 6) >= REEVALUATION:  # times are no exact numbers
            self._looked_at = time
            self._look(here, time, lost=lost)
        return self._path

    def _look(self, here: _Peer | None, now: float, *, lost: bool) -> None:
        connected = {path: peer for path, peer in self._peers.items() if peer.connected(now)}
        best = min(connected, key=lambda path: connected[path].latency, default=None)
        if best is None or best == self._path:
            return
        if lost or here is None:
            self._path = best
            return
        there = connected[best]
        margin = max(MIN_GAIN, GAIN_RATIO * here.latency, NOISE_SIGMAS * hypot(here.noise, there.noise))
        if here.latency - there.latency >= margin and round(now - self._switched_at, 6) >= MIN_DWELL:
            self._path, self._switched_at = best, now
