"""The one place that reads this machine for a look at it. It changes nothing: no rule, route, table or sysctl."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time
from typing import TypeVar

from steerd.config.route_settings import RouteSettings
from steerd.machine import files, lists, quick
from steerd.machine.record import Machine, Nftables, Reserved, Sockets, Unread
from steerd.net.devices import look
from steerd.net.netlink import Connection
from steerd.net.wireguard.device import Device as WireGuardDevice
from steerd.net.wireguard.speaker import Speaker
from steerd.route.around.networkd import removes
from steerd.route.around.surroundings import told, underlays
from steerd.route.claim import claimed
from steerd.route.kernel import forwarding
from steerd.route.kernel.kernel import Kernel
from steerd.route.kernel.main_table import Main, MainTable
from steerd.route.model import numbers
from steerd.route.model.leads import Leads
from steerd.route.model.objects import MAIN, Action, Rule
from steerd.route.nft.counters import table_name
from steerd.route.nft.firewall import Firewall, collision, ours
from steerd.route.nft.program import find_nft
from steerd.route.nft.protect import Protection
from steerd.tunnel.peers import endpoint

_SYSCTLS = {
    "ipv4": ("forwarding", "rp_filter"),
    "ipv6": ("forwarding", "force_forwarding", "disable_ipv6"),
}
_KERNELS = {MAIN, 253, 255}
"""Tables that the kernel's own rules lead to: main, default, local."""

_T = TypeVar("_T")


@dataclass(slots=True)
class _Missed:
    """What could not be read."""

    found: list[Unread] = field(default_factory=list)

    def read(self, what: str, ask: Callable[[], _T], otherwise: _T) -> _T:
        """What ``ask`` says, or else ``otherwise``."""
        try:
            return ask()
        except OSError as error:
            self.found.append(Unread(what, error.strerror or str(error)))
            return otherwise


def read(settings: RouteSettings | None = None, control: Path | None = None, root: Path = Path("/")) -> Machine:
    """All of it. With ``settings`` also what others have of their numbers, and nothing of what is steerd's own;
    ``control``: where the configuration's daemon would listen. ``root``: where the files of others are. What cannot be
    read is in ``unread``; without rtnetlink there is nothing to say: raises `OSError`."""
    missed, may = _Missed(), files.capable()
    with ExitStack() as opened:
        table = opened.enter_context(MainTable())
        main = table.read()
        rules = table.rules()
        names = {one.index: one.name for one in main.devices.values()}
        wireguard = dict(_wireguard(main.devices, missed)) if "CAP_NET_ADMIN" in may else {}
        if "CAP_NET_ADMIN" not in may:
            missed.found.append(Unread("WireGuard devices", "CAP_NET_ADMIN is missing"))
        if "CAP_NET_RAW" not in may:
            missed.found.append(Unread("targets", "CAP_NET_RAW is missing"))
        far_ends = {name: (remote, one.mark) for name, one in wireguard.items() if (remote := endpoint(one))}
        return Machine(
            main=main,
            rules=tuple(rules),
            tables=dict(_tables(table, main, rules, settings)),
            enabled=frozenset(name for name in main.devices if (state := look(name)) and state.up),
            addresses=table.addresses(main.devices),
            neighbours=neighbours(main),
            sysctls=dict(_sysctls(main.devices)),
            underlays=underlays(told(main.devices, far_ends), main.devices, table.leaves),
            wireguard=wireguard,
            ipsec=missed.read("IPsec policies", lists.ipsec, []),
            quick=missed.read("wg-quick's files in /etc/wireguard", lambda: quick.installed(root), {}),
            managed=files.managed(root, names),
            networkd=removes(root),
            programs=files.programs(root),
            sockets=_sockets(control),
            nftables=_nftables(settings, missed, may="CAP_NET_ADMIN" in may),
            reserved=_reserved(settings) if settings else Reserved(),
            capable=may,
            unread=tuple(missed.found),
            now=time(),
        )


def again(machine: Machine) -> Machine:
    """The same, with what probes may have changed: which neighbours answer, and WireGuard's handshakes. Raises
    `OSError`."""
    wireguard = dict(_wireguard(machine.wireguard, _Missed()))
    return replace(
        machine, neighbours=neighbours(machine.main), wireguard={**machine.wireguard, **wireguard}, now=time()
    )


def neighbours(main: Main) -> dict[tuple[str, str], int]:
    """The state of each neighbour now, by device and address. Raises `OSError`."""
    with Connection() as connection:
        return lists.neighbours(connection, {one.index: one.name for one in main.devices.values()})


def _tables(
    table: MainTable, main: Main, rules: Iterable[tuple[int, Rule]], settings: RouteSettings | None
) -> Iterator[tuple[tuple[int, int], Leads]]:
    ours_ = numbers.tables(settings) if settings else ()
    led_to = {(rule.family, rule.target) for _, rule in rules if rule.action == Action.LOOKUP}
    for family, number in sorted(led_to):
        if number in _KERNELS and number != MAIN:
            yield (family, number), {}
        elif number not in ours_:
            yield (family, number), table.table(family, number, main.devices)


def _wireguard(devices: Iterable[str], missed: _Missed) -> Iterator[tuple[str, WireGuardDevice]]:
    with Speaker() as speaker:
        for name in sorted(devices):
            found = missed.read(f"WireGuard of {name}", lambda name=name: speaker.read(name), None)  # type: ignore[misc]
            if found is not None:
                yield name, found


def _sysctls(devices: Iterable[str]) -> Iterator[tuple[tuple[str, str, str], str]]:
    for device in ("all", "default", *devices):
        for protocol, keys in _SYSCTLS.items():
            for key in keys:
                if value := forwarding.read(protocol, device, key):
                    yield (protocol, device, key), value


def _sockets(control: Path | None) -> Sockets:
    listeners, claims = tuple(files.listeners()), tuple(claimed())
    inodes = [*(one.inode for one in listeners), *(inode for _, inode in claims)]
    held = files.holders(inodes)
    if control is None:
        return Sockets(listeners, claims, held)
    return Sockets(listeners, claims, held, files.daemon(control), files.in_the_way(control))


def _nftables(settings: RouteSettings | None, missed: _Missed, *, may: bool) -> Nftables:
    """Without privileges nothing of it can be told apart from what the kernel lacks."""
    if not may:
        missed.found.append(Unread("nftables", "CAP_NET_ADMIN is missing"))
        return Nftables(there=find_nft() is not None)
    with Protection() as protection, Firewall() as firewall:
        firewall.look_at_others()
        listed = {name: text for family in (4, 6) for name, text in firewall.others(family).items()}
        if settings:
            for name in (settings.nft_table, table_name(settings)):
                if f"inet {name}" in listed and ours(firewall, settings, name):
                    del listed[f"inet {name}"]
        return Nftables(firewall.program is not None, listed, dict(protection.refusals))


def _reserved(settings: RouteSettings) -> Reserved:
    table = None
    with Kernel() as kernel, Firewall() as firewall:
        seen = kernel.read(settings, foreign=True)
        with suppress(OSError):  # nftables is told already, if it could not be looked at
            table = collision(firewall, settings)
    return Reserved(seen, table)
