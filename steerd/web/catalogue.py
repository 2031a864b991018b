"""The metrics of a provider's catalogue, while the configuration has one."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from steerd.status.catalogue import CatalogueView


class CatalogueMetrics(Collector):
    """Reads a view whenever somebody scrapes."""

    def __init__(self) -> None:
        self._view: Callable[[], CatalogueView | None] = lambda: None

    def follow(self, view: Callable[[], CatalogueView | None]) -> None:
        """From now on, ask this."""
        self._view = view

    def collect(self) -> Iterator[Metric]:
        seen = self._view()
        if seen is None:
            return
        good = "When the catalogue's source was last found to be in order, in Unix time; 0: not since the start."
        for name, meaning, value in (
            ("serial", "Serial of the catalogue in force; 0: none has come.", seen.serial or 0),
            ("pops", "PoPs in the catalogue in force.", seen.pops),
            ("last_success_timestamp_seconds", good, seen.good_at or 0.0),
            ("expired", "1 while the catalogue in force has expired; its PoPs are still used.", int(seen.expired)),
        ):
            yield GaugeMetricFamily(f"steerd_catalogue_{name}", meaning, value)
