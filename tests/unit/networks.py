"""Paths as one policy sees them, without an engine: each named ``pop/name``. Not tests: theirs."""

from collections.abc import Iterable

from steerd.core.belief.path import Path
from steerd.core.cost.price import Price
from steerd.core.cost.tariff import tariff
from steerd.core.policy.drains_and_pins import Drains, Pin
from steerd.core.policy.eligibility import Eligibility
from steerd.core.settings import PathId, PathSettings, PolicyId, PolicySettings, Settings
from steerd.core.states import PathState


class Network:
    """``uplinks``: of paths that share one. Each path answers when `hear` says so."""

    def __init__(self, *names, uplinks=None, forbidden=None, now=0.0):
        self.now = now
        self.wanted = None
        self.pin = None
        self.drains = Drains()
        self.forbidden = forbidden or {}
        self.refused = {}
        self.refused_until = float("inf")
        self.paths = {}
        self.prices = {}
        for name in names:
            self.add(name, (uplinks or {}).get(name, name))

    def add(self, name, uplink=None, **settings):
        written = PathSettings(PathId(name), name.split("/")[0], uplink or name, **settings)
        path = self.paths[name] = Path(written, half_life=2.0, now=self.now, draw=lambda: 0.0)
        self.prices[name] = Price(
            path, tariff(PolicySettings(PolicyId("all")), Settings()), Settings(), bias=0.0, worth=0.0
        )
        return path

    def hear(self, name, rtt, times=1):
        """It answers so often, a second apart, the last time now."""
        for number in range(times):
            at = self.now - (times - 1 - number)
            self.paths[name].answered(rtt, at, 0, at)

    def miss(self, name, times=1):
        """So many probes in a row are overdue, the first of them sent a second ago."""
        for number in range(times):
            self.paths[name].overdue(0, self.now - 1.0 + number / 10, self.now)

    def kill(self, name):
        self.miss(name, 3)
        assert self.paths[name].health.state is PathState.DOWN

    def pinned(self, pop, *, hard=False):
        self.pin = Pin(pop, hard, None, "operator")

    def eligible(self):
        allowed = {name: path for name, path in self.paths.items() if name not in self.forbidden}
        return Eligibility(
            allowed, self.prices, self.forbidden, self.wanted, self.pin, self.drains,
            lambda name, _now: self.refused.get(name), self.refused_until, self.now,
        )  # fmt: skip


def heard(network: Network, rtts: Iterable[tuple[str, float]] | None = None, **by_pop: float) -> Network:
    """The same network, in which every path has answered for ten seconds, in so many ms, the last time 2 s ago."""
    for name, rtt in rtts or [(name, by_pop[name.split("/")[0]]) for name in network.paths]:
        network.hear(name, rtt, times=10)
    network.now += 2.0
    return network
