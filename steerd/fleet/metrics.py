"""The fleet's metrics, as Prometheus scrapes them. History is there, not here."""

from collections.abc import Callable, Iterator
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from steerd import __version__
from steerd.core.states import PathState, Reason
from steerd.fleet.heard import Presence
from steerd.fleet.view import FleetView


class Metrics:
    """``view`` is called for each scrape. `refused`, `connected` and `message` are those of a session."""

    def __init__(self, view: Callable[[], FleetView]) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry(auto_describe=False)
        Gauge("steerd_build_info", "1, with the running version.", ["version"], registry=registry).labels(
            __version__
        ).set(1)
        self._connected = Gauge("steerd_mqtt_connected", "1 while connected to the broker.", registry=registry)
        self._messages = Counter("steerd_mqtt_messages_total", "MQTT messages.", ["direction"], registry=registry)
        self._refused = Counter(
            "steerd_refused_total", "Inputs that were refused.", ["source", "reason"], registry=registry
        )
        for direction in ("in", "out"):
            self._messages.labels(direction)
        registry.register(_Fleet(view))

    def refused(self, source: str, reason: str) -> None:
        """`reason` is one of few, and holds nothing that others chose."""
        self._refused.labels(source, reason).inc()

    def connected(self, connected: bool) -> None:
        """Whether the broker is connected now."""
        self._connected.set(int(connected))

    def message(self, direction: str) -> None:
        """`direction`: `in` or `out`."""
        self._messages.labels(direction).inc()

    def render(self) -> bytes:
        """The whole page."""
        return bytes(generate_latest(self._registry))


_POP: Final = {
    "steerd_fleet_pop_gateways": "Online gateways that have a policy on the PoP.",
    "steerd_fleet_pop_accepting": "0 for a PoP that says that it takes nobody.",
    "steerd_fleet_pop_drained": "1 for a PoP that a signed order drains, for all or for some.",
    "steerd_fleet_pop_load_ratio": "What the PoP says of its load; NaN: nothing.",
    "steerd_fleet_pop_age_seconds": "Since the PoP last spoke; NaN: it never did.",
    "steerd_fleet_pop_rtt_seconds": "Median of what online gateways measure to the PoP; NaN: nobody does.",
}


class _Fleet(Collector):
    def __init__(self, view: Callable[[], FleetView]) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        fleet = self._view()
        gateways = GaugeMetricFamily(
            "steerd_fleet_gateways", "Gateways by what is known of them.", labels=["region", "presence"]
        )
        for region, counts in fleet.presence.items():
            for presence in Presence:
                gateways.add_metric([region, presence], counts.get(presence, 0))
        strangers = GaugeMetricFamily("steerd_fleet_strangers", "Gateways that are not in the inventory.")
        strangers.add_metric([], fleet.strangers)
        switches = CounterMetricFamily(
            "steerd_fleet_switches", "Switches that gateways told of, by reason.", labels=["reason"]
        )
        for reason in Reason:
            switches.add_metric([reason], fleet.switches.get(reason, 0))
        states = GaugeMetricFamily(
            "steerd_fleet_pop_paths",
            "Online gateways by the state of their best path to the PoP.",
            labels=["pop", "state"],
        )
        pops = {name: GaugeMetricFamily(name, meaning, labels=["pop"]) for name, meaning in _POP.items()}
        nan = float("nan")
        for pop in fleet.pops:
            for state in PathState:
                states.add_metric([pop.name, state], pop.states.get(state, 0))
            values = (
                pop.users,
                pop.accepting,
                bool(pop.drained_for),
                nan if pop.load is None else pop.load,
                nan if pop.age is None else pop.age,
                nan if pop.rtt is None else pop.rtt / 1000,
            )
            for family, value in zip(pops.values(), values, strict=True):
                family.add_metric([pop.name], float(value))
        yield from (gateways, strangers, switches, states, *pops.values())
