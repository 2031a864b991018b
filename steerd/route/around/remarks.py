"""What keeps routing on this machine from doing all that the settings ask for, one line each. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from steerd.config.route_settings import RoutePath, RouteSettings
from steerd.core.settings import PathId
from steerd.route.around.gateways import Gateways, unknown
from steerd.route.kernel.main_table import Main
from steerd.route.model import prefixes
from steerd.route.model.numbers import tables
from steerd.route.model.objects import Device
from steerd.route.model.prefixes import FAMILIES
from steerd.route.wanted.choice import devices
from steerd.route.wanted.coverage import ALL, covered, words
from steerd.route.wanted.desired import steered
from steerd.status.snapshot import Underlay

_EXAMPLES = 3
_NAMED = 3
"""Paths of one remark that are named; of hundreds the rest is counted."""
_STRICT = 1


def waiting(settings: RouteSettings, main: Main, known: Gateways) -> Iterator[str]:
    """Paths that leave their next hop to main, and whose device is up without one."""
    for path, family in unknown(settings, known):
        if main.up(path.device) is not None:
            foreign = any((one.family, one.device, one.foreign) == (family, path.device, True) for one in main.defaults)
            yield (
                f"path {path.path}: carries no IPv{family} until main has a default route through {path.device}"
                + (": the next hop of the one there is of the other family, which is not followed" if foreign else "")
            )


def incoming(settings: RouteSettings, known: Mapping[str, Device]) -> Iterator[str]:
    """Devices named as policies' inputs by which nothing comes in for them."""
    for policy in settings.policies:
        for name in policy.iifs:
            if name not in known:
                yield f"policy {policy.policy}: device {name} of its iif does not exist: nothing comes in by it"
            elif master := port_of(name, known):
                yield f"policy {policy.policy}: {port_words(name, master)}"


def port_of(name: str, known: Mapping[str, Device]) -> str:
    """The bridge or bond that has the device as a port; empty: none has."""
    device = known.get(name)
    if device is None or not device.master or device.vrf:
        return ""
    return next((one.name for one in known.values() if one.index == device.master), "")


def port_words(name: str, master: str) -> str:
    """That such a device is no input."""
    return f"what comes in by {name} comes in by {master}, whose port it is: name {master} in iif"


def shadowed(settings: RouteSettings, main: Main) -> Iterator[str]:
    """Policies with prefixes that main knows as well or better than by a default route: rule +2 sends these by main."""
    management = {family: prefixes.pack(family, settings.management) for family in FAMILIES}
    for policy in settings.policies:
        number = total = 0
        examples: list[str] = []
        for family in FAMILIES:
            wanted = steered(policy, family, management[family])
            covers = prefixes.of_family(main.specific, family)
            hidden = prefixes.within(family, wanted, covers)
            total += prefixes.count(family, wanted)
            number += prefixes.count(family, hidden)
            examples += [
                f"{prefixes.text(family, entry)} by {prefixes.text(family, cover)}"
                for entry in prefixes.split(family, hidden[: _EXAMPLES * prefixes.WIDTH[family]])
                if (cover := prefixes.cover(family, covers, entry))
            ]
        if number:
            yield (
                f"policy {policy.policy}: {number} of {total} prefixes are never steered, since routes of main "
                f"that are no default routes come first: {', '.join(examples[:_EXAMPLES])}"
                + (", ..." if number > _EXAMPLES else "")
            )


def pieces(settings: RouteSettings, main: Main) -> Iterator[str]:
    """Policies of whose addresses main has much by routes that are no default routes, as by one half of two. Where that
    is all, and not by the policy's own paths, it is an error, and told as one."""
    for policy in settings.policies:
        for family in FAMILIES:
            found = covered(settings, main.leads, policy, family, frozenset())
            if found.share and covered(settings, main.leads, policy, family, devices(settings, policy)).share < ALL:
                share = words(settings, main.leads, policy, found)
                yield f"policy {policy.policy}: routes of main that are no default routes take {share}"


def shared_uplinks(settings: RouteSettings, known: Mapping[str, Device]) -> Iterator[str]:
    """Uplinks that count as separate though their devices are on one, as two VLANs of a network card are."""
    for together, name in together_on(settings, known):
        yield f'{all_of(together)} leave by {name}, so they fail together: give their paths uplink = "{name}"'


def together_on(settings: RouteSettings, known: Mapping[str, Device]) -> Iterator[tuple[list[PathId], str]]:
    """As `shared_uplinks`: the paths, and the one device."""
    numbered = {one.index: one for one in known.values()}
    uplinks: dict[int, dict[str, list[RoutePath]]] = {}
    for path in settings.paths:
        if device := known.get(path.device):
            bottom = _bottom(device, numbered)
            uplinks.setdefault(bottom, {}).setdefault(path.uplink, []).append(path)
    for bottom, found in uplinks.items():
        leaves = {uplink: {path.device for path in paths} for uplink, paths in found.items()}
        apart = {uplink for pair in combinations(found, 2) if leaves[pair[0]] != leaves[pair[1]] for uplink in pair}
        together = sorted(path.path for uplink in apart for path in found[uplink])
        if together:
            yield together, numbered[bottom].name


def all_of(names: Sequence[str]) -> str:
    """``a and b both``, ``a, b and c all``, ``a, b, c and 297 more all``."""
    *first, last = names[:_NAMED] if len(names) <= _NAMED else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    return f"{', '.join(first)} and {last} {'both' if len(names) == 2 else 'all'}"


def circles(settings: RouteSettings, found: Mapping[str, Underlay]) -> Iterator[str]:
    """Tunnels whose own outer packets a policy steers: into a tunnel of ours, at worst into themselves."""
    over = {path.over[1] for path in settings.paths if path.over[0]}
    for device, (remote, by, table) in sorted(found.items()):
        if table in tables(settings) and table not in over and by:
            into = "into itself" if by == device else f"by {by}"
            yield (
                f"{device}: its outer packets, to {remote}, are steered {into} by a policy with own_traffic: list "
                f"{remote} in route.management, or have the tunnel mark them with route.bypass_mark"
            )


def _bottom(device: Device, numbered: Mapping[int, Device]) -> int:
    for _ in range(len(numbered)):
        lower = numbered.get(device.lower)
        if lower is None:
            break
        device = lower
    return device.index


def strict(settings: RouteSettings, rp_filter: Mapping[str, int]) -> Iterator[str]:
    """Devices of paths that drop the answers on pinned connections. ``rp_filter`` is what is in effect on each."""
    for device in sorted({path.device for path in settings.paths}):
        if rp_filter.get(device) == _STRICT:
            key = f"net.ipv4.conf.{device.replace('.', '/')}.rp_filter"  # as sysctl spells a dot within a name
            yield (
                f"{device}: rp_filter is in effect as 1 (strict): connections pinned to a path that was left get no "
                f"answers; `sysctl -w {key}=2` (loose) lets them through"
            )
