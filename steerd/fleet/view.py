"""What the page and the metrics show of what was heard: figures, no judgements."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any, Final

from steerd.core.states import PathState
from steerd.fleet.drains import Drains
from steerd.fleet.heard import Gateway, Heard, Presence

ROWS_MAX: Final = 200
"""Gateways in one answer: who looks at more than that searches."""


@dataclass(frozen=True, slots=True)
class PopView:
    """``users`` are gateways with a policy on it, by policy; ``states`` what gateways say of their best path to it;
    ``rtt`` the median of what they measure, in ms; ``age`` the seconds since it spoke."""

    name: str
    accepting: bool
    drained_for: list[str]
    load: float | None
    capacity: int | None
    links: int
    age: float | None
    users: int
    by_policy: Mapping[str, int]
    states: Mapping[PathState, int]
    rtt: float | None


@dataclass(frozen=True, slots=True)
class FleetView:
    """``presence``: gateways by region and presence; ``strangers``: those that no inventory knows;
    ``switches``: those heard of since we started, by reason."""

    presence: Mapping[str, Mapping[Presence, int]]
    strangers: int
    switches: Mapping[str, int]
    pops: list[PopView]


_BEST_FIRST: Final = {state: place for place, state in enumerate(PathState)}


def view(heard: Heard, drains: Drains, now: float, stale_after: float) -> FleetView:
    """All of it, as it is at ``now``; choices and measurements of those alone that are online."""
    presence: dict[str, Counter[Presence]] = defaultdict(Counter)
    users: Counter[str] = Counter()
    by_policy: dict[str, Counter[str]] = defaultdict(Counter)
    states: dict[str, Counter[PathState]] = defaultdict(Counter)
    rtts: dict[str, list[float]] = defaultdict(list)
    for gateway in heard.gateways.values():
        here = gateway.presence(now, stale_after)
        presence[gateway.region][here] += 1
        if here is not Presence.ONLINE:
            continue
        used = set()
        for policy, path in gateway.choices.items():
            if path is not None:
                pop = path.partition("/")[0]
                by_policy[pop][policy] += 1
                used.add(pop)
        users.update(used)
        best: dict[str, tuple[int, float]] = {}
        for seen in gateway.paths:
            one = _BEST_FIRST[seen.state], inf if seen.rtt is None else seen.rtt
            best[seen.pop] = min(best.get(seen.pop, one), one)
        for pop, (state, rtt) in best.items():
            states[pop][_STATES[state]] += 1
            if rtt < inf:
                rtts[pop].append(rtt)
    names = sorted({*heard.pops, *users})
    pops = []
    for name in names:
        told = heard.pops.get(name)
        pops.append(
            PopView(
                name=name,
                accepting=told is None or told.accepting,
                drained_for=drains.of(name),
                load=told.load if told else None,
                capacity=told.capacity if told else None,
                links=told.links if told else 0,
                age=None if told is None or told.told_at is None else now - told.told_at,
                users=users[name],
                by_policy=by_policy[name],
                states=states[name],
                rtt=median(rtts[name]) if rtts[name] else None,
            )
        )
    strangers = sum(not one.known for one in heard.gateways.values())
    return FleetView(presence, strangers, dict(heard.switches), pops)


_STATES: Final = tuple(PathState)


@dataclass(frozen=True, slots=True)
class Search:
    """Which gateways are asked for: ``text`` in the name, a region, a PoP that carries a policy, a presence; empty:
    any. ``start``: so many are passed over."""

    text: str = ""
    region: str = ""
    pop: str = ""
    presence: str = ""
    start: int = 0


def rows(heard: Heard, search: Search, now: float, stale_after: float) -> dict[str, Any]:
    """The first `ROWS_MAX` gateways that are meant, those that moved last first, with how many there are."""
    found = _found(heard, search, now, stale_after)
    found.sort(key=lambda one: (-one[0].moved.at if one[0].moved else inf, one[0].region, one[0].name))
    shown = found[search.start : search.start + ROWS_MAX]
    return {"total": len(found), "start": search.start, "rows": [_row(one, presence, now) for one, presence in shown]}


def _found(heard: Heard, search: Search, now: float, stale_after: float) -> list[tuple[Gateway, Presence]]:
    found = []
    for gateway in heard.gateways.values():
        if search.text.lower() not in gateway.name.lower() or search.region not in {"", gateway.region}:
            continue
        if search.pop and all(not path or path.partition("/")[0] != search.pop for path in gateway.choices.values()):
            continue
        presence = gateway.presence(now, stale_after)
        if search.presence in {"", presence}:
            found.append((gateway, presence))
    return found


def _row(gateway: Gateway, presence: Presence, now: float) -> dict[str, Any]:
    moved = gateway.moved
    return {
        "region": gateway.region,
        "name": gateway.name,
        "known": gateway.known,
        "presence": presence,
        "reason": gateway.reason,
        "version": gateway.version,
        "age": None if gateway.scored_at is None else round(now - gateway.scored_at, 1),
        "choices": gateway.choices,
        "moved": moved and {**moved._asdict(), "at": round(now - moved.at, 1)},
    }


def page(fleet: FleetView) -> dict[str, Any]:
    """The figures of the page, for JSON."""
    return {
        "presence": fleet.presence,
        "strangers": fleet.strangers,
        "pops": [
            {
                "name": pop.name,
                "accepting": pop.accepting,
                "drained_for": pop.drained_for,
                "load": pop.load,
                "capacity": pop.capacity,
                "links": pop.links,
                "age": None if pop.age is None else round(pop.age, 1),
                "users": pop.users,
                "by_policy": pop.by_policy,
                "states": pop.states,
                "rtt": None if pop.rtt is None else round(pop.rtt, 2),
            }
            for pop in fleet.pops
        ],
    }
