"""From what there is to what there should be: the changes, in an order that opens no gap. Pure.

Additions run before removals. Among additions, what is referred to comes before what refers to it, and rules come last,
when the tables they lead to are complete. Removals run in the opposite order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from steerd.route.model.objects import Action, Group, Kind, Nexthop, Routes, RouteType, Rule, State
from steerd.route.model.prefixes import count, join, split

Thing = Rule | Nexthop | Group | Routes


class Verb(StrEnum):
    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


class Change(NamedTuple):
    verb: Verb
    thing: Thing


@dataclass(frozen=True, slots=True)
class Difference:
    """Empty, and then false, where there is nothing to change."""

    additions: tuple[Change, ...]
    removals: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.additions or self.removals)


def difference(actual: State, wanted: State) -> Difference:
    """Turns ``actual`` into ``wanted``. Names nothing that is in neither."""
    additions = [
        Change(Verb.REPLACE if number in actual.nexthops else Verb.ADD, nexthop)
        for number, nexthop in sorted(wanted.nexthops.items())
        if actual.nexthops.get(number) != nexthop
    ]
    for number, group in sorted(wanted.groups.items()):
        found = actual.groups.get(number)
        if found is None or not equivalent(found, group):
            additions.append(Change(Verb.REPLACE if found else Verb.ADD, group))
    put, drop = _routes(actual.routes, wanted.routes)
    additions += [Change(Verb.REPLACE, routes) for routes in sorted(put, key=_addition_rank)]
    additions += [Change(Verb.ADD, rule) for rule in sorted(wanted.rules - actual.rules, key=_rule_rank)]

    surplus = sorted(actual.rules - wanted.rules, key=_rule_rank, reverse=True)
    gone: dict[int, Group | Nexthop] = {n: one for n, one in actual.groups.items() if n not in wanted.groups}
    gone |= {n: one for n, one in actual.nexthops.items() if n not in wanted.nexthops}
    # The kernel removes routes with the nexthop they use: one message in place of thousands.
    drop = [routes for routes in drop if routes.kind.nexthop not in gone]
    removed = (*surplus, *sorted(drop, key=_addition_rank, reverse=True), *gone.values())
    return Difference(tuple(additions), tuple(Change(Verb.REMOVE, thing) for thing in removed))


def equivalent(found: Group, wanted: Group) -> bool:
    """A lone member carries everything whatever its weight, such as the 1 left to a runner-up."""
    if len(found.members) == len(wanted.members) == 1:
        return found._replace(members=()) == wanted._replace(members=()) and found.members[0][0] == wanted.members[0][0]
    return found == wanted


def _routes(actual: Mapping[Kind, bytes], wanted: Mapping[Kind, bytes]) -> tuple[list[Routes], list[Routes]]:
    slots: dict[tuple[int, int, int], tuple[dict[Kind, bytes], dict[Kind, bytes]]] = {}
    for side, kinds in enumerate((actual, wanted)):
        for kind, packed in kinds.items():
            slots.setdefault(kind.slot, ({}, {}))[side][kind] = packed
    put: list[Routes] = []
    drop: list[Routes] = []
    for (family, _table, _metric), (have, want) in slots.items():
        if have == want:
            continue  # as bytes: what is in order costs nothing per prefix
        present = {entry: kind for kind, packed in have.items() for entry in split(family, packed)}
        asked = {entry: kind for kind, packed in want.items() for entry in split(family, packed)}
        put += _kinds((kind, entry) for entry, kind in asked.items() if present.get(entry) != kind)
        drop += _kinds((kind, entry) for entry, kind in present.items() if entry not in asked)
    return put, drop


def _kinds(entries: Iterable[tuple[Kind, bytes]]) -> list[Routes]:
    found: dict[Kind, list[bytes]] = {}
    for kind, entry in entries:
        found.setdefault(kind, []).append(entry)
    return [Routes(kind, join(mine)) for kind, mine in found.items()]


def _addition_rank(routes: Routes) -> tuple[int, Kind]:
    # Exceptions before what they except from; ways out before the shadows beneath them, so that no packet is turned
    # away for a moment. Removals run the other way round, for the same reason.
    order = {RouteType.THROW: 0, RouteType.UNICAST: 1}
    return order.get(RouteType(routes.kind.type), 2) if routes.kind.type in set(RouteType) else 3, routes.kind


def _rule_rank(rule: Rule) -> tuple[int, int, Rule]:
    # A jump without its landing is skipped by the kernel, so landings come first, then jumps; then, by
    # priority, main's specific routes before the policies.
    order = {Action.NOP: 0, Action.GOTO: 1}
    return order.get(Action(rule.action), 2) if rule.action in set(Action) else 3, rule.priority, rule


def label(change: Change) -> str:
    """``rule``, ``nexthop``, ``group`` or ``route``."""
    return "route" if isinstance(change.thing, Routes) else type(change.thing).__name__.lower()


def size(change: Change) -> int:
    """How many kernel objects it is about."""
    thing = change.thing
    return count(thing.kind.family, thing.prefixes) if isinstance(thing, Routes) else 1
