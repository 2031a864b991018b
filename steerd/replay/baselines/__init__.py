"""Other rules, to compare with: what they would have used on the samples of a trace.

Each is written from its published behaviour; its docstring names the sources, and what of it a trace cannot show. None
is the engine's: they see samples, and say which path they would use.

A rule is shown every sample, however seldom it would measure by itself, since decisions are compared, not probing; it
decides as often as it does by itself. Counts (mwan3's five lost pings) are of samples, times (babeld's half-life) are
seconds of the trace. An order of paths that a rule leaves to its operator is that of their RTTs when first heard.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from steerd.core.settings import PathId
from steerd.replay.baselines.babel import Babel
from steerd.replay.baselines.cassandra import Cassandra
from steerd.replay.baselines.fortigate import FortiGate
from steerd.replay.baselines.mwan3 import Mwan3
from steerd.replay.baselines.netbird import NetBird
from steerd.replay.baselines.plain import InstantBest, SmoothedMargin, StayAtStart
from steerd.replay.baselines.tailscale import Tailscale
from steerd.replay.baselines.urltest import Mihomo, SingBox


class Baseline(Protocol):
    """One rule over one trace."""

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:
        """Take what the probes of one time brought: RTTs in ms, None for a lost one; ``time`` in seconds never goes
        back. Returns the path in use from now on; None: none was ever usable."""
        ...


BASELINES: Final[Mapping[str, Callable[[], Baseline]]] = {
    "stay at start": StayAtStart,
    "instant best": InstantBest,
    "EWMA 0.1 + 3 ms": SmoothedMargin,
    "babeld": Babel,
    "Tailscale": Tailscale,
    "mwan3": Mwan3,
    "Cassandra": Cassandra,
    "NetBird": NetBird,
    "sing-box": SingBox,
    "mihomo": Mihomo,
    "FortiGate": FortiGate,
}
"""By the names that reports give them, in the order of reports."""
