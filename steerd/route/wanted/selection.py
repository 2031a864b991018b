"""Which traffic a policy is about: rules that select, grouped so that longest prefixes win.

Policies with equal selectors share one table, so that the kernel's own longest match decides between
them whatever their order in the file. What starts on the gateway itself is a selection of its own: a
forwarded packet and a local one never meet the same rule unless the rule is the same.

Priorities, from `RouteSettings.rule_priority` on:

====== ====================================================================================
+0     bypass mark: main
+1     a path's mark, or that of connections that came in by it: the path's table
+2     main, but for its default route
+3     bypass mark: to +99 (when main had nothing)
+10    own traffic, selections in the order of the file
+30    own traffic: to +99. What follows sees forwarded packets only
+31    forwarded traffic, selections in the order of the file
+99    no operation: where the jumps land
====== ====================================================================================

The jump at +30 exists because the kernel's ``not`` inverts a rule's whole match: "from X and not from the
gateway itself" cannot be said in one rule. A rule without a source prefix or a mark says it itself and needs no jump.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

from steerd.config.settings import POLICY_TABLES, RoutePolicy, RouteSettings
from steerd.route.model.objects import FULL_MASK, MAIN, Action, Rule
from steerd.route.model.prefixes import FAMILIES

BYPASS = 0
PATHS = 1
SUPPRESS = 2
BYPASS_JUMP = 3
OWN = 10
JUMP = 30
FORWARDED = 31
END = 99

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


class Match(NamedTuple):
    """What a selecting rule looks at."""

    family: int
    source: str
    iif: str
    invert: bool
    mark: int = 0
    mask: int = 0


def matches(selectors: Selectors) -> list[Match]:
    """One per rule, in both families where the selectors allow."""
    found: list[Match] = []
    fwmark = selectors.fwmark
    for family in FAMILIES:
        sources = [one for one in selectors.sources if ip_network(one).version == family]
        if selectors.sources and not sources:
            continue
        for source in sources or [""]:
            if selectors.own:
                found.append(Match(family, source, LOOPBACK, False, *fwmark))
            elif selectors.iifs:
                found += [Match(family, source, iif, False, *fwmark) for iif in selectors.iifs]
            elif source or any(fwmark):
                found.append(Match(family, source, "", False, *fwmark))
            else:
                found.append(Match(family, "", LOOPBACK, True))
    return found


def selections(settings: RouteSettings, rules: Iterable[Rule] = ()) -> tuple[Selection, ...]:
    """All selections of the configuration. A selection whose very rules are among the found ones keeps the
    table they lead to; so a new order in the file moves no route.

    Raises ValueError when there are more than the priorities or tables hold.
    """
    grouped: dict[Selectors, list[RoutePolicy]] = {}
    for policy in sorted(settings.policies, key=lambda one: one.order):
        sources = tuple(sorted({str(ip_network(one, strict=False)) for one in policy.sources}))
        iifs = tuple(sorted(set(policy.iifs)))
        grouped.setdefault(Selectors(False, sources, iifs, policy.fwmark), []).append(policy)
        if policy.own_traffic:
            grouped.setdefault(Selectors(True, sources, (), policy.fwmark), []).append(policy)
    tables = _tables(settings, grouped, _found_tables(settings, rules))
    ranks = {True: 0, False: 0}
    room = {True: JUMP - OWN, False: END - FORWARDED}
    result = []
    for selectors, policies in grouped.items():
        rank = ranks[selectors.own]
        ranks[selectors.own] += 1
        if rank >= room[selectors.own]:
            whose = "for the gateway's own traffic" if selectors.own else "for forwarded traffic"
            raise ValueError(
                f"more than {room[selectors.own]} different selectors {whose}: "
                f"give policies the same 'from', 'iif' and 'fwmark' where they may share them"
            )
        result.append(Selection(selectors, tuple(policies), rank, tables[selectors]))
    return tuple(result)


def _found_tables(settings: RouteSettings, rules: Iterable[Rule]) -> dict[frozenset[Match], int]:
    found: dict[int, set[Match]] = {}
    first = settings.rule_priority
    for rule in rules:
        if rule.action == Action.LOOKUP and OWN <= rule.priority - first < END and rule.priority - first != JUMP:
            match = Match(rule.family, rule.source, rule.iif, rule.invert, rule.mark, rule.mask)
            found.setdefault(rule.target, set()).add(match)
    return {frozenset(some): table for table, some in found.items()}


def _tables(
    settings: RouteSettings,
    grouped: Mapping[Selectors, Sequence[RoutePolicy]],
    found: Mapping[frozenset[Match], int],
) -> dict[Selectors, int]:
    room = range(settings.table, settings.table + POLICY_TABLES)
    tables: dict[Selectors, int] = {}
    taken: set[int] = set()
    both: dict[Selectors, Selectors] = {}
    for selectors, policies in grouped.items():
        # One table serves own and forwarded traffic when it would hold the same routes.
        twin = selectors._replace(own=False)
        if selectors.own and list(grouped.get(twin, ())) == list(policies):
            both[selectors] = twin
    for selectors in grouped:
        if selectors in both:
            continue
        twins = [one for one, twin in both.items() if twin == selectors]
        wanted = {match for one in (selectors, *twins) for match in matches(one)}
        for match_set, table in found.items():
            # Families without prefixes have no rule, so what was found may be a part of what is possible.
            families = {one.family for one in match_set}
            if {one for one in wanted if one.family in families} == match_set and table in room and table not in taken:
                tables[selectors] = table
                taken.add(table)
                break
    for selectors, policies in grouped.items():
        if selectors in both or selectors in tables:
            continue
        kept = set(found.values())
        own_choice = [one.table for one in policies] if not selectors.own else []
        candidates = [*own_choice, *(t for t in reversed(room) if t not in kept)]
        free = [one for one in candidates if one not in taken]
        if not free:
            raise ValueError(f"more selections than the {POLICY_TABLES} tables from {settings.table} on hold")
        tables[selectors] = free[0]
        taken.add(free[0])
    return tables | {selectors: tables[twin] for selectors, twin in both.items()}


def fixed_rules(settings: RouteSettings, families: Iterable[int]) -> list[Rule]:
    """The rules that are there from the start: they lead no one's traffic but marked packets."""
    first = settings.rule_priority
    found = []
    for family in families:
        if settings.bypass_mark:
            mark = settings.bypass_mark
            found.append(Rule(family, first + BYPASS, Action.LOOKUP, MAIN, mark=mark, mask=FULL_MASK))
        found += [
            Rule(family, first + PATHS, Action.LOOKUP, path.table, mark=mark, mask=settings.mark_mask)
            for path in settings.paths
            for mark in (path.mark, path.inbound_mark if settings.pins else 0)
            if mark
        ]
    return found


