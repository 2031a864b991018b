"""Rules and routes that lead tunnels' own packets over an uplink. Pure."""

from collections.abc import Set as AbstractSet

from steerd.config.route_settings import RouteSettings
from steerd.route.model import prefixes
from steerd.route.model.numbers import WayOut
from steerd.route.model.objects import FULL_MASK, METRIC, Action, Kind, RouteType, Rule, State
from steerd.route.wanted.selection import BYPASS, LOOPBACK


def led(settings: RouteSettings, wanted: State, found: State, usable: AbstractSet[WayOut]) -> State:
    """What is ``wanted``, with the settings' detours; of those whose mark is not known yet, as it was ``found``."""
    rules, routes = set(wanted.rules), dict(wanted.routes)
    for one in settings.detours:
        if one.mark is None:
            rules |= {rule for rule in found.rules if (rule.action, rule.target) == (Action.LOOKUP, one.table)}
            routes |= {kind: packed for kind, packed in found.routes.items() if kind.table == one.table}
        for family, device, via in one.ways:
            if WayOut(family, device, via) in usable:
                rule = Rule(family, settings.rule_priority + BYPASS, Action.LOOKUP, one.table)
                rules.add(rule._replace(mark=one.mark or 0, mask=FULL_MASK, iif=LOOPBACK))
                kind = Kind(family, one.table, METRIC, RouteType.UNICAST, device=device, via=via)
                routes[kind] = prefixes.DEFAULT[family]
    return State(frozenset(rules), wanted.nexthops, wanted.groups, routes)
