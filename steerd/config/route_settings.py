"""What routing is told: paths and policies as the kernel sees them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from steerd.core.settings import PathId, PolicyId, WhenNone

AUTO = "auto"
"""In the place of a next hop: that of main's default route through the path's device."""


@dataclass(frozen=True, slots=True)
class RoutePath:
    """A path as the kernel sees it. `via`/`via6` are next hops, or `AUTO`; `families` those that it carries. `mark`
    leads to `table`, the path's own, and so does `inbound_mark`, that of connections that came in by the path (0: there
    was no number left for it). `peer` is the public key of the one of its device's peers that it leads to, if not all;
    `over` the uplink that the tunnel's own packets are to take, and the table that they ask for it; or empty."""

    path: PathId
    device: str
    via: str | None
    via6: str | None
    families: frozenset[int]
    uplink: str
    mark: int
    table: int
    inbound_mark: int = 0
    peer: str = ""
    over: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Packed, sorted, without duplicates: 5 bytes (address, length) per IPv4 prefix, 17 per IPv6 prefix. A policy may
    have 200,000, so they are never objects."""

    v4: bytes = b""
    v6: bytes = b""


class Flows(StrEnum):
    """What becomes of established connections at a switch: they move too, or stay while new ones take the new path;
    AUTO: they stay where the kernel and `nft` can do it. CLIENT: they stay, and so do new ones of whoever has some."""

    AUTO = "auto"
    PIN = "pin"
    CLIENT = "client"
    MOVE = "move"


class Guard(StrEnum):
    """Whether a policy's traffic may be forwarded by its paths' devices only. USUAL: yes, but a gateway without `nft`
    does without; ALWAYS: yes, or steerd does not start."""

    OFF = "off"
    USUAL = "usual"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """A policy as the kernel sees it. `order` is its place in the file, from 0. Empty `sources` and `iifs`
    select everything forwarded; `fwmark` is the mark that packets must have, and the bits of it that count (none: any).
    `allowed` are the paths that it may use (None: all); `max_drain` is how long its connections may stay on a path that
    was left, in seconds; `client_idle` how long a client that is kept whole may be silent until it is free to take
    another path, in seconds; `spread` is how many paths may carry its traffic at a time."""

    policy: PolicyId
    table: int
    order: int
    prefixes: Prefixes
    excepted: Prefixes = field(default_factory=Prefixes)
    sources: tuple[str, ...] = ()
    iifs: tuple[str, ...] = ()
    fwmark: tuple[int, int] = (0, 0)
    own_traffic: bool = False
    when_none: WhenNone = WhenNone.KEEP
    guard: Guard = Guard.OFF
    flows: Flows = Flows.MOVE
    max_drain: float = 3600.0
    client_idle: float = 300.0
    allowed: frozenset[PathId] | None = None
    spread: int = 1


class OnStop(StrEnum):
    KEEP = "keep"
    CLEANUP = "cleanup"
    BLOCK = "block"


class Actuator(StrEnum):
    """What a switch changes. NETLINK: the routes alone; WIREGUARD: first which peer of its device a path leads to."""

    NETLINK = "netlink"
    WIREGUARD = "wireguard"


class Detour(NamedTuple):
    """Outer packets of a device, which their ``mark`` tells, ask a ``table`` of our own before any other: it has a
    default route for each of the ``ways``: family (4 or 6), device, next hop or empty. None: the mark is not known, and
    what is there stays."""

    table: int
    mark: int | None
    ways: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """`table` is the first of `TABLES` tables and `rule_priority` the first of 100 that are ours; nexthop
    ids are taken from `nexthop_base` on; `mark_mask` holds the bits of the packet mark that are ours;
    `bypass_mark` 0 means none. `management` prefixes are never steered, never blocked. `main_mark`: of answers to what
    came in by no path of ours, which `main` routes (0: there is no number left for it)."""

    protocol: int
    table: int
    rule_priority: int
    nexthop_base: int
    mark_mask: int
    bypass_mark: int
    management: tuple[str, ...]
    on_stop: OnStop
    paths: tuple[RoutePath, ...]
    policies: tuple[RoutePolicy, ...]
    nexthop_objects: bool = True
    """False forces the batched replace that serves kernels without nexthop objects."""
    nft_table: str = "steerd"
    """The one table of nftables, of family inet, that is ours."""
    actuator: Actuator = Actuator.NETLINK
    main_mark: int = 0
    clamp_mss: bool = False  # whether TCP connections are told at their start what the path's MTU leaves them
    count: bool = False  # whether policies' packets are counted by where they go
    detours: tuple[Detour, ...] = ()

    @property
    def guards(self) -> bool:
        """Whether any policy has a leak guard."""
        return any(policy.guard is not Guard.OFF for policy in self.policies)

    @property
    def pins(self) -> bool:
        """Whether established connections of any policy stay where they are."""
        return any(policy.flows is not Flows.MOVE for policy in self.policies)


PACKETS = "_packets"
"""Behind the name of our table of nftables: what that of the counters is called."""
POLICY_TABLES = 100  # tables kept for policies: `table` to `table + 99`; the paths' tables follow
SELECTORS = 68
OWN_SELECTORS = 20
"""How many different selectors there are rule priorities for: of forwarded traffic, and of the gateway's own."""