def steering_rules(settings: RouteSettings, active: Iterable[tuple[Selection, int]]) -> list[Rule]:
    """The rules that lead traffic to the tables of these (selection, family)."""
    first = settings.rule_priority
    found: list[Rule] = []
    jumps: set[int] = set()
    families: set[int] = set()
    for selection, wanted in active:
        families.add(wanted)
        for match in matches(selection.selectors):
            if match.family != wanted:
                continue
            found.append(
                Rule(
                    match.family,
                    first + selection.priority,
                    Action.LOOKUP,
                    selection.table,
                    mark=match.mark,
                    mask=match.mask,
                    source=match.source,
                    iif=match.iif,
                    invert=match.invert,
                )
            )
            if not match.iif:
                jumps.add(match.family)
    for family in sorted(families):
        found.append(Rule(family, first + SUPPRESS, Action.LOOKUP, MAIN, suppress=0))
        if family in jumps:
            found.append(Rule(family, first + JUMP, Action.GOTO, first + END, iif=LOOPBACK))
        if settings.bypass_mark:
            mark = settings.bypass_mark
            found.append(Rule(family, first + BYPASS_JUMP, Action.GOTO, first + END, mark=mark, mask=FULL_MASK))
        if family in jumps or settings.bypass_mark:
            found.append(Rule(family, first + END, Action.NOP))
    return found
