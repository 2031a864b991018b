"""Which traffic a policy is about: rules that select, grouped so that longest prefixes win.

Policies with equal selectors share one table, so that the kernel's own longest match decides between them whatever
their order in the file. What starts on the gateway itself is a selection of its own: a forwarded packet and a local one
never meet the same rule unless the rule is the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

from steerd.config.family import IPV4
from steerd.config.route_settings import POLICY_TABLES, RoutePolicy, RouteSettings
from steerd.route.model.objects import FULL_MASK, MAIN, Action, Rule
from steerd.route.model.prefixes import FAMILIES

# Priorities, from `RouteSettings.rule_priority` on.
BYPASS = 0  # bypass mark: main
REVERSE = 0  # a path's device as the way in: main, but for its default route
PATHS = 1  # a path's mark, or that of connections that came in by it: the path's table; or by none: main
SUPPRESS = 2  # main, but for its default route
BYPASS_JUMP = 3  # bypass mark: to END, when main had nothing
OWN = 10  # own traffic, selections in the order of the file
JUMP = 30
"""Own traffic: to END, so that what follows sees forwarded packets only. It exists because the kernel's ``not`` inverts
a rule's whole match: "from X and not from the gateway itself" cannot be said in one rule. A rule without a source
prefix or a mark says it itself and needs no jump."""
FORWARDED = 31  # forwarded traffic, selections in the order of the file
END = 99  # no operation: where the jumps land

LOOPBACK = "lo"


class Selectors(NamedTuple):
    """``sources`` and ``iifs`` sorted; both empty: everything forwarded, or, with ``own``, everything local.
    ``fwmark``: the mark, and the bits of it that count; (0, 0): any."""

    own: bool
    sources: tuple[str, ...]
    iifs: tuple[str, ...]
    fwmark: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Selection:
    """Policies with equal selectors, in the order of the file; ``rank`` is the place among its like."""

    selectors: Selectors
    policies: tuple[RoutePolicy, ...]
    rank: int
    table: int

    @property
    def priority(self) -> int:
        """Relative to the first of our priorities."""
        return (OWN if self.selectors.own else FORWARDED) + self.rank


def matches(selectors: Selectors) -> list[Rule]:
    """What its rules look at, in both families where the selectors allow: rules without a priority or a table."""
    found: list[Rule] = []
    iifs = [LOOPBACK] if selectors.own else selectors.iifs or [""]
    for family in FAMILIES:
        sources = [one for one in selectors.sources if ip_network(one).version == family]
        if selectors.sources and not sources:
            continue
        for source in sources or [""]:
            found += [Rule(family, 0, Action.LOOKUP, 0, *selectors.fwmark, source, iif) for iif in iifs]
    # Everything forwarded is what does not come from the gateway itself.
    plain = not (selectors.own or selectors.sources or selectors.iifs or any(selectors.fwmark))
    return [one._replace(iif=LOOPBACK, invert=True) for one in found] if plain else found


def selections(settings: RouteSettings, rules: Iterable[Rule] = ()) -> tuple[Selection, ...]:
    """All selections of the configuration. One whose very rules are among the found ones keeps the table they lead to,
    so that a new order in the file moves no route. Raises ValueError when there are more than priorities or tables."""
    grouped: dict[Selectors, list[RoutePolicy]] = {}
    for policy in sorted(settings.policies, key=lambda one: one.order):
        sources = tuple(sorted({str(ip_network(one, strict=False)) for one in policy.sources}))
        iifs = tuple(sorted(set(policy.iifs)))
        grouped.setdefault(Selectors(False, sources, iifs, policy.fwmark), []).append(policy)
        if policy.own_traffic:
            grouped.setdefault(Selectors(True, sources, (), policy.fwmark), []).append(policy)
    tables = _tables(settings, grouped, _found_tables(settings, rules))
    ranks = {True: 0, False: 0}
    result = []
    for selectors, policies in grouped.items():
        own, rank = selectors.own, ranks[selectors.own]
        ranks[own] += 1
        room = JUMP - OWN if own else END - FORWARDED
        if rank >= room:
            whose = "for the gateway's own traffic" if own else "for forwarded traffic"
            raise ValueError(
                f"more than {room} different selectors {whose}: "
                f"give policies the same 'from', 'iif' and 'fwmark' where they may share them"
            )
        result.append(Selection(selectors, tuple(policies), rank, tables[selectors]))
    return tuple(result)


def _found_tables(settings: RouteSettings, rules: Iterable[Rule]) -> dict[frozenset[Rule], int]:
    found: dict[int, set[Rule]] = {}
    first = settings.rule_priority
    for rule in rules:
        if rule.action == Action.LOOKUP and OWN <= rule.priority - first < END and rule.priority - first != JUMP:
            match = rule._replace(priority=0, target=0, suppress=None, other=())
            found.setdefault(rule.target, set()).add(match)
    return {frozenset(some): table for table, some in found.items()}


def _tables(
    settings: RouteSettings,
    grouped: Mapping[Selectors, Sequence[RoutePolicy]],
    found: Mapping[frozenset[Rule], int],
) -> dict[Selectors, int]:
    room = range(settings.table, settings.table + POLICY_TABLES)
    tables: dict[Selectors, int] = {}
    # One table serves own and forwarded traffic when it would hold the same routes.
    forwarded = {one: one._replace(own=False) for one in grouped if one.own}
    both = {own: twin for own, twin in forwarded.items() if grouped.get(twin) == grouped[own]}
    apart = [selectors for selectors in grouped if selectors not in both]
    for selectors in apart:
        twins = [one for one, twin in both.items() if twin == selectors]
        wanted = {match for one in (selectors, *twins) for match in matches(one)}
        for match_set, table in found.items():
            # Families without prefixes have no rule, so what was found may be a part of what is possible.
            families = {one.family for one in match_set}
            same = {one for one in wanted if one.family in families} == match_set
            if same and table in room and table not in tables.values():
                tables[selectors] = table
                break
    for selectors in (one for one in apart if one not in tables):
        written = [] if selectors.own else [one.table for one in grouped[selectors]]
        candidates = [*written, *(one for one in reversed(room) if one not in found.values())]
        free = [one for one in candidates if one not in tables.values()]
        if not free:
            raise ValueError(f"more selections than the {POLICY_TABLES} tables from {settings.table} on hold")
        tables[selectors] = free[0]
    return tables | {selectors: tables[twin] for selectors, twin in both.items()}


def fixed_rules(settings: RouteSettings, families: Iterable[int]) -> list[Rule]:
    """The rules that are there from the start: they lead marked packets only.

    But for one that is about no packet: with ``src_valid_mark`` and ``rp_filter`` 1 on a LAN device (as wg-quick leaves
    them) the kernel asks for the way back to the sender of a pinned packet with that packet's mark, and the path as the
    way in. A path's table would answer that the LAN is behind the path. What really comes in by a path has no mark of
    ours, and meets the same words at `SUPPRESS`. IPv6 has no such check."""
    first, bypass = settings.rule_priority, settings.bypass_mark
    found = []
    for family in families:
        if bypass:
            found.append(Rule(family, first + BYPASS, Action.LOOKUP, MAIN, mark=bypass, mask=FULL_MASK))
        found += [
            Rule(family, first + PATHS, Action.LOOKUP, path.table, mark=mark, mask=settings.mark_mask)
            for path in settings.paths
            for mark in (path.mark, path.inbound_mark if settings.pins else 0)
            if mark
        ]
        if settings.pins and family == IPV4:
            found += [
                Rule(family, first + REVERSE, Action.LOOKUP, MAIN, iif=device, suppress=0)
                for device in sorted({path.device for path in settings.paths})
            ]
        if settings.pins and settings.main_mark:
            rule = Rule(family, first + PATHS, Action.LOOKUP, MAIN, mark=settings.main_mark, mask=settings.mark_mask)
            found.append(rule)
    return found


def steering_rules(settings: RouteSettings, active: Iterable[tuple[Selection, int]]) -> list[Rule]:
    """The rules that lead traffic to the tables of these (selection, family)."""
    first, bypass = settings.rule_priority, settings.bypass_mark
    found: list[Rule] = []
    jumps: set[int] = set()
    families: set[int] = set()
    for selection, wanted in active:
        families.add(wanted)
        for match in matches(selection.selectors):
            if match.family == wanted:
                found.append(match._replace(priority=first + selection.priority, target=selection.table))
                jumps |= set() if match.iif else {wanted}
    for family in sorted(families):
        found.append(Rule(family, first + SUPPRESS, Action.LOOKUP, MAIN, suppress=0))
        if family in jumps:
            found.append(Rule(family, first + JUMP, Action.GOTO, first + END, iif=LOOPBACK))
        if bypass:
            found.append(Rule(family, first + BYPASS_JUMP, Action.GOTO, first + END, mark=bypass, mask=FULL_MASK))
        if family in jumps or bypass:
            found.append(Rule(family, first + END, Action.NOP))
    return found
