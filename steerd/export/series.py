"""The series of one path and of one policy. Names and labels are put together once; a scrape only adds numbers."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from steerd.config.settings import IPV4, IPV6
from steerd.core import cost
from steerd.core.model import Outcome, PathState, PathView, PolicyState, PolicyView, Probed, Reason
from steerd.core.settings import PathId, PolicyId
from steerd.export.text import header, lines, series

RTT_BUCKETS: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
)
TERMS: Final = (*cost.TERMS, "total")
FAMILIES: Final = {IPV4: "ipv4", IPV6: "ipv6"}

PROBES: Final = "steerd_probes_total"
PROBE_RTT: Final = "steerd_probe_rtt_seconds"
PATH_GAUGES: Final = {
    "steerd_path_rtt_seconds": "Mean RTT as believed now; NaN: nothing is known.",
    "steerd_path_jitter_seconds": "Smoothed difference of RTTs that follow each other; NaN: nothing is known.",
    "steerd_path_loss_ratio": "Share of probes that were lost, recent ones counting more.",
    "steerd_path_local_queue_seconds": "Wait in this machine's own queue, no part of the path's RTT.",
}
PATH_STATE: Final = "steerd_path_state"
COST: Final = "steerd_path_cost_seconds"
ACTIVE: Final = "steerd_policy_active"
POLICY_STATE: Final = "steerd_policy_state"
SWITCHES: Final = "steerd_switches_total"
ROUTES: Final = "steerd_routes_installed"

HEADERS: Final = {
    PROBES: header(PROBES, "counter", "Probes by what became of them."),
    PROBE_RTT: header(PROBE_RTT, "histogram", "RTT of the probes that were answered."),
    **{name: header(name, "gauge", meaning) for name, meaning in PATH_GAUGES.items()},
    PATH_STATE: header(PATH_STATE, "gauge", "1 for the state that the path is in."),
    COST: header(COST, "gauge", "What a path costs a policy, term by term; the rule compares the total."),
    ACTIVE: header(ACTIVE, "gauge", "1 for the path that the policy uses."),
    POLICY_STATE: header(POLICY_STATE, "gauge", "1 for the state that the policy is in."),
    SWITCHES: header(SWITCHES, "counter", "Changes of choice by reason."),
    ROUTES: header(ROUTES, "gauge", "Prefixes that the kernel has for the policy, as read back."),
}


class PathSeries:
    """What is counted and shown of a path."""

    __slots__ = ("_buckets", "_gauges", "_outcomes", "_results", "_rtts", "_states", "_sum")

    def __init__(self, path: PathId, pop: str) -> None:
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._buckets = [0] * (len(RTT_BUCKETS) + 1)
        self._sum = 0.0
        labels = {"pop": pop, "path": path}
        self._results = [series(PROBES, **labels, result=outcome.value) for outcome in Outcome]
        bounds = [*map(str, RTT_BUCKETS), "+Inf"]
        self._rtts = [
            *(series(f"{PROBE_RTT}_bucket", **labels, le=bound) for bound in bounds),
            series(f"{PROBE_RTT}_sum", **labels),
            series(f"{PROBE_RTT}_count", **labels),
        ]
        self._gauges = {name: series(name, **labels) for name in PATH_GAUGES}
        self._states = [series(PATH_STATE, **labels, state=state.value) for state in PathState]

    def probed(self, event: Probed) -> None:
        outcome = event.outcome
        self._outcomes[outcome] += 1
        if outcome is Outcome.REPLY or outcome is Outcome.LATE:
            self._buckets[bisect_left(RTT_BUCKETS, event.rtt)] += 1
            self._sum += event.rtt

    def add(self, page: Mapping[str, list[str]], view: PathView | None, local_queue: float) -> None:
        """Appends this path's lines to those of each family."""
        page[PROBES].append(lines(self._results, self._outcomes.values()))
        cumulative: list[float] = []
        count = 0
        for bucket in self._buckets:
            count += bucket
            cumulative.append(count)
        page[PROBE_RTT].append(lines(self._rtts, [*cumulative, self._sum, count]))
        known = (None, None, 0.0) if view is None else (_seconds(view.rtt), _seconds(view.jitter), view.loss)
        for (name, prefix), value in zip(self._gauges.items(), (*known, local_queue), strict=True):
            page[name].append(lines((prefix,), (value,)))
        state = view.state if view is not None else None
        page[PATH_STATE].append(lines(self._states, [int(one is state) for one in PathState]))


class PolicySeries:
    """What is counted and shown of a policy. `candidates`: the paths that it may use, each with its PoP."""

    __slots__ = ("_active", "_costs", "_routes", "_states", "_switched", "_switches", "policy")

    def __init__(self, policy: PolicyId, candidates: Iterable[tuple[PathId, str]]) -> None:
        self.policy = policy
        self._switched = dict.fromkeys(Reason, 0)
        self._switches = [series(SWITCHES, policy=policy, reason=reason.value) for reason in Reason]
        self._states = [series(POLICY_STATE, policy=policy, state=state.value) for state in PolicyState]
        self._routes = [series(ROUTES, policy=policy, family=family) for family in FAMILIES.values()]
        self.choose(candidates)

    def choose(self, candidates: Iterable[tuple[PathId, str]]) -> None:
        """The configuration changed what the policy may use."""
        self._active: dict[PathId, str] = {}
        self._costs: dict[PathId, Sequence[str]] = {}
        for path, pop in candidates:
            labels = {"policy": self.policy, "pop": pop, "path": path}
            self._active[path] = series(ACTIVE, **labels)
            self._costs[path] = [series(COST, **labels, term=term) for term in TERMS]

    def switched(self, reason: Reason) -> None:
        self._switched[reason] += 1

    def add(self, page: Mapping[str, list[str]], view: PolicyView | None, installed: Sequence[int]) -> None:
        """Appends this policy's lines to those of each family. `installed`: prefixes by family."""
        page[SWITCHES].append(lines(self._switches, self._switched.values()))
        page[ROUTES].append(lines(self._routes, installed))
        state = view.state if view is not None else PolicyState.NONE
        page[POLICY_STATE].append(lines(self._states, [int(one is state) for one in PolicyState]))
        choice = view.choice if view is not None else None
        page[ACTIVE].append(lines(self._active.values(), [int(path == choice) for path in self._active]))
        terms = {candidate.path: candidate.terms for candidate in view.candidates} if view is not None else {}
        for path, prefixes in self._costs.items():
            known = terms.get(path, {})
            page[COST].append(lines(prefixes, [_seconds(known.get(term)) for term in TERMS]))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000.0
