"""What there is to see of the daemon: a snapshot of all stages."""

from steerd.daemon.driver import Driver
from steerd.daemon.reload import Reload
from steerd.probe.prober import Prober
from steerd.route.router import Router
from steerd.status.snapshot import Snapshot
from steerd.tunnel.watch import TunnelWatch
from steerd.web.metrics import Metrics


class Snapshots:
    def __init__(
        self,
        reload: Reload,
        driver: Driver,
        prober: Prober,
        router: Router,
        tunnels: TunnelWatch,
        metrics: Metrics,
    ) -> None:
        self._reload = reload
        self._driver = driver
        self._prober = prober
        self._router = router
        self._tunnels = tunnels
        self._metrics = metrics

    def take(self) -> Snapshot:
        """As it is now."""
        config, view = self._reload.config, self._driver.view()
        paths = [path.path for path in view.paths]
        return Snapshot(
            view,
            gateway=config.gateway,
            price=config.switch_price,
            installed=self._router.installed(),
            probing={path: seen for path in paths if (seen := self._prober.report(path)) is not None},
            outcomes={path: self._metrics.outcomes(path) for path in paths},
            skipped=self._prober.skipped,
            tunnels={path: tunnel for path in paths if (tunnel := self._tunnels.view(path)) is not None},
            underlays=self._router.underlays(),
            remarks=(*self._router.remarks(), *self._tunnels.remarks()),
            trial=self._reload.trial(),
        )
