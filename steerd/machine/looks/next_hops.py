"""The next hops of paths: on the link of their device, and somebody there."""

from collections.abc import Iterator
from ipaddress import ip_address

from steerd.config.family import IPV4, IPV6
from steerd.config.route_settings import AUTO, RoutePath
from steerd.config.settings import Config
from steerd.machine.finding import Cure, Finding, do, error, of_path, put
from steerd.machine.record import Machine, Reachability
from steerd.route.around.gateways import learn
from steerd.route.model import prefixes
from steerd.route.model.objects import RouteType

_NOBODY = Reachability.INCOMPLETE | Reachability.FAILED


def look(config: Config, machine: Machine) -> Iterator[Finding]:
    """Only of devices that are up: what is on the link of another cannot be said."""
    for path in config.route.paths:
        if machine.main.up(path.device) is None:
            continue
        for family, key, via in ((IPV4, "via", path.via), (IPV6, "via6", path.via6)):
            if via == AUTO:
                yield from _automatic(machine, path, family, key)
            elif via:
                yield from _written(machine, path, family, key, via)


def _automatic(machine: Machine, path: RoutePath, family: int, key: str) -> Iterator[Finding]:
    known = learn(machine.main).get((family, path.device))
    if known is None:
        yield error(
            "next-hop-unknown",
            of_path(path.path, key),
            f'{key} = "auto" asks for the next hop of main\'s default route through {path.device}, and there is none.',
            f"The path carries no IPv{family} until there is one.",
            _better(machine, path, family, key, "")
            or do(
                f"Have whoever configures {path.device} (DHCP, pppd, a router) make a default route, or write {key}."
            ),
        )
    elif known.via and _silent(machine, path.device, known.via.split()[0]):
        yield _nobody(machine, path, family, key, known.via.split()[0])


def _written(machine: Machine, path: RoutePath, family: int, key: str, via: str) -> Iterator[Finding]:
    place = of_path(path.path, key)
    networks = [str(one.network) for one in machine.addresses.get(path.device, ()) if one.version == family]
    others = do(
        f"Write the address of a router that is on the link of {path.device}"
        + (f" ({', '.join(networks)})." if networks else ", and give the device an address of that network.")
    )
    if via in machine.own:
        yield error(
            "next-hop-is-own",
            place,
            f"{via} is an address of this machine.",
            "The kernel refuses a next hop that is the machine itself, so the path cannot be used.",
            _better(machine, path, family, key, via) or others,
        )
    elif not _on_link(machine, path.device, family, via):
        yield error(
            "next-hop-off-link",
            place,
            f"{via} is on no network of {path.device}.",
            "The kernel refuses a next hop that the device does not reach directly, so the path cannot be used.",
            _better(machine, path, family, key, via) or others,
        )
    elif _silent(machine, path.device, via):
        yield _nobody(machine, path, family, key, via)


def _nobody(machine: Machine, path: RoutePath, family: int, key: str, via: str) -> Finding:
    asked = "ARP" if family == IPV4 else "neighbour discovery"
    return error(
        "next-hop-silent",
        of_path(path.path, key),
        f"Nobody on the link of {path.device} answers for {via} ({asked}).",
        "Packets that are to leave by this path are dropped here.",
        _better(machine, path, family, key, via)
        or do(f"See that {via} is up and on the same link: `ip neigh show dev {path.device}`."),
    )


def _silent(machine: Machine, device: str, address: str) -> bool:
    return bool(machine.neighbours.get((device, address), 0) & _NOBODY)


def _on_link(machine: Machine, device: str, family: int, via: str) -> bool:
    """Whether an address's network or a route of main's leads there by the device alone."""
    address = ip_address(via)
    if address.is_link_local:
        return True
    if any(address in one.network for one in machine.addresses.get(device, ()) if one.version == family):
        return True
    return any(
        lead.type == RouteType.UNICAST
        and lead.family == family
        and lead.devices == (device,)
        and not lead.via
        and prefixes.longest(family, packed, address.packed) >= 0
        for lead, packed in machine.main.leads.items()
    )


def _better(machine: Machine, path: RoutePath, family: int, key: str, via: str) -> Cure | None:
    """The gateway that main has by this device, or the only other host of its network."""
    known = learn(machine.main).get((family, path.device))
    if known and known.via and known.via != via and not _silent(machine, path.device, known.via):
        return put(f'{key} = "{known.via.split()[0]}"')
    for one in machine.addresses.get(path.device, ()):
        if one.version == family and one.network.num_addresses in (2, 4) and not one.ip.is_link_local:
            hosts = [str(host) for host in one.network.hosts() if host != one.ip]
            if len(hosts) == 1 and hosts[0] != via:
                return put(f'{key} = "{hosts[0]}"')
    return None
