"""The kernel objects that steering is made of, as values. Wanted and found objects compare equal."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

MAIN, LOCAL = 254, 255  # the kernel's own tables
METRIC = 1024  # metric of every route that carries traffic: IPv6's default, and any will do for IPv4
SHADOW_METRIC = 0xFFFFFFFF  # metric of the routes that hold only when all others are gone
BEST_WEIGHT = 255
RUNNER_UP_WEIGHT = 1
BUCKETS = 64
"""With 64 buckets a weight of 1 in 256 gets none: the runner-up carries nothing until it has to."""

IDLE_TIMER = 1000  # hundredths of a second that a bucket of shared traffic must be silent before it may move
FULL_MASK = 0xFFFFFFFF


class Action(IntEnum):
    LOOKUP = 1
    GOTO = 2
    NOP = 3


class Fra(IntEnum):
    """Attributes of a rule (linux/fib_rules.h)."""

    DST = 1
    SRC = 2
    IIFNAME = 3
    GOTO = 4
    PRIORITY = 6
    FWMARK = 10
    TUN_ID = 12
    SUPPRESS_IFGROUP = 13
    SUPPRESS_PREFIXLEN = 14
    TABLE = 15
    FWMASK = 16
    OIFNAME = 17
    PAD = 18
    L3MDEV = 19
    UID_RANGE = 20
    PROTOCOL = 21
    IP_PROTO = 22
    SPORT_RANGE = 23
    DPORT_RANGE = 24


class RouteType(IntEnum):
    UNICAST = 1
    LOCAL = 2
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9


REJECTS: Final = frozenset({RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT})


class Rule(NamedTuple):
    """A policy routing rule. ``target`` is the table of a LOOKUP, the priority of a GOTO; ``source`` a prefix in text,
    or empty; ``suppress`` the prefix length up to which a result is rejected; ``other`` the attributes of a found rule
    that we never set ourselves (`Fra`; 0: the header's type of service and destination's length)."""

    family: int
    priority: int
    action: int
    target: int = 0
    mark: int = 0
    mask: int = 0
    source: str = ""
    iif: str = ""
    invert: bool = False
    suppress: int | None = None
    other: tuple[tuple[int, bytes], ...] = ()


class Nexthop(NamedTuple):
    """One way out, as an object of its own. ``via`` is numeric, or empty for the device alone."""

    id: int
    family: int
    device: str
    via: str = ""


class Group(NamedTuple):
    """A nexthop group: (nexthop id, weight) in order; ``idle_timer`` in 1/100 s. Not resilient: it has no buckets."""

    id: int
    members: tuple[tuple[int, int], ...]
    buckets: int = BUCKETS
    idle_timer: int = 0


class Kind(NamedTuple):
    """All of a route but its prefix. Either ``nexthop`` (an id) or ``device`` and ``via`` lead on."""

    family: int
    table: int
    metric: int
    type: int
    nexthop: int = 0
    device: str = ""
    via: str = ""

    @property
    def slot(self) -> tuple[int, int, int]:
        """Two routes of one prefix in one slot exclude each other."""
        return self.family, self.table, self.metric


class Routes(NamedTuple):
    """Routes of one kind, their prefixes packed."""

    kind: Kind
    prefixes: bytes


@dataclass(frozen=True, slots=True)
class State:
    """What there is, or what there should be, of ours."""

    rules: frozenset[Rule] = frozenset()
    nexthops: Mapping[int, Nexthop] = field(default_factory=dict)
    groups: Mapping[int, Group] = field(default_factory=dict)
    routes: Mapping[Kind, bytes] = field(default_factory=dict)


ONLINK: Final = " onlink"
"""Behind the address of a next hop that the device reaches though no route says so, as in ``ip route``."""
ONLINK_FLAG: Final = 4
"""RTNH_F_ONLINK (linux/rtnetlink.h)."""


def written(address: str, flags: int) -> str:
    """A next hop as ``via`` has it."""
    return address + ONLINK if address and flags & ONLINK_FLAG else address


@dataclass(frozen=True, slots=True)
class Device:
    """A network device. ``up``: exists, is enabled, and has carrier or a state that the driver does not know. ``mtu``
    in bytes; 0: not told. ``lower`` is the number of the device that it is on, as a VLAN is; 0: none. Of a tunnel of
    the kernel's ``remote`` is where its outer packets go (empty: unknown, or several places), ``mark`` their mark.
    ``inherits``: it has no mark of its own, and its outer packets are routed by that of what is in them. ``hardware``:
    its Ethernet address; ``master``: the number of the bridge that it is a port of, or the like; 0: none."""

    index: int
    name: str
    up: bool
    vrf: bool = False
    mtu: int = 0
    lower: int = 0
    remote: str = ""
    mark: int = 0
    inherits: bool = False
    hardware: str = ""
    bridge: bool = False
    master: int = 0


@dataclass(frozen=True, slots=True)
class Foreign:
    """What others have, as far as it may be in our way: (protocol, object)."""

    rules: tuple[tuple[int, Rule], ...] = ()
    routes: tuple[tuple[int, Kind], ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading of the kernel. ``foreign_ids``: nexthop ids within our range that others have."""

    ours: State
    devices: Mapping[str, Device]
    foreign: Foreign = field(default_factory=Foreign)
    foreign_ids: AbstractSet[int] = frozenset()

    def up(self, device: str) -> bool:
        """Whether the device is there, and up."""
        found = self.devices.get(device)
        return found is not None and found.up
