"""The metrics of the daemon: counted where things happen, rendered when somebody scrapes.

`prometheus_client` keeps the few series that no configuration adds to. `steerd.web.series` has those of paths and
policies: to render thousands of them through `prometheus_client` would block the event loop for seconds.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from steerd import __version__, faults
from steerd.config.change import StageChange, Swap
from steerd.config.methods import METHODS
from steerd.config.settings import Config
from steerd.core.effects import Declined, Fact, PolicyChanged, Switched
from steerd.core.events import Event, Probed
from steerd.core.settings import PathId, PolicyId
from steerd.status.snapshot import Snapshot
from steerd.status.stream import Stream
from steerd.web import uplinks
from steerd.web.series import DRAINED, FAMILIES, HEADERS, PathSeries, PolicySeries, rules
from steerd.web.text import labels, line

REPAIRED: Final = ("rule", "nexthop", "group", "route", "allowedips", "nft")
_REASONS_MAX: Final = 200
_LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SWITCH_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """All metrics. Counting costs a dictionary look-up; `render` is what takes time. `switch_duration` and `loop_lag`
    take one observation, in seconds. ``wall``: the time since 1970, in seconds."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._paths: dict[PathId, PathSeries] = {}
        self._policies: dict[PolicyId, PolicySeries] = {}
        self._refusals: set[tuple[str, str]] = set()
        self._fixed = registry = CollectorRegistry(auto_describe=False)
        info = Gauge("steerd_build_info", "1, with the running version.", ["version"], registry=registry)
        info.labels(__version__).set(1)
        meaning = "From a decision to the kernel's answer."
        self.switch_duration = Histogram(
            "steerd_switch_duration_seconds", meaning, buckets=_SWITCH_BUCKETS, registry=registry
        ).observe
        meaning = "Kernel objects put back after somebody changed them."
        self._repairs = Counter("steerd_repairs_total", meaning, ["object"], registry=registry)
        for kind in REPAIRED:
            self._repairs.labels(kind)
        self._connected = Gauge("steerd_mqtt_connected", "1 while connected to the broker.", registry=None)
        self._shares = False
        self._messages = Counter("steerd_mqtt_messages_total", "MQTT messages.", ["direction"], registry=registry)
        for direction in ("in", "out"):
            self._messages.labels(direction)
        self._refused = Counter(
            "steerd_refused_total", "Inputs that were refused.", ["source", "reason"], registry=registry
        )
        meaning = "0 after a refused one: the old one stays."
        self._reloaded = Gauge("steerd_config_last_reload_successful", meaning, registry=registry)
        self._reloaded_at = Gauge(
            "steerd_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was loaded, in Unix time.",
            registry=registry,
        )
        self.loop_lag = Histogram(
            "steerd_loop_lag_seconds", "How late the event loop woke up.", buckets=_LAG_BUCKETS, registry=registry
        ).observe
        self._skipped = Counter(
            "steerd_skipped_slots_total", "Probes not sent because their time had passed.", registry=registry
        )
        meaning = "Notices to hooks, by what became of them: done, failed (after all tries), dropped."
        self._hooks = Counter("steerd_hook_notices_total", meaning, ["hook", "result"], registry=registry)
        self._observing = Gauge(
            "steerd_observing", "1 while steerd only observes: choices and switches are on paper.", registry=registry
        )
        registry.register(_Faults())
        ProcessCollector(registry=registry)
        self._seen_skipped = 0
        self._config: Config | None = None

    def configure(self, config: Config) -> None:
        """Make the series of the configuration's paths and policies, and drop others. What stays keeps its counts."""
        self._config = config
        if self._shares is not (config.mqtt is not None):
            self._shares = config.mqtt is not None
            (self._fixed.register if self._shares else self._fixed.unregister)(self._connected)
        directed = {path.path for path in config.probe.paths if METHODS[path.method].directed}
        paths: dict[PathId, PathSeries] = {}
        for path in config.core.paths:
            paths[path.path] = self._paths.get(path.path) or PathSeries(path.path, path.pop)
            paths[path.path].directed = path.path in directed
        policies: dict[PolicyId, PolicySeries] = {}
        followed = rules(config.core)
        known_devices = {path.path: path.device for path in config.route.paths}
        for policy in config.core.policies:
            forbidden = {path for path, _ in policy.forbidden}
            candidates = [(path, series.pop) for path, series in paths.items() if path not in forbidden]
            known = self._policies.get(policy.policy)
            devices = {device for path, device in known_devices.items() if path not in forbidden}
            counted = devices if config.route.count else None
            if known is not None:
                known.choose(candidates, followed, counted)
            policies[policy.policy] = known or PolicySeries(policy.policy, candidates, followed, counted)
        self._paths, self._policies = paths, policies

    def probed(self, event: Probed) -> None:
        """Count a probe; one of an unknown path is none."""
        if (known := self._paths.get(event.path)) is not None:
            known.probed(event)

    async def prepare(self, config: Config) -> StageChange:
        """A change to the series of this configuration."""
        return Swap(self.configure, self._config or config, config)

    def follow(self, events: Stream[Event], facts: Stream[Fact]) -> None:
        """Count what happens. The states of paths and what they share are shown, not counted."""
        events.listen(Probed, self.probed)
        facts.listen(Switched, self.switched)
        facts.listen(PolicyChanged, self.changed)
        facts.listen(Declined, lambda fact: self.refused("engine", fact.reason))

    def switched(self, fact: Switched) -> None:
        """Count a switch; one of an unknown policy is none."""
        if (series := self._policies.get(fact.policy)) is not None:
            series.switched(fact.reason, self._wall())

    def changed(self, fact: PolicyChanged) -> None:
        """A policy's outage begins, or is over."""
        if (series := self._policies.get(fact.policy)) is not None:
            series.changed(fact.new, fact.at)

    def repair(self, object_: str) -> None:
        """`object_`: one of `REPAIRED`."""
        self._repairs.labels(object_).inc()

    def refusals(self, source: str, reasons: Iterable[str]) -> None:
        """What may be refused: shown at zero before anything is."""
        for reason in reasons:
            self._refused.labels(source, reason)

    def refused(self, source: str, reason: str) -> None:
        """`reason` must not hold what others chose; after 200 different ones it is `other`."""
        if (source, reason) not in self._refusals:
            if len(self._refusals) >= _REASONS_MAX:
                reason = "other"
            self._refusals.add((source, reason))
        self._refused.labels(source, reason).inc()

    def reloaded(self, ok: bool, wall_time: float) -> None:
        """`wall_time` in Unix seconds. The first load counts too."""
        self._reloaded.set(int(ok))
        if ok:
            self._reloaded_at.set(wall_time)

    def hook(self, name: str, result: str) -> None:
        """A notice was taken by a hook, or was not; from any thread."""
        self._hooks.labels(name, result).inc()

    def mqtt_connected(self, connected: bool) -> None:
        """Whether the broker is connected now."""
        self._connected.set(int(connected))

    def mqtt_message(self, direction: str) -> None:
        """`direction`: `in` or `out`."""
        self._messages.labels(direction).inc()

    def outcomes(self, path: PathId) -> Mapping[str, int]:
        """How many probes of a path had each outcome."""
        known = self._paths.get(path)
        return {} if known is None else known.outcomes

    def render(self, seen: Snapshot) -> bytes:
        """The whole page."""
        page = {family: [head] for family, head in (HEADERS | uplinks.HEADERS).items()}
        path_views = {path.path: path for path in seen.view.paths}
        for path, series in self._paths.items():
            series.add(page, path_views.get(path), seen.probing.get(path), seen.staying.get(path))
            if (known := seen.tunnels.get(path)) is not None:
                series.add_tunnel(page, known)
        policy_views = {policy.policy: policy for policy in seen.view.policies}
        packets: dict[PolicyId, dict[tuple[int, str, str], int]] = {}
        for (name, family, where, device), count in seen.packet_totals.items():
            packets.setdefault(name, {})[family, where, device] = count
        for name, policy in self._policies.items():
            policy.add_packets(page, packets.get(name, {}))
            counts = [seen.installed.get((name, family), 0) for family in FAMILIES]
            policy.add(page, seen.view.now, policy_views.get(name), counts, seen.dropped.get(name, 0))
        uplinks.add(page, seen.uplinks)
        drained = {one.pop for one in seen.view.drains}
        for pop in dict.fromkeys(series.pop for series in self._paths.values()):
            page[DRAINED].append(line(DRAINED, labels(pop=pop), int(pop in drained)))
        self._skipped.inc(max(0, seen.skipped - self._seen_skipped))
        self._seen_skipped = seen.skipped
        self._observing.set(int(seen.observed is not None))
        return b"".join([*("".join(lines).encode() for lines in page.values()), generate_latest(self._fixed)])


class _Faults(Collector):
    """They are counted where they end, in any thread."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("steerd_faults", "Faults of steerd's own parts that it survived.", labels=["part"])
        for part, count in sorted(faults.counts.items()):
            family.add_metric([part], count)
        yield family
