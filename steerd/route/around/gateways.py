"""Next hops for `via = "auto"`: those of main's default routes, which DHCP clients, pppd or routers made. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import AUTO, RoutePath, RouteSettings
from steerd.route.kernel.main_table import Main


class Gateway(NamedTuple):
    """``via`` is numeric, or empty where the device alone leads on; ``device_index`` is the device's number."""

    via: str
    device_index: int


Gateways = Mapping[tuple[int, str], Gateway]
"""By family and device."""


def automatic(settings: RouteSettings) -> bool:
    """Whether any path asks for a next hop that main knows."""
    return any(path.over[0] or AUTO in (path.via, path.via6) for path in settings.paths)


def learn(main: Main, before: Gateways | None = None) -> dict[tuple[int, str], Gateway]:
    """The gateway of the default route with the lowest metric, for each device that has one. What was known ``before``
    holds while the same device is up and no other gateway appears: a DHCP client removes its route and adds it again to
    renew a lease, and a router that advertises late has not moved."""
    known = {
        (family, device): gateway
        for (family, device), gateway in (before or {}).items()
        if main.up(device) == gateway.device_index
    }
    found: dict[tuple[int, str], list[str]] = {}
    lowest: dict[tuple[int, str], int] = {}
    for route in main.defaults:  # in the order of their metrics
        if route.foreign:  # nothing to steer by, and without it there would be no next hop
            continue
        key = (route.family, route.device)
        if lowest.setdefault(key, route.metric) == route.metric:
            found.setdefault(key, []).append(route.via)
    for key, equals in found.items():
        former = known.get(key)
        # Of routers that are worth the same, the kernel may name another first each time.
        via = former.via if former and former.via in equals else equals[0]
        known[key] = Gateway(via, main.up(key[1]) or 0)
    return known


def resolve(settings: RouteSettings, known: Gateways) -> RouteSettings:
    """The settings in effect: ``auto`` replaced by next hops. A path whose gateway is unknown does not carry that
    family: its device alone would ask ARP for every address there is."""
    if not automatic(settings):
        return settings
    return replace(settings, paths=tuple(_resolved(path, known) for path in settings.paths))


def unknown(settings: RouteSettings, known: Gateways) -> list[tuple[RoutePath, int]]:
    """The paths that wait for a gateway, with the family in which they do."""
    return [
        (path, family)
        for path in settings.paths
        for family, via in ((IPV4, path.via), (IPV6, path.via6))
        if via == AUTO and (family, path.device) not in known
    ]


def _resolved(path: RoutePath, known: Gateways) -> RoutePath:
    vias: dict[int, str | None] = {IPV4: path.via, IPV6: path.via6}
    families = path.families
    for family in [one for one, via in vias.items() if via == AUTO]:
        gateway = known.get((family, path.device))
        vias[family] = gateway.via or None if gateway else None
        families = families if gateway else families - {family}
    return replace(path, via=vias[IPV4], via6=vias[IPV6], families=families)
