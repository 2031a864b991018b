"""What is read of devices: WireGuard's handshakes, how much traffic paths carry, and how much went over uplinks."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from steerd.config.change import StageChange, Swap
from steerd.config.probe_settings import TunnelSettings
from steerd.config.settings import Config
from steerd.config.uplink import UplinkSettings
from steerd.core.events import Link, Tunnel
from steerd.core.settings import PathId
from steerd.daemon.driver import Driver
from steerd.daemon.steering import Steering
from steerd.store.store import Store
from steerd.traffic.metered import Watch
from steerd.traffic.rates import Rates
from steerd.traffic.uplinks import ANEW, Uplinks
from steerd.tunnel.endpoints import Endpoints
from steerd.tunnel.watch import TunnelWatch

log = logging.getLogger("steerd")


class Tunnels:
    """The engine hears of stale tunnels, the router of moved AllowedIPs; far ends known by name are followed."""

    def __init__(self, config: Config, driver: Driver, steering: Steering) -> None:
        router = steering.router
        self._driver = driver
        self.endpoints = Endpoints(config.tunnel)
        self.watch = TunnelWatch(
            config.tunnel,
            on_tunnel=self._told,
            on_moved=lambda _: router.moved(),
            moved=router.astray,
            on_far_ends=router.far_ends,
        )
        self._settings = config.tunnel
        steering.links.listen(Link, lambda link: self.watch.look(link.path))

    async def prepare(self, config: Config) -> StageChange:
        """Any settings will do."""
        return Swap(self._configure, self._settings, config.tunnel)

    def close(self) -> None:
        """Read no more."""
        self.watch.close()
        self.endpoints.close()

    def _configure(self, settings: TunnelSettings) -> None:
        self._settings = settings
        self.endpoints.configure(settings)  # first: the watch then tells anew
        self.watch.configure(settings)

    def _told(self, tunnel: Tunnel) -> None:
        self.endpoints.told(tunnel)
        self._driver.feed(tunnel)


class Traffic:
    """The engine hears how much the paths carry that policies are on."""

    def __init__(self, config: Config, driver: Driver) -> None:
        self._driver = driver
        self.rates = Rates(_devices(config), used=self._used, on_rate=driver.feed)

    async def prepare(self, config: Config) -> StageChange:
        """Any devices will do."""
        return Swap(self.rates.configure, self.rates.devices, _devices(config))

    def _used(self) -> Iterable[PathId]:
        choices = (policy.assignment.choice for policy in self._driver.engine.policies.values())
        return [choice for choice in choices if choice is not None]


class Links:
    """The engine hears what uplinks cost. ``counts``: what an earlier run's `Uplinks.kept` returned; ``keep`` is called
    when those of now are to be written down: assign it."""

    def __init__(self, config: Config, driver: Driver, store: Store, counts: Mapping[str, Any]) -> None:
        self._store = store
        self.keep: Callable[[], None] = lambda: None
        self.uplinks = Uplinks(config.uplinks, counts, on_price=driver.feed, on_turn=self._turned, keep=self._keep)
        self._metered = Watch(self.uplinks.metered)

    async def prepare(self, config: Config) -> StageChange:
        """Any uplinks will do."""
        return Swap(self._configure, self.uplinks.settings, config.uplinks)

    def start(self) -> None:
        """Tell what uplinks cost, before anything is chosen, and ask NetworkManager, if it matters what it says."""
        self.uplinks.read()
        if self.uplinks.asks:
            self._metered.start()

    def close(self) -> None:
        """Ask no more."""
        self._metered.close()

    def _configure(self, settings: Sequence[UplinkSettings]) -> None:
        self.uplinks.configure(settings)
        self.start()

    def _keep(self) -> None:
        self.keep()

    def _turned(self, uplink: str, state: str, words: str) -> None:
        log.log(logging.INFO if state == ANEW else logging.WARNING, "%s", words)
        self._store.uplink(int(time.time() * 1000), uplink, state, words)


def _devices(config: Config) -> Mapping[PathId, str]:
    return {path.path: path.device for path in config.route.paths}
