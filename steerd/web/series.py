"""The series of one path and of one policy. What is kept are the labels that all of its series have: of 300 paths there
are more than 20,000 series, whose lines would take 3 MB."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.core.cost import price
from steerd.core.events import Outcome, Probed
from steerd.core.memory import Standing
from steerd.core.policy.policy import rule_of
from steerd.core.rules.threshold import Threshold
from steerd.core.settings import PathId, PolicyId, Settings, ThresholdSettings
from steerd.core.states import PathState, PolicyState, Reason
from steerd.core.views import Finding, PathView, PolicyView, ProbingView, TunnelView
from steerd.status.notes import OUT
from steerd.web.text import further, header, labels, line, lines

RTT_BUCKETS: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
)
TERMS: Final = (*price.TERMS, "total")
FAMILIES: Final = {IPV4: "ipv4", IPV6: "ipv6"}

PROBES: Final = "steerd_probes_total"
PROBE_RTT: Final = "steerd_probe_rtt_seconds"
PATH_GAUGES: Final = {
    "steerd_path_rtt_seconds": "Mean RTT as believed now; NaN: nothing is known.",
    "steerd_path_jitter_seconds": "Smoothed difference of RTTs that follow each other; NaN: nothing is known.",
    "steerd_path_loss_ratio": "Share of probes that were lost, recent ones counting more; 1 while it is down.",
    "steerd_path_local_queue_seconds": "Wait in this machine's own queue, no part of the path's RTT.",
    "steerd_path_scout": "1 for a path that is only looked at now and then.",
    "steerd_path_last_reply_age_seconds": "Since the newest probe that was answered was sent; NaN: never.",
    "steerd_path_staying_connections": "Pinned connections on a path that no policy uses; NaN: not counted.",
    "steerd_path_mtu_bytes": "Largest IP packet that gets through; NaN: not known.",
}
FINDING: Final = "steerd_path_finding"
INTERVAL: Final = "steerd_path_probe_interval_seconds"
DIRECTION_LOSS: Final = "steerd_path_direction_loss_ratio"
DIRECTION_VARIATION: Final = "steerd_path_direction_variation_seconds"
DIRECTIONS: Final = ("out", "back")
HANDSHAKE: Final = "steerd_wireguard_handshake_age_seconds"
TRANSFER: Final = "steerd_wireguard_transfer_bytes_total"
PATH_STATE: Final = "steerd_path_state"
COST: Final = "steerd_path_cost_seconds"
ACTIVE: Final = "steerd_policy_active"
SHARE: Final = "steerd_policy_share_ratio"
POLICY_STATE: Final = "steerd_policy_state"
RULE: Final = "steerd_policy_rule"
RULE_COST: Final = "steerd_policy_rule_cost_switches"
SWITCHES: Final = "steerd_switches_total"
ROUTES: Final = "steerd_routes_installed"
DROPPED: Final = "steerd_guard_dropped_packets_total"
PACKETS: Final = "steerd_policy_packets_total"
PINNED: Final = "steerd_policy_pinned"
ASTRAY: Final = "steerd_policy_astray"
SWITCHED_AT: Final = "steerd_policy_last_switch_timestamp_seconds"
DRAINED: Final = "steerd_pop_drained"
OUTAGE: Final = "steerd_policy_outage_seconds_total"

_RESULTS: Final = further("result", (one.value for one in Outcome))
_BOUNDS: Final = further("le", [*map(str, RTT_BUCKETS), "+Inf"])
_PATH_STATES: Final = further("state", (one.value for one in PathState))
_POLICY_STATES: Final = further("state", (one.value for one in PolicyState))
_FINDINGS: Final = further("finding", (one.value for one in Finding))
_DIRECTIONS: Final = further("direction", DIRECTIONS)
_TRANSFERS: Final = further("direction", ("in", "out"))
_TERMS: Final = further("term", TERMS)
_REASONS: Final = further("reason", (one.value for one in Reason))
_FAMILIES: Final = further("family", FAMILIES.values())

HEADERS: Final = {
    PROBES: header(PROBES, "counter", "Probes by what became of them."),
    PROBE_RTT: header(PROBE_RTT, "histogram", "RTT of the probes that were answered."),
    **{name: header(name, "gauge", meaning) for name, meaning in PATH_GAUGES.items()},
    FINDING: header(FINDING, "gauge", "1 for what an operator should know of how the path is probed."),
    INTERVAL: header(INTERVAL, "gauge", "Seconds from probe to probe; NaN: at rest."),
    DIRECTION_LOSS: header(DIRECTION_LOSS, "gauge", "Share of probes lost on the way out, or back (STAMP)."),
    DIRECTION_VARIATION: header(DIRECTION_VARIATION, "gauge", "Delay variation on the way out, or back (STAMP)."),
    HANDSHAKE: header(HANDSHAKE, "gauge", "Since the latest handshake of the path's WireGuard peer; NaN: none yet."),
    TRANSFER: header(TRANSFER, "counter", "Bytes of the path's WireGuard peer, as WireGuard counts them."),
    PATH_STATE: header(PATH_STATE, "gauge", "1 for the state that the path is in."),
    COST: header(COST, "gauge", "What a path costs a policy, term by term; the rule compares the total."),
    ACTIVE: header(ACTIVE, "gauge", "1 for the path that the policy uses."),
    SHARE: header(SHARE, "gauge", "Which part of the policy's traffic the path is to take, as the kernel has it."),
    POLICY_STATE: header(POLICY_STATE, "gauge", "1 for the state that the policy is in."),
    RULE: header(RULE, "gauge", "1 for the rule that the policy follows."),
    RULE_COST: header(
        RULE_COST, "gauge", "What a rule would have cost beyond the cheapest, in prices of a switch; half-life: 1 h."
    ),
    SWITCHES: header(SWITCHES, "counter", "Changes of choice by reason."),
    ROUTES: header(ROUTES, "gauge", "Prefixes that the kernel has for the policy, as read back."),
    DROPPED: header(DROPPED, "counter", "Packets of the policy that the leak guard dropped."),
    PINNED: header(PINNED, "gauge", "1 while the policy is pinned to a PoP."),
    ASTRAY: header(ASTRAY, "gauge", "1 while the policy's packets do not go its way."),
    SWITCHED_AT: header(
        SWITCHED_AT, "gauge", "When the policy's choice changed last, in Unix time; NaN: not since the start."
    ),
    OUTAGE: header(OUTAGE, "counter", "Seconds in which the policy's traffic could not be carried as it should be."),
    DRAINED: header(DRAINED, "gauge", "1 while somebody drains the PoP."),
    PACKETS: header(PACKETS, "counter", "Packets of the policy by where they went, and by which device."),
}


class Rules(NamedTuple):
    """The rules that a policy may follow, the first leader first; ``price`` of a switch in ms*s (None: it has none)."""

    names: tuple[str, ...]
    price: float | None


def rules(settings: Settings) -> Rules:
    """Those of a configuration."""
    rule, own = rule_of(settings), settings.rule
    if isinstance(rule, Threshold) or isinstance(own, ThresholdSettings):
        return Rules(("threshold",), None)
    return Rules(tuple(rule.standing(0.0).costs), own.price)


class PathSeries:
    """What is counted and shown of a path. ``directed``: its probes tell one direction from the other."""

    def __init__(self, path: PathId, pop: str) -> None:
        self.pop = pop
        self.directed = False
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._buckets = [0] * (len(RTT_BUCKETS) + 1)
        self._sum = 0.0
        self._labels = labels(pop=pop, path=path)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many probes became what."""
        return {outcome.value: count for outcome, count in self._outcomes.items()}

    def probed(self, event: Probed) -> None:
        """Count a probe of this path."""
        outcome = event.outcome
        self._outcomes[outcome] += 1
        if outcome is Outcome.REPLY or outcome is Outcome.LATE:
            self._buckets[bisect_left(RTT_BUCKETS, event.rtt)] += 1
            self._sum += event.rtt

    def add(
        self,
        page: Mapping[str, list[str]],
        view: PathView | None,
        probing: ProbingView | None,
        staying: int | None = None,
    ) -> None:
        """Append this path's lines to those of each family. ``staying``: connections, where that is known."""
        own = self._labels
        page[PROBES].append(lines(PROBES, own, _RESULTS, self._outcomes.values()))
        cumulative = list(accumulate(self._buckets))
        page[PROBE_RTT] += [
            lines(f"{PROBE_RTT}_bucket", own, _BOUNDS, cumulative),
            line(f"{PROBE_RTT}_sum", own, self._sum),
            line(f"{PROBE_RTT}_count", own, cumulative[-1]),
        ]
        known = (None, None, None) if view is None else (_seconds(view.rtt), _seconds(view.jitter), view.loss)
        queue = 0.0 if probing is None else probing.local_queue
        seen = (0, None) if view is None else (int(view.scout), view.age)
        mtu = None if view is None or view.size is None else view.size.mtu
        for name, value in zip(PATH_GAUGES, (*known, queue, *seen, staying, mtu), strict=True):
            page[name].append(line(name, own, value))
        found = {} if probing is None else probing.findings
        page[FINDING].append(lines(FINDING, own, _FINDINGS, [int(one.value in found) for one in Finding]))
        page[INTERVAL].append(line(INTERVAL, own, None if probing is None else probing.every))
        if self.directed:
            # Loss out and back, variation out and back, as `Directions` has them.
            legs = [leg for leg in (() if probing is None else probing.directions) if leg is not None]
            worst = [_worst(leg[at] for leg in legs) for at in range(4)]
            page[DIRECTION_LOSS].append(lines(DIRECTION_LOSS, own, _DIRECTIONS, worst[:2]))
            page[DIRECTION_VARIATION].append(lines(DIRECTION_VARIATION, own, _DIRECTIONS, worst[2:]))
        state = view.state if view is not None else None
        page[PATH_STATE].append(lines(PATH_STATE, own, _PATH_STATES, [int(one is state) for one in PathState]))

    def add_tunnel(self, page: Mapping[str, list[str]], tunnel: TunnelView) -> None:
        """As `add`, for a path through a WireGuard tunnel."""
        page[HANDSHAKE].append(line(HANDSHAKE, self._labels, tunnel.handshake))
        page[TRANSFER].append(lines(TRANSFER, self._labels, _TRANSFERS, (tunnel.rx, tunnel.tx)))


