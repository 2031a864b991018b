"""This machine, as far as steering depends on it: one reading, as values. Nothing here knows a configuration, but for
`Reserved`, which says what others have of the numbers that one asks for."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Interface, IPv6Interface
from typing import NamedTuple

from steerd.net.wireguard.device import AllowedIp
from steerd.net.wireguard.device import Device as WireGuardDevice
from steerd.route.around.networkd import Removes
from steerd.route.claim import Claimed
from steerd.route.kernel.main_table import Main
from steerd.route.model.leads import Leads
from steerd.route.model.objects import Rule, Seen
from steerd.status.snapshot import Underlay

Interface = IPv4Interface | IPv6Interface


class Reachability(IntEnum):
    """Of a neighbour (linux/neighbour.h, NUD_*): the kernel's word on whether somebody answers there."""

    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


class QuickFile(NamedTuple):
    """A wg-quick file: where it is, and what it says: its ``Table``, in lower case (empty: nothing, which is ``auto``),
    its FwMark (0: none), numeric addresses, and of each peer AllowedIPs; of its only peer the ``endpoint``, as
    ``HOST:PORT``, if that is a name (else empty). ``wrong``: why nothing is known of it, as ``cannot be read``; empty:
    it is one of wg-quick's."""

    file: str
    table: str = ""
    mark: int = 0
    addresses: tuple[Interface, ...] = ()
    dns: tuple[str, ...] = ()
    allowed: tuple[frozenset[AllowedIp], ...] = ()
    endpoint: str = ""
    wrong: str = ""


class IpsecPolicy(NamedTuple):
    """An IPsec policy that encrypts what leaves: prefixes in text, and whether it is bound to one device or mark."""

    family: int
    source: str
    destination: str
    bound: bool = False


class Listener(NamedTuple):
    """A TCP socket that listens. ``address`` is numeric."""

    address: str
    port: int
    inode: int


class Process(NamedTuple):
    pid: int
    name: str
    user: int


@dataclass(frozen=True, slots=True)
class Sockets:
    """``claims`` of steerds, with the inodes of the sockets that stand for them; ``holders`` of sockets, by inode, as
    far as we may know. ``daemon``: the process that listens at the configuration's control socket; 0: none.
    ``blocked``: what is in the place of that socket, in words; empty: nothing."""

    listeners: Sequence[Listener] = ()
    claims: Sequence[tuple[Claimed, int]] = ()
    holders: Mapping[int, Process] = field(default_factory=dict)
    daemon: int = 0
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class Nftables:
    """``there``: `nft` is installed. ``forwarding``: tables with chains in the forward hook, as `nft` lists them, by
    name (``ip filter``). ``refusals``: why the kernel does not do a use that steerd has for nftables; None: it does."""

    there: bool = True
    forwarding: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What others have of a configuration's numbers: ``seen`` tables, rules and nexthops; ``table``: why its table of
    nftables cannot be ours, in words."""

    seen: Seen | None = None
    table: str | None = None


class Unread(NamedTuple):
    """What could not be read, and why, in a few words each."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Machine:
    """``rules`` with their protocols; ``tables`` that rules of others lead to, by family and number. ``enabled``:
    devices that are not switched off, though they may lack a carrier. ``addresses`` by device. ``neighbours`` by device
    and address, as `Reachability`. ``sysctls`` of devices by protocol, device and key. ``underlays``: what the outer
    packets of tunnels leave by, as the kernel says now. ``quick``: wg-quick's files by device. ``managed``: devices
    that NetworkManager manages. ``programs`` that run here. ``capable`` of what steerd needs: names of capabilities
    that this process has. ``now``: when WireGuard was asked, Unix time in seconds."""

    main: Main = field(default_factory=Main)
    rules: Sequence[tuple[int, Rule]] = ()
    tables: Mapping[tuple[int, int], Leads] = field(default_factory=dict)
    enabled: AbstractSet[str] = frozenset()
    addresses: Mapping[str, Sequence[Interface]] = field(default_factory=dict)
    neighbours: Mapping[tuple[str, str], int] = field(default_factory=dict)
    sysctls: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    underlays: Mapping[str, Underlay] = field(default_factory=dict)
    wireguard: Mapping[str, WireGuardDevice] = field(default_factory=dict)
    ipsec: Sequence[IpsecPolicy] = ()
    quick: Mapping[str, QuickFile] = field(default_factory=dict)
    managed: AbstractSet[str] = frozenset()
    networkd: Removes | None = None
    programs: AbstractSet[str] = frozenset()
    sockets: Sockets = field(default_factory=Sockets)
    nftables: Nftables = field(default_factory=Nftables)
    reserved: Reserved = field(default_factory=Reserved)
    capable: AbstractSet[str] = frozenset({"CAP_NET_ADMIN", "CAP_NET_RAW"})
    unread: tuple[Unread, ...] = ()
    now: float = 0.0

    def sysctl(self, protocol: str, device: str, key: str) -> str:
        """Empty: there is no such device, or no such protocol."""
        return self.sysctls.get((protocol, device, key), "")

    @property
    def own(self) -> frozenset[str]:
        """The machine's own addresses."""
        return frozenset(str(one.ip) for some in self.addresses.values() for one in some)

    @property
    def uplinks(self) -> frozenset[str]:
        """The devices of main's default routes."""
        return frozenset(one.device for one in self.main.defaults)
