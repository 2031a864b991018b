"""The prober and the engine: outcomes in, cadence out."""

from collections.abc import Mapping

from steerd.config.change import StageChange
from steerd.config.settings import Config
from steerd.core.events import Link
from steerd.daemon.driver import Driver
from steerd.daemon.steering import Steering
from steerd.probe.prober import Prober
from steerd.web.metrics import Metrics


class Probing:
    """StageError: this machine cannot probe so."""

    def __init__(
        self,
        config: Config,
        driver: Driver,
        steering: Steering,
        metrics: Metrics,
        *,
        seed: int,
        addresses: Mapping[tuple[str, int], str],
    ) -> None:
        self.prober = Prober(config.probe, on_outcome=driver.feed, seed=seed, addresses=addresses)
        self.prober.lag = metrics.loop_lag
        self.prober.on_mtu = driver.feed
        driver.on_cadence = self.prober.cadence
        steering.links.listen(Link, self._linked)

    async def prepare(self, config: Config) -> StageChange:
        """StageError: it is refused."""
        return await self.prober.prepare(config.probe)

    def _linked(self, link: Link) -> None:
        if link.up:
            self.prober.renew(link.path)
