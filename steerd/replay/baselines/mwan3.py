"""mwan3's fail-over between interfaces of different metrics.

Sources: OpenWrt packages, net/mwan3/files/usr/sbin/mwan3track for the tests, the counts and their defaults; OpenWrt's
user guide (mwan3: members and policies) for the choice: of the interfaces that are online, those with the lowest
metric carry the traffic.

Not shown: mwan3 pings every 10 s (interval), here every sample is a ping. `check_quality`, off by default, is on:
without it mwan3 looks at answers alone, never at delay. The metrics are the operator's, see `Preference`.
"""

from collections.abc import Mapping
from typing import Final

from steerd.core.settings import PathId
from steerd.replay.baselines.preference import Preference

DOWN: Final = 5  # tests in a row without success after which an interface is offline (down)
UP: Final = 5  # successful tests on end after which it is online again (up)
LATENCY: Final = 500.0  # ms. A test with a higher latency is no success (recovery_latency).
LOSS: Final = 10.0  # percent, the same (recovery_loss). With one ping a test (count 1) it is 0 or 100.


class Interface:
    """The score that mwan3track keeps: from `DOWN` + `UP`, all well, down to `UP`, offline; then from 0 up to `UP`."""

    def __init__(self) -> None:
        self.online = True
        self._score = DOWN + UP

    def test(self, rtt: float | None) -> None:
        """One test of one ping. Between success and failure (failure_latency 1000, failure_loss 40) the target is
        skipped, and then its one interface has no target that is up (reliability 1): it counts as a failure."""
        loss = 100.0 if rtt is None else 0.0
        if rtt is not None and loss <= LOSS and rtt <= LATENCY:
            self._score += 1
            if self._score >= UP:
                self.online = True
                self._score = DOWN + UP
            return
        self._score -= 1
        if self._score < UP:
            self._score = 0
        elif self._score == UP:
            self.online = False
            self._score = 0


class Mwan3:
    """The first interface, by metric, that is online; with none the last one stays: no way is better (last_resort)."""

    def __init__(self) -> None:
        self._path: PathId | None = None
        self._metrics = Preference()
        self._interfaces: dict[PathId, Interface] = {}

    def observe(self, time: float, rtts: Mapping[PathId, float | None]) -> PathId | None:  # noqa: ARG002
        self._metrics.meet(rtts)
        for path, rtt in rtts.items():
            self._interfaces.setdefault(path, Interface()).test(rtt)
        self._path = next((path for path in self._metrics.order if self._interfaces[path].online), self._path)
        return self._path