class PolicySeries:
    """What is counted and shown of a policy. `candidates`: its paths, with their PoPs; `rules`: those it may follow."""

    def __init__(
        self,
        policy: PolicyId,
        candidates: Iterable[tuple[PathId, str]],
        rules: Rules,
        devices: Iterable[str] | None = None,
    ) -> None:
        self.policy = policy
        self._switched = dict.fromkeys(Reason, 0)
        self._switched_at: float | None = None
        self._outages = 0.0
        self._out_since: float | None = None
        self._labels = labels(policy=policy)
        self.choose(candidates, rules, devices)

    def choose(
        self, candidates: Iterable[tuple[PathId, str]], rules: Rules, devices: Iterable[str] | None = None
    ) -> None:
        """The configuration changed what the policy may use, or by which rules. ``devices``: those of its paths, if its
        packets are counted."""
        places = [] if devices is None else [("astray", "other"), ("guard", ""), ("nowhere", "")]
        places += [(where, device) for device in sorted(devices or ()) for where in ("choice", "path")]
        self._counted = devices is not None
        self._packets = {(family, *place): self._packets_at(family, *place) for family in FAMILIES for place in places}
        self._rules = rules
        self._candidates = {path: labels(policy=self.policy, pop=pop, path=path) for path, pop in candidates}

    def _packets_at(self, family: int, where: str, device: str) -> str:
        return labels(policy=self.policy, family=FAMILIES[family], where=where, device=device)

    def add_packets(self, page: Mapping[str, list[str]], counted: Mapping[tuple[int, str, str], int]) -> None:
        """As `add`: packets by family (4 or 6), where they went, and device."""
        if self._counted:
            for place in counted.keys() - self._packets.keys():
                self._packets[place] = self._packets_at(*place)
            page[PACKETS] += [line(PACKETS, one, counted.get(place, 0)) for place, one in self._packets.items()]

    def switched(self, reason: Reason, wall: float) -> None:
        """Count a switch, at this Unix time."""
        self._switched[reason] += 1
        self._switched_at = wall

    def changed(self, state: PolicyState, at: float) -> None:
        """It is in this state since then, on the engine's clock."""
        self._outages += 0.0 if self._out_since is None else at - self._out_since
        self._out_since = at if state in OUT else None

    def add(
        self, page: Mapping[str, list[str]], now: float, view: PolicyView | None, installed: Sequence[int], dropped: int
    ) -> None:
        """Append this policy's lines to those of each family, as they are at ``now`` on the engine's clock.
        ``installed``: prefixes by family; ``dropped``: packets, by the leak guard."""
        own = self._labels
        lasting = 0.0 if self._out_since is None else max(0.0, now - self._out_since)
        page[OUTAGE].append(line(OUTAGE, own, self._outages + lasting))
        page[SWITCHES].append(lines(SWITCHES, own, _REASONS, self._switched.values()))
        page[ROUTES].append(lines(ROUTES, own, _FAMILIES, installed))
        page[DROPPED].append(line(DROPPED, own, dropped))
        page[PINNED].append(line(PINNED, own, int(view is not None and view.pin is not None)))
        page[ASTRAY].append(line(ASTRAY, own, int(view is not None and bool(view.error))))
        page[SWITCHED_AT].append(line(SWITCHED_AT, own, self._switched_at))
        state = view.state if view is not None else PolicyState.NONE
        page[POLICY_STATE].append(lines(POLICY_STATE, own, _POLICY_STATES, [int(one is state) for one in PolicyState]))
        self._add_rules(page, view.rule if view is not None else None)
        choice = view.choice if view is not None else None
        parts = {share.path: share.part for share in view.shares} if view is not None and view.shares else {choice: 1.0}
        terms = {candidate.path: candidate.terms for candidate in view.candidates} if view is not None else {}
        for path, its in self._candidates.items():
            page[ACTIVE].append(line(ACTIVE, its, int(path == choice)))
            page[SHARE].append(line(SHARE, its, parts.get(path, 0.0)))
            known = terms.get(path, {})
            page[COST].append(lines(COST, its, _TERMS, [_seconds(known.get(term)) for term in TERMS]))

    def _add_rules(self, page: Mapping[str, list[str]], rule: Standing | None) -> None:
        """The first rule leads first; before anything was measured, none has cost anything."""
        names, price = self._rules
        leader, costs = (rule.leader, rule.costs) if rule is not None else (names[0], {})
        more = further("rule", names)
        page[RULE].append(lines(RULE, self._labels, more, [int(name == leader) for name in names]))
        if price is not None:
            switches = [costs.get(name, 0.0) / price for name in names]
            page[RULE_COST].append(lines(RULE_COST, self._labels, more, switches))


def _worst(legs: Iterable[float | None]) -> float | None:
    """A path is as good as its worst leg; None: nothing is known of any."""
    return max((leg for leg in legs if leg is not None), default=None)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000.0
